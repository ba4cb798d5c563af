"""Bookkeeping: follow the broker, book what it tells, and tell the engine how the account stands."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from decimal import Decimal

import msgspec

from quaestor.errors import BooksDisagree, LeaseHeld, Temporary
from quaestor.live.events import Told
from quaestor.operations.live.account import account_state
from quaestor.operations.live.course import HOLD, Course
from quaestor.operations.live.waiting import waited
from quaestor.operations.outbox import collect, resolve
from quaestor.operations.reconcile import reconcile_under
from quaestor.operations.session import stop_entries, tell_adopted

log = logging.getLogger("quaestor.live")
LISTEN = 5.0  # seconds between two looks at the broker when nothing hints


class Bookkeeping:
    """The books' side of a run. `skew`: seconds by which our clock is ahead of the database's."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self.skew: Decimal | None = None

    async def follow(self) -> None:
        """Whenever something stirred, and now and then; compare with the broker every so many minutes."""
        course = self._course
        every, clock = course.deck.settings.reconcile_minutes * 60, asyncio.get_running_loop().time
        compared = clock()
        while True:
            await waited(course.stirred, LISTEN)
            course.stirred.clear()
            course.acting.perform(())  # what ended an act for good ends the run
            try:
                await self.look()
                if every and clock() - compared >= every:
                    compared = clock()
                    await self.compare()
            except LeaseHeld:
                raise
            except Temporary as error:
                log.warning("The broker or the books did not answer: %s", error)

    async def look(self) -> None:
        """What the broker tells is booked, what is unclear is resolved, the engine hears how it stands."""
        course = self._course
        floor, day, lease = course.deck.floor, course.day, course.lease
        if day is None:
            return
        try:
            if course.engine.standing.unknown:
                await resolve(floor.books, floor.broker, lease, floor.band(course.plan.limits))
            heard = await collect(floor.books, floor.broker, lease, day.session)
        except BooksDisagree as error:
            await stop_entries(floor, str(error), lease)
        else:
            await tell_adopted(course.account, heard, floor.alerts)
            course.metrics.fills.add(heard.booked)
            course.counts["fills"] += heard.booked
            if heard.booked:
                course.said("fill", course.account, count=heard.booked)
        await self.tell()

    async def tell(self) -> None:
        """The account as the books have it goes to the engine."""
        course, day = self._course, self._course.day
        if day is None:
            return
        now = course.now()
        trading = day.trading(now) if "open" in course.done else None
        known = (course.marks, trading, self.skew, course.lease.epoch)
        state = await account_state(course.deck.floor, course.plan.mandate, day.session, *known)
        if course.holds:
            state = msgspec.structs.replace(state, latches=(*state.latches, HOLD))
        course.tell(Told(now, state))

    async def compare(self) -> None:
        """Books and broker, to the cent and the share; a difference stops entries and tells a person."""
        course = self._course
        since = course.marks.last.session if course.marks.last else course.day.session if course.day else dt.date.min
        outcome = await reconcile_under(course.deck.floor, course.plan.limits, course.lease, since, None)
        if not outcome.ok:
            course.said("halt", course.account, reason="books and broker disagree", count=len(outcome.differences))
