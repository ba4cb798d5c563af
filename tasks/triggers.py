"""Steps of a person's hand on triggers: write or remove one, and show them all in the Prefect UI."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run, task_run

from quaestor import wiring
from quaestor.errors import NotFound
from quaestor.operations import triggers as by_hand
from tasks.desk import Desk, flow_run_id, passing

OURS = uuid.UUID("0b6f2f5e-6a52-4d0c-9a3e-6f4b1f1f9c44")  # our namespace: a run adds one trigger, however often it runs


# The id follows from the flow run, and a name is written once: safe to try again.
@task(
    name="write trigger",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passing,
    timeout_seconds=60,
    cache_policy=NO_CACHE,
    tags=["database"],
)
async def write_trigger(desk: Desk, asked: dict[str, Any]) -> dict[str, Any]:
    """Add it, or write it in the place of the one that has its name; the trigger as it is now."""
    async with desk.database.open() as database:
        store, now = wiring.trigger_store(database), _began()
        put = await by_hand.put(store, desk.account, asked, now, _by(), id_=_own_id())
    return {"changed": put.changed, **by_hand.row(put.stored, now)}


@task(
    name="remove trigger",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passing,
    timeout_seconds=60,
    cache_policy=NO_CACHE,
    tags=["database"],
)
async def remove_trigger(desk: Desk, named: str) -> str | None:
    """Take one out by name or id; its id, None where it is gone already and this run is tried again."""
    async with desk.database.open() as database:
        store = wiring.trigger_store(database)
        try:
            return str(await by_hand.remove(store, desk.account, named, _by()))
        except NotFound:
            if max(flow_run.run_count or 1, task_run.run_count or 1) == 1:
                raise
            return None


@task(name="show triggers", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_triggers(desk: Desk) -> None:
    """All triggers as a table, those that cannot be read with them."""
    async with desk.database.open() as database:
        found = await by_hand.overview(wiring.trigger_store(database), desk.account, _began())
    table = [_line(row) for row in found["triggers"]]
    table += [{"trigger": torn["id"], "name": torn["name"], "what": torn["problem"]} for torn in found["damaged"]]
    said = f"Triggers of {desk.account}: {len(found['triggers'])}, and {len(found['damaged'])} that cannot be read"
    await acreate_table_artifact(table, key="triggers", description=said)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    far = "" if row["distance"] is None else f"{row['distance']:+.2%}"
    return {
        "trigger": row["id"],
        "name": row["name"],
        "what": row["sentence"],
        "state": row["state"],
        "fired": row["fired"],
        "to go": far,
        "note": row["note"],
    }


def _began() -> int:
    """When the run was to start, ns since 1970: the same however often it is tried."""
    moment = flow_run.scheduled_start_time or dt.datetime.now(dt.UTC)
    return int(moment.timestamp() * 1_000_000) * 1000


def _own_id() -> uuid.UUID:
    run = flow_run_id()
    return uuid.uuid5(OURS, run) if run else uuid.uuid4()


def _by() -> str:
    return f"flow run {flow_run.name or 'without a name'}"
