"""Proof: what must hold of the books, counted again from what they are made of (law 5).

Equity at each close is counted from cash, shares and prices; positions and realised gains from the journal of fills and
splits; the account's profit from what each strategy earned in each symbol.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from quaestor.devlog.words import money
from quaestor.ledger import ZERO, shares
from quaestor.trades import Close, Followed, Holding


@dataclass(frozen=True, slots=True)
class Proof:
    """What must hold, in how many of how many cases it does, and what the cases are."""

    claim: str
    held: int
    cases: int
    of: str = "cases"

    @property
    def ok(self) -> bool:
        """In all of them."""
        return self.held == self.cases


def prove(closes: Sequence[Close], followed: Followed, earned: Decimal, profit: Decimal) -> list[Proof]:
    """All proofs of a range: its closes, what the journal up to its end led to, what its strategies earned together."""
    if not closes:
        return []
    last = closes[-1]
    gains = sum((trade.gain for trade in followed.trades), ZERO)
    ours, kept = shares(followed.lots), held_shares(last.holdings)
    owned = {*ours, *kept}
    return [
        Proof("cash + positions at market = equity", sum(map(_adds_up, closes)), len(closes), "sessions"),
        Proof("capital + profit − fees = equity", sum(map(_balances, closes)), len(closes), "sessions"),
        Proof("sum of fills = positions", sum(ours.get(s) == kept.get(s) for s in owned), len(owned), "symbols"),
        Proof(
            f"gains of closed trades since the beginning = realised gains, {money(last.equity.realized)}",
            int(gains == last.equity.realized),
            1,
        ),
        Proof(f"profit of the strategies = profit of the account, {money(profit)}", int(earned == profit), 1),
    ]


def held_shares(holdings: Iterable[Holding]) -> dict[str, Decimal]:
    """Shares by symbol, every strategy's together."""
    totals: dict[str, Decimal] = {}
    for holding in holdings:
        totals[holding.symbol] = totals.get(holding.symbol, ZERO) + holding.quantity
    return totals


def _adds_up(close: Close) -> bool:
    """Counted again from the shares and prices of the close."""
    return close.equity.cash + sum((holding.value for holding in close.holdings), ZERO) == close.equity.equity


def _balances(close: Close) -> bool:
    books = close.equity
    return books.capital + books.earned == books.equity
