"""What a live strategy is: one that follows each symbol bar by bar, and tick by tick where it wants to.

Its `Follower` of a symbol keeps what it needs (see `quaestor.windows`) and answers each closed bar with a target: the
share (0 to 1) of its sleeve that it wants in the symbol from now on; None is no opinion. It is told what is over and
nothing else, so it cannot look ahead (law 9). Run over a frame of bars it gives the same targets: what trades live is
what was tested.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True)
... class AboveOpen(LiveStrategy):
...     '''A tenth of the sleeve in each symbol whose last minute rose.'''
...     name = "above_open"
...     def follow(self, symbol: str) -> Follower:
...         return _AboveOpen()
>>> class _AboveOpen(Follower):
...     def on_bar(self, bar: LiveBar) -> float | None:
...         return 0.1 if bar.close > bar.open else 0.0
"""

from __future__ import annotations

import datetime as dt
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from quaestor.barring import LiveBar, nanoseconds
from quaestor.strategies.base import Strategy
from quaestor.ticks import Tick

if TYPE_CHECKING:
    import polars as pl


class Follower:
    """Follows one symbol. `wants_ticks`: whether `on_tick` is asked, too; leave it where bars are enough."""

    wants_ticks: ClassVar[bool] = False

    def on_bar(self, bar: LiveBar) -> float | None:
        """A bar has closed, oldest first, its prices in the shares of today. None: no opinion."""
        del bar
        return None

    def on_tick(self, tick: Tick) -> float | None:
        """A trade or a quote of the symbol, in the feed's order. None: no opinion."""
        del tick
        return None


@dataclass(frozen=True)
class LiveStrategy(Strategy):
    """Base of live strategies. `timeframe` is that of its bars; `warmup`: bars that make a fresh follower know all.

    What a follower knows must follow from the last `warmup` bars: after a restart it is shown those again.
    """

    timeframe: ClassVar[str] = "1m"
    warmup: ClassVar[int] = 500

    @abstractmethod
    def follow(self, symbol: str) -> Follower:
        """A fresh follower of a symbol."""

    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The same targets out of a frame: symbol after symbol, bar after bar."""
        import polars as pl

        rows: list[tuple[str, dt.date, float]] = []
        for (symbol,), mine in bars.sort("symbol", "ts").group_by(["symbol"], maintain_order=True):
            follower = self.follow(str(symbol))
            for row in mine.iter_rows(named=True):
                target = follower.on_bar(bar_of(row, self.timeframe))
                if target is not None:
                    rows.append((str(symbol), row["session"], float(target)))
        return pl.DataFrame(
            rows, schema={"symbol": pl.String, "session": bars.schema["session"], "target": pl.Float64}, orient="row"
        )


def bar_of(row: dict[str, Any], timeframe: str) -> LiveBar:
    """A row of a bars frame."""
    end = nanoseconds(row["ts"])
    prices = (row["open"], row["high"], row["low"], row["close"])
    return LiveBar(row["symbol"], timeframe, row["session"], end, *prices, float(row["volume"]), 0, end, end)
