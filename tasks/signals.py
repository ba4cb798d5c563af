"""Steps of signal generation: one strategy at a time, each over all symbols."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from quaestor import wiring
from quaestor.operations.generate import generate_signals
from tasks.desk import Desk, passing


# Computing again gives the same rows, so trying again is safe; only a database that is away is worth it.
@task(
    name="generate signals",
    task_run_name="{name}",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passing,
    timeout_seconds=900,
    cache_policy=NO_CACHE,
    tags=["strategy", "database"],
)
async def strategy_signals(desk: Desk, name: str, start: dt.date | None, end: dt.date | None) -> dict[str, Any]:
    """Compute and store the signals of one strategy of the plan."""
    plan = desk.plan()
    built = next(built for built in plan.built if built.name == name)
    async with desk.database.open() as database:
        store, signals = wiring.bar_store(database), wiring.signal_store(database)
        done = await generate_signals(built, store, signals, plan.mandate.symbols, start, end, desk.run(plan))
    return asdict(done)


@task(name="show signals", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_signals(rows: Sequence[dict[str, Any]]) -> None:
    """The table a person looks at: what each strategy said, and what it wants to hold now."""
    table = [{**row, "holds": ", ".join(row["holds"]) or "nothing"} for row in rows]
    shown = [{name: str(value) for name, value in row.items()} for row in table]
    await acreate_table_artifact(shown, key="signals", description="What each strategy wants after its newest bar")
