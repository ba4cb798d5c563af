"""A workshop for benchmarks: an embedded PostgreSQL in a temporary folder, databases in it, scripts beside it.

It runs with the very settings that a user's runs with, on a real disk (/var/tmp, not /tmp, which may be memory), and
leaves nothing behind. What is measured in a process of its own is a script of this folder: it is told by its arguments,
or line by line, and answers with a line of JSON.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit, urlunsplit

HERE = Path(__file__).resolve().parent


class Workshop:
    """Databases of one server, by name; `folder` is for files and goes with it."""

    def __init__(self, folder: Path, uri: str, superuser: str) -> None:
        self.folder = folder
        self._uri = uri
        self._superuser = superuser

    def uri(self, database: str) -> str:
        """Where a database is."""
        return urlunsplit(urlsplit(self._uri)._replace(path=f"/{database}"))

    def bare_uri(self, database: str) -> str:
        """The same for clients that know the socket's folder only as a host."""
        parts = urlsplit(self.uri(database))
        (host,), (port,) = (parse_qs(parts.query)[name] for name in ("host", "port"))
        return f"postgresql://{parts.username}:{parts.password}@{host.replace('/', '%2F')}:{port}/{database}"

    def create(self, database: str, like: str = "template1") -> None:
        """A new database, perhaps a copy; one of that name is dropped first."""
        self.drop(database)
        self._rule("postgres", f"create database {database} owner quaestor template {like}")

    def drop(self, database: str) -> None:
        """Drop a database, whoever looks at it."""
        self._rule("postgres", f"drop database if exists {database} with (force)")

    def settle(self, database: str = "postgres", *, vacuum: bool = False) -> None:
        """Finish what the server has put off, so that the next measurement does not pay for the last one."""
        self._rule(database, *(["vacuum (analyze)"] if vacuum else []), "checkpoint")

    def _rule(self, database: str, *statements: str) -> None:
        """Say something that only the server's superuser may."""
        import psycopg
        from psycopg.conninfo import make_conninfo

        place = make_conninfo(self._uri, dbname=database, user="postgres", password=self._superuser)
        with psycopg.connect(place, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


@contextmanager
def workshop() -> Iterator[Workshop]:
    """A server of our own for as long as it takes."""
    from quaestor.doors.postgres.embedded import EmbeddedServer

    disk = Path("/var/tmp")
    folder = Path(tempfile.mkdtemp(prefix="quaestor-bench-", dir=disk if disk.is_dir() else None))
    folder.chmod(0o711)
    home = folder / "home"
    server = EmbeddedServer(home)
    try:
        uri = server.acquire()
        yield Workshop(folder, uri, (home / "postgres" / "superuser").read_text())
    finally:
        server.release()
        shutil.rmtree(folder)


def script(name: str, *words: object, python: str = sys.executable) -> dict[str, Any]:
    """What a script of this folder answers when it is done."""
    command = [python, str(HERE / name), *map(str, words)]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    said: dict[str, Any] = json.loads(answer)
    return said


@contextmanager
def started(name: str, *words: object, python: str = sys.executable) -> Iterator[subprocess.Popen[str]]:
    """A script that goes on: it is told lines and answers lines; it ends with its input."""
    command = [python, str(HERE / name), *map(str, words)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Tell a script that goes on a line."""
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def told(process: subprocess.Popen[str]) -> Any:
    """What a script that goes on answers next; where it failed, it has told why itself."""
    assert process.stdout
    if not (line := process.stdout.readline()):
        raise RuntimeError(f"{Path(str(process.args[1])).name} gave no answer")  # type: ignore[index]
    return json.loads(line)


def peer(name: str) -> str:
    """The interpreter of a peer's own virtual environment, pinned by constraints-<peer>.txt.

    It is kept inside ours, where `make clean` finds it, and built anew when its pins have changed.
    """
    pins = HERE / f"constraints-{name}.txt"
    folder = Path(sys.prefix) / "peers" / name
    python, built = str(folder / "bin" / "python"), folder / "built"
    if not built.exists() or built.read_text() != pins.read_text():
        sys.stderr.write(f"bench: making the virtual environment of {name} …\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(pins)], check=True)
        built.write_text(pins.read_text())
    return python


def peak() -> float:
    """The most memory that this process ever had, MiB. (`ru_maxrss` would count its parent's before the exec.)"""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
