"""What holds for every day of the calendar."""

from __future__ import annotations

import datetime as dt

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
