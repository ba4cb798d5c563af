"""An old bot's history in PostgreSQL: in by COPY, compared with what earlier imports stored, kept in one transaction.

Bars go through the bar store, on the same connection: all that it does is inside our transaction too.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quaestor.bars import PRICES, price
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.sql import queries
from quaestor.legacy.daily import Key, StoredBar
from quaestor.legacy.parity import KINDS, Merged, Report, Total
from quaestor.legacy.rows import Deal, Quote
from quaestor.orders import Side

if TYPE_CHECKING:
    import datetime as dt

    from quaestor.doors.postgres.database import Connection
    from quaestor.ports import BarStore

SQL = queries("legacy")


class LegacyStore:
    """Implements `ports.LegacyStore`; `bar_store` makes the bar store over a database."""

    def __init__(self, database: Database, bar_store: Callable[[Database], BarStore]) -> None:
        self._database = database
        self._bar_store = bar_store

    @asynccontextmanager
    async def importing(self, *, keep: bool) -> AsyncIterator[LegacyBooks]:
        """One transaction, one import at a time; committed at the end where `keep` says so."""
        try:
            async with self._database.transaction() as connection:
                await connection.execute(SQL["begin"])
                found = await (await connection.execute(SQL["next_import"])).fetchone()
                bars = self._bar_store(_Within(self._database.uri, connection))
                yield LegacyBooks(connection, bars, found["id"] if found else 0)
                if not keep:
                    raise _Undone
        except _Undone:
            return


class _Undone(Exception):
    """A dry run ends; its transaction is rolled back."""


class _Within(Database):
    """The database as one open transaction: what is done through it is committed or undone with the rest."""

    def __init__(self, uri: str, connection: Connection) -> None:
        super().__init__(uri)
        self._open = connection

    @asynccontextmanager
    async def _connection(self, patience: float | None = None) -> AsyncIterator[Connection]:
        del patience  # it is there
        yield self._open


class LegacyBooks:
    """Implements `ports.LegacyBooks`."""

    def __init__(self, connection: Connection, bars: BarStore, number: int) -> None:
        self.bars = bars
        self._connection = connection
        self._number = number

    async def stage(self, kind: str, rows: Sequence[Quote | Deal]) -> None:
        """Bring rows in by COPY."""
        await self._connection.execute(SQL[f"stage_{kind}"])
        async with self._connection.cursor() as cursor, cursor.copy(SQL[f"copy_{kind}"]) as copy:
            for row in rows:
                await copy.write_row(_staged(row, kind))

    async def shared(self) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """By kind and earlier source: staged rows with the same table and rowid, and how many of them are equal."""
        found = {kind: await self._rows(f"shared_{kind}") for kind in KINDS}
        return {
            kind: {row["source"]: (row["shared"], row["equal"]) for row in rows} for kind, rows in found.items() if rows
        }

    async def merge(self, kind: str, source: str) -> Merged:
        """Store the staged rows that are new; those stored with other content are taken off the stage."""
        different = [(row["table_name"], row["row_id"]) for row in await self._rows(f"different_{kind}", source=source)]
        if different:
            tables, rows = (list(part) for part in zip(*different, strict=True))
            await self._connection.execute(SQL[f"drop_different_{kind}"], {"tables": tables, "rows": rows})
        new = await self._rows(f"merge_{kind}", source=source, **{"import": self._number})
        return Merged({row["table_name"]: row["new"] for row in new}, frozenset(different))

    async def stored_bars(self, keys: Sequence[Key]) -> Mapping[Key, StoredBar]:
        """The newest version of these daily bars; those that are stored."""
        symbols, sessions = [symbol for symbol, _ in keys], [session for _, session in keys]
        rows = await self._rows("stored_bars", symbols=symbols, sessions=sessions)
        return {(row["symbol"], row["session"]): _bar(row) for row in rows}

    async def totals(self, kind: str, source: str) -> Sequence[Total]:
        """Sums over the stored rows that are staged, in Python's order of names."""
        found = [Total(*(row[name] for name in _TOTAL)) for row in await self._rows(f"totals_{kind}", source=source)]
        return sorted(found, key=lambda total: (total.table, total.side))

    async def deals(self, kind: str, source: str) -> Sequence[Deal]:
        """The stored orders or trades that are staged."""
        return [_deal(row, kind) for row in await self._rows(f"deals_{kind}", source=source)]

    async def record(self, report: Report, mapping: Mapping[str, Any]) -> None:
        """Keep that this import was made."""
        facts = {name: getattr(report, name) for name in ("source", "file", "sha256", "timezone")}
        told = {"mapping": dict(mapping), "counts": dict(report.count), "report": asdict(report)}
        texts = {name: json.dumps(value, default=str) for name, value in told.items()}
        await self._connection.execute(SQL["record"], {"id": self._number, **facts, **texts})

    async def _rows(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        return await (await self._connection.execute(SQL[name], parameters or None)).fetchall()


_TOTAL = ("table_name", "side", "rows", "quantity", "notional", "fees")


def _staged(row: Quote | Deal, kind: str) -> tuple[Any, ...]:
    head: tuple[str, int, str, dt.datetime, str] = (row.table, row.row_id, row.symbol, row.at, row.digest)
    if isinstance(row, Quote):
        return (*head, row.session, row.price, row.open, row.high, row.low, row.volume)
    order = row.id if kind == "orders" else row.order_id
    deal = (*head, order, row.side.value, row.quantity, row.price, row.fee, row.state, row.raw)
    return deal if kind == "orders" else (*deal, row.id, row.pnl)


def _deal(row: Mapping[str, Any], kind: str) -> Deal:
    return Deal(
        table=row["table_name"],
        row_id=row["row_id"],
        id=row["order_id"] if kind == "orders" else row["trade_id"],
        order_id=row["order_id"],
        side=Side(row["side"]),
        raw="",
        **{name: row[name] for name in ("symbol", "quantity", "price", "fee", "pnl", "state", "at", "digest")},
    )


def _bar(row: Mapping[str, Any]) -> StoredBar:
    opened, high, low, close = (price(row[name]) for name in PRICES)
    return StoredBar(row["source"], (opened, high, low, close, row["volume"]))
