"""The exchange: fills worked out by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest

from quaestor.bars import Bar
from quaestor.exchange import Costs, cents, collar
from quaestor.matching import Working, touch
from quaestor.orders import OrderType, Side

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
SESSION = dt.date(2012, 1, 3)
NO_COSTS = Costs(slippage_bps=D(0))


def bar(opened: str, high: str, low: str, close: str) -> Bar:
    at = dt.datetime(2012, 1, 3, 21, tzinfo=dt.UTC)
    return Bar("AAPL", SESSION, at, D(opened), D(high), D(low), D(close), 1_000_000)


def filled(side: Side, day: Bar, limit: str | None = None, reference: str = "100", costs: Costs = NO_COSTS) -> str:
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    order = Working(uuid.uuid4(), side, kind, D(100), D(reference), None if limit is None else D(limit))
    price = touch(order, day, costs).price
    return "none" if price is None else str(price)


@pytest.mark.parametrize(
    ("side", "day", "expected"),
    [
        pytest.param(BUY, bar("101", "103", "99", "102"), "101.00", id="a purchase at the open"),
        pytest.param(SELL, bar("101", "103", "99", "102"), "101.00", id="a sale at the open"),
        pytest.param(BUY, bar("105", "106", "104", "105"), "105.00", id="a purchase exactly at the collar"),
        pytest.param(BUY, bar("107", "109", "104", "108"), "105.00", id="above it, and the price comes back"),
        pytest.param(BUY, bar("107", "109", "105", "108"), "none", id="above it, and the price only touches it"),
        pytest.param(BUY, bar("107", "109", "106", "108"), "none", id="above it all day"),
        pytest.param(BUY, bar("80", "82", "79", "81"), "80.00", id="far below: a purchase is glad of it"),
        pytest.param(SELL, bar("80", "82", "79", "81"), "80.00", id="far below: a sale gets out all the same"),
    ],
)
def test_a_market_order_fills_at_the_open_and_a_purchase_within_its_collar(side: Side, day: Bar, expected: str) -> None:
    assert filled(side, day) == expected


@pytest.mark.parametrize(
    ("side", "limit", "day", "expected"),
    [
        pytest.param(BUY, "100", bar("99", "103", "98", "102"), "99", id="the open is better than the limit"),
        pytest.param(BUY, "100", bar("100", "103", "99.50", "102"), "100", id="the open is the limit"),
        pytest.param(BUY, "100", bar("102", "103", "99.99", "102"), "100", id="the price goes through it later"),
        pytest.param(BUY, "100", bar("102", "103", "100", "102"), "none", id="a touch may leave us in the queue"),
        pytest.param(BUY, "100", bar("102", "103", "101", "102"), "none", id="never reached"),
        pytest.param(BUY, "100", bar("90", "91", "89", "90"), "90", id="a gap through the limit, to our good"),
        pytest.param(SELL, "100", bar("101", "103", "98", "102"), "101", id="a sale: the open is better"),
        pytest.param(SELL, "100", bar("98", "100.01", "97", "99"), "100", id="a sale: the price goes through it"),
        pytest.param(SELL, "100", bar("98", "100", "97", "99"), "none", id="a sale: a touch"),
        pytest.param(SELL, "100", bar("120", "121", "119", "120"), "120", id="a sale: a gap to our good"),
    ],
)
def test_a_limit_order_fills_at_the_open_or_at_its_limit(side: Side, limit: str, day: Bar, expected: str) -> None:
    assert filled(side, day, limit) == expected


@pytest.mark.parametrize(
    ("side", "opened", "expected"),
    [
        pytest.param(BUY, "405.00", "405.05", id="405.0405 rounds up against a purchase"),
        pytest.param(SELL, "405.00", "404.95", id="404.9595 rounds down against a sale"),
        pytest.param(BUY, "10.00", "10.01", id="a tick at least"),
    ],
)
def test_slippage_moves_a_market_fill_against_us_to_the_next_tick(side: Side, opened: str, expected: str) -> None:
    day = bar(opened, "500", "1", "300")
    assert filled(side, day, reference=opened, costs=Costs(slippage_bps=D(1))) == expected


def test_slippage_beyond_the_collar_waits_for_the_collar() -> None:
    costs = Costs(slippage_bps=D(10))
    assert filled(BUY, bar("104.95", "106", "104.90", "105.50"), costs=costs) == "105.00"


def test_a_share_of_one_cent_still_sells_for_a_cent() -> None:
    assert filled(SELL, bar("0.01", "0.02", "0.01", "0.01"), costs=Costs()) == "0.01"


def test_a_limit_order_pays_no_slippage() -> None:
    assert filled(BUY, bar("99", "103", "98", "102"), "100", costs=Costs(slippage_bps=D(100))) == "99"


def test_the_collar_rounds_down_to_the_tick() -> None:
    assert collar(D("33.33")) == D("34.99")  # 34.9965


@pytest.mark.parametrize(
    ("side", "quantity", "price", "commission", "expected"),
    [
        pytest.param(BUY, "100", "50", "0", "0.00", id="a purchase is free"),
        pytest.param(BUY, "100", "50", "1.5", "1.50", id="but for the commission"),
        pytest.param(SELL, "100", "50", "0", "0.16", id="5000 sold: 0.139 up to 0.14, and 0.0166 up to 0.02"),
        pytest.param(SELL, "1", "1", "0", "0.02", id="each fee is a cent at least"),
        pytest.param(SELL, "0.5", "10", "0.001", "0.03", id="a part of a cent of commission is a cent"),
        pytest.param(SELL, "1000", "100", "0", "2.95", id="100 000 sold: 2.78 exactly, and 0.166 up to 0.17"),
    ],
)
def test_fees_round_up_to_the_cent(side: Side, quantity: str, price: str, commission: str, expected: str) -> None:
    assert str(Costs(commission=D(commission)).fee(side, D(quantity), D(price))) == expected


def test_cents_round_half_to_even() -> None:
    assert [str(cents(D(amount))) for amount in ("1.005", "1.015", "-1.005")] == ["1.00", "1.02", "-1.00"]
