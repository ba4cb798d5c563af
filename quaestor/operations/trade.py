"""Trade: replay recorded sessions on a simulated clock, one after the other, under the account's lease.

One session, in the order of events:

    1. open      the market's clock goes to the session; splits effective at its open rescale broker and books
    2. decide    signals of the session before + the account → intents and refusals, committed whole     (decide.py)
    3. send      every intent goes to the broker, once                                                   (outbox.py)
    4. close     the market trades the session; day orders that did not fill expire
    5. collect   executions become fills, entries and lots; orders follow the broker's states
    6. settle    the account is valued at the closes, the ledger proves itself against fills and broker, equity is kept

Killed at any point and run again, each step finds what is already done: the set of broker orders is the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal

from quaestor.calendar import next_session, previous_session, session_close, session_open, sessions
from quaestor.errors import BooksDisagree
from quaestor.ledger import Equity, deposit, shares, value
from quaestor.operations.decide import Mandate, Standing, decide
from quaestor.operations.outbox import collect, drain, resolve
from quaestor.orders import State
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
    only says where a fresh account begins.
    """
    span = await floor.signals.span(mandate.digests)
    if span is None:
        return []
    settled = await floor.books.last_equity()
    begin = settled.session + dt.timedelta(days=1) if settled else start or mandate.first_session or span[0]
    last = min(end, next_session(span[1])) if end else next_session(span[1])
    ready = [day for day in sessions(begin, last) if previous_session(day) >= span[0]]
    return [day for day in ready if await _has_market(floor, mandate, day)]


async def _has_market(floor: Floor, mandate: Mandate, day: dt.date) -> bool:
    """A recorded session can be traded once its bars are there."""
    for symbol in mandate.symbols:
        if await floor.quotes.bar(symbol, day) is not None:
            return True
    return False


async def trade(
    floor: Floor, mandate: Mandate, days: Sequence[dt.date], run: Run, holder: str, progress: Progress | None = None
) -> Traded:
    """Trade these sessions in order; those already settled are left alone.

    Raises LeaseHeld while another process is the account's single writer, BooksDisagree when a proof fails.
    """
    async with floor.leases.hold(mandate.account, holder, LEASE_WAIT) as lease:
        settled = await floor.books.last_equity()
        days = [day for day in days if settled is None or day > settled.session]
        await _open_account(floor, mandate, days)
        resolved = await resolve(floor.books, floor.broker, lease, _band(floor))
        totals = [0, 0, 0]
        equity: Equity | None = None
        wanted = await _signals(floor, mandate, days)
        for day in days:
            counts, equity = await _session(floor, mandate, day, wanted.get(previous_session(day), []), run, lease)
            totals = [a + b for a, b in zip(totals, counts, strict=True)]
            if progress is not None:
                await progress(day, equity)
    first, last = (days[0], days[-1]) if days else (None, None)
    orders, refusals, fills = totals
    return Traded(len(days), first, last, orders, refusals, fills, resolved, equity.equity if equity else None)


async def _open_account(floor: Floor, mandate: Mandate, days: Sequence[dt.date]) -> None:
    """Fund broker and books with the opening cash, once."""
    await floor.market.fund(mandate.cash)
    if days:
        at = session_open(days[0])
        await floor.books.book(deposit(f"deposit:{mandate.account}:opening", mandate.cash, days[0], at))


async def _signals(floor: Floor, mandate: Mandate, days: Sequence[dt.date]) -> dict[dt.date, list[StoredSignal]]:
    found: dict[dt.date, list[StoredSignal]] = {}
    if days:
        first, last = previous_session(days[0]), days[-1]
        for signal in await floor.signals.of_sessions(mandate.digests, first, last):
            found.setdefault(signal.session, []).append(signal)
    return found


async def _session(
    floor: Floor, mandate: Mandate, day: dt.date, signals: Sequence[StoredSignal], run: Run, lease: Lease
) -> tuple[tuple[int, int, int], Equity]:
    settled = await floor.books.last_equity()
    await _open(floor, day)
    orders, refusals = await _decide_once(floor, mandate, day, signals, run, lease, settled)
    await drain(floor.books, floor.broker, lease, _band(floor))
    for _ in range(TRIES):
        if not await resolve(floor.books, floor.broker, lease, _band(floor)):
            break
    await floor.market.close_session(day)
    await resolve(floor.books, floor.broker, lease, _band(floor))  # its band is over: listed, or never sent
    fills, _ = await collect(floor.books, floor.broker, lease, day)
    return (orders, refusals, fills), await _settle(floor, mandate, day)


async def _open(floor: Floor, day: dt.date) -> None:
    await floor.market.open_session(day)
    for split in await floor.quotes.splits(day):
        await floor.books.book_split(split, session_open(day))


async def _decide_once(
    floor: Floor,
    mandate: Mandate,
    day: dt.date,
    signals: Sequence[StoredSignal],
    run: Run,
    lease: Lease,
    settled: Equity | None,
) -> tuple[int, int]:
    if await floor.books.decided(day, day):
        return 0, 0
    standing = await _standing(floor, mandate, settled)
    decision = await decide(mandate, day, signals, standing, floor.quotes, run)
    if not await floor.books.decide(decision, lease):
        return 0, 0
    return len(decision.intents), len(decision.refusals)


async def _standing(floor: Floor, mandate: Mandate, settled: Equity | None) -> Standing:
    balances = await floor.books.balances()
    cash = balances.get("cash", Decimal(0))
    equity = settled.equity if settled is not None else cash
    previous = await floor.books.equity_before(settled.session) if settled is not None else None
    open_orders = await floor.books.open_orders()
    return Standing(
        equity=equity,
        previous_equity=previous if previous is not None else equity,
        peak=await floor.books.peak_equity() or equity,
        cash=cash,
        lots=await floor.books.lots(),
        latches=tuple(latch.name for latch in await floor.control.latches(mandate.account)),
        unknown=frozenset(o.intent.symbol for o in open_orders if o.state in {State.UNKNOWN, State.SUBMITTING}),
    )


def _band(floor: Floor) -> Callable[[StoredOrder], Awaitable[bool]]:
    """An order of a session may be sent only while the market stands before that session's open."""

    async def in_band(order: StoredOrder) -> bool:
        return await floor.market.clock() == (order.intent.session, "open")

    return in_band


async def _settle(floor: Floor, mandate: Mandate, day: dt.date) -> Equity:
    """Value the account at the closes, prove it, keep it; a proof that fails latches entries and tells a person."""
    lots, balances = await floor.books.lots(), await floor.books.balances()
    closes = {}
    for symbol in shares(lots):
        bar = await floor.quotes.last_bar(symbol, day)
        if bar is not None:
            closes[symbol] = bar.close
    try:
        equity = value(day, lots, balances, closes)
        equity.prove()
        await _prove_shares(floor, day)
    except BooksDisagree as error:
        await floor.control.set_latch(mandate.account, ENTRIES, str(error))
        await floor.alerts.send(f"{mandate.account}: books disagree", str(error), urgent=True)
        raise
    positions = {lot.lot_id: asdict(lot) for lot in lots}
    await floor.books.settle(
        equity, {"lots": list(positions.values()), "closes": closes, "at": session_close(day).isoformat()}
    )
    return equity


async def _prove_shares(floor: Floor, day: dt.date) -> None:
    """Sum of fills = lots = the broker's positions, and cash = the broker's cash."""
    ours, journal, theirs = (
        shares(await floor.books.lots()),
        await floor.books.shares_by_journal(),
        await floor.broker.account(),
    )
    cash = (await floor.books.balances()).get("cash", Decimal(0))
    if not ours == journal == dict(theirs.positions) or cash != theirs.cash:
        raise BooksDisagree(
            f"{day}: lots say {_said(ours)}, the journal {_said(journal)}, the broker {_said(dict(theirs.positions))}; "
            f"cash {cash} against the broker's {theirs.cash}. Entries are stopped; run the reconcile flow."
        )


def _said(held: dict[str, Decimal]) -> str:
    return ", ".join(f"{quantity} {symbol}" for symbol, quantity in sorted(held.items())) or "nothing"
