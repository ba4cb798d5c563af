"""Live runs in PostgreSQL: who lives, what is wanted of them, what they tell.

A reader follows happenings by number and must never miss one. Numbers are drawn before the commit, so two writers could
commit them in another order than they were drawn; that is why writers of an account take turns (an advisory lock, held
to the end of the transaction). Life and death are told on the database's clock, whatever the runner's own one says.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quaestor.doors.postgres.hints import hint
from quaestor.doors.postgres.listening import listening
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput, NotFound
from quaestor.jsons import as_json
from quaestor.ports_live import Desire, Desired, Happening, LiveRun

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database

SQL = queries("live")
NOBODY = Desired("armed", "", "", dt.datetime.fromtimestamp(0, dt.UTC), 0)  # where nobody ever said anything


class LiveStore:
    """Implements `ports_live.LiveStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, run: LiveRun) -> None:
        """Keep that a run begins."""
        names = ("id", "account", "holder", "started_at", "commit", "config_digest", "journal")
        told = {name: getattr(run, name) for name in names}
        await self._write("begin_run", told | {"facts": as_json(run.facts)})

    async def beat(self, run: uuid.UUID, facts: Mapping[str, Any]) -> None:
        """It lives, by the database's clock; these are its figures."""
        await self._write("beat", {"run": run, "facts": as_json(facts)})

    async def end(self, run: uuid.UUID, outcome: str) -> None:
        """It ended, and how."""
        await self._write("end_run", {"run": run, "outcome": outcome})

    async def newest(self, account: str) -> LiveRun | None:
        """The run that began last."""
        return _first(await self._database.fetch(SQL["newest_run"], {"account": account}))

    async def run(self, run: str) -> LiveRun:
        """The run of that id, or the only one whose id begins so; raises NotFound, BadInput where several do."""
        named = run.strip().lower()
        fits = re.fullmatch(r"[0-9a-f-]+", named)
        found = await self._database.fetch(SQL["runs_named"], {"named": named}) if fits else []
        if not found:
            known = [row["id"] for row in await self._database.fetch(SQL["newest_ids"])]
            raise NotFound.named("live run", run, known, "See `quaestor live runs`.")
        if len(found) > 1:
            several = ", ".join(str(row["id"])[:13] for row in found)
            raise BadInput(f"{run!r} begins the ids of several live runs ({several}); write more of it.")
        return _run(found[0])

    async def runs(self, account: str, limit: int = 20) -> list[LiveRun]:
        """Newest first; 0: all."""
        rows = await self._database.fetch(SQL["runs"], {"account": account, "limit": limit or None})
        return [_run(row) for row in rows]

    async def alive(self, account: str, within: dt.timedelta) -> LiveRun | None:
        """The run that has not ended and whose last beat is younger than that, by the database's clock."""
        return _first(await self._database.fetch(SQL["living_run"], {"account": account, "within": within}))

    # ── what is wanted ────────────────────────────────────────────────────────────────────────────────────────────────

    async def desire(self, account: str, state: Desire, by: str, reason: str = "") -> Desired:
        """Say what is wanted from now on; a hint goes to whoever listens."""
        said = {"account": account, "state": state, "by": by, "reason": reason}
        async with self._database.transaction() as connection:
            await connection.execute(SQL["in_turn"], said)
            (row,) = await (await connection.execute(SQL["desire"], said)).fetchall()
            await hint(connection, account, "desired")
        return _desired(row)

    async def desired(self, account: str) -> Desired:
        """What is wanted now; armed where nobody ever said anything."""
        rows = await self._database.fetch(SQL["desired"], {"account": account})
        return _desired(rows[0]) if rows else NOBODY

    # ── what happened ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def tell(self, account: str, run: uuid.UUID, happenings: Sequence[Happening]) -> None:
        """Keep what happened; a hint goes to whoever listens."""
        if not happenings:
            return
        told = {
            "account": account,
            "run": run,
            "kinds": [one.kind for one in happenings],
            "subjects": [one.subject for one in happenings],
            "ats": [one.at for one in happenings],
            "bodies": [as_json(one.body) for one in happenings],
        }
        async with self._database.pipelined() as connection:
            await connection.execute(SQL["in_turn"], told)
            await connection.execute(SQL["tell"], told)
            await hint(connection, account, "happenings")

    async def happenings(self, account: str, after: int, limit: int = 500) -> list[Happening]:
        """What happened after that cursor, oldest first."""
        asked = {"account": account, "after": after, "limit": limit}
        return [Happening(**row) for row in await self._database.fetch(SQL["happenings"], asked)]

    async def cursor_at(self, account: str, until: dt.datetime) -> int:
        """The number of the newest happening that was told until then, by the database's clock; 0 before any."""
        ((row),) = await self._database.fetch(SQL["cursor_at"], {"account": account, "until": until})
        return int(row["number"])

    async def prune(self, older_than: dt.timedelta) -> int:
        """Forget happenings that were told so long ago, of all accounts; how many."""
        return await self._write("prune", {"older_than": older_than})

    # ── where it stands ───────────────────────────────────────────────────────────────────────────────────────────────

    async def keep(self, account: str, run: uuid.UUID, state: Mapping[str, Any]) -> None:
        """The run's newest snapshot, in the place of the one before."""
        await self._write("keep", {"account": account, "run": run, "state": as_json(state)})

    async def kept(self, account: str) -> Mapping[str, Any] | None:
        """The newest snapshot of any run."""
        rows = await self._database.fetch(SQL["kept"], {"account": account})
        return rows[0]["state"] if rows else None

    def hints(self, account: str) -> AsyncGenerator[str, None]:
        """What changed (`desired`, `triggers`, `happenings`), as it is told; only a hint: some may be lost.

        It reconnects by itself; on each (re)connection it yields `connected` first. Close it (`aclosing`) when done.
        """
        return listening(self._database.uri, account)

    async def _write(self, name: str, parameters: Mapping[str, Any]) -> int:
        """A statement that is its own transaction; how many rows it touched."""
        async with self._database.transaction() as connection:
            return (await connection.execute(SQL[name], parameters)).rowcount


def _first(rows: Sequence[Mapping[str, Any]]) -> LiveRun | None:
    return _run(rows[0]) if rows else None


def _run(row: Mapping[str, Any]) -> LiveRun:
    return LiveRun(**{name: value for name, value in row.items() if name != "number"})


def _desired(row: Mapping[str, Any]) -> Desired:
    return Desired(row["state"], row["by"], row["reason"], row["at"], row["number"])
