"""Orders as the books have them, made in a line, for tests of what follows from them."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from quaestor.orders import Intent, OrderUpdate, Side, State
from quaestor.ports import StoredOrder

DAY = dt.date(2012, 1, 4)
AT = dt.datetime(2012, 1, 4, 14, 30, tzinfo=dt.UTC)
ZERO = Decimal(0)


def entry(symbol: str = "AAPL", cause: str = "c", **terms: Any) -> Intent:
    """A purchase of ten."""
    return Intent("paper", "s", symbol, DAY, cause, Side.BUY, Decimal(10), Decimal(50), **terms)


def leave(symbol: str = "AAPL", cause: str = "c", **terms: Any) -> Intent:
    """A sale of ten that reduces what is held."""
    return Intent("paper", "s", symbol, DAY, cause, Side.SELL, Decimal(10), Decimal(50), reduces=True, **terms)


def stored(intent: Intent, state: State = State.PLANNED, filled: int = 0, epoch: int = 1) -> StoredOrder:
    """The order of an intent in that state; the broker's id for it is `B-` and ours, once it has told one."""
    told = state not in {State.PLANNED, State.SUBMITTING, State.UNKNOWN, State.EXPIRED_UNSENT}
    broker_id = f"B-{intent.ref_id}" if told else None
    return StoredOrder(intent, intent.ref_id, state, epoch, broker_id, Decimal(filled), None, AT, AT)


def update(intent: Intent, state: State, filled: int = 0, *, ref_id: uuid.UUID | None = None) -> OrderUpdate:
    """What the broker says of it."""
    name = intent.ref_id if ref_id is None else ref_id
    terms = (intent.symbol, intent.side, state, intent.quantity, Decimal(filled), None, AT)
    return OrderUpdate(f"B-{intent.ref_id}", name, *terms)


def by_hand(broker_id: str, symbol: str = "AAPL", ref_id: uuid.UUID | None = None) -> OrderUpdate:
    """An order that somebody else placed."""
    return OrderUpdate(broker_id, ref_id, symbol, Side.BUY, State.ACKED, Decimal(3), ZERO, None, AT)
