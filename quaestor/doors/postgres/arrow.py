"""Frames straight out of PostgreSQL, by ADBC: columns come as Arrow, no row is ever a Python object.

One connection, kept open and used by one thread at a time; it is for reading alone. A connection that was lost (the
server restarted) is opened anew once. Whatever the server refuses by a code, it would refuse again.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from quaestor.doors.postgres.translated import translate
from quaestor.errors import DatabaseDown

if TYPE_CHECKING:
    import polars as pl


SETTINGS = """
select set_config('timezone', 'UTC', false), set_config('statement_timeout', '60s', false),
       set_config('lock_timeout', '10s', false)
"""  # those of `Database`: nobody waits for ever


class Arrow:
    """Reads frames from the database at `uri`."""

    def __init__(self, uri: str, place: str) -> None:
        self._uri = uri
        self._place = place
        self._using = threading.Lock()
        self._connection: Any = None

    async def fetch(self, query: str) -> pl.DataFrame:
        """The rows of a query as a frame. Raises what `translated` names; DatabaseDown where the database is away."""
        return await asyncio.to_thread(self._fetch, query)

    def close(self) -> None:
        """Give the connection back."""
        with self._using:
            self._drop()

    def _fetch(self, query: str) -> pl.DataFrame:
        from adbc_driver_manager import Error

        with self._using:
            try:
                if self._connection is not None:
                    try:
                        return self._read(query)
                    except Error as error:
                        if not _lost(error):
                            raise
                        self._drop()  # it may have been lost while it rested
                return self._read(query)
            except Error as error:
                self._drop()
                if getattr(error, "sqlstate", None):
                    raise translate(error, self._place) from error
                said = str(error).partition("\n")[0][:200]
                raise DatabaseDown(f"The database at {self._place} could not be read ({said}).") from error

    def _read(self, query: str) -> pl.DataFrame:
        import polars as pl
        from adbc_driver_postgresql import dbapi

        if self._connection is None:
            self._connection = dbapi.connect(self._uri, autocommit=True)
            with self._connection.cursor() as cursor:
                cursor.execute(SETTINGS)
                cursor.fetch_arrow_table()
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            frame = pl.from_arrow(cursor.fetch_arrow_table())
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  # a table is no series
        return frame

    def _drop(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()


def _lost(error: BaseException) -> bool:
    """Whether the connection is gone: it has no code, or says that it is, or that the server ends."""
    code = getattr(error, "sqlstate", None) or ""
    return not code or code.startswith(("08", "57P"))
