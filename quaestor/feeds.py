"""Feeds: what is told of live ticks' lines, and when their silence means something.

A feed (`ports_live.Feed`) connects, subscribes, hands on batches of ticks and tells of itself; it comes back by itself
after a passing fault, and ends with `FeedRefused` where a person must act. What cannot be read is counted by rule id,
and costs nothing else.

`Liveness` knows when silence means something: a feed that says nothing in session is told of once, 15 seconds after
its last tick at the latest, and none at night. Times are handed in, in nanoseconds; a clock that jumps begins silence
anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from quaestor import calendar
from quaestor.errors import Permanent, Temporary
from quaestor.ticks import SECOND, Tick

OnBatch = Callable[[list[Tick]], None]
OnStatus = Callable[["Status"], None]
Hours = Callable[
    [int], tuple[int, int]
]  # of an instant: when the session that it is in, or the next one, opens and closes
MUTE, UNTOLD = 10 * SECOND, 60 * SECOND
UNREADABLE, UNUSABLE = "frame-malformed", "message-malformed"
UNKNOWN_TYPE, NO_TICK = "message-unknown-type", "message-no-tick"
RULES: Mapping[str, str] = {
    UNREADABLE: "a frame that is not of the vendor's form",
    UNUSABLE: "a message in it that lacks something, or has it in another form",
    UNKNOWN_TYPE: "a message of a kind that nobody knows",
    NO_TICK: "a message of a known kind that nobody asked for",
}


class FeedLost(Temporary):
    """The feed's line is lost; it is tried again by itself."""

    def __init__(self, message: str | None = None, *, full: bool = False) -> None:
        super().__init__(message)
        self.full = full  # the vendor takes no more connections for now: it is of no use to try at once


class FeedRefused(Permanent):
    """The vendor refuses to feed us; a person must act."""


@dataclass(frozen=True)
class Status:
    """What a feed tells of itself; note: the line stands, but; wait: seconds until it tries again."""

    kind: Literal["connected", "subscribed", "note", "lost", "refused"]
    words: str = ""
    wait: float = 0.0


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
