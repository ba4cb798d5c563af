"""Admission: what a broker takes, and what it answers to the rest before anything is sent to the exchange.

`malformed` judges an order by itself, `Promises` the shares and dollars that working orders may still take. The rules
of form are Robinhood's where it has any: parts of a share only in market orders that are good for the day (so what a
split leaves can be sold), prices on the tick, at most six decimals of a share.

A pair (`oco`) is a stop and a limit order of the same symbol and side; one of them trades, so it takes the shares or
the dollars of its larger leg once. One leg's fill, even of a part, cancels the other; a person's cancel does not.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quaestor.bars import SYMBOL, Bar
from quaestor.errors import BrokerRejected
from quaestor.exchange import Costs, collar, tick
from quaestor.orders import Intent, OrderType, Side, TimeInForce, trimmed

_is_symbol = re.compile(SYMBOL).fullmatch
ZERO = Decimal(0)
MOST_SHARES = Decimal(100_000_000)
HIGHEST = Decimal(10_000_000)  # dollars per share
SHARE = Decimal("0.000001")


def malformed(order: Intent) -> str:
    """What is wrong with the order itself, as the broker says it; empty when nothing is."""
    checks = (_symbol(order), _quantity(order), _prices(order), _pair(order))
    return next((said for said in checks if said), "")


def _symbol(order: Intent) -> str:
    return "" if _is_symbol(order.symbol) else f"Unknown symbol {order.symbol!r}."


def _quantity(order: Intent) -> str:
    quantity = order.quantity
    if not quantity.is_finite() or quantity <= 0:
        return f"Quantity must be positive, not {quantity}."
    if quantity > MOST_SHARES:
        return f"Quantity {quantity} is more than the {MOST_SHARES:,} shares an order may have."
    if quantity % SHARE:
        return f"Quantity {quantity} has more than six decimals of a share."
    whole = quantity % 1 == 0
    if whole or (order.order_type is OrderType.MARKET and order.time_in_force is TimeInForce.GFD):
        return ""
    return f"Parts of a share ({quantity}) are taken in market orders that are good for the day, in no other."


def _prices(order: Intent) -> str:
    kind, named = order.order_type, {"limit": order.limit_price, "stop": order.stop_price}
    for name, price, wanted in (("limit", named["limit"], kind.limits), ("stop", named["stop"], kind.stops)):
        if wanted is not (price is not None):
            return f"A {kind.value} order {'needs a' if wanted else 'takes no'} {name} price."
        if price is not None and (said := _price(name, price)):
            return said
    if not _plausible(order.reference_price):
        return f"The reference price {order.reference_price} is no price."
    return ""


def _price(name: str, price: Decimal) -> str:
    if not _plausible(price):
        return f"The {name} price {price} is no price."
    return f"The {name} price {price} is off the tick of {tick(price)}." if price % tick(price) else ""


def _plausible(price: Decimal) -> bool:
    return price.is_finite() and 0 < price <= HIGHEST


def _pair(order: Intent) -> str:
    if order.oco and order.order_type is OrderType.MARKET:
        return "A pair is a limit order and a stop; a market order has no other leg."
    return ""


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg of a pair as the broker has it; `promised`: shares of a sale or dollars of a purchase, while it works."""

    oco: str
    symbol: str
    side: Side
    stops: bool
    price: Decimal  # its stop price, or its limit
    working: bool
    filled: bool
    promised: Decimal


def unpaired(order: Intent, legs: Iterable[Leg]) -> str:
    """Why the order cannot be the other leg of these; empty when it can."""
    stops = order.order_type.stops
    price = order.stop_price if stops else order.limit_price
    for leg in legs:
        if (leg.symbol, leg.side) != (order.symbol, order.side):
            return f"The other leg of {order.oco!r} {leg.side.value}s {leg.symbol}; a pair is of one symbol and side."
        if leg.stops is not stops and leg.filled:
            return f"The other leg of {order.oco!r} has traded."
        if leg.stops is stops and leg.working:
            return f"The pair {order.oco!r} has a {'stop' if stops else 'limit order'} that works already."
        if leg.working and leg.stops is not stops and price is not None:
            stop, limit = (price, leg.price) if stops else (leg.price, price)
            if order.side.sign * (stop - limit) <= 0:
                return f"The stop at {stop} and the limit at {limit} are the wrong way round for a {order.side.value}."
    return ""


def reserve(order: Intent, costs: Costs) -> Decimal:
    """The most that a purchase may cost, dollars."""
    anchor = order.reference_price if order.stop_price is None else order.stop_price
    worst = order.limit_price if order.limit_price is not None else collar(anchor)
    return order.quantity * worst + costs.fee(Side.BUY, order.quantity, worst)


@dataclass
class Promises:
    """What is free of an account while orders are let in one after the other: dollars, shares by symbol.

    `sold` are shares promised to working sales, by symbol; `legs` the pairs that the orders belong to.
    """

    cash: Decimal
    held: Mapping[str, Decimal]
    sold: dict[str, Decimal] = field(default_factory=dict)
    spent: Decimal = ZERO
    legs: list[Leg] = field(default_factory=list)

    def admit(self, order: Intent, costs: Costs) -> str:
        """Promise the order what it may take; else why the account cannot give it."""
        pair = [leg for leg in self.legs if leg.oco == order.oco] if order.oco else []
        if said := unpaired(order, pair):
            return said
        counted = max((leg.promised for leg in pair if leg.working), default=ZERO)
        need = order.quantity if order.side is Side.SELL else reserve(order, costs)
        more = max(need - counted, ZERO)
        if said := self._short(order, need, more):
            return said
        if order.side is Side.SELL:
            self.sold[order.symbol] = self.sold.get(order.symbol, ZERO) + more
        else:
            self.spent += more
        if order.oco:
            self.legs.append(_leg(order, need))
        return ""

    def _short(self, order: Intent, need: Decimal, more: Decimal) -> str:
        if order.side is Side.SELL:
            held, promised = self.held.get(order.symbol, ZERO), self.sold.get(order.symbol, ZERO)
            there = f"{trimmed(held)} {order.symbol} held, {trimmed(promised)} promised to other sales"
            return f"Not enough shares: {there}." if more > held - promised else ""
        left = self.cash - self.spent
        return f"Not enough buying power: {need:.2f} needed, {left:.2f} left." if more > left else ""


def _leg(order: Intent, promised: Decimal) -> Leg:
    stops = order.order_type.stops
    price = (order.stop_price if stops else order.limit_price) or ZERO
    return Leg(order.oco, order.symbol, order.side, stops, price, True, False, promised)


def by_hand(
    account: str, session: dt.date | None, symbol: str, side: Side, quantity: Decimal, last: Bar | None, **terms: Any
) -> Intent:
    """An order that a person places in the broker's own app, at what he sees: the last bar. Raises BrokerRejected."""
    if session is None:
        raise BrokerRejected("The market has no session yet; open one before placing an order by hand.")
    price = last.close if last is not None else terms.get("limit_price") or terms.get("stop_price") or Decimal(1)
    return Intent(account, "", symbol, session, "by hand", side, quantity, price, **terms)
