"""What an account did lately, from its books alone: facts that the door reads, and what follows from them.

A *close* is one order that sold; its fills are one fact, however many there were.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import takewhile

from quaestor.calendar import settles
from quaestor.risk.rule import ZERO


@dataclass(frozen=True, slots=True)
class Sale:
    """What one order sold in one session: proceeds (dollars, less fees) and the gain on their cost, fees apart."""

    order: str
    symbol: str
    session: dt.date
    at: dt.datetime
    proceeds: Decimal
    realized: Decimal


@dataclass(frozen=True)
class Record:
    """attempts: sends in the last minute, on recorded daily bars for the session; orders: orders decided for the
    session before; sales of the last year, newest first; quarantined: bars in quarantine among the newest sessions, by
    symbol; splitting: held symbols with a split that the books lack.
    """

    attempts: int = 0
    orders: int = 0
    sales: tuple[Sale, ...] = ()
    quarantined: Mapping[str, int] = field(default_factory=dict)
    splitting: frozenset[str] = frozenset()

    def realized(self, since: dt.date) -> Decimal:
        """Gains less losses of what was sold from that session on."""
        if (known := self._sums.get(since)) is None:
            gains = (sale.realized for sale in takewhile(lambda sale: sale.session >= since, self.sales))
            known = self._sums[since] = sum(gains, ZERO)
        return known

    def counted(self, orders: int) -> Record:
        """The record once so many more orders were sent."""
        worked_out = {"_sums": self._sums, "_closes": self._closes, "_streak": self._streak, "_losses": self._losses}
        more = object.__new__(Record)  # made for each order: a frozen one's own constructor sets field by field
        more.__dict__.update(self.__dict__, **worked_out, attempts=self.attempts + orders, orders=self.orders + orders)
        return more

    def followed(self, sales: Sequence[Sale], attempts: int, orders: int) -> Record:
        """The record once these were sold, newest first, each by an order that sold nothing before."""
        new = Record(sales=tuple(sales))
        more = Record(attempts, orders, new.sales + self.sales, self.quarantined, self.splitting)
        streak = new._streak + (self._streak if new._streak == len(new._closes) else 0)
        sums = {since: gains + new.realized(since) for since, gains in self._sums.items()}
        closes, losses = new._closes + self._closes, {**self._losses, **new._losses}
        more.__dict__.update(_sums=sums, _closes=closes, _streak=streak, _losses=losses)
        return more

    def losses(self) -> int:
        """Losing closes in a row, up to now."""
        return self._streak

    def last_loss(self, symbol: str | None = None) -> dt.date | None:
        """The session of the newest losing close, of a symbol or of all."""
        return self._losses.get(symbol)

    def unsettled(self, session: dt.date) -> Decimal:
        """Proceeds that are not ours to spend by that session."""
        return sum((sale.proceeds for sale in takewhile(lambda s: settles(s.session) > session, self.sales)), ZERO)

    @cached_property
    def _sums(self) -> dict[dt.date, Decimal]:
        """What was asked for: gains since a session."""
        return {}

    @cached_property
    def _closes(self) -> tuple[tuple[str, dt.date, Decimal], ...]:
        """Symbol, last session and gain of each order that sold, newest first."""
        gains: dict[str, Decimal] = {}
        newest: dict[str, Sale] = {}
        for sale in self.sales:
            gains[sale.order] = gains.get(sale.order, ZERO) + sale.realized
            newest.setdefault(sale.order, sale)
        return tuple((sale.symbol, sale.session, gains[order]) for order, sale in newest.items())

    @cached_property
    def _streak(self) -> int:
        return sum(1 for _ in takewhile(lambda close: close[2] < 0, self._closes))

    @cached_property
    def _losses(self) -> dict[str | None, dt.date]:
        """The newest losing close by symbol; under None that of all."""
        newest: dict[str | None, dt.date] = {}
        for symbol, session, gain in self._closes:
            if gain < 0:
                newest.setdefault(symbol, session)
                newest.setdefault(None, session)
        return newest
