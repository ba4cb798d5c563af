"""The log of orders is a chain: whoever changes, removes, adds or moves one event, an audit says where.

The tamperer here is the strongest there is: he may switch the triggers off.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import psycopg
import pytest
from alembic import command

from quaestor.audit import Anchor, Audit, digest
from quaestor.doors.postgres import migrate
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.reads import Reads
from quaestor.errors import BooksDisagree
from quaestor.jsons import as_json
from quaestor.orders import Execution, Intent, Side, State
from quaestor.ports import Decision, Lease, Run, Transition
from quaestor.risk import Refusal

D = Decimal
DAY = dt.date(2012, 1, 4)
AT = dt.datetime(2012, 1, 4, 14, 30, tzinfo=dt.UTC)
WHY = {"weight": 0.32, "small": 1e-07, "whole": 1.0, "bars": [{"close": "405.00", "version": 2}], "text": "ünï"}
INTENT = Intent(
    "main", "momentum", "AAPL", DAY, "AAPL|1d|2012-01-03T21:00:00Z", Side.BUY, D(100), D("405.00"), provenance=WHY
)


@pytest.fixture
async def lease(database: Database) -> AsyncIterator[Lease]:
    async with LeaseStore(database).hold("main", "me", 0) as held:
        yield held


@pytest.fixture
async def traded(database: Database, lease: Lease) -> Database:
    """Three orders: one filled in two parts, one canceled, one never sent."""
    books = BookStore(database, "main")
    intents = [replace(INTENT, symbol=symbol) for symbol in ("AAPL", "IBM", "MSFT")]
    refused = Refusal(DAY, "momentum", "GOOG", Side.BUY, D(1), "latch", "latches", "none", "halt", "Stopped.")
    await books.decide(Decision(DAY, D(100_000), D(100_000), intents, [refused], Run()), lease)
    filled, canceled, unsent = (intent.ref_id for intent in intents)
    await books.transitions([(r, Transition(State.SUBMITTING, "send")) for r in (filled, canceled)], lease)
    await books.transitions(
        [(r, Transition(State.ACKED, "ack", str(r), kind="news")) for r in (filled, canceled)], lease
    )
    await books.transition(canceled, Transition(State.PENDING_CANCEL, "halt"), lease)
    await books.transition(canceled, Transition(State.CANCELED, "update", kind="news"), lease)
    await books.transition(unsent, Transition(State.EXPIRED_UNSENT, "drain", reason="late"), lease)
    for number, quantity in enumerate((40, 60)):
        fill = Execution(f"e{number}", str(filled), filled, "AAPL", Side.BUY, D(quantity), D("400.10"), D(0), DAY, AT)
        await books.book_executions([fill], lease)
    await books.transition(
        filled, Transition(State.FILLED, "update", str(filled), D(100), D("400.10"), kind="news"), lease
    )
    return database


def audit(database: Database, anchor: Anchor | None = None) -> Audit:
    with Reads(database.uri, "main") as reads:
        return reads.audit(anchor)


def tamper(database: Database, *statements: str) -> None:
    with psycopg.connect(database.uri) as connection:
        for table in ("order_event", "intent", "fill"):  # whoever owns a table may
            connection.execute(f"alter table {table} disable trigger user".encode())
        for statement in statements:
            connection.execute(statement.encode())


async def test_an_untouched_log_is_found_whole(traded: Database) -> None:
    found = audit(traded)
    assert (found.flaws, found.seq, len(found.states), len(found.fills)) == ([], 13, 3, 2)
    rows = await traded.fetch(b"select count(*) as events, max(seq) as last from order_event")
    assert rows == [{"events": 13, "last": 13}]


async def test_each_event_follows_from_the_one_before_of_its_order(traded: Database) -> None:
    rows = await traded.fetch(b"select id, causation, ref_id from order_event order by id")
    last: dict[object, int] = {}
    for row in rows:
        assert row["causation"] == last.get(row["ref_id"])
        last[row["ref_id"]] = row["id"]


async def test_an_empty_log_is_whole_too(database: Database) -> None:
    assert (audit(database).flaws, audit(database).seq) == ([], 0)


REASON = 'detail = detail || \'{"reason": "x"}\''
WRITTEN, MISSING = "not what was written", "are missing"


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        pytest.param(f"update order_event set {REASON} where seq = 5", WRITTEN, id="detail"),
        pytest.param("update order_event set state = 'filled' where seq = 9", WRITTEN, id="state"),
        pytest.param("update order_event set at = at + interval '1 microsecond' where seq = 2", WRITTEN, id="time"),
        pytest.param("update order_event set epoch = 7 where seq = 13", WRITTEN, id="the last one"),
        pytest.param("delete from order_event where seq = 4", MISSING, id="one removed"),
        pytest.param("delete from order_event where seq = 13", "the chain ends at 13", id="the last removed"),
        pytest.param("update order_event set seq = 100 - seq where seq = 6", MISSING, id="moved"),
        pytest.param("update order_state set state = 'filled' where state = 'canceled'", "events end", id="a standing"),
        pytest.param("update intent set quantity = 1000 where symbol = 'IBM'", "not the one that", id="an intent"),
        pytest.param("update intent set provenance = '{}' where symbol = 'IBM'", "not the one", id="its provenance"),
        pytest.param("update fill set price = 1 where execution_id = 'e1'", "differ", id="a fill"),
        pytest.param("delete from fill where execution_id = 'e0'", "differ", id="a fill removed"),
    ],
)
async def test_whatever_was_changed_is_found(traded: Database, statement: str, problem: str) -> None:
    tamper(traded, statement)
    assert any(problem in flaw.problem for flaw in audit(traded).flaws), audit(traded).flaws


async def test_a_whole_new_chain_is_found_by_an_anchor_kept_elsewhere(traded: Database) -> None:
    anchor = audit(traded).head
    assert audit(traded, anchor).flaws == []
    relink = """
        do $$ declare e order_event; head bytea := sha256('main'); begin
            for e in select * from order_event order by seq loop
                if e.seq = 5 then e.cause := 'forged'; end if;
                head := link_event(e, head);
                update order_event set cause = e.cause, hash = head where id = e.id;
            end loop;
            update chain set hash = head;
        end $$
    """
    tamper(traded, relink)
    assert audit(traded).flaws == [], "whoever can write all of it can write another one"
    assert "another chain" in audit(traded, anchor).flaws[0].problem
    tamper(
        traded,
        "delete from order_event where seq > 9",
        "update chain set seq = 9, hash = (select hash from order_event where seq = 9)",
    )
    assert any("the anchor knows 13 events, the log 9" in flaw.problem for flaw in audit(traded, anchor).flaws)


@pytest.mark.parametrize("table", ["order_event", "intent", "decision", "refusal", "fill", "entry", "posting"])
@pytest.mark.parametrize("statement", ["delete from {}", "truncate {} cascade"])
async def test_logs_are_append_only(traded: Database, table: str, statement: str) -> None:
    with pytest.raises(BooksDisagree, match="append-only"):
        async with traded.transaction() as connection:
            await connection.execute(statement.format(table).encode())


def test_an_intent_has_one_digest_however_its_numbers_are_written() -> None:
    why = as_json(WHY)
    assert digest(INTENT, why) == digest(replace(INTENT, quantity=D("100.000000"), reference_price=D(405)), why)
    assert digest(INTENT, why) != digest(replace(INTENT, quantity=D(101)), why)
    assert digest(INTENT, why) != digest(INTENT, as_json(WHY | {"weight": 0.33}))


@pytest.mark.parametrize("text", ["", "7", "7:xyz", "x:" + "0" * 64, "7:" + "0" * 63])
def test_what_is_no_anchor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no anchor"):
        Anchor.parse(text)
    assert Anchor.parse("7:" + "a" * 64).seq == 7


async def test_a_log_from_before_the_chain_is_linked_as_it_stands(empty_uri: str) -> None:
    with migrate._connection(empty_uri) as connection:  # an older schema, which nothing else makes
        command.upgrade(migrate._config(connection), "0004")
    with psycopg.connect(empty_uri) as connection:
        connection.execute(b"""
            insert into intent (ref_id, account, strategy, symbol, session, cause_key, side, leg, quantity, order_type,
                                time_in_force, reference_price, reduces, provenance)
            values (gen_random_uuid(), 'main', 's', 'A', '2012-01-04', 'c', 'buy', 0, 1, 'market', 'gfd', 10, false,
                    '{}')
        """)
        connection.execute(b"insert into order_state (ref_id, state, epoch) select ref_id, 'acked', 1 from intent")
        for state in (b"planned", b"submitting", b"acked"):
            connection.execute(
                b"insert into order_event (ref_id, state, epoch, cause) select ref_id, '"
                + state
                + b"', 1, 'c' from intent"
            )
    migrate.upgrade(empty_uri)
    with Reads(empty_uri, "main") as reads:
        found = reads.audit()
    assert (found.flaws, found.seq) == ([], 3)


async def test_an_intent_from_before_its_evidence_was_kept_verbatim_has_the_digest_it_was_given(empty_uri: str) -> None:
    with migrate._connection(empty_uri) as connection:
        command.upgrade(migrate._config(connection), "0007")
    with psycopg.connect(empty_uri) as connection:
        connection.execute(b"""
            insert into intent (ref_id, account, strategy, symbol, session, cause_key, side, leg, quantity, order_type,
                                time_in_force, reference_price, reduces, provenance)
            values ('09a913b4-b683-5a5c-951c-a57c9e849ec2', 'main', 's', 'A', '2012-01-04', 'c', 'buy', 0, 1, 'market',
                    'gfd', 10, false, '{"weight": 0.5, "whole": 1.0, "text": "\xc3\xbcn\xc3\xaf"}');
            insert into order_state (ref_id, state, epoch) select ref_id, 'planned', 1 from intent;
            insert into order_event (account, ref_id, state, epoch, cause, detail) select 'main', ref_id, 'planned', 1,
                'c', '{"digest": "c5a1ff838c9b540fadd88468bff0930929255e8e915b84b77d62af70c9c8792f"}' from intent
        """)
    migrate.upgrade(empty_uri)
    with Reads(empty_uri, "main") as reads:
        assert (reads.audit().flaws, reads.audit().seq) == ([], 1)
    with psycopg.connect(empty_uri) as connection:
        connection.execute(b"alter table intent disable trigger user; update intent set provenance = '{}'")
    with Reads(empty_uri, "main") as reads:
        assert [flaw.problem for flaw in reads.audit().flaws] == ["its intent is not the one that was planned"]
