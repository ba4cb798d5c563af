"""The bar store: first load, the same again, merges and reads of minute bars, beside PostgreSQL's best and the peers.

500 symbols × 10,000 minutes go through the quality gate into the store, versioned, with coverage, durable. Beside it
stands the bare COPY of the same rows, which does nothing of that: it is the yardstick of every rate here. What is
compared takes turns (a, b, a, b, …), so that a noisy machine is noisy for both, and a figure is made of medians.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from subprocess import Popen
from typing import TYPE_CHECKING, Any

import minutes
from run import Figure, note
from workshop import Workshop, peer, script, started, tell, told, workshop

if TYPE_CHECKING:
    import polars as pl

SYMBOLS, BARS = 500, 10_000
ROWS = SYMBOLS * BARS
MERGED = 100  # symbols of a merge: 1,000,000 rows
PANDAS_ROWS = 20_000
LOADS, MERGES, READS = 3, 3, 5
FOLLOWED, GLANCES = 17, 3  # symbols that somebody follows, and how often each is looked at
ALL = "select instrument, ts, session, open, high, low, close, volume, version from bar_1m"


def figures() -> Iterator[Figure]:
    """All figures of the store, on one server."""
    with workshop() as shop:
        _prepare(shop)
        yield from _loads(shop)
        yield from _merges(shop)
        yield from _reads(shop)


def _prepare(shop: Workshop) -> None:
    """The bars in files, and a database that is ours and empty."""
    from quaestor.doors.postgres import migrate

    minutes.write(shop.folder / "all", minutes.frames(minutes.symbols(SYMBOLS), BARS))
    shop.create("empty")
    migrate.upgrade(shop.uri("empty"))


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _loads(shop: Workshop) -> Iterator[Figure]:
    """Bare COPY, first load, the same again, in turn; the last database stays for the reads."""
    copied: list[dict[str, Any]] = []
    first: list[dict[str, Any]] = []
    again: list[dict[str, Any]] = []
    for _ in range(LOADS):
        copied.append(_copied(shop, "all", ROWS))
        shop.create("ours", like="empty")
        for some, new in ((first, ROWS), (again, 0)):
            with started("ingesting.py") as ingesting:
                some.append(_ingested(shop, ingesting, "ours", "all", new))
    note(f"5,000,000 rows: bare COPY {_shown(copied)}, first load {_shown(first)}, again {_shown(again)}")
    yield Figure("first load of 5 M minute bars / bare COPY", _median(first) / _median(copied), "x", "<= 1.6")
    yield _beside_pandas(shop, ROWS / _median(first))
    yield Figure("peak memory of the loading process", max(each["peak"] for each in first), "MiB", "<= 1536")
    yield Figure("the same rows again / first load", _median(again) / _median(first), "x", "<= 0.4")
    yield Figure("versions that the same rows made", _versions(shop), "", "<= 0")


def _beside_pandas(shop: Workshop, rate: float) -> Figure:
    """Our rows per second over those of pandas, which are the same for few rows as for many."""
    pandas = script("peer_pandas.py", _empty(shop, "plain"), shop.folder / "all", PANDAS_ROWS)
    slow = PANDAS_ROWS / pandas["seconds"]
    note(f"rows/s: pandas.to_sql {slow:,.0f}, first load {rate:,.0f}")
    return Figure("rows/s of the first load / pandas.to_sql(multi)", rate / slow, "x", ">= 20")


def _merges(shop: Workshop) -> Iterator[Figure]:
    """1,000,000 rows of which half are stored, in both orders, in turn with the bare COPY of them all."""
    rows = MERGED * BARS
    minutes.write(shop.folder / "merged", minutes.frames(minutes.symbols(MERGED), BARS))
    orders = {"every second row stored": _every_second, "first half stored": _first_half}
    copied: list[dict[str, Any]] = []
    merged: dict[str, list[dict[str, Any]]] = {name: [] for name in orders}
    with started("ingesting.py") as ingesting:
        for number, part in enumerate(orders.values()):
            minutes.write(shop.folder / "half", map(part, minutes.read(shop.folder / "merged")))
            shop.create(f"half{number}", like="empty")
            _ingested(shop, ingesting, f"half{number}", "half", rows // 2)
        for _ in range(MERGES):
            copied.append(_copied(shop, "merged", rows))
            for number, name in enumerate(orders):
                shop.create("merge", like=f"half{number}")
                merged[name].append(_ingested(shop, ingesting, "merge", "merged", rows // 2))
    note(f"1,000,000 rows: bare COPY {_shown(copied)} ({rows / _median(copied):,.0f} rows/s)")
    for name, some in merged.items():
        note(f"merge, {name}: {_shown(some)} ({rows / _median(some):,.0f} rows/s)")
        yield Figure(f"rows/s of a merge, {name} / bare COPY", _median(copied) / _median(some), "x", ">= 0.419")


def _every_second(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.gather_every(2)


def _first_half(bars: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return bars.filter(pl.int_range(pl.len()) % BARS < BARS // 2)


def _empty(shop: Workshop, database: str) -> str:
    shop.create(database)
    shop.settle()
    return shop.uri(database)


def _copied(shop: Workshop, file: str, rows: int) -> dict[str, Any]:
    said = script("peer_copy.py", _empty(shop, "plain"), shop.folder / file)
    shop.drop("plain")
    assert said["rows"] == rows
    return said


def _ingested(shop: Workshop, ingesting: Popen[str], database: str, file: str, new: int) -> dict[str, Any]:
    shop.settle()
    tell(ingesting, f"{shop.uri(database)} {shop.folder / file}")
    said: dict[str, Any] = told(ingesting)
    assert (said["new"], said["changed"], said["quarantined"]) == (new, 0, 0), said
    return said


def _versions(shop: Workshop) -> int:
    """Versions beyond the first of each bar, and bars beyond those that came."""
    import psycopg

    with psycopg.connect(shop.uri("ours")) as connection:
        query = "select (select count(*) from bar_old), count(*), max(version) from bar_1m"
        (old, rows, version) = connection.execute(query).fetchone() or (0, 0, 0)
    return int(old + rows - ROWS + version - 1)


def _median(some: list[dict[str, Any]]) -> float:
    return float(statistics.median(each["seconds"] for each in some))


def _shown(some: list[dict[str, Any]]) -> str:
    return " ".join(f"{each['seconds']:.2f}" for each in some) + " s"


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _reads(shop: Workshop) -> Iterator[Figure]:
    """All rows, beside the peers in turn; and the glances that a person or a strategy takes."""
    shop.settle("ours", vacuum=True)  # as the server would by itself within a minute
    ours, adbc, cx = (sorted(seconds) for seconds in asyncio.run(_all(shop)))
    for name, seconds in (("ours", ours), ("ADBC", adbc), ("ConnectorX", cx)):
        note(f"5,000,000 rows into polars, {name}: {' '.join(f'{each:.2f}' for each in seconds)} s")
    faster = min(statistics.median(adbc), statistics.median(cx))
    yield Figure("5 M rows into polars, sorted, named / faster peer's", statistics.median(ours) / faster, "x", "<= 1.3")
    one, many, last = asyncio.run(_glances(shop))
    yield Figure("the newest 200 bars of a symbol", one, "ms", "<= 2")
    yield Figure("10,000 bars of a symbol", many, "ms", "<= 15")
    yield Figure("the newest 200 bars of 500 symbols", last, "ms", "<= 150")


async def _all(shop: Workshop) -> tuple[list[float], list[float], list[float]]:
    """Seconds of our frame, of ADBC and of ConnectorX, in turn, each on what it keeps open."""
    from adbc_driver_postgresql import dbapi

    from quaestor.doors.postgres.bars import BarStore
    from quaestor.doors.postgres.database import Database

    ours: list[float] = []
    adbc: list[float] = []
    cx: list[float] = []
    connectorx = started("peer_connectorx.py", shop.bare_uri("ours"), ALL, python=peer("connectorx"))
    async with Database(shop.uri("ours")) as database:
        store = BarStore(database)
        await store.last_bars(["S000"], 1, "1m")  # the connection is open
        with dbapi.connect(shop.uri("ours"), autocommit=True) as connection, connectorx as process:
            for _ in range(READS):
                ours.append(await _timed(lambda: store.frame(None, None, None, "1m"), ROWS))
                adbc.append(await _timed(lambda: asyncio.to_thread(_by_adbc, connection), ROWS))
                tell(process, "read")
                cx.append(told(process)["seconds"])
    return ours, adbc, cx


def _by_adbc(connection: Any) -> pl.DataFrame:
    import polars as pl

    with connection.cursor() as cursor:
        cursor.execute(ALL)
        frame = pl.from_arrow(cursor.fetch_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame


async def _glances(shop: Workshop) -> tuple[float, float, float]:
    """Median milliseconds of small reads, of symbols that were looked at before."""
    from quaestor.doors.postgres.bars import BarStore
    from quaestor.doors.postgres.database import Database

    every = minutes.symbols(SYMBOLS)
    some = every[:: SYMBOLS // FOLLOWED][:FOLLOWED]
    async with Database(shop.uri("ours")) as database:
        store = BarStore(database)
        return (
            await _glance(lambda name: store.last_bars([name], 200, "1m"), 200, some),
            await _glance(lambda name: store.frame([name], None, None, "1m"), BARS, some),
            await _glance(lambda _: store.last_bars(every, 200, "1m"), 200 * SYMBOLS, some[:5]),
        )


async def _glance(read: Callable[[str], Awaitable[pl.DataFrame]], rows: int, names: list[str]) -> float:
    """Milliseconds, the median; the first look at each is not counted."""
    for name in names:
        await read(name)
    taken = [await _timed(lambda name=name: read(name), rows) for name in names * GLANCES]  # type: ignore[misc]
    return 1e3 * statistics.median(taken)


async def _timed(read: Callable[[], Awaitable[pl.DataFrame]], rows: int) -> float:
    begun = time.perf_counter()
    frame = await read()
    seconds = time.perf_counter() - begun
    assert frame.height == rows
    return seconds
