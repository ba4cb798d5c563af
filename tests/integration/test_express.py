"""The express lane of the database door: text in, text out, nobody before it in a line; a failure ends the lane."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import psycopg
import pytest

from quaestor.doors.postgres.database import Database
from quaestor.errors import BadInput, DatabaseDown

PID = b"select pg_backend_pid()"
ECHO = b"select %(a)s::text, %(b)s::text, %(a)s || '!', 7"


async def kept(door: Database) -> str | None:
    """The process that serves the lane."""
    return (await door.hurried(PID, {}))[0][0]


async def test_text_comes_back_as_it_was_sent(database: Database) -> None:
    for _ in range(2):  # prepared the second time
        assert await database.hurried(ECHO, {"b": None, "a": "Ä%s %(a)s\\"}) == [
            ("Ä%s %(a)s\\", None, "Ä%s %(a)s\\!", "7")
        ]
    assert await database.hurried(b"select %(n)s::int from generate_series(1, 3)", {"n": "4"}) == [("4",)] * 3
    assert await database.hurried(b"select 1 where false", {}) == []
    much = "x" * 20_000_000  # more than a socket takes at once
    assert await database.hurried(b"select length(%(much)s)", {"much": much}) == [(str(len(much)),)]
    assert await database.hurried(b"select repeat(%(x)s, 20000000)", {"x": "y"}) == [("y" * 20_000_000,)]


async def test_the_lane_is_kept_and_no_reader_is_in_its_way(database_uri: str) -> None:
    async with Database(database_uri, size=3, patience=0.2) as door, AsyncExitStack() as readers:
        lane = await kept(door)
        for _ in range(2):
            await readers.enter_async_context(door.transaction())
        with pytest.raises(DatabaseDown, match="no connection in time"):
            await door.fetch(b"select 1")
        assert await kept(door) == lane


async def test_two_at_once_are_both_answered_and_nothing_is_lost_to_the_pool(database_uri: str) -> None:
    async with Database(database_uri, size=3, patience=5) as door:
        for _ in range(3):
            slow = b"select pg_sleep(0.3), pg_backend_pid()"
            found = await asyncio.gather(*(door.hurried(slow, {}) for _ in range(3)))
            assert len({rows[0][1] for rows in found}) == 3
        async with door.transaction(), door.transaction():
            assert await kept(door)


async def test_a_door_with_one_connection_keeps_none(database_uri: str) -> None:
    async with Database(database_uri, size=1, patience=0.5) as door:
        for _ in range(2):
            assert await kept(door)
            assert await door.fetch(b"select 1 as one") == [{"one": 1}]


async def test_what_is_refused_is_said_in_our_words_and_the_next_one_goes(database: Database) -> None:
    await database.run(b"create table once (n int primary key)")
    put = b"insert into once values (%(n)s::int) returning n"
    assert await database.hurried(put, {"n": "1"}) == [("1",)]
    for _ in range(20):  # more than the pool has
        with pytest.raises(BadInput, match="A rule of the tables refuses it"):
            await database.hurried(put, {"n": "1"})
    with pytest.raises(BadInput, match="NUL"):
        await database.hurried(ECHO, {"a": "be\0fore", "b": None})
    assert await database.hurried(put, {"n": "2"}) == [("2",)]


async def test_the_commits_own_no_is_heard(database: Database) -> None:
    """A deferred rule speaks at the commit, after the statement's own answer."""
    await database.run(b"create table child (n int primary key, of int references child initially deferred)")
    with pytest.raises(BadInput, match="A rule of the tables refuses it"):
        await database.hurried(b"insert into child values (1, %(of)s::int) returning n", {"of": "99"})
    assert await database.fetch(b"select count(*) as n from child") == [{"n": 0}]


async def test_a_lane_whose_line_broke_is_replaced(database: Database, database_uri: str) -> None:
    lane = await kept(database)
    with psycopg.connect(database_uri, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 5000)", [int(lane or 0)])
    with pytest.raises(DatabaseDown):
        await kept(database)
    assert await kept(database) not in {lane, None}


async def test_who_gives_up_waiting_calls_it_off(database: Database) -> None:
    await database.run(b"create table late (n int)")
    slow = b"with rest as materialized (select pg_sleep(3)) insert into late select 1 from rest returning n"
    asked = asyncio.create_task(database.hurried(slow, {}))
    await asyncio.sleep(0.3)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    running = b"select count(*) as n from pg_stat_activity where query like 'with rest%' and state = 'active'"
    assert await database.fetch(running) == [{"n": 0}]
    assert await database.fetch(b"select count(*) as n from late") == [{"n": 0}]
    assert await kept(database)


async def test_what_a_rollback_forgot_is_prepared_anew(database: Database) -> None:
    """psycopg gives up all prepared statements of a connection on which a transaction was rolled back."""
    slow = b"select pg_sleep(0.05), 1"

    async def rolled_back() -> None:
        async with database.transaction() as connection:
            await connection.execute(b"select 2 as two")
            raise ZeroDivisionError

    for _ in range(2):
        await asyncio.gather(*(database.hurried(slow, {}) for _ in range(3)))
        for _ in range(8):
            for _ in range(8):
                await database.fetch(b"select 1 as one")
            with pytest.raises(ZeroDivisionError):
                await rolled_back()
    found = await asyncio.gather(*(database.hurried(slow, {}) for _ in range(3)))
    assert [rows[0][1] for rows in found] == ["1"] * 3


async def test_a_lane_that_rested_is_changed_for_one_that_was_used(
    database: Database, database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quaestor.doors.postgres.database.REST", 0.2)
    lane = await kept(database)
    assert await kept(database) == lane
    await database.fetch(b"select 1")
    await asyncio.sleep(0.3)
    with psycopg.connect(database_uri, autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 5000)", [int(lane or 0)])  # a firewall, say
    await database.fetch(b"select 1")
    assert await kept(database) not in {lane, None}


async def test_a_closed_door_says_so_and_leaves_no_connection(database_uri: str) -> None:
    async with Database(database_uri) as door:
        lane = await kept(door)
    with pytest.raises(DatabaseDown, match="door is closed"):
        await kept(door)
    with psycopg.connect(database_uri, autocommit=True) as connection:
        for _ in range(50):
            there = connection.execute("select 1 from pg_stat_activity where pid = %s", [int(lane or 0)]).fetchall()
            if not there:
                break
            time.sleep(0.1)
    assert not there
