"""The band: how long, and how far from its price, a decided order may still be sent (law 2).

Time: the market stands before the open of the order's own session. Price: the order's price is near the last one, as
the risk gate's rule of that name demands it. Outside of it the order was decided on a market that is gone.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from quaestor.operations.marks import marked
from quaestor.operations.outbox import Band
from quaestor.orders import Intent
from quaestor.ports import Quotes, ReplayMarket, StoredOrder
from quaestor.risk import price_band

if TYPE_CHECKING:
    from quaestor.config import RiskSection


def band(market: ReplayMarket, quotes: Quotes, limits: RiskSection) -> Band:
    """Why an order may not be sent any more, asked of market and prices as they are then; empty while it may."""

    async def over(order: StoredOrder) -> str:
        if await market.clock() != (order.intent.session, "open"):
            return "its session was over"
        return await _price_gone(order.intent, quotes, limits)

    return over


async def _price_gone(intent: Intent, quotes: Quotes, limits: RiskSection) -> str:
    marks = await marked([intent.symbol], intent.session - dt.timedelta(days=1), intent.session, quotes)
    last = marks[intent.symbol].price if intent.symbol in marks else None
    limit, observed, ok = price_band(intent, last, limits)
    return "" if ok else f"its price was outside the band (price_band: observed {observed}, limit {limit})"
