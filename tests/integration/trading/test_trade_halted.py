"""A halt at any moment of a session: nothing is sent after it, and what was is canceled before the market trades."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

from quaestor.operations.halt import halt
from quaestor.orders import Intent, OrderUpdate
from quaestor.ports import Lease

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk

DAY = dt.date
FIRST, LAST = DAY(2005, 2, 1), DAY(2005, 3, 15)
SOLD = DAY(2005, 2, 25)  # entries and exits on the days after it


class Door:
    """A real door, behind which somebody halts after a call."""

    def __init__(self, real: Any, desk: Desk, after: str, count: int = 1) -> None:
        self.real, self.desk, self.after, self.left = real, desk, after, count

    def __getattr__(self, name: str) -> Any:
        real = getattr(self.real, name)
        if name != self.after:
            return real

        async def call(*words: Any, **named: Any) -> Any:
            answer = await real(*words, **named)
            self.left -= 1
            if self.left == 0:
                await self.desk.floor().control.set_latch("paper", "halt", "a person pulled the switch")
            return answer

        return call


def states(desk: Desk, day: dt.date) -> list[tuple[Any, ...]]:
    return desk.fetch(
        f"select distinct side, state, reason from intent join order_state using (ref_id) where session = '{day}'"
    )


async def test_a_halt_between_the_decision_and_the_sending_lets_no_entry_out(desk: Desk) -> None:
    books = Door(desk.floor().books, desk, "decide")
    await desk.trade(FIRST, FIRST, books=books)
    why = "halt: a person pulled the switch; it was never sent"
    assert states(desk, FIRST) == [("buy", "expired_unsent", why)]
    assert (desk.state()["broker"], desk.state()["fills"]) == ([], [])
    assert (await desk.reconcile()).ok


async def test_a_halt_while_orders_are_on_their_way_keeps_back_those_that_are_not(desk: Desk) -> None:
    """One group is at the broker when the switch is pulled: it is taken back, and the next one never goes."""
    await desk.trade(FIRST, FIRST, broker=Door(desk.floor().broker, desk, "submit"))
    kinds = {state for _, state, _ in states(desk, FIRST)}
    assert kinds <= {"canceled", "expired_unsent"}
    assert "canceled" in kinds
    assert desk.state()["fills"] == [], "canceled before the market traded"
    assert {row[4] for row in desk.state()["broker"]} == {"canceled"}
    assert (await desk.reconcile()).ok


async def test_a_halt_after_all_was_acknowledged_cancels_it_before_the_market_trades(desk: Desk) -> None:
    class Last:
        """Acknowledges all, and somebody halts then."""

        def __init__(self, real: Any) -> None:
            self.real, self.asked = real, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        async def transitions(self, steps: Any, lease: Lease) -> list[bool]:
            moved: list[bool] = await self.real.transitions(steps, lease)
            if any(step.cause == "ack" for _, step in steps):
                self.asked += 1
                await desk.floor().control.set_latch("paper", "halt", "too late?")
            return moved

    books = Last(desk.floor().books)
    await desk.trade(FIRST, FIRST, books=books)
    assert books.asked == 1
    found = states(desk, FIRST)
    assert {(side, state) for side, state, _ in found} <= {("buy", "canceled"), ("buy", "expired_unsent")}
    chains = desk.fetch("select array_agg(state order by id) from order_event group by ref_id")
    assert (["planned", "submitting", "acked", "pending_cancel", "canceled"],) in chains
    assert desk.state()["fills"] == []
    assert (await desk.reconcile()).ok


@pytest.mark.parametrize("place", ["decide", "submit"])
async def test_exits_go_on_whenever_the_switch_is_pulled(desk: Desk, place: str) -> None:
    """What is held is sold on the next day, in the middle of which somebody halts with --flatten."""
    await desk.trade(FIRST, SOLD)
    control = desk.floor().control
    await control.set_latch("paper", "flatten", "out")
    name = {"decide": "books", "submit": "broker"}[place]
    await desk.trade(FIRST, LAST, **{name: Door(getattr(desk.floor(), name), desk, place)})
    after = desk.fetch(
        f"select distinct side, state from intent join order_state using (ref_id) where session > '{SOLD}'"
    )
    assert after == [("sell", "filled")]
    assert desk.fetch("select * from paper.position where quantity <> 0") == []
    assert (await desk.reconcile()).ok


async def test_a_halt_from_another_process_is_carried_out_by_the_one_that_trades(desk: Desk) -> None:
    """The halting one has no lease: it latches, and says who takes the entries back."""
    floor = desk.floor()
    said: list[Any] = []

    class Broker:
        def __getattr__(self, name: str) -> Any:
            return getattr(floor.broker, name)

        async def submit(self, intent: Intent) -> OrderUpdate:
            update: OrderUpdate = await floor.broker.submit(intent)
            if not said:
                said.append(None)
                doors = (floor.control, floor.books, floor.broker, floor.leases, floor.alerts)
                said[0] = await halt(*doors, "another screen", "another")
            return update

    await desk.trade(FIRST, FIRST, broker=Broker())
    assert (said[0].new, said[0].canceled) == (True, 0)
    assert said[0].left_to == "me"
    assert desk.state()["fills"] == []
    assert {row[4] for row in desk.state()["broker"]} == {"canceled"}


@pytest.mark.parametrize("arrived", [True, False])
async def test_a_halt_resolves_what_a_dead_writer_left_in_flight(desk: Desk, arrived: bool) -> None:
    class DeadError(Exception):
        pass

    class Broker:
        def __getattr__(self, name: str) -> Any:
            return getattr(desk.floor().broker, name)

        async def submit(self, intent: Intent) -> OrderUpdate:
            if arrived:
                await desk.floor().broker.submit(intent)
            raise DeadError

    with pytest.raises(DeadError):
        await desk.trade(FIRST, FIRST, broker=Broker())
    floor = desk.floor()
    doors = (floor.control, floor.books, floor.broker, floor.leases, floor.alerts)
    done = await halt(*doors, "dead", "me too", band=floor.band(desk.plan.mandate.limits))
    assert done.left_to == ""
    assert {row[4] for row in desk.state()["broker"]} == ({"canceled"} if arrived else set())
    await desk.trade(FIRST, FIRST)
    assert {state for _, state, _ in states(desk, FIRST)} <= {"canceled", "expired_unsent"}
    assert (desk.state()["fills"], (await desk.reconcile()).ok) == ([], True)


async def test_a_halt_of_nobodys_account_takes_back_what_a_dead_writer_left(desk: Desk) -> None:
    """The one that traded died with its orders at the broker: the halting process cancels them itself."""

    class DeadError(Exception):
        pass

    class Market:
        def __getattr__(self, name: str) -> Any:
            return getattr(desk.floor().market, name)

        async def close_session(self, _: dt.date) -> None:
            raise DeadError

    with pytest.raises(DeadError):
        await desk.trade(FIRST, FIRST, market=Market())
    floor = desk.floor()
    orders = len(desk.state()["broker"])
    done = await halt(floor.control, floor.books, floor.broker, floor.leases, floor.alerts, "dead", "me too")
    assert (done.new, done.canceled, done.left_to) == (True, orders, "")
    assert {row[4] for row in desk.state()["broker"]} == {"canceled"}
    await desk.trade(FIRST, LAST)
    assert desk.state()["fills"] == []
    assert (await desk.reconcile()).ok
    assert "halted; entries are stopped" in desk.alerts()[0]["title"]


async def test_whenever_it_comes_a_halt_leaves_no_entry_that_fills_later(desk: Desk) -> None:
    """Pulled at a moment of chance: no entry is sent after it."""
    floor = desk.floor()

    async def pull() -> None:
        await asyncio.sleep(0.4)
        await floor.control.set_latch("paper", "halt", "now")

    await asyncio.gather(desk.trade(FIRST, LAST), pull())
    late = desk.fetch(
        """select e.state, e.at - l.set_at from order_event e join intent i using (ref_id), latch l
           where i.side = 'buy' and e.state = 'submitting' and e.at > l.set_at"""
    )
    assert late == [], "no entry was committed to be sent after the latch"
    assert (await desk.reconcile()).ok
