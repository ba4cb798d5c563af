"""The exchange calendar: half-days, closures, daylight saving, and its ends."""

from __future__ import annotations

import datetime as dt

import pytest

from quaestor import calendar
from quaestor.errors import BadInput

D = dt.date


def in_new_york(moment: dt.datetime) -> str:
    return moment.astimezone(calendar.NEW_YORK).strftime("%H:%M")


@pytest.mark.parametrize(
    ("day", "closes"),
    [
        pytest.param(D(2012, 11, 21), "16:00", id="an ordinary Wednesday"),
        pytest.param(D(2012, 11, 23), "13:00", id="the half-day after Thanksgiving"),
        pytest.param(D(2012, 7, 3), "13:00", id="the half-day before Independence Day"),
        pytest.param(D(2012, 12, 24), "13:00", id="Christmas Eve"),
    ],
)
def test_a_session_closes_at_four_and_a_half_day_at_one(day: dt.date, closes: str) -> None:
    assert in_new_york(calendar.session_close(day)) == closes
    assert in_new_york(calendar.session_open(day)) == "09:30"


@pytest.mark.parametrize(
    "day",
    [
        pytest.param(D(2012, 10, 29), id="hurricane Sandy, first day"),
        pytest.param(D(2012, 10, 30), id="hurricane Sandy, second day"),
        pytest.param(D(2012, 11, 22), id="Thanksgiving"),
        pytest.param(D(2012, 11, 24), id="a Saturday"),
        pytest.param(D(2001, 9, 12), id="the day after the attacks"),
        pytest.param(D(2004, 6, 11), id="Reagan's funeral"),
    ],
)
def test_a_closed_day_is_no_session_and_has_no_close(day: dt.date) -> None:
    assert not calendar.is_session(day)
    with pytest.raises(BadInput, match=f"{day} is no session of XNYS \\(the next one is {calendar.next_session(day)}"):
        calendar.session_close(day)


@pytest.mark.parametrize(
    ("day", "hour"),
    [
        pytest.param(D(2012, 3, 9), 21, id="Friday before the clocks go forward"),
        pytest.param(D(2012, 3, 12), 20, id="Monday after they went forward"),
        pytest.param(D(2012, 11, 2), 20, id="Friday before they go back"),
        pytest.param(D(2012, 11, 5), 21, id="Monday after they went back"),
        pytest.param(D(2006, 3, 13), 21, id="until 2006 they changed in April"),
    ],
)
def test_the_close_in_utc_follows_daylight_saving(day: dt.date, hour: int) -> None:
    assert calendar.session_close(day) == dt.datetime(day.year, day.month, day.day, hour, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("day", "before", "after"),
    [
        pytest.param(D(2012, 3, 7), D(2012, 3, 6), D(2012, 3, 8), id="midweek"),
        pytest.param(D(2012, 3, 10), D(2012, 3, 9), D(2012, 3, 12), id="a Saturday lies between two sessions"),
        pytest.param(D(2012, 10, 26), D(2012, 10, 25), D(2012, 10, 31), id="the Friday before Sandy"),
        pytest.param(D(2012, 10, 30), D(2012, 10, 26), D(2012, 10, 31), id="inside Sandy"),
        pytest.param(D(2013, 1, 1), D(2012, 12, 31), D(2013, 1, 2), id="New Year"),
    ],
)
def test_neighbours_skip_days_without_trading(day: dt.date, before: dt.date, after: dt.date) -> None:
    assert (calendar.previous_session(day), calendar.next_session(day)) == (before, after)


def test_sessions_are_listed_with_both_ends_and_oldest_first() -> None:
    assert calendar.sessions(D(2012, 10, 25), D(2012, 11, 1)) == [
        D(2012, 10, 25),
        D(2012, 10, 26),
        D(2012, 10, 31),
        D(2012, 11, 1),
    ]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(D(2012, 10, 29), D(2012, 10, 30), id="only closed days"),
        pytest.param(D(2012, 11, 1), D(2012, 10, 1), id="end before start"),
        pytest.param(D(1900, 1, 1), D(1950, 1, 1), id="before the calendar"),
        pytest.param(D(2200, 1, 1), D(2300, 1, 1), id="after the calendar"),
    ],
)
def test_a_range_without_sessions_is_empty(start: dt.date, end: dt.date) -> None:
    assert calendar.sessions(start, end) == []
    assert calendar.closes(start, end).is_empty()


def test_closes_stamp_each_session_as_session_close_does() -> None:
    frame = calendar.closes(D(2012, 1, 1), D(2012, 12, 31))
    assert frame["session"].to_list() == calendar.sessions(D(2012, 1, 1), D(2012, 12, 31))
    assert frame["ts"].to_list() == [calendar.session_close(day) for day in frame["session"]]


def test_a_range_longer_than_the_calendar_is_cut_to_it() -> None:
    frame = calendar.closes(D(1800, 1, 1), D(2300, 1, 1))
    assert frame["session"][0] == calendar.FIRST
    assert calendar.is_session(frame["session"][-1])


@pytest.mark.parametrize("day", [pytest.param(D(1950, 3, 1), id="before"), pytest.param(D(2200, 3, 3), id="after")])
def test_a_day_outside_the_calendar_is_refused_with_its_span(day: dt.date) -> None:
    for ask in (calendar.next_session, calendar.previous_session, calendar.session_open, calendar.session_close):
        with pytest.raises(BadInput, match=rf"{day} is outside the XNYS calendar \({calendar.FIRST} … "):
            ask(day)


def test_the_last_session_of_the_calendar_has_no_next_one() -> None:
    last = calendar.sessions(D(2020, 1, 1), D(2300, 1, 1))[-1]
    assert calendar.previous_session(last) < last
    with pytest.raises(BadInput, match="The next session of"):
        calendar.next_session(last)


# ── settlement ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("traded", "settled"),
    [
        pytest.param(D(1995, 6, 6), D(1995, 6, 13), id="five days, by custom"),
        pytest.param(D(1995, 6, 7), D(1995, 6, 12), id="three days from then on"),
        pytest.param(D(1999, 10, 7), D(1999, 10, 13), id="three, and Columbus Day is none (NASD notice 99-83)"),
        pytest.param(D(1999, 10, 8), D(1999, 10, 14), id="the Friday before it"),
        pytest.param(D(1999, 10, 11), D(1999, 10, 14), id="traded on the day itself"),
        pytest.param(D(2015, 11, 9), D(2015, 11, 13), id="Veterans Day, a Wednesday"),
        pytest.param(D(2012, 11, 8), D(2012, 11, 14), id="Veterans Day on a Sunday is kept on Monday"),
        pytest.param(D(2012, 11, 21), D(2012, 11, 27), id="Thanksgiving; a half-day counts"),
        pytest.param(D(2017, 9, 1), D(2017, 9, 7), id="the last of three days, over Labor Day"),
        pytest.param(D(2017, 9, 5), D(2017, 9, 7), id="the first of two days"),
        pytest.param(D(2023, 11, 9), D(2023, 11, 13), id="Veterans Day on a Saturday is not kept"),
        pytest.param(D(2024, 5, 24), D(2024, 5, 29), id="the last of two days, over Memorial Day"),
        pytest.param(D(2024, 5, 28), D(2024, 5, 29), id="the first of one day"),
        pytest.param(D(2024, 10, 11), D(2024, 10, 15), id="one day, over Columbus Day"),
    ],
)
def test_a_trade_settles_as_the_rule_of_its_time_says(traded: dt.date, settled: dt.date) -> None:
    assert calendar.settles(traded) == settled
