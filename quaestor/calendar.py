"""Exchange sessions (law 7: a "day" is a session; times inside are UTC).

A thin, lazy face on `exchange_calendars`: its XNYS calendar knows holidays, half-days and one-off closures
(the hurricane of October 2012 among them).
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

_building = threading.Lock()  # history is read in threads; the calendar is built once


def _calendar() -> Any:
    with _building:
        return _built()


@lru_cache(maxsize=1)
def _built() -> Any:
    import exchange_calendars

    with warnings.catch_warnings():
        # exchange_calendars 4.13 on pandas 3.1 drops a time zone the old way while it builds; the instants are right.
        warnings.filterwarnings("ignore", "Series.values returning", DeprecationWarning)
        return exchange_calendars.get_calendar(EXCHANGE, start=FIRST.isoformat())


@lru_cache(maxsize=1)
def _days() -> tuple[dt.date, ...]:
    """All sessions of the calendar, oldest first: looked up many times in a replay."""
    return tuple(_calendar().sessions.date)


def _bounds() -> tuple[dt.date, dt.date]:
    return _days()[0], _days()[-1]


def sessions(start: dt.date, end: dt.date) -> list[dt.date]:
    """All sessions in [start, end], oldest first."""
    return list(_days()[bisect_left(_days(), start) : bisect_right(_days(), end)])


def is_session(day: dt.date) -> bool:
    """Whether the exchange trades on that day."""
    return bool(sessions(day, day))


def next_session(day: dt.date) -> dt.date:
    """The first session after `day` (which need not be a session); raises BadInput outside the calendar."""
    return _beside(day, +1, "next")


def previous_session(day: dt.date) -> dt.date:
    """The last session before `day` (which need not be a session); raises BadInput outside the calendar."""
    return _beside(day, -1, "previous")


def session_open(day: dt.date) -> dt.datetime:
    """The opening of a session, UTC."""
    _require(day)
    opened: dt.datetime = _calendar().session_open(day.isoformat()).to_pydatetime()
    return opened.astimezone(dt.UTC)


def session_close(day: dt.date) -> dt.datetime:
    """The close of a session, UTC (13:00 New York on a half-day)."""
    _require(day)
    closed: dt.datetime = _calendar().session_close(day.isoformat()).to_pydatetime()
    return closed.astimezone(dt.UTC)


def closes(start: dt.date, end: dt.date) -> pl.DataFrame:
    """Columns session (date) and ts (close, UTC) for each session in [start, end]; to stamp daily bars at once."""
    import polars as pl

    days = sessions(start, end)
    schema: dict[str, pl.DataType] = {"session": pl.Date(), "ts": pl.Datetime("us", "UTC")}
    if not days:
        return pl.DataFrame(schema=schema)
    window = _calendar().closes.loc[days[0].isoformat() : days[-1].isoformat()]
    stamps = [stamp.to_pydatetime() for stamp in window]
    return pl.DataFrame({"session": days, "ts": stamps}, schema=schema)


def why_closed(day: dt.date) -> str:
    """Why a day that is no session is none, as a clause for an error: "2012-10-29 is no session of XNYS …"."""
    first, last = _bounds()
    if not first <= day < last:
        return f"{day} is outside the {EXCHANGE} calendar ({first} … {last})"
    return f"{day} is no session of {EXCHANGE} (the next one is {next_session(day)})"


def _require(day: dt.date) -> None:
    if not is_session(day):
        raise BadInput(f"{why_closed(day)}; choose a session.")


def _beside(day: dt.date, step: int, direction: str) -> dt.date:
    first, last = _bounds()
    if not first <= day + dt.timedelta(days=step) <= last:
        raise BadInput(f"The {direction} session of {day} is outside the {EXCHANGE} calendar ({first} … {last}).")
    return _days()[bisect_right(_days(), day) if step > 0 else bisect_left(_days(), day) - 1]
