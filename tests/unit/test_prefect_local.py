"""The local Prefect's processes: what is ours is ended, what is not is left alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quaestor.doors.prefect_local import LocalPrefect, birth, pool_template, server_settings
from quaestor.errors import BadInput, PartMissing

ROOT = Path(__file__).resolve().parents[2]
SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def local(tmp_path: Path) -> LocalPrefect:
    return LocalPrefect(tmp_path, ROOT)


def recorded(local: LocalPrefect, part: str, pid: int, born: str, port: int = 0) -> Path:
    path = local.home / "run" / f"prefect-{part}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"pid": pid, "born": born, "port": port}))
    return path


def test_nothing_runs_at_first_and_stopping_nothing_is_no_fault(local: LocalPrefect) -> None:
    local.stop()
    assert (local.port, local.status()["server"], local.status()["healthy"]) == (0, None, False)
    with pytest.raises(PartMissing, match="Start it with `quaestor up`"):
        _ = local.url


def test_a_worker_needs_a_server(local: LocalPrefect) -> None:
    with pytest.raises(PartMissing, match="No local Prefect server runs"):
        local.start_worker()


def test_a_pid_that_belongs_to_another_program_now_is_left_alone(local: LocalPrefect) -> None:
    other = subprocess.Popen([sys.executable, "-c", SLEEP])
    try:
        path = recorded(local, "worker", other.pid, "born long ago")
        local.stop()
        assert other.poll() is None
        assert not path.exists()
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize("text", ["", "{", '{"pid": "many"}', "[]"], ids=["empty", "cut off", "half", "a list"])
def test_a_broken_state_file_means_that_nothing_runs(local: LocalPrefect, text: str) -> None:
    recorded(local, "server", 1, "").write_text(text)
    assert local.status()["server"] is None
    local.stop()


def test_a_process_that_ignores_sigterm_is_killed(local: LocalPrefect) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    process.stdout.readline()
    recorded(local, "server", process.pid, birth(process.pid) or "")
    local.stop(patience=0.5)
    assert process.wait(5) == -signal.SIGKILL
    process.stdout.close()


def test_flow_runs_that_outlive_their_worker_are_swept_and_strangers_in_the_session_are_not(
    local: LocalPrefect,
) -> None:
    """A worker killed with -9 leaves its flow runs in its session."""
    script = (
        "import os, subprocess, sys\n"
        "quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        f"ours = subprocess.Popen([sys.executable, '-c', '{SLEEP}'], **quiet)\n"
        f"other = subprocess.Popen([sys.executable, '-c', '{SLEEP}'], env={{}}, **quiet)\n"
        "print(ours.pid, other.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    env = {**os.environ, "PREFECT_HOME": str(local.home / "prefect")}
    worker = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=env, start_new_session=True, check=False
    )
    ours, other = map(int, worker.stdout.split())
    leader = os.getsid(other)
    try:
        recorded(local, "worker", leader, "born long ago")
        local.stop()
        end = time.monotonic() + 5
        while birth(ours) and time.monotonic() < end:
            time.sleep(0.02)
        assert birth(ours) is None
        assert birth(other) is not None
    finally:
        os.kill(other, signal.SIGKILL)


def test_a_chosen_port_in_use_is_refused_with_the_cure(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            BadInput, match=rf"Port {port} on 127\.0\.0\.1 is in use\. Choose another with `\[prefect\]"
        ):
            LocalPrefect(tmp_path, ROOT, port).start_server()


def test_a_server_that_dies_at_its_start_says_why(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "deployments").mkdir(parents=True)
    (root / "deployments" / "server.env").write_text("PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS=many\n")
    local = LocalPrefect(tmp_path / "home", root)
    with pytest.raises(PartMissing, match=r"ended at its start\. Log: (?s:.*)max_runs"):
        local.start_server()
    assert local.status()["server"] is None


def test_a_password_in_the_books_url_does_not_reach_worker_and_flow_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They open the books by their block, and the password comes out of the vault."""
    url = "postgresql://me:hunter2@host/books"
    monkeypatch.setenv("QUAESTOR_DATABASE_URL", url)
    env = LocalPrefect(tmp_path, ROOT).environment(4321, {"QUAESTOR_DATABASE_URL": url, "PGPASSWORD": "needed"})
    assert not any("hunter2" in value for value in env.values())
    assert env["PGPASSWORD"] == "needed"


def test_our_processes_see_no_other_prefect(tmp_path: Path) -> None:
    local = LocalPrefect(tmp_path, ROOT)
    env = local.environment(4321, {"PREFECT_API_KEY": "of another server", "PATH": "/bin", "QUAESTOR_CONFIG": "x.toml"})
    assert "PREFECT_API_KEY" not in env
    assert env["PREFECT_API_URL"] == env["PREFECT_UI_API_URL"] == "http://127.0.0.1:4321/api"
    assert env["QUAESTOR_CONFIG"] == "x.toml"
    assert shutil.which("python", path=env["PATH"]) == str(Path(sys.executable).with_name("python"))


def test_flow_runs_start_in_the_project_with_one_start_of_python() -> None:
    variables = pool_template(ROOT)["variables"]["properties"]
    assert variables["working_dir"]["default"] == str(ROOT)
    assert variables["command"]["default"] == "python -m prefect.engine"


def test_every_server_setting_is_one_that_prefect_knows() -> None:
    from prefect.settings import Settings

    known = set(Settings().to_environment_variables()) | {"DO_NOT_TRACK"}
    assert set(server_settings(ROOT)) <= known
