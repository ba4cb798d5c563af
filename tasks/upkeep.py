"""The steps of upkeep."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from quaestor import wiring
from quaestor.operations.upkeep import forget, keep_up
from tasks.desk import Desk, passing


# Making is idempotent, dropping too: safe to try again.
@task(
    name="keep partitions",
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=passing,
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    tags=["database"],
)
async def keep_partitions(desk: Desk, *, dry_run: bool) -> list[dict[str, Any]]:
    """Make the partitions of the weeks to come, drop those that are older than a person wants them kept."""
    async with desk.database.open() as database:
        store, today = wiring.bar_store(database), dt.datetime.now(dt.UTC).date()
        done = await keep_up(store, desk.database.keep, today, dry_run=dry_run)
    return [asdict(each) for each in done]


# Deleting twice deletes nothing more.
@task(
    name="forget happenings",
    retries=2,
    retry_delay_seconds=[5, 30],
    retry_condition_fn=passing,
    timeout_seconds=300,
    cache_policy=NO_CACHE,
    tags=["database"],
)
async def forget_happenings(desk: Desk, *, dry_run: bool) -> int:
    """Forget what live runs told long ago; the books keep orders and fills."""
    async with desk.database.open() as database:
        return await forget(wiring.live_store(database), dry_run=dry_run)


@task(name="show upkeep", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_upkeep(rows: Sequence[dict[str, Any]], *, dry_run: bool) -> None:
    """What was made and what was dropped."""
    table = [
        {
            "timeframe": row["timeframe"],
            "made": ", ".join(row["made"]),
            "dropped": ", ".join(row["dropped"]),
            "kept from": str(row["before"] or "the beginning"),
        }
        for row in rows
    ]
    dropped = sum(len(row["dropped"]) for row in rows)
    said = f"{dropped} would be dropped by age; nothing was done" if dry_run else f"{dropped} dropped by age"
    await acreate_table_artifact(table, key="upkeep", description=f"Partitions of bars: {said}")
