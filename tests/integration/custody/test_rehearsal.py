"""The rehearsal: days of a login within seconds, whatever goes wrong; and it fails where a refresher is broken."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from quaestor import calendar, wiring
from quaestor.custody.machine import Custody
from quaestor.custody.rehearsals import BEGINS, FAULTS, Plan, named, planned
from quaestor.custody.tokens import Pair
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.rehearsed import Found
from quaestor.operations.custody.rehearsing import Rehearsal
from quaestor.operations.custody.watching import Keeper
from quaestor.ports import Lease
from quaestor.wiring.auth_rehearsals import AuthStage
from tests.folders import temporary

ROOT = Path(__file__).resolve().parents[3]
Sabotage = Callable[[AuthStage], None]


async def play(uri: str, folder: Path, plan: Plan, sabotage: Sabotage = lambda _: None) -> Found:
    folder.mkdir(exist_ok=True)
    async with wiring.auth_stage(uri, folder, plan) as stage:
        sabotage(stage)
        return await Rehearsal(stage, plan).play()


def minutes(days: int) -> int:
    return sum(map(calendar.minutes, calendar.sessions(BEGINS, BEGINS + dt.timedelta(days=days - 1))))


async def test_a_week_with_every_fault_costs_nobody_an_action_or_a_minute(database_uri: str, tmp_path: Path) -> None:
    found = await play(database_uri, tmp_path, planned(7, named("all")))
    assert found.problems == []
    row = found.as_row()
    assert list(row) == ["days", "refreshes", "human_actions", "trading_minutes_lost", "leaks", "faults"]
    assert (row["days"], row["human_actions"], row["trading_minutes_lost"], row["leaks"]) == (7, 0, 0, 0)
    assert row["refreshes"] >= 7
    assert found.minutes == minutes(7)
    assert set(row["faults"]) == set(FAULTS)
    assert all(seen["injected"] for seen in row["faults"].values())
    faults = row["faults"]
    assert faults["two_refreshers"]["requests"] == 1
    assert faults["reply_lost"]["requests"] == 2
    assert faults["revoked_mid_order"]["at_robinhood"] == faults["revoked_mid_order"]["orders"] >= 1
    assert faults["login_throttled"]["login_requests"] >= 1
    broken = faults["chain_broken"]
    assert broken["paged_after_seconds"] <= 60
    assert (broken["human_actions"], broken["resumed"], broken["restarted"]) == (1, True, False)
    assert broken["trading_minutes_lost"] >= 5  # the person took his time, and that is told


async def test_the_same_seed_tells_the_same_story(database_uri: str, empty_uri: str, tmp_path: Path) -> None:
    wiring.upgrade(empty_uri)
    plan = planned(1, named("reply_lost,revoked_mid_order"), seed=5)
    one, two = [await play(uri, tmp_path / str(n), plan) for n, uri in enumerate((database_uri, empty_uri))]
    assert one.story == two.story
    assert len(one.story) >= 4
    assert planned(1, named("all"), seed=6) != planned(1, named("all"), seed=5)


async def test_a_login_that_is_tried_in_vain_puts_no_refresh_off(database_uri: str, tmp_path: Path) -> None:
    found = await play(database_uri, tmp_path, planned(2, named("login_throttled"), seed=2))
    assert found.problems == []
    assert [turn.late < 700 for turn in found.turns] == [True] * 2


# ── a rehearsal that can fail ─────────────────────────────────────────────────────────────────────────────────────────


class Idle:
    """A keeper that never changes a token."""

    def __init__(self, keeper: Keeper) -> None:
        self.of = keeper.of

    async def look(self) -> Custody:
        return await self.of.store.load(self.of.alias)


class Died(BaseException):
    """The process ended there."""


class Careless(Custodian):
    """Stores the access token first, and dies before the refresh token is stored."""

    async def keep(self, pair: Pair) -> None:
        if pair.access.seq == 1:
            return await super().keep(pair)
        await asyncio.to_thread(self._keep, self.names.access, pair.access.as_text(), pair.access.expires_at, {})
        raise Died


class Dying(Keeper):
    """A keeper whose supervisor starts it again."""

    async def look(self) -> Custody:
        try:
            return await super().look()
        except Died:
            return await self.of.store.load(self.of.alias)


def idle(stage: AuthStage) -> None:
    stage.keepers = [Idle(each) for each in stage.keepers if isinstance(each, Keeper)]


def careless(stage: AuthStage) -> None:
    owners = [each.of for each in stage.keepers if isinstance(each, Keeper)]
    stage.keepers = [Dying(Careless(**vars(each))) for each in owners]


class Alone(Custodian):
    """Takes a lease that is nobody else's."""

    @asynccontextmanager
    async def lease(self, wait_seconds: float = 0.0) -> AsyncIterator[Lease]:
        async with self.leases.hold(self.holder, self.holder, wait_seconds) as lease:
            yield lease


def alone(stage: AuthStage) -> None:
    owners = [each.of for each in stage.keepers if isinstance(each, Keeper)]
    stage.keepers = [Keeper(Alone(**vars(each))) for each in owners]


def talkative(stage: AuthStage) -> None:
    (stage.folder / "notes.txt").write_text(f"password: {stage.person.password}")


@pytest.mark.parametrize(
    ("sabotage", "said"),
    [
        (idle, r"tokens that were due .* were not changed[\s\S]*trading minutes were lost"),
        (careless, r"a person had to act"),
        (alone, r"two_refreshers at .*: [2-9] requests, not 1"),
        (talkative, r"a secret stands where it should not: file notes.txt: password"),
    ],
    ids=["idle", "careless", "alone", "talkative"],
)
async def test_a_refresher_that_does_wrong_is_found_out(
    database_uri: str, tmp_path: Path, sabotage: Sabotage, said: str
) -> None:
    plan = replace(planned(1, named("two_refreshers")), life=dt.timedelta(hours=14))
    found = await play(database_uri, tmp_path, plan, sabotage)
    assert re.search(said, "\n".join(found.problems)), found.problems


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def folder() -> Iterator[Path]:
    """Which the database's user may enter."""
    made = temporary("quaestor-rehearsal-")
    yield made
    shutil.rmtree(made)


@pytest.mark.full
async def test_ninety_days_with_every_fault(database_uri: str, tmp_path: Path) -> None:
    begun = time.process_time()
    plan = planned(90, named("all"))
    found = await play(database_uri, tmp_path, plan)
    assert found.problems == []
    assert found.as_row() | {"faults": 0} == {
        "days": 90,
        "refreshes": sum(turn.at < plan.ends for turn in found.turns),
        "human_actions": 0,
        "trading_minutes_lost": 0,
        "leaks": 0,
        "faults": 0,
    }
    assert len(found.turns) >= 25
    assert found.minutes == minutes(90)
    assert all(seen["injected"] >= (1 if name == "chain_broken" else 2) for name, seen in found.faults.items())
    assert time.process_time() - begun < 60


@pytest.mark.full
def test_the_command_leaves_nothing_behind(folder: Path) -> None:
    home = folder / "home"
    done = subprocess.run(
        [sys.executable, "-m", "quaestor.console.cli", "auth", "rehearse", "--days", "1", "--json"],
        env={**os.environ, "QUAESTOR_HOME": str(home)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["leaks"] == 0
    assert list(home.rglob("*")) == []
