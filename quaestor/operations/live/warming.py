"""Warming: a strategy that has seen nothing yet is shown what is stored, as far as there is any of its timeframe."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quaestor.barring import LiveBar
from quaestor.ports import BarStore
from quaestor.strategies.live import LiveStrategy, bar_of

if TYPE_CHECKING:
    import polars as pl

    from quaestor.splits import Split


async def stored(
    bars: BarStore, symbols: Sequence[str], strategy: LiveStrategy, session: dt.date
) -> tuple[LiveBar, ...]:
    """The newest bars that it needs, by symbol and time, in the shares of the day before that session: a split of its
    own open comes with it.
    """
    frame = await bars.last_bars(symbols, strategy.warmup, strategy.timeframe)
    if frame.is_empty():
        return ()
    done = [split for split in await bars.all_splits(symbols) if split.session < session]
    frame = _adjusted(frame.filter(frame["session"] < session), done)
    return tuple(bar_of(row, strategy.timeframe) for row in frame.sort("symbol", "ts").iter_rows(named=True))


def _adjusted(frame: pl.DataFrame, splits: Sequence[Split]) -> pl.DataFrame:
    import polars as pl

    from quaestor.bars import PRICES

    factor = pl.lit(1.0)
    for split in splits:
        before = (pl.col("symbol") == split.symbol) & (pl.col("session") < split.session)
        factor = factor * pl.when(before).then(float(split.ratio)).otherwise(1.0)
    return frame.with_columns(*((pl.col(name) / factor).alias(name) for name in PRICES), pl.col("volume") * factor)
