"""Whole columns of instants put into sessions: five million in a fraction of a second.

No time zone is converted. Every instant from 04:00 to 20:00 in New York, summer or winter, lies on the same date when
five hours are taken from its UTC (standard time, or standard time less an hour, which stays above midnight). That date
is the place in a table with one row per *calendar* day; the table knows the session's four marks in UTC.
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING

from quaestor.calendar.hours import schedule

if TYPE_CHECKING:
    import polars as pl

PHASES = ("closed", "pre", "regular", "post")
MARKS = ("premarket", "opens", "closes", "postmarket")

DAY = 86_400_000_000  # µs
STANDARD = 5 * 3_600_000_000  # New York's winter, µs behind UTC


@lru_cache(maxsize=1)
def by_day() -> pl.DataFrame:
    """One row per calendar day: session (null: none), number (sessions before it), and the four marks in µs since 1970.

    The first and the last row are days without session: whatever lies outside the calendar is clipped to them.
    """
    import polars as pl

    known = schedule(dt.date.min, dt.date.max).with_columns(pl.col(MARKS).to_physical(), day=pl.col("session"))
    first, last = known["day"][0] - dt.timedelta(days=1), known["day"][-1] + dt.timedelta(days=1)
    every = pl.DataFrame({"day": pl.date_range(first, last, eager=True)})
    return every.join(known, on="day", how="left", maintain_order="left").with_columns(
        number=pl.col("session").is_not_null().cum_sum().cast(pl.Int32),
    )


def rows(day: pl.Expr) -> pl.Expr:
    """The row of `by_day` for a day counted from 1970 (null stays null)."""
    table = by_day()
    first = table["day"].to_physical()[0]
    row: pl.Expr = (day - first).clip(0, table.height - 1)
    return row


def stamp(ts: pl.Series) -> pl.DataFrame:
    """Which session each instant belongs to, and in which phase of it: columns `session` (null outside) and `phase`.

    A phase begins with its first instant and ends before the next one's: 09:30:00 is regular, 16:00:00 is post. A
    *bar* belongs where it traded: stamp the instant before its end.
    """
    import polars as pl

    table = by_day()
    instant = pl.DataFrame({"t": ts.dt.cast_time_unit("us").to_physical()})
    at = instant.select(rows((pl.col("t") - STANDARD) // DAY))["t"]
    passed = ((pl.col("t") >= table[mark].gather(at)) for mark in MARKS)
    order = instant.select(order=pl.sum_horizontal(passed))["order"]  # null marks count as not passed
    known = pl.col("order").is_between(1, 3)
    return pl.DataFrame({"session": table["session"].gather(at), "order": order}).select(
        session=pl.when(known).then("session"),
        phase=pl.when(ts.is_not_null()).then((pl.col("order") % 4).cast(pl.UInt8).cat.to(pl.Enum(PHASES))),
    )


def hours_of(session: pl.Series) -> pl.DataFrame:
    """The four marks of each session in µs since 1970, and its number; the marks of a day without session are null."""
    import polars as pl

    table = by_day()
    at = pl.DataFrame({"day": session.to_physical()}).select(rows(pl.col("day")))["day"]
    return pl.DataFrame([table[name].gather(at) for name in (*MARKS, "number")])
