"""Orders: from intent to ack beside the commit that it cannot do without, and how many go all the way.

An order on its way out needs two commits in a row: ours, durable (law 1), and the paper broker's, which does not wait
for the disk (see the head of paper.py). So waits are measured in turn, order by order: a row of an intent's size,
inserted and durably committed by the same door, once and twice, then an order through the outbox to its ack. The
goals are of PostgreSQL on this very disk at that very moment.

Sustained: groups of 64 go through the risk gate, the outbox's commit, the broker, the market and the books, each to its
fill as a double entry: purchases one session, their sales the next. Nothing is left out but deciding what is wanted,
which is done before the clock starts.
One account waits for the server half of the time; what two do side by side in one process is a note.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from run import Figure, note
from workshop import Workshop, workshop

from quaestor import wiring
from quaestor.bars import Bar
from quaestor.calendar import session_open, sessions
from quaestor.config import RiskSection
from quaestor.doors.memory.broker import Quotes
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.paper import PaperBroker
from quaestor.exchange import Costs
from quaestor.judging import judge, of_target
from quaestor.ledger import deposit
from quaestor.operations.outbox import collect, place
from quaestor.orders import Intent, OrderUpdate, Side, State
from quaestor.ports import Lease, Run, StoredSignal
from quaestor.risk import Live, Picture, Quote, Record
from quaestor.sizing import Wanted

ACCOUNT, STRATEGY = "main", "bench"
D = Decimal
RUNS, ORDERS, KNOWN = 5, 500, 1000
GROUP, SECONDS, WARM, AHEAD = 64, 6.0, 4, 250
CASH = D(10**12)
PRICE = D("100.00")
SYMBOLS = [f"S{number:02}" for number in range(GROUP)]
DAYS = sessions(dt.date(2005, 1, 3), dt.date(2012, 12, 31))
LIMITS = RiskSection(max_open_positions=GROUP, max_orders_per_minute=10**6, max_orders_per_session=10**6)
Waits = tuple[list[float], list[float], list[float]]
BARE = b"insert into bare (id, body) values (%s, %s) returning id"


@dataclass
class Floor:
    """An account, its books and its broker."""

    database: Database
    books: BookStore
    broker: PaperBroker
    lease: Lease


class Acked:
    """The broker, and the moment of its last ack."""

    def __init__(self, broker: PaperBroker) -> None:
        self._broker = broker
        self.draft = broker.draft
        self.at = 0.0

    async def submit(self, intent: Intent) -> OrderUpdate:
        """As the broker does."""
        update = await self._broker.submit(intent)
        self.at = time.perf_counter()
        return update


def figures() -> Iterator[Figure]:
    """Waits, then rates."""
    with workshop() as shop:
        runs = asyncio.run(_waits(shop))
        for number, kind in enumerate(("a bare commit", "two in a row", "intent to ack")):
            p50, p99 = (statistics.median(1e3 * _at(run[number], part) for run in runs) for part in (0.5, 0.99))
            note(f"{kind}: p50 {p50:.2f} p99 {p99:.2f} ms; of {ORDERS}, median of {RUNS} runs")
        over = statistics.median(1e3 * (_at(ours, 0.5) - 2 * _at(bare, 0.5)) for bare, _, ours in runs)
        least = statistics.median(_at(twice, 0.99) / _at(bare, 0.99) for bare, twice, _ in runs)
        note(f"two durable commits in a row have a p99 of {least:.2f} times one's, by themselves")
        rare = statistics.median(_at(ours, 0.99) / _at(bare, 0.99) for bare, _, ours in runs)
        yield Figure("intent to ack: p50 less that of two bare commits", over, "ms", "<= 1.5")
        yield Figure("intent to ack: p99 / the bare commit's", rare, "x", "<= 2.5")
        two, seconds, _ = asyncio.run(_sustained(shop, ["first", "second"]))
        note(f"two accounts side by side: {two / seconds:,.0f} orders per s")
        orders, seconds, cpu = asyncio.run(_sustained(shop, [ACCOUNT]))
        note(f"{orders:,} orders in {seconds:.1f} s, {1e3 * cpu / orders:.2f} ms of our CPU each, the server's apart")
        yield Figure("gate, commit, submit, fill and booking: orders per s", orders / seconds, "", ">= 800")


# ── waits ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _waits(shop: Workshop) -> list[Waits]:
    shop.create("waits")
    wiring.upgrade(shop.uri("waits"))
    async with _floor(shop, "waits", ACCOUNT) as floor:
        async with floor.database.transaction() as connection:
            await connection.execute(b"create table bare (id uuid primary key, body text)")
        await floor.broker.open_session(DAYS[1])
        await _run(floor, -1, KNOWN)  # an account that has traded before: statements are prepared, plans know its size
        shop.settle("waits", vacuum=True)
        return [await _run(floor, run, ORDERS) for run in range(RUNS)]


async def _run(floor: Floor, run: int, count: int) -> Waits:
    """Waits of bare commits, of two in a row, and of orders, seconds."""
    broker, bare, twice, ours = Acked(floor.broker), [], [], []
    for number in range(count):
        intent = _intent(ACCOUNT, DAYS[1], SYMBOLS[number % GROUP], f"{run}:{number}", Side.BUY)
        body = f"{intent.provenance}"
        start = time.perf_counter()
        await floor.database.fetch(BARE, [uuid.uuid4(), body])
        bare.append(time.perf_counter() - start)
        start = time.perf_counter()
        await floor.database.fetch(BARE, [uuid.uuid4(), body])
        await floor.database.fetch(BARE, [uuid.uuid4(), body])
        twice.append(time.perf_counter() - start)
        start = time.perf_counter()
        assert await place([intent], floor.books, broker, floor.lease) == [State.ACKED]  # type: ignore[arg-type]
        ours.append(broker.at - start)
    return bare, twice, ours


def _at(waits: Sequence[float], part: float) -> float:
    return sorted(waits)[int(len(waits) * part)]


# ── rates ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _sustained(shop: Workshop, accounts: Sequence[str]) -> tuple[int, float, float]:
    """Orders that were booked, in so many seconds of the clock and of our own CPU."""
    async with AsyncExitStack() as stack:
        shop.create("sustained")
        wiring.upgrade(shop.uri("sustained"))
        floors = [await stack.enter_async_context(_floor(shop, "sustained", account)) for account in accounts]
        for number in range(1, WARM + 1):
            await asyncio.gather(*(_session(floor, number, _wants(floor, number)) for floor in floors))
        shop.settle("sustained", vacuum=True)
        ahead = range(WARM + 1, WARM + 1 + AHEAD)
        wants = [(floor, {number: _wants(floor, number) for number in ahead}) for floor in floors]
        gc.collect()
        gc.freeze()  # bars and wants of years stand in memory only here
        start, cpu = time.perf_counter(), time.process_time()
        orders = sum(await asyncio.gather(*(_sessions(*each, start + SECONDS) for each in wants)))
        return orders, time.perf_counter() - start, time.process_time() - cpu


async def _sessions(floor: Floor, wants: dict[int, list[Wanted]], end: float) -> int:
    """Sessions until then; how many orders were booked."""
    orders = 0
    for number, wanted in wants.items():
        if time.perf_counter() >= end:
            return orders
        orders += await _session(floor, number, wanted)
    raise AssertionError(f"{AHEAD} sessions were not enough for {SECONDS:g} s: raise AHEAD.")


def _wants(floor: Floor, number: int) -> list[Wanted]:
    """What is wanted of a session: purchases, or after them their sales."""
    side = Side.BUY if number % 2 else Side.SELL
    return [_wanted(floor.books.account, DAYS[number], DAYS[number - 1], symbol, side) for symbol in SYMBOLS]


async def _session(floor: Floor, number: int, wanted: list[Wanted]) -> int:
    """A session of what is wanted; how many orders were filled and booked."""
    day, held = DAYS[number], D(0) if number % 2 else D(10)
    await floor.broker.open_session(day)
    intents, refusals = judge([of_target(want, CASH) for want in wanted], _picture(day, held), LIMITS, Run())
    assert not refusals, refusals[0].message
    states = await place(intents, floor.books, floor.broker, floor.lease)
    assert set(states) == {State.ACKED}
    await floor.broker.close_session(day)
    heard = await collect(floor.books, floor.broker, floor.lease, day)
    assert heard.booked == heard.moved == GROUP
    return heard.booked


def _picture(day: dt.date, held: D) -> Picture:
    now = session_open(day) + dt.timedelta(hours=1)
    quote = Quote(PRICE - D("0.01"), PRICE + D("0.01"), now)
    return Picture(
        session=day,
        equity=CASH,
        cash=CASH,
        peak=CASH,
        previous_equity=CASH,
        shares={(STRATEGY, symbol): held for symbol in SYMBOLS},
        prices=dict.fromkeys(SYMBOLS, PRICE),
        bar_age=dict.fromkeys(SYMBOLS, 1),
        trading=day,
        universe=frozenset(SYMBOLS),
        record=Record(),
        live=Live(now, dict.fromkeys(SYMBOLS, quote), D(0), now),
    )


def _wanted(account: str, day: dt.date, before: dt.date, symbol: str, side: Side) -> Wanted:
    seen = {"close": 100.0, "bar_version": 1, "bars_seen": 250, "first_session": "2004-01-05"}
    told = (symbol, before, session_open(before))
    parameters = {"fast": 20, "slow": 50}
    signal = StoredSignal(STRATEGY, "0" * 64, "1", parameters, *told, 0.01, 1, seen, None)
    return Wanted(_intent(account, day, symbol, f"{symbol}|1d|{before}", side), signal, CASH, D(0), D(10))


# ── ───────────────────────────────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _floor(shop: Workshop, name: str, account: str) -> AsyncIterator[Floor]:
    """An account with more money than it needs, on a database that is there."""
    bars = {(symbol, day): _bar(symbol, day) for symbol in SYMBOLS for day in DAYS}
    async with Database(shop.uri(name)) as database, LeaseStore(database).hold(account, "bench", 0) as lease:
        books = BookStore(database, account)
        broker = PaperBroker(database, account, Quotes(bars), Costs())
        await broker.fund(CASH)
        await books.book(deposit(account, CASH, DAYS[0], session_open(DAYS[0])), lease)
        yield Floor(database, books, broker, lease)


def _bar(symbol: str, day: dt.date) -> Bar:
    return Bar(symbol, day, session_open(day), PRICE, PRICE + 1, PRICE - 1, PRICE, 10**6, 1)


def _intent(account: str, day: dt.date, symbol: str, cause: str, side: Side) -> Intent:
    check = {"unit": "dollars", "limit": "1", "observed": "1", "ok": True}
    checks = [{"rule": f"rule {number}", **check} for number in range(20)]
    evidence: dict[str, Any] = {"bars": [{"symbol": symbol, "close": "100.00"}], "checks": checks}
    terms = (account, STRATEGY, symbol, day, cause, side, D(10), PRICE)
    return Intent(*terms, reduces=side is Side.SELL, provenance=evidence)
