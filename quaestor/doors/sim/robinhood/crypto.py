"""Crypto, at nummus: pairs, the account, holdings, orders in JSON; quotes and bars of it are api's.

Prices come by the pair's symbol (BTC-USD) as those of shares do. A market order trades at once, a limit order when the
other side comes to it; the money is that of the person's default account.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from quaestor.doors.sim.robinhood.exchange import Floor, done
from quaestor.doors.sim.robinhood.instruments import number
from quaestor.doors.sim.robinhood.orders import NOT_NOW, THERE
from quaestor.doors.sim.robinhood.people import Person
from quaestor.doors.sim.robinhood.quotes import Priced
from quaestor.doors.sim.robinhood.wire import NUMMUS, REQUIRED, Answer, Ask, Refused, Way, cursor, listed, place, stamp

ZERO = Decimal(0)
MUST = ("account_id", "currency_pair_id", "price", "quantity", "ref_id", "side", "time_in_force", "type")


@dataclass
class Coin:
    """An order in crypto."""

    serial: int
    id: str
    person: Person
    pair: str
    body: dict[str, Any]
    quantity: Decimal
    price: Decimal
    at: dt.datetime
    state: str = "confirmed"
    traded: Decimal | None = None  # the price
    created_at: dt.datetime | None = None

    @property
    def sign(self) -> int:
        """+1 for a purchase."""
        return 1 if self.body["side"] == "buy" else -1


@dataclass
class Crypto:
    """Pairs by code, prices by pair, orders; holdings follow from the orders that traded."""

    floor: Floor
    clock: Callable[[], dt.datetime]
    codes: Iterable[str] = ("BTC", "ETH")
    page_size: int = 100
    prices: dict[str, Priced] = field(default_factory=dict)
    orders: list[Coin] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ids = {f"{code}-USD": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{code}-USD")) for code in self.codes}

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ids

    def ways(self) -> list[Way]:
        """What is answered."""
        quotes = "/marketdata/forex/quotes/"
        return [
            Way("GET", "/currency_pairs/", self._pairs, host="nummus"),
            Way("GET", "/accounts/", self._accounts, host="nummus"),
            Way("GET", "/holdings/", self._holdings, host="nummus"),
            Way("GET", "/orders/", self._list, host="nummus"),
            Way("POST", "/orders/", self._place, host="nummus"),
            Way("GET", "/orders/{}/", lambda ask: Answer(self._row(self._find(ask))), host="nummus"),
            Way("POST", "/orders/{}/cancel/", self._cancel, host="nummus"),
            Way("GET", quotes, lambda ask: Answer({"results": [self._quote(x) for x in _ids(ask)]})),
            Way("GET", f"{quotes}{{}}/", lambda ask: Answer(self._quote(ask.parts[0]))),
            Way("GET", "/marketdata/forex/historicals/{}/", self._bars),
        ]

    def on_quote(self, pair: str, price: Priced) -> None:
        """The market moves: limit orders that it reaches trade."""
        self.prices[pair] = price
        for each in self.orders:
            if each.pair == pair and each.state == "confirmed":
                self._trade(each)

    def held(self, person: Person, pair: str) -> Decimal:
        """Coins that the person has."""
        mine = (each for each in self.orders if (each.person, each.pair) == (person, pair) and each.traded is not None)
        return sum((each.sign * each.quantity for each in mine), ZERO)

    def _trade(self, order: Coin) -> None:
        price = self.prices[order.pair]
        there = price.ask if order.sign > 0 else price.bid
        if there is None or (order.body["type"] == "limit" and order.sign * (there - order.price) > 0):
            return
        order.state, order.traded, order.at = "filled", there, self.clock()
        done(self.floor.books[order.person.default].pay(-order.sign * order.quantity * there))

    def _place(self, ask: Ask) -> Answer:
        body, person = ask.body, ask.whose
        if missing := [name for name in MUST if not ask.text(name)]:
            raise Refused(400, {name: [REQUIRED] for name in missing})
        if any(each.body["ref_id"] == body["ref_id"] for each in self.orders):
            raise Refused(400, THERE)
        pair = next((name for name, known in self._ids.items() if known == body["currency_pair_id"]), "")
        if pair not in self.prices or body["account_id"] != self._account(person):
            raise Refused(400, {"currency_pair_id": ["Invalid currency pair or account."]})
        order = Coin(
            len(self.orders) + 1,
            str(uuid.uuid4()),
            person,
            pair,
            dict(body),
            _number(ask, "quantity"),
            _number(ask, "price"),
            self.clock(),
            created_at=self.clock(),
        )
        self._afford(order)
        self.orders.append(order)
        said = self._row(order) | {"state": "unconfirmed"}
        self._trade(order)
        return Answer(said, 201)

    def _afford(self, order: Coin) -> None:
        book = self.floor.books[order.person.default]
        free = done(book.account()).cash - done(book.promised())[0]
        if order.sign > 0 and order.quantity * order.price > free:
            raise Refused(400, {"non_field_errors": ["Not enough buying power."]})
        if order.sign < 0 and order.quantity > self.held(order.person, order.pair):
            raise Refused(400, {"non_field_errors": ["Not enough crypto to sell."]})

    def _cancel(self, ask: Ask) -> Answer:
        order = self._find(ask)
        if order.state != "confirmed":
            raise Refused(403, NOT_NOW)
        order.state, order.at = "canceled", self.clock()
        return Answer()

    def _find(self, ask: Ask) -> Coin:
        for each in self.orders:
            if each.id == ask.parts[0] and each.person == ask.whose:
                return each
        raise Refused(404, {"detail": "Not found."})

    def _list(self, ask: Ask) -> Answer:
        page, after = place(ask.query.get("cursor", ""))
        mine = [o for o in reversed(self.orders) if o.person == ask.whose and (not after or o.serial < after)]
        shown = mine[: self.page_size]
        more = f"{NUMMUS}/orders/?cursor={cursor(page + 1, shown[-1].serial)}" if len(mine) > len(shown) else None
        return listed([self._row(each) for each in shown], more)

    def _row(self, order: Coin) -> dict[str, Any]:
        open_, traded = order.state == "confirmed", order.traded
        notional = number(order.quantity * traded, 2) if traded is not None else None
        fill = {"id": str(uuid.uuid5(uuid.UUID(order.id), "fill")), "quantity": number(order.quantity, 18)}
        fill |= {"effective_price": number(traded, 18), "notional": notional, "timestamp": stamp(order.at)}
        address = f"{NUMMUS}/orders/{order.id}/cancel/" if open_ else None
        terms = {name: order.body[name] for name in ("side", "type", "ref_id", "time_in_force", "currency_pair_id")}
        names = {"id": order.id, "account_id": order.body["account_id"], "cancel_url": address, **terms}
        stands = {"state": order.state, "derived_state": order.state, "state_group": "open" if open_ else "closed"}
        shown = {"quantity": number(order.quantity, 18), "price": number(order.price, 18)}
        shown |= {"cumulative_quantity": number(order.quantity if traded is not None else ZERO, 18)}
        shown |= {"average_price": number(traded, 18), "rounded_executed_notional": notional}
        at = stamp(order.at)
        times = {"created_at": stamp(order.created_at or order.at), "updated_at": at, "last_transaction_at": at}
        return {**names, **stands, **shown, **times, "executions": [fill] if traded is not None else [], "fees": []}

    def _pairs(self, ask: Ask) -> Answer:
        del ask
        return listed([self._pair(pair) for pair in self._ids])

    def _pair(self, pair: str) -> dict[str, Any]:
        code = pair.partition("-")[0]
        names = {"id": self._ids[pair], "symbol": pair, "name": f"{code} to US Dollar", "display_symbol": pair}
        assets = {"asset_currency": _currency(code, "cryptocurrency"), "quote_currency": _currency("USD", "fiat")}
        sizes = {"min_order_size": "0.000001", "max_order_size": "1000000", "min_order_price_increment": "0.01"}
        sizes |= {"min_order_quantity_increment": "0.00000001"}
        return {**names, **assets, **sizes, "tradability": "tradable", "display_only": False}

    def _account(self, person: Person) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"crypto {person.username}"))

    def _accounts(self, ask: Ask) -> Answer:
        person = ask.whose
        row = {"id": self._account(person), "status": "active", "status_reason_code": "", "user_id": person.id}
        return listed([row | {"rhs_account_number": person.default, "account_type": "individual", "is_default": True}])

    def _holdings(self, ask: Ask) -> Answer:
        held = {pair: self.held(ask.whose, pair) for pair in self._ids}
        return listed([self._holding(ask.whose, pair, count) for pair, count in held.items() if count])

    def _holding(self, person: Person, pair: str, count: Decimal) -> dict[str, Any]:
        mine = (each for each in self.orders if (each.person, each.pair) == (person, pair) and each.traded is not None)
        cost = sum((each.sign * each.quantity * (each.traded or ZERO) for each in mine), ZERO)
        basis = {"direct_cost_basis": number(cost, 6), "direct_quantity": number(count, 18)}
        code, at = pair.partition("-")[0], stamp(self.clock())
        names: dict[str, Any] = {
            "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{person.username} {pair}")),
            "created_at": at,
        }
        names |= {"account_id": self._account(person), "currency": _currency(code, "cryptocurrency"), "updated_at": at}
        counts = {"quantity": count, "quantity_available": count, "quantity_held": ZERO}
        counts |= {"quantity_held_for_buy": ZERO, "quantity_held_for_sell": ZERO}
        shown = {name: number(value, 18) for name, value in counts.items()}
        return {**names, **shown, "currency_pair_id": self._ids[pair], "cost_bases": [basis]}

    def _quote(self, id_or_symbol: str) -> dict[str, Any]:
        asked = next((p for p, known in self._ids.items() if id_or_symbol in {known, p, p.replace("-", "")}), "")
        if asked not in self.prices:
            raise Refused(404, {"detail": "Not found."})
        price = self.prices[asked]
        mark = price.last or price.bid
        names = {"id": self._ids[asked], "symbol": asked.replace("-", ""), "updated_at": stamp(price.at)}
        sides = {"ask_price": price.ask, "bid_price": price.bid}
        shown = sides | dict.fromkeys(("mark_price", "open_price", "high_price", "low_price"), mark)
        return {**names, **{name: number(value, 6) for name, value in shown.items()}, "volume": "0.000000"}

    def _bars(self, ask: Ask) -> Answer:
        """One bar, of the last price: there is no history of it here."""
        quote = self._quote(ask.parts[0])
        prices = {f"{name}_price": quote["mark_price"] for name in ("open", "high", "low", "close")}
        bar = {"begins_at": quote["updated_at"], **prices, "volume": 0, "session": "reg", "interpolated": False}
        return Answer({"id": quote["id"], "symbol": quote["symbol"], "data_points": [bar]})


def _currency(code: str, kind: str) -> dict[str, str]:
    names = {"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, code)), "code": code, "name": code, "type": kind}
    return {**names, "increment": "0.00000001" if kind == "cryptocurrency" else "0.01"}


def _ids(ask: Ask) -> list[str]:
    return [each for each in (ask.query.get("ids") or ask.query.get("symbols", "")).split(",") if each]


def _number(ask: Ask, name: str) -> Decimal:
    try:
        value = Decimal(ask.text(name))
    except InvalidOperation:
        raise Refused(400, {name: ["A valid number is required."]}) from None
    if not value.is_finite() or value <= 0:
        raise Refused(400, {name: ["Ensure this value is greater than 0."]})
    return value
