"""From a tick to the order on the wire: trigger, gate, durable commit, send, by a whole runner on real PostgreSQL.

Ticks come at a steady rate, each over the level of one trigger that buys a share. The wait is from the feed's handing
over of the tick to the moment when the broker is called, which is after the commit of the order (law 1). Between any
two of them a bare commit is made on a connection of its own: a row of an order's size. So both meet the same disk, and
the same server busy with fills, books and firings. As everywhere, limits that would stop so many orders are raised.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import statistics
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from run import Figure, note
from ticking import DAY, OPENS, names
from workshop import Workshop, workshop

from quaestor import calendar, wiring
from quaestor.bars import Bar
from quaestor.config import LiveSection, RiskSection
from quaestor.doors.alerts import LocalAlerts
from quaestor.doors.journal import JournalWriter
from quaestor.doors.memory.broker import Quotes
from quaestor.doors.postgres.activity import ActivityStore
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import ControlStore, LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.live import LiveStore
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.doors.postgres.signals import SignalStore
from quaestor.doors.postgres.triggers import TriggerStore
from quaestor.exchange import Costs
from quaestor.feeds import OnBatch, OnStatus, Status
from quaestor.live.standing import instant
from quaestor.operations.decide import Mandate
from quaestor.operations.live.deck import Deck, Plan
from quaestor.operations.live.runner import Runner
from quaestor.operations.session import Floor
from quaestor.orders import Intent, OrderUpdate
from quaestor.strategies.catalogue import Catalogue
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.triggers import Above, OrderTemplate, Trigger

ACCOUNT, CASH = "main", Decimal(10**6)
RATE, ORDERS, WARM, RUNS = 50, 200, 50, 5
SYMBOLS = names(100)
BEFORE = calendar.previous_session(DAY)
MORNING = OPENS + 1800 * SECOND
LIMITS = RiskSection(
    max_orders_per_minute=10**6,
    max_orders_per_session=10**6,
    max_open_positions=len(SYMBOLS),
    duplicate_window=0,
)
BARE = b"insert into bare (id, body) values (%s, %s) returning id"
BODY = "x" * 8000  # an intent with its evidence


class Feed:
    """A feed that is moved by hand."""

    def __init__(self) -> None:
        self.name, self.counts = "bench", Counter[str]()
        self.connected, self._ended = asyncio.Event(), asyncio.Event()
        self.push: OnBatch = lambda _: None

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Until it is stopped."""
        self.push = on_batch
        on_status(Status("connected"))
        self.connected.set()
        await self._ended.wait()

    def stop(self) -> None:
        """It ends."""
        self._ended.set()

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """All are told anyway."""

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """All are told anyway."""

    def pause(self) -> None:
        """It tells little."""

    def resume(self) -> None:
        """It tells little."""


class Wire:
    """The broker, and when it was called for each symbol."""

    def __init__(self, broker: PaperBroker) -> None:
        self._broker = broker
        self.sent: dict[str, float] = {}

    async def submit(self, intent: Intent) -> OrderUpdate:
        """As the broker does."""
        self.sent[intent.symbol] = time.perf_counter()
        return await self._broker.submit(intent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)


def figures() -> Iterator[Figure]:
    """Waits of bare commits and of orders, in turn."""
    with workshop() as shop:
        runs = asyncio.run(_runs(shop))
    for number, kind in enumerate(("a bare commit", "tick to the wire")):
        p50, p99 = (statistics.median(1e3 * _at(run[number], part) for run in runs) for part in (0.5, 0.99))
        note(f"{kind}: p50 {p50:.2f} p99 {p99:.2f} ms; {ORDERS} at {RATE} per s, median of {RUNS} runs")
    over = statistics.median(1e3 * (_at(ours, 0.5) - 2 * _at(bare, 0.5)) for bare, ours in runs)
    rare = statistics.median(_at(ours, 0.99) / _at(bare, 0.99) for bare, ours in runs)
    yield Figure("tick to the wire: p50 less that of two bare commits", over, "ms", "<= 1.5")
    yield Figure("tick to the wire: p99 / the bare commit's", rare, "x", "<= 2.5")


def _at(waits: Sequence[float], part: float) -> float:
    return sorted(waits)[int(len(waits) * part)]


async def _runs(shop: Workshop) -> list[tuple[list[float], list[float]]]:
    """A runner that has traded before; then the runs, one after the other."""
    shop.create("live")
    wiring.upgrade(shop.uri("live"))
    async with Database(shop.uri("live")) as database, Database(shop.uri("live")) as aside:
        async with aside.transaction() as connection:
            await connection.execute(b"create table bare (id uuid primary key, body text)")
        store = TriggerStore(database)
        for number in range(WARM + RUNS * ORDERS):
            await store.put(ACCOUNT, _trigger(number), name=f"t{number}")
        async with _running(database, shop.folder / "journal") as (feed, wire, clock):
            await _run(feed, wire, clock, aside, range(WARM))
            found = []
            for run in range(RUNS):
                first = WARM + run * ORDERS
                shop.settle("live")
                found.append(await _run(feed, wire, clock, aside, range(first, first + ORDERS)))
            return found


def _trigger(number: int) -> Trigger:
    """Each of a symbol's triggers a cent over the one before."""
    level = round(100 + 0.01 * (number // len(SYMBOLS)), 2)
    symbol = SYMBOLS[number % len(SYMBOLS)]
    return Trigger(uuid.UUID(int=number + 1), symbol, Above(level + 0.005), OrderTemplate("buy", quantity=1))


async def _run(
    feed: Feed, wire: Wire, clock: Any, aside: Database, numbers: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Waits of bare commits and of orders, seconds."""
    bare, ours = [], []
    pause = 0.5 / RATE
    begun = time.perf_counter()
    pushed: dict[str, float] = {}
    for turn, number in enumerate(numbers):
        symbol, price = SYMBOLS[number % len(SYMBOLS)], round(100.01 + 0.01 * (number // len(SYMBOLS)), 2)
        if symbol in pushed:
            ours.append(wire.sent.pop(symbol) - pushed.pop(symbol))
        await _until(begun + 2 * turn * pause)
        at = clock()
        quote = QuoteTick(symbol, at, round(price - 0.01, 2), round(price + 0.01, 2), 500.0, 500.0)
        pushed[symbol] = time.perf_counter()
        feed.push([quote, TradeTick(symbol, at, price, 100.0)])
        await _until(begun + (2 * turn + 1) * pause)
        start = time.perf_counter()
        await aside.fetch(BARE, [uuid.uuid4(), BODY])
        bare.append(time.perf_counter() - start)
    await asyncio.sleep(1.0)
    ours += [wire.sent.pop(symbol) - at for symbol, at in pushed.items()]
    return bare, ours


async def _until(instant_: float) -> None:
    if (left := instant_ - time.perf_counter()) > 0:
        await asyncio.sleep(left)


@asynccontextmanager
async def _running(database: Database, folder: Path) -> AsyncIterator[tuple[Feed, Wire, Any]]:
    """A runner at work, its feed and its broker; it is told to stop in the end."""
    run, feed, base = uuid.uuid4(), Feed(), MORNING - time.monotonic_ns()

    def clock() -> int:
        return base + time.monotonic_ns()

    wire, deck = _deck(database, folder, run, feed, clock)
    mandate = Mandate(ACCOUNT, tuple(SYMBOLS), {}, (), LIMITS, CASH)
    runner = Runner(deck, Plan(mandate, (), "bench", "bench"), run, f"bench:{run}")
    task = asyncio.create_task(runner.run())
    try:
        waiting = asyncio.create_task(feed.connected.wait())
        await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED, timeout=60)
        while runner.engine.standing.told is None:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        yield feed, wire, clock
        await LiveStore(database).desire(ACCOUNT, "stopped", "bench")
        await asyncio.wait_for(task, 60)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _deck(database: Database, folder: Path, run: uuid.UUID, feed: Feed, clock: Any) -> tuple[Wire, Deck]:
    """All doors: the paper broker fills by the feed."""
    days = calendar.sessions(dt.date(2026, 11, 2), BEFORE)
    quotes = Quotes({(symbol, day): _bar(symbol, day) for symbol in SYMBOLS for day in days})
    broker = PaperBroker(database, ACCOUNT, quotes, Costs(), clock=lambda: instant(clock()))
    wire: Any = Wire(broker)
    folder.mkdir()
    floor = Floor(
        books=BookStore(database, ACCOUNT),
        activity=ActivityStore(database, ACCOUNT),
        signals=SignalStore(database),
        quotes=quotes,
        leases=LeaseStore(database),
        control=ControlStore(database),
        alerts=LocalAlerts(folder / "alerts.log", console=False),
        broker=wire,
        market=wire,
    )

    async def skew() -> Decimal:
        return Decimal(0)

    async def start_flow(name: str, key: str) -> None:
        del name, key

    deck = Deck(
        floor=floor,
        live=LiveStore(database),
        triggers=TriggerStore(database),
        feed=feed,
        journal=JournalWriter(folder / str(run), run),
        find=Catalogue().build,
        settings=LiveSection(),
        now=clock,
        skew=skew,
        start_flow=start_flow,
        reread=lambda: None,
        paper=wire,
    )
    return wire, deck


def _bar(symbol: str, day: dt.date) -> Bar:
    price = Decimal(100)
    return Bar(symbol, day, calendar.session_close(day), price, price, price, price, 1_000_000)
