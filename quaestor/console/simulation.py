"""Simulated sessions under faults, by the thousand: the real order path over memory doors, in one process.

A `World` is drawn from a seed: bars, targets, and then what goes wrong, call by call: a process dies (before or after
any call of any door, also while it recovers), the line to the broker breaks in every way that `faults` knows, a process
sleeps while another takes over its lease, trades, and finds it awake again. In some worlds a person halts and resumes
in mid-session, or places orders by hand. The same seed plays the same world again, bit for bit.

What is left must be what the undisturbed world leaves: orders, fills, equity. Where a person changed the decisions, or
an order could not be sent in time (the line failed at every try, or the market closed first), the books must be the
broker's and the equity what its cash and shares are worth. In no world is an order sent before it is
on record, twice, or while a halt is latched that stops it; and in none is a person called for help.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import multiprocessing
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from quaestor.console.simulated import ACCOUNT, Activity, Alerts, Death, Fate, Market, Mortal, Signals, Told
from quaestor.doors.faulty import FaultyMarket
from quaestor.doors.memory.books import BookStore, ControlStore, LeaseStore
from quaestor.doors.memory.broker import Broker, Exchange, Quotes
from quaestor.doors.memory.disk import Disk, Disks
from quaestor.errors import BrokerRejected, Temporary
from quaestor.exchange import Costs
from quaestor.faults import Fault, Seeded
from quaestor.latches import HALT
from quaestor.operations.halt import halt, resume
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor
from quaestor.operations.trade import trade
from quaestor.orders import Intent, OrderType, OrderUpdate, Side, State, TimeInForce, external_ref
from quaestor.ports import Run

ATTEMPTS = 200  # processes that may be needed
MARKETS = 97  # different ones; each is played under many fates
TOGETHER = 500  # runs from which on it pays to start processes
HIDING = frozenset({Fault.LAG, Fault.SHRUNK, Fault.STALE})  # a comparison with such a list is a difference
OFTEN = 3  # sends of one order: of the tries before the close, others may go by without an answer to what is listed
PLAIN, HALTED, BY_HAND, GIVEN_UP = "plain", "halted", "by hand", "not sent in time"


@dataclass
class Witness:
    """A broker's door that sees how each order stands in the books when it is sent (law 1).

    And how often the broker's list was read before one of an unclear fate is sent again (law 2).

    And how the books stand when the market is closed: a process that is overtaken in that very call closes it, as time
    would, on orders that its successor was still to send. Those are in `cut`.
    """

    real: Any
    disk: Disk
    wrong: list[str]
    cut: list[str]

    def __post_init__(self) -> None:
        self.epoch = self.disk.epoch + 1  # its process takes the lease next
        self.looks: list[int] = []  # how many events there were at each reading of the list

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Pass it on, if it is on record as sent."""
        known = self.disk.orders.get(intent.ref_id)
        if known is None or known.state is State.PLANNED:
            self.wrong.append(f"{intent.ref_id} was sent before that was on record")
        doubt = (intent.ref_id, State.UNKNOWN)
        events = enumerate(self.disk.events)
        unclear = [n for n, e in events if (e.ref_id, e.step.state) == doubt and e.epoch <= self.epoch]
        if unclear and sum(look > unclear[-1] for look in self.looks) < 2:
            self.wrong.append(f"{intent.ref_id} was sent again before the broker's list was read twice")
        update: OrderUpdate = await self.real.submit(intent)
        return update

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """Pass it on."""
        updates: list[OrderUpdate] = await self.real.orders(since)
        self.looks.append(len(self.disk.events))
        return updates

    async def close_session(self, session: dt.date) -> None:
        """Pass it on."""
        stale = self.disk.holder is None or self.disk.epoch != self.epoch
        if stale and await self.real.clock() == (session, "open"):
            left = (State.PLANNED, State.SUBMITTING, State.UNKNOWN)
            self.cut += [str(name) for name, order in self.disk.orders.items() if order.state in left]
        await self.real.close_session(session)


@dataclass
class World:
    """One account's disk and its broker's, over a market; and what happened to the processes that traded it."""

    market: Market
    seed: int = 0
    lives: int = 0
    share: float = 0.0
    story: str = PLAIN
    disks: Disks = field(default_factory=Disks)
    exchange: Exchange = field(default_factory=Exchange)
    alerts: Alerts = field(default_factory=Alerts)
    log: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    struck: Counter[Fault] = field(default_factory=Counter)
    processes: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(f"fate {self.seed}")  # noqa: S311  # a simulation, no secret
        self.fate = Fate(self.dice, self.lives, self.log, takeover=self._overtaken)
        self.disk = self.disks[ACCOUNT]
        self.line = self._line(list(Fault))
        self.clear_line = self._line([fault for fault in Fault if fault not in HIDING])
        self._halted: slice | None = None  # the events while a halt was latched
        if self.story != PLAIN:
            self._people()

    def _broker(self) -> Broker:
        return Broker(self.exchange, ACCOUNT, Quotes(self.market.bars), Costs())

    def _line(self, kinds: Sequence[Fault]) -> Any:
        """What lies between every process and the broker; what it delays outlives the process that sent it."""
        if not self.share:
            return self._broker()
        schedule = Told(Seeded(self.share, self.dice.getrandbits(32), kinds), self.struck, self.log)
        return FaultyMarket(self._broker(), schedule, _at_once)

    def floor(self, line: Any = None, fate: Fate | None = None) -> Floor:
        """The doors of a new process."""
        broker: Any = Witness(line or self._broker(), self.disk, self.wrong, self.cut)
        books, control, leases = BookStore(self.disks, ACCOUNT), ControlStore(self.disks), LeaseStore(self.disks)
        quotes, signals = Quotes(self.market.bars), Signals(self.market)
        doors = (books, Activity(), signals, quotes, leases, control, self.alerts, broker, broker)
        floor = Floor(*doors, _at_once)  # type: ignore[arg-type]  # signals: what trading asks of them
        if fate is None:
            return floor
        names = ("books", "activity", "signals", "quotes", "control", "alerts", "broker", "market")
        met: dict[str, Any] = {name: Mortal(name, getattr(floor, name), fate) for name in names}
        return replace(floor, **met)

    # ── its processes ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def live(self) -> None:
        """Trade the market to its end: processes die, the line breaks, and others take over."""
        while self.processes < ATTEMPTS:
            if self.exchange.cash is not None and self.dice.random() < 0.25:
                await self._process(self._reconciles)
            if await self._process(self._trades):
                return
        raise AssertionError(f"{ATTEMPTS} processes did not come to the end.")

    async def _process(self, does: Callable[[Fate], Any], fate: Fate | None = None) -> bool:
        """Whether a process came to its end; one whose lease is abandoned need not wait in a simulation."""
        self.processes += 1
        self.disk.holder = None
        fate = fate or self.fate
        fate.born()
        try:
            await does(fate)
        except (Death, Temporary) as error:
            self.log.append(f"process {self.processes} ended: {type(error).__name__}")
            return False
        return True

    async def _trades(self, fate: Fate) -> None:
        days = [day for day in self.market.days if day not in self.disk.equity]
        await trade(self.floor(self.line, fate), self.market.mandate, days, Run(), f"process {self.processes}")

    async def _reconciles(self, fate: Fate) -> None:
        floor = self.floor(self.clear_line, fate)
        await reconcile(floor, self.market.mandate.limits, f"reconciler {self.processes}", self.market.days[0], None)

    async def _overtaken(self) -> None:
        """A successor takes the lease of one that sleeps, and trades until it ends, or dies."""
        fate = replace(self.fate, deeds=self.fate.deeds, takeover=None, lives=self.lives + 1)
        await self._process(self._trades, fate)
        self.fate.deaths, self.fate.passed = fate.deaths, max(fate.passed, self.fate.passed)

    # ── its people ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _people(self) -> None:
        """Somebody acts in mid-session."""
        first = self.dice.randint(20, 400)
        if self.story == HALTED:
            self.fate.deeds = {first: self._halt, first + self.dice.randint(1, 150): self._resume}
        else:
            many = self.dice.randint(1, 3)
            self.fate.deeds = {first + n * self.dice.randint(1, 100): self._order for n in range(many)}

    async def _halt(self) -> None:
        floor = self.floor()
        self.log.append("a person halts")
        doors = (floor.control, floor.books, floor.broker, floor.leases, Alerts())
        await halt(*doors, "a rehearsal", "a person", flatten=self.dice.random() < 0.3)
        self._halted = slice(len(self.disk.events), None)  # what was committed before may be in flight

    async def _resume(self) -> None:
        self.log.append("a person resumes")
        if self._halted is not None:
            self._halted = slice(self._halted.start, len(self.disk.events))
        await resume(self.floor().control, ACCOUNT, Alerts(), "a rehearsal")

    def _none_sent(self) -> None:
        """No entry goes on its way while a halt is latched (law 6)."""
        for event in self.disk.events[self._halted] if self._halted is not None else ():
            if event.step.state is State.SUBMITTING and not self.disk.orders[event.ref_id].intent.reduces:
                self.wrong.append(f"{event.ref_id} was sent while entries were halted")

    async def _order(self) -> None:
        """Somebody buys with the broker's own app."""
        symbol = self.dice.choice(self.market.symbols)
        last = next(bar.close for (name, _), bar in self.market.bars.items() if name == symbol)
        price = (last * self.dice.choice((Decimal("0.9"), Decimal("0.99"), Decimal("1.02")))).quantize(Decimal("0.01"))
        kind = self.dice.choice((OrderType.MARKET, OrderType.LIMIT, OrderType.STOP))
        terms = {"limit_price": price if kind.limits else None, "stop_price": price if kind.stops else None}
        lasts = TimeInForce.GFD if kind is OrderType.MARKET else self.dice.choice(tuple(TimeInForce))
        with suppress(BrokerRejected):
            shares = Decimal(self.dice.randint(1, 20))
            await self._broker().place_by_hand(symbol, Side.BUY, shares, kind, time_in_force=lasts, **terms)
            self.log.append(f"a person buys {shares} {symbol}, {kind}, {lasts}")

    # ── what is left ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def proven(self) -> list[str]:
        """What is wrong with what is left: books against broker, orders that are there twice, early, or nowhere."""
        self._none_sent()
        epochs = [event.epoch for event in self.disk.events]
        if epochs != sorted(epochs):
            self.wrong.append("a writer that had lost its lease moved an order (law 3)")
        if HALT in self.disk.latches and self._halted is not None and self._halted.stop is not None:
            self.wrong.append("a halt is latched again after its resume")
        self.disk.holder = None
        outcome = await reconcile(self.floor(), self.market.mandate.limits, "judge", self.market.days[0], None)
        wrong = [*self.wrong, *(f"{d['subject']} {d['key']}: {d['ours']} / {d['theirs']}" for d in outcome.differences)]
        told = [(update.ref_id or external_ref(ACCOUNT, name)) for name, (_, update, _) in self.exchange.orders.items()]
        wrong += [f"{name} is at the broker twice" for name in sorted({n for n in told if told.count(n) > 1})]
        known = {name for name, order in self.disk.orders.items() if order.state is not State.REJECTED}
        wrong += [f"{name} is at the broker, and not in the books" for name in sorted(set(told) - known)]
        worth = (self.exchange.cash or Decimal(0)) + self.market.worth(self.exchange.held)
        settled = self.disk.equity.get(self.market.days[-1])
        if settled is None or settled.equity != worth:
            wrong.append(f"equity: {settled and settled.equity}, but the broker's cash and shares are worth {worth}")
        return wrong + [f"a person was told: {told}" for told in self.alerts.urgent]

    def given_up(self) -> bool:
        """Whether a line that failed each time, or the close, kept an order from the market; what follows differs."""
        sends = Counter(event.ref_id for event in self.disk.events if event.step.state is State.SUBMITTING)
        never = {event.ref_id for event in self.disk.events if event.step.cause == "resolve"}  # sent, and not there
        orders = self.disk.orders.items()
        lost = {order.intent.session for name, order in orders if sends[name] >= OFTEN or name in never}
        unsent = (order for order in self.disk.orders.values() if order.state is State.EXPIRED_UNSENT)
        return any(order.intent.session in lost or str(order.ref_id) in self.cut for order in unsent)

    def left(self) -> dict[str, list[str]]:
        """What must be the same however it came to be."""
        orders, told = self.disk.orders.values(), [update for _, update, _ in self.exchange.orders.values()]
        return {
            "broker": sorted(f"{u.ref_id} {u.state} {u.filled} {u.average_price}" for u in told),
            "orders": sorted(f"{o.ref_id} {o.state} {o.filled}" for o in orders),
            "fills": sorted(f"{f.execution_id} {f.quantity} {f.price}" for f, _ in self.disk.fills.values()),
            "equity": [f"{day} {self.disk.equity[day].equity}" for day in sorted(self.disk.equity)],
        }

    def digest(self) -> str:
        """Of everything that happened, in its order."""
        events = [f"{e.ref_id} {e.step.state} {e.step.cause} {e.step.reason} {e.epoch}" for e in self.disk.events]
        return hashlib.sha256("\n".join([*self.log, *events, str(self.left())]).encode()).hexdigest()[:16]


async def _at_once(seconds: float) -> None:
    del seconds


# ── many of them ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Simulated:
    """How one seed went: what was wrong, what happened, and the digest of all of it."""

    seed: int
    story: str
    wrong: tuple[str, ...]
    processes: int
    deaths: int
    thefts: int
    orders: int
    faults: Counter[Fault]
    places: Counter[str]
    called: Counter[str]
    log: tuple[str, ...]
    digest: str


@dataclass
class Summary:
    """How many seeds went; `failing` are the contradictions by seed."""

    runs: int = 0
    processes: int = 0
    deaths: int = 0
    thefts: int = 0
    orders: int = 0
    stories: Counter[str] = field(default_factory=Counter)
    faults: Counter[Fault] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    called: Counter[str] = field(default_factory=Counter)
    failing: dict[int, tuple[str, ...]] = field(default_factory=dict)

    def add(self, run: Simulated) -> None:
        """One more."""
        self.runs += 1
        for name in ("processes", "deaths", "thefts", "orders"):
            setattr(self, name, getattr(self, name) + getattr(run, name))
        for name in ("faults", "places", "called"):
            getattr(self, name).update(getattr(run, name))
        self.stories[run.story] += 1
        if run.wrong:
            self.failing[run.seed] = run.wrong

    def merge(self, other: Summary) -> None:
        """Those of another, too."""
        for name in ("runs", "processes", "deaths", "thefts", "orders"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("stories", "faults", "places", "called", "failing"):
            getattr(self, name).update(getattr(other, name))


def simulate(seed: int, lives: int = 4, share: float = 0.1) -> Simulated:
    """Play a seed's world undisturbed and disturbed, and compare."""
    return asyncio.run(_simulate(seed, lives, share))


async def _simulate(seed: int, lives: int, share: float) -> Simulated:
    market, undisturbed = await _undisturbed(seed % MARKETS)
    (story,) = random.Random(f"story {seed}").choices((PLAIN, HALTED, BY_HAND), (70, 15, 15))  # noqa: S311
    world = World(market, seed, lives, share, story)
    try:
        await world.live()
        wrong = await world.proven()
    except Exception as error:  # noqa: BLE001  # whatever ends a world is told with its seed
        wrong = [f"{type(error).__name__}: {error}"]
    if story == PLAIN and world.given_up():
        story = GIVEN_UP
    if story == PLAIN:
        wrong += _unlike(world.left(), undisturbed)
    fate, orders = world.fate, len(world.exchange.orders)
    counted = (world.processes, fate.deaths, fate.thefts, orders, world.struck, fate.met, fate.called)
    return Simulated(seed, story, tuple(wrong), *counted, tuple(world.log), world.digest())


def _unlike(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> Iterator[str]:
    for name, rows in theirs.items():
        yield from (f"{name}: missing {row}" for row in sorted(set(rows) - set(ours[name])))
        yield from (f"{name}: unexpected {row}" for row in sorted(set(ours[name]) - set(rows)))


_CALM: dict[int, tuple[Market, dict[str, list[str]]]] = {}


async def _undisturbed(number: int) -> tuple[Market, dict[str, list[str]]]:
    """A market, and what is left when nothing goes wrong."""
    if number not in _CALM:
        world = World(Market.drawn(number))
        await world.live()
        if wrong := await world.proven():
            raise AssertionError(f"Undisturbed, market {number} leaves {wrong}.")
        _CALM[number] = (world.market, world.left())
    return _CALM[number]


def together(seeds: Sequence[int], lives: int = 4, share: float = 0.1) -> Summary:
    """Play many seeds in one event loop."""

    async def run() -> Summary:
        summary = Summary()
        for seed in seeds:
            summary.add(await _simulate(seed, lives, share))
        return summary

    return asyncio.run(run())


def spread(seeds: Sequence[int], told: Callable[[Summary], object] = lambda _: None) -> Summary:
    """Play many seeds on all processors; `told` hears how far it is."""
    if len(seeds) <= TOGETHER:
        return together(seeds)
    parts = [seeds[start : start + 100] for start in range(0, len(seeds), 100)]
    whole = Summary()
    context = multiprocessing.get_context("spawn")  # a fork would take this process's threads and sockets along
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for part in pool.map(together, parts):
            whole.merge(part)
            told(whole)
    return whole
