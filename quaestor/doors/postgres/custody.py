"""How logins stand, in PostgreSQL: what the machine knows, what happened, what was asked, what waits encrypted.

Each change is written under the refresher's lease (law 3): a refresher that was paused for too long keeps nothing.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quaestor.custody.machine import Custody, Standing
from quaestor.doors.postgres.control import guard
from quaestor.doors.postgres.database import CONNECT_TIMEOUT, connecting
from quaestor.doors.postgres.hints import CHANNEL, hint
from quaestor.doors.postgres.sql import queries
from quaestor.ports import Lease
from quaestor.ports_custody import AuthEvent, AuthRequest, Sealed

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database

SQL = queries("custody")


class CustodyStore:
    """Implements `ports_custody.CustodyStore`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, alias: str) -> Custody:
        """As it was saved last."""
        row = await self._row(alias)
        return _custody(row) if row else Custody()

    async def due_at(self, alias: str) -> dt.datetime | None:
        """When tokens are to be changed next."""
        row = await self._row(alias)
        return row["due_at"] if row else None

    async def save(
        self,
        alias: str,
        custody: Custody,
        *,
        was: Standing,
        what: str,
        by: str,
        lease: Lease,
        due_at: dt.datetime | None,
    ) -> None:
        """Keep it, and what happened, as long as the lease is ours."""
        parameters = asdict(custody) | {"alias": alias, "was": was, "what": what, "by": by, "due_at": due_at}
        async with self._database.transaction() as connection:
            await guard(connection, lease)
            await connection.execute(SQL["save_auth"], parameters)
            if what:
                await connection.execute(SQL["tell_auth"], parameters)
            if custody.standing == Standing.ACTIVE:
                await connection.execute(SQL["answered_auth"], parameters)
            if custody.standing != was:
                await hint(connection, alias, "auth")

    async def now(self) -> dt.datetime:
        """The database's clock."""
        (row,) = await self._database.fetch(SQL["auth_clock"])
        found: dt.datetime = row["at"]
        return found

    async def events(self, alias: str, limit: int = 20) -> list[AuthEvent]:
        """The newest first."""
        rows = await self._database.fetch(SQL["auth_events"], {"alias": alias, "limit": limit})
        return [AuthEvent(r["at"], Standing(r["was"]), Standing(r["state"]), r["what"], r["by"]) for r in rows]

    async def ask(self, alias: str, seq: int, by: str) -> bool:
        """The broker refused that access token."""
        return bool(await self._database.fetch(SQL["ask_auth"], _asked(alias, seq, by)))

    async def requests(self, alias: str, seq: int) -> list[AuthRequest]:
        """Who said that this token, or a newer one, is refused."""
        rows = await self._database.fetch(SQL["auth_requests"], {"alias": alias, "seq": seq})
        return [AuthRequest(row["seq"], row["by"], row["at"]) for row in rows]

    async def spool(self, alias: str, sealed: Sealed) -> None:
        """Keep a pair that the vault does not take."""
        await self._write("spool_auth", {"alias": alias, "seq": sealed.seq, "sealed": sealed.text})

    async def spooled(self, alias: str) -> Sealed | None:
        """What waits for the vault."""
        rows = await self._database.fetch(SQL["spooled_auth"], {"alias": alias})
        return Sealed(rows[0]["seq"], rows[0]["sealed"]) if rows else None

    async def unspool(self, alias: str, seq: int) -> None:
        """The vault has it."""
        await self._write("unspool_auth", {"alias": alias, "seq": seq})

    async def put_code(self, alias: str, attempt: uuid.UUID, sealed: str) -> None:
        """A code on its way."""
        await self._write("put_code", {"alias": alias, "attempt": attempt, "sealed": sealed})

    async def take_code(self, alias: str, attempt: uuid.UUID) -> str | None:
        """The code, once."""
        rows = await self._database.fetch(SQL["take_code"], {"alias": alias})
        return next((row["sealed"] for row in rows if row["attempt"] == attempt), None)

    async def _row(self, alias: str) -> dict[str, Any] | None:
        rows = await self._database.fetch(SQL["load_auth"], {"alias": alias})
        return rows[0] if rows else None

    async def _write(self, name: str, parameters: dict[str, Any]) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(SQL[name], parameters)


class Asking:
    """Implements `ports_custody.Asker` from any thread, on a connection of its own: it is needed once in months."""

    def __init__(self, uri: str, alias: str, by: str) -> None:
        self._uri, self._alias, self._by = uri, alias, by

    def ask(self, seq: int) -> None:
        """The broker refused that access token; raises DatabaseDown, BadConfig."""
        import psycopg

        with (
            connecting(self._uri),
            psycopg.connect(self._uri, connect_timeout=CONNECT_TIMEOUT, options="-c statement_timeout=5s") as line,
        ):
            line.execute(SQL["ask_auth"], _asked(self._alias, seq, self._by))


def _asked(alias: str, seq: int, by: str) -> dict[str, Any]:
    return {"alias": alias, "seq": seq, "by": by, "channel": CHANNEL}


def _custody(row: dict[str, Any]) -> Custody:
    told = {key: value for key, value in row.items() if key not in {"alias", "state", "due_at", "back"}}
    return Custody(standing=Standing(row["state"]), back=Standing(row["back"]), **told)
