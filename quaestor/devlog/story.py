"""Story: what the evidence amounts to. Every figure of the devlog is computed here or in `quaestor.analytics`."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

from quaestor.analytics import Day, KeyFigures, daily, drawdowns, key_figures
from quaestor.devlog.evidence import DecidedOrder, Evidence, StrategySignals
from quaestor.devlog.proof import Proof, held_shares, prove
from quaestor.ledger import ZERO
from quaestor.orders import State
from quaestor.risk import Refusal
from quaestor.trades import (
    Close,
    ClosedTrade,
    Followed,
    Key,
    by_strategy,
    by_symbol,
    follow,
    profits_over_time,
)

T = TypeVar("T", Refusal, DecidedOrder)

FEW = 8  # orders: so few are told one by one
MOST = 10  # decisions told of a longer range
MONTHS = 24  # a longer range is told year by year


@dataclass(frozen=True, slots=True)
class StrategyLine:
    """One strategy in the range; `below_best` is how far its profit stands under its own highest, in dollars."""

    name: str
    signals: tuple[StrategySignals, ...]
    orders: int
    fills: int
    trades: int
    wins: int
    profit: Decimal
    below_best: Decimal
    best_session: dt.date | None


@dataclass(frozen=True, slots=True)
class Period:
    """A month or a year of the range: profit and equity at its end in dollars, return as a ratio, orders decided."""

    name: str
    profit: Decimal
    change: float
    equity: Decimal
    orders: int


@dataclass(frozen=True, slots=True)
class Group:
    """Things of one kind: how many, and the newest as an example."""

    kind: str
    count: int
    example: Refusal | DecidedOrder


class Story:
    """The evidence with everything that follows from it."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.curve = [close.equity for close in evidence.closes]
        self.before = evidence.before.equity if evidence.before else None

    # ── the account ───────────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def figures(self) -> KeyFigures:
        """Key figures of the range."""
        return key_figures(self.curve, self.trades, self.evidence.fills, self.before)

    @cached_property
    def days(self) -> list[Day]:
        """Each session's profit and return."""
        return daily(self.curve, self.before)

    @property
    def below_peak(self) -> float:
        """How far below the range's highest the account ended, 0 to 1."""
        return drawdowns(self.days)[-1] if self.days else 0.0

    @cached_property
    def followed(self) -> Followed:
        """All trades closed up to the end, and the lots then open."""
        return follow(self.evidence.journal)

    @cached_property
    def trades(self) -> tuple[ClosedTrade, ...]:
        """Trades closed in the range."""
        return tuple(trade for trade in self.followed.trades if self.evidence.holds(trade.closed))

    @cached_property
    def profits(self) -> list[dict[Key, Decimal]]:
        """Profit by (strategy, symbol) since the range began, at each close."""
        evidence = self.evidence
        return profits_over_time(evidence.closes, evidence.before, evidence.fills, evidence.flows)

    @property
    def last(self) -> Close | None:
        """The last close of the range."""
        return self.evidence.closes[-1] if self.evidence.closes else None

    @property
    def base(self) -> Decimal:
        """Equity before the range plus what was paid in: what its profits are measured against, in dollars."""
        return self.figures.opening_equity + self.figures.deposits

    @property
    def values(self) -> list[tuple[str, Decimal]]:
        """Dollars at market by symbol at the last close, the largest first."""
        totals: dict[str, Decimal] = {}
        for holding in self.last.holdings if self.last else ():
            totals[holding.symbol] = totals.get(holding.symbol, ZERO) + holding.value
        return sorted(totals.items(), key=lambda item: (-item[1], item[0]))

    def held_at(self, session: dt.date) -> list[tuple[str, Decimal]]:
        """Shares by symbol at that session's close, sorted."""
        holdings = next((close.holdings for close in self.evidence.closes if close.session == session), ())
        return sorted(held_shares(holdings).items())

    @cached_property
    def periods(self) -> list[Period]:
        """The range month by month, or year by year where it is long; empty within one month."""
        months = list(dict.fromkeys(f"{day.session:%Y-%m}" for day in self.days))
        if len(months) < 2:
            return []
        length = len("2012-01") if len(months) <= MONTHS else len("2012")
        names = list(dict.fromkeys(month[:length] for month in months))
        return [self._period(name) for name in names]

    def _period(self, name: str) -> Period:
        here = [place for place, day in enumerate(self.days) if day.session.isoformat().startswith(name)]
        opening = self.days[here[0] - 1].unit if here[0] else Decimal(1)
        return Period(
            name=name,
            profit=sum((self.days[place].profit for place in here), ZERO),
            change=float(self.days[here[-1]].unit / opening - 1) if opening else 0.0,
            equity=self.curve[here[-1]].equity,
            orders=sum(order.session.isoformat().startswith(name) for order in self.evidence.orders),
        )

    # ── whose doing it was ────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def strategies(self) -> list[StrategyLine]:
        """Each strategy that spoke or traded, the most profitable first."""
        spoke = {signals.strategy for signals in self.evidence.signals}
        traded = {strategy for profits in self.profits for strategy, _ in profits}
        ordered = {order.strategy for order in self.evidence.orders}
        lines = [self._line(name) for name in sorted(spoke | traded | ordered)]
        return sorted(lines, key=lambda line: (-line.profit, line.name))

    def _line(self, name: str) -> StrategyLine:
        course = self.course.get(name, [])
        best = max([ZERO, *course])
        trades = [trade for trade in self.trades if trade.strategy == name]
        profit = course[-1] if course else ZERO
        return StrategyLine(
            name=name,
            signals=tuple(signals for signals in self.evidence.signals if signals.strategy == name),
            orders=sum(order.strategy == name for order in self.evidence.orders),
            fills=sum(fill.strategy == name for fill in self.evidence.fills),
            trades=len(trades),
            wins=sum(trade.profit > 0 for trade in trades),
            profit=profit,
            below_best=best - profit,
            best_session=self.evidence.closes[course.index(best)].session if best > 0 else None,
        )

    @cached_property
    def course(self) -> dict[str, list[Decimal]]:
        """Each strategy's profit since the range began, at each close."""
        at_close = [by_strategy(profits) for profits in self.profits]
        names = sorted({name for profits in at_close for name in profits})
        return {name: [profits.get(name, ZERO) for profits in at_close] for name in names}

    @cached_property
    def symbols(self) -> list[tuple[str, Decimal]]:
        """Profit by symbol, the most profitable first."""
        profits = by_symbol(self.profits[-1]) if self.profits else {}
        return sorted(profits.items(), key=lambda item: (-item[1], item[0]))

    @property
    def winner(self) -> ClosedTrade | None:
        """The trade that earned most, if one earned at all."""
        best = max(self.trades, key=lambda trade: trade.profit, default=None)
        return best if best is not None and best.profit > 0 else None

    @property
    def loser(self) -> ClosedTrade | None:
        """The trade that lost most, if one lost at all."""
        worst = min(self.trades, key=lambda trade: trade.profit, default=None)
        return worst if worst is not None and worst.profit < 0 else None

    # ── what was decided, and what was not ────────────────────────────────────────────────────────────────────────────

    @cached_property
    def states(self) -> dict[State, int]:
        """Orders by state, in the order of an order's life."""
        counts = Counter(order.state for order in self.evidence.orders)
        return {state: counts[state] for state in State if counts[state]}

    @cached_property
    def decisions(self) -> list[DecidedOrder]:
        """The orders worth telling: all where they are few, else each strategy's largest and the extreme trades'."""
        orders = self.evidence.orders
        if len(orders) <= FEW:
            return list(orders)
        refs = {ref for trade in (self.winner, self.loser) if trade for ref in (trade.entry_ref, trade.exit_ref)}
        told = {order.ref_id: order for order in orders if order.ref_id in refs}
        for line in self.strategies:
            mine = [order for order in orders if order.strategy == line.name]
            largest = max(mine, key=lambda order: order.quantity * order.reference_price, default=None)
            told |= {largest.ref_id: largest} if largest else {}
        return sorted(told.values(), key=lambda order: (order.session, order.strategy, order.symbol))[:MOST]

    @cached_property
    def refused(self) -> list[Group]:
        """Refusals by rule, the most frequent first."""
        return _groups(self.evidence.refusals, lambda refusal: refusal.rule)

    @cached_property
    def unfilled(self) -> list[Group]:
        """Orders that ended without a single share, by state and reason."""
        ended = [o for o in self.evidence.orders if o.state.final and not o.filled]
        return _groups(ended, lambda order: f"{order.state}\n{order.reason}")

    @cached_property
    def working(self) -> list[DecidedOrder]:
        """Orders that may still change."""
        return [order for order in self.evidence.orders if not order.state.final]

    @cached_property
    def proofs(self) -> list[Proof]:
        """What must hold of the books, and whether it does."""
        earned = sum(self.profits[-1].values(), ZERO) if self.profits else ZERO
        return prove(self.evidence.closes, self.followed, earned, self.figures.profit)


def _groups(items: Iterable[T], kind: Callable[[T], str]) -> list[Group]:
    groups: dict[str, Group] = {}
    for item in items:
        seen = groups.get(kind(item))
        groups[kind(item)] = Group(kind(item), seen.count + 1 if seen else 1, item)
    return sorted(groups.values(), key=lambda group: (-group.count, group.kind))
