"""Control: what a person or a flow wants, triggers, limits and stops as they change. A hint hurries, a look decides."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from quaestor.errors import LeaseHeld, QuaestorError, Temporary
from quaestor.latches import FLATTEN, HALT
from quaestor.live.events import Latched, Limits, Rules, Signals
from quaestor.live.standing import instant
from quaestor.operations.halt import carry_out
from quaestor.operations.live.bookkeeping import Bookkeeping
from quaestor.operations.live.course import HOLD, Course
from quaestor.operations.live.prices import Prices
from quaestor.operations.live.waiting import waited
from quaestor.operations.outbox import cancel
from quaestor.orders import OrderType, State
from quaestor.ports import StoredOrder, StoredSignal
from quaestor.ticks import SECOND

log = logging.getLogger("quaestor.live")
RESTING = frozenset({State.PLANNED, State.ACKED, State.PARTIALLY_FILLED})
LOOK = 1.0  # seconds between two looks when nobody hints


class Control:
    """The remote control's side of a run. `cursor`: of the changes of triggers that the engine was told of."""

    def __init__(self, course: Course, prices: Prices, bookkeeping: Bookkeeping) -> None:
        self._course, self._prices, self._bookkeeping = course, prices, bookkeeping
        self.cursor = 0
        self._hinted = asyncio.Event()
        self._flattened = 0
        self._latches: tuple[str, ...] = ()

    async def hear_hints(self) -> None:
        """For ever."""
        async for what in self._course.deck.live.hints(self._course.account):
            if what != "happenings":  # those are our own
                self._hinted.set()

    async def follow(self) -> None:
        """Every second, and at once when somebody hints."""
        while True:
            try:
                await self.look()
            except LeaseHeld:
                raise
            except Temporary as error:
                log.warning("What is wanted could not be read: %s", error)
            await waited(self._hinted, LOOK)
            self._hinted.clear()

    async def look(self) -> None:
        """One look at everything that may have changed."""
        course, deck = self._course, self._course.deck
        self._bookkeeping.skew = await deck.skew()
        await self._follow_triggers()
        self._follow_plan()
        desired = await deck.live.desired(course.account)
        if course.desired is None or desired.number != course.desired.number:
            course.said("desired", desired.state, by=desired.by, reason=desired.reason)
        course.desired = desired
        latches = await self._follow_latches()
        if FLATTEN in latches or desired.state == "flatten":
            await self._flatten()
        if desired.state == "stopped":
            course.ending.set()

    async def _follow_latches(self) -> list[str]:
        course, floor = self._course, self._course.deck.floor
        latches = [latch.name for latch in await floor.control.latches(course.account)]
        if HALT in latches and await carry_out(floor.control, floor.books, floor.broker, course.lease):
            course.stirred.set()
        if course.holds:
            latches.append(HOLD)
        if HALT in latches and HALT not in self._latches:
            course.said("halt", course.account, latches=latches)
        self._latches = tuple(latches)
        if self._latches != course.engine.standing.latches:
            course.tell(Latched(course.now(), self._latches))
        return latches

    async def _flatten(self) -> None:
        """Whatever rests at the broker is taken back; then what is held and not being sold is sold."""
        course = self._course
        day, standing, now = course.day, course.engine.standing, course.now()
        if day is None or day.trading(now) is None or now - self._flattened < SECOND:
            return
        self._flattened = now
        orders = await course.deck.floor.books.open_orders()
        resting = [order for order in orders if order.state in RESTING and not _sells_now(order)]
        if resting:
            floor = course.deck.floor
            await cancel(resting, floor.books, floor.broker, course.lease, FLATTEN)
            course.stirred.set()
            return
        held = [each for each in standing.holders(None) if not standing.is_working(each.strategy, each.symbol)]
        signals = []
        for each in held:
            seen = {"bars_seen": 0, "bar_version": 0, "close": float(standing.price_of(each.symbol) or 0)}
            what = (each.symbol, day.session, instant(now), 0.0, 0, seen, None, FLATTEN)
            signals.append(StoredSignal(each.strategy, FLATTEN, FLATTEN, {}, *what))
        if signals:
            course.tell(Signals(now, tuple(signals)))

    async def _follow_triggers(self) -> None:
        course = self._course
        changes = await course.deck.triggers.changes(course.account, self.cursor)
        if not changes:
            return
        self.cursor = changes[-1].number
        for damaged in [each for each in changes if each.damage]:
            course.complain("a stored trigger cannot be read; it is not watched", f"{damaged.id}: {damaged.damage}")
        put = tuple(each.trigger.as_dict() for each in changes if each.trigger is not None)
        removed = tuple(each.id for each in changes if each.trigger is None)
        course.tell(Rules(course.now(), put, removed, self.cursor))
        self._prices.follow([each.trigger.symbol for each in changes if each.trigger is not None])

    def _follow_plan(self) -> None:
        """Limits as configured now; a file that cannot be read changes nothing."""
        course = self._course
        try:
            plan = course.deck.reread()
        except QuaestorError as error:
            course.complain("the configuration was not taken over; the old one stays", str(error))
            return
        if plan is not None and plan.limits != course.plan.limits:
            course.plan = replace(course.plan, mandate=replace(course.plan.mandate, limits=plan.limits))
            limits = plan.limits.model_dump(mode="json")
            course.tell(Limits(course.now(), limits, plan.digest))
            course.said("limits", plan.digest)


def _sells_now(order: StoredOrder) -> bool:
    """Whether it does already what a flattening asks for."""
    return order.intent.reduces and order.intent.order_type is OrderType.MARKET
