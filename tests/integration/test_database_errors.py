"""A real PostgreSQL says no in each of its ways, and the door says it in our words: what, where, the cure."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from quaestor.doors.postgres import migrate
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.database import Database, shown
from quaestor.doors.postgres.reads import Reads
from quaestor.errors import BadConfig, BadInput, BooksDisagree, DatabaseDown, PartMissing, Permanent, QuaestorError
from tests.integration.in_process import quaestor

NOBODY = "postgresql://me:hunter2@localhost:1/books"
PID = b"select pg_backend_pid() as pid"


def change(uri: str, statement: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement.encode())


def end(uri: str, pid: int) -> None:
    change(uri, f"select pg_terminate_backend({pid}, 5000)")


# ── a schema that is older or newer than the code ─────────────────────────────────────────────────────────────────────


async def test_a_missing_column_says_how_to_upgrade(database: Database, database_uri: str) -> None:
    change(database_uri, "alter table lot drop column cost cascade")  # and the views over it
    with pytest.raises(PartMissing, match=r"column .*cost.*Run `quaestor db upgrade`") as caught:
        await BookStore(database, "main").lots()
    assert shown(database_uri) in str(caught.value)
    with Reads(database_uri, "main") as reads, pytest.raises(PartMissing, match="Run `quaestor db upgrade`"):
        reads.rows("positions")


async def test_a_missing_table_or_schema_says_how_to_upgrade(database: Database, database_uri: str) -> None:
    change(database_uri, "drop table lot cascade")
    with pytest.raises(PartMissing, match=r'"lot" does not exist\. Run `quaestor db upgrade`'):
        await BookStore(database, "main").lots()
    change(database_uri, "drop schema paper cascade")
    with pytest.raises(PartMissing, match="Run `quaestor db upgrade`"):
        await database.fetch(b"create table paper.more (n int)")


@pytest.mark.parametrize(
    "older",
    [
        pytest.param("alter table equity drop column session cascade", id="a column is missing"),
        pytest.param("drop table equity cascade", id="a table is missing"),
    ],
)
def test_status_of_an_old_schema_says_how_to_upgrade(database_uri: str, tmp_path: Path, older: str) -> None:
    change(database_uri, older)
    environment = {"QUAESTOR_DATABASE_URL": database_uri, "QUAESTOR_HOME": str(tmp_path)}
    done = quaestor("status", environment=environment)
    assert done.returncode == 1, done.stdout
    assert "Run `quaestor db upgrade`" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "psycopg" not in done.stderr


def test_a_schema_newer_than_the_code_is_not_touched(database_uri: str) -> None:
    change(database_uri, "update alembic_version set version_num = '9999'")
    with pytest.raises(PartMissing, match=r"'9999'\. Are they newer\? Then install the newer Quaestor"):
        migrate.upgrade(database_uri)
    assert migrate.current(database_uri) == "9999"


def test_somebody_elses_tables_are_not_migrated_over(database_uri: str) -> None:
    change(database_uri, "delete from alembic_version")
    with pytest.raises(BadConfig, match=r"already exists\. Give Quaestor a database of its own"):
        migrate.upgrade(database_uri)


# ── a connection that breaks, or never stands ─────────────────────────────────────────────────────────────────────────


async def cut(database: Database, *after: bytes) -> None:
    """A transaction whose connection an administrator ends, and what it still tries to do."""
    async with database.transaction() as connection:
        row = await (await connection.execute(PID)).fetchone()
        assert row is not None
        await connection.execute(b"insert into note values (1)")
        end(database.uri, row["pid"])
        for statement in after:
            await connection.execute(statement)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([b"insert into note values (2)"], id="the next statement notices"),
        pytest.param([], id="only the commit notices"),
    ],
)
async def test_a_connection_ended_in_a_transaction_is_temporary_and_leaves_nothing(
    database: Database, after: list[bytes]
) -> None:
    change(database.uri, "create table note (n int)")
    with pytest.raises(DatabaseDown, match="The database connection broke"):
        await cut(database, *after)
    assert await database.fetch(b"select * from note") == []


async def test_a_connection_that_ended_in_the_pool_is_temporary(database: Database, database_uri: str) -> None:
    (row,) = await database.fetch(PID)
    end(database_uri, row["pid"])
    with pytest.raises(DatabaseDown, match="The database connection broke"):
        await database.fetch(PID)
    assert await database.fetch(b"select 1 as one") == [{"one": 1}]


def test_the_consoles_connection_breaks_in_our_words(database_uri: str) -> None:
    with Reads(database_uri, "main") as reads:
        assert reads._connection is not None
        end(database_uri, reads._connection.info.backend_pid)
        with pytest.raises(DatabaseDown, match="The database connection broke"):
            reads.rows("latches")


async def test_a_full_pool_and_a_closed_one_are_temporary(database_uri: str) -> None:
    async with Database(database_uri, size=1) as door:
        assert door._pool is not None
        door._pool.timeout = 0.1
        async with door.transaction():
            with pytest.raises(DatabaseDown, match="gave us no connection in time"):
                await door.fetch(PID)
    with pytest.raises(DatabaseDown, match="The database door is closed"):
        await door.fetch(PID)


async def test_a_port_where_nobody_listens_is_temporary_at_every_entrance() -> None:
    said = r"The database at localhost:1/books does not answer: .*QUAESTOR_DATABASE_URL"
    errors = []
    with pytest.raises(DatabaseDown, match=said) as caught:
        async with Database(NOBODY):
            pass
    errors.append(caught.value)
    with pytest.raises(DatabaseDown, match=said) as caught, Reads(NOBODY, "main"):
        pass
    errors.append(caught.value)
    for entrance in (migrate.current, migrate.upgrade, migrate.differences):
        with pytest.raises(DatabaseDown, match=said) as caught:
            entrance(NOBODY)
        errors.append(caught.value)
    assert not any("hunter2" in str(error) for error in errors)


async def test_a_wrong_password_and_a_wrong_name_need_a_person(database_uri: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database_uri)["dbname"]
    user, _, rest = database_uri.removeprefix("postgresql://").partition(":")
    stranger = f"postgresql://{user}:hunter2@{rest.partition('@')[2]}"
    elsewhere = database_uri.replace(f"/{name}?", "/nowhere?")
    for uri, said in ((stranger, "password authentication failed"), (elsewhere, '"nowhere" does not exist')):
        with pytest.raises(BadConfig, match=f"does not let us in: .*{said}") as caught:
            async with Database(uri):
                pass
        assert "hunter2" not in str(caught.value)
        with pytest.raises(BadConfig, match=said):
            migrate.upgrade(uri)


# ── a statement that is refused ───────────────────────────────────────────────────────────────────────────────────────

NOTES = "create table note (word text primary key, n int not null check (n > 0), of text references note)"
STATEMENTS = [
    pytest.param("insert into note values ('hunter2', 2)", BadInput, '"note_pkey"', id="a key that is there"),
    pytest.param("insert into note values ('hunter2x', -1)", BadInput, '"note_n_check"', id="a value out of bounds"),
    pytest.param("insert into note values ('hunter2x')", BadInput, '"n" of relation "note"', id="a value missing"),
    pytest.param("insert into note values ('b', 1, 'hunter2x')", BadInput, '"note_of_fkey"', id="nothing it points to"),
    pytest.param("select 'hunter2'::int", BadInput, "invalid input syntax", id="no number"),
    pytest.param("set transaction read only; delete from note", DatabaseDown, "takes no writes now", id="read-only"),
    pytest.param("set local statement_timeout = 50; select pg_sleep(5)", DatabaseDown, "took too long", id="slow"),
    pytest.param("select * from pg_authid", BadConfig, "permission denied for table pg_authid", id="no right to it"),
    pytest.param("selekt 'hunter2'", Permanent, r"\(code 42601\)", id="no SQL"),
    pytest.param("do $$ begin raise exception 'no'; end $$", BooksDisagree, "The books refuse it", id="a trigger"),
]


async def run(database: Database, statements: str) -> None:
    """After a write, these in one transaction."""
    async with database.transaction() as connection:
        await connection.execute(b"insert into note values ('before', 1)")
        for statement in [statements] if "$$" in statements else statements.split("; "):
            await connection.execute(statement.encode())


@pytest.mark.parametrize(("statements", "expected", "says"), STATEMENTS)
async def test_a_refused_statement_is_named_by_what_happens_next_and_tells_no_row(
    database: Database, database_uri: str, statements: str, expected: type[QuaestorError], says: str
) -> None:
    change(database_uri, NOTES)
    await database.fetch(b"insert into note values ('hunter2', 1) returning n")
    with pytest.raises(expected, match=says) as caught:
        await run(database, statements)
    assert type(caught.value) is expected
    assert "hunter2" not in str(caught.value)
    assert shown(database_uri) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert await database.fetch(b"select word from note") == [{"word": "hunter2"}]


async def test_what_psycopg_itself_refuses_is_ours_too(database: Database) -> None:
    with pytest.raises(BadInput, match="cannot take a value"):
        await database.fetch(b"select %s::text", ["a\0b"])
    with pytest.raises(Permanent, match="report this as a defect"):
        await database.fetch(b"select %s", [])
    with pytest.raises(Permanent, match="report this as a defect"):
        await database.fetch(b"set application_name = 'quaestor'")


async def overtaken(database: Database) -> None:
    """A transaction changes what another has changed since it looked."""
    async with database.transaction() as late:
        await late.execute(b"set transaction isolation level repeatable read")
        await late.execute(b"select * from note")
        async with database.transaction() as early:
            await early.execute(b"update note set n = 2")
        await late.execute(b"update note set n = 3")


async def locked_out(database: Database) -> None:
    """A transaction waits for a row that another holds."""
    async with database.transaction() as holder, database.transaction() as waiting:
        await holder.execute(b"update note set n = 4")
        await waiting.execute(b"set local lock_timeout = 50")
        await waiting.execute(b"update note set n = 5")


async def test_two_transactions_over_one_row_are_temporary(database: Database, database_uri: str) -> None:
    change(database_uri, "create table note as select 1 as n")
    with pytest.raises(DatabaseDown, match=r"Another transaction was in the way.*run it again"):
        await overtaken(database)
    with pytest.raises(DatabaseDown, match=r"A statement took too long.*lock timeout"):
        await locked_out(database)
    assert await database.fetch(b"select n from note") == [{"n": 2}]


def test_the_migrations_own_refusals_are_ours_too(database_uri: str) -> None:
    with pytest.raises(PartMissing, match="Run `quaestor db upgrade`"), migrate._connection(database_uri) as connection:
        connection.exec_driver_sql("select * from nothing")
    with pytest.raises(BadConfig, match="permission denied"), migrate._connection(database_uri) as connection:
        connection.exec_driver_sql("select * from pg_authid")
