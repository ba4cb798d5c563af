"""The band: how long, and how far from its price, a decided order may still be sent (laws 2 and 6).

Time: the market stands before the open of the order's own session. Price: the order's price is near the last one, as
the risk gate's rule of that name demands it. Outside of it the order was decided on a market that is gone. And an entry
is sent only while nothing stops entries: a halt that comes between the decision and the sending still counts.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from quaestor.operations.marks import marked
from quaestor.operations.outbox import Band
from quaestor.orders import Intent
from quaestor.ports import ControlStore, Quotes, ReplayMarket, StoredOrder
from quaestor.risk import price_band

if TYPE_CHECKING:
    from quaestor.config import RiskSection


def band(market: ReplayMarket, quotes: Quotes, control: ControlStore, limits: RiskSection) -> Band:
    """Why an order may not be sent any more, as market, prices and latches are when asked; empty while it may."""

    async def over(order: StoredOrder) -> str:
        intent = order.intent
        if await market.clock() != (intent.session, "open"):
            return "its session was over"
        if not intent.reduces and (latches := await control.latches(intent.account)):
            return f"entries were stopped ({latches[0].name}: {latches[0].reason})"
        return await _price_gone(intent, quotes, limits)

    return over


async def _price_gone(intent: Intent, quotes: Quotes, limits: RiskSection) -> str:
    marks = await marked([intent.symbol], intent.session - dt.timedelta(days=1), intent.session, quotes)
    last = marks[intent.symbol].price if intent.symbol in marks else None
    limit, observed, ok = price_band(intent, last, limits)
    return "" if ok else f"its price was outside the band (price_band: observed {observed}, limit {limit})"
