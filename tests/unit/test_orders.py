"""Orders: words, amounts, and the identity that makes a second one impossible."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from decimal import Decimal

import pytest

from quaestor.orders import NAMESPACE, Execution, Intent, OrderType, Side, State, external_ref, ref_id, trimmed

D = Decimal
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


def test_the_broker_may_still_fill_what_works_and_nothing_that_is_final_works() -> None:
    assert {state for state in State if not state.working} == {State.PLANNED} | {s for s in State if s.final}
    assert State.PENDING_CANCEL.working, "a cancel races a fill"


def test_an_order_type_says_which_prices_it_names() -> None:
    stops, limits = {t for t in OrderType if t.stops}, {t for t in OrderType if t.limits}
    assert (stops, limits) == ({OrderType.STOP, OrderType.STOP_LIMIT}, {OrderType.LIMIT, OrderType.STOP_LIMIT})


def test_an_order_placed_by_hand_has_one_name_an_account() -> None:
    assert external_ref("a", "b1") == external_ref("a", "b1") != external_ref("a2", "b1")
