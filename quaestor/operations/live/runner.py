"""The runner: one process that trades an account from a feed, for months.

Under the account's lease, side by side:

    prices        the feed into the backlog; the paper broker sees its quotes
    driving       the one task that drives the engine: news, ticks, the clock ──▶ journal ──▶ engine ──▶ acts
    acting        orders out; a clerk writes down everything else
    bookkeeping   follows the broker, books fills, tells the engine how the account stands
    control       what a person or a flow wants; triggers, limits and stops as they are changed
    routine       opening, signals, close, settlement, by the exchange's calendar
    reporting     says that it lives, and how it is; keeps where a successor goes on

Whatever comes from anywhere but the feed goes through one queue into the engine, so the journal has one order. A lease
that is lost, books that cannot be written while an order is on its way: those end the run at once, and its supervisor
starts it again. A feed that is refused, a flow that is not there, a person's typing: none of them does.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable
from typing import Any

from quaestor.errors import LeaseHeld, QuaestorError
from quaestor.live.standing import instant
from quaestor.operations.live.acting import Acting
from quaestor.operations.live.bookkeeping import Bookkeeping
from quaestor.operations.live.control import Control
from quaestor.operations.live.course import Course
from quaestor.operations.live.deck import Deck, Plan
from quaestor.operations.live.driving import Driving
from quaestor.operations.live.prices import Prices
from quaestor.operations.live.reporting import Reporting
from quaestor.operations.live.routine import Routine
from quaestor.operations.live.succession import Succession
from quaestor.ports import Lease
from quaestor.ports_live import LiveRun

log = logging.getLogger("quaestor.live")
STAND_BY = 3600.0  # seconds for which a second runner waits for the lease before it says so again


class Runner:
    """Runs one account. `sessions`: it ends after so many closes; None: never by itself."""

    def __init__(self, deck: Deck, plan: Plan, run: uuid.UUID, holder: str, *, sessions: int | None = None) -> None:
        self._holder = holder
        self.course = course = Course(deck, plan, run)
        self.engine, self.id, self.account = course.engine, run, course.account
        self._driving = Driving(course)
        self._prices = Prices(course, self._driving)
        self._bookkeeping = Bookkeeping(course)
        self._control = Control(course, self._prices, self._bookkeeping)
        self._reporting = Reporting(course, self._driving, self._prices, self._control, self._bookkeeping)
        self._routine = Routine(course, self._prices, self._bookkeeping, self._reporting, sessions)

    def facts(self) -> dict[str, Any]:
        """Its figures now."""
        return self._reporting.facts()

    async def run(self) -> str:
        """Trade until told to stop; how it ended. Raises LeaseHeld when the lease is lost."""
        deck, began = self.course.deck, False
        while True:
            try:
                async with deck.floor.leases.hold(self.account, self._holder, STAND_BY) as lease:
                    began = True
                    return await self._run(lease)
            except LeaseHeld as error:
                if began:
                    raise
                log.info("Standing by: %s", error)

    async def _run(self, lease: Lease) -> str:
        course, deck, plan = self.course, self.course.deck, self.course.plan
        course.lease = lease
        journal = str(course.id) if deck.journal is not None else ""
        who = (course.id, course.account, self._holder, instant(course.now()))
        await deck.live.begin(LiveRun(*who, plan.commit, plan.digest, journal))
        told = (course.tell, course.stirred.set, course.metrics, self.engine.standing.quotes.get)
        course.acting = Acting(deck, course.account, course.id, lease, *told)
        outcome = "failed"
        try:
            parts = (self._driving, self._prices, self._bookkeeping, self._control, self._routine)
            await Succession(course, *parts).take_over()
            await course.acting.finish()
            course.acting.perform(())  # what could not be done ends the run here, with the journal as it was
            await self._reporting.mark()  # from here on the next run follows this one's journal, not the one before
            await self._work()
            outcome = "stopped"
        except LeaseHeld:
            outcome = "lost the lease"
            raise
        except asyncio.CancelledError:
            outcome = "ended"
            raise
        finally:
            await self._end(outcome)
        return outcome

    async def _work(self) -> None:
        """All parts, until one of them ends the run."""
        jobs: list[Awaitable[Any]] = [
            self._driving.decide(),
            self._driving.pulse(),
            self._prices.feed(),
            self._prices.show_paper(),
            self.course.acting.clerk(),
            self._bookkeeping.follow(),
            self._control.hear_hints(),
            self._control.follow(),
            self._routine.follow(),
            self._reporting.beat(),
            self._reporting.save(),
            self._keep(),
            self.course.ending.wait(),
        ]
        tasks = [asyncio.ensure_future(job) for job in jobs]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            left = set(tasks)
            while left:  # until each has heard it: a library may swallow a cancel (Python 3.11's `wait_for` does)
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=1)

    async def _keep(self) -> None:
        """The broker's login, where there is one to keep."""
        ending = self.course.ending
        await (self.course.deck.keep(ending) if self.course.deck.keep is not None else ending.wait())

    async def _end(self, outcome: str) -> None:
        """What was begun ends; the next run finds where this one stood. The first error is the one that is told."""
        deck = self.course.deck
        try:
            if deck.feed is not None:
                deck.feed.stop()
            await self.course.acting.finish()
            if outcome in {"stopped", "ended"} and not self.course.acting.failed:
                await self._reporting.keep()  # otherwise the journal knows what was left undone
        except QuaestorError as error:
            log.warning("Not all was written down at the end: %s", error)
        finally:
            if deck.journal is not None:
                self._driving.journalled(deck.journal.close)
            try:
                await deck.live.beat(self.id, self.facts())
                await deck.live.end(self.id, outcome)
            except QuaestorError as error:
                log.warning("That the run ended was not kept: %s", error)
