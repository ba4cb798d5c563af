"""Flows that spread chunks, run as a process of their own: `scaled_flow.py HOME KIND=URL…`, or `HOME hang FOLDER`.

Each KIND is a task runner, each URL a database without its password (PGPASSWORD has it); the chunks' results are
printed as JSON, a line for each. The chunks of `hang` leave a file with their process's number in FOLDER, and stay.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import task_run

from blocks import QuaestorDatabase, Scale
from quaestor.errors import Temporary
from tasks.desk import Desk, open_desk, passing
from tasks.ingest import ingest_symbols
from tasks.scale import spread

START, END = dt.date(2011, 1, 3), dt.date(2011, 12, 30)


@task(
    name="chunk",
    task_run_name="chunk of {symbols}",
    retries=2,
    retry_delay_seconds=0,
    retry_condition_fn=passing,
    cache_policy=NO_CACHE,
)
async def chunk(desk: Desk, symbols: list[str], start: dt.date = START, end: dt.date = END) -> dict[str, Any]:
    """Real work; IBM's first try fails."""
    get_run_logger().info("%s in process %d", symbols, os.getpid())
    if symbols == ["IBM"] and task_run.run_count == 1:
        raise Temporary("The source is away.")
    return {"process": os.getpid(), "rows": await ingest_symbols.fn(desk, symbols, start, end)}


@flow(name="scaled", flow_run_name="scaled {kind}")
async def scaled(kind: Any, url: str, home: str) -> list[dict[str, Any]]:
    desk = await open_desk()
    desk = replace(desk, database=QuaestorDatabase(home=home, url=url))
    scale = desk.scale.model_copy(update={"task_runner": kind})
    work = [{"desk": desk, "symbols": [symbol]} for symbol in desk.feed.symbols]
    return await spread(chunk, work, scale, window=4)


@task(name="endless", cache_policy=NO_CACHE)
async def endless(folder: str, number: int) -> None:
    (Path(folder) / f"{number}-{os.getpid()}").touch()
    await asyncio.sleep(600)


@flow(name="hanging")
async def hanging(home: str, folder: str) -> None:
    await spread(
        endless, [{"folder": folder, "number": n} for n in range(9)], Scale(home=home, task_runner="dask"), window=4
    )


def main() -> None:
    home, *given = sys.argv[1:]
    if given[0] == "hang":
        return asyncio.run(hanging(home, given[1]))
    for pair in given:
        kind, _, url = pair.partition("=")
        done = asyncio.run(scaled(kind, url, home))
        print(json.dumps({"kind": kind, "done": done}, default=str), flush=True)
    return None


if __name__ == "__main__":
    main()
