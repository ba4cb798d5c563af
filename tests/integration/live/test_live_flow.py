"""The flow `live` at a real Prefect server, with a runner that is a real process and trades nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import platform
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from flows.live import live, say_what_a_cancel_means
from flows.models import LiveRequest
from quaestor import wiring
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.doors.postgres.live import LiveStore
from quaestor.doors.runner_process import RunnerProcess
from quaestor.operations.drain import drain
from quaestor.ports_live import LiveRun

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ROOT = Path(__file__).resolve().parents[3]
STAND_IN = Path(__file__).with_name("stand_in.py")
COMMAND = f"{sys.executable} {STAND_IN}"
IN_SESSION = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)  # a Friday, half an hour after the opening
WITHIN = dt.timedelta(seconds=30)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def store(prefect_stack: Stack) -> AsyncIterator[LiveStore]:
    """The books of the stack's data folder, where nobody wants anything of a runner and none lives."""
    home = prefect_stack.local.home
    with EmbeddedServer(home) as uri:
        wiring.upgrade(uri)
        async with Database(uri) as database:
            found = LiveStore(database)
            await found.desire("paper", "armed", "the test")
            yield found
    runner(prefect_stack).end()
    for file in home.glob("stand-in.*"):
        file.unlink()


async def started(stack: Stack, request: LiveRequest) -> asyncio.subprocess.Process:
    """The flow in a process of its own, as a worker would run it; its runner is the stand-in."""
    extra = {"QUAESTOR_LIVE_COMMAND": COMMAND, "QUAESTOR_DATABASE_URL": "not for the flow"}
    env = stack.local.environment(extra=extra) | {"PREFECT_API_KEY": ""}
    form = f"l.LiveRequest.model_validate_json({request.model_dump_json()!r})"
    code = f"import asyncio, flows.live as l; asyncio.run(l.live({form}))"
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, env=env, **pipes)


def runner(stack: Stack) -> RunnerProcess:
    return RunnerProcess(stack.local.home, Path())


def ask(stack: Stack, what: str) -> None:
    (stack.local.home / f"stand-in.{what}").touch()


async def eventually(check: Callable[[], Awaitable[Any]], what: str, timeout: float = 60) -> Any:
    end = time.monotonic() + timeout
    while not (found := await check()):
        assert time.monotonic() < end, f"{what} did not happen within {timeout:g} s"
        await asyncio.sleep(0.1)
    return found


async def new_runner(store: LiveStore, *old: uuid.UUID) -> LiveRun:
    """One that beats and is none of the old ones, nor of those that tests before killed."""
    dead = {*old, *(one.id for one in await store.runs("paper"))}

    async def new() -> LiveRun | None:
        found = await store.alive("paper", WITHIN)
        return found if found and found.id not in dead else None

    living: LiveRun = await eventually(new, "a heartbeat of a new runner")
    return living


def events(stack: Stack, since: dt.datetime) -> list[dict[str, Any]]:
    """What the server was told of live runs since then, oldest first."""
    body = {
        "filter": {
            "event": {"prefix": ["quaestor.live."]},
            "occurred": {"since": since.isoformat(), "until": (since + dt.timedelta(hours=1)).isoformat()},
            "order": "ASC",
        },
        "limit": 50,
    }
    found: list[dict[str, Any]] = stack.api._call("POST", "/events/filter", body)["events"]
    return found


async def test_a_session_is_shown_its_dead_runner_started_again_and_its_settling_ends_the_flow(
    prefect_stack: Stack, store: LiveStore
) -> None:
    here, since = prefect_stack, dt.datetime.now(dt.UTC)
    flow = await started(here, LiveRequest(at=IN_SESSION))
    first = await new_runner(store)
    assert first.holder == f"{platform.node()}:{runner(here).pid}:stand-in"
    ask(here, "die")
    second = await new_runner(store, first.id)
    assert second.started_at > first.started_at >= IN_SESSION  # the rehearsal's clock went on meanwhile
    ask(here, "settle")
    said, _ = await asyncio.wait_for(flow.communicate(), 60)
    assert flow.returncode == 0, said.decode()
    (run,) = [one for one in here.api.flow_runs(since) if one.name == "live 2026-11-20"]
    result = "2026-11-20: settled, equity 100,123.45, orders 2, fills 1, refusals 1"
    assert (run.state, run.message) == ("Completed", result)
    assert runner(here).pid is not None, "the runner outlives its window"

    async def shown() -> list[dict[str, Any]] | None:
        found = await asyncio.to_thread(events, here, since)
        return found if len(found) >= 17 else None

    told = await eventually(shown, "the events")
    kinds = ["signal", "refusal", "order", "fill", "halt", "reconnect", "alert", "firing"]
    assert [event["event"] for event in told] == [f"quaestor.live.{kind}" for kind in [*kinds, *kinds, "settled"]]
    assert told[0]["resource"]["prefect.resource.id"] == "quaestor.account.paper"
    assert told[0]["payload"]["subject"] == "AAPL"
    assert told[0]["payload"]["pid"] == int(first.holder.split(":")[1])
    table, bar = here.api.artifact("live-paper"), here.api.artifact("live-paper-progress")
    assert table is not None
    assert bar is not None
    rows = {row["what"]: row["value"] for row in json.loads(table["data"])}
    assert rows["equity"] == "100,123.45"
    assert rows["session"] == "2026-11-20 14:30 to 21:00 UTC"
    assert 7 < float(bar["data"]) < 9  # percent: half an hour of six and a half
    assert "paper · 2026-11-20 · armed · alive" in table["description"]
    log = runner(here).log.read_text()
    assert "--at=2026-11-20T15:00:" in log
    assert "Prefect's: []" in log
    alerts = (here.local.home / "alerts.log").read_text()
    assert "the live runner was lost and is started again" in alerts


@pytest.fixture
async def worker(prefect_stack: Stack, store: LiveStore) -> AsyncIterator[Stack]:
    """A worker whose flows start the stand-in."""
    local = prefect_stack.local
    local.start_worker(poll=0.2, extra_env={"QUAESTOR_LIVE_COMMAND": COMMAND})
    await asyncio.to_thread(local.await_worker)
    yield prefect_stack
    if local.status()["worker"] is not None:
        await asyncio.to_thread(drain, prefect_stack.api, "quaestor", local.stop_worker, patience=60, every=0.2)


async def test_a_cancel_in_prefect_says_what_the_form_says_and_the_runner_lives(
    worker: Stack, store: LiveStore
) -> None:
    api = worker.api
    run = api.run_deployment("live/session", {"request": {"at": IN_SESSION.isoformat()}})
    alive = await new_runner(store)
    assert (await store.desired("paper")).by == "the test"
    api.cancel(run)
    done = await asyncio.to_thread(api.wait, run, 60)
    assert done.state == "Cancelled"
    desired = await store.desired("paper")
    assert (desired.state, desired.by, desired.reason) == ("hold", f"flow run {done.name}", "canceled in Prefect")
    assert done.name == "live 2026-11-20"
    still = await eventually(lambda: store.alive("paper", dt.timedelta(seconds=2)), "a beat after the cancel")
    assert still.id == alive.id


@pytest.mark.parametrize(
    ("state", "on_cancel", "wanted"),
    [
        pytest.param("CANCELLING", "flatten", "flatten", id="somebody cancels, and the form says flatten"),
        pytest.param("CANCELLED", "configured", "hold", id="the server has ended it meanwhile"),
        pytest.param("RUNNING", "flatten", "armed", id="a runner of Prefect's shuts down"),
        pytest.param("FAILED", "flatten", "armed", id="it failed"),
    ],
)
async def test_only_a_cancel_by_somebody_changes_what_is_wanted(
    prefect_stack: Stack, store: LiveStore, state: str, on_cancel: str, wanted: str
) -> None:
    """Prefect hands every cancellation hook a state `Cancelling`; what the server says is the truth."""
    api = prefect_stack.api
    made = api.run_deployment("live/session", {"request": {"on_cancel": on_cancel}})
    api._call("POST", f"/flow_runs/{made}/set_state", {"state": {"type": state}, "force": True})
    with temporary_settings({PREFECT_API_URL: prefect_stack.local.url}):
        async with get_client() as client:
            run = await client.read_flow_run(uuid.UUID(made))
        await say_what_a_cancel_means(live, run, Cancelling())
    assert (await store.desired("paper")).state == wanted
    api._call("POST", f"/flow_runs/{made}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


@pytest.mark.full
async def test_a_window_that_is_killed_changes_nothing_and_is_opened_again(worker: Stack, store: LiveStore) -> None:
    api, since = worker.api, dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    request = {"request": {"at": IN_SESSION.isoformat(), "on_cancel": "flatten"}}
    first = api.run_deployment("live/session", request)
    alive = await new_runner(store)
    await asyncio.to_thread(kill_flow, worker, signal.SIGTERM)
    assert (await asyncio.to_thread(api.wait, first, 60)).state == "Crashed"

    async def again() -> str | None:
        runs = await asyncio.to_thread(api.flow_runs, since, ["live/session"])
        return next((run.id for run in runs if run.id != first and run.state == "Running"), None)

    second = await eventually(again, "a second window", 120)
    assert api.flow_run(second).parameters == api.flow_run(first).parameters
    await asyncio.to_thread(kill_flow, worker, signal.SIGKILL)
    assert (await asyncio.to_thread(api.wait, second, 60)).state == "Crashed"
    assert (await store.desired("paper")).by == "the test"
    still = await store.alive("paper", dt.timedelta(seconds=5))
    assert still is not None
    assert still.id == alive.id


def kill_flow(stack: Stack, sign: signal.Signals) -> None:
    """The process of the flow run; the worker is its parent, the runner is not its child any more."""
    import psutil

    worker = psutil.Process(stack.local.status()["worker"])
    (flow,) = (child for child in worker.children(recursive=True) if "prefect.engine" in " ".join(child.cmdline()))
    flow.send_signal(sign)


@pytest.mark.full
async def test_a_prefect_that_stands_still_keeps_nobody_from_starting_the_runner_again(
    prefect_stack: Stack, store: LiveStore
) -> None:
    server = prefect_stack.local.status()["server"]
    since = dt.datetime.now(dt.UTC)
    flow = await started(prefect_stack, LiveRequest(at=IN_SESSION))
    first = await new_runner(store)
    await asyncio.sleep(3)
    os.kill(server, signal.SIGSTOP)
    try:
        ask(prefect_stack, "die")
        second = await new_runner(store, first.id)
        await asyncio.sleep(45)  # the window tries, and gives up each time
        assert await store.alive("paper", dt.timedelta(seconds=5)) is not None
        assert flow.returncode is None
    finally:
        os.kill(server, signal.SIGCONT)
    ask(prefect_stack, "settle")
    said, _ = await asyncio.wait_for(flow.communicate(), 120)
    assert flow.returncode == 0, said.decode()
    assert "Prefect does not take what is shown" in said.decode()

    async def shown() -> list[dict[str, Any]]:
        found = await asyncio.to_thread(events, prefect_stack, since)
        return [event for event in found if event["event"] == "quaestor.live.settled"]

    assert await eventually(shown, "the event of the settling")
    assert second.holder.split(":")[1] == str(runner(prefect_stack).pid)
