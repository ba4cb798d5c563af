"""The database door: a pool of connections to any PostgreSQL, with timeouts and errors in our own words.

Every write runs in a transaction; UTC; a statement may take a minute, a lock ten seconds: nobody waits for ever.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit
from weakref import WeakKeyDictionary

from quaestor.doors.postgres.translated import refused, translated
from quaestor.errors import BadConfig, DatabaseDown, PartMissing

if TYPE_CHECKING:
    import polars as pl
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    from quaestor.doors.postgres.arrow import Arrow
    from quaestor.doors.postgres.express import Express, Prepared

    Connection = AsyncConnection[dict[str, Any]]

CONNECT_TIMEOUT = 5  # seconds
PATIENCE = 30.0  # seconds
OPTIONS = (
    "-c timezone=UTC -c statement_timeout=60s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
    " -c plan_cache_mode=force_generic_plan"  # a statement of the order path takes longer to plan than to run
)
ALIVE: dict[str, Any] = {  # seconds, the last of them ms: a line that is gone is known to be so within half a minute
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}
REST = 10.0  # seconds after which a lane is not trusted to be there still
LOWEST_VERSION = 150000  # PostgreSQL 15
LIMITED_VERSION = 170000  # from here on a transaction can be given a time to live, idle or not
NOT_UNDERSTOOD = (
    "The database URL is not understood; write postgresql://USER:PASSWORD@HOST:PORT/NAME, "
    "with %XX for a special character of the password."
)


class Database:
    """An async context manager over a pool; `embedded` is released after the pool when there is one."""

    def __init__(
        self, uri: str, release: Callable[[], None] | None = None, size: int = 8, patience: float = PATIENCE
    ) -> None:
        self.uri = uri
        self._place = shown(uri)
        self._release = release
        self._size = size
        self._patience = patience  # seconds until a busy or absent server counts as down
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._lane: Express | None = None  # on a connection that the pool does not get back, for `hurried`
        self._lane_used = 0.0
        self._prepared: WeakKeyDictionary[Connection, Prepared] = WeakKeyDictionary()  # by those that were lanes
        self._arrow: Arrow | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._check()
            await self._open_pool()
        except BaseException:
            self._give_back()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._arrow is not None:
                self._arrow.close()
            if self._pool is not None:
                with translated(self._place):
                    await self._close(self._pool)
        finally:
            self._give_back()

    async def _open_pool(self) -> None:
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        arguments = {
            "options": OPTIONS,
            "connect_timeout": CONNECT_TIMEOUT,
            "row_factory": dict_row,
            "autocommit": True,
            **ALIVE,
        }
        with translated(self._place):
            self._pool = AsyncConnectionPool(
                self.uri, min_size=0, max_size=self._size, kwargs=arguments, open=False, timeout=self._patience
            )
            await self._pool.open()

    async def _close(self, pool: AsyncConnectionPool[Connection]) -> None:
        lane, self._lane = self._lane, None
        try:
            if lane is not None:
                await pool.putconn(lane.connection)
        finally:
            await pool.close()

    async def _check(self) -> None:
        """One plain connection first: a pool would hide why it cannot connect."""
        import psycopg

        with connecting(self.uri):
            async with await psycopg.AsyncConnection.connect(self.uri, connect_timeout=CONNECT_TIMEOUT) as connection:
                version = connection.info.server_version
        if version < LOWEST_VERSION:
            raise PartMissing(
                f"The database at {self._place} is PostgreSQL {version // 10000}; Quaestor needs 15 or newer."
            )

    def _give_back(self) -> None:
        if self._release is not None:
            self._release()
            self._release = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: committed at the end, rolled back on an error."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def pipelined(self) -> AsyncIterator[Connection]:
        """The same, whose statements travel together until a result is asked for: a short transaction in two trips.

        Not on older servers: who stands still in the midst of such a trip would keep his locks there for ever.
        """
        async with self._connection() as connection, self.together(connection), connection.transaction():
            yield connection

    @staticmethod
    def together(connection: Connection) -> AbstractAsyncContextManager[object]:
        """Within it, statements that ask for no result yet travel together, where the server can bear it."""
        return connection.pipeline() if connection.info.server_version >= LIMITED_VERSION else nullcontext()

    async def fetch(self, query: bytes, *parameters: Sequence[Any] | dict[str, Any]) -> list[dict[str, Any]]:
        """All rows of one statement, as dicts; a transaction of its own, in one round trip."""
        async with self._connection() as connection:
            cursor = await connection.execute(query, *parameters)
            return await cursor.fetchall()

    async def hurried(self, query: bytes, parameters: Mapping[str, str | None]) -> list[tuple[str | None, ...]]:
        """All rows of one statement of an order on its way out; parameters and values are text (`express`).

        The first connection that such a statement used is kept for the next one, so it stands in no line behind those
        who read; where two are under way, the other one takes what the pool has. One that has rested is changed for
        another, which the lease's renewer or a reader has used since: a line that broke meanwhile is theirs to find.
        """
        pool = self._opened()
        lane, self._lane = self._lane, None
        with translated(self._place):
            if lane is not None and time.monotonic() - self._lane_used > REST:
                await pool.putconn(lane.connection)
                lane = None
            lane = lane or self._lane_on(await pool.getconn())
            try:
                rows = await lane.ask(query, parameters)
            except BaseException:
                await lane.connection.close()
                await pool.putconn(lane.connection)
                raise
            if self._lane is None and self._size > 1 and not pool.closed:
                self._lane, self._lane_used = lane, time.monotonic()
            else:
                await pool.putconn(lane.connection)
            return rows

    def _lane_on(self, connection: Connection) -> Express:
        from quaestor.doors.postgres.express import Express

        return Express(connection, self._prepared.setdefault(connection, {}))

    async def read(self, query: str) -> list[dict[str, Any]]:
        """All rows of a reading statement, in PostgreSQL's binary form.

        Connections that were lost while they rested are no business of a reader: it is asked once more on a new one.
        """
        try:
            return await self._read(query)
        except DatabaseDown:
            if self._pool is None:
                raise
            await self._pool.check()
            return await self._read(query)

    async def _read(self, query: str) -> list[dict[str, Any]]:
        async with self._connection(CONNECT_TIMEOUT) as connection:
            return await (await connection.execute(query.encode(), binary=True)).fetchall()

    async def run(self, statement: bytes) -> None:
        """One statement outside of any transaction, as some of a partition's upkeep must be."""
        async with self._connection() as connection:
            await connection.execute(statement)

    async def frame(self, query: str) -> pl.DataFrame:
        """The rows of a query as a polars frame, columns at a time."""
        if self._arrow is None:
            from quaestor.doors.postgres.arrow import Arrow

            self._arrow = Arrow(self.uri, self._place)
        return await self._arrow.fetch(query)

    @asynccontextmanager
    async def _connection(self, patience: float | None = None) -> AsyncIterator[Connection]:
        """A connection of the pool, within so many seconds; its errors in our words, and those of all done with it."""
        pool = self._opened()
        with translated(self._place):
            async with pool.connection(patience) as connection:
                yield connection

    def _opened(self) -> AsyncConnectionPool[Connection]:
        if self._pool is None:
            raise DatabaseDown("The database door is closed; open it with `async with`.")
        return self._pool


@contextmanager
def connecting(uri: str) -> Iterator[None]:
    """The errors of a first connection in our words: where, what the server said first, the cure.

    psycopg finds fault with a URI by repeating its parts, a password for one: of that nothing is told.
    """
    import psycopg

    try:
        yield
    except (psycopg.ProgrammingError, UnicodeError) as error:
        if getattr(error, "sqlstate", None):
            raise refused(error, shown(uri)) from error
        raise BadConfig(NOT_UNDERSTOOD) from None
    except psycopg.Error as error:
        raise refused(error, shown(uri)) from error


def shown(uri: str) -> str:
    """A URI without its password, for messages; of one that is not understood, nothing is told."""
    try:
        parts = _parts(uri)
    except BadConfig:
        return "an address that is not understood"
    where = parts.hostname or dict(parse_qsl(parts.query)).get("host", "a local socket")
    port = f":{parts.port}" if parts.port else ""
    return f"{where}{port}{parts.path}"


def with_password(url: str, password: str | None) -> str:
    """The URL with the password put in; raises BadConfig, without telling it on, for a URL that is not understood."""
    parts = _parts(url)
    netloc = parts.netloc
    if password is not None:
        user = parts.username or ""
        netloc = f"{user}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(("postgresql", netloc, parts.path, parts.query, ""))


def without_password(url: str) -> tuple[str, str | None]:
    """The URL without its password, and the password where there was one. Raises BadConfig as `with_password` does."""
    if not url:
        return url, None
    parts = _parts(url)
    if parts.password is None:
        return url, None
    where = parts.netloc.rpartition("@")[2]
    netloc = f"{parts.username}@{where}" if parts.username else where
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), unquote(parts.password)


def _parts(url: str) -> SplitResult:
    """The URL taken apart. An unescaped /, # or ? in a password moves its rest elsewhere: refused, and not shown."""
    parts = urlsplit(url)
    elsewhere = f"{parts.path}{parts.query}{parts.fragment}"
    secret = {"password", "sslpassword"} & dict(parse_qsl(parts.query)).keys()
    plain = (
        parts.scheme in {"postgresql", "postgres"} and _has_port(parts) and "@" not in elsewhere and not parts.fragment
    )
    if plain and not secret:
        return parts
    raise BadConfig(NOT_UNDERSTOOD)


def _has_port(parts: SplitResult) -> bool:
    """Whether the port is a number or absent: a slash in a password makes it look like a port."""
    try:
        return parts.port is None or parts.port > 0
    except ValueError:
        return False
