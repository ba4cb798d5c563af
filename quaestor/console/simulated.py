"""What simulated worlds are made of: markets drawn from a seed, doors over them, and what may go wrong at each call.

`Fate` says when a process dies, when it sleeps so long that another takes over, and when people do their deeds. All of
it happens at calls of doors: a `Mortal` door is where a process meets it, before a call and after it.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quaestor.bars import Bar
from quaestor.calendar import previous_session, session_close, sessions
from quaestor.config import RiskSection
from quaestor.faults import Call, Fault, Schedule
from quaestor.operations.decide import Mandate
from quaestor.ports import StoredSignal
from quaestor.risk import Record

ACCOUNT = "simulated"
FIRST = dt.date(2012, 1, 3)
CASH = Decimal(100_000)
TARGETS = (0.0, 0.0, 0.3, 0.6, 0.9)
CALLS = {
    "books": (
        "adopt anchor balances book book_executions booked_fills counts decide decided equity_before "
        "keep_reconciliation last_equity lots missing_actions open_orders orders_since peak_equity prove settle "
        "shares_by_journal suspects transitions unlatch"
    ),
    "control": "last_reconciliation latches",
    "broker": "account cancel executions halted orders submit",
    "market": "clock close_session fund open_session",
    "quotes": "blocked last_bar splits",
    "signals": "of_sessions",
    "activity": "record",
    "alerts": "send",
}
DOORS = [f"{door}.{name}" for door, names in CALLS.items() for name in names.split()]
PLACES = tuple(f"{moment} {name}" for name in DOORS for moment in ("before", "after"))


# ── a market ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Market:
    """Bars and what strategies want of them, drawn from a seed; on some days some symbols do not trade."""

    days: tuple[dt.date, ...]
    symbols: tuple[str, ...]
    bars: dict[tuple[str, dt.date], Bar]
    signals: tuple[StoredSignal, ...]

    @classmethod
    def drawn(cls, seed: int) -> Market:
        """Four or five sessions, three or four symbols, one to three strategies that open, trim, top up and close."""
        dice = random.Random(f"market {seed}")  # noqa: S311  # a simulation, no secret
        length, symbols, strategies = dice.randint(4, 5), dice.randint(3, 4), dice.randint(1, 3)
        days = tuple(sessions(FIRST, FIRST + dt.timedelta(days=2 * length + 10))[:length])
        names = tuple(f"S{number}" for number in range(symbols))
        bars = _walks(dice, (previous_session(days[0]), *days), names)
        signals = [
            _signal(f"strategy{n}", name, day, bars[name, day], dice.choice(TARGETS) / symbols)
            for day in map(previous_session, days)
            for n in range(strategies)
            for name in names
            if dice.random() < 0.8 and (name, day) in bars  # else it has no opinion
        ]
        return cls(days, names, bars, tuple(signals))

    @property
    def mandate(self) -> Mandate:
        """Who trades it: each strategy with the same share."""
        names = sorted({signal.strategy for signal in self.signals})
        weights = {name: 0.9 / len(names) for name in names}
        limits = RiskSection(max_position_weight=Decimal(1))
        return Mandate(ACCOUNT, self.symbols, weights, tuple(names), limits, CASH)

    def worth(self, held: dict[str, Decimal]) -> Decimal:
        """Dollars that shares are worth at the last closes there are."""
        closes = {symbol: bar.close for (symbol, _), bar in sorted(self.bars.items(), key=lambda each: each[0][1])}
        return sum((count * closes[symbol] for symbol, count in held.items()), Decimal(0))


def _walks(dice: random.Random, days: Sequence[dt.date], names: Sequence[str]) -> dict[tuple[str, dt.date], Bar]:
    bars = {}
    for name in names:
        price = dice.uniform(20, 200)
        for day in days:
            opened, price = price * dice.uniform(0.98, 1.02), price * dice.uniform(0.95, 1.05)
            high, low = max(opened, price) * dice.uniform(1, 1.02), min(opened, price) * dice.uniform(0.98, 1)
            opened_, high_, low_, close_ = (Decimal(f"{each:.2f}") for each in (opened, high, low, price))
            if day == days[0] or dice.random() > 0.05:
                bars[name, day] = Bar(name, day, session_close(day), opened_, high_, low_, close_, 1_000_000, 1)
    return bars


def _signal(strategy: str, symbol: str, day: dt.date, bar: Bar, target: float) -> StoredSignal:
    seen = {"close": float(bar.close), "bar_version": 1, "bars_seen": 1, "first_session": str(day)}
    end = session_close(day)
    return StoredSignal(strategy, strategy, "1", {}, symbol, day, end, target, 1, seen, None)


# ── doors ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Signals:
    """Implements what trading asks of `ports.SignalStore`."""

    market: Market

    async def of_sessions(self, digests: Sequence[str], start: dt.date, end: dt.date) -> list[StoredSignal]:
        """Signals with start ≤ session ≤ end."""
        return [s for s in self.market.signals if start <= s.session <= end and s.digest in digests]


class Activity:
    """Implements `ports.ActivityStore`: a simulated account has no record that limits it."""

    async def record(
        self, session: dt.date, symbols: Collection[str], quality_window: int, *, live: bool = False
    ) -> Record:
        """An empty one."""
        del session, symbols, quality_window, live
        return Record()


class Alerts:
    """Implements `ports.Alerts`: what a person would be told."""

    def __init__(self) -> None:
        self.urgent: list[str] = []

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        """Keep what is urgent."""
        if urgent:
            self.urgent.append(f"{title}: {body}")


@dataclass
class Told:
    """A schedule of faults that keeps what it did: how often each fault struck, and in which order in `log`."""

    schedule: Schedule
    struck: Counter[Fault]
    log: list[str]

    def strikes(self, call: Call) -> Fault | None:
        """As the schedule says."""
        fault = self.schedule.strikes(call)
        if fault is not None:
            self.struck[fault] += 1
            self.log.append(f"fault {fault} at {call}")
        return fault


# ── what may happen at a call ─────────────────────────────────────────────────────────────────────────────────────────


class Death(BaseException):
    """kill -9: nothing that is in the way of an error catches it."""


Deed = Callable[[], Awaitable[None]]


@dataclass
class Fate:
    """What happens to processes, drawn for each: it dies at one of its calls, or sleeps there while another takes over.

    Some deaths come after a number of calls, some at a place that is drawn first, however rare; none comes once `lives`
    are spent. `deeds` are done at the calls of these numbers, all processes counted together.
    """

    dice: random.Random
    lives: int
    log: list[str] = field(default_factory=list)
    deeds: dict[int, Deed] = field(default_factory=dict)
    met: Counter[str] = field(default_factory=Counter)
    called: Counter[str] = field(default_factory=Counter)
    takeover: Deed | None = None
    deaths: int = 0
    thefts: int = 0
    passed: int = 0
    span: int = 150  # calls within which one dies, or falls asleep
    rare: float = 0.5  # share of deaths at a drawn place
    _left: int = -1
    _place: str = ""
    _asleep: int = -1

    def born(self) -> None:
        """A new process: where it will die, and where it will sleep."""
        self._left, self._place, self._asleep = -1, "", -1
        if self.deaths < self.lives:
            if self.dice.random() >= self.rare:
                self._left = self.dice.randint(1, self.span)
            else:
                self._left, self._place = self.dice.randint(1, 2), self.dice.choice(PLACES)
        if self.thefts < self.lives and self.dice.random() < 0.15:
            self._asleep = self.dice.randint(1, self.span)

    def reach(self, place: str) -> None:
        """A call begins, or has ended."""
        if self._left > 0 and self._place in {"", place}:
            self._left -= 1
            if self._left == 0:
                self.deaths += 1
                self.met[place] += 1
                self.log.append(f"death {place}")
                raise Death

    async def sleep(self, place: str) -> None:
        """Others act while it is at a call."""
        self.passed += 1
        if deed := self.deeds.pop(self.passed, None):
            await deed()
        self._asleep -= 1
        if self._asleep == 0 and self.takeover is not None:
            self.thefts += 1
            self.log.append(f"overtaken {place}")
            await self.takeover()
            self.log.append(f"awake {place}")


class Mortal:
    """A door at whose calls things happen to a process."""

    def __init__(self, door: str, real: Any, fate: Fate) -> None:
        self._door, self._real, self._fate = door, real, fate

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        if not callable(real):
            return real
        before, after, fate = f"before {self._door}.{name}", f"after {self._door}.{name}", self._fate

        async def call(*words: Any, **named: Any) -> Any:
            fate.called[before] += 1
            fate.reach(before)
            await fate.sleep(before)
            answer = await real(*words, **named)
            fate.reach(after)
            return answer

        self.__dict__[name] = call
        return call
