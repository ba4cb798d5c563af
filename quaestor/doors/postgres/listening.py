"""Who listens for hints: on a connection of its own, outside the pool, for as long as anybody wants to hear.

A line that breaks comes again after a pause. What was told meanwhile is lost, so each new line begins with `connected`:
whoever hears that looks at the tables. A line that is quiet is asked now and then whether it is still there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from quaestor.doors.postgres.database import ALIVE, CONNECT_TIMEOUT, shown
from quaestor.doors.postgres.hints import CHANNEL

if TYPE_CHECKING:
    from psycopg import AsyncConnection

CONNECTED = "connected"
QUIET = 15.0  # seconds without a word, after which the line is tried
FIRST_PAUSE, LAST_PAUSE = 0.1, 5.0  # seconds between two tries to connect
log = logging.getLogger("quaestor.hints")


async def listening(uri: str, account: str) -> AsyncGenerator[str, None]:
    """What changed of the account, as it is told."""
    import psycopg

    pause = FIRST_PAUSE
    while True:
        try:
            async with await _connected(uri) as connection:
                yield CONNECTED
                pause = FIRST_PAUSE
                async for payload in _payloads(connection):
                    whose, _, what = payload.partition(" ")
                    if whose == account:
                        yield what
        except psycopg.Error as error:  # whatever it is: hints are worth nothing but patience
            log.warning("No hints from %s for %g s: %s", shown(uri), pause, type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE)


async def _connected(uri: str) -> AsyncConnection[Any]:
    import psycopg

    # psycopg passes what libpq knows on to it; a local socket ignores what is of TCP alone
    connection = await psycopg.AsyncConnection.connect(
        uri, autocommit=True, connect_timeout=CONNECT_TIMEOUT, application_name="quaestor hints", **ALIVE
    )
    try:
        await connection.execute(f'listen "{CHANNEL}"'.encode())
    except BaseException:
        await connection.close()
        raise
    return connection


async def _payloads(connection: AsyncConnection[Any]) -> AsyncGenerator[str, None]:
    """Whatever is told on the channel; raises psycopg.Error where the line is broken."""
    while True:
        async for told in connection.notifies(timeout=QUIET):
            yield told.payload
        await connection.execute(b"select 1")
