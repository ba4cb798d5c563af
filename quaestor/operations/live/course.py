"""The course of a run: what all its parts share, and the two ways to say something from anywhere.

`tell` puts news before the engine, `complain` puts words before a person.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import uuid
from collections import Counter
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

from quaestor.live.engine import Engine
from quaestor.live.events import Event
from quaestor.metrics import LiveMetrics
from quaestor.operations.live.acting import Acting
from quaestor.operations.live.deck import Deck, Plan
from quaestor.operations.live.sessions import Day, Step
from quaestor.operations.session import Marks
from quaestor.ports import Lease
from quaestor.ports_live import Desired
from quaestor.screening import Screen
from quaestor.ticks import SECOND

log = logging.getLogger("quaestor.live")
AGAIN = 300 * SECOND  # after which what still waits for the same reason is logged again
HOLD = "hold"  # the latch that a runner adds while a person wants it to enter nothing new


class Course:
    """One run of one account. `stirred`: the books may have changed; `ending`: the run is to end."""

    acting: Acting
    lease: Lease

    def __init__(self, deck: Deck, plan: Plan, run: uuid.UUID) -> None:
        self.deck = replace(deck, floor=replace(deck.floor, last=self.last))
        self.plan, self.id = plan, run
        self.remembered: tuple[dt.date | None, Mapping[str, float]] = (None, {})  # of which session, by the run before
        self.account = plan.mandate.account
        self.engine = Engine(deck.find)
        self.metrics = LiveMetrics()
        self.counts: Counter[str] = Counter()
        self.screen = Screen(plan.mandate.symbols)
        self.day: Day | None = None
        self.done: frozenset[Step] = frozenset()
        self.marks = Marks()
        self.desired: Desired | None = None
        self.news: asyncio.Queue[Event] = asyncio.Queue()
        self.woken, self.stirred, self.ending = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._background: set[asyncio.Future[None]] = set()
        self._waits: dict[str, int] = {}  # what was logged as waiting, and when

    def now(self) -> int:
        """By the run's clock, ns."""
        return self.deck.now()

    def last(self, symbol: str) -> float | None:
        """The last trade that we have seen, or the run before in this session; dollars."""
        session, remembered = self.remembered
        if (seen := self.engine.last.get(symbol)) is not None or self.day is None or session != self.day.session:
            return seen
        return remembered.get(symbol)

    def tell(self, event: Event) -> None:
        """The engine hears of it next."""
        self.news.put_nowait(event)
        self.woken.set()

    def complain(self, title: str, body: str, *, urgent: bool = True) -> None:
        """A person hears of it; nobody waits for that."""
        log.warning("%s: %s", title, body)
        self.acting.tell("alert", title, body=body)
        self.beside(self.deck.floor.alerts.send(f"{self.account}: {title}", body, urgent=urgent))

    def waits(self, what: str) -> None:
        """Something is tried again and again: that is logged at first, then every few minutes."""
        if self.now() - self._waits.get(what, -AGAIN) >= AGAIN:
            self._waits[what] = self.now()
            log.warning("%s", what)

    def beside(self, work: Awaitable[None]) -> None:
        """Do it beside everything else."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @property
    def holds(self) -> bool:
        """Whether nothing new is to be entered."""
        return self.desired is not None and self.desired.state != "armed"

    def said(self, kind: str, subject: str, **body: Any) -> None:
        """Something happened, for whoever watches."""
        self.acting.tell(kind, subject, **body)
