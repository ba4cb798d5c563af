"""Prices: the feed of a run, what it missed, and the paper broker who fills by it."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterable
from decimal import Decimal

from quaestor.bars import price
from quaestor.errors import QuaestorError, Temporary
from quaestor.feeds import FeedRefused, Status
from quaestor.live.events import History, Missed
from quaestor.live.gaps import Hearing, Outage, live_bars
from quaestor.live.standing import instant
from quaestor.matching import Quote
from quaestor.operations.gaps import repair
from quaestor.operations.live.course import Course
from quaestor.operations.live.driving import Driving
from quaestor.ticks import SECOND, QuoteTick, Tick

log = logging.getLogger("quaestor.live")
PAPER = 0.02  # seconds between two looks of the paper broker at the feed
IDLE = 0.1  # the same while nothing works
YOUNG = 10 * SECOND  # a trigger's tick, where no trigger says otherwise


class Prices:
    """The feed's side of a run."""

    def __init__(self, course: Course, driving: Driving) -> None:
        self._course, self._driving = course, driving
        self._subscribed: set[str] = set()
        self._hearing = Hearing()
        self.status = Status("lost", "not connected yet")

    async def feed(self) -> None:
        """Ticks into the backlog, until the run ends; a feed that is refused leaves the run without prices."""
        course = self._course
        feed = course.deck.feed
        if feed is None:
            await course.ending.wait()
            return
        try:
            await feed.run(self._on_batch, self._on_status)
        except FeedRefused as error:
            self.status = Status("refused", str(error))
            course.complain("the feed refuses us; no prices come", str(error))
        await course.ending.wait()

    def follow(self, more: Iterable[str] = ()) -> None:
        """Whatever is traded, held or watched by a trigger is listened to."""
        course = self._course
        held = {symbol for _, symbol in course.engine.standing.held}
        watched = {trigger.symbol for trigger in course.engine.book}
        wanted = {*course.plan.mandate.symbols, *more, *held, *watched}
        new = sorted(wanted - self._subscribed)
        if not new:
            return
        self._subscribed |= wanted
        course.screen.watch(new)
        course.deck.liveness.watch(new)
        if course.deck.feed is None:
            return
        try:
            course.deck.feed.subscribe(trades=new, quotes=new)
        except QuaestorError as error:
            course.complain("the feed has not all symbols", str(error))

    def _on_batch(self, ticks: list[Tick]) -> None:
        self._hearing.heard(self._course.now())
        self._driving.on_batch(ticks)

    def _on_status(self, status: Status) -> None:
        course = self._course
        if status.kind == "note":
            course.said("feed", status.kind, words=status.words)
            return
        before, self.status = self.status, status
        if status.kind == "lost":
            self._hearing.lost(course.now())
        elif status.kind == "subscribed" and (outage := self._hearing.back(course.now())) is not None:
            course.metrics.reconnects.add(1, "feed")
            course.counts["reconnects"] += 1
            course.beside(self._repair(outage))
        if status.kind != before.kind:
            course.said("reconnect" if status.kind == "connected" else "feed", status.kind, words=status.words)

    async def _repair(self, outage: Outage) -> None:
        """What the line missed: whole minutes for strategies, young trades for triggers."""
        course = self._course
        source = course.deck.source
        if source is None or not course.deck.settings.fill_gaps:
            return
        oldest = max((round(t.max_age * SECOND) for t in course.engine.book), default=YOUNG)
        symbols = sorted(self._subscribed)
        try:
            async for done in repair(source, symbols, outage, course.now, oldest):
                if not done.filled.bars.is_empty():
                    course.tell(History(course.now(), live_bars(done.filled.bars)))
                if done.filled.ticks:
                    course.tell(Missed(course.now(), tuple(done.filled.ticks)))  # type: ignore[arg-type] # trades
                if done.failed:
                    log.warning(
                        "A gap of %s is not filled: %s", ", ".join(done.failed), next(iter(done.failed.values()))
                    )
        except QuaestorError as error:
            course.complain("a gap of the feed could not be filled", str(error), urgent=False)

    async def show_paper(self) -> None:
        """The paper broker sees the feed's quotes of what has a working order."""
        course = self._course
        paper, engine = course.deck.paper, course.engine
        if paper is None:
            await course.ending.wait()
            return
        shown: dict[str, tuple[int, frozenset[uuid.UUID]]] = {}  # a quote gives its shares once
        while True:
            working: dict[str, list[uuid.UUID]] = {}
            for ref_id, order in engine.standing.answered().items():
                working.setdefault(order.intent.symbol, []).append(ref_id)
            day = course.day
            for symbol, orders in working.items() if day is not None and day.trading(course.now()) else ():
                quote, (at, seen) = engine.quotes.get(symbol), shown.get(symbol, (0, frozenset()))
                if quote is None or (quote.at == at and seen.issuperset(orders)):
                    continue
                shown[symbol] = (quote.at, frozenset(orders))
                try:
                    if await paper.on_quote(symbol, _quote(quote, engine.last.get(symbol)), instant(course.now())):
                        course.stirred.set()
                except Temporary as error:
                    log.warning("The paper broker was not shown %s: %s", symbol, error)
            await asyncio.sleep(PAPER if working else IDLE)


def _quote(tick: QuoteTick, last: float | None) -> Quote:
    size = Decimal(int(max(min(tick.bid_size, tick.ask_size), 0)))
    return Quote(price(tick.bid), price(tick.ask), None if last is None else price(last), size or None)
