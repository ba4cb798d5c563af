"""What goes to Robinhood for an intent, and what an order of Robinhood's is to us."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from quaestor.doors.robinhood import orders
from quaestor.errors import BadInput
from quaestor.lifecycle import TOLD
from quaestor.logs import know
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce

D = Decimal
SESSION = dt.date(2026, 11, 20)
BASE = Intent("main", "m", "AAPL", SESSION, "cause", Side.BUY, D("100.000000"), D("189.504"))
ACCOUNT, THING = "https://api.robinhood.com/accounts/5QX00001/", "https://api.robinhood.com/instruments/abc/"
SELL: dict[str, Any] = {"side": Side.SELL, "reduces": True}

# As a third party recorded one in January 2026; ids and numbers are made up.
ROW: dict[str, Any] = {
    "id": "11111111-1111-1111-1111-111111111111",
    "ref_id": str(BASE.ref_id),
    "account": ACCOUNT,
    "cancel": "https://api.robinhood.com/orders/11111111-1111-1111-1111-111111111111/cancel/",
    "instrument": THING,
    "instrument_id": "abc",
    "cumulative_quantity": "0.00000000",
    "average_price": None,
    "fees": "0",
    "state": "queued",
    "type": "limit",
    "side": "buy",
    "time_in_force": "gfd",
    "trigger": "immediate",
    "price": "99.00000000",
    "stop_price": None,
    "quantity": "100.00000000",
    "reject_reason": None,
    "created_at": "2026-11-20T15:32:27.948317Z",
    "updated_at": "2026-11-20T15:32:28.201171Z",
    "last_transaction_at": "2026-11-20T15:32:27.948317Z",
    "executions": [],
    "preset_percent_limit": None,
}
FILL = {"id": "e1", "price": "99.50", "quantity": "40.0", "timestamp": "2026-11-20T15:33:00Z", "fees": "0.03"}


@pytest.mark.parametrize(
    ("changes", "terms"),
    [
        pytest.param(
            {},
            {"type": "limit", "price": "198.97", "preset_percent_limit": "0.05", "trigger": "immediate"},
            id="a market purchase is what the app sends: a limit 5 % above",
        ),
        pytest.param(SELL, {"type": "market", "trigger": "immediate"}, id="a market sale names no price"),
        pytest.param(
            {"order_type": OrderType.LIMIT, "limit_price": D("99.50")},
            {"type": "limit", "price": "99.5", "trigger": "immediate"},
            id="a limit",
        ),
        pytest.param(
            {**SELL, "order_type": OrderType.STOP, "stop_price": D(90)},
            {"type": "market", "trigger": "stop", "stop_price": "90"},
            id="a protective stop",
        ),
        pytest.param(
            {"order_type": OrderType.STOP, "stop_price": D(200)},
            {"type": "market", "trigger": "stop", "stop_price": "200", "price": "210"},
            id="a stop that buys names the most it may pay",
        ),
        pytest.param(
            {"order_type": OrderType.STOP_LIMIT, "stop_price": D(200), "limit_price": D(201)},
            {"type": "limit", "trigger": "stop", "stop_price": "200", "price": "201"},
            id="a stop with a limit",
        ),
    ],
)
def test_the_terms_of_an_order_are_robinhoods(changes: dict[str, Any], terms: dict[str, Any]) -> None:
    sent = orders.payload(replace(BASE, **changes), ACCOUNT, THING, 7)
    names = {"type", "price", "preset_percent_limit", "trigger", "stop_price"}
    assert {name: value for name, value in sent.items() if name in names} == terms


def test_an_order_names_account_instrument_form_and_our_own_reference() -> None:
    sent = orders.payload(replace(BASE, time_in_force=TimeInForce.GTC, quantity=D("0.500000")), ACCOUNT, THING, 9)
    wanted = {"account": ACCOUNT, "instrument": THING, "ref_id": str(BASE.ref_id), "order_form_version": 9}
    wanted |= {"quantity": "0.5", "time_in_force": "gtc", "side": "buy", "market_hours": "regular_hours"}
    assert {name: sent[name] for name in wanted} == wanted
    assert not any("E" in str(sent[name]) for name in ("quantity", "price")), "no exponents"


@pytest.mark.parametrize(
    ("said", "filled", "state"),
    [
        *[pytest.param(name, "0", State.ACKED, id=f"{name}, nothing filled") for name in sorted(orders.WORKING)],
        *[pytest.param(name, "40", State.PARTIALLY_FILLED, id=f"{name}, some") for name in sorted(orders.WORKING)],
        *[pytest.param(name, "100", State.FILLED, id=f"{name}, all") for name in sorted(orders.WORKING)],
        pytest.param("filled", "100", State.FILLED, id="filled"),
        pytest.param("cancelled", "0", State.CANCELED, id="cancelled"),
        pytest.param("cancelled", "100", State.FILLED, id="the last fill came before the cancel"),
        pytest.param("partially_filled_rest_cancelled", "40", State.CANCELED, id="the rest cancelled"),
        pytest.param("voided", "0", State.CANCELED, id="voided"),
        pytest.param("expired", "0", State.EXPIRED, id="expired"),
        pytest.param("rejected", "0", State.REJECTED, id="rejected"),
        pytest.param("rejected", "40", State.CANCELED, id="rejected with a fill: a fill is no refusal"),
        pytest.param("failed", "0", State.REJECTED, id="failed"),
        pytest.param("locate_failed", "0", State.REJECTED, id="no shares to borrow"),
        pytest.param("something_new", "0", State.ACKED, id="a name of tomorrow, and it can be cancelled"),
    ],
)
def test_an_orders_state_is_what_was_filled_and_whether_it_works(said: str, filled: str, state: State) -> None:
    row = ROW | {"state": said, "cumulative_quantity": filled, "average_price": "99.5"}
    update = orders.update(row, "AAPL")
    assert (update.state, update.filled) == (state, D(filled))
    assert state in TOLD, "a broker says nothing else"


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        pytest.param({}, State.EXPIRED, id="its session is over"),
        pytest.param({"time_in_force": "gtc"}, State.CANCELED, id="it was no order for the day"),
        pytest.param(
            {"last_transaction_at": "2026-11-20T16:00:00Z"}, State.CANCELED, id="somebody asked in the session"
        ),
    ],
)
def test_an_order_for_the_day_that_ended_with_it_expired(changes: dict[str, Any], state: State) -> None:
    row = ROW | {"state": "cancelled", "cancel": None, "last_transaction_at": "2026-11-20T21:00:00Z"} | changes
    assert orders.update(row, "AAPL").state is state


@pytest.mark.parametrize(
    ("changes", "kind", "limit"),
    [
        pytest.param({}, OrderType.LIMIT, D(99), id="limit"),
        pytest.param({"preset_percent_limit": "0.05"}, OrderType.MARKET, None, id="a market purchase comes back"),
        pytest.param({"type": "market", "price": None}, OrderType.MARKET, None, id="a market sale"),
        pytest.param({"type": "market", "trigger": "stop", "stop_price": "90"}, OrderType.STOP, None, id="stop"),
        pytest.param({"trigger": "stop", "stop_price": "90"}, OrderType.STOP_LIMIT, D(99), id="stop limit"),
    ],
)
def test_an_orders_kind_comes_back_as_it_went(changes: dict[str, Any], kind: OrderType, limit: D | None) -> None:
    update = orders.update(ROW | changes, "AAPL")
    assert (update.order_type, update.limit_price) == (kind, limit)
    assert (update.session, update.ref_id, update.side) == (SESSION, BASE.ref_id, Side.BUY)


@pytest.mark.parametrize(
    ("created", "session"),
    [
        pytest.param("2026-11-20T09:00:00-05:00", "2026-11-20", id="before the open"),
        pytest.param("2026-11-20T21:00:00Z", "2026-11-20", id="at the close"),
        pytest.param("2026-11-20T21:00:01Z", "2026-11-23", id="after it, on a Friday"),
        pytest.param("2026-11-21T12:00:00Z", "2026-11-23", id="at the weekend"),
        pytest.param("2026-11-27T18:30:00Z", "2026-11-30", id="after a half-day's close"),
    ],
)
def test_an_order_belongs_to_the_session_that_it_can_trade_in(created: str, session: str) -> None:
    assert str(orders.update(ROW | {"created_at": created}, "AAPL").session) == session


def test_fills_are_executions_with_what_they_cost() -> None:
    parts = {"id": "e2", "fees": "0.00", "sec_fee": "0.02", "taf_fee": "0.01", "cat_fee": "0.001"}
    first, second = orders.executions(ROW | {"executions": [FILL, FILL | parts]}, "AAPL")
    assert (first.execution_id, first.quantity, first.price, first.fee) == ("e1", D(40), D("99.5"), D("0.03"))
    assert (first.ref_id, first.broker_id, first.session) == (BASE.ref_id, ROW["id"], SESSION)
    assert second.fee == D("0.031"), "only the parts are told"


@pytest.mark.parametrize(
    ("changes", "session"),
    [
        pytest.param({}, "2026-11-20", id="in the session"),
        pytest.param({"timestamp": "2026-11-20T22:30:00Z"}, "2026-11-20", id="after the close of that day"),
        pytest.param({"timestamp": "2026-11-21T02:30:00Z"}, "2026-11-20", id="in the night, by New York's date"),
        pytest.param({"trade_execution_date": "2026-11-23"}, "2026-11-23", id="as Robinhood dates it"),
        pytest.param({"timestamp": "2026-11-22T12:00:00Z"}, "2026-11-23", id="on a Sunday"),
    ],
)
def test_a_fill_is_booked_in_the_session_of_its_day(changes: dict[str, str], session: str) -> None:
    (fill,) = orders.executions(ROW | {"executions": [FILL | changes]}, "AAPL")
    assert str(fill.session) == session


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({"quantity": None}, "the number None", id="no quantity"),
        pytest.param({"quantity": "NaN"}, "the number 'NaN'", id="a quantity that is none"),
        pytest.param({"created_at": "2026-11-20T15:32:27"}, "without a zone", id="a time without a zone"),
        pytest.param({"side": "sideways"}, "sideways", id="a side that is none"),
        pytest.param({"ref_id": "mine"}, "hexadecimal", id="a reference that is none"),
        pytest.param({"state": "gone_fishing", "cancel": None}, "the state 'gone_fishing'", id="a state of tomorrow"),
    ],
)
def test_an_order_that_cannot_be_read_is_no_order_and_tells_nothing_of_the_account(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(BadInput, match=says) as told:
        orders.update(ROW | changes, "AAPL")
    assert "5QX00001" not in str(told.value)


def test_an_order_that_lacks_a_field_names_it() -> None:
    row = {name: value for name, value in ROW.items() if name != "side"}
    with pytest.raises(BadInput, match=r"1111.* it lacks 'side'"):
        orders.update(row, "AAPL")


def test_an_order_placed_by_hand_has_no_reference() -> None:
    assert orders.update(ROW | {"ref_id": None}, "AAPL").ref_id is None
    assert orders.update(ROW | {"ref_id": str(uuid.UUID(int=4))}, "AAPL").ref_id == uuid.UUID(int=4)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param({"detail": "Not enough buying power."}, "Not enough buying power.", id="detail"),
        pytest.param({"non_field_errors": ["No.", "Never."]}, "No. Never.", id="non_field_errors"),
        pytest.param({"quantity": ["Must be positive."]}, "quantity: Must be positive.", id="by field"),
        pytest.param(
            {"detail": "Account 5QX77777 is restricted.\x1b[2J"}, "Account *** is restricted.[2J", id="masked"
        ),
        pytest.param({}, "It does not say why.", id="nothing"),
        pytest.param("<html>", "It does not say why.", id="no answer of an API"),
    ],
)
def test_a_no_is_told_in_robinhoods_words_without_secrets(answer: Any, says: str) -> None:
    know("5QX77777")
    assert orders.words(answer) == says


@pytest.mark.parametrize(
    ("answer", "known"),
    [
        pytest.param({"ref_id": ["Order with this ref_id already exists."]}, True, id="as it was seen"),
        pytest.param({"non_field_errors": ["ref_id already exists"]}, True, id="elsewhere"),
        pytest.param({"ref_id": ["This field is required."]}, False, id="another complaint"),
        pytest.param({"detail": "It already exists."}, False, id="about something else"),
        pytest.param(None, False, id="nothing"),
    ],
)
def test_a_reference_that_came_before_is_recognized(answer: Any, known: bool) -> None:
    assert orders.duplicate(answer) is known


@pytest.mark.parametrize(
    ("side", "quantity", "price", "notional", "cash"),
    [
        pytest.param("buy", "1.0", "189.5032", "189.50", "-189.53", id="a price improved by parts of a cent"),
        pytest.param("buy", "7.0", "189.5032", "1326.53", "-1326.56", id="of several shares"),
        pytest.param("sell", "7.0", "189.5032", "1326.52", "1326.49", id="a sale"),
        pytest.param("sell", "0.123456", "189.54", "23.40", "23.37", id="a part of a share"),
        pytest.param("buy", "100.0", "10.00", "1000.00", "-1000.03", id="nothing to round"),
        pytest.param("buy", "100.0", "10.00", None, "-1000.03", id="it is not told"),
        pytest.param("buy", "100.0", "10.00", "900.00", "-1000.03", id="no rounding, but another number"),
    ],
)
def test_a_fill_moves_the_whole_cents_that_robinhood_moves(
    side: str, quantity: str, price: str, notional: str | None, cash: str
) -> None:
    fill = FILL | {"quantity": quantity, "price": price, "rounded_notional": notional}
    (told,) = orders.executions(ROW | {"side": side, "executions": [fill]}, "AAPL")
    assert told.cash == D(cash)
    assert D("0.03") <= told.fee < D("0.031")
    assert told.price == told.price.quantize(D("0.000001"))


@pytest.mark.parametrize(
    ("reference", "most"),
    [("189.504", "198.97"), ("0.0950", "0.0997"), ("0.004", "0.0042"), ("0.99", "1.03")],
)
def test_a_market_purchase_may_pay_five_percent_more_on_the_tick(reference: str, most: str) -> None:
    body = orders.payload(replace(BASE, reference_price=D(reference)), ACCOUNT, THING, 7)
    assert body["price"] == most
