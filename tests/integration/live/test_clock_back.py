"""`quaestor live run` when the machine's clock is set back: another run begins in the same process."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

import pytest

from quaestor import wiring
from quaestor.barring import nanoseconds
from quaestor.console.live import _run
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.live import LiveStore
from quaestor.ticks import SECOND
from tests.integration.live.live_process import ACCOUNT, IN_SESSION, LiveProcess


async def test_the_process_goes_on_with_a_new_run(
    database: Database, database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = LiveProcess(tmp_path / "home", database_uri)
    (live.home / "quaestor.toml").write_text("[live]\nbeat = 0.5\n")
    monkeypatch.setenv("QUAESTOR_HOME", str(live.home))
    monkeypatch.setenv("QUAESTOR_DATABASE_URL", database_uri)
    ahead, store, begun = [nanoseconds(IN_SESSION)], LiveStore(database), time.monotonic_ns()

    def now() -> int:
        return ahead[0] + time.monotonic_ns() - begun

    words = argparse.Namespace(feed="", sessions=None)
    task = asyncio.create_task(_run(wiring.load(), now, words))

    async def trading(count: int) -> None:
        end = time.monotonic() + 60
        while True:
            runs = await store.runs(ACCOUNT)
            if len(runs) == count and runs[0].facts.get("phase") == "open":
                return
            assert not task.done(), task.result()
            assert time.monotonic() < end, runs
            await asyncio.sleep(0.05)

    await trading(1)
    ahead[0] -= 600 * SECOND
    await trading(2)
    await store.desire(ACCOUNT, "stopped", "test")
    outcome, _ = await asyncio.wait_for(task, 30)
    assert outcome == "stopped"
    assert [run.outcome for run in await store.runs(ACCOUNT)] == ["stopped", "failed"]
