"""Trading that ends at any point, also while it recovers, and is run again, sends the same orders.

Processes are killed with kill -9, at points of chance; and every call of a door is a point at which it may end, just
before the call or just after.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from quaestor.operations.trade import pending, trade
from quaestor.orders import Intent, OrderUpdate
from quaestor.ports import Run

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk, State

PROGRAM = Path(__file__).with_name("trading_process.py")
FIRST, LAST = dt.date(2005, 2, 1), dt.date(2005, 3, 15)  # the stretch of `undisturbed`


class Victims:
    """Processes that trade, one after the other, and are killed."""

    def __init__(self, folder: Path) -> None:
        words = [sys.executable, PROGRAM, FIRST.isoformat(), LAST.isoformat(), folder]
        pipe = subprocess.PIPE
        self._parent = subprocess.Popen(words, cwd=Path(__file__).parents[3], stdin=pipe, stdout=pipe, text=True)

    def _ask(self, words: str) -> int:
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(f"{words}\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())

    def run(self, uri: str, enough: Callable[[], bool], moment: float) -> int:
        """Let one trade until it is enough, and a moment (seconds) longer; then kill it. How it ended."""
        victim = psutil.Process(self._ask(uri))
        while victim.status() != psutil.STATUS_ZOMBIE and not enough():
            time.sleep(0.001)
        time.sleep(moment)
        victim.kill()
        return self._ask("wait")

    def end(self) -> None:
        self._parent.communicate(timeout=10)


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Victims]:
    victims = Victims(tmp_path)
    yield victims
    victims.end()


def kill(uri: str, victims: Victims, times: int, dice: random.Random, pace: int) -> int:
    """Kill up to so many, each after up to `pace` more steps of orders and a moment; how many were hit alive."""
    hit = 0
    with psycopg.connect(uri, autocommit=True) as watcher:

        def steps() -> int:
            (row,) = watcher.execute(b"select count(*) from order_event").fetchall()
            return int(row[0])

        while hit < times:
            target, moment = steps() + dice.randint(1, pace), dice.uniform(0, 0.04)
            if victims.run(uri, lambda target=target: steps() >= target, moment) == 0:  # type: ignore[misc]
                break  # there was nothing left to trade
            hit += 1
    return hit


async def check(desk: Desk, undisturbed: State) -> None:
    assert desk.state() == undisturbed
    assert len({row[0] for row in undisturbed["broker"]}) == len(undisturbed["broker"]), "one order a ref_id"
    desk.check_books()
    assert (await desk.reconcile()).ok
    assert (await desk.latches(), desk.alerts()) == ([], [])


async def killed_and_run_again(
    desk: Desk, victims: Victims, undisturbed: State, times: int, pace: int, seed: int
) -> None:
    hit = await asyncio.to_thread(kill, desk.uri, victims, times, random.Random(seed), pace)
    assert hit >= times * 3 // 4, "the stretch ends before the last kills when the machine is slow to kill"
    await desk.trade(FIRST, LAST)
    await check(desk, undisturbed)


async def test_trading_that_is_killed_again_and_again_sends_the_same_orders(
    desk: Desk, victims: Victims, undisturbed: State
) -> None:
    await killed_and_run_again(desk, victims, undisturbed, 6, 8, 1)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 8))
async def test_twenty_kills_change_nothing_either(desk: Desk, victims: Victims, undisturbed: State, seed: int) -> None:
    await killed_and_run_again(desk, victims, undisturbed, 20, 4, seed)


# ── at every call ─────────────────────────────────────────────────────────────────────────────────────────────────────


class CrashError(Exception):
    """The end, at a call of a door."""


class Fate:
    """Counts down to the end of a run, over all its doors."""

    def __init__(self, calls: int) -> None:
        self.left, self.met = calls, Counter[str]()

    def pass_by(self, place: str) -> None:
        self.left -= 1
        if self.left == 0:
            self.met[place] += 1
            raise CrashError(place)


class Door:
    """A real door at which a run may end, before a call or after it."""

    def __init__(self, real: Any, fate: Fate) -> None:
        self._real, self._fate = real, fate

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if not callable(real):
            return real

        async def call(*words: Any, **named: Any) -> Any:
            self._fate.pass_by(f"before {name}")
            answer = await real(*words, **named)
            self._fate.pass_by(f"after {name}")
            return answer

        return call


async def crashed_until_done(desk: Desk, calls: Callable[[], int]) -> Counter[str]:
    """Trade, ending each run after some calls; where the runs ended."""
    met = Counter[str]()
    names = ("books", "signals", "quotes", "control", "alerts", "broker", "market")
    while True:
        fate, floor = Fate(calls()), desk.floor()
        days = await pending(floor, desk.plan.mandate, FIRST, LAST)
        doors = replace(floor, **{name: Door(getattr(floor, name), fate) for name in names})
        try:
            await trade(doors, desk.plan.mandate, days, Run("flow-run", "commit"), "me")
        except CrashError:
            met += fate.met
        else:
            return met


async def test_runs_that_end_before_or_after_any_call_of_a_door_send_the_same_orders(
    desk: Desk, undisturbed: State
) -> None:
    dice = random.Random(1)
    met = await crashed_until_done(desk, lambda: dice.randint(20, 120))
    await check(desk, undisturbed)
    assert met.total() > 30


class Fragile(Door):
    """A broker's door at which each order's first submit fails: before it was taken, or before the answer was heard.

    The failure ends the run, and with it the submits that are under way beside it; `ended` has all of them.
    """

    def __init__(self, real: Any, seen: set[uuid.UUID], ended: set[uuid.UUID]) -> None:
        super().__init__(real, Fate(0))
        self._seen, self._ended = seen, ended

    async def submit(self, intent: Intent) -> OrderUpdate:
        if intent.ref_id in self._seen:
            update: OrderUpdate = await self._real.submit(intent)
            return update
        self._seen.add(intent.ref_id)
        try:
            if intent.ref_id.int % 2:
                await self._real.submit(intent)
            raise CrashError
        finally:
            self._ended.add(intent.ref_id)


async def test_runs_that_end_in_the_middle_of_each_submit_send_the_same_orders(desk: Desk, undisturbed: State) -> None:
    seen: set[uuid.UUID] = set()
    groups: list[set[uuid.UUID]] = []  # those whose submits ended a run together
    while True:
        ended: set[uuid.UUID] = set()
        try:
            await desk.trade(FIRST, LAST, broker=Fragile(desk.floor().broker, seen, ended))
            break
        except CrashError:
            groups.append(ended)
    assert all(groups), "each end came out of a submit"
    assert not ended
    assert sorted(r for group in groups for r in group) == sorted(seen), "each order's first submit failed, once"
    assert {str(ref_id) for ref_id in seen} == {row[0] for row in undisturbed["broker"]}
    causes = {row[0] for row in desk.fetch("select cause from order_event")}
    assert {"recovery", "listed", "ack"} <= causes, "some had arrived, some had not"
    await check(desk, undisturbed)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 12))
async def test_many_more_ends_change_nothing_either(desk: Desk, undisturbed: State, seed: int) -> None:
    dice = random.Random(seed)
    met = await crashed_until_done(desk, lambda: dice.randint(16, 60))
    await check(desk, undisturbed)
    assert {"before submit", "after submit", "before transition", "after transition", "after decide"} & met.keys()
