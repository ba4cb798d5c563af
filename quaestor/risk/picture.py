"""The picture: the account and the market as the gate sees them, frozen. An order that passes makes a new one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import cached_property

import msgspec

from quaestor.orders import BUY, SELL, Intent
from quaestor.risk.record import Record
from quaestor.risk.rule import ZERO
from quaestor.risk.tally import Holdings, Tally


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Bid and ask in dollars per share, and when they stood."""

    bid: Decimal
    ask: Decimal
    at: dt.datetime

    @property
    def sound(self) -> bool:
        """Both are prices, and not crossed."""
        return self.bid.is_finite() and self.ask.is_finite() and ZERO < self.bid <= self.ask

    @property
    def mid(self) -> Decimal:
        """Halfway between them."""
        return (self.bid + self.ask) / 2


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """An order that was sent, and when."""

    intent: Intent
    at: dt.datetime


@dataclass(frozen=True)
class Live:
    """This moment, where there is one: a picture on recorded daily bars has none.

    now: by our clock; skew: seconds by which it is ahead of the database's (None: not measured); newest: the newest
    instant that the books know of; recent: orders sent lately.
    """

    now: dt.datetime
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    skew: Decimal | None = None
    newest: dt.datetime | None = None
    recent: tuple[Attempt, ...] = ()


class Working(msgspec.Struct, frozen=True, gc=False):
    """An order decided earlier that may still fill, and the shares it may."""

    intent: Intent
    left: Decimal

    @property
    def notional(self) -> Decimal:
        """Dollars at the reference price that may still be traded."""
        return self.left * self.intent.reference_price


@dataclass(frozen=True)
class Picture:
    """The account as the gate sees it before an order. Dollars and shares.

    `shares` by (strategy, symbol), `prices` the reference prices by symbol, `bar_age` sessions since each symbol's
    newest bar; `trading` is the session that the market takes orders for now (None: it takes none), `halted` the
    symbols it takes none for, `blocked` those whose data a person must look at; `unknown` symbols with an UNKNOWN
    order, `unknown_exits` those where it is an exit. `settled` is the newest settled session, `compared` the newest
    after which books and broker were found to agree; `universe` the symbols that may be traded (None: any); `record`
    what the account did lately (None: not known, and no entry is made); `working` are open orders of earlier decisions,
    `passed` those already let through in this one.
    """

    session: dt.date
    equity: Decimal
    cash: Decimal
    peak: Decimal
    previous_equity: Decimal
    shares: Mapping[tuple[str, str], Decimal]
    prices: Mapping[str, Decimal]
    bar_age: Mapping[str, int]
    trading: dt.date | None
    halted: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    latches: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()
    unknown_exits: frozenset[str] = frozenset()
    settled: dt.date | None = None
    compared: dt.date | None = None
    universe: frozenset[str] | None = None
    record: Record | None = None
    live: Live | None = None
    working: tuple[Working, ...] = ()
    passed: tuple[Intent, ...] = ()

    def after(self, intent: Intent) -> Picture:
        """The picture once this order is on its way: its cash is spoken for, its exposure counts."""
        spent = intent.notional if intent.side is BUY else ZERO
        following = replace(self, cash=self.cash - spent, passed=(*self.passed, intent))
        following.__dict__.update(tally=self.tally.after(intent), holdings=self.holdings)  # they are not counted anew
        return following

    def last(self, symbol: str) -> Decimal | None:
        """The last price: the middle of a sound quote, else the last close."""
        quote = self.live.quotes.get(symbol) if self.live else None
        return quote.mid if quote is not None and quote.sound else self.prices.get(symbol)

    def on_their_way(self) -> Iterator[tuple[Intent, Decimal]]:
        """All orders that may still fill, oldest first, with the shares they may."""
        yield from ((order.intent, order.left) for order in self.working)
        yield from ((intent, intent.quantity) for intent in self.passed)

    @cached_property
    def tally(self) -> Tally:
        """What orders on their way add up to."""
        return Tally.of(((order.intent, order.left) for order in self.working), self.passed)

    @cached_property
    def holdings(self) -> Holdings:
        """What positions are worth."""
        return Holdings.of(self.shares, self.prices)

    def exposure(self, symbol: str | None = None) -> Decimal:
        """Market value of positions, long or short, and of entries on their way; in one symbol or in all."""
        if symbol is None:
            return self.holdings.gross + self.tally.spent
        return self.holdings.by_symbol.get(symbol, ZERO) + self.tally.entries.get(symbol, ZERO)

    def net(self) -> Decimal:
        """The same, with what is owed set against what is owned."""
        return self.holdings.net + self.tally.spent

    def positions(self) -> AbstractSet[str]:
        """Symbols that are held or about to be."""
        return self.holdings.by_symbol.keys() | self.tally.entries.keys()

    def sellable(self, strategy: str, symbol: str, order: Intent | None = None) -> Decimal:
        """Shares of the strategy that no order sells yet; orders that cancel each other are counted once.

        Those that `order` is paired with, or replaces, do not stand in its way.
        """
        going: dict[str, Decimal] = {}
        groups: dict[uuid.UUID, str] = {}
        for intent, left in self.on_their_way():
            if intent.symbol == symbol and intent.strategy == strategy and intent.side is SELL:
                group = groups[intent.ref_id] = _group(intent, groups)
                going[group] = max(going.get(group, ZERO), left)
        if order is not None and going:
            going.pop(_group(order, groups), None)
        return self.shares.get((strategy, symbol), ZERO) - sum(going.values(), ZERO)


def _group(intent: Intent, groups: Mapping[uuid.UUID, str]) -> str:
    """What a sale is counted with: the order it replaces, its pair, or nothing else."""
    replaced = groups.get(intent.replaces) if intent.replaces else None
    return replaced or intent.oco or str(intent.ref_id)
