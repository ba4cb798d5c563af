"""A session's steps, each for whoever holds the account's lease: the replay of recorded sessions and the live run.

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
from quaestor.calendar import session_close, session_open, sessions
from quaestor.engine import UNCLEAR
from quaestor.errors import BooksDisagree, BrokerAmbiguous, Permanent
from quaestor.latches import ENTRIES
from quaestor.ledger import Equity, deposit, shares, value
from quaestor.operations.band import band
from quaestor.operations.decide import Mandate, Standing
from quaestor.operations.halt import carry_out
from quaestor.operations.market import ExchangeMarket
from quaestor.operations.marks import marked
from quaestor.operations.opening import open_real_account
from quaestor.operations.outbox import Band, Heard, collect, drain, resolve
from quaestor.orders import EXTERNAL, TRIGGERS, TimeInForce, trimmed
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
    SignalStore,
    StoredOrder,
)
from quaestor.risk import Working
from quaestor.splits import Split

if TYPE_CHECKING:
    from quaestor.config import RiskSection

LAG = 3.0  # seconds by which a real broker's list may lag
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
    last: Callable[[str], float | None] = lambda _: None  # a symbol's last trade that a live run has seen

    async def pause(self) -> None:
        """Between two listings: a real broker's list may lag behind its own acceptance (law 2)."""
        if isinstance(self.market, ExchangeMarket):
            await self.sleep(LAG)

    def band(self, limits: RiskSection) -> Band:
        """How long, and how far from its price, an order may be sent here."""
        return band(self.market, self.quotes, self.control, limits, self.last)


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


async def marks_of(books: BookStore) -> Marks:
    """As the books have them."""
    last = await books.last_equity()
    return Marks(last, await books.equity_before(last.session), await books.peak_equity()) if last else Marks()


async def compared(floor: Floor, account: str, marks: Marks, latches: Sequence[str]) -> dt.date | None:
    """The newest session after which books and broker agreed: settling compares them, and so does reconciling."""
    found = await floor.control.last_reconciliation(account)
    agreed = [found.session] if found is not None and found.ok and found.session is not None else []
    if marks.last is not None and ENTRIES not in latches:
        agreed.append(marks.last.session)
    return max(agreed, default=None)


async def open_account(floor: Floor, mandate: Mandate, days: Sequence[dt.date], lease: Lease) -> None:
    """Fund books and broker with the opening cash, once: both or, where there is nothing to trade, none.

    At a real broker the books begin with what the account holds instead (see `opening`).

    The books first: where a writer dies between the two, there is no account yet, not one whose cash differs.
    """
    if days and isinstance(floor.market, ExchangeMarket):
        await open_real_account(floor.books, floor.broker, floor.quotes, days[0], floor.market.now(), lease)
    elif days:
        at = session_open(days[0])
        await floor.books.book(deposit(f"deposit:{mandate.account}:opening", mandate.cash, days[0], at), lease)
        await floor.market.fund(mandate.cash)


async def take_over(floor: Floor, limits: RiskSection, lease: Lease) -> int:
    """Whoever takes the lease begins where the broker is, not where the last writer thought it was."""
    try:
        return await recover(floor, limits, lease)
    except Permanent as error:  # books that disagree, or a list that cannot be read
        await stop_entries(floor, str(error), lease)
        return 0


async def tell_orphans(floor: Floor, mandate: Mandate) -> None:
    """Positions whose strategy or symbol is no longer in use: no signal will ever sell them."""
    lots = await floor.books.lots()
    left = sorted(
        f"{lot.symbol} of {lot.strategy}"
        for lot in lots
        if lot.strategy not in {EXTERNAL, TRIGGERS}
        and (lot.strategy not in mandate.weights or lot.symbol not in mandate.symbols)
    )
    if left:
        body = (
            f"{', '.join(dict.fromkeys(left))}: held, but not in use any more, so nobody will sell it. Put it back "
            "into quaestor.toml, or sell everything: `quaestor halt --flatten`. A sale by hand would be nobody's: the "
            "books could not take it, and entries would stop."
        )
        await floor.alerts.send(f"{mandate.account}: positions that nobody looks after", body)


async def recover(floor: Floor, limits: RiskSection, lease: Lease) -> int:
    """Bring the books to where the broker is after a writer died: splits, unresolved orders, fills; how many of them.

    Sends nothing but what was decided and is still in its band.
    """
    session, _ = await floor.market.clock()
    if session is None:
        return 0
    await floor.market.open_session(session)  # it stands there: only what was learned late is applied
    await book_actions(floor, session, await floor.books.last_equity(), lease)
    resolved = await resolve(floor.books, floor.broker, lease, floor.band(limits), floor.pause)
    await tell_adopted(floor.books.account, await collect(floor.books, floor.broker, lease, session), floor.alerts)
    return resolved


async def begin(floor: Floor, day: dt.date, last: Equity | None, lease: Lease) -> None:
    """Go to the session; splits and dividends up to it change broker and books, wherever they fall."""
    await floor.market.open_session(day)
    await book_actions(floor, day, last, lease)


async def book_actions(floor: Floor, day: dt.date, last: Equity | None, lease: Lease) -> None:
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
            await stop_entries(floor, str(error), lease)
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


async def standing_of(floor: Floor, mandate: Mandate, day: dt.date, marks: Marks) -> Standing:
    """The account before a session, as the gate asks about it."""
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
        compared=await compared(floor, mandate.account, marks, latches),
        halted=await floor.broker.halted(),
        blocked=frozenset(await floor.quotes.blocked()),
        unknown=frozenset(intent.symbol for intent in unclear),
        unknown_exits=frozenset(intent.symbol for intent in unclear if intent.reduces),
        working=tuple(Working(order.intent, order.left) for order in open_orders),
    )


async def send(floor: Floor, band: Band, lease: Lease) -> bool:
    """Send what is planned and resolve what is unclear, until nothing is; whether there was any open order.

    A halt that was latched meanwhile takes the entries back.
    """
    for attempt in range(TRIES):
        if attempt:
            await floor.sleep(min(PAUSE * 2 ** (attempt - 1), LONGEST))
        await carry_out(floor.control, floor.books, floor.broker, lease)
        if not await drain(floor.books, floor.broker, lease, band):
            return False
        if not await resolve(floor.books, floor.broker, lease, band, floor.pause):
            break
    return True


async def hear(floor: Floor, day: dt.date, lease: Lease) -> None:
    """Listen until the broker has told all of the session; its lists may lag behind, or lose a page.

    Decided on less, the next session would sell again what is sold. What it does not tell in the end is a difference.
    """
    for attempt in range(HEARINGS):
        if not await follow(floor, day, lease) or await _agreed(floor, day):
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


async def follow(floor: Floor, day: dt.date, lease: Lease) -> bool:
    """Follow the broker; a fill that the books cannot take is a difference, and nothing more is to be heard then."""
    try:
        heard = await collect(floor.books, floor.broker, lease, day)
    except BooksDisagree as error:
        await stop_entries(floor, str(error), lease)
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


async def settle(floor: Floor, day: dt.date, lease: Lease) -> Equity:
    """Value the account at the closes, prove it, compare it with the broker, keep it. Raises BooksDisagree."""
    lots, balances = await floor.books.lots(), await floor.books.balances()
    marks = await marked(shares(lots), day, day, floor.quotes)
    closes = {symbol: mark.price for symbol, mark in marks.items()}
    try:
        equity = value(day, lots, balances, closes)
        equity.prove()
        _prove_shares(day, shares(lots), await floor.books.shares_by_journal())
    except BooksDisagree as error:
        await stop_entries(floor, str(error), lease)
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
        await stop_entries(floor, reason, lease)


async def stop_entries(floor: Floor, reason: str, lease: Lease) -> None:
    """Latch as the account's writer, and tell a person: once, until it is cleared."""
    if await floor.books.latch(ENTRIES, reason, lease):
        title = f"{floor.books.account}: books and broker disagree; entries are stopped"
        await floor.alerts.send(title, reason, urgent=True)


def _said(held: dict[str, Decimal]) -> str:
    return ", ".join(f"{quantity} {symbol}" for symbol, quantity in sorted(held.items())) or "nothing"
