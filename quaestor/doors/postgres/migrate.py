"""Migrations: `quaestor db upgrade` brings any database to the newest schema; two that start together do it once."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.doors.postgres.database import CONNECT_TIMEOUT, connecting, shown
from quaestor.doors.postgres.translated import first_line, refused, translate
from quaestor.errors import PartMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

FOLDER = Path(__file__).parent / "migrations"
LOCK = 7_138_242  # an advisory lock of ours: one migration at a time


def upgrade(uri: str) -> str:
    """Run all missing migrations in one transaction; the revision reached. Cheap when none is missing."""
    if current(uri) == head():
        return head()
    from alembic import command
    from alembic.util import CommandError

    with _connection(uri) as connection:
        try:
            command.upgrade(_config(connection), "head")
        except CommandError as error:
            raise PartMissing(
                f"The tables of {shown(uri)} cannot be upgraded by this code, which ends at {head()}: "
                f"{first_line(error)}. Are they newer? Then install the newer Quaestor."
            ) from error
        return head()


def head() -> str:
    """The newest revision this code knows: migrations are numbered, one after the other (a test holds them to it)."""
    return max(path.name for path in (FOLDER / "versions").glob("[0-9]*.py")).partition("_")[0]


def current(uri: str) -> str | None:
    """The revision the database has; None for one without our tables."""
    import psycopg

    with connecting(uri), psycopg.connect(uri, connect_timeout=CONNECT_TIMEOUT) as connection:
        try:
            row = connection.execute("select version_num from alembic_version").fetchone()
        except psycopg.errors.UndefinedTable:
            return None
    return str(row[0]) if row else None


def differences(uri: str) -> list[Any]:
    """What the tables in `schema` have and the database has not, or the other way round; empty when all is well."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from quaestor.doors.postgres.schema import metadata

    with _connection(uri) as connection:
        options = {"include_schemas": True, "compare_type": True, "include_name": _ours}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def _ours(name: str | None, kind: str, parents: Any) -> bool:
    del parents
    part = kind == "table" and name is not None and re.fullmatch(r"(bar|tick)_\w*p\d{4}(_\d\d)?", name)
    return not part and (kind != "schema" or name in {None, "paper"})


def _config(connection: Connection) -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connection(uri: str) -> Iterator[Connection]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import OperationalError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    engine = create_engine(uri.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            yield connection
    except OperationalError as error:
        raise refused(error.orig or error, shown(uri)) from error
    except SQLAlchemyError as error:
        raise translate(getattr(error, "orig", None) or error, shown(uri)) from error
    finally:
        engine.dispose()
