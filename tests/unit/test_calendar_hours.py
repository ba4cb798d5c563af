"""Hours of sessions: every holiday and early close of four years, extended hours, bar counts, stamps."""

from __future__ import annotations

import datetime as dt
import time

import polars as pl
import pytest

from quaestor import calendar
from quaestor.errors import BadInput, NotFound

D = dt.date

# By hand, from the exchange's published holidays (nyse.com/markets/hours-calendars) and its closure of 2025-01-09.
CLOSED = {
    D(2024, 1, 1): "New Year",
    D(2024, 1, 15): "Martin Luther King",
    D(2024, 2, 19): "Washington",
    D(2024, 3, 29): "Good Friday",
    D(2024, 5, 27): "Memorial Day",
    D(2024, 6, 19): "Juneteenth",
    D(2024, 7, 4): "Independence Day",
    D(2024, 9, 2): "Labor Day",
    D(2024, 11, 28): "Thanksgiving",
    D(2024, 12, 25): "Christmas",
    D(2025, 1, 1): "New Year",
    D(2025, 1, 9): "National Day of Mourning for President Carter",
    D(2025, 1, 20): "Martin Luther King",
    D(2025, 2, 17): "Washington",
    D(2025, 4, 18): "Good Friday",
    D(2025, 5, 26): "Memorial Day",
    D(2025, 6, 19): "Juneteenth",
    D(2025, 7, 4): "Independence Day",
    D(2025, 9, 1): "Labor Day",
    D(2025, 11, 27): "Thanksgiving",
    D(2025, 12, 25): "Christmas",
    D(2026, 1, 1): "New Year",
    D(2026, 1, 19): "Martin Luther King",
    D(2026, 2, 16): "Washington",
    D(2026, 4, 3): "Good Friday",
    D(2026, 5, 25): "Memorial Day",
    D(2026, 6, 19): "Juneteenth",
    D(2026, 7, 3): "Independence Day, a Saturday, kept on Friday: so July 2 is a full session",
    D(2026, 9, 7): "Labor Day",
    D(2026, 11, 26): "Thanksgiving",
    D(2026, 12, 25): "Christmas",
    D(2027, 1, 1): "New Year",
    D(2027, 1, 18): "Martin Luther King",
    D(2027, 2, 15): "Washington",
    D(2027, 3, 26): "Good Friday",
    D(2027, 5, 31): "Memorial Day",
    D(2027, 6, 18): "Juneteenth, a Saturday, kept on Friday",
    D(2027, 7, 5): "Independence Day, a Sunday, kept on Monday",
    D(2027, 9, 6): "Labor Day",
    D(2027, 11, 25): "Thanksgiving",
    D(2027, 12, 24): "Christmas, a Saturday, kept on Friday: so there is no early close on Christmas Eve",
}
EARLY = [
    D(2024, 7, 3),
    D(2024, 11, 29),
    D(2024, 12, 24),
    D(2025, 7, 3),
    D(2025, 11, 28),
    D(2025, 12, 24),
    D(2026, 11, 27),
    D(2026, 12, 24),
    D(2027, 11, 26),
]
YEARS = (D(2024, 1, 1), D(2027, 12, 31))
HALF, FULL = D(2024, 11, 29), D(2024, 11, 27)


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


def wall(moment: dt.datetime) -> str:
    return moment.astimezone(calendar.NEW_YORK).strftime("%H:%M")


def test_the_sessions_of_2024_to_2027_are_all_weekdays_but_the_holidays() -> None:
    days = [YEARS[0] + dt.timedelta(days=n) for n in range((YEARS[1] - YEARS[0]).days + 1)]
    assert calendar.sessions(*YEARS) == [day for day in days if day.weekday() < 5 and day not in CLOSED]


def test_every_session_of_2024_to_2027_closes_at_four_but_the_early_ones_at_one() -> None:
    closes = {day: wall(calendar.session_close(day)) for day in calendar.sessions(*YEARS)}
    assert {day: close for day, close in closes.items() if close != "16:00"} == dict.fromkeys(EARLY, "13:00")
    assert {wall(calendar.session_open(day)) for day in closes} == {"09:30"}
    assert [day for day in closes if calendar.is_half_day(day)] == EARLY


@pytest.mark.parametrize(
    ("day", "kind"),
    [
        pytest.param(FULL, "full", id="an ordinary Wednesday"),
        pytest.param(HALF, "half", id="the Friday after Thanksgiving"),
        pytest.param(D(1990, 12, 24), "half", id="in 1990 half-days ended at two"),
        pytest.param(D(2025, 1, 9), "closed", id="a day of mourning"),
        pytest.param(D(2200, 1, 3), "closed", id="beyond the calendar"),
    ],
)
def test_a_day_is_a_full_session_a_half_one_or_closed(day: dt.date, kind: str) -> None:
    assert calendar.kind(day) == kind
    assert calendar.is_half_day(day) is (kind == "half")


@pytest.mark.parametrize(
    ("day", "hours", "minutes"),
    [
        pytest.param(FULL, ["04:00", "09:30", "16:00", "20:00"], 390, id="a full session"),
        pytest.param(HALF, ["04:00", "09:30", "13:00", "17:00"], 210, id="a half-day ends three hours earlier"),
        pytest.param(D(2024, 3, 11), ["04:00", "09:30", "16:00", "20:00"], 390, id="the Monday of summer time"),
    ],
)
def test_a_session_has_four_marks_in_new_york(day: dt.date, hours: list[str], minutes: int) -> None:
    marks = [calendar.premarket_start, calendar.session_open, calendar.session_close, calendar.postmarket_end]
    assert [wall(mark(day)) for mark in marks] == hours
    assert calendar.minutes(day) == minutes
    row = calendar.schedule(day, day).row(0)
    assert [day, *(mark(day) for mark in marks), minutes] == list(row)


@pytest.mark.parametrize(
    ("day", "opens"),
    [
        pytest.param(D(2024, 3, 8), utc(2024, 3, 8, 14, 30), id="winter, the last session"),
        pytest.param(D(2024, 3, 11), utc(2024, 3, 11, 13, 30), id="summer, the first"),
        pytest.param(D(2024, 11, 1), utc(2024, 11, 1, 13, 30), id="summer, the last"),
        pytest.param(D(2024, 11, 4), utc(2024, 11, 4, 14, 30), id="winter, the first"),
    ],
)
def test_the_open_in_utc_moves_with_daylight_saving(day: dt.date, opens: dt.datetime) -> None:
    assert calendar.session_open(day) == opens


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(calendar.premarket_start, id="no first instant"),
        pytest.param(calendar.postmarket_end, id="no last one"),
        pytest.param(calendar.minutes, id="no length"),
    ],
)
def test_a_closed_day_has_no_hours(mark: object) -> None:
    with pytest.raises(BadInput, match="2025-01-09 is no session of XNYS"):
        mark(D(2025, 1, 9))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("day", "timeframe", "extended", "count"),
    [
        pytest.param(FULL, "1d", False, 1, id="one daily bar"),
        pytest.param(FULL, "1m", False, 390, id="minutes"),
        pytest.param(HALF, "1m", False, 210, id="minutes of a half-day"),
        pytest.param(FULL, "5m", False, 78, id="five minutes"),
        pytest.param(FULL, "1h", False, 7, id="six hours and a half"),
        pytest.param(HALF, "1h", False, 4, id="three hours and a half"),
        pytest.param(FULL, "1m", True, 330 + 390 + 240, id="with the extended hours"),
        pytest.param(HALF, "1m", True, 330 + 210 + 240, id="which end at five on a half-day"),
        pytest.param(FULL, "1h", True, 6 + 7 + 4, id="no bar crosses a phase's end"),
    ],
)
def test_a_session_has_as_many_bars_as_its_minutes_hold(
    day: dt.date, timeframe: str, extended: bool, count: int
) -> None:
    assert calendar.expected(day, timeframe, extended=extended) == count


def test_hourly_bars_end_on_the_half_and_the_last_with_the_session() -> None:
    assert [wall(end) for end in calendar.ends(HALF, "1h")] == ["10:30", "11:30", "12:30", "13:00"]


def test_an_unknown_timeframe_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"Unknown timeframe '2m'\..*1d"):
        calendar.expected(FULL, "2m")


@pytest.mark.parametrize(
    ("moment", "session", "phase"),
    [
        pytest.param(utc(2024, 11, 27, 8, 59, 59), None, "closed", id="a second before four in the morning"),
        pytest.param(utc(2024, 11, 27, 9), FULL, "pre", id="four"),
        pytest.param(utc(2024, 11, 27, 14, 29, 59), FULL, "pre", id="a second before the opening"),
        pytest.param(utc(2024, 11, 27, 14, 30), FULL, "regular", id="the opening"),
        pytest.param(utc(2024, 11, 27, 21), FULL, "post", id="the close is no more regular"),
        pytest.param(utc(2024, 11, 28, 0, 59), FULL, "post", id="eight in the evening is tomorrow in UTC"),
        pytest.param(utc(2024, 11, 28, 1), None, "closed", id="eight"),
        pytest.param(utc(2024, 11, 28, 15), None, "closed", id="Thanksgiving"),
        pytest.param(utc(2024, 11, 29, 18), HALF, "post", id="a half-day's close"),
        pytest.param(utc(2024, 11, 29, 22), None, "closed", id="a half-day's evening"),
        pytest.param(utc(2024, 7, 8, 8), D(2024, 7, 8), "pre", id="four in summer"),
        pytest.param(utc(2024, 7, 9, 0), None, "closed", id="eight in summer is midnight in UTC"),
        pytest.param(utc(1900, 1, 2, 15), None, "closed", id="before the calendar"),
        pytest.param(utc(2200, 1, 2, 15), None, "closed", id="after the calendar"),
        pytest.param(None, None, None, id="no instant"),
    ],
)
def test_an_instant_is_stamped_with_session_and_phase(
    moment: dt.datetime | None, session: dt.date | None, phase: str | None
) -> None:
    stamped = calendar.stamp(pl.Series([moment], dtype=pl.Datetime("us", "UTC")))
    assert stamped.rows() == [(session, phase)]


def test_stamping_knows_every_time_unit_and_an_empty_column() -> None:
    for unit in ("ms", "us", "ns"):
        column = pl.Series([utc(2024, 11, 27, 15)], dtype=pl.Datetime(unit, "UTC"))
        assert calendar.stamp(column).rows() == [(FULL, "regular")]
        assert calendar.stamp(column.clear()).is_empty()


def test_a_million_instants_are_stamped_in_a_tenth_of_a_second() -> None:
    minutes = pl.datetime_range(utc(2024, 1, 1), utc(2025, 12, 1), "1m", eager=True)
    calendar.stamp(minutes[:1])
    begun = time.process_time()
    assert calendar.stamp(minutes).height > 1_000_000
    assert time.process_time() - begun < 0.5  # measured 0.03; generous for a busy machine
