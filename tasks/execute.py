"""Steps of execution: stretches of sessions, each traded under the account's lease."""

from __future__ import annotations

import datetime as dt
from collections.abc import Coroutine, Sequence
from dataclasses import asdict
from typing import Any

from prefect import get_run_logger, task
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from quaestor.ledger import Equity
from quaestor.operations.trade import pending, trade
from tasks.desk import Desk, holder, passing


@task(name="find sessions", retries=2, retry_delay_seconds=2, retry_condition_fn=passing, cache_policy=NO_CACHE)
async def find_sessions(desk: Desk, start: dt.date | None, end: dt.date | None) -> list[dt.date]:
    """Sessions that can be traded and are not yet settled."""
    async with desk.floor() as floor:
        return await pending(floor, desk.plan().mandate, start, end)


def trading() -> str:
    """The name of a stretch's task run: its first and last session."""
    days = task_run.parameters["days"]
    return f"trade {days[0]} to {days[-1]}"


# Safe to try again at any point: what is done is found in the database, and the broker knows each ref_id (laws 1–4).
@task(
    name="trade sessions",
    task_run_name=trading,
    retries=3,
    retry_delay_seconds=[5, 20, 60],
    retry_condition_fn=passing,
    timeout_seconds=1800,
    cache_policy=NO_CACHE,
    tags=["orders", "database"],
)
async def trade_sessions(desk: Desk, days: Sequence[dt.date]) -> dict[str, Any]:
    """Trade a stretch of sessions in order; progress is an artifact."""
    begun = acreate_progress_artifact(0.0, key="execute-progress", description=f"{days[0]} to {days[-1]}")
    shown = await _tell(begun)
    every = max(1, len(days) // 4)
    done = 0

    async def progress(day: dt.date, equity: Equity) -> None:
        nonlocal done
        done += 1
        if shown is not None and (done % every == 0 or done == len(days)):
            text = f"{day}: equity {equity.equity:,.2f}, {done} of {len(days)} sessions"
            await _tell(aupdate_progress_artifact(shown, progress=100.0 * done / len(days), description=text))

    plan = desk.plan()
    async with desk.floor() as floor:
        return asdict(await trade(floor, plan.mandate, days, desk.run(plan), holder(), progress))


async def _tell(artifact: Coroutine[Any, Any, Any]) -> Any:
    """Prefect being away for a moment stops no trading: the artifact is the window, not the work."""
    try:
        return await artifact
    except Exception as error:  # noqa: BLE001  # whatever keeps the window shut
        get_run_logger().warning("Progress is not shown: %s", error)
        return None


@task(name="show execution", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_execution(rows: Sequence[dict[str, Any]]) -> None:
    """The table a person looks at: what was traded, stretch by stretch."""
    table = [{name: str(value) for name, value in row.items()} for row in rows]
    total = sum(row["orders"] for row in rows)
    await acreate_table_artifact(table, key="execution", description=f"{total} orders decided")


def stretches(days: Sequence[dt.date], length: int = 64) -> list[list[dt.date]]:
    """A quarter of sessions at a time: seconds of work, one task run each."""
    return [list(days[n : n + length]) for n in range(0, len(days), length)]
