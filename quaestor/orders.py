"""Orders: what we decided (Intent), what the broker knows (Order), what happened (OrderUpdate, Execution).

The life of an order (laws 1–4):

    PLANNED ──▶ SUBMITTING ──▶ ACKED ──▶ PARTIALLY_FILLED ──▶ FILLED
       │            │ ambiguous   │                └────────▶ CANCELED | EXPIRED
       │            ▼             └──────────────────────────▶ CANCELED | EXPIRED | REJECTED
       │         UNKNOWN ──▶ (the broker's list) ACKED … or SUBMITTING again with the same ref_id
       └──▶ EXPIRED_UNSENT   its time band ended before it could be sent, with proof

A transition that has already happened is no error: updates may come twice and out of order, and converge.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

MILLIONTH = Decimal("0.000001")
# A constant of ours: the root of all order identities. Changing it would give every order a new name.
NAMESPACE = uuid.UUID("8f0d8a3e-5d5b-5b0e-9a0e-6f1f5b1d7c11")


class Side(enum.StrEnum):
    """Which way an order goes."""

    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for a purchase, −1 for a sale."""
        return 1 if self is Side.BUY else -1


class OrderType(enum.StrEnum):
    """How an order is priced."""

    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(enum.StrEnum):
    """How long an order works: good for day, good till canceled."""

    GFD = "gfd"
    GTC = "gtc"


class State(enum.StrEnum):
    """Where an order stands; see the drawing at the head of this module."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    ACKED = "acked"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    EXPIRED_UNSENT = "expired_unsent"
    REJECTED = "rejected"

    @property
    def final(self) -> bool:
        """Nothing more can happen to the order."""
        return self in FINAL

    @property
    def working(self) -> bool:
        """The broker may still fill it (UNKNOWN and SUBMITTING included: it may have it)."""
        return self in {State.SUBMITTING, State.UNKNOWN, State.ACKED, State.PARTIALLY_FILLED}


FINAL = frozenset({State.FILLED, State.CANCELED, State.EXPIRED, State.EXPIRED_UNSENT, State.REJECTED})

NEXT: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.SUBMITTING, State.EXPIRED_UNSENT}),
    State.SUBMITTING: frozenset(
        {
            State.UNKNOWN,
            State.ACKED,
            State.PARTIALLY_FILLED,
            State.FILLED,
            State.CANCELED,
            State.EXPIRED,
            State.REJECTED,
        }
    ),
    State.UNKNOWN: frozenset(
        {
            State.SUBMITTING,
            State.ACKED,
            State.PARTIALLY_FILLED,
            State.FILLED,
            State.CANCELED,
            State.EXPIRED,
            State.EXPIRED_UNSENT,
            State.REJECTED,
        }
    ),
    State.ACKED: frozenset({State.PARTIALLY_FILLED, State.FILLED, State.CANCELED, State.EXPIRED, State.REJECTED}),
    State.PARTIALLY_FILLED: frozenset({State.FILLED, State.CANCELED, State.EXPIRED}),
} | {state: frozenset() for state in FINAL}


def allowed(old: State, new: State) -> bool:
    """Whether an order may go from `old` to `new`."""
    return new in NEXT[old]


def moves(old: State, filled: Decimal, new: State, new_filled: Decimal) -> bool:
    """Whether news of an order tells more than is known of it: a further state, or more shares filled in the same one.

    What is told twice, late or out of order moves nothing, so every order of the news ends in the same state.
    """
    return new_filled > filled if new is old else allowed(old, new)


def dollars(quantity: Decimal, price: Decimal) -> Decimal:
    """Their product in millionths of a dollar, as books keep it: rounded once, so that every sum of it is exact."""
    return (quantity * price).quantize(MILLIONTH, ROUND_HALF_EVEN)


def trimmed(quantity: Decimal) -> Decimal:
    """A quantity as people write it: 100, neither 100.000000 nor 1E+2."""
    return quantity.normalize() + Decimal(0)


def ref_id(
    account: str, symbol: str, strategy: str, session: dt.date, cause_key: str, side: Side, leg: int
) -> uuid.UUID:
    """The order's identity, the same however often the decision is made again (law 1)."""
    parts = (account, symbol, strategy, session.isoformat(), cause_key, side.value, str(leg))
    return uuid.uuid5(NAMESPACE, "\x1f".join(parts))


@dataclass(frozen=True, slots=True)
class Intent:
    """An order we decided on: committed to the database before the first byte goes to a broker.

    quantity in shares; limit_price and reference_price in dollars per share (the reference is the close it was sized
    at); `provenance` is the evidence for `quaestor why`: bars, strategy, version, parameters, target, risk checks,
    flow run id, code commit. It never enters the identity.
    """

    account: str
    strategy: str
    symbol: str
    session: dt.date
    cause_key: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GFD
    leg: int = 0
    reduces: bool = False
    provenance: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def ref_id(self) -> uuid.UUID:
        """The idempotency key that goes to the broker on every try."""
        return ref_id(self.account, self.symbol, self.strategy, self.session, self.cause_key, self.side, self.leg)

    @property
    def notional(self) -> Decimal:
        """Dollars at the reference price."""
        return self.quantity * self.reference_price


@dataclass(frozen=True, slots=True)
class OrderUpdate:
    """What the broker says of one of its orders. `ref_id` is None for an order placed by hand without one."""

    broker_id: str
    ref_id: uuid.UUID | None
    symbol: str
    side: Side
    state: State
    quantity: Decimal
    filled: Decimal
    average_price: Decimal | None
    updated_at: dt.datetime
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill as the broker reports it. price in dollars per share, fee in dollars (≥ 0)."""

    execution_id: str
    broker_id: str
    ref_id: uuid.UUID | None
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    session: dt.date
    at: dt.datetime

    @property
    def cash(self) -> Decimal:
        """What it does to cash, in dollars: negative for a purchase."""
        return -self.side.sign * dollars(self.quantity, self.price) - self.fee
