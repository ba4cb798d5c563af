"""Writers side by side, and readers beside them: nobody's bars are lost, no reader waits.

A writer is held in the middle of its transaction, after its bars and before its cells, by a lock of ours on `coverage`
that lets everybody read it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from quaestor import calendar
from quaestor.bars import DAILY
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.partitions import Partitions
from quaestor.doors.postgres.ticks import TickStore
from quaestor.errors import DatabaseDown
from quaestor.ports import Stored

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

D = dt.date
READ = 2.0  # seconds that no reader needs
HELD = """
    select count(*) from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock' and query ~ %s
"""


@pytest.fixture
async def doors(shared_uri: str) -> AsyncIterator[list[Database]]:
    """Four processes' worth of doors."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Database(shared_uri)) for _ in range(4)]


@asynccontextmanager
async def held(books: Books, lock: str, waiting: str, work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """`work` under way and waiting for `lock` in a statement like `waiting`; it goes on at the end of the block."""
    async with await psycopg.AsyncConnection.connect(books.uri) as holder:
        await holder.execute(lock.encode())
        task = asyncio.create_task(work)
        await until_waiting(books, waiting)
        yield task
        await holder.rollback()
    await asyncio.wait_for(task, 10)


async def until_waiting(books: Books, waiting: str) -> None:
    for _ in range(400):
        if books.rows(HELD, waiting)[0][0]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"nobody waits in {waiting}")


COVERAGE = "lock table coverage in share mode"  # its rows can be read, and not written


# ── writers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_writers_of_the_same_symbols_count_every_version_once(
    doors: list[Database], books: Books, make: Maker
) -> None:
    symbols = [make.symbol() for _ in range(3)]
    ends = make.ends(D(2009, 12, 1), D(2010, 1, 29))

    def whole(close: float, order: int) -> pl.DataFrame:
        return pl.concat([make.frame(symbol, ends, closes=close) for symbol in symbols[::order]])

    jobs = [
        BarStore(doors[n % 4]).store(make.batch(whole(100.0 + n % 4, 1 if n % 2 else -1), source=f"{n}"))
        for n in range(12)
    ]
    done = await asyncio.gather(*jobs)
    total = len(symbols) * len(ends)
    assert sum(each.new for each in done) == total
    assert all(each.new + each.changed in (0, total) for each in done), "each batch is whole or nothing new"
    versions = [row[1] for symbol in symbols for row in books.versions(symbol)]
    assert len(versions) == sum(each.new + each.changed for each in done)
    assert max(versions) == len(versions) // total
    assert not books.lying_cells()


async def test_a_moment_shows_one_version_of_a_bar_although_writers_waited_for_each_other(
    doors: list[Database], books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    ends = make.ends(D(2012, 1, 3), D(2012, 1, 6))
    await asyncio.gather(
        *(BarStore(doors[n % 4]).store(make.batch(make.frame(symbol, ends, closes=100.0 + n))) for n in range(8))
    )
    loads = books.rows("select version, stored_at, superseded_at from bar_version where symbol = %s order by 1", symbol)
    times = sorted({stored for _, stored, _ in loads})
    assert len(times) == 8
    assert all(then is None or stored < then for _, stored, then in loads)
    store = BarStore(doors[0])
    for number, moment in enumerate(times, 1):
        frame = await store.frame([symbol], None, None, as_of=moment)
        assert frame["version"].to_list() == [number] * len(ends)


async def test_a_moment_before_the_bars_could_be_read_does_not_show_them(
    doors: list[Database], books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    ends = make.ends(D(2012, 1, 3), D(2012, 1, 6))
    writer, reader = BarStore(doors[0]), BarStore(doors[1])
    await writer.store(make.batch(make.frame(symbol, ends)))
    async with held(
        books, COVERAGE, "insert into coverage", writer.store(make.batch(make.frame(symbol, ends, closes=7.0)))
    ):
        ((moment,),) = books.rows("select clock_timestamp()")
        seen = await reader.frame([symbol], None, None)
    assert (await reader.frame([symbol], None, None))["version"].to_list() == [2] * 4
    assert_frame_equal(await reader.frame([symbol], None, None, as_of=moment), seen)


async def test_writers_of_many_symbols_lose_nothing_and_partitions_are_made_once(
    doors: list[Database], books: Books, make: Maker
) -> None:
    ends = make.ends(D(2016, 12, 28), D(2017, 1, 4), "1h", extended=True)
    symbols = [make.symbol() for _ in range(16)]
    parts = [pl.concat([make.frame(symbol, ends, "1h") for symbol in symbols[n : n + 4]]) for n in range(0, 16, 2)]
    parts += [make.frame(symbol, ends, "1h")[::2] for symbol in symbols]
    done = await asyncio.gather(
        *(BarStore(doors[n % 4]).store(make.batch(part)) for n, part in enumerate([*parts, *parts[::-1]]))
    )
    assert sum(each.new for each in done) == 16 * len(ends)
    assert not any(each.changed for each in done)
    assert not books.lying_cells()


async def test_a_failure_waits_for_the_load_of_its_symbol(doors: list[Database], books: Books, make: Maker) -> None:
    symbol = make.symbol()
    ends = make.ends(D(2012, 1, 3), D(2012, 1, 31))
    await BarStore(doors[0]).store(make.batch(make.frame(symbol, ends)))
    loading = (
        f"select pg_advisory_xact_lock(hashtextextended('bar:1d:{symbol}', 0))"  # two orders of cells would lock up
    )
    told = BarStore(doors[1]).fail(symbol, DAILY, (ends[0][0], ends[-1][0]), "vendor", "no answer")
    async with held(books, loading, "pg_advisory_xact_lock", told):
        assert [cell.error for cell in await BarStore(doors[2]).cells([symbol])] == [""]
    assert [(cell.error, cell.stored) for cell in await BarStore(doors[2]).cells([symbol])] == [("no answer", 20)]


async def test_writers_of_one_tape_do_not_lock_each_other_up(doors: list[Database], books: Books, make: Maker) -> None:
    symbol = make.symbol()
    start = calendar.session_open(D(2012, 1, 3))
    rows = [(symbol, start + dt.timedelta(seconds=n), n, 100.0, 1.0) for n in range(3)]
    tape = pl.DataFrame(rows, schema=["symbol", "ts", "number", "price", "size"], orient="row")
    ticks = TickStore(doors[0])
    await ticks.append(tape[:1])
    insert = "insert into tick select id, %s, %s, 100, 1 from instrument where symbol = %s"
    async with await psycopg.AsyncConnection.connect(books.uri) as other:
        await other.execute(insert, (rows[1][1], 1, symbol))
        appending = asyncio.create_task(ticks.append(tape[::-1]))
        await until_waiting(books, "insert into tick")
        await other.execute(insert, (rows[2][1], 2, symbol))
        await other.commit()
        assert await asyncio.wait_for(appending, 10) == 0
    assert (await ticks.frame(symbol, start, start + dt.timedelta(hours=1))).height == 3


# ── readers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_readers_wait_for_no_writer(doors: list[Database], books: Books, make: Maker) -> None:
    symbol, other = make.symbol(), make.symbol()
    ends = make.ends(D(2012, 1, 3), D(2012, 3, 30))
    writer, reader = BarStore(doors[0]), BarStore(doors[1])
    before = pl.concat([make.frame(symbol, ends), make.frame(other, ends)])
    await writer.store(make.batch(before))
    repaired = make.frame(symbol, ends, closes=90.0)
    async with held(books, COVERAGE, "insert into coverage", writer.store(make.batch(repaired))) as writing:
        async with asyncio.timeout(READ):
            assert_frame_equal((await reader.frame([symbol, other], None, None)).drop("version"), before)
            assert (await reader.last_bars([symbol], 1))["close"].to_list() == [100.0]
            assert (await reader.bar(symbol, D(2012, 1, 3))).version == 1  # type: ignore[union-attr]
            assert len(await reader.cells([symbol])) == 3
            assert await reader.span(symbol) == (D(2012, 1, 3), D(2012, 3, 30))
            assert await reader.quarantined([symbol]) == []
        assert not writing.done()
    assert (await reader.frame([symbol], None, None))["close"].unique().to_list() == [90.0]


async def test_a_second_writer_of_a_symbol_gives_up_in_time_and_may_try_again(
    shared_uri: str, doors: list[Database], books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    frame = make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 1, 6)))
    async with Database(shared_uri) as impatient:
        impatient._pool.kwargs["options"] += " -c lock_timeout=200ms"  # type: ignore[union-attr,index]
        second = BarStore(impatient)
        async with held(books, COVERAGE, "insert into coverage", BarStore(doors[0]).store(make.batch(frame))):
            with pytest.raises(DatabaseDown, match="lock timeout"):
                await second.store(make.batch(frame))
        assert await second.store(make.batch(frame)) == Stored()


# ── partitions ────────────────────────────────────────────────────────────────────────────────────────────────────────

LOCKS = """
    select c.relname, l.mode from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = %s and l.granted and c.relkind in ('r', 'p') and c.relname !~ '^pg_'
"""


async def test_a_reader_with_an_open_snapshot_holds_up_no_new_partition(
    doors: list[Database], books: Books, make: Maker
) -> None:
    await BarStore(doors[0]).store(
        make.batch(make.frame(make.symbol(), make.ends(D(2020, 1, 2), D(2020, 1, 3), "5m"), "5m"))
    )
    async with await psycopg.AsyncConnection.connect(books.uri) as reader:
        await reader.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await reader.execute("select count(*) from bar_5m")
        async with asyncio.timeout(READ):
            await Partitions(doors[1]).ensure("bar_5m", D(2021, 12, 31), D(2022, 1, 1))
            made = await Partitions(doors[1]).make("bar_5m", D(2020, 1, 1), D(2023, 1, 1))
        assert made == ["bar_5m_p2023"]
        await reader.execute("select count(*) from bar_5m")


async def test_making_a_partition_takes_no_lock_that_a_reader_or_a_writer_waits_for(
    doors: list[Database], books: Books, make: Maker
) -> None:
    symbol = make.symbol()
    await BarStore(doors[0]).store(make.batch(make.frame(symbol, make.ends(D(2012, 1, 3), D(2012, 1, 6), "1h"), "1h")))
    async with doors[0].transaction() as connection:
        within = Partitions(_Open(doors[0], connection))  # type: ignore[arg-type]
        await within.ensure("bar_1h", D(2030, 1, 1), D(2030, 12, 31))
        pid = connection.info.backend_pid
        modes = {mode for name, mode in books.rows(LOCKS, pid) if name == "bar_1h"}
        assert modes <= {"AccessShareLock", "ShareUpdateExclusiveLock"}
        async with asyncio.timeout(READ):
            assert (await BarStore(doors[1]).frame([symbol], None, None, "1h")).height == 28
            more = make.frame(symbol, make.ends(D(2012, 1, 9), D(2012, 1, 9), "1h"), "1h")
            assert (await BarStore(doors[2]).store(make.batch(more))).new == 7


class _Open:
    """A database whose transactions are one that is open."""

    def __init__(self, door: Database, connection: Any) -> None:
        self._door, self._connection = door, connection
        self.fetch = door.fetch

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        yield self._connection
