"""A bot's SQLite database, read from a copy: nothing is ever written beside the bot's own file, not even a lock file.

Opening a database that is in use lets SQLite itself write beside it (`-shm`, `-wal`). So the file is copied first:

    a shared lock is taken as SQLite takes one (byte ranges; no byte changes): while it is held, no writer with a
    rollback journal changes the file; a writer with a write-ahead log may go on, into the log alone or by a checkpoint
    the file is copied, then the log (or the journal that a crash left)
    the log's head is looked at before and after: if it is another log now, the copy is made again

What the log holds at its end is a prefix of the bot's transactions, whole ones: SQLite's own recovery finds it in the
copy, and rolls a journal back there. The copy is for its owner alone and is removed at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from quaestor.errors import BadInput, NotFound, Temporary
from quaestor.legacy.found import Column, Table

MAGIC = b"SQLite format 3\0"
PENDING, SHARED, SHARED_SIZE = 0x40000000, 0x40000002, 510  # https://www.sqlite.org/lockingv3.html, os_unix.c
SUFFIXES = ("-wal", "-journal")
PATIENCE = 5.0  # seconds
SAMPLES = 200  # values of each column


class LegacyFile:
    """Implements `ports.LegacyFile`; a context manager over a copy in `folder`, which `make` makes where it lacks."""

    def __init__(self, path: Path, folder: Path, make: Callable[[], None] = lambda: None) -> None:
        self.name = path.name
        self.sha256 = ""
        self._path = path
        self._folder = folder
        self._make = make
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        _check(self._path)
        self._make()
        try:
            self._copy = tempfile.TemporaryDirectory(prefix="legacy-", dir=self._folder)
            copy = Path(self._copy.name) / "bot.db"
            _copied(self._path, copy)
            self.sha256 = _digest(copy)
            self._connection = self._opened(copy)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()
        self._connection = self._copy = None

    def _opened(self, copy: Path) -> sqlite3.Connection:
        """The copy, recovered, proved sound, and from then on read-only."""
        connection = sqlite3.connect(copy)
        try:
            with _said(self._path):
                connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
                connection.execute("pragma trusted_schema = off")
                (verdict,) = connection.execute("pragma quick_check(1)").fetchone()
                if verdict != "ok":
                    raise BadInput(_damaged(self._path, verdict))
                connection.execute("pragma query_only = on")
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise BadInput(f"{self._path} is closed; open it with `with`.")
        return self._connection

    def tables(self) -> Sequence[Table]:
        """Every table of the bot's, with some values of each column."""
        with _said(self._path):
            found = self._open.execute(
                "select name from sqlite_master where type in ('table', 'view') "
                "and substr(name, 1, 7) <> 'sqlite_' order by name"
            )
            return [table for (name,) in found.fetchall() if (table := self._table(name)) is not None]

    def _table(self, name: str) -> Table | None:
        """A table with values from its beginning and from all over it; None for one that only the bot can open."""
        with suppress(sqlite3.OperationalError):  # a virtual table or a view that needs the bot's own functions
            (rows,) = self._open.execute(f"select count(*) from {_quoted(name)}").fetchone()  # noqa: S608  # quoted
            declared = dict(self._open.execute("select name, type from pragma_table_info(?)", (name,)))
            key = self._key(name, list(declared))
            step = max(1, rows // SAMPLES)
            some = f"where {key} % {step} = 0 or {key} <= 20" if key else ""
            cursor = self._open.execute(f"select * from {_quoted(name)} {some} limit {SAMPLES}")  # noqa: S608  # quoted
            values = zip(*cursor.fetchall(), strict=True) if rows else ()
            named = dict(zip((column[0] for column in cursor.description), values, strict=False))
            names = [column[0] for column in cursor.description]  # generated columns too
            columns = [Column(column, declared.get(column) or "", named.get(column, ())) for column in names]
            return Table(name, columns, rows, bool(key))
        return None

    def _key(self, table: str, columns: Sequence[str]) -> str:
        """What a table calls its rowid; "" where it has none (a view, or one made `without rowid`)."""
        free = [name for name in ("rowid", "_rowid_", "oid") if name not in map(str.lower, columns)]
        kind = self._open.execute("select type from sqlite_master where name = ?", (table,)).fetchone()
        with suppress(sqlite3.OperationalError):
            if free and kind == ("table",):
                self._open.execute(f"select {free[0]} from {_quoted(table)} limit 0")  # noqa: S608  # quoted
                return free[0]
        return ""

    def rows(self, table: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Every row with its rowid, in the order of rowids."""
        with _said(self._path):
            declared = [name for (name,) in self._open.execute("select name from pragma_table_info(?)", (table,))]
            key = self._key(table, declared)
            cursor = self._open.execute(f"select {key}, * from {_quoted(table)} order by {key}")  # noqa: S608  # quoted
            names = [description[0] for description in cursor.description[1:]]
            for row_id, *values in cursor:
                yield row_id, dict(zip(names, values, strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check(path: Path) -> None:
    """Raise for what is no SQLite database, before anything is copied."""
    if not path.exists():
        near = get_close_matches(path.name, _beside(path), n=1, cutoff=0.5)
        hint = f" Did you mean {str(path.with_name(near[0]))!r}?" if near else " Check the path."
        raise NotFound(f"There is no file {path}.{hint}")
    if not path.is_file():
        raise BadInput(f"{path} is no file; name the bot's database itself, such as bot.db.")
    with _readable(path), path.open("rb") as file:
        head = file.read(100)
    if not head:
        raise BadInput(f"{path} is empty; name the database that the bot writes.")
    if not head.startswith(MAGIC):
        raise BadInput(f"{path} is not an SQLite database, {_looks(head, path.stat().st_size)}")


def _beside(path: Path) -> list[str]:
    with suppress(OSError):
        return [each.name for each in path.parent.iterdir() if each.is_file()]
    return []


def _looks(head: bytes, size: int) -> str:
    if all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        return "it looks like text. Name the bot's .db file; CSV files are read with `quaestor ingest`."
    if size % 512 == 0:
        return "or it is encrypted (SQLCipher). Decrypt it with the bot's key into a plain copy, and name the copy."
    return "or it is damaged. Name the bot's .db file, or restore it from a backup."


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror}); see its permissions and the room on the disk."
        ) from error


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """SQLite's errors in our words."""
    try:
        yield
    except sqlite3.Error as error:
        raise BadInput(_damaged(path, str(error))) from error


def _damaged(path: Path, said: str) -> str:
    cure = 'rescue what is left with `sqlite3 bot.db ".recover" | sqlite3 new.db`, or restore a backup'
    return f"{path} is damaged ({' '.join(said.split())[:100]}); {cure}."


def _copied(path: Path, copy: Path) -> None:
    """Copy the database as of one moment. Raises Temporary where the bot does not let go of it for so long."""
    until = time.monotonic() + PATIENCE
    with _readable(path), path.open("rb") as file:
        while not _try_copy(path, file, copy):
            if time.monotonic() > until:
                raise Temporary(f"{path} is being written to without a pause; stop the bot for a moment, or try again.")
            time.sleep(0.05)


def _try_copy(path: Path, file: BinaryIO, copy: Path) -> bool:
    """Copy under a shared lock; False where a writer was faster. (Closing another handle of it would drop the lock.)"""
    with _locked(file.fileno()) as locked:
        if not locked:
            return False
        before = _state(path)
        file.seek(0)
        with copy.open("wb") as target:
            shutil.copyfileobj(file, target, 1 << 20)
        for suffix in SUFFIXES:
            beside, twin = Path(f"{path}{suffix}"), Path(f"{copy}{suffix}")
            twin.unlink(missing_ok=True)
            with suppress(FileNotFoundError):  # the bot has none, or has just ended
                shutil.copyfile(beside, twin)
        return _state(path) == before


@contextmanager
def _locked(handle: int) -> Iterator[bool]:
    """SQLite's shared lock: first a glance whether a writer waits, then the range that readers share."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, PENDING)
        fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED_SIZE, SHARED)
        fcntl.lockf(handle, fcntl.LOCK_UN, 1, PENDING)
    except OSError:
        fcntl.lockf(handle, fcntl.LOCK_UN)
        yield False
        return
    try:
        yield True
    finally:
        fcntl.lockf(handle, fcntl.LOCK_UN)


def _state(path: Path) -> tuple[object, ...]:
    """What must not change while we copy: which log it is and, where there is none, the file and its journal."""
    with suppress(FileNotFoundError), Path(f"{path}-wal").open("rb") as log:
        if head := log.read(32):
            return ("wal", head)
    stamps: list[object] = []
    for each in (path, Path(f"{path}-journal")):
        with suppress(FileNotFoundError):
            stat = each.stat()
            stamps.append((stat.st_size, stat.st_mtime_ns))
    return tuple(stamps)


def _digest(copy: Path) -> str:
    """SHA-256 of the file's content, and of its log where it has one."""
    found = hashlib.sha256()
    for each in (copy, Path(f"{copy}-wal")):
        if each.exists():
            with each.open("rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
    return found.hexdigest()
