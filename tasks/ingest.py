"""Steps of ingest: a group of symbols at a time."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import lru_cache
from typing import Any, TypeVar

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.concurrency.asyncio import concurrency
from prefect.runtime import task_run

from blocks import RecordedFeed
from quaestor import wiring
from quaestor.bars import DAILY
from quaestor.errors import DatabaseDown
from quaestor.operations.ingest import Intake, try_symbol
from quaestor.ports import Source
from tasks.desk import Desk, flow_run_id, passing, together

SOURCES = "quaestor-sources"  # groups that are fetched at a time, over all runs; `deployments.register` sets the limit
IN_FLIGHT = 8  # symbols at a time within a group: the database's pool is this large
LEASE = 60.0  # seconds after which the places of a process that died are free again; Prefect takes no less
RETRIES = 2

R = TypeVar("R")
T = TypeVar("T")


@task(name="check symbols", cache_policy=NO_CACHE, tags=["source"])
async def check_symbols(desk: Desk, symbols: Sequence[str]) -> None:
    """Refuse the whole request for one unknown name: nothing is half-done."""
    await asyncio.to_thread(source_of(desk).require, symbols)


# A vendor or the database may be away for a moment: two more tries; a symbol whose data are bad is told at once.
@task(
    name="ingest symbols",
    task_run_name="ingest {symbols}",
    retries=RETRIES,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passing,
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    tags=["source", "database"],
)
async def ingest_symbols(
    desk: Desk, symbols: Sequence[str], start: dt.date | None, end: dt.date | None, timeframe: str = DAILY
) -> list[dict[str, Any]]:
    """Bring a group of symbols up to date; a symbol that fails is reported and does not stop the others."""
    last_try = is_last_try(RETRIES)
    async with place_at(SOURCES), desk.database.open() as database:
        intake = wiring.intake(source_of(desk), database, desk.alerts.open(), desk.feed.gate(), flow_run_id())
        done = await some_at_a_time(
            intake, symbols, lambda symbol: try_symbol(intake, symbol, start, end, timeframe, last_try=last_try)
        )
    return [asdict(one) | {"repaired": len(one.repaired)} for one in done]


@asynccontextmanager
async def place_at(*limits: str) -> AsyncIterator[None]:
    """A place under each of these limits, over all runs; soon free again where the process is killed.

    A server that stumbles when the place is to be kept for longer ends no chunk.
    """
    async with concurrency(list(limits), lease_duration=LEASE, strict=True, raise_on_lease_renewal_failure=False):
        yield


def is_last_try(retries: int) -> bool:
    """Whether Prefect will not begin this task again: what is Temporary is then told, and the run goes on."""
    return bool(task_run.run_count > retries)


def source_of(desk: Desk) -> Source:
    """The desk's source, one in this process: all chunks share its pace, which is the vendor's limit."""
    return _opened(desk.feed.model_dump_json())


@lru_cache(maxsize=4)
def _opened(form: str) -> Source:
    return RecordedFeed.model_validate_json(form).open()


async def some_at_a_time(intake: Intake, each: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """What the work came to, begun in this order, as many at a time as source and database take.

    Once the database is away nothing more is begun: it would be fetched in vain, and the next try would wait for it.
    """
    slots = asyncio.Semaphore(min(IN_FLIGHT, intake.source.capabilities.in_flight))
    away: list[DatabaseDown] = []

    async def one(item: T) -> R:
        async with slots:
            if away:
                raise away[0]
            try:
                return await work(item)
            except DatabaseDown as error:
                away.append(error)
                raise

    return await together(one(item) for item in each)


@task(name="show ingest", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_ingest(rows: Sequence[dict[str, Any]], key: str) -> None:
    """The table a person looks at: what came in, symbol by symbol, the failed ones first."""
    columns = ("symbol", "read", "new", "changed", "quarantined", "first", "last", "splits", "error")
    ordered = sorted(rows, key=lambda row: (not row["error"], not row["quarantined"], row["symbol"]))
    table = [{name: _plain(row.get(name)) for name in columns} for row in ordered]
    await acreate_table_artifact(table, key=key, description=said(rows))


def said(rows: Sequence[dict[str, Any]]) -> str:
    """What came in, in a sentence."""
    failed, refused = sum(bool(row["error"]) for row in rows), sum(row["quarantined"] for row in rows)
    changed = sum(row["changed"] for row in rows)
    parts = [f"{len(rows)} symbols, {sum(row['new'] for row in rows):,} new bars"]
    parts += [f"{changed:,} repaired"] if changed else []
    parts += [f"{refused:,} in quarantine"] if refused else []
    parts += [f"{failed} failed"] if failed else []
    return ", ".join(parts)


def _plain(value: object) -> str:
    return "" if value is None else str(value)


# The batch went on without them; a person should know.
@task(name="tell failures", retries=2, retry_delay_seconds=2, cache_policy=NO_CACHE, tags=["alert"])
async def tell_failures(desk: Desk, rows: Sequence[dict[str, Any]]) -> int:
    """One alert for all symbols that failed; how many."""
    failed = [row for row in rows if row["error"]]
    if failed:
        lines = [f"{row['symbol']}: {row['error'].removeprefix(row['symbol'] + ': ')}" for row in failed[:20]]
        more = [f"… and {len(failed) - 20} more"] if len(failed) > 20 else []
        title = f"{len(failed)} of {len(rows)} symbols could not be fetched; the others are stored"
        await desk.alerts.open().send(title, "\n".join([*lines, *more]))
    return len(failed)


def groups(symbols: Sequence[str], count: int = 4) -> list[list[str]]:
    """Symbols in at most `count` groups that run side by side."""
    names = sorted(set(symbols))
    return [names[n::count] for n in range(min(count, len(names)))]
