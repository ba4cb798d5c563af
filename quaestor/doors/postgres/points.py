"""Points: every place at which a process that trades waits for the outside, found by watching, not by hand.

A `WatchedDatabase` tells of each statement, before it goes out and after its answer came, and of each commit: before,
while it is under way (it has left us, and nothing came back), and after. A rehearsal counts these points, and ends the
process at one of them: a power cut at its worst moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Self

from quaestor.doors.postgres.database import PATIENCE, Database
from quaestor.doors.postgres.sql import queries

if TYPE_CHECKING:
    import polars as pl

    from quaestor.doors.postgres.database import Connection

Pass = Callable[[str], None]  # hears the name of each point as it is passed


class WatchedDatabase(Database):
    """The database door, telling of every point."""

    def __init__(self, uri: str, tell: Pass, patience: float = PATIENCE) -> None:
        super().__init__(uri, patience=patience)
        self._tell = tell

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction whose statements and commit are points."""
        async with self._watched(super().transaction()) as connection:
            yield connection

    @asynccontextmanager
    async def pipelined(self) -> AsyncIterator[Connection]:
        """The same of statements that travel together."""
        async with self._watched(super().pipelined()) as connection:
            yield connection

    @asynccontextmanager
    async def _watched(self, real: AbstractAsyncContextManager[Connection]) -> AsyncIterator[Connection]:
        async with real as connection:
            watched: Any = _Watched(connection, self._tell)
            yield watched
            self._tell("before commit")
            asyncio.get_running_loop().call_soon(self._tell, "while commit")  # when we wait for its answer
        self._tell("after commit")

    async def fetch(self, query: bytes, *parameters: Sequence[Any] | dict[str, Any]) -> list[dict[str, Any]]:
        """All rows of one statement, between two points."""
        with self._between(query):
            return await super().fetch(query, *parameters)

    async def hurried(self, query: bytes, parameters: Mapping[str, str | None]) -> list[tuple[str | None, ...]]:
        """The same of an order on its way out."""
        with self._between(query):
            return await super().hurried(query, parameters)

    @contextmanager
    def _between(self, query: bytes) -> Iterator[None]:
        name = named(query)
        self._tell(f"before {name}")
        yield
        self._tell(f"after {name}")

    async def frame(self, query: str) -> pl.DataFrame:
        """The rows of a query as a frame, between two points."""
        self._tell("before a frame")
        rows = await super().frame(query)
        self._tell("after a frame")
        return rows


class _Watched:
    """A connection, or a cursor of it, that tells before and after each statement."""

    def __init__(self, real: Any, tell: Pass) -> None:
        self._real = real
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def execute(self, query: object, *words: Any, **more: Any) -> Any:
        name = named(query)
        self._tell(f"before {name}")
        answer = await self._real.execute(query, *words, **more)
        self._tell(f"after {name}")
        return answer

    async def executemany(self, query: object, *words: Any, **more: Any) -> None:
        name = named(query)
        self._tell(f"before {name}")
        await self._real.executemany(query, *words, **more)
        self._tell(f"after {name}")

    def cursor(self, *words: Any, **more: Any) -> Any:
        return _Watched(self._real.cursor(*words, **more), self._tell)

    async def __aenter__(self) -> Self:
        await self._real.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> Any:
        return await self._real.__aexit__(*error)


def named(query: object) -> str:
    """What a statement is called: the file's name and its own."""
    return _names().get(query, "a statement") if isinstance(query, bytes) else "a statement"


@lru_cache
def _names() -> dict[bytes, str]:
    """The names of all our SQL, by its text."""
    subjects = [each.name.removesuffix(".sql") for each in files(queries.__module__).iterdir()]
    return {
        body: f"{subject}.{name}"
        for subject in sorted(subjects)
        if not subject.startswith("_") and subject != "__init__.py"
        for name, body in queries(subject).items()
    }
