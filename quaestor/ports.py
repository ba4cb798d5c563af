"""Ports: what an operation asks of the outside, as Protocols. Doors implement them; wiring hands them in.

All amounts are Decimal dollars, quantities Decimal shares, times aware UTC, days exchange sessions.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from quaestor.bars import Bar
from quaestor.ledger import Booked, Equity, Lot
from quaestor.orders import Execution, Intent, OrderUpdate, State
from quaestor.risk import Refusal
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

    from quaestor.devlog.evidence import Evidence
    from quaestor.strategies.catalogue import Built


# ── prices ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class History:
    """What a source answers: a checked bars frame and the splits inside its window."""

    bars: pl.DataFrame
    splits: Sequence[Split] = ()


class Source(Protocol):
    """History by window."""

    name: str

    def symbols(self) -> list[str]:
        """All symbols the source can give."""
        ...

    def require(self, symbols: Iterable[str]) -> None:
        """Raise NotFound for the first symbol it cannot give, with the nearest one, the place and the cure."""
        ...

    async def history(self, symbol: str, start: dt.date, end: dt.date) -> History:
        """Bars of one symbol with start ≤ session ≤ end.

        Raises NotFound for an unknown symbol, BadInput for unusable data (naming file, line, field and cure).
        """
        ...

    async def span(self, symbol: str) -> tuple[dt.date, dt.date]:
        """First and last session the source has of the symbol."""
        ...


class Quotes(Protocol):
    """Prices a broker or a report looks up."""

    async def bar(self, symbol: str, session: dt.date) -> Bar | None:
        """The bar of that session, or None where the symbol did not trade."""
        ...

    async def last_bar(self, symbol: str, upto: dt.date) -> Bar | None:
        """The newest bar with session ≤ upto."""
        ...

    async def splits(self, session: dt.date) -> Sequence[Split]:
        """Splits effective at the open of that session."""
        ...


# ── broker ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Account:
    """What the broker says we own: cash in dollars, shares by symbol."""

    cash: Decimal
    positions: Mapping[str, Decimal]


class Broker(Protocol):
    """A broker's door. `submit` may be repeated with the same ref_id: the broker keeps one order."""

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Send; raises BrokerRejected (a clear no) or BrokerAmbiguous (it may exist)."""
        ...

    async def cancel(self, broker_id: str) -> None:
        """Ask to cancel; the outcome comes with the order's next update."""
        ...

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """A full listing, all pages, of orders created on or after that session."""
        ...

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills of sessions on or after `since`, oldest first."""
        ...

    async def account(self) -> Account:
        """Cash and positions now."""
        ...

    async def halted(self) -> frozenset[str]:
        """Symbols that take no orders now."""
        ...


@runtime_checkable
class ReplayMarket(Protocol):
    """What only a simulated market can do: be moved through recorded sessions. Every move is idempotent."""

    async def fund(self, cash: Decimal) -> None:
        """Open the account with that cash, once."""
        ...

    async def open_session(self, session: dt.date) -> None:
        """Before the open: the clock stands on `session`, splits effective that day are applied."""
        ...

    async def close_session(self, session: dt.date) -> None:
        """Trade the session: match working orders on its bars, expire day orders at the close."""
        ...

    async def clock(self) -> tuple[dt.date | None, str]:
        """Where the simulated clock stands: (session, "open" | "closed"); (None, "closed") before the first."""
        ...


# ── vault, alerts ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Secret:
    """A value out of the vault; its repr never shows it."""

    name: str
    version: str
    value: str = field(repr=False)


class Vault(Protocol):
    """Where secrets live (law 10). Blocks hold names; values are fetched when used."""

    def get(self, name: str) -> Secret:
        """The newest version; raises NotFound."""
        ...

    def set(self, name: str, value: str) -> Secret:
        """Store a new version."""
        ...

    def names(self) -> list[str]:
        """Names of all secrets."""
        ...


class Alerts(Protocol):
    """How a person is told."""

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        """Deliver; a failing channel is logged and never stops trading."""
        ...


# ── books ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class BarStore(Quotes, Protocol):
    """Bars and splits in the database: versioned (law 8)."""

    async def upsert(self, bars: pl.DataFrame, splits: Sequence[Split], source: str) -> tuple[int, int]:
        """Store new bars and new versions of changed ones, by COPY, in one transaction: (new, changed)."""
        ...

    async def frame(self, symbols: Sequence[str], start: dt.date | None, end: dt.date | None) -> pl.DataFrame:
        """Current bars as a bars frame plus `version`."""
        ...

    async def all_splits(self, symbols: Sequence[str]) -> list[Split]:
        """Every known split of these symbols, oldest first."""
        ...

    async def span(self, symbol: str) -> tuple[dt.date, dt.date] | None:
        """First and last stored session of one symbol; None without any."""
        ...

    async def spans(self) -> dict[str, tuple[dt.date, dt.date, int]]:
        """First session, last session, count of bars, by symbol."""
        ...


@dataclass(frozen=True)
class Lease:
    """The right to send for an account, until it expires; the epoch fences older holders (law 3)."""

    account: str
    holder: str
    epoch: int


class LeaseStore(Protocol):
    """Leases on the database's clock."""

    def hold(self, account: str, holder: str, wait_seconds: float) -> AbstractAsyncContextManager[Lease]:
        """Take the lease (waiting for an abandoned one to run out), renew it while held, give it back.

        Raises LeaseHeld when another holder keeps it for longer than `wait_seconds`.
        """
        ...


@dataclass(frozen=True)
class Run:
    """Who acts: the Prefect flow run (None outside of one), the code's commit, the configuration's digest."""

    flow_run_id: str | None = None
    commit: str = "unknown"
    config_digest: str = ""


@dataclass(frozen=True)
class StoredSignal:
    """What a strategy wanted after a bar: `target` is the share (0–1) of its sleeve; `seen` names the bars."""

    strategy: str
    digest: str
    version: str
    parameters: Mapping[str, Any]
    symbol: str
    session: dt.date
    bar_end: dt.datetime
    target: float
    revision: int
    seen: Mapping[str, Any]
    flow_run_id: str | None


class SignalStore(Protocol):
    """Signals in the database."""

    async def save(self, built: Built, signals: pl.DataFrame, window: tuple[dt.date, dt.date], run: Run) -> int:
        """Store what a strategy said of the sessions in `window`; how many signals were new or different."""
        ...

    async def of_sessions(self, digests: Sequence[str], start: dt.date, end: dt.date) -> list[StoredSignal]:
        """The newest revision of each signal with start ≤ session ≤ end, by session."""
        ...

    async def computed(self, digests: Sequence[str]) -> dict[str, tuple[dt.date, dt.date]]:
        """First and last session that each of these strategies was asked about, by digest."""
        ...


@dataclass(frozen=True)
class StoredOrder:
    """An order of ours as the books have it."""

    intent: Intent
    ref_id: uuid.UUID
    state: State
    epoch: int
    broker_id: str | None
    filled: Decimal
    average_price: Decimal | None
    planned_at: dt.datetime
    updated_at: dt.datetime
    reason: str = ""


@dataclass(frozen=True)
class Transition:
    """A step of an order: the state it goes to, why, and what the broker said."""

    state: State
    cause: str
    broker_id: str | None = None
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, update: OrderUpdate, cause: str) -> Transition:
        """The step a broker's update asks for."""
        return cls(update.state, cause, update.broker_id, update.filled, update.average_price, update.reason)


@dataclass(frozen=True)
class Decision:
    """All that was decided for one session: intents to send and refusals, with the account as it was seen."""

    session: dt.date
    equity: Decimal
    cash: Decimal
    intents: Sequence[Intent]
    refusals: Sequence[Refusal]
    run: Run


class BookStore(Protocol):
    """Decisions, orders, ledger and equity of one account."""

    account: str

    async def decided(self, start: dt.date, end: dt.date) -> set[dt.date]:
        """Sessions in [start, end] that were decided."""
        ...

    async def decide(self, decision: Decision, lease: Lease) -> bool:
        """Commit a decision whole; False when the session was decided before. Raises LeaseHeld."""
        ...

    async def open_orders(self) -> list[StoredOrder]:
        """Orders that may still change: oldest session first, exits before entries."""
        ...

    async def orders_since(self, since: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ since."""
        ...

    async def transition(self, ref_id: uuid.UUID, step: Transition, lease: Lease) -> bool:
        """Move an order and log it; False when it is already there or past it. Raises LeaseHeld."""
        ...

    async def counts(self, start: dt.date, end: dt.date) -> tuple[int, int, int]:
        """Orders decided, refusals and fills of the sessions in [start, end]."""
        ...

    async def book_executions(self, executions: Sequence[Execution]) -> list[Execution]:
        """Book those not yet booked; the new ones. Raises BooksDisagree for one that cannot be, once the others are."""
        ...

    async def book_split(self, split: Split, at: dt.datetime) -> bool:
        """Rescale lots, once."""
        ...

    async def book(self, booked: Booked) -> bool:
        """Book any other fact once."""
        ...

    async def lots(self) -> list[Lot]:
        """All open lots, oldest first."""
        ...

    async def balances(self) -> dict[str, Decimal]:
        """The ledger accounts' sums, debits positive."""
        ...

    async def shares_by_journal(self) -> dict[str, Decimal]:
        """Shares by symbol as the journal says."""
        ...

    async def booked_fills(self, since: dt.date) -> set[str]:
        """Ids of booked executions of sessions ≥ since."""
        ...

    async def settle(self, equity: Equity, positions: dict[str, Any]) -> None:
        """Keep a session's close."""
        ...

    async def last_equity(self) -> Equity | None:
        """The newest settled session."""
        ...

    async def peak_equity(self) -> Decimal | None:
        """The highest settled equity."""
        ...

    async def equity_before(self, session: dt.date) -> Decimal | None:
        """Equity at the settled session before that one."""
        ...


@dataclass(frozen=True)
class Latch:
    """A latched stop of entries."""

    name: str
    reason: str
    set_at: dt.datetime


@dataclass(frozen=True)
class Reconciliation:
    """Books against broker: each difference names subject, key, ours, theirs and what would fix it."""

    session: dt.date | None
    differences: Sequence[Mapping[str, str]]
    checked: Mapping[str, int]
    at: dt.datetime | None = None

    @property
    def ok(self) -> bool:
        """No difference."""
        return not self.differences


class ControlStore(Protocol):
    """Latches and reconciliations."""

    async def set_latch(self, account: str, name: str, reason: str) -> bool:
        """Latch; False when it already was."""
        ...

    async def clear_latch(self, account: str, name: str, reason: str) -> bool:
        """Clear, with a reason; False when it was not latched."""
        ...

    async def latches(self, account: str) -> list[Latch]:
        """What stops entries now."""
        ...

    async def save_reconciliation(self, account: str, outcome: Reconciliation, flow_run_id: str | None) -> None:
        """Keep the outcome of a comparison."""
        ...

    async def last_reconciliation(self, account: str) -> Reconciliation | None:
        """The newest comparison."""
        ...


# ── reports ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class EvidenceStore(Protocol):
    """What a devlog may cite of one account, and the devlogs made of it."""

    account: str

    async def span(self) -> tuple[dt.date, dt.date] | None:
        """First and last settled session; None before any."""
        ...

    async def evidence(self, start: dt.date | None, end: dt.date | None) -> Evidence:
        """Everything about the settled sessions in [start, end], as it stood at one moment."""
        ...

    async def save(self, evidence: Evidence, markdown: str, flow_run_id: str | None) -> bool:
        """Keep a devlog with its evidence; False when it was kept before, unchanged, or when there is no session."""
        ...

    async def saved(self, start: dt.date, end: dt.date) -> tuple[Evidence, str] | None:
        """The devlog kept for exactly these sessions: its evidence and its Markdown."""
        ...
