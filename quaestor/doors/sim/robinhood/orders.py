"""Orders: taken, listed, filled by quotes, canceled, as Robinhood shows all that.

A POST answers `unconfirmed`; then an order is `queued` (until its hours begin) or `confirmed`, and on it goes. It can
be canceled as long as its `cancel` is not null. The ref_id is echoed, and a second order with it is refused, or
answered with the first: nobody knows which Robinhood does, so it is a knob.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlencode

from quaestor.doors.sim.robinhood import tickets
from quaestor.doors.sim.robinhood.exchange import Floor, done
from quaestor.doors.sim.robinhood.instruments import Instruments
from quaestor.doors.sim.robinhood.placed import CLOSED, Placed, row
from quaestor.doors.sim.robinhood.quotes import Priced, Prices
from quaestor.doors.sim.robinhood.tickets import Ticket
from quaestor.doors.sim.robinhood.wire import API, Answer, Ask, Refused, Way, cursor, listed, place
from quaestor.errors import BrokerRejected
from quaestor.matching import Quote
from quaestor.orders import Execution, Intent, OrderUpdate, Side

THERE = {"ref_id": ["Order with this ref_id already exists."]}
NOT_NOW = {"detail": "Order cannot be cancelled at this time."}
NONE_THERE = ["Invalid hyperlink - Object does not exist."]
SAID = {
    "Not enough buying power": "Not enough buying power.",
    "Not enough shares": "Not enough shares to sell.",
}


@dataclass
class Orders:
    """All orders, and the knobs.

    duplicates: what a second order with a ref_id is answered; closed: orders while the market is closed; confirm_takes,
    cancel_takes: how long an order stays unconfirmed (and cannot be canceled), a cancel pending (and may be filled);
    oldest: the first order_form_version that is taken; reject_next: the next order is accepted, and rejected for that
    reason; changed: fields that an order is to be shown with, by its id.
    """

    floor: Floor
    instruments: Instruments
    prices: Prices
    clock: Callable[[], dt.datetime]
    duplicates: Literal["error", "existing"] = "error"
    closed: Literal["queue", "refuse"] = "queue"
    confirm_takes: dt.timedelta = dt.timedelta()
    cancel_takes: dt.timedelta = dt.timedelta()
    page_size: int = 100
    oldest: int = 2
    reject_next: str = ""
    fills_on_arrival: bool = True
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)

    # ── what the market does ──────────────────────────────────────────────────────────────────────────────────────────

    def on_quote(self, symbol: str, at: dt.datetime, only: Sequence[str] | None = None) -> None:
        """Working orders of the symbol meet its quote; those that wait for their hours do not."""
        self.settle(at)
        price, phase = self.prices.known[symbol], self.floor.phase(at)
        price.extended = phase == "extended"
        here = [each for each in self.placed if each.symbol == symbol and (only is None or each.id in only)]
        for account, book in self.floor.books.items():
            free = price.left != 0
            mine = [x.id for x in here if free and x.account == account and _takes_part(x.ticket, phase)]
            quote = Quote(price.bid, price.ask, price.last, price.left)
            fills = done(book.on_quote(symbol, quote, at, mine))
            if price.left is not None:
                price.left -= sum((fill.quantity for fill in fills), Decimal(0))

    def settle(self, at: dt.datetime) -> None:
        """Cancels whose time has come."""
        self.floor.roll()
        for each in self.placed:
            if each.cancels_at is not None and each.cancels_at <= at:
                each.cancels_at = None
                done(self.floor.books[each.account].cancel(each.id))

    # ── over the wire ─────────────────────────────────────────────────────────────────────────────────────────────────

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("POST", "/orders/", self._place),
            Way("GET", "/orders/", self._list),
            Way("GET", "/orders/{}/", self._one),
            Way("POST", "/orders/{}/cancel/", self._cancel),
        ]

    def _place(self, ask: Ask) -> Answer:
        person = ask.whose
        ticket = tickets.read(ask, self.oldest)
        if ticket.account not in person.accounts.values() or ticket.account not in self.floor.books:
            raise Refused(400, {"account": NONE_THERE})
        if there := next((each for each in self.placed if each.ticket.ref_id == ticket.ref_id), None):
            if self.duplicates == "error":
                raise Refused(400, THERE)
            return Answer(self.row(there))
        now = self.clock()
        self.settle(now)
        placed = self._accept(ticket, now)
        self.placed.append(placed)
        answer = Answer(self.row(placed, fresh=True), 201)
        if self.fills_on_arrival and not placed.rejected and placed.symbol in self.prices.known:
            self.on_quote(placed.symbol, now, [placed.id])
        return answer

    def _accept(self, ticket: Ticket, now: dt.datetime) -> Placed:
        symbol = self._symbol(ticket)
        if (price := self.prices.known.get(symbol)) is None:
            raise Refused(400, {"non_field_errors": [f"{symbol} has no quote."]})
        phase = self.floor.phase(now)
        if phase == "closed" and (self.closed == "refuse" or ticket.extended):
            raise Refused(400, {"non_field_errors": ["The market is closed."]})
        if symbol in self.instruments.halts:
            raise Refused(400, {"non_field_errors": [f"Trading in {symbol} is halted."]})
        quantity = ticket.shares(_anchor(ticket, price))
        serial = len(self.placed) + 1
        if self.reject_next:
            why, self.reject_next = self.reject_next, ""
            return Placed(serial, str(uuid.uuid4()), ticket, symbol, quantity, now, rejected=why)
        update = self._booked(ticket, symbol, quantity, price)
        return Placed(serial, update.broker_id, ticket, symbol, quantity, now)

    def _booked(self, ticket: Ticket, symbol: str, quantity: Decimal, price: Priced) -> OrderUpdate:
        book = self.floor.books[ticket.account]
        session, _ = done(book.clock())
        kind = ticket.kind
        assert session is not None  # noqa: S101  # the floor has rolled
        who = (ticket.account, "", symbol, session, str(ticket.ref_id), ticket.side, quantity, _anchor(ticket, price))
        limit = ticket.price if kind.limits else None
        stop = ticket.stop_price if kind.stops else None
        tif = ticket.time_in_force
        try:
            intent = Intent(*who, order_type=kind, limit_price=limit, stop_price=stop, time_in_force=tif)
            return done(book.place(intent, ticket.ref_id))
        except BrokerRejected as no:
            words = next((ours for theirs, ours in SAID.items() if str(no).startswith(theirs)), str(no))
            raise Refused(400, {"non_field_errors": [words]}) from None

    def _symbol(self, ticket: Ticket) -> str:
        try:
            return self.instruments.symbol(ticket.instrument)
        except Refused:
            raise Refused(400, {"instrument": NONE_THERE}) from None

    def _list(self, ask: Ask) -> Answer:
        """Newest first, by pages; of the default account where none is named."""
        asked, person = ask.query, ask.whose
        self.settle(self.clock())
        mine = set(asked.get("account_numbers", person.default).split(",")) & set(person.accounts.values())
        since = _instant(asked.get("updated_at[gte]", ""))
        page, after = place(asked.get("cursor", ""))
        size = min(int(asked.get("page_size") or self.page_size), self.page_size)
        standing = self._standing()
        found = [
            each
            for each in reversed(self.placed)
            if each.account in mine
            and (not after or each.serial < after)
            and ("instrument" not in asked or each.ticket.instrument in asked["instrument"])
            and (since is None or self._updated(each, standing) >= since)
        ]
        fills = self._fills()
        shown = [self._row(each, standing.get(each.id), fills.get(each.id, [])) for each in found[:size]]
        again = {**asked, "cursor": cursor(page + 1, found[size - 1].serial)} if len(found) > size else None
        again = {**asked, "cursor": cursor(page + 1, 1 << 62)} if "endless" in ask.struck else again
        again = {**asked, "cursor": cursor(page, after or 1 << 62)} if "circle" in ask.struck else again
        return listed(shown, f"{API}/orders/?{urlencode(again)}" if again else None)

    def _one(self, ask: Ask) -> Answer:
        self.settle(self.clock())
        return Answer(self.row(self._find(ask)))

    def _cancel(self, ask: Ask) -> Answer:
        """It takes its time, and a fill may come first."""
        now = self.clock()
        self.settle(now)
        placed = self._find(ask)
        fresh = now < placed.created_at + self.confirm_takes
        if fresh or self.row(placed)["cancel"] is None:
            raise Refused(403, NOT_NOW)
        placed.cancels_at = now + self.cancel_takes
        self.settle(now)
        return Answer()

    def _find(self, ask: Ask) -> Placed:
        for each in self.placed:
            if each.id == ask.parts[0] and each.account in ask.whose.accounts.values():
                return each
        raise Refused(404, {"detail": "Not found."})

    # ── as it is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def row(self, placed: Placed, *, fresh: bool = False) -> dict[str, Any]:
        """The order as Robinhood shows it; fresh: in the answer to its POST."""
        fills = self._fills().get(placed.id, [])
        return self._row(placed, self._standing().get(placed.id), fills, fresh=fresh)

    def _row(
        self, placed: Placed, update: OrderUpdate | None, fills: Sequence[Execution], *, fresh: bool = False
    ) -> dict[str, Any]:
        state = self._state(placed, update, fresh=fresh)
        found = row(placed, update, fills, state, self._updated(placed, {placed.id: update} if update else {}))
        found |= self.changed.get(placed.id, {})
        return found if found["state"] not in CLOSED else found | {"cancel": None}

    def _state(self, placed: Placed, update: OrderUpdate | None, *, fresh: bool) -> str:
        now = self.clock()
        if fresh or now < placed.created_at + self.confirm_takes:
            return "unconfirmed"
        if placed.rejected or update is None:
            return "rejected"
        if update.state.final:
            ended = "partially_filled_rest_cancelled" if update.filled else "cancelled"
            return "filled" if update.filled == update.quantity else ended
        if placed.cancels_at is not None:
            return "pending_cancelled"
        if update.filled:
            return "partially_filled"
        return "confirmed" if _takes_part(placed.ticket, self.floor.phase(now)) else "queued"

    def _updated(self, placed: Placed, standing: dict[str, OrderUpdate]) -> dt.datetime:
        update = standing.get(placed.id)
        return max(placed.created_at, update.updated_at) if update else placed.created_at

    def _standing(self) -> dict[str, OrderUpdate]:
        return {update.broker_id: update for book in self.floor.books.values() for update in done(book.orders())}

    def _fills(self) -> dict[str, list[Execution]]:
        found: dict[str, list[Execution]] = {}
        for book in self.floor.books.values():
            for fill in done(book.executions()):
                found.setdefault(fill.broker_id, []).append(fill)
        return found


def _takes_part(ticket: Ticket, phase: str) -> bool:
    return phase == "regular" or (phase == "extended" and ticket.extended)


def _anchor(ticket: Ticket, price: Priced) -> Decimal:
    """What the order's worth is reckoned with: what it would pay or get now."""
    quoted = price.ask if ticket.side is Side.BUY else price.bid
    found = ticket.price if ticket.type == "limit" and ticket.price is not None else quoted or price.last
    return found if found is not None else Decimal(1)


def _instant(text: str) -> dt.datetime | None:
    """A time in a query; without a zone, UTC; what is none is ignored, as all that Robinhood does not understand."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
