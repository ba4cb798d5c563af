"""When a session opens and closes, how long it is, and how many bars it should have.

Before 1993 a half-day ended at 14:00. Extended hours are today's (04:00 to 20:00, on half-days to 17:00) for every
session of the calendar: the early ones had none, and nobody sold bars of them.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from quaestor.bars import DAILY, SECONDS
from quaestor.calendar import days
from quaestor.calendar.days import NEW_YORK
from quaestor.errors import NotFound

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["full", "half", "closed"]

PREMARKET = dt.timedelta(hours=4)  # after midnight in New York
POSTMARKET = dt.timedelta(hours=4)  # after the close, on half-days too
FULL = 390  # minutes


@lru_cache(maxsize=1)
def _hours() -> pl.DataFrame:
    import polars as pl

    midnight = pl.col("session").cast(pl.Datetime("us"))
    premarket = (midnight + PREMARKET).dt.replace_time_zone(NEW_YORK.key).dt.convert_time_zone("UTC")
    return days.table().select(
        "session",
        premarket.alias("premarket"),
        "opens",
        "closes",
        postmarket=pl.col("closes") + POSTMARKET,
        minutes=(pl.col("closes") - pl.col("opens")).dt.total_minutes(),
    )


def schedule(start: dt.date, end: dt.date) -> pl.DataFrame:
    """The sessions in [start, end]: session, premarket (from), opens, closes, postmarket (until; UTC), minutes."""
    import polars as pl

    return _hours().filter(pl.col("session").is_between(start, end))


def closes(start: dt.date, end: dt.date) -> pl.DataFrame:
    """Columns session (date) and ts (close, UTC) for each session in [start, end]; to stamp daily bars at once."""
    return schedule(start, end).select("session", ts="closes")


def session_open(day: dt.date) -> dt.datetime:
    """The opening of a session, UTC."""
    return _instant(day, "opens")


def session_close(day: dt.date) -> dt.datetime:
    """The close of a session, UTC (13:00 New York on a half-day)."""
    return _instant(day, "closes")


def premarket_start(day: dt.date) -> dt.datetime:
    """When trading before the session begins, UTC (04:00 New York)."""
    return _instant(day, "premarket")


def postmarket_end(day: dt.date) -> dt.datetime:
    """When trading after the session ends, UTC (20:00 New York, 17:00 on a half-day)."""
    return _instant(day, "postmarket")


@lru_cache(maxsize=1 << 14)  # a gate asks for the same two a hundred times a second
def _instant(day: dt.date, name: str) -> dt.datetime:
    instant: dt.datetime = _hours()[name][days.place(day)]
    return instant.astimezone(dt.UTC)


def minutes(day: dt.date) -> int:
    """How many minutes a session lasts: 390, 210 on a half-day."""
    return int(_hours()["minutes"][days.place(day)])


def is_half_day(day: dt.date) -> bool:
    """Whether the session of that day ends early; False where there is none."""
    return kind(day) == "half"


def kind(day: dt.date) -> Kind:
    """What sort of session a day is."""
    if not days.is_session(day):
        return "closed"
    return "full" if minutes(day) == FULL else "half"


def expected(day: dt.date, timeframe: str = DAILY, *, extended: bool = False) -> int:
    """How many bars a session has where every one of them traded; with the extended hours if they are wanted."""
    return len(ends(day, timeframe, extended=extended))


def ends(day: dt.date, timeframe: str = DAILY, *, extended: bool = False) -> list[dt.datetime]:
    """The ends of a session's bars, UTC. They are counted from the opening of each phase, and none crosses its end.

    So hourly bars of a full session end at 10:30 … 15:30 and, half an hour long, at 16:00.
    """
    if timeframe == DAILY:
        return [session_close(day)]
    if timeframe not in SECONDS:
        raise NotFound.named("timeframe", timeframe, (DAILY, *SECONDS))
    marks = [premarket_start(day), session_open(day), session_close(day), postmarket_end(day)]
    phases = list(pairwise(marks))
    wanted = phases if extended else phases[1:2]
    return [end for start, stop in wanted for end in _ticks(start, stop, dt.timedelta(seconds=SECONDS[timeframe]))]


def _ticks(start: dt.datetime, stop: dt.datetime, step: dt.timedelta) -> list[dt.datetime]:
    whole = (stop - start) // step
    return [*(start + step * n for n in range(1, whole + 1)), *([stop] if start + step * whole < stop else [])]
