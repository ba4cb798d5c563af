"""Partitions: bars and ticks lie in tables by time, made when they are needed and dropped whole.

A partition is built beside its parent and then attached, and detached before it is dropped: that asks for locks which
no reader and no writer of the parent waits for. (`create table … partition of` and `drop table` lock everybody out.)

A drop that was broken off leaves a table that is detached, or about to be: the next drop ends it. Until then nothing of
it is forgotten, so whoever needs it attaches it again, with all that is in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

Width = Literal["decade", "year", "month"]
WIDTHS: dict[str, Width] = {"bar_1d": "decade", "bar_1h": "year", "bar_5m": "year", "bar_1m": "month", "tick": "month"}
LOCK = 7_138_243  # an advisory lock of ours: one maker of partitions at a time


class Partition(NamedTuple):
    """A table's part: rows with since ≤ ts < until."""

    name: str
    since: dt.date
    until: dt.date


def holding(table: str, day: dt.date) -> Partition:
    """The partition in which rows of that (UTC) day lie."""
    match WIDTHS[table]:
        case "decade":
            first, until = dt.date(day.year // 10 * 10, 1, 1), dt.date(day.year // 10 * 10 + 10, 1, 1)
            return Partition(f"{table}_p{first.year}", first, until)
        case "year":
            first, until = dt.date(day.year, 1, 1), dt.date(day.year + 1, 1, 1)
            return Partition(f"{table}_p{first.year}", first, until)
        case "month":
            first = day.replace(day=1)
            until = (first + dt.timedelta(days=32)).replace(day=1)
            return Partition(f"{table}_p{first:%Y_%m}", first, until)


def spanning(table: str, first: dt.date, last: dt.date) -> list[Partition]:
    """The partitions for rows from one (UTC) day to another, oldest first."""
    found = [holding(table, first)]
    while found[-1].until <= last:
        found.append(holding(table, found[-1].until))
    return found


class Partitions:
    """Makes partitions where they lack; `forget` is done in the transaction that drops one."""

    def __init__(
        self, database: Database, forget: Callable[[Connection, Partition], Awaitable[None]] | None = None
    ) -> None:
        self._database = database
        self._forget = forget

    async def ensure(self, table: str, first: dt.date, last: dt.date) -> None:
        """The partitions for rows from one (UTC) day to another are there when this returns."""
        needed = spanning(table, first, last)
        found = await self._database.fetch(FOUND, _named(table))
        if not {part.name for part in needed} <= {row["name"] for row in found if row["state"] == "attached"}:
            await self._make(table, needed)

    async def make(self, table: str, first: dt.date, last: dt.date) -> list[str]:
        """The same; the names of those that were made."""
        return await self._make(table, spanning(table, first, last))

    async def _make(self, table: str, needed: Iterable[Partition]) -> list[str]:
        made = []
        async with self._database.transaction() as connection:
            states = await _states(connection, table)
            for part in needed:
                state = states.get(part.name)
                if state is None:
                    await connection.execute(_statement(CREATE, table, part))
                if state == "leaving":
                    await connection.execute(_statement(FINALIZE, table, part))
                if state != "attached":
                    await connection.execute(_statement(ATTACH, table, part))
                    made.append(part.name)
        return made

    async def before(self, table: str, day: dt.date) -> list[Partition]:
        """The partitions that lie wholly before a day, oldest first; those among them whose drop was broken off."""
        return list(await self._before(table, day))

    async def drop_before(self, table: str, day: dt.date) -> list[str]:
        """Drop the partitions that lie wholly before a day; their names."""
        old = await self._before(table, day)
        return [part.name for part, state in old.items() if await self._drop(table, part, state)]

    async def _before(self, table: str, day: dt.date) -> dict[Partition, str]:
        found = await self._database.fetch(FOUND, _named(table))
        return {part: row["state"] for row in found if (part := _parsed(row["name"])).until <= day}

    async def _drop(self, table: str, part: Partition, state: str) -> bool:
        if state == "attached":
            await self._database.run(_statement(DETACH, table, part))
        async with self._database.transaction() as connection:
            state = (await _states(connection, table)).get(part.name, "")
            if state == "leaving":
                await connection.execute(_statement(FINALIZE, table, part))
            if state in {"leaving", "detached"}:  # not by another one, nor attached again in the meantime
                await connection.execute(f"drop table {part.name}".encode())
                if self._forget is not None:
                    await self._forget(connection, part)
        return state in {"leaving", "detached"}


FOUND = rb"""
select c.relname::text as name, case when i.inhparent is null then 'detached'
                                     when i.inhdetachpending then 'leaving' else 'attached' end as state
from pg_class p join pg_class c on c.relnamespace = p.relnamespace and c.relkind = 'r'
    and c.relname ~ ('^' || p.relname || '_p\d{4}(_\d\d)?$')
left join pg_inherits i on i.inhrelid = c.oid and i.inhparent = p.oid
where p.oid = %(table)s::regclass and c.relname >= %(low)s::name and c.relname < %(high)s::name
order by c.relname
"""
CREATE = "create table {part.name} (like {table} including defaults including constraints)"
ATTACH = "alter table {table} attach partition {part.name} for values from ('{part.since}') to ('{part.until}')"
DETACH = "alter table {table} detach partition {part.name} concurrently"
FINALIZE = "alter table {table} detach partition {part.name} finalize"


async def _states(connection: Connection, table: str) -> dict[str, str]:
    """The table's partitions by name, attached or not, for one who alone may change them until the transaction ends."""
    await connection.execute(b"select pg_advisory_xact_lock(%s)", [LOCK])
    rows = await (await connection.execute(FOUND, _named(table))).fetchall()
    return {row["name"]: row["state"] for row in rows}


def _named(table: str) -> dict[str, str]:
    return {"table": table, "low": f"{table}_p", "high": f"{table}_q"}


def _statement(form: str, table: str, part: Partition) -> bytes:
    return form.format(table=table, part=part).encode()


def _parsed(name: str) -> Partition:
    table, _, when = name.rpartition("_p")
    year, _, month = when.partition("_")
    return holding(table, dt.date(int(year), int(month or 1), 1))
