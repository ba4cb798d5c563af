"""The books of a real account: they begin with what it holds, and what happened before is not booked again."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from quaestor import bars, calendar, wiring
from quaestor.config import RiskSection
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.errors import BadConfig, BadInput
from quaestor.exchange import Costs
from quaestor.operations.decide import Mandate
from quaestor.operations.market import ExchangeMarket
from quaestor.operations.opening import SinceOpening
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor, open_account
from quaestor.operations.trade import pending
from quaestor.orders import EXTERNAL, OrderType, Side, TimeInForce
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
