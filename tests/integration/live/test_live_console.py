"""`quaestor live …` from a shell: what is wanted, what runs, what happens. `quaestor live run` has tests of its own."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from quaestor import wiring
from quaestor.console import stack
from quaestor.console.live_control import line
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.live import LiveStore
from quaestor.ports_live import Happening, LiveRun
from tests.integration.in_process import quaestor

QUAESTOR = Path(sys.executable).with_name("quaestor")
AT = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
RUN = uuid.UUID("11111111-1111-4111-8111-111111111111")

Console = Callable[..., CompletedProcess[str]]


@pytest.fixture
def environment(database_uri: str, tmp_path: Path) -> dict[str, str]:
    return {"QUAESTOR_HOME": str(tmp_path), "QUAESTOR_DATABASE_URL": database_uri}


@pytest.fixture
def console(environment: dict[str, str]) -> Console:
    def run(*arguments: str) -> CompletedProcess[str]:
        done = quaestor("live", *arguments, environment=environment)
        assert done.returncode == 0, done.stderr
        return done

    return run


@pytest.fixture
def store(database: Database) -> LiveStore:
    return LiveStore(database)


def begun() -> LiveRun:
    return LiveRun(RUN, "paper", "here:1:live", AT, "abc", "d1", facts={"equity": "100500.00", "open_orders": 2})


def test_before_any_run_the_status_says_how_one_is_started(console: Console) -> None:
    assert console("status").stdout == (
        "  account  paper\n  wanted   armed\n  runner   there was none yet; `quaestor live run` starts one\n"
    )
    assert console("runs").stdout == "No live run yet. `quaestor live run` starts one.\n"


@pytest.mark.parametrize(
    ("word", "state"), [("arm", "armed"), ("hold", "hold"), ("flatten", "flatten"), ("stop", "stopped")]
)
def test_a_word_changes_what_is_wanted_and_says_what_that_means(console: Console, word: str, state: str) -> None:
    said = console(word, "the news").stdout
    assert said.startswith(f"paper is wanted {state}. ")
    assert said.endswith("No runner is alive now; the next one obeys.\n")
    found = json.loads(console("status", "--json").stdout)["desired"]
    assert (found["state"], found["reason"]) == (state, "the news")
    assert "@" in found["by"]


def with_store(uri: str, act: Callable[[LiveStore], Awaitable[object]]) -> None:
    async def acting() -> None:
        async with Database(uri) as database:
            await act(LiveStore(database))

    asyncio.run(acting())


def test_the_status_shows_a_living_run_with_its_figures(console: Console, database_uri: str) -> None:
    with_store(database_uri, lambda store: store.begin(begun()))
    lines = dict(row.strip().split("  ", 1) for row in console("status").stdout.splitlines())
    assert lines["runner"].strip() == "alive, run 11111111 by here:1:live"
    assert (lines["equity"].strip(), lines["open orders"].strip()) == ("100,500.00", "2")
    assert lines["began"].strip() == "2026-11-20 15:00:00"
    found = json.loads(console("status", "--json").stdout)
    assert (found["alive"], found["run"]["facts"]["open_orders"], found["process"]) == (True, 2, None)
    assert "alive now" not in console("hold").stdout
    with_store(database_uri, lambda store: store.end(RUN, "stopped"))
    said = console("status").stdout
    assert "NOT ALIVE" in said
    assert ": stopped" in said
    (row,) = json.loads(console("runs", "--json").stdout)
    assert (row["id"], row["outcome"]) == (str(RUN), "stopped")
    assert "11111111" in console("runs").stdout


async def test_watching_prints_what_happens_from_now_on_until_ctrl_c(
    environment: dict[str, str], store: LiveStore
) -> None:
    await store.tell("paper", RUN, [Happening("fill", "before", AT)])
    program = await asyncio.create_subprocess_exec(
        QUAESTOR,
        *("live", "watch", "--kinds", "fill,halt"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    reading = asyncio.create_task(program.stdout.readline())
    for n in range(300):  # until it listens
        await store.tell("paper", RUN, [Happening("fill", "AAPL", AT, {"n": n}), Happening("signal", "AAPL", AT)])
        if (await asyncio.wait({reading}, timeout=0.1))[0]:
            break
    assert (await reading).decode().startswith("2026-11-20 15:00:00  fill       AAPL  n=")
    program.send_signal(signal.SIGINT)
    rest, complained = await asyncio.wait_for(program.communicate(), 30)
    assert (program.returncode, complained.decode()) == (130, "quaestor: interrupted\n")
    assert all("  fill       AAPL  n=" in row for row in rest.decode().splitlines())


@pytest.mark.parametrize(
    ("body", "rest"),
    [({}, ""), ({"price": "190.05", "side": "buy"}, "  price=190.05 side=buy"), ({"why": {"deep": 1}}, "")],
)
def test_a_happening_is_a_line(body: dict[str, Any], rest: str) -> None:
    assert line(Happening("order", "AAPL", AT, body)) == f"2026-11-20 15:00:00  order      AAPL{rest}"


def test_down_ends_the_runner_that_a_flow_started_and_wants_nothing_else_of_it(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QUAESTOR_LIVE_COMMAND", f"{sys.executable} -c 'import time; time.sleep(60)'")
    loaded = wiring.load()
    runner = wiring.local_runner(loaded)
    runner.start()
    assert runner.running
    stack.stop(loaded, spare=frozenset({"runner"}))
    assert runner.running
    stack.stop(loaded)
    assert not runner.running
