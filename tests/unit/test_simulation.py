"""Simulated sessions: none contradicts itself, the same seed is the same world, and each defect put in is found."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from quaestor.console import cli, simulation
from quaestor.console.simulated import PLACES
from quaestor.console.simulation import Summary, simulate, spread
from quaestor.doors.memory.books import BookStore
from quaestor.doors.memory.disk import Disk
from quaestor.errors import BrokerAmbiguous
from quaestor.faults import Fault
from quaestor.operations import outbox, session, trade
from quaestor.orders import Execution, Intent, State, TimeInForce
from quaestor.ports import Broker, Lease, StoredOrder, Transition

ENOUGH = 200  # seeds within which a defect must show


def sound(summary: Summary) -> None:
    assert summary.failing == {}, "`quaestor chaos simulate --runs 1 --seed N` replays one"
    assert set(summary.faults) == set(Fault)
    assert summary.stories.keys() >= {"plain", "halted", "by hand"}


def test_six_hundred_simulated_runs_end_where_undisturbed_ones_end() -> None:
    summary = spread(range(600))
    sound(summary)
    assert summary.runs == 600
    assert summary.deaths > 1500
    assert len(summary.places) > len(PLACES) * 0.9


@pytest.mark.full
@pytest.mark.timeout(900)
def test_ten_thousand_simulated_runs_end_where_undisturbed_ones_end() -> None:
    summary = spread(range(10_000))
    sound(summary)
    assert set(PLACES) == set(summary.places), "a process died before and after every call that there is"
    uncommon = {place for place, count in summary.called.items() if count < 100}
    assert set(summary.called) - uncommon <= set(PLACES), "a call of a door that no process dies at"
    assert min(summary.faults.values()) > 500
    assert summary.stories["not sent in time"] < 50, "those are compared with the broker alone"


def test_the_same_seed_is_the_same_world_also_in_a_process_that_hashes_otherwise() -> None:
    seeds = (3, 17, 4711)
    here = [simulate(seed) for seed in seeds]
    assert here == [simulate(seed) for seed in seeds]
    program = f"from quaestor.console.simulation import simulate\nfor s in {seeds}: print(simulate(s).digest)"
    for hashing in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": hashing}
        there = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
        assert there.stdout.split() == [run.digest for run in here]


def test_seeds_are_different_worlds() -> None:
    assert len({simulate(seed).digest for seed in range(20)}) == 20


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_command_tells_what_was_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["chaos", "simulate", "--runs", "30", "--seed", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], told["failing"]) == (30, [])
    assert told["died"] > 50
    assert told["faults"] == sum(told["by_fault"].values()) > 100


def test_a_failing_seed_is_printed_and_replays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_submitted", taken_for_a_no)
    assert cli.main(["chaos", "simulate", "--runs", "30", "--json"]) == 1
    (first, *_) = json.loads(capsys.readouterr().out)["failing"]
    assert cli.main(["chaos", "simulate", "--runs", "1", "--seed", str(first["seed"]), "--json"]) == 1
    again = json.loads(capsys.readouterr().out)
    assert again["wrong"][: len(first["wrong"])] == first["wrong"]
    assert any(line.startswith("fault") for line in again["log"])
    assert cli.main(["chaos", "simulate", "--runs", "30"]) == 1
    assert f"`quaestor chaos simulate --runs 1 --seed {first['seed']}` replays it" in capsys.readouterr().out


# ── what it must find ─────────────────────────────────────────────────────────────────────────────────────────────────

submitted = outbox._submitted
book_executions, open_orders = BookStore.book_executions, BookStore.open_orders


async def taken_for_a_no(intent: Intent, broker: Broker, *, repeated: bool) -> Transition:
    try:
        return Transition.of(await broker.submit(intent), "ack")
    except BrokerAmbiguous as error:
        return Transition(State.REJECTED, "broker", reason=str(error))


async def sent_under_another_name(intent: Intent, broker: Broker, *, repeated: bool) -> Transition:
    return await submitted(replace(intent, leg=intent.leg + 7) if repeated else intent, broker, repeated=repeated)


async def sent_before_it_is_on_record(
    orders: Sequence[StoredOrder], books: BookStore, broker: Broker, lease: Lease
) -> None:
    steps = [await submitted(o.intent, broker, repeated=o.state is not State.PLANNED) for o in orders]
    await books.transitions([(order.ref_id, Transition(State.SUBMITTING, "send")) for order in orders], lease)
    await books.transitions([(o.ref_id, step) for o, step in zip(orders, steps, strict=True)], lease)


async def booked_again(
    self: BookStore, executions: Sequence[Execution], lease: Lease, reliefs: Any = None
) -> list[Execution]:
    """As if a fill's id were new each time."""
    known = self._disk.fills
    anew = [
        replace(each, execution_id=f"{each.execution_id}#{len(known)}") if each.execution_id in known else each
        for each in executions
    ]
    return await book_executions(self, anew, lease, reliefs)


async def without_what_the_dead_planned(self: BookStore) -> list[StoredOrder]:
    epoch = self._disk.epoch
    return [o for o in await open_orders(self) if o.state is not State.PLANNED or o.epoch == epoch]


async def not_listened(floor: session.Floor, day: Any, lease: Lease) -> None:
    await session.follow(floor, day, lease)


async def never_resolved(*_: Any) -> int:
    return 0


def owed_whoever_placed_it(order: StoredOrder, day: dt.date) -> bool:
    return order.intent.session <= day and order.intent.time_in_force is TimeInForce.GFD


def without_a_look(self: Disk, lease: Lease) -> None:
    return


MUTATIONS: dict[str, tuple[Any, str, Any]] = {
    "a lost order goes out again under a new name": (outbox, "_submitted", sent_under_another_name),
    "an answer that is lost counts as a no": (outbox, "_submitted", taken_for_a_no),
    "nothing fences a writer that woke up": (Disk, "guard", without_a_look),
    "an order is sent before that is on record": (outbox, "send", sent_before_it_is_on_record),
    "a fill is booked each time it is told": (BookStore, "book_executions", booked_again),
    "what a dead process planned is forgotten": (BookStore, "open_orders", without_what_the_dead_planned),
    "the next session does not wait for the last one's news": (trade, "hear", not_listened),
    "one look at the broker's list is enough": (outbox, "LISTINGS", 1),
    "what is unclear is never resolved": (session, "resolve", never_resolved),
    "a person's own order is waited for until it ends": (session, "_owed", owed_whoever_placed_it),
    "no latch stops what was planned before it": (Disk, "stopped", False),
}


@pytest.mark.parametrize("defect", MUTATIONS)
def test_the_simulation_finds(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(simulation.MARKETS):
        asyncio.run(simulation._undisturbed(number))
    owner, name, mutant = MUTATIONS[defect]
    monkeypatch.setattr(owner, name, mutant)
    found = next((wrong for seed in range(ENOUGH) if (wrong := simulate(seed).wrong)), None)
    assert found is not None, f"not found in {ENOUGH} seeds"
    assert not found[0].startswith(("TypeError", "AttributeError")), "the mutant itself is broken"
