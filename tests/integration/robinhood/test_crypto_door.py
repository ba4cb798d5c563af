"""Crypto by the private API: what an account holds beside its shares, in the same strict words."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from quaestor.doors.robinhood.crypto import Crypto
from quaestor.doors.sim.faults import Fault
from quaestor.errors import AccessLost, BrokerAmbiguous, BrokerBusy, BrokerRejected, NotFound, QuaestorError, Temporary
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.ticks import QuoteTick

D = Decimal
BUY = Intent("main", "m", "BTC-USD", dt.date(2026, 11, 20), "cause", Side.BUY, D("0.5"), D(90_000))
LIMIT = replace(BUY, order_type=OrderType.LIMIT, limit_price=D(80_000), time_in_force=TimeInForce.GTC, leg=1)


@pytest.fixture
def crypto(site: Any) -> Crypto:
    site.server.quote("BTC-USD", 89_990, 90_010, 90_000)
    return Crypto(site.line())


async def test_quotes_are_told_by_pair(site: Any, crypto: Crypto) -> None:
    at = int(site.at.timestamp()) * 10**9
    assert await crypto.quotes(["BTC-USD"]) == [QuoteTick("BTC-USD", at, 89_990.0, 90_010.0, 0.0, 0.0)]
    with pytest.raises(NotFound, match="Did you mean 'BTC-USD'"):
        await crypto.quotes(["BTC-USB"])


async def test_an_order_is_one_request_and_its_fill_is_held(site: Any, crypto: Crypto) -> None:
    await crypto.submit(LIMIT)
    before = len(site.asked())
    placed = await crypto.submit(BUY)
    assert site.asked()[before:] == ["POST /orders/"]
    (fill,) = await crypto.executions()
    assert (fill.broker_id, fill.ref_id, fill.price, fill.quantity) == (
        placed.broker_id,
        BUY.ref_id,
        D(90_010),
        D("0.5"),
    )
    assert await crypto.holdings() == {"BTC-USD": D("0.5")}
    assert [order.state for order in await crypto.orders()] == [State.ACKED, State.FILLED]


async def test_the_same_reference_is_the_same_order(crypto: Crypto) -> None:
    first = await crypto.submit(LIMIT)
    assert (await crypto.submit(LIMIT)).broker_id == first.broker_id
    assert len(await crypto.orders()) == 1


async def test_a_cancel_ends_an_order_and_leaves_one_that_is_over(crypto: Crypto) -> None:
    resting, filled = await crypto.submit(LIMIT), await crypto.submit(BUY)
    for order in (resting, resting, filled):
        await crypto.cancel(order.broker_id)
    assert [order.state for order in await crypto.orders()] == [State.CANCELED, State.FILLED]
    with pytest.raises(BrokerRejected):
        await crypto.cancel("nobodys")


@pytest.mark.parametrize(
    ("order", "says"),
    [
        pytest.param(replace(BUY, quantity=D(100)), "Not enough buying power", id="no money"),
        pytest.param(replace(BUY, side=Side.SELL), "Not enough crypto", id="none held"),
        pytest.param(replace(BUY, symbol="DOGE-USD"), "Unknown pair 'DOGE-USD'", id="no such pair"),
        pytest.param(replace(BUY, order_type=OrderType.STOP, stop_price=D(95_000)), "no stops", id="a stop"),
    ],
)
async def test_a_clear_no_leaves_no_order(crypto: Crypto, order: Intent, says: str) -> None:
    with pytest.raises(BrokerRejected, match=says):
        await crypto.submit(order)
    assert await crypto.orders() == []


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault("status", status=500), BrokerAmbiguous, id="500"),
        pytest.param(Fault("lost"), BrokerAmbiguous, id="no answer"),
        pytest.param(Fault("status", status=429), BrokerBusy, id="429"),
        pytest.param(Fault("status", status=401), AccessLost, id="401"),
    ],
)
async def test_an_answer_to_an_order_is_one_of_three_words(
    site: Any, crypto: Crypto, fault: Fault, error: type[QuaestorError]
) -> None:
    site.wrong(replace(fault, path="/orders/", method="POST"))
    with pytest.raises(error):
        await crypto.submit(BUY)


async def test_a_lookup_that_fails_leaves_nothing_in_doubt(site: Any, crypto: Crypto) -> None:
    site.wrong(Fault("status", path="/currency_pairs/", status=500))
    with pytest.raises(BrokerBusy, match="Nothing was sent"):
        await crypto.submit(BUY)
    for asking in (lambda: crypto.quotes(["BTC-USD"]), crypto.orders, crypto.executions):
        with pytest.raises(Temporary):
            await asking()
