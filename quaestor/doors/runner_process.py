"""The live runner as a process of its own: started detached, known again, ended.

It leads a session of its own, so neither a Ctrl-C nor the end of whoever started it (a flow run, a worker) is its
business. Who lives is known from a lock: the runner inherits the descriptor that holds it, and nothing else does; free
means that no runner of this data folder was started here or that it ended, however it ended. While it is held, the
process id on record is the runner's.
"""

from __future__ import annotations

import fcntl
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from quaestor.errors import PartMissing

COMMAND = (sys.executable, "-m", "quaestor.console.cli", "live", "run")
LOG_BYTES = 20_000_000  # a longer log is put aside at the next start
PATIENCE = 15.0  # seconds to end: cancel nothing, give the lease back, close the journal
NOT_ITS = ("PREFECT_", "QUAESTOR_DATABASE_URL")  # it needs no Prefect; the books' address is told in `extra`
_CHILDREN: list[subprocess.Popen[bytes]] = []  # those this very process started: they must be reaped


class RunnerProcess:
    """The runner of one data folder.

    root: the project, where it runs; command: another than `quaestor live run`, to which options are added, such as one
    that limits what it may use; extra: more of its environment.
    """

    def __init__(
        self,
        home: Path,
        root: Path,
        command: Sequence[str] = COMMAND,
        extra: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.home = home.absolute()
        self.log = self.home / "logs" / "live.log"
        self._root = root
        self._command = tuple(command)
        self._extra = dict(extra)
        self._lock = self.home / "run" / "live.lock"
        self._pid = self.home / "run" / "live.pid"

    @property
    def running(self) -> bool:
        """Whether the runner that was started last lives."""
        _reap()
        if not self._lock.exists():
            return False
        with self._taken() as free:
            return not free

    @property
    def pid(self) -> int | None:
        """Its process id, while it lives."""
        return self._recorded() if self.running else None

    def start(self, options: Sequence[str] = ()) -> None:
        """Start one; one that lives is ended first."""
        self.end()
        for folder in (self._lock.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".1.log"))
        with self._taken(patience=1.0) as descriptor, self.log.open("ab") as log:
            if descriptor is None:
                raise PartMissing(f"Another process starts a live runner of {self.home} just now; wait for it.")
            child = subprocess.Popen(
                [*self._command, *options],
                cwd=self._root,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[descriptor],
            )
            _CHILDREN.append(child)
            self._pid.write_text(f"{child.pid}\n")

    def end(self, *, patience: float = PATIENCE) -> bool:
        """Tell it to end, and see to it; whether there was one."""
        if not self.running:
            return False
        for sign in (signal.SIGTERM, signal.SIGKILL):
            self._tell(sign)
            if self._ended(patience):
                break
        return True

    def owns(self, holder: str) -> bool:
        """Whether a runner that calls itself so (machine:process:…) is the process that was started last."""
        return holder.startswith(f"{platform.node()}:{self._recorded()}:")

    def last_words(self, lines: int = 6) -> str:
        """Where its log is, and its end."""
        words = self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []
        return f"Log: {self.log}" + "".join(f"\n  {word[:300]}" for word in words)

    def environment(self) -> dict[str, str]:
        """This process's, without what is Prefect's: no address, no credentials, no flow run's name."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_ITS)}
        return {**kept, "QUAESTOR_HOME": str(self.home), "PYTHONUNBUFFERED": "1", **self._extra}

    @contextmanager
    def _taken(self, patience: float = 0.0) -> Iterator[int | None]:
        """The lock's descriptor while the block runs, and as long as a child has it; None where another holds it.

        Whoever only looks whether it is free holds it for a moment: a patient one tries again.
        """
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            yield descriptor if _locked(descriptor, patience) else None
        finally:
            os.close(descriptor)

    def _recorded(self) -> int | None:
        try:
            return int(self._pid.read_text())
        except (OSError, ValueError):
            return None

    def _tell(self, sign: signal.Signals) -> None:
        if pid := self.pid:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)

    def _ended(self, patience: float) -> bool:
        end = time.monotonic() + patience
        while self.running:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        return True


def _locked(descriptor: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        else:
            return True


def _reap() -> None:
    _CHILDREN[:] = [child for child in _CHILDREN if child.poll() is None]
