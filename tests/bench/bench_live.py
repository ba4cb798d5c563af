"""The engine: ticks per CPU second, what an order costs in simulation, and what more triggers cost.

An hour of recorded ticks over 100 symbols, 3 in 10 of them trades, goes through the engine as a feed tells them, 50 at
a time: bars of a minute are made, 1,000 triggers watch, one strategy's Python callback compares every tick with a
threshold, another folds every bar into two averages. The limit is a plain loop in Python that does the least of it:
it keeps each symbol's last price, compares it with the nearest threshold and calls back.

An order costs what a run with orders costs more than the same ticks without. The gate's limits that would stop it are
raised: notional is small, but orders per minute and session, open positions, the duplicate window and losing closes in
a row are not those of a person's account.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from run import Figure, note
from ticking import engine, names, rules, told, walk

from quaestor.config import RiskSection
from quaestor.live.simulated import SimulatedAccount, play
from quaestor.ticks import Tick, TradeTick

COUNT, SYMBOLS, RUNS = 500_000, 100, 5
ORDERED, EVERY = 300_000, 50  # ticks of the run with orders; two of them at every so many of a symbol
MANY, FEW, WIDE = 100_000, 1_000, 1_000
CASH = Decimal(1_000_000)
FREE = RiskSection(
    max_orders_per_minute=10**6,
    max_orders_per_session=10**6,
    max_open_positions=SYMBOLS,
    duplicate_window=0,
    max_quote_age=Decimal(60),
    max_losses_in_a_row=10**6,
)
USE: dict[str, dict[str, Any]] = {"watch": {}, "bars": {}}


def figures() -> Iterator[Figure]:
    """Ticks, orders, triggers."""
    symbols = names(SYMBOLS)
    ticks = walk(symbols, COUNT)
    ours, plain = _in_turn(lambda: _engine(symbols, ticks, FEW), lambda: _plain(symbols, ticks))
    note(f"a plain loop: {plain / 1e3:,.0f} k ticks per CPU s; the engine does {ours / plain:.0%} of that")
    yield Figure("ticks, triggers, callbacks, bars: k ticks per CPU s", ours / 1e3, "k", ">= 400")
    yield from _orders(symbols)
    symbols = names(WIDE)
    ticks = walk(symbols, COUNT, minutes=10)
    few, many = _in_turn(lambda: _engine(symbols, ticks, FEW), lambda: _engine(symbols, ticks, MANY))
    note(
        f"{WIDE:,} symbols: with {FEW:,} triggers {few / 1e3:,.0f} k ticks per CPU s, with {MANY:,} {many / 1e3:,.0f} k"
    )
    yield Figure(f"{MANY:,} triggers: rate / that with {FEW:,}", many / few, "x", ">= 0.8")


def _in_turn(*measures: Callable[[], float]) -> list[float]:
    """The median of each, measured in turn: what else goes on in the machine is shared by all."""
    runs = [[measure() for measure in measures] for _ in range(RUNS)]
    return [statistics.median(each) for each in zip(*runs, strict=True)]


def _engine(symbols: Sequence[str], ticks: Sequence[Tick], triggers: int) -> float:
    """Ticks per CPU second; the account is there, and nothing is ordered."""
    made, session = engine(symbols, rules(symbols, triggers), USE)
    account = SimulatedAccount(CASH)
    play(made, [session, *told(ticks[:10_000])], account)
    rest = told(ticks[10_000:])
    cpu, played = _timed(lambda: play(made, rest, account))
    assert not played.orders
    return (len(ticks) - 10_000) / cpu


def _plain(symbols: Sequence[str], ticks: Sequence[Tick]) -> float:
    """The same, as short as Python can say it."""
    last = dict.fromkeys(symbols, 100.0)
    level = dict.fromkeys(symbols, 150.0)
    fired: list[Tick] = []

    def callback(tick: Tick) -> float | None:
        return 0.0 if tick is None else None

    def loop() -> None:
        for tick in ticks:
            symbol = tick.symbol
            price = tick.price if type(tick) is TradeTick else tick.ask  # type: ignore[union-attr]
            last[symbol] = price
            if price > level[symbol]:
                fired.append(tick)
            callback(tick)

    cpu, _ = _timed(loop)
    return len(ticks) / cpu


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    gc.collect()
    gc.freeze()  # the recorded ticks stand in memory only here
    began = time.process_time()
    done = work()
    return time.process_time() - began, done


def _orders(symbols: Sequence[str]) -> Iterator[Figure]:
    ticks = told(walk(symbols, ORDERED, seed=3))
    filled = 0

    def cpu(share: float) -> float:
        nonlocal filled
        made, session = engine(symbols, (), {"flip": {"every": EVERY, "share": share}}, FREE)
        seconds, played = _timed(lambda: play(made, [session, *ticks], SimulatedAccount(CASH)))
        assert not played.refused, played.refused
        filled = max(filled, len(played.fills))
        return seconds

    without, with_orders = _in_turn(lambda: cpu(0.0), lambda: cpu(0.01))
    note(f"{filled:,} orders, each submitted, judged, filled and booked: {with_orders - without:.2f} CPU s more")
    yield Figure(
        "an order submitted and filled in simulation: CPU ms", 1e3 * (with_orders - without) / filled, "ms", "<= 0.15"
    )
