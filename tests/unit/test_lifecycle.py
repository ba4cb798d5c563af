"""The life of an order as a table: what we may do, and what news of the broker do."""

from __future__ import annotations

from decimal import Decimal

import pytest

from quaestor.lifecycle import COMMANDS, RANK, TOLD, Standing, adopted, commanded, told
from quaestor.orders import State

D = Decimal
PLANNED, SUBMITTING, UNKNOWN = State.PLANNED, State.SUBMITTING, State.UNKNOWN
ACKED, PARTLY, FILLED = State.ACKED, State.PARTIALLY_FILLED, State.FILLED
CANCELED, EXPIRED, UNSENT, REJECTED = State.CANCELED, State.EXPIRED, State.EXPIRED_UNSENT, State.REJECTED
CANCELING, REPLACING = State.PENDING_CANCEL, State.PENDING_REPLACE

OURS = {
    PLANNED: {SUBMITTING, UNSENT},
    SUBMITTING: {UNKNOWN, REJECTED},
    UNKNOWN: {SUBMITTING, UNSENT, REJECTED},
    ACKED: {CANCELING, REPLACING},
    PARTLY: {CANCELING, REPLACING},
    REPLACING: {CANCELING, ACKED, PARTLY},
    CANCELING: {ACKED, PARTLY},
}


@pytest.mark.parametrize("new", list(State))
@pytest.mark.parametrize("old", list(State))
def test_what_we_may_do_is_this_table(old: State, new: State) -> None:
    known = Standing(old, D(3), D(10))
    after = commanded(known, new)
    assert after == (Standing(new, D(3), D(10)) if new in OURS.get(old, set()) else known)


def test_nothing_is_ever_planned_again_and_nothing_that_was_not_sent_is_refused() -> None:
    assert not any(PLANNED in after for after in COMMANDS.values())
    assert REJECTED not in COMMANDS[PLANNED]
    assert all(not COMMANDS[state] for state in State if state.final)


def test_every_state_has_its_rank_and_every_end_that_a_broker_tells_has_its_own() -> None:
    assert set(RANK) == set(COMMANDS) == set(State)
    ends = [RANK[state] for state in TOLD]
    assert len(set(ends)) == len(ends)


@pytest.mark.parametrize(
    ("known", "news", "after"),
    [
        pytest.param((ACKED, 0), (PARTLY, 5), (PARTLY, 5), id="a further state"),
        pytest.param((PARTLY, 5), (PARTLY, 7), (PARTLY, 7), id="more shares in the same state"),
        pytest.param((PARTLY, 5), (PARTLY, 5), (PARTLY, 5), id="the same news again"),
        pytest.param((PARTLY, 7), (PARTLY, 5), (PARTLY, 7), id="older news of the same state"),
        pytest.param((FILLED, 10), (PARTLY, 7), (FILLED, 10), id="older news of a state before"),
        pytest.param((FILLED, 10), (ACKED, 0), (FILLED, 10), id="its acknowledgement, late"),
        pytest.param((CANCELING, 0), (ACKED, 0), (CANCELING, 0), id="it works still, while we ask to cancel"),
        pytest.param((CANCELING, 0), (PARTLY, 4), (CANCELING, 4), id="a fill that came before our cancel"),
        pytest.param((CANCELING, 4), (FILLED, 10), (FILLED, 10), id="the fill won the race"),
        pytest.param((CANCELING, 4), (CANCELED, 4), (CANCELED, 4), id="the cancel won the race"),
        pytest.param((CANCELED, 4), (PARTLY, 6), (CANCELED, 6), id="a fill told after the cancel"),
        pytest.param((CANCELED, 0), (FILLED, 10), (FILLED, 10), id="what was filled was not canceled"),
        pytest.param((ACKED, 0), (REJECTED, 0), (REJECTED, 0), id="refused after it was taken"),
        pytest.param((UNSENT, 0), (ACKED, 0), (ACKED, 0), id="given up here, and yet at the broker"),
        pytest.param((PLANNED, 0), (ACKED, 0), (ACKED, 0), id="books older than the broker's"),
        pytest.param((REJECTED, 0), (ACKED, 0), (REJECTED, 0), id="a contradiction waits for a reconciliation"),
    ],
)
def test_news_joins_what_is_known(known: tuple[State, int], news: tuple[State, int], after: tuple[State, int]) -> None:
    state, filled = after
    heard = told(Standing(known[0], D(known[1])), Standing(news[0], D(news[1])))
    assert (heard.state, heard.filled) == (state, filled)


def test_a_reconciliation_adopts_what_the_broker_shows_after_its_own_refusal() -> None:
    assert adopted(Standing(REJECTED), Standing(ACKED)) == Standing(ACKED)
    assert adopted(Standing(FILLED, D(3)), Standing(ACKED)) == Standing(FILLED, D(3)), "else it is news like any other"


@pytest.mark.parametrize("state", sorted(set(State) - TOLD))
def test_a_broker_never_speaks_of_our_own_steps(state: State) -> None:
    with pytest.raises(ValueError, match="never says"):
        told(Standing(ACKED), Standing(state))
