"""A load that is killed, cut off or left without its database: whole batches are stored, the next run does the rest.

The oracle is the source itself, and the cells of a load that nobody disturbed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from polars.testing import assert_frame_equal

from quaestor.coverage import Cell
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.errors import DatabaseDown
from quaestor.operations import ingest
from quaestor.ports import Stored
from tests.folders import temporary

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Books, Maker

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("bar_loader.py")
OTHERS = "pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
BUSY = f"select from {OTHERS} and state <> 'idle'"
WAITING = "select pid from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'insert into coverage'"


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, as a module of ours; the parts that it makes are as large as ever afterwards."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("bar_loader", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(ingest.split, "__defaults__", ingest.split.__defaults__)
    return module


def loads(books: Books) -> int:
    ((count,),) = books.rows("select count(*) from load")
    return int(count)


def kill_after(books: Books, symbol: str, more: int) -> None:
    """Start the program, and kill it once it has stored so many parts more."""
    target = loads(books) + more
    process = subprocess.Popen([sys.executable, PROGRAM, books.uri, symbol], cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    try:
        while loads(books) < target:
            assert process.poll() is None, "it ended by itself"
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    while books.rows(BUSY):
        time.sleep(0.01)


def standing(cells: list[Cell]) -> list[tuple[Any, ...]]:
    return [(cell.period, cell.asked, cell.stored, cell.quarantined, cell.error) for cell in cells]


async def test_a_load_that_is_killed_ends_as_one_that_was_not(
    books: Books, make: Maker, loader: ModuleType, store: BarStore
) -> None:
    symbol, calm = make.symbol(), make.symbol()
    source = (await loader.Walk().history(symbol, loader.FIRST, loader.LAST, loader.TIMEFRAME)).bars
    kill_after(books, symbol, 3)
    assert not books.lying_cells()
    there = await store.frame([symbol], None, None, loader.TIMEFRAME)
    assert_frame_equal(there.drop("version"), source.filter(source["ts"].is_in(there["ts"].implode())))
    stored = there.height
    assert 0 < stored < source.height
    cells = await store.cells([symbol], loader.TIMEFRAME)
    assert {cell.status((cell.period, cell.period)) for cell in cells} == {"present"}, "the rest is asked for again"
    assert sum(cell.stored for cell in cells) == stored
    done = await loader.load(books.uri, symbol)
    assert (done.read, done.new, done.changed, done.quarantined) == (source.height, source.height - stored, 0, 0)
    assert_frame_equal((await store.frame([symbol], None, None, loader.TIMEFRAME)).drop("version"), source)
    assert (await loader.load(books.uri, calm)).new == source.height
    undisturbed = standing(await store.cells([calm], loader.TIMEFRAME))
    assert standing(await store.cells([symbol], loader.TIMEFRAME)) == undisturbed
    before = books.written()
    assert (await loader.load(books.uri, symbol)).new == 0
    assert books.written() == before


@asynccontextmanager
async def in_mid_load(uri: str, work: Any) -> AsyncIterator[tuple[asyncio.Task[Any], int]]:
    """`work` after it wrote its bars and before it wrote its cells, and the server process that does it."""
    async with await psycopg.AsyncConnection.connect(uri, autocommit=True) as watch:
        holder = await psycopg.AsyncConnection.connect(uri)
        try:
            await holder.execute("lock table coverage in share mode")
            task = asyncio.create_task(work)
            while not (found := await (await watch.execute(WAITING)).fetchall()):
                await asyncio.sleep(0.01)
            yield task, found[0][0]
        finally:
            await holder.close()


async def test_a_load_whose_connection_is_cut_leaves_nothing_and_the_same_store_tries_again(
    books: Books, make: Maker, store: BarStore
) -> None:
    symbol = make.symbol()
    frame = make.frame(symbol, make.ends(*months(2009, 12, 2010, 2)))
    half = frame[:20]
    await store.store(make.batch(half))
    changed = make.frame(symbol, make.ends(*months(2009, 12, 2010, 2)), closes=99.0)
    before = books.written()
    async with in_mid_load(books.uri, store.store(make.batch(changed))) as (task, pid):
        books.rows("select pg_terminate_backend(%s)", pid)
        with pytest.raises(DatabaseDown, match="terminating connection"):
            await task
    assert books.written() == before
    assert await store.store(make.batch(frame)) == Stored(new=frame.height - 20)
    assert not books.lying_cells()


async def test_a_frame_whose_connection_is_cut_while_it_rests_is_read_again(
    books: Books, make: Maker, store: BarStore
) -> None:
    symbol = make.symbol()
    frame = make.frame(symbol, make.ends(*months(2012, 1, 2012, 1)))
    await store.store(make.batch(frame))
    assert (await store.frame([symbol], None, None)).height == frame.height
    books.rows(f"select pg_terminate_backend(pid) from {OTHERS}")
    assert (await store.frame([symbol], None, None)).height == frame.height


def months(year: int, month: int, last_year: int, last: int) -> tuple[dt.date, dt.date]:
    return dt.date(year, month, 1), dt.date(last_year, last, 28)


# ── the whole server ──────────────────────────────────────────────────────────────────────────────────────────────────


class Server:
    """A server of our own at an address that stays: its socket folder is behind a link."""

    def __init__(self, folder: Path) -> None:
        self._embedded = EmbeddedServer(folder / "home")
        self._link = folder / "socket"
        self.uri = self.start()

    def start(self) -> str:
        uri = self._embedded.acquire()
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(str(self._embedded.status().socket_folder))
        return re.sub(r"host=[^&]*", f"host={self._link}", uri)

    def stop(self) -> None:
        self._embedded.stop()

    def close(self) -> None:
        while self._embedded.status().users:
            self._embedded.release()
        self._embedded.stop()


@pytest.fixture
def server() -> Iterator[Server]:
    from quaestor.wiring import upgrade

    folder = temporary("qsb-", "/tmp")
    server = Server(folder)
    try:
        upgrade(server.uri)
        yield server
    finally:
        server.close()
        shutil.rmtree(folder)


async def test_a_database_that_restarts_in_mid_load_is_down_and_then_there_again(server: Server, make: Maker) -> None:
    symbol = make.symbol()
    frame = make.frame(symbol, make.ends(*months(2009, 12, 2010, 2)))
    async with Database(server.uri) as door:
        store = BarStore(door)
        await store.store(make.batch(frame[:20]))
        assert (await store.frame([symbol], None, None)).height == 20
        async with in_mid_load_until_down(server, store.store(make.batch(frame))) as task:
            with pytest.raises(DatabaseDown):
                await task
        with pytest.raises(DatabaseDown):
            await store.frame([symbol], None, None)
        door._pool.timeout = 0.5  # type: ignore[union-attr]  # it would wait for half a minute
        with pytest.raises(DatabaseDown):
            await store.store(make.batch(frame))
        server.start()
        assert (await store.frame([symbol], None, None)).drop("version").equals(frame[:20]), (
            "nothing of the batch is there"
        )
        assert await again(lambda: store.store(make.batch(frame))) == Stored(new=frame.height - 20)
        assert (await store.frame([symbol], None, None)).drop("version").equals(frame)
        assert sum(cell.stored for cell in await store.cells([symbol])) == frame.height


@asynccontextmanager
async def in_mid_load_until_down(server: Server, work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """`work` in the middle of its transaction, when the server stops."""
    async with in_mid_load(server.uri, work) as (task, _):
        await asyncio.to_thread(server.stop)
        yield task


async def again(work: Any) -> Any:
    """As a task with retries does it."""
    for _ in range(3):
        try:
            return await work()
        except DatabaseDown:
            await asyncio.sleep(0.2)
    return await work()
