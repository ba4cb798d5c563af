"""What an account did lately, from its books alone: facts that the door reads, and what follows from them.

A *close* is one order that sold; its fills are one fact, however many there were.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import takewhile

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
        return sum((sale.realized for sale in self.sales if sale.session >= since), ZERO)

    def losses(self) -> int:
        """Losing closes in a row, up to now."""
        return sum(1 for _ in takewhile(lambda gain: gain < 0, (gain for _, _, gain in self._closes())))

    def last_loss(self, symbol: str | None = None) -> dt.date | None:
        """The session of the newest losing close, of a symbol or of all."""
        sold = ((name, session) for name, session, gain in self._closes() if gain < 0)
        return next((session for name, session in sold if symbol in {None, name}), None)

    def unsettled(self, session: dt.date) -> Decimal:
        """Proceeds that are not ours to spend by that session."""
        from quaestor.calendar import settles

        return sum((sale.proceeds for sale in self.sales if settles(sale.session) > session), ZERO)

    def _closes(self) -> Iterator[tuple[str, dt.date, Decimal]]:
        """Symbol, last session and gain of each order that sold, newest first."""
        gains: dict[str, Decimal] = {}
        newest: dict[str, Sale] = {}
        for sale in self.sales:
            gains[sale.order] = gains.get(sale.order, ZERO) + sale.realized
            newest.setdefault(sale.order, sale)
        return ((sale.symbol, sale.session, gains[order]) for order, sale in newest.items())
