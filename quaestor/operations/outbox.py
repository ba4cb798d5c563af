"""The outbox: what was decided goes to the broker, once (laws 1 and 2).

    drain:    PLANNED ──commit SUBMITTING──▶ broker.submit ──▶ ACKED | REJECTED        ambiguous ──▶ UNKNOWN
    resolve:  SUBMITTING of an older epoch, or UNKNOWN ──▶ two clean full listings of the broker's orders:
              listed ──▶ the broker's own state;   not listed, still in its band ──▶ the same ref_id again;
              not listed, band over ──▶ EXPIRED_UNSENT, with the listings as proof

While an order is unresolved its symbol takes no new entry, and no exit if it is an exit itself: they stay PLANNED.
A `SUBMITTING` that this very process has just committed is never resolved behind its back: only its own call ends it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable

from quaestor.errors import BrokerAmbiguous, BrokerRejected
from quaestor.orders import Intent, OrderUpdate, State
from quaestor.ports import BookStore, Broker, Lease, StoredOrder, Transition

UNCLEAR = frozenset({State.SUBMITTING, State.UNKNOWN})  # the broker may have it, or not
LISTINGS = 2  # a broker's list may lag behind its own acceptance: one look is no proof

Band = Callable[[StoredOrder], Awaitable[str]]  # why an order may not be sent any more; empty while it may


async def drain(books: BookStore, broker: Broker, lease: Lease, band: Band) -> int:
    """Send every PLANNED order that is still within its band, oldest session first, exits before entries.

    Orders that must wait for an unresolved one stay PLANNED. How many orders were open.
    """
    open_orders = await books.open_orders()
    unclear = {(o.intent.symbol, o.intent.reduces) for o in open_orders if o.state in UNCLEAR}
    for order in open_orders:
        if order.state is not State.PLANNED:
            continue
        if over := await band(order):
            step = Transition(State.EXPIRED_UNSENT, "drain", reason=f"{over} before it could be sent")
            await books.transition(order.ref_id, step, lease)
        elif not _waits(order.intent, unclear) and await send(order, books, broker, lease) is State.UNKNOWN:
            unclear.add((order.intent.symbol, order.intent.reduces))
    return len(open_orders)


def _waits(intent: Intent, unclear: set[tuple[str, bool]]) -> bool:
    """`unclear` are (symbol, whether it is an exit) of unresolved orders."""
    return (intent.symbol, True) in unclear or (not intent.reduces and (intent.symbol, False) in unclear)


async def send(order: StoredOrder, books: BookStore, broker: Broker, lease: Lease) -> State:
    """Commit SUBMITTING, then send; whatever is not a clear answer leaves the order UNKNOWN. The state it came to."""
    if not await books.transition(order.ref_id, Transition(State.SUBMITTING, "send"), lease):
        return order.state
    try:
        step = Transition.of(await broker.submit(order.intent), "ack")
    except BrokerRejected as error:
        step = await _rejected(order, broker, str(error))
    except BrokerAmbiguous as error:
        step = Transition(State.UNKNOWN, "broker", reason=str(error))
    await books.transition(order.ref_id, step, lease)
    return step.state


async def _rejected(order: StoredOrder, broker: Broker, reason: str) -> Transition:
    """The first no is final; a no to a repeated send may be said because the first one arrived after all."""
    if order.state is not State.PLANNED:
        for update in await broker.orders(order.intent.session):
            if update.ref_id == order.ref_id:
                return Transition.of(update, "listed")
    return Transition(State.REJECTED, "broker", reason=reason)


async def resolve(books: BookStore, broker: Broker, lease: Lease, band: Band) -> int:
    """Resolve every order whose fate is not known; how many there were. Run it before anything new is sent."""
    open_orders = await books.open_orders()
    lost = [
        o for o in open_orders if o.state is State.UNKNOWN or (o.state is State.SUBMITTING and o.epoch < lease.epoch)
    ]
    if not lost:
        return 0
    for order in lost:
        if order.state is State.SUBMITTING:
            reason = f"left in SUBMITTING by epoch {order.epoch}"
            await books.transition(order.ref_id, Transition(State.UNKNOWN, "recovery", reason=reason), lease)
    since = min(order.intent.session for order in lost)
    listings = [await broker.orders(since) for _ in range(LISTINGS)]
    listed = {update.ref_id: update for listing in listings for update in listing if update.ref_id is not None}
    for order in lost:
        await _settle(order, listed.get(order.ref_id), listings, books, broker, lease, band)
    return len(lost)


async def _settle(
    order: StoredOrder,
    update: OrderUpdate | None,
    listings: list[list[OrderUpdate]],
    books: BookStore,
    broker: Broker,
    lease: Lease,
    band: Band,
) -> None:
    if update is not None:
        await books.transition(order.ref_id, Transition.of(update, "listed"), lease)
    elif over := await band(order):
        proof = {"listings": len(listings), "orders_listed": [len(listing) for listing in listings]}
        reason = f"not among the broker's orders, and {over}"
        step = Transition(State.EXPIRED_UNSENT, "resolve", reason=reason, detail=proof)
        await books.transition(order.ref_id, step, lease)
    else:
        await send(order, books, broker, lease)


async def collect(books: BookStore, broker: Broker, lease: Lease, session: dt.date) -> tuple[int, int]:
    """Follow the broker's order states since a session and book new executions: (fills booked, orders moved).

    Raises BooksDisagree for an execution that cannot be booked, once all others are.
    """
    open_orders = {order.ref_id: order for order in await books.open_orders()}
    since = min([session, *(order.intent.session for order in open_orders.values())])
    moved = 0
    for update in await broker.orders(since) if open_orders else ():
        if update.ref_id is not None and update.ref_id in open_orders:
            moved += await books.transition(update.ref_id, Transition.of(update, "update"), lease)
    booked = await books.book_executions(await broker.executions(since))
    return len(booked), moved
