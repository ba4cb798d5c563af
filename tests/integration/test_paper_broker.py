"""The paper broker over stored prices: accepted once, paid for, filled by hand-worked prices, and restarted at will."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.errors import BadInput, BrokerRejected
from quaestor.exchange import Costs
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.splits import Split

D = Decimal
ROOT = Path(__file__).parents[2]
DAYS = calendar.sessions(dt.date(2012, 1, 3), dt.date(2012, 1, 11))
COSTS = Costs(slippage_bps=D(0))
# open, high, low, close of AAPL: day 3 trades two new shares for one old, day 4 gaps up 20 %, IBM rests on day 2
AAPL = [
    (100.0, 102.0, 98.0, 101.0),
    (104.0, 105.0, 103.0, 104.0),
    (110.0, 111.0, 104.0, 106.0),
    (53.0, 54.0, 52.0, 53.5),
    (64.0, 65.0, 63.0, 64.5),
    (60.0, 61.0, 59.0, 60.0),
    (60.0, 61.0, 59.0, 60.0),
]
BUY = Intent(
    account="main",
    strategy="momentum",
    symbol="AAPL",
    session=DAYS[0],
    cause_key="AAPL|1d|2011-12-30T21:00:00Z",
    side=Side.BUY,
    quantity=D(100),
    reference_price=D("99.00"),
)


def frame(symbol: str, prices: list[tuple[float, ...] | None]) -> pl.DataFrame:
    rows = [
        (symbol, "1d", day, calendar.session_close(day), *bar, 1_000)
        for day, bar in zip(DAYS, prices, strict=True)
        if bar is not None
    ]
    return pl.DataFrame(rows, schema=bars.schema(), orient="row")


def order(day: int = 0, **changes: object) -> Intent:
    return replace(BUY, session=DAYS[day], **changes)  # type: ignore[arg-type]


def sale(day: int, quantity: int, **changes: object) -> Intent:
    return order(day, side=Side.SELL, quantity=D(quantity), reduces=True, **changes)


@pytest.fixture
async def open_broker(database: Database) -> Callable[[], PaperBroker]:
    """Opens the broker anew: nothing is kept in memory."""
    store = BarStore(database)
    ibm = [None if n == 2 else bar for n, bar in enumerate(AAPL)]
    prices = pl.concat([frame("AAPL", list(AAPL)), frame("IBM", ibm)])
    await store.upsert(prices, [Split("AAPL", DAYS[3], Fraction(2))], "test")
    return lambda: PaperBroker(database, "main", BarStore(database), COSTS)


@pytest.fixture
async def broker(open_broker: Callable[[], PaperBroker]) -> PaperBroker:
    broker = open_broker()
    await broker.fund(D(100_000))
    return broker


async def trade(broker: PaperBroker, day: int, *intents: Intent) -> None:
    await broker.open_session(DAYS[day])
    for intent in intents:
        await broker.submit(intent)
    await broker.close_session(DAYS[day])


async def states(broker: PaperBroker) -> list[tuple[State, Decimal]]:
    return [(update.state, update.filled) for update in await broker.orders()]


async def holds(broker: PaperBroker) -> tuple[Decimal, dict[str, Decimal]]:
    account = await broker.account()
    return account.cash, dict(account.positions)


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_purchase_fills_at_the_open_and_is_paid(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    update = await broker.submit(BUY)
    assert (update.state, update.ref_id, update.quantity, update.filled) == (State.ACKED, BUY.ref_id, D(100), D(0))
    assert await holds(broker) == (D(100_000), {}), "nothing moves before the open"
    await broker.close_session(DAYS[0])
    (update,) = await broker.orders()
    assert (update.state, update.filled, update.average_price) == (State.FILLED, D(100), D(100))
    (fill,) = await broker.executions()
    assert (fill.quantity, fill.price, fill.fee, fill.session) == (D(100), D(100), D(0), DAYS[0])
    assert (fill.ref_id, fill.broker_id, fill.at) == (BUY.ref_id, update.broker_id, calendar.session_open(DAYS[0]))
    assert await holds(broker) == (D(90_000), {"AAPL": D(100)})


async def test_a_sale_is_paid_out_less_its_fees(broker: PaperBroker) -> None:
    await trade(broker, 0, BUY)
    await trade(broker, 1, sale(1, 40))
    assert await holds(broker) == (D(90_000) + D(4_160) - D("0.13"), {"AAPL": D(60)})  # 0.115648 up, 0.00664 up


async def test_an_order_that_comes_again_is_the_order_that_is_there(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    first = await broker.submit(BUY)
    assert await broker.submit(BUY) == first
    assert await broker.submit(replace(BUY, quantity=D(999))) == first, "whatever else it says"
    await broker.close_session(DAYS[0])
    late = await broker.submit(BUY)
    assert (late.broker_id, late.state) == (first.broker_id, State.FILLED)
    assert len(await broker.orders()) == len(await broker.executions()) == 1


async def test_an_order_that_comes_ten_times_at_once_is_one_order(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    answers = await asyncio.gather(*(broker.submit(BUY) for _ in range(10)))
    assert len({answer.broker_id for answer in answers}) == len(await broker.orders()) == 1


REJECTED = {
    "too early": (order(1), r"The market stands at 2012-01-03 \(open\); an order for session 2012-01-04"),
    "nothing": (order(quantity=D(0)), "Quantity must be positive, not 0"),
    "what is not held": (sale(0, 1), "Not enough shares: 0 AAPL held, 0 promised"),
    "more than the cash at the collar": (
        order(quantity=D(963)),
        r"Not enough buying power: 100103\.85 needed, 100000\.00 left",
    ),
}


async def test_an_order_that_cannot_be_is_rejected_and_leaves_no_trace(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    for intent, message in REJECTED.values():
        with pytest.raises(BrokerRejected, match=message):
            await broker.submit(intent)
    assert await broker.orders() == []


async def test_an_order_after_the_close_is_rejected(broker: PaperBroker) -> None:
    await trade(broker, 0)
    with pytest.raises(BrokerRejected, match=r"The market stands at 2012-01-03 \(closed\)"):
        await broker.submit(BUY)


async def test_a_halted_symbol_takes_no_orders_and_does_not_trade_until_the_halt_ends(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    await broker.submit(replace(BUY, time_in_force=TimeInForce.GTC))
    await broker.halt("AAPL", "news pending")
    assert await broker.halted() == {"AAPL"}
    with pytest.raises(BrokerRejected, match="AAPL is halted: news pending"):
        await broker.submit(replace(BUY, cause_key="another"))
    await broker.close_session(DAYS[0])
    assert await broker.executions() == [], "nothing trades while it is halted"
    await broker.end_halt("AAPL")
    assert await broker.halted() == frozenset()
    await broker.open_session(DAYS[1])
    await broker.close_session(DAYS[1])
    assert [execution.price for execution in await broker.executions()] == [D("103.95")], "at the collar, then"


async def test_cash_is_promised_to_the_orders_that_came_first(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    await broker.submit(order(quantity=D(500)))  # 500 · 103.95 at the collar
    with pytest.raises(BrokerRejected, match=r"Not enough buying power: 48128\.85 needed, 48025\.00 left"):
        await broker.submit(order(quantity=D(463), leg=1))
    await broker.submit(order(quantity=D(462), leg=1))


async def test_shares_are_promised_to_the_sales_that_came_first(broker: PaperBroker) -> None:
    await trade(broker, 0, BUY)
    await broker.open_session(DAYS[1])
    await broker.submit(sale(1, 60))
    with pytest.raises(BrokerRejected, match="Not enough shares: 100 AAPL held, 60 promised"):
        await broker.submit(sale(1, 41, leg=1))
    await broker.submit(sale(1, 40, leg=1))
    await broker.close_session(DAYS[1])
    assert (await broker.account()).positions == {}


async def test_a_limit_order_promises_its_limit_and_fills_no_worse(broker: PaperBroker) -> None:
    limited = order(order_type=OrderType.LIMIT, limit_price=D(99), quantity=D(1000))
    await trade(broker, 0, limited)
    assert await holds(broker) == (D(1_000), {"AAPL": D(1000)})


async def test_a_day_order_that_finds_no_price_expires_at_the_close(broker: PaperBroker) -> None:
    low = order(2, order_type=OrderType.LIMIT, limit_price=D(98))
    await trade(broker, 2, low, order(2, symbol="IBM"))
    reasons = [(update.state, update.reason) for update in await broker.orders()]
    assert reasons == [(State.EXPIRED, "not marketable in the session"), (State.EXPIRED, "no trade in the session")]
    assert await holds(broker) == (D(100_000), {})


async def test_an_order_until_canceled_waits_for_its_price(broker: PaperBroker) -> None:
    patient = order(order_type=OrderType.LIMIT, limit_price=D(105), time_in_force=TimeInForce.GTC, symbol="IBM")
    await trade(broker, 0, replace(patient, limit_price=D(98)))
    for day in (1, 2):
        await trade(broker, day)
        assert await states(broker) == [(State.ACKED, D(0))]
    await trade(broker, 3)
    assert await states(broker) == [(State.FILLED, D(100))]
    assert await holds(broker) == (D(94_700), {"IBM": D(100)})


async def test_a_canceled_order_does_not_fill_and_a_filled_one_is_not_canceled(broker: PaperBroker) -> None:
    await broker.open_session(DAYS[0])
    one, two = await broker.submit(BUY), await broker.submit(order(leg=1))
    await broker.cancel(one.broker_id)
    await broker.close_session(DAYS[0])
    await broker.cancel(two.broker_id)
    await broker.cancel(str(uuid.uuid4()))
    assert await states(broker) == [(State.CANCELED, D(0)), (State.FILLED, D(100))]
    assert await holds(broker) == (D(90_000), {"AAPL": D(100)})


# ── the clock ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_clock_goes_forward_only_and_moves_are_idempotent(broker: PaperBroker) -> None:
    assert await broker.clock() == (None, "closed")
    await broker.open_session(DAYS[1])
    for _ in range(2):
        await broker.open_session(DAYS[1])
        await broker.open_session(DAYS[0])
        await broker.close_session(DAYS[0])
        assert await broker.clock() == (DAYS[1], "open")
    await broker.submit(order(1))
    for _ in range(2):
        await broker.close_session(DAYS[1])
        await broker.open_session(DAYS[1])
        assert await broker.clock() == (DAYS[1], "closed")
    assert len(await broker.executions()) == 1


async def test_a_session_is_opened_after_the_last_is_closed_and_closed_after_it_is_opened(broker: PaperBroker) -> None:
    with pytest.raises(BadInput, match="Session 2012-01-03 is not open"):
        await broker.close_session(DAYS[0])
    await broker.open_session(DAYS[0])
    with pytest.raises(BadInput, match="Session 2012-01-03 is still open; close it before opening 2012-01-04"):
        await broker.open_session(DAYS[1])


async def test_an_account_is_opened_once_with_its_cash(open_broker: Callable[[], PaperBroker]) -> None:
    broker = open_broker()
    with pytest.raises(BadInput, match="The paper broker has no account 'main' yet"):
        await broker.account()
    with pytest.raises(BadInput, match="has no account 'main' yet"):
        await broker.open_session(DAYS[0])
    await broker.fund(D(500))
    await broker.fund(D(10**6))
    assert await holds(broker) == (D(500), {})


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_split_rescales_positions_and_working_orders_once(broker: PaperBroker) -> None:
    patient = order(1, order_type=OrderType.LIMIT, limit_price=D(90), time_in_force=TimeInForce.GTC, leg=1)
    await trade(broker, 0, BUY)
    await trade(broker, 1, patient)
    await trade(broker, 2)
    for _ in range(2):
        await broker.open_session(DAYS[3])
        assert await holds(broker) == (D(90_000), {"AAPL": D(200)})
        working = (await broker.orders())[-1]
        assert (working.state, working.quantity) == (State.ACKED, D(200))
    await broker.close_session(DAYS[3])  # low 52: a limit of 45 is not reached
    assert (await broker.orders())[-1].state is State.ACKED
    await trade(broker, 4, sale(4, 200))
    assert (await broker.account()).positions == {}


async def test_a_split_in_a_session_that_was_skipped_is_applied_all_the_same(broker: PaperBroker) -> None:
    await trade(broker, 0, BUY)
    await trade(broker, 5)
    assert await holds(broker) == (D(90_000), {"AAPL": D(200)})
    await trade(broker, 6)
    assert await holds(broker) == (D(90_000), {"AAPL": D(200)})


async def test_a_split_before_the_account_was_opened_is_none_of_its_business(broker: PaperBroker) -> None:
    await trade(broker, 4, order(4, reference_price=D(64)))
    assert (await broker.account()).positions == {"AAPL": D(100)}


async def test_a_purchase_waits_at_its_collar_for_a_price_that_gapped_away(broker: PaperBroker) -> None:
    await trade(broker, 2, order(2, reference_price=D(104)))  # open 110, collar 109.20, low 104
    (fill,) = await broker.executions()
    assert fill.price == D("109.20")
    await trade(broker, 4, order(4, reference_price=D("53.50")))  # open 64, collar 56.17, low 63
    assert (await broker.orders())[-1].state is State.EXPIRED


async def test_a_sale_gets_out_however_low_the_market_opens(broker: PaperBroker) -> None:
    await trade(broker, 0, BUY)
    await trade(broker, 3)
    await trade(broker, 5, sale(5, 200, reference_price=D(90)))  # a third below the reference
    assert (await broker.executions())[-1].price == D(60)


# ── restarts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_broker_that_is_opened_anew_at_every_step_goes_on_where_it_was(
    open_broker: Callable[[], PaperBroker], broker: PaperBroker
) -> None:
    await open_broker().open_session(DAYS[0])
    await open_broker().submit(BUY)
    await open_broker().close_session(DAYS[0])
    await open_broker().open_session(DAYS[1])
    await open_broker().submit(sale(1, 100))
    assert await states(open_broker()) == [(State.FILLED, D(100)), (State.ACKED, D(0))]
    await open_broker().close_session(DAYS[1])
    assert await holds(open_broker()) == (D(100_400) - D("0.31"), {})  # 0.28912 up, 0.0166 up


async def test_a_process_that_is_killed_between_open_and_close_leaves_its_order_to_the_next(
    database_uri: str, broker: PaperBroker
) -> None:
    program = f"""
import asyncio, datetime as dt, os
from decimal import Decimal
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.exchange import Costs
from quaestor.orders import Intent, Side

async def main():
    async with Database({database_uri!r}) as database:
        broker = PaperBroker(database, "main", BarStore(database), Costs(slippage_bps=Decimal(0)))
        day = dt.date(2012, 1, 3)
        await broker.open_session(day)
        await broker.submit(Intent("main", "momentum", "AAPL", day, {BUY.cause_key!r}, Side.BUY, Decimal(100),
                                   Decimal("99.00")))
        os.kill(os.getpid(), 9)

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == -9
    (update,) = await broker.orders()
    assert (update.ref_id, update.state) == (BUY.ref_id, State.ACKED)
    assert await broker.submit(BUY) == update
    await broker.close_session(DAYS[0])
    assert await holds(broker) == (D(90_000), {"AAPL": D(100)})


async def test_listings_begin_where_they_are_asked_to(broker: PaperBroker) -> None:
    await trade(broker, 0, BUY)
    await trade(broker, 1, order(1, quantity=D(1)))
    assert [update.quantity for update in await broker.orders(DAYS[1])] == [D(1)]
    assert [fill.session for fill in await broker.executions(DAYS[1])] == [DAYS[1]]
    assert len(await broker.orders()) == 2


async def test_accounts_do_not_see_each_other(database: Database, broker: PaperBroker) -> None:
    await trade(broker, 0, BUY)
    other = PaperBroker(database, "other", BarStore(database), COSTS)
    await other.fund(D(100_000))
    await trade(other, 0, replace(BUY, account="other", quantity=D(1)))
    assert await holds(other) == (D(99_900), {"AAPL": D(1)})
    assert (await holds(broker))[1] == {"AAPL": D(100)}
    assert len(await other.orders()) == 1
