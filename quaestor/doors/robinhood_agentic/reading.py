"""Reading: an intent as the tools take it, and what they answer in our words. Money and shares travel as texts.

States are those of Robinhood's orders everywhere; whether an order is filled is read from its shares, not from its
state. A day order that the close ends is told as `cancelled`, as one that somebody cancelled. A stop order may come
back as its own type, or as `market`/`limit` with the trigger `stop`.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs, urlsplit

from quaestor.calendar import NEW_YORK
from quaestor.errors import BrokerRejected
from quaestor.orders import Execution, Intent, OrderType, OrderUpdate, Side, State, TimeInForce, trimmed
from quaestor.ticks import QuoteTick, Tick, TradeTick, stamper

TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop_market",
    OrderType.STOP_LIMIT: "stop_limit",
}
WORKING = frozenset({"new", "queued", "unconfirmed", "confirmed", "locating", "pending", "pending_cancelled"})
STATES = {
    "partially_filled": State.PARTIALLY_FILLED,
    "filled": State.FILLED,
    "cancelled": State.CANCELED,
    "canceled": State.CANCELED,
    "partially_filled_rest_cancelled": State.CANCELED,
    "voided": State.CANCELED,
    "rejected": State.REJECTED,
    "failed": State.REJECTED,
    "locate_failed": State.REJECTED,
}
UNREADABLE = (KeyError, TypeError, ValueError, InvalidOperation, AttributeError, IndexError)


@dataclass(frozen=True)
class Row:
    """An order as it is listed: the update without its name, what tells whose it is, and its fills."""

    update: OrderUpdate
    time_in_force: str
    created_at: dt.datetime
    agent: str  # who placed it: "agentic", "user", …; empty where it is not told
    fills: tuple[Execution, ...] = ()


def terms(intent: Intent, account: str, symbol: str) -> dict[str, Any]:
    """What review_ and place_equity_order take, without the ref_id. Raises BrokerRejected for what they cannot.

    symbol: as Robinhood writes it.
    """
    whole = intent.quantity == intent.quantity.to_integral_value()
    if not whole and intent.order_type is not OrderType.MARKET:
        raise BrokerRejected(
            "Robinhood takes fractions of a share at market only. Nothing was sent; order whole shares."
        )
    said: dict[str, Any] = {
        "account_number": account,
        "symbol": symbol,
        "side": intent.side.value,
        "type": TYPES[intent.order_type],
        "quantity": f"{trimmed(intent.quantity):f}",
        "time_in_force": intent.time_in_force.value,
        "market_hours": "regular_hours",
    }
    if intent.order_type.limits and intent.limit_price is not None:
        said["limit_price"] = f"{intent.limit_price:f}"
    if intent.order_type.stops and intent.stop_price is not None:
        said["stop_price"] = f"{intent.stop_price:f}"
    return said


def row(told: Mapping[str, Any], ours: Callable[[str], str]) -> Row:
    """An order of the channel's. Raises one of UNREADABLE for what is none, or is in a state that nobody knows.

    ours: our spelling of a symbol.
    """
    symbol, side = ours(str(told["symbol"])), Side(told["side"])
    named = told.get("ref_id")
    ref_id = uuid.UUID(named) if named else None
    created = _time(told["created_at"])
    filled, order_type = Decimal(told.get("cumulative_quantity") or 0), _type(told)
    average = told.get("average_price")
    update = OrderUpdate(
        broker_id=str(told["id"]),
        ref_id=ref_id,
        symbol=symbol,
        side=side,
        state=_state(str(told["state"]), filled),
        quantity=Decimal(told["quantity"] or filled),  # an order in dollars has none until it fills
        filled=filled,
        average_price=Decimal(average) if average and filled else None,
        updated_at=_time(told.get("last_transaction_at") or told["created_at"]),
        reason=str(told.get("reject_reason") or ""),
        order_type=order_type,
        limit_price=_price(told, "price") if order_type.limits else None,
        stop_price=_price(told, "stop_price") if order_type.stops else None,
    )
    fills = tuple(_fill(each, update) for each in told.get("executions") or ())
    return Row(update, str(told.get("time_in_force") or ""), created, str(told.get("placed_agent") or ""), fills)


def _state(told: str, filled: Decimal) -> State:
    if told in WORKING:
        return State.PARTIALLY_FILLED if filled else State.ACKED
    if told not in STATES:
        raise ValueError(f"an order in the state {told[:40]!r}, which nobody knows")
    state = STATES[told]
    return State.CANCELED if state is State.REJECTED and filled else state  # what failed after a fill keeps the fill


def _type(told: Mapping[str, Any]) -> OrderType:
    said = str(told["type"])
    if said in {"stop_market", "stop_limit"}:
        return OrderType.STOP if said == "stop_market" else OrderType.STOP_LIMIT
    stops = told.get("trigger") == "stop"
    if said == "limit":
        return OrderType.STOP_LIMIT if stops else OrderType.LIMIT
    if said != "market":
        raise ValueError(f"an order of the type {said[:40]!r}, which nobody knows")
    return OrderType.STOP if stops else OrderType.MARKET


def _price(told: Mapping[str, Any], name: str) -> Decimal | None:
    return Decimal(told[name]) if told.get(name) else None


def _fill(told: Mapping[str, Any], update: OrderUpdate) -> Execution:
    at = _time(told["timestamp"])
    figures = (Decimal(told["quantity"]), Decimal(told["price"]), Decimal(told.get("fees") or 0))
    ids = (str(told["id"]), update.broker_id, update.ref_id)
    return Execution(*ids, update.symbol, update.side, *figures, at.astimezone(NEW_YORK).date(), at)


def _time(told: str) -> dt.datetime:
    at = dt.datetime.fromisoformat(told)
    if at.tzinfo is None:
        raise ValueError(f"a time without a zone: {told[:40]!r}")
    return at.astimezone(dt.UTC)


def same_terms(row: Row, intent: Intent) -> bool:
    """Whether a listed order is what this intent asked for, to the last word."""
    told, limits, stops = row.update, intent.order_type.limits, intent.order_type.stops
    return (told.symbol, told.side, told.quantity, told.order_type) == (
        intent.symbol,
        intent.side,
        intent.quantity,
        intent.order_type,
    ) and (
        told.limit_price == (intent.limit_price if limits else None)
        and told.stop_price == (intent.stop_price if stops else None)
        and TimeInForce(row.time_in_force or intent.time_in_force) is intent.time_in_force
    )


def ticks(results: Sequence[Mapping[str, Any]], now: int, ours: Callable[[str], str]) -> list[Tick]:
    """The last trade and the quote of each symbol that has them, at the venue's times or at `now` (ns)."""
    told: list[Tick] = []
    stamp = stamper()
    for result in results:
        quote = result.get("quote") or {}
        if not quote.get("symbol"):
            continue
        symbol = ours(str(quote["symbol"]))
        if price := quote.get("last_trade_price"):
            at = quote.get("venue_last_trade_time")
            told.append(TradeTick(symbol, stamp(at) if at else now, float(price), 0.0))
        bid, ask = float(quote.get("bid_price") or 0), float(quote.get("ask_price") or 0)
        if bid > 0 and ask > 0:
            times = [stamp(at) for at in (quote.get("venue_bid_time"), quote.get("venue_ask_time")) if at]
            sizes = (float(quote.get("bid_size") or 0), float(quote.get("ask_size") or 0))
            told.append(QuoteTick(symbol, max(times, default=now), bid, ask, *sizes))
    return told


def cursor(page: Mapping[str, Any]) -> str:
    """Where the next page begins, verbatim or out of the next page's address; empty on the last."""
    told = str(page.get("next") or page.get("next_cursor") or "")
    if "://" not in told:
        return told
    return next(iter(parse_qs(urlsplit(told).query).get("cursor", ())), "")


def chosen(accounts: Sequence[Mapping[str, Any]], number: str, secret: str) -> str:
    """The number of the account to trade in. Raises BrokerRejected, naming the cure, where it is not open to agents.

    secret: the name of the number in the vault.
    """
    opened = [str(each.get("account_number")) for each in accounts if each.get("agentic_allowed") is True]
    cure = f"Open an Agentic account at Robinhood, then store its number: quaestor secrets set {secret}."
    if not number:
        if len(opened) == 1:
            return opened[0]
        raise BrokerRejected(f"{len(opened)} of your accounts are open to agents, and none is named. {cure}")
    if number not in {str(each.get("account_number")) for each in accounts}:
        raise BrokerRejected(f"This login has no account …{number[-3:]}. Nothing was sent. {cure}")
    if number not in opened:
        raise BrokerRejected(
            f"The account …{number[-3:]} is not open to agents (agentic_allowed). Nothing was sent. {cure}"
        )
    return number
