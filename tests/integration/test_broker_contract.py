"""What every broker must do, whichever it is: a door to a broker is right when it passes this.

`BrokerContract` is for any `ports.Broker`; a subclass opens the broker and a stage on which its market can be moved.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.bars import Bar
from quaestor.doors.faulty import FaultyMarket
from quaestor.doors.memory import broker as memory
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.errors import BrokerRejected
from quaestor.exchange import Costs
from quaestor.faults import Scripted
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.ports import Broker

D = Decimal
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP


@dataclass
class Stage:
    """A broker, an account of 100,000 dollars, and a market in `symbol` that opens at 100, ranges from 95 to 105.

    `session` takes orders; `trade` ends it; `reopen` opens the broker anew, as a process that was killed would;
    `ended`: what the broker says of an order for a day that is over.
    """

    broker: Broker
    session: dt.date
    trade: Callable[[], Awaitable[None]]
    reopen: Callable[[], Broker]
    symbol: str = "AAPL"
    ended: State = State.EXPIRED
    base: Intent = field(init=False)

    def __post_init__(self) -> None:
        self.base = Intent("main", "m", self.symbol, self.session, "cause", Side.BUY, D(100), D(100))

    def order(self, quantity: int = 100, side: Side = Side.BUY, **changes: Any) -> Intent:
        return replace(self.base, quantity=D(quantity), side=side, **changes)

    def limit(self, at: str, **changes: Any) -> Intent:
        return self.order(order_type=LIMIT, limit_price=D(at), **changes)


class BrokerContract:
    """Subclasses define the fixture `stage`."""

    async def test_an_accepted_order_is_listed_as_it_was_answered(self, stage: Stage) -> None:
        intent = stage.limit("99.00")
        update = await stage.broker.submit(intent)
        named = (update.ref_id, update.symbol, update.side, update.quantity)
        assert named == (intent.ref_id, stage.symbol, Side.BUY, D(100))
        assert (update.state, update.filled) == (State.ACKED, D(0))
        assert await stage.broker.orders() == [update]

    async def test_the_same_ref_id_is_the_same_order_however_often_it_comes(self, stage: Stage) -> None:
        intent = stage.order()
        first = await stage.broker.submit(intent)
        again = await asyncio.gather(*(stage.broker.submit(intent) for _ in range(5)))
        assert {update.broker_id for update in again} == {first.broker_id}
        assert (await stage.reopen().submit(intent)).broker_id == first.broker_id
        await stage.trade()
        assert (await stage.broker.submit(intent)).state is State.FILLED
        assert len(await stage.broker.orders()) == 1

    async def test_a_clear_no_leaves_no_order(self, stage: Stage) -> None:
        for bad in (stage.order(0), stage.order(1, symbol="NOSUCH"), stage.order(10**6), stage.order(1, Side.SELL)):
            with pytest.raises(BrokerRejected):
                await stage.broker.submit(bad)
        assert await stage.broker.orders() == []

    async def test_fills_come_with_their_order_and_pay_for_themselves(self, stage: Stage) -> None:
        before = await stage.broker.account()
        update = await stage.broker.submit(stage.order())
        await stage.trade()
        (fill,) = await stage.broker.executions()
        assert (fill.broker_id, fill.ref_id, fill.quantity) == (update.broker_id, stage.base.ref_id, D(100))
        (order,) = await stage.broker.orders()
        assert (order.state, order.filled, order.average_price) == (State.FILLED, D(100), fill.price)
        account = await stage.broker.account()
        assert account.cash == before.cash + fill.cash
        assert dict(account.positions) == {stage.symbol: D(100)}

    async def test_a_working_order_is_canceled_and_one_that_is_done_is_left_alone(self, stage: Stage) -> None:
        resting = await stage.broker.submit(stage.limit("90.00", time_in_force=TimeInForce.GTC))
        filled = await stage.broker.submit(stage.order(leg=1))
        await stage.broker.cancel(resting.broker_id)
        await stage.trade()
        await stage.broker.cancel(filled.broker_id)
        states = {update.broker_id: update.state for update in await stage.broker.orders()}
        assert states == {resting.broker_id: State.CANCELED, filled.broker_id: State.FILLED}

    async def test_an_order_for_the_day_ends_with_it_and_one_until_canceled_does_not(self, stage: Stage) -> None:
        await stage.broker.submit(stage.limit("90.00"))
        await stage.broker.submit(stage.limit("90.00", leg=1, time_in_force=TimeInForce.GTC))
        await stage.trade()
        assert [update.state for update in await stage.broker.orders()] == [stage.ended, State.ACKED]

    async def test_a_stop_trades_once_it_is_touched(self, stage: Stage) -> None:
        await stage.broker.submit(stage.order(order_type=STOP, stop_price=D(104)))
        await stage.broker.submit(stage.order(order_type=STOP, stop_price=D(106), leg=1))
        await stage.trade()
        assert [update.state for update in await stage.broker.orders()] == [State.FILLED, stage.ended]
        assert [fill.price >= 104 for fill in await stage.broker.executions()] == [True]

    async def test_listings_are_whole_and_the_same_in_a_process_that_comes_later(self, stage: Stage) -> None:
        intents = [stage.limit("90.00", quantity=1, cause_key=str(n)) for n in range(150)]
        await asyncio.gather(*(stage.broker.submit(intent) for intent in intents))
        listed = await stage.broker.orders(stage.session)
        assert {update.ref_id for update in listed} == {intent.ref_id for intent in intents}
        assert await stage.reopen().orders() == listed
        assert await stage.broker.orders(stage.session + dt.timedelta(days=1)) == []


SESSION = dt.date(2012, 1, 3)


async def paper_stage(database: Database, wrap: Callable[[PaperBroker], Broker]) -> Stage:
    row = ("AAPL", "1d", SESSION, calendar.session_close(SESSION), 100.0, 105.0, 95.0, 101.0, 10**6)
    await BarStore(database).upsert(pl.DataFrame([row], schema=bars.schema(), orient="row"), [], "test")
    paper = PaperBroker(database, "main", BarStore(database), Costs())
    await paper.fund(D(100_000))
    await paper.open_session(SESSION)

    async def trade() -> None:
        await paper.close_session(SESSION)

    return Stage(wrap(paper), SESSION, trade, lambda: wrap(PaperBroker(database, "main", BarStore(database), Costs())))


class TestPaperBroker(BrokerContract):
    @pytest.fixture
    async def stage(self, database: Database) -> Stage:
        return await paper_stage(database, lambda paper: paper)


class TestBrokerInMemory(BrokerContract):
    @pytest.fixture
    async def stage(self) -> Stage:
        prices = (D(100), D(105), D(95), D(101))
        bar = Bar("AAPL", SESSION, calendar.session_close(SESSION), *prices, 10**6, 1)
        exchange, quotes = memory.Exchange(), memory.Quotes({("AAPL", SESSION): bar})

        def broker() -> memory.Broker:
            return memory.Broker(exchange, "main", quotes, Costs())

        await broker().fund(D(100_000))
        await broker().open_session(SESSION)

        async def trade() -> None:
            await broker().close_session(SESSION)

        return Stage(broker(), SESSION, trade, broker)


class TestFaultyBrokerOverAGoodLine(BrokerContract):
    @pytest.fixture
    async def stage(self, database: Database) -> Stage:
        return await paper_stage(database, lambda paper: FaultyMarket(paper, Scripted({}), asyncio.sleep))
