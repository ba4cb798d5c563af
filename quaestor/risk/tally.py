"""The tally: what positions and orders on their way add up to.

It is kept up as each order passes, so that the price of judging one does not grow with those before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

import msgspec

from quaestor.orders import SELL, Intent, Side
from quaestor.risk.rule import ZERO

Kind = tuple[str, str, Side]  # strategy, symbol, side


class Holdings(msgspec.Struct, frozen=True):
    """Dollars of positions at the reference prices: long or short, and with what is owed set against what is owned."""

    gross: Decimal
    net: Decimal
    by_symbol: Mapping[str, Decimal]  # gross

    @classmethod
    def of(cls, shares: Mapping[tuple[str, str], Decimal], prices: Mapping[str, Decimal]) -> Holdings:
        """`shares` by strategy and symbol, `prices` by symbol."""
        values = [(symbol, quantity * prices[symbol]) for (_, symbol), quantity in shares.items() if quantity]
        by_symbol: dict[str, Decimal] = {}
        for symbol, value in values:
            by_symbol[symbol] = by_symbol.get(symbol, ZERO) + abs(value)
        return cls(sum(by_symbol.values(), ZERO), sum((value for _, value in values), ZERO), by_symbol)


class Tally(msgspec.Struct, frozen=True):
    """Orders that may still fill. Dollars at their reference prices.

    entries: of those that buy, by symbol; spent: the same in all; bought: of those let through in this decision; sales
    by symbol, oldest first; passed: those let through in this decision, by strategy, symbol and side.
    """

    entries: Mapping[str, Decimal] = msgspec.field(default_factory=dict)
    spent: Decimal = ZERO
    bought: Decimal = ZERO
    sales: Mapping[str, tuple[Intent, ...]] = msgspec.field(default_factory=dict)
    passed: Mapping[Kind, tuple[Intent, ...]] = msgspec.field(default_factory=dict)

    @classmethod
    def of(cls, working: Iterable[tuple[Intent, Decimal]], passed: Iterable[Intent]) -> Tally:
        """`working`: orders of earlier decisions with the shares that they may still fill."""
        entries: dict[str, Decimal] = {}
        sales: dict[str, tuple[Intent, ...]] = {}
        spent = ZERO
        for intent, left in working:
            symbol = intent.symbol
            if intent.side is SELL:
                sales[symbol] = (*sales.get(symbol, ()), intent)
            else:
                value = left * intent.reference_price
                entries[symbol] = entries.get(symbol, ZERO) + value
                spent += value
        tally = cls(entries, spent, ZERO, sales)
        for intent in passed:
            tally = tally.after(intent)
        return tally

    def after(self, intent: Intent) -> Tally:
        """Once this order is let through."""
        symbol = intent.symbol
        kind = (intent.strategy, symbol, intent.side)
        alike = {**self.passed, kind: (*self.passed.get(kind, ()), intent)}
        if intent.side is SELL:
            sales = {**self.sales, symbol: (*self.sales.get(symbol, ()), intent)}
            return Tally(self.entries, self.spent, self.bought, sales, alike)
        value = intent.notional
        entries = {**self.entries, symbol: self.entries.get(symbol, ZERO) + value}
        return Tally(entries, self.spent + value, self.bought + value, self.sales, alike)
