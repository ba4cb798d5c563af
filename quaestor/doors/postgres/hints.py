"""Hints: a word to whoever listens that something changed. They may get lost; the truth is what the tables say.

A hint travels with the transaction that it is given in: heard after its commit, never where it was rolled back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection

CHANNEL = "quaestor_live"


async def hint(connection: Connection, account: str, what: str) -> None:
    """Tell that `what` of an account changed: `desired`, `triggers`, `happenings`; the payload is `ACCOUNT what`."""
    await connection.execute(b"select pg_notify(%s, %s)", (CHANNEL, f"{account} {what}"))
