"""The day of a live run, by the exchange's calendar: what is done when, as a plan that the clock works off.

roll       half an hour before the open: the market stands at the session, splits and dividends are booked
open       the engine is told of the session a moment before: orders may go from its first print on
signals    the minutes of the opening auction are over: targets of the session before are acted upon
close      day orders end, the last fills are booked, the session is settled
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from quaestor import calendar
from quaestor.barring import nanoseconds
from quaestor.ticks import SECOND

Step = Literal["roll", "open", "signals", "close"]
EARLY = 30 * 60 * SECOND
READY = 10 * SECOND  # before the open: its first print is acted upon
LATE = 5 * SECOND  # after the close: its last prints come a moment later


@dataclass(frozen=True, slots=True)
class Day:
    """A session's instants, ns."""

    session: dt.date
    opens: int
    closes: int
    quiet: int  # ns after the open in which nothing is entered

    def due(self, done: frozenset[Step], now: int) -> Step | None:
        """The next step that is due; the steps come in their order, whenever the run began."""
        steps: list[tuple[Step, int]] = [
            ("roll", self.opens - EARLY),
            ("open", self.opens - READY),
            ("signals", self.opens + self.quiet),
            ("close", self.closes + LATE),
        ]
        step, at = next(((step, at) for step, at in steps if step not in done), (None, 0))
        if step is None or now < at:
            return None
        return step

    def trading(self, now: int) -> dt.date | None:
        """The session while orders may go."""
        return self.session if self.opens <= now < self.closes else None


def day_of(now: int, quiet_minutes: int) -> Day:
    """The session that is on, or the next one; a session that is over is its day's until the next rolls."""
    today = dt.datetime.fromtimestamp(now // SECOND, calendar.NEW_YORK).date()
    session = today if calendar.is_session(today) else calendar.next_session(today)
    closes = nanoseconds(calendar.session_close(session))
    if now >= closes + LATE:
        session = calendar.next_session(session)
    return day_for(session, quiet_minutes)


def day_for(session: dt.date, quiet_minutes: int) -> Day:
    """A session's day."""
    opens, closes = (nanoseconds(at) for at in (calendar.session_open(session), calendar.session_close(session)))
    return Day(session, opens, closes, quiet_minutes * 60 * SECOND)
