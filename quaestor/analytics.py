"""Key figures of an account: from its equity at each close and its closed trades.

Returns are *time-weighted*, as a fund computes them: the account is divided into units, a deposit buys units at the
last close, and a session's return is what one unit earned. Money put in is thus never a return; with no deposits after
the first the unit moves as equity does.

    volatility  s · √252, s the sample standard deviation of the sessions' returns
    sharpe      mean / s · √252, risk-free rate 0              W. F. Sharpe, Journal of Portfolio Management 21(1), 1994
    sortino     mean / d · √252, d = √mean(min(r, 0)²)         F. A. Sortino and L. N. Price, J. of Investing 3(3), 1994
    drawdown    1 − unit / highest unit so far (0 to 1); the account's opening counts as a high
    turnover    (dollars bought + dollars sold) / 2 / mean equity: how often the account was turned over in the range

Money is Decimal dollars, ratios are floats. What a range is too short or too flat to say is None, never NaN.
"""

from __future__ import annotations

import datetime as dt
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quaestor.ledger import ZERO, Equity
from quaestor.trades import ClosedTrade, Fill

YEAR = 252  # sessions
MONTH = 21  # sessions: a shorter range is not blown up to a yearly growth
FLAT = 1e-12  # a standard deviation below this is rounding, not risk


@dataclass(frozen=True, slots=True)
class Day:
    """One session: dollars earned, the value of one unit at its close (1 at the opening), and the unit's return."""

    session: dt.date
    profit: Decimal
    unit: Decimal
    change: float


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall: `depth` 0 to 1; `peak` None is the opening, `recovered` None is not yet."""

    depth: float
    peak: dt.date | None
    trough: dt.date
    recovered: dt.date | None


@dataclass(frozen=True, slots=True)
class KeyFigures:
    """What the account did in a range of sessions; see the head of this module for the definitions."""

    sessions: int
    opening_equity: Decimal
    final_equity: Decimal
    deposits: Decimal
    profit: Decimal
    fees: Decimal
    total_return: float
    cagr: float | None
    volatility: float | None
    sharpe: float | None
    sortino: float | None
    drawdown: Drawdown | None
    best: Day | None
    worst: Day | None
    exposure: float | None
    turnover: float | None
    trades: int
    win_rate: float | None
    average_win: Decimal | None
    average_loss: Decimal | None
    profit_factor: float | None


def key_figures(
    curve: Sequence[Equity],
    trades: Sequence[ClosedTrade] = (),
    fills: Iterable[Fill] = (),
    before: Equity | None = None,
) -> KeyFigures:
    """The key figures of consecutive closes, oldest first; trades and fills are those of the same sessions.

    `before` is the close before the first one; None says that the account begins with the first.
    """
    days = daily(curve, before)
    changes = [day.change for day in days]
    opening, final = before.equity if before else ZERO, curve[-1] if curve else before
    deposits = final.capital - (before.capital if before else ZERO) if final else ZERO
    total = float(days[-1].unit - 1) if days else 0.0
    wins = [trade.profit for trade in trades if trade.profit > 0]
    losses = [trade.profit for trade in trades if trade.profit < 0]
    return KeyFigures(
        sessions=len(days),
        opening_equity=opening,
        final_equity=final.equity if final else ZERO,
        deposits=deposits,
        profit=sum((day.profit for day in days), ZERO),
        fees=final.fees - (before.fees if before else ZERO) if final else ZERO,
        total_return=total,
        cagr=(1 + total) ** (YEAR / len(days)) - 1 if len(days) >= MONTH and total > -1 else None,
        volatility=_volatility(changes),
        sharpe=_ratio(changes, _spread(changes)),
        sortino=_ratio(changes, _downside(changes)),
        drawdown=drawdown(days),
        best=max(days, key=lambda day: day.change, default=None),
        worst=min(days, key=lambda day: day.change, default=None),
        exposure=_exposure(curve),
        turnover=_turnover(curve, fills),
        trades=len(trades),
        win_rate=len(wins) / len(trades) if trades else None,
        average_win=_mean(wins),
        average_loss=_mean(losses),
        profit_factor=float(sum(wins, ZERO) / -sum(losses, ZERO)) if losses else None,
    )


def daily(curve: Sequence[Equity], before: Equity | None = None) -> list[Day]:
    """Each session's profit and return; deposits are made at the open, before anything is earned."""
    equity, capital = (before.equity, before.capital) if before else (ZERO, ZERO)
    unit, units, days = Decimal(1), equity, []
    for close in curve:
        deposit = close.capital - capital
        units += deposit / unit if unit else ZERO
        value = close.equity / units if units else unit
        change = float(value / unit - 1) if unit else 0.0
        days.append(Day(close.session, close.equity - equity - deposit, value, change))
        equity, capital, unit = close.equity, close.capital, value
    return days


def drawdowns(days: Iterable[Day]) -> list[float]:
    """How far below its highest the unit stood at each close, 0 to 1."""
    high, depths = Decimal(1), []
    for day in days:
        high = max(high, day.unit)
        depths.append(float(1 - day.unit / high))
    return depths


def drawdown(days: Sequence[Day]) -> Drawdown | None:
    """The deepest fall, the first of equal ones; None where the unit never fell below an earlier high."""
    depths = drawdowns(days)
    depth = max(depths, default=0.0)
    if depth <= 0:
        return None
    bottom = depths.index(depth)
    high = max([Decimal(1), *(day.unit for day in days[:bottom])])
    peak = next((day.session for day in reversed(days[:bottom]) if day.unit == high), None)
    recovered = next((day.session for day in days[bottom:] if day.unit >= high), None)
    return Drawdown(depth, peak, days[bottom].session, recovered)


def _spread(changes: Sequence[float]) -> float | None:
    return statistics.stdev(changes) if len(changes) > 1 else None


def _downside(changes: Sequence[float]) -> float | None:
    return (
        math.sqrt(math.fsum(min(change, 0.0) ** 2 for change in changes) / len(changes)) if len(changes) > 1 else None
    )


def _volatility(changes: Sequence[float]) -> float | None:
    spread = _spread(changes)
    return None if spread is None else spread * math.sqrt(YEAR)


def _ratio(changes: Sequence[float], risk: float | None) -> float | None:
    """Mean return per unit of risk, a year's worth."""
    return statistics.fmean(changes) / risk * math.sqrt(YEAR) if risk is not None and risk > FLAT else None


def _exposure(curve: Sequence[Equity]) -> float | None:
    shares = [float(close.market_value / close.equity) for close in curve if close.equity]
    return statistics.fmean(shares) if shares else None


def _turnover(curve: Sequence[Equity], fills: Iterable[Fill]) -> float | None:
    mean = _mean([close.equity for close in curve])
    traded = sum((fill.execution.quantity * fill.execution.price for fill in fills), ZERO)
    return float(traded / 2 / mean) if mean else None


def _mean(amounts: Sequence[Decimal]) -> Decimal | None:
    return sum(amounts, ZERO) / len(amounts) if amounts else None
