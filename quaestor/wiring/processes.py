"""Processes and sockets of this machine: the live runner, what processes use, the console's listener."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.wiring.configuration import ROOT, Loaded

if TYPE_CHECKING:
    from quaestor.doors.runner_process import RunnerProcess
    from quaestor.doors.usage import Usage
    from quaestor.doors.web import Listener


def runner_process(home: Path, url: str = "", password_secret: str = "") -> RunnerProcess:
    """The live runner of this data folder as a process, on the books at `url`; empty: those it finds itself.

    QUAESTOR_LIVE_COMMAND is started instead of `quaestor live run` where it is set; options are added to it.
    """
    from quaestor.doors.runner_process import COMMAND, RunnerProcess

    books = {"QUAESTOR_DATABASE_URL": url, "QUAESTOR_DATABASE_PASSWORD_SECRET": password_secret}
    command = shlex.split(os.environ.get("QUAESTOR_LIVE_COMMAND", "")) or COMMAND
    return RunnerProcess(home, ROOT, command, {name: value for name, value in books.items() if value})


def local_runner(loaded: Loaded) -> RunnerProcess:
    """The live runner that a flow may have started on this machine."""
    return runner_process(loaded.home)


def usage(pids: Sequence[int]) -> Usage:
    """CPU seconds and memory of these processes and their descendants."""
    from quaestor.doors.usage import sample

    return sample(pids)


def listener(host: str, port: int) -> Listener:
    """A socket that listens there, and serves an app; port 0: a free one. Raises BadConfig."""
    from quaestor.doors.web import Listener

    return Listener(host, port)
