"""Exchange sessions (law 7: a "day" is a session; times inside are UTC).

`days` knows which days are sessions, `hours` when each of them opens and closes, `stamps` puts whole columns of
instants into sessions, `settlement` when the money of a session's trades moves. All read one table, built from
`exchange_calendars` at the first question: importing this package costs nothing.

The hours are New York's: premarket from 04:00, the session from 09:30 to 16:00, postmarket to 20:00; on a half-day the
session ends at 13:00 and the postmarket at 17:00. In UTC they move with daylight saving: a session opens at 14:30 in
winter and at 13:30 in summer.
"""

from quaestor.calendar.days import (
    EXCHANGE,
    FIRST,
    LAST,
    NEW_YORK,
    is_session,
    next_session,
    previous_session,
    sessions,
    why_closed,
)
from quaestor.calendar.hours import (
    Kind,
    closes,
    ends,
    expected,
    is_half_day,
    kind,
    minutes,
    postmarket_end,
    premarket_start,
    schedule,
    session_close,
    session_open,
)
from quaestor.calendar.settlement import settles
from quaestor.calendar.stamps import PHASES, hours_of, stamp

__all__ = [
    "EXCHANGE",
    "FIRST",
    "LAST",
    "NEW_YORK",
    "PHASES",
    "Kind",
    "closes",
    "ends",
    "expected",
    "hours_of",
    "is_half_day",
    "is_session",
    "kind",
    "minutes",
    "next_session",
    "postmarket_end",
    "premarket_start",
    "previous_session",
    "schedule",
    "session_close",
    "session_open",
    "sessions",
    "settles",
    "stamp",
    "why_closed",
]
