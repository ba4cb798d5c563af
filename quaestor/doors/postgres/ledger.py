"""The ledger in PostgreSQL: fills, the journal, lots and equity of one account.

A fact is one transaction: its entry, postings and lots, and the fill where it is one; fills that come together share
one, unless something is wrong with one of them. Each begins by proving the lease (law 3): a writer that was paused and
wakes up under an old epoch books nothing, settles nothing and latches nothing.

A fill that cannot be right is refused with its reason and kept in `suspect_fill`: one that is larger than its order,
that differs from it, that sells more than is held, or that carries an id of ours that the books do not know. It is
tried again each time the broker tells it; once it fits (a split was learned late), it is booked and cleared.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from quaestor.dividends import Dividend
from quaestor.doors.postgres.control import SQL as CONTROL
from quaestor.doors.postgres.control import guard, guarding
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput, BooksDisagree
from quaestor.jsons import as_json
from quaestor.ledger import (
    FIFO,
    SHARE,
    ZERO,
    Booked,
    Equity,
    Left,
    Lot,
    Opened,
    Posting,
    Relief,
    Since,
    book_dividend,
    book_fill,
    book_split,
    restate_split,
    split_quantity,
)
from quaestor.orders import EXTERNAL, OURS, Execution, Side, trimmed
from quaestor.ports import Lease, Reconciliation
from quaestor.splits import Split

if TYPE_CHECKING:
    from quaestor.actions import Action
    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("books") | queries("ledger")
TOGETHER = 256  # fills in one commit
Ours = Callable[[], Awaitable[None]]  # raises LeaseHeld where the lease was lost


class LedgerStore:
    """The half of `ports.BookStore` that keeps the ledger."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self.account = account

    # ── fills ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def book_executions(
        self, executions: Sequence[Execution], lease: Lease, reliefs: Mapping[str, Relief] | None = None
    ) -> list[Execution]:
        """Book those not yet booked; the new ones. `reliefs` names the lots that a sale takes, by execution id.

        Raises BooksDisagree for one that cannot be, once the others are; it is in `suspects` then.
        """
        if not executions:
            return []
        known = await self.booked_fills(min(execution.session for execution in executions))
        told = {each.execution_id: each for each in executions}  # a list may tell a fill twice
        fresh = [each for each in told.values() if each.execution_id not in known]
        new: list[Execution] = []
        refused: list[BooksDisagree] = []
        for start in range(0, len(fresh), TOGETHER):
            booked, wrong = await self._book_or_suspect(fresh[start : start + TOGETHER], reliefs or {}, lease)
            new, refused = new + booked, refused + wrong
        if refused:
            raise refused[0]
        return new

    async def _book_or_suspect(
        self, group: Sequence[Execution], reliefs: Mapping[str, Relief], lease: Lease
    ) -> tuple[list[Execution], list[BooksDisagree]]:
        """Book a group in one commit; where something is wrong with one of them, each in a commit of its own."""
        try:
            async with self._database.pipelined() as connection:
                ours = await guarding(connection, lease)
                return await self._book(connection, group, reliefs, ours), []
        except (BooksDisagree, BadInput) as error:
            if len(group) > 1:
                each = [await self._book_or_suspect([one], reliefs, lease) for one in group]
                return [fill for new, _ in each for fill in new], [no for _, refused in each for no in refused]
            if isinstance(error, BadInput) and reliefs.get(group[0].execution_id, FIFO).lots:
                raise
            return [], [await self._suspect(group[0], str(error), lease)]

    async def _book(
        self, connection: Connection, group: Sequence[Execution], reliefs: Mapping[str, Relief], ours: Ours
    ) -> list[Execution]:
        """Book fills one after the other, each on what those before it left; those that are new.

        Raises BooksDisagree or BadInput where one of them cannot be booked.
        """
        orders = await self._orders_of(connection, group, ours)
        await self._prove(connection, group, orders)
        rows = [
            _fields(fill)
            | {"strategy": order["strategy"] if order else EXTERNAL, "ref_id": order["ref_id"] if order else None}
            for fill, order in zip(group, orders, strict=True)
        ]
        owners = {row["execution_id"]: str(row["strategy"]) for row in rows}
        cursor = await self._execute(connection, "insert_fills", fills=as_json(rows))
        kept = {row["execution_id"] for row in await cursor.fetchall()}
        new = [fill for fill in group if fill.execution_id in kept]
        held = await self._held(connection, [(owners[fill.execution_id], fill) for fill in new])
        booked: list[Booked] = []
        for fill in new:
            owner = owners[fill.execution_id]
            lots = held.setdefault((owner, fill.symbol), {})
            oldest_first = sorted((lot for lot in lots.values() if lot.quantity), key=lambda lot: lot.session)
            booked.append(book_fill(fill, owner, oldest_first, reliefs.get(fill.execution_id, FIFO)))
            lots |= {lot.lot_id: lot for lot in booked[-1].lots}
        if len(await self._write_all(connection, booked)) < len(booked) and len(booked) > 1:
            raise BooksDisagree("One of these fills has an entry already.")
        return new

    async def _orders_of(
        self, connection: Connection, group: Sequence[Execution], ours: Ours
    ) -> list[Mapping[str, Any] | None]:
        """The order of each fill, if the books know one."""
        refs = [fill.ref_id for fill in group if fill.ref_id is not None]
        ids = [fill.broker_id for fill in group if fill.ref_id is None]
        cursor = await self._execute(connection, "orders_of_fills", ref_ids=refs, broker_ids=ids)
        await ours()
        known = {row["broker_id"] or row["ref_id"]: row for row in await cursor.fetchall()}
        return [known.get(fill.broker_id if fill.ref_id is None else fill.ref_id) for fill in group]

    async def _prove(
        self, connection: Connection, group: Sequence[Execution], orders: Sequence[Mapping[str, Any] | None]
    ) -> None:
        """Refuse a fill that cannot be its order's, after those before it."""
        refs = [order["ref_id"] for order in orders if order is not None]
        done: dict[uuid.UUID, list[Mapping[str, Any]]] = {ref_id: [] for ref_id in refs}
        if refs:
            for row in await (await self._execute(connection, "fills_of_orders", ref_ids=refs)).fetchall():
                done[row["ref_id"]].append(row)
        splits = await self._splits_across(connection, group, orders)
        for fill, order in zip(group, orders, strict=True):
            before = done[order["ref_id"]] if order else []
            if wrong := self._wrong(fill, order, before, splits):
                raise BooksDisagree(f"Fill {fill.execution_id} {wrong} Entries are stopped; see `suspect_fill`.")
            before.append({"quantity": fill.quantity, "session": fill.session})

    def _wrong(
        self,
        fill: Execution,
        order: Mapping[str, Any] | None,
        done: Sequence[Mapping[str, Any]],
        known: Sequence[Split],
    ) -> str:
        """Why a fill cannot be its order's; empty where it can. `done` are the order's fills before it."""
        if order is None:
            if fill.ref_id is None or fill.ref_id.version != OURS:
                return ""
            return f"has an id of ours, {fill.ref_id}, that the books do not know: were they restored from a backup?"
        if (order["account"], order["symbol"], order["side"]) != (self.account, fill.symbol, fill.side):
            theirs = f"{order['side']} {order['symbol']} for {order['account']}"
            return f"is to {fill.side} {fill.symbol}, but its order {order['ref_id']} was to {theirs}."
        splits = [s for s in known if s.symbol == fill.symbol and order["session"] < s.session <= fill.session]
        filled = fill.quantity + sum((_through(splits, row) for row in done), ZERO)
        size = _through(splits, order)
        if filled <= size + (len(done) + 1) * SHARE * len(splits):  # each split rounds
            return ""
        more = f"{trimmed(filled)} {fill.symbol} of an order for {trimmed(size)}"
        return f"would make {more} ({order['ref_id']}): the broker filled too much, or tells a fill twice."

    async def _splits_across(
        self, connection: Connection, group: Sequence[Execution], orders: Sequence[Mapping[str, Any] | None]
    ) -> list[Split]:
        """Splits while an order worked, oldest first; there are none where each filled in its own session."""
        across = [
            (order["session"], fill)
            for fill, order in zip(group, orders, strict=True)
            if order and order["session"] < fill.session
        ]
        if not across:
            return []
        terms = {
            "symbols": [fill.symbol for _, fill in across],
            "after": min(session for session, _ in across),
            "upto": max(fill.session for _, fill in across),
        }
        return [_split(row) for row in await (await self._execute(connection, "splits_between", **terms)).fetchall()]

    async def _held(
        self, connection: Connection, fills: Sequence[tuple[str, Execution]]
    ) -> dict[tuple[str, str], dict[str, Lot]]:
        """Open lots of what is sold, by strategy and symbol, oldest first; a purchase asks for none."""
        sold = [(owner, fill.symbol) for owner, fill in fills if fill.side is Side.SELL]
        held: dict[tuple[str, str], dict[str, Lot]] = {}
        if sold:
            terms = {"strategies": [owner for owner, _ in sold], "symbols": [symbol for _, symbol in sold]}
            for lot in await self._lots(connection, "lots_of", **terms):
                held.setdefault((lot.strategy, lot.symbol), {})[lot.lot_id] = lot
        return held

    async def _suspect(self, execution: Execution, reason: str, lease: Lease) -> BooksDisagree:
        told = as_json(asdict(execution))
        row = {"execution_id": execution.execution_id, "reason": reason, "execution": told}
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            await self._execute(connection, "insert_suspect", **row)
        return BooksDisagree(reason)

    async def suspects(self) -> dict[str, str]:
        """Fills that the books could not take: reasons by execution id."""
        return {row["execution_id"]: row["reason"] for row in await self._fetch("suspects")}

    async def booked_fills(self, since: dt.date) -> set[str]:
        """Ids of executions of sessions ≥ since that are in the books."""
        return {row["execution_id"] for row in await self._fetch("booked_fills", since=since)}

    # ── corporate actions ─────────────────────────────────────────────────────────────────────────────────────────────

    async def missing_actions(self, upto: dt.date) -> list[Action]:
        """Splits and dividends that are owed and not booked yet, in the order of events: dividends before splits."""
        dividends = [
            Dividend(row["symbol"], row["session"], trimmed(row["amount"]), row["origin"])
            for row in await self._fetch("missing_dividends", upto=upto)
        ]
        splits = [_split(row) for row in await self._fetch("missing_splits", upto=upto)]
        return sorted([*dividends, *splits], key=lambda action: action.session)

    async def book_split(self, split: Split, at: dt.datetime, lease: Lease) -> bool:
        """Rescale the lots of a symbol, once, as if it had been known in time; False when none was held or it was done.

        Raises BooksDisagree where sales since exceed what it leaves.
        """
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            terms = {"symbol": split.symbol, "session": split.session}
            now = await self._lots(connection, "all_lots", symbol=split.symbol)
            rows = await (await self._execute(connection, "since", **terms)).fetchall()
            if any((row["kind"], row["session"]) == ("split", split.session) for row in rows):
                return False
            if rows and not any(row["nameless"] for row in rows):
                before = await self._lots(connection, "lots_before", **terms)
                booked = restate_split(split, self.account, at, before, [_since(row) for row in rows], now)
            else:
                booked = book_split(split, self.account, at, [lot for lot in now if lot.quantity])
            return booked is not None and await self._write(connection, booked)

    async def book_dividend(self, dividend: Dividend, at: dt.datetime, lease: Lease) -> bool:
        """Book a dividend on the shares held at the close before its ex-date, once; False where none is owed."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            terms = {"symbol": dividend.symbol, "session": dividend.session}
            rows = await (await self._execute(connection, "held_before", **terms)).fetchall()
            held = {row["strategy"]: row["quantity"] for row in rows}
            booked = book_dividend(dividend, self.account, at, held)
            return booked is not None and await self._write(connection, booked)

    # ── the journal ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def book(self, booked: Booked, lease: Lease) -> bool:
        """Book any other fact, such as a deposit or a transfer; False when its key is already in the journal."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            return await self._write(connection, booked)

    async def _write(self, connection: Connection, booked: Booked) -> bool:
        return bool(await self._write_all(connection, [booked]))

    async def _write_all(self, connection: Connection, facts: Sequence[Booked]) -> set[str]:
        """Write entries with their lines and lots; the keys of those that were not there."""
        entries = [
            {name: getattr(fact.entry, name) for name in ("key", "kind", "session", "at", "memo", "named")}
            for fact in facts
        ]
        lines = [
            _fields(posting) | {"key": fact.entry.key, "line": line}
            for fact in facts
            for line, posting in enumerate(fact.entry.postings, 1)
        ]
        cursor = await self._execute(connection, "insert_entries", entries=as_json(entries), postings=as_json(lines))
        new = {row["key"] for row in await cursor.fetchall()}
        lots = {lot.lot_id: lot for fact in facts if fact.entry.key in new for lot in fact.lots}  # as the last left it
        if lots:
            await self._execute(connection, "upsert_lots", lots=as_json([_fields(lot) for lot in lots.values()]))
        return new

    async def lots(self) -> list[Lot]:
        """All open lots, oldest first."""
        return [_lot(row) for row in await self._fetch("open_lots")]

    async def balances(self) -> dict[str, Decimal]:
        """The ledger accounts' sums, debits positive."""
        return {row["ledger_account"]: row["amount"] for row in await self._fetch("balances")}

    async def shares_by_journal(self) -> dict[str, Decimal]:
        """Shares by symbol as the journal's postings say."""
        return {row["symbol"]: trimmed(row["quantity"]) for row in await self._fetch("shares_by_journal")}

    # ── equity ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def settle(self, equity: Equity, positions: dict[str, Any], lease: Lease) -> None:
        """Keep the account's value at a session's close: the session is settled, and stays as it is."""
        row = asdict(equity) | {"equity": equity.equity, "positions": as_json(positions)}
        await self._guarded("insert_equity", lease, **row)

    async def opened(self) -> dt.datetime | None:
        """When the books were begun with what a real account held."""
        rows = await self._fetch("opened")
        at: dt.datetime | None = rows[0]["at"] if rows else None
        return at

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

    # ── what a proof or a comparison comes to ─────────────────────────────────────────────────────────────────────────

    async def latch(self, name: str, reason: str, lease: Lease) -> bool:
        """Latch a stop as this account's writer; False when it already was."""
        return await self._guarded("set_latch", lease, name=name, reason=reason) > 0

    async def unlatch(self, name: str, reason: str, lease: Lease) -> bool:
        """Clear it as this account's writer; False when it was not latched."""
        return await self._guarded("clear_latch", lease, name=name, reason=reason) > 0

    async def keep_reconciliation(self, outcome: Reconciliation, flow_run_id: str | None, lease: Lease) -> None:
        """Keep the outcome of a comparison with the broker."""
        parts = {"differences": as_json(outcome.differences), "checked": as_json(outcome.checked)}
        head = {"session": outcome.session, "ok": outcome.ok, "flow_run_id": flow_run_id}
        await self._guarded("insert_reconcile", lease, **head, **parts)

    # ── ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _guarded(self, query: str, lease: Lease, /, **parameters: Any) -> int:
        """One write of the lease's holder; how many rows."""
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            text = SQL[query] if query in SQL else CONTROL[query]
            return (await connection.execute(text, {"account": self.account, **parameters})).rowcount

    async def _lots(self, connection: Connection, name: str, **parameters: Any) -> list[Lot]:
        rows = await (await self._execute(connection, name, **parameters)).fetchall()
        return [_lot(row) for row in rows]

    async def _fetch(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        return await self._database.fetch(SQL[name], {"account": self.account, **parameters})

    async def _execute(self, connection: Connection, name: str, **parameters: Any) -> Any:
        return await connection.execute(SQL[name], {"account": self.account, **parameters})


def _fields(value: Execution | Posting | Lot) -> dict[str, Any]:
    """What `asdict` says of a value whose fields are plain, at a tenth of its price."""
    return {name: getattr(value, name) for name in value.__slots__}


def _through(splits: Iterable[Split], row: Mapping[str, Any]) -> Decimal:
    """A quantity in the shares that splits after its session have made of it."""
    quantity: Decimal = row["quantity"]
    for split in splits:
        quantity = split_quantity(quantity, split) if split.session > row["session"] else quantity
    return quantity


def _since(row: Mapping[str, Any]) -> Since:
    if row["kind"] == "split":
        return _split(row)
    if row["quantity"] > 0:
        terms = (row["strategy"], row["symbol"], row["opened"], row["quantity"], row["amount"])
        return Opened(Lot(row["lot_id"], *terms))
    against = "capital" if row["kind"] == "transfer_out" else "realized"
    return Left(row["key"], row["strategy"], -row["quantity"], -row["amount"], against, tuple(row["named"]))


def _split(row: Mapping[str, Any]) -> Split:
    return Split(row["symbol"], row["session"], Fraction(row["numerator"], row["denominator"]), row["origin"])


def _lot(row: dict[str, Any]) -> Lot:
    return Lot(**{**row, "quantity": trimmed(row["quantity"])})


def _equity(row: dict[str, Any]) -> Equity:
    names = ("session", "cash", "market_value", "realized", "unrealized", "fees", "capital", "dividends")
    return Equity(**{name: row[name] for name in names})
