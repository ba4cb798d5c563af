"""The books in PostgreSQL: decisions, intents, orders; the ledger is the half that it inherits.

What belongs together is one transaction: a session's decision with all its intents and refusals; an order's new state
with its event; a fill with its entry, postings and lots. Every write is guarded by the lease (law 3).
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from quaestor.audit import Anchor, digest
from quaestor.doors.postgres.control import guard, guarding, lost
from quaestor.doors.postgres.ledger import SQL, LedgerStore
from quaestor.doors.postgres.texts import texts
from quaestor.jsons import as_json
from quaestor.lifecycle import Standing
from quaestor.orders import (
    EXTERNAL,
    Intent,
    OrderType,
    OrderUpdate,
    Side,
    State,
    TimeInForce,
    external_ref,
    trimmed,
)
from quaestor.ports import Decision, Lease, StoredOrder, Terms, Transition
from quaestor.risk import Refusal

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection

PLACED = tuple(each.name for each in fields(Intent) if each.name not in {"account", "provenance"})
_placed = attrgetter(*PLACED)


class BookStore(LedgerStore):
    """Implements `ports.BookStore` for one account."""

    async def prove(self, lease: Lease) -> None:
        """Raises LeaseHeld when it is not the account's lease any more."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)

    # ── decisions and orders ──────────────────────────────────────────────────────────────────────────────────────────

    async def decided(self, start: dt.date, end: dt.date) -> set[dt.date]:
        """Sessions in [start, end] that were decided."""
        return {row["session"] for row in await self._fetch("decided", start=start, end=end)}

    async def decide(self, decision: Decision, lease: Lease) -> bool:
        """Commit a session's decision with all its intents and refusals; False when it was decided before."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            run = decision.run
            head = {
                "session": decision.session,
                "equity": decision.equity,
                "cash": decision.cash,
                "config_digest": run.config_digest,
                "epoch": lease.epoch,
                "flow_run_id": run.flow_run_id,
                "code_commit": run.commit,
            }
            if not (await self._execute(connection, "insert_decision", **head)).rowcount:
                return False
            for intent in decision.intents:
                await self._plan(connection, intent, lease, "decided")
            await self._refuse(connection, decision.refusals)
            return True

    async def refuse(self, refusals: Sequence[Refusal], lease: Lease) -> None:
        """Keep refusals that came of no session's decision."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            await self._refuse(connection, refusals)

    async def _refuse(self, connection: Connection, refusals: Iterable[Refusal]) -> None:
        for refusal in refusals:
            row = asdict(refusal) | {"provenance": as_json(refusal.provenance)}
            await self._execute(connection, "insert_refusal", **row)

    async def place(self, intents: Sequence[Intent], lease: Lease) -> list[bool]:
        """Commit intents that are sent at once, already SUBMITTING; which are new and may go. One round trip."""
        rows = [_placed_row(intent) for intent in intents]
        whose = {"account": self.account, "holder": lease.holder, "epoch": str(lease.epoch)}
        if len(rows) == 1:
            answer = await self._database.hurried(SQL["place_intent"], whose | texts(rows[0]))
        else:
            answer = await self._database.hurried(SQL["place_intents"], whose | {"orders": as_json(rows)})
        ((ours, names),) = answer
        if ours == "0":
            raise lost(lease)
        placed = set((names or "").split())
        return [f"{each['ref_id']}" in placed for each in rows]

    async def _plan(
        self, connection: Connection, intent: Intent, lease: Lease, cause: str, causation: int | None = None
    ) -> None:
        evidence = as_json(intent.provenance)
        row = {name: getattr(intent, name) for name in PLACED} | {"ref_id": intent.ref_id, "provenance": evidence}
        log = {"epoch": lease.epoch, "cause": cause, "causation": causation, "digest": digest(intent, evidence)}
        await self._execute(connection, "insert_intent", **row, **log)

    async def open_orders(self) -> list[StoredOrder]:
        """Orders that may still change: oldest session first, exits before entries."""
        return [_order(row) for row in await self._fetch("open_orders")]

    async def orders_since(self, since: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ since."""
        return [_order(row) for row in await self._fetch("orders_since", since=since)]

    async def followed(self, session: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ session, or ≥ that of the oldest open one."""
        return [_order(row) for row in await self._fetch("orders_followed", session=session)]

    async def known(self, ref_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Which of these orders are in the books."""
        return {row["ref_id"] for row in await self._fetch("known_orders", ref_ids=list(ref_ids))} if ref_ids else set()

    async def transition(self, ref_id: uuid.UUID, step: Transition, lease: Lease) -> bool:
        """Move an order and log the event; False when it is already there or past it (updates converge)."""
        return (await self.transitions([(ref_id, step)], lease))[0]

    async def transitions(self, steps: Sequence[tuple[uuid.UUID, Transition]], lease: Lease) -> list[bool]:
        """Move several orders, each named once, in one commit; which of them moved."""
        if not steps:
            return []
        async with self._database.pipelined() as connection:
            ours = await guarding(connection, lease)
            rows = await self._execute(connection, "lock_orders", ref_ids=[ref_id for ref_id, _ in steps])
            await ours()
            known = {row["ref_id"]: row for row in await rows.fetchall()}
            moves = [_move(known.get(ref_id), step) for ref_id, step in steps]
            made = [(move, step) for move, (_, step) in zip(moves, steps, strict=True) if move is not None]
            if made:
                await self._execute(connection, "move_orders", epoch=lease.epoch, steps=as_json(_rows(made)))
            for move, step in made:
                if move.old.state is State.PENDING_REPLACE and step.state is State.CANCELED and move.new.state.final:
                    await self._plan_rest(connection, move, lease)
        return [move is not None for move in moves]

    async def _plan_rest(self, connection: Connection, move: _Move, lease: Lease) -> None:
        """What a replaced order leaves goes on as another one; unless the broker ended it by itself."""
        row = await (await self._execute(connection, "replacing", ref_id=move.ref_id)).fetchone()
        terms = {name: Decimal(value) for name, value in row["detail"]["terms"].items() if value is not None}
        rest = Terms(**terms).rest(_order(row), move.new.filled)
        if rest is not None:
            await self._plan(connection, rest, lease, "replacement", row["id"])

    async def anchor(self) -> str:
        """Where the chain of the account's log ends (`SEQ:HASH`); empty before any event."""
        rows = await self._fetch("chain_end")
        return str(Anchor(rows[0]["seq"], rows[0]["hash"].hex())) if rows else ""

    async def adopt(self, update: OrderUpdate, session: dt.date, lease: Lease) -> bool:
        """Keep an order that was placed by hand, in the broker's own state; False when it is known."""
        ref_id = update.ref_id or external_ref(self.account, update.broker_id)
        row = {
            "ref_id": ref_id,
            "strategy": EXTERNAL,
            "cause_key": f"{EXTERNAL}|{update.broker_id}",
            "session": update.session or session,
            "reference_price": update.limit_price or update.average_price or Decimal(0),
            "reduces": update.side is Side.SELL,
            "provenance": as_json({"origin": "EXTERNAL", "broker_id": update.broker_id}),
            "detail": as_json({"broker_id": update.broker_id, "filled": str(update.filled)}),
            "epoch": lease.epoch,
        }
        names = ("broker_id", "symbol", "side", "quantity", "order_type", "limit_price", "stop_price")
        told = {name: getattr(update, name) for name in (*names, "state", "filled", "average_price", "reason")}
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            return bool((await self._execute(connection, "adopt_order", **told, **row)).rowcount)

    async def counts(self, start: dt.date, end: dt.date) -> tuple[int, int, int]:
        """Orders decided, refusals and fills of the sessions in [start, end]."""
        (row,) = await self._fetch("counts", start=start, end=end)
        return row["orders"], row["refusals"], row["fills"]


def _placed_row(intent: Intent) -> dict[str, Any]:
    """What is kept of an intent, and its digest."""
    evidence = as_json(intent.provenance)
    own = {"ref_id": intent.ref_id, "provenance": evidence, "digest": digest(intent, evidence)}
    return dict(zip(PLACED, _placed(intent), strict=True), **own)


def intent_of(row: Mapping[str, Any]) -> Intent:
    """The intent in a row of its table."""
    names = ("account", "strategy", "symbol", "session", "cause_key", "leg", "reduces", "oco", "replaces", "provenance")
    return Intent(
        side=Side(row["side"]),
        quantity=trimmed(row["quantity"]),
        reference_price=row["reference_price"],
        order_type=OrderType(row["order_type"]),
        limit_price=row["limit_price"],
        stop_price=row["stop_price"],
        time_in_force=TimeInForce(row["time_in_force"]),
        **{name: row[name] for name in names},
    )


def _order(row: Mapping[str, Any]) -> StoredOrder:
    names = ("ref_id", "epoch", "broker_id", "filled", "average_price", "planned_at", "updated_at", "reason")
    return StoredOrder(intent=intent_of(row), state=State(row["state"]), **{name: row[name] for name in names})


@dataclass(frozen=True, slots=True)
class _Move:
    """Where an order stood, and where a step brings it."""

    ref_id: uuid.UUID
    old: Standing
    new: Standing


def _move(row: dict[str, Any] | None, step: Transition) -> _Move | None:
    """What a step does to an order; None where it moves nothing, or may not be (law 6)."""
    if row is None or (row["stopped"] and step.state is State.SUBMITTING and not row["reduces"]):
        return None
    old = Standing(State(row["state"]), row["filled"], row["average_price"])
    new = step.after(old)
    return None if new == old else _Move(row["ref_id"], old, new)


def _rows(made: Sequence[tuple[_Move, Transition]]) -> list[dict[str, Any]]:
    """Moves as rows of the log."""
    return [
        {
            "ref_id": move.ref_id,
            "state": move.new.state,
            "filled": move.new.filled,
            "average_price": move.new.average_price,
            "broker_id": step.broker_id,
            "reason": step.reason,
            "cause": step.cause,
            "causation": step.causation,
            "detail": {"broker_id": step.broker_id, "filled": step.filled, "reason": step.reason, **step.detail},
        }
        for move, step in made
    ]
