"""What may go wrong at Robinhood between a decision and its order: each of it was tried once, and is held here."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from quaestor.doors.robinhood.wire import HOST
from quaestor.doors.sim.faults import Fault
from quaestor.errors import BadInput, BrokerAmbiguous, BrokerBusy
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.queueing import Priority

D = Decimal
SESSION = dt.date(2026, 11, 20)
BUY = Intent("main", "m", "AAPL", SESSION, "cause", Side.BUY, D(100), D(100))
LIMIT = replace(BUY, order_type=OrderType.LIMIT, limit_price=D(90), time_in_force=TimeInForce.GTC)
ORDERS = f"https://{HOST}/orders/"
ENTRY = Priority.ENTRY


@pytest.mark.parametrize("location", ["https://[half/an/address", "https://a:b:c/", "//", "https://\udcff.example/"])
async def test_a_redirect_to_nowhere_leaves_an_order_in_doubt_and_is_not_followed(site: Any, location: str) -> None:
    broker = site.broker()
    await broker.prepare(["AAPL"])
    headers = {"Location": location.encode("utf-8", "surrogateescape").decode("latin-1")}
    site.wrong(Fault("status", path="/orders/", method="POST", status=301, headers=headers))
    with pytest.raises(BrokerAmbiguous):
        await broker.submit(BUY)
    assert len(site.asked("/orders/")) == 1


async def test_an_order_that_waits_in_line_is_not_sent_once_robinhood_says_to_wait_for_long(site: Any) -> None:
    line = site.line(spacing=0.2, timeout=1.0)
    await line.write("first", ORDERS, {}, ENTRY)
    site.wrong(Fault("status", path="/orders/", method="POST", status=429, headers={"Retry-After": "20"}))
    began = time.monotonic()
    told = await asyncio.gather(*(line.write(f"{n}", ORDERS, {}, ENTRY) for n in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [BrokerBusy] * 3
    assert time.monotonic() - began < 5
    assert len(site.asked("/orders/")) == 2


@pytest.mark.parametrize("status", [404, 403, 500])
async def test_a_cancel_whose_order_cannot_be_looked_at_is_in_doubt(site: Any, status: int) -> None:
    broker = site.broker()
    placed = await broker.submit(LIMIT)
    site.wrong(
        Fault("status", path="/cancel/", status=403, words={"detail": "Order cannot be cancelled at this time."}),
        Fault("status", path=f"/orders/{placed.broker_id}/", method="GET", status=status),
    )
    with pytest.raises(BrokerAmbiguous):
        await broker.cancel(placed.broker_id)


async def test_an_old_orders_instrument_does_not_come_back_after_a_split(site: Any) -> None:
    broker = site.broker()
    await broker.submit(replace(LIMIT, quantity=D(1)))
    old = site.server.orders.placed[-1].ticket.instrument
    new = site.server.instruments.renumber("AAPL")
    row = site.server.instruments.row
    site.server.instruments._ids["AAPLOLD"] = old
    site.server.instruments.row = lambda s: row(s) | ({"symbol": "AAPL", "state": "inactive"} if s == "AAPLOLD" else {})
    fresh = site.broker()
    assert (await fresh.instrument("AAPL")).id == new
    assert [order.symbol for order in await fresh.orders()] == ["AAPL"]
    assert (await fresh.instrument("AAPL")).id == new


async def test_what_may_only_be_closed_is_not_halted(site: Any) -> None:
    site.server.instruments.changed["AAPL"] = {"tradability": "position_closing_only"}
    broker = site.broker(universe=["AAPL"])
    await broker.prepare(["AAPL"])
    assert await broker.halted() == frozenset()


async def test_an_order_in_dollars_by_hand_is_told_like_any_other(site: Any) -> None:
    broker = site.broker()
    placed = await broker.submit(LIMIT)
    dollars = {"amount": "50.00", "currency_code": "USD"}
    site.server.orders.changed[placed.broker_id] = {
        "quantity": None,
        "dollar_based_amount": dollars,
        "ref_id": None,
        "type": "market",
        "price": None,
    }
    (order,) = await broker.orders()
    assert (order.state, order.filled) == (State.ACKED, D(0))
    assert order.quantity > 0


async def test_a_name_that_is_no_symbol_of_ours_hides_nothing_else(site: Any) -> None:
    broker = site.broker()
    placed = await broker.submit(LIMIT)
    site.server.instruments.changed["AAPL"] = {"symbol": "AAPL-WT$x"}
    (order,) = await site.broker().orders()
    assert (order.symbol, order.broker_id) == ("AAPL-WT$x", placed.broker_id)


async def test_shares_under_two_instruments_of_a_symbol_are_counted_together(site: Any) -> None:
    broker = site.broker()
    await broker.submit(replace(BUY, quantity=D(10)))
    site.trade(100)
    whole = broker.line.listing

    async def listing(subject: str, url: str, params: Any = None) -> Any:
        rows = await whole(subject, url, params)
        return [*rows, *rows] if subject == "Positions" else rows

    broker.line.listing = listing
    assert dict((await broker.account()).positions) == {"AAPL": D(20)}


async def test_hours_without_a_zone_are_no_hours(site: Any) -> None:
    site.server.hours.said[SESSION] = {"opens_at": "2026-11-20T14:30:00"}
    with pytest.raises(BadInput, match="without a zone"):
        await site.broker().hours_differ(SESSION)


async def test_one_quote_that_cannot_be_read_silences_no_other(site: Any) -> None:
    site.server.quote("IBM", 250, 250, 250)
    broker = site.broker()
    whole = broker._quotes._line.get

    async def get(subject: str, url: str, params: Any = None) -> Any:
        said = await whole(subject, url, params)
        for row in said["results"]:
            if row["symbol"] == "IBM":
                row["updated_at"] = None
        return said

    broker._quotes._line.get = get
    assert {tick.symbol for tick in await broker.quotes(["AAPL", "IBM"])} == {"AAPL"}
    with pytest.raises(BadInput, match="IBM"):
        await broker.quotes(["IBM"])
