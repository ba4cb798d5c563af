"""The band: near which price, and how long, a decided order may still be sent."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from quaestor import calendar
from quaestor.bars import Bar
from quaestor.config import RiskSection
from quaestor.doors.memory.broker import Quotes
from quaestor.operations.band import band
from quaestor.operations.market import ExchangeMarket
from quaestor.orders import Intent, Side, State
from quaestor.ports import StoredOrder

D = Decimal
DAY = dt.date(2026, 11, 20)
BEFORE = calendar.previous_session(DAY)
NOON = dt.datetime(2026, 11, 20, 17, tzinfo=dt.UTC)
CLOSE = Bar("AAPL", BEFORE, calendar.session_close(BEFORE), D(100), D(100), D(100), D(100), 1_000)


class NoLatch:
    """Nothing stops entries."""

    async def latches(self, _: str) -> list[Any]:
        return []


def order(price: str) -> StoredOrder:
    intent = Intent("main", "m", "AAPL", DAY, "cause", Side.BUY, D(1), D(price))
    return StoredOrder(intent, intent.ref_id, State.UNKNOWN, 1, None, D(0), None, NOON, NOON)


@pytest.mark.parametrize(
    ("price", "last", "over"),
    [
        pytest.param("105", None, "", id="near the last close, where nothing else is known"),
        pytest.param("125", None, "price_band", id="far from it"),
        pytest.param("125", 124.0, "", id="the market has gone there since"),
        pytest.param("105", 124.0, "price_band", id="the market has left it"),
    ],
)
async def test_an_order_is_sent_near_the_last_price_that_anybody_saw(price: str, last: float | None, over: str) -> None:
    quotes: Any = Quotes({("AAPL", BEFORE): CLOSE})
    control: Any = NoLatch()
    ask = band(ExchangeMarket(lambda: NOON), quotes, control, RiskSection(), lambda _: last)
    said = await ask(order(price))
    assert over in said
    assert bool(said) == bool(over)
