"""Ports of the live run: what it asks of the outside beyond `ports`, as Protocols.

Times are aware UTC, ids UUIDs; a `cursor` is the number of the newest change that was seen: what comes after it is new.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from quaestor.feeds import OnBatch, OnStatus, Status
from quaestor.spans import Batch, Execution, Passage
from quaestor.splits import Split
from quaestor.ticks import Tick
from quaestor.triggers import Latch, Trigger

# ── the run and its remote control ────────────────────────────────────────────────────────────────────────────────────

Desire = Literal["armed", "hold", "flatten", "stopped"]


@dataclass(frozen=True)
class Desired:
    """What a person or a flow wants of the account's runner: trade, enter nothing new, sell everything, end."""

    state: Desire
    by: str
    reason: str
    at: dt.datetime
    number: int


@dataclass(frozen=True)
class LiveRun:
    """A run of the live runner; `beat_at`: when it was last known to live; `facts`: its newest counters and gauges."""

    id: uuid.UUID
    account: str
    holder: str
    started_at: dt.datetime
    commit: str
    config_digest: str
    journal: str = ""
    beat_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    outcome: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Happening:
    """What a person or a flow may want to see: signal, refusal, order, fill, halt, reconnect, alert, firing …"""

    kind: str
    subject: str
    at: dt.datetime
    body: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0


class LiveStore(Protocol):
    """Live runs, what is wanted of them, what they tell."""

    async def begin(self, run: LiveRun) -> None:
        """Keep that a run begins."""
        ...

    async def beat(self, run: uuid.UUID, facts: Mapping[str, Any]) -> None:
        """It lives, by the database's clock; these are its figures."""
        ...

    async def end(self, run: uuid.UUID, outcome: str) -> None:
        """It ended, and how."""
        ...

    async def newest(self, account: str) -> LiveRun | None:
        """The run that began last."""
        ...

    async def run(self, run: str) -> LiveRun:
        """The run of that id, or the only one whose id begins so; raises NotFound, BadInput where several do."""
        ...

    async def runs(self, account: str, limit: int = 20) -> list[LiveRun]:
        """Newest first."""
        ...

    async def alive(self, account: str, within: dt.timedelta) -> LiveRun | None:
        """The run that has not ended and whose last beat is younger than that, by the database's clock."""
        ...

    async def desire(self, account: str, state: Desire, by: str, reason: str = "") -> Desired:
        """Say what is wanted from now on; a hint goes to whoever listens."""
        ...

    async def desired(self, account: str) -> Desired:
        """What is wanted now; armed where nobody ever said anything."""
        ...

    async def tell(self, account: str, run: uuid.UUID, happenings: Sequence[Happening]) -> None:
        """Keep what happened; a hint goes to whoever listens."""
        ...

    async def happenings(self, account: str, after: int, limit: int = 500) -> list[Happening]:
        """What happened after that cursor, oldest first."""
        ...

    async def cursor_at(self, account: str, until: dt.datetime) -> int:
        """The number of the newest happening that was told until then, by the database's clock; 0 before any."""
        ...

    async def prune(self, older_than: dt.timedelta) -> int:
        """Forget happenings that were told so long ago, of all accounts; how many."""
        ...

    async def keep(self, account: str, run: uuid.UUID, state: Mapping[str, Any]) -> None:
        """The run's newest snapshot, in the place of the one before."""
        ...

    async def kept(self, account: str) -> Mapping[str, Any] | None:
        """The newest snapshot of any run."""
        ...

    def hints(self, account: str) -> AsyncGenerator[str, None]:
        """What changed (`desired`, `triggers`, `happenings`), as it is told; only a hint: some may be lost.

        It reconnects by itself; on each (re)connection it yields `connected` first. Close it (`aclosing`) when done.
        """
        ...


# ── triggers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class StoredTrigger:
    """A trigger as it is stored: its latch as it was kept last, a person's note, when and by whom it was written."""

    trigger: Trigger
    latch: Latch
    name: str
    note: str
    by: str
    written_at: dt.datetime
    number: int


@dataclass(frozen=True)
class TriggerChange:
    """One change: the trigger as it is now, None where it was removed. Numbers grow in the order of commits.

    `damage`: it is there, but cannot be read, and why; until a person replaces it, it is as good as removed.
    """

    id: uuid.UUID
    trigger: Trigger | None
    number: int
    damage: str = ""


@dataclass(frozen=True)
class DamagedTrigger:
    """A trigger that is stored and cannot be read: it fires never, until a person replaces or removes it."""

    id: uuid.UUID
    name: str
    problem: str
    number: int


@dataclass(frozen=True)
class StoredFiring:
    """A trigger that fired: what it did then, and what came of it."""

    id: uuid.UUID
    trigger: uuid.UUID
    number: int
    symbol: str
    price: float | None
    at: dt.datetime
    action: str
    outcome: str = ""


class TriggerStore(Protocol):
    """Triggers of an account, with their latches and firings."""

    async def put(self, account: str, trigger: Trigger, *, name: str = "", note: str = "", by: str = "") -> bool:
        """Add or replace; False when it is there already, just so. Replaced, it waits anew; its firings are counted on.

        Raises BadInput for a name that another trigger of the account has, or an id that was removed.
        """
        ...

    async def remove(self, account: str, trigger: uuid.UUID, by: str = "") -> bool:
        """Take it out; False when it is not there. Its firings stay."""
        ...

    async def find(self, account: str, named: str) -> StoredTrigger:
        """By id, the beginning of an id, or name; raises NotFound with the nearest name, BadInput where several fit.

        BadInput, too, for one that cannot be read.
        """
        ...

    async def id_of(self, account: str, named: str) -> uuid.UUID:
        """The same, its id only: also of one that cannot be read."""
        ...

    async def all(self, account: str) -> list[StoredTrigger]:
        """Those that are in, oldest first; without those that cannot be read."""
        ...

    async def damaged(self, account: str) -> list[DamagedTrigger]:
        """Those that are in and cannot be read."""
        ...

    async def changes(self, account: str, after: int) -> list[TriggerChange]:
        """What changed after that cursor: the newest state of each changed trigger, in order."""
        ...

    async def cursor(self, account: str) -> int:
        """The newest change's number; 0 before any."""
        ...

    async def keep_latches(self, account: str, latches: Mapping[uuid.UUID, Latch], *, seen: int | None = None) -> None:
        """Keep what these have lived through; a latch never loses firings by it, and one with fewer changes nothing.

        `seen`: the cursor up to which the caller knows all changes: of a trigger that was replaced since, only the
        firings are taken over, for the rest was lived by the rule before.
        """
        ...

    async def keep_firing(self, account: str, firing: StoredFiring, latch: Latch, *, seen: int | None = None) -> bool:
        """Keep a firing with its latch, in one commit; False when that firing is known. `seen`: as above."""
        ...

    async def outcome(self, firing: uuid.UUID, outcome: str) -> None:
        """What came of a firing."""
        ...

    async def firings(self, account: str, limit: int = 50, trigger: uuid.UUID | None = None) -> list[StoredFiring]:
        """Newest first."""
        ...

    async def rescale(
        self, account: str, splits: Sequence[Split], *, now: dt.datetime | None = None
    ) -> list[StoredTrigger]:
        """Rewrite rules and latches written before the open of a split's session; each split once, however often asked.

        It is no change that a cursor shows: whoever follows changes rescales what he has in memory by himself. Those
        that have no meaning any more are removed, which is one, and returned; their note says why. `now`: the caller's
        clock, where it is not the database's (a rehearsal): when a rule was written counts by it.
        """
        ...

    async def closes(self, symbols: Sequence[str]) -> Mapping[str, tuple[float, dt.date]]:
        """The newest stored close of each symbol that has one, as traded, and its session: how far is it to a level?"""
        ...

    async def splits_known(self, account: str, session: dt.date) -> frozenset[str]:
        """Symbols whose split at that session's open is in the stored rules and latches already."""
        ...


# ── telemetry ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Telemetry(Protocol):
    """What a run tells about itself. No method waits or raises: what cannot be told is given up and counted."""

    def order(self, passage: Passage) -> None:
        """An order went out, and how: to be told once the broker has answered, or did not."""
        ...

    def fill(self, execution: Execution) -> None:
        """An order was filled, or a part of it."""
        ...

    def sampled(self) -> bool:
        """Whether this batch of ticks is to be told."""
        ...

    def batch(self, batch: Batch) -> None:
        """A batch of ticks came, and what followed."""
        ...

    def beat(self, now: int, facts: Mapping[str, Any]) -> None:
        """The run's figures (`LiveMetrics.dump`) at that time of its clock, ns; told now and then."""
        ...

    @property
    def lost(self) -> Mapping[str, int]:
        """What was given up, by where it was to go."""
        ...

    def close(self) -> None:
        """Send what waits, within seconds."""
        ...


# ── feeds ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Feed(Protocol):
    """A live source of ticks. `counts`: what could not be read, by rule id."""

    name: str
    counts: Counter[str]

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Feed until stopped or cancelled. Raises FeedRefused, and whatever `on_batch` raises."""
        ...

    def stop(self) -> None:
        """Let `run` end, for good."""
        ...

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols too, now and after each reconnect; raises BadInput for what is no symbol there."""
        ...

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols no more."""
        ...

    def pause(self) -> None:
        """Read no more for now; what the vendor sends waits on its side."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...


class QuotePoll(Protocol):
    """Quotes that are there for the asking, such as a broker's."""

    name: str

    async def quotes(self, symbols: Sequence[str]) -> Sequence[Tick]:
        """The newest quote of each symbol, and its last trade where it is told; one request where that can be.

        What has none is left out. Raises Temporary where another try may help, Permanent where a person must act.
        """
        ...


class Line(Protocol):
    """A streaming vendor's connection, as the talk on it has it."""

    def send(self, said: bytes, *, text: bool = True) -> None:
        """Say something."""
        ...

    def let_in(self) -> None:
        """The vendor lets us in: what is wanted is asked for."""
        ...

    def fresh(self) -> None:
        """The vendor says that it has nothing to tell: its silence is none."""
        ...

    def tell(self, status: Status) -> None:
        """Tell of the feed."""
        ...

    def count(self, rule: str) -> None:
        """Something could not be used."""
        ...

    def end(self, why: BaseException | None) -> None:
        """The line is over."""
        ...


class Talk(Protocol):
    """What is said on one connection; what its methods raise ends the feed."""

    def begin(self) -> None:
        """The socket stands."""
        ...

    def read(self, payload: bytes | memoryview, text: bool, ticks: list[Tick]) -> None:
        """A whole message: append its ticks, answer what wants an answer."""
        ...

    def ask(self, action: Literal["subscribe", "unsubscribe"], channels: Mapping[str, Sequence[str]]) -> None:
        """Ask for the symbols (the vendor's names) of the channels `trades` and `quotes`, or for no more of them."""
        ...


class Dialect(Protocol):
    """How a streaming vendor is spoken to. `vendor`: its name in messages; `cures`: by status of a refused handshake.

    `ping`: what a silent line is asked, b"": WebSocket's own ping.
    """

    name: str
    vendor: str
    url: str
    headers: Mapping[str, str]
    cures: Mapping[int, str]
    ping: bytes

    def theirs(self, symbol: str) -> str:
        """The vendor's name of a symbol; raises BadInput."""
        ...

    def talk(self, line: Line) -> Talk:
        """A new connection's talk."""
        ...
