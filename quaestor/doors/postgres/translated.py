"""PostgreSQL's errors in our words: nothing of psycopg's, its pool's or SQLAlchemy's leaves this door.

What PostgreSQL says has a code (SQLSTATE): five characters, of which the first two are its class. The exact code
decides first, then the class. What has no code (a lost connection, the pool, a wrong use of psycopg) is known by the
name of its exception or of the nearest ancestor. Whatever is left is a fault of ours: a retry would repeat it.

All that passes by itself is a `DatabaseDown`: the lease's renewer, tasks and the console ask for it by this name.

PostgreSQL's first line is repeated, never its DETAIL or CONTEXT, which hold rows, nor a value quoted in a data error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from quaestor.errors import BadConfig, BadInput, BooksDisagree, DatabaseDown, PartMissing, Permanent, QuaestorError

ADDRESS = "QUAESTOR_DATABASE_URL or [database] url"


@dataclass(frozen=True)
class Meaning:
    """What happens next, what happened and where, the cure; whether values may stand in what was said."""

    kind: type[QuaestorError]
    happened: str
    cure: str
    values: bool = False


FAULT = Meaning(
    Permanent,
    "The database at {place} refused a statement of Quaestor's",
    "Nothing of it was written; report this as a defect.",
)
LOST = Meaning(
    DatabaseDown,
    "The database connection broke ({place})",
    "Run it again; if it stays, see `quaestor doctor`.",
)
CLOSED = Meaning(DatabaseDown, "The database door is closed ({place})", "Open it with `async with`.")
BUSY = Meaning(
    DatabaseDown,
    "The database at {place} gave us no connection in time",
    "Run it again; if it stays, see `quaestor doctor`.",
)
SLOW = Meaning(
    DatabaseDown,
    "A statement took too long and was ended ({place})",
    "Nothing of it was written; run it again when less runs beside it.",
)
COLLIDED = Meaning(
    DatabaseDown,
    "Another transaction was in the way ({place})",
    "Nothing was written; run it again.",
)
IN_DOUBT = Meaning(
    DatabaseDown,
    "Whether the last transaction was kept is not known ({place})",
    "Run it again: what is there already is not written twice.",
)
FULL = Meaning(
    DatabaseDown,
    "The database at {place} has no room or no connections left",
    "Free disk or memory there, or raise max_connections; then run it again.",
)
STUMBLED = Meaning(
    DatabaseDown,
    "The server of {place} stumbled over its own disk or system",
    "Run it again; if it stays, its log says more.",
)
READ_ONLY = Meaning(
    DatabaseDown,
    "The database at {place} takes no writes now",
    f"It may be a standby, or its disk full. Run it again after the failover, or correct {ADDRESS}.",
)
OLD = Meaning(
    PartMissing,
    "The database at {place} has no Quaestor tables yet (or old ones)",
    "Run `quaestor db upgrade`.",
)
LACKING = Meaning(
    PartMissing,
    "The server of {place} lacks something",
    "Quaestor needs PostgreSQL 15 or newer; after an upgrade, start this process again.",
)
SHUT = Meaning(
    BadConfig,
    "The database at {place} does not let us in",
    f"Check user, password and database name in {ADDRESS}.",
)
FORBIDDEN = Meaning(
    BadConfig,
    "The database at {place} forbids it to our user",
    f"Grant it, or put the user who owns the tables into {ADDRESS}.",
)
POOLED = Meaning(
    BadConfig,
    "The database at {place} lost a prepared statement, as a pooler in transaction mode does",
    f"Let {ADDRESS} name the server itself, or a pooler in session mode.",
)
MISCONFIGURED = Meaning(
    BadConfig,
    "The server of {place} refuses a setting",
    "Correct its configuration; its log says more.",
)
TAKEN = Meaning(
    BadConfig,
    "The database at {place} holds something of that name that is not ours",
    f"Give Quaestor a database of its own in {ADDRESS}.",
)
RULED_OUT = Meaning(
    BadInput,
    "A rule of the tables refuses it ({place})",
    "Nothing of it was written; correct the input, or look whether it is stored already.",
)
BAD_VALUE = Meaning(
    BadInput,
    "The database at {place} cannot take a value",
    "Nothing of it was written; correct the input.",
    values=True,
)
TOO_LARGE = Meaning(
    BadInput,
    "A statement is too large for the database at {place}",
    "Nothing of it was written; ask for less at once.",
)
UNPROVEN = Meaning(
    BooksDisagree,
    "The books refuse it ({place})",
    "Nothing of it was written; see `quaestor status`.",
)
DAMAGED = Meaning(
    Permanent,
    "The database at {place} is damaged",
    "Stop trading, and restore a backup.",
)

CODES = {
    "08007": IN_DOUBT,  # the connection went while it committed
    "25006": READ_ONLY,
    "25P03": LOST,  # idle in a transaction: the server ended the session
    "25P04": SLOW,
    "26000": POOLED,
    "2F002": READ_ONLY,
    "38002": READ_ONLY,
    "3D000": SHUT,
    "3F000": OLD,  # the schema `paper`
    "40002": RULED_OUT,
    "40003": IN_DOUBT,
    "42501": FORBIDDEN,
    "42701": TAKEN,
    "42703": OLD,  # a column
    "42704": OLD,  # a type
    "42710": TAKEN,
    "42723": TAKEN,
    "42804": OLD,  # a column that had another type
    "42883": OLD,  # a function
    "42P01": OLD,  # a table
    "42P05": POOLED,
    "42P06": TAKEN,
    "42P07": TAKEN,
    "42P10": OLD,  # the unique key of an "on conflict"
    "55P02": MISCONFIGURED,
    "55P03": SLOW,  # the wait for a lock
    "55P04": FAULT,
    "57014": SLOW,
    "57P04": SHUT,  # the database was dropped
    "58P01": LACKING,  # a file of an extension
    "P0001": UNPROVEN,  # our triggers: append-only tables, entries that balance
    "XX001": DAMAGED,
    "XX002": DAMAGED,
}
CLASSES = {
    "08": LOST,
    "0A": LACKING,
    "0P": SHUT,  # no such role
    "22": BAD_VALUE,
    "23": RULED_OUT,
    "28": SHUT,
    "40": COLLIDED,
    "44": RULED_OUT,
    "53": FULL,
    "54": TOO_LARGE,
    "55": COLLIDED,
    "57": LOST,  # shutting down, crashed, starting up
    "58": STUMBLED,
    "72": COLLIDED,
    "F0": MISCONFIGURED,
}
NAMES = {
    "DataError": BAD_VALUE,  # before it was sent, a NUL for one; or a value that Python cannot hold
    "IntegrityError": RULED_OUT,
    "NotSupportedError": LACKING,
    "OperationalError": LOST,
    "PoolClosed": CLOSED,
    "PoolTimeout": BUSY,
    "TooManyRequests": BUSY,
}
# A connection that is refused has no code, only words; in another language than English it "does not answer".
REFUSALS = re.compile(r"password authentication failed|no password supplied|no pg_hba\.conf entry|does not exist")
QUOTED = re.compile(r"(['\"]).*\1")


def meaning(error: BaseException) -> Meaning:
    """What an error of psycopg, its pool or SQLAlchemy means for us; a fault of ours when nothing else is known."""
    code = getattr(error, "sqlstate", None)
    if code:
        return CODES.get(code) or CLASSES.get(code[:2], FAULT)
    return next((NAMES[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in NAMES), FAULT)


def translate(error: BaseException, place: str) -> QuaestorError:
    """The error to raise in its place: what happened, where, PostgreSQL's own line, the cure."""
    found = meaning(error)
    return found.kind(f"{found.happened.format(place=place)}: {_said(error, found)}. {found.cure}")


def refused(error: BaseException, place: str) -> QuaestorError:
    """The error for a server that cannot be reached or entered; it has no code before a connection stands."""
    if getattr(error, "sqlstate", None):
        return translate(error, place)
    said = first_line(error)
    if REFUSALS.search(said):
        return SHUT.kind(f"{SHUT.happened.format(place=place)}: {said.rpartition('FATAL:')[2].strip()}. {SHUT.cure}")
    return DatabaseDown(
        f"The database at {place} does not answer: {said}. Check {ADDRESS}, or unset both to use the embedded server."
    )


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Whatever psycopg or its pool raises in the block leaves it in our words."""
    import psycopg

    try:
        yield
    except (psycopg.Error, psycopg.Warning) as error:
        raise translate(error, place) from error


def first_line(error: BaseException) -> str:
    """What the error says first; one that speaks of several attempts, what the first of them said."""
    lines = [line.strip().removeprefix("- ") for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Multiple connection attempts failed"):
        del lines[0]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _said(error: BaseException, found: Meaning) -> str:
    """PostgreSQL's primary message, or psycopg's first line; the table where it says none; the code of a fault."""
    diag = getattr(error, "diag", None)
    said = " ".join((getattr(diag, "message_primary", None) or first_line(error)).split()).rstrip(".")
    if found.values:
        said = QUOTED.sub("…", said)
    table, code = getattr(diag, "table_name", None), getattr(error, "sqlstate", None)
    said += f" (table {table})" if table and f'"{table}"' not in said else ""
    return f"{said} (code {code})" if code and found is FAULT else said
