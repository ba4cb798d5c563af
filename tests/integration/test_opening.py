"""The books of a real account: they begin with what it holds, and what happened before is not booked again."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from quaestor import bars, calendar, wiring
from quaestor.config import RiskSection
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.errors import BadConfig, BadInput, BrokerAmbiguous, Temporary
from quaestor.exchange import Costs
from quaestor.operations.decide import Mandate
from quaestor.operations.live.routine import Routine
from quaestor.operations.live.sessions import day_for
from quaestor.operations.market import ExchangeMarket
from quaestor.operations.opening import SinceOpening
from quaestor.operations.outbox import place
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor, open_account, recover
from quaestor.operations.trade import pending
from quaestor.orders import EXTERNAL, Execution, Intent, OrderType, OrderUpdate, Side, State, TimeInForce
from quaestor.ports import Account

D = Decimal
DAYS = calendar.sessions(dt.date(2026, 11, 16), dt.date(2026, 11, 18))
LIMITS = RiskSection()
MANDATE = Mandate("main", ("AAPL",), {}, (), LIMITS, D(1), None)


class WithCosts:
    """The same broker, which says what a share cost, as Robinhood does."""

    def __init__(self, broker: PaperBroker) -> None:
        self.exchange = broker

    def __getattr__(self, name: str) -> object:
        return getattr(self.exchange, name)

    async def account(self) -> Account:
        return replace(await self.exchange.account(), costs={"AAPL": D("80.5")})


@pytest.fixture
async def exchange(database: Database) -> PaperBroker:
    """An account with a life before the books: 100,000 dollars, and 100 AAPL bought at 100 on the first day."""
    rows = [
        (symbol, "1d", day, calendar.session_close(day), 100.0, 101.0, 99.0, 100.0, 10**6)
        for symbol in ("AAPL", "IBM")
        for day in (calendar.previous_session(DAYS[0]), *DAYS)
    ]
    store = BarStore(database)
    await store.upsert(pl.DataFrame(rows, schema=bars.schema(), orient="row"), [], "test")
    broker = PaperBroker(database, "main", store, Costs(slippage_bps=D(0)))
    await broker.fund(D(100_000))
    await broker.open_session(DAYS[0])
    await broker.place_by_hand("AAPL", Side.BUY, D(100))
    await broker.place_by_hand("IBM", Side.BUY, D(10))
    await broker.close_session(DAYS[0])
    await broker.open_session(DAYS[1])
    return broker


@pytest.fixture
def floor(database: Database, exchange: PaperBroker, tmp_path: Path) -> Floor:
    broker = SinceOpening(WithCosts(exchange), BookStore(database, "main"))  # type: ignore[arg-type]
    now = calendar.session_open(DAYS[1]) - dt.timedelta(minutes=10)
    told = wiring.alerts(tmp_path, "alerts.log", console=False)
    return replace(wiring.floor(database, "main", broker, told), market=ExchangeMarket(lambda: now))


async def begin(floor: Floor) -> None:
    async with floor.leases.hold("main", "test", 5) as lease:
        await open_account(floor, MANDATE, [DAYS[1]], lease)


async def test_they_begin_with_its_cash_and_its_shares_at_their_cost_or_the_last_price(floor: Floor) -> None:
    await begin(floor)
    assert (await floor.books.balances())["cash"] == D(89_000)
    lots = {lot.symbol: (lot.strategy, lot.quantity, lot.cost) for lot in await floor.books.lots()}
    assert lots == {"AAPL": (EXTERNAL, D(100), D(8050)), "IBM": (EXTERNAL, D(10), D(1000))}
    assert await floor.books.opened() == floor.market.now()  # type: ignore[attr-defined]


async def test_they_agree_with_the_broker_at_once_and_fills_from_before_are_nobodys_news(floor: Floor) -> None:
    await begin(floor)
    outcome = await reconcile(floor, LIMITS, "test", dt.date.min, None)
    assert outcome.differences == []
    assert (await floor.broker.orders(), await floor.broker.executions()) == ([], [])


async def test_what_comes_afterwards_is_booked_and_a_second_beginning_changes_nothing(
    floor: Floor, exchange: PaperBroker
) -> None:
    await begin(floor)
    await exchange.place_by_hand("AAPL", Side.SELL, D(40))
    await exchange.close_session(DAYS[1])
    await begin(floor)
    outcome = await reconcile(floor, LIMITS, "test", dt.date.min, None)
    assert outcome.differences == []
    assert {lot.symbol: lot.quantity for lot in await floor.books.lots()} == {"AAPL": D(60), "IBM": D(10)}


async def test_they_do_not_begin_while_an_order_works(floor: Floor, exchange: PaperBroker) -> None:
    limit = {"limit_price": D(90), "time_in_force": TimeInForce.GTC}
    order = await exchange.place_by_hand("AAPL", Side.BUY, D(1), OrderType.LIMIT, **limit)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="1 orders work at the broker \\(buy 1 AAPL\\)"):
        await begin(floor)
    assert await floor.books.balances() == {}
    await exchange.cancel(order.broker_id)
    await begin(floor)


async def test_recorded_sessions_are_not_traded_at_a_real_broker(floor: Floor) -> None:
    with pytest.raises(BadConfig, match="with a real one the live run trades"):
        await pending(floor, MANDATE, None, None)


async def test_they_do_not_begin_a_moment_after_an_order_filled(floor: Floor, exchange: PaperBroker) -> None:
    """Robinhood's clock is not ours: a fill of just now could be on either side of the opening."""
    (newest, *_) = sorted(await exchange.orders(), key=lambda order: order.updated_at, reverse=True)
    late = replace(floor, market=ExchangeMarket(lambda: newest.updated_at + dt.timedelta(seconds=90)))
    with pytest.raises(Temporary, match="filled a moment ago"):
        await begin(late)
    assert await floor.books.balances() == {}


async def test_they_do_not_begin_while_cash_and_shares_move(floor: Floor) -> None:
    class Moving(WithCosts):
        asked = 0

        async def account(self) -> Account:
            self.asked += 1
            said = await self.exchange.account()
            return replace(said, cash=said.cash - self.asked)

    moving = SinceOpening(Moving(floor.broker._broker.exchange), floor.books)  # type: ignore[attr-defined, arg-type]
    with pytest.raises(Temporary, match="moves while its books are to begin"):
        await begin(replace(floor, broker=moving))
    assert await floor.books.balances() == {}


async def test_they_do_not_begin_with_a_share_that_is_held_short(floor: Floor) -> None:
    class Short(WithCosts):
        async def account(self) -> Account:
            return replace(await self.exchange.account(), positions={"AAPL": D(-5)})

    short = SinceOpening(Short(floor.broker._broker.exchange), floor.books)  # type: ignore[attr-defined, arg-type]
    with pytest.raises(BadInput, match="AAPL: held short"):
        await begin(replace(floor, broker=short))


async def test_a_fill_that_the_brokers_clock_puts_a_moment_before_the_opening_is_told(floor: Floor) -> None:
    await begin(floor)
    opened = await floor.books.opened()
    assert opened is not None

    class Behind(WithCosts):
        async def orders(self, _: dt.date | None = None) -> list[OrderUpdate]:
            (one, *_) = await self.exchange.orders()
            return [replace(one, updated_at=opened + dt.timedelta(seconds=5 - 30))]  # its clock is half a minute behind

        async def executions(self, _: dt.date | None = None) -> list[Execution]:
            (one, *_) = await self.exchange.executions()
            return [replace(one, at=opened + dt.timedelta(seconds=5 - 30))]

    behind = SinceOpening(Behind(floor.broker._broker.exchange), floor.books)  # type: ignore[attr-defined, arg-type]
    assert (len(await behind.orders()), len(await behind.executions())) == (1, 1)


# ── what else is otherwise at a real broker ───────────────────────────────────────────────────────────────────────────

BUY = Intent("main", "m", "AAPL", DAYS[1], "cause", Side.BUY, D(1), D(100))


class Lagging(WithCosts):
    """Takes an order and says nothing; its list tells of it only a while later."""

    sent, listed = 0, False

    async def submit(self, intent: Intent) -> OrderUpdate:
        self.sent += 1
        await self.exchange.submit(intent)
        raise BrokerAmbiguous

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        return await self.exchange.orders(since) if self.listed else []


async def test_an_order_in_doubt_is_not_sent_again_before_a_list_that_lags_has_had_its_time(
    floor: Floor, exchange: PaperBroker
) -> None:
    await begin(floor)
    slow = Lagging(exchange)

    async def sleep(seconds: float) -> None:
        assert seconds >= 1
        slow.listed = True

    there = replace(floor, broker=SinceOpening(slow, floor.books), sleep=sleep)  # type: ignore[arg-type]
    async with floor.leases.hold("main", "test", 5) as lease:
        assert await place([BUY], there.books, there.broker, lease) == [State.UNKNOWN]
        assert await recover(there, LIMITS, lease) == 1
        assert [order.state for order in await there.books.open_orders()] == [State.ACKED]
    assert slow.sent == 1


async def test_an_order_for_the_day_that_outlives_it_is_taken_back_and_one_until_canceled_stays(floor: Floor) -> None:
    await begin(floor)
    limit: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": D(90)}
    stays = replace(BUY, cause_key="other", time_in_force=TimeInForce.GTC, **limit)
    async with floor.leases.hold("main", "test", 5) as lease:
        for intent in (replace(BUY, **limit), stays):
            assert await place([intent], floor.books, floor.broker, lease) == [State.ACKED]
        course: Any = SimpleNamespace(deck=SimpleNamespace(floor=floor), lease=lease)
        nobody: Any = None
        await Routine(course, nobody, nobody, nobody, None)._take_back(day_for(DAYS[1], 0))
    states = {order.ref_id: order.state for order in await floor.broker.orders()}
    assert states == {BUY.ref_id: State.CANCELED, stays.ref_id: State.ACKED}
