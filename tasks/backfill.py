"""Steps of a backfill: look, plan, fetch chunk by chunk, and show a person where it stands."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE

from quaestor import wiring
from quaestor.coverage_map import draw, markdown
from quaestor.operations import backfill
from quaestor.operations.backfill import Wanted, pace, planned, survey
from quaestor.operations.ingest import Ingested, try_window
from tasks.desk import Desk, flow_run_id, passing
from tasks.ingest import SOURCES, is_last_try, place_at, some_at_a_time, source_of

LIMIT = "quaestor-backfill"  # chunks at a time, over all runs: fewer than sources take, so live work is never starved
RETRIES = 3
SHOWN = 1000  # rows of a table that a person looks at


@task(name="plan", retries=2, retry_delay_seconds=[2, 10], retry_condition_fn=passing, cache_policy=NO_CACHE)
async def plan(desk: Desk, wanted: Wanted) -> dict[str, Any]:
    """What is to be fetched, by the coverage table: chunks as JSON can hold them, what they cost, what is complete."""
    source, now = source_of(desk), dt.datetime.now(dt.UTC)
    async with desk.database.open() as database:
        made = await planned(wiring.bar_store(database), source, wanted, now)
    chunks = [{"name": chunk.name, "windows": [asdict(each) for each in chunk.windows]} for chunk in made.chunks]
    return {"chunks": chunks, **made.cost(pace(source.capabilities, wanted.timeframe)), "complete": made.complete}


@task(name="show plan", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_plan(made: dict[str, Any], *, dry_run: bool) -> None:
    """The chunks in their order, and the cost of all."""
    table = [
        {
            "chunk": chunk["name"],
            "symbols": len({window["symbol"] for window in chunk["windows"]}),
            "cells": sum(window["cells"] for window in chunk["windows"]),
            "bars at most": sum(window["bars"] for window in chunk["windows"]),
        }
        for chunk in made["chunks"][:SHOWN]
    ]
    cost = (
        f"{made['cells']:,} cells in {made['tasks']:,} chunks: {made['requests']:,} requests, at most "
        f"{made['bars']:,} bars, about {made['seconds']:,.0f} s at the source's pace"
    )
    head = "Dry run, nothing was fetched" if dry_run else "Plan"
    await acreate_table_artifact(table, key="backfill-plan", description=f"{head}: {cost}")


# Some seconds of work. What is Temporary is tried again, and told when no try is left; what was stored before is found
# by its digest.
@task(
    name="fetch chunk",
    task_run_name="{name}",
    retries=RETRIES,
    retry_delay_seconds=[2, 15, 60],
    retry_condition_fn=passing,
    timeout_seconds=900,
    cache_policy=NO_CACHE,
    tags=["source", "database", "backfill"],
)
async def fetch_chunk(desk: Desk, timeframe: str, name: str, windows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Fetch and store the windows of a chunk: what each did, and the orders that stood on bars now repaired."""
    del name
    last_try = is_last_try(RETRIES)
    async with place_at(LIMIT, SOURCES), desk.database.open() as database:
        intake = wiring.intake(source_of(desk), database, desk.alerts.open(), desk.feed.gate(), flow_run_id())

        async def fetch(each: dict[str, Any]) -> Ingested:
            return await try_window(intake, each["symbol"], each["first"], each["last"], timeframe, last_try=last_try)

        done = await some_at_a_time(intake, windows, fetch)
        keys = [key for one in done for key in one.repaired]
        decisions = await backfill.decided_on(intake.store, keys)
    rows = [asdict(one) | {"repaired": len(one.repaired)} for one in done]
    return {"rows": rows, "decisions": [{name: str(value) for name, value in each.items()} for each in decisions]}


@dataclass
class Progress:
    """A bar in the Prefect UI that moves with each chunk."""

    artifact: UUID
    total: int
    done: int = 0
    bars: int = 0

    @classmethod
    async def begin(cls, total: int) -> Progress:
        """Show an empty bar."""
        said, done = (f"0 of {total} chunks", 0.0) if total else ("Nothing is to be done", 100.0)
        artifact = await acreate_progress_artifact(done, key="backfill-progress", description=said)
        assert isinstance(artifact, UUID)  # noqa: S101  # Prefect's signature allows for more
        return cls(artifact, total)

    async def advance(self, chunk: dict[str, Any]) -> None:
        """One chunk more is stored."""
        self.done += 1
        self.bars += sum(row["new"] + row["changed"] for row in chunk["rows"])
        said = f"{self.done} of {self.total} chunks, {self.bars:,} bars stored"
        await aupdate_progress_artifact(self.artifact, 100 * self.done / self.total, said)


@task(name="show coverage", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_coverage(desk: Desk, wanted: Wanted) -> dict[str, int]:
    """The map of what is there now, symbol × period; cells by status."""
    async with desk.database.open() as database:
        places = await survey(wiring.bar_store(database), wanted, dt.datetime.now(dt.UTC))
    drawn = draw(places)
    key = f"coverage-{wanted.timeframe}"
    await acreate_markdown_artifact(f"# Coverage\n\n{markdown(drawn)}", key=key, description=drawn.title)
    return {str(status): count for status, count in drawn.counts.items()}


@task(name="show repairs", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_repairs(decisions: Sequence[dict[str, Any]]) -> None:
    """The orders that were decided on a version of a bar that has been repaired since."""
    said = f"{len(decisions)} orders were decided on bars that are another version now"
    await acreate_table_artifact(list(decisions[:SHOWN]), key="repaired-decisions", description=said)
