"""What a command of the console costs: CPU seconds of the process and all it starts (the embedded server too)."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from run import Figure

LIMIT = "<= 0.5"
ROUNDS = 5


def figures() -> Iterator[Figure]:
    """The three commands that must feel instant, over books that hold two months of trading."""
    folder = Path(tempfile.mkdtemp(prefix="quaestor-bench-"))
    folder.chmod(0o711)
    try:
        home = folder / "home"
        for command in (["db", "upgrade"], ["ingest"], ["signals"], ["execute", "--end", "2000-05-01"]):
            _run(home, *command)
        for command in ("--help", "status", "positions", "orders"):
            seconds = statistics.median(_cpu(home, command) for _ in range(ROUNDS))
            yield Figure(f"quaestor {command}, database started and ended for it", seconds, "CPU s", LIMIT)
    finally:
        shutil.rmtree(folder)


def _cpu(home: Path, command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(home, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _run(home: Path, *arguments: str) -> None:
    environment = {**os.environ, "QUAESTOR_HOME": str(home)}
    command = [str(Path(sys.executable).with_name("quaestor")), *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
