"""No error of psycopg's, its pool's or SQLAlchemy's is left without a meaning of ours: each class is tried."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import psycopg
import psycopg.transaction
import psycopg_pool
import pytest
import sqlalchemy.exc

from quaestor import errors as ours
from quaestor.doors.postgres import database
from quaestor.doors.postgres.translated import CLASSES, CODES, FAULT, NAMES, meaning, refused, translate, translated
from quaestor.errors import BadConfig, BadInput, BooksDisagree, DatabaseDown, PartMissing, Permanent, QuaestorError

PLACE = "db.example/books"


def below(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for child in kind.__subclasses__():
        yield from below(child)


def listed(*modules: object) -> set[type[Exception]]:
    found = (kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass))
    return {kind for kind in found if issubclass(kind, psycopg.Error | psycopg.Warning)}


PSYCOPG = sorted(
    {*below(psycopg.Error), *below(psycopg.Warning), *listed(psycopg, psycopg.errors, psycopg_pool)},
    key=lambda kind: (getattr(kind, "sqlstate", None) or "", kind.__name__),
)
SQLALCHEMY = sorted(below(sqlalchemy.exc.SQLAlchemyError), key=lambda kind: kind.__name__)
CODED = {kind.sqlstate: kind for kind in PSYCOPG if getattr(kind, "sqlstate", None)}
OURS = {kind for _, kind in inspect.getmembers(ours, inspect.isclass) if issubclass(kind, QuaestorError)}


def test_the_walk_finds_them_all() -> None:
    assert {psycopg.Error, psycopg.Warning, psycopg.OperationalError, psycopg.InterfaceError} <= set(PSYCOPG)
    assert {psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed, psycopg_pool.TooManyRequests} <= set(PSYCOPG)
    assert psycopg.transaction.OutOfOrderTransactionNesting in PSYCOPG
    assert len(CODED) > 250


@pytest.mark.parametrize("kind", PSYCOPG, ids=lambda kind: f"{getattr(kind, 'sqlstate', None) or ''} {kind.__name__}")
def test_every_error_of_psycopg_leaves_the_door_in_our_words(kind: type[Exception]) -> None:
    with pytest.raises(QuaestorError) as caught, translated(PLACE):
        raise kind("it said so")
    assert type(caught.value) in OURS - {QuaestorError}
    assert isinstance(caught.value.__cause__, kind)
    message = str(caught.value)
    assert PLACE in message
    assert "it said so" in message
    assert "{" not in message
    assert message.endswith(".")
    assert len(message) < 320


@pytest.mark.parametrize("kind", SQLALCHEMY, ids=lambda kind: kind.__name__)
def test_every_error_of_sqlalchemy_has_a_meaning(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    assert meaning(error).kind in OURS - {QuaestorError}


@pytest.mark.parametrize("code", CODED)
def test_whatever_an_ancestor_is_called_a_code_decides(code: str) -> None:
    assert meaning(CODED[code]()) is (CODES.get(code) or CLASSES.get(code[:2]) or FAULT)


def test_a_class_of_codes_that_we_did_not_judge_is_noticed() -> None:
    judged = {code[:2] for code in CODES} | set(CLASSES)
    left = " ".join(sorted({code[:2] for code in CODED} - judged))
    assert left == "02 03 09 0B 0F 0L 0Z 10 20 21 24 27 2B 2D 34 39 3B HV", "a statement of ours would be wrong"


def test_the_map_has_no_name_or_code_that_psycopg_does_not_know() -> None:
    assert set(CODES) <= set(CODED)
    assert set(CLASSES) <= {code[:2] for code in CODED}
    assert set(NAMES) <= {kind.__name__ for kind in PSYCOPG}


E = psycopg.errors
MEANT = [
    pytest.param(E.UndefinedTable, PartMissing, "db upgrade", id="no tables yet: a person upgrades"),
    pytest.param(E.UndefinedColumn, PartMissing, "db upgrade", id="tables older than the code"),
    pytest.param(E.UndefinedFunction, PartMissing, "db upgrade", id="functions older than the code"),
    pytest.param(E.InvalidSchemaName, PartMissing, "db upgrade", id="the paper broker's schema is not there"),
    pytest.param(E.FeatureNotSupported, PartMissing, "15 or newer", id="a server that is too old"),
    pytest.param(E.AdminShutdown, DatabaseDown, "broke", id="an administrator ended it: it comes back"),
    pytest.param(E.CrashShutdown, DatabaseDown, "broke", id="the server crashed: it recovers"),
    pytest.param(E.CannotConnectNow, DatabaseDown, "broke", id="the server is starting"),
    pytest.param(E.IdleInTransactionSessionTimeout, DatabaseDown, "broke", id="we slept in a transaction"),
    pytest.param(E.ConnectionFailure, DatabaseDown, "broke", id="the line is cut"),
    pytest.param(E.TransactionResolutionUnknown, DatabaseDown, "not known", id="cut while it committed"),
    pytest.param(E.StatementCompletionUnknown, DatabaseDown, "not known", id="nobody knows whether it was done"),
    pytest.param(E.ReadOnlySqlTransaction, DatabaseDown, "no writes now", id="a standby before its failover"),
    pytest.param(E.SerializationFailure, DatabaseDown, "run it again", id="two at once: the second tries again"),
    pytest.param(E.DeadlockDetected, DatabaseDown, "run it again", id="a deadlock's victim tries again"),
    pytest.param(E.QueryCanceled, DatabaseDown, "too long", id="statement_timeout"),
    pytest.param(E.LockNotAvailable, DatabaseDown, "too long", id="lock_timeout"),
    pytest.param(E.TransactionTimeout, DatabaseDown, "too long", id="transaction_timeout"),
    pytest.param(E.DiskFull, DatabaseDown, "Free disk", id="writes go on when there is room"),
    pytest.param(E.OutOfMemory, DatabaseDown, "Free disk or memory", id="memory comes back"),
    pytest.param(E.TooManyConnections, DatabaseDown, "max_connections", id="others leave"),
    pytest.param(E.IoError, DatabaseDown, "its log", id="the server's disk"),
    pytest.param(psycopg.OperationalError, DatabaseDown, "broke", id="no code: the connection is lost"),
    pytest.param(E.ConnectionTimeout, DatabaseDown, "broke", id="nobody answered in time"),
    pytest.param(psycopg_pool.PoolTimeout, DatabaseDown, "no connection in time", id="the pool is empty"),
    pytest.param(psycopg_pool.TooManyRequests, DatabaseDown, "no connection in time", id="the pool's queue is full"),
    pytest.param(psycopg_pool.PoolClosed, DatabaseDown, "door is closed", id="used after its end"),
    pytest.param(E.InsufficientPrivilege, BadConfig, "Grant it", id="a right is missing: a person grants it"),
    pytest.param(E.InvalidPassword, BadConfig, "Check user, password", id="a retry would lock the account"),
    pytest.param(E.InvalidCatalogName, BadConfig, "database name", id="no such database"),
    pytest.param(E.DatabaseDropped, BadConfig, "database name", id="it was dropped under us"),
    pytest.param(E.DuplicatePreparedStatement, BadConfig, "session mode", id="a pooler in between"),
    pytest.param(E.DuplicateTable, BadConfig, "of its own", id="somebody else's tables"),
    pytest.param(E.UniqueViolation, BadInput, "stored already", id="law 1: a second is refused"),
    pytest.param(E.CheckViolation, BadInput, "correct the input", id="a value that a table refuses"),
    pytest.param(E.ForeignKeyViolation, BadInput, "correct the input", id="what it points to is not there"),
    pytest.param(E.NotNullViolation, BadInput, "correct the input", id="a value is missing"),
    pytest.param(E.InvalidTextRepresentation, BadInput, "correct the input", id="no number"),
    pytest.param(psycopg.DataError, BadInput, "correct the input", id="a NUL in a text never reaches the server"),
    pytest.param(E.StatementTooComplex, BadInput, "less at once", id="the same statement is as large again"),
    pytest.param(E.RaiseException, BooksDisagree, "quaestor status", id="a trigger of the books says no"),
    pytest.param(E.IndexCorrupted, Permanent, "restore a backup", id="a damaged index answers wrongly"),
    pytest.param(E.SyntaxError, Permanent, "(code 42601)", id="our SQL is wrong: a defect"),
    pytest.param(E.InFailedSqlTransaction, Permanent, "defect", id="we went on after an error: a defect"),
    pytest.param(psycopg.ProgrammingError, Permanent, "defect", id="a wrong use of psycopg"),
    pytest.param(psycopg.InterfaceError, Permanent, "defect", id="a cursor used after its end"),
]


@pytest.mark.parametrize(("kind", "expected", "says"), MEANT)
def test_an_error_is_named_by_what_happens_next(
    kind: type[Exception], expected: type[QuaestorError], says: str
) -> None:
    error = translate(kind("it said so"), PLACE)
    assert type(error) is expected
    assert says in str(error)


def test_a_code_that_nobody_knows_is_a_fault_of_ours_that_names_it() -> None:
    class Unheard(psycopg.OperationalError):
        sqlstate = "ZZ123"

    assert "(code ZZ123)" in str(translate(Unheard("well"), PLACE))
    assert meaning(Unheard("well")) is FAULT


def test_what_is_not_the_databases_passes_untouched() -> None:
    for error in (LookupError("ours"), ours.LeaseHeld("another"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, translated(PLACE):
            raise error
        assert caught.value is error


def test_only_the_first_line_is_repeated_and_no_value_of_a_row() -> None:
    detail = psycopg.errors.UniqueViolation('duplicate key "intent_pkey"\nDETAIL:  Key (word)=(hunter2) exists.')
    value = psycopg.errors.InvalidTextRepresentation('invalid input syntax for type integer: "hunter2"')
    parsed = psycopg.DataError("can't parse date 'hunter2'")
    for error in (detail, value, parsed):
        assert "hunter2" not in str(translate(error, PLACE))
    assert "invalid input syntax for type integer: …." in str(translate(value, PLACE))
    assert "intent_pkey" in str(translate(detail, PLACE))


REFUSED = [
    pytest.param("Connection refused\n\tIs it running?", DatabaseDown, "not answer: Connection refused.", id="nobody"),
    pytest.param("FATAL:  the database system is starting up", DatabaseDown, "does not answer", id="not yet"),
    pytest.param("FATAL:  sorry, too many clients already", DatabaseDown, "does not answer", id="no place left"),
    pytest.param('FATAL:  password authentication failed for user "me"', BadConfig, "let us in: pass", id="password"),
    pytest.param('FATAL:  database "books" does not exist', BadConfig, "let us in: database", id="no such database"),
    pytest.param(
        'FATAL:  no pg_hba.conf entry for host "1.2.3.4"', BadConfig, "let us in: no pg_hba", id="not from here"
    ),
    pytest.param(
        "Multiple connection attempts failed. All failures were:\n- host: 'a': timeout", DatabaseDown, "'a'", id="two"
    ),
]


@pytest.mark.parametrize(("said", "expected", "says"), REFUSED)
def test_a_refused_connection_has_no_code_and_is_known_by_its_words(
    said: str, expected: type[QuaestorError], says: str
) -> None:
    error = refused(psycopg.OperationalError(said), PLACE)
    assert type(error) is expected
    assert says in str(error)
    assert "QUAESTOR_DATABASE_URL" in str(error)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://me:hunter%zz2@localhost/books", id="a percent sign that begins no character"),
        pytest.param("postgresql://me:hunter%002@localhost/books", id="a NUL in a password"),
        pytest.param("postgresql://me:hunter2@localhost/books?hunter2", id="an option without a value"),
        pytest.param(f"postgresql://me:hunter2@{'a' * 300}/books", id="a host that no name server knows"),
    ],
)
async def test_a_url_that_psycopg_does_not_understand_is_not_told_on(url: str) -> None:
    with pytest.raises(BadConfig, match="The database URL is not understood") as caught:
        async with database.Database(url):
            pass
    assert "hunter" not in str(caught.value)
    assert caught.value.__suppress_context__
