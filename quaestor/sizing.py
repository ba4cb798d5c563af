"""Sizing: from what strategies want to orders that would get there.

Each strategy has a sleeve: its weight of the account's equity. A target weight of the sleeve becomes whole shares at
the last close; the difference to what the strategy holds becomes one order, unless it is too small to be worth its
costs or lies within the rebalance band. A target of zero sells all; a symbol without an opinion is left alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from decimal import ROUND_FLOOR, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from quaestor.orders import BUY, SELL, Intent, at_once
from quaestor.ports import StoredSignal

if TYPE_CHECKING:
    from quaestor.config import RiskSection

ZERO = Decimal(0)
# What is the same of all orders of targets: at the market, for the day, alone.
AT_MARKET = {each.name: each.default for each in fields(Intent) if each.default is not MISSING}
del AT_MARKET["reduces"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An order that a target asks for, with the figures that led to it (dollars, shares)."""

    intent: Intent
    signal: StoredSignal
    sleeve: Decimal
    held: Decimal
    wanted: Decimal


def plan(
    account: str,
    session: dt.date,
    signals: Iterable[StoredSignal],
    weights: Mapping[str, float],
    equity: Decimal,
    shares: Mapping[tuple[str, str], Decimal],
    prices: Mapping[str, Decimal],
    limits: RiskSection,
) -> list[Wanted]:
    """Orders for a session, exits first; `weights` by strategy, `prices` are reference prices by symbol."""
    wanted = []
    for signal in signals:
        price = prices.get(signal.symbol)
        if price is None or signal.strategy not in weights:
            continue
        held = shares.get((signal.strategy, signal.symbol), ZERO)
        sleeve = equity * _exact(weights[signal.strategy])
        goal = (sleeve * _exact(signal.target) / price).to_integral_value(ROUND_FLOOR)
        change = _change(held, goal, price, limits)
        if change:
            intent = _intent(account, session, signal, change, price)
            wanted.append(Wanted(intent, signal, sleeve, held, goal))
    return sorted(wanted, key=lambda w: (not w.intent.reduces, w.intent.strategy, w.intent.symbol))


@lru_cache(maxsize=1024, typed=True)  # weights and targets are few, and asked for with every order
def _exact(weight: float) -> Decimal:
    return Decimal(repr(weight))


def _change(held: Decimal, goal: Decimal, price: Decimal, limits: RiskSection) -> Decimal:
    """Shares to trade: positive buys. All of it to open or to close, otherwise only beyond band and minimum."""
    change = goal - held
    if goal == 0:
        return -held
    if held and abs(change) <= goal * limits.rebalance_band:
        return ZERO
    if abs(change) * price < limits.min_order_notional:
        return ZERO
    return change.to_integral_value(ROUND_FLOOR) if change > 0 else -((-change).to_integral_value(ROUND_FLOOR))


def _intent(account: str, session: dt.date, signal: StoredSignal, change: Decimal, price: Decimal) -> Intent:
    return at_once(
        Intent,
        **AT_MARKET,
        account=account,
        strategy=signal.strategy,
        symbol=signal.symbol,
        session=session,
        cause_key=f"{signal.symbol}|{signal.timeframe}|{signal.bar_end.astimezone(dt.UTC).isoformat()[:19]}Z",
        side=BUY if change > 0 else SELL,
        quantity=abs(change),
        reference_price=price,
        reduces=change < 0,
        provenance={},
    )


def strategy_shares(lots: Sequence[tuple[str, str, Decimal]]) -> dict[tuple[str, str], Decimal]:
    """Shares by (strategy, symbol) from (strategy, symbol, quantity) rows."""
    held: dict[tuple[str, str], Decimal] = {}
    for strategy, symbol, quantity in lots:
        held[strategy, symbol] = held.get((strategy, symbol), ZERO) + quantity
    return held
