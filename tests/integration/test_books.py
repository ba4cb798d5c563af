"""The books, the lease and the migrations in a real PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg.pq import PipelineStatus

from quaestor.doors.postgres import migrate
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.errors import BadInput, BooksDisagree, DatabaseDown, LeaseHeld, PartMissing
from quaestor.orders import Execution, Intent, Side, State
from quaestor.ports import Decision, Lease, Run, Transition
from quaestor.risk import Refusal

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
    assert order.intent == INTENT
    assert await database.fetch(b"select provenance from intent") == [{"provenance": {"code_commit": "abc"}}]
    assert (order.ref_id, order.state, order.epoch) == (INTENT.ref_id, State.PLANNED, lease.epoch)
    (row,) = await database.fetch(b"select rule, limit_value, observed, quantity from refusal")
    assert row == {"rule": "cash", "limit_value": "10", "observed": "900", "quantity": D(5)}
    (row,) = await database.fetch(b"select flow_run_id, code_commit, config_digest, epoch from decision")
    assert row == {"flow_run_id": "flow-run", "code_commit": "abc", "config_digest": "digest", "epoch": lease.epoch}


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


async def test_a_server_that_cannot_end_a_transaction_gets_its_statements_one_by_one(
    database: Database, books: BookStore, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quaestor.doors.postgres.database.LIMITED_VERSION", 990000)
    async with database.pipelined() as connection:
        assert connection.pgconn.pipeline_status == PipelineStatus.OFF
    assert await books.place([INTENT], lease) == [True]
    assert await books.transition(INTENT.ref_id, Transition(State.ACKED, "ack", "b", kind="news"), lease)
    assert await books.book_executions([execution(INTENT, 100, "405.00")], lease)


# ── transitions ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_goes_its_way_and_each_step_is_logged_once(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await books.decide(decision(INTENT), lease)
    steps = [
        Transition(State.SUBMITTING, "send"),
        Transition(State.ACKED, "ack", "broker-1", kind="news"),
        Transition(State.ACKED, "update", "broker-1", kind="news"),
        Transition(State.FILLED, "update", "broker-1", D(100), D("401.25"), detail={"seen": 1}, kind="news"),
        Transition(State.CANCELED, "update", "broker-1", kind="news"),
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


# ── the lease ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_lease_is_renewed_while_it_is_held_and_given_back_at_the_end(database: Database) -> None:
    leases = LeaseStore(database, dt.timedelta(seconds=0.6))
    async with leases.hold("main", "first", 0):
        await asyncio.sleep(1.0)
        with pytest.raises(LeaseHeld, match=r"first holds it until \d\d:\d\d:\d\d UTC\. Wait for it, or end it"):
            async with leases.hold("main", "second", 0):
                pass
    async with leases.hold("main", "second", 0) as lease:
        assert lease.epoch == 2


async def test_of_many_who_want_the_lease_at_once_one_gets_it(database: Database) -> None:
    leases = LeaseStore(database)
    taken = await asyncio.gather(*(leases._take("main", f"taker {n}", 0) for n in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, Lease) for answer in taken) == 1
    assert sum(isinstance(answer, LeaseHeld) for answer in taken) == 5


async def test_a_lease_whose_holder_is_known_to_have_died_is_inherited_at_once_by_one(database: Database) -> None:
    dead = await LeaseStore(database)._take("main", "dead", 0)
    leases = LeaseStore(database, gone="dead".__eq__)
    taken = await asyncio.gather(*(leases._take("main", f"heir {n}", 0) for n in range(6)), return_exceptions=True)
    (heir,) = [answer for answer in taken if isinstance(answer, Lease)]
    assert heir.epoch == dead.epoch + 1
    assert await LeaseStore(database)._database_write("renew_lease", dead) == 0
    with pytest.raises(LeaseHeld, match="heir"):
        await leases._take("main", "late", 0)


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
    await books.book_executions([execution(INTENT, 100, "400.00")], lease)
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
    later = b"insert into posting (entry_id, line, ledger_account, amount, strategy, symbol, quantity) "
    with pytest.raises(BooksDisagree, match=r"does not balance: its postings sum to 1\.000000"):
        await database.fetch(later + b"select id, 3, 'fees', 1, '', '', 0 from entry returning line")
    assert len(await database.fetch(b"select * from posting")) == 2


async def write_entry(database: Database, *amounts: Decimal) -> None:
    entry = b"insert into entry (account, key, kind, session, at, memo) values ('main', 'k', 'x', %s, %s, '')"
    line = "insert into posting (entry_id, line, ledger_account, amount, strategy, symbol, quantity) "
    postings = (
        f"{line} select id, number, 'cash', amount, '', '', 0 from entry, unnest(%s) with ordinality n (amount, number)"
    )
    async with database.transaction() as connection:
        await connection.execute(entry, [DAY, AT])
        await connection.execute(postings.encode(), [list(amounts)])


# ── control ───────────────────────────────────────────────────────────────────────────────────────────────────────────


# ── migrations ────────────────────────────────────────────────────────────────────────────────────────────────────────


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
