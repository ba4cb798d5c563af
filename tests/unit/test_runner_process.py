"""The live runner as a process: detached, known again by another process, ended for sure."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaestor.doors.runner_process import RunnerProcess

SLEEPY = """
import os, signal, sys, time
print(sorted(name for name in os.environ if name.startswith(("PREFECT", "QUAESTOR"))), sys.argv[1:], flush=True)
{}
time.sleep(60)
"""
STUBBORN = SLEEPY.format("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
SLEEPY = SLEEPY.format("")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    RunnerProcess(tmp_path, tmp_path).end(patience=0.1)


def runner(home: Path, program: str = SLEEPY, **extra: str) -> RunnerProcess:
    return RunnerProcess(home, home, [sys.executable, "-c", program], extra)


def said(process: RunnerProcess) -> str:
    end = time.monotonic() + 30
    while not (words := process.log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return words


def test_nothing_runs_at_first_and_ending_nothing_is_no_fault(home: Path) -> None:
    assert (runner(home).running, runner(home).pid, runner(home).end()) == (False, None, False)


def test_it_leads_a_session_of_its_own_and_needs_nothing_of_prefect(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT__FLOW_RUN_ID", "QUAESTOR_DATABASE_URL", "QUAESTOR_CONFIG"):
        monkeypatch.setenv(name, "x")
    process = runner(home, QUAESTOR_DATABASE_PASSWORD_SECRET="database-password")
    process.start(["--at=2026-11-20T15:00:00+00:00"])
    pid = process.pid
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    names = ["QUAESTOR_CONFIG", "QUAESTOR_DATABASE_PASSWORD_SECRET", "QUAESTOR_HOME"]
    assert said(process) == f"{names} ['--at=2026-11-20T15:00:00+00:00']\n"


def test_another_process_knows_it_and_ends_it(home: Path) -> None:
    runner(home).start()
    code = (
        "import sys; from pathlib import Path; from quaestor.doors.runner_process import RunnerProcess\n"
        "found = RunnerProcess(Path(sys.argv[1]), Path()); print(found.pid, found.end(), found.pid)"
    )
    pid = runner(home).pid
    done = subprocess.run([sys.executable, "-c", code, str(home)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{pid} True None\n"
    assert not runner(home).running


def test_one_that_does_not_listen_is_ended_for_sure(home: Path) -> None:
    process = runner(home, STUBBORN)
    process.start()
    said(process)
    assert process.end(patience=0.2)
    assert not process.running


def test_a_second_start_takes_the_place_of_the_first(home: Path) -> None:
    process = runner(home)
    process.start()
    first = process.pid
    said(process)
    process.start()
    assert process.pid not in {None, first}
    assert first is not None
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_pid_on_record_that_is_another_programs_now_is_left_alone(home: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (home / "run").mkdir()
        (home / "run" / "live.pid").write_text(f"{other.pid}\n")
        (home / "run" / "live.lock").touch()
        assert not runner(home).end()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_its_last_words_say_why_it_ended(home: Path) -> None:
    process = runner(home, "raise SystemExit('the wall is in the way')")
    process.start()
    said(process)
    assert process.last_words() == f"Log: {home / 'logs' / 'live.log'}\n  the wall is in the way"
