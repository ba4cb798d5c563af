"""What a watcher of a live run does, and what it shows."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from quaestor.live.watching import (
    GRACE,
    MOST_STARTS,
    PAUSES,
    PER_SECOND,
    STARTING,
    Done,
    GiveUp,
    Look,
    Many,
    Meter,
    Sight,
    Start,
    Step,
    figures,
    is_to_arm,
    last_close,
    next_step,
    session_at,
    settles,
)
from quaestor.ports_live import Desire, Desired, Happening

DAY = dt.date(2026, 11, 20)
NOON = dt.datetime(2026, 11, 20, 17, 0, tzinfo=dt.UTC)
WATCHED = session_at(NOON)
assert WATCHED is not None
NEVER = float("inf")


def desired(state: Desire = "armed", at: dt.datetime = NOON) -> Desired:
    return Desired(state, "ann@desk", "lunch", at, 1)


FRESH = Sight(
    now=NOON,
    watched=WATCHED,
    desired=desired(),
    alive=False,
    running=False,
    settled=False,
    starts=0,
    started=NEVER,
    lost=0.0,
    seen=False,
    beaten=False,
    ours=True,
)


# ── which session ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        pytest.param("2026-11-20T14:00+00:00", ("14:30", "21:00"), id="a full session, before its open"),
        pytest.param("2026-11-27T14:00+00:00", ("14:30", "18:00"), id="a half-day closes at 13:00 in New York"),
        pytest.param("2026-07-06T13:00+00:00", ("13:30", "20:00"), id="in summer"),
        pytest.param("2026-11-21T01:00+00:00", ("14:30", "21:00"), id="in New York it is Friday evening still"),
        pytest.param("2026-11-26T14:00+00:00", None, id="Thanksgiving"),
        pytest.param("2026-11-21T14:00+00:00", None, id="a Saturday"),
    ],
)
def test_the_session_is_that_of_the_day_in_new_york(now: str, hours: tuple[str, str] | None) -> None:
    found = session_at(dt.datetime.fromisoformat(now))
    assert (found and (f"{found.opens:%H:%M}", f"{found.closes:%H:%M}")) == hours


def test_the_progress_of_a_session_stays_within_it() -> None:
    moments = [WATCHED.opens - dt.timedelta(hours=1), WATCHED.opens + dt.timedelta(minutes=39), WATCHED.closes]
    assert [WATCHED.progress(moment) for moment in moments] == pytest.approx([0, 10, 100])


@pytest.mark.parametrize(
    ("now", "close"),
    [
        pytest.param("2026-11-23T14:00+00:00", "2026-11-20T21:00+00:00", id="on Monday morning: Friday's"),
        pytest.param("2026-11-20T17:00+00:00", "2026-11-19T21:00+00:00", id="during a session: the one before"),
        pytest.param("2026-11-20T21:00+00:00", "2026-11-20T21:00+00:00", id="at the close: its own"),
        pytest.param("2026-11-30T14:00+00:00", "2026-11-27T18:00+00:00", id="after a half-day"),
    ],
)
def test_the_last_close_is_that_of_the_newest_session_that_is_over(now: str, close: str) -> None:
    assert last_close(dt.datetime.fromisoformat(now)) == dt.datetime.fromisoformat(close)


@pytest.mark.parametrize(
    ("state", "said", "arms"),
    [
        pytest.param("armed", "2026-11-01T12:00+00:00", False, id="it is armed"),
        pytest.param("hold", "2026-11-20T20:59+00:00", True, id="Friday's hold ends with Friday's session"),
        pytest.param("hold", "2026-11-20T21:01+00:00", False, id="said after the close, it stays"),
        pytest.param("flatten", "2026-11-22T12:00+00:00", False, id="said on Sunday, it stays"),
        pytest.param("stopped", "2026-11-19T12:00+00:00", True, id="an old stop ends, too"),
    ],
)
def test_a_new_session_is_armed_unless_somebody_said_otherwise_since_the_last_close(
    state: Desire, said: str, arms: bool
) -> None:
    monday = dt.datetime(2026, 11, 23, 14, 0, tzinfo=dt.UTC)
    assert is_to_arm(desired(state, dt.datetime.fromisoformat(said)), monday) is arms


# ── what to do ────────────────────────────────────────────────────────────────────────────────────────────────────────

STARTED = replace(FRESH, starts=1, started=3.0, running=True)
LOST = replace(FRESH, seen=True, beaten=True, lost=GRACE, starts=1, started=4000.0)
OVER = WATCHED.closes + dt.timedelta(minutes=1)
LATE = WATCHED.closes + dt.timedelta(hours=2)


@pytest.mark.parametrize(
    ("sight", "step"),
    [
        pytest.param(FRESH, Start(again=False), id="none lives: one is started at once"),
        pytest.param(replace(FRESH, alive=True), Look(), id="one lives: nothing to do"),
        pytest.param(STARTED, Look(), id="it is on its way"),
        pytest.param(replace(STARTED, running=False), Look(), id="it ended at once: the next one has to wait"),
        pytest.param(
            replace(STARTED, running=False, lost=GRACE, started=PAUSES[1]), Start(again=True), id="and now is its time"
        ),
        pytest.param(replace(STARTED, started=STARTING, lost=STARTING), Start(again=True), id="it never began"),
        pytest.param(replace(LOST, running=True, beaten=True), Start(again=True), id="it beat, and hangs now"),
        pytest.param(LOST, Start(again=True), id="a dead one is started again"),
        pytest.param(replace(LOST, lost=GRACE / 2), Look(), id="after an outage of the database it may beat again"),
        pytest.param(replace(LOST, ours=False), Look(), id="where a service does it, it is not ours"),
        pytest.param(replace(LOST, now=OVER), Start(again=True), id="after the close, too: it has to settle"),
        pytest.param(replace(FRESH, alive=True, settled=True), Done("2026-11-20: settled"), id="it is settled"),
        pytest.param(
            replace(FRESH, desired=desired("stopped")),
            Done("2026-11-20: stopped by ann@desk (lunch)"),
            id="somebody stopped it: none is started",
        ),
        pytest.param(replace(STARTED, desired=desired("stopped")), Look(), id="it is told to stop, and has not yet"),
        pytest.param(replace(FRESH, desired=desired("hold")), Start(again=False), id="a hold needs a runner as well"),
        pytest.param(
            replace(FRESH, now=OVER),
            Done("2026-11-20 was over before it was watched, and no runner lives"),
            id="a flow that comes too late starts nothing",
        ),
        pytest.param(replace(FRESH, now=OVER, alive=True, seen=True), Look(), id="it is closed, and not yet settled"),
    ],
)
def test_a_step_follows_from_what_is_seen(sight: Sight, step: Step) -> None:
    assert next_step(sight) == step


@pytest.mark.parametrize(
    ("sight", "cure"),
    [
        pytest.param(replace(LOST, starts=MOST_STARTS), "The runner ended 6 times. Correct what its log", id="it dies"),
        pytest.param(replace(FRESH, now=LATE, alive=True), "2026-11-20 closed 2 h ago and is not set", id="it is late"),
    ],
)
def test_a_watch_that_is_no_use_ends_with_the_cure(sight: Sight, cure: str) -> None:
    step = next_step(sight)
    assert isinstance(step, GiveUp)
    assert step.cure.startswith(cure)


def test_each_start_waits_longer_than_the_one_before() -> None:
    waits = []
    for starts in range(1, MOST_STARTS):
        dead = replace(LOST, starts=starts, lost=GRACE)
        waits.append(next(w for w in range(100) if next_step(replace(dead, started=float(w))) == Start(again=True)))
    assert waits == [2, 5, 15, 30, 60]


# ── what is seen ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("happened", "facts", "settled"),
    [
        pytest.param([("settled", "2026-11-20", {})], {}, True, id="a happening says so"),
        pytest.param([("settled", "paper", {"session": "2026-11-20"})], {}, True, id="in its body"),
        pytest.param([], {"settled": "2026-11-20"}, True, id="the runner says so"),
        pytest.param([("settled", "2026-11-19", {})], {"settled": "2026-11-19"}, False, id="another session"),
        pytest.param([("fill", "2026-11-20", {})], {"settled": None}, False, id="nothing of the sort"),
    ],
)
def test_a_session_is_settled_when_it_is_said(
    happened: list[tuple[str, str, dict[str, Any]]], facts: dict[str, Any], settled: bool
) -> None:
    told = [Happening(kind, subject, NOON, body) for kind, subject, body in happened]
    assert settles(DAY, told, facts) is settled


def burst(kinds: str, count: int, first: int = 1) -> list[Happening]:
    names = kinds.split()
    return [Happening(names[n % len(names)], "AAPL", NOON, number=first + n) for n in range(count)]


def test_a_few_happenings_are_shown_one_by_one_in_their_order() -> None:
    told = burst("refusal halt fill", 9)
    assert Meter().portion(told, 5.0) == (told, None)
    assert Meter().portion([], 5.0) == ([], None)


def test_of_many_happenings_those_that_matter_are_shown_and_the_others_summed_up() -> None:
    told = burst("refusal refusal refusal refusal fill", 100)
    shown, many = Meter().portion(told, 5.0)
    assert [one.kind for one in shown] == ["fill"] * 19
    assert [one.number for one in shown] == sorted(one.number for one in shown)
    assert many == Many({"refusal": 80, "fill": 1}, 1, 100)


def test_never_more_than_so_many_events_a_second_and_none_is_forgotten() -> None:
    meter, shown, summed = Meter(), 0, 0
    for second in range(20):
        for part in range(4):
            chosen, many = meter.portion(burst("fill", 30, 1 + 30 * (4 * second + part)), second + part / 4)
            shown += len(chosen) + (many is not None)
            summed += len(chosen) + (sum(many.kinds.values()) if many else 0)
    assert summed == 20 * 4 * 30
    assert shown <= 20 * PER_SECOND + PER_SECOND + 20 * 4  # a sum is told even where there is no room for it


def test_figures_read_as_a_person_says_them() -> None:
    facts = {
        "equity": "100.50",
        "feed_age": 0.25,
        "ticks": 1200.0,
        "lag": None,
        "latches": [],
        "positions": {"AAPL": "3", "IBM": "4"},
    }
    assert figures(facts) == [
        ("equity", "100.50"),
        ("feed age", "0.25"),
        ("ticks", "1,200"),
        ("lag", "–"),
        ("latches", "–"),
        ("positions", "AAPL 3, IBM 4"),
    ]
