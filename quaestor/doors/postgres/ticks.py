"""Ticks in PostgreSQL: the prints of recorded sessions, each once, in by binary COPY, out as frames."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING

from quaestor.doors.postgres.copying import EPOCH, blank, stream
from quaestor.doors.postgres.partitions import Partitions
from quaestor.doors.postgres.sql import queries

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from quaestor.doors.postgres.copying import Records
    from quaestor.doors.postgres.database import Database

SQL = queries("bars")
COLUMNS = {"instrument": "int4", "ts": "timestamptz", "number": "int8", "price": "float8", "size": "float8"}


class TickStore:
    """Implements `ports.TickStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = Partitions(database)

    async def append(self, ticks: pl.DataFrame) -> int:
        """Store prints (symbol, ts, number, price, size), each once; how many are new."""
        if ticks.is_empty():
            return 0
        numbers = await self._number(sorted(ticks["symbol"].unique()))
        first, last = ticks.select(a=ticks["ts"].min(), b=ticks["ts"].max()).row(0)
        await self._partitions.ensure("tick", first.date(), last.date())
        rows = await asyncio.to_thread(_records, ticks, numbers)
        async with self._database.transaction() as connection:
            await connection.execute(SQL["create_prints"])
            async with connection.cursor() as cursor, cursor.copy(SQL["copy_ticks"]) as copy:
                for block in stream(rows):
                    await copy.write(block)
            return (await connection.execute(SQL["keep_ticks"])).rowcount

    async def frame(self, symbol: str, since: dt.datetime, until: dt.datetime) -> pl.DataFrame:
        """Prints of one symbol with since ≤ ts < until, in the feed's order: symbol, ts, number, price, size."""
        import polars as pl

        known = await self._database.fetch(SQL["instruments"], {"symbols": [symbol]})
        number = known[0]["id"] if known else 0  # of none
        query = (
            f"select t.ts, t.number, t.price, t.size from tick t where t.instrument = {number} "  # noqa: S608  # ours
            f"and t.ts >= '{since.isoformat()}' and t.ts < '{until.isoformat()}' order by t.ts, t.number"
        )
        rows = await self._database.frame(query)
        return rows.select(
            pl.lit(symbol).alias("symbol"),
            pl.col("ts").dt.cast_time_unit("us").dt.convert_time_zone("UTC"),
            "number",
            "price",
            "size",
        )

    async def _number(self, symbols: list[str]) -> dict[str, int]:
        async with self._database.transaction() as connection:
            await connection.execute(SQL["add_instruments"], {"symbols": symbols})
        rows = await self._database.fetch(SQL["instruments"], {"symbols": symbols})
        return {row["symbol"]: row["id"] for row in rows}


def _records(ticks: pl.DataFrame, numbers: Mapping[str, int]) -> Records:
    import polars as pl

    rows = blank(COLUMNS, ticks.height)
    rows["instrument"] = ticks["symbol"].replace_strict(dict(numbers), return_dtype=pl.Int32).to_numpy()
    rows["ts"] = ticks["ts"].to_physical().to_numpy() - EPOCH
    for name in ("number", "price", "size"):
        rows[name] = ticks[name].to_numpy()
    return rows
