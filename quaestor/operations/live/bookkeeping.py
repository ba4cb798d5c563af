"""Bookkeeping: follow the broker, book what it tells, and tell the engine how the account stands."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from decimal import Decimal

import msgspec

from quaestor.barring import nanoseconds
from quaestor.errors import LeaseHeld, Permanent, Temporary
from quaestor.live.account import AccountState
from quaestor.live.events import Filled, Told
from quaestor.operations.live.account import account_state
from quaestor.operations.live.course import HOLD, Course
from quaestor.operations.live.waiting import waited
from quaestor.operations.outbox import collect, resolve
from quaestor.operations.reconcile import reconcile_under
from quaestor.operations.session import stop_entries, tell_adopted
from quaestor.orders import Execution, trimmed
from quaestor.spans import Execution as Fill

log = logging.getLogger("quaestor.live")
GATHER = 0.05  # seconds in which news of the broker are gathered


class Bookkeeping:
    """The books' side of a run. `skew`: seconds by which our clock is ahead of the database's; `turn`: of whoever reads
    the books and tells the engine: what is told in parts is told whole.
    """

    def __init__(self, course: Course) -> None:
        self._course = course
        self.skew: Decimal | None = None
        self._reads = 0  # of the account
        self._known: tuple[int, AccountState | None] = (0, None)  # what the engine was told last, by which read
        self.turn = asyncio.Lock()

    async def follow(self) -> None:
        """Whenever something stirred, and now and then; compare with the broker every so many minutes."""
        course = self._course
        every, clock = course.deck.settings.reconcile_minutes * 60, asyncio.get_running_loop().time
        compared = clock()
        while True:
            working, idle = course.deck.looks
            if stirred := await waited(course.stirred, working if course.engine.standing.working else idle):
                await asyncio.sleep(GATHER)  # what stirs once stirs again: orders on their way go first
            course.stirred.clear()
            course.acting.perform(())  # what ended an act for good ends the run
            try:
                async with self.turn:
                    await self.look(again=not stirred)
                if every and clock() - compared >= every:
                    compared = clock()
                    await self.compare()
            except LeaseHeld:
                raise
            except Temporary as error:
                course.waits(f"The broker or the books did not answer: {error}")

    async def look(self, *, again: bool = False) -> None:
        """What the broker tells is booked, what is unclear is resolved, the engine hears how it stands.

        again: a cancel that has had no answer is asked for once more.
        """
        course = self._course
        floor, day, lease = course.deck.floor, course.day, course.lease
        if day is None:
            return
        try:
            if again or course.engine.standing.unknown:
                await resolve(floor.books, floor.broker, lease, floor.band(course.plan.limits), floor.pause)
            heard = await collect(floor.books, floor.broker, lease, day.session)
        except Permanent as error:  # books that disagree, or a list that cannot be read: exits go on
            await stop_entries(floor, str(error), lease)
        else:
            await tell_adopted(course.account, heard, floor.alerts)
            for strategy, execution in heard.fills:
                self._tell_fill(strategy, execution)
        await self.tell()

    def _tell_fill(self, strategy: str, execution: Execution) -> None:
        """The engine, a person and the traces hear of a fill that is booked."""
        course = self._course
        course.counts["fills"] += 1
        course.metrics.fills.add(1)
        what = (strategy, execution.symbol, execution.side, execution.quantity, execution.price, execution.fee)
        course.tell(Filled(course.now(), *what, execution.ref_id))
        amount = {"quantity": str(trimmed(execution.quantity)), "price": str(trimmed(execution.price))}
        order = None if execution.ref_id is None else str(execution.ref_id)
        body = {"side": execution.side.value, **amount, "fee": str(execution.fee), "strategy": strategy}
        course.said("fill", execution.symbol, order=order, **body)
        if course.deck.telemetry is not None and execution.ref_id is not None:
            at = nanoseconds(execution.at)
            told = Fill(execution.ref_id, execution.execution_id, at, 0, execution.symbol, *amount.values())
            course.deck.telemetry.fill(told)

    async def tell(self) -> None:
        """The account as the books have it goes to the engine."""
        before, told = self._known, await self.told()
        if told is None:
            return
        mine = self._reads == before[0] + 1  # nobody else told it something older meanwhile
        if not mine or told.account != before[1] or self._course.engine.standing.placed:
            self._course.tell(told)
        self._known = (self._reads, told.account)

    async def told(self) -> Told | None:
        """The account as the books have it now; None where no day is known."""
        course, day = self._course, self._course.day
        if day is None:
            return None
        self._reads += 1
        now = course.now()
        trading = day.session if "open" in course.done and now < day.closes else None  # the engine waits for the open
        known = (course.marks, trading, self.skew, course.lease.epoch)
        placed = list(course.engine.standing.working)
        state = await account_state(course.deck.floor, course.plan.mandate, day.session, placed, *known)
        if course.holds:
            state = msgspec.structs.replace(state, latches=(*state.latches, HOLD))
        return Told(now, state)

    async def compare(self) -> None:
        """Books and broker, to the cent and the share; a difference stops entries and tells a person."""
        course = self._course
        since = course.marks.last.session if course.marks.last else course.day.session if course.day else dt.date.min
        floor, lease = course.deck.floor, course.lease
        try:
            outcome = await reconcile_under(floor, course.plan.limits, lease, since, None)
        except Permanent as error:
            await stop_entries(floor, str(error), lease)
            return
        if not outcome.ok:
            course.said("halt", course.account, reason="books and broker disagree", count=len(outcome.differences))
