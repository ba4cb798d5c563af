"""Matching: stops, pairs, volume and quotes, worked out by hand."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest

from quaestor.bars import Bar
from quaestor.exchange import Costs
from quaestor.matching import Met, Quote, Touch, Working, meet, touch
from quaestor.orders import OrderType, Side

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT
COSTS = Costs(slippage_bps=D(5))  # 5 cents of 100 dollars


def bar(opened: str, high: str, low: str, close: str, volume: int = 1_000) -> Bar:
    at = dt.datetime(2012, 1, 3, 21, tzinfo=dt.UTC)
    return Bar("AAPL", dt.date(2012, 1, 3), at, D(opened), D(high), D(low), D(close), volume)


def order(
    side: Side, kind: OrderType, limit: str | None = None, stop: str | None = None, left: str = "100", oco: str = ""
) -> Working:
    prices = (None if limit is None else D(limit), None if stop is None else D(stop))
    return Working(uuid.uuid4(), side, kind, D(left), D(100), *prices, oco=oco)


def said(found: Touch) -> str:
    price = "none" if found.price is None else f"{found.price:.2f}"
    return ("touched " if found.triggered else "") + price + (" at the open" if found.at_open else "")


@pytest.mark.parametrize(
    ("side", "stop", "day", "expected"),
    [
        pytest.param(SELL, "95", bar("100", "101", "96", "97"), "none", id="not reached"),
        pytest.param(SELL, "95", bar("100", "101", "95", "97"), "touched 94.95", id="just touched, and slipped"),
        pytest.param(SELL, "95", bar("95", "101", "95", "97"), "touched 94.95 at the open", id="touched by the open"),
        pytest.param(SELL, "95", bar("80", "101", "79", "97"), "touched 79.96 at the open", id="jumped over: no 95"),
        pytest.param(BUY, "105", bar("100", "104.99", "99", "101"), "none", id="a purchase: not reached"),
        pytest.param(BUY, "105", bar("100", "106", "99", "101"), "touched 105.06", id="a purchase: 105.0525 up"),
        pytest.param(BUY, "105", bar("108", "109", "107", "108"), "touched 108.06 at the open", id="jumped over"),
        pytest.param(BUY, "105", bar("112", "113", "111", "112"), "touched none", id="beyond the collar of 110.25"),
        pytest.param(BUY, "105", bar("112", "113", "110", "112"), "touched 110.25", id="and it comes back to it"),
    ],
)
def test_a_stop_is_touched_by_the_range_and_fills_where_the_market_is(
    side: Side, stop: str, day: Bar, expected: str
) -> None:
    assert said(touch(order(side, STOP, stop=stop), day, COSTS)) == expected


@pytest.mark.parametrize(
    ("side", "stop", "limit", "day", "expected"),
    [
        pytest.param(SELL, "95", "94", bar("100", "101", "96", "97"), "none", id="not touched"),
        pytest.param(SELL, "95", "94", bar("100", "101", "90", "91"), "touched 94.95", id="touched within its limit"),
        pytest.param(SELL, "95", "94.98", bar("100", "101", "90", "91"), "touched 94.98", id="slipped to its limit"),
        pytest.param(SELL, "95", "95", bar("100", "101", "90", "91"), "touched none", id="a touch of stop and limit"),
        pytest.param(SELL, "95", "95", bar("100", "101", "90", "96"), "touched 95.00", id="the close is beyond"),
        pytest.param(SELL, "95", "94", bar("90", "93", "89", "91"), "touched none", id="jumped over both, for all day"),
        pytest.param(SELL, "95", "94", bar("90", "95", "89", "91"), "touched 94.00", id="jumped over, and back"),
        pytest.param(SELL, "95", "94", bar("94.50", "95", "89", "91"), "touched 94.45 at the open", id="between"),
        pytest.param(SELL, "95", "97", bar("100", "101", "90", "96"), "touched none", id="the high may be earlier"),
        pytest.param(BUY, "105", "104", bar("100", "106", "99", "105"), "touched none", id="the low may be earlier"),
        pytest.param(BUY, "105", "104", bar("100", "106", "99", "103"), "touched 104.00", id="the close is later"),
        pytest.param(BUY, "105", "107", bar("100", "106", "99", "103"), "touched 105.06", id="a purchase"),
    ],
)
def test_a_stop_limit_fills_only_where_its_limit_is_surely_met_after_the_touch(
    side: Side, stop: str, limit: str, day: Bar, expected: str
) -> None:
    assert said(touch(order(side, STOP_LIMIT, limit, stop), day, COSTS)) == expected


def pair(stop: Working, other: Working, day: Bar) -> list[tuple[str, bool]]:
    found: list[Met] = meet([other, stop], day, COSTS)
    by_id = {each.order.id: each for each in found}
    return [("none" if m.price is None else str(m.price), m.canceled) for m in (by_id[stop.id], by_id[other.id])]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        pytest.param(bar("100", "111", "94", "100"), [("94.95", False), ("none", True)], id="both could: the stop"),
        pytest.param(bar("112", "113", "94", "100"), [("none", True), ("112", False)], id="the limit, at the open"),
        pytest.param(bar("100", "111", "96", "100"), [("none", True), ("110", False)], id="the limit alone"),
        pytest.param(bar("90", "111", "89", "100"), [("89.95", False), ("none", True)], id="the stop, at the open"),
        pytest.param(bar("100", "109", "96", "100"), [("none", False), ("none", False)], id="neither"),
    ],
)
def test_of_a_pair_one_trades_and_the_other_is_canceled(day: Bar, expected: list[tuple[str, bool]]) -> None:
    assert pair(order(SELL, STOP, stop="95", oco="exit"), order(SELL, LIMIT, "110", oco="exit"), day) == expected


def test_a_stop_limit_of_a_pair_is_taken_to_be_first_where_it_may_be() -> None:
    stop, other = order(SELL, STOP_LIMIT, "95", "95", oco="exit"), order(SELL, LIMIT, "110", oco="exit")
    assert pair(stop, other, bar("100", "111", "94", "94")) == [("95", False), ("none", True)]


def test_what_a_bar_bears_is_shared_in_the_order_it_came() -> None:
    costs = Costs(participation=D("0.1"))
    book = [
        order(BUY, OrderType.MARKET, left="60"),
        order(SELL, LIMIT, "200"),
        order(BUY, OrderType.MARKET, left="60.5"),
    ]
    met = {each.order.id: each.quantity for each in meet(book, bar("100", "101", "99", "100"), costs)}
    assert [met[each.id] for each in book] == [D(60), D(0), D(40)]
    everything = meet(book, bar("100", "101", "99", "100", volume=1), Costs())
    assert sum(each.quantity for each in everything) == D("120.5"), "without a limit the volume does not matter"


def test_half_the_spread_is_against_a_market_order_and_not_in_a_quote() -> None:
    costs = Costs(slippage_bps=D(0), spread_bps=D(20))
    assert touch(order(BUY, OrderType.MARKET), bar("100", "101", "99", "100"), costs).price == D("100.10")
    assert touch(order(SELL, OrderType.MARKET), bar("100", "101", "99", "100"), costs).price == D("99.90")
    assert touch(order(BUY, OrderType.MARKET), Quote(D(99), D(100)), costs).price == D(100)
    assert touch(order(BUY, OrderType.MARKET), Quote(last=D(100)), costs).price == D("100.10")


@pytest.mark.parametrize(
    ("working", "quote", "expected"),
    [
        pytest.param(order(BUY, OrderType.MARKET), Quote(D(99), D(101)), "101.06", id="a purchase pays the ask"),
        pytest.param(order(SELL, OrderType.MARKET), Quote(D(99), D(101)), "98.95", id="a sale gets the bid"),
        pytest.param(order(BUY, OrderType.MARKET), Quote(D(105), D(106)), "none", id="beyond the collar"),
        pytest.param(order(BUY, LIMIT, "101"), Quote(D(99), D(101)), "101.00", id="the ask comes to the limit"),
        pytest.param(order(BUY, LIMIT, "100"), Quote(D(99), D(101)), "none", id="the ask is above it"),
        pytest.param(order(BUY, LIMIT, "100"), Quote(last=D(100)), "none", id="a print at the limit: the queue"),
        pytest.param(order(BUY, LIMIT, "100"), Quote(last=D("99.98")), "100.00", id="a print through it"),
        pytest.param(order(SELL, STOP, stop="95"), Quote(D("94"), D("95"), D("96")), "none", id="no print touches it"),
        pytest.param(order(SELL, STOP, stop="95"), Quote(D("94"), D("95"), D("95")), "touched 93.95", id="one does"),
        pytest.param(order(SELL, STOP, stop="95"), Quote(D("94"), D("95")), "touched 93.95", id="the bid does"),
        pytest.param(
            order(SELL, STOP_LIMIT, "94.50", "95"), Quote(D("94"), D("95")), "touched none", id="limit missed"
        ),
        pytest.param(order(SELL, STOP, stop="95"), Quote(ask=D(96), last=D("94")), "touched 93.95", id="no bid known"),
        pytest.param(order(SELL, STOP, stop="95"), Quote(), "none", id="nothing known"),
    ],
)
def test_an_order_meets_a_quote_or_a_print(working: Working, quote: Quote, expected: str) -> None:
    assert said(touch(working, quote, COSTS)) == expected


def test_a_quotes_size_is_shared_as_a_bars_volume_is() -> None:
    (met,) = meet([order(BUY, OrderType.MARKET)], Quote(D(99), D(100), size=D(100)), Costs(participation=D("0.5")))
    assert met.quantity == D(50)
