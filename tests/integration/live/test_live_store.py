"""Live runs in real PostgreSQL: life on its clock, cursors that miss nothing, hints that come again after a break."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing

import psycopg
import pytest

from quaestor import wiring
from quaestor.doors.postgres import migrate
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.doors.postgres.hints import hint
from quaestor.doors.postgres.live import LiveStore
from quaestor.errors import BadInput, DatabaseDown, NotFound, QuaestorError
from quaestor.ports_live import Desire, Happening, LiveRun
from tests.folders import temporary

AT = dt.datetime(2012, 11, 20, 14, 35, tzinfo=dt.UTC)
ONE = uuid.UUID("11111111-1111-4111-8111-111111111111")
OTHER = uuid.UUID("11111111-2222-4222-8222-222222222222")
SECOND = dt.timedelta(seconds=1)


@pytest.fixture
def store(database: Database) -> LiveStore:
    return LiveStore(database)


def begun(run: uuid.UUID = ONE, account: str = "paper") -> LiveRun:
    return LiveRun(run, account, "here:1", AT, "abc", "d1", "journals/1")


def happened(subject: str, **body: object) -> Happening:
    return Happening("fill", subject, AT, body)


def test_the_tables_are_those_of_the_schema(database_uri: str) -> None:
    assert migrate.differences(database_uri) == []


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_lives_by_the_databases_clock_until_its_beats_stay_away_or_it_ends(store: LiveStore) -> None:
    assert await store.newest("paper") is None
    await store.begin(begun())  # its own clock stands in 2012
    found = await store.alive("paper", 30 * SECOND)
    assert found is not None
    assert (found.id, found.started_at, found.journal, found.ended_at) == (ONE, AT, "journals/1", None)
    await asyncio.sleep(0.05)
    assert await store.alive("paper", 0.04 * SECOND) is None
    await store.beat(ONE, {"equity": "100000.00", "orders": 3, "lag": float("nan")})
    found = await store.alive("paper", 30 * SECOND)
    assert found is not None
    assert found.facts == {"equity": "100000.00", "orders": 3, "lag": None}
    assert await store.alive("other", 30 * SECOND) is None
    await store.end(ONE, "stopped")
    await store.end(ONE, "a later word")
    assert await store.alive("paper", 30 * SECOND) is None
    found = await store.newest("paper")
    assert found is not None
    assert (found.outcome, found.ended_at is not None) == ("stopped", True)


async def test_a_run_that_was_killed_does_not_live_on_when_its_successor_ends(store: LiveStore) -> None:
    await store.begin(begun(ONE))
    await store.begin(begun(OTHER))
    await store.beat(ONE, {})  # a second one that was turned away would change nothing
    found = await store.alive("paper", 30 * SECOND)
    assert found is not None
    assert found.id == ONE
    await store.beat(OTHER, {})
    await store.end(OTHER, "stopped")
    assert await store.alive("paper", 30 * SECOND) is None


async def test_a_run_is_found_by_the_beginning_of_its_id(store: LiveStore) -> None:
    await store.begin(begun(ONE))
    await store.begin(begun(OTHER))
    assert (await store.run("11111111-2")).id == OTHER
    assert (await store.run(str(ONE).upper())).id == ONE
    assert [one.id for one in await store.runs("paper")] == [OTHER, ONE]
    assert [one.id for one in await store.runs("paper", 1)] == [OTHER]
    with pytest.raises(BadInput, match=r"several live runs \(11111111-2222, 11111111-1111\); write more"):
        await store.run("1111")
    for unknown in ("", "22", "%", "11111111-1111-4111-8111-11111111111X"):
        with pytest.raises(NotFound, match="See `quaestor live runs`"):
            await store.run(unknown)


# ── what is wanted ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_last_word_counts_and_all_words_are_kept(store: LiveStore, database_uri: str) -> None:
    nobody = await store.desired("paper")
    assert (nobody.state, nobody.number) == ("armed", 0)
    said: list[Desire] = ["hold", "armed", "flatten"]
    for state in said:
        told = await store.desire("paper", state, "ann@desk", f"why {state}")
        assert told == await store.desired("paper")
    assert (told.state, told.by, told.reason) == ("flatten", "ann@desk", "why flatten")
    assert (await store.desired("other")).state == "armed"
    with psycopg.connect(database_uri) as connection:
        kept = connection.execute("select state from live_desired order by number").fetchall()
    assert [state for (state,) in kept] == said
    with pytest.raises(QuaestorError):
        await store.desire("paper", "sleep", "ann@desk")  # type: ignore[arg-type]


# ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_happenings_come_in_the_order_they_were_told_page_by_page(store: LiveStore) -> None:
    await store.tell("paper", ONE, [])
    await store.tell("paper", ONE, [happened(f"s{n}", price=n / 4) for n in range(1200)])
    await store.tell("other", ONE, [happened("elsewhere")])
    seen: list[Happening] = []
    while page := await store.happenings("paper", seen[-1].number if seen else 0, 500):
        seen += page
    assert [(one.subject, one.body) for one in seen] == [(f"s{n}", {"price": n / 4}) for n in range(1200)]
    assert (seen[0].kind, seen[0].at) == ("fill", AT)
    assert [one.subject for one in await store.happenings("other", 0)] == ["elsewhere"]


async def test_a_reader_misses_nothing_of_two_writers_who_commit_late(store: LiveStore, database_uri: str) -> None:
    """Without turns, a number drawn first and committed last would be passed over."""

    async def write(name: str) -> None:
        async with Database(database_uri) as database:
            mine = LiveStore(database)
            for n in range(60):
                await mine.tell("paper", ONE, [happened(f"{name}{n}.{k}") for k in range(n % 3 + 1)])

    async def slow() -> None:
        """A writer that is long about its commit, as one whose disk is busy."""
        async with await psycopg.AsyncConnection.connect(database_uri) as connection:
            for n in range(10):
                async with connection.transaction():
                    await connection.execute(
                        "select pg_advisory_xact_lock(hashtextextended('live:paper', 0))", prepare=False
                    )
                    await connection.execute(
                        "insert into live_happening (account, run, kind, subject, at, body)"
                        " values ('paper', %s, 'fill', %s, now(), '{}')",
                        [ONE, f"slow{n}"],
                    )
                    await asyncio.sleep(0.01)

    seen: list[str] = []
    writing = asyncio.gather(write("a"), write("b"), slow())

    async def read() -> None:
        cursor, finished = 0, False
        while not finished:
            finished = writing.done()
            for one in await store.happenings("paper", cursor, 7):
                assert one.number > cursor
                cursor, finished = one.number, False
                seen.append(one.subject)

    await read()
    await writing
    told = [f"{name}{n}.{k}" for name in "ab" for n in range(60) for k in range(n % 3 + 1)]
    assert sorted(seen) == sorted(told + [f"slow{n}" for n in range(10)])


async def test_a_cursor_is_found_by_time_and_old_happenings_are_forgotten(store: LiveStore, database_uri: str) -> None:
    await store.tell("paper", ONE, [happened("old"), happened("older")])
    with psycopg.connect(database_uri) as connection:
        connection.execute("update live_happening set told_at = told_at - interval '91 days'")
    await store.tell("paper", ONE, [happened("new")])
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    cursor = await store.cursor_at("paper", yesterday)
    assert [one.subject for one in await store.happenings("paper", cursor)] == ["new"]
    assert await store.cursor_at("other", yesterday) == 0
    assert await store.prune(dt.timedelta(days=90)) == 2
    assert [one.subject for one in await store.happenings("paper", 0)] == ["new"]


async def test_the_newest_snapshot_takes_the_place_of_the_one_before(store: LiveStore) -> None:
    assert await store.kept("paper") is None
    await store.keep("paper", ONE, {"positions": {"AAPL": "10.5"}, "n": 1})
    await store.keep("paper", OTHER, {"positions": {}, "n": 2})
    assert await store.kept("paper") == {"positions": {}, "n": 2}
    assert await store.kept("other") is None


# ── hints ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def heard(hints: AsyncIterator[str]) -> str:
    return await asyncio.wait_for(anext(hints), 30)


async def test_what_is_told_of_an_account_is_heard_by_those_who_listen_for_it(store: LiveStore) -> None:
    async with aclosing(store.hints("paper")) as hints:
        assert await heard(hints) == "connected"
        await store.desire("other", "hold", "ann@desk")
        await store.desire("paper", "hold", "ann@desk")
        await store.tell("paper", ONE, [happened("x")])
        async with store._database.transaction() as connection:
            await hint(connection, "paper", "triggers")
        assert [await heard(hints) for _ in range(3)] == ["desired", "happenings", "triggers"]


END = """
select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'quaestor hints'
and datname = current_database()
"""


async def test_a_line_that_was_ended_comes_again_and_says_so(store: LiveStore, database_uri: str) -> None:
    async with aclosing(store.hints("paper")) as hints:
        assert await heard(hints) == "connected"
        with psycopg.connect(database_uri, autocommit=True) as connection:
            assert connection.execute(END).fetchall() == [(True,)]
        await store.desire("paper", "hold", "ann@desk")  # may be lost: the truth is in the table
        assert await heard(hints) == "connected"
        assert (await store.desired("paper")).state == "hold"
        await store.desire("paper", "armed", "ann@desk")
        assert await heard(hints) == "desired"


@pytest.fixture
def own_server() -> Iterator[str]:
    """A server that may be killed."""
    folder = temporary("quaestor-live-")
    try:
        with EmbeddedServer(folder / "home") as uri:
            wiring.upgrade(uri)
            yield uri
    finally:
        shutil.rmtree(folder)


async def test_hints_and_happenings_survive_a_crash_of_the_server(own_server: str) -> None:
    """A killed backend makes the postmaster end all others and recover, as after a power cut."""
    async with Database(own_server) as database:
        store = LiveStore(database)
        async with aclosing(store.hints("paper")) as hints:
            assert await heard(hints) == "connected"
            await store.tell("paper", ONE, [happened("before")])
            assert await heard(hints) == "happenings"
            with psycopg.connect(own_server) as connection:
                os.kill(connection.info.backend_pid, signal.SIGKILL)
            assert await heard(hints) == "connected"
            with pytest.raises(DatabaseDown):  # the pool's own connection was ended with the rest
                await store.tell("paper", ONE, [happened("lost")])
            await store.tell("paper", ONE, [happened("after")])
            assert await heard(hints) in {"happenings", "connected"}
        assert [one.subject for one in await store.happenings("paper", 0)] == ["before", "after"]
