"""Many writers and readers of trades at once: what each waits for, beside SQLite at its best (WAL, synchronous = full).

8 writers commit a row at a time and 4 readers aggregate recent trades, each a process of its own, all as fast as they
are answered, for 20 s in two halves: on SQLite, on the embedded PostgreSQL with the settings that a user has, on
SQLite, on PostgreSQL. Both commits are durable. A row is lost when its writer was told that it is kept and it is not.

SQLite answers inside its client: a reader does ten times the work there, and the disk is what writers wait for. A
commit on PostgreSQL takes a change of process and back, so here it is the processor that they wait for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

from run import Figure, note
from trading import tables
from workshop import Workshop, started, tell, told, workshop

WRITERS, READERS = 8, 4
SECONDS, TURNS = 10, 2
COUNT = "select writer, count(*), count(distinct number), max(number) + 1 from trade group by writer"


@dataclass
class Seen:
    """What the clients of one database saw."""

    reads: int
    waits: list[float]  # of the writers, s
    errors: list[str]
    lost: int

    def __add__(self, more: Seen) -> Seen:
        return Seen(self.reads + more.reads, self.waits + more.waits, self.errors + more.errors, self.lost + more.lost)

    def __str__(self) -> str:
        half, rare, longest = (1e3 * self.wait(part) for part in (0.5, 0.99, 1))
        rates = f"{self.commits:,.0f} commits/s, {self.reads / SECONDS / TURNS:,.0f} reads/s"
        return f"{rates}, waits p50 {half:.2f} p99 {rare:.1f} longest {longest:.0f} ms, {len(self.errors)} errors"

    @property
    def commits(self) -> float:
        """Commits a second, of all writers."""
        return len(self.waits) / SECONDS / TURNS

    def wait(self, part: float) -> float:
        """The wait that this part of the commits did not exceed."""
        return sorted(self.waits)[min(int(len(self.waits) * part), len(self.waits) - 1)]


def figures() -> Iterator[Figure]:
    """SQLite and ours in turn."""
    with workshop() as shop:
        seen = [(_on_sqlite(shop, turn), _on_postgres(shop, turn)) for turn in range(TURNS)]
    sqlite, ours = (reduce(add, turns) for turns in zip(*seen, strict=True))
    note(f"SQLite: {sqlite}")
    note(f"PostgreSQL: {ours}")
    crowd = f"{WRITERS} writers, {READERS} readers"
    yield Figure(f"{crowd}: errors, of locks or other", len(ours.errors), "", "<= 0")
    yield Figure(f"{crowd}: rows lost", ours.lost, "", "<= 0")
    yield Figure(f"{crowd}: p99 wait of a commit", 1e3 * ours.wait(0.99), "ms", "<= 50")
    yield Figure(f"{crowd}: longest wait / SQLite's", ours.wait(1) / sqlite.wait(1), "x", "<= 0.2")
    yield Figure(f"{crowd}: commits per s / SQLite's", ours.commits / sqlite.commits, "x", ">= 0.9")


def _on_sqlite(shop: Workshop, turn: int) -> Seen:
    path = shop.folder / f"trades{turn}.sqlite"
    with closing(sqlite3.connect(path)) as file:
        file.execute("pragma journal_mode = wal")
        for statement in tables("sqlite"):
            file.execute(statement)
        return _crowd("sqlite", str(path), lambda: file.execute(COUNT).fetchall())


def _on_postgres(shop: Workshop, turn: int) -> Seen:
    import psycopg

    name = f"trades{turn}"
    shop.create(name)
    shop.settle()
    with psycopg.connect(shop.uri(name), autocommit=True) as connection:
        for statement in tables("postgres"):
            connection.execute(statement)
        return _crowd("postgres", shop.uri(name), lambda: connection.execute(COUNT).fetchall())


def _crowd(kind: str, address: str, counts: Callable[[], list[Any]]) -> Seen:
    """All clients at once, each in its process; then what is there is counted."""
    roles = ["writes"] * WRITERS + ["reads"] * READERS
    with ExitStack() as stack:
        processes = [
            stack.enter_context(started("trading.py", kind, role, number, address, SECONDS))
            for number, role in enumerate(roles)
        ]
        ready = [told(process) for process in processes]
        assert set(ready) == {"ready"}
        for process in processes:
            tell(process, "go")
        said = [told(process) for process in processes]
    writers, readers = said[:WRITERS], said[WRITERS:]
    lost = _lost([len(each["waits"]) for each in writers], counts())
    return Seen(
        reads=sum(len(each["waits"]) for each in readers),
        waits=[wait for each in writers for wait in each["waits"]],
        errors=[error for each in said for error in each["errors"]],
        lost=lost,
    )


def _lost(kept: list[int], counts: list[tuple[int, int, int, int]]) -> int:
    """Rows that writers were told are kept and that are not there; one that is there twice counts too."""
    there = {writer: numbers for writer, *numbers in counts}
    return sum(max(abs(count - seen) for seen in there.get(writer, (0,))) for writer, count in enumerate(kept))
