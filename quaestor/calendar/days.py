"""Which days are sessions, and which sessions stand beside a day.

A thin, lazy face on `exchange_calendars`: its XNYS calendar knows holidays, half-days and one-off closures
(the hurricane of October 2012 among them). It ends at a fixed day, not "a year from today": the same question has the
same answer whenever it is asked. The exchange publishes its holidays three years ahead; what lies beyond follows the
rules.
"""

from __future__ import annotations

import datetime as dt
import threading
import warnings
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from quaestor.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

NEW_YORK = ZoneInfo("America/New_York")
EXCHANGE = "XNYS"
FIRST = dt.date(1962, 1, 2)  # where the vendors' daily histories begin
LAST = dt.date(2035, 12, 31)  # ten years more cost 10 ms to build

_building = threading.Lock()  # history is read in threads; the calendar is built once


def table() -> pl.DataFrame:
    """Every session with its opening and close, UTC: what all answers are read from."""
    with _building:
        return _built()


@lru_cache(maxsize=1)
def _built() -> pl.DataFrame:
    import polars as pl

    exchange = _exchange()
    instant = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        {
            "session": pl.Series(list(exchange.sessions.date), dtype=pl.Date),
            "opens": pl.Series(exchange.opens_nanos // 1000).cast(instant),
            "closes": pl.Series(exchange.closes_nanos // 1000).cast(instant),
        }
    )


def _exchange() -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        # exchange_calendars 4.13 on pandas 3.1 drops a time zone the old way while it builds; the instants are right.
        warnings.filterwarnings("ignore", "Series.values returning", DeprecationWarning)
        return exchange_calendars.get_calendar(EXCHANGE, start=FIRST.isoformat(), end=LAST.isoformat())


@lru_cache(maxsize=1)
def days() -> tuple[dt.date, ...]:
    """All sessions of the calendar, oldest first: looked up many times in a replay."""
    return tuple(table()["session"])


def _bounds() -> tuple[dt.date, dt.date]:
    return days()[0], days()[-1]


def sessions(start: dt.date, end: dt.date) -> list[dt.date]:
    """All sessions in [start, end], oldest first."""
    return list(days()[bisect_left(days(), start) : bisect_right(days(), end)])


def is_session(day: dt.date) -> bool:
    """Whether the exchange trades on that day."""
    return bool(sessions(day, day))


def next_session(day: dt.date) -> dt.date:
    """The first session after `day` (which need not be a session); raises BadInput outside the calendar."""
    return _beside(day, +1, "next")


def previous_session(day: dt.date) -> dt.date:
    """The last session before `day` (which need not be a session); raises BadInput outside the calendar."""
    return _beside(day, -1, "previous")


def place(day: dt.date) -> int:
    """The row of a session in `table()`; raises BadInput for a day that is none."""
    if not is_session(day):
        raise BadInput(f"{why_closed(day)}; choose a session.")
    return bisect_left(days(), day)


def why_closed(day: dt.date) -> str:
    """Why a day that is no session is none, as a clause for an error: "2012-10-29 is no session of XNYS …"."""
    first, last = _bounds()
    if not first <= day < last:
        return f"{day} is outside the {EXCHANGE} calendar ({first} … {last})"
    return f"{day} is no session of {EXCHANGE} (the next one is {next_session(day)})"


def _beside(day: dt.date, step: int, direction: str) -> dt.date:
    first, last = _bounds()
    if not first <= day + dt.timedelta(days=step) <= last:
        raise BadInput(f"The {direction} session of {day} is outside the {EXCHANGE} calendar ({first} … {last}).")
    return days()[bisect_right(days(), day) if step > 0 else bisect_left(days(), day) - 1]
