"""Series: numbers that leaves watch, each with the nearest values at which anything can change.

Whoever watches a series says between which values nothing changes for it. The upper ends are a heap, the lower ends
another; a value between the tops of both concerns nobody. A watcher that is woken says anew where it sleeps; its old
entries are known by their stamp and dropped when they are met, or when they are the greater part.

A *track* is one symbol's accepted price: a print further than `band` from the last accepted one is held back until a
second print near it confirms it. Any two prices within band / (2 + band) of one anchor lie within the band of each
other: while prices stay there, no print need be judged, and the last of them is simply the last.

**Trailing stops** move with every new high, each its own level. Those with the same mark move together: a *group* is
one watcher for all of them, and groups that come to the same mark become one, the smaller moving into the larger.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from quaestor.ticks import Tick, TradeTick

if TYPE_CHECKING:
    from quaestor.triggers.trigger import Trigger

INF = math.inf
_turns = count()  # breaks ties in heaps; no answer depends on it


class Sleeper(Protocol):
    """Whoever watches a series; entries of an older stamp mean nothing."""

    stamp: int

    def wake(self, value: float, woken: list[Any]) -> None:
        """Its series has come to a value at which something changes."""
        ...


Entry = tuple[float, int, int, Any]


class Heap:
    """Ends of intervals, nearest first; stale entries are dropped."""

    __slots__ = ("entries", "room")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.room = 64

    def push(self, level: float, who: Sleeper) -> None:
        """An end at which `who` wakes up, if its stamp is still the same."""
        heapq.heappush(self.entries, (level, next(_turns), who.stamp, who))
        if len(self.entries) > self.room:
            self.entries = [entry for entry in self.entries if entry[3].stamp == entry[2]]
            heapq.heapify(self.entries)
            self.room = 2 * len(self.entries) + 64

    def nearest(self) -> float:
        """The first end that counts; infinity where there is none."""
        entries = self.entries
        while entries and entries[0][3].stamp != entries[0][2]:
            heapq.heappop(entries)
        return entries[0][0] if entries else INF

    def pop(self) -> Any:
        """Whose end that is."""
        return heapq.heappop(self.entries)[3]


class Series:
    """A number that changes, and who watches it. `restless`: who must see its next value, whatever it is."""

    __slots__ = ("downs", "restless", "ups", "users", "value")

    def __init__(self) -> None:
        self.value: float | None = None
        self.ups, self.downs = Heap(), Heap()
        self.restless: list[tuple[int, Sleeper]] = []
        self.users = 0

    def sleep(self, who: Sleeper, low: float, high: float) -> None:
        """`who` need not be shown values strictly between low and high."""
        if high < INF:
            self.ups.push(high, who)
        if low > -INF:
            self.downs.push(-low, who)

    def show_next(self, who: Sleeper) -> None:
        """`who` must see the next value."""
        self.restless.append((who.stamp, who))

    def wake(self, value: float, woken: list[Any]) -> None:
        """Takes the value, and wakes whom it concerns, each once."""
        self.value = value
        if self.restless:
            restless, self.restless = self.restless, []
            for stamp, who in restless:
                if who.stamp == stamp:
                    who.wake(value, woken)
        while self.ups.nearest() <= value:
            self.ups.pop().wake(value, woken)
        while self.downs.nearest() <= -value:
            self.downs.pop().wake(value, woken)


class Track(Series):
    """A symbol's accepted price, dollars; `source` trade, bid, ask or mid; `band` in percent of the last one."""

    __slots__ = ("at", "band", "derived", "groups", "held", "source", "symbol", "watch")

    def __init__(self, watch: Watch, source: str, band: float) -> None:
        super().__init__()
        self.watch, self.symbol, self.source, self.band = watch, watch.symbol, source, band
        self.at = 0  # of the last accepted tick, ns
        self.held: float | None = None
        self.derived: list[Any] = []
        self.groups: dict[float, Group] = {}

    def sleep(self, who: Sleeper, low: float, high: float) -> None:
        """See `Series`; the symbol's watch narrows."""
        super().sleep(who, low, high)
        self.watch.lo, self.watch.hi = max(self.watch.lo, low), min(self.watch.hi, high)

    def show_next(self, who: Sleeper) -> None:
        """See `Series`; the symbol's watch lets nothing pass."""
        super().show_next(who)
        self.watch.lo = INF

    def accept(self, price: float, at: int) -> bool:
        """Whether the print is believed: near the last accepted one, or near the one held back just before."""
        last, held = self.value, self.held
        near = last is None or abs(price - last) <= self.band / 100 * last
        if not near and (held is None or abs(price - held) > self.band / 100 * held):
            self.held = price
            return False
        self.value, self.at, self.held = price, at, None
        return True

    def trail(self, who: Any, mark: float) -> None:
        """Joins those whose high-water mark is the same."""
        group = self.groups.get(mark)
        if group is None:
            group = self.groups[mark] = Group(self, mark)
        group.join(who)
        group.settle()

    def quiet(self) -> tuple[float, float]:
        """Between which prices nothing changes, and every print is believed."""
        if self.value is None or self.restless or self.derived:
            return INF, -INF
        reach = self.value * self.band / (200 + self.band) * 0.999
        low, high = -self.downs.nearest(), self.ups.nearest()
        return max(low, self.value - reach), min(high, self.value + reach)


class Group:
    """Trailing stops on one track with one high-water mark: by percent and by dollars, the tightest first."""

    __slots__ = ("by", "mark", "stamp", "track")

    def __init__(self, track: Track, mark: float) -> None:
        self.track, self.mark, self.stamp = track, mark, 0
        self.by = (Heap(), Heap())

    def join(self, who: Any) -> None:
        """A trigger whose only condition is a trailing stop."""
        who.group = self
        dollars = who.trails.percent is None
        self.by[dollars].push(who.trails.dollars if dollars else who.trails.percent, who)

    def settle(self) -> None:
        """Sleeps between its highest stop and its mark; ends when nobody is left."""
        self.stamp += 1
        stops = [heap.entries[0][3].trails.stop(self.mark) for heap in self.by if heap.nearest() < INF]
        if stops:
            self.track.sleep(self, max(stops), math.nextafter(self.mark, INF))
        elif self.track.groups.get(self.mark) is self:
            del self.track.groups[self.mark]

    def wake(self, value: float, woken: list[Any]) -> None:
        """A new high: all marks rise. Or a stop is reached: those who wait for it are woken."""
        if value > self.mark:
            self._rise(value)
            return
        for heap in self.by:
            while heap.nearest() < INF and value <= heap.entries[0][3].trails.stop(self.mark):
                heap.pop().wake(value, woken)
        self.settle()

    def _rise(self, mark: float) -> None:
        groups = self.track.groups
        del groups[self.mark]
        small, large = self, groups.get(mark, self)
        if large is not self and sum(len(h.entries) for h in large.by) < sum(len(h.entries) for h in self.by):
            small, large = large, self
        if small is not large:
            for heap in small.by:
                for _, _, stamp, who in heap.entries:
                    if who.stamp == stamp:
                        large.join(who)
            small.stamp += 1
        large.mark = mark
        groups[mark] = large
        large.settle()


class Watch:
    """All tracks of a symbol's trades, or of its quotes, behind two bounds: between them a tick is only kept."""

    __slots__ = ("hi", "lo", "symbol", "tick", "tracks")

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self.lo, self.hi = INF, -INF
        self.tick: Tick | None = None  # the last quiet one, which the tracks have not been told yet
        self.tracks: list[Track] = []

    def tell(self) -> None:
        """The tracks learn the last quiet tick."""
        if (tick := self.tick) is not None:
            self.tick = None
            for track in self.tracks:
                track.value, track.at, track.held = price_of(tick, track.source), tick.at, None

    def bound(self) -> None:
        """Its bounds are the narrowest of its tracks."""
        lows, highs = zip(*(track.quiet() for track in self.tracks), strict=True)
        self.lo, self.hi = max(0.0, *lows), min(highs)


class Watcher:
    """A trigger in the book: its latch, the series of its leaves, the tracks whose ticks must be fresh."""

    __slots__ = ("group", "latch", "leaves", "series", "stamp", "tracks", "trails", "trigger")

    def __init__(self, trigger: Trigger, latch: Any, series: list[Any], tracks: list[Track]) -> None:
        self.trigger, self.latch, self.series, self.tracks = trigger, latch, series, tracks
        self.leaves = trigger.condition.leaves()
        self.trails = trigger.trails
        self.stamp = 0
        self.group: Group | None = None

    def wake(self, _: float, woken: list[Any]) -> None:
        """It must be judged; until then it watches nothing."""
        self.keep_mark()
        self.stamp += 1
        woken.append(self)

    def keep_mark(self) -> None:
        """Its latch learns the mark of its group, which it leaves."""
        if self.group is not None:
            self.latch.memory, self.group = [self.group.mark], None


def price_of(tick: Tick, source: str) -> float:
    """The price that a track follows, dollars."""
    if isinstance(tick, TradeTick):
        return tick.price
    return READ[source](tick.bid, tick.ask)


READ: dict[str, Callable[[float, float], float]] = {
    "bid": lambda bid, _: bid,
    "ask": lambda _, ask: ask,
    "mid": lambda bid, ask: (bid + ask) / 2,
}
