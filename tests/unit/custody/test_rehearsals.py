"""What a rehearsal plays: each fault has its turn, the same seed draws the same, and a wrong name is helped."""

from __future__ import annotations

import datetime as dt

import pytest

from quaestor import calendar
from quaestor.custody.rehearsals import AT_REFRESH, BROKEN, FAULTS, IN_SESSION, LONG, SHORT, named, planned
from quaestor.errors import BadInput, NotFound
from quaestor.operations.custody.rehearsed import Clock

BEGINS = dt.datetime(2026, 10, 26, 4, tzinfo=dt.UTC)


def test_every_fault_that_the_issue_names_is_there() -> None:
    wanted = {"reply_lost", "vault_down", "vault_throttled", "two_refreshers", "revoked_mid_order", "login_throttled"}
    assert set(FAULTS) == wanted | {"clock_skew", BROKEN}


@pytest.mark.parametrize("seed", range(20))
def test_each_has_its_turn_before_one_comes_again(seed: int) -> None:
    plan = planned(7, named("all"), seed)
    assert set(plan.at_refresh[: len(AT_REFRESH)]) == set(AT_REFRESH)
    assert {fault for _, fault in plan.in_session[: len(IN_SESSION)]} == set(IN_SESSION)
    assert planned(7, named("all"), seed) == plan


def test_days_without_a_fault_belong_to_it() -> None:
    plan = planned(90, named("all"))
    assert len(plan.in_session) < len(plan.sessions) / 2
    assert "" in plan.at_refresh[:20]
    assert (plan.life, planned(7, named("all")).life) == (LONG, SHORT)
    assert any(map(calendar.is_half_day, plan.sessions))


def test_faults_come_while_a_session_trades() -> None:
    for at, _ in planned(90, named("all"), 3).in_session:
        day = at.astimezone(calendar.NEW_YORK).date()
        assert calendar.session_open(day) < at < calendar.session_close(day) - dt.timedelta(minutes=45)


def test_none_is_none_and_some_are_those_alone() -> None:
    calm, some = planned(30, named("none")), planned(30, named("reply_lost, chain_broken"))
    assert (calm.in_session, set(calm.at_refresh)) == ((), {""})
    assert (some.in_session, set(some.at_refresh)) == ((), {"", "reply_lost"})
    assert BROKEN in some.faults


def test_what_cannot_be_played_is_said() -> None:
    with pytest.raises(NotFound, match="Did you mean 'vault_down'"):
        named("vault_dwn")
    with pytest.raises(BadInput, match="1 to 366 days"):
        planned(0, named("all"))


def test_what_is_to_happen_then_happens_on_the_way() -> None:
    clock, seen = Clock(BEGINS), list[dt.datetime]()
    for minutes in (9, 5, 20):
        clock.then(BEGINS + dt.timedelta(minutes=minutes), lambda: seen.append(clock.now()))
    clock.to(BEGINS + dt.timedelta(minutes=10))
    assert seen == [BEGINS + dt.timedelta(minutes=5), BEGINS + dt.timedelta(minutes=9)]
    clock.to(BEGINS)
    assert clock.now() == BEGINS + dt.timedelta(minutes=10)
    clock.ours = dt.timedelta(seconds=90)
    assert clock.our_now() - clock.now() == dt.timedelta(seconds=90)
