"""A recorded market to copy, and a desk that trades in a copy of it.

The oracle of every disturbance (kills, lost answers, lost leases, two at once) is the same stretch, undisturbed: the
same orders at the broker, the same fills, the same equity of each session.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import psycopg
import pytest

from quaestor import wiring
from quaestor.config import Config, StrategiesSection, StrategyUse
from quaestor.doors.postgres.control import ControlStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.recorded import RecordedSource
from quaestor.doors.switch import Switch
from quaestor.exchange import Costs
from quaestor.operations.generate import generate_signals
from quaestor.operations.ingest import ingest_symbol
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor
from quaestor.operations.trade import Traded, pending, trade
from quaestor.ports import Reconciliation, Run

CONFIG = Config()
CASH = CONFIG.account.cash
SYMBOLS = CONFIG.market.symbols
END = dt.date(2012, 3, 30)
FIRST, LAST = dt.date(2005, 2, 1), dt.date(2005, 3, 15)  # 30 sessions, 23 orders, a split of what two strategies hold
HOLD = '''"""Holds what it is given, for ever."""
from dataclasses import dataclass
import polars as pl
from quaestor.strategies.base import Strategy

@dataclass(frozen=True)
class Hold(Strategy):
    name = "hold"
    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        return bars.select("symbol", "session", target=0.9 / pl.len().over("session"))
'''
STATE = {
    "broker": """select ref_id::text, symbol, side, quantity, state, filled, average_price, session, order_type
                 from paper."order" order by session, ref_id""",
    "orders": """select ref_id::text, strategy, symbol, side, i.quantity, reference_price, state, filled, average_price
                 from intent i join order_state s using (ref_id) order by session, ref_id""",
    "fills": """select execution_id, ref_id::text, strategy, symbol, side, quantity, price, fee, session
                from fill order by execution_id""",
    "equity": "select session, cash, market_value, equity, realized, unrealized, fees from equity order by session",
    "refusals": "select session, strategy, symbol, side, rule, limit_value, observed from refusal order by 1, 2, 3, 4",
}
State = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Prices:
    """Closes by symbol and session, and splits, from the source itself."""

    closes: dict[tuple[str, dt.date], Fraction]
    splits: list[Any]

    @classmethod
    def recorded(cls) -> Prices:
        source, closes, splits = RecordedSource(), {}, []
        for symbol in SYMBOLS:
            history = asyncio.run(source.history(symbol, *asyncio.run(source.span(symbol))))
            for day, close in history.bars.select("session", "close").iter_rows():
                closes[symbol, day] = Fraction(repr(close))
            splits += history.splits
        return cls(closes, splits)

    def counted(self, fills: list[tuple[Any, ...]], days: list[dt.date]) -> dict[dt.date, tuple[Fraction, Fraction]]:
        """Cash and equity of each session, from nothing but closes and fills.

        A fill is symbol, side, quantity, price, fee, session.
        """
        cash, by_day, shares = Fraction(CASH), {}, dict.fromkeys(SYMBOLS, Fraction(0))
        for day in days:
            for split in (split for split in self.splits if split.session == day):
                shares[split.symbol] *= split.ratio
            for symbol, side, quantity, price, fee, _ in (fill for fill in fills if fill[5] == day):
                bought = Fraction(quantity) if side == "buy" else -Fraction(quantity)
                shares[symbol] += bought
                cash -= bought * Fraction(price) + Fraction(fee)
            held = [(symbol, count) for symbol, count in shares.items() if count]
            by_day[day] = cash, cash + sum(count * self.closes[symbol, day] for symbol, count in held)
        return by_day


@dataclass(frozen=True)
class Market:
    """A database with bars, splits and signals, and copies of it."""

    server_uri: str
    default: wiring.Plan
    hold: wiring.Plan
    prices: Prices

    def copy(self) -> str:
        name = f"m{uuid.uuid4().hex[:12]}"
        _execute(self.server_uri, f'create database "{name}" template template_market')
        return self.uri(name)

    def drop(self, uri: str) -> None:
        name = psycopg.conninfo.conninfo_to_dict(uri)["dbname"]
        with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            _execute(self.server_uri, f'drop database "{name}" with (force)')  # else it goes with the server

    def uri(self, name: str) -> str:
        return self.server_uri.replace("/quaestor?", f"/{name}?")

    async def fill(self) -> None:
        async with Database(self.uri("template_market")) as database:
            intake = wiring.intake(RecordedSource(), database, wiring.alerts(Path(), console=False))
            bars, signals = wiring.bar_store(database), wiring.signal_store(database)
            for symbol in SYMBOLS:
                await ingest_symbol(intake, symbol, None, END)
            for built in (*self.default.built, *self.hold.built):
                await generate_signals(built, bars, signals, SYMBOLS, None, END, Run())


@dataclass
class Desk:
    """A copy of the market, with an account in it."""

    uri: str
    database: Database
    plan: wiring.Plan
    prices: Prices
    folder: Path

    def floor(self, **doors: Any) -> Floor:
        """All doors, opened anew; some of them may be others."""
        broker = wiring.paper_broker(self.database, "paper", Costs())
        told = wiring.alerts(self.folder, "alerts.log", console=False)
        control = Switch(ControlStore(self.database), self.folder)  # its file is not the machine's own
        return replace(wiring.floor(self.database, "paper", broker, told), **{"control": control, **doors})

    async def trade(self, start: dt.date, end: dt.date, holder: str = "me", **doors: Any) -> Traded:
        floor = self.floor(**doors)
        days = await pending(floor, self.plan.mandate, start, end)
        return await trade(floor, self.plan.mandate, days, Run("flow-run", "commit", self.plan.digest), holder)

    async def reconcile(self) -> Reconciliation:
        return await reconcile(self.floor(), self.plan.mandate.limits, "reconciler", dt.date.min, None)

    async def latches(self) -> list[str]:
        return [latch.name for latch in await self.floor().control.latches("paper")]

    def alerts(self) -> list[dict[str, Any]]:
        file = self.folder / "alerts.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.uri) as connection:
            return connection.execute(query.encode()).fetchall()

    def execute(self, statement: str, *parameters: Any) -> None:
        _execute(self.uri, statement, *parameters)

    def state(self) -> State:
        """Everything that a disturbance must not change."""
        return {name: self.fetch(query) for name, query in STATE.items()}

    def check_books(self) -> list[dt.date]:
        """The equity of every session is what fills and closes make of it, and the broker agrees; the sessions."""
        kept = {row[0]: row[1:] for row in self.fetch("select session, cash, equity from equity order by session")}
        fills = self.fetch("select symbol, side, quantity, price, fee, session from fill order by session, side desc")
        days = list(kept)
        for day, (cash, equity) in self.prices.counted(fills, days).items():
            assert (Fraction(kept[day][0]), Fraction(kept[day][1])) == (cash, equity), day
        assert self.fetch("select cash from paper.account") == [(kept[days[-1]][0],)]
        lots = self.fetch("select symbol, sum(quantity) from lot where quantity > 0 group by symbol order by symbol")
        assert lots == self.fetch("select symbol, quantity from paper.position where quantity <> 0 order by symbol")
        return days


def _execute(uri: str, statement: str, *parameters: Any) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement.encode(), parameters)


@pytest.fixture(scope="session")
def market(server_uri: str, template_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    """All recorded prices up to END, with the signals of the default strategies and of one that holds on."""
    folder = tmp_path_factory.mktemp("strategies")
    (folder / "hold.py").write_text(HOLD)
    only_hold = StrategiesSection(use=(StrategyUse(name="hold", weight=1.0),))
    default, hold = (
        wiring.plan("paper", CASH, SYMBOLS, CONFIG.strategies, None, CONFIG.risk),
        wiring.plan("paper", CASH, SYMBOLS, only_hold, folder, CONFIG.risk),
    )
    made = Market(server_uri, default, hold, Prices.recorded())
    _execute(server_uri, "create database template_market template template_books")
    asyncio.run(made.fill())
    yield made
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
        _execute(server_uri, "drop database template_market with (force)")


@pytest.fixture
async def desk(market: Market, tmp_path: Path) -> AsyncIterator[Desk]:
    """A fresh account with the default strategies."""
    uri = market.copy()
    async with Database(uri) as database:
        yield Desk(uri, database, market.default, market.prices, tmp_path)
    market.drop(uri)


@pytest.fixture
async def held(market: Market, desk: Desk) -> Desk:
    """A fresh account with the strategy that holds on."""
    desk.plan = market.hold
    return desk


@pytest.fixture(scope="session")
def undisturbed(market: Market, tmp_path_factory: pytest.TempPathFactory) -> State:
    """How FIRST … LAST goes when nothing goes wrong."""
    uri = market.copy()

    async def run() -> State:
        async with Database(uri) as database:
            desk = Desk(uri, database, market.default, market.prices, tmp_path_factory.mktemp("alerts"))
            await desk.trade(FIRST, LAST)
            return desk.state()

    found = asyncio.run(run())
    market.drop(uri)
    assert len(found["orders"]) == len(found["broker"]) > 20
    return found
