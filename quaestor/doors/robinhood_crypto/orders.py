"""Orders in Robinhood's words: what is sent of an intent, and what an order of theirs is in ours.

    ours          theirs        with
    market        market        asset_quantity
    limit         limit         asset_quantity, limit_price, time_in_force
    stop          stop_loss     asset_quantity, stop_price, time_in_force
    stop_limit    stop_limit    asset_quantity, stop_price, limit_price, time_in_force

    open                  ACKED         partially_filled   PARTIALLY_FILLED       filled   FILLED
    canceled              CANCELED      (also of a day that ended: Robinhood has no word of its own for it)
    failed                REJECTED, CANCELED where a part was filled

A state that we do not know is one that works: an order is never taken to be over because of a word. The time in force
is not told back for limit orders, so nobody reads it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quaestor.doors.robinhood_crypto.fields import ZERO, amount, floored, session, text, time
from quaestor.errors import BadInput
from quaestor.orders import MILLIONTH, Intent, OrderType, OrderUpdate, Side, State, trimmed
from quaestor.symbols import Symbology

TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop_loss",
    OrderType.STOP_LIMIT: "stop_limit",
}
OURS = {theirs: ours for ours, theirs in TYPES.items()}
STATES = {
    "open": State.ACKED,
    "partially_filled": State.PARTIALLY_FILLED,
    "filled": State.FILLED,
    "canceled": State.CANCELED,
    "cancelled": State.CANCELED,
    "failed": State.REJECTED,
}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """A pair that Robinhood trades: the steps of quantities (coins) and prices (dollars); what an order may be."""

    symbol: str
    lot: Decimal
    tick: Decimal
    most: Decimal | None  # coins
    least: Decimal | None  # dollars; told of some pairs only
    open: bool  # whether the API takes orders in it at all
    buys: bool


def pair(row: Row) -> Pair:
    """A pair as Robinhood tells it; raises BadInput."""
    status = text(row, "status")
    return Pair(
        text(row, "symbol"),
        amount(row, "asset_increment"),
        amount(row, "quote_increment"),
        amount(row, "max_order_size") if row.get("max_order_size") is not None else None,
        amount(row, "min_order_amount") if row.get("min_order_amount") is not None else None,
        row.get("is_api_tradable") is not False and status != "untradable",
        status == "tradable",
    )


def unfit(intent: Intent, known: Pair | None, today: dt.date) -> str:
    """Why an order is not sent at all; empty where Robinhood is to judge it."""
    quantity, kind = intent.quantity, intent.order_type
    if not quantity.is_finite() or quantity <= 0:
        return f"Quantity must be positive, not {quantity}."
    if quantity % MILLIONTH:
        return f"Quantity {quantity} has more than six decimals of a coin, as the books keep it."
    if intent.session > today:
        return f"The order is for {intent.session}; crypto trades at once, and in New York it is {today}. Send it then."
    for name, price, due in (("limit", intent.limit_price, kind.limits), ("stop", intent.stop_price, kind.stops)):
        if due is not (price is not None):
            return f"A {kind.value} order {'needs a' if due else 'takes no'} {name} price."
        if price is not None and (not price.is_finite() or price <= 0):
            return f"The {name} price {price} is no price."
    return _off_step(intent, known) if known else ""


def _off_step(intent: Intent, known: Pair) -> str:
    if known.tick < MILLIONTH:
        return f"{intent.symbol} is priced in steps of {known.tick}, finer than the books keep; it cannot be traded."
    if known.lot and intent.quantity % known.lot:
        return f"Quantity {intent.quantity} is off {intent.symbol}'s step of {known.lot}."
    for name, price in (("limit", intent.limit_price), ("stop", intent.stop_price)):
        if price is not None and known.tick and price % known.tick:
            return f"The {name} price {price} is off {intent.symbol}'s step of {known.tick}."
    return ""


def body(intent: Intent, theirs: str) -> dict[str, Any]:
    """What is sent; `theirs`: Robinhood's name of the symbol. The ref_id goes with it on every try."""
    kind = TYPES[intent.order_type]
    terms = {"asset_quantity": _plain(intent.quantity)}
    if intent.stop_price is not None:
        terms["stop_price"] = _plain(intent.stop_price)
    if intent.limit_price is not None:
        terms["limit_price"] = _plain(intent.limit_price)
    if intent.order_type is not OrderType.MARKET:
        terms["time_in_force"] = intent.time_in_force.value
    named = {"client_order_id": str(intent.ref_id), "side": intent.side.value, "type": kind, "symbol": theirs}
    return named | {f"{kind}_order_config": terms}


def _plain(number: Decimal) -> str:
    return format(trimmed(number), "f")


def update(row: Row, names: Symbology) -> OrderUpdate:
    """An order as Robinhood tells it; its session is the date in New York of when it was made. Raises BadInput."""
    kind = text(row, "type")
    if kind not in OURS or row.get("side") not in {"buy", "sell"}:
        raise BadInput(
            f"Robinhood tells of an order that is a {str(row.get('side'))[:20]} {kind[:20]}; no such is known."
        )
    terms = row.get(f"{kind}_order_config") or {}
    filled = floored(amount(row, "filled_asset_quantity", ZERO))
    state = STATES.get(text(row, "state"), State.PARTIALLY_FILLED if filled else State.ACKED)
    if state is State.REJECTED and filled:
        state = State.CANCELED
    limit, stop = (_price(terms, name) for name in ("limit_price", "stop_price"))
    average = amount(row, "average_price", ZERO).quantize(MILLIONTH) if filled else None
    made = time(row, "created_at")
    return OrderUpdate(
        broker_id=text(row, "id"),
        ref_id=_ref_id(row.get("client_order_id")),
        symbol=names.ours(text(row, "symbol")),
        side=Side(row["side"]),
        state=state,
        quantity=_quantity(terms, filled, limit or stop),
        filled=filled,
        average_price=trimmed(average) if average else None,
        updated_at=time(row, "updated_at") if row.get("updated_at") else made,
        reason="Robinhood says that it failed." if state is State.REJECTED else "",
        session=session(made),
        order_type=OURS[kind],
        limit_price=limit,
        stop_price=stop,
    )


def _price(terms: Row, name: str) -> Decimal | None:
    return trimmed(amount(terms, name)) if terms.get(name) is not None else None


def _quantity(terms: Row, filled: Decimal, price: Decimal | None) -> Decimal:
    """Coins; an order for so many dollars, as a person places it in the app, is as many as they buy at its price."""
    if terms.get("asset_quantity") is not None:
        return floored(amount(terms, "asset_quantity"))
    if price and terms.get("quote_amount") is not None:
        return max(filled, floored(amount(terms, "quote_amount") / price))
    return filled or MILLIONTH


def _ref_id(name: object) -> uuid.UUID | None:
    try:
        return uuid.UUID(str(name))
    except ValueError:
        return None
