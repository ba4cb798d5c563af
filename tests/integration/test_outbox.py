"""The outbox on PostgreSQL and the paper broker, over a line that fails: sent once, canceled, replaced, adopted."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quaestor import bars, calendar, wiring
from quaestor.config import RiskSection
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import ControlStore, LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.doors.switch import Switch
from quaestor.errors import BrokerAmbiguous, BrokerBusy, BrokerRejected, LeaseHeld
from quaestor.exchange import Costs
from quaestor.ledger import deposit
from quaestor.operations.halt import carry_out
from quaestor.operations.outbox import Heard, cancel, collect, drain, place, resolve
from quaestor.operations.outbox import replace as replace_order
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor, recover
from quaestor.orders import Intent, OrderType, OrderUpdate, Side, State, TimeInForce
from quaestor.ports import Decision, Lease, Run, StoredOrder, Terms

D = Decimal
BUY, SELL, GTC = Side.BUY, Side.SELL, TimeInForce.GTC
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP
ACKED, PARTLY, FILLED, CANCELED = State.ACKED, State.PARTIALLY_FILLED, State.FILLED, State.CANCELED
CANCELING, REPLACING, UNKNOWN, UNSENT = State.PENDING_CANCEL, State.PENDING_REPLACE, State.UNKNOWN, State.EXPIRED_UNSENT
DAYS = calendar.sessions(dt.date(2012, 1, 3), dt.date(2012, 1, 9))
# open, high, low, close: 1,000 shares a day, of which a broker lets us have a hundred
PRICES = [
    (100.0, 102.0, 98.0, 101.0),
    (101.0, 103.0, 99.0, 102.0),
    (102.0, 106.0, 101.0, 105.0),
    (105.0, 107.0, 94.0, 95.0),
]
COSTS = Costs(slippage_bps=D(0), sec_fee=D(0), taf=D(0), participation=D("0.1"))
FIRST = Intent("paper", "momentum", "AAPL", DAYS[0], "AAPL|1d|2011-12-30T21:00:00Z", BUY, D(10), D(100))


class CrashError(Exception):
    """The end of a process, in the middle of a call."""


@dataclass
class Line:
    """The paper broker behind a line; `fates` say by call what goes wrong next, `asked` what was asked."""

    real: PaperBroker
    fates: dict[str, list[str]] = field(default_factory=dict)
    asked: dict[str, list[Any]] = field(default_factory=lambda: {"submit": [], "cancel": []})
    pairs: bool = True  # whether the broker knows of pairs
    app: dict[str, uuid.UUID] = field(default_factory=dict)  # names that the broker's app drew, by the broker's ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def submit(self, intent: Intent) -> OrderUpdate:
        self.asked["submit"].append(intent.ref_id)
        order = intent if self.pairs else replace(intent, oco="")
        update: OrderUpdate = await self._over("submit", lambda: self.real.submit(order))
        return update

    async def cancel(self, broker_id: str) -> None:
        self.asked["cancel"].append(broker_id)
        await self._over("cancel", lambda: self.real.cancel(broker_id))

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        return [replace(u, ref_id=self.app.get(u.broker_id, u.ref_id)) for u in await self.real.orders(since)]

    async def executions(self, since: dt.date | None = None) -> list[Any]:
        return [replace(e, ref_id=self.app.get(e.broker_id, e.ref_id)) for e in await self.real.executions(since)]

    async def _over(self, call: str, ask: Any) -> Any:
        fate = self.fates[call].pop(0) if self.fates.get(call) else ""
        if fate == "busy":
            raise BrokerBusy(f"{call}: 429 Too Many Requests.")
        if fate == "refused":
            raise BrokerRejected(f"{call}: no.")
        if fate == "died before":
            raise CrashError
        if fate == "request lost":
            raise BrokerAmbiguous(f"{call}: no answer.")
        answer = await ask()
        if fate == "answer lost":
            raise BrokerAmbiguous(f"{call}: no answer.")
        if fate == "died after":
            raise CrashError
        return answer


@dataclass
class Desk:
    """An account with a hundred thousand dollars before the first session opens."""

    database: Database
    line: Line
    folder: Path
    late: str = ""  # why nothing may be sent any more

    @property
    def books(self) -> BookStore:
        return BookStore(self.database, "paper")

    def lease(self, holder: str = "me") -> AbstractAsyncContextManager[Lease]:
        return LeaseStore(self.database).hold("paper", holder, 1)

    async def band(self, _: StoredOrder) -> str:
        return self.late

    def floor(self) -> Floor:
        told = wiring.alerts(self.folder, "alerts.log", console=False)
        control = Switch(ControlStore(self.database), self.folder)
        return replace(wiring.floor(self.database, "paper", self.line, told), control=control)

    async def plan(self, lease: Lease, *intents: Intent, day: int = 0) -> None:
        decision = Decision(DAYS[day], D(100_000), D(100_000), intents, [], Run())
        assert await self.books.decide(decision, lease)

    async def sent(self, lease: Lease, *intents: Intent, day: int = 0) -> list[StoredOrder]:
        """Planned and drained."""
        await self.plan(lease, *intents, day=day)
        await drain(self.books, self.line, lease, self.band)
        return [await self.order(intent.ref_id) for intent in intents]

    async def order(self, ref_id: uuid.UUID) -> StoredOrder:
        return next(order for order in await self.books.orders_since(dt.date.min) if order.ref_id == ref_id)

    async def states(self) -> dict[str, State]:
        """By cause and leg."""
        orders = await self.books.orders_since(dt.date.min)
        return {f"{order.intent.cause_key}/{order.intent.leg}": order.state for order in orders}

    async def collect(self, lease: Lease, day: int = 0) -> Heard:
        return await collect(self.books, self.line, lease, DAYS[day])

    async def resolve(self, lease: Lease) -> int:
        return await resolve(self.books, self.line, lease, self.band)

    async def next_day(self, day: int) -> None:
        await self.line.close_session(DAYS[day - 1])
        await self.line.open_session(DAYS[day])

    async def shares(self) -> Decimal:
        return sum((lot.quantity for lot in await self.books.lots()), D(0))

    async def events(self, ref_id: uuid.UUID) -> list[tuple[str, str]]:
        query = b"select state, cause from order_event where ref_id = %(ref_id)s order by id"
        return [(row["state"], row["cause"]) for row in await self.database.fetch(query, {"ref_id": ref_id})]

    async def at_broker(self) -> list[State]:
        return [update.state for update in await self.line.real.orders()]

    def alerts(self) -> list[str]:
        file = self.folder / "alerts.log"
        return [json.loads(line)["title"] for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
async def desk(database: Database, tmp_path: Path) -> Desk:
    rows = [
        (symbol, "1d", day, calendar.session_close(day), *bar, 1_000)
        for symbol in ("AAPL", "IBM")
        for day, bar in zip(DAYS, [*PRICES, PRICES[-1]], strict=True)
    ]
    store = BarStore(database)
    await store.upsert(pl.DataFrame(rows, schema=bars.schema(), orient="row"), [], "test")
    broker = PaperBroker(database, "paper", store, COSTS)
    await broker.fund(D(100_000))
    await broker.open_session(DAYS[0])
    made = Desk(database, Line(broker), tmp_path)
    async with made.lease("opening") as lease:
        at = calendar.session_open(DAYS[0])
        await made.books.book(deposit("deposit:paper:opening", D(100_000), DAYS[0], at), lease)
    return made


@pytest.fixture
async def lease(desk: Desk) -> AsyncIterator[Lease]:
    async with desk.lease() as held:
        yield held


def limit(price: str, quantity: int = 10, **terms: Any) -> Intent:
    return replace(FIRST, quantity=D(quantity), order_type=LIMIT, limit_price=D(price), time_in_force=GTC, **terms)


# ── cancel ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_cancel_ends_an_order_before_the_market_trades(desk: Desk, lease: Lease) -> None:
    orders = await desk.sent(lease, FIRST)
    assert await cancel(orders, desk.books, desk.line, lease, "by hand") == 1
    assert (await desk.order(FIRST.ref_id)).state is CANCELING, "its end comes as news"
    await desk.line.close_session(DAYS[0])
    await desk.collect(lease)
    assert (await desk.order(FIRST.ref_id)).state is CANCELED
    assert await desk.shares() == 0
    chain = ["planned", "submitting", "acked", "pending_cancel", "canceled"]
    assert [state for state, _ in await desk.events(FIRST.ref_id)] == chain


async def test_a_fill_that_comes_before_the_cancel_stands(desk: Desk, lease: Lease) -> None:
    orders = await desk.sent(lease, FIRST)
    await desk.line.close_session(DAYS[0])
    await cancel(orders, desk.books, desk.line, lease, "by hand")
    await desk.collect(lease)
    assert ((await desk.order(FIRST.ref_id)).state, await desk.shares()) == (FILLED, 10)


async def test_what_was_filled_before_a_cancel_is_kept(desk: Desk, lease: Lease) -> None:
    (order,) = await desk.sent(lease, limit("103", 250))
    await desk.next_day(1)
    await desk.collect(lease)
    partly = await desk.order(order.ref_id)
    assert (partly.state, partly.filled) == (PARTLY, 100)
    await cancel([partly], desk.books, desk.line, lease, "by hand")
    await desk.next_day(2)
    await desk.collect(lease, 1)
    ended = await desk.order(order.ref_id)
    assert (ended.state, ended.filled, await desk.shares()) == (CANCELED, 100, 100)


@pytest.mark.parametrize("fate", ["busy", "request lost", "answer lost", "died before", "died after"])
async def test_a_cancel_that_may_be_lost_is_asked_for_again(desk: Desk, fate: str) -> None:
    desk.line.fates["cancel"] = [fate]
    async with desk.lease() as lease:
        orders = await desk.sent(lease, FIRST)
        try:
            assert await cancel(orders, desk.books, desk.line, lease, "by hand") == 1
        except CrashError:
            assert "died" in fate
        assert (await desk.order(FIRST.ref_id)).state is CANCELING
    async with desk.lease("the next one") as lease:
        assert await desk.resolve(lease) == 0, "it is no order of unknown fate"
        await desk.collect(lease)
    assert len(desk.line.asked["cancel"]) == 2
    assert (await desk.order(FIRST.ref_id)).state is CANCELED


@pytest.mark.parametrize(("filled", "back"), [(False, ACKED), (True, PARTLY)])
async def test_a_cancel_that_the_broker_refuses_leaves_the_order_working(
    desk: Desk, lease: Lease, filled: bool, back: State
) -> None:
    desk.line.fates["cancel"] = ["refused"]
    (order,) = await desk.sent(lease, limit("103", 250))
    if filled:
        await desk.next_day(1)
        await desk.collect(lease)
        order = await desk.order(order.ref_id)
    await cancel([order], desk.books, desk.line, lease, "by hand")
    now = await desk.order(order.ref_id)
    assert (now.state, now.reason) == (back, "cancel: no.")
    assert (await desk.events(order.ref_id))[-1] == (back.value, "cancel refused")


async def test_what_was_never_sent_ends_here_and_what_is_unclear_is_resolved_first(desk: Desk, lease: Lease) -> None:
    desk.line.fates["submit"] = ["request lost"]
    (unclear,) = await desk.sent(lease, FIRST)
    planned = replace(FIRST, symbol="IBM")
    await place([planned], desk.books, desk.line, lease)
    other = replace(FIRST, session=DAYS[1])
    await desk.plan(lease, other, day=1)
    orders = [unclear, await desk.order(other.ref_id)]
    assert await cancel(orders, desk.books, desk.line, lease, "halt", reason="the broker is odd") == 1
    ended = await desk.order(other.ref_id)
    assert (ended.state, ended.reason) == (UNSENT, "halt: the broker is odd; it was never sent")
    assert (await desk.order(FIRST.ref_id)).state is UNKNOWN
    assert desk.line.asked["cancel"] == []


# ── replace ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_replaced_order_ends_and_its_rest_is_planned_in_the_same_commit(desk: Desk, lease: Lease) -> None:
    (order,) = await desk.sent(lease, limit("90"))
    assert await replace_order(order, Terms(limit_price=D(103)), desk.books, desk.line, lease)
    assert (await desk.order(order.ref_id)).state is REPLACING
    assert await desk.at_broker() == [CANCELED], "cancel first, then send: at no moment can both fill"
    await desk.collect(lease)
    (rest,) = await desk.books.open_orders()
    told = (rest.state, rest.intent.replaces, rest.intent.leg, rest.intent.limit_price, rest.intent.quantity)
    assert told == (State.PLANNED, order.ref_id, 1, D(103), 10)
    rows = await desk.database.fetch(b"select distinct xmin::text from order_state")
    assert len(rows) == 1, "one transaction"
    (why,) = await desk.database.fetch(
        b"select c.state, c.ref_id from order_event e join order_event c on c.id = e.causation where e.ref_id = %(r)s",
        {"r": rest.ref_id},
    )
    assert why == {"state": "pending_replace", "ref_id": order.ref_id}
    await drain(desk.books, desk.line, lease, desk.band)
    await desk.line.close_session(DAYS[0])
    await desk.collect(lease)
    assert ((await desk.order(rest.ref_id)).state, await desk.shares()) == (FILLED, 10)


@pytest.mark.parametrize(
    ("terms", "left"),
    [
        pytest.param(Terms(limit_price=D(99)), 150, id="what is not filled goes on"),
        pytest.param(Terms(quantity=D(120)), 20, id="fewer in all: those that were filled count"),
        pytest.param(Terms(quantity=D(100)), None, id="as many as were filled: nothing goes on"),
        pytest.param(Terms(quantity=D(60)), None, id="fewer than were filled"),
    ],
)
async def test_shares_filled_before_the_cancel_arrives_count(
    desk: Desk, lease: Lease, terms: Terms, left: int | None
) -> None:
    (order,) = await desk.sent(lease, limit("103", 250))
    await desk.next_day(1)  # a hundred are filled, and we do not know it yet
    assert await replace_order(order, terms, desk.books, desk.line, lease)
    await desk.collect(lease)
    assert [o.intent.quantity for o in await desk.books.open_orders()] == ([] if left is None else [left])
    assert await desk.shares() == 100


async def test_what_filled_meanwhile_leaves_nothing_to_replace(desk: Desk, lease: Lease) -> None:
    (order,) = await desk.sent(lease, limit("103"))
    await desk.line.close_session(DAYS[0])
    assert await replace_order(order, Terms(limit_price=D(99)), desk.books, desk.line, lease)
    await desk.collect(lease)
    assert (list((await desk.states()).values()), await desk.shares()) == ([FILLED], 10)
    assert not await replace_order(order, Terms(limit_price=D(98)), desk.books, desk.line, lease), "it has ended"


async def test_an_order_that_the_broker_ends_by_itself_is_not_taken_up_again(desk: Desk, lease: Lease) -> None:
    day_order = replace(limit("90"), time_in_force=TimeInForce.GFD)
    (order,) = await desk.sent(lease, day_order)
    desk.line.fates["cancel"] = ["request lost"]
    assert await replace_order(order, Terms(limit_price=D(91)), desk.books, desk.line, lease)
    await desk.line.close_session(DAYS[0])
    await desk.collect(lease)
    assert list((await desk.states()).values()) == [State.EXPIRED]


@pytest.mark.parametrize("fate", ["died before", "died after", "request lost", "busy"])
async def test_a_replacement_that_was_interrupted_is_brought_to_its_end_once(desk: Desk, fate: str) -> None:
    desk.line.fates["cancel"] = [fate]
    async with desk.lease() as lease:
        (order,) = await desk.sent(lease, limit("90"))
        try:
            await replace_order(order, Terms(limit_price=D(95)), desk.books, desk.line, lease)
        except CrashError:
            assert "died" in fate
    for _ in range(2):  # and the one who recovers dies, too
        async with desk.lease("the next one") as lease:
            await desk.resolve(lease)
            await desk.collect(lease)
            await drain(desk.books, desk.line, lease, desk.band)
    key = FIRST.cause_key
    assert await desk.states() == {f"{key}/0": CANCELED, f"{key}/1": ACKED}
    assert sorted(await desk.at_broker()) == [ACKED, CANCELED]
    assert len(desk.line.asked["submit"]) == len(set(desk.line.asked["submit"])) == 2


async def test_a_halt_ends_a_replacement_on_its_way(desk: Desk, lease: Lease) -> None:
    desk.line.fates["cancel"] = ["request lost"]
    (order,) = await desk.sent(lease, limit("90"))
    await replace_order(order, Terms(limit_price=D(95)), desk.books, desk.line, lease)
    control = desk.floor().control
    await control.set_latch("paper", "halt", "no more")
    assert await carry_out(control, desk.books, desk.line, lease) == 1
    await desk.collect(lease)
    assert list((await desk.states()).values()) == [CANCELED], "no rest is planned"


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

DIP = limit("99", cause_key="dip", oco="pair")  # fills on the first day
RISE = replace(FIRST, cause_key="rise", oco="pair", order_type=STOP, stop_price=D(120), time_in_force=GTC)


async def test_a_broker_that_knows_pairs_ends_the_other_by_itself(desk: Desk, lease: Lease) -> None:
    await desk.sent(lease, DIP, RISE)
    await desk.line.close_session(DAYS[0])
    await desk.collect(lease)
    assert await desk.states() == {"dip/0": FILLED, "rise/0": CANCELED}
    assert desk.line.asked["cancel"] == []


@pytest.mark.parametrize("fate", ["", "request lost", "died before", "died after"])
async def test_where_the_broker_does_not_we_do(desk: Desk, fate: str) -> None:
    desk.line.pairs, desk.line.fates["cancel"] = False, [fate]
    async with desk.lease() as lease:
        await desk.sent(lease, DIP, RISE)
        await desk.line.close_session(DAYS[0])
        try:
            await desk.collect(lease)
        except CrashError:
            assert "died" in fate
        assert await desk.states() == {"dip/0": FILLED, "rise/0": CANCELING}
    async with desk.lease("the next one") as lease:
        await desk.resolve(lease)
        await desk.collect(lease)
    assert await desk.states() == {"dip/0": FILLED, "rise/0": CANCELED}
    assert (await desk.shares(), desk.line.asked["cancel"] != []) == (10, True)


async def test_a_process_that_died_after_it_heard_of_the_fill_leaves_no_sibling_behind(desk: Desk) -> None:
    desk.line.pairs = False

    class Dying(BookStore):
        async def transitions(self, steps: Any, lease: Lease) -> list[bool]:
            if any(step.state is CANCELING for _, step in steps):
                raise CrashError
            return await super().transitions(steps, lease)

    async with desk.lease() as lease:
        await desk.sent(lease, DIP, RISE)
        await desk.line.close_session(DAYS[0])
        with pytest.raises(CrashError):
            await collect(Dying(desk.database, "paper"), desk.line, lease, DAYS[0])
        assert await desk.states() == {"dip/0": FILLED, "rise/0": ACKED}
    async with desk.lease("the next one") as lease:
        await desk.collect(lease)
        await desk.collect(lease)
    assert await desk.states() == {"dip/0": FILLED, "rise/0": CANCELED}


async def test_a_sibling_of_unknown_fate_ends_once_it_is_known(desk: Desk, lease: Lease) -> None:
    desk.line.pairs, desk.line.fates["submit"] = False, ["", "answer lost"]
    await desk.sent(lease, DIP, RISE)
    assert await desk.states() == {"dip/0": ACKED, "rise/0": UNKNOWN}
    await desk.line.close_session(DAYS[0])
    await desk.collect(lease)
    assert await desk.states() == {"dip/0": FILLED, "rise/0": CANCELING}
    await desk.collect(lease)
    assert await desk.states() == {"dip/0": FILLED, "rise/0": CANCELED}


# ── doubt ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fate", "sends"),
    [("busy", 2), ("request lost", 2), ("answer lost", 1), ("died before", 2), ("died after", 1)],
)
@pytest.mark.parametrize("live", [False, True])
async def test_a_send_without_a_clear_answer_comes_to_one_order(desk: Desk, fate: str, sends: int, live: bool) -> None:
    desk.line.fates["submit"] = [fate]
    async with desk.lease() as lease:
        try:
            if live:
                assert await place([FIRST], desk.books, desk.line, lease) == [UNKNOWN]
            else:
                (order,) = await desk.sent(lease, FIRST)
                assert order.state is UNKNOWN
        except CrashError:
            assert (await desk.order(FIRST.ref_id)).state is State.SUBMITTING
    async with desk.lease("the next one") as lease:
        await drain(desk.books, desk.line, lease, desk.band)
        assert len(desk.line.asked["submit"]) == 1, "what is unclear is no business of a drain"
        assert await desk.resolve(lease) == 1
    assert desk.line.asked["submit"] == [FIRST.ref_id] * sends, "the same name, or not at all"
    assert (await desk.at_broker(), (await desk.order(FIRST.ref_id)).state) == ([ACKED], ACKED)


async def test_an_order_given_up_that_the_broker_shows_after_all_is_ours(desk: Desk, lease: Lease) -> None:
    desk.line.fates["submit"] = ["request lost"]
    await desk.sent(lease, FIRST)
    desk.late = "its session was over"
    assert await desk.resolve(lease) == 1
    given_up = await desk.order(FIRST.ref_id)
    assert given_up.state is UNSENT
    assert given_up.reason == "not among the broker's orders, and its session was over"
    await desk.line.real.submit(FIRST)  # it was on its way all the time
    await desk.line.close_session(DAYS[0])
    heard = await desk.collect(lease)
    assert (heard.moved, heard.adopted, await desk.shares()) == (1, (), 10)
    assert (await desk.order(FIRST.ref_id)).state is FILLED


async def test_an_order_refused_and_yet_there_is_adopted_by_a_reconciliation_alone(desk: Desk) -> None:
    async with desk.lease() as lease:
        desk.line.fates["submit"] = ["refused"]
        await desk.sent(lease, FIRST)
        await desk.line.real.submit(FIRST)
        assert (await desk.collect(lease)).moved == 0
        rejected = await desk.order(FIRST.ref_id)
        assert (rejected.state, rejected.reason) == (State.REJECTED, "submit: no.")
    outcome = await reconcile(desk.floor(), RiskSection(), "reconciler", DAYS[0], None)
    assert outcome.ok
    assert (await desk.order(FIRST.ref_id)).state is ACKED
    assert (await desk.events(FIRST.ref_id))[-1] == ("acked", "adopted")


# ── decided and sent in one go ────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_placed_twice_is_sent_once(desk: Desk, lease: Lease) -> None:
    other = replace(FIRST, symbol="IBM")
    assert await place([FIRST], desk.books, desk.line, lease) == [ACKED]
    assert await place([FIRST, other], desk.books, desk.line, lease) == [None, ACKED]
    assert await place([], desk.books, desk.line, lease) == []
    assert desk.line.asked["submit"] == [FIRST.ref_id, other.ref_id]
    chain = [("submitting", "decided"), ("acked", "ack")]
    assert await desk.events(FIRST.ref_id) == chain


async def test_what_was_planned_already_is_not_placed(desk: Desk, lease: Lease) -> None:
    await desk.plan(lease, FIRST)
    assert await place([FIRST], desk.books, desk.line, lease) == [None]
    assert desk.line.asked["submit"] == []


async def held(desk: Desk, lease: Lease) -> Intent:
    """Ten shares, and the order that sells them on the second day."""
    await desk.sent(lease, FIRST)
    await desk.next_day(1)
    await desk.collect(lease)
    return replace(FIRST, session=DAYS[1], side=SELL, reduces=True)


async def test_while_entries_are_stopped_exits_are_placed_and_entries_leave_no_trace(desk: Desk, lease: Lease) -> None:
    sale = await held(desk, lease)
    await ControlStore(desk.database).set_latch("paper", "halt", "no more")
    entry = replace(FIRST, session=DAYS[1], symbol="IBM")
    assert await place([entry, sale], desk.books, desk.line, lease) == [None, ACKED]
    rows = await desk.database.fetch(b"select count(*) as n from intent where symbol = 'IBM'")
    assert rows == [{"n": 0}]
    await desk.line.close_session(DAYS[1])
    await desk.collect(lease, 1)
    assert await desk.shares() == 0


async def test_a_halt_that_only_the_file_knows_reaches_the_database_with_whoever_trades(
    desk: Desk, lease: Lease
) -> None:
    wiring.halt_without_database(replace(wiring.load(), home=desk.folder), "the database is away")
    control = desk.floor().control
    assert await carry_out(control, desk.books, desk.line, lease) == 0
    assert await place([FIRST], desk.books, desk.line, lease) == [None]
    (latch,) = await ControlStore(desk.database).latches("paper")
    assert latch.reason.startswith("the database is away (by the file paper.halt)")


async def test_under_a_lost_lease_nothing_is_placed_written_or_sent(desk: Desk, lease: Lease) -> None:
    old = replace(lease, epoch=lease.epoch - 1)
    with pytest.raises(LeaseHeld, match="is lost"):
        await place([FIRST], desk.books, desk.line, old)
    assert await desk.books.orders_since(dt.date.min) == []
    assert desk.line.asked["submit"] == []
    rows = await desk.database.fetch(b"select count(*) as n from order_event")
    assert rows == [{"n": 0}]


async def test_a_lease_that_is_lost_while_it_is_sent_leaves_the_answer_to_the_next_one(desk: Desk) -> None:
    async with desk.lease() as lease:

        async def steal() -> None:
            await desk.database.fetch(b"update lease set epoch = epoch + 1, holder = 'other' returning epoch")

        class Stolen(Line):
            async def submit(self, intent: Intent) -> OrderUpdate:
                update = await super().submit(intent)
                await steal()
                return update

        with pytest.raises(LeaseHeld):
            await place([FIRST], desk.books, Stolen(desk.line.real), lease)
        assert (await desk.order(FIRST.ref_id)).state is State.SUBMITTING
        successor = Lease("paper", "other", lease.epoch + 1)
        assert await resolve(desk.books, desk.line, successor, desk.band) == 1
        assert (await desk.order(FIRST.ref_id)).state is ACKED
        assert desk.line.asked["submit"] == [], "it was listed"


async def test_groups_fly_side_by_side(desk: Desk, lease: Lease) -> None:
    """Both are under way before either is answered; one of the same symbol waits for the first."""
    under_way, most = 0, 0

    class Slow(Line):
        async def submit(self, intent: Intent) -> OrderUpdate:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.02)
            under_way -= 1
            return await super().submit(intent)

    again = replace(FIRST, cause_key="again")
    await desk.plan(lease, FIRST, replace(FIRST, symbol="IBM"), again)
    await drain(desk.books, Slow(desk.line.real), lease, desk.band)
    assert most == 2
    assert await desk.at_broker() == [ACKED] * 3


# ── orders that nobody decided here ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("drawn", [False, True])
async def test_an_order_placed_by_hand_is_adopted_told_and_stops_nothing(desk: Desk, drawn: bool) -> None:
    await desk.next_day(1)
    mine = replace(FIRST, session=DAYS[1])
    by_hand = await desk.line.real.place_by_hand("IBM", BUY, D(7))
    if drawn:  # the broker's app has names of its own
        desk.line.app[by_hand.broker_id] = uuid.uuid4()
    async with desk.lease() as lease:
        await recover(desk.floor(), RiskSection(), lease)
        (order,) = await desk.books.open_orders()
        assert (order.intent.strategy, order.state, order.broker_id) == ("external", ACKED, by_hand.broker_id)
        assert (await desk.collect(lease, 1)).adopted == (), "once"
        await place([mine], desk.books, desk.line, lease)
        await desk.line.close_session(DAYS[1])
        await desk.collect(lease, 1)
        assert await desk.floor().control.latches("paper") == []
    assert desk.alerts() == ["paper: an order placed by hand was adopted"]
    fills = await desk.database.fetch(b"select ref_id, strategy, quantity from fill order by quantity")
    assert [(row["ref_id"], row["strategy"], row["quantity"]) for row in fills] == [
        (order.ref_id, "external", 7),
        (mine.ref_id, "momentum", 10),
    ]
    assert await desk.events(order.ref_id) == [("acked", "adopted"), ("filled", "update"), ("filled", "fill")]
    assert (await reconcile(desk.floor(), RiskSection(), "reconciler", DAYS[0], None)).ok


async def test_an_order_with_a_name_of_ours_that_the_books_lost_is_not_adopted_as_a_strangers(
    desk: Desk, lease: Lease
) -> None:
    await desk.line.real.submit(FIRST)
    assert (await desk.collect(lease)).adopted == ()
    assert await desk.books.orders_since(dt.date.min) == []


async def test_a_halt_takes_back_a_purchase_by_hand_and_no_sale(desk: Desk, lease: Lease) -> None:
    await held(desk, lease)
    for side in (BUY, SELL):
        await desk.line.real.place_by_hand("AAPL", side, D(5), LIMIT, limit_price=D(90 if side is BUY else 120))
    await desk.collect(lease, 1)
    control = desk.floor().control
    await control.set_latch("paper", "halt", "no more")
    assert await carry_out(control, desk.books, desk.line, lease) == 1
    await desk.collect(lease, 1)
    found = {o.intent.side: o.state for o in await desk.books.orders_since(DAYS[1])}
    assert found == {BUY: CANCELED, SELL: ACKED}
