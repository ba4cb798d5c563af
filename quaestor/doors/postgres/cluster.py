"""The embedded cluster on disk: what lies where, whose it is, and how it is born.

    home/postgres.lock       serialises every decision to create, start, stop or remove
    home/postgres/           ours (root: 0711, so that the server's user can enter; otherwise 0700)
        data/                the cluster: 0700, the server's user
        half/                a cluster being born; renamed to data/ at the end: a `kill -9` leaves nothing half-made
        password, superuser  of the roles `quaestor` (owner of the database `quaestor`) and `postgres`: 0600
        server.lock          held by every process of the server: the kernel says whether one lives
        users/               a locked file for each process that uses the server
        socket               says where the server's socket folder is (socket paths end at ~100 characters: in /tmp)
        pinned, stopping     marks: keep the server without users; a stop has begun
        postgres.log(.old)   what the server says
        binaries-*/          a copy, only where the server's user cannot reach the installed ones

As root, nothing but data/ and half/ belongs to the server's user: it can plant no link where root writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from quaestor.doors.postgres import processes
from quaestor.errors import BadConfig, PartMissing

PORT = 5432  # names the socket file; nothing listens on TCP
LOG_LIMIT = 8 * 2**20  # bytes; a longer log becomes postgres.log.old
MARKER = "server.lock"
BIRTH = """\
CREATE EXTENSION vector;
CREATE ROLE quaestor LOGIN CREATEDB PASSWORD '{password}';
CREATE DATABASE quaestor OWNER quaestor;
"""  # one statement a line, in template1: the new database inherits the extension


class Cluster:
    """The folder of one embedded cluster, below `home` (an absolute path)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = folder = home / "postgres"
        self.lock = home / "postgres.lock"
        self.data, self.half, self.users = folder / "data", folder / "half", folder / "users"
        self.password, self.superuser = folder / "password", folder / "superuser"
        self.life, self.socket = folder / MARKER, folder / "socket"
        self.pinned, self.stopping = folder / "pinned", folder / "stopping"
        self.log, self.old_log = folder / "postgres.log", folder / "postgres.log.old"

    @property
    def initialized(self) -> bool:
        """Whether the cluster was born; a half-made one was not."""
        return (self.data / "PG_VERSION").is_file()

    @property
    def socket_folder(self) -> Path | None:
        """Where the server's socket is or was; None when no server is meant to run."""
        text = self.socket.read_text() if self.socket.is_file() else ""
        return Path(text) if text else None

    def uri(self) -> str:
        """The libpq URI of the running server. The port is said because a PGPORT in the environment would win."""
        folder = quote(str(self.socket_folder))
        return f"postgresql://quaestor:{self.password.read_text()}@/quaestor?host={folder}&port={PORT}"

    def check_ours(self) -> None:
        """Raises BadConfig when the folder is another user's, or not Quaestor's at all."""
        if not self.folder.exists():
            return
        owner = self.folder.stat().st_uid
        if owner != os.geteuid():
            raise BadConfig(
                f"The database in {self.folder} belongs to uid {owner}, and this is uid {os.geteuid()}. "
                "Run as its owner, or set QUAESTOR_HOME to another folder."
            )
        if not (self.folder / MARKER).exists() and any(self.folder.iterdir()):
            raise BadConfig(
                f"{self.folder} holds something that is not Quaestor's; it was left alone. "
                "Set QUAESTOR_HOME to another folder."
            )

    def make_home(self) -> None:
        """Make the home where it is missing; its user, and as root the server's user too, can enter what we make."""
        mode = 0o711 if os.geteuid() == 0 else 0o700
        for folder in [*reversed(self.home.parents), self.home]:
            if not folder.exists():
                with contextlib.suppress(FileExistsError):  # another process was faster
                    folder.mkdir()
                    folder.chmod(mode)  # whatever the umask is

    def make_folder(self) -> None:
        """Make our folder with its marker; under the lock."""
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.life.touch(0o600)
        self.users.mkdir(0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove what we made, and nothing else; under the lock, with no server alive."""
        import shutil

        for folder in (self.data, self.half, self.users, *self.folder.glob("binaries-*")):
            shutil.rmtree(folder, ignore_errors=not folder.exists())
        for file in (self.password, self.superuser, self.pinned, self.log, self.old_log, self.life):
            file.unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def initialise(self, install: Path, life: int) -> None:
        """Make the cluster, its role and its database; `life` is the descriptor of the server lock.

        Raises PartMissing with what PostgreSQL said when it cannot.
        """
        import shutil

        superuser, password = _new_password(), _new_password()
        self.half.mkdir(0o700)
        try:
            secret = self.half / "superuser"
            _write_secret(secret, superuser)
            for path in (self.half, secret):
                processes.give(path)
            self._make(install, secret, password, life)
            _write_secret(self.superuser, superuser)
            _write_secret(self.password, password)
            (self.half / "data").rename(self.data)
            _sync(self.folder)
        finally:
            shutil.rmtree(self.half)

    def _make(self, install: Path, secret: Path, password: str, life: int) -> None:
        """The cluster, with `secret` as its superuser's password; then role and database."""
        made = self.half / "data"
        access = ("--auth=scram-sha-256", "--username=postgres", f"--pwfile={secret}")
        self._run(
            (install / "bin/initdb", "-D", made, *access, "--encoding=utf8", "--no-locale", "--no-instructions"), life
        )
        quiet = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")  # the log learns no password
        single = (install / "bin/postgres", "--single", *quiet, "-D", made, "template1")
        self._run(single, life, BIRTH.format(password=password))

    def _run(self, command: Sequence[str | Path], life: int, text: str = "") -> None:
        begin = self.log_size()
        if processes.run(command, self.log, life, text) != 0:
            raise PartMissing(f"PostgreSQL could not make a cluster in {self.data}: {self.said_since(begin)}")

    def log_size(self) -> int:
        """Bytes in the log now; see `said_since`."""
        return self.log.stat().st_size if self.log.exists() else 0

    def said_since(self, begin: int) -> str:
        """Why the server gave up: its last complaint since `begin` in a line, and where the whole log is."""
        lines = self.log.read_bytes()[begin:].decode(errors="replace").splitlines()
        weighty = [
            line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR", "error:", "HINT"))
        ]
        words = [line.partition("] ")[2] or line for line in (weighty or lines)[-2:]]
        return f"{' '.join(' '.join(words).split()) or 'it said nothing'}\nThe whole log: {self.log}"

    def bound_log(self) -> None:
        """Keep the log's size bounded. The server appends, so cutting its file under its hands is safe."""
        import shutil

        if self.log_size() > LOG_LIMIT:
            shutil.copyfile(self.log, self.old_log)
            os.truncate(self.log, 0)


def _new_password() -> str:
    return os.urandom(24).hex()  # 192 bits, and nothing to quote in a URI


def _write_secret(path: Path, text: str) -> None:
    """A 0600 file that is on the disk when this returns: without it the cluster could not be opened."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def _sync(folder: Path) -> None:
    """The names in a folder are on the disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
