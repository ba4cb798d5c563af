"""Control in PostgreSQL: the single writer's lease (law 3), latched stops (law 6), outcomes of reconciliation.

A lease is taken on the database's clock, renewed in the background while it is held, and given back. A holder that
dies keeps it until it runs out, unless who comes next knows that it is dead; either gets a higher epoch, and the dead
one's writes are refused. Each of these is one statement, its own transaction: a holder that is paused at any moment
leaves the lease's row unlocked.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from quaestor.doors.postgres.sql import queries
from quaestor.errors import DatabaseDown, LeaseHeld
from quaestor.ports import Latch, Lease, Reconciliation

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("control")
log = logging.getLogger("quaestor.lease")
TTL = dt.timedelta(seconds=15)
POLL = 0.5  # seconds between tries for a lease that another holds


class LeaseStore:
    """Implements `ports.LeaseStore`. gone: whether a holder, by its name, surely lives no more."""

    def __init__(
        self, database: Database, ttl: dt.timedelta = TTL, gone: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._database = database
        self._ttl = ttl
        self._gone = gone

    @asynccontextmanager
    async def hold(self, account: str, holder: str, wait_seconds: float) -> AsyncIterator[Lease]:
        """Take the lease, renew it while the block runs, give it back."""
        lease = await self._take(account, holder, wait_seconds)
        over = asyncio.Event()
        renewing = asyncio.create_task(self._renew(lease, over))
        try:
            yield lease
        finally:
            over.set()  # a library may swallow that we cancel (Python 3.11's `wait_for` does): this is not swallowed
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            try:
                await self._database_write("release_lease", lease)
            except DatabaseDown as error:  # it runs out by itself; the block's own error must be heard
                log.warning("The lease of account %s was not given back: %s", lease.account, error)

    async def _take(self, account: str, holder: str, wait_seconds: float) -> Lease:
        clock = asyncio.get_running_loop().time
        deadline = clock() + wait_seconds
        while True:
            parameters = {"account": account, "holder": holder, "ttl": self._ttl}
            taken = await self._database.fetch(SQL["take_lease"], parameters) or await self._inherited(parameters)
            if taken:
                return Lease(account, holder, taken[0]["epoch"])
            if clock() >= deadline:
                raise await self._held(account)
            await asyncio.sleep(min(POLL, self._ttl.total_seconds() / 3))

    async def _inherited(self, parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """A dead holder's lease need not run out. Its epoch says whose it is: of several who see that, one gets it."""
        row = await self.current(parameters["account"])
        if row is None or not row["holder"] or not self._gone(row["holder"]):
            return []
        log.info("The lease of account %s was left behind by %s, which ended.", row["account"], row["holder"])
        return await self._database.fetch(SQL["inherit_lease"], parameters | {"epoch": row["epoch"]})

    async def _held(self, account: str) -> LeaseHeld:
        row = await self.current(account)
        who = f"{row['holder']} holds it until {row['expires_at']:%H:%M:%S} UTC" if row else "it was just taken"
        said = f"Another process writes for account {account!r}: {who}. Wait for it, or end it; nothing was sent."
        return LeaseHeld(said, str(row["holder"] or "") if row else "")

    async def _renew(self, lease: Lease, over: asyncio.Event) -> None:
        """Until it is over; a lost lease ends the renewing, and the next guarded write fails."""
        while not over.is_set() and await self._renewed(lease):
            with suppress(TimeoutError):  # a cancel that was swallowed must not leave it asleep for that long
                async with asyncio.timeout(self._ttl.total_seconds() / 3):
                    await over.wait()

    async def _renewed(self, lease: Lease) -> bool:
        """Whether the lease is still ours; a database that does not answer now may answer before it runs out."""
        try:
            return await self._database_write("renew_lease", lease) > 0
        except DatabaseDown as error:
            log.warning("The lease of account %s was not renewed: %s", lease.account, error)
            return True

    async def _database_write(self, name: str, lease: Lease) -> int:
        parameters = {"account": lease.account, "holder": lease.holder, "epoch": lease.epoch, "ttl": self._ttl}
        return len(await self._database.fetch(SQL[name], parameters))

    async def current(self, account: str) -> dict[str, Any] | None:
        """Who holds the lease: holder, epoch, expires_at, live; None before anybody ever did."""
        rows = await self._database.fetch(SQL["lease"], {"account": account})
        return rows[0] if rows else None


async def guard(connection: Connection, lease: Lease) -> None:
    """Refuse to write for a lease that was lost; holds the lease row until the transaction ends."""
    ours = await guarding(connection, lease)
    await ours()


async def guarding(connection: Connection, lease: Lease) -> Callable[[], Awaitable[None]]:
    """The same, whose answer is asked for when other questions are on their way, too; before anything is written."""
    parameters = {"account": lease.account, "holder": lease.holder, "epoch": lease.epoch}
    cursor = await connection.execute(SQL["guard_lease"], parameters)

    async def ours() -> None:
        if not await cursor.fetchone():
            raise lost(lease)

    return ours


def lost(lease: Lease) -> LeaseHeld:
    """What a writer hears whose lease is another's by now."""
    return LeaseHeld(
        f"The lease of account {lease.account!r}, epoch {lease.epoch}, is lost: this process was paused too long "
        "or another took over. Nothing was written; run it again."
    )


class ControlStore:
    """Implements `ports.ControlStore`: latches and reconciliations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set_latch(self, account: str, name: str, reason: str) -> bool:
        """Latch; False when it already was."""
        async with self._database.transaction() as connection:
            parameters = {"account": account, "name": name, "reason": reason}
            return (await connection.execute(SQL["set_latch"], parameters)).rowcount > 0

    async def clear_latch(self, account: str, name: str, reason: str) -> bool:
        """Clear; False when it was not latched."""
        async with self._database.transaction() as connection:
            parameters = {"account": account, "name": name, "reason": reason}
            return (await connection.execute(SQL["clear_latch"], parameters)).rowcount > 0

    async def latches(self, account: str) -> list[Latch]:
        """What stops entries now, oldest first."""
        rows = await self._database.fetch(SQL["open_latches"], {"account": account})
        return [Latch(row["name"], row["reason"], row["set_at"]) for row in rows]

    async def save_reconciliation(self, account: str, outcome: Reconciliation, flow_run_id: str | None) -> None:
        """Keep the outcome of a comparison."""
        parameters = {
            "account": account,
            "session": outcome.session,
            "ok": outcome.ok,
            "differences": json.dumps(outcome.differences),
            "checked": json.dumps(outcome.checked),
            "flow_run_id": flow_run_id,
        }
        async with self._database.transaction() as connection:
            await connection.execute(SQL["insert_reconcile"], parameters)

    async def last_reconciliation(self, account: str) -> Reconciliation | None:
        """The newest comparison."""
        rows = await self._database.fetch(SQL["last_reconcile"], {"account": account})
        if not rows:
            return None
        row = rows[0]
        return Reconciliation(row["session"], row["differences"], row["checked"], row["at"])
