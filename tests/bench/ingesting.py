"""Our way in, in a process of its own: a file of bars through the quality gate into the bar store.

Every line of the input, "URI FILE", is one ingest. Imports, the calendar and opening the database are not in the time;
reading the file is. The answer also tells the most memory that the process ever had.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import minutes
import pyarrow.parquet  # noqa: F401  # not in the time
from workshop import peak

from quaestor import wiring
from quaestor.bars import MINUTE
from quaestor.calendar import sessions
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.operations.ingest import Intake, keep
from quaestor.ports import History, Stored

if TYPE_CHECKING:
    import polars as pl

NOW = dt.datetime(2024, 4, 1, tzinfo=dt.UTC)
IN_FLIGHT = 2


class Vendor:
    """Who the bars are from; nobody asks it for any."""

    name = "bench"


def main() -> None:
    sessions(*minutes.WINDOW)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(_ingest(*line.split()))), flush=True)


async def _ingest(uri: str, file: str) -> dict[str, float]:
    async with Database(uri) as database:
        intake = Intake(Vendor(), BarStore(database), wiring.alerts(Path(), console=False), lambda: NOW)  # type: ignore[arg-type]
        begun = time.perf_counter()
        stored = await load_all(intake, minutes.read(Path(file)))
        seconds = time.perf_counter() - begun
    counts = {name: sum(getattr(each, name) for each in stored) for name in ("new", "changed", "quarantined")}
    return {"seconds": seconds, "peak": peak(), **counts}


async def load_all(intake: Intake, batches: Iterable[pl.DataFrame]) -> list[Stored]:
    """Sift and store batch after batch, two in flight; a batch is read when there is room for it."""
    waiting, turn = iter(batches), asyncio.Lock()

    async def following() -> pl.DataFrame | None:
        async with turn:
            return await asyncio.to_thread(next, waiting, None)

    async def work() -> list[Stored]:
        done: list[Stored] = []
        while (batch := await following()) is not None:
            done.append(await keep(intake, History(batch, []), MINUTE, _asked(batch)))
        return done

    parts = await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return [each for part in parts for each in part]


def _asked(batch: pl.DataFrame) -> dict[str, tuple[dt.date, dt.date]]:
    """As if each symbol had been asked for from its first session to its last."""
    import polars as pl

    spans = batch.group_by("symbol").agg(first=pl.col("session").min(), last=pl.col("session").max())
    return {row["symbol"]: (row["first"], row["last"]) for row in spans.to_dicts()}


if __name__ == "__main__":
    main()
