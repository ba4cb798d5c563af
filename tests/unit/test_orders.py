"""Orders: their life as a table, and the identity that makes a second one impossible."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from quaestor.orders import NAMESPACE, NEXT, Execution, Intent, Side, State, allowed, moves, ref_id, trimmed

D = Decimal
PLANNED, SUBMITTING, UNKNOWN = State.PLANNED, State.SUBMITTING, State.UNKNOWN
ACKED, PARTLY, FILLED = State.ACKED, State.PARTIALLY_FILLED, State.FILLED
CANCELED, EXPIRED, UNSENT, REJECTED = State.CANCELED, State.EXPIRED, State.EXPIRED_UNSENT, State.REJECTED

LIFE = {
    PLANNED: {SUBMITTING, UNSENT},
    SUBMITTING: {UNKNOWN, ACKED, PARTLY, FILLED, CANCELED, EXPIRED, REJECTED},
    UNKNOWN: {SUBMITTING, ACKED, PARTLY, FILLED, CANCELED, EXPIRED, UNSENT, REJECTED},
    ACKED: {PARTLY, FILLED, CANCELED, EXPIRED, REJECTED},
    PARTLY: {FILLED, CANCELED, EXPIRED},
    FILLED: set(),
    CANCELED: set(),
    EXPIRED: set(),
    UNSENT: set(),
    REJECTED: set(),
}
ARGUMENTS = ("main", "AAPL", "momentum", dt.date(2012, 1, 3), "AAPL|1d|2011-12-30T21:00:00Z", Side.BUY, 0)

INTENT = Intent(
    account="main",
    strategy="momentum",
    symbol="AAPL",
    session=dt.date(2012, 1, 3),
    cause_key="AAPL|1d|2011-12-30T21:00:00Z",
    side=Side.BUY,
    quantity=D(10),
    reference_price=D("405.00"),
)


@pytest.mark.parametrize("new", list(State))
@pytest.mark.parametrize("old", list(State))
def test_the_life_of_an_order_is_this_table(old: State, new: State) -> None:
    assert allowed(old, new) == (new in LIFE[old])


def test_the_table_knows_every_state() -> None:
    assert set(NEXT) == set(State)


def test_what_was_never_sent_is_never_rejected_and_what_was_sent_never_planned_again() -> None:
    assert not any(allowed(state, PLANNED) for state in State)
    assert not allowed(PLANNED, REJECTED)
    assert not allowed(ACKED, UNSENT)


def test_a_final_state_has_no_next_and_any_other_has_one() -> None:
    assert {state for state in State if state.final} == {state for state in State if not NEXT[state]}


def test_the_broker_may_still_fill_what_works() -> None:
    assert {state for state in State if state.working} == {SUBMITTING, UNKNOWN, ACKED, PARTLY}


@pytest.mark.parametrize(
    ("old", "filled", "new", "new_filled", "expected"),
    [
        pytest.param(ACKED, 0, PARTLY, 5, True, id="a further state"),
        pytest.param(PARTLY, 5, PARTLY, 7, True, id="more shares in the same state"),
        pytest.param(PARTLY, 5, PARTLY, 5, False, id="the same news again"),
        pytest.param(PARTLY, 7, PARTLY, 5, False, id="older news of the same state"),
        pytest.param(FILLED, 10, PARTLY, 7, False, id="older news of a state before"),
        pytest.param(FILLED, 10, ACKED, 0, False, id="its acknowledgement, late"),
        pytest.param(UNKNOWN, 0, SUBMITTING, 0, True, id="sent again with the same ref_id"),
        pytest.param(ACKED, 0, UNKNOWN, 0, False, id="what the broker has told is never forgotten"),
    ],
)
def test_news_moves_an_order_only_forward(old: State, filled: int, new: State, new_filled: int, expected: bool) -> None:
    assert moves(old, D(filled), new, D(new_filled)) is expected


def test_the_identity_of_an_order_is_fixed_for_ever() -> None:
    assert uuid.UUID("8f0d8a3e-5d5b-5b0e-9a0e-6f1f5b1d7c11") == NAMESPACE
    assert str(ref_id(*ARGUMENTS)) == "085d6ff9-9702-5cf9-ab39-98ef62a21c95"
    assert INTENT.ref_id == ref_id(*ARGUMENTS)


@pytest.mark.parametrize(
    ("place", "other"),
    [
        pytest.param(0, "second", id="account"),
        pytest.param(1, "MSFT", id="symbol"),
        pytest.param(2, "rsi_reversion", id="strategy"),
        pytest.param(3, dt.date(2012, 1, 4), id="session"),
        pytest.param(4, "AAPL|1d|2012-01-03T21:00:00Z", id="cause"),
        pytest.param(5, Side.SELL, id="side"),
        pytest.param(6, 1, id="leg"),
    ],
)
def test_each_part_of_an_identity_makes_another_order(place: int, other: object) -> None:
    changed = [other if n == place else argument for n, argument in enumerate(ARGUMENTS)]
    assert ref_id(*changed) != ref_id(*ARGUMENTS)  # type: ignore[arg-type]


def test_neighbouring_parts_of_an_identity_do_not_run_together() -> None:
    one = ref_id("a", "BC", "d", dt.date(2012, 1, 3), "k", Side.BUY, 0)
    assert one != ref_id("aB", "C", "d", dt.date(2012, 1, 3), "k", Side.BUY, 0)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"provenance": {"code_commit": "abc", "bars": [{"bar_version": 2}]}}, id="code and data versions"),
        pytest.param({"quantity": D(11)}, id="its size"),
        pytest.param({"reference_price": D("404.00")}, id="the price it was sized at"),
        pytest.param({"reduces": True}, id="whether it is an exit"),
    ],
)
def test_a_decision_made_again_with_other_figures_is_the_same_order(other: dict[str, object]) -> None:
    assert replace(INTENT, **other).ref_id == INTENT.ref_id  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "cash"), [(Side.BUY, D("-1000.07")), (Side.SELL, D("999.93"))], ids=["a purchase", "a sale"]
)
def test_a_fill_moves_cash_by_its_value_and_its_fee(side: Side, cash: Decimal) -> None:
    at = dt.datetime(2012, 1, 3, 14, 30, tzinfo=dt.UTC)
    day = at.date()
    assert Execution("e", "b", None, "AAPL", side, D(4), D(250), D("0.07"), day, at).cash == cash


@pytest.mark.parametrize(
    ("quantity", "written"),
    [
        pytest.param("100.000000", "100", id="out of the database"),
        pytest.param("1E+2", "100", id="normalised"),
        pytest.param("0.500000", "0.5", id="half a share"),
        pytest.param("0", "0", id="none"),
    ],
)
def test_a_quantity_is_written_as_people_write_it(quantity: str, written: str) -> None:
    assert str(trimmed(D(quantity))) == written
