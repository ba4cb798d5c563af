"""Trade: replay recorded sessions on a simulated clock, one after the other, under the account's lease.

One session, in the order of events:

    1. open      the market's clock goes to the session; splits and dividends of its open change broker and books,
                 with those that were learned late
    2. decide    signals of the session before + the account → intents and refusals, committed whole     (decide.py)
    3. send      every intent goes to the broker, once                                                   (outbox.py)
    4. close     the market trades the session; day orders that did not fill expire
    5. collect   orders follow the broker's states; executions become fills, entries and lots
    6. settle    the account is valued at the closes, the ledger proves itself, equity is kept

The steps themselves are in `session`. Killed at any point and run again, each finds what is already done.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quaestor.calendar import next_session, previous_session, sessions
from quaestor.errors import BadConfig, BadInput, BooksDisagree
from quaestor.ledger import Equity
from quaestor.operations.decide import Mandate, decide
from quaestor.operations.halt import carry_out
from quaestor.operations.market import ExchangeMarket
from quaestor.operations.session import (
    Floor,
    Marks,
    begin,
    hear,
    marks_of,
    open_account,
    send,
    settle,
    standing_of,
    stop_entries,
    take_over,
    tell_orphans,
)
from quaestor.ports import (
    BookStore,
    Lease,
    Run,
    StoredSignal,
)

LEASE_WAIT = 40.0  # seconds: longer than an abandoned lease lives


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
    if isinstance(floor.market, ExchangeMarket):
        raise BadConfig(
            "Recorded sessions are traded on the paper broker alone; with a real one the live run trades: `quaestor "
            'live run`. Set [broker] kind = "paper" to replay them.'
        )
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
    daily = [name for name in mandate.weights if name not in mandate.live]
    if not daily:
        raise BadInput("No strategy with daily signals is in use; the others trade in a live run: `quaestor live run`.")
    computed = await floor.signals.computed(mandate.digests)
    names = dict(zip(mandate.digests, daily, strict=True))
    if missing := [name for digest, name in names.items() if digest not in computed]:
        raise BadInput(f"No signals of {', '.join(missing)} yet, as configured now; run `quaestor signals` first.")
    return min(first for first, _ in computed.values()), min(last for _, last in computed.values())


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
        marks = await marks_of(floor.books)
        ahead = [day for day in days if marks.last is None or day > marks.last.session]
        await open_account(floor, mandate, ahead, lease)
        resolved = await take_over(floor, mandate.limits, lease)
        await tell_orphans(floor, mandate)
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
    await begin(floor, day, marks.last, lease)
    await _decide_once(floor, mandate, day, signals, run, lease, marks)
    band = floor.band(mandate.limits)
    busy = await send(floor, band, lease)
    await carry_out(floor.control, floor.books, floor.broker, lease)  # a halt that came while the last ones were sent
    await floor.books.prove(lease)  # a writer that was paused would close on orders that its successor still sends
    await floor.market.close_session(day)
    if busy:  # the band is over: what was not sent expires, what is unresolved is listed or was never sent
        await send(floor, band, lease)
    await hear(floor, day, lease)
    return await settle(floor, day, lease)


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
    standing = await standing_of(floor, mandate, day, marks)
    try:
        decision = await decide(mandate, day, signals, standing, floor.quotes, run)
    except BooksDisagree as error:
        await stop_entries(floor, str(error), lease)
        raise
    await floor.books.decide(decision, lease)
