"""What holds for every day of the calendar."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor import calendar

days = st.dates(calendar.FIRST + dt.timedelta(days=10), dt.date(2026, 1, 1))


@settings(deadline=None)
@given(days)
def test_nothing_is_traded_between_a_day_and_its_neighbouring_sessions(day: dt.date) -> None:
    before, after = calendar.previous_session(day), calendar.next_session(day)
    assert before < day < after
    own = [day] if calendar.is_session(day) else []
    assert calendar.sessions(before, after) == [before, *own, after]


@settings(deadline=None)
@given(days)
def test_next_and_previous_undo_each_other_from_a_session(day: dt.date) -> None:
    session = calendar.next_session(day)
    assert calendar.next_session(calendar.previous_session(session)) == session
    assert calendar.previous_session(calendar.next_session(session)) == session


@settings(deadline=None)
@given(days)
def test_a_session_opens_before_it_closes_on_its_own_day_in_new_york(day: dt.date) -> None:
    session = calendar.next_session(day)
    opens, closes = calendar.session_open(session), calendar.session_close(session)
    assert opens < closes
    assert {moment.astimezone(calendar.NEW_YORK).date() for moment in (opens, closes)} == {session}
    assert opens.utcoffset() == closes.utcoffset() == dt.timedelta(0)


seconds = st.integers(0, 60 * 365 * 86_400)  # 1970 … 2029
instants = seconds.map(lambda second: dt.datetime.fromtimestamp(second, dt.UTC))


def slowly(moment: dt.datetime) -> tuple[dt.date | None, str]:
    """The same from the wall clock in New York, by way of a time zone."""
    there = moment.astimezone(ZoneInfo("America/New_York"))
    clock, day = there.time(), there.date()
    if not calendar.is_session(day):
        return None, "closed"
    close = calendar.session_close(day).astimezone(ZoneInfo("America/New_York"))
    marks = [dt.time(4), dt.time(9, 30), close.time(), (close + dt.timedelta(hours=4)).time()]
    phase = ("closed", "pre", "regular", "post", "closed")[sum(clock >= mark for mark in marks)]
    return (None if phase == "closed" else day), phase


@settings(deadline=None, max_examples=3 * settings().max_examples)
@given(st.lists(instants, min_size=1, max_size=20))
def test_a_stamp_is_what_the_wall_clock_in_new_york_says(moments: list[dt.datetime]) -> None:
    stamped = calendar.stamp(pl.Series(moments, dtype=pl.Datetime("us", "UTC")))
    assert stamped.rows() == [slowly(moment) for moment in moments]


@settings(deadline=None)
@given(days, st.sampled_from(["1m", "5m", "1h"]), st.booleans())
def test_the_ends_of_a_sessions_bars_rise_through_it_to_its_last_instant(
    day: dt.date, timeframe: str, extended: bool
) -> None:
    session = calendar.next_session(day)
    ends = calendar.ends(session, timeframe, extended=extended)
    last = calendar.postmarket_end(session) if extended else calendar.session_close(session)
    assert ends == sorted(set(ends))
    assert ends[-1] == last
    traded = pl.Series([end - dt.timedelta(microseconds=1) for end in ends], dtype=pl.Datetime("us", "UTC"))
    assert set(calendar.stamp(traded)["session"]) == {session}
