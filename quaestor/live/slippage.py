"""Slippage: what live fills cost, against what the paper broker's model would have given at the same moment.

Out of a journal alone: each order that was placed meets, in the model (`matching`), the quote that stood then, and the
quotes after it until it is filled; the fills that were booked are averaged over the order. Positive is worse for us:
dearer to buy, cheaper to sell, more to pay.

    order placed ─┬─▶ the market ──fills that were told──▶ live price ──┐
                  └─▶ the model ──quotes of the feed─────▶ model price ─┴─▶ difference, basis points
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from statistics import mean, median
from typing import Any

import msgspec

from quaestor.bars import price
from quaestor.exchange import CENT, Costs
from quaestor.live.events import Filled, Moved, Ticks
from quaestor.live.journaling import Entry
from quaestor.live.replaying import ordered
from quaestor.matching import Quote, Working, meet
from quaestor.orders import OrderType, Side
from quaestor.ticks import QuoteTick, Tick, TradeTick

ZERO = Decimal(0)
TENTH = Decimal("0.1")
ENOUGH = 10  # orders, before a value is suggested


@dataclass
class Filling:
    """Fills of an order, added up: shares, dollars, fees in dollars."""

    quantity: Decimal = ZERO
    amount: Decimal = ZERO
    fee: Decimal = ZERO

    def add(self, quantity: Decimal, each: Decimal, fee: Decimal) -> None:
        """Another fill, at so many dollars per share."""
        self.quantity, self.amount, self.fee = self.quantity + quantity, self.amount + quantity * each, self.fee + fee

    @property
    def price(self) -> Decimal | None:
        """Dollars per share on average; None before any."""
        return self.amount / self.quantity if self.quantity else None


@dataclass
class Followed:
    """An order on both ways."""

    order: Working
    strategy: str
    symbol: str
    quantity: Decimal
    live: Filling = field(default_factory=Filling)
    model: Filling = field(default_factory=Filling)
    over: bool = False

    @property
    def difference(self) -> Decimal | None:
        """Basis points that the live price is worse by; None where one of them is not known."""
        live, model = self.live.price, self.model.price
        return None if not live or not model else self.order.side.sign * (live - model) / model * 10_000

    @property
    def fees(self) -> Decimal:
        """Dollars that the live order paid more, for the shares that it got."""
        share = min(self.live.quantity / self.model.quantity, Decimal(1)) if self.model.quantity else ZERO
        return self.live.fee - (self.model.fee * share).quantize(CENT)

    def meets(self, quote: Quote, costs: Costs) -> bool:
        """Let the model fill what is left of it; whether nothing is."""
        met = meet([self.order], quote, costs)[0]
        left = self.order.left - met.quantity
        if met.price is not None and met.quantity:
            first = not self.model.quantity
            fee = costs.fee(self.order.side, met.quantity, met.price, first=first)
            self.model.add(met.quantity, met.price, fee)
        self.order = msgspec.structs.replace(self.order, left=left, triggered=met.triggered)
        return left <= 0


@dataclass(frozen=True)
class Line:
    """A symbol's orders that were filled: shares, differences in basis points, dollars of fees; None: not known."""

    symbol: str
    orders: int
    compared: int
    quantity: Decimal
    mean: Decimal | None
    median: Decimal | None
    fees: Decimal


@dataclass(frozen=True)
class Slippage:
    """The comparison, by symbol and in all. `apart`: fills of orders that this run did not place; `suggested`: values
    of `[paper]` that would have been nearer, where there are enough orders to say.
    """

    lines: tuple[Line, ...]
    total: Line
    apart: int
    suggested: Mapping[str, Decimal]


class Comparing:
    """Follows a journal's entries."""

    def __init__(self, costs: Costs) -> None:
        self._costs = costs
        self._quotes: dict[str, QuoteTick] = {}
        self._last: dict[str, float] = {}
        self._waiting: dict[str, list[Followed]] = defaultdict(list)  # in the model, by symbol
        self.orders: dict[uuid.UUID, Followed] = {}
        self.apart = 0

    def take(self, entry: Entry) -> None:
        """The next entry."""
        event = entry.event
        if type(event) is Ticks:
            for tick in event.ticks:
                self._tick(tick)
        elif type(event) is Filled:
            self._fill(event)
        elif type(event) is Moved and event.state.final and event.ref_id in self.orders:
            self.orders[event.ref_id].over = True
        for line in entry.decided:
            act = msgspec.json.decode(line)
            for intent in act["intents"] if act["type"] == "place" else ():
                self._place(intent, entry)

    def _tick(self, tick: Tick) -> None:
        if type(tick) is TradeTick:
            self._last[tick.symbol] = tick.price
        elif type(tick) is QuoteTick:
            self._quotes[tick.symbol] = tick
        if waiting := self._waiting.get(tick.symbol):
            quotes = {side: self._quote(tick.symbol, side, fresh=type(tick) is QuoteTick) for side in Side}
            waiting[:] = [each for each in waiting if not each.meets(quotes[each.order.side], self._costs)]

    def _quote(self, symbol: str, side: Side, *, fresh: bool) -> Quote:
        """What the model may take; of a quote that was taken from before, nothing is left."""
        last, tick = self._last.get(symbol), self._quotes.get(symbol)
        seen = None if last is None else price(last)
        if tick is None:
            return Quote(last=seen)
        size = Decimal(repr(tick.ask_size if side is Side.BUY else tick.bid_size)) if fresh else ZERO
        return Quote(price(tick.bid), price(tick.ask), seen, size)

    def _place(self, intent: Mapping[str, Any], entry: Entry) -> None:
        order = ordered(intent, entry.number, entry.event.now)
        limit, stop = (None if intent[key] is None else Decimal(intent[key]) for key in ("limit_price", "stop_price"))
        kind = OrderType(order.order_type)
        working = Working(order.ref_id, order.side, kind, order.quantity, order.reference_price, limit, stop)
        followed = self.orders[order.ref_id] = Followed(working, order.strategy, order.symbol, order.quantity)
        known = order.symbol in self._quotes or order.symbol in self._last
        if not known or not followed.meets(self._quote(order.symbol, order.side, fresh=True), self._costs):
            self._waiting[order.symbol].append(followed)

    def _fill(self, event: Filled) -> None:
        """A fill is of the oldest order that it can be of: what is told names none. Those that are over come last."""
        mine = (event.strategy, event.symbol, event.side)
        fitting = [
            each
            for each in self.orders.values()
            if (each.strategy, each.symbol, each.order.side) == mine
            and each.live.quantity + event.quantity <= each.quantity
        ]
        if fitting:
            min(fitting, key=lambda each: each.over).live.add(event.quantity, event.price, event.fee)
        else:
            self.apart += 1

    def result(self) -> Slippage:
        """What came of it."""
        filled = [each for each in self.orders.values() if each.live.quantity]
        by_symbol = defaultdict(list)
        for each in filled:
            by_symbol[each.symbol].append(each)
        lines = tuple(_line(symbol, orders) for symbol, orders in sorted(by_symbol.items()))
        return Slippage(lines, _line("all", filled), self.apart, _suggested(filled, self._costs))


def compare(entries: Iterable[Entry], costs: Costs) -> Slippage:
    """A run's fills against the model with these costs."""
    comparing = Comparing(costs)
    for entry in entries:
        comparing.take(entry)
    return comparing.result()


def _line(symbol: str, orders: list[Followed]) -> Line:
    found = [each.difference for each in orders if each.difference is not None]
    shares = sum((each.live.quantity for each in orders), ZERO)
    fees = sum((each.fees for each in orders if each.difference is not None), ZERO)
    return Line(symbol, len(orders), len(found), shares, _rounded(mean, found), _rounded(median, found), fees)


def _rounded(measure: Any, found: list[Decimal]) -> Decimal | None:
    return Decimal(measure(found)).quantize(CENT) if found else None


def _suggested(orders: list[Followed], costs: Costs) -> dict[str, Decimal]:
    """Only of orders at the market: a limit hides what the market took."""
    market = [each for each in orders if each.order.order_type is OrderType.MARKET and each.difference is not None]
    if len(market) < ENOUGH:
        return {}
    found = {
        "slippage_bps": _nearer(costs.slippage_bps, [each.difference or ZERO for each in market], TENTH),
        "commission": _nearer(costs.commission, [each.fees for each in market], CENT),
    }
    return {name: value for name, value in found.items() if value != getattr(costs, name)}


def _nearer(configured: Decimal, differences: list[Decimal], step: Decimal) -> Decimal:
    """What would have taken the median difference away; the configured value where that is less than a step."""
    moved = median(differences)
    return configured if abs(moved) < step else max((configured + moved).quantize(step), ZERO)
