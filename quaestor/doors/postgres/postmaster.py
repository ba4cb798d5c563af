"""The embedded server's processes: started, found again, ended.

Who lives is known from one lock: every process of the server inherits the descriptor that holds `server.lock`. Free
means that nothing of the server lives, whatever files say; held means that something does: a postmaster that is ready,
starting or stopping, or backends whose postmaster was killed. `ensure` and `stop` are called under the cluster's lock,
so each sees a state that only the server itself can still change.

A start: put the socket folder on record, make it, start, wait until it answers. A stop: mark, fast shutdown, wait until
the lock is free, clean up, remove the mark. Who comes after a `kill -9` in between ends the stop or awaits the start.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

from quaestor.doors.postgres import binaries, processes
from quaestor.doors.postgres.cluster import PORT, Cluster
from quaestor.doors.postgres.flocks import exclusive, is_held
from quaestor.errors import DatabaseDown

START_PATIENCE = 30.0  # seconds; a recovery after a crash may need some
STOP_PATIENCE = 30.0  # seconds; the last checkpoint on a slow disk
ORPHAN_PATIENCE = 3.0  # seconds; orphaned backends end at once, unless they compute
POLL = 0.003  # seconds
SOCKET_FOLDER_LIMIT = 60  # characters; the socket's name is added, and the system allows ~100
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "128MB",
    "io_method": "sync",  # no I/O workers on a small box
    "max_logical_replication_workers": "0",
    "fsync": "on",  # these two are law: an intent is on the disk before it is sent
    "synchronous_commit": "on",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
DETACHED = ("/bin/sh", "-c", '"$@" &', "sh")  # the server's parent is init, which reaps it whoever of us lives on


class Postmaster:
    """The server of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @property
    def alive(self) -> bool:
        """Whether any process of the server lives."""
        return is_held(self.cluster.life)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, when it lives."""
        pid = self._recorded_pid()
        return pid if pid and self.alive and self._is_postmaster(pid) is not False else None

    @property
    def ready(self) -> bool:
        """Whether the server answers at the socket that is on record."""
        return self._says_ready() and self.alive and self._answers()

    def ensure(self) -> None:
        """Leave a server that answers: join or adopt the one that runs, or start one.

        Raises DatabaseDown with the reason when it does not start, PartMissing without binaries.
        """
        if self.cluster.stopping.exists():
            self.stop()
        if self.alive and not self.ready:
            self._settle()
        if not self.alive:
            self._start()
        self.cluster.bound_log()

    def stop(self) -> None:
        """End whatever lives of the server and remove its socket folder; DatabaseDown if something will not end."""
        if self.alive:
            self.cluster.stopping.touch()
            self._wait(lambda: self.pid is not None or not self.alive, ORPHAN_PATIENCE)
            self._shut_down()
            self._end_orphans()
        self._clean()

    def _settle(self) -> None:
        """Something lives and does not answer: wait for a start under way; end what never will answer."""
        self._wait(lambda: self.ready or self.pid is None or self._says_ready(), START_PATIENCE)
        if self.ready:
            return
        if self.pid is not None and not self._says_ready():
            state = self._state() or "starting"
            raise DatabaseDown(f"PostgreSQL in {self.cluster.data} is {state}; try again. Its log: {self.cluster.log}")
        self.stop()

    def _start(self) -> None:
        cluster = self.cluster
        self._clean()
        install = binaries.usable(cluster.folder)
        with exclusive(cluster.life) as life:
            if not cluster.initialized:
                cluster.initialise(install, life)
            begin = cluster.log_size()
            folder = self._make_socket_folder()
            settings = {**SETTINGS, "unix_socket_directories": f'"{folder}"', "cluster_name": folder.name}
            options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
            processes.run([*DETACHED, install / "bin/postgres", "-D", cluster.data, *options], cluster.log, life)
        self._wait(lambda: self.ready or not self.alive, START_PATIENCE)
        if not self.alive:
            self._clean()
            raise DatabaseDown(f"PostgreSQL did not start: {cluster.said_since(begin)}")
        if not self.ready:
            raise DatabaseDown(
                f"PostgreSQL is not ready after {START_PATIENCE:.0f} s; try again. Its log: {cluster.log}"
            )

    def _shut_down(self) -> None:
        """Fast (a checkpoint, then the end), then immediate (the next start recovers)."""
        for word, patience in ((signal.SIGINT, STOP_PATIENCE), (signal.SIGQUIT, ORPHAN_PATIENCE)):
            if (pid := self.pid) is not None:
                processes.tell(pid, word)
                self._wait(lambda: not self.alive, patience)
                processes.reap(pid)

    def _end_orphans(self) -> None:
        """A killed postmaster leaves backends that end when they notice; one that computes would notice late."""
        for pid in self._processes():
            processes.tell(pid, signal.SIGKILL)
        self._wait(lambda: not self.alive, ORPHAN_PATIENCE)
        if self.alive:
            self.cluster.stopping.unlink()
            raise DatabaseDown(
                f"A server of {self.cluster.data} lives where this process cannot see or end it (another container?). "
                "End it there, then try again."
            )

    def _clean(self) -> None:
        """Remove what a dead server left. A pid file is removed because its number may be another process by now."""
        import shutil

        cluster = self.cluster
        if (folder := cluster.socket_folder) and _is_socket_folder(folder):
            shutil.rmtree(folder)
        cluster.socket.unlink(missing_ok=True)
        if (pid := self._recorded_pid()) is not None and self._is_postmaster(pid) is not True:
            (cluster.data / "postmaster.pid").unlink()
        if cluster.half.exists():
            shutil.rmtree(cluster.half)
        cluster.stopping.unlink(missing_ok=True)

    def _make_socket_folder(self) -> Path:
        """A short folder of our own, on record before it exists, so that none is ever lost."""
        import tempfile

        name = f"quaestor-{os.urandom(4).hex()}"
        folder = Path(tempfile.gettempdir(), name)
        if len(str(folder)) > SOCKET_FOLDER_LIMIT or '"' in str(folder) or binaries.blocking_folder(folder.parent):
            folder = Path("/tmp", name)  # noqa: S108 - a 0700 folder with an unguessable name
        self.cluster.socket.write_text(str(folder))
        folder.mkdir(0o700)
        processes.give(folder)
        return folder

    def _pid_file(self) -> list[str] | None:
        """Its lines: pid, data folder, start time, port, socket folder, addresses, shared memory, state."""
        try:
            return (self.cluster.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return None

    def _recorded_pid(self) -> int | None:
        """What the pid file says; 0 when it says nothing legible, None when there is none."""
        lines = self._pid_file()
        if lines is None:
            return None
        return int(lines[0]) if lines and lines[0].isdigit() else 0

    def _state(self) -> str:
        """What the postmaster says of itself: starting, ready, stopping, or nothing yet."""
        lines = self._pid_file() or []
        return lines[7].strip() if len(lines) >= 8 else ""

    def _says_ready(self) -> bool:
        return self._state() == "ready"

    def _answers(self) -> bool:
        """Whether somebody listens at the socket on record: only the server's user could have made one there."""
        folder = self.cluster.socket_folder
        if folder is None:
            return False
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(1.0)
            try:
                knock.connect(f"{folder}/.s.PGSQL.{PORT}")
            except (FileNotFoundError, ConnectionRefusedError):
                return False
            except (BlockingIOError, TimeoutError):
                return True  # a queue before the door: somebody is in
        return True

    def _is_postmaster(self, pid: int) -> bool | None:
        """Whether this process is the cluster's postmaster; None where the system does not say (no /proc)."""
        words = processes.command_line(pid)
        if not words:
            return None if words is None and processes.exists(pid) else False
        folder = words[words.index("-D") + 1] if "-D" in words[:-1] else ""
        return Path(words[0]).name == "postgres" and (
            folder == str(self.cluster.data) or not Path(folder).is_absolute()
        )

    def _processes(self) -> list[int]:
        """What lives of the server, by the cluster's name in a title or its folder in a command; [] without /proc."""
        return [pid for pid in processes.everyone() if self._is_part(processes.command_line(pid) or [""])]

    def _is_part(self, words: list[str]) -> bool:
        folder = self.cluster.socket_folder
        if folder is not None and words[0].startswith(f"postgres: {folder.name}: "):
            return True
        inside = any(word.startswith(f"{self.cluster.folder}/") for word in words[1:])
        return inside and Path(words[0]).name in {"initdb", "postgres"}

    @staticmethod
    def _wait(done: Callable[[], bool], patience: float) -> None:
        """Until it is done, or patience (seconds) ends: the caller looks which."""
        end = time.monotonic() + patience
        while not done() and time.monotonic() < end:
            time.sleep(POLL)


def _is_socket_folder(folder: Path) -> bool:
    """Whether this is a folder that we made: nothing else is ever removed."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    mine = processes.owner()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == mine and folder.name.startswith("quaestor-")
