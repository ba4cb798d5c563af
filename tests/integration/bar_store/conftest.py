"""A database that a module's tests share, each with symbols of its own; bars to store, and what is there afterwards.

The oracle of every disturbance is the database itself, read by plain SQL: cells are true when they count the bars.
"""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InsufficientPrivilege, ObjectInUse

from quaestor import bars, calendar
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.ports import Batch

TABLES = tuple(f"bar_{timeframe}" for timeframe in bars.TIMEFRAMES)
COUNTED = " union all ".join(
    f"select instrument, '{timeframe}' as timeframe, "
    f"{'date_trunc($$month$$, session)::date' if timeframe == bars.DAILY else 'session'} as period, count(*) as bars "
    f"from bar_{timeframe} group by 1, 2, 3"
    for timeframe in bars.TIMEFRAMES
)
LYING = f"""
    select instrument, timeframe, period, c.stored, coalesce(b.bars, 0) as bars
    from coverage c full join ({COUNTED}) b using (instrument, timeframe, period)
    where coalesce(c.stored, 0) <> coalesce(b.bars, 0)
"""


@pytest.fixture(scope="module")
def shared_uri(server_uri: str, template_uri: str) -> Iterator[str]:
    """A migrated database for all tests of a module."""
    name = f"m{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "{conninfo_to_dict(template_uri)["dbname"]}"')
    yield server_uri.replace("/quaestor?", f"/{name}?")
    with suppress(InsufficientPrivilege, ObjectInUse), psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(
            f'drop database "{name}" with (force)'
        )  # where an autovacuum is in it, the server takes it along


@pytest.fixture
async def door(shared_uri: str) -> AsyncIterator[Database]:
    """An open door to the shared database."""
    async with Database(shared_uri) as door:
        yield door


@pytest.fixture
def store(door: Database) -> BarStore:
    """Its bars."""
    return BarStore(door)


_numbers = itertools.count(1)


@dataclass(frozen=True)
class Maker:
    """Bars to store."""

    def symbol(self) -> str:
        """One that no other test has."""
        return f"T{next(_numbers)}"

    def ends(
        self, first: dt.date, last: dt.date, timeframe: str = bars.DAILY, *, extended: bool = False
    ) -> list[tuple[dt.date, dt.datetime]]:
        """Session and end of every bar from one session to another."""
        days = calendar.sessions(first, last)
        return [(day, end) for day in days for end in calendar.ends(day, timeframe, extended=extended)]

    def frame(
        self,
        symbol: str,
        ends: Sequence[tuple[dt.date, dt.datetime]],
        timeframe: str = bars.DAILY,
        closes: Sequence[float] | float = 100.0,
    ) -> pl.DataFrame:
        """Bars with these ends, a close each or one for all."""
        prices = [closes] * len(ends) if isinstance(closes, float) else list(closes)
        return pl.DataFrame(
            {
                "symbol": [symbol] * len(ends),
                "timeframe": [timeframe] * len(ends),
                "session": [day for day, _ in ends],
                "ts": [end for _, end in ends],
                "open": prices,
                "high": [price + 1 for price in prices],
                "low": [price - 1 for price in prices],
                "close": prices,
                "volume": [1_000 + n for n in range(len(ends))],
            },
            schema=bars.schema(),
        )

    def batch(self, frame: pl.DataFrame, *, asked: bool = True, source: str = "test") -> Batch:
        """A batch of that frame; `asked`: for the stretch that each symbol's bars span."""
        stretches = frame.group_by("symbol").agg(first=pl.col("session").min(), last=pl.col("session").max())
        spans = {symbol: (first, last) for symbol, first, last in stretches.iter_rows()} if asked else {}
        return Batch(frame["timeframe"][0], frame, source, asked=spans)


@pytest.fixture(scope="session")
def make() -> Maker:
    """Makes symbols, frames and batches."""
    return Maker()


@dataclass(frozen=True)
class Books:
    """What stands in a database, read past the store."""

    uri: str

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with psycopg.connect(self.uri, options="-c timezone=UTC") as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def lying_cells(self) -> list[tuple[Any, ...]]:
        """Cells that do not count their bars, and bars that no cell counts."""
        return self.rows(LYING)

    def written(self) -> list[tuple[Any, ...]]:
        """Rows of each table, and a sum over where each lies and who wrote it: equal when nobody wrote."""
        place = "hashtextextended(concat_ws(' ', tableoid, ctid, xmin), 0)"
        tables = ("load", "coverage", "bar_old", "quarantine", "instrument", *TABLES)
        return self.rows(
            " union all ".join(f"select '{table}', count(*), sum({place}) from {table}" for table in tables)
        )

    def versions(self, symbol: str, timeframe: str = bars.DAILY) -> list[tuple[Any, ...]]:
        """ts, version, close, source of every version of a symbol's bars."""
        return self.rows(
            "select ts, version, close, source from bar_version where symbol = %s and timeframe = %s order by 1, 2",
            symbol,
            timeframe,
        )


@pytest.fixture
def books(shared_uri: str) -> Books:
    """The shared database past the store."""
    return Books(shared_uri)


@pytest.fixture
def fresh_books(database_uri: str) -> Books:
    """The fresh database past the store."""
    return Books(database_uri)
