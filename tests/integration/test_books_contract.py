"""What books, leases and latches must do, whichever door keeps them: PostgreSQL, or memory for simulations.

`BooksContract` is for any door that implements `ports.BookStore`, `LeaseStore` and `ControlStore`; a subclass opens
a `Shelf` of them. What is PostgreSQL's alone (append-only tables, the log, migrations) is in test_books.py.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from quaestor.doors.memory import books as memory
from quaestor.doors.memory.disk import Disks
from quaestor.doors.postgres import books as postgres
from quaestor.doors.postgres import control as postgres_control
from quaestor.doors.postgres.database import Database
from quaestor.errors import BadInput, BooksDisagree, LeaseHeld
from quaestor.ledger import Equity, deposit
from quaestor.orders import Execution, Intent, OrderType, OrderUpdate, Side, State, external_ref
from quaestor.ports import BookStore, ControlStore, Decision, Lease, Reconciliation, Run, Terms, Transition
from quaestor.splits import Split

D = Decimal
DAY, NEXT_DAY = dt.date(2012, 1, 4), dt.date(2012, 1, 5)
AT = dt.datetime(2012, 1, 4, 14, 30, tzinfo=dt.UTC)
INTENT = Intent("main", "momentum", "AAPL", DAY, "AAPL|1d|2012-01-03T21:00:00Z", Side.BUY, D(100), D("400.00"))
LEAVING = replace(INTENT, side=Side.SELL, reduces=True)
SUBMITTING = Transition(State.SUBMITTING, "send")
ACKED = Transition(State.ACKED, "ack", "b", kind="news")
BY_HAND = OrderUpdate("hand-1", None, "AAPL", Side.BUY, State.ACKED, D(5), D(0), None, AT, session=DAY)


@dataclass
class Shelf:
    """Doors over one place: books by account, leases that live so many seconds, latches; `wait` lets seconds pass."""

    books: Callable[[str], BookStore]
    leases: Callable[[float], Any]
    control: ControlStore
    wait: Callable[[float], Awaitable[None]]


@pytest.fixture
def books(shelf: Shelf) -> BookStore:
    return shelf.books("main")


@pytest.fixture
async def lease(shelf: Shelf) -> AsyncIterator[Lease]:
    async with shelf.leases(60).hold("main", "me", 0) as held:
        yield held


def decision(*intents: Intent, session: dt.date = DAY) -> Decision:
    return Decision(session, D("100000.00"), D("90000.00"), intents, (), Run("flow-run", "abc", "digest"))


def execution(intent: Intent | None, quantity: int, price: str, number: int = 1, **changes: object) -> Execution:
    ref_id, side = (intent.ref_id, intent.side) if intent else (None, Side.BUY)
    fill = Execution(f"e{number}", "b", ref_id, "AAPL", side, D(quantity), D(price), D("0.10"), DAY, AT)
    return replace(fill, **changes)  # type: ignore[arg-type]


async def states(books: BookStore) -> dict[uuid.UUID, State]:
    return {order.ref_id: order.state for order in await books.orders_since(DAY)}


class BooksContract:
    """Subclasses define the fixture `shelf`."""

    async def test_a_session_is_decided_once(self, books: BookStore, lease: Lease) -> None:
        assert await books.decide(decision(INTENT), lease)
        other = replace(INTENT, symbol="IBM", cause_key="IBM|1d|2012-01-03T21:00:00Z")
        assert not await books.decide(decision(INTENT, other), lease)
        assert [order.intent.symbol for order in await books.open_orders()] == ["AAPL"]

    async def test_the_same_intent_is_never_committed_twice_and_takes_its_whole_decision_with_it(
        self, books: BookStore, lease: Lease
    ) -> None:
        assert await books.decide(decision(INTENT), lease)
        bigger = replace(INTENT, quantity=D(200))
        new = replace(INTENT, symbol="IBM")
        with pytest.raises(BadInput):
            await books.decide(decision(new, bigger, session=NEXT_DAY), lease)
        assert await books.decided(DAY, NEXT_DAY) == {DAY}
        assert [order.intent.symbol for order in await books.open_orders()] == ["AAPL"]

    async def test_orders_are_followed_from_the_oldest_open_one_on(self, books: BookStore, lease: Lease) -> None:
        done, other, new = INTENT, replace(INTENT, cause_key="other"), replace(INTENT, session=NEXT_DAY)
        await books.decide(decision(done, other), lease)
        await books.decide(decision(new, session=NEXT_DAY), lease)
        late = dt.date(2012, 1, 6)
        assert {order.ref_id for order in await books.followed(late)} == {done.ref_id, other.ref_id, new.ref_id}
        given_up = Transition(State.EXPIRED_UNSENT, "band")
        await books.transition(done.ref_id, given_up, lease)
        assert len(await books.followed(NEXT_DAY)) == 3, "what ended is followed where an order of its session is open"
        await books.transition(other.ref_id, given_up, lease)
        assert [order.ref_id for order in await books.followed(late)] == [new.ref_id]
        await books.transition(new.ref_id, given_up, lease)
        assert await books.followed(late) == []
        assert len(await books.followed(DAY)) == 3

    async def test_news_in_any_order_end_in_the_same_state(self, books: BookStore, lease: Lease) -> None:
        news = [
            Transition(State.ACKED, "update", "b", kind="news"),
            Transition(State.PARTIALLY_FILLED, "update", "b", D(40), D("400.10"), kind="news"),
            Transition(State.PARTIALLY_FILLED, "update", "b", D(70), D("400.20"), kind="news"),
            Transition(State.FILLED, "update", "b", D(100), D("400.30"), kind="news"),
        ]
        ways = list(itertools.permutations(news))
        intents = [replace(INTENT, leg=leg) for leg in range(len(ways))]
        await books.decide(decision(*intents), lease)
        for intent, way in zip(intents, ways, strict=True):
            for step in (Transition(State.SUBMITTING, "send"), *way, way[0]):
                await books.transition(intent.ref_id, step, lease)
        ends = {(o.state, o.filled, o.average_price, o.broker_id) for o in await books.orders_since(DAY)}
        assert ends == {(State.FILLED, D(100), D("400.30"), "b")}

    async def test_an_end_that_says_less_of_fills_than_is_known_takes_none_back(
        self, books: BookStore, lease: Lease
    ) -> None:
        await books.decide(decision(INTENT), lease)
        for step in (
            Transition(State.SUBMITTING, "send"),
            Transition(State.PARTIALLY_FILLED, "update", "b", D(40), D("400.10"), kind="news"),
            Transition(State.CANCELED, "update", kind="news"),
        ):
            assert await books.transition(INTENT.ref_id, step, lease)
        (order,) = await books.orders_since(DAY)
        assert (order.state, order.filled, order.average_price, order.broker_id) == (
            State.CANCELED, D(40), D("400.10"), "b",
        )  # fmt: skip

    async def test_exits_come_before_entries_and_old_sessions_before_new_ones(
        self, books: BookStore, lease: Lease
    ) -> None:
        leaving = replace(INTENT, symbol="ZZZ", side=Side.SELL, reduces=True)
        tomorrow = replace(leaving, session=NEXT_DAY)
        await books.decide(decision(tomorrow, session=NEXT_DAY), lease)
        await books.decide(decision(INTENT, leaving), lease)
        assert [order.ref_id for order in await books.open_orders()] == [leaving.ref_id, INTENT.ref_id, tomorrow.ref_id]

    async def test_an_order_nobody_knows_moves_nowhere(self, books: BookStore, lease: Lease) -> None:
        assert not await books.transition(uuid.uuid4(), Transition(State.ACKED, "update", kind="news"), lease)

    async def test_a_writer_that_was_paused_too_long_can_neither_decide_nor_move_an_order(
        self, shelf: Shelf, books: BookStore
    ) -> None:
        leases = shelf.leases(0.2)
        paused = await leases._take("main", "paused", 0)
        assert await books.decide(decision(INTENT), paused)
        await shelf.wait(0.3)
        with pytest.raises(LeaseHeld, match="epoch 1, is lost"):
            await books.decide(decision(session=NEXT_DAY), paused)
        async with leases.hold("main", "successor", 0) as lease:
            assert lease.epoch == paused.epoch + 1
            with pytest.raises(LeaseHeld, match="Nothing was written; run it again"):
                await books.transition(INTENT.ref_id, Transition(State.SUBMITTING, "send"), paused)
            assert await books.transition(INTENT.ref_id, Transition(State.SUBMITTING, "send"), lease)
            (order,) = await books.open_orders()
            assert order.epoch == lease.epoch
        assert await books.decided(DAY, NEXT_DAY) == {DAY}

    async def test_a_lease_is_given_back_when_its_holder_fails(self, shelf: Shelf) -> None:
        leases = shelf.leases(60)
        with pytest.raises(ZeroDivisionError):
            async with leases.hold("main", "first", 0):
                raise ZeroDivisionError
        async with leases.hold("main", "second", 0) as lease:
            assert lease.holder == "second"

    async def test_who_waits_gets_the_lease_of_a_dead_holder_when_it_runs_out(self, shelf: Shelf) -> None:
        leases = shelf.leases(0.3)
        await leases._take("main", "dead", 0)
        async with leases.hold("main", "heir", 5) as lease:
            assert (lease.holder, lease.epoch) == ("heir", 2)

    async def test_accounts_do_not_share_a_lease(self, shelf: Shelf) -> None:
        leases = shelf.leases(60)
        async with leases.hold("main", "me", 0), leases.hold("other", "you", 0) as lease:
            assert lease.epoch == 1

    async def test_fills_are_booked_once_under_the_strategy_of_their_order(
        self, books: BookStore, lease: Lease
    ) -> None:
        await books.decide(decision(INTENT), lease)
        fills = [execution(INTENT, 60, "400.00", 1), execution(INTENT, 40, "401.00", 2)]
        assert await books.book_executions(fills[:1], lease) == fills[:1]
        assert await books.book_executions(fills, lease) == fills[1:]
        assert await books.book_executions(fills, lease) == []
        assert [(lot.strategy, lot.quantity, lot.cost) for lot in await books.lots()] == [
            ("momentum", D(60), D(24_000)),
            ("momentum", D(40), D(16_040)),
        ]
        assert await books.balances() == {"cash": D("-40040.20"), "positions": D(40_040), "fees": D("0.20")}
        assert await books.shares_by_journal() == {"AAPL": D(100)}
        assert await books.booked_fills(DAY) == {"e1", "e2"}
        assert await books.booked_fills(NEXT_DAY) == set()

    async def test_an_order_placed_by_hand_belongs_to_nobody(self, books: BookStore, lease: Lease) -> None:
        by_hand = execution(None, 5, "400.00", 1)
        with_another_id = execution(None, 5, "400.00", 2, ref_id=uuid.uuid4())
        assert len(await books.book_executions([by_hand, with_another_id], lease)) == 2
        assert {lot.strategy for lot in await books.lots()} == {"external"}

    async def test_a_sale_that_the_books_cannot_take_is_told_and_keeps_no_other_fill_out(
        self, books: BookStore, lease: Lease
    ) -> None:
        await books.decide(decision(INTENT), lease)
        sale = execution(None, 5, "400.00", 2, side=Side.SELL)
        fills = [execution(INTENT, 60, "400.00", 1), sale, execution(INTENT, 40, "401.00", 3)]
        with pytest.raises(BooksDisagree, match="sells 5 AAPL but external holds 0"):
            await books.book_executions(fills, lease)
        assert await books.booked_fills(DAY) == {"e1", "e3"}
        assert await books.shares_by_journal() == {"AAPL": D(100)}

    async def test_a_sale_relieves_the_oldest_lots_of_its_strategy(self, books: BookStore, lease: Lease) -> None:
        leaving = replace(INTENT, side=Side.SELL, reduces=True)
        await books.decide(decision(INTENT, leaving), lease)
        await books.book_executions([execution(INTENT, 60, "400.00", 1), execution(INTENT, 40, "410.00", 2)], lease)
        await books.book_executions([execution(leaving, 70, "420.00", 3)], lease)
        assert [(lot.lot_id, lot.quantity, lot.cost) for lot in await books.lots()] == [("e2", D(30), D(12_300))]
        assert (await books.balances())["realized"] == D(-1300)  # 60 · 20 + 10 · 10, a credit

    async def test_a_split_rescales_the_lots_once(self, books: BookStore, lease: Lease) -> None:
        await books.decide(decision(INTENT), lease)
        await books.book_executions([execution(INTENT, 100, "400.00")], lease)
        split = Split("AAPL", NEXT_DAY, Fraction(2))
        assert await books.book_split(split, AT, lease)
        assert not await books.book_split(split, AT, lease)
        assert not await books.book_split(replace(split, symbol="IBM"), AT, lease), "not held"
        assert [(lot.quantity, lot.cost) for lot in await books.lots()] == [(D(200), D(40_000))]
        assert await books.shares_by_journal() == {"AAPL": D(200)}

    async def test_a_deposit_is_booked_once(self, books: BookStore, lease: Lease) -> None:
        opening = deposit("deposit:opening", D("100000.00"), DAY, AT)
        assert [await books.book(opening, lease), await books.book(opening, lease)] == [True, False]
        assert await books.balances() == {"cash": D(100_000), "capital": D(-100_000)}

    async def test_a_settled_session_stays_as_it_was(self, books: BookStore, lease: Lease) -> None:
        def closed(day: dt.date, cash: int) -> Equity:
            return Equity(day, D(cash), D(500), D(0), D(0), D(0), D(cash + 500))

        assert (await books.last_equity(), await books.peak_equity()) == (None, None)
        for day, cash in ((DAY, 90_000), (DAY, 1), (NEXT_DAY, 80_000)):
            await books.settle(closed(day, cash), {"lots": []}, lease)
        assert await books.last_equity() == closed(NEXT_DAY, 80_000)
        assert await books.equity_before(NEXT_DAY) == await books.peak_equity() == D(90_500)
        assert await books.equity_before(DAY) is None

    async def test_accounts_do_not_see_each_other(self, shelf: Shelf, books: BookStore, lease: Lease) -> None:
        await books.decide(decision(INTENT), lease)
        await books.book_executions([execution(INTENT, 100, "400.00")], lease)
        other = shelf.books("other")
        assert await other.open_orders() == await other.lots() == []
        assert await other.balances() == await other.shares_by_journal() == {}
        assert await other.decided(DAY, DAY) == await other.booked_fills(DAY) == set()

    async def test_a_latch_keeps_its_first_reason_until_it_is_cleared(self, shelf: Shelf) -> None:
        control = shelf.control
        assert await control.set_latch("main", "entries", "cash differs")
        assert not await control.set_latch("main", "entries", "shares differ")
        assert await control.set_latch("main", "halt", "a person pulled the switch")
        assert [(latch.name, latch.reason) for latch in await control.latches("main")] == [
            ("entries", "cash differs"),
            ("halt", "a person pulled the switch"),
        ]
        assert await control.latches("other") == []
        assert await control.clear_latch("main", "entries", "agreed again")
        assert not await control.clear_latch("main", "entries", "agreed again")
        assert [latch.name for latch in await control.latches("main")] == ["halt"]
        assert await control.set_latch("main", "entries", "differs again")

    async def test_the_newest_reconciliation_is_found_with_its_differences(self, shelf: Shelf) -> None:
        control = shelf.control
        assert await control.last_reconciliation("main") is None
        await control.save_reconciliation("main", Reconciliation(DAY, [{"subject": "cash"}], {"orders": 3}), None)
        await control.save_reconciliation("main", Reconciliation(NEXT_DAY, [], {"orders": 4}), "flow-run")
        newest = await control.last_reconciliation("main")
        assert newest is not None
        assert (newest.ok, newest.session, newest.checked) == (True, NEXT_DAY, {"orders": 4})

    # ── orders that are stopped, placed at once, adopted, replaced ────────────────────────────────────────────────────

    async def test_no_entry_is_sent_while_a_latch_stops_entries_and_exits_are(
        self, books: BookStore, lease: Lease, shelf: Shelf
    ) -> None:
        await books.decide(decision(INTENT, LEAVING), lease)
        await shelf.control.set_latch("main", "halt", "a person")
        steps = [(INTENT.ref_id, SUBMITTING), (LEAVING.ref_id, SUBMITTING)]
        assert await books.transitions(steps, lease) == [False, True]
        assert await states(books) == {INTENT.ref_id: State.PLANNED, LEAVING.ref_id: State.SUBMITTING}
        placed = [replace(INTENT, leg=1), replace(LEAVING, leg=1)]
        assert await books.place(placed, lease) == [False, True]
        await shelf.control.clear_latch("main", "halt", "over")
        assert await books.transitions(steps, lease) == [True, False]
        assert await books.place(placed, lease) == [True, False]

    async def test_what_is_placed_is_on_its_way_in_the_same_commit_and_only_once(
        self, books: BookStore, lease: Lease
    ) -> None:
        assert await books.place([INTENT, LEAVING], lease) == [True, True]
        assert set((await states(books)).values()) == {State.SUBMITTING}
        assert await books.place([INTENT], lease) == [False]

    async def test_several_orders_move_in_one_commit(self, books: BookStore, lease: Lease) -> None:
        await books.decide(decision(INTENT, LEAVING), lease)
        nobody = uuid.uuid4()
        steps = [(INTENT.ref_id, SUBMITTING), (nobody, SUBMITTING), (LEAVING.ref_id, ACKED)]
        assert await books.transitions(steps, lease) == [True, False, True]
        assert await books.transitions([], lease) == []
        assert await states(books) == {INTENT.ref_id: State.SUBMITTING, LEAVING.ref_id: State.ACKED}

    async def test_an_order_placed_by_hand_is_adopted_once_in_the_brokers_own_state(
        self, books: BookStore, lease: Lease
    ) -> None:
        update = replace(BY_HAND, order_type=OrderType.STOP, stop_price=D(410))
        assert [await books.adopt(update, NEXT_DAY, lease) for _ in range(2)] == [True, False]
        (order,) = await books.open_orders()
        assert order.ref_id == external_ref("main", "hand-1")
        assert (order.intent.strategy, order.intent.session, order.state) == ("external", DAY, State.ACKED)
        assert (order.intent.order_type, order.intent.stop_price, order.broker_id) == (OrderType.STOP, D(410), "hand-1")
        fill = execution(None, 5, "400.00", broker_id="hand-1")
        assert await books.book_executions([fill], lease) == [fill]
        assert [lot.strategy for lot in await books.lots()] == ["external"]

    @pytest.mark.parametrize(("terms", "left"), [(Terms(quantity=D(80)), 50), (Terms(), 70), (Terms(D(30)), None)])
    async def test_a_replaced_order_leaves_its_rest_as_another_one(
        self, books: BookStore, lease: Lease, terms: Terms, left: int | None
    ) -> None:
        await books.decide(decision(INTENT), lease)
        said = {name: None if value is None else str(value) for name, value in vars(terms).items()}
        asked = Transition(State.PENDING_REPLACE, "replace", detail={"terms": said})
        ended = Transition(State.CANCELED, "update", "b", D(30), D("400.10"), kind="news")
        for step in (SUBMITTING, ACKED, asked, ended):
            assert await books.transition(INTENT.ref_id, step, lease)
        rest = [(order.intent.leg, order.intent.quantity) for order in await books.open_orders()]
        assert rest == ([(1, D(left))] if left else [])
        assert {o.intent.replaces for o in await books.open_orders()} <= {INTENT.ref_id}

    async def test_counts_are_of_orders_refusals_and_fills(self, books: BookStore, lease: Lease) -> None:
        await books.decide(decision(INTENT, LEAVING), lease)
        await books.book_executions([execution(INTENT, 60, "400.00")], lease)
        assert await books.counts(DAY, NEXT_DAY) == (2, 0, 1)
        assert await books.counts(NEXT_DAY, NEXT_DAY) == (0, 0, 0)

    # ── fills that cannot be ──────────────────────────────────────────────────────────────────────────────────────────

    @pytest.mark.parametrize(
        "changes",
        [{"quantity": D(101)}, {"side": Side.SELL}, {"symbol": "IBM"}, {"ref_id": replace(INTENT, leg=9).ref_id}],
        ids=["more than its order", "the other side", "another symbol", "an id of ours that nobody knows"],
    )
    async def test_a_fill_that_cannot_be_its_orders_is_kept_as_suspect(
        self, books: BookStore, lease: Lease, changes: dict[str, Any]
    ) -> None:
        await books.decide(decision(INTENT), lease)
        with pytest.raises(BooksDisagree):
            await books.book_executions([replace(execution(INTENT, 100, "400.00"), **changes)], lease)
        assert list(await books.suspects()) == ["e1"]
        assert await books.lots() == []

    async def test_a_fill_told_twice_in_a_list_is_booked_once(self, books: BookStore, lease: Lease) -> None:
        await books.decide(decision(INTENT), lease)
        fill = execution(INTENT, 60, "400.00")
        assert await books.book_executions([fill, fill], lease) == [fill]

    # ── who may write ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def test_a_writer_without_its_lease_writes_nothing(self, books: BookStore, lease: Lease) -> None:
        await books.decide(decision(INTENT), lease)
        late = replace(lease, epoch=lease.epoch - 1)
        opening = deposit("deposit:opening", D(1), DAY, AT)
        closed = Equity(DAY, D(1), D(0), D(0), D(0), D(0), D(1))
        split, outcome = Split("AAPL", NEXT_DAY, Fraction(2)), Reconciliation(DAY, [], {})
        for write in (
            lambda: books.prove(late),
            lambda: books.decide(decision(session=NEXT_DAY), late),
            lambda: books.place([replace(INTENT, leg=1)], late),
            lambda: books.transition(INTENT.ref_id, SUBMITTING, late),
            lambda: books.adopt(BY_HAND, DAY, late),
            lambda: books.book_executions([execution(INTENT, 60, "400.00")], late),
            lambda: books.book_split(split, AT, late),
            lambda: books.book(opening, late),
            lambda: books.settle(closed, {}, late),
            lambda: books.latch("entries", "differs", late),
            lambda: books.unlatch("entries", "agrees", late),
            lambda: books.keep_reconciliation(outcome, None, late),
        ):
            with pytest.raises(LeaseHeld):
                await write()
        await books.prove(lease)
        assert await states(books) == {INTENT.ref_id: State.PLANNED}
        assert (await books.lots(), await books.balances(), await books.last_equity()) == ([], {}, None)

    async def test_a_lease_that_is_held_is_not_given_to_another(self, shelf: Shelf) -> None:
        leases = shelf.leases(60)
        async with leases.hold("main", "first", 0):
            with pytest.raises(LeaseHeld, match="Another process"):
                async with leases.hold("main", "second", 0):
                    pass
        async with leases.hold("main", "second", 0) as lease:
            assert lease.epoch == 2

    async def test_the_writers_latch_is_everybodys(self, books: BookStore, lease: Lease, shelf: Shelf) -> None:
        assert [await books.latch("entries", "differs", lease) for _ in range(2)] == [True, False]
        (latch,) = await shelf.control.latches("main")
        assert (latch.name, latch.reason, latch.kept) == ("entries", "differs", True)
        assert [await books.unlatch("entries", "agrees", lease) for _ in range(2)] == [True, False]
        await books.keep_reconciliation(Reconciliation(DAY, [], {"orders": 3}), None, lease)
        newest = await shelf.control.last_reconciliation("main")
        assert newest is not None
        assert newest.at is not None
        assert await shelf.control.last_reconciliation("other") is None


class TestBooksInPostgres(BooksContract):
    @pytest.fixture
    def shelf(self, database: Database) -> Shelf:
        return Shelf(
            lambda account: postgres.BookStore(database, account),
            lambda ttl: postgres_control.LeaseStore(database, dt.timedelta(seconds=ttl)),
            postgres_control.ControlStore(database),
            asyncio.sleep,
        )


class TestBooksInMemory(BooksContract):
    @pytest.fixture
    def shelf(self) -> Shelf:
        disks = Disks()

        async def wait(seconds: float) -> None:
            for disk in disks.values():
                disk.now += seconds

        return Shelf(
            lambda account: memory.BookStore(disks, account),
            lambda ttl: memory.LeaseStore(disks, ttl),
            memory.ControlStore(disks),
            wait,
        )
