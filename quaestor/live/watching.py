"""How a live run is watched: what follows from what is seen of it, decided without doing it.

A watcher is a window and a remote control, never a writer of orders: it may come late, twice, or not at all, and the
run goes on. What it does, it does about processes: start a runner where none lives, and say so when that is no use.

    armed      unless somebody said otherwise since the last session closed: that stays until the next one
    alive      a beat within HEARTBEAT on the database's clock; nothing to do
    lost       no beat, seen so for GRACE (at once, where its process was ours and is gone): the runner is started
               (again), after a pause that grows, MOST_STARTS times in all
    settled    the session's books are closed: the watch ends well
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quaestor import calendar
from quaestor.ports_live import Desired, Happening

HEARTBEAT = dt.timedelta(seconds=30)
GRACE = 5.0  # seconds that a runner is given when it was not seen alive: after an outage it beats again first
STARTING = 600.0  # seconds from a start to the first beat: it may have to wait for the account's lease
PAUSES = (0.0, 2.0, 5.0, 15.0, 30.0, 60.0)  # seconds before each start, from the one before it
MOST_STARTS = len(PAUSES)  # the first and five more
SETTLING = dt.timedelta(hours=2)  # after the close; then somebody must look
MONEY = frozenset({"equity", "cash"})
PER_SECOND = 20  # happenings shown one by one; what is more is summed up

# What a person wants to see before all else, where not everything can be shown.
KINDS = ("halt", "alert", "reconnect", "settled", "firing", "fill", "order", "signal", "refusal")


@dataclass(frozen=True)
class Watched:
    """The session that is watched, with its hours (on a half-day it closes at 13:00 New York)."""

    session: dt.date
    opens: dt.datetime
    closes: dt.datetime

    def progress(self, now: dt.datetime) -> float:
        """How much of it is over, percent."""
        share = (now - self.opens) / (self.closes - self.opens)
        return 100.0 * min(max(share, 0.0), 1.0)


def today(now: dt.datetime) -> dt.date:
    """The day in New York."""
    return now.astimezone(calendar.NEW_YORK).date()


def session_at(now: dt.datetime) -> Watched | None:
    """The session of that day in New York; None where there is none."""
    day = today(now)
    if not calendar.is_session(day):
        return None
    return Watched(day, calendar.session_open(day), calendar.session_close(day))


def last_close(now: dt.datetime) -> dt.datetime:
    """When the newest session that is over closed."""
    day = calendar.previous_session(today(now) + dt.timedelta(days=1))
    close = calendar.session_close(day)
    return close if close <= now else calendar.session_close(calendar.previous_session(day))


def is_to_arm(desired: Desired, now: dt.datetime) -> bool:
    """Whether a new session's watch says `armed`: what was said since the last close stays, whoever said it."""
    return desired.state != "armed" and desired.at <= last_close(now)


# ── what to do ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Sight:
    """What is seen at a moment; durations in seconds.

    alive: somebody's runner beats; running: the process that we started lives; starts: of ours so far; started: since
    the newest of them; lost: since when no beat was seen; seen: whether one ever was; beaten: since the newest start;
    ours: whether we may start one.
    """

    now: dt.datetime
    watched: Watched
    desired: Desired
    alive: bool
    running: bool
    settled: bool
    starts: int
    started: float
    lost: float
    seen: bool
    beaten: bool
    ours: bool


@dataclass(frozen=True)
class Look:
    """Nothing to do but to look again."""


@dataclass(frozen=True)
class Start:
    """Start a runner, in the place of one that hangs; `again`: a person is told that one was lost."""

    again: bool


@dataclass(frozen=True)
class Done:
    """The watch ends well."""

    said: str


@dataclass(frozen=True)
class GiveUp:
    """The watch ends, and a person must act."""

    cure: str


Step = Look | Start | Done | GiveUp


def next_step(sight: Sight) -> Step:  # noqa: PLR0911  # a case, an answer
    """What follows from what is seen."""
    day, over = sight.watched.session, sight.now >= sight.watched.closes
    if sight.settled:
        return Done(f"{day}: settled")
    if sight.now >= sight.watched.closes + SETTLING:
        return GiveUp(
            f"{day} closed {_hours(SETTLING)} ago and is not settled. See `quaestor live status` and its log."
        )
    if sight.alive:
        return Look()
    if sight.desired.state == "stopped" and not sight.running:
        return Done(f"{day}: stopped by {sight.desired.by or 'nobody'} ({sight.desired.reason or 'no reason given'})")
    if over and not sight.seen and not sight.starts:
        return Done(f"{day} was over before it was watched, and no runner lives")
    if sight.running and not sight.beaten and sight.started < STARTING:
        return Look()
    return _start(sight)


def _start(sight: Sight) -> Step:
    """No beat, and none on its way."""
    if (sight.seen or sight.starts) and sight.lost < GRACE:
        return Look()
    if not sight.ours:
        return Look()  # a supervisor elsewhere starts it; a person was told
    if sight.starts >= MOST_STARTS:
        return GiveUp(
            f"The runner ended {sight.starts} times. Correct what its log says, then run `live/session` again."
        )
    if sight.started < PAUSES[sight.starts]:
        return Look()
    return Start(again=sight.seen or sight.starts > 0)


def _hours(span: dt.timedelta) -> str:
    return f"{span.total_seconds() / 3600:g} h"


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────────────


def settles(day: dt.date, happenings: Sequence[Happening], facts: Mapping[str, Any]) -> bool:
    """Whether the session's books are closed, by a happening or by what the runner says of itself."""
    named = (one.body.get("session", one.subject) for one in happenings if one.kind == "settled")
    return day.isoformat() in {str(name) for name in named} | {str(facts.get("settled"))}


@dataclass(frozen=True)
class Many:
    """Happenings that are not shown one by one: how many of each kind, and their first and last number."""

    kinds: Mapping[str, int]
    first: int
    last: int


class Meter:
    """So much is shown in a second; of the rest, what matters most comes first."""

    def __init__(self, per_second: int = PER_SECOND) -> None:
        self._most = per_second
        self._left = float(per_second)
        self._at = 0.0

    def portion(self, happenings: Sequence[Happening], at: float) -> tuple[list[Happening], Many | None]:
        """Those to be shown now, in their order, and the others in sum; `at`: seconds on any clock that only grows."""
        self._left = min(self._most, self._left + (at - self._at) * self._most)
        self._at = at
        room = int(self._left)
        if len(happenings) > room:
            room = max(room - 1, 0)  # the sum is one, too
        chosen = sorted(sorted(happenings, key=_rank)[:room], key=lambda one: one.number)
        shown = {one.number for one in chosen}
        rest = [one for one in happenings if one.number not in shown]
        self._left -= len(chosen) + bool(rest)
        return chosen, _many(rest)


def _many(rest: Sequence[Happening]) -> Many | None:
    if not rest:
        return None
    return Many(dict(Counter(one.kind for one in rest)), rest[0].number, rest[-1].number)


def _rank(happening: Happening) -> int:
    return KINDS.index(happening.kind) if happening.kind in KINDS else len(KINDS)


def figures(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A runner's facts as a person reads them."""
    return [(name.replace("_", " "), _said(name, value)) for name, value in facts.items()]


def _said(name: str, value: Any) -> str:
    if value is None or value in ("", {}, []):
        return "–"
    if name in MONEY:
        return f"{Decimal(value):,.2f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{each} {_said('', part)}" for each, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_said("", part) for part in value)
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
