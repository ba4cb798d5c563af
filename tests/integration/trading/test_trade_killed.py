"""Trading that is killed with kill -9 at any point, also while it recovers, and run again, sends the same orders."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

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

    def run(self, uri: str, enough: Callable[[], bool]) -> int:
        """Let one trade until it is enough, then kill it; how it ended."""
        victim = psutil.Process(self._ask(uri))
        while victim.status() != psutil.STATUS_ZOMBIE and not enough():
            time.sleep(0.001)
        victim.kill()
        return self._ask("wait")

    def end(self) -> None:
        self._parent.communicate(timeout=10)


@pytest.fixture
def victims(tmp_path: Path) -> Iterator[Victims]:
    victims = Victims(tmp_path)
    yield victims
    victims.end()


def kill(uri: str, victims: Victims, times: int, dice: random.Random) -> int:
    """Kill that many, each after some more steps of orders, or after some time; how many were hit alive."""
    hit = 0
    with psycopg.connect(uri, autocommit=True) as watcher:

        def steps() -> int:
            (row,) = watcher.execute(b"select count(*) from order_event").fetchall()
            return int(row[0])

        for _ in range(times):
            target, end = steps() + dice.randint(1, 12), time.monotonic() + 10.0
            if dice.random() < 0.25:
                target, end = 10**9, time.monotonic() + dice.uniform(0, 1.2)
            ended = victims.run(uri, lambda target=target, end=end: steps() >= target or time.monotonic() > end)  # type: ignore[misc]
            hit += ended == -9
    return hit


async def killed_and_run_again(desk: Desk, victims: Victims, undisturbed: State, times: int, seed: int) -> None:
    hit = await asyncio.to_thread(kill, desk.uri, victims, times, random.Random(seed))
    assert hit > times / 2
    await desk.trade(FIRST, LAST)
    assert desk.state() == undisturbed
    assert len({row[0] for row in undisturbed["broker"]}) == len(undisturbed["broker"]), "one order a ref_id"
    desk.check_books()
    assert (await desk.reconcile()).ok
    assert (await desk.latches(), desk.alerts()) == ([], [])


async def test_trading_that_is_killed_again_and_again_sends_the_same_orders(
    desk: Desk, victims: Victims, undisturbed: State
) -> None:
    await killed_and_run_again(desk, victims, undisturbed, 6, 1)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 8))
async def test_forty_kills_change_nothing_either(desk: Desk, victims: Victims, undisturbed: State, seed: int) -> None:
    await killed_and_run_again(desk, victims, undisturbed, 40, seed)
