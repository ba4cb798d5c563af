"""Triggers in PostgreSQL: rules as they were written, their latches, their firings.

Whoever changes a rule first takes the row that numbers the account's changes, and holds it until he commits: so a
number is visible only when all lower ones are, and a reader who asks for what comes after his cursor misses none. A
firing and a latch are kept on the way from tick to order: they take no number, and give nobody a hint.

A rule is read strictly on its way out. One that cannot be read any more (a restored backup, a hand in the tables) is
told with its id, and hides no other.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quaestor import calendar
from quaestor.doors.postgres.hints import hint
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput, NotFound, QuaestorError
from quaestor.ports_live import DamagedTrigger, StoredFiring, StoredTrigger, TriggerChange
from quaestor.splits import Split
from quaestor.triggers import Latch, Trigger, read_latch, read_trigger
from quaestor.triggers.keeping import SHORTEST, checked_name, checked_note, replaced, rescaled

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

    Row = dict[str, Any]

SQL = queries("triggers")
log = logging.getLogger("quaestor.triggers")


class TriggerStore:
    """Implements `ports_live.TriggerStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, account: str, trigger: Trigger, *, name: str = "", note: str = "", by: str = "") -> bool:
        """Add or replace; False when it is there already, just so. The same rule under another name keeps its latch."""
        labels = {"name": checked_name(name), "note": checked_note(note), "by": by}
        wanted = {"id": trigger.id, "account": account, "rule": _rule(trigger), **labels}
        async with self._database.transaction() as connection:
            row = await self._locked(connection, account, trigger.id)
            await _refuse(connection, account, row, wanted)
            if row is None:
                wanted |= {"latch": _latch(Latch()), "change": await _next(connection, account)}
                await connection.execute(SQL["insert"], wanted)
            elif _rule_of(row) == trigger:
                if all(row[key] == labels[key] for key in ("name", "note")):
                    return False
                await connection.execute(SQL["relabel"], wanted)
                return True
            else:
                latch = replaced(await _lived(connection, row))
                wanted |= {"latch": _latch(latch), "change": await _next(connection, account)}
                await connection.execute(SQL["rewrite"], wanted)
            return True

    async def remove(self, account: str, trigger: uuid.UUID, by: str = "") -> bool:
        """Take it out; False when it is not there."""
        async with self._database.transaction() as connection:
            row = await self._locked(connection, account, trigger)
            if row is None or row["account"] != account or row["removed_at"] is not None:
                return False
            await _remove(connection, account, trigger, by)
            return True

    async def keep_latches(self, account: str, latches: Mapping[uuid.UUID, Latch], *, seen: int | None = None) -> None:
        """Keep what these have lived through; a latch never loses firings by it."""
        if not latches:
            return
        async with self._database.transaction() as connection:
            await _keep(connection, account, latches, seen)

    async def keep_firing(self, account: str, firing: StoredFiring, latch: Latch, *, seen: int | None = None) -> bool:
        """Keep a firing with its latch, in one commit; False when that firing is known."""
        names = ("id", "trigger", "number", "symbol", "price", "at", "action", "outcome")
        wanted = {"account": account, **{name: getattr(firing, name) for name in names}}
        async with self._database.pipelined() as connection:
            inserted = await connection.execute(SQL["insert_firing"], wanted)
            await _keep(connection, account, {firing.trigger: latch}, seen)
            return await inserted.fetchone() is not None

    async def outcome(self, firing: uuid.UUID, outcome: str) -> None:
        """What came of a firing."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["outcome"], {"id": firing, "outcome": outcome})

    async def rescale(
        self, account: str, splits: Sequence[Split], *, now: dt.datetime | None = None
    ) -> list[StoredTrigger]:
        """Rewrite rules and latches written before a split's open, each split once; those that lost their meaning."""
        if not splits:
            return []
        async with self._database.transaction() as connection:
            await _lock(connection, account)
            new = [split for split in sorted(splits, key=_by_session) if await _first(connection, account, split)]
            if not new:
                return []
            shift = await _shift(connection, now)
            rows = await (await connection.execute(SQL["present_for_update"], {"account": account})).fetchall()
            return [lost for row in rows if (lost := await _rescale(connection, row, new, shift)) is not None]

    async def _locked(self, connection: Connection, account: str, trigger: uuid.UUID) -> Row | None:
        """The trigger, once no other change of the account is on its way."""
        await _lock(connection, account)
        return await (await connection.execute(SQL["one"], {"id": trigger})).fetchone()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def find(self, account: str, named: str) -> StoredTrigger:
        """By id, the beginning of an id, or name; raises NotFound, BadInput where several fit, or it is damaged."""
        row = await self._found(account, named)
        with _telling(row):
            return _stored(row)

    async def id_of(self, account: str, named: str) -> uuid.UUID:
        """The same, its id only: also of one that cannot be read."""
        return (await self._found(account, named))["id"]  # type: ignore[no-any-return]

    async def _found(self, account: str, named: str) -> Row:
        asked = {"account": account, "named": named.strip(), "shortest": SHORTEST}
        rows = await self._database.fetch(SQL["by_id_or_name"], asked)
        exact = [row for row in rows if row["name"] == asked["named"]] or rows
        if len(exact) == 1:
            return exact[0]
        if exact:
            ids = ", ".join(str(row["id"]) for row in exact[:5])
            raise BadInput(f"{named!r} begins several triggers' ids: {ids}. Give more characters.")
        labels = await self._database.fetch(SQL["labels"], {"account": account})
        known = [row["name"] or str(row["id"])[:8] for row in labels]
        raise NotFound.named("trigger", named[:80], known, "See `quaestor trigger list`.")

    async def all(self, account: str) -> list[StoredTrigger]:
        """Those that are in, oldest first; without those that cannot be read."""
        found, _ = _sorted(await self._database.fetch(SQL["present"], {"account": account}))
        return found

    async def damaged(self, account: str) -> list[DamagedTrigger]:
        """Those that are in and cannot be read."""
        _, found = _sorted(await self._database.fetch(SQL["present"], {"account": account}))
        return found

    async def changes(self, account: str, after: int) -> list[TriggerChange]:
        """What changed after that cursor: the newest state of each changed trigger, in order."""
        rows = await self._database.fetch(SQL["changed"], {"account": account, "after": after})
        return [_change(row) for row in rows]

    async def cursor(self, account: str) -> int:
        """The newest change's number; 0 before any."""
        rows = await self._database.fetch(SQL["cursor"], {"account": account})
        return int(rows[0]["number"]) if rows else 0

    async def splits_known(self, account: str, session: dt.date) -> frozenset[str]:
        """Symbols whose split at that session's open is in the stored rules and latches already."""
        rows = await self._database.fetch(SQL["splits_known"], {"account": account, "session": session})
        return frozenset(row["symbol"] for row in rows)

    async def firings(self, account: str, limit: int = 50, trigger: uuid.UUID | None = None) -> list[StoredFiring]:
        """Newest first; a limit of 0: all."""
        asked = {"account": account, "trigger": trigger, "limit": limit or None}
        return [StoredFiring(**row) for row in await self._database.fetch(SQL["firings"], asked)]

    async def closes(self, symbols: Sequence[str]) -> dict[str, tuple[float, dt.date]]:
        """The newest stored close of each of these symbols that has one, as traded, with its session."""
        rows = await self._database.fetch(SQL["closes"], {"symbols": list(symbols)})
        return {row["symbol"]: (row["close"], row["session"]) for row in rows}


# ── steps of a change ─────────────────────────────────────────────────────────────────────────────────────────────────


async def _lock(connection: Connection, account: str) -> None:
    await connection.execute(SQL["begin_changes"], {"account": account})
    await connection.execute(SQL["lock_changes"], {"account": account})


async def _next(connection: Connection, account: str) -> int:
    """The number of a change that is being made, and a hint that it is."""
    row = await (await connection.execute(SQL["next_change"], {"account": account})).fetchone()
    assert row is not None  # noqa: S101  # it was locked
    await hint(connection, account, "triggers")
    return int(row["number"])


async def _refuse(connection: Connection, account: str, row: Row | None, wanted: Row) -> None:
    """Raise BadInput where an id served already, or the name is another's."""
    if row is not None and (row["account"] != account or row["removed_at"] is not None):
        why = "was removed" if row["account"] == account else "is another account's"
        raise BadInput(f"Trigger {row['id']} {why}, and an id serves once. Leave the id out: a new one is made.")
    if wanted["name"]:
        other = await (await connection.execute(SQL["named"], wanted)).fetchone()
        if other is not None:
            raise BadInput(
                f"name: {wanted['name']!r} is the name of trigger {str(other['id'])[:8]}. Choose another, or change "
                f"that one with `quaestor trigger edit {wanted['name']}`."
            )


async def _lived(connection: Connection, row: Row) -> Latch:
    """What counts of a latch when its rule is replaced; where it is damaged, the firings that are kept are counted."""
    kept = await (await connection.execute(SQL["fired"], {"id": row["id"]})).fetchone()
    number = int(kept["number"]) if kept else 0
    try:
        latch = _stored(row).latch
    except BadInput:
        return Latch(fired=number)
    return replace(latch, fired=max(latch.fired, number))


async def _remove(connection: Connection, account: str, trigger: uuid.UUID, by: str, note: str | None = None) -> None:
    parameters = {"id": trigger, "by": by, "note": note, "change": await _next(connection, account)}
    await connection.execute(SQL["remove"], parameters)


async def _keep(connection: Connection, account: str, latches: Mapping[uuid.UUID, Latch], seen: int | None) -> None:
    ids = sorted(latches)
    told = {"account": account, "ids": ids, "latches": [_latch(latches[id_]) for id_ in ids], "seen": seen}
    await connection.execute(SQL["keep_latches"], told)


async def _first(connection: Connection, account: str, split: Split) -> bool:
    """Whether nobody took this split into account yet; from now on, one did."""
    parameters = {"account": account, "symbol": split.symbol, "session": split.session}
    return await (await connection.execute(SQL["new_split"], parameters)).fetchone() is not None


async def _shift(connection: Connection, now: dt.datetime | None) -> dt.timedelta:
    """How far the caller's clock is ahead of the database's."""
    if now is None:
        return dt.timedelta(0)
    row = await (await connection.execute(SQL["clock"])).fetchone()
    assert row is not None  # noqa: S101  # a clock always answers
    return now - row["now"]  # type: ignore[no-any-return]


async def _rescale(
    connection: Connection, row: Row, splits: Sequence[Split], shift: dt.timedelta
) -> StoredTrigger | None:
    """One trigger after splits; as it was, with a note, where it lost its meaning and was removed."""
    written = row["written_at"] + shift
    mine = [split for split in splits if written < calendar.session_open(split.session)]
    try:
        before = _stored(row)
    except QuaestorError:
        return None  # it cannot be read; `damaged` tells
    try:
        trigger, latch = rescaled(before.trigger, before.latch, mine)
    except BadInput as error:
        note = f"{before.note}{' · ' if before.note else ''}removed: {error}"
        await _remove(connection, row["account"], before.trigger.id, "split", note)
        return StoredTrigger(before.trigger, before.latch, before.name, note, "split", row["written_at"], row["change"])
    if trigger != before.trigger or latch != before.latch:
        parameters = {"id": trigger.id, "rule": _rule(trigger), "latch": _latch(latch)}
        await connection.execute(SQL["rescale"], parameters)
    return None


def _by_session(split: Split) -> tuple[dt.date, str]:
    return split.session, split.symbol


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _rule(trigger: Trigger) -> str:
    return json.dumps(trigger.as_dict(), allow_nan=False)


def _latch(latch: Latch) -> str:
    return json.dumps(latch.as_dict(), allow_nan=False)


def _rule_of(row: Row) -> Trigger | None:
    """The stored rule; None for one that cannot be read."""
    try:
        return _stored(row).trigger
    except QuaestorError:
        return None


def _stored(row: Row) -> StoredTrigger:
    """Strictly: raises BadInput for a rule, or a latch, that cannot be read."""
    try:
        trigger, latch = read_trigger(row["rule"]), read_latch(row["latch"])
    except (TypeError, AttributeError, OverflowError) as error:  # values of a kind that no rule ever had
        raise BadInput(f"its rule or latch holds a value of a wrong kind ({error})") from error
    if trigger.id != row["id"]:
        raise BadInput(f"its rule says that it is trigger {trigger.id}")
    if not _sound(latch):
        raise BadInput(f"its latch is none: {str(row['latch'])[:80]}")
    return StoredTrigger(trigger, latch, row["name"], row["note"], row["by"], row["written_at"], row["change"])


def _sound(latch: Latch) -> bool:
    """Whether a latch's values are of their kinds; a wrong one would stop the engine, or fire it."""
    counts = (
        type(latch.fired) is int and latch.fired >= 0 and (latch.last_fired is None or type(latch.last_fired) is int)
    )
    marks = all(mark is None or type(mark) in {int, float} for mark in latch.memory)
    return counts and marks and type(latch.armed) is bool and type(latch.done) is bool


@contextmanager
def _telling(row: Row) -> Iterator[None]:
    try:
        yield
    except BadInput as error:
        raise BadInput(_damage(row, error)) from error


def _damage(row: Row, error: BadInput) -> str:
    named = f" ({row['name']})" if row["name"] else ""
    cure = "It fires never; write it anew with `quaestor trigger add`, and `quaestor trigger remove` this one"
    return f"Trigger {row['id']}{named} cannot be read: {str(error).rstrip('.')}. {cure}."


def _sorted(rows: Sequence[Row]) -> tuple[list[StoredTrigger], list[DamagedTrigger]]:
    """Those that can be read, and those that cannot."""
    found, damaged = [], []
    for row in rows:
        try:
            found.append(_stored(row))
        except BadInput as error:
            damaged.append(DamagedTrigger(row["id"], row["name"], _damage(row, error), row["change"]))
            log.error("%s", damaged[-1].problem)
    return found, damaged


def _change(row: Row) -> TriggerChange:
    if row["removed_at"] is not None:
        return TriggerChange(row["id"], None, row["change"])
    try:
        return TriggerChange(row["id"], _stored(row).trigger, row["change"])
    except BadInput as error:
        return TriggerChange(row["id"], None, row["change"], _damage(row, error))
