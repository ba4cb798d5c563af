"""A market and strategies for benchmarks of the engine: ticks of random walks, a callback on each, a rule on bars."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from quaestor import calendar
from quaestor.barring import LiveBar, nanoseconds
from quaestor.config import RiskSection
from quaestor.live.engine import Engine
from quaestor.live.events import Player, Session, Setup, Ticks
from quaestor.strategies.base import Strategy
from quaestor.strategies.catalogue import Built
from quaestor.strategies.live import Follower, LiveStrategy
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from quaestor.triggers import Above, Alert, Below, Trigger
from quaestor.windows import Ema

DAY = dt.date(2026, 11, 20)
OPENS, CLOSES = (nanoseconds(at(DAY)) for at in (calendar.session_open, calendar.session_close))
BATCH = 50  # ticks that the feed tells at a time
TRADES = 0.3  # of all ticks


def names(count: int) -> list[str]:
    """Symbols."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [f"S{letters[n // 676]}{letters[n // 26 % 26]}{letters[n % 26]}" for n in range(count)]


def walk(symbols: Sequence[str], count: int, seed: int = 1, minutes: int = 60) -> list[Tick]:
    """Part of a session, from its 15th minute on: quotes a cent about the middle, trades at it."""
    chance = random.Random(seed)
    prices = dict.fromkeys(symbols, 100.0)
    ticks: list[Tick] = []
    start = OPENS + 900 * SECOND
    step = minutes * 60 * SECOND // count
    for n in range(count):
        symbol, at = chance.choice(symbols), start + n * step
        price = prices[symbol] = prices[symbol] * (1 + chance.gauss(0, 5e-5))
        if chance.random() < TRADES:
            ticks.append(TradeTick(symbol, at, round(price, 2), 100.0))
        else:
            ticks.append(QuoteTick(symbol, at, round(price - 0.01, 2), round(price + 0.01, 2), 1e4, 1e4))
    return ticks


def told(ticks: Sequence[Tick]) -> list[Ticks]:
    """The same, as a feed tells them."""
    parts = (ticks[n : n + BATCH] for n in range(0, len(ticks), BATCH))
    return [Ticks(part[-1].at, part) for part in parts]


def rules(symbols: Sequence[str], count: int) -> list[Trigger]:
    """Triggers about the prices, half above and half below, half on trades and half on quotes; hardly any fires."""
    chance = random.Random(2)
    found = []
    for n in range(count):
        far = 0.01 + 0.5 * chance.random()
        condition = Above(100 * (1 + far)) if n % 2 else Below(100 * (1 - far))
        source: Any = "mid" if n // 2 % 2 else "trade"
        symbol = symbols[n % len(symbols)]
        found.append(Trigger(uuid.UUID(int=n + 1), symbol, condition, Alert("bench"), price=source))
    return found


@dataclass(frozen=True)
class Watch(LiveStrategy):
    """Sees every tick and compares it with a threshold, which is never reached."""

    name = "watch"

    def follow(self, symbol: str) -> Follower:
        """A threshold of its own."""
        del symbol
        return _Watching()


class _Watching(Follower):
    wants_ticks: ClassVar[bool] = True

    def __init__(self) -> None:
        self.level = 1e6

    def on_tick(self, tick: Tick) -> float | None:
        price = tick.price if type(tick) is TradeTick else tick.ask  # type: ignore[union-attr]
        return 0.0 if price > self.level else None


@dataclass(frozen=True)
class Bars(LiveStrategy):
    """A fast average of closes over a slow one: two windows and a comparison at each bar of a minute; no orders."""

    name = "bars"

    def follow(self, symbol: str) -> Follower:
        """Two averages."""
        del symbol
        return _Averages()


class _Averages(Follower):
    def __init__(self) -> None:
        self._fast, self._slow = Ema(5), Ema(20)

    def on_bar(self, bar: LiveBar) -> float | None:
        fast, slow = self._fast.push(bar.close), self._slow.push(bar.close)
        return None if fast is None or slow is None or fast < 2 * slow else 0.0


@dataclass(frozen=True)
class Flip(LiveStrategy):
    """Buys a symbol at every so many of its ticks, and sells it when a tenth as many have passed.

    With `share` 0 it counts and wants nothing.
    """

    name = "flip"
    every: int = 50
    share: float = 0.01

    def follow(self, symbol: str) -> Follower:
        """A counter of its own."""
        del symbol
        return _Flipping(self.every, self.share)


class _Flipping(Follower):
    wants_ticks: ClassVar[bool] = True

    def __init__(self, every: int, share: float) -> None:
        self._every, self._share, self._seen, self._wants = every, share, 0, 0.0

    def on_tick(self, tick: Tick) -> float | None:
        del tick
        self._seen += 1
        turn = self._seen % self._every
        if turn == 0:
            self._wants = self._share
        elif turn == self._every // 10:
            self._wants = 0.0
        else:
            return None
        return self._wants if self._share else None


KINDS: dict[str, type[Strategy]] = {"watch": Watch, "bars": Bars, "flip": Flip}


def find(name: str, parameters: Mapping[str, Any]) -> Built:
    """A strategy of this module, as the catalogue would build it."""
    return Built(KINDS[name](**parameters), name, f"{name}-bench", dict(parameters), "0" * 64)


def engine(
    symbols: Sequence[str],
    triggers: Sequence[Trigger],
    use: Mapping[str, Mapping[str, Any]],
    limits: RiskSection | None = None,
) -> tuple[Engine, Session]:
    """An engine that is set up, and the session that is its next event."""
    made = Engine(find)
    players = tuple(Player(name, dict(parameters), f"{name}-bench", "0" * 64, 1.0) for name, parameters in use.items())
    risk = (limits or RiskSection()).model_dump(mode="json")
    plain = tuple(trigger.as_dict() for trigger in triggers)
    made.on(Setup(OPENS, uuid.UUID(int=1), "main", tuple(symbols), risk, players, plain, "bench", "bench"))
    prices = dict.fromkeys(symbols, Decimal(100))
    return made, Session(OPENS, DAY, OPENS, CLOSES, prices, dict.fromkeys(symbols, 1))
