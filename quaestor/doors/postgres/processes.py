"""The server's processes as the system sees them: whose they are, how one is run, found and told to end.

PostgreSQL refuses to run as root, so root hands it to an unprivileged uid; no system user is made for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import subprocess

SERVER_UID = 65534  # "nobody": what root's server runs as
PROC = Path("/proc")
ENDING = 5.0  # seconds that a program may take to end once it is told to


class RunAs(TypedDict, total=False):
    """The words in which `subprocess` is told whose a program is; none for an ordinary user."""

    user: int
    group: int
    extra_groups: list[int]


def run_as() -> RunAs:
    """Whose the server is: the unprivileged uid where we are root, otherwise ourselves."""
    return RunAs(user=SERVER_UID, group=SERVER_UID, extra_groups=[]) if os.geteuid() == 0 else RunAs()


def owner() -> int:
    """The uid of the server's user."""
    return run_as().get("user", os.geteuid())


def give(path: Path) -> None:
    """Make the server's user the owner of a file or folder that we just made."""
    if os.geteuid() == 0:
        os.chown(path, SERVER_UID, SERVER_UID)


def run(command: Sequence[str | Path], log: Path, life: int, text: str = "") -> int:
    """Run a program of the server as the server's user, its words in `log`; the exit code.

    `life` is the descriptor of the server lock: the program and all its children hold the lock while they live. A
    session of its own keeps a Ctrl-C at our terminal from it: where we are interrupted, all of it is told to end and
    waited for. It gets no environment of ours: that may hold secrets.
    """
    import subprocess

    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=descriptor,
            stderr=descriptor,
            pass_fds=(life,),
            cwd="/",
            env={**kept, "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            **run_as(),
        )
        try:
            process.communicate(text.encode())
        except BaseException:
            _end(process)
            raise
        return process.returncode
    finally:
        os.close(descriptor)


def _end(process: subprocess.Popen[bytes]) -> None:
    """With its children, in good order: a kill would leave them writing where we clear away."""
    import subprocess

    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(ENDING)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def command_line(pid: int) -> list[str] | None:
    """The words a process was started with, or its title; [] when it does not exist; None on a system without /proc."""
    if not PROC.is_dir():
        return None
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def exists(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def tell(pid: int, word: signal.Signals) -> None:
    """Send a signal to a process that may have ended by itself."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, word)


def reap(pid: int) -> None:
    """In a container our own process may be init, and the server its orphan: nobody else would bury it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def everyone() -> Iterator[int]:
    """The ids of all processes that this system shows; none without /proc."""
    return (int(entry.name) for entry in PROC.glob("[0-9]*"))
