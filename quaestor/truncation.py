"""Law 9, checked: a strategy sees nothing later than its bar.

Nobody can read from a strategy's code whether it peeks. But one that does not peek answers the same for a session
whether the bars after it exist or not. So it is run again on data cut at a session, and every target up to there is
compared with the run that knew what came later. A shift the wrong way, a mean over the whole column, a symbol counted
before its listing, a random number: each shows as a leak.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor.signals import compute
from quaestor.splits import Split
from quaestor.strategies.catalogue import Built

if TYPE_CHECKING:
    import polars as pl

ROUNDING = 1e-9  # sums of floats may come in another order; a share of a sleeve is not decided there


@dataclass(frozen=True, order=True)
class Leak:
    """A target that changes when the bars after `cut` are taken away; None: no opinion."""

    session: dt.date
    symbol: str
    strategy: str
    cut: dt.date
    full: float | None
    truncated: float | None

    def __str__(self) -> str:
        full, cut = ("no target" if value is None else f"target {value:g}" for value in (self.full, self.truncated))
        what = f"{full} with the bars after {self.cut}, {cut} without them"
        return f"{self.strategy}: {self.symbol} {self.session}: {what}. The strategy looks ahead."


def check(built: Built, bars: pl.DataFrame, splits: Sequence[Split], sessions: Iterable[dt.date]) -> list[Leak]:
    """Leaks found by cutting the data at each of these sessions, by session and symbol; [] is a clean strategy.

    Takes what `signals.compute` takes. Each cut costs one run of the strategy. A leak that several cuts show is
    listed once, with the earliest cut. Raises BadInput where the strategy cannot answer at all.
    """
    if bars.is_empty():
        return []
    full = compute(built, bars, splits, _first(bars), _last(bars))
    found: dict[tuple[dt.date, str], Leak] = {}
    for cut in sorted(set(sessions)):
        for leak in _compare(built, full, _cut(built, bars, splits, cut), cut):
            found.setdefault((leak.session, leak.symbol), leak)
    return sorted(found.values(), key=lambda leak: (leak.session, leak.symbol))


def _cut(built: Built, bars: pl.DataFrame, splits: Sequence[Split], cut: dt.date) -> pl.DataFrame:
    """The run that knows nothing after `cut`: no bar, and no split that is yet to come."""
    import polars as pl

    known = [split for split in splits if split.session <= cut]
    return compute(built, bars.filter(pl.col("session") <= cut), known, _first(bars), cut)


def _compare(built: Built, full: pl.DataFrame, truncated: pl.DataFrame, cut: dt.date) -> list[Leak]:
    import polars as pl

    key = ["symbol", "session"]
    before = full.filter(pl.col("session") <= cut).select(*key, full="target")
    both = before.join(truncated.select(*key, truncated="target"), on=key, how="full", coalesce=True)
    same = ((pl.col("full") - pl.col("truncated")).abs() <= ROUNDING).fill_null(False)
    rows = both.filter(~same).select("session", "symbol", "full", "truncated").iter_rows(named=True)
    return [Leak(strategy=built.name, cut=cut, **row) for row in rows]


def _first(bars: pl.DataFrame) -> dt.date:
    day: dt.date = bars["session"].min()  # type: ignore[assignment]
    return day


def _last(bars: pl.DataFrame) -> dt.date:
    day: dt.date = bars["session"].max()  # type: ignore[assignment]
    return day
