"""A simulated account: recorded ticks trade as a live run would, without any I/O. What is tested is what trades.

    events ──▶ engine ──acts──▶ account: orders meet the feed's quotes (`quaestor.matching`) ──Moved, Filled──▶ engine

**When an order fills.** It was decided on a batch of ticks, so it meets the quote that stands at the end of that batch,
and each later one until it fills or the session closes; every order ends with its session. Orders at the same quote
share its size, a quote of size 0 says nothing of it. Where only trades are known, they are met instead.

**What the engine is told of the account**: all of it when a session opens and closes, and every few seconds while
orders go out, as a runner would. A halt takes entries back, and nobody resumes.

The same events give the same orders and the same fills: nothing here draws by chance or asks for the time.
"""

from __future__ import annotations

import datetime as dt
import uuid
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from itertools import islice

from quaestor.exchange import Costs
from quaestor.latches import HALT
from quaestor.live.account import AccountState, Position
from quaestor.live.acts import Act, Place, Refuse, Stop
from quaestor.live.engine import Engine
from quaestor.live.events import Event, Filled, Latched, Moved, Session, Ticks, Told
from quaestor.live.simulated_market import Market, Order
from quaestor.live.standing import after_fill, instant
from quaestor.matching import Met, meet
from quaestor.orders import MILLIONTH, SELL, Execution, Intent, State
from quaestor.risk import Record, Sale, Working
from quaestor.ticks import SECOND, Tick

ZERO = Decimal(0)
FREE = Costs()
TELL = 5 * SECOND  # between two whole tellings while orders go out
MINUTE = 60 * SECOND
SPAN = SECOND // 20  # of the feed's time that a batch of recorded ticks holds


@dataclass(frozen=True)
class Played:
    """What came of it: orders and fills in their order, dollars at the end, equity at each close; refusals by rule."""

    orders: tuple[Order, ...]
    fills: tuple[Execution, ...]
    cash: Decimal
    equity: Decimal
    positions: tuple[Position, ...]
    sessions: tuple[tuple[dt.date, Decimal], ...]
    refused: Mapping[str, int]


def play(engine: Engine, events: Iterable[Event], account: SimulatedAccount) -> Played:
    """Feed the engine, perform what it decides on the account, tell it what came of that; until the events end."""
    account.attach(engine)
    for event in events:
        for news in account.before(event):
            _hear(engine, account, news)
        acts = engine.on(event)
        for news in account.after(event):
            _hear(engine, account, news)
        if acts:
            _perform(engine, account, acts, engine.now)
    return account.played()


def _hear(engine: Engine, account: SimulatedAccount, news: Event) -> None:
    if acts := engine.on(news):
        _perform(engine, account, acts, engine.now)


def _perform(engine: Engine, account: SimulatedAccount, acts: Sequence[Act], now: int) -> None:
    for news in account.perform(acts, now):
        _hear(engine, account, news)


def batches(ticks: Iterable[Tick], span: int = SPAN) -> Iterator[Ticks]:
    """Recorded ticks, in the order of their time, as events of so many ns; each is told at its last tick's time."""
    batch: list[Tick] = []
    for tick in ticks:
        if batch and tick.at - batch[0].at >= span:
            yield Ticks(batch[-1].at, batch)
            batch = []
        batch.append(tick)
    if batch:
        yield Ticks(batch[-1].at, batch)


class SimulatedAccount:
    """Cash, shares, orders. It knows the market by the ticks that the engine is told.

    evidence: whether orders keep why they were made; that is some 10 KB each.
    """

    def __init__(self, cash: Decimal, costs: Costs = FREE, *, evidence: bool = False) -> None:
        self.cash, self.costs, self._evidence = cash, costs, evidence
        self.held: dict[tuple[str, str], Position] = {}
        self.orders: dict[uuid.UUID, Order] = {}
        self.fills: list[Execution] = []
        self.refused: Counter[str] = Counter()
        self.sessions: list[tuple[dt.date, Decimal]] = []
        self.latches: tuple[str, ...] = ()
        self._market = Market({}, {})
        self._working: dict[str, list[Order]] = {}
        self._session: Session | None = None
        self._began = self._peak = cash
        self._sent: list[int] = []  # when the session's orders were placed
        self._sales: dict[uuid.UUID, Sale] = {}
        self._told_record, self._went_on = Record(), False
        self._told = 0
        self._news: list[uuid.UUID] = []  # orders that the engine has not been told of whole

    def attach(self, engine: Engine) -> None:
        """The engine's last prices are this account's market."""
        self._market = Market(engine.last, engine.quotes)

    # ── the time and the market ───────────────────────────────────────────────────────────────────────────────────────

    def before(self, event: Event) -> list[Event]:
        """What has happened by the time of an event: the session's close, and now and then the account, whole."""
        session, now = self._session, event.now
        if session is not None and now >= session.closes:
            return self._close(session, now)
        if self._news and now - self._told >= TELL:
            return [self._tell(now)]
        return []

    def after(self, event: Event) -> list[Event]:
        """What follows from an event: working orders meet its ticks one by one; a session's account."""
        if type(event) is Ticks:
            return self._meet_ticks(event) if self._working else []
        return self._open(event) if type(event) is Session else []

    def _meet_ticks(self, event: Ticks) -> list[Event]:
        news: list[Event] = []
        for tick in event.ticks:
            if tick.symbol in self._working:
                self._market.see(tick)
                news += self._meet(tick.symbol, event.now)
        return news

    def _open(self, session: Session) -> list[Event]:
        self._session, self._sent = session, []
        for symbol, numerator, denominator in session.splits:
            self._split(symbol, Fraction(numerator, denominator))
        return [self._tell(session.now)]

    def _close(self, session: Session, now: int) -> list[Event]:
        news: list[Event] = [self._end(o, State.EXPIRED, now) for o in self._all_working()]
        self._session = None
        self.sessions.append((session.session, self.equity(session.prices)))
        self._peak = max(self._peak, self.sessions[-1][1])
        return [*news, self._tell(now)]

    def _split(self, symbol: str, ratio: Fraction) -> None:
        for key, each in self.held.items():
            if each.symbol == symbol:
                shares = each.quantity * ratio.numerator / ratio.denominator
                self.held[key] = Position(*key, shares.quantize(MILLIONTH, ROUND_DOWN), each.cost)

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def perform(self, acts: Iterable[Act], now: int) -> list[Event]:
        """What came of the engine's acts."""
        news: list[Event] = []
        for act in acts:
            if type(act) is Place:
                for intent in act.intents:
                    news += self._take(intent, now)
            elif type(act) is Refuse:
                self.refused.update(refusal.rule for refusal in act.refusals)
            elif type(act) is Stop:
                news += self._halt(now)
        return news

    def _take(self, intent: Intent, now: int) -> list[Event]:
        """A new order meets what stands; one that sells what is not there is rejected, as any broker would."""
        name = intent.ref_id
        if name in self.orders:
            return []
        if not self._evidence:
            intent = intent.on_evidence({})
        order = self.orders[name] = Order(intent, name, now)
        self._sent.append(now)
        self._news.append(name)
        mine = self.held.get((intent.strategy, intent.symbol))
        if self._session is None or (intent.side is SELL and (mine is None or mine.quantity < intent.quantity)):
            order.state = State.REJECTED
            return [Moved(now, name, State.REJECTED, ZERO)]
        self._market.enter(intent.symbol)
        self._working.setdefault(intent.symbol, []).append(order)
        return self._meet(intent.symbol, now) or [Moved(now, name, State.ACKED, order.left)]

    def _meet(self, symbol: str, now: int) -> list[Event]:
        """The symbol's working orders meet its market as it stands."""
        market = self._market.quote(symbol)
        if market is None:
            return []
        orders = {order.name: order for order in self._working[symbol]}
        news: list[Event] = []
        for met in meet([order.working() for order in orders.values()], market, self.costs):
            order = orders[met.order.id]
            order.triggered = met.triggered
            if met.price is not None:
                news += self._fill(order, met, met.price, now)
            elif met.canceled:
                news.append(self._end(order, State.CANCELED, now))
        return news

    def _fill(self, order: Order, met: Met, paid: Decimal, now: int) -> list[Event]:
        intent, symbol = order.intent, order.intent.symbol
        fee = self.costs.fee(intent.side, met.quantity, paid, first=not order.fills)
        fill = Filled(now, intent.strategy, symbol, intent.side, met.quantity, paid, fee, order.name)
        execution = self._execution(order, fill)
        self.fills.append(execution)
        self._market.take(symbol, met.quantity)
        order.fills, order.filled = order.fills + 1, order.filled + met.quantity
        self.cash += execution.cash
        self._book(order, fill, execution.broker_id)
        if order.filled == intent.quantity:
            return [fill, self._end(order, State.FILLED, now)]
        order.state = State.PARTIALLY_FILLED
        return [fill, Moved(now, order.name, order.state, order.left)]

    def _execution(self, order: Order, fill: Filled) -> Execution:
        name, intent = str(order.name), order.intent
        told = (fill.quantity, fill.price, fill.fee, intent.session, instant(fill.now))
        return Execution(f"{name}:{order.fills}", name, order.name, intent.symbol, intent.side, *told)

    def _book(self, order: Order, fill: Filled, name: str) -> None:
        key = (fill.strategy, fill.symbol)
        before = self.held.pop(key, None)
        now = after_fill(before, fill)
        if now.quantity:
            self.held[key] = now
        if fill.side is SELL and self._session is not None:
            sold = fill.quantity * fill.price
            gain = sold - (before.cost - now.cost if before is not None else ZERO)
            known = self._sales.pop(order.name, None)
            proceeds = sold - fill.fee
            if known is not None:
                self._went_on = True
                proceeds, gain = proceeds + known.proceeds, gain + known.realized
            day = self._session.session
            self._sales[order.name] = Sale(name, fill.symbol, day, instant(fill.now), proceeds, gain)

    def _end(self, order: Order, state: State, now: int) -> Moved:
        order.state = state
        working = self._working[order.intent.symbol]
        working.remove(order)
        if not working:
            del self._working[order.intent.symbol]
        return Moved(now, order.name, state, ZERO)

    def _halt(self, now: int) -> list[Event]:
        self.latches = (HALT,)
        entries = [order for order in self._all_working() if not order.intent.reduces]
        return [Latched(now, self.latches), *(self._end(order, State.CANCELED, now) for order in entries)]

    def _all_working(self) -> list[Order]:
        return [order for orders in self._working.values() for order in orders]

    # ── how it stands ─────────────────────────────────────────────────────────────────────────────────────────────────

    def equity(self, closes: Mapping[str, Decimal] | None = None) -> Decimal:
        """Cash and shares at the last prices; `closes`: those of the session before, where nothing was told yet."""
        worth = ZERO
        for each in self.held.values():
            last = self._market.price(each.symbol) or (closes or {}).get(each.symbol)
            worth += each.cost if last is None else each.quantity * last
        return self.cash + worth

    def played(self) -> Played:
        """What came of it so far."""
        closes = self._session.prices if self._session is not None else None
        positions = tuple(each for _, each in sorted(self.held.items()))
        equity = self.equity(closes)
        return Played(
            tuple(self.orders.values()),
            tuple(self.fills),
            self.cash,
            equity,
            positions,
            tuple(self.sessions),
            dict(self.refused),
        )

    def _tell(self, now: int) -> Told:
        session, ended = self._session, self.sessions
        before = ended[-1] if ended else None
        state = AccountState(
            trading=None if session is None else session.session,
            equity=before[1] if before else self._began,
            previous_equity=ended[-2][1] if len(ended) > 1 else self._began,
            peak=self._peak,
            cash=self.cash,
            positions=tuple(each for _, each in sorted(self.held.items())),
            working=tuple(Working(order.intent, order.left) for order in self._all_working()),
            known=tuple(self._news),
            latches=self.latches,
            record=self._record(now),
            settled=before[0] if before else None,
            compared=before[0] if before else None,
            skew=ZERO,
        )
        self._told, self._news = now, []
        return Told(now, state)

    def _record(self, now: int) -> Record:
        """What was sold since it was told last is added to what was known; a sale that went on is counted anew."""
        attempts = len(self._sent) - bisect_right(self._sent, now - MINUTE)
        orders, sold = len(self._sent), len(self._told_record.sales)
        if self._went_on:
            self._told_record = Record(attempts, orders, tuple(reversed(self._sales.values())))
        else:
            news = islice(reversed(self._sales.values()), len(self._sales) - sold)
            self._told_record = self._told_record.followed(tuple(news), attempts, orders)
        self._went_on = False
        return self._told_record
