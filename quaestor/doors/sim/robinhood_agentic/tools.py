"""The channel's tools for equities as it lists them: names, parameters, and which words they take, said in prose.

As seen in September and October 2026 (no `enum`, no `default`; numbers travel as texts; no parameter beyond these).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]


def _text(description: str = "") -> Schema:
    return {"type": "string", "description": description} if description else {"type": "string"}


def _takes(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    said: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**said, "required": list(required)} if required else said


ACCOUNT = _text("Brokerage account number.")
SYMBOLS: Schema = {"type": ["null", "array"], "items": {"type": "string"}, "description": "Stock symbols."}
CURSOR = _text("Pagination cursor. Omit for the first page; for the next one, pass the prior response's next value.")
ORDER: dict[str, Schema] = {
    "account_number": ACCOUNT,
    "symbol": _text("Stock symbol."),
    "side": _text("'buy' or 'sell'."),
    "type": _text("'market', 'limit', 'stop_market', or 'stop_limit'."),
    "quantity": _text("Number of shares. Fractions for market orders in regular hours only."),
    "dollar_amount": _text("USD notional. Only with type=market."),
    "limit_price": _text("Limit price; required for limit or stop_limit."),
    "stop_price": _text("Stop trigger price; required for stop_market or stop_limit."),
    "time_in_force": _text("'gfd' or 'gtc'. Default: gfd."),
    "market_hours": _text("'regular_hours' (default), 'extended_hours' or 'all_day_hours'."),
}
PLACED = ("account_number", "symbol", "side", "type")
TOOLS: Mapping[str, Schema] = {
    "get_accounts": _takes(),
    "get_portfolio": _takes(("account_number",), account_number=ACCOUNT),
    "get_equity_positions": _takes(("account_number",), account_number=ACCOUNT, cursor=CURSOR),
    "get_equity_quotes": _takes(("symbols",), symbols=SYMBOLS),
    "get_equity_orders": _takes(
        ("account_number",),
        account_number=ACCOUNT,
        order_id=_text("Filter to a single order."),
        state=_text("Filter by state: new, queued, confirmed, partially_filled, filled, cancelled, rejected."),
        symbol=_text("Filter to one symbol."),
        created_at_gte=_text("Lower bound (inclusive). ISO 8601 UTC or YYYY-MM-DD."),
        placed_agent=_text("Filter to one source: 'user', 'agentic', 'recurring'."),
        cursor=CURSOR,
    ),
    "get_equity_historicals": _takes(
        ("symbols", "start_time"),
        symbols=SYMBOLS,
        start_time=_text("RFC 3339 UTC."),
        end_time=_text("RFC 3339 UTC; default: now."),
        interval=_text("Bar interval."),
    ),
    "get_equity_tradability": _takes(("account_number", "symbols"), account_number=ACCOUNT, symbols=SYMBOLS),
    "review_equity_order": _takes(PLACED, **ORDER),
    "place_equity_order": _takes(PLACED, **ORDER, ref_id=_text("Idempotency key (UUID). Re-send the same on retry.")),
    "cancel_equity_order": _takes(
        ("account_number", "order_id"), account_number=ACCOUNT, order_id=_text("Order UUID.")
    ),
}


def schemas() -> dict[str, Schema]:
    """A copy that may be bent."""
    return copy.deepcopy(dict(TOOLS))
