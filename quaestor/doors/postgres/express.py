"""The express lane: a connection kept for the statements of an order on its way out.

Half of what a short statement costs is the client's own work: a cursor, its conversions, a place in the pool. Here a
statement is prepared once; then its parameters leave as text and its answer is text, by psycopg's own libpq. One
statement at a time, each a transaction of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.errors import InvalidSqlStatementName, error_from_result
from psycopg.generators import execute
from psycopg.pq import ExecStatus

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from quaestor.doors.postgres.database import Connection

PLACE = re.compile(rb"%\((\w+)\)s")  # of a parameter, as psycopg's cursors have it
DONE = (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK)
Texts = Mapping[str, str | None]
Prepared = dict[bytes, tuple[bytes, list[str]]]  # by statement: its name on the server, its parameters in their order


class Express:
    """A lane on a connection in autocommit. After any error it must not be used again: close the connection.

    prepared: what earlier lanes on this connection have prepared.
    """

    def __init__(self, connection: Connection, prepared: Prepared) -> None:
        self.connection = connection
        self._prepared = prepared
        self._libpq = connection.pgconn
        self._codec = connection.info.encoding

    async def ask(self, query: bytes, parameters: Texts) -> list[tuple[str | None, ...]]:
        """All rows of a statement, as text; raises psycopg's errors."""
        try:
            result = await self._asked(query, parameters)
        except InvalidSqlStatementName:  # nothing ran: psycopg forgets all that is prepared when it rolls back
            self._prepared.clear()
            result = await self._asked(query, parameters)
        rows, fields = range(result.ntuples), range(result.nfields)
        return [tuple([self._read(result.get_value(row, field)) for field in fields]) for row in rows]

    async def _asked(self, query: bytes, parameters: Texts) -> PGresult:
        name, order = self._prepared.get(query) or await self._prepare(query)
        self._libpq.send_query_prepared(name, [self._written(parameters[each]) for each in order])
        return await self._result()

    async def _prepare(self, query: bytes) -> tuple[bytes, list[str]]:
        order = list(dict.fromkeys(place.decode() for place in PLACE.findall(query)))
        numbered = PLACE.sub(lambda found: b"$%d" % (order.index(found[1].decode()) + 1), query)
        name = b"express_%d" % len(self._prepared)
        self._libpq.send_prepare(name, numbered)
        await self._result()
        self._prepared[query] = name, order
        return name, order

    async def _result(self) -> PGresult:
        """What came back first, once all has: the last word is the commit's."""
        results: list[Any] = await self.connection.wait(execute(self._libpq))
        for result in results:
            if result.status not in DONE:
                raise error_from_result(result, self._codec)
        first: PGresult = results[0]
        return first

    def _written(self, value: str | None) -> bytes | None:
        if value is None:
            return None
        written = value.encode(self._codec)
        if b"\0" in written:  # where libpq would end it
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        return written

    def _read(self, value: bytes | None) -> str | None:
        return None if value is None else value.decode(self._codec)
