"""A real Prefect for the integration tests: one server for the whole run, everything registered, started on demand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quaestor.doors.prefect_api import PrefectApi
from quaestor.doors.prefect_local import LocalPrefect
from quaestor.operations.drain import drain
from tests.folders import temporary

ROOT = Path(__file__).resolve().parents[2]
POLL = 0.2  # seconds between two looks for work, or for its end


@dataclass(frozen=True)
class Stack:
    """A local Prefect with every deployment, and no worker until a test starts one."""

    local: LocalPrefect
    api: PrefectApi

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program of ours or of Prefect's, at this server."""
        env = {**self.local.environment(), "COLUMNS": "200"}
        return subprocess.run(
            [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120
        )

    def register(self, *arguments: str) -> dict[str, Any]:
        """`python -m deployments.register --json`."""
        done = self.run("-m", "deployments.register", "--json", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def rows(self, path: str, **body: Any) -> list[dict[str, Any]]:
        """What the server has."""
        return self.api._pages(path, body)


@pytest.fixture(scope="session")
def prefect_stack() -> Iterator[Stack]:
    """The server, with the data folder where the embedded PostgreSQL of flows may live too; gone afterwards."""
    folder = temporary("quaestor-stack-")
    local = LocalPrefect(folder / "home", ROOT)
    local.home.mkdir(mode=0o711)
    (local.home / "quaestor.toml").write_text("[strategies]\nfirst_session = 2012-01-03\n", encoding="utf-8")
    try:
        local.start_server()
        stack = Stack(local, PrefectApi(local.url))
        stack.register("--no-schedules")
        yield stack
    finally:
        local.stop()
        shutil.rmtree(folder)


@pytest.fixture
def worker(prefect_stack: Stack) -> Iterator[Stack]:
    """The same with a worker; it ends when nothing runs any more."""
    prefect_stack.local.start_worker(poll=POLL)
    prefect_stack.local.await_worker()
    yield prefect_stack
    if prefect_stack.local.status()["worker"] is not None:
        drain(prefect_stack.api, "quaestor", prefect_stack.local.stop_worker, patience=60, every=POLL)
