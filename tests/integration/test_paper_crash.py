"""A database that crashes takes the paper broker's newest acceptances along, and nobody ever hears of it twice.

A server of our own, told to write its log lazily and without its last seconds: one of its processes is killed, and it
starts anew from what is on the disk.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from quaestor import calendar, wiring
from quaestor.bars import Bar
from quaestor.doors.memory.broker import Quotes
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.errors import DatabaseDown
from quaestor.exchange import Costs
from quaestor.operations.outbox import place, resolve
from quaestor.orders import Intent, Side, State
from quaestor.ports import Lease, StoredOrder
from tests.folders import temporary

D = Decimal
DAY = dt.date(2012, 1, 3)
PRICE = D("100.00")
FIRST = Intent("main", "momentum", "AAPL", DAY, "AAPL|1d|2011-12-30T21:00:00Z", Side.BUY, D(10), PRICE)
SECOND = replace(FIRST, cause_key="second")
BAR = Bar("AAPL", DAY, calendar.session_close(DAY), PRICE, PRICE + 1, PRICE - 1, PRICE, 1_000, 1)


@dataclass
class Server:
    """Where it is, and how its superuser gets in."""

    uri: str
    superuser: str

    def rule(self, statement: str) -> None:
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            connection.execute(statement.encode())

    async def crash(self) -> None:
        """Kill one of its processes: it gives up all memory, ends all others, and recovers from the disk."""
        with psycopg.connect(self.uri) as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                victim.execute("select pg_sleep(5)")
        for _ in range(100):
            try:
                async with Database(self.uri, patience=1.0):
                    return
            except DatabaseDown:
                await asyncio.sleep(0.05)
        pytest.fail("The server did not come back.")


@pytest.fixture
def server() -> Iterator[Server]:
    folder = temporary("quaestor-crash-")
    embedded = EmbeddedServer(folder / "home")
    try:
        uri = embedded.acquire()
        password = (folder / "home" / "postgres" / "superuser").read_text()
        made = Server(uri, make_conninfo(uri, user="postgres", password=password))
        made.rule("alter system set wal_writer_delay = '10s'")
        made.rule("select pg_reload_conf()")
        wiring.upgrade(uri)
        yield made
    finally:
        embedded.release()
        shutil.rmtree(folder)


@dataclass
class Desk:
    """An account, its books and its broker, by one life of the database."""

    books: BookStore
    broker: PaperBroker
    lease: Lease

    async def states(self) -> dict[str, State]:
        return {order.intent.cause_key: order.state for order in await self.books.orders_since(DAY)}

    async def at_broker(self) -> list[str]:
        names = {FIRST.ref_id: "first", SECOND.ref_id: "second"}
        return [names[update.ref_id] for update in await self.broker.orders() if update.ref_id]


@asynccontextmanager
async def desk(server: Server) -> AsyncIterator[Desk]:
    async with (
        Database(server.uri) as database,
        LeaseStore(database, gone=lambda _: True).hold("main", "me", 0) as lease,
    ):
        broker = PaperBroker(database, "main", Quotes({("AAPL", DAY): BAR}), Costs())
        yield Desk(BookStore(database, "main"), broker, lease)


async def in_band(_: StoredOrder) -> str:
    return ""


async def test_what_is_lost_with_the_database_was_not_spoken_of_and_is_sent_again(server: Server) -> None:
    async with desk(server) as before:
        await before.broker.fund(D(100_000))
        await before.broker.open_session(DAY)
        assert await place([FIRST], before.books, before.broker, before.lease) == [State.ACKED]
        await before.books.place([SECOND], before.lease)
        assert (await before.broker.submit(SECOND)).state is State.ACKED
        assert await before.at_broker() == ["first", "second"]
        await server.crash()
    async with desk(server) as after:
        assert await after.at_broker() == ["first"], "the second was not lost: this test proves nothing"
        assert await after.states() == {FIRST.cause_key: State.ACKED, "second": State.SUBMITTING}
        assert await resolve(after.books, after.broker, after.lease, in_band) == 1
        assert await after.states() == {FIRST.cause_key: State.ACKED, "second": State.ACKED}
        assert await after.at_broker() == ["first", "second"]
        assert (await after.broker.account()).cash == D(100_000)


async def test_what_our_books_say_of_it_is_never_older_than_what_it_has(server: Server) -> None:
    async with desk(server) as before:
        await before.broker.fund(D(100_000))
        await before.broker.open_session(DAY)
        for intent in (FIRST, SECOND):
            await place([intent], before.books, before.broker, before.lease)
        await server.crash()
    async with desk(server) as after:
        assert set((await after.states()).values()) == {State.ACKED}
        assert await after.at_broker() == ["first", "second"]
        assert await resolve(after.books, after.broker, after.lease, in_band) == 0


async def test_an_order_by_hand_is_never_lost(server: Server) -> None:
    async with desk(server) as before:
        await before.broker.fund(D(100_000))
        await before.broker.open_session(DAY)
        bought = await before.broker.place_by_hand("AAPL", Side.BUY, D(1))
        await server.crash()
    async with desk(server) as after:
        assert [update.broker_id for update in await after.broker.orders()] == [bought.broker_id]
