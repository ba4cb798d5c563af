"""When tokens are changed for new ones: in the quiet before an open, so that a broken chain leaves a person time.

    issued ─────────── half ────────────── 24 h before the end ──── end
             leave it       the next quiet window      the last one

A quiet window goes from `[robinhood] refresh_at` (New York) after a close until two hours before the next open; the
whole weekend is one. While orders work, the change waits for the next window, as long as one comes in time. Where the
token would end before a window comes, it is changed as soon as half of its life is over, and a person hears of it.
A token that the broker refuses is changed at once, but never within 20 s of the last time.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from quaestor import calendar

BEFORE_OPEN = dt.timedelta(hours=2)
RESERVE = dt.timedelta(hours=24)  # of life that is left for a person, where it can be
MARGIN = dt.timedelta(minutes=30)  # before its end a token counts as ended: clocks differ
PAUSE = dt.timedelta(seconds=20)  # between two changes, whatever is refused
SUSPECT = dt.timedelta(minutes=10)  # a token that is refused so soon is no accident

Why = Literal["half", "working orders", "ends early", "refused"]


@dataclass(frozen=True)
class Life:
    """From when to when a token lives, aware UTC."""

    began: dt.datetime
    ends: dt.datetime

    @property
    def half(self) -> dt.datetime:
        """From then on it is changed."""
        return self.began + (self.ends - self.began) / 2

    @property
    def reserve(self) -> dt.datetime:
        """By then it should have been changed."""
        return max(self.ends - RESERVE, self.half)


@dataclass(frozen=True)
class Due:
    """When tokens are to be changed, and why then; `alert`: a person should hear that it is no good time."""

    at: dt.datetime
    why: Why
    alert: bool = False


@dataclass(frozen=True)
class Window:
    """A quiet time, from `start` on and before `end`; aware UTC."""

    start: dt.datetime
    end: dt.datetime


def due(life: Life, now: dt.datetime, refresh_at: dt.time, *, working: bool = False) -> Due:
    """When a token is to be changed, seen from now. working: whether orders are working."""
    eligible = max(now, life.half)
    first = _first(eligible, refresh_at)
    at = max(eligible, first.start)
    if at >= life.ends - MARGIN:
        return Due(eligible, "ends early", alert=True)
    if not working or at > now:
        return Due(at, "half")
    later = _first(first.end, refresh_at)
    if later.start <= life.reserve:
        return Due(later.start, "half")
    return Due(at, "working orders", alert=True)


def refused(now: dt.datetime, last: dt.datetime | None) -> Due:
    """When a token that the broker refuses is to be changed; `last`: when it was made out of another one."""
    at = max(now, last + PAUSE) if last is not None and last <= now else now
    return Due(at, "refused", alert=last is not None and dt.timedelta() <= now - last < SUSPECT)


def quiet(moment: dt.datetime, refresh_at: dt.time) -> bool:
    """Whether that moment is in a quiet window."""
    return _first(moment, refresh_at).start <= moment


def _first(moment: dt.datetime, refresh_at: dt.time) -> Window:
    """The first window that is not over at that moment."""
    day = moment.astimezone(calendar.NEW_YORK).date() + dt.timedelta(days=1)
    session = calendar.previous_session(day)  # of today, or the last one
    while True:
        before = calendar.previous_session(session)
        window = _window(before, session, refresh_at)
        if moment < window.end:
            return window
        session = calendar.next_session(session)


def _window(closed: dt.date, opens: dt.date, refresh_at: dt.time) -> Window:
    """Between two sessions; an hour at least, where `refresh_at` lies too near the open for more."""
    close, end = calendar.session_close(closed), calendar.session_open(opens) - BEFORE_OPEN
    start = dt.datetime.combine(close.astimezone(calendar.NEW_YORK).date(), refresh_at, calendar.NEW_YORK)
    if start < close:
        start += dt.timedelta(days=1)
    return Window(min(start.astimezone(dt.UTC), end - dt.timedelta(hours=1)), end)
