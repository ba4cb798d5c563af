"""Triggers in a real PostgreSQL: what every implementation of the port must do, two writers at once, damage, splits."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from quaestor import wiring
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.hints import CHANNEL
from quaestor.doors.postgres.triggers import TriggerStore
from quaestor.errors import BadInput, NotFound
from quaestor.operations.ingest import ingest_symbol
from quaestor.ports_live import StoredFiring
from quaestor.splits import Split
from quaestor.triggers import (
    Above,
    Alert,
    AllOf,
    Below,
    Flatten,
    Latch,
    OrderTemplate,
    Spread,
    Trailing,
    Trigger,
    firing_id,
)

if TYPE_CHECKING:
    from quaestor import ports_live

AT = dt.datetime(2026, 11, 20, 14, 35, tzinfo=dt.UTC)
SPLIT = Split("AAPL", dt.date(2005, 2, 28), Fraction(2))
BEFORE = dt.datetime(2005, 2, 25, 21, 0, tzinfo=dt.UTC)  # the evening before


@pytest.fixture
def store(database: Database) -> TriggerStore:
    held: ports_live.TriggerStore = TriggerStore(database)
    assert isinstance(held, TriggerStore)
    return held


def rule(number: int = 1, **fields: Any) -> Trigger:
    given = {"symbol": "AAPL", "condition": Above(190.5), "action": OrderTemplate("sell", fraction=0.5), **fields}
    return Trigger(uuid.UUID(int=number), **given)


def firing(trigger: Trigger, number: int) -> StoredFiring:
    id_ = firing_id(trigger.id, number)
    return StoredFiring(id_, trigger.id, number, trigger.symbol, 190.6, AT + dt.timedelta(seconds=number), "sell 50%")


async def said(database: Database, statement: str, *parameters: Any) -> None:
    async with database.transaction() as connection:
        await connection.execute(statement.encode(), parameters)


# ── the contract ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_trigger_comes_back_as_it_was_written(store: TriggerStore) -> None:
    wanted = rule(condition=AllOf((Above(0.1 + 0.2), Trailing(percent=3.3))), expires=1_800_000_000_123_456_789)
    assert await store.put("paper", wanted, name="take-profit", note="gap day", by="ada")
    (found,) = await store.all("paper")
    assert (found.trigger, found.latch) == (wanted, Latch())
    assert (found.name, found.note, found.by, found.number) == ("take-profit", "gap day", "ada", 1)
    assert await store.all("other") == []


async def test_the_same_again_is_no_change_and_another_name_keeps_the_latch(store: TriggerStore) -> None:
    await store.put("paper", rule(), name="a")
    await store.keep_latches("paper", {rule().id: Latch(armed=False, fired=2, last_fired=5, memory=[None])})
    assert await store.put("paper", rule(), name="a") is False
    assert await store.put("paper", rule(), name="b", note="n") is True
    found = await store.find("paper", "b")
    assert (found.latch, found.note) == (Latch(armed=False, fired=2, last_fired=5, memory=[None]), "n")
    assert await store.cursor("paper") == 1  # nobody who follows changes need look


async def test_a_replaced_rule_waits_anew_and_its_firings_are_counted_on(store: TriggerStore) -> None:
    await store.put("paper", rule())
    await store.keep_latches("paper", {rule().id: Latch(False, True, 3, 7, [1.0])})
    assert await store.put("paper", rule(condition=Below(5.0)))
    found = await store.find("paper", str(rule().id))
    assert (found.trigger.condition, found.latch) == (Below(5.0), Latch(fired=3, last_fired=7))


async def test_a_removed_one_is_gone_and_its_id_and_firings_are_not(store: TriggerStore) -> None:
    await store.put("paper", rule(), name="a")
    await store.keep_firing("paper", firing(rule(), 1), Latch(fired=1))
    assert await store.remove("other", rule().id) is False
    assert await store.remove("paper", rule().id, by="ada") is True
    assert await store.remove("paper", rule().id) is False
    assert await store.all("paper") == []
    assert [each.number for each in await store.firings("paper")] == [1]
    with pytest.raises(BadInput, match="was removed, and an id serves once"):
        await store.put("paper", rule(condition=Below(1.0)))
    with pytest.raises(BadInput, match="is another account's"):
        await store.put("other", rule())
    assert await store.put("paper", rule(2), name="a")  # the name is free


async def test_two_cannot_have_one_name(store: TriggerStore) -> None:
    await store.put("paper", rule(1), name="dip")
    with pytest.raises(BadInput, match="'dip' is the name of trigger 00000000"):
        await store.put("paper", rule(2), name="dip")
    await store.put("other", rule(3), name="dip")
    assert [each.name for each in await store.all("paper")] == ["dip"]


@pytest.mark.parametrize(
    ("named", "number"),
    [
        pytest.param("dip", 1, id="by name"),
        pytest.param(str(uuid.UUID(int=0xABC << 116)), 0xABC << 116, id="by id"),
        pytest.param("ABC0", 0xABC << 116, id="by the beginning of an id, in capitals"),
    ],
)
async def test_one_is_found(store: TriggerStore, named: str, number: int) -> None:
    await store.put("paper", rule(1), name="dip")
    await store.put("paper", rule(0xABC << 116))
    assert (await store.find("paper", named)).trigger.id == uuid.UUID(int=number)
    assert await store.id_of("paper", named) == uuid.UUID(int=number)


@pytest.mark.parametrize(
    ("named", "kind", "said_"),
    [
        pytest.param("dpi", NotFound, "Did you mean 'dip'", id="a typing error"),
        pytest.param("0000", BadInput, "begins several", id="several begin so"),
        pytest.param("000", NotFound, "trigger list", id="too short to be meant"),
        pytest.param("%", NotFound, "Unknown trigger", id="no pattern"),
    ],
)
async def test_what_is_not_found_is_answered(
    store: TriggerStore, named: str, kind: type[Exception], said_: str
) -> None:
    await store.put("paper", rule(1), name="dip")
    await store.put("paper", rule(2))
    with pytest.raises(kind, match=said_):
        await store.find("paper", named)


# ── latches and firings ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_latch_never_loses_firings(store: TriggerStore) -> None:
    await store.put("paper", rule())
    later = Latch(False, True, 4, 40, [2.5])
    for latch in (later, Latch(True, False, 3, 30, [9.0])):
        await store.keep_latches("paper", {rule().id: latch, uuid.uuid4(): latch})
    assert (await store.find("paper", str(rule().id))).latch == later
    await store.keep_latches("other", {rule().id: Latch(fired=9)})
    assert (await store.find("paper", str(rule().id))).latch == later
    await store.keep_latches("paper", {rule().id: Latch(True, False, 4, 40, [3.0])})  # armed again
    assert (await store.find("paper", str(rule().id))).latch == Latch(True, False, 4, 40, [3.0])


async def test_what_the_rule_before_lived_does_not_latch_the_new_one(store: TriggerStore) -> None:
    await store.put("paper", rule())
    seen = await store.cursor("paper")
    await store.put("paper", rule(condition=Below(5.0)))
    await store.keep_latches("paper", {rule().id: Latch(False, True, 1, 10, [1.0])}, seen=seen)
    assert (await store.find("paper", str(rule().id))).latch == Latch(fired=1, last_fired=10)
    seen = await store.cursor("paper")
    await store.keep_latches("paper", {rule().id: Latch(False, True, 2, 20, [1.0])}, seen=seen)
    assert (await store.find("paper", str(rule().id))).latch.done


async def test_a_firing_is_kept_once_with_its_latch(store: TriggerStore) -> None:
    await store.put("paper", rule())
    assert await store.keep_firing("paper", firing(rule(), 1), Latch(False, True, 1, 9, [None])) is True
    assert await store.keep_firing("paper", firing(rule(), 1), Latch(True, False, 0)) is False
    assert (await store.find("paper", str(rule().id))).latch.done
    await store.keep_firing("paper", firing(rule(), 2), Latch(fired=2))
    await store.outcome(firing(rule(), 1).id, "2 orders")
    newest, first = await store.firings("paper")
    assert (newest.number, first.outcome, first.at) == (2, "2 orders", firing(rule(), 1).at)
    assert [each.number for each in await store.firings("paper", 1, rule().id)] == [2]
    assert await store.firings("paper", 5, uuid.uuid4()) == []


# ── changes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_changes_are_told_by_cursor(store: TriggerStore) -> None:
    assert (await store.cursor("paper"), await store.changes("paper", 0)) == (0, [])
    await store.put("paper", rule(1))
    await store.put("paper", rule(2))
    await store.put("paper", rule(1, action=Flatten()))
    await store.remove("paper", rule(2).id)
    await store.put("other", rule(3))
    told = await store.changes("paper", 0)
    assert [(each.id.int, each.number, each.trigger) for each in told] == [
        (1, 3, rule(1, action=Flatten())),
        (2, 4, None),
    ]
    assert [each.number for each in await store.changes("paper", 3)] == [4]
    assert await store.cursor("paper") == 4


async def test_a_reader_by_cursor_misses_no_change_of_several_writers_at_once(
    store: TriggerStore, database_uri: str
) -> None:
    """A number that is taken first may be committed last: then a reader would pass over it."""
    known: dict[uuid.UUID, Trigger | None] = {}

    async def write(first: int) -> None:
        async with Database(database_uri) as own:
            for number in range(first, first + 12):
                await TriggerStore(own).put("paper", rule(number))
                await TriggerStore(own).put("paper", rule(number, action=Alert(str(number))))

    async def follow(done: asyncio.Event) -> None:
        cursor = 0
        while True:
            last = done.is_set()
            for change in await store.changes("paper", cursor):
                assert change.number > cursor
                known[change.id], cursor = change.trigger, change.number
            if last:
                return

    done = asyncio.Event()
    reader = asyncio.create_task(follow(done))
    await asyncio.gather(*(write(first) for first in (100, 200, 300)))
    done.set()
    await reader
    assert known == {each.trigger.id: each.trigger for each in await store.all("paper")}
    assert await store.cursor("paper") == 72


async def test_a_number_is_not_seen_before_the_lower_ones(store: TriggerStore, database_uri: str) -> None:
    """The proof without chance: while one writer has not committed, the next one waits."""
    await store.put("paper", rule(1))
    async with Database(database_uri) as own, own.transaction() as connection:
        await connection.execute(b"update trigger_changes set number = number + 1 where account = 'paper'")
        second = asyncio.create_task(store.put("paper", rule(2)))
        await store.put("other", rule(3))  # another account does not wait
        assert not second.done()
        assert await store.cursor("paper") == 1
    assert await second
    assert [each.number for each in await store.changes("paper", 1)] == [3]


async def test_two_who_add_the_same_at_once_add_it_once(store: TriggerStore) -> None:
    done = await asyncio.gather(*(store.put("paper", rule(), name="a") for _ in range(8)))
    assert sorted(done) == [False] * 7 + [True]
    named = await asyncio.gather(*(store.put("paper", rule(n), name="b") for n in (5, 6)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in named) == ["BadInput", "bool"]


async def test_each_change_is_hinted_and_nothing_else_is(store: TriggerStore, database_uri: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_uri, autocommit=True) as listener:
        await listener.execute(f"listen {CHANNEL}".encode())
        await store.put("paper", rule())
        await store.put("paper", rule())  # no change
        await store.keep_latches("paper", {rule().id: Latch(fired=1)})
        await store.keep_firing("paper", firing(rule(), 2), Latch(fired=2))
        await store.remove("paper", rule().id)
        heard = [note.payload async for note in listener.notifies(timeout=5, stop_after=2)]
        more = [note.payload async for note in listener.notifies(timeout=0.05)]
    assert (heard, more) == (["paper triggers"] * 2, [])


# ── damage ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param("rule = '[]'", "no table of keys", id="no rule at all"),
        pytest.param("rule = jsonb_set(rule::jsonb, '{condition,level}', '\"190\"')", "no finite number", id="a text"),
        pytest.param("rule = jsonb_set(rule::jsonb, '{condition,kind}', '\"abov\"')", "mean 'above'", id="no kind"),
        pytest.param("rule = jsonb_set(rule::jsonb, '{hurry}', '1')", "unknown key 'hurry'", id="a key too many"),
        pytest.param("rule = jsonb_set(rule::jsonb, '{id}', to_jsonb(gen_random_uuid()))", "says that", id="another's"),
        pytest.param('latch = \'{"fired": "x"}\'', "its latch is none", id="a latch that counts nothing"),
        pytest.param('latch = \'{"memory": ["x"]}\'', "its latch is none", id="a latch that remembers a text"),
        pytest.param("latch = '{\"armed\": 1}'", "its latch is none", id="a latch that is neither armed nor not"),
        pytest.param("latch = '{\"memory\": 5}'", "wrong kind", id="a latch that remembers nothing"),
    ],
)
async def test_a_damaged_one_is_told_with_its_id_and_hides_no_other(
    store: TriggerStore, database: Database, change: str, problem: str
) -> None:
    await store.put("paper", rule(1), name="whole")
    await store.put("paper", rule(2), name="torn")
    await store.keep_firing("paper", firing(rule(2), 3), Latch(fired=3))
    await said(database, f"update trigger set {change} where name = 'torn'")
    assert [each.name for each in await store.all("paper")] == ["whole"]
    (damaged,) = await store.damaged("paper")
    assert (damaged.id, damaged.name) == (rule(2).id, "torn")
    assert f"Trigger {rule(2).id} (torn) cannot be read" in damaged.problem
    assert problem in damaged.problem
    whole, torn = await store.changes("paper", 0)
    assert (whole.trigger, torn.trigger, torn.damage) == (rule(1), None, damaged.problem)
    with pytest.raises(BadInput, match="It fires never"):
        await store.find("paper", "torn")
    await store.keep_latches("paper", {rule(1).id: Latch(fired=1)})
    assert await store.id_of("paper", "torn") == rule(2).id
    assert await store.put("paper", rule(2, action=Flatten()), name="torn")  # written anew, its firings counted on
    assert (await store.find("paper", "torn")).latch.fired == 3


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_split_rescales_rules_and_latches_once(store: TriggerStore) -> None:
    ordered = rule(1, condition=AllOf((Trailing(dollars=2.0), Above(90.0))), action=OrderTemplate("sell", 10))
    await store.put("paper", ordered, name="stop")
    await store.put("paper", rule(2, symbol="IBM"))
    await store.keep_latches("paper", {ordered.id: Latch(memory=[100.0, None], fired=1, armed=False)})
    cursor = await store.cursor("paper")
    for _ in range(2):
        assert await store.rescale("paper", [SPLIT], now=BEFORE) == []
    found = await store.find("paper", "stop")
    assert found.trigger.condition == AllOf((Trailing(dollars=1.0), Above(45.0)))
    assert found.trigger.action == OrderTemplate("sell", 20)
    assert found.latch == Latch(memory=[50.0, None], fired=1, armed=False)
    assert await store.changes("paper", cursor) == []  # who follows changes rescales what he has in memory himself
    assert await store.splits_known("paper", SPLIT.session) == {"AAPL"}
    assert await store.splits_known("other", SPLIT.session) == frozenset()
    assert (await store.all("paper"))[1].trigger == rule(2, symbol="IBM")


async def test_a_rule_written_after_the_splits_open_is_in_new_shares_already(store: TriggerStore) -> None:
    await store.put("paper", rule())
    assert await store.rescale("paper", [SPLIT]) == []  # years ago, by the database's clock
    assert (await store.find("paper", str(rule().id))).trigger == rule()


async def test_one_that_loses_its_meaning_is_removed_with_a_note_and_returned(store: TriggerStore) -> None:
    await store.put("paper", rule(1, condition=Spread("IBM", 5.0)), name="pair", note="mine")
    await store.put("paper", rule(2))
    (lost,) = await store.rescale("paper", [SPLIT], now=BEFORE)
    assert (lost.name, lost.trigger.id) == ("pair", rule(1).id)
    assert lost.note.startswith("mine · removed: spread: AAPL split")
    assert [each.trigger.condition for each in await store.all("paper")] == [Above(95.25)]
    assert [(each.id, each.trigger) for each in await store.changes("paper", 2)] == [(rule(1).id, None)]
    assert await store.rescale("paper", [SPLIT], now=BEFORE) == []


async def test_two_who_rescale_at_once_do_it_once(store: TriggerStore) -> None:
    await store.put("paper", rule())
    await asyncio.gather(*(store.rescale("paper", [SPLIT], now=BEFORE) for _ in range(4)))
    assert (await store.find("paper", str(rule().id))).trigger.condition == Above(95.25)


async def test_the_newest_close_of_a_symbol_is_known(store: TriggerStore, database: Database) -> None:
    source, first, last = wiring.source("recorded"), dt.date(2012, 1, 3), dt.date(2012, 1, 4)
    told = (await source.history("IBM", first, last)).bars
    await ingest_symbol(wiring.intake(source, database, wiring.alerts(Path(), console=False)), "IBM", first, last)
    assert await store.closes(["IBM", "NONE"]) == {"IBM": (told["close"][-1], last)}
