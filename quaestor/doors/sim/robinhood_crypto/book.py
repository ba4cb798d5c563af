"""The book behind the protocol server: pairs, quotes, and one account's dollars, coins and orders, in Decimal.

A purchase holds back its dollars with the fee, a sale its coins. An order that can trade does so as soon as it has
been answered, later ones when a quote comes: at the ask or the bid, never worse than its limit, and no more coins than
the quote has where it names a size. The fee is a share of the value, to the eighth decimal. An order that is good for
the day ends at midnight in New York.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quaestor.calendar import NEW_YORK

ZERO = Decimal(0)
TINY = Decimal("0.00000001")
OPEN = ("open", "partially_filled")
Row = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """What is traded, and how: steps, bounds, and who may."""

    symbol: str
    lot: Decimal = Decimal("0.000001")
    tick: Decimal = Decimal("0.01")
    most: Decimal = Decimal(1_000_000)
    least: Decimal | None = Decimal("0.10")
    status: str = "tradable"
    api: bool = True

    def row(self) -> Row:
        """As the protocol tells it."""
        asset, quote = self.symbol.split("-")
        least = {} if self.least is None else {"min_order_amount": str(self.least)}
        return {
            "asset_code": asset,
            "quote_code": quote,
            "asset_increment": str(self.lot),
            "quote_increment": str(self.tick),
            "max_order_size": str(self.most),
            "status": self.status,
            "symbol": self.symbol,
            "is_api_tradable": self.api,
        } | least


@dataclass
class Order:
    """An order of the book; `touched`: its stop price was reached."""

    id: str
    client_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    limit: Decimal | None
    stop: Decimal | None
    time_in_force: str
    made: dt.datetime
    moved: dt.datetime
    state: str = "open"
    touched: bool = False
    executions: list[tuple[Decimal, Decimal, dt.datetime]] = field(default_factory=list)  # price, coins, when
    fee: Decimal = ZERO

    @property
    def filled(self) -> Decimal:
        """Coins that were traded."""
        return sum((coins for _, coins, _ in self.executions), ZERO)

    @property
    def left(self) -> Decimal:
        """Coins that may still be."""
        return self.quantity - self.filled if self.state in OPEN else ZERO


class No(Exception):
    """A refusal, and the field that it is about."""

    def __init__(self, detail: str, attr: str = "non_field_errors", status: int = 400) -> None:
        super().__init__(detail)
        self.detail, self.attr, self.status = detail, attr, status


class Market:
    """Pairs and their newest quotes: bid, ask, coins on each side (None: any number), when."""

    def __init__(self, pairs: Iterable[Pair]) -> None:
        self.pairs = {pair.symbol: pair for pair in pairs}
        self.quotes: dict[str, tuple[Decimal, Decimal, Decimal | None, dt.datetime]] = {}


class Book:
    """One account."""

    def __init__(
        self, market: Market, number: str, cash: Decimal, fee_ratio: Decimal, now: Callable[[], dt.datetime]
    ) -> None:
        self.market, self.number, self.cash, self.fee_ratio, self._now = market, number, cash, fee_ratio, now
        self.coins: dict[str, Decimal] = {}
        self.orders: dict[str, Order] = {}
        self._last = dt.datetime.min.replace(tzinfo=dt.UTC)

    @property
    def buying_power(self) -> Decimal:
        """Cash without what open purchases hold back."""
        return self.cash - sum((self.hold(each) for each in self.orders.values()), ZERO)

    def free(self, symbol: str) -> Decimal:
        """Coins without those that open sales hold back."""
        mine = (each for each in self.orders.values() if (each.symbol, each.side) == (symbol, "sell"))
        return self.coins.get(symbol, ZERO) - sum((each.left for each in mine), ZERO)

    def hold(self, order: Order) -> Decimal:
        """The dollars that an open purchase holds back, with the fee that it still expects."""
        price = order.limit or order.stop or ZERO
        return order.left * price + self.expected_fee(order) if order.side == "buy" else ZERO

    def expected_fee(self, order: Order) -> Decimal:
        """Of what is not filled yet."""
        return self._fee(order.left * (order.limit or order.stop or ZERO))

    def place(self, said: Row) -> Order:
        """Take an order; the one that has its client_order_id, where there is one. Raises No."""
        known = next((o for o in self.orders.values() if o.client_order_id == said.get("client_order_id")), None)
        if known is not None:
            return known
        at = self.tick()
        order = self._read(said, at)
        self._admit(order)
        self.orders[order.id] = order
        return order

    def cancel(self, order_id: str) -> Order:
        """Cancel an order that is open. Raises No."""
        order = self.orders.get(order_id)
        if order is None:
            raise No("Order not found", status=404)
        if order.state not in OPEN:
            raise No(f"Order {order_id} cannot be canceled; it is {order.state}")
        order.state, order.moved = "canceled", self.tick()
        return order

    def tick(self) -> dt.datetime:
        """Now, and never the same moment twice: a list has an order."""
        self._last = max(self._now(), self._last + dt.timedelta(microseconds=1))
        return self._last

    def match(self) -> None:
        """Trade what the quotes allow, oldest first; end what was good for a day that is over."""
        today = self._now().astimezone(NEW_YORK).date()
        for order in list(self.orders.values()):
            over = order.time_in_force == "gfd" and order.made.astimezone(NEW_YORK).date() < today
            if order.state in OPEN and over and order.type != "market":
                order.state, order.moved = "canceled", self.tick()
            elif order.state in OPEN and order.symbol in self.market.quotes:
                self._meet(order)

    def _meet(self, order: Order) -> None:
        bid, ask, size, _ = self.market.quotes[order.symbol]
        price, sign = (ask, 1) if order.side == "buy" else (bid, -1)
        if order.stop is not None and sign * (price - order.stop) >= 0:
            order.touched = True
        waits = order.stop is not None and not order.touched
        if waits or (order.limit is not None and sign * (price - order.limit) > 0):
            return
        coins = order.left if size is None else min(order.left, size)
        fee = self._fee(price * coins)
        if coins <= 0:
            return
        if sign > 0 and order.type in {"market", "stop_loss"} and price * coins + fee > self.cash:
            order.state, order.moved = "failed", self.tick()
            return
        order.executions.append((price, coins, self.tick()))
        order.fee, order.moved = order.fee + fee, self._last
        self.cash -= sign * price * coins + fee
        self.coins[order.symbol] = self.coins.get(order.symbol, ZERO) + sign * coins
        order.state = "filled" if order.filled == order.quantity else "partially_filled"
        if size is not None:  # what was taken is gone until the next quote
            self.market.quotes[order.symbol] = (bid, ask, size - coins, self._last)

    def _fee(self, value: Decimal) -> Decimal:
        return (value * self.fee_ratio).quantize(TINY)

    def _read(self, said: Row, at: dt.datetime) -> Order:
        kind, name = str(said.get("type")), str(said.get("client_order_id"))
        terms = said.get(f"{kind}_order_config")
        try:
            uuid.UUID(name)
        except ValueError:
            raise No("Must be a valid UUID.", "client_order_id") from None
        if kind not in {"market", "limit", "stop_loss", "stop_limit"} or not isinstance(terms, dict):
            raise No(f"Exactly one order config is required, {kind}_order_config.", "type")
        if said.get("side") not in {"buy", "sell"}:
            raise No("Must be buy or sell.", "side")
        symbol, force = str(said.get("symbol")), str(terms.get("time_in_force", "gtc"))
        if symbol not in self.market.pairs:
            raise No(f"Invalid symbol: {symbol}", "symbol")
        if force not in {"gtc", "gfd", "gfw", "gfm"} or (kind == "market" and "time_in_force" in terms):
            raise No("Invalid time in force.", "time_in_force")
        limit = _number(terms, "limit_price", wanted=kind in {"limit", "stop_limit"})
        stop = _number(terms, "stop_price", wanted=kind in {"stop_loss", "stop_limit"})
        quantity = _number(terms, "asset_quantity", wanted=True) or ZERO
        who = (str(uuid.uuid4()), name, symbol, str(said["side"]), kind)
        return Order(*who, quantity, limit, stop, force, at, at)

    def _admit(self, order: Order) -> None:
        pair = self.market.pairs[order.symbol]
        if not pair.api or pair.status == "untradable" or (pair.status == "sellonly" and order.side == "buy"):
            raise No(f"{order.symbol} cannot be traded now.", "symbol")
        if order.quantity % pair.lot or order.quantity > pair.most:
            raise No(f"Quantity must be a multiple of {pair.lot} and at most {pair.most}.", "asset_quantity")
        for name, price in (("limit_price", order.limit), ("stop_price", order.stop)):
            if price is not None and price % pair.tick:
                raise No(f"Price must be a multiple of {pair.tick}.", name)
        price = order.limit or order.stop or self._price(order)
        if pair.least is not None and order.quantity * price < pair.least:
            raise No(f"Order amount must be at least {pair.least}.", "asset_quantity")
        if order.side == "sell" and order.quantity > self.free(order.symbol):
            raise No("Not enough holdings.", "asset_quantity")
        if order.side == "buy" and order.quantity * price + self._fee(order.quantity * price) > self.buying_power:
            raise No("Not enough buying power.", "asset_quantity")

    def _price(self, order: Order) -> Decimal:
        if order.symbol not in self.market.quotes:
            raise No(f"{order.symbol} has no price now.", "symbol")
        bid, ask, *_ = self.market.quotes[order.symbol]
        return ask if order.side == "buy" else bid


def _number(terms: Row, name: str, *, wanted: bool) -> Decimal | None:
    if (name in terms) is not wanted:
        raise No("This field is required." if wanted else "This field is not allowed.", name)
    if not wanted:
        return None
    try:
        found = Decimal(str(terms[name]))
    except ArithmeticError:
        raise No("A valid number is required.", name) from None
    if not found.is_finite() or found <= 0:
        raise No("Ensure this value is greater than 0.", name)
    return found
