"""A broker in memory: the shared exchange over a simulated market, with its own disk, which survives our death.

Over recorded bars `close_session` trades a session at once. With a `clock` the market is live: quotes fill orders as
they come (`on_quote`), times are the clock's, and the close only ends what was good for the day.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from quaestor.admission import Leg, Promises, by_hand, malformed, reserve
from quaestor.bars import Bar
from quaestor.calendar import session_close, session_open
from quaestor.dividends import Dividend
from quaestor.errors import BadInput, BrokerRejected
from quaestor.exchange import Costs
from quaestor.matching import Met, Quote, Working, meet
from quaestor.orders import (
    Execution,
    Intent,
    OrderType,
    OrderUpdate,
    Side,
    State,
    TimeInForce,
    dollars,
    named,
)
from quaestor.ports import Account
from quaestor.splits import Split

ZERO = Decimal(0)
MILLIONTH = Decimal("0.000001")
BEFORE_THE_OPEN = dt.timedelta(minutes=5)  # when orders of a replayed session are taken to have come


@dataclass
class Exchange:
    """All that the broker knows: cash, shares, orders in the order they came, fills, and where its clock stands."""

    cash: Decimal | None = None
    session: dt.date | None = None
    phase: str = "closed"
    held: dict[str, Decimal] = field(default_factory=dict)
    orders: dict[str, tuple[Intent, OrderUpdate, bool]] = field(default_factory=dict)  # with: its stop was touched
    fills: list[Execution] = field(default_factory=list)
    halts: dict[str, str] = field(default_factory=dict)
    quoted: set[str] = field(default_factory=set)  # symbols that a live market has told of


class Quotes:
    """Implements `ports.Quotes` over given bars, by symbol and session."""

    def __init__(self, bars: Mapping[tuple[str, dt.date], Bar]) -> None:
        self._bars = bars
        self._last: dict[str, list[Bar]] = {}
        for bar in sorted(bars.values(), key=lambda bar: bar.session):
            self._last.setdefault(bar.symbol, []).append(bar)

    async def bar(self, symbol: str, session: dt.date) -> Bar | None:
        """The bar of that session."""
        return self._bars.get((symbol, session))

    async def last_bar(self, symbol: str, upto: dt.date) -> Bar | None:
        """The newest bar with session ≤ upto."""
        return next((bar for bar in reversed(self._last.get(symbol, [])) if bar.session <= upto), None)

    async def splits(self, session: dt.date) -> Sequence[Split]:
        """None."""
        del session
        return ()

    async def all_splits(self, symbols: Sequence[str]) -> list[Split]:
        """None."""
        del symbols
        return []

    async def dividends(self, symbols: Sequence[str]) -> list[Dividend]:
        """None."""
        del symbols
        return []

    async def blocked(self) -> Mapping[str, str]:
        """None."""
        return {}


class Broker:
    """Implements `ports.Broker` and `ports.ReplayMarket`."""

    def __init__(
        self,
        exchange: Exchange,
        alias: str,
        quotes: Quotes,
        costs: Costs,
        *,
        clock: Callable[[], dt.datetime] | None = None,
    ) -> None:
        """clock: the time of a live market (None: a replay, in which orders come before the open)."""
        self._clock = clock
        self._book = exchange
        self._alias = alias
        self._quotes = quotes
        self._costs = costs

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Accept an order, or answer with the one that came with this ref_id before."""
        return await self.place(intent, intent.ref_id)

    async def place(self, intent: Intent, ref_id: uuid.UUID) -> OrderUpdate:
        """The same under a ref_id that came over the wire; `Intent.ref_id` is not looked at."""
        name = str(named(self._alias, str(ref_id)))
        if name in self._book.orders:
            return self._book.orders[name][1]
        return await self._accept(name, ref_id, intent)

    async def place_by_hand(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        order_type: OrderType = OrderType.MARKET,
        *,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: TimeInForce = TimeInForce.GFD,
    ) -> OrderUpdate:
        """An order that nobody decided here, as from the broker's own app: each call another one."""
        session = self._book.session
        last = await self._quotes.last_bar(symbol, session - dt.timedelta(days=1)) if session else None
        prices = {"limit_price": limit_price, "stop_price": stop_price}
        terms = {"order_type": order_type, "time_in_force": time_in_force, **prices}
        intent = by_hand(self._alias, session, symbol, side, quantity, last, **terms)
        return await self._accept(str(named(f"hand {len(self._book.orders)}")), None, intent)

    async def _accept(self, name: str, ref_id: uuid.UUID | None, intent: Intent) -> OrderUpdate:
        said = malformed(intent) or await self._no(intent)
        if said:
            raise BrokerRejected(said)
        assert self._book.session is not None  # noqa: S101  # `_no` has seen one
        at = self._clock() if self._clock else session_open(self._book.session) - BEFORE_THE_OPEN
        terms = (intent.order_type, intent.limit_price, intent.stop_price)
        stands = (intent.symbol, intent.side, State.ACKED, intent.quantity, ZERO, None, at)
        update = OrderUpdate(name, ref_id, *stands, "", self._book.session, *terms)
        self._book.orders[name] = (intent, update, False)
        return update

    async def _no(self, intent: Intent) -> str:
        if (self._book.session, self._book.phase) != (intent.session, "open"):
            stands = f"{self._book.session} ({self._book.phase})"
            return f"The market stands at {stands}; an order for session {intent.session} is not accepted."
        known = intent.symbol in self._book.quoted
        if not known and await self._quotes.last_bar(intent.symbol, intent.session) is None:
            return f"Unknown symbol {intent.symbol!r}."
        if intent.symbol in self._book.halts:
            return f"{intent.symbol} is halted: {self._book.halts[intent.symbol]}."
        spent, sold = await self.promised()
        free = Promises(self._book.cash or ZERO, self._book.held, sold, spent)
        if intent.oco:
            free.legs = [self._leg(*each) for each in self._book.orders.values() if each[0].oco == intent.oco]
        return free.admit(intent, self._costs)

    def _promised(self) -> list[list[tuple[Intent, Decimal]]]:
        """Working orders with the shares or dollars that they may still take; the legs of a pair together."""
        pairs: dict[str, list[tuple[Intent, Decimal]]] = {}
        for name, (order, update, _) in self._book.orders.items():
            if not update.state.final:
                pairs.setdefault(order.oco or name, []).append((order, self._takes(order, update)))
        return list(pairs.values())

    def _takes(self, order: Intent, update: OrderUpdate) -> Decimal:
        left = order.quantity - update.filled
        if order.side is Side.SELL:
            return left
        return reserve(order, self._costs) * left / order.quantity

    def _leg(self, order: Intent, update: OrderUpdate, _: bool) -> Leg:  # a row
        stops = order.order_type.stops
        price = (order.stop_price if stops else order.limit_price) or ZERO
        who = (order.oco, order.symbol, order.side, stops, price)
        return Leg(*who, not update.state.final, update.filled > 0, self._takes(order, update))

    async def cancel(self, broker_id: str) -> None:
        """Cancel a working order; one that is no longer working stays as it is."""
        if broker_id not in self._book.orders:
            raise BrokerRejected(f"The broker knows no order {broker_id!r}.")
        intent, update, touched = self._book.orders[broker_id]
        if not update.state.final:
            at = self._clock() if self._clock else session_open(self._book.session or intent.session)
            self._book.orders[broker_id] = (intent, replace(update, state=State.CANCELED, updated_at=at), touched)

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """All orders of sessions on or after `since`."""
        return [update for intent, update, _ in self._book.orders.values() if since is None or intent.session >= since]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills of sessions on or after `since`, oldest first."""
        return [fill for fill in self._book.fills if since is None or fill.session >= since]

    async def account(self) -> Account:
        """Cash and positions now."""
        if self._book.cash is None:
            raise self._no_account()
        return Account(self._book.cash, {symbol: count for symbol, count in self._book.held.items() if count})

    async def halted(self) -> frozenset[str]:
        """Symbols that take no orders now."""
        return frozenset(self._book.halts)

    async def promised(self) -> tuple[Decimal, dict[str, Decimal]]:
        """What working orders may still take: dollars, and shares by symbol."""
        spent, sold = ZERO, dict[str, Decimal]()
        for pair in self._promised():
            order, most = pair[0][0], max(promised for _, promised in pair)
            if order.side is Side.SELL:
                sold[order.symbol] = sold.get(order.symbol, ZERO) + most
            else:
                spent += most
        return spent, sold

    # ── the market ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def fund(self, cash: Decimal) -> None:
        """Open the account with that cash, once."""
        if self._book.cash is None:
            self._book.cash = cash

    async def pay(self, amount: Decimal) -> None:
        """Money comes in, or with a negative amount goes out, without an order here."""
        if self._book.cash is None:
            raise self._no_account()
        self._book.cash += amount

    async def clock(self) -> tuple[dt.date | None, str]:
        """Where the simulated clock stands."""
        return self._book.session, self._book.phase

    async def open_session(self, session: dt.date) -> None:
        """Before the open."""
        book = self._book
        if book.cash is None:
            raise self._no_account()
        if book.session is not None and book.session >= session:
            return
        if book.phase == "open":
            raise BadInput(f"Session {book.session} is still open; close it before opening {session}.")
        book.session, book.phase = session, "open"

    async def halt(self, symbol: str, reason: str) -> None:
        """From now on the symbol takes no new orders and its working orders do not trade."""
        self._book.halts.setdefault(symbol, reason)

    async def end_halt(self, symbol: str) -> None:
        """The symbol trades again."""
        self._book.halts.pop(symbol, None)

    async def close_session(self, session: dt.date) -> None:
        """Trade the session: match working orders on its bars; day orders that did not fill expire at the close."""
        book = self._book
        if book.session is not None and (book.session, book.phase == "closed") >= (session, True):
            return
        if (book.session, book.phase) != (session, "open"):
            raise BadInput(f"Session {session} is not open (the market stands at {book.session}); open it first.")
        by_symbol: dict[str, list[tuple[str, Intent, OrderUpdate, bool]]] = {}
        for name, (intent, update, touched) in book.orders.items():
            if not update.state.final:
                by_symbol.setdefault(intent.symbol, []).append((name, intent, update, touched))
        why = dict.fromkeys(by_symbol, "no trade in the session")
        for symbol, orders in by_symbol.items():
            bar = (
                None if self._clock else await self._quotes.bar(symbol, session)
            )  # its quotes have traded by themselves
            if bar is not None and symbol not in book.halts:
                why[symbol] = "not marketable in the session"
                for met in meet([_working(*order) for order in orders], bar, self._costs):
                    self._met(met, session)
        for orders in by_symbol.values():
            for name, *_ in orders:
                self._ended(name, why[orders[0][1].symbol], session)
        book.phase = "closed"

    async def on_quote(
        self, symbol: str, quote: Quote, at: dt.datetime, only: Collection[str] | None = None
    ) -> list[Execution]:
        """A live market moves: working orders of the symbol meet the quote; what traded.

        only: of these orders (None: of all). Nothing happens while the session is closed or the symbol is halted.
        """
        book = self._book
        book.quoted.add(symbol)
        if book.session is None or book.phase != "open" or symbol in book.halts:
            return []
        orders = [
            _working(name, *order)
            for name, order in book.orders.items()
            if order[0].symbol == symbol and not order[1].state.final and (only is None or name in only)
        ]
        before = len(book.fills)
        for met in meet(orders, quote, self._costs):
            self._met(met, book.session, at)
        return book.fills[before:]

    def _met(self, met: Met, session: dt.date, moment: dt.datetime | None = None) -> None:
        """`moment`: within the session; else the whole of it has passed."""
        name = str(met.order.id)
        intent, update, _ = self._book.orders[name]
        if met.canceled:
            at = moment or session_close(session)
            update = replace(update, state=State.CANCELED, reason="the other leg of its pair traded", updated_at=at)
        elif met.quantity and met.price is not None:
            at = moment or (session_open(session) if met.at_open else session_close(session))
            key = f"{moment.isoformat()} {update.filled}" if moment else session.isoformat()
            update = self._filled(intent, update, met.quantity, met.price, session, at, key)
        self._book.orders[name] = (intent, update, met.triggered)

    def _ended(self, name: str, reason: str, session: dt.date) -> None:
        """An order that is good for the day ends with it."""
        intent, update, touched = self._book.orders[name]
        if not update.state.final and intent.time_in_force is TimeInForce.GFD:
            reason = "the session ended before the rest could trade" if update.filled else reason
            update = replace(update, state=State.EXPIRED, reason=reason, updated_at=session_close(session))
            self._book.orders[name] = (intent, update, touched)

    def _filled(
        self,
        intent: Intent,
        update: OrderUpdate,
        quantity: Decimal,
        price: Decimal,
        session: dt.date,
        at: dt.datetime,
        key: str,
    ) -> OrderUpdate:
        fee = self._costs.fee(intent.side, quantity, price, first=not update.filled)
        ids = (str(uuid.uuid5(uuid.UUID(update.broker_id), key)), update.broker_id, update.ref_id)
        fill = Execution(*ids, intent.symbol, intent.side, quantity, price, fee, session, at)
        self._book.fills.append(fill)
        self._book.cash = (self._book.cash or ZERO) + fill.cash
        held = self._book.held.get(intent.symbol, ZERO)
        self._book.held[intent.symbol] = held + intent.side.sign * quantity
        filled, average = update.filled + quantity, price
        if update.average_price is not None:
            worth = dollars(update.filled, update.average_price) + dollars(quantity, price)
            average = (worth / filled).quantize(MILLIONTH)
        state = State.FILLED if filled == update.quantity else State.PARTIALLY_FILLED
        return replace(update, state=state, filled=filled, average_price=average, updated_at=at)

    def _no_account(self) -> BadInput:
        return BadInput(f"The broker has no account {self._alias!r} yet; the first execute run opens it.")


def _working(name: str, intent: Intent, update: OrderUpdate, touched: bool) -> Working:  # a row
    return Working(
        id=uuid.UUID(name),
        side=intent.side,
        order_type=intent.order_type,
        left=update.quantity - update.filled,
        reference_price=intent.reference_price,
        limit_price=intent.limit_price,
        stop_price=intent.stop_price,
        oco=intent.oco,
        triggered=touched,
    )
