"""Barring: bars made of trade ticks, by the exchange's clock.

**The grid.** A trade belongs to the interval it happened in, start ≤ at < end, and the bar is named by that end. The
intervals of 1 s, 1 min, … are counted from the opening of each phase of a session and none crosses its end, as in
`quaestor.calendar.ends`; a "1d" bar is the regular session. Where nobody trades there is no bar. A trade at or after
the session's close is outside of it: the auction's print, a moment after 16:00, is in the vendor's daily file.

**The order of events.** Arrival decides nothing but which trades are in time. Open and close are the first and the last
trade *by the exchange's time*; of two in the same nanosecond the earlier to arrive opens, the later closes. A bar stays
open `grace` ns after its end and takes what still belongs to it; so several may be open at once. It closes when its
symbol's clock reaches end + grace. That clock is the latest time among the ticks seen and the instants told to
`close_until` (a live runner tells them as events: a replay closes the same bars at the same places). A trade that
arrives at most `grace` behind the newest is never late.

**Too late.** A trade whose bar has closed (even as an interval without a bar) never changes it silently: it is counted
as `late` and answered with a Correction, which makes the bar's next version. Closed bars with their corrections are
the bars of all trades, whatever the order of arrival: a property test holds that.

**Bad ticks** are counted by rule and ignored, their time too. A time in the future is for the feed's door to refuse,
which has a clock: here it would close bars.

Prices are as-traded dollars per share, sizes and volumes shares, instants ns since 1970 UTC. Volumes are sums of
floats: exact for whole shares.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from quaestor import calendar
from quaestor.bars import DAILY, SECONDS, Bar, price
from quaestor.errors import BadInput, NotFound
from quaestor.ticks import SECOND, TradeTick

TICK_SECOND = "1s"
STEPS = {TICK_SECOND: SECOND} | {name: seconds * SECOND for name, seconds in SECONDS.items()}
GRACE = 2 * SECOND
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
INF = math.inf
NEVER = 1 << 63  # ns: after all time that a tick can tell

RULES = {
    "bad_price": "a price that is not above 0, infinite or no number; ignored",
    "bad_size": "a size that is not above 0, infinite or no number; ignored",
    "outside": "a trade outside the hours of the grid; in no bar",
    "late": "a trade of a bar that has closed; it makes a correction",
}


class LiveBar(msgspec.Struct, gc=False):
    """A bar of ticks: `end`, `first_at`, `last_at` (the trades that opened and closed it) in ns.

    The builder counts into it while it is open and hands it out when it closes. `version`: 1 + its corrections.
    """

    symbol: str
    timeframe: str
    session: dt.date
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    first_at: int
    last_at: int
    version: int = 1

    def count(self, at: int, price: float, size: float) -> None:
        """Take in one more trade of this interval, after all that arrived before it."""
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        if at >= self.last_at:
            self.last_at, self.close = at, price
        elif at < self.first_at:
            self.first_at, self.open = at, price
        self.volume += size
        self.trades += 1

    def to_bar(self) -> Bar:
        """In the money's terms: decimal prices, volume to the nearest whole share."""
        ts = EPOCH + dt.timedelta(microseconds=self.end // 1000)
        opened, high, low, close = map(price, (self.open, self.high, self.low, self.close))
        volume = round(self.volume)
        return Bar(self.symbol, self.session, ts, opened, high, low, close, volume, self.version, self.timeframe)


class Correction(msgspec.Struct, frozen=True, gc=False):
    """A late trade: it belongs to the bar of that symbol, timeframe and end, which has closed without it."""

    symbol: str
    timeframe: str
    session: dt.date
    end: int
    at: int
    price: float
    size: float
    rule: str = "late"

    def applied(self, bar: LiveBar | None) -> LiveBar:
        """The bar's next version; the old one stays as it was. None: the interval had no bar; this is its first."""
        if bar is None:
            return _first(self.symbol, self.timeframe, self.session, self.end, self.at, self.price, self.size)
        if (bar.symbol, bar.timeframe, bar.end) != (self.symbol, self.timeframe, self.end):
            raise BadInput(
                f"A correction of {self.symbol}|{self.timeframe}|{self.end} was handed the bar "
                f"{bar.symbol}|{bar.timeframe}|{bar.end}; look it up by the correction's own end."
            )
        mended = msgspec.structs.replace(bar, version=bar.version + 1)
        mended.count(self.at, self.price, self.size)
        return mended


def _first(symbol: str, timeframe: str, session: dt.date, end: int, at: int, price: float, size: float) -> LiveBar:
    return LiveBar(symbol, timeframe, session, end, price, price, price, price, size, 1, at, at)


Event = LiveBar | Correction
NOTHING: Sequence[Any] = ()


class Phase(NamedTuple):
    """A stretch of a session that has its own bars: from `start` until before `stop`, ns."""

    session: dt.date
    start: int
    stop: int


def phases(days: Iterable[dt.date], *, extended: bool = False) -> tuple[Phase, ...]:
    """The phases of the exchange's sessions: the regular ones, or all three of each day.

    Raises BadInput for a day that is no session.
    """
    found = []
    for day in sorted(days):
        marks = [calendar.session_open(day), calendar.session_close(day)]
        if extended:
            marks = [calendar.premarket_start(day), *marks, calendar.postmarket_end(day)]
        found += [Phase(day, start, stop) for start, stop in pairwise(map(nanoseconds, marks))]
    return tuple(found)


def nanoseconds(instant: dt.datetime) -> int:
    """An instant as ticks have it, exactly: ns since 1970 UTC."""
    return (instant - EPOCH) // dt.timedelta(microseconds=1) * 1000


class Grid:
    """The intervals of one timeframe; one grid serves all symbols. Phases are given in order and do not overlap."""

    __slots__ = ("phases", "starts", "step", "timeframe")

    def __init__(self, timeframe: str, phases: Sequence[Phase]) -> None:
        if timeframe != DAILY and timeframe not in STEPS:
            raise NotFound.named("timeframe", timeframe, (DAILY, *STEPS))
        empty = any(phase.start >= phase.stop for phase in phases)
        if empty or any(phase.stop > later.start for phase, later in pairwise(phases)):
            raise BadInput(f"The phases of a {timeframe} grid are empty, overlap or are not in order; sort them.")
        self.timeframe = timeframe
        self.step = STEPS.get(timeframe)
        self.phases = tuple(phases)
        self.starts = [phase.start for phase in phases]

    @classmethod
    def of(cls, timeframe: str, days: Iterable[dt.date], *, extended: bool = False) -> Grid:
        """The grid of the exchange's sessions; a "1d" bar is the regular session, extended hours or not."""
        return cls(timeframe, phases(days, extended=extended and timeframe != DAILY))

    def place(self, at: int) -> tuple[int, int, dt.date] | None:
        """The interval that an instant falls into, start and end, and its session; None: outside the hours."""
        phase = self.phases[bisect_right(self.starts, at) - 1] if self.starts and at >= self.starts[0] else None
        if phase is None or at >= phase.stop:
            return None
        session, start, stop = phase
        if self.step is None:
            return start, stop, session
        start += (at - start) // self.step * self.step
        return start, min(start + self.step, stop), session


class State(msgspec.Struct):
    """What a builder knows: its clock (ns), the bars still open, trades and refusals counted by rule."""

    clock: int
    open: list[LiveBar]
    counts: dict[str, int]


class Builder:
    """The bars of one symbol in one timeframe. It is handed this symbol's ticks alone."""

    __slots__ = ("_bar", "_clock", "_due", "_limit", "_open", "_start", "counts", "grace", "grid", "symbol")

    _clock: int
    _open: dict[int, LiveBar]  # by end
    _bar: LiveBar  # the newest open one; there is none while no instant lies in _start … _limit

    def __init__(self, symbol: str, grid: Grid, grace: int = GRACE) -> None:
        if grace < 0:
            raise BadInput(f"{symbol}: a grace of {grace} ns: give 0 or more.")
        self.symbol, self.grid, self.grace = symbol, grid, grace
        self._restore(State(0, [], dict.fromkeys(RULES, 0)))

    def take(self, tick: TradeTick) -> Sequence[Event]:
        """Count a trade: what it closed, oldest first, then its correction if it came too late; mostly nothing."""
        at, price, size = tick.at, tick.price, tick.size
        if not (self._start <= at < self._limit and 0.0 < price < INF and 0.0 < size < INF):
            return self._turn(at, price, size)
        bar = self._bar  # below stands LiveBar.count, written out: its call would cost half of the rate
        if price > bar.high:
            bar.high = price
        elif price < bar.low:
            bar.low = price
        if at >= bar.last_at:
            bar.last_at = at
            bar.close = price
        elif at < bar.first_at:
            bar.first_at = at
            bar.open = price
        bar.volume += size
        bar.trades += 1
        return NOTHING

    def close_until(self, instant: int) -> list[LiveBar]:
        """It is that instant: close the bars whose end + grace has passed, oldest first."""
        self._clock = max(self._clock, instant)
        if instant < self._due:
            return []
        due = sorted(end for end in self._open if end + self.grace <= instant)
        closed = [self._open.pop(end) for end in due]
        self._look()
        return closed

    @property
    def clock(self) -> int:
        """The latest instant that a tick or `close_until` has told, ns."""
        return max(self._clock, *(bar.last_at for bar in self._open.values()), 0)

    @property
    def due(self) -> int | None:
        """When the oldest open bar closes, ns; None: none is open."""
        return self._due if self._open else None

    def dump(self) -> dict[str, Any]:
        """All it knows in plain values, for a snapshot."""
        plain: dict[str, Any] = msgspec.to_builtins(State(self.clock, list(self._open.values()), self.counts))
        return plain

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Go on from a dump: the same ticks give the same bars. Raises BadInput for what is no dump of this builder."""
        mine = f"{self.symbol}|{self.grid.timeframe}"
        try:
            state = msgspec.convert(plain, State)
        except msgspec.ValidationError as error:
            raise BadInput(f"{mine}: this is no dump of a builder: {error}.") from error
        for bar in state.open:
            place = self.grid.place(bar.first_at)
            if f"{bar.symbol}|{bar.timeframe}" != mine or place is None or place[1:] != (bar.end, bar.session):
                raise BadInput(
                    f"{mine}: the dump holds a bar of {bar.symbol}|{bar.timeframe}|{bar.end}, not of my grid."
                )
        self._restore(state)

    def _restore(self, state: State) -> None:
        self.counts = dict.fromkeys(RULES, 0) | state.counts
        self._clock = state.clock
        self._open = {bar.end: bar for bar in state.open}
        self._look()

    def _turn(self, at: int, price: float, size: float) -> Sequence[Event]:
        """A trade that is not simply one more of the newest bar."""
        rule = "bad_price" if not 0.0 < price < INF else "bad_size" if not 0.0 < size < INF else ""
        if rule:
            self.counts[rule] += 1
            return NOTHING
        closed = self.close_until(at)
        place = self.grid.place(at)
        if place is None:
            self.counts["outside"] += 1
            return closed
        _, end, session = place
        if end not in self._open and end + self.grace <= self.clock:
            self.counts["late"] += 1
            return [*closed, Correction(self.symbol, self.grid.timeframe, session, end, at, price, size)]
        self._count(at, price, size, end, session)
        return closed

    def _count(self, at: int, price: float, size: float, end: int, session: dt.date) -> None:
        if bar := self._open.get(end):
            bar.count(at, price, size)
        else:
            self._open[end] = _first(self.symbol, self.grid.timeframe, session, end, at, price, size)
            self._look()

    def _look(self) -> None:
        """Find the newest open bar, until when its trades can close nothing, and when the oldest is due."""
        self._start, self._limit, self._due = 0, 0, NEVER
        if not self._open:
            return
        self._due = min(self._open) + self.grace
        self._bar = self._open[max(self._open)]
        place = self.grid.place(self._bar.first_at)
        if place is not None:
            self._start, end, _ = place
            self._limit = min(end, self._due)


class Barring:
    """The bars of many symbols in some timeframes: a builder for each pair, made when its first tick comes."""

    __slots__ = ("_builders", "grace", "grids")

    def __init__(self, grids: Sequence[Grid], grace: int = GRACE) -> None:
        self.grids, self.grace = tuple(grids), grace
        self._builders: dict[str, tuple[Builder, ...]] = {}

    def take(self, tick: TradeTick) -> Sequence[Event]:
        """What a trade closes and corrects in its symbol's timeframes, in the order of the grids."""
        builders = self._builders.get(tick.symbol) or self._add(tick.symbol)
        events = NOTHING
        for builder in builders:
            if more := builder.take(tick):
                events = [*events, *more]
        return events

    def close_until(self, instant: int) -> list[LiveBar]:
        """It is that instant for all symbols: the bars that close, by end, then symbol, then order of the grids."""
        closed: list[LiveBar] = []
        for builders in self._builders.values():
            for builder in builders:
                if instant >= builder._due:  # noqa: SLF001 - most are not due, and a call costs more than the look
                    closed += builder.close_until(instant)
                elif instant > builder._clock:  # noqa: SLF001
                    builder._clock = instant  # noqa: SLF001
        return sorted(closed, key=lambda bar: (bar.end, bar.symbol)) if closed else closed

    def counts(self) -> dict[str, dict[str, int]]:
        """Ticks by rule, for each timeframe: a trade is late for its second before it is for its minute."""
        totals = {grid.timeframe: dict.fromkeys(RULES, 0) for grid in self.grids}
        for builder in (builder for builders in self._builders.values() for builder in builders):
            for rule, count in builder.counts.items():
                totals[builder.grid.timeframe][rule] += count
        return totals

    def dump(self) -> dict[str, Any]:
        """All it knows in plain values: by symbol, then timeframe."""
        return {
            symbol: {builder.grid.timeframe: builder.dump() for builder in builders}
            for symbol, builders in self._builders.items()
        }

    def restore(self, plain: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from a dump made over the same timeframes; raises BadInput for another."""
        wanted = [grid.timeframe for grid in self.grids]
        for symbol, states in plain.items():
            if sorted(states) != sorted(wanted):
                raise BadInput(f"{symbol}: the dump holds {', '.join(states)}, the grids are {', '.join(wanted)}.")
            for builder in self._add(symbol):
                builder.restore(states[builder.grid.timeframe])

    def _add(self, symbol: str) -> tuple[Builder, ...]:
        builders = tuple(Builder(symbol, grid, self.grace) for grid in self.grids)
        self._builders[symbol] = builders
        return builders
