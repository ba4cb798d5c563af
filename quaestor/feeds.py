"""Feeds: live ticks, and what is known about the line that they come through.

A `Feed` connects, subscribes, hands on batches of ticks and tells of itself; it comes back by itself after a passing
fault, and ends with `FeedRefused` where a person must act. It hands on as fast as it reads. Who cannot always keep up
puts a `Backlog` in between: of what waits there only each symbol's newest quote stays, and every trade; what waits in
the socket is read first, and past a bound the feed is paused, so that the rest waits with the vendor, not in memory.

`Liveness` knows when silence means something: a feed that says nothing in session is told of once, 15 seconds after
its last tick at the latest, and none at night. Times are handed in, in nanoseconds; a clock that jumps begins silence
anew.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal, Protocol

from quaestor import calendar
from quaestor.errors import Permanent, Temporary
from quaestor.ticks import SECOND, QuoteTick, Tick

OnBatch = Callable[[list[Tick]], None]
OnStatus = Callable[["Status"], None]
Hours = Callable[
    [int], tuple[int, int]
]  # of an instant: when the session that it is in, or the next one, opens and closes
MUTE, UNTOLD = 10 * SECOND, 60 * SECOND


class FeedLost(Temporary):
    """The feed's line is lost; it is tried again by itself."""

    def __init__(self, message: str | None = None, pause: float = 0.0) -> None:
        super().__init__(message)
        self.pause = pause  # seconds before which it is of no use to try


class FeedRefused(Permanent):
    """The vendor refuses to feed us; a person must act."""


@dataclass(frozen=True)
class Status:
    """What a feed tells of itself; wait: seconds until it tries again."""

    kind: Literal["connected", "subscribed", "lost", "refused"]
    words: str = ""
    wait: float = 0.0


class Feed(Protocol):
    """A live source of ticks. `counts`: what could not be read, by rule id."""

    name: str
    counts: Counter[str]

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Feed until stopped or cancelled. Raises FeedRefused, and whatever `on_batch` raises."""

    def stop(self) -> None:
        """Let `run` end."""

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols too, now and after each reconnect."""

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols no more."""

    def pause(self) -> None:
        """Read no more for now; what the vendor sends waits on its side."""

    def resume(self) -> None:
        """Read on."""


class Backlog:
    """What a feed has handed on and nobody has taken yet: `add` is its on_batch.

    calm: ticks up to which nothing is conflated; most: ticks from which on the feed is paused. `conflated`: quotes that
    gave way to newer ones.
    """

    BUSY = 256  # ticks that make it worth to look for more in the socket
    TURNS = 64

    def __init__(self, calm: int = 4096, most: int = 1_000_000, feed: Feed | None = None) -> None:
        self.conflated = 0
        self._calm, self._most, self._bound, self._feed = calm, most, calm, feed
        self._held: list[Tick] = []
        self._paused = False
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, ticks: list[Tick]) -> None:
        """Hold these ticks too."""
        self._held += ticks
        if len(self._held) > self._bound:
            self._conflate()
        self._some.set()

    async def take(self) -> list[Tick]:
        """All that is held, at least one tick; waits for it."""
        while not self._held:
            self._some.clear()
            await self._some.wait()
        if len(self._held) >= self.BUSY:
            await self._read_ahead()
        taken, self._held, self._bound = self._held, [], self._calm
        if self._paused and self._feed:
            self._paused = False
            self._feed.resume()
        return taken

    async def _read_ahead(self) -> None:
        """Give the socket its turns while it has more: a quote that is already old is not worth a decision."""
        for _ in range(self.TURNS):
            before = len(self._held) + self.conflated
            await asyncio.sleep(0)  # the loop polls the socket …
            await asyncio.sleep(0)  # … and reads it
            if self._paused or len(self._held) + self.conflated - before < self.BUSY:
                return

    def _conflate(self) -> None:
        seen: set[str] = set()
        kept: list[Tick] = []
        for tick in reversed(self._held):
            if type(tick) is QuoteTick:
                if tick.symbol in seen:
                    continue
                seen.add(tick.symbol)
            kept.append(tick)
        kept.reverse()
        self.conflated += len(self._held) - len(kept)
        self._held, self._bound = kept, max(self._calm, 2 * len(kept))
        if len(kept) > self._most and self._feed and not self._paused:
            self._paused = True
            self._feed.pause()


def _between(opens: Callable[[dt.date], dt.datetime], closes: Callable[[dt.date], dt.datetime]) -> Hours:
    def hours(now: int) -> tuple[int, int]:
        day = dt.datetime.fromtimestamp(now / SECOND, calendar.NEW_YORK).date()
        if not calendar.is_session(day) or now >= _nanoseconds(closes(day)):
            day = calendar.next_session(day)
        return _nanoseconds(opens(day)), _nanoseconds(closes(day))

    return hours


def _nanoseconds(instant: dt.datetime) -> int:
    return int(instant.timestamp()) * SECOND


regular = _between(calendar.session_open, calendar.session_close)
extended = _between(calendar.premarket_start, calendar.postmarket_end)


def always(now: int) -> tuple[int, int]:  # noqa: ARG001 - as the other hours
    """The hours of a market that never closes."""
    return 0, 1 << 63


@dataclass(frozen=True)
class Alert:
    """Silence that a person should know of, or its end; symbols: which of them, () for the whole feed."""

    kind: Literal["mute", "stale", "back"]
    words: str
    symbols: tuple[str, ...] = ()


class Liveness:
    """How long a feed and its symbols have been silent. Ask `check` about once a second.

    mute: silence of the whole feed, stale: of one symbol (nanoseconds), that are told of; hours: when it counts.
    """

    def __init__(
        self, symbols: Iterable[str] = (), *, mute: int = MUTE, stale: int = UNTOLD, hours: Hours = regular
    ) -> None:
        self._mute, self._stale, self._hours = mute, stale, hours
        self._seen: dict[str, int] = dict.fromkeys(symbols, 0)
        self._told: set[str] = set()
        self._muted = False
        self._last = self._began = self._silent_since = 0
        self._checked = self._reckoned = -1
        self._session = (0, 0)

    def watch(self, symbols: Iterable[str]) -> None:
        """Expect these symbols too."""
        for symbol in symbols:
            self._seen.setdefault(symbol, max(self._checked, 0))

    def forget(self, symbols: Iterable[str]) -> None:
        """Expect these symbols no more."""
        for symbol in symbols:
            self._seen.pop(symbol, None)
            self._told.discard(symbol)

    def heard(self, ticks: Sequence[Tick], now: int) -> None:
        """A batch has come, at `now` by our own clock."""
        if ticks:
            self._last = now
            self._seen.update(dict.fromkeys(map(_symbol, ticks), now))

    def open(self, now: int) -> bool:
        """Whether the session is on: what a feed's door asks before it takes silence for a fault."""
        if not self._reckoned <= now < self._session[1]:
            self._session, self._reckoned = self._hours(now), now
        return self._session[0] <= now

    def age(self, symbol: str, now: int) -> int | None:
        """Nanoseconds since a symbol was heard of; None: never."""
        return max(0, now - seen) if (seen := self._seen.get(symbol)) else None

    def check(self, now: int) -> list[Alert]:
        """What is to be told now, each silence once."""
        if not 0 <= now - self._checked <= self._mute:  # nobody looked, or the clock jumped
            self._began = now
        self._checked = now
        if not self.open(now):
            self._muted = False
            self._told.clear()
            return []
        return self._feed(now) if self._muted or self._silence(self._last, now) > self._mute else self._symbols(now)

    def _silence(self, last: int, now: int) -> int:
        return now - max(self._session[0], self._began, last if last <= now else 0)

    def _feed(self, now: int) -> list[Alert]:
        if self._muted:
            if self._last == self._silent_since:
                return []
            self._muted = False
            return [Alert("back", "Ticks come again.")]
        self._muted, self._silent_since = True, self._last
        return [Alert("mute", f"No tick for {self._silence(self._last, now) / SECOND:.0f} s in session.")]

    def _symbols(self, now: int) -> list[Alert]:
        silent = {each for each, last in self._seen.items() if self._silence(last, now) > self._stale}
        found = [
            ("stale", silent - self._told, f"No tick for {self._stale / SECOND:.0f} s in session:"),
            ("back", self._told - silent, "Ticks come again:"),
        ]
        self._told = silent
        return [Alert(kind, f"{words} {_named(who)}.", tuple(sorted(who))) for kind, who, words in found if who]  # type: ignore[arg-type]


def _named(symbols: set[str]) -> str:
    shown = sorted(symbols)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


_symbol = attrgetter("symbol")
