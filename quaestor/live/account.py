"""The account as a live run knows it: what the books say, and what was sent since."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import msgspec

from quaestor.risk import Record, Working


class Position(msgspec.Struct, frozen=True):
    """Shares that a strategy holds, and what they cost in all, dollars."""

    strategy: str
    symbol: str
    quantity: Decimal
    cost: Decimal


class AccountState(msgspec.Struct, frozen=True):
    """The books at a moment; names as in `risk.Picture`. Dollars, shares.

    `trading` is the session that the broker takes orders for (None: none); `known` names those of the orders that
    the engine asked about which are in the books, whatever became of them; `working` those that may still fill, without
    their evidence.
    """

    trading: dt.date | None
    equity: Decimal
    previous_equity: Decimal
    peak: Decimal
    cash: Decimal
    positions: tuple[Position, ...]
    working: tuple[Working, ...]
    known: tuple[uuid.UUID, ...]
    latches: tuple[str, ...]
    record: Record | None
    settled: dt.date | None = None
    compared: dt.date | None = None
    unknown: tuple[str, ...] = ()
    unknown_exits: tuple[str, ...] = ()
    skew: Decimal | None = None
