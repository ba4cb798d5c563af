"""Driving: the one task that feeds the engine. News first, then what the feed told, then the time.

The journal has an event before the engine does; its acts begin before anything else is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from quaestor.errors import ClockWentBack, Temporary
from quaestor.live.events import Clock, Event, Ticks
from quaestor.operations.backlog import Backlog
from quaestor.operations.live.course import Course
from quaestor.spans import Batch
from quaestor.ticks import SECOND, Tick

BACK = 5 * SECOND
TURN = SECOND // 4  # after which the engine is told the time when nothing else comes


class Driving:
    """Drives the engine of a run."""

    def __init__(self, course: Course) -> None:
        self._course = course
        deck = course.deck
        self.backlog = Backlog(deck.calm, deck.most, deck.feed)

    def on_batch(self, ticks: list[Tick]) -> None:
        """The feed hands over."""
        self.backlog.add(ticks)
        self._course.woken.set()

    async def decide(self) -> None:
        """For ever."""
        course = self._course
        while True:
            await course.woken.wait()
            course.woken.clear()
            self.catch_up()
            if len(self.backlog):
                self.take(await self.backlog.take())
            elif (now := self._now()) - course.engine.now >= TURN:
                self.drive(Clock(now))

    def _now(self) -> int:
        """The time; raises ClockWentBack where it is far behind what the engine was told: it would wait till then."""
        now = self._course.now()
        if (ahead := self._course.engine.now - now) > BACK:
            raise ClockWentBack(f"It went back by {ahead / SECOND:.0f} s; the run begins anew with the clock as it is.")
        return now

    async def pulse(self) -> None:
        """Time goes on when nothing else does; what was heard outlives a kill from then on."""
        journal = self._course.deck.journal
        while True:
            await asyncio.sleep(TURN / SECOND)
            if journal is not None:
                self.journalled(journal.flush)
            self._course.woken.set()

    def catch_up(self) -> None:
        """All news there are."""
        news = self._course.news
        while not news.empty():
            self.drive(news.get_nowait())

    def take(self, ticks: list[Tick]) -> None:
        """Ticks, screened."""
        course = self._course
        now = self._now()
        course.counts["ticks"] += len(ticks)
        if good := course.screen.good(ticks, now):
            course.deck.liveness.heard(good, now)
            self.drive(Ticks(now, good))
            decided = course.now()
            course.metrics.tick_to_decision.record(decided - now)
            if course.deck.telemetry is not None and course.deck.telemetry.sampled():
                course.deck.telemetry.batch(Batch(course.id, now, decided, len(good)))

    def drive(self, event: Event) -> None:
        """One event through journal and engine; its acts begin."""
        course, journal = self._course, self._course.deck.journal
        if journal is not None:
            event = self.journalled(journal.append, event) or event
        acts = course.engine.on(event)
        if not acts:
            return
        if journal is not None:
            self.journalled(journal.decided, acts)
            self.journalled(journal.flush)  # decided is on record before it is done
        course.acting.perform(acts, event.now)

    def journalled(self, write: Callable[..., Any], *given: Any) -> Any:
        """A journal that cannot be written ends; the run does not."""
        try:
            return write(*given)
        except Temporary as error:
            self._course.complain("the journal stopped; the run cannot be replayed", str(error))
            return None
