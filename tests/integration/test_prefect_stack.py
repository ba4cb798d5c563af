"""The real Prefect: registering twice, the chain's triggers, draining, and leaving nothing behind."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quaestor.config import Config
from quaestor.doors.prefect_api import FlowRun, PrefectApi
from quaestor.doors.prefect_local import LocalPrefect
from quaestor.errors import Temporary
from quaestor.forms import NAME, differences, forms
from quaestor.operations.drain import Busy, drain

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ROOT = Path(__file__).resolve().parents[2]
MADE = ("pool", "limits", "blocks", "automations", "deployments")
SLEEPY = """
import time
from prefect import flow

@flow
def sleepy(seconds: float = 1.0):
    time.sleep(seconds)
"""


def inventory(stack: Stack) -> dict[str, list[tuple[str, ...]]]:
    """Name and id of everything that registering makes."""
    pool = stack.api._call("GET", "/work_pools/quaestor")
    return {
        "pool": [(pool["id"], pool["updated"])],
        "queues": [(row["name"], row["id"]) for row in stack.rows("/work_pools/quaestor/queues/filter")],
        "limits": [(row["name"], row["id"]) for row in stack.rows("/v2/concurrency_limits/filter")],
        "blocks": [(row["id"], row["updated"]) for row in stack.rows("/block_documents/filter")],
        "automations": [(row["name"], row["id"]) for row in stack.rows("/automations/filter")],
        "deployments": [(row["name"], row["id"], row["updated"]) for row in stack.rows("/deployments/filter")],
    }


def shape(found: dict[str, list[tuple[str, ...]]]) -> dict[str, list[str]]:
    return {kind: sorted(row[0] for row in rows) for kind, rows in found.items() if kind not in {"pool", "blocks"}}


def eventually(check: Callable[[], Any], timeout: float = 90) -> Any:
    """What `check` finds, asked again until then; a server on SQLite may be silent for half a minute under load."""
    end = time.monotonic() + timeout
    while True:
        with suppress(Temporary):
            if found := check():
                return found
        if time.monotonic() >= end:
            return None
        time.sleep(0.1)


def test_registering_again_changes_nothing(prefect_stack: Stack) -> None:
    before = inventory(prefect_stack)
    done = prefect_stack.register("--no-schedules")
    named = {f"{kind} {name}": change for kind in MADE for name, change in done[kind].items()}
    assert named == dict.fromkeys(named, "unchanged")
    assert inventory(prefect_stack) == before
    assert [len(before[kind]) for kind in ("blocks", "automations", "deployments")] == [8, 8, 12]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("-m", "deployments.register", "--force", "--no-schedules"), id="register, forced"),
        pytest.param(("-m", "prefect", "--no-prompt", "deploy", "--all"), id="Prefect's own command"),
    ],
)
def test_deploying_again_piles_nothing_up(prefect_stack: Stack, command: tuple[str, ...]) -> None:
    before = inventory(prefect_stack)
    done = prefect_stack.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert shape(inventory(prefect_stack)) == shape(before)


def test_queues_put_trading_before_history(prefect_stack: Stack) -> None:
    rows = prefect_stack.rows("/work_pools/quaestor/queues/filter")
    found = {row["name"]: (row["priority"], row["concurrency_limit"]) for row in rows if row["name"] != "default"}
    assert found == {"live": (1, None), "stream": (5, None), "backfill": (10, 1)}


def test_backfills_take_fewer_places_at_the_sources_than_there_are(prefect_stack: Stack) -> None:
    rows = prefect_stack.rows("/v2/concurrency_limits/filter")
    ours = {row["name"]: row["limit"] for row in rows if row["name"].startswith("quaestor-")}
    assert ours == {"quaestor-sources": 8, "quaestor-backfill": 4}


def test_a_demo_is_not_joined_by_the_clock(prefect_stack: Stack) -> None:
    schedules = [one for row in prefect_stack.rows("/deployments/filter") for one in row["schedules"]]
    assert {one["slug"] for one in schedules} == {
        "after-the-close",
        "before-the-day",
        "before-the-open",
        "during-the-session",
        "in-the-evening",
        "after-the-report",
        "sunday-morning",
        "the-session",
    }
    assert not any(one["active"] for one in schedules)


def test_a_block_changed_in_the_ui_is_named_and_registering_repairs_it(prefect_stack: Stack) -> None:
    api, slug = prefect_stack.api, "quaestor-paper-broker"
    wanted = forms(Config(), prefect_stack.local.home, ROOT)[slug]
    found = api._call("GET", f"/block_types/slug/{slug}/block_documents/name/{NAME}")
    change = {"data": {**found["data"], "commission": "7"}, "block_schema_id": found["block_schema_id"]}
    api._call("PATCH", f"/block_documents/{found['id']}", change)
    assert differences(wanted, api.block_data(slug, NAME)) == ["commission: the file says '0', the block '7'"]
    assert prefect_stack.register("--no-schedules")["blocks"][slug] == "updated"
    assert differences(wanted, api.block_data(slug, NAME)) == []


# ── the chain ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def emit(api: PrefectApi, name: str, payload: dict[str, Any], tags: tuple[str, ...]) -> None:
    """The event that a flow run with these tags would emit."""
    related = [{"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags]
    event = {
        "id": str(uuid.uuid4()),
        "occurred": dt.datetime.now(dt.UTC).isoformat(),
        "event": name,
        "resource": {"prefect.resource.id": "quaestor.account.paper"},
        "related": related,
        "payload": payload,
    }
    api._call("POST", "/events", [event])


@pytest.mark.parametrize(
    ("event", "follower"),
    [
        ("quaestor.ingest.finished", "generate-signals/daily"),
        ("quaestor.signals.finished", "execute/paper"),
        ("quaestor.execute.finished", "reconcile/paper"),
        ("quaestor.reconcile.finished", "report/daily"),
    ],
)
@pytest.mark.parametrize(
    "window",
    [
        pytest.param({"start": "2012-01-03", "end": "2013-03-01"}, id="a window"),
        pytest.param({"start": None, "end": None}, id="all there is"),
    ],
)
def test_a_finished_link_starts_the_next_with_its_window(
    prefect_stack: Stack, event: str, follower: str, window: dict[str, str | None]
) -> None:
    api, since = prefect_stack.api, dt.datetime.now(dt.UTC)
    emit(api, event, {**window, "rows": 7}, ("quaestor", "chain"))

    def started() -> list[FlowRun]:
        return api.flow_runs(since, [follower])

    (run,) = eventually(started)
    assert run.parameters == {"request": window}
    api.cancel(run.id)


def test_what_is_no_link_of_the_chain_starts_nothing(prefect_stack: Stack) -> None:
    """A backfill, or the morning's proof."""
    api, since = prefect_stack.api, dt.datetime.now(dt.UTC)
    window = {"start": "2012-01-03", "end": "2012-01-03"}
    emit(api, "quaestor.ingest.finished", window, ("quaestor", "backfill"))
    emit(api, "quaestor.reconcile.finished", window, ("quaestor", "books"))
    emit(api, "quaestor.execute.finished", window, ("quaestor", "chain"))  # comes last, and is heard
    (run,) = eventually(lambda: api.flow_runs(since, ["reconcile/paper"]))
    api.cancel(run.id)
    assert [one.id for one in api.flow_runs(since)] == [run.id]


# ── runs, drain, stop ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def sleepy(prefect_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A deployment whose runs last as long as one says."""
    folder = tmp_path_factory.mktemp("sleepy")
    (folder / "sleepy.py").write_text(SLEEPY)
    name: str = eventually(lambda: deploy_sleepy(prefect_stack.api, folder))
    return name


def deploy_sleepy(api: PrefectApi, folder: Path) -> str:
    """Its name; done twice, it is done once."""
    flow = api._call("POST", "/flows/", {"name": "sleepy"})
    body = {
        "name": "test",
        "flow_id": flow["id"],
        "entrypoint": "sleepy.py:sleepy",
        "work_pool_name": "quaestor",
        "work_queue_name": "live",
        "job_variables": {"working_dir": str(folder)},
        "tags": ["quaestor"],
    }
    api._call("POST", "/deployments/", body)
    return "sleepy/test"


def processes_of(home: Path) -> list[int]:
    """Every process that was started for this data folder."""
    mark = f"QUAESTOR_HOME={home}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def running(api: PrefectApi, name: str, seconds: float) -> FlowRun:
    run_id = api.run_deployment(name, {"seconds": seconds})
    assert eventually(lambda: api.flow_run(run_id).state_type == "RUNNING")
    return api.flow_run(run_id)


def test_a_drain_lets_the_running_flow_end_before_the_worker_stops(worker: Stack, sleepy: str) -> None:
    api, local = worker.api, worker.local
    run = running(api, sleepy, 3)
    waited: list[str] = []

    def tell(runs: Sequence[Busy]) -> None:
        waited.extend(one.name for one in runs)

    drain(api, "quaestor", local.stop_worker, patience=60, every=0.2, tell=tell)
    assert api.flow_run(run.id).state == "Completed"
    assert waited.count(run.name) > 1
    assert local.status()["worker"] is None
    assert not api.pool("quaestor").paused


def test_a_drain_or_a_hold_that_takes_too_long_stops_nothing_and_opens_the_pool_again(
    worker: Stack, sleepy: str
) -> None:
    api, local = worker.api, worker.local
    run = running(api, sleepy, 300)
    with pytest.raises(Temporary, match=rf"{run.name} \(Running\)"):
        drain(api, "quaestor", local.stop_worker, patience=0.5, every=0.2)
    assert local.status()["worker"] is not None
    assert not api.pool("quaestor").paused
    done = worker.run("-m", "deployments.drain", "--hold", "--timeout", "1")
    assert done.returncode == 1
    assert f"waiting for {run.name} (Running)" in done.stderr
    assert local.status()["worker"] is not None
    assert not api.pool("quaestor").paused
    api.cancel(run.id)
    assert api.wait(run.id, 60).state == "Cancelled"


def test_the_drain_command_holds_and_releases_the_pool(prefect_stack: Stack) -> None:
    for option, paused in (("--hold", True), ("--release", False)):
        done = prefect_stack.run("-m", "deployments.drain", option)
        assert done.returncode == 0, done.stderr
        assert prefect_stack.api.pool("quaestor").paused is paused


@pytest.fixture
def paused(prefect_stack: Stack) -> Iterator[Stack]:
    """The pool as a person paused it in the UI."""
    pool = "/work_pools/quaestor"
    prefect_stack.api._call("PATCH", pool, {"is_paused": True})
    yield prefect_stack
    prefect_stack.api._call("PATCH", pool, {"is_paused": False})


def test_a_pool_that_a_person_paused_stays_paused(paused: Stack) -> None:
    drain(paused.api, "quaestor", lambda: None, patience=10, every=0.2)
    assert paused.api.pool("quaestor").paused
    for option, said in (("--hold", ""), ("--release", "pool quaestor is paused still, as it was found\n")):
        done = paused.run("-m", "deployments.drain", option)
        assert (done.returncode, done.stderr) == (0, said)
        assert paused.api.pool("quaestor").paused


def test_a_pool_that_a_drain_left_closed_is_opened_by_the_next(prefect_stack: Stack) -> None:
    """A drain that was killed, or a hold that was asked for twice."""
    api = prefect_stack.api
    for _ in range(2):
        api.pause_pool("quaestor", paused=True)
    drain(api, "quaestor", lambda: None, patience=10, every=0.2)
    assert not api.pool("quaestor").paused
    assert not [row for row in prefect_stack.rows("/variables/filter") if row["name"].startswith("quaestor_closed")]


def test_stop_leaves_nothing_running_even_in_the_middle_of_a_run(prefect_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    local = LocalPrefect(tmp_path / "home", ROOT, template=prefect_stack.local.template)
    local.start_server()
    try:
        local.start_worker(poll=0.2)  # before the pool exists: it makes it as registering would
        local.await_worker()
        api = PrefectApi(local.url)
        running(api, eventually(lambda: deploy_sleepy(api, tmp_path)), 300)
        assert len(processes_of(local.home)) >= 3
    finally:
        local.stop()
    assert processes_of(local.home) == []
    assert not list((local.home / "run").glob("prefect-*.json"))
    local.stop()


def test_a_second_start_finds_the_first(prefect_stack: Stack) -> None:
    again = LocalPrefect(prefect_stack.local.home, ROOT)
    assert again.start_server() == prefect_stack.local.url
    assert again.status()["server"] == prefect_stack.local.status()["server"]


def test_the_template_holds_no_key_of_a_server(prefect_stack: Stack) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(prefect_stack.local.template)) as template:
        assert template.execute("select count(*) from configuration").fetchone() == (0,)
        assert template.execute("select count(*) from flow_run").fetchone() == (0,)


@pytest.mark.full
def test_a_run_whose_worker_was_stopped_is_marked_crashed(worker: Stack, sleepy: str) -> None:
    """Prefect itself leaves it Running for ever; the zombie reaper sees three heartbeats missing."""
    run = running(worker.api, sleepy, 600)
    time.sleep(3)  # the first heartbeat has to arrive
    worker.local.stop_worker()
    assert worker.api.flow_run(run.id).state == "Running"
    done = worker.api.wait(run.id, 200)
    assert (done.state, done.message[:12]) == ("Crashed", "No heartbeat")


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_run_that_a_dead_worker_had_taken_is_marked_crashed(prefect_stack: Stack, sleepy: str) -> None:
    api = prefect_stack.api
    run_id = api.run_deployment(sleepy, {"seconds": 1})
    api._call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": "PENDING"}, "force": True})
    done = api.wait(run_id, 400)
    assert (done.state, done.message[:21]) == ("Crashed", "Pending for 5 minutes")
