"""Fixtures shared by all tests: one embedded PostgreSQL for the whole run, a fresh migrated database for each test."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

from tests.folders import temporary

for name in [name for name in os.environ if name.startswith(("QUAESTOR_", "PREFECT_"))]:
    del os.environ[name]
os.environ["DO_NOT_TRACK"] = "1"
_caches = tempfile.TemporaryDirectory(prefix="quaestor-caches-")  # importing Prefect or matplotlib writes into a home
os.environ |= {"PREFECT_HOME": f"{_caches.name}/prefect", "MPLCONFIGDIR": f"{_caches.name}/matplotlib"}
os.environ["QUAESTOR_HOME"] = f"{_caches.name}/home"  # a halt's file is written there, not into the machine's own


settings.register_profile("slice", max_examples=40)


def pytest_configure(config: pytest.Config) -> None:
    """`make test` tries a slice of the examples that `make test-full`, and whoever runs a file by hand, tries."""
    if "not full" in config.option.markexpr and not config.getoption("--hypothesis-profile"):
        settings.load_profile("slice")


@pytest.fixture(scope="session")
def server_uri() -> Iterator[str]:
    """An embedded server of our own in a folder in memory, or on the disk; gone afterwards."""
    from quaestor.doors.postgres.embedded import EmbeddedServer

    folder = temporary("quaestor-tests-")
    server = EmbeddedServer(folder / "home")
    try:
        yield server.acquire()
    finally:
        server.release()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template_uri(server_uri: str) -> str:
    """A migrated, empty database that each test copies."""
    from quaestor.wiring import upgrade

    uri = _create(server_uri, "template_books")
    upgrade(uri)
    return uri


@pytest.fixture
def database_uri(server_uri: str, template_uri: str) -> Iterator[str]:
    """A fresh migrated database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield _create(server_uri, name, template="template_books")
    _drop(server_uri, name)


@pytest.fixture
def empty_uri(server_uri: str) -> Iterator[str]:
    """A database without any table."""
    name = f"e{uuid.uuid4().hex[:12]}"
    yield _create(server_uri, name)
    _drop(server_uri, name)


@pytest.fixture
async def database(database_uri: str) -> AsyncIterator[object]:
    """An open door to a fresh migrated database."""
    from quaestor.doors.postgres.database import Database

    async with Database(database_uri) as door:
        yield door


def _create(server_uri: str, name: str, template: str = "template1") -> str:
    _run(server_uri, f'create database "{name}" template "{template}"')
    return server_uri.replace("/quaestor?", f"/{name}?")


def _drop(uri: str, name: str) -> None:
    """Make room; where an autovacuum worker is in it, which our role cannot end, it goes with the whole server."""
    import psycopg

    with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
        _run(uri, f'drop database "{name}" with (force)')


def _run(uri: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement)
