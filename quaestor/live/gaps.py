"""Gaps: what a broken line missed, and how it is made good from history.

An *outage* lasts from the last tick that came to the moment that the line was up again. History knows it by the minute,
and only minutes that have ended: so a gap is filled as far as it can be, and what is left is asked for again a moment
after its minute. Strategies get the whole bars. Level triggers get ticks (`paths`), of the outage alone and no older
than they take: of a minute that we heard a part of ourselves, only what went beyond what we heard, so that nothing
fires twice for a price that it has seen.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quaestor.barring import LiveBar
from quaestor.calendar import NEW_YORK
from quaestor.live.paths import MINUTE, of_minutes
from quaestor.ticks import SECOND, Tick, TradeTick

if TYPE_CHECKING:
    import polars as pl

LATE = 2 * SECOND  # after a minute's end, until history knows it
Heard = Callable[
    [str, int], tuple[float, float] | None
]  # of a symbol's minute (its end): lowest, highest that we heard


@dataclass(frozen=True)
class Outage:
    """Nothing was heard after `since` and before `until`, ns."""

    since: int
    until: int

    @property
    def days(self) -> tuple[dt.date, dt.date]:
        """The first and the last day of it in New York."""
        first, last = (dt.datetime.fromtimestamp(each / SECOND, NEW_YORK).date() for each in (self.since, self.until))
        return first, last


class Hearing:
    """Notes what a feed tells of itself, and says what it missed. Times by the runner's clock."""

    def __init__(self) -> None:
        self._heard, self._lost = 0, False

    def heard(self, now: int) -> None:
        """Ticks have come."""
        if not self._lost:
            self._heard = now

    def lost(self, now: int) -> None:
        """The line is lost; it was silent before."""
        self._lost, self._heard = True, self._heard or now

    def back(self, now: int) -> Outage | None:
        """It is up and subscribed again: what it missed, if it ever heard anything."""
        if not self._lost:
            return None
        outage, self._lost, self._heard = Outage(self._heard, now), False, now
        return outage if outage.until > outage.since else None


@dataclass(frozen=True)
class Filled:
    """What history gives for an outage: a bars frame of minutes, trades for triggers, and what is left of it."""

    bars: pl.DataFrame
    ticks: list[Tick]
    rest: Outage | None


def nothing_heard(symbol: str, end: int) -> None:
    """Of no minute anything."""


def fill(bars: pl.DataFrame, outage: Outage, now: int, max_age: int, heard: Heard = nothing_heard) -> Filled:
    """From minutes of history. max_age: ns that a trigger's tick may be old; its ticks are in the order of time."""
    known = (now - LATE) // MINUTE * MINUTE  # the end of the last minute that history has for certain
    rest = Outage(max(outage.since, known), outage.until) if known < outage.until else None
    missed = _between(bars, outage, known)
    oldest = max(outage.since, now - max_age)
    young = [tick for tick in of_minutes(missed) if _concerns(tick, outage, oldest, heard)]
    return Filled(missed, [_within(tick, outage) for tick in young], rest)


def live_bars(bars: pl.DataFrame) -> tuple[LiveBar, ...]:
    """A bars frame as strategies see bars, by symbol and time."""
    from quaestor.strategies.live import bar_of

    return tuple(bar_of(row, row["timeframe"]) for row in bars.sort("symbol", "ts").iter_rows(named=True))


def _between(bars: pl.DataFrame, outage: Outage, known: int) -> pl.DataFrame:
    """Minutes that ended, and share an instant with the outage."""
    import polars as pl

    end = pl.col("ts").dt.epoch("us") * 1000
    return bars.filter((end > outage.since) & (end - MINUTE < outage.until) & (end <= known))


def _concerns(tick: Any, outage: Outage, oldest: int, heard: Heard) -> bool:
    """Whether a trade that history makes known is news, and young enough to act upon."""
    start = tick.at // MINUTE * MINUTE
    edge = start < outage.since or start + MINUTE > outage.until
    if not edge:
        return bool(tick.at >= oldest)
    if start + MINUTE <= oldest:
        return False
    if (known := heard(tick.symbol, start + MINUTE)) is None:
        return True
    return not known[0] <= tick.price <= known[1]


def _within(tick: Any, outage: Outage) -> Tick:
    """At its time, or at the outage's nearest: of a minute at the edge nobody knows when in it."""
    at = min(max(tick.at, outage.since + 1), outage.until)
    return TradeTick(tick.symbol, at, tick.price, tick.size)
