"""Reconcile: books against broker, to the cent and the share (law 5).

Compared are cash, shares by symbol, executions by id, and the state and filled quantity of every order. Executions the
books lack are booked first (that is collection, not a difference). Any difference left latches entries and tells a
person, with what would fix it; a clean comparison clears a latch that a difference had set.

It holds the account's lease: compared while another process trades, books and broker would seem to differ, and a false
stop would change the orders of the day. For the same reason it first recovers, as trading does: what a writer that died
has left behind is work to do, not a difference.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from quaestor.engine import UNCLEAR, Adopt, Engine, News
from quaestor.errors import BooksDisagree
from quaestor.latches import ENTRIES
from quaestor.ledger import Lot, shares
from quaestor.lifecycle import TOLD
from quaestor.operations.outbox import Heard
from quaestor.operations.session import Floor, recover, tell_adopted
from quaestor.operations.trade import LEASE_WAIT
from quaestor.orders import Execution, OrderUpdate, State, trimmed
from quaestor.ports import Alerts, BookStore, Lease, Reconciliation, StoredOrder, Transition

if TYPE_CHECKING:
    from quaestor.config import RiskSection

Difference = dict[str, str]
SURE = 0.5  # seconds after which a difference is looked for again
ZERO = Decimal(0)


async def reconcile(
    floor: Floor, limits: RiskSection, holder: str, since: dt.date, flow_run_id: str | None
) -> Reconciliation:
    """Compare everything since a session, keep the outcome, latch or clear the stop of entries.

    Raises LeaseHeld while another process is the account's single writer.
    """
    async with floor.leases.hold(floor.books.account, holder, LEASE_WAIT) as lease:
        return await reconcile_under(floor, limits, lease, since, flow_run_id)


async def reconcile_under(
    floor: Floor, limits: RiskSection, lease: Lease, since: dt.date, flow_run_id: str | None
) -> Reconciliation:
    """The same for whoever holds the lease already."""
    with contextlib.suppress(BooksDisagree):  # what cannot be booked is a difference below
        await recover(floor, limits, lease)
    outcome = await _compare(floor, since, lease)
    if not outcome.ok:  # a fill may have come between two questions: only what stays is a difference
        await floor.sleep(SURE)
        outcome = await _compare(floor, since, lease)
    outcome = replace(outcome, anchor=await floor.books.anchor())
    await floor.books.keep_reconciliation(outcome, flow_run_id, lease)
    await _act(outcome, floor.books, floor.alerts, lease)
    return outcome


async def _compare(floor: Floor, since: dt.date, lease: Lease) -> Reconciliation:
    books, broker = floor.books, floor.broker
    executions = await broker.executions(since)
    with contextlib.suppress(BooksDisagree):  # what cannot be booked is a difference below
        await books.book_executions(executions, lease)
    account, updates = await broker.account(), await broker.orders(since)
    adopted = await _take_over(books, updates, since, lease)
    await tell_adopted(books.account, Heard(0, 0, adopted), floor.alerts)
    balances, lots, orders = await books.balances(), await books.lots(), await books.orders_since(since)
    booked = await books.booked_fills(since)
    differences = [
        *_ledger(lots, balances),
        *_cash(balances.get("cash", ZERO), account.cash),
        *_positions(shares(lots), account.positions),
        *_journal(shares(lots), await books.shares_by_journal()),
        *_fills(booked, executions, await books.suspects()),
        *_orders(orders, updates),
    ]
    checked = {"orders": len(updates), "fills": len(executions), "positions": len(account.positions), "cash": 1}
    settled = await books.last_equity()
    return Reconciliation(settled.session if settled else None, differences, checked)


async def _take_over(
    books: BookStore, updates: Sequence[OrderUpdate], since: dt.date, lease: Lease
) -> tuple[OrderUpdate, ...]:
    """Follow what is listed: an order may have moved since we recovered, or have been refused and be there after all.

    The broker's books are the truth about its orders; what they say in one breath is compared in one breath. Returned
    are orders placed by hand that no list told in time, and which are adopted now.
    """
    orders = await books.orders_since(since)
    listed = {update.ref_id or update.broker_id: update for update in updates if update.state in TOLD}
    steps: list[tuple[uuid.UUID, Transition]] = []
    for order in orders:
        update = _listed(order, listed)
        if update is not None:
            kind: Literal["adoption", "news"] = "adoption" if order.state is State.REJECTED else "news"
            step = Transition.of(update, "adopted" if kind == "adoption" else "update", kind)
            steps += [(order.ref_id, step)] if step.after(order.standing) != order.standing else []
    await books.transitions(steps, lease)
    strange = [act.update for act in Engine(orders).on(News(updates)) if isinstance(act, Adopt)]
    return tuple([update for update in strange if await books.adopt(update, update.session or since, lease)])


async def _act(outcome: Reconciliation, books: BookStore, alerts: Alerts, lease: Lease) -> None:
    if outcome.ok:
        await books.unlatch(ENTRIES, "books and broker agree again", lease)
        return
    lines = [
        f"{d['subject']} {d['key']}: ours {d['ours']}, broker {d['theirs']}. {d['cure']}" for d in outcome.differences
    ]
    if await books.latch(ENTRIES, lines[0], lease):
        title = f"{books.account}: books and broker disagree; entries are stopped"
        await alerts.send(title, "\n".join(lines), urgent=True)


def _difference(subject: str, key: str, ours: object, theirs: object, cure: str) -> Difference:
    return {"subject": subject, "key": key, "ours": str(ours), "theirs": str(theirs), "cure": cure}


def _ledger(lots: Iterable[Lot], balances: Mapping[str, Decimal]) -> list[Difference]:
    """The ledger against itself: the cost of the lots is the balance of `positions`, and all balances sum to zero."""
    cure = "The ledger contradicts itself: report this as a defect, and do not trade."
    cost, booked, total = (
        sum((lot.cost for lot in lots), ZERO),
        balances.get("positions", ZERO),
        sum(balances.values(), ZERO),
    )
    found = [] if cost == booked else [_difference("ledger", "cost of lots", cost, booked, cure)]
    return found if total == 0 else [*found, _difference("ledger", "sum of all accounts", total, ZERO, cure)]


def _cash(ours: Decimal, theirs: Decimal) -> list[Difference]:
    if ours == theirs:
        return []
    missing = trimmed(theirs - ours)
    cure = f"Find the missing fill, fee or transfer of {missing} dollars in the broker's statement and book it."
    return [_difference("cash", "USD", ours, theirs, cure)]


def _positions(ours: Mapping[str, Decimal], theirs: Mapping[str, Decimal]) -> list[Difference]:
    cure = "Look for a split, a transfer or an order placed by hand in this symbol."
    return [
        _difference("position", symbol, ours.get(symbol, ZERO), theirs.get(symbol, ZERO), cure)
        for symbol in sorted({*ours, *theirs})
        if ours.get(symbol, ZERO) != theirs.get(symbol, ZERO)
    ]


def _journal(lots: Mapping[str, Decimal], journal: Mapping[str, Decimal]) -> list[Difference]:
    cure = "Lots and journal follow from the same fills: report this as a defect, and do not trade."
    return [
        _difference("lots", symbol, lots.get(symbol, ZERO), journal.get(symbol, ZERO), cure)
        for symbol in sorted({*lots, *journal})
        if lots.get(symbol, ZERO) != journal.get(symbol, ZERO)
    ]


def _fills(booked: set[str], theirs: Iterable[Execution], suspects: Mapping[str, str]) -> list[Difference]:
    listed = {execution.execution_id: execution for execution in theirs}
    gone = "The broker no longer lists a fill we booked: compare with its statement before trading on."
    look = "Look for a trade by hand or a transfer in the broker's statement."
    lacking = [(key, f"{suspects.get(key, 'The books could not take it.')} {look}") for key in set(listed) - booked]
    return [
        *(_difference("fill", key, "booked", "not listed", gone) for key in sorted(booked - set(listed))),
        *(_difference("fill", key, "not booked", _said(listed[key]), cure) for key, cure in sorted(lacking)),
    ]


def _said(execution: Execution) -> str:
    return f"{execution.side.value} {execution.quantity} {execution.symbol} @ {execution.price.normalize():f}"


def _orders(orders: Iterable[StoredOrder], updates: Iterable[OrderUpdate]) -> list[Difference]:
    listed = {update.ref_id or update.broker_id: update for update in updates}
    return [difference for order in orders if (difference := _order(order, _listed(order, listed))) is not None]


def _listed(order: StoredOrder, listed: Mapping[uuid.UUID | str, OrderUpdate]) -> OrderUpdate | None:
    """What the broker lists of it: by our id, or by its own where it was placed by hand."""
    return listed.get(order.ref_id) or listed.get(order.broker_id or "")


def _order(order: StoredOrder, update: OrderUpdate | None) -> Difference | None:
    never_sent = {State.PLANNED, State.EXPIRED_UNSENT, State.REJECTED}
    if update is None:
        if order.state in never_sent | UNCLEAR:  # what is not clear yet is resolved by whoever trades (law 2)
            return None
        cure = "Run the execute flow: it resolves orders by the broker's own list."
        return _difference("order", str(order.ref_id), order.state.value, "not listed", cure)
    if (order.state, order.filled) == (update.state, update.filled):
        return None
    ours, theirs = f"{order.state.value} {trimmed(order.filled)}", f"{update.state.value} {trimmed(update.filled)}"
    cure = "Run the execute flow: it follows the broker's states."
    if order.state.final:
        cure = "The books gave this order up: cancel it at the broker, or compare its fills with the statement."
    return _difference("order", str(order.ref_id), ours, theirs, cure)
