"""The books, the lease and the migrations in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import psycopg
import pytest

from quaestor.doors.postgres import migrate
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import ControlStore, LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.errors import BadInput, BooksDisagree, DatabaseDown, LeaseHeld, PartMissing
from quaestor.ledger import Equity, deposit
from quaestor.orders import Execution, Intent, Side, State
from quaestor.ports import Decision, Lease, Reconciliation, Run, Transition
from quaestor.risk import Refusal
from quaestor.splits import Split

D = Decimal
ROOT = Path(__file__).parents[2]
DAY = dt.date(2012, 1, 4)
AT = dt.datetime(2012, 1, 4, 14, 30, tzinfo=dt.UTC)
NEXT_DAY = dt.date(2012, 1, 5)
INTENT = Intent(
    account="main",
    strategy="momentum",
    symbol="AAPL",
    session=DAY,
    cause_key="AAPL|1d|2012-01-03T21:00:00Z",
    side=Side.BUY,
    quantity=D(100),
    reference_price=D("400.00"),
    provenance={"code_commit": "abc"},
)
REFUSAL = Refusal(DAY, "momentum", "IBM", Side.BUY, D(5), "cash", "dollars", "10", "900", "cash: …", {"checks": []})


@pytest.fixture
def books(database: Database) -> BookStore:
    return BookStore(database, "main")


@pytest.fixture
async def lease(database: Database) -> AsyncIterator[Lease]:
    async with LeaseStore(database).hold("main", "me", 0) as held:
        yield held


def decision(*intents: Intent, session: dt.date = DAY, refusals: tuple[Refusal, ...] = ()) -> Decision:
    return Decision(session, D("100000.00"), D("90000.00"), intents, refusals, Run("flow-run", "abc", "digest"))


def execution(intent: Intent | None, quantity: int, price: str, number: int = 1, **changes: object) -> Execution:
    ref_id, side = (intent.ref_id, intent.side) if intent else (None, Side.BUY)
    fill = Execution(f"e{number}", "b", ref_id, "AAPL", side, D(quantity), D(price), D("0.10"), DAY, AT)
    return replace(fill, **changes)  # type: ignore[arg-type]


# ── decisions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_decision_is_kept_whole_with_its_evidence(database: Database, books: BookStore, lease: Lease) -> None:
    assert await books.decide(decision(INTENT, refusals=(REFUSAL,)), lease)
    assert await books.decided(DAY, NEXT_DAY) == {DAY}
    (order,) = await books.open_orders()
    assert (order.intent, order.intent.provenance) == (INTENT, {"code_commit": "abc"})
    assert (order.ref_id, order.state, order.epoch) == (INTENT.ref_id, State.PLANNED, lease.epoch)
    (row,) = await database.fetch(b"select rule, limit_value, observed, quantity from refusal")
    assert row == {"rule": "cash", "limit_value": "10", "observed": "900", "quantity": D(5)}
    (row,) = await database.fetch(b"select flow_run_id, code_commit, config_digest, epoch from decision")
    assert row == {"flow_run_id": "flow-run", "code_commit": "abc", "config_digest": "digest", "epoch": lease.epoch}


async def test_a_session_is_decided_once(books: BookStore, lease: Lease) -> None:
    assert await books.decide(decision(INTENT), lease)
    other = replace(INTENT, symbol="IBM", cause_key="IBM|1d|2012-01-03T21:00:00Z")
    assert not await books.decide(decision(INTENT, other), lease)
    assert [order.intent.symbol for order in await books.open_orders()] == ["AAPL"]


async def test_the_same_intent_is_never_committed_twice_and_takes_its_whole_decision_with_it(
    books: BookStore, lease: Lease
) -> None:
    assert await books.decide(decision(INTENT), lease)
    bigger = replace(INTENT, quantity=D(200))
    new = replace(INTENT, symbol="IBM")
    with pytest.raises(BadInput, match="pk_intent"):
        await books.decide(decision(new, bigger, session=NEXT_DAY), lease)
    assert await books.decided(DAY, NEXT_DAY) == {DAY}
    assert [order.intent.symbol for order in await books.open_orders()] == ["AAPL"]


async def test_the_key_of_an_intent_is_unique_even_under_another_ref_id(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await books.decide(decision(INTENT), lease)
    names = "account, strategy, symbol, session, cause_key, side, leg, quantity, order_type, time_in_force"
    rest = f"{names}, reference_price, reduces, provenance"
    copy = f"insert into intent (ref_id, {rest}) select %s, {rest} from intent"
    with pytest.raises(BadInput, match="cause_key"):
        async with database.transaction() as connection:
            await connection.execute(copy.encode(), [uuid.uuid4()])


# ── transitions ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_goes_its_way_and_each_step_is_logged_once(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await books.decide(decision(INTENT), lease)
    steps = [
        Transition(State.SUBMITTING, "send"),
        Transition(State.ACKED, "ack", "broker-1"),
        Transition(State.ACKED, "update", "broker-1"),
        Transition(State.FILLED, "update", "broker-1", D(100), D("401.25"), detail={"seen": 1}),
        Transition(State.CANCELED, "update", "broker-1"),
    ]
    assert [await books.transition(INTENT.ref_id, step, lease) for step in steps] == [True, True, False, True, False]
    assert await books.open_orders() == []
    (order,) = await books.orders_since(DAY)
    assert (order.state, order.filled, order.average_price, order.broker_id) == (
        State.FILLED, D(100), D("401.25"), "broker-1",
    )  # fmt: skip
    events = await database.fetch(b"select state, cause, epoch, detail from order_event order by id")
    assert [event["state"] for event in events] == ["planned", "submitting", "acked", "filled"]
    assert events[-1]["detail"]["seen"] == 1
    assert {event["epoch"] for event in events} == {lease.epoch}


async def test_news_in_any_order_end_in_the_same_state(books: BookStore, lease: Lease) -> None:
    news = [
        Transition(State.ACKED, "update", "b"),
        Transition(State.PARTIALLY_FILLED, "update", "b", D(40), D("400.10")),
        Transition(State.PARTIALLY_FILLED, "update", "b", D(70), D("400.20")),
        Transition(State.FILLED, "update", "b", D(100), D("400.30")),
    ]
    ways = list(itertools.permutations(news))
    intents = [replace(INTENT, leg=leg) for leg in range(len(ways))]
    await books.decide(decision(*intents), lease)
    for intent, way in zip(intents, ways, strict=True):
        for step in (Transition(State.SUBMITTING, "send"), *way, way[0]):
            await books.transition(intent.ref_id, step, lease)
    ends = {(o.state, o.filled, o.average_price, o.broker_id) for o in await books.orders_since(DAY)}
    assert ends == {(State.FILLED, D(100), D("400.30"), "b")}


async def test_an_end_that_says_less_of_fills_than_is_known_takes_none_back(books: BookStore, lease: Lease) -> None:
    await books.decide(decision(INTENT), lease)
    for step in (
        Transition(State.SUBMITTING, "send"),
        Transition(State.PARTIALLY_FILLED, "update", "b", D(40), D("400.10")),
        Transition(State.CANCELED, "update"),
    ):
        assert await books.transition(INTENT.ref_id, step, lease)
    (order,) = await books.orders_since(DAY)
    assert (order.state, order.filled, order.average_price, order.broker_id) == (
        State.CANCELED, D(40), D("400.10"), "b",
    )  # fmt: skip


async def test_exits_come_before_entries_and_old_sessions_before_new_ones(books: BookStore, lease: Lease) -> None:
    leaving = replace(INTENT, symbol="ZZZ", side=Side.SELL, reduces=True)
    tomorrow = replace(leaving, session=NEXT_DAY)
    await books.decide(decision(tomorrow, session=NEXT_DAY), lease)
    await books.decide(decision(INTENT, leaving), lease)
    assert [order.ref_id for order in await books.open_orders()] == [leaving.ref_id, INTENT.ref_id, tomorrow.ref_id]


async def test_an_order_nobody_knows_moves_nowhere(books: BookStore, lease: Lease) -> None:
    assert not await books.transition(uuid.uuid4(), Transition(State.ACKED, "update"), lease)


# ── the lease ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_writer_that_was_paused_too_long_can_neither_decide_nor_move_an_order(
    database: Database, books: BookStore
) -> None:
    leases = LeaseStore(database, dt.timedelta(seconds=0.2))
    paused = await leases._take("main", "paused", 0)
    assert await books.decide(decision(INTENT), paused)
    await asyncio.sleep(0.3)
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


async def test_a_lease_is_renewed_while_it_is_held_and_given_back_at_the_end(database: Database) -> None:
    leases = LeaseStore(database, dt.timedelta(seconds=0.6))
    async with leases.hold("main", "first", 0):
        await asyncio.sleep(1.0)
        with pytest.raises(LeaseHeld, match=r"first holds it until \d\d:\d\d:\d\d UTC\. Wait for it, or end it"):
            async with leases.hold("main", "second", 0):
                pass
    async with leases.hold("main", "second", 0) as lease:
        assert lease.epoch == 2


async def test_a_lease_is_given_back_when_its_holder_fails(database: Database) -> None:
    leases = LeaseStore(database)
    with pytest.raises(ZeroDivisionError):
        async with leases.hold("main", "first", 0):
            raise ZeroDivisionError
    async with leases.hold("main", "second", 0) as lease:
        assert lease.holder == "second"


async def test_of_many_who_want_the_lease_at_once_one_gets_it(database: Database) -> None:
    leases = LeaseStore(database)
    taken = await asyncio.gather(*(leases._take("main", f"taker {n}", 0) for n in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, Lease) for answer in taken) == 1
    assert sum(isinstance(answer, LeaseHeld) for answer in taken) == 5


async def test_who_waits_gets_the_lease_of_a_dead_holder_when_it_runs_out(database: Database) -> None:
    leases = LeaseStore(database, dt.timedelta(seconds=0.3))
    await leases._take("main", "dead", 0)
    async with leases.hold("main", "heir", 5) as lease:
        assert (lease.holder, lease.epoch) == ("heir", 2)
    assert (await leases.current("main") or {})["live"] is False


async def test_accounts_do_not_share_a_lease(database: Database) -> None:
    leases = LeaseStore(database)
    async with leases.hold("main", "me", 0), leases.hold("other", "you", 0) as lease:
        assert lease.epoch == 1


async def test_a_lease_taken_back_by_force_stops_its_old_holder_at_the_next_write(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await books.decide(decision(INTENT), lease)
    async with database.transaction() as connection:
        await connection.execute(b"update lease set epoch = epoch + 1, holder = 'other'")
    with pytest.raises(LeaseHeld):
        await books.transition(INTENT.ref_id, Transition(State.SUBMITTING, "send"), lease)


# ── ledger ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_written_is_never_changed(database: Database, books: BookStore, lease: Lease) -> None:
    await books.decide(decision(INTENT), lease)
    await books.book_executions([execution(INTENT, 100, "400.00")])
    columns = {"entry": "memo", "posting": "line", "order_event": "cause", "fill": "strategy"}
    for table, column in columns.items():
        before = await database.fetch(f"select * from {table}".encode())
        for change in (f"update {table} set {column} = {column}", f"delete from {table}"):
            with pytest.raises(BooksDisagree, match=f"{table} is append-only"):
                await database.fetch(change.encode())
        assert await database.fetch(f"select * from {table}".encode()) == before != []


async def test_an_entry_that_does_not_balance_cannot_be_committed(database: Database, books: BookStore) -> None:
    with pytest.raises(BooksDisagree, match=r"does not balance: its postings sum to 0\.010000"):
        await write_entry(database, D("5.01"), D("-5"))
    assert await database.fetch(b"select * from entry") == []
    assert await books.balances() == {}
    await write_entry(database, D("5.01"), D("-5.01"))
    assert len(await database.fetch(b"select * from posting")) == 2


async def write_entry(database: Database, *amounts: Decimal) -> None:
    entry = b"insert into entry (account, key, kind, session, at, memo) values ('main', 'k', 'x', %s, %s, '')"
    line = "insert into posting (entry_id, line, ledger_account, amount, strategy, symbol, quantity) "
    posting = f"{line} select id, %s, 'cash', %s, '', '', 0 from entry".encode()
    async with database.transaction() as connection:
        await connection.execute(entry, [DAY, AT])
        for number, amount in enumerate(amounts):
            await connection.execute(posting, [number, amount])


async def test_fills_are_booked_once_under_the_strategy_of_their_order(books: BookStore, lease: Lease) -> None:
    await books.decide(decision(INTENT), lease)
    fills = [execution(INTENT, 60, "400.00", 1), execution(INTENT, 40, "401.00", 2)]
    assert await books.book_executions(fills[:1]) == fills[:1]
    assert await books.book_executions(fills) == fills[1:]
    assert await books.book_executions(fills) == []
    assert [(lot.strategy, lot.quantity, lot.cost) for lot in await books.lots()] == [
        ("momentum", D(60), D(24_000)),
        ("momentum", D(40), D(16_040)),
    ]
    assert await books.balances() == {"cash": D("-40040.20"), "positions": D(40_040), "fees": D("0.20")}
    assert await books.shares_by_journal() == {"AAPL": D(100)}
    assert await books.booked_fills(DAY) == {"e1", "e2"}
    assert await books.booked_fills(NEXT_DAY) == set()


async def test_an_order_placed_by_hand_belongs_to_nobody(books: BookStore) -> None:
    by_hand = execution(None, 5, "400.00", 1)
    with_another_id = execution(None, 5, "400.00", 2, ref_id=uuid.uuid4())
    assert len(await books.book_executions([by_hand, with_another_id])) == 2
    assert {lot.strategy for lot in await books.lots()} == {"external"}


async def test_a_sale_that_the_books_cannot_take_is_told_and_keeps_no_other_fill_out(
    books: BookStore, lease: Lease
) -> None:
    await books.decide(decision(INTENT), lease)
    sale = execution(None, 5, "400.00", 2, side=Side.SELL)
    fills = [execution(INTENT, 60, "400.00", 1), sale, execution(INTENT, 40, "401.00", 3)]
    with pytest.raises(BooksDisagree, match="sells 5 AAPL but external holds 0"):
        await books.book_executions(fills)
    assert await books.booked_fills(DAY) == {"e1", "e3"}
    assert await books.shares_by_journal() == {"AAPL": D(100)}


async def test_a_sale_relieves_the_oldest_lots_of_its_strategy(books: BookStore, lease: Lease) -> None:
    leaving = replace(INTENT, side=Side.SELL, reduces=True)
    await books.decide(decision(INTENT, leaving), lease)
    await books.book_executions([execution(INTENT, 60, "400.00", 1), execution(INTENT, 40, "410.00", 2)])
    await books.book_executions([execution(leaving, 70, "420.00", 3)])
    assert [(lot.lot_id, lot.quantity, lot.cost) for lot in await books.lots()] == [("e2", D(30), D(12_300))]
    assert (await books.balances())["realized"] == D(-1300)  # 60 · 20 + 10 · 10, a credit


async def test_a_split_rescales_the_lots_once(books: BookStore, lease: Lease) -> None:
    await books.decide(decision(INTENT), lease)
    await books.book_executions([execution(INTENT, 100, "400.00")])
    split = Split("AAPL", NEXT_DAY, Fraction(2))
    assert await books.book_split(split, AT)
    assert not await books.book_split(split, AT)
    assert not await books.book_split(replace(split, symbol="IBM"), AT), "not held"
    assert [(lot.quantity, lot.cost) for lot in await books.lots()] == [(D(200), D(40_000))]
    assert await books.shares_by_journal() == {"AAPL": D(200)}


async def test_a_deposit_is_booked_once(books: BookStore) -> None:
    opening = deposit("deposit:opening", D("100000.00"), DAY, AT)
    assert [await books.book(opening), await books.book(opening)] == [True, False]
    assert await books.balances() == {"cash": D(100_000), "capital": D(-100_000)}


async def test_a_settled_session_stays_as_it_was(books: BookStore) -> None:
    def closed(day: dt.date, cash: int) -> Equity:
        return Equity(day, D(cash), D(500), D(0), D(0), D(0), D(cash + 500))

    assert (await books.last_equity(), await books.peak_equity()) == (None, None)
    for day, cash in ((DAY, 90_000), (DAY, 1), (NEXT_DAY, 80_000)):
        await books.settle(closed(day, cash), {"lots": []})
    assert await books.equity_curve(DAY, NEXT_DAY) == [closed(DAY, 90_000), closed(NEXT_DAY, 80_000)]
    assert await books.last_equity() == closed(NEXT_DAY, 80_000)
    assert await books.equity_before(NEXT_DAY) == await books.peak_equity() == D(90_500)
    assert await books.equity_before(DAY) is None


async def test_accounts_do_not_see_each_other(database: Database, books: BookStore, lease: Lease) -> None:
    await books.decide(decision(INTENT), lease)
    await books.book_executions([execution(INTENT, 100, "400.00")])
    other = BookStore(database, "other")
    assert await other.open_orders() == await other.lots() == []
    assert await other.balances() == await other.shares_by_journal() == {}
    assert await other.decided(DAY, DAY) == await other.booked_fills(DAY) == set()


# ── control ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_latch_keeps_its_first_reason_until_it_is_cleared(database: Database) -> None:
    control = ControlStore(database)
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


async def test_the_newest_reconciliation_is_found_with_its_differences(database: Database) -> None:
    control = ControlStore(database)
    assert await control.last_reconciliation("main") is None
    await control.save_reconciliation("main", Reconciliation(DAY, [{"subject": "cash"}], {"orders": 3}), None)
    await control.save_reconciliation("main", Reconciliation(NEXT_DAY, [], {"orders": 4}), "flow-run")
    newest = await control.last_reconciliation("main")
    assert newest is not None
    assert (newest.ok, newest.session, newest.checked) == (True, NEXT_DAY, {"orders": 4})


# ── migrations ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def empty_uri(server_uri: str) -> Iterator[str]:
    """A database without any table."""
    name = f"e{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}"'.encode())
        yield server_uri.replace("/quaestor?", f"/{name}?")
        connection.execute(f'drop database "{name}" with (force)'.encode())


SHAPE = """
select 'column ' || table_schema || '.' || table_name || '.' || column_name as what,
       concat_ws(' ', data_type, numeric_precision, numeric_scale, is_nullable, column_default, is_identity) as how
from information_schema.columns where table_schema in ('public', 'paper') and table_name <> 'alembic_version'
  and (table_schema, table_name) not in (select table_schema, table_name from information_schema.views)
union all
select 'constraint ' || conrelid::regclass || ' ' || conname, pg_get_constraintdef(oid) from pg_constraint
where connamespace in ('public'::regnamespace, 'paper'::regnamespace) and contype <> 't'
  and conrelid <> coalesce(to_regclass('alembic_version'), 0::regclass)
union all
select 'index ' || schemaname || '.' || indexname, indexdef from pg_indexes
where schemaname in ('public', 'paper') and tablename <> 'alembic_version'
union all
select 'comment ' || c.oid::regclass, obj_description(c.oid) from pg_class c
where c.relkind in ('r', 'p') and c.relnamespace in ('public'::regnamespace, 'paper'::regnamespace)
  and obj_description(c.oid) is not null
"""


def shape(uri: str) -> dict[str, str]:
    with psycopg.connect(uri) as connection:
        return dict(connection.execute(SHAPE.encode()).fetchall())


def test_migrations_build_exactly_the_schema(database_uri: str, empty_uri: str) -> None:
    from sqlalchemy import create_engine, text

    from quaestor.doors.postgres.schema import metadata

    assert migrate.differences(database_uri) == []
    engine = create_engine(empty_uri.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("create schema paper"))
        metadata.create_all(connection)
    engine.dispose()
    assert shape(database_uri) == shape(empty_uri)
    assert len(shape(empty_uri)) > 200


def test_an_upgrade_of_the_newest_schema_changes_nothing(database_uri: str) -> None:
    before = shape(database_uri)
    assert migrate.upgrade(database_uri) == migrate.head() != ""
    assert shape(database_uri) == before


def test_two_processes_upgrade_at_the_same_time(empty_uri: str) -> None:
    program = "import sys; from quaestor import wiring; print(wiring.upgrade(sys.argv[1]))"
    command = [sys.executable, "-c", program, empty_uri]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=60)[0].strip() for process in both] == [migrate.head()] * 2
    assert [process.returncode for process in both] == [0, 0]
    assert migrate.differences(empty_uri) == []


async def test_a_database_without_tables_says_how_to_make_them(empty_uri: str) -> None:
    async with Database(empty_uri) as database:
        with pytest.raises(PartMissing, match="Run `quaestor db upgrade`"):
            await BookStore(database, "main").lots()


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    with pytest.raises(DatabaseDown, match=r"The database at localhost:1/books does not answer") as caught:
        async with Database("postgresql://me:hunter2@localhost:1/books"):
            pass
    assert "hunter2" not in str(caught.value)
    with pytest.raises(DatabaseDown, match="does not answer"):
        migrate.upgrade("postgresql://me:hunter2@localhost:1/books")
