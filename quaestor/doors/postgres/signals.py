"""Signals in PostgreSQL: what each strategy wanted after each bar, kept with what it saw."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quaestor.bars import DAILY
from quaestor.doors.postgres.sql import queries
from quaestor.ports import Run, StoredSignal

if TYPE_CHECKING:
    import polars as pl

    from quaestor.doors.postgres.database import Database
    from quaestor.strategies.catalogue import Built

SQL = queries("signals")


class SignalStore:
    """Implements `ports.SignalStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, built: Built, signals: pl.DataFrame, window: tuple[dt.date, dt.date], run: Run) -> int:
        """Store what a strategy said of the sessions in `window` (columns of `quaestor.signals.compute`).

        How many signals were new or different.
        """
        parameters = {
            "strategy": built.name,
            "digest": built.digest,
            "version": built.version,
            "parameters": json.dumps(built.parameters),
            "timeframe": DAILY,
            "flow_run_id": run.flow_run_id,
            "code_commit": run.commit,
            "first": window[0],
            "last": window[1],
        }
        async with self._database.transaction() as connection:
            await connection.execute(SQL["create_staging"])
            async with connection.cursor() as cursor, cursor.copy(SQL["copy_staging"]) as copy:
                await copy.write(_csv(signals))
            row = await (await connection.execute(SQL["merge_staging"], parameters)).fetchone()
            await connection.execute(SQL["mark_computed"], parameters)
        return int(row["new"]) if row else 0

    async def of_sessions(self, digests: Sequence[str], start: dt.date, end: dt.date) -> list[StoredSignal]:
        """The newest revision of each signal of these strategies with start ≤ session ≤ end."""
        parameters = {"digests": list(digests), "start": start, "end": end}
        return [_signal(row) for row in await self._database.fetch(SQL["of_sessions"], parameters)]

    async def computed(self, digests: Sequence[str]) -> dict[str, tuple[dt.date, dt.date]]:
        """First and last session that each of these strategies was asked about, by digest."""
        rows = await self._database.fetch(SQL["computed"], {"digests": list(digests)})
        return {row["digest"]: (row["first"], row["last"]) for row in rows}


def _csv(signals: pl.DataFrame) -> bytes:
    import polars as pl

    seen = pl.struct("close", "bar_version", pl.col("first_session").cast(pl.String), "bars_seen").struct.json_encode()
    buffer = io.BytesIO()
    signals.select("symbol", "session", "bar_end", "target", seen=seen).write_csv(buffer, include_header=False)
    return buffer.getvalue()


def _signal(row: dict[str, Any]) -> StoredSignal:
    names = (
        "strategy",
        "digest",
        "version",
        "parameters",
        "symbol",
        "session",
        "bar_end",
        "target",
        "revision",
        "seen",
    )
    return StoredSignal(**{name: row[name] for name in names}, flow_run_id=row["flow_run_id"])
