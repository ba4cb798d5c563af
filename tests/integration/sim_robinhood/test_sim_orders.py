"""Orders at Robinhood's protocol server: taken, filled, canceled, listed, refused."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import pytest
import requests

from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood import Person

API = "https://api.robinhood.com"
D = Decimal
LIMIT = {"type": "limit", "price": "189.00"}
FRIDAY_EVENING = dt.datetime(2026, 11, 20, 23, tzinfo=dt.UTC)  # 18:00 in New York
NIGHT = dt.datetime(2026, 11, 21, 5, tzinfo=dt.UTC)


def _stands(site: Any, order: str) -> tuple[str, str]:
    shown = site.shown(order)
    return shown["state"], shown["cumulative_quantity"].rstrip("0").rstrip(".")


def test_robin_stocks_buys_at_the_ask(inside: Any) -> None:
    told = inside.rh.order_buy_market("AAPL", 2, timeInForce="gfd", account_number="5QX00001")
    assert (told["state"], told["executions"]) == ("unconfirmed", [])
    assert inside.rh.get_open_stock_positions()[0]["quantity"] == "2.00000000"
    shown = inside.rh.get_stock_order_info(told["id"])
    assert (shown["state"], shown["average_price"], shown["cancel"]) == ("filled", "189.54000000", None)
    fill = shown["executions"][0]
    assert (fill["quantity"], fill["price"], fill["settlement_date"]) == ("2.00000000", "189.54000000", "2026-11-23")
    assert shown["ref_id"] == told["ref_id"]


def test_robin_stocks_sells_parts_of_a_share_and_waits_with_a_stop(inside: Any) -> None:
    bought = inside.rh.order_buy_fractional_by_quantity("AAPL", 1.5)
    assert _stands(inside, bought["id"]) == ("filled", "1.5")
    stop = inside.rh.order_sell_stop_loss("AAPL", 1, 185)["id"]
    assert _stands(inside, stop) == ("confirmed", "0")
    assert [each["id"] for each in inside.rh.get_all_open_stock_orders()] == [stop]
    inside.server.quote("AAPL", "184.90", "185", "184.95")
    assert _stands(inside, stop) == ("filled", "1")
    assert inside.shown(stop)["average_price"] == "184.90000000"


def test_a_limit_order_rests_until_the_market_comes_to_it(inside: Any) -> None:
    order = inside.order(**LIMIT)
    assert _stands(inside, order) == ("confirmed", "0")
    inside.later(minutes=5)
    inside.server.quote("AAPL", "188.90", "189.00", "188.95")
    shown = inside.shown(order)
    assert (shown["state"], shown["average_price"]) == ("filled", "189.00000000")
    assert shown["created_at"] == "2026-11-20T15:00:00.000000Z"
    assert shown["updated_at"] == shown["executions"][0]["timestamp"] == "2026-11-20T15:05:00.000000Z"


def test_a_quote_holds_no_more_than_its_size(inside: Any) -> None:
    orders = [inside.order(**LIMIT), inside.order(**LIMIT)]
    inside.server.quote("AAPL", "188", "189", size=12)
    assert [_stands(inside, order) for order in orders] == [("filled", "10"), ("partially_filled", "2")]
    late = inside.order(quantity=1)
    assert _stands(inside, late) == ("confirmed", "0"), "nothing is left of it"
    inside.cancel(orders[1])
    assert _stands(inside, orders[1]) == ("partially_filled_rest_cancelled", "2")
    inside.server.quote("AAPL", "188", "189", size=12)
    assert _stands(inside, late) == ("filled", "1")


def test_accounts_share_what_a_quote_holds(inside: Any) -> None:
    theirs = f"{API}/accounts/5QX00002/"
    orders = [inside.order(**LIMIT), inside.order(account=theirs, **LIMIT)]
    inside.server.quote("AAPL", "188", "189", size=10)
    assert [_stands(inside, order) for order in orders] == [("filled", "10"), ("confirmed", "0")]


def test_a_cancel_takes_its_time_and_a_fill_may_come_first(inside: Any) -> None:
    inside.server.orders.cancel_takes = dt.timedelta(seconds=2)
    lost, won = inside.order(**LIMIT), inside.order(type="limit", price="180")
    assert [inside.cancel(order).status_code for order in (lost, won)] == [200, 200]
    assert _stands(inside, lost) == ("pending_cancelled", "0")
    inside.later(seconds=1)
    inside.server.quote("AAPL", "188.90", "189", "189")
    inside.later(seconds=1)
    assert [_stands(inside, order) for order in (lost, won)] == [("filled", "10"), ("cancelled", "0")]
    assert inside.cancel(won).json() == {"detail": "Order cannot be cancelled at this time."}


def test_an_order_cannot_be_canceled_before_it_is_confirmed(inside: Any) -> None:
    inside.server.orders.confirm_takes = dt.timedelta(seconds=2)
    order = inside.order(**LIMIT)
    assert inside.cancel(order).status_code == 403
    assert _stands(inside, order) == ("unconfirmed", "0")
    inside.later(seconds=2)
    assert inside.cancel(order).status_code == 200


@pytest.mark.parametrize(("knows", "status"), [("error", 400), ("existing", 200)])
def test_a_ref_id_makes_one_order_however_often_it_comes(inside: Any, knows: Any, status: int) -> None:
    inside.server.orders.duplicates = knows
    ticket = inside.ticket(**LIMIT)
    inside.wrong(Fault("lost", path="/orders/", method="POST", times=1))
    with pytest.raises(requests.ConnectionError):
        inside.post(ticket)
    again = inside.post(ticket)
    assert again.status_code == status
    assert len(inside.server.orders.placed) == 1
    listed = inside.get("/orders/")["results"]
    assert [each["ref_id"] for each in listed] == [ticket["ref_id"]]
    if knows == "error":
        assert again.json() == {"ref_id": ["Order with this ref_id already exists."]}


@pytest.mark.parametrize(
    ("terms", "says"),
    [
        pytest.param({"quantity": 10_000}, "Not enough buying power", id="money"),
        pytest.param({"symbol": "IBM", "side": "sell", "quantity": 11}, "Not enough shares", id="shares"),
        pytest.param({"type": "limit", "price": "189.005"}, "min tick", id="a price between the ticks"),
        pytest.param({"type": "limit"}, "price", id="a limit without a price"),
        pytest.param({"type": "limit", "price": "189", "quantity": "0.5"}, "Parts of a share", id="parts at a limit"),
        pytest.param({"trigger": "stop"}, "stop_price", id="a stop without one"),
        pytest.param({"quantity": 0}, "greater than 0", id="nothing"),
        pytest.param({"quantity": None}, "required", id="no quantity"),
        pytest.param({"order_form_version": None}, "app version", id="no version"),
        pytest.param({"order_form_version": 1}, "app version", id="an old version"),
        pytest.param({"ref_id": None}, "ref_id", id="no ref_id"),
        pytest.param({"ref_id": "mine"}, "valid UUID", id="a ref_id that is none"),
        pytest.param({"account": f"{API}/accounts/5QX99999/"}, "account", id="another's account"),
        pytest.param({"instrument": f"{API}/instruments/none/"}, "instrument", id="an instrument that is none"),
        pytest.param({"extended_hours": True}, "mismatch", id="hours that contradict each other"),
        pytest.param({"side": "short"}, "not a valid choice", id="a side that is none"),
    ],
)
def test_what_is_wrong_with_an_order_is_said(inside: Any, terms: dict[str, Any], says: str) -> None:
    answer = inside.post(inside.ticket(**terms))
    assert (answer.status_code, says in answer.text) == (400, True), answer.text
    assert "id" not in answer.json()
    assert inside.server.orders.placed == []


def test_forms_and_json_are_the_same_order(inside: Any) -> None:
    form = inside.session.post(f"{API}/orders/", data=inside.ticket(**LIMIT)).json()
    sent = inside.post(inside.ticket(**LIMIT)).json()
    assert {name for name in form if form[name] != sent[name]} == {"id", "ref_id", "url", "cancel"}


def test_dollars_buy_what_they_can(inside: Any) -> None:
    amount = {"amount": "250.00", "currency_code": "USD"}
    order = inside.order(quantity=None, dollar_based_amount=amount)
    assert _stands(inside, order) == ("filled", "1.318982")


def test_a_halt_stops_new_orders_and_fills(inside: Any) -> None:
    order = inside.order(**LIMIT)
    inside.server.halt("AAPL", "news pending")
    inside.server.quote("AAPL", "180", "180.1", "180")
    assert inside.post(inside.ticket()).status_code == 400
    assert inside.get("/quotes/?symbols=AAPL")["results"][0]["trading_halted"] is True
    assert _stands(inside, order) == ("confirmed", "0")
    inside.server.end_halt("AAPL")
    inside.server.quote("AAPL", "180", "180.1", "180")
    assert _stands(inside, order) == ("filled", "10")


def test_orders_of_the_night_wait_for_the_open_and_day_orders_end_at_the_close(inside: Any) -> None:
    inside.at = NIGHT
    day, till = inside.order(**LIMIT), inside.order(type="limit", price="100", time_in_force="gtc")
    assert _stands(inside, day) == ("queued", "0")
    inside.server.quote("AAPL", "188", "188.5", "188")
    assert _stands(inside, day) == ("queued", "0"), "nobody trades on a Saturday"
    inside.at = dt.datetime(2026, 11, 23, 14, 30, tzinfo=dt.UTC)
    assert _stands(inside, day) == ("confirmed", "0")
    inside.at = dt.datetime(2026, 11, 23, 21, 0, tzinfo=dt.UTC)
    assert [_stands(inside, order)[0] for order in (day, till)] == ["cancelled", "queued"]


def test_the_evening_has_its_own_orders(inside: Any) -> None:
    inside.at = FRIDAY_EVENING
    regular = inside.order(type="limit", price="190")
    extended = inside.order(type="limit", price="190", market_hours="extended_hours", extended_hours=True)
    assert [_stands(inside, order)[0] for order in (regular, extended)] == ["queued", "filled"]
    inside.at = NIGHT
    late = inside.ticket(type="limit", price="190", market_hours="extended_hours", extended_hours=True)
    assert "closed" in inside.post(late).text
    inside.server.orders.closed = "refuse"
    assert "closed" in inside.post(inside.ticket(**LIMIT)).text


def test_an_order_may_be_rejected_afterwards_or_stand_anyhow(inside: Any) -> None:
    inside.server.orders.reject_next = "Too risky."
    order = inside.order(**LIMIT)
    shown = inside.shown(order)
    assert (shown["state"], shown["reject_reason"], shown["cancel"]) == ("rejected", "Too risky.", None)
    other = inside.order(**LIMIT)
    inside.server.orders.changed[other] = {"state": "voided"}
    assert (inside.shown(other)["state"], inside.shown(other)["cancel"]) == ("voided", None)


def test_lists_are_newest_first_by_pages_of_one_account(inside: Any) -> None:
    mine = []
    for _ in range(5):
        mine.append(inside.order(**LIMIT))
        inside.later(minutes=1)
    other = inside.order(account=f"{API}/accounts/5QX00002/", **LIMIT)
    inside.server.orders.page_size = 2
    assert [each["id"] for each in inside.rh.get_all_stock_orders()] == mine[::-1]
    assert [each["id"] for each in inside.rh.get_all_stock_orders(account_number="5QX00002")] == [other]
    first = inside.get("/orders/?account_numbers=5QX00001,5QX00002")
    assert [each["id"] for each in first["results"]] == [other, mine[-1]]
    assert first["next"].startswith(f"{API}/orders/?account_numbers=5QX00001%2C5QX00002&cursor=")
    since = inside.get("/orders/?updated_at[gte]=2026-11-20T15:03:00Z")["results"]
    assert [each["id"] for each in since] == [mine[4], mine[3]]


def test_an_order_that_comes_between_two_pages_moves_none_onto_both(inside: Any) -> None:
    mine = [inside.order(**LIMIT) for _ in range(3)]
    inside.server.orders.page_size = 2
    first = inside.get("/orders/")
    inside.order(**LIMIT)
    second = inside.session.get(first["next"]).json()
    assert [each["id"] for each in first["results"] + second["results"]] == mine[::-1]


def test_the_second_page_can_fail_and_robin_stocks_says_nothing_of_it(inside: Any) -> None:
    for _ in range(3):
        inside.order(**LIMIT)
    inside.server.orders.page_size = 2
    inside.wrong(Fault("status", path="/orders/", page=2))
    assert len(inside.rh.get_all_stock_orders()) == 2
    assert [each.status for each in inside.server.requests[-2:]] == [200, 503]


def test_another_persons_order_is_not_found(inside: Any) -> None:
    order = inside.order(**LIMIT)
    assert inside.cancel(str(uuid.uuid4())).status_code == 404
    other = inside.server.auth.mint(Person("other@example.com", accounts={"main": "5QX00003"}))
    inside.session.headers["Authorization"] = f"Bearer {other['access_token']}"
    assert inside.session.get(f"{API}/orders/{order}/").status_code == 404
    assert inside.cancel(order).status_code == 404
    assert inside.get("/orders/?account_numbers=5QX00001")["results"] == []


def test_a_body_that_is_none_is_refused(inside: Any) -> None:
    said = {"Content-Type": "application/json"}
    assert "JSON parse error" in inside.session.post(f"{API}/orders/", data="ref_id=1", headers=said).text
    assert inside.session.post(f"{API}/orders/", data="[]", headers=said).status_code == 400


def test_crypto_is_traded_at_another_host(inside: Any) -> None:
    rh = inside.rh
    bought, rests = rh.order_buy_crypto_by_quantity("BTC", 0.5), rh.order_buy_crypto_limit("BTC", 0.1, 80_000.0)
    assert (bought["state"], rh.get_crypto_order_info(bought["id"])["state"]) == ("unconfirmed", "filled")
    assert rh.get_crypto_positions("quantity_available") == ["0.500000000000000000"]
    assert D(rh.load_account_profile(info="cash")) == 100_000 - D("45005")
    assert [each["id"] for each in rh.get_all_open_crypto_orders()] == [rests["id"]]
    inside.server.quote("BTC-USD", "79000", "79010")
    assert rh.get_crypto_order_info(rests["id"])["average_price"] == f"{79010:.18f}"
    too_much = rh.order_buy_crypto_limit("BTC", 10, 80_000.0)
    assert too_much == {"non_field_errors": ["Not enough buying power."]}
    resting = rh.order_sell_crypto_limit("BTC", 0.1, 99_000.0)["id"]
    rh.cancel_crypto_order(resting)
    assert rh.get_crypto_order_info(resting)["state"] == "canceled"
    assert inside.get("/orders/")["results"] == [], "at api there are none"
