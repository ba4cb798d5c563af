"""Faults: every one has a meaning and strikes where it says; a schedule says the same whenever it is asked the same."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from quaestor import wiring
from quaestor.config import parse
from quaestor.doors.faulty import FaultyBroker, FaultyMarket
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.errors import BrokerAmbiguous, BrokerBusy, BrokerRejected, Temporary
from quaestor.faults import MEANING, STRIKES, WRITES, Call, Fault, Scripted, Seeded, of
from quaestor.orders import Execution, Intent, OrderUpdate, Side, State
from quaestor.ports import Account, ReplayMarket

D = Decimal
DAY, NOW = dt.date(2012, 1, 3), dt.datetime(2012, 1, 3, 15, tzinfo=dt.UTC)
ORDER = Intent("main", "m", "AAPL", DAY, "cause", Side.BUY, D(1), D(100))


# ruff: noqa: ARG002  # the book lists everything, whatever it is asked


@dataclass
class Book:
    """A broker that keeps what it is told in a list."""

    taken: list[OrderUpdate] = field(default_factory=list)
    canceled: list[str] = field(default_factory=list)

    async def submit(self, intent: Intent) -> OrderUpdate:
        if intent.quantity <= 0:
            raise BrokerRejected("no")
        known = [update for update in self.taken if update.ref_id == intent.ref_id]
        if not known:
            name = f"order-{len(self.taken)}"
            who = (name, intent.ref_id, intent.symbol, intent.side)
            self.taken.append(OrderUpdate(*who, State.ACKED, intent.quantity, D(0), None, NOW))
        return known[0] if known else self.taken[-1]

    async def cancel(self, broker_id: str) -> None:
        self.canceled.append(broker_id)

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        return list(self.taken)

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        return [
            Execution(f"fill-{n}", o.broker_id, o.ref_id, o.symbol, o.side, D(1), D(100), D(0), DAY, NOW)
            for n, o in enumerate(self.taken)
        ]

    async def account(self) -> Account:
        return Account(D(0), {})

    async def halted(self) -> frozenset[str]:
        return frozenset()


@dataclass
class Line:
    """A faulty broker over a book, and how long it slept."""

    script: dict[Call, list[Fault | None]]
    book: Book = field(default_factory=Book)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        self.broker = FaultyBroker(self.book, Scripted(self.script), sleep, delay=0.5, timeout=9, retry_after=4)

    async def listed(self) -> list[str]:
        return [update.broker_id for update in await self.broker.orders()]


def intents(count: int) -> list[Intent]:
    return [replace(ORDER, leg=n) for n in range(count)]


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_has_a_meaning_and_a_place(fault: Fault) -> None:
    assert MEANING[fault].endswith(".")
    assert STRIKES[fault]
    assert all(fault in of(call) for call in STRIKES[fault])


def test_a_seed_draws_the_same_faults_whatever_is_asked_in_between() -> None:
    one, two = Seeded(0.5, 7), Seeded(0.5, 7)
    alone = [one.strikes(Call.SUBMIT) for _ in range(50)]
    between = [(two.strikes(Call.ORDERS), two.strikes(Call.SUBMIT))[1] for _ in range(50)]
    assert alone == between
    assert alone != [Seeded(0.5, 8).strikes(Call.SUBMIT) for _ in range(1)] * 50
    assert {None} < set(alone) <= {None, *of(Call.SUBMIT)}


def test_a_share_of_calls_goes_wrong_by_the_kinds_that_are_chosen() -> None:
    schedule = Seeded(0.2, 1, kinds=[Fault.HANG, Fault.TWICE])
    struck = [schedule.strikes(Call.SUBMIT) for _ in range(2_000)]
    assert {fault for fault in struck if fault} == {Fault.HANG}
    assert 300 < sum(fault is not None for fault in struck) < 500
    assert {Seeded(0, 1).strikes(call) for call in Call} == {None}
    assert None not in {Seeded(1, 1).strikes(call) for call in Call}


def test_a_script_strikes_in_its_order_and_refuses_what_cannot_be() -> None:
    script = Scripted({Call.SUBMIT: [None, Fault.HANG]})
    assert [script.strikes(Call.SUBMIT) for _ in range(3)] == [None, Fault.HANG, None]
    assert script.strikes(Call.ORDERS) is None
    with pytest.raises(ValueError, match="'twice' cannot strike 'submit'; it can: reply_lost"):
        Scripted({Call.SUBMIT: [Fault.TWICE]})


# ── writes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fault", "arrived", "slept"),
    [
        pytest.param(Fault.REPLY_LOST, True, []),
        pytest.param(Fault.REQUEST_LOST, False, []),
        pytest.param(Fault.HANG, True, [9]),
        pytest.param(Fault.SERVER_ERROR, False, []),
        pytest.param(Fault.BAD_GATEWAY, True, []),
        pytest.param(Fault.ARRIVES_LATE, False, [9]),
    ],
)
async def test_a_write_without_an_answer_is_ambiguous_whether_it_arrived_or_not(
    fault: Fault, arrived: bool, slept: list[float]
) -> None:
    line = Line({Call.SUBMIT: [fault], Call.CANCEL: [fault]})
    with pytest.raises(BrokerAmbiguous, match=r"^submit: .*\. The broker may have it, or not\.$"):
        await line.broker.submit(ORDER)
    with pytest.raises(BrokerAmbiguous, match=r"^cancel: "):
        await line.broker.cancel("order-0")
    assert (bool(line.book.taken), bool(line.book.canceled)) == (arrived, arrived)
    assert line.slept == slept * 2
    assert (await line.broker.submit(ORDER)).broker_id == "order-0"
    assert len(line.book.taken) == 1


async def test_what_arrives_late_arrives_some_calls_later() -> None:
    line = Line({Call.SUBMIT: [Fault.ARRIVES_LATE]})
    with pytest.raises(BrokerAmbiguous):
        await line.broker.submit(ORDER)
    assert [await line.listed() for _ in range(4)] == [[], [], ["order-0"], ["order-0"]]


async def test_a_no_whose_answer_is_lost_is_ambiguous_too() -> None:
    line = Line({Call.SUBMIT: [Fault.REPLY_LOST, Fault.ARRIVES_LATE]})
    for _ in range(2):
        with pytest.raises(BrokerAmbiguous):
            await line.broker.submit(replace(ORDER, quantity=D(0)))
    for _ in range(4):
        assert await line.listed() == []
    with pytest.raises(BrokerRejected):
        await line.broker.submit(replace(ORDER, quantity=D(0)))


async def test_too_many_requests_say_how_long_to_wait_and_that_nothing_was_done() -> None:
    line = Line({call: [Fault.THROTTLED] for call in Call})
    asks: list[Callable[[], Awaitable[object]]] = [
        lambda: line.broker.submit(ORDER),
        lambda: line.broker.cancel("order-0"),
        line.broker.orders,
        line.broker.executions,
        line.broker.account,
        line.broker.halted,
    ]
    for ask in asks:
        with pytest.raises(BrokerBusy, match="Retry-After 4 s") as busy:
            await ask()
        assert busy.value.retry_after == 4
        assert not isinstance(busy.value, BrokerAmbiguous)
    assert (line.book.taken, line.book.canceled) == ([], [])


async def test_a_delay_is_only_a_delay() -> None:
    line = Line({call: [Fault.DELAY] for call in Call})
    await line.broker.submit(ORDER)
    assert await line.listed() == ["order-0"]
    assert line.slept == [0.5, 0.5]


# ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("call", sorted(set(Call) - WRITES))
@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.SERVER_ERROR, Fault.HANG])
async def test_a_read_without_an_answer_is_tried_again_later(call: Call, fault: Fault) -> None:
    line = Line({call: [fault]})
    with pytest.raises(Temporary) as error:
        await getattr(line.broker, call.value)()
    assert not isinstance(error.value, BrokerAmbiguous)
    await getattr(line.broker, call.value)()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        pytest.param(Fault.TWICE, "0 0 1 1 2 2"),
        pytest.param(Fault.REORDERED, "2 1 0"),
        pytest.param(Fault.SHRUNK, "0"),
        pytest.param(Fault.LAG, "0 1"),
    ],
)
async def test_a_list_is_bent_and_the_next_one_is_straight_again(fault: Fault, expected: str) -> None:
    line = Line({Call.ORDERS: [None, fault], Call.EXECUTIONS: [None, fault]})
    one, two, three = intents(3)
    await line.broker.submit(one)
    await line.broker.submit(two)
    assert len(await line.listed()) == len(await line.broker.executions()) == 2
    await line.broker.submit(three)
    assert await line.listed() == [f"order-{n}" for n in expected.split()]
    assert [fill.execution_id for fill in await line.broker.executions()] == [f"fill-{n}" for n in expected.split()]
    assert await line.listed() == ["order-0", "order-1", "order-2"]
    assert len(await line.broker.executions()) == 3


async def test_a_stale_list_tells_orders_as_they_were() -> None:
    line = Line({Call.ORDERS: [None, Fault.STALE]})
    await line.broker.submit(ORDER)
    before = await line.broker.orders()
    line.book.taken[0] = replace(before[0], state=State.FILLED, filled=D(1))
    await line.broker.submit(replace(ORDER, leg=1))
    stale = await line.broker.orders()
    assert [(update.broker_id, update.state) for update in stale] == [
        ("order-0", State.ACKED),
        ("order-1", State.ACKED),
    ]
    assert [update.state for update in await line.broker.orders()] == [State.FILLED, State.ACKED]
    assert uuid.UUID(str(stale[0].ref_id)) == ORDER.ref_id


def test_a_share_of_faults_in_the_configuration_makes_the_line_bad_and_leaves_the_market_movable() -> None:
    paper = parse("[paper]\nfaults = 0.1\nfaults_seed = 7\n").paper
    bad = wiring.paper_broker(Database("postgresql://me@here/books"), "paper", paper.costs, paper.faults, 7)
    good = wiring.paper_broker(Database("postgresql://me@here/books"), "paper", paper.costs)
    assert [type(broker) for broker in (bad, good)] == [FaultyMarket, PaperBroker]
    assert isinstance(bad, ReplayMarket)
    assert isinstance(good, ReplayMarket)
