"""The outbox: what was decided goes to the broker, once (laws 1 and 2).

    place:    commit SUBMITTING with the intent ──▶ broker.submit ──▶ ACKED | REJECTED       ambiguous ──▶ UNKNOWN
    drain:    PLANNED ──commit SUBMITTING──▶ the same
    resolve:  SUBMITTING of an older epoch, or UNKNOWN ──▶ two clean full listings of the broker's orders, apart:
              listed ──▶ the broker's own state;   not listed, still in its band ──▶ the same ref_id again;
              not listed, band over ──▶ EXPIRED_UNSENT, with the listings as proof
    cancel:   ACKED, PARTIALLY_FILLED ──commit PENDING_CANCEL──▶ broker.cancel; the end comes as news; else asked again
    replace:  the same with PENDING_REPLACE; what its end leaves unfilled is planned in the same commit as that end

What is to be done, the engine says; here it is performed. Orders go out in groups: one commit for the group, then the
sends side by side, then one commit for the answers. So no byte leaves before its own commit, and a commit's price is
shared. A `SUBMITTING` that this very process has just committed is never resolved behind its back: only its own call
ends it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quaestor.engine import UNCLEAR, Act, Adopt, AskAgain, Due, Engine, Listed, Lost, News, Send, Step, TakeBack
from quaestor.errors import BrokerAmbiguous, BrokerBusy, BrokerRejected, Temporary
from quaestor.orders import EXTERNAL, Execution, Intent, OrderUpdate, State
from quaestor.ports import BookStore, Broker, Drafting, Lease, StoredOrder, Terms, Transition

LISTINGS = 2  # a broker's list may lag behind its own acceptance: one look is no proof

Band = Callable[[StoredOrder], Awaitable[str]]  # why an order may not be sent any more; empty while it may
Pause = Callable[[], Awaitable[None]]  # between two listings: as long as the broker's list may lag


def unnoted(_: str) -> None:
    """Nobody wants to know."""


async def at_once() -> None:
    """No pause: the broker's list never lags behind its own answers."""


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def drain(books: BookStore, broker: Broker, lease: Lease, band: Band) -> int:
    """Send every PLANNED order that is still within its band, oldest session first, exits before entries.

    Orders that must wait for an unresolved one stay PLANNED. How many orders were open.
    """
    open_orders = await books.open_orders()
    over = await _bands(band, [order for order in open_orders if order.state is State.PLANNED])
    known = open_orders
    while acts := Engine(known).on(Due(over)):
        await _perform(acts, books, broker, lease)
        known = await books.open_orders()
        if not _moved(acts, known):
            break
    return len(open_orders)


async def _bands(band: Band, orders: Iterable[StoredOrder]) -> dict[uuid.UUID, str]:
    return {order.ref_id: await band(order) for order in orders}


def _moved(acts: Iterable[Act], known: Iterable[StoredOrder]) -> bool:
    """Whether what was due has been done: what a latch held back meanwhile is not asked for again and again."""
    planned = {order.ref_id for order in known if order.state is State.PLANNED}
    return any(order.ref_id not in planned for act in acts if isinstance(act, Send) for order in act.orders) or any(
        isinstance(act, Step | TakeBack) and act.order.ref_id not in planned for act in acts
    )


async def place(
    intents: Sequence[Intent], books: BookStore, broker: Broker, lease: Lease, note: Callable[[str], None] = unnoted
) -> list[State | None]:
    """Decide and send in one go, for a live market: one commit, the sends, one commit for the answers.

    The states they came to; None for those that were not placed, because they are known or entries are stopped.
    note: is called as each is `committed` and as all are `answered`.
    """
    if isinstance(broker, Drafting):
        asyncio.get_running_loop().call_soon(broker.draft, intents)  # while we wait for the commit
    placed = await books.place(intents, lease)
    note("committed")
    going = [intent for intent, new in zip(intents, placed, strict=True) if new]
    steps = await _side_by_side([_submitted(intent, broker, repeated=False) for intent in going])
    note("answered")
    await books.transitions([(intent.ref_id, step) for intent, step in zip(going, steps, strict=True)], lease)
    came = {intent.ref_id: step.state for intent, step in zip(going, steps, strict=True)}
    return [came.get(intent.ref_id) for intent in intents]


async def send(orders: Sequence[StoredOrder], books: BookStore, broker: Broker, lease: Lease) -> None:
    """Commit SUBMITTING, then send; whatever is not a clear answer leaves an order UNKNOWN."""
    commits = [(order.ref_id, Transition(State.SUBMITTING, "send")) for order in orders]
    moved = await books.transitions(commits, lease)
    going = [order for order, ours in zip(orders, moved, strict=True) if ours]
    steps = await _side_by_side([_submitted(o.intent, broker, repeated=o.state is not State.PLANNED) for o in going])
    await books.transitions([(order.ref_id, step) for order, step in zip(going, steps, strict=True)], lease)


async def _side_by_side(sends: Sequence[Coroutine[Any, Any, Transition]]) -> list[Transition]:
    """All of them at once; where one fails otherwise than a send may, none goes on behind our back."""
    if len(sends) == 1:  # the common case of a live run, and not worth a task
        return [await sends[0]]
    tasks = [asyncio.create_task(each) for each in sends]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _submitted(intent: Intent, broker: Broker, *, repeated: bool) -> Transition:
    try:
        return Transition.of(await broker.submit(intent), "ack")
    except BrokerRejected as error:
        return await _rejected(intent, broker, str(error), repeated=repeated)
    except (BrokerAmbiguous, BrokerBusy, TimeoutError) as error:
        return Transition(State.UNKNOWN, "broker", reason=str(error))


async def _rejected(intent: Intent, broker: Broker, reason: str, *, repeated: bool) -> Transition:
    """The first no is final; a no to a repeated send may be said because the first one arrived after all."""
    if repeated:
        try:
            for update in await broker.orders(intent.session):
                if update.ref_id == intent.ref_id:
                    return Transition.of(update, "listed")
        except Temporary as error:
            return Transition(State.UNKNOWN, "broker", reason=f"{reason} And its list did not come: {error}")
    return Transition(State.REJECTED, "broker", reason=reason)


async def resolve(books: BookStore, broker: Broker, lease: Lease, band: Band, pause: Pause = at_once) -> int:
    """Resolve every order whose fate is not known; how many there were. Run it before anything new is sent.

    A broker that does not list them now leaves them as they are: the next call asks again.
    """
    await _perform(Engine(await books.open_orders()).on(Lost(lease.epoch)), books, broker, lease)
    engine = Engine(await books.open_orders())
    lost = engine.doubted()
    if not lost:
        return 0
    try:
        listings = await _listings(broker, min(order.intent.session for order in lost), pause)
    except Temporary:
        return len(lost)
    over = await _bands(band, lost)
    await _perform(engine.on(Listed(listings, over)), books, broker, lease)
    return len(lost)


async def _listings(broker: Broker, since: dt.date, pause: Pause) -> list[list[OrderUpdate]]:
    listings: list[list[OrderUpdate]] = []
    for number in range(LISTINGS):
        if number:
            await pause()
        listings.append(await broker.orders(since))
    return listings


# ── back ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def cancel(
    orders: Sequence[StoredOrder],
    books: BookStore,
    broker: Broker,
    lease: Lease,
    cause: str,
    causation: int | None = None,
    *,
    reason: str = "",
) -> int:
    """Ask the broker to cancel these; how many were taken back. Their ends come as news (`collect`).

    An order that was never sent ends here; one whose fate is unclear must be resolved first. `reason` is a person's.
    """
    why = f"{cause}: {reason}" if reason else cause
    unsent = Transition(State.EXPIRED_UNSENT, cause, reason=f"{why}; it was never sent", causation=causation)
    asked = Transition(State.PENDING_CANCEL, cause, reason=reason, causation=causation)
    steps = [(o.ref_id, unsent if o.state is State.PLANNED else asked) for o in orders if o.state not in UNCLEAR]
    moved = await books.transitions(steps, lease)
    going = {ref_id for (ref_id, step), ours in zip(steps, moved, strict=True) if ours and step is asked}
    for order in orders:
        if order.ref_id in going:
            await _ask(order, books, broker, lease)
    return sum(moved)


async def replace(order: StoredOrder, terms: Terms, books: BookStore, broker: Broker, lease: Lease) -> bool:
    """Cancel an order and send its rest on other terms; False where it cannot be replaced any more.

    Cancel first, then send: at no moment can both fill. Shares filled until the cancel arrives count (`Terms`).
    """
    said = {name: None if value is None else str(value) for name, value in asdict(terms).items()}
    step = Transition(State.PENDING_REPLACE, "replace", detail={"terms": said})
    if not await books.transition(order.ref_id, step, lease):
        return False
    await _ask(order, books, broker, lease)
    return True


async def _ask(order: StoredOrder, books: BookStore, broker: Broker, lease: Lease) -> None:
    """Ask for a cancel; without an answer the order stays pending, and `resolve` asks again."""
    if order.broker_id is None:
        return
    try:
        await broker.cancel(order.broker_id)
    except BrokerRejected as error:
        back = State.PARTIALLY_FILLED if order.filled else State.ACKED
        await books.transition(order.ref_id, Transition(back, "cancel refused", reason=str(error)), lease)
    except (BrokerAmbiguous, BrokerBusy, TimeoutError):
        return


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Heard:
    """What the broker had to tell: fills that were booked, orders that moved, orders placed by hand that are new.

    fills: those booked, each with whose order it was.
    """

    booked: int
    moved: int
    adopted: tuple[OrderUpdate, ...] = ()
    fills: tuple[tuple[str, Execution], ...] = ()


async def collect(books: BookStore, broker: Broker, lease: Lease, session: dt.date) -> Heard:
    """Follow the broker's order states since a session, adopt orders that nobody decided here, book new executions.

    Raises BooksDisagree for an execution that cannot be booked, once all others are.
    """
    orders = await books.followed(session)
    since = min([session, *(order.intent.session for order in orders)])
    engine = Engine(orders)
    acts = engine.on(News(await broker.orders(since)))
    moved = await _perform([act for act in acts if not isinstance(act, Adopt)], books, broker, lease)
    strange = [act.update for act in acts if isinstance(act, Adopt)]
    adopted = [update for update in strange if await books.adopt(update, session, lease)]
    booked = await books.book_executions(await broker.executions(since), lease)
    owners = {order.ref_id: order.intent.strategy for order in engine.orders.values()}
    fills = tuple((owners.get(fill.ref_id, EXTERNAL) if fill.ref_id else EXTERNAL, fill) for fill in booked)
    return Heard(len(booked), moved, tuple(adopted), fills)


async def _perform(acts: Sequence[Act], books: BookStore, broker: Broker, lease: Lease) -> int:
    """Do what the engine says; how many orders moved by its steps."""
    steps = [(act.order.ref_id, act.transition) for act in acts if isinstance(act, Step)]
    moved = sum(await books.transitions(steps, lease))
    for act in acts:
        match act:
            case Send(orders):
                await send(orders, books, broker, lease)
            case TakeBack(order, cause):
                await cancel([order], books, broker, lease, cause)
            case AskAgain(order):
                await _ask(order, books, broker, lease)
            case _:
                pass
    return moved
