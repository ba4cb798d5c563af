"""Evidence: all that a devlog may cite, as the database told it at one moment.

It holds facts alone; every figure of the devlog is computed from it (law 11). It survives a way through JSON, so a
devlog can be rendered again from what was stored with it, to the same bytes (law 12). Nothing in it changes by itself:
it holds no time of reading, and what is not bound to the range (open latches) belongs to the newest range alone.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from quaestor.orders import Side, State
from quaestor.ports import Latch, Reconciliation
from quaestor.risk import Refusal
from quaestor.splits import Split
from quaestor.trades import Close, Fact, Fill, Flow


@dataclass(frozen=True, slots=True)
class DecidedOrder:
    """An order with what caused it. None where its provenance does not say (an order that no strategy asked for)."""

    ref_id: uuid.UUID
    session: dt.date
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    reduces: bool
    state: State
    filled: Decimal
    average_price: Decimal | None
    reason: str
    version: str | None
    digest: str | None
    parameters: Mapping[str, Any] | None
    target: float | None
    bar_end: str | None
    bar_close: Decimal | None
    checks: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """An order whose fate was UNKNOWN for a while: why, the state that resolved it, and what told (law 2)."""

    ref_id: uuid.UUID
    reason: str
    state: State
    cause: str


@dataclass(frozen=True, slots=True)
class StrategySignals:
    """What a strategy said after the closes of the range: how many symbols × sessions, and which runs computed it."""

    strategy: str
    version: str
    digest: str
    parameters: Mapping[str, Any]
    signals: int
    first: dt.date
    last: dt.date
    flow_run_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DecidingRun:
    """Sessions that one run decided, with the code and the configuration it ran."""

    flow_run_id: str | None
    commit: str | None
    config_digest: str
    sessions: int
    first: dt.date
    last: dt.date


@dataclass(frozen=True)
class Evidence:
    """Everything about one account's sessions from `start` to `end`; both None before anything is settled.

    `before` is the close before the range (None: the account begins in it). `journal` holds fills, splits and flows of
    all sessions up to `end` that its close counts, in the order of booking: trades that close in the range may have
    opened before.
    """

    account: str
    start: dt.date | None
    end: dt.date | None
    before: Close | None = None
    closes: tuple[Close, ...] = ()
    orders: tuple[DecidedOrder, ...] = ()
    journal: tuple[Fact, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    resolved: tuple[Resolved, ...] = ()
    signals: tuple[StrategySignals, ...] = ()
    runs: tuple[DecidingRun, ...] = ()
    latches: tuple[Latch, ...] = ()
    reconciliation: Reconciliation | None = None

    @property
    def fills(self) -> list[Fill]:
        """Fills of the range's sessions."""
        return [fact for fact in self.journal if isinstance(fact, Fill) and self.holds(fact.execution.session)]

    @property
    def flows(self) -> list[Flow]:
        """Dividends, fees of no fill, and transferred shares of the range's sessions."""
        return [fact for fact in self.journal if isinstance(fact, Flow) and self.holds(fact.session)]

    @property
    def splits(self) -> list[Split]:
        """Splits that touched a position in the range."""
        return [fact for fact in self.journal if isinstance(fact, Split) and self.holds(fact.session)]

    def holds(self, session: dt.date) -> bool:
        """Whether the session lies in the range."""
        return self.start is not None and self.end is not None and self.start <= session <= self.end

    @cached_property
    def as_json(self) -> str:
        """The evidence as canonical JSON: the same facts, the same text. Decimals keep their digits as strings."""
        return json.dumps(self, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        """Names this evidence."""
        return hashlib.sha256(self.as_json.encode()).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat()
    if isinstance(value, Decimal | uuid.UUID | dt.date | Fraction):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no evidence")
