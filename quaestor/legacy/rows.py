"""Rows of a bot, read: a price, an order or a trade; or rejected, with the reason."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from quaestor.orders import Side

Place = tuple[str, int]  # table, rowid


@dataclass(frozen=True, slots=True)
class Quote:
    """A price at a moment, or a bar: then `price` is the close, and open, high and low are there too."""

    table: str
    row_id: int
    symbol: str
    session: dt.date
    at: dt.datetime
    price: Decimal
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: Decimal | None
    digest: str

    @property
    def prices(self) -> tuple[Decimal | None, Decimal | None, Decimal | None, Decimal]:
        """Open, high, low, close."""
        return self.open, self.high, self.low, self.price


@dataclass(frozen=True, slots=True)
class Deal:
    """An order or a trade as the bot wrote it; `raw` is the row, as JSON with secrets masked."""

    table: str
    row_id: int
    id: str | None
    order_id: str | None
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    fee: Decimal | None
    pnl: Decimal | None
    state: str | None
    at: dt.datetime
    raw: str
    digest: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used: the field (ours), the rule that it breaks, what stands there."""

    table: str
    row_id: int
    field: str
    rule: str
    observed: str
