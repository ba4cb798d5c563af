"""Trade: replay recorded sessions on a simulated clock, one after the other, under the account's lease.

One session, in the order of events:

    1. open      the market's clock goes to the session; splits and dividends of its open change broker and books,
                 with those that were learned late
    2. decide    signals of the session before + the account → intents and refusals, committed whole     (decide.py)
    3. send      every intent goes to the broker, once                                                   (outbox.py)
    4. close     the market trades the session; day orders that did not fill expire
    5. collect   orders follow the broker's states; executions become fills, entries and lots
    6. settle    the account is valued at the closes, the ledger proves itself, equity is kept

Killed at any point and run again, each step finds what is already done: the set of broker orders is the same.

Books that contradict themselves stop everything. Books that contradict the broker stop entries: exits go on, and
sessions are settled by the fills we know, until a reconciliation finds both agreed again (laws 5, 6).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.actions import Action
from quaestor.calendar import next_session, previous_session, session_close, session_open, sessions
from quaestor.engine import UNCLEAR
from quaestor.errors import BadInput, BooksDisagree, BrokerAmbiguous
from quaestor.latches import ENTRIES
from quaestor.ledger import Equity, deposit, shares, value
from quaestor.operations.band import band
from quaestor.operations.decide import Mandate, Standing, decide
from quaestor.operations.halt import carry_out
from quaestor.operations.marks import marked
from quaestor.operations.outbox import Band, Heard, collect, drain, resolve
from quaestor.orders import EXTERNAL, TimeInForce, trimmed
from quaestor.ports import (
    ActivityStore,
    Alerts,
    BookStore,
    Broker,
    ControlStore,
    Lease,
    LeaseStore,
    Quotes,
    ReplayMarket,
    Run,
    SignalStore,
    StoredOrder,
    StoredSignal,
)
from quaestor.risk import Working
from quaestor.splits import Split

if TYPE_CHECKING:
    from quaestor.config import RiskSection

LEASE_WAIT = 40.0  # seconds: longer than an abandoned lease lives
HEARINGS = 6  # the broker is asked so often for what it has not told yet
LISTENING = 0.02  # seconds before it is asked again; twice as long each time
TRIES = 10  # a lost answer is looked up and sent again this often before the open
PAUSE, LONGEST = 0.05, 5.0  # seconds before the second try; twice as long each time, up to so many


@dataclass(frozen=True)
class Floor:
    """The doors a trading session needs."""

    books: BookStore
    activity: ActivityStore
    signals: SignalStore
    quotes: Quotes
    leases: LeaseStore
    control: ControlStore
    alerts: Alerts
    broker: Broker
    market: ReplayMarket
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep  # seconds

    def band(self, limits: RiskSection) -> Band:
        """How long, and how far from its price, an order may be sent here."""
        return band(self.market, self.quotes, self.control, limits)


@dataclass(frozen=True, slots=True)
class Traded:
    """What a stretch of sessions did."""

    sessions: int
    first: dt.date | None
    last: dt.date | None
    orders: int
    refusals: int
    fills: int
    resolved: int
    equity: Decimal | None


Progress = Callable[[dt.date, Equity], Awaitable[None]]


async def pending(floor: Floor, mandate: Mandate, start: dt.date | None, end: dt.date | None) -> list[dt.date]:
    """Sessions to trade, oldest first: those with signals the session before and bars of their own, up to `end`.

    Books skip no session (a split could fall into the gap): once one is settled, the next one follows it, and `start`
    only says where a fresh account begins. Raises BadInput for a range without any session that could be traded, and
    when a strategy in use was never asked: its positions would be nobody's.
    """
    asked = await _asked(floor, mandate)
    first, last = next_session(asked[0]), next_session(asked[1])
    if (start and end and start > end) or (start and start > last) or (end and end < first):
        raise BadInput(
            f"No session can be traded in {start or '…'} … {end or '…'}: with the signals there are, sessions from "
            f"{first} to {last} can. Choose a range that meets them, or run `quaestor signals`."
        )
    settled = await floor.books.last_equity()
    begin = settled.session + dt.timedelta(days=1) if settled else start or mandate.first_session or first
    ready = sessions(max(begin, first), min(end, last) if end else last)
    return [day for day in ready if await _has_market(floor, mandate, day)]


async def _asked(floor: Floor, mandate: Mandate) -> tuple[dt.date, dt.date]:
    """The sessions that the strategies in use were asked about, all of them up to the last."""
    computed = await floor.signals.computed(mandate.digests)
    names = dict(zip(mandate.digests, mandate.weights, strict=True))
    if missing := [name for digest, name in names.items() if digest not in computed]:
        raise BadInput(f"No signals of {', '.join(missing)} yet, as configured now; run `quaestor signals` first.")
    return min(first for first, _ in computed.values()), min(last for _, last in computed.values())


async def _has_market(floor: Floor, mandate: Mandate, day: dt.date) -> bool:
    """A recorded session can be traded once its bars are there."""
    for symbol in mandate.symbols:
        if await floor.quotes.bar(symbol, day) is not None:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Marks:
    """What settled sessions say of the account: the newest one, equity in dollars before it, the highest equity."""

    last: Equity | None = None
    before: Decimal | None = None
    peak: Decimal | None = None

    def after(self, equity: Equity) -> Marks:
        """Once one more session is settled."""
        peak = equity.equity if self.peak is None else max(self.peak, equity.equity)
        return Marks(equity, self.last.equity if self.last else None, peak)


async def trade(
    floor: Floor, mandate: Mandate, days: Sequence[dt.date], run: Run, holder: str, progress: Progress | None = None
) -> Traded:
    """Trade these sessions in order; those already settled are left alone.

    Raises LeaseHeld while another process is the account's single writer, BooksDisagree when a proof fails.
    """
    async with floor.leases.hold(mandate.account, holder, LEASE_WAIT) as lease:
        marks = await _marks(floor.books)
        ahead = [day for day in days if marks.last is None or day > marks.last.session]
        await _open_account(floor, mandate, ahead, lease)
        resolved = await _take_over(floor, mandate.limits, lease)
        await _tell_orphans(floor, mandate)
        wanted = await _signals(floor, mandate, ahead)
        for day in ahead:
            signals = wanted.get(previous_session(day), [])
            equity = await _session(floor, mandate, day, signals, marks, run, lease)
            marks = marks.after(equity)
            if progress is not None:
                await progress(day, equity)
    return await _summed(floor.books, days, resolved)


async def _take_over(floor: Floor, limits: RiskSection, lease: Lease) -> int:
    """Whoever takes the lease begins where the broker is, not where the last writer thought it was."""
    try:
        return await recover(floor, limits, lease)
    except BooksDisagree as error:
        await _stop_entries(floor, str(error), lease)
        return 0


async def _tell_orphans(floor: Floor, mandate: Mandate) -> None:
    """Positions whose strategy or symbol is no longer in use: no signal will ever sell them."""
    lots = await floor.books.lots()
    left = sorted(
        f"{lot.symbol} of {lot.strategy}"
        for lot in lots
        if lot.strategy != EXTERNAL and (lot.strategy not in mandate.weights or lot.symbol not in mandate.symbols)
    )
    if left:
        body = (
            f"{', '.join(dict.fromkeys(left))}: held, but not in use any more, so nobody will sell it. Put it back "
            "into quaestor.toml, or sell everything: `quaestor halt --flatten`. A sale by hand would be nobody's: the "
            "books could not take it, and entries would stop."
        )
        await floor.alerts.send(f"{mandate.account}: positions that nobody looks after", body)


async def _summed(books: BookStore, days: Sequence[dt.date], resolved: int) -> Traded:
    """What these sessions came to, as the books have it: the same however often they had to be traded."""
    if not days:
        return Traded(0, None, None, 0, 0, 0, resolved, None)
    orders, refusals, fills = await books.counts(days[0], days[-1])
    settled = await books.last_equity()
    equity = settled.equity if settled else None
    return Traded(len(days), days[0], days[-1], orders, refusals, fills, resolved, equity)


async def _open_account(floor: Floor, mandate: Mandate, days: Sequence[dt.date], lease: Lease) -> None:
    """Fund books and broker with the opening cash, once: both or, where there is nothing to trade, none.

    The books first: where a writer dies between the two, there is no account yet, not one whose cash differs.
    """
    if days:
        at = session_open(days[0])
        await floor.books.book(deposit(f"deposit:{mandate.account}:opening", mandate.cash, days[0], at), lease)
        await floor.market.fund(mandate.cash)


async def _marks(books: BookStore) -> Marks:
    last = await books.last_equity()
    return Marks(last, await books.equity_before(last.session), await books.peak_equity()) if last else Marks()


async def _signals(floor: Floor, mandate: Mandate, days: Sequence[dt.date]) -> dict[dt.date, list[StoredSignal]]:
    found: dict[dt.date, list[StoredSignal]] = {}
    if days:
        first, last = previous_session(days[0]), days[-1]
        for signal in await floor.signals.of_sessions(mandate.digests, first, last):
            found.setdefault(signal.session, []).append(signal)
    return found


async def _session(
    floor: Floor, mandate: Mandate, day: dt.date, signals: Sequence[StoredSignal], marks: Marks, run: Run, lease: Lease
) -> Equity:
    await _open(floor, day, marks.last, lease)
    await _decide_once(floor, mandate, day, signals, run, lease, marks)
    band = floor.band(mandate.limits)
    busy = await _send(floor, band, lease)
    await carry_out(floor.control, floor.books, floor.broker, lease)  # a halt that came while the last ones were sent
    await floor.books.prove(lease)  # a writer that was paused would close on orders that its successor still sends
    await floor.market.close_session(day)
    if busy:  # the band is over: what was not sent expires, what is unresolved is listed or was never sent
        await _send(floor, band, lease)
    await _hear(floor, day, lease)
    return await _settle(floor, day, lease)


async def _open(floor: Floor, day: dt.date, last: Equity | None, lease: Lease) -> None:
    """Go to the session; splits and dividends up to it change broker and books, wherever they fall."""
    await floor.market.open_session(day)
    await _book_splits(floor, day, last, lease)


async def _send(floor: Floor, band: Band, lease: Lease) -> bool:
    """Send what is planned and resolve what is unclear, until nothing is; whether there was any open order.

    A halt that was latched meanwhile takes the entries back.
    """
    for attempt in range(TRIES):
        if attempt:
            await floor.sleep(min(PAUSE * 2 ** (attempt - 1), LONGEST))
        await carry_out(floor.control, floor.books, floor.broker, lease)
        if not await drain(floor.books, floor.broker, lease, band):
            return False
        if not await resolve(floor.books, floor.broker, lease, band):
            break
    return True


async def _decide_once(
    floor: Floor,
    mandate: Mandate,
    day: dt.date,
    signals: Sequence[StoredSignal],
    run: Run,
    lease: Lease,
    marks: Marks,
) -> None:
    if await floor.books.decided(day, day):
        return
    standing = await _standing(floor, mandate, day, marks)
    try:
        decision = await decide(mandate, day, signals, standing, floor.quotes, run)
    except BooksDisagree as error:
        await _stop_entries(floor, str(error), lease)
        raise
    await floor.books.decide(decision, lease)


async def _standing(floor: Floor, mandate: Mandate, day: dt.date, marks: Marks) -> Standing:
    cash = (await floor.books.balances()).get("cash", Decimal(0))
    equity, opening = (marks.last.equity, marks.last.capital) if marks.last else (cash, cash)
    lots, open_orders = await floor.books.lots(), await floor.books.open_orders()
    unclear = [order.intent for order in open_orders if order.state in UNCLEAR]
    latches = tuple(latch.name for latch in await floor.control.latches(mandate.account))
    session, phase = await floor.market.clock()
    symbols = {*mandate.symbols, *shares(lots)}
    return Standing(
        equity=equity,
        previous_equity=marks.before if marks.before is not None else opening,
        peak=marks.peak if marks.peak is not None else opening,
        cash=cash,
        lots=lots,
        latches=latches,
        trading=session if phase == "open" else None,
        record=await floor.activity.record(day, symbols, mandate.limits.quality_window),
        settled=marks.last.session if marks.last else None,
        compared=await _compared(floor, mandate.account, marks, latches),
        halted=await floor.broker.halted(),
        blocked=frozenset(await floor.quotes.blocked()),
        unknown=frozenset(intent.symbol for intent in unclear),
        unknown_exits=frozenset(intent.symbol for intent in unclear if intent.reduces),
        working=tuple(Working(order.intent, order.left) for order in open_orders),
    )


async def _compared(floor: Floor, account: str, marks: Marks, latches: Sequence[str]) -> dt.date | None:
    """The newest session after which books and broker agreed: settling compares them, and so does reconciling."""
    found = await floor.control.last_reconciliation(account)
    agreed = [found.session] if found is not None and found.ok and found.session is not None else []
    if marks.last is not None and ENTRIES not in latches:
        agreed.append(marks.last.session)
    return max(agreed, default=None)


async def recover(floor: Floor, limits: RiskSection, lease: Lease) -> int:
    """Bring the books to where the broker is after a writer died: splits, unresolved orders, fills; how many of them.

    Sends nothing but what was decided and is still in its band.
    """
    session, _ = await floor.market.clock()
    if session is None:
        return 0
    await floor.market.open_session(session)  # it stands there: only what was learned late is applied
    await _book_splits(floor, session, await floor.books.last_equity(), lease)
    resolved = await resolve(floor.books, floor.broker, lease, floor.band(limits))
    await tell_adopted(floor.books.account, await collect(floor.books, floor.broker, lease, session), floor.alerts)
    return resolved


async def _book_splits(floor: Floor, day: dt.date, last: Equity | None, lease: Lease) -> None:
    """Splits and dividends of what was held, each once: in time, or whenever they are learned.

    Settled sessions stay as they were; a person is told which were valued without it.
    """
    for action in await floor.books.missing_actions(day):
        at = session_open(action.session)
        try:
            if isinstance(action, Split):
                booked = await floor.books.book_split(action, at, lease)
            else:
                booked = await floor.books.book_dividend(action, at, lease)
        except BooksDisagree as error:
            await _stop_entries(floor, str(error), lease)
            continue
        if booked and last is not None and action.session <= last.session:
            await _tell_late(floor, action, last.session)


async def _tell_late(floor: Floor, action: Action, last: dt.date) -> None:
    what = f"{action.symbol}: the {'split' if isinstance(action, Split) else 'dividend'} of {action.session}"
    body = (
        f"{what} was learned after that session was settled. It is booked now as if it had been known; the equity of "
        f"{len(sessions(action.session, last))} settled sessions, to {last}, stays as it was: valued without it."
    )
    await floor.alerts.send(f"{floor.books.account}: {what} was learned late", body)


async def _hear(floor: Floor, day: dt.date, lease: Lease) -> None:
    """Listen until the broker has told all of the session; its lists may lag behind, or lose a page.

    Decided on less, the next session would sell again what is sold. What it does not tell in the end is a difference.
    """
    for attempt in range(HEARINGS):
        if not await _collect(floor, day, lease) or await _agreed(floor, day):
            return
        await floor.sleep(LISTENING * 2**attempt)
    left = [order for order in await floor.books.open_orders() if _owed(order, day)]
    if left:
        raise BrokerAmbiguous(f"The broker has not told how {len(left)} orders of {day} ended; asked again later.")


async def _agreed(floor: Floor, day: dt.date) -> bool:
    """Whether every order of the day has ended here, and books and broker agree; known differences do not count."""
    if any(latch.name == ENTRIES for latch in await floor.control.latches(floor.books.account)):
        return True
    if any(_owed(order, day) for order in await floor.books.open_orders()):
        return False
    broker, lots = await floor.broker.account(), await floor.books.lots()
    return shares(lots) == dict(broker.positions) and (await floor.books.balances()).get("cash") == broker.cash


def _owed(order: StoredOrder, day: dt.date) -> bool:
    """Whether its end must have come by the close of that day; how long a person's own order works, nobody tells us."""
    for_the_day = order.intent.session <= day and order.intent.time_in_force is TimeInForce.GFD
    return for_the_day and order.ref_id == order.intent.ref_id


async def _collect(floor: Floor, day: dt.date, lease: Lease) -> bool:
    """Follow the broker; a fill that the books cannot take is a difference, and nothing more is to be heard then."""
    try:
        heard = await collect(floor.books, floor.broker, lease, day)
    except BooksDisagree as error:
        await _stop_entries(floor, str(error), lease)
        return False
    await tell_adopted(floor.books.account, heard, floor.alerts)
    return True


async def tell_adopted(account: str, heard: Heard, alerts: Alerts) -> None:
    """Say which orders somebody else placed."""
    if heard.adopted:
        lines = [
            f"{u.side.value} {trimmed(u.quantity)} {u.symbol}, {u.state.value} ({u.broker_id})" for u in heard.adopted
        ]
        what = "an order placed by hand was" if len(lines) == 1 else f"{len(lines)} orders placed by hand were"
        await alerts.send(f"{account}: {what} adopted", "\n".join(lines))


async def _settle(floor: Floor, day: dt.date, lease: Lease) -> Equity:
    """Value the account at the closes, prove it, compare it with the broker, keep it. Raises BooksDisagree."""
    lots, balances = await floor.books.lots(), await floor.books.balances()
    marks = await marked(shares(lots), day, day, floor.quotes)
    closes = {symbol: mark.price for symbol, mark in marks.items()}
    try:
        equity = value(day, lots, balances, closes)
        equity.prove()
        _prove_shares(day, shares(lots), await floor.books.shares_by_journal())
    except BooksDisagree as error:
        await _stop_entries(floor, str(error), lease)
        raise
    await _compare(floor, equity, shares(lots), lease)
    evidence = {"lots": [asdict(lot) for lot in lots], "closes": closes, "at": session_close(day).isoformat()}
    await floor.books.settle(equity, evidence, lease)
    return equity


def _prove_shares(day: dt.date, lots: dict[str, Decimal], journal: dict[str, Decimal]) -> None:
    """Sum of fills = lots."""
    if lots != journal:
        raise BooksDisagree(f"{day}: lots say {_said(lots)}, the journal {_said(journal)}; report this as a defect.")


async def _compare(floor: Floor, equity: Equity, ours: dict[str, Decimal], lease: Lease) -> None:
    """Lots = the broker's positions, and cash = the broker's cash; else entries stop."""
    broker = await floor.broker.account()
    theirs = dict(broker.positions)
    if ours != theirs or equity.cash != broker.cash:
        reason = (
            f"{equity.session}: lots say {_said(ours)}, the broker {_said(theirs)}; cash {equity.cash:.2f} against the "
            f"broker's {broker.cash:.2f}. Run the reconcile flow: it names each difference and what would fix it."
        )
        await _stop_entries(floor, reason, lease)


async def _stop_entries(floor: Floor, reason: str, lease: Lease) -> None:
    """Latch as the account's writer, and tell a person: once, until it is cleared."""
    if await floor.books.latch(ENTRIES, reason, lease):
        title = f"{floor.books.account}: books and broker disagree; entries are stopped"
        await floor.alerts.send(title, reason, urgent=True)


def _said(held: dict[str, Decimal]) -> str:
    return ", ".join(f"{quantity} {symbol}" for symbol, quantity in sorted(held.items())) or "nothing"
