"""A month of sessions that nobody attends, on the real doors: thousands of orders, hundreds of faults, many deaths.

The market is synthetic, stored as bars with the signals of two strategies that change their mind every day. Whoever
dies is started again, as a supervisor does; nobody else does anything. At each close the books are the broker's, to the
share and the cent; in the end orders, fills and equity are those of the same month in which nothing went wrong.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from quaestor import bars, wiring
from quaestor.calendar import previous_session, session_close, sessions
from quaestor.config import RiskSection
from quaestor.console.simulated import Death, Fate, Mortal, Told
from quaestor.doors.faulty import FaultyMarket
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.signals import SignalStore
from quaestor.errors import Temporary
from quaestor.exchange import Costs
from quaestor.faults import LISTS, Call, Fault, Seeded
from quaestor.ledger import Equity
from quaestor.operations.decide import Mandate
from quaestor.operations.trade import trade
from quaestor.ports import Run
from quaestor.strategies.catalogue import Built
from tests.integration.trading.conftest import Desk, Prices, State

FIRST = dt.date(2012, 1, 3)
CASH = Decimal(10_000_000)
LIMITS = RiskSection(
    max_orders_per_session=10_000, max_orders_per_minute=1_000_000, max_open_positions=1_000
)  # fmt: skip
TARGETS = (0.0, 0.002, 0.0035)  # of a sleeve in one symbol
NAMES = ("early", "late")
Month = Callable[[int, int], Awaitable["Tape"]]


@dataclass(frozen=True)
class Tape:
    """A stored market of so many symbols, and its sessions; `desk` opens a fresh account in a copy of it."""

    days: tuple[dt.date, ...]
    desk: Callable[[str], AbstractAsyncContextManager[Desk]]


@dataclass
class Uneven:
    """A schedule that strikes lists, of which few are asked for, more often than all else."""

    lists: Seeded
    rest: Seeded

    def strikes(self, call: Call) -> Fault | None:
        return (self.lists if call in LISTS else self.rest).strikes(call)


@dataclass
class Line:
    """What went wrong: faults by kind, processes that ended, sessions whose close was compared."""

    faults: Counter[Fault] = field(default_factory=Counter)
    processes: int = 0
    fate: Fate | None = None
    closes: set[dt.date] = field(default_factory=set)


@pytest.fixture
async def month(server_uri: str, template_uri: str, tmp_path: Path) -> AsyncIterator[Month]:
    made: list[str] = []

    def copied(name: str, template: str) -> str:
        with psycopg.connect(server_uri, autocommit=True) as connection:
            connection.execute(f'create database "{name}" template "{template}"'.encode())
        made.append(name)
        return server_uri.replace("/quaestor?", f"/{name}?")

    async def make(symbols: int, length: int) -> Tape:
        days = tuple(sessions(FIRST, FIRST + dt.timedelta(days=2 * length + 7))[:length])
        names = [f"S{n:03}" for n in range(symbols)]
        async with Database(copied("month_tape", "template_books")) as database:
            await _record(database, names, days)
        digests = tuple(f"{name}-1" for name in NAMES)
        mandate = Mandate("paper", tuple(names), dict.fromkeys(NAMES, 0.45), digests, LIMITS, CASH)

        @asynccontextmanager
        async def desk(account: str) -> AsyncIterator[Desk]:
            (tmp_path / account).mkdir()
            uri = copied(f"month_{account}", "month_tape")
            async with Database(uri) as database:
                yield Desk(uri, database, wiring.Plan(mandate, (), "digest"), Prices({}, []), tmp_path / account)

        return Tape(days, desk)

    yield make
    with psycopg.connect(server_uri, autocommit=True) as connection:
        for name in made:
            connection.execute(f'drop database "{name}" with (force)'.encode())


async def _record(database: Database, names: Sequence[str], days: Sequence[dt.date]) -> None:
    """Bars that walk by chance, and after each the signals of both strategies, each another one than the day before."""
    dice = random.Random("a month")
    rows: list[tuple[Any, ...]] = []
    signals: dict[str, list[tuple[Any, ...]]] = {name: [] for name in NAMES}
    for symbol in names:
        close = dice.uniform(20, 200)
        target = dict.fromkeys(NAMES, 0.0)
        for day in (previous_session(days[0]), *days):
            opened, close = round(close * dice.uniform(0.98, 1.02), 2), round(close * dice.uniform(0.96, 1.04), 2)
            high, low = round(max(opened, close) + 0.5, 2), round(min(opened, close) - 0.5, 2)
            rows.append((symbol, "1d", day, session_close(day), opened, high, low, close, 10**7))
            for name in NAMES:
                target[name] = dice.choice([other for other in TARGETS if other != target[name]])
                signals[name].append((symbol, day, session_close(day), target[name], close, 1, days[0], 1))
    await BarStore(database).upsert(pl.DataFrame(rows, schema=bars.schema(), orient="row"), [], "test")
    columns = ["symbol", "session", "bar_end", "target", "close", "bar_version", "first_session", "bars_seen"]
    for name, told in signals.items():
        built = Built(None, name, "1", {}, f"{name}-1")  # type: ignore[arg-type]  # nobody asks it
        frame = pl.DataFrame(told, schema=columns, orient="row")
        await SignalStore(database).save(built, frame, (previous_session(days[0]), days[-1]), Run())


async def at_once(seconds: float) -> None:
    """The clock is simulated."""


async def traded(desk: Desk, days: Sequence[dt.date], seed: int, share: float, lives: int) -> Line:
    """Trade to the end: over a line on which a share of calls goes wrong, by processes that die, so many of them."""
    line = Line(fate=Fate(random.Random(f"month {seed}"), lives, span=len(days) * 120, rare=0.2))
    assert line.fate is not None
    paper = wiring.paper_broker(desk.database, "paper", Costs())
    faulty = FaultyMarket(paper, Told(Uneven(Seeded(3 * share, seed), Seeded(share, seed)), line.faults, []), at_once)

    async def closed(day: dt.date, equity: Equity) -> None:
        """Books = broker, to the share and the cent; nobody is called."""
        lots = desk.fetch("select symbol, sum(quantity) from lot where quantity > 0 group by symbol order by symbol")
        assert lots == desk.fetch("select symbol, quantity from paper.position where quantity <> 0 order by symbol")
        assert desk.fetch("select cash from paper.account") == [(equity.cash,)]
        assert (await desk.latches(), desk.alerts()) == ([], [])
        line.closes.add(day)

    while line.processes < 1000:
        line.processes += 1
        line.fate.born()
        settled = await desk.floor().books.last_equity()
        if settled is not None and settled.session not in line.closes:  # it died before it could compare
            await closed(settled.session, settled)
        floor = replace(desk.floor(broker=faulty, market=faulty), sleep=at_once)
        names = ("books", "activity", "signals", "quotes", "control", "alerts", "broker", "market")
        mortal: dict[str, Any] = {name: Mortal(name, getattr(floor, name), line.fate) for name in names}
        ahead = [day for day in days if settled is None or day > settled.session]
        try:
            await trade(replace(floor, **mortal), desk.plan.mandate, ahead, Run("flow-run", "commit"), "me", closed)
        except (Death, Temporary):
            continue
        return line
    raise AssertionError("never came to an end")


async def unattended(month: Month, symbols: int, length: int, share: float, lives: int) -> tuple[Line, State]:
    tape = await month(symbols, length)
    async with tape.desk("calm") as desk:
        calm = await traded(desk, tape.days, 0, 0.0, 0)
        undisturbed = desk.state()
    assert (calm.processes, calm.closes) == (1, set(tape.days))
    async with tape.desk("rough") as desk:
        line = await traded(desk, tape.days, 1, share, lives)
        state = desk.state()
        assert (await desk.reconcile()).ok
        assert (await desk.latches(), desk.alerts()) == ([], [])
    names = [row[0] for row in state["broker"]]
    assert len(names) == len(set(names)), "an order is at the broker twice"
    for what, rows in undisturbed.items():
        assert state[what] == rows, what
    assert line.closes == set(tape.days)
    return line, state


async def test_two_sessions_unattended_end_as_undisturbed_ones(month: Month) -> None:
    line, state = await unattended(month, 50, 2, 0.15, 6)
    assert line.fate is not None
    assert len(state["orders"]) > 120
    assert line.faults.total() > 20
    assert line.fate.deaths > 3


@pytest.mark.full
@pytest.mark.timeout(900)
async def test_a_month_unattended_ends_as_an_undisturbed_one(month: Month) -> None:
    line, state = await unattended(month, 160, 21, 0.08, 60)
    assert line.fate is not None
    assert len(state["equity"]) == 21
    assert len(state["orders"]) >= 5_000
    assert line.faults.total() >= 200
    assert set(line.faults) == set(Fault)
    assert line.fate.deaths > 15
