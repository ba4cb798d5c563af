"""When tokens are changed: in the quiet before an open, in time, and at once only where it must be."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as some

from quaestor import calendar
from quaestor.calendar import NEW_YORK
from quaestor.custody.policy import BEFORE_OPEN, MARGIN, PAUSE, Life, due, quiet, refused

AT = dt.time(20, 30)
MOMENTS = some.integers(1_767_400_000, 1_830_200_000).map(lambda s: dt.datetime.fromtimestamp(s, dt.UTC))  # two years
LIVES = some.timedeltas(dt.timedelta(minutes=40), dt.timedelta(days=30))


def at(day: str, time: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=NEW_YORK).astimezone(dt.UTC)


@pytest.mark.parametrize(
    ("day", "time", "is_quiet"),
    [
        pytest.param("2026-11-23", "20:29", False, id="Monday, before the evening"),
        pytest.param("2026-11-23", "20:30", True, id="Monday evening"),
        pytest.param("2026-11-24", "07:29", True, id="Tuesday morning"),
        pytest.param("2026-11-24", "07:30", False, id="two hours before the open"),
        pytest.param("2026-11-24", "12:00", False, id="in session"),
        pytest.param("2026-11-26", "12:00", True, id="Thanksgiving"),
        pytest.param("2026-11-27", "14:00", False, id="after a half-day's close, before the evening"),
        pytest.param("2026-11-28", "03:00", True, id="Saturday"),
        pytest.param("2026-11-30", "07:00", True, id="Monday before the open"),
        pytest.param("2026-03-08", "02:30", True, id="an hour that the clock jumps over"),
    ],
)
def test_quiet_is_from_the_evening_until_two_hours_before_an_open(day: str, time: str, is_quiet: bool) -> None:
    assert quiet(at(day, time), AT) == is_quiet


@given(MOMENTS, some.times())
def test_no_quiet_hour_is_in_a_session_or_just_before_one(moment: dt.datetime, refresh_at: dt.time) -> None:
    if quiet(moment, refresh_at):
        session = calendar.next_session(moment.astimezone(NEW_YORK).date() - dt.timedelta(days=1))
        opens, closes = calendar.session_open(session), calendar.session_close(session)
        assert not opens - BEFORE_OPEN <= moment < closes


@given(MOMENTS, LIVES, some.floats(0, 1), some.booleans())
def test_a_change_comes_after_half_of_a_life_and_before_its_end(
    began: dt.datetime, lasts: dt.timedelta, share: float, working: bool
) -> None:
    life = Life(began, began + lasts)
    now = began + lasts * share
    when = due(life, now, AT, working=working)
    assert when.at >= max(now, life.half)
    assert when.at < life.ends - MARGIN or when.why == "ends early"
    if not when.alert:
        assert quiet(when.at, AT)


def test_a_token_of_six_days_is_changed_in_the_first_quiet_hour_after_three() -> None:
    life = Life(at("2026-11-16", "20:30"), at("2026-11-22", "20:30"))
    assert due(life, at("2026-11-17", "12:00"), AT).at == at("2026-11-19", "20:30")


def test_it_is_due_before_a_day_of_it_is_left_though_orders_work() -> None:
    """Orders that rest over night put it off from window to window, until the next one would come too late."""
    life = Life(at("2026-11-16", "20:30"), at("2026-11-22", "20:30"))
    now, put_off = at("2026-11-19", "21:00"), 0
    while (when := due(life, now, AT, working=True)).at > now:
        now, put_off = when.at, put_off + 1
    assert when.why == "working orders"
    assert put_off == 1
    assert life.ends - now >= dt.timedelta(hours=24)


def test_a_token_that_ends_in_the_session_is_changed_as_soon_as_half_of_it_is_over() -> None:
    life = Life(at("2026-11-24", "06:00"), at("2026-11-24", "16:00"))
    when = due(life, at("2026-11-24", "10:00"), AT)
    assert (when.at, when.why, when.alert) == (at("2026-11-24", "11:00"), "ends early", True)


def test_a_clock_that_is_wrong_changes_tokens_early_but_never_in_a_circle() -> None:
    """By our clock the token ended long ago: it is changed now, and the next one lives from then on."""
    life = Life(at("2026-11-16", "20:30"), at("2026-11-22", "20:30"))
    now = at("2026-12-01", "21:00")
    assert due(life, now, AT).at == now
    assert due(Life(now, now + dt.timedelta(days=6)), now, AT).at > now + dt.timedelta(days=2)


def test_a_token_that_is_refused_again_at_once_waits_and_is_told_of() -> None:
    now = at("2026-11-24", "11:00")
    assert refused(now, None).at == now
    soon = refused(now, now - dt.timedelta(seconds=5))
    assert (soon.at, soon.alert) == (now + PAUSE - dt.timedelta(seconds=5), True)
    late = refused(now, now - dt.timedelta(hours=5))
    assert (late.at, late.alert) == (now, False)
