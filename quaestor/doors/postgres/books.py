"""The books in PostgreSQL: decisions, intents, orders, fills, ledger, equity.

What belongs together is one transaction: a session's decision with all its intents and refusals; an order's new state
with its event; a fill with its entry, postings and lots. Writes that lead to sending are guarded by the lease.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from quaestor.doors.postgres.control import guard
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BooksDisagree
from quaestor.ledger import Booked, Equity, Lot, book_fill, book_split
from quaestor.orders import Execution, Intent, OrderType, Side, State, TimeInForce, moves, trimmed
from quaestor.ports import Decision, Lease, StoredOrder, Transition
from quaestor.splits import Split

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("books")
EXTERNAL = "external"  # whose an order is that was placed by hand


class BookStore:
    """Implements `ports.BookStore` for one account."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self.account = account

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
                row = asdict(intent) | {"ref_id": intent.ref_id, "provenance": json.dumps(intent.provenance)}
                await self._execute(connection, "insert_intent", epoch=lease.epoch, **row)
            for refusal in decision.refusals:
                row = asdict(refusal) | {"provenance": json.dumps(refusal.provenance)}
                await self._execute(connection, "insert_refusal", **row)
            return True

    async def open_orders(self) -> list[StoredOrder]:
        """Orders that may still change: oldest session first, exits before entries."""
        return [_order(row) for row in await self._fetch("open_orders")]

    async def orders_since(self, since: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ since."""
        return [_order(row) for row in await self._fetch("orders_since", since=since)]

    async def transition(self, ref_id: uuid.UUID, step: Transition, lease: Lease) -> bool:
        """Move an order and log the event; False when it is already there or past it (updates converge)."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            old = await (await self._execute(connection, "lock_order", ref_id=ref_id)).fetchone()
            if old is None or not moves(State(old["state"]), old["filled"], step.state, step.filled):
                return False
            detail = {"broker_id": step.broker_id, "filled": str(step.filled), "reason": step.reason, **step.detail}
            row = asdict(step) | {"ref_id": ref_id, "epoch": lease.epoch, "detail": json.dumps(detail, default=str)}
            await self._execute(connection, "move_order", **row)
            return True

    async def counts(self, start: dt.date, end: dt.date) -> tuple[int, int, int]:
        """Orders decided, refusals and fills of the sessions in [start, end]."""
        (row,) = await self._fetch("counts", start=start, end=end)
        return row["orders"], row["refusals"], row["fills"]

    # ── ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def book_executions(self, executions: Sequence[Execution]) -> list[Execution]:
        """Book those not yet booked; the new ones. Raises BooksDisagree for one that cannot be, once the others are."""
        if not executions:
            return []
        known = await self.booked_fills(min(execution.session for execution in executions))
        new, refused = [], []
        for execution in executions:
            if execution.execution_id in known:
                continue
            try:
                async with self._database.transaction() as connection:
                    new += [execution] if await self._book(connection, execution) else []
            except BooksDisagree as error:
                refused.append(error)
        if refused:
            raise refused[0]
        return new

    async def _book(self, connection: Connection, execution: Execution) -> bool:
        strategy = await self._strategy_of(connection, execution)
        row = asdict(execution) | {"strategy": strategy}
        row["ref_id"] = execution.ref_id if strategy != EXTERNAL else None
        if not (await self._execute(connection, "insert_fill", **row)).rowcount:
            return False
        lots = await self._lots(connection, "lots_of", strategy=strategy, symbol=execution.symbol)
        await self._write(connection, book_fill(execution, strategy, lots))
        return True

    async def _strategy_of(self, connection: Connection, execution: Execution) -> str:
        row = await (await self._execute(connection, "strategy_of", ref_id=execution.ref_id)).fetchone()
        return str(row["strategy"]) if row else EXTERNAL

    async def book_split(self, split: Split, at: dt.datetime) -> bool:
        """Rescale the lots of a symbol, once; False when nothing was held or it was booked before."""
        async with self._database.transaction() as connection:
            lots = await self._lots(connection, "lots_of_symbol", symbol=split.symbol, session=split.session)
            booked = book_split(split, self.account, at, lots)
            return booked is not None and await self._write(connection, booked)

    async def book(self, booked: Booked) -> bool:
        """Book any other fact, such as a deposit; False when its key is already in the journal."""
        async with self._database.transaction() as connection:
            return await self._write(connection, booked)

    async def _write(self, connection: Connection, booked: Booked) -> bool:
        entry = booked.entry
        head = {"key": entry.key, "kind": entry.kind, "session": entry.session, "at": entry.at, "memo": entry.memo}
        row = await (await self._execute(connection, "insert_entry", **head)).fetchone()
        if row is None:
            return False
        lines = [asdict(posting) | {"entry_id": row["id"], "line": n} for n, posting in enumerate(entry.postings, 1)]
        lots = [asdict(lot) | {"account": self.account} for lot in booked.lots]
        async with connection.cursor() as cursor:
            await cursor.executemany(SQL["insert_posting"], lines)
            if lots:
                await cursor.executemany(SQL["upsert_lot"], lots)
        return True

    async def lots(self) -> list[Lot]:
        """All open lots, oldest first."""
        return [_lot(row) for row in await self._fetch("open_lots")]

    async def balances(self) -> dict[str, Decimal]:
        """The ledger accounts' sums, debits positive."""
        return {row["ledger_account"]: row["amount"] for row in await self._fetch("balances")}

    async def shares_by_journal(self) -> dict[str, Decimal]:
        """Shares by symbol as the journal's postings say."""
        return {row["symbol"]: trimmed(row["quantity"]) for row in await self._fetch("shares_by_journal")}

    async def booked_fills(self, since: dt.date) -> set[str]:
        """Ids of executions of sessions ≥ since that are in the books."""
        return {row["execution_id"] for row in await self._fetch("booked_fills", since=since)}

    # ── equity ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def settle(self, equity: Equity, positions: dict[str, Any]) -> None:
        """Keep the account's value at a session's close: the session is settled."""
        row = asdict(equity) | {"equity": equity.equity, "positions": json.dumps(positions, default=str)}
        await self._fetch("insert_equity", **row)

    async def last_equity(self) -> Equity | None:
        """The newest settled session."""
        rows = await self._fetch("last_equity")
        return _equity(rows[0]) if rows else None

    async def peak_equity(self) -> Decimal | None:
        """The highest settled equity."""
        rows = await self._fetch("peak_equity")
        peak: Decimal | None = rows[0]["peak"]
        return peak

    async def equity_before(self, session: dt.date) -> Decimal | None:
        """Equity at the settled session before that one."""
        rows = await self._fetch("equity_before", session=session)
        return rows[0]["equity"] if rows else None

    async def equity_curve(self, start: dt.date, end: dt.date) -> list[Equity]:
        """Settled sessions in [start, end], oldest first."""
        return [_equity(row) for row in await self._fetch("equity_curve", start=start, end=end)]

    # ── ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _lots(self, connection: Connection, name: str, **parameters: Any) -> list[Lot]:
        rows = await (await self._execute(connection, name, **parameters)).fetchall()
        return [_lot(row) for row in rows]

    async def _fetch(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        return await self._database.fetch(SQL[name], {"account": self.account, **parameters})

    async def _execute(self, connection: Connection, name: str, **parameters: Any) -> Any:
        return await connection.execute(SQL[name], {"account": self.account, **parameters})


def _lot(row: dict[str, Any]) -> Lot:
    return Lot(**{**row, "quantity": trimmed(row["quantity"])})


def _order(row: dict[str, Any]) -> StoredOrder:
    intent = Intent(
        account=row["account"],
        strategy=row["strategy"],
        symbol=row["symbol"],
        session=row["session"],
        cause_key=row["cause_key"],
        side=Side(row["side"]),
        quantity=trimmed(row["quantity"]),
        reference_price=row["reference_price"],
        order_type=OrderType(row["order_type"]),
        limit_price=row["limit_price"],
        time_in_force=TimeInForce(row["time_in_force"]),
        leg=row["leg"],
        reduces=row["reduces"],
        provenance=row["provenance"],
    )
    names = ("ref_id", "epoch", "broker_id", "filled", "average_price", "planned_at", "updated_at", "reason")
    return StoredOrder(intent=intent, state=State(row["state"]), **{name: row[name] for name in names})


def _equity(row: dict[str, Any]) -> Equity:
    names = ("session", "cash", "market_value", "realized", "unrealized", "fees", "capital")
    return Equity(**{name: row[name] for name in names})
