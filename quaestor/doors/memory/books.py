"""The books in memory: implements `ports.BookStore`, `LeaseStore` and `ControlStore` over a `Disk`.

Each write is whole or not at all, for nothing is awaited in its middle; each begins by proving the lease.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from quaestor.actions import Action
from quaestor.dividends import Dividend
from quaestor.doors.memory.disk import Disk, Disks, Event
from quaestor.errors import BadInput, BooksDisagree, LeaseHeld
from quaestor.ledger import FIFO, ZERO, Booked, Equity, Lot, Relief, book_dividend, book_fill, book_split
from quaestor.orders import EXTERNAL, Execution, OrderUpdate, Side, State, external_ref, trimmed
from quaestor.orders import Intent as IntentOf
from quaestor.ports import Decision, Latch, Lease, Reconciliation, StoredOrder, Terms, Transition
from quaestor.risk import Refusal
from quaestor.splits import Split

OURS = 5  # the version of the UUIDs that we make


class BookStore:
    """Implements `ports.BookStore` for one account."""

    def __init__(self, disks: Disks, account: str) -> None:
        self._disk = disks[account]
        self.account = account

    async def prove(self, lease: Lease) -> None:
        """Raises LeaseHeld when it is not the account's lease any more."""
        self._disk.guard(lease)

    # ── decisions and orders ──────────────────────────────────────────────────────────────────────────────────────────

    async def decided(self, start: dt.date, end: dt.date) -> set[dt.date]:
        """Sessions in [start, end] that were decided."""
        return {session for session in self._disk.decided if start <= session <= end}

    async def decide(self, decision: Decision, lease: Lease) -> bool:
        """Commit a session's decision with all its intents and refusals; False when it was decided before."""
        self._disk.guard(lease)
        if decision.session in self._disk.decided:
            return False
        names = [intent.ref_id for intent in decision.intents]
        if len({*names} - self._disk.orders.keys()) < len(names):
            raise BadInput(f"{decision.session}: an order that is decided here was planned before; nothing is kept.")
        self._disk.decided[decision.session] = {"equity": decision.equity, "cash": decision.cash}
        for intent in decision.intents:
            self._plan(intent, lease, "decided")
        self._disk.refusals += decision.refusals
        return True

    async def refuse(self, refusals: Sequence[Refusal], lease: Lease) -> None:
        """Keep refusals that came of no session's decision."""
        self._disk.guard(lease)
        self._disk.refusals += refusals

    async def place(self, intents: Sequence[IntentOf], lease: Lease) -> list[bool]:
        """Commit intents that are sent at once, already SUBMITTING; which are new and may go."""
        self._disk.guard(lease)
        placed = []
        for intent in intents:
            may = intent.ref_id not in self._disk.orders and (intent.reduces or not self._disk.stopped)
            if may:
                self._plan(intent, lease, "decided", State.SUBMITTING)
            placed.append(may)
        return placed

    def _plan(self, intent: IntentOf, lease: Lease, cause: str, state: State = State.PLANNED) -> None:
        name, at = intent.ref_id, self._disk.at
        if name in self._disk.orders:
            raise BadInput(f"{name} was planned before.")
        self._disk.orders[name] = StoredOrder(intent, name, state, lease.epoch, None, ZERO, None, at, at)
        self._disk.events.append(Event(name, Transition(state, cause), lease.epoch))

    async def open_orders(self) -> list[StoredOrder]:
        """Orders that may still change: oldest session first, exits before entries."""
        return _sorted(order for order in self._disk.orders.values() if not order.state.final)

    async def orders_since(self, since: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ since."""
        return _sorted(order for order in self._disk.orders.values() if order.intent.session >= since)

    async def followed(self, session: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ session, or ≥ that of the oldest open one."""
        return await self.orders_since(min([session, *(each.intent.session for each in await self.open_orders())]))

    async def known(self, ref_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Which of these orders are in the books."""
        return {ref_id for ref_id in ref_ids if ref_id in self._disk.orders}

    async def transition(self, ref_id: uuid.UUID, step: Transition, lease: Lease) -> bool:
        """Move an order and log it; False when it is already there or past it."""
        return (await self.transitions([(ref_id, step)], lease))[0]

    async def transitions(self, steps: Sequence[tuple[uuid.UUID, Transition]], lease: Lease) -> list[bool]:
        """Move several orders in one commit; which of them moved."""
        if not steps:
            return []
        self._disk.guard(lease)
        return [self._move(ref_id, step, lease) for ref_id, step in steps]

    def _move(self, ref_id: uuid.UUID, step: Transition, lease: Lease) -> bool:
        old = self._disk.orders.get(ref_id)
        if old is None or (step.state is State.SUBMITTING and self._disk.stopped and not old.intent.reduces):
            return False
        new = step.after(old.standing)
        if new == old.standing:
            return False
        self._disk.orders[ref_id] = replace(
            old,
            state=new.state,
            filled=new.filled,
            average_price=new.average_price,
            epoch=lease.epoch,
            broker_id=step.broker_id or old.broker_id,
            reason=step.reason,
            updated_at=self._disk.at,
        )
        self._disk.events.append(Event(ref_id, step, lease.epoch))
        if old.state is State.PENDING_REPLACE and step.state is State.CANCELED:
            self._plan_rest(old, new.filled, lease)
        return True

    def _plan_rest(self, old: StoredOrder, filled: Decimal, lease: Lease) -> None:
        asked = [e.step for e in self._disk.events if (e.ref_id, e.step.state) == (old.ref_id, State.PENDING_REPLACE)]
        terms = {name: Decimal(value) for name, value in asked[-1].detail["terms"].items() if value is not None}
        rest = Terms(**terms).rest(old, filled)
        if rest is not None:
            self._plan(rest, lease, "replacement")

    async def anchor(self) -> str:
        """Nobody can rewrite what dies with the process: there is no chain."""
        return ""

    async def adopt(self, update: OrderUpdate, session: dt.date, lease: Lease) -> bool:
        """Keep an order that was placed by hand, in the broker's own state; False when it is known."""
        self._disk.guard(lease)
        name = update.ref_id or external_ref(self.account, update.broker_id)
        if name in self._disk.orders:
            return False
        reference = update.limit_price or update.average_price or ZERO
        who = (self.account, EXTERNAL, update.symbol, update.session or session, f"{EXTERNAL}|{update.broker_id}")
        terms = {"order_type": update.order_type, "limit_price": update.limit_price, "stop_price": update.stop_price}
        origin, sells = {"origin": "EXTERNAL", "broker_id": update.broker_id}, update.side is Side.SELL
        intent = IntentOf(*who, update.side, update.quantity, reference, reduces=sells, provenance=origin, **terms)  # type: ignore[arg-type]
        at = self._disk.at
        told = (update.state, lease.epoch, update.broker_id, update.filled, update.average_price)
        self._disk.orders[name] = StoredOrder(intent, name, *told, at, at, update.reason)
        self._disk.events.append(Event(name, Transition.of(update, "adopted", "adoption"), lease.epoch))
        return True

    async def counts(self, start: dt.date, end: dt.date) -> tuple[int, int, int]:
        """Orders decided, refusals and fills of the sessions in [start, end]."""
        orders = sum(start <= order.intent.session <= end for order in self._disk.orders.values())
        refusals = sum(start <= refusal.session <= end for refusal in self._disk.refusals)
        return orders, refusals, sum(start <= fill.session <= end for fill, _ in self._disk.fills.values())

    # ── ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def book_executions(
        self, executions: Sequence[Execution], lease: Lease, reliefs: Mapping[str, Relief] | None = None
    ) -> list[Execution]:
        """Book those not yet booked; the new ones. Raises BooksDisagree for one that cannot be, once the others are."""
        if not executions:
            return []
        self._disk.guard(lease)
        new, refused = [], list[BooksDisagree]()
        for execution in executions:
            if execution.execution_id in self._disk.fills:
                continue
            try:
                self._book_fill(execution, (reliefs or {}).get(execution.execution_id, FIFO))
            except BooksDisagree as error:
                self._disk.suspects[execution.execution_id] = str(error)
                refused.append(error)
            else:
                self._disk.suspects.pop(execution.execution_id, None)
                new.append(execution)
        if refused:
            raise refused[0]
        return new

    def _book_fill(self, fill: Execution, method: Relief) -> None:
        order = self._order_of(fill)
        if wrong := self._wrong(fill, order):
            raise BooksDisagree(f"Fill {fill.execution_id} {wrong}")
        strategy = order.intent.strategy if order is not None else EXTERNAL
        held = [lot for lot in self._open() if (lot.strategy, lot.symbol) == (strategy, fill.symbol)]
        booked = book_fill(fill, strategy, held, method)
        self._disk.fills[fill.execution_id] = (fill, strategy)
        self._write(booked)

    def _order_of(self, fill: Execution) -> StoredOrder | None:
        if fill.ref_id is not None:
            return self._disk.orders.get(fill.ref_id)
        return next((order for order in self._disk.orders.values() if order.broker_id == fill.broker_id), None)

    def _wrong(self, fill: Execution, order: StoredOrder | None) -> str:
        """Why a fill cannot be its order's; empty where it can."""
        if order is None:
            ours = fill.ref_id is not None and fill.ref_id.version == OURS
            return "has an id of ours that the books do not know." if ours else ""
        intent = order.intent
        if (intent.symbol, intent.side) != (fill.symbol, fill.side):
            return f"is to {fill.side} {fill.symbol}, but its order was to {intent.side} {intent.symbol}."
        same = [done for done, _ in self._disk.fills.values() if self._order_of(done) is order]
        filled = sum((done.quantity for done in same), fill.quantity)
        more = f"would make {trimmed(filled)} {fill.symbol} of an order for {trimmed(intent.quantity)}."
        return more if filled > intent.quantity else ""

    async def suspects(self) -> Mapping[str, str]:
        """Executions that the books could not take: reasons by id."""
        return dict(self._disk.suspects)

    async def missing_actions(self, upto: dt.date) -> list[Action]:
        """None: a simulated market has no splits and dividends but those of its own sessions."""
        del upto
        return []

    async def book_split(self, split: Split, at: dt.datetime, lease: Lease) -> bool:
        """Rescale lots, once."""
        self._disk.guard(lease)
        booked = book_split(split, self.account, at, [lot for lot in self._open() if lot.symbol == split.symbol])
        return booked is not None and self._write(booked)

    async def book_dividend(self, dividend: Dividend, at: dt.datetime, lease: Lease) -> bool:
        """Book what is paid on the shares held now, once."""
        self._disk.guard(lease)
        held: dict[str, Decimal] = {}
        for lot in self._open():
            if lot.symbol == dividend.symbol:
                held[lot.strategy] = held.get(lot.strategy, ZERO) + lot.quantity
        booked = book_dividend(dividend, self.account, at, held)
        return booked is not None and self._write(booked)

    async def book(self, booked: Booked, lease: Lease) -> bool:
        """Book any other fact once."""
        self._disk.guard(lease)
        return self._write(booked)

    def _write(self, booked: Booked) -> bool:
        if booked.entry.key in self._disk.entries:
            return False
        self._disk.entries[booked.entry.key] = booked.entry.postings
        self._disk.lots |= {lot.lot_id: lot for lot in booked.lots}
        return True

    async def lots(self) -> list[Lot]:
        """All open lots, oldest first."""
        return self._open()

    def _open(self) -> list[Lot]:
        return sorted((lot for lot in self._disk.lots.values() if lot.quantity), key=lambda lot: lot.session)

    async def balances(self) -> dict[str, Decimal]:
        """The ledger accounts' sums, debits positive."""
        return self._disk.balances()

    async def shares_by_journal(self) -> dict[str, Decimal]:
        """Shares by symbol as the journal says."""
        held: dict[str, Decimal] = {}
        for postings in self._disk.entries.values():
            for posting in postings:
                if posting.ledger_account == "positions":
                    held[posting.symbol] = held.get(posting.symbol, ZERO) + posting.quantity
        return {symbol: trimmed(quantity) for symbol, quantity in held.items() if quantity}

    async def booked_fills(self, since: dt.date) -> set[str]:
        """Ids of booked executions of sessions ≥ since."""
        return {name for name, (fill, _) in self._disk.fills.items() if fill.session >= since}

    # ── equity, stops ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def settle(self, equity: Equity, positions: dict[str, Any], lease: Lease) -> None:
        """Keep a session's close; it stays as it is."""
        del positions
        self._disk.guard(lease)
        self._disk.equity.setdefault(equity.session, equity)

    async def opened(self) -> dt.datetime | None:
        """None: no real account is behind these books."""
        return None

    async def last_equity(self) -> Equity | None:
        """The newest settled session."""
        return self._disk.equity[max(self._disk.equity)] if self._disk.equity else None

    async def peak_equity(self) -> Decimal | None:
        """The highest settled equity."""
        return max((each.equity for each in self._disk.equity.values()), default=None)

    async def equity_before(self, session: dt.date) -> Decimal | None:
        """Equity at the settled session before that one."""
        before = [day for day in self._disk.equity if day < session]
        return self._disk.equity[max(before)].equity if before else None

    async def latch(self, name: str, reason: str, lease: Lease) -> bool:
        """Latch a stop as the account's writer; False when it already was."""
        self._disk.guard(lease)
        return _latch(self._disk, name, reason)

    async def unlatch(self, name: str, reason: str, lease: Lease) -> bool:
        """Clear it as the account's writer; False when it was not latched."""
        del reason
        self._disk.guard(lease)
        return self._disk.latches.pop(name, None) is not None

    async def keep_reconciliation(self, outcome: Reconciliation, flow_run_id: str | None, lease: Lease) -> None:
        """Keep the outcome of a comparison with the broker."""
        del flow_run_id
        self._disk.guard(lease)
        _keep(self._disk, outcome)


class LeaseStore:
    """Implements `ports.LeaseStore` on the disks' clocks; it is renewed by nobody, and lives `ttl` seconds."""

    def __init__(self, disks: Disks, ttl: float = 1e9) -> None:
        self._disks = disks
        self._ttl = ttl

    @asynccontextmanager
    async def hold(self, account: str, holder: str, wait_seconds: float) -> AsyncIterator[Lease]:
        """Take the lease, once an abandoned one has run out; give it back, unless the process dies inside."""
        lease = await self._take(account, holder, wait_seconds)
        try:
            yield lease
        except Exception:
            self._give_back(lease)
            raise
        self._give_back(lease)

    async def _take(self, account: str, holder: str, wait_seconds: float) -> Lease:
        disk = self._disks[account]
        if disk.holder is not None and disk.expires > disk.now:
            if disk.expires - disk.now > wait_seconds:
                raise LeaseHeld(f"Another process, {disk.holder}, writes for account {account!r}; nothing was sent.")
            disk.now = disk.expires
        disk.holder, disk.epoch, disk.expires = holder, disk.epoch + 1, disk.now + self._ttl
        return Lease(account, holder, disk.epoch)

    def _give_back(self, lease: Lease) -> None:
        disk = self._disks[lease.account]
        if (disk.holder, disk.epoch) == (lease.holder, lease.epoch):
            disk.holder = None


class ControlStore:
    """Implements `ports.ControlStore`."""

    def __init__(self, disks: Disks) -> None:
        self._disks = disks

    async def set_latch(self, account: str, name: str, reason: str) -> bool:
        """Latch; False when it already was."""
        return _latch(self._disks[account], name, reason)

    async def clear_latch(self, account: str, name: str, reason: str) -> bool:
        """Clear; False when it was not latched."""
        del reason
        return self._disks[account].latches.pop(name, None) is not None

    async def latches(self, account: str) -> list[Latch]:
        """What stops entries now, oldest first."""
        return list(self._disks[account].latches.values())

    async def save_reconciliation(self, account: str, outcome: Reconciliation, flow_run_id: str | None) -> None:
        """Keep the outcome of a comparison."""
        del flow_run_id
        _keep(self._disks[account], outcome)

    async def last_reconciliation(self, account: str) -> Reconciliation | None:
        """The newest comparison."""
        kept = self._disks[account].reconciliations
        return kept[-1] if kept else None


def _keep(disk: Disk, outcome: Reconciliation) -> None:
    disk.reconciliations.append(replace(outcome, at=disk.at))


def _latch(disk: Disk, name: str, reason: str) -> bool:
    if name in disk.latches:
        return False
    disk.latches[name] = Latch(name, reason, disk.at)
    return True


def _sorted(orders: Iterable[StoredOrder]) -> list[StoredOrder]:
    def key(order: StoredOrder) -> tuple[Any, ...]:
        intent = order.intent
        return (intent.session, not intent.reduces, intent.strategy, intent.symbol, intent.leg, intent.side is Side.BUY)

    return sorted(orders, key=key)
