"""Orders: what we decided (Intent), what the broker knows (Order), what happened (OrderUpdate, Execution).

How an order goes from state to state, `lifecycle` says.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import uuid
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")
MILLIONTH = Decimal("0.000001")
EXTERNAL = "external"  # whose an order is that was placed by hand
TRIGGERS = "triggers"  # whose position it is that a trigger opened
# A constant of ours: the root of all order identities. Changing it would give every order a new name.
NAMESPACE = uuid.UUID("8f0d8a3e-5d5b-5b0e-9a0e-6f1f5b1d7c11")
_ROOT = hashlib.sha1(NAMESPACE.bytes, usedforsecurity=False)
OURS = 5  # the version of the UUIDs that we make; a broker's app draws its own by chance


class Side(enum.StrEnum):
    """Which way an order goes."""

    BUY = "buy"
    SELL = "sell"
    __hash__ = str.__hash__  # an enum's own is a function in Python, and orders are looked up by these

    @property
    def sign(self) -> int:
        """+1 for a purchase, −1 for a sale."""
        return 1 if self is BUY else -1


BUY, SELL = Side  # an enum looks each of its members up in Python: where orders are counted by the thousand, it shows


class OrderType(enum.StrEnum):
    """How an order is priced."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"  # a market order once the stop price is touched
    STOP_LIMIT = "stop_limit"  # a limit order once the stop price is touched
    __hash__ = str.__hash__

    @property
    def stops(self) -> bool:
        """Whether it waits for its stop price."""
        return self in STOPS

    @property
    def limits(self) -> bool:
        """Whether it names a limit price."""
        return self in LIMITS


STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
LIMITS = frozenset({OrderType.LIMIT, OrderType.STOP_LIMIT})


class TimeInForce(enum.StrEnum):
    """How long an order works: good for day, good till canceled."""

    GFD = "gfd"
    GTC = "gtc"


class State(enum.StrEnum):
    """Where an order stands; `lifecycle` draws how it gets there."""

    PLANNED = "planned"
    SUBMITTING = "submitting"
    UNKNOWN = "unknown"
    ACKED = "acked"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_REPLACE = "pending_replace"  # we asked the broker to cancel it; its rest comes as another order
    PENDING_CANCEL = "pending_cancel"  # we asked; a fill may still come first
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    EXPIRED_UNSENT = "expired_unsent"
    REJECTED = "rejected"
    __hash__ = str.__hash__

    @property
    def final(self) -> bool:
        """Nothing more can happen to the order by our own doing."""
        return self in FINAL

    @property
    def working(self) -> bool:
        """The broker may still fill it (UNKNOWN and SUBMITTING included: it may have it)."""
        return self is not State.PLANNED and self not in FINAL


FINAL = frozenset({State.FILLED, State.CANCELED, State.EXPIRED, State.EXPIRED_UNSENT, State.REJECTED})


def at_once(kind: type[T], **fields: Any) -> T:
    """A frozen dataclass without slots, of all its fields, and of what is worked out of them and known already.

    Its own constructor sets one field after the other; of what is made anew for each order, that is half the price.
    """
    new = object.__new__(kind)
    new.__dict__.update(fields)
    return new


def dollars(quantity: Decimal, price: Decimal) -> Decimal:
    """Their product in millionths of a dollar, as books keep it: rounded once, so that every sum of it is exact."""
    return (quantity * price).quantize(MILLIONTH, ROUND_HALF_EVEN)


def trimmed(quantity: Decimal) -> Decimal:
    """A quantity as people write it: 100, neither 100.000000 nor 1E+2."""
    return quantity.normalize() + Decimal(0)


@lru_cache(maxsize=4096)  # it is asked for a dozen times on an order's way
def ref_id(
    account: str, symbol: str, strategy: str, session: dt.date, cause_key: str, side: Side, leg: int
) -> uuid.UUID:
    """The order's identity, the same however often the decision is made again (law 1)."""
    return named(account, symbol, strategy, session.isoformat(), cause_key, side, str(leg))


def named(*parts: str) -> uuid.UUID:
    """The UUID of our own namespace for these words: `uuid.uuid5`, which would hash the namespace anew each time."""
    hashed = _ROOT.copy()
    hashed.update("\x1f".join(parts).encode())
    return uuid.UUID(bytes=hashed.digest()[:16], version=OURS)


def external_ref(account: str, broker_id: str) -> uuid.UUID:
    """The name that we give an order placed by hand: the broker's own, for that account."""
    return named(account, "external", broker_id)


@dataclass(frozen=True)
class Intent:
    """An order we decided on: committed to the database before the first byte goes to a broker.

    quantity in shares; limit_price, stop_price and reference_price in dollars per share (the reference is the close it
    was sized at); `oco` names a pair of which one cancels the other; `replaces` the order whose rest this one takes
    over; `provenance` is the evidence for `quaestor why`: bars, strategy, version, parameters, target, risk checks,
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
    stop_price: Decimal | None = None
    oco: str = ""
    replaces: uuid.UUID | None = None
    provenance: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def ref_id(self) -> uuid.UUID:
        """The idempotency key that goes to the broker on every try."""
        return ref_id(self.account, self.symbol, self.strategy, self.session, self.cause_key, self.side, self.leg)

    @property
    def notional(self) -> Decimal:
        """Dollars at the reference price."""
        return self.quantity * self.reference_price

    def on_evidence(self, provenance: dict[str, Any]) -> Intent:
        """The same order with that evidence; `dataclasses.replace` takes ten times as long, for every order."""
        return at_once(Intent, **(self.__dict__ | {"provenance": provenance}))


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
    session: dt.date | None = None  # the session it was placed for, where the broker tells
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


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
