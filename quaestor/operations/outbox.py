"""The outbox: what was decided goes to the broker, once (laws 1 and 2).

    drain:    PLANNED ──commit SUBMITTING──▶ broker.submit ──▶ ACKED | REJECTED        ambiguous ──▶ UNKNOWN
    resolve:  SUBMITTING of an older epoch, or UNKNOWN ──▶ two clean full listings of the broker's orders:
              listed ──▶ the broker's own state;   not listed, still in its band ──▶ the same ref_id again;
              not listed, band over ──▶ EXPIRED_UNSENT, with the listings as proof

A `SUBMITTING` that this very process has just committed is never resolved behind its back: only its own call ends it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable

from quaestor.errors import BrokerAmbiguous, BrokerRejected
from quaestor.orders import OrderUpdate, State
from quaestor.ports import BookStore, Broker, Lease, StoredOrder, Transition

LISTINGS = 2  # a broker's list may lag behind its own acceptance: one look is no proof

InBand = Callable[[StoredOrder], Awaitable[bool]]


async def drain(books: BookStore, broker: Broker, lease: Lease, in_band: InBand) -> None:
    """Send every PLANNED order that is still within its band, oldest session first, exits before entries."""
    for order in await books.open_orders():
        if order.state is not State.PLANNED:
            continue
        if await in_band(order):
            await send(order, books, broker, lease)
        else:
            step = Transition(State.EXPIRED_UNSENT, "drain", reason="its session was over before it could be sent")
            await books.transition(order.ref_id, step, lease)


async def send(order: StoredOrder, books: BookStore, broker: Broker, lease: Lease) -> None:
    """Commit SUBMITTING, then send; whatever is not a clear answer leaves the order UNKNOWN."""
    if not await books.transition(order.ref_id, Transition(State.SUBMITTING, "send"), lease):
        return
    try:
        update = await broker.submit(order.intent)
    except BrokerRejected as error:
        await books.transition(order.ref_id, Transition(State.REJECTED, "broker", reason=str(error)), lease)
    except BrokerAmbiguous as error:
        await books.transition(order.ref_id, Transition(State.UNKNOWN, "broker", reason=str(error)), lease)
    else:
        await books.transition(order.ref_id, Transition.of(update, "ack"), lease)


async def resolve(books: BookStore, broker: Broker, lease: Lease, in_band: InBand) -> int:
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
        await _settle(order, listed.get(order.ref_id), listings, books, broker, lease, in_band)
    return len(lost)


async def _settle(
    order: StoredOrder,
    update: OrderUpdate | None,
    listings: list[list[OrderUpdate]],
    books: BookStore,
    broker: Broker,
    lease: Lease,
    in_band: InBand,
) -> None:
    if update is not None:
        await books.transition(order.ref_id, Transition.of(update, "listed"), lease)
    elif await in_band(order):
        await send(order, books, broker, lease)
    else:
        proof = {"listings": len(listings), "orders_listed": [len(listing) for listing in listings]}
        reason = "not among the broker's orders, and its session is over"
        step = Transition(State.EXPIRED_UNSENT, "resolve", reason=reason, detail=proof)
        await books.transition(order.ref_id, step, lease)


async def collect(books: BookStore, broker: Broker, lease: Lease, session: dt.date) -> tuple[int, int]:
    """Book new executions and follow the broker's order states since a session: (fills booked, orders moved)."""
    open_orders = {order.ref_id: order for order in await books.open_orders()}
    since = min([session, *(order.intent.session for order in open_orders.values())])
    booked = await books.book_executions(await broker.executions(since))
    moved = 0
    for update in await broker.orders(since):
        if update.ref_id in open_orders:
            moved += await books.transition(uuid.UUID(str(update.ref_id)), Transition.of(update, "update"), lease)
    return len(booked), moved
