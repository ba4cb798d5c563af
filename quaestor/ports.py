"""Ports: what an operation asks of the outside, as Protocols. Doors implement them; wiring hands them in.

All amounts are Decimal dollars, quantities Decimal shares, times aware UTC, days exchange sessions.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from quaestor.actions import Action, Told
from quaestor.bars import DAILY, Bar
from quaestor.coverage import Cell
from quaestor.dividends import Dividend
from quaestor.ledger import Booked, Equity, Lot, Relief
from quaestor.lifecycle import Standing, adopted, commanded, told
from quaestor.orders import Execution, Intent, OrderUpdate, State
from quaestor.risk import Record, Refusal
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

    from quaestor.devlog.evidence import Evidence
    from quaestor.legacy.daily import StoredBar
    from quaestor.legacy.found import Table as LegacyTable
    from quaestor.legacy.parity import Merged, Report, Total
    from quaestor.legacy.rows import Deal, Quote
    from quaestor.strategies.catalogue import Built


# ── prices ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class History:
    """What a source answers: as-traded bars, and the splits and dividends inside the window.

    `bars` is a bars frame that may hold faults (null where a field was no number); a column `interpolated`, where there
    is one, is true for bars that the vendor made up. The quality gate decides on each row.
    """

    bars: pl.DataFrame
    splits: Sequence[Split] = ()
    dividends: Sequence[Dividend] = ()


@dataclass(frozen=True)
class Capabilities:
    """What a source can give, and how fast: bars per request (None: any number), requests per second (None: any).

    beside: the requests of each window that bring no bars, but splits and dividends.
    """

    timeframes: tuple[str, ...] = (DAILY,)
    bars_per_request: int | None = None
    requests_per_second: float | None = None
    in_flight: int = 8
    actions: bool = True  # whether it tells of splits
    beside: int = 0


class Source(Protocol):
    """History by window."""

    name: str
    capabilities: Capabilities

    def require(self, symbols: Iterable[str]) -> None:
        """Raise NotFound for the first symbol it cannot give, with the nearest one, the place and the cure.

        As far as it knows without asking far away.
        """
        ...

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> History:
        """Bars of one symbol with start ≤ session ≤ end.

        Raises NotFound for an unknown symbol, BadInput for unusable data (naming place, field and cure), Temporary
        where another try may help.
        """
        ...

    async def span(self, symbol: str, timeframe: str = DAILY) -> tuple[dt.date, dt.date] | None:
        """First and last session the source has of the symbol; None where it cannot say without fetching."""
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

    async def all_splits(self, symbols: Sequence[str]) -> list[Split]:
        """Every known split of these symbols, oldest first."""
        ...

    async def dividends(self, symbols: Sequence[str]) -> list[Dividend]:
        """Every known dividend of these symbols, oldest first."""
        ...

    async def blocked(self) -> Mapping[str, str]:
        """Symbols whose data a person must look at before any entry, and why."""
        ...


# ── broker ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Account:
    """What the broker says we own: cash in dollars, shares by symbol; what a share cost, where the broker says it."""

    cash: Decimal
    positions: Mapping[str, Decimal]
    costs: Mapping[str, Decimal] = field(default_factory=dict)


class Broker(Protocol):
    """A broker's door. `submit` may be repeated with the same ref_id: the broker keeps one order."""

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Send; raises BrokerRejected (a clear no), BrokerBusy (not accepted, later perhaps) or BrokerAmbiguous."""
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
class Recalling(Protocol):
    """A broker whose door lets orders wait in line before they are sent."""

    def recall(self) -> None:
        """Entries that wait are not sent any more: their `submit` raises BrokerBusy."""
        ...


@runtime_checkable
class Drafting(Protocol):
    """A broker whose door can make orders ready while their intents are being committed. No byte leaves (law 1)."""

    def draft(self, intents: Sequence[Intent]) -> None:
        """Work out what `submit` will send of these; it may be asked to send none of them. Raises nothing."""
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


# ── alerts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Alerts(Protocol):
    """How a person is told."""

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        """Deliver; a failing channel is logged and never stops trading."""
        ...


# ── books ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Batch:
    """What one transaction stores: bars of one timeframe that passed the gate, and what belongs to them.

    `asked` are the first and last session that the source was asked for, by symbol; `quarantined` is the gate's frame
    of refused bars.
    """

    timeframe: str
    bars: pl.DataFrame
    source: str
    asked: Mapping[str, tuple[dt.date, dt.date]] = field(default_factory=dict)
    quarantined: pl.DataFrame | None = None
    splits: Sequence[Split] = ()
    dividends: Sequence[Dividend] = ()
    flow_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What storing a batch did: bars new and changed, refused bars that are new; `repaired`: the changed bars' keys."""

    new: int = 0
    changed: int = 0
    quarantined: int = 0
    repaired: tuple[str, ...] = ()


class BarStore(Quotes, Protocol):
    """Bars and what belongs to them, in the database: versioned (law 8)."""

    async def store(self, batch: Batch) -> Stored:
        """Store new bars and new versions of changed ones, by COPY, with their cells, in one transaction.

        Raises BadInput for two bars of one time and for a split that contradicts a stored one; nothing is stored then.
        """
        ...

    async def upsert(self, bars: pl.DataFrame, splits: Sequence[Split], source: str) -> tuple[int, int]:
        """The same for daily bars that nobody asked for: (new, changed)."""
        ...

    async def fail(self, symbol: str, timeframe: str, asked: tuple[dt.date, dt.date], source: str, error: str) -> None:
        """Remember that a source could not give these sessions; what is stored stays."""
        ...

    async def frame(
        self,
        symbols: Sequence[str] | None,
        start: dt.date | None,
        end: dt.date | None,
        timeframe: str = DAILY,
        as_of: dt.datetime | None = None,
    ) -> pl.DataFrame:
        """Bars of some symbols (None: all) as a bars frame plus `version`, sorted by symbol and ts.

        Current versions, or those that were current at `as_of`.
        """
        ...

    async def last_bars(self, symbols: Sequence[str], count: int, timeframe: str = DAILY) -> pl.DataFrame:
        """The newest `count` bars of each symbol, sorted by symbol and ts."""
        ...

    async def told(self, symbols: Sequence[str]) -> list[Told]:
        """Every known split and dividend of these symbols, with who told it."""
        ...

    async def span(self, symbol: str, timeframe: str = DAILY) -> tuple[dt.date, dt.date] | None:
        """First and last stored session of one symbol; None without any."""
        ...

    async def cells(
        self,
        symbols: Sequence[str] | None,
        timeframe: str = DAILY,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> list[Cell]:
        """What is known of the cells of these symbols (None: all) whose period meets [start, end]."""
        ...

    async def quarantined(
        self,
        symbols: Sequence[str] | None = None,
        timeframe: str | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Bars that the gate refused, newest first."""
        ...

    async def vouch(self, symbol: str, session: dt.date, reason: str) -> None:
        """A person found the steps of that session real: the gate raises no doubt there again."""
        ...

    async def vouched(self, symbols: Sequence[str]) -> frozenset[tuple[str, dt.date]]:
        """Sessions that a person vouched for."""
        ...

    async def block(self, symbol: str, reason: str) -> bool:
        """Let the symbol take no entries; False when it already was blocked."""
        ...

    async def unblock(self, symbol: str) -> bool:
        """Let it take entries again; False when it was not blocked."""
        ...

    async def upkeep(
        self, timeframe: str, first: dt.date, last: dt.date, before: dt.date | None, *, dry_run: bool = False
    ) -> tuple[list[str], list[str]]:
        """Make the partitions from one day to another, drop those wholly before a third: (made, dropped)."""
        ...

    async def decided_on(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Orders that were decided on these bars (`Bar.key`)."""
        ...


class TickStore(Protocol):
    """Prints of recorded sessions in the database."""

    async def append(self, ticks: pl.DataFrame) -> int:
        """Store prints (symbol, ts, number, price, size), each once; how many are new."""
        ...

    async def frame(self, symbol: str, since: dt.datetime, until: dt.datetime) -> pl.DataFrame:
        """Prints of one symbol with since ≤ ts < until, in the feed's order."""
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
    timeframe: str = DAILY


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

    @property
    def standing(self) -> Standing:
        """Where it stands."""
        return Standing(self.state, self.filled, self.average_price)

    @property
    def left(self) -> Decimal:
        """Shares that are not filled."""
        return self.intent.quantity - self.filled


@dataclass(frozen=True)
class Transition:
    """A step of an order: the state it goes to, why, and what the broker said.

    kind: our own command, the broker's news, or a reconciliation's adoption (see `lifecycle`); causation: the id of the
    event that it follows from, where that is an event of another order.
    """

    state: State
    cause: str
    broker_id: str | None = None
    filled: Decimal = Decimal(0)
    average_price: Decimal | None = None
    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["command", "news", "adoption"] = "command"
    causation: int | None = None

    @classmethod
    def of(cls, update: OrderUpdate, cause: str, kind: Literal["news", "adoption"] = "news") -> Transition:
        """The step a broker's update asks for."""
        told = (update.broker_id, update.filled, update.average_price, update.reason)
        return cls(update.state, cause, *told, kind=kind)

    def after(self, known: Standing) -> Standing:
        """Where the order stands after this step; the same standing where it may not be, or tells nothing new."""
        if self.kind == "command":
            return commanded(known, self.state)
        said = Standing(self.state, self.filled, self.average_price)
        return told(known, said) if self.kind == "news" else adopted(known, said)


@dataclass(frozen=True)
class Terms:
    """What a replacement changes: shares in all (those already filled included) and prices; None keeps the old one."""

    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None

    def rest(self, old: StoredOrder, filled: Decimal) -> Intent | None:
        """The order that takes over what the old one, ended, leaves; None where it leaves nothing."""
        left = (old.intent.quantity if self.quantity is None else self.quantity) - filled
        if left <= 0:
            return None
        limit = old.intent.limit_price if self.limit_price is None else self.limit_price
        stop = old.intent.stop_price if self.stop_price is None else self.stop_price
        leg = old.intent.leg + 1
        return replace(old.intent, leg=leg, replaces=old.ref_id, quantity=left, limit_price=limit, stop_price=stop)


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

    async def prove(self, lease: Lease) -> None:
        """Raises LeaseHeld when it is not the account's lease any more."""
        ...

    async def decided(self, start: dt.date, end: dt.date) -> set[dt.date]:
        """Sessions in [start, end] that were decided."""
        ...

    async def decide(self, decision: Decision, lease: Lease) -> bool:
        """Commit a decision whole; False when the session was decided before. Raises LeaseHeld."""
        ...

    async def refuse(self, refusals: Sequence[Refusal], lease: Lease) -> None:
        """Keep refusals that came of no session's decision, each cause once. Raises LeaseHeld."""
        ...

    async def place(self, intents: Sequence[Intent], lease: Lease) -> list[bool]:
        """Commit intents that are sent at once, already SUBMITTING; which are new and may go. Raises LeaseHeld.

        None that is planned already goes again, and no entry while a latch stops entries.
        """
        ...

    async def open_orders(self) -> list[StoredOrder]:
        """Orders that may still change, their evidence apart: oldest session first, exits before entries."""
        ...

    async def orders_since(self, since: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ since."""
        ...

    async def followed(self, session: dt.date) -> list[StoredOrder]:
        """All orders of sessions ≥ session; where one of before is still open, ≥ the session of the oldest such."""
        ...

    async def known(self, ref_ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Which of these orders are in the books, whatever became of them."""
        ...

    async def transition(self, ref_id: uuid.UUID, step: Transition, lease: Lease) -> bool:
        """Move an order and log it; False when it is already there or past it. Raises LeaseHeld."""
        ...

    async def transitions(self, steps: Sequence[tuple[uuid.UUID, Transition]], lease: Lease) -> list[bool]:
        """Move several orders in one commit; which of them moved. Raises LeaseHeld.

        No entry goes to SUBMITTING while a latch stops entries: that is looked up in the same transaction (law 6). An
        order that ends unfilled while PENDING_REPLACE leaves its rest as a new PLANNED one, in the same commit.
        """
        ...

    async def anchor(self) -> str:
        """Where the chain of the account's log ends (`SEQ:HASH`); empty before any event."""
        ...

    async def adopt(self, update: OrderUpdate, session: dt.date, lease: Lease) -> bool:
        """Keep an order that was placed by hand, in the broker's own state; False when it is known."""
        ...

    async def counts(self, start: dt.date, end: dt.date) -> tuple[int, int, int]:
        """Orders decided, refusals and fills of the sessions in [start, end]."""
        ...

    async def book_executions(
        self, executions: Sequence[Execution], lease: Lease, reliefs: Mapping[str, Relief] | None = None
    ) -> list[Execution]:
        """Book those not yet booked; the new ones. `reliefs` names the lots that a sale takes, by execution id.

        Raises BooksDisagree for one that cannot be, once the others are; LeaseHeld.
        """
        ...

    async def suspects(self) -> Mapping[str, str]:
        """Executions that the books could not take: reasons by id."""
        ...

    async def missing_actions(self, upto: dt.date) -> list[Action]:
        """Splits and dividends of what was held, not booked yet, in the order of events."""
        ...

    async def book_split(self, split: Split, at: dt.datetime, lease: Lease) -> bool:
        """Rescale lots, once, as if it had been known in time. Raises BooksDisagree, LeaseHeld."""
        ...

    async def book_dividend(self, dividend: Dividend, at: dt.datetime, lease: Lease) -> bool:
        """Book what is paid on the shares held at the close before its ex-date, once. Raises LeaseHeld."""
        ...

    async def book(self, booked: Booked, lease: Lease) -> bool:
        """Book any other fact once. Raises LeaseHeld."""
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

    async def settle(self, equity: Equity, positions: dict[str, Any], lease: Lease) -> None:
        """Keep a session's close. Raises LeaseHeld."""
        ...

    async def opened(self) -> dt.datetime | None:
        """When the books were begun with what a real account held; None for books that began with a deposit of ours."""
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

    async def latch(self, name: str, reason: str, lease: Lease) -> bool:
        """Latch a stop as the account's writer; False when it already was. Raises LeaseHeld."""
        ...

    async def unlatch(self, name: str, reason: str, lease: Lease) -> bool:
        """Clear it as the account's writer; False when it was not latched. Raises LeaseHeld."""
        ...

    async def keep_reconciliation(self, outcome: Reconciliation, flow_run_id: str | None, lease: Lease) -> None:
        """Keep the outcome of a comparison with the broker. Raises LeaseHeld."""
        ...


class ActivityStore(Protocol):
    """What an account did lately."""

    async def record(
        self, session: dt.date, symbols: Collection[str], quality_window: int, *, live: bool = False
    ) -> Record:
        """What the risk gate asks before a session; bars of `symbols` are looked at in so many sessions before it.

        `live`: sends are those of the last minute; otherwise those for the session.
        """
        ...


@dataclass(frozen=True)
class Latch:
    """A latched stop of entries; `kept`: in the database, not only in a file beside it."""

    name: str
    reason: str
    set_at: dt.datetime
    kept: bool = True


@dataclass(frozen=True)
class Reconciliation:
    """Books against broker: each difference names subject, key, ours, theirs and what would fix it.

    anchor: where the chain of the account's log ended then (`SEQ:HASH`, see `audit`); empty where it is not known.
    """

    session: dt.date | None
    differences: Sequence[Mapping[str, str]]
    checked: Mapping[str, int]
    at: dt.datetime | None = None
    anchor: str = ""

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


# ── an old bot's books ────────────────────────────────────────────────────────────────────────────────────────────────


class LegacyFile(Protocol):
    """A bot's SQLite database, read from a copy: its own folder sees no write."""

    name: str
    sha256: str

    def tables(self) -> Sequence[LegacyTable]:
        """What is in it, with some values of each column."""
        ...

    def rows(self, table: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
        """Every row with its rowid, oldest rowid first."""
        ...


class LegacyBooks(Protocol):
    """Imported history in one open transaction; kinds are prices, orders and trades."""

    bars: BarStore

    async def stage(self, kind: str, rows: Sequence[Quote | Deal]) -> None:
        """Bring rows in, by COPY, to be compared with what is stored."""
        ...

    async def shared(self) -> Mapping[str, Mapping[str, tuple[int, int]]]:
        """By kind and earlier source: staged rows with the same table and rowid, and how many of them are equal."""
        ...

    async def merge(self, kind: str, source: str) -> Merged:
        """Store the staged rows that are new."""
        ...

    async def stored_bars(self, keys: Sequence[tuple[str, dt.date]]) -> Mapping[tuple[str, dt.date], StoredBar]:
        """The newest version of these daily bars, with the source that told it; those that are stored."""
        ...

    async def totals(self, kind: str, source: str) -> Sequence[Total]:
        """Sums over the stored rows that are staged and equal, by table and side."""
        ...

    async def deals(self, kind: str, source: str) -> Sequence[Deal]:
        """The stored orders or trades that are staged and equal."""
        ...

    async def record(self, report: Report, mapping: Mapping[str, Any]) -> None:
        """Keep that this import was made."""
        ...


class LegacyStore(Protocol):
    """Where an old bot's history is kept, apart from the live account's books."""

    def importing(self, *, keep: bool) -> AbstractAsyncContextManager[LegacyBooks]:
        """One transaction: everything is stored at its end, or nothing; nothing either unless `keep`."""
        ...
