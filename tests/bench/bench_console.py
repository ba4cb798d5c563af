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
    """The commands that must feel instant, over books as large as the demo's."""
    folder = Path(tempfile.mkdtemp(prefix="quaestor-bench-"))
    folder.chmod(0o711)
    try:
        home = folder / "home"
        home.mkdir(mode=0o711)
        (home / "quaestor.toml").write_text("[strategies]\nfirst_session = 2012-01-03\n", encoding="utf-8")
        for command in ("ingest", "signals", "execute"):
            _run(home, command)
        for command in ("--help", "status", "positions", "orders"):
            seconds = statistics.median(_cpu(home, command) for _ in range(ROUNDS))
            name = f"quaestor {command}" + ("" if command == "--help" else ", the database started and ended for it")
            yield Figure(name, seconds, "CPU s", LIMIT)
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
