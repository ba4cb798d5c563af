"""The deck: all doors of a live run, and how it is told to behave."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from quaestor.feeds import Liveness
from quaestor.live.acts import Act
from quaestor.live.events import Event
from quaestor.live.restoring import Tail
from quaestor.matching import Quote
from quaestor.operations.decide import Mandate
from quaestor.operations.session import Floor
from quaestor.ports import BarStore, Source
from quaestor.ports_live import Feed, LiveStore, QuotePoll, Telemetry, TriggerStore

if TYPE_CHECKING:
    from quaestor.config import LiveSection, RiskSection
    from quaestor.strategies.catalogue import Built


LOOKS = (5.0, 5.0)


class Journal(Protocol):
    """Where a run's events and decisions are kept, as a log of its own."""

    number: int  # of the newest event

    def append(self, event: Event) -> Event:
        """Keep an event, in memory at first; answers it as it will be read back."""
        ...

    def decided(self, acts: Sequence[Act]) -> None:
        """Keep what followed from the newest event."""
        ...

    def flush(self) -> None:
        """What was appended outlives this process from now on."""
        ...

    def sync(self) -> None:
        """And the machine."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class PaperMarket(Protocol):
    """A broker that fills by the prices that it is shown."""

    async def on_quote(self, symbol: str, quote: Quote, at: dt.datetime) -> int:
        """Working orders of the symbol meet the quote; how many filled."""
        ...


@dataclass(frozen=True)
class Plan:
    """What trades, and by which rules; read again while the run goes on."""

    mandate: Mandate
    built: Sequence[Built]
    commit: str
    digest: str

    @property
    def limits(self) -> RiskSection:
        """The gate's limits."""
        return self.mandate.limits


@dataclass(frozen=True)
class Deck:
    """source: of the minutes that a broken line missed; bars: those stored, for strategies that are new; find: a
    strategy by name and parameters; now: ns since 1970 by our clock; skew: seconds by which it is ahead of the
    database's; start_flow: by deployment name, once per key; reread: the plan as configured now, None where nothing
    changed; tail: what another run's journal has after so many events; paper: the broker where it fills by our feed;
    poll: the broker's own quotes, for the cross-check; keep: keeps the broker's login, until the event is set; looks:
    seconds between two looks at the broker while an order works, and otherwise; prepare: has the broker look up what a
    day's orders need, and says why nothing may be entered on it ("" where it may).
    """

    floor: Floor
    live: LiveStore
    triggers: TriggerStore
    feed: Feed | None
    journal: Journal | None
    find: Callable[[str, Mapping[str, Any]], Any]
    settings: LiveSection
    now: Callable[[], int]
    skew: Callable[[], Awaitable[Decimal]]
    start_flow: Callable[[str, str], Awaitable[None]]
    reread: Callable[[], Plan | None]
    tail: Tail = lambda _, __: ()  # of another run's journal: what comes after so many events
    paper: PaperMarket | None = None
    telemetry: Telemetry | None = None
    source: Source | None = None
    bars: BarStore | None = None
    poll: QuotePoll | None = None
    keep: Callable[[asyncio.Event], Awaitable[None]] | None = None
    looks: tuple[float, float] = LOOKS
    prepare: Callable[[dt.date, Sequence[str]], Awaitable[str]] | None = None
    liveness: Liveness = field(default_factory=Liveness)
    calm: int = 4096
    most: int = 1_000_000
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
