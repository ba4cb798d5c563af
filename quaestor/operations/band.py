"""The band: how long, and how far from its price, a decided order may still be sent (laws 2 and 6).

Time: the market stands before the open of the order's own session. Price: the order's price is near the last one, as
the risk gate's rule of that name demands it. Outside of it the order was decided on a market that is gone. And an entry
is sent only while nothing stops entries: a halt that comes between the decision and the sending still counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.bars import price
from quaestor.operations.marks import marked
from quaestor.operations.outbox import Band
from quaestor.orders import Intent
from quaestor.ports import ControlStore, Quotes, ReplayMarket, StoredOrder
from quaestor.risk import price_band

if TYPE_CHECKING:
    from quaestor.config import RiskSection


def band(
    market: ReplayMarket,
    quotes: Quotes,
    control: ControlStore,
    limits: RiskSection,
    last: Callable[[str], float | None] = lambda _: None,
) -> Band:
    """Why an order may not be sent any more, as market, prices and latches are when asked; empty while it may.

    last: a symbol's last trade that a live run has seen, dollars; without one, the last close counts.
    """

    async def over(order: StoredOrder) -> str:
        intent = order.intent
        if await market.clock() != (intent.session, "open"):
            return "its session was over"
        if not intent.reduces and (latches := await control.latches(intent.account)):
            return f"entries were stopped ({latches[0].name}: {latches[0].reason})"
        told = last(intent.symbol)
        seen = price(told) if told is not None else await _closed(intent, quotes)
        limit, observed, ok = price_band(intent, seen, limits)
        return "" if ok else f"its price was outside the band (price_band: observed {observed}, limit {limit})"

    return over


async def _closed(intent: Intent, quotes: Quotes) -> Decimal | None:
    marks = await marked([intent.symbol], intent.session - dt.timedelta(days=1), intent.session, quotes)
    return marks[intent.symbol].price if intent.symbol in marks else None
