"""Migration 0004 moves the bars that were there: every version, every moment, every session that was stored."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from quaestor import calendar
from quaestor.bars import DAILY
from quaestor.doors.postgres import migrate
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.ports import Stored

if TYPE_CHECKING:
    from tests.integration.bar_store.conftest import Maker

D = dt.date
FIRST = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)  # the first load
HOUR = dt.timedelta(hours=1)
OLD = "select symbol, ts, version, session, open, high, low, close, volume, source, stored_at from bar order by 1, 2, 3"
NEW = OLD.replace(" from bar ", " from bar_version ")


@pytest.fixture(params=["UTC", "Asia/Tokyo"])  # in Tokyo a decade begins nine hours early
def old_uri(request: pytest.FixtureRequest, server_uri: str) -> Iterator[str]:
    """A database as 0003 left it, wherever its server is."""
    from alembic import command

    name = f"o{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
        connection.execute(f"alter database \"{name}\" set timezone = '{request.param}'")
    uri = server_uri.replace("/quaestor?", f"/{name}?")
    with migrate._connection(uri) as connection:
        command.upgrade(migrate._config(connection), "0003")
    yield uri
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


def history() -> list[tuple[Any, ...]]:
    """Three symbols over three decades, two sources, and repairs of repairs; a load brings many bars at one moment."""
    rows = []
    for symbol, first, last in (
        ("AAPL", D(1999, 12, 27), D(2000, 1, 5)),
        ("IBM", D(2009, 12, 28), D(2010, 2, 2)),
        ("BRK.B", D(2012, 3, 9), D(2012, 3, 12)),
    ):
        for n, day in enumerate(calendar.sessions(first, last)):
            for version in range(1, 2 + (n % 3 == 0) + (n % 6 == 0)):
                close = 100.0 + n + version / 3
                at = FIRST + HOUR * version * (1 if symbol == "IBM" else 2)
                bar = (close, close + 1, close - 1, close, 1_000 + n)
                source = "files" if version % 2 else "vendor"
                rows.append((symbol, DAILY, calendar.session_close(day), version, day, *bar, source, at))
    return rows


def insert(uri: str, rows: list[tuple[Any, ...]]) -> None:
    with psycopg.connect(uri) as connection, connection.cursor() as cursor:
        cursor.executemany(f"insert into bar values ({', '.join(['%s'] * 12)})", rows)


def read(uri: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(uri, options="-c timezone=UTC") as connection:
        return connection.execute(query).fetchall()


async def test_old_bars_are_found_again_in_every_version_and_at_every_moment(old_uri: str, make: Maker) -> None:
    rows = history()
    insert(old_uri, rows)
    before = read(old_uri, OLD)
    assert migrate.upgrade(old_uri) == migrate.head()
    assert not migrate.differences(old_uri)
    assert read(old_uri, NEW) == before
    async with Database(old_uri) as door:
        store = BarStore(door)
        for hours in range(-1, 8):
            moment = FIRST + HOUR * hours
            known = {(row[0], row[4]): row[3] for row in rows if row[-1] <= moment}
            found = (await store.frame(None, None, None, as_of=moment)).select("symbol", "session", "version").rows()
            assert {(symbol, session): version for symbol, session, version in found} == known
        cells = await store.cells(None)
        assert [(cell.symbol, cell.period, cell.asked, cell.stored) for cell in cells] == months(rows)
        same = (await store.frame(["IBM"], None, None)).drop("version")
        assert await store.store(make.batch(same)) == Stored()
        more = make.frame("IBM", make.ends(D(2009, 12, 28), D(2010, 3, 5)), closes=50.0)
        assert await store.store(make.batch(more)) == Stored(
            new=more.height - same.height,
            changed=same.height,
            repaired=tuple(f"IBM|1d|{at:%Y-%m-%dT%H:%M:%SZ}" for at in same["ts"]),
        )
        older = make.frame("IBM", make.ends(D(1989, 12, 28), D(1990, 1, 5)))
        assert (await store.store(make.batch(older))).new == older.height


def months(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The cells of these bars: what is stored was asked for, and no more."""
    days: dict[tuple[str, dt.date], set[dt.date]] = {}
    for row in rows:
        days.setdefault((row[0], row[4].replace(day=1)), set()).add(row[4])
    return [(symbol, first, (min(own), max(own)), len(own)) for (symbol, first), own in sorted(days.items())]
