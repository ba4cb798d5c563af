"""Steps of ingest and backfill: a group of symbols at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.asyncio import concurrency

from quaestor import wiring
from quaestor.calendar import sessions
from quaestor.errors import Permanent
from quaestor.operations.ingest import ingest_symbol
from tasks.desk import Desk, passing

LIMIT = (
    "quaestor-sources"  # groups of symbols that are fetched at a time, over all runs; `deployments.register` sets it
)
IN_FLIGHT = 8  # symbols at a time within a group: the database's pool is this large


@task(name="check symbols", cache_policy=NO_CACHE, tags=["source"])
async def check_symbols(desk: Desk, symbols: Sequence[str]) -> None:
    """Refuse the whole request for one unknown name: nothing is half-done."""
    await asyncio.to_thread(desk.feed.open().require, symbols)


# A vendor or the database may be away for a moment: two more tries; bad data fails at once.
@task(
    name="ingest symbols",
    task_run_name="ingest {symbols}",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passing,
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    tags=["source", "database"],
)
async def ingest_symbols(
    desk: Desk, symbols: Sequence[str], start: dt.date | None, end: dt.date | None, *, again: bool = False
) -> list[dict[str, Any]]:
    """Bring a group of symbols up to date; a symbol that fails is reported and does not stop the others."""
    source, slots = desk.feed.open(), asyncio.Semaphore(IN_FLIGHT)
    async with concurrency(LIMIT, strict=True), desk.database.open() as database:
        store = wiring.bar_store(database)

        async def one(symbol: str) -> dict[str, Any]:
            async with slots:
                try:
                    return asdict(await ingest_symbol(source, store, symbol, start, end, again=again)) | {"error": ""}
                except Permanent as error:
                    return {"symbol": symbol, "read": 0, "new": 0, "changed": 0, "error": str(error)}

        return await asyncio.gather(*(one(symbol) for symbol in symbols))


@task(name="show ingest", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_ingest(rows: Sequence[dict[str, Any]], key: str) -> None:
    """The table a person looks at: what came in, symbol by symbol."""
    columns = ("symbol", "read", "new", "changed", "first", "last", "splits", "error")
    table = [{name: str(row.get(name, "")) for name in columns} for row in sorted(rows, key=lambda row: row["symbol"])]
    total = sum(row["new"] for row in rows)
    await acreate_table_artifact(table, key=key, description=f"{len(rows)} symbols, {total:,} new bars")


def groups(symbols: Sequence[str], count: int = 4) -> list[list[str]]:
    """Symbols in at most `count` groups that run side by side."""
    names = sorted(set(symbols))
    return [names[n::count] for n in range(min(count, len(names)))]


@task(name="show backfill plan", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_plan(desk: Desk, symbols: Sequence[str], start: dt.date, end: dt.date) -> int:
    """What a backfill would fetch: sessions per symbol, and how many of them are stored; the count of cells."""
    expected = sessions(start, end)
    async with desk.database.open() as database:
        frame = await wiring.bar_store(database).frame(symbols, start, end)
    stored = dict(frame.group_by("symbol").len().iter_rows())
    table = [{"symbol": s, "sessions": len(expected), "stored": stored.get(s, 0)} for s in sorted(set(symbols))]
    cells = len(expected) * len(table)
    description = f"Dry run: {cells:,} cells from {start} to {end}; nothing was fetched"
    await acreate_table_artifact(table, key="backfill-plan", description=description)
    return cells
