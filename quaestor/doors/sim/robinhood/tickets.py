"""Tickets: an order as it comes over the wire, form or JSON, and what is wrong with it by itself.

A purchase in regular hours comes as a limit order with `preset_percent_limit`, whatever was meant: robin_stocks sends
no other. It is taken at its limit, but for parts of a share, which only market orders have: those fill up to the
collar. A stop purchase comes with its stop price as its limit: that is a stop.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal, InvalidOperation

from quaestor.doors.sim.robinhood.wire import REQUIRED, Ask, Refused
from quaestor.exchange import tick
from quaestor.orders import OrderType, Side, TimeInForce

OLD_APP = (
    "Your app version is missing important stock trading updates. You can still place orders on the web "
    "or after you update your app."
)
MUST = ("account", "instrument", "ref_id", "side", "type", "time_in_force", "trigger")
CHOICES = {
    "side": {"buy", "sell"},
    "type": {"market", "limit"},
    "trigger": {"immediate", "stop"},
    "time_in_force": {"gfd", "gtc"},
    "market_hours": {"regular_hours", "extended_hours", "all_day_hours"},
}
MILLIONTH = Decimal("0.000001")


@dataclass(frozen=True)
class Ticket:
    """An order that was sent; dollars: worth of an order that names no shares."""

    account: str
    instrument: str
    ref_id: uuid.UUID
    side: Side
    type: str
    trigger: str
    time_in_force: TimeInForce
    market_hours: str
    extended: bool
    version: int
    quantity: Decimal | None
    dollars: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    preset: str

    @property
    def kind(self) -> OrderType:
        """What it is at the exchange."""
        if self.trigger == "stop":
            limits = self.type == "limit" and not (self.preset and self.price == self.stop_price)
            return OrderType.STOP_LIMIT if limits else OrderType.STOP
        parts = self.quantity is not None and self.quantity % 1 != 0
        return OrderType.MARKET if self.type == "market" or (self.preset and parts) else OrderType.LIMIT

    def shares(self, price: Decimal) -> Decimal:
        """How many: those that it names, or what its dollars buy at that price."""
        if self.quantity is not None:
            return self.quantity
        return ((self.dollars or Decimal(0)) / price).quantize(MILLIONTH, ROUND_FLOOR)


def read(ask: Ask, oldest: int) -> Ticket:
    """The ticket; refuses with 400 what misses a field, comes from an app that is too old, or contradicts itself."""
    version = ask.text("order_form_version")
    if not version.isdigit() or int(version) < oldest:
        raise Refused(400, {"non_field_errors": [OLD_APP]})
    if missing := [name for name in MUST if not ask.text(name)]:
        raise Refused(400, {name: [REQUIRED] for name in missing})
    for name, choices in CHOICES.items():
        if (said := ask.text(name)) and said not in choices:
            raise Refused(400, {name: [f'"{said}" is not a valid choice.']})
    if "trailing_peg" in ask.body:
        raise Refused(400, {"non_field_errors": ["Trailing stops are not taken here."]})
    quantity, dollars = _number(ask, "quantity"), _dollars(ask)
    if quantity is None and dollars is None:
        raise Refused(400, {"quantity": [REQUIRED]})
    hours = ask.text("market_hours") or "regular_hours"
    extended = ask.text("extended_hours").lower() == "true"
    if extended is (hours == "regular_hours"):
        raise Refused(400, {"non_field_errors": ["Extended hours and market hours mismatch."]})
    ticket = Ticket(
        account=_last(ask.text("account")),
        instrument=_last(ask.text("instrument")),
        ref_id=_ref(ask.text("ref_id")),
        side=Side(ask.text("side")),
        type=ask.text("type"),
        trigger=ask.text("trigger"),
        time_in_force=TimeInForce(ask.text("time_in_force")),
        market_hours=hours,
        extended=extended,
        version=int(version),
        quantity=quantity,
        dollars=dollars,
        price=_number(ask, "price"),
        stop_price=_number(ask, "stop_price") if ask.text("trigger") == "stop" else None,
        preset=ask.text("preset_percent_limit"),
    )
    _judge(ticket)
    return ticket


def _judge(ticket: Ticket) -> None:
    if ticket.kind.limits and ticket.price is None:
        raise Refused(400, {"price": [REQUIRED]})
    if ticket.trigger == "stop" and ticket.stop_price is None:
        raise Refused(400, {"stop_price": [REQUIRED]})
    if ticket.extended and ticket.type != "limit":
        raise Refused(400, {"non_field_errors": ["Only limit orders are taken outside of regular hours."]})
    for name, price in (("price", ticket.price), ("stop_price", ticket.stop_price)):
        if price is not None and price % tick(price):
            raise Refused(400, {name: [f"Price does not satisfy the min tick of {tick(price)}."]})


def _number(ask: Ask, name: str) -> Decimal | None:
    text = ask.text(name)
    if text in {"", "None"}:
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise Refused(400, {name: ["A valid number is required."]}) from None
    if not value.is_finite() or value <= 0:
        raise Refused(400, {name: ["Ensure this value is greater than 0."]})
    return value


def _dollars(ask: Ask) -> Decimal | None:
    said = ask.body.get("dollar_based_amount")
    if not isinstance(said, dict):
        return None
    if said.get("currency_code") != "USD":
        raise Refused(400, {"dollar_based_amount": ["Only USD is taken."]})
    return _number(Ask("", "", "", {}, said, ""), "amount")


def _ref(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Refused(400, {"ref_id": ["Must be a valid UUID."]}) from None


def _last(address: str) -> str:
    return address.rstrip("/").rpartition("/")[2]
