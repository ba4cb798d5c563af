"""Reporting: that the run lives, how it is, and where a successor goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from quaestor.errors import Temporary
from quaestor.live.events import Told
from quaestor.live.restoring import snapshot
from quaestor.live.standing import ZERO, instant
from quaestor.operations.live.bookkeeping import Bookkeeping
from quaestor.operations.live.control import Control
from quaestor.operations.live.course import Course
from quaestor.operations.live.driving import Driving
from quaestor.operations.live.prices import Prices
from quaestor.screening import FUTURE
from quaestor.ticks import SECOND

log = logging.getLogger("quaestor.live")
AGAIN = 0.2  # seconds after which a snapshot is tried again
MANY = 5  # prices from the future in one beat that are no accident
SAVE = 30.0  # seconds between two snapshots


class Reporting:
    """What a run says of itself. `settled`: the newest session that it settled."""

    def __init__(
        self, course: Course, driving: Driving, prices: Prices, control: Control, bookkeeping: Bookkeeping
    ) -> None:
        self._course, self._driving, self._prices, self._control = course, driving, prices, control
        self._bookkeeping = bookkeeping
        self.settled: dt.date | None = None
        self._seen, self._lags = (0, 0), False
        self._latches: dict[uuid.UUID, dict[str, Any]] = {}

    async def beat(self) -> None:
        """Every few seconds; silence of the feed is told of here, and the journal goes to the disk."""
        course, deck = self._course, self._course.deck
        while True:
            for alert in deck.liveness.check(course.now()) if deck.feed is not None else ():
                course.complain(f"feed: {alert.kind}", alert.words, urgent=alert.kind == "mute")
            self._look_at_the_clock()
            facts = self.facts()
            if deck.telemetry is not None:
                deck.telemetry.beat(course.now(), facts["metrics"])
            try:
                await deck.live.beat(course.id, facts)
            except Temporary as error:
                log.warning("No heartbeat: %s", error)
            if deck.journal is not None:
                await asyncio.to_thread(self._driving.journalled, deck.journal.sync)
            await asyncio.sleep(deck.settings.beat)

    def _look_at_the_clock(self) -> None:
        """Where the prices of a beat come from the future, our clock lags: said when it begins."""
        course = self._course
        ahead, taken = course.screen.counts[FUTURE], course.counts["ticks"]
        new, good = ahead - self._seen[0], taken - self._seen[1] - (ahead - self._seen[0])
        self._seen = (ahead, taken)
        lags = new > MANY and new > good
        if lags and not self._lags:
            words = f"{new} prices of the last beat are more than 2 seconds ahead of it; none of them is traded upon. "
            course.complain("this machine's clock lags behind the feed", words + "Set it: `chronyc makestep`.")
        if new or good:
            self._lags = lags

    def facts(self) -> dict[str, Any]:
        """Its figures now."""
        course, standing, now, day = self._course, self._course.engine.standing, self._course.now(), self._course.day
        newest = max((tick.at for tick in course.engine.quotes.values()), default=0)
        age = max(0.0, (now - newest) / SECOND) if newest else None
        equity = standing.equity()
        refused = dict(course.screen.counts + course.engine.book.refused)
        if course.deck.feed is not None:
            refused |= course.deck.feed.counts
        self._measure(age, equity, refused)
        return {
            "now": instant(now).isoformat(),
            "session": None if day is None else str(day.session),
            "phase": "open" if day is not None and day.trading(now) else "closed",
            "settled": None if self.settled is None else str(self.settled),
            "desired": None if course.desired is None else course.desired.state,
            "feed": self._prices.status.kind,
            "feed_words": self._prices.status.words,
            "feed_age": age,
            "queue": len(self._driving.backlog),
            "conflated": self._driving.backlog.conflated,
            "triggers": len(course.engine.book),
            "equity": str(equity),
            "cash": str(standing.cash),
            "positions": {symbol: str(each.quantity) for (_, symbol), each in standing.held.items()},
            "working": len(standing.working),
            "latches": list(standing.latches),
            "refused": refused,
            "metrics": course.metrics.dump(),
            **course.counts,
        }

    def _measure(self, age: float | None, equity: Decimal, refused: Mapping[str, int]) -> None:
        course = self._course
        metrics, standing = course.metrics, course.engine.standing
        metrics.feed_age.set(age)
        metrics.queue_depth.set(len(self._driving.backlog))
        metrics.conflated.set(self._driving.backlog.conflated)
        metrics.ticks.set(course.counts["ticks"], "all")
        for rule, count in refused.items():
            metrics.refused_ticks.set(count, rule)
        metrics.triggers.set(len(course.engine.book))
        metrics.equity.set(float(equity))
        if standing.told is not None:
            metrics.pnl_day.set(float(equity - standing.told.equity))
        worth = [each.quantity * (standing.price_of(each.symbol) or ZERO) for each in standing.held.values()]
        metrics.exposure.set(float(sum(map(abs, worth), ZERO)))
        for sink, lost in course.deck.telemetry.lost.items() if course.deck.telemetry is not None else ():
            metrics.telemetry_lost.set(lost, sink)

    async def save(self) -> None:
        """A snapshot now and then."""
        while True:
            await asyncio.sleep(SAVE)
            try:
                while not await self.mark():
                    await asyncio.sleep(AGAIN)
            except Temporary as error:
                log.warning("No snapshot: %s", error)

    async def mark(self) -> bool:
        """Keep a snapshot in the midst of the run; False while something that was decided is not done: a successor who
        begins behind it would never hear of it. The snapshot has no account: that comes next in the journal, before any
        tick, or who follows the journal from here would decide without one.
        """
        async with self._bookkeeping.turn:
            told = await self._bookkeeping.told()
            self._driving.catch_up()
            if not self._course.acting.idle:
                return False
            await self.keep(told)
            return True

    async def keep(self, told: Told | None = None) -> None:
        """The snapshot a successor begins with, and the latches for whoever has none."""
        course, deck = self._course, self._course.deck
        setup = course.engine.successor()
        if setup is None:
            return
        event = deck.journal.number if deck.journal is not None else 0
        if told is not None:
            self._driving.drive(told)
        await deck.live.keep(course.account, course.id, snapshot(setup, event))
        latches = {trigger.id: course.engine.book.latch(trigger.id) for trigger in course.engine.book}
        changed = {name: latch for name, latch in latches.items() if self._latches.get(name) != latch.as_dict()}
        if changed:
            await deck.triggers.keep_latches(course.account, changed, seen=course.engine.cursor)
            self._latches |= {name: latch.as_dict() for name, latch in changed.items()}
