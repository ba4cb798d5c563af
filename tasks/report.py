"""Steps of the report: write it, and show it in the Prefect UI."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from quaestor import wiring
from quaestor.devlog import illustrate
from quaestor.operations.report import Reported
from tasks.desk import Desk, flow_run_id, passing


# The same evidence gives the same bytes, so writing again changes nothing.
@task(
    name="write report",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=passing,
    timeout_seconds=600,
    cache_policy=NO_CACHE,
    tags=["devlog", "database"],
)
async def write_report(desk: Desk, start: dt.date | None, end: dt.date | None) -> Reported:
    """Draw the pictures, compute the key figures, write the devlog into the data folder."""
    async with desk.database.open() as database:
        return await wiring.write_report(database, desk.account, Path(desk.database.home), start, end, flow_run_id())


def _page(reported: Reported) -> str:
    return illustrate(reported.markdown, {Path(figure).name: Path(figure).read_bytes() for figure in reported.figures})


@task(name="show report", retries=3, retry_delay_seconds=[1, 5, 15], cache_policy=NO_CACHE, tags=["artifact"])
async def show_report(reported: Reported) -> None:
    """The devlog and the key figures, where a person finds them."""
    page = await asyncio.to_thread(_page, reported)
    await acreate_markdown_artifact(page, key="devlog", description=f"Devlog: {reported.devlog}")
    rows: list[dict[str, Any]] = [{"figure": name, "value": str(value)} for name, value in reported.summary.items()]
    await acreate_table_artifact(rows, key="key-figures", description="Key figures of the report")
