"""A database that is thrown away: a server of its own in a folder below QUAESTOR_HOME, gone with the block.

One at a time plays in a folder: its file `playing` is locked. What one that was killed has left there, the next one
clears away first.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from quaestor import wiring
from quaestor.doors.postgres.cluster import Cluster
from quaestor.doors.postgres.embedded import EmbeddedServer, check_reachable
from quaestor.doors.postgres.flocks import drop, take
from quaestor.errors import BadConfig, Temporary


@contextmanager
def throwaway(home: Path) -> Iterator[tuple[str, Path]]:
    """The URI of a new database with the newest schema, and an empty folder beside it; all in `home`."""
    server, files = EmbeddedServer(home), home / "files"
    with ExitStack() as opened:
        opened.callback(_leave, home, _enter(home))
        opened.callback(_clear, server, files)
        _clear(server, files)
        files.mkdir()
        opened.callback(server.release)
        uri = server.acquire()
        wiring.upgrade(uri)
        yield uri, files


def _enter(home: Path) -> int:
    """Be the only one here; the descriptor of the lock."""
    try:
        check_reachable(home)
        Cluster(home).make_home()
        return take(home / "playing", patient=False)
    except BlockingIOError:
        raise Temporary(
            f"Another rehearsal plays in {home}. Wait for its end, or set QUAESTOR_HOME to another folder."
        ) from None
    except OSError as error:
        raise BadConfig(
            f"The folder {home} cannot be used: {error.strerror or error}. Set QUAESTOR_HOME to one of yours."
        ) from error


def _leave(home: Path, lock: int) -> None:
    (home / "playing").unlink(missing_ok=True)
    drop(lock)
    with contextlib.suppress(OSError):  # somebody else may have put something there
        home.rmdir()


def _clear(server: EmbeddedServer, files: Path) -> None:
    server.destroy()
    shutil.rmtree(files, ignore_errors=True)
