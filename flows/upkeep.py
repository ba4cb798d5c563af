"""Upkeep: the database's own housework."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.models import UpkeepRequest
from tasks.desk import open_desk
from tasks.upkeep import forget_happenings, keep_partitions, show_upkeep


@flow(name="upkeep", flow_run_name="upkeep")
async def upkeep(request: UpkeepRequest = UpkeepRequest()) -> dict[str, Any]:  # noqa: B008  # the form's defaults
    """Make partitions of bars before they are needed, drop old ones, forget what live runs told long ago.

    Runs: on Sundays. Requires: the blocks `quaestor`. Leaves: partitions, and the artifact `upkeep`. Readers and
    writers wait for nothing of it.
    """
    desk = await open_desk()
    rows = await keep_partitions(desk, dry_run=request.dry_run)
    forgotten = await forget_happenings(desk, dry_run=request.dry_run)
    await show_upkeep(rows, dry_run=request.dry_run)
    return {"dropped": [name for row in rows for name in row["dropped"]], "forgotten": forgotten}
