"""The chaos kit: what it plays holds, what does not hold is said, and it leaves nothing behind.

Real processes trade on a real database, and are killed, paused, doubled and cut off (`quaestor.operations.chaos`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from quaestor.chaos import SCENARIOS, Played, chosen, following, label, labels, weight
from quaestor.console.stage import Stage
from quaestor.operations import chaos
from quaestor.operations.chaos import Rehearsal
from tests.folders import temporary
from tests.integration.in_process import quaestor

QUAESTOR = Path(sys.executable).with_name("quaestor")
KILLS = ("kill-at-each-step", "kill-while-recovering")
ALONE = "database-restart"  # it takes the database from all that are played on it
SHORT = 8  # runs


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    folder = temporary("quaestor-chaos-")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def rehearsal(folder: Path) -> Iterator[Rehearsal]:
    with Stage(folder / "chaos") as stage:
        yield Rehearsal.prepared(stage)
    assert not list(folder.iterdir())


# ── what holds ────────────────────────────────────────────────────────────────────────────────────────────────────────


def held(played: Played) -> dict[str, Any]:
    assert played.ok, "\n".join([played.seen, *played.wrong])
    return played.facts


@pytest.mark.timeout(600)
def test_a_process_may_be_killed_at_any_step_and_nothing_is_lost_or_sent_twice(rehearsal: Rehearsal) -> None:
    facts = held(rehearsal.play("kill-at-each-step", 36))
    assert facts["kills"] >= 34
    assert [kind for kind in facts["missed"] if weight(kind) < 2] == [], "every send and every commit was hit"


@pytest.mark.timeout(600)
def test_the_next_one_may_be_killed_while_it_recovers(rehearsal: Rehearsal) -> None:
    facts = held(rehearsal.play("kill-while-recovering", 30))
    assert facts["second_kills"] >= 28
    assert facts["while_recovering"] >= 25
    steps = {kind.partition(":")[0] for kind in facts["hit"]}
    assert steps >= {"resolve/perform", "resolve/listings", "resolve/send", "resolve/submitted", "recover/collect"}


@pytest.fixture(scope="module")
def others(rehearsal: Rehearsal) -> dict[str, Played]:
    """All scenarios but the kills, in their short form; two at a time where they do not disturb each other."""
    names = [name for name in SCENARIOS if name not in {*KILLS, ALONE}]
    with ThreadPoolExecutor(2) as lanes:
        played = list(lanes.map(lambda name: rehearsal.play(name, SHORT), names))
    return {each.scenario.name: each for each in [*played, rehearsal.play(ALONE, SHORT)]}


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in KILLS])
def test_every_other_scenario_holds(others: dict[str, Played], name: str) -> None:
    held(others[name])


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_five_hundred_kills_hit_every_point_of_the_path(rehearsal: Rehearsal) -> None:
    each, again = (held(rehearsal.play(name, runs)) for name, runs in zip(KILLS, (100_000, 250), strict=True))
    assert each["runs"] + again["runs"] >= 500
    assert each["missed"] == again["missed"] == [], "every kind of point was hit"
    assert each["points_hit"] >= 0.97 * each["points"], "but for renewals of the lease, which come as time goes by"
    assert again["while_recovering"] >= again["points"] * 0.8


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", [name for name in SCENARIOS if name.startswith("broker-")])
def test_many_bad_lines_change_nothing_either(rehearsal: Rehearsal, name: str) -> None:
    held(rehearsal.play(name, 240))


# ── what is chosen ────────────────────────────────────────────────────────────────────────────────────────────────────


class Even:
    """Dice that leave everything where it is."""

    def shuffle(self, _: list[str]) -> None:
        pass


POINTS = ["a: before x", "a: before commit", "a: after commit", "b: before submit", "a: before x", "a: before commit"]


def test_points_are_labelled_in_the_order_they_are_passed() -> None:
    assert labels(POINTS)[-2:] == ["a: before x #2", "a: before commit #2"]
    assert label("a: before x", 2) == labels(POINTS)[-2]
    assert following(POINTS, "x", "before commit") == "a: before commit #2"


@pytest.mark.parametrize(
    ("runs", "broad", "first"),
    [
        pytest.param(1, False, ["b: before submit #1"], id="a send weighs most"),
        pytest.param(2, True, ["b: before submit #1", "a: before commit #1"], id="broad: one of each step"),
        pytest.param(4, False, ["b: before submit #1", "a: before commit #1", "a: after commit #1", "a: before x #1"],
                     id="one of each kind, commits before reads"),
    ],
)  # fmt: skip
def test_the_weightiest_kinds_are_hit_first(runs: int, broad: bool, first: list[str]) -> None:
    assert chosen(labels(POINTS), runs, Even(), broad=broad) == first  # type: ignore[arg-type]


def test_with_enough_runs_every_point_is_hit() -> None:
    assert sorted(chosen(labels(POINTS), 100, Even())) == sorted(labels(POINTS))  # type: ignore[arg-type]


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def command(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [QUAESTOR, "chaos", "run", *words],
        env={**os.environ, "QUAESTOR_HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hears_ctrl_c,  # noqa: PLW1509  # the tests' process has no thread that holds a lock here
    )


def _hears_ctrl_c() -> None:
    """Whoever runs the tests in the background of a shell ignores it, and so would we."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def left(folder: Path) -> list[str]:
    """Files below the folder, and processes that were told of it."""
    files = [str(file) for file in folder.rglob("*")]
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in [*process.cmdline(), process.environ().get("QUAESTOR_HOME", "")]):
                files.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return files


@pytest.fixture
def home() -> Iterator[Path]:
    folder = temporary("quaestor-chaos-")
    yield folder
    shutil.rmtree(folder)


def test_the_list_tells_what_can_be_played() -> None:
    done = quaestor("chaos", "list", "--json", environment={})
    rows = json.loads(done.stdout)["scenarios"]
    assert [row["name"] for row in rows] == list(SCENARIOS)
    assert all(set(row) == {"name", "threat", "expected", "law"} and all(row.values()) for row in rows)
    assert set(chaos.PLAYS) == set(SCENARIOS)


def test_a_scenario_that_nobody_knows_is_answered_with_the_nearest() -> None:
    done = quaestor("chaos", "run", "lease-stollen", environment={})
    assert done.returncode == 1
    assert "Did you mean 'lease-stolen'?" in done.stderr


def test_a_scenario_that_does_not_hold_ends_the_command_with_1(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, scenario in SCENARIOS.items():
        wrong = ["an order is at the broker twice"] if name == "lease-stolen" else []
        monkeypatch.setitem(chaos.PLAYS, name, lambda *_, s=scenario, w=wrong: Played(s, "two orders", w))
    monkeypatch.setitem(chaos.PLAYS, "broker-hangs", lambda *_: 1 / 0)
    done = quaestor("chaos", "run", "all", "--json", environment={"QUAESTOR_HOME": str(home)})
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert list(answer) == ["scenarios"]
    rows = {row["name"]: row for row in answer["scenarios"]}
    assert all(set(row) == {"name", "ok", "expected", "seen"} for row in rows.values())
    assert [name for name, row in rows.items() if not row["ok"]] == ["broker-hangs", "lease-stolen"]
    assert rows["lease-stolen"]["seen"] == "two orders; an order is at the broker twice"
    assert "ZeroDivisionError" in rows["broker-hangs"]["seen"]
    assert left(home) == []


def test_one_rehearsal_at_a_time_and_a_ctrl_c_leaves_nothing(home: Path) -> None:
    process = command(home, "kill-at-each-step")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("kill-at-each-step"):
            break
    socket = Path((home / "chaos/postgres/socket").read_text())
    assert socket.exists()
    other = command(home, "all")
    _, complained = other.communicate(timeout=60)
    assert other.returncode == 75
    assert f"Another rehearsal plays in {home}/chaos" in complained
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (130, "quaestor: interrupted\n")
    assert left(home) == []
    assert not socket.exists()


@pytest.mark.parametrize("moment", [0.1, 0.6, 1.2, 1.6, 2.0])  # seconds; the stage is being set
def test_a_sigterm_while_the_stage_is_set_leaves_nothing(home: Path, moment: float) -> None:
    process = command(home, "all")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Setting the stage")
    time.sleep(moment)
    process.terminate()
    _, complained = process.communicate(timeout=60)
    assert (process.returncode, complained) == (143, "")
    assert left(home) == []


@pytest.mark.full
def test_a_scenario_that_holds_ends_with_0_and_what_a_killed_rehearsal_left_is_cleared_away(home: Path) -> None:
    process = command(home, "all")
    assert process.stdout is not None
    while not process.stdout.readline().endswith("may die.\n"):
        pass
    process.kill()
    process.communicate(timeout=60)
    assert (home / "chaos/postgres/data").exists()
    process = command(home, "run-duplicated", "--json")
    said, complained = process.communicate(timeout=120)
    assert (process.returncode, complained) == (0, "")
    (row,) = json.loads(said)["scenarios"]
    assert (row["name"], row["ok"]) == ("run-duplicated", True)
    assert left(home) == []
