"""A flow whose chunks run on two processes of Dask: as in its own process, seen by Prefect, and with nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from quaestor.doors.postgres.database import without_password

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

SCRIPT = Path(__file__).with_name("scaled_flow.py")
SYMBOLS = ["AAPL", "FB", "GOOG", "IBM", "MSFT"]


@pytest.fixture
def second_uri(server_uri: str, template_uri: str) -> Iterator[str]:
    """Another fresh migrated database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "template_books"')  # type: ignore[arg-type]
    yield server_uri.replace("/quaestor?", f"/{name}?")
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')  # type: ignore[arg-type]


def eventually(check: Callable[[], Any], timeout: float = 20) -> Any:
    end = time.monotonic() + timeout
    while not (found := check()) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those of these processes that are there, and no zombies."""
    return {pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE}


def started(stack: Stack, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    env = {**stack.local.environment(), **environment}
    command = [sys.executable, str(SCRIPT), str(stack.local.home), *arguments]
    return subprocess.Popen(
        command, cwd=SCRIPT.parents[2], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def runs(stack: Stack, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A flow run and its task runs, as the server has them."""
    (flow_run,) = stack.rows("/flow_runs/filter", flow_runs={"name": {"any_": [name]}})
    return flow_run, stack.rows("/task_runs/filter", flow_runs={"id": {"any_": [flow_run["id"]]}})


def test_two_processes_of_dask_do_what_the_flows_own_does(
    prefect_stack: Stack, database_uri: str, second_uri: str
) -> None:
    (url, password), (second, _) = without_password(database_uri), without_password(second_uri)
    program = started(prefect_stack, f"threads={url}", f"dask={second}", PGPASSWORD=password or "")
    said, complained = program.communicate(timeout=120)
    assert program.returncode == 0, complained
    assert "INFO    | distributed" not in complained  # Dask speaks only of what is wrong
    own, dask = (json.loads(line)["done"] for line in said.splitlines() if line.startswith('{"kind"'))
    assert [one["rows"] for one in dask] == [one["rows"] for one in own]
    assert [row["symbol"] for one in dask for row in one["rows"]] == SYMBOLS
    assert [row["new"] for one in dask for row in one["rows"]] == [252, 0, 252, 252, 252]
    assert {one["process"] for one in own} == {program.pid}
    processes = {one["process"] for one in dask}
    assert len(processes) == 2
    assert program.pid not in processes
    assert alive(processes) == set()
    assert not list((prefect_stack.local.home / "cache" / "dask").rglob("worker-*"))
    with psycopg.connect(second_uri) as connection:
        assert connection.execute("select count(*) from bar").fetchone() == (4 * 252,)
    for name in ("scaled threads", "scaled dask"):
        check_seen(prefect_stack, name)


def check_seen(stack: Stack, name: str) -> None:
    """Each chunk is a task run of the flow run, with its name, its retries and its log."""
    assert eventually(lambda: all(run["state_type"] == "COMPLETED" for run in runs(stack, name)[1]))
    flow_run, task_runs = runs(stack, name)
    assert flow_run["state_type"] == "COMPLETED"
    assert sorted(run["name"] for run in task_runs) == [f"chunk of ['{symbol}']" for symbol in SYMBOLS]
    counts = {run["name"]: run["run_count"] for run in task_runs}
    assert [counts[f"chunk of ['{symbol}']"] for symbol in SYMBOLS] == [1, 1, 1, 2, 1]
    logs = {"flow_run_id": {"any_": [flow_run["id"]]}}
    assert eventually(lambda: sum("in process" in row["message"] for row in stack.rows("/logs/filter", logs=logs)) == 6)


@pytest.mark.full
def test_a_flow_that_is_killed_leaves_no_process(prefect_stack: Stack, tmp_path: Path) -> None:
    program = started(prefect_stack, "hang", str(tmp_path))
    children = hanging(program.pid, tmp_path)
    os.kill(program.pid, signal.SIGKILL)
    program.communicate(timeout=30)
    assert eventually(lambda: not alive(children), 10)


@pytest.mark.full
def test_a_flow_that_is_cancelled_ends_its_cluster(worker: Stack, tmp_path: Path) -> None:
    api = worker.api
    body = {
        "name": "test",
        "flow_id": api._call("POST", "/flows/", {"name": "hanging"})["id"],
        "entrypoint": "scaled_flow.hanging",
        "work_pool_name": "quaestor",
        "work_queue_name": "live",
        "job_variables": {"working_dir": str(SCRIPT.parent)},
    }
    deployment = api._call("POST", "/deployments/", body)
    run_id = api.run_deployment("hanging/test", {"home": str(worker.local.home), "folder": str(tmp_path)})
    parent = eventually(lambda: [psutil.Process(pid).ppid() for pid in processes(tmp_path)], 60)[0]
    children = hanging(parent, tmp_path)
    api.cancel(run_id)
    assert api.wait(run_id, 60).state == "Cancelled"
    assert eventually(lambda: not alive({parent, *children}), 10)
    assert len(processes(tmp_path)) == 4
    api._call("DELETE", f"/deployments/{deployment['id']}")


def processes(folder: Path) -> list[int]:
    """Which process each chunk that was begun is in."""
    return [int(file.name.partition("-")[2]) for file in folder.iterdir()]


def hanging(parent: int, folder: Path) -> set[int]:
    """All children of the flow's process, once as many chunks run as may."""
    assert eventually(lambda: len(processes(folder)) == 4, 60)
    children = {child.pid for child in psutil.Process(parent).children(recursive=True)}
    assert set(processes(folder)) <= children
    return children
