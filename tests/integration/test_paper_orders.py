"""The paper broker's stops, pairs, partial fills and refusals, its orders by hand, and orders that come together."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BrokerRejected, QuaestorError
from quaestor.exchange import Costs
from quaestor.matching import Quote
from quaestor.orders import Intent, OrderType, OrderUpdate, Side, State, TimeInForce
from quaestor.splits import Split

D = Decimal
LIMIT, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT
BUY, SELL, GTC = Side.BUY, Side.SELL, TimeInForce.GTC
DAYS = calendar.sessions(dt.date(2011, 11, 22), dt.date(2011, 11, 30))
HALF_DAY = 2  # the day after Thanksgiving ends at 13:00 in New York
# open, high, low, close; 1,000 shares a day. Day 5 trades one new share for three old.
PRICES = [
    (100.0, 102.0, 98.0, 101.0),
    (101.0, 106.0, 100.0, 105.0),
    (104.0, 105.0, 94.0, 95.0),
    (90.0, 93.0, 89.0, 92.0),
    (92.0, 96.0, 91.0, 95.0),
    (285.0, 290.0, 280.0, 288.0),
]
COSTS = Costs(slippage_bps=D(0), sec_fee=D(0), taf=D(0))
TENTH = replace(COSTS, participation=D("0.1"), commission=D(1))
FIRST = Intent("main", "momentum", "AAPL", DAYS[0], "AAPL|1d|2011-11-21T21:00:00Z", BUY, D(100), D(100))


def order(day: int, side: Side, quantity: str, **changes: Any) -> Intent:
    return replace(FIRST, session=DAYS[day], side=side, quantity=D(quantity), **changes)


def stop(day: int, side: Side, quantity: str, at: str, **changes: Any) -> Intent:
    return order(day, side, quantity, order_type=STOP, stop_price=D(at), **changes)


def limit(day: int, side: Side, quantity: str, at: str, **changes: Any) -> Intent:
    return order(day, side, quantity, order_type=LIMIT, limit_price=D(at), **changes)


Open = Callable[..., PaperBroker]


@pytest.fixture
async def open_broker(database: Database) -> Open:
    rows = [
        ("AAPL", "1d", day, calendar.session_close(day), *bar, 1_000) for day, bar in zip(DAYS, PRICES, strict=True)
    ]
    frame = pl.DataFrame(rows, schema=bars.schema(), orient="row")
    await BarStore(database).upsert(frame, [Split("AAPL", DAYS[5], Fraction(1, 3))], "test")
    return lambda costs=COSTS: PaperBroker(database, "main", BarStore(database), costs)


@pytest.fixture
async def broker(open_broker: Open) -> PaperBroker:
    broker = open_broker()
    await broker.fund(D(100_000))
    return broker


async def trade(broker: PaperBroker, day: int, *intents: Intent) -> None:
    await broker.open_session(DAYS[day])
    for intent in intents:
        await broker.submit(intent)
    await broker.close_session(DAYS[day])


async def told(broker: PaperBroker) -> list[tuple[str, str, str]]:
    return [(update.state.value, str(update.filled), update.reason) for update in await broker.orders()]


async def prices(broker: PaperBroker) -> list[str]:
    return [f"{fill.quantity} at {fill.price:.2f}" for fill in await broker.executions()]


async def positions(broker: PaperBroker) -> dict[str, Decimal]:
    return dict((await broker.account()).positions)


# ── stops ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_stop_waits_for_its_price_and_survives_us(open_broker: Open, broker: PaperBroker) -> None:
    await trade(broker, 0, FIRST)
    await trade(broker, 1, stop(1, SELL, "100", "97.00", time_in_force=GTC))
    assert await told(open_broker()) == [("filled", "100", ""), ("acked", "0", "")]
    (_, update) = await open_broker().orders()
    assert (update.order_type, update.stop_price, update.session) == (STOP, D(97), DAYS[1])
    await trade(open_broker(), 2)
    assert await prices(broker) == ["100 at 100.00", "100 at 97.00"]
    assert await positions(broker) == {}


async def test_a_stop_limit_that_was_touched_is_a_limit_order_then(open_broker: Open, broker: PaperBroker) -> None:
    await trade(broker, 0, FIRST)
    protect = order(2, SELL, "100", order_type=STOP_LIMIT, stop_price=D(95), limit_price=D(95), time_in_force=GTC)
    await trade(broker, 2, protect)  # touched on the way down; nothing says that 95 came again
    await trade(open_broker(), 3)  # opens far below its limit
    assert (await told(broker))[1] == ("acked", "0", "")
    await trade(open_broker(), 4)  # and comes back through 95: a stop that was never touched would not trade here
    assert (await prices(broker))[1] == "100 at 95.00"


async def test_a_day_order_expires_at_the_true_close_of_a_half_day(broker: PaperBroker) -> None:
    await trade(broker, HALF_DAY, limit(HALF_DAY, BUY, "1", "90.00"))
    (update,) = await broker.orders()
    assert update.state is State.EXPIRED
    assert update.updated_at.astimezone(calendar.NEW_YORK).time() == dt.time(13)


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_pair_promises_its_shares_once_and_one_leg_cancels_the_other(broker: PaperBroker) -> None:
    await trade(broker, 0, FIRST)
    pair = {"oco": "exit-1", "time_in_force": GTC}
    await broker.open_session(DAYS[1])
    await broker.submit(limit(1, SELL, "100", "104.50", leg=1, **pair))
    with pytest.raises(BrokerRejected, match="Not enough shares: 100 AAPL held, 100 promised"):
        await broker.submit(order(1, SELL, "1", leg=3))
    await broker.cancel((await broker.orders())[1].broker_id)
    await broker.close_session(DAYS[1])
    await broker.open_session(DAYS[2])
    await broker.submit(limit(2, SELL, "100", "104.50", leg=1, **pair))
    await broker.submit(stop(2, SELL, "100", "95.00", leg=2, **pair))
    await broker.close_session(DAYS[2])  # 104 to 105 to 94: both legs could
    assert (await told(broker))[2:] == [("canceled", "0", "the other leg of its pair traded"), ("filled", "100", "")]
    assert await prices(broker) == ["100 at 100.00", "100 at 95.00"]
    await broker.open_session(DAYS[3])
    with pytest.raises(BrokerRejected, match="The other leg of 'exit-1' has traded"):
        await broker.submit(limit(3, SELL, "100", "104.50", leg=1, **pair))


async def test_a_pair_of_purchases_promises_the_dearer_leg(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    pair = {"oco": "entry", "reference_price": D(100)}
    await broker.submit(limit(0, BUY, "900", "99.00", **pair))
    await broker.submit(stop(0, BUY, "900", "103.00", leg=1, **pair))  # 900 · 108.15 at its collar
    await broker.submit(limit(0, BUY, "26", "102.50", leg=2))
    with pytest.raises(BrokerRejected, match=r"Not enough buying power: 1\.00 needed, 0\.00 left"):
        await broker.submit(limit(0, BUY, "1", "1.00", leg=3))


async def test_legs_that_are_no_pair_are_refused(broker: PaperBroker) -> None:
    await trade(broker, 0, FIRST)
    await broker.open_session(DAYS[1])
    await broker.submit(limit(1, SELL, "100", "110.00", oco="exit"))
    for other, said in {
        limit(1, SELL, "100", "111.00", oco="exit", leg=1): "has a limit order that works already",
        stop(1, SELL, "100", "110.00", oco="exit", leg=1): "the wrong way round for a sell",
        stop(1, BUY, "1", "120.00", oco="exit", leg=1): "a pair is of one symbol and side",
        order(1, SELL, "1", oco="exit", leg=1): "a market order has no other leg",
    }.items():
        with pytest.raises(BrokerRejected, match=said):
            await broker.submit(other)


# ── partial fills ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_large_order_fills_over_days_and_pays_its_commission_once(
    open_broker: Open, broker: PaperBroker
) -> None:
    broker = open_broker(TENTH)
    await trade(broker, 0, order(0, BUY, "250", time_in_force=GTC))
    assert await told(broker) == [("partially_filled", "100", "")]
    await trade(open_broker(TENTH), 1)
    await trade(broker, HALF_DAY)
    (update,) = await broker.orders()
    assert (update.state, update.filled) == (State.FILLED, D(250))
    assert await prices(broker) == ["100 at 100.00", "100 at 101.00", "50 at 104.00"]
    assert update.average_price == D("101.2")
    assert [fill.fee for fill in await broker.executions()] == [D(1), D(0), D(0)]
    assert (await broker.account()).cash == D(100_000) - D(25_300) - 1


async def test_a_day_order_that_filled_in_part_expires_with_what_it_has(open_broker: Open, broker: PaperBroker) -> None:
    broker = open_broker(TENTH)
    await trade(broker, 0, order(0, BUY, "250"))
    assert await told(broker) == [("expired", "100", "the session ended before the rest could trade")]
    assert await positions(broker) == {"AAPL": D(100)}
    await broker.open_session(DAYS[1])
    await broker.submit(order(1, BUY, "850", leg=1))  # 850 · 105 + 1: what expired is free again


async def test_the_rest_of_an_order_is_canceled_and_its_fills_stay(open_broker: Open, broker: PaperBroker) -> None:
    broker = open_broker(TENTH)
    await trade(broker, 0, order(0, BUY, "250", time_in_force=GTC))
    (update,) = await broker.orders()
    for _ in range(2):
        await broker.cancel(update.broker_id)
        assert await told(broker) == [("canceled", "100", "")]
    with pytest.raises(BrokerRejected, match="The broker knows no order 'the last one'"):
        await broker.cancel("the last one")


async def test_a_split_rescales_what_is_left_and_its_fraction_can_be_sold(
    open_broker: Open, broker: PaperBroker
) -> None:
    broker = open_broker(TENTH)
    await trade(broker, 3, order(3, BUY, "220", time_in_force=GTC))
    await broker.open_session(DAYS[5])
    (update,) = await broker.orders()
    assert (update.filled, update.quantity) == (D(100), D(140)), "120 left are 40 of the new ones"
    assert await positions(broker) == {"AAPL": D("33.333333")}
    with pytest.raises(BrokerRejected, match=r"Parts of a share \(33\.333333\) are taken in market orders"):
        await broker.submit(limit(5, SELL, "33.333333", "280.00"))
    await broker.submit(order(5, SELL, "33.333333", leg=1))
    await broker.close_session(DAYS[5])
    assert await positions(broker) == {"AAPL": D(40)}


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────────

REFUSED = {
    "Unknown symbol 'ZZZZ'": order(0, BUY, "1", symbol="ZZZZ"),
    "Unknown symbol 'aapl; drop'": order(0, BUY, "1", symbol="aapl; drop"),
    "Quantity must be positive, not 0": order(0, BUY, "0"),
    "Quantity must be positive, not -1": order(0, BUY, "-1"),
    "Quantity must be positive, not NaN": order(0, BUY, "NaN"),
    "Quantity must be positive, not Infinity": order(0, BUY, "Infinity"),
    "more than the 100,000,000 shares": order(0, BUY, "1E+12"),
    "more than six decimals": order(0, BUY, "0.0000001"),
    r"Parts of a share \(0\.5\) are taken in market orders that are good for the day": limit(0, BUY, "0.5", "99.00"),
    r"Parts of a share \(1\.5\)": order(0, BUY, "1.5", time_in_force=GTC),
    "The limit price 99.001 is off the tick of 0.01": limit(0, BUY, "1", "99.001"),
    "The limit price 0.12345 is off the tick of 0.0001": limit(0, BUY, "1", "0.12345"),
    "The limit price NaN is no price": limit(0, BUY, "1", "NaN"),
    "The stop price 0 is no price": stop(0, BUY, "1", "0"),
    "A limit order needs a limit price": order(0, BUY, "1", order_type=LIMIT),
    "A stop_limit order needs a stop price": order(0, BUY, "1", order_type=STOP_LIMIT, limit_price=D(1)),
    "A market order takes no limit price": order(0, BUY, "1", limit_price=D(1)),
    "The reference price -1 is no price": order(0, BUY, "1", reference_price=D(-1)),
    "an order for session 2011-11-23 is not accepted": order(1, BUY, "1"),
    "Not enough shares: 0 AAPL held": stop(0, SELL, "1", "95.00"),
    r"Not enough buying power: 108150\.00 needed, 100000\.00 left": stop(0, BUY, "1000", "103.00"),
}


async def test_what_cannot_be_is_refused_and_leaves_no_trace(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    for said, intent in REFUSED.items():
        with pytest.raises(BrokerRejected, match=said):
            await broker.submit(intent)
    assert await broker.orders() == []


async def test_parts_of_a_share_are_taken_at_the_market_for_the_day(broker: PaperBroker) -> None:
    await trade(broker, 0, order(0, BUY, "0.000001"), order(0, BUY, "1.5", leg=1))
    assert await positions(broker) == {"AAPL": D("1.500001")}


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_by_hand_has_no_ref_id_and_each_is_another(broker: PaperBroker) -> None:
    with pytest.raises(BrokerRejected, match="The market has no session yet"):
        await broker.place_by_hand("AAPL", BUY, D(1))
    await trade(broker, 0)
    await broker.open_session(DAYS[1])
    one = await broker.place_by_hand("AAPL", BUY, D(10))
    two = await broker.place_by_hand("AAPL", BUY, D(10), LIMIT, limit_price=D(50), time_in_force=GTC)
    with pytest.raises(BrokerRejected, match="Not enough shares"):
        await broker.place_by_hand("AAPL", SELL, D(1))
    await broker.close_session(DAYS[1])
    assert one.broker_id != two.broker_id
    listed = {update.broker_id: (update.ref_id, update.state) for update in await broker.orders()}
    assert listed == {one.broker_id: (None, State.FILLED), two.broker_id: (None, State.ACKED)}
    assert [(fill.ref_id, fill.price) for fill in await broker.executions()] == [(None, D(101))]


# ── together ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_orders_that_come_together_are_judged_as_they_came(database: Database, broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    several = [order(0, BUY, "100", cause_key=str(n)) for n in range(12)]  # 10,500 dollars each at the collar
    twice = [intent for intent in several for _ in range(2)]
    answers = await asyncio.gather(*(broker.submit(intent) for intent in twice), return_exceptions=True)
    taken = [answer for answer in answers if isinstance(answer, OrderUpdate)]
    refused = [answer for answer in answers if isinstance(answer, BrokerRejected)]
    assert [update.ref_id for update in taken] == [intent.ref_id for intent in twice[:18]], "nine can be paid"
    assert len(refused) == 6
    assert [update.ref_id for update in await broker.orders()] == [intent.ref_id for intent in several[:9]]
    assert await database.fetch(b"select reserved from paper.account") == [{"reserved": D(94_500)}]


async def test_a_draft_is_nothing_until_it_is_submitted(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    bad = order(0, BUY, "NaN", cause_key="bad")
    broker.draft([FIRST, bad])
    assert await broker.orders() == []
    fewer = replace(FIRST, quantity=D(5))
    assert fewer.ref_id == FIRST.ref_id
    assert (await broker.submit(fewer)).quantity == D(5), "of the same name, but not what was drafted"
    assert (await broker.submit(FIRST)).quantity == D(5), "the first one stands"
    with pytest.raises(BrokerRejected, match="Quantity must be positive"):
        await broker.submit(bad)
    assert [update.quantity for update in await broker.orders()] == [D(5)]


async def test_what_comes_together_is_committed_together_before_it_is_answered(
    database_uri: str, database: Database, open_broker: Open, broker: PaperBroker
) -> None:
    await broker.open_session(DAYS[0])
    async with Database(database_uri) as other:
        seen = PaperBroker(other, "main", BarStore(other), COSTS)

        async def place(n: int) -> None:
            update = await broker.submit(order(0, BUY, "1", cause_key=str(n)))
            assert update.broker_id in {each.broker_id for each in await seen.orders()}

        await asyncio.gather(*(place(n) for n in range(40)))
    commits = await database.fetch(b'select count(distinct xmin::text) as n from paper."order"')
    assert commits[0]["n"] < 10


async def test_two_doors_take_the_same_order_once(open_broker: Open, broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    doors = [open_broker() for _ in range(4)]
    answers = await asyncio.gather(*(doors[n % 4].submit(FIRST) for n in range(20)))
    assert len({answer.broker_id for answer in answers}) == len(await broker.orders()) == 1


async def test_an_order_that_another_door_is_just_taking_is_taken_once(database: Database, broker: PaperBroker) -> None:
    """It waits for the account's row, and its own look is older than the other's order."""
    await broker.open_session(DAYS[0])
    await broker._learn([FIRST])
    told = broker._asked(FIRST, FIRST.ref_id).told | {"alias": "main", "at": broker._now(DAYS[0]).isoformat()}
    waits = b"select 1 as n from pg_stat_activity where wait_event_type = 'Lock' and query like '%paper.account%'"
    async with database.transaction() as other:
        await other.execute(queries("paper")["admit_purchase"], told)
        asked = asyncio.create_task(broker.submit(FIRST))
        while not await database.fetch(waits):
            assert not asked.done()
            await asyncio.sleep(0.02)
    answer = await asked
    assert [each.broker_id for each in await broker.orders()] == [answer.broker_id]
    assert (answer.ref_id, answer.state) == (FIRST.ref_id, State.ACKED)


async def test_one_who_stops_waiting_takes_nothing_back_and_disturbs_nobody(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    tasks = [asyncio.create_task(broker.submit(order(0, BUY, "1", cause_key=str(n)))) for n in range(6)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, OrderUpdate) for answer in answers] == [True, True, False, True, True, True]
    assert len(await broker.orders()) == 6


async def test_where_the_database_is_gone_each_of_those_who_wait_is_told(
    database_uri: str, broker: PaperBroker
) -> None:
    async with Database(database_uri) as door:
        lost = PaperBroker(door, "main", BarStore(door), COSTS)
        await broker.open_session(DAYS[0])
        await lost.submit(FIRST)
    tasks = (lost.submit(order(0, BUY, "1", cause_key=str(uuid.uuid4()))) for _ in range(3))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(answer, QuaestorError) for answer in answers] == [True] * 3


# ── a live market ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_live_market_fills_by_its_quotes_once_an_order_has_arrived(
    database: Database, broker: PaperBroker
) -> None:
    noon = calendar.session_open(DAYS[0]) + dt.timedelta(hours=2)
    latency = dt.timedelta(milliseconds=50)
    await broker.open_session(DAYS[0])
    broker = PaperBroker(database, "main", BarStore(database), COSTS, clock=lambda: noon, latency=latency)
    bought = await broker.submit(limit(0, BUY, "100", "100.50"))
    assert await broker.on_quote("AAPL", Quote(bid=D("100.00"), ask=D("100.20")), noon) == 0, "it is still on its way"
    late = noon + latency
    assert await broker.on_quote("AAPL", Quote(bid=D("100.40"), ask=D("100.60")), late) == 0, "too dear"
    assert await broker.on_quote("AAPL", Quote(bid=D("100.00"), ask=D("100.20"), size=D(40)), late) == 1
    assert await broker.on_quote("AAPL", Quote(bid=D("100.10"), ask=D("100.30")), late + latency) == 1
    fills = await broker.executions()
    assert [(f.quantity, f.price, f.at) for f in fills] == [
        (D(40), D("100.20"), late),
        (D(60), D("100.30"), late + latency),
    ]
    (update,) = await broker.orders()
    assert (update.broker_id, update.state, update.average_price) == (bought.broker_id, State.FILLED, D("100.26"))
    resting = await broker.submit(limit(0, BUY, "1", "90.00", leg=1))
    assert await broker.on_quote("AAPL", Quote(bid=D("95.00"), ask=D("95.10")), late + latency * 9) == 0
    await broker.close_session(DAYS[0])
    states = {each.broker_id: each.state for each in await broker.orders()}
    assert states[resting.broker_id] is State.EXPIRED, "a day order ends with its session"
    assert await broker.on_quote("AAPL", Quote(bid=D(1), ask=D(2)), late + dt.timedelta(hours=9)) == 0, "it is closed"
