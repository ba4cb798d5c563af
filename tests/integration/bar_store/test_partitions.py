"""Partitions by name and bounds, made ahead and dropped by age; a drop that was broken off is no trap."""

from __future__ import annotations

import asyncio
import datetime as dt
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor import bars
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.partitions import WIDTHS, Partitions, _parsed, holding, spanning
from quaestor.errors import DatabaseDown
from quaestor.ports import Stored

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

D = dt.date
ATTACHED = "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass order by 1"
LEFT = "select relname::text from pg_class where relkind = 'r' and relname like %s order by 1"
DROPPING = "pg_stat_activity where query ~ 'detach partition' and pid <> pg_backend_pid()"
tables = st.sampled_from(sorted(WIDTHS))
days = st.dates(D(1000, 1, 1), D(9000, 1, 1))  # four digits of a year


# ── names and bounds ──────────────────────────────────────────────────────────────────────────────────────────────────


@given(tables, days)
def test_each_day_lies_in_the_partition_that_holds_it(table: str, day: dt.date) -> None:
    part = holding(table, day)
    assert part.since <= day < part.until
    assert holding(table, part.since) == holding(table, part.until - dt.timedelta(1)) == part
    assert holding(table, part.until).since == part.until, "the next one begins where it ends"
    assert _parsed(part.name) == part


@given(tables, days, st.integers(0, 20_000))
def test_partitions_span_a_stretch_without_hole_or_overlap(table: str, first: dt.date, length: int) -> None:
    last = min(first + dt.timedelta(days=length), D(9000, 1, 1))
    parts = spanning(table, first, last)
    assert parts[0].since <= first
    assert parts[-1].since <= last < parts[-1].until
    assert all(one.until == other.since for one, other in pairwise(parts))
    assert len({part.name for part in parts}) == len(parts)


def test_every_timeframe_has_a_table_of_some_width() -> None:
    assert set(WIDTHS) == {*(f"bar_{timeframe}" for timeframe in bars.TIMEFRAMES), "tick"}


@pytest.mark.parametrize(
    ("table", "name", "since", "until"),
    [
        pytest.param("bar_1d", "bar_1d_p2010", D(2010, 1, 1), D(2020, 1, 1), id="a decade of daily bars"),
        pytest.param("bar_5m", "bar_5m_p2012", D(2012, 1, 1), D(2013, 1, 1), id="a year of five minutes"),
        pytest.param("bar_1m", "bar_1m_p2012_12", D(2012, 12, 1), D(2013, 1, 1), id="a month of minutes"),
        pytest.param("tick", "tick_p2012_12", D(2012, 12, 1), D(2013, 1, 1), id="a month of ticks"),
    ],
)
def test_a_partition_is_named_after_its_first_day(table: str, name: str, since: dt.date, until: dt.date) -> None:
    assert holding(table, D(2012, 12, 31)) == (name, since, until)


# ── upkeep ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def old(database: Database) -> BarStore:
    """The store of a fresh database."""
    return BarStore(database)


def attached(books: Books, table: str) -> list[str]:
    return [name for (name,) in books.rows(ATTACHED, table)]


def left(books: Books, table: str) -> list[str]:
    return [name for (name,) in books.rows(LEFT, f"{table}\\_p%")]


async def test_partitions_are_made_ahead_once_with_the_parents_rules(old: BarStore, fresh_books: Books) -> None:
    assert await old.upkeep("1m", D(2012, 11, 20), D(2013, 1, 4), None) == (
        ["bar_1m_p2012_11", "bar_1m_p2012_12", "bar_1m_p2013_01"],
        [],
    )
    assert await old.upkeep("1m", D(2012, 11, 20), D(2013, 1, 4), None) == ([], [])
    rules = fresh_books.rows(
        "select conname::text, contype::text from pg_constraint where conrelid = 'bar_1m_p2012_12'::regclass order by 1"
    )
    assert {"bar_1m_p2012_12_pkey", "ck_bar_1m_prices", "ck_bar_1m_volume"} <= {name for name, _ in rules}
    ((bound,),) = fresh_books.rows(
        "select pg_get_expr(relpartbound, oid) from pg_class where relname = 'bar_1m_p2012_12'"
    )
    assert bound == "FOR VALUES FROM ('2012-12-01 00:00:00+00') TO ('2013-01-01 00:00:00+00')"


async def stocked(store: BarStore, make: Maker) -> tuple[str, pl.DataFrame]:
    """Hourly bars with their evenings around New Year, one of them repaired in each year."""
    frame = make.frame("AAPL", make.ends(D(2012, 12, 27), D(2013, 1, 4), "1h", extended=True), "1h")
    await store.store(make.batch(frame))
    noon = pl.col("ts").dt.hour() == 16
    repaired = frame.with_columns(close=pl.when(noon).then(100.5).otherwise("close"))
    await store.store(make.batch(repaired))
    return "AAPL", repaired


async def test_what_is_dropped_by_age_is_still_asked_for_and_nothing_else_changes(
    old: BarStore, fresh_books: Books, make: Maker
) -> None:
    symbol, frame = await stocked(old, make)
    before = {cell.period: cell for cell in await old.cells([symbol], "1h")}
    assert await old.upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 6, 1)) == ([], ["bar_1h_p2012"])
    assert left(fresh_books, "bar_1h") == attached(fresh_books, "bar_1h") == ["bar_1h_p2013"]
    assert not fresh_books.lying_cells(), "an evening of the old year lies in the new one"
    after = {cell.period: cell for cell in await old.cells([symbol], "1h")}
    assert {period: cell.asked for period, cell in after.items()} == {
        period: cell.asked for period, cell in before.items()
    }
    assert [after[day].stored for day in (D(2012, 12, 27), D(2012, 12, 28))] == [0, 0]
    assert after[D(2012, 12, 27)].status((D(2012, 12, 27), D(2012, 12, 27))) == "empty"
    assert after[D(2013, 1, 3)] == before[D(2013, 1, 3)]
    kept = frame.filter(pl.col("ts") >= dt.datetime(2013, 1, 1, tzinfo=dt.UTC))
    assert (await old.frame([symbol], None, None, "1h")).drop("version").equals(kept)
    assert not fresh_books.rows("select from bar_old where ts < '2013-01-01'")
    assert fresh_books.rows("select from bar_old")
    assert await old.upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 6, 1)) == ([], [])


async def test_what_was_dropped_can_be_loaded_again_whole(old: BarStore, fresh_books: Books, make: Maker) -> None:
    symbol, frame = await stocked(old, make)
    await old.upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 1, 1))
    there = (await old.frame([symbol], None, None, "1h")).height
    assert await old.store(make.batch(frame)) == Stored(new=frame.height - there)
    assert (await old.frame([symbol], None, None, "1h")).drop("version").equals(frame)
    assert not fresh_books.lying_cells()


async def test_a_store_that_remembers_a_partition_sees_that_another_process_dropped_it(
    database_uri: str, old: BarStore, fresh_books: Books, make: Maker
) -> None:
    _, frame = await stocked(old, make)
    async with Database(database_uri) as other:
        await BarStore(other).upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 1, 1))
    assert (await old.store(make.batch(frame))).new > 0
    assert not fresh_books.lying_cells()


async def test_a_dry_run_names_what_would_go_and_drops_nothing(old: BarStore, fresh_books: Books, make: Maker) -> None:
    await stocked(old, make)
    would = await old.upkeep("1h", D(2013, 1, 4), D(2014, 1, 4), D(2013, 6, 1), dry_run=True)
    assert would == ([], ["bar_1h_p2012"])
    assert attached(fresh_books, "bar_1h") == ["bar_1h_p2012", "bar_1h_p2013"]


# ── readers beside a drop ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_drop_waits_for_a_reader_and_the_reader_for_nobody(
    old: BarStore, database_uri: str, fresh_books: Books, make: Maker
) -> None:
    symbol, frame = await stocked(old, make)
    async with await psycopg.AsyncConnection.connect(database_uri) as reader:
        await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await reader.execute("set statement_timeout = '2s'")
        assert await count(reader) == frame.height
        dropping = asyncio.create_task(old.upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 6, 1)))
        await until(fresh_books, "select from pg_inherits where inhdetachpending")
        assert await count(reader) == frame.height, "its snapshot is whole"
        async with Database(database_uri) as other, asyncio.timeout(2):
            mine = BarStore(other)
            assert not (await mine.frame([symbol], D(2013, 1, 2), None, "1h")).is_empty()
            assert (await mine.store(make.batch(frame[-5:]))) == Stored()
        assert not dropping.done()
        await reader.rollback()
        assert (await asyncio.wait_for(dropping, 10))[1] == ["bar_1h_p2012"]
    assert not fresh_books.lying_cells()


async def count(reader: psycopg.AsyncConnection[Any]) -> int:
    ((rows,),) = await (await reader.execute("select count(*) from bar_1h")).fetchall()
    return int(rows)


async def until(books: Books, query: str) -> None:
    for _ in range(400):
        if books.rows(query):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain for {query}")


@pytest.mark.parametrize(
    ("broken", "ended"),
    [
        pytest.param("while it waits for a reader", "by the next upkeep", id="a partition that is leaving is dropped"),
        pytest.param("while it waits for a reader", "by a load that needs it", id="one that is leaving is kept"),
        pytest.param("before the table is gone", "by the next upkeep", id="one that has left is dropped"),
        pytest.param("before the table is gone", "by a load that needs it", id="one that has left comes back"),
    ],
)
async def test_a_drop_that_was_broken_off_is_ended_or_undone(
    old: BarStore, database_uri: str, fresh_books: Books, make: Maker, broken: str, ended: str
) -> None:
    symbol, frame = await stocked(old, make)
    if broken == "before the table is gone":
        with psycopg.connect(database_uri, autocommit=True) as killed:
            killed.execute("alter table bar_1h detach partition bar_1h_p2012 concurrently")
    else:
        await break_off(old, database_uri, fresh_books)
    if ended == "by the next upkeep":
        assert (await old.upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 6, 1)))[1] == ["bar_1h_p2012"]
        assert left(fresh_books, "bar_1h") == ["bar_1h_p2013"]
        assert (await old.cells([symbol], "1h"))[0].stored == 0
    else:
        assert await old.store(make.batch(frame)) == Stored(), "with all that was in it"
        assert (await old.frame([symbol], None, None, "1h")).drop("version").equals(frame)
    assert not fresh_books.lying_cells()


async def break_off(store: BarStore, uri: str, books: Books) -> None:
    """A drop whose process ends while it waits for a reader."""
    with psycopg.connect(uri) as reader:
        reader.execute("select count(*) from bar_1h")
        dropping = asyncio.create_task(store.upkeep("1h", D(2013, 1, 4), D(2013, 1, 4), D(2013, 6, 1)))
        await until(books, "select from pg_inherits where inhdetachpending")
        books.rows(f"select pg_terminate_backend(pid) from {DROPPING}")
        with pytest.raises(DatabaseDown):
            await dropping


async def test_ticks_are_partitioned_too(database: Database, fresh_books: Books) -> None:
    partitions = Partitions(database)
    await partitions.ensure("tick", D(2012, 1, 31), D(2012, 2, 1))
    assert attached(fresh_books, "tick") == ["tick_p2012_01", "tick_p2012_02"]
    assert [part.name for part in await partitions.before("tick", D(2012, 2, 29))] == ["tick_p2012_01"]
    assert await partitions.drop_before("tick", D(2012, 2, 29)) == ["tick_p2012_01"]
    assert attached(fresh_books, "tick") == ["tick_p2012_02"]
