"""Matching: how working orders meet a bar, a quote or a print. Shared by paper broker, backtest and protocol servers.

A market order fills at the open, moved against us by slippage and half the spread and rounded against us to the tick.
Brokers collar market purchases: one never pays more than 5 % over the reference price; if the open lies beyond the
collar, the order waits for the price to come back to it, like a limit order. A market sale has no collar: an exit gets
out where the market opens, however low. A limit order fills at the open when that is as good or better, else at its
limit when the bar trades *through* it (a touch may leave us in the queue: we assume it does).

A stop is touched when the bar's range reaches it. When the bar opens beyond it, that happens at the open: nobody trades
at a stop price that the market has jumped over. A touched stop is a market order (a purchase with a collar over the
stop price), a touched stop-limit a limit order; it takes what is there and pays the slippage, never beyond its limit.

**What a bar does not tell.** Between its open and its close a bar hides the way of the price. We count on nothing but
what happens on *every* way through open, high, low and close, at the worst of their prices: after a touch within the
bar, only the stop price itself and the way to the close are sure. Of a pair, the stop trades when both legs could;
only a leg that trades at the open is surely first. A test walks all the ways and compares.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from decimal import ROUND_FLOOR, Decimal

import msgspec

from quaestor.bars import Bar
from quaestor.exchange import Costs, collar
from quaestor.orders import BUY, OrderType, Side

ZERO = Decimal(0)


class Working(msgspec.Struct, frozen=True, gc=False):
    """An order as the exchange has it. `left` in shares, prices in dollars per share.

    `reference_price` is the last price before the order was sent: the anchor of a market purchase's collar; `oco` names
    its pair; `triggered`: its stop price was touched in an earlier bar.
    """

    id: uuid.UUID
    side: Side
    order_type: OrderType
    left: Decimal
    reference_price: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    oco: str = ""
    triggered: bool = False

    @property
    def bound(self) -> Decimal | None:
        """The worst price it takes; None for a sale at the market."""
        if self.order_type.limits and self.limit_price is not None:
            return self.limit_price
        anchor = self.stop_price if self.stop_price is not None else self.reference_price
        return collar(anchor) if self.side is BUY else None

    @property
    def waits_for(self) -> Decimal | None:
        """The stop price while it has not been touched."""
        return self.stop_price if self.order_type.stops and not self.triggered else None


class Quote(msgspec.Struct, frozen=True, gc=False):
    """What a live feed tells at a moment: bid, ask, the last print, dollars; size, shares. None: not known."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    last: Decimal | None = None
    size: Decimal | None = None


class Touch(msgspec.Struct, frozen=True, gc=False):
    """What a market does to one order by itself: its stop has been touched, it fills at a price (None: it does not)."""

    triggered: bool = False
    price: Decimal | None = None
    at_open: bool = False


class Met(msgspec.Struct, frozen=True, gc=False):
    """What became of an order: shares filled, at which price; `canceled`: the other leg of its pair traded."""

    order: Working
    triggered: bool
    quantity: Decimal = ZERO
    price: Decimal | None = None
    at_open: bool = False
    canceled: bool = False


def meet(orders: Sequence[Working], market: Bar | Quote, costs: Costs) -> list[Met]:
    """The working orders of one symbol against one bar or quote, in the order they came; they share its volume."""
    if len(orders) == 1:
        return [_alone(orders[0], market, costs)]
    touches = {order.id: touch(order, market, costs) for order in orders}
    for legs in _pairs(orders):
        touches |= _one_of(*legs, touches)
    left = _there(market, costs)
    met, traded = [], set[str]()
    for order in sorted(orders, key=lambda order: touches[order.id].price is None):  # stable: those that trade first
        found = touches[order.id]
        quantity = _takes(order, left) if found.price is not None else ZERO
        left = left - quantity if left is not None else None
        triggered = found.triggered or order.triggered
        if quantity:
            met.append(Met(order, triggered, quantity, found.price, found.at_open))
            traded |= {order.oco} - {""}
        else:
            met.append(Met(order, triggered, canceled=order.oco in traded))
    return met


def _alone(order: Working, market: Bar | Quote, costs: Costs) -> Met:
    """The same of an order that shares its market with none, as most do."""
    found = touch(order, market, costs)
    triggered = found.triggered or order.triggered
    if found.price is None or not (quantity := _takes(order, _there(market, costs))):
        return Met(order, triggered)
    return Met(order, triggered, quantity, found.price, found.at_open)


def _there(market: Bar | Quote, costs: Costs) -> Decimal | None:
    """Shares that our orders may take; None: any number. A quote holds no more than it says, whatever our part is."""
    if isinstance(market, Bar):
        return costs.available(Decimal(market.volume))
    return None if market.size is None else (market.size * costs.participation).to_integral_value(ROUND_FLOOR)


def touch(order: Working, market: Bar | Quote, costs: Costs) -> Touch:
    """What one bar or quote does to one order."""
    return _on_bar(order, market, costs) if isinstance(market, Bar) else _on_quote(order, market, costs)


def _on_bar(order: Working, bar: Bar, costs: Costs) -> Touch:
    buys = order.side is BUY
    best, worst = (bar.low, bar.high) if buys else (bar.high, bar.low)
    stop = order.waits_for
    if stop is None:
        return _from_the_open(order, bar.open, best, costs)
    if _beyond(order, bar.open, stop):
        return _taken(order, bar.open, best, costs, at_open=True)
    return _taken(order, stop, bar.close, costs) if _beyond(order, worst, stop) else Touch()


def _from_the_open(order: Working, opened: Decimal, best: Decimal, costs: Costs) -> Touch:
    """An order that was there before the open: it takes part in the opening auction."""
    price = opened if order.order_type.limits else costs.slipped(order.side, opened)
    if order.bound is None or not _better(order, order.bound, price):
        return Touch(price=price, at_open=True)
    return Touch(price=order.bound if _better(order, best, order.bound) else None)


def _taken(order: Working, start: Decimal, later: Decimal, costs: Costs, *, at_open: bool = False) -> Touch:
    """A stop that is touched at `start`; the price is sure to come to `later` afterwards."""
    price = costs.slipped(order.side, start)
    if order.bound is None:
        return Touch(True, price, at_open)
    if _better(order, start, order.bound):
        return Touch(True, _better_of(order, price, order.bound), at_open)
    return Touch(True, order.bound if _better(order, later, order.bound) else None)


def _on_quote(order: Working, quote: Quote, costs: Costs) -> Touch:
    """Stops are touched by the last print, by the other side's quote where there is none."""
    quoted = quote.ask if order.side is BUY else quote.bid
    seen = quote.last if quote.last is not None else quoted
    stop = order.waits_for
    if stop is not None and (seen is None or not _beyond(order, seen, stop)):
        return Touch()
    triggered, there = stop is not None, quoted if quoted is not None else quote.last
    if there is None:
        return Touch(triggered)
    price = costs.slipped(order.side, there, quoted=quoted is not None)
    if (bound := order.bound) is None:
        return Touch(triggered, price)
    reached = _better(order, there, bound) or (quoted is not None and there == bound)
    return Touch(triggered, _better_of(order, price, bound) if reached else None)


def _pairs(orders: Sequence[Working]) -> Iterable[tuple[Working, Working]]:
    """(stop leg, other leg) of each pair that works whole."""
    stops = {order.oco: order for order in orders if order.oco and order.order_type.stops}
    return [(stops[o.oco], o) for o in orders if o.oco in stops and not o.order_type.stops]


def _one_of(stop: Working, other: Working, touches: dict[uuid.UUID, Touch]) -> dict[uuid.UUID, Touch]:
    """The touches of a pair, of which one trades: the leg with the worse price, unless the other surely is first.

    That is the stop, but for one whose own limit lies beyond the other leg.
    """
    ours, theirs = touches[stop.id], touches[other.id]
    if theirs.price is None:
        return {}
    if ours.price is None and ours.triggered:
        # The stop may have been touched first; the price then met its limit on the way to the other leg's.
        ours = Touch(True, stop.limit_price)
    first = theirs.at_open and not ours.at_open
    if ours.price is None or first or _better(stop, ours.price, theirs.price):
        return {stop.id: Touch(ours.triggered)}
    return {stop.id: ours, other.id: Touch()}


def _takes(order: Working, volume: Decimal | None) -> Decimal:
    """Shares it gets: all that are left, or whole ones of those."""
    if volume is None or order.left <= volume:
        return order.left
    return volume.to_integral_value(ROUND_FLOOR)


def _beyond(order: Working, price: Decimal, stop: Decimal) -> bool:
    return price >= stop if order.side is BUY else price <= stop


def _better(order: Working, price: Decimal, than: Decimal) -> bool:
    """Strictly, for us."""
    return price < than if order.side is BUY else price > than


def _better_of(order: Working, one: Decimal, two: Decimal) -> Decimal:
    return min(one, two) if order.side is BUY else max(one, two)
