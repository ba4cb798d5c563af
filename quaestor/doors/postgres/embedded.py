"""The embedded PostgreSQL: started on demand, shared by processes, ended by the last of them.

Each process that uses the server holds a file lock in users/; the kernel drops it when the process ends, however it
ends. Who enters finds a server that answers (joined, adopted or started); who leaves counts the others, and the last
one out stops it, unless it is pinned (`quaestor up`). Each of these decisions is taken under the home's one lock.
A server left behind by a `kill -9` is adopted by the next who enters, and ends with him.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from quaestor.doors.postgres.binaries import check_reachable
from quaestor.doors.postgres.cluster import Cluster
from quaestor.doors.postgres.flocks import drop, exclusive, is_held, take
from quaestor.doors.postgres.postmaster import Postmaster
from quaestor.errors import BadConfig

__all__ = ["EmbeddedServer", "EmbeddedStatus", "check_reachable", "default_home"]


@dataclass(frozen=True)
class EmbeddedStatus:
    """How the embedded server is, seen without disturbing it."""

    initialized: bool
    running: bool
    pid: int | None
    version: str | None  # the major version its data folder was made by
    users: int  # processes that use it now
    pinned: bool
    socket_folder: Path | None
    data_folder: Path


class EmbeddedServer:
    """One process's use of the server whose cluster lies in `home`/postgres; a context manager that gives the URI.

    >>> with EmbeddedServer(default_home()) as uri:
    ...     psycopg.connect(uri)
    """

    def __init__(self, home: Path) -> None:
        self._cluster = Cluster(home.expanduser().resolve())
        self._postmaster = Postmaster(self._cluster)
        self._turn = threading.RLock()
        self._depth = 0
        self._place: tuple[Path, int] | None = None  # our file in users/ and the descriptor of its lock
        self._process = os.getpid()

    def __enter__(self) -> str:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> str:
        """Use the server, starting it where it does not run; the libpq URI of its database. May be nested.

        Raises BadConfig for a home that cannot be used, PartMissing without binaries, DatabaseDown when nothing starts.
        """
        with self._turn:
            self._forget_parents_place()
            with self._decision():
                self._postmaster.ensure()
                uri = self._cluster.uri()
                if self._place is None:
                    self._sign_in()
            self._depth += 1
            return uri

    def release(self) -> None:
        """Use it no longer; the last one out stops it. Without a matching `acquire` nothing happens."""
        with self._turn:
            self._forget_parents_place()
            self._depth = max(self._depth - 1, 0)
            if self._depth or self._place is None:
                return
            self._sign_out()
            with self._decision_where_there_is_one() as there:
                if there:
                    self._stop_if_unused()

    def pin(self) -> str:
        """Keep the server running with no process as its user, until `unpin` or `stop`; the URI."""
        with self._turn, self._decision():
            self._postmaster.ensure()
            self._cluster.pinned.touch()
            return self._cluster.uri()

    def unpin(self) -> None:
        """Let the server end with its last user; at once when there is none."""
        with self._turn, self._decision_where_there_is_one() as there:
            if there:
                self._cluster.pinned.unlink(missing_ok=True)
                self._stop_if_unused()

    def stop(self) -> None:
        """End the server whoever uses it; whoever acquires it next starts it again."""
        with self._turn, self._decision_where_there_is_one() as there:
            if there:
                self._cluster.pinned.unlink(missing_ok=True)
                self._postmaster.stop()

    def destroy(self) -> None:
        """End the server and remove its cluster with all books in it; nothing that is not ours."""
        with self._turn, self._decision_where_there_is_one() as there:
            if there:
                self._postmaster.stop()
                self._cluster.remove()
                self._cluster.lock.unlink()

    def status(self) -> EmbeddedStatus:
        """How it is now; starts, waits for and changes nothing."""
        cluster = self._cluster
        with _explained(cluster.home):
            version = cluster.data / "PG_VERSION"
            return EmbeddedStatus(
                initialized=cluster.initialized,
                running=self._postmaster.ready,
                pid=self._postmaster.pid,
                version=version.read_text().strip() if cluster.initialized else None,
                users=len(self._live_users()),
                pinned=cluster.pinned.exists(),
                socket_folder=cluster.socket_folder,
                data_folder=cluster.data,
            )

    @contextlib.contextmanager
    def _decision(self) -> Iterator[None]:
        """One process at a time, in a home that can be used; nothing is made where it cannot."""
        with _explained(self._cluster.home):
            check_reachable(self._cluster.home)
            self._cluster.check_ours()
            self._cluster.make_home()
            with exclusive(self._cluster.lock):
                self._cluster.make_folder()
                yield

    @contextlib.contextmanager
    def _decision_where_there_is_one(self) -> Iterator[bool]:
        """The same where there is a cluster; otherwise nothing is made, and the block hears False."""
        with _explained(self._cluster.home):
            there = self._cluster.folder.exists()
        with self._decision() if there else contextlib.nullcontext():
            yield there

    def _sign_in(self) -> None:
        file = self._cluster.users / f"{os.getpid()}-{os.urandom(4).hex()}"
        self._place = file, take(file)
        self._process = os.getpid()
        atexit.register(self._leave)

    def _sign_out(self) -> None:
        if self._place is not None:
            file, descriptor = self._place
            file.unlink(missing_ok=True)
            drop(descriptor)
            self._place = None
            atexit.unregister(self._leave)

    def _leave(self) -> None:
        """At the end of a process that forgot to release."""
        self._depth = min(self._depth, 1)
        self.release()

    def _forget_parents_place(self) -> None:
        """A forked child uses nothing yet, whatever its parent used; the locks themselves were closed by the fork."""
        if self._place is not None and self._process != os.getpid():
            self._place, self._depth = None, 0

    def _live_users(self) -> list[Path]:
        return [file for file in self._cluster.users.glob("*") if is_held(file)]

    def _stop_if_unused(self) -> None:
        live = self._live_users()
        for left in set(self._cluster.users.glob("*")) - set(live):
            left.unlink(missing_ok=True)
        if not live and not self._cluster.pinned.exists():
            self._postmaster.stop()


@contextlib.contextmanager
def _explained(home: Path) -> Iterator[None]:
    """The system's refusals in our words."""
    try:
        yield
    except OSError as error:
        raise BadConfig(
            f"The database's folder below {home} cannot be used: {error.strerror or error} ({error.filename or home}). "
            "Free it, or set QUAESTOR_HOME to a folder of yours."
        ) from error


def default_home() -> Path:
    """Where Quaestor lives unless QUAESTOR_HOME says otherwise; root's server could not enter /root."""
    if os.geteuid() == 0:
        return Path("/var/lib/quaestor")
    try:
        return Path.home() / ".quaestor"
    except RuntimeError as error:
        raise BadConfig("This user has no home folder. Set QUAESTOR_HOME to a folder of yours.") from error
