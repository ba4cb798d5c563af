"""Trade: replay recorded sessions on a simulated clock, one after the other, under the account's lease.

One session, in the order of events:

    1. open      the market's clock goes to the session; splits effective at its open rescale broker and books
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

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.calendar import next_session, previous_session, session_close, session_open, sessions
from quaestor.errors import BadInput, BooksDisagree
from quaestor.ledger import Equity, deposit, shares, value
from quaestor.operations.band import band
from quaestor.operations.decide import Mandate, Standing, decide
from quaestor.operations.marks import marked
from quaestor.operations.outbox import UNCLEAR, Band, collect, drain, resolve
from quaestor.orders import Side
from quaestor.ports import (
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
from quaestor.sizing import strategy_shares

if TYPE_CHECKING:
    from quaestor.config import RiskSection

LEASE_WAIT = 40.0  # seconds: longer than an abandoned lease lives
ENTRIES = "entries"  # the latch that stops entries
TRIES = 5  # a lost answer is looked up and sent again this often before the open


@dataclass(frozen=True)
class Floor:
    """The doors a trading session needs."""

    books: BookStore
    signals: SignalStore
    quotes: Quotes
    leases: LeaseStore
    control: ControlStore
    alerts: Alerts
    broker: Broker
    market: ReplayMarket

    def band(self, limits: RiskSection) -> Band:
        """How long, and how far from its price, an order may be sent here."""
        return band(self.market, self.quotes, limits)


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
        await _open_account(floor, mandate, ahead)
        resolved = await resolve(floor.books, floor.broker, lease, floor.band(mandate.limits))
        wanted = await _signals(floor, mandate, ahead)
        for day in ahead:
            signals = wanted.get(previous_session(day), [])
            equity = await _session(floor, mandate, day, signals, marks, run, lease)
            marks = marks.after(equity)
            if progress is not None:
                await progress(day, equity)
    return await _summed(floor.books, days, resolved)


async def _summed(books: BookStore, days: Sequence[dt.date], resolved: int) -> Traded:
    """What these sessions came to, as the books have it: the same however often they had to be traded."""
    if not days:
        return Traded(0, None, None, 0, 0, 0, resolved, None)
    orders, refusals, fills = await books.counts(days[0], days[-1])
    settled = await books.last_equity()
    equity = settled.equity if settled else None
    return Traded(len(days), days[0], days[-1], orders, refusals, fills, resolved, equity)


async def _open_account(floor: Floor, mandate: Mandate, days: Sequence[dt.date]) -> None:
    """Fund broker and books with the opening cash, once: both or, where there is nothing to trade, none."""
    if days:
        await floor.market.fund(mandate.cash)
        at = session_open(days[0])
        await floor.books.book(deposit(f"deposit:{mandate.account}:opening", mandate.cash, days[0], at))


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
    await _open(floor, day, marks.last)
    await _decide_once(floor, mandate, day, signals, run, lease, marks)
    band = floor.band(mandate.limits)
    busy = await _send(floor, band, lease)
    await floor.market.close_session(day)
    if busy:  # the band is over: what was not sent expires, what is unresolved is listed or was never sent
        await _send(floor, band, lease)
    await _collect(floor, mandate, day, lease)
    return await _settle(floor, mandate, day)


async def _open(floor: Floor, day: dt.date, last: Equity | None) -> None:
    """Go to the session; splits since the newest settled one rescale broker and books, wherever they fall."""
    await floor.market.open_session(day)
    await _book_splits(floor, day, last)


async def _send(floor: Floor, band: Band, lease: Lease) -> bool:
    """Send what is planned and resolve what is unclear, until nothing is; whether there was any open order."""
    for _ in range(TRIES):
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
    standing = await _standing(floor, mandate, marks)
    await floor.books.decide(await decide(mandate, day, signals, standing, floor.quotes, run), lease)


async def _standing(floor: Floor, mandate: Mandate, marks: Marks) -> Standing:
    cash = (await floor.books.balances()).get("cash", Decimal(0))
    equity, opening = (marks.last.equity, marks.last.capital) if marks.last else (cash, cash)
    open_orders = await floor.books.open_orders()
    unclear = [order.intent for order in open_orders if order.state in UNCLEAR]
    session, phase = await floor.market.clock()
    return Standing(
        equity=equity,
        previous_equity=marks.before if marks.before is not None else opening,
        peak=marks.peak if marks.peak is not None else opening,
        cash=cash,
        lots=await floor.books.lots(),
        latches=tuple(latch.name for latch in await floor.control.latches(mandate.account)),
        trading=session if phase == "open" else None,
        halted=await floor.broker.halted(),
        blocked=frozenset(await floor.quotes.blocked()),
        unknown=frozenset(intent.symbol for intent in unclear),
        unknown_exits=frozenset(intent.symbol for intent in unclear if intent.reduces),
        selling=strategy_shares([_unsold(order) for order in open_orders if order.intent.side is Side.SELL]),
    )


def _unsold(order: StoredOrder) -> tuple[str, str, Decimal]:
    return order.intent.strategy, order.intent.symbol, order.intent.quantity - order.filled


async def recover(floor: Floor, limits: RiskSection, lease: Lease) -> int:
    """Bring the books to where the broker is after a writer died: splits, unresolved orders, fills; how many of them.

    Sends nothing but what was decided and is still in its band.
    """
    session, _ = await floor.market.clock()
    if session is None:
        return 0
    await _book_splits(floor, session, await floor.books.last_equity())
    resolved = await resolve(floor.books, floor.broker, lease, floor.band(limits))
    await collect(floor.books, floor.broker, lease, session)
    return resolved


async def _book_splits(floor: Floor, day: dt.date, last: Equity | None) -> None:
    """Splits since the newest settled session, wherever they fall; each is booked once."""
    for session in sessions(last.session + dt.timedelta(days=1), day) if last else [day]:
        for split in await floor.quotes.splits(session):
            await floor.books.book_split(split, session_open(session))


async def _collect(floor: Floor, mandate: Mandate, day: dt.date, lease: Lease) -> int:
    """Fills booked; one that the books cannot take is a difference to the broker."""
    try:
        fills, _ = await collect(floor.books, floor.broker, lease, day)
    except BooksDisagree as error:
        await _stop_entries(floor, mandate.account, str(error))
        return 0
    return fills


async def _settle(floor: Floor, mandate: Mandate, day: dt.date) -> Equity:
    """Value the account at the closes, prove it, compare it with the broker, keep it. Raises BooksDisagree."""
    lots, balances = await floor.books.lots(), await floor.books.balances()
    marks = await marked(shares(lots), day, day, floor.quotes)
    closes = {symbol: mark.price for symbol, mark in marks.items()}
    try:
        equity = value(day, lots, balances, closes)
        equity.prove()
        _prove_shares(day, shares(lots), await floor.books.shares_by_journal())
    except BooksDisagree as error:
        await _stop_entries(floor, mandate.account, str(error))
        raise
    await _compare(floor, mandate.account, equity, shares(lots))
    evidence = {"lots": [asdict(lot) for lot in lots], "closes": closes, "at": session_close(day).isoformat()}
    await floor.books.settle(equity, evidence)
    return equity


def _prove_shares(day: dt.date, lots: dict[str, Decimal], journal: dict[str, Decimal]) -> None:
    """Sum of fills = lots."""
    if lots != journal:
        raise BooksDisagree(f"{day}: lots say {_said(lots)}, the journal {_said(journal)}; report this as a defect.")


async def _compare(floor: Floor, account: str, equity: Equity, ours: dict[str, Decimal]) -> None:
    """Lots = the broker's positions, and cash = the broker's cash; else entries stop."""
    broker = await floor.broker.account()
    theirs = dict(broker.positions)
    if ours != theirs or equity.cash != broker.cash:
        reason = (
            f"{equity.session}: lots say {_said(ours)}, the broker {_said(theirs)}; cash {equity.cash:.2f} against the "
            f"broker's {broker.cash:.2f}. Run the reconcile flow: it names each difference and what would fix it."
        )
        await _stop_entries(floor, account, reason)


async def _stop_entries(floor: Floor, account: str, reason: str) -> None:
    """Latch, and tell a person: once, until it is cleared."""
    if await floor.control.set_latch(account, ENTRIES, reason):
        await floor.alerts.send(f"{account}: books and broker disagree; entries are stopped", reason, urgent=True)


def _said(held: dict[str, Decimal]) -> str:
    return ", ".join(f"{quantity} {symbol}" for symbol, quantity in sorted(held.items())) or "nothing"
