"""Succession: a run begins where the broker is, then where the run before stood, and does what that one left undone.

Books and broker come first: whatever was sent, filled or left in doubt is known before the engine is. Then the run
before is followed to its last moment (`restoring`), and what it decided in its last seconds is performed: each of it is
done once, whoever did it.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from quaestor.errors import QuaestorError
from quaestor.live.acts import Act, Place, Signalled
from quaestor.live.engine import Engine
from quaestor.live.events import History, Player, Setup
from quaestor.live.restoring import CaughtUp, caught_up, continued, recent
from quaestor.operations.live.bookkeeping import Bookkeeping
from quaestor.operations.live.control import Control
from quaestor.operations.live.course import Course
from quaestor.operations.live.driving import Driving
from quaestor.operations.live.prices import Prices
from quaestor.operations.live.routine import Routine
from quaestor.operations.live.sessions import day_for, day_of
from quaestor.operations.live.warming import stored
from quaestor.operations.session import marks_of, open_account, take_over, tell_orphans
from quaestor.splits import Split
from quaestor.strategies.live import LiveStrategy
from quaestor.ticks import SECOND

log = logging.getLogger("quaestor.live")
UNREADABLE = (QuaestorError, KeyError, TypeError, ValueError, OSError, msgspec.MsgspecError)  # of an older version, too
AHEAD = 5 * SECOND  # by which the run before may have been later than it is now
MISSED = 10 * SECOND  # what was decided longer ago than that is not performed any more


class Succession:
    """How a run begins."""

    def __init__(
        self,
        course: Course,
        driving: Driving,
        prices: Prices,
        bookkeeping: Bookkeeping,
        control: Control,
        routine: Routine,
    ) -> None:
        self._course, self._driving, self._prices = course, driving, prices
        self._bookkeeping, self._control, self._routine = bookkeeping, control, routine

    async def take_over(self) -> None:
        """Everything before the first tick is seen."""
        await self._find_the_day()
        course, floor, mandate = self._course, self._course.deck.floor, self._course.plan.mandate
        before = self._before(await course.deck.live.kept(course.account))
        self._remember(before)
        if course.day is not None:
            await open_account(floor, mandate, [course.day.session], course.lease)
        await take_over(floor, mandate.limits, course.lease)
        await tell_orphans(floor, mandate)
        await self._bookkeeping.compare()
        decided = await self._set_up(before)
        await self._control.look()
        await self._perform(decided)
        while await self._routine.step():
            pass
        await self._bookkeeping.tell()
        self._driving.catch_up()

    async def _find_the_day(self) -> None:
        """The session that is on or comes next; one whose close was missed comes first."""
        course = self._course
        course.marks = await marks_of(course.deck.floor.books)
        quiet = course.plan.limits.quiet_open
        course.day = day_of(course.now(), quiet)
        standing, phase = await course.deck.floor.market.clock()
        settled = course.marks.last.session if course.marks.last else None
        if standing is None or standing > course.day.session or (settled is not None and standing <= settled):
            return
        if phase == "open" and standing < course.day.session:
            course.day = day_for(standing, quiet)
        elif phase != "open":  # its close was begun, and not ended
            course.day, course.done = day_for(standing, quiet), frozenset({"roll", "open", "signals"})

    def _remember(self, before: CaughtUp | None) -> None:
        """The last prices of the run before: what it left in doubt is sent again near them, not near the last close."""
        kept = before.setup.kept if before is not None else None
        if kept is not None and (session := kept.get("session")) is not None:
            day = dt.date.fromisoformat(str(session["session"]))
            self._course.remembered = (day, kept["last"])

    async def _set_up(self, before: CaughtUp | None) -> list[tuple[int, Act]]:
        """The engine's first event; what the run before decided last of all."""
        course, deck, mandate = self._course, self._course.deck, self._course.plan.mandate
        self._control.cursor = cursor = await deck.triggers.cursor(course.account)
        written = await deck.triggers.all(course.account)
        for damaged in await deck.triggers.damaged(course.account):
            course.complain(
                "a stored trigger cannot be read; it is not watched", f"{damaged.name or damaged.id}: {damaged.problem}"
            )
        kept = continued(before.setup if before else None, written, await self._splits_since(before))
        players = tuple(
            Player(b.name, dict(b.parameters), b.version, b.digest, mandate.weights[b.name]) for b in course.plan.built
        )
        rules = tuple(each.trigger.as_dict() for each in written)
        limits = mandate.limits.model_dump(mode="json")
        who = (course.id, course.account, tuple(mandate.symbols))
        code = (course.plan.commit, course.plan.digest)
        self._driving.drive(Setup(course.now(), *who, limits, players, rules, *code, kept, cursor))
        self._prices.follow()
        await self._warm()
        return before.decided if before else []

    async def _warm(self) -> None:
        """Strategies that have seen nothing yet are shown what is stored."""
        course = self._course
        bars, symbols = course.deck.bars, course.plan.mandate.symbols
        if bars is None or course.day is None:
            return
        for built in course.plan.built:
            if isinstance(built.strategy, LiveStrategy) and not course.engine.has_seen(built.name):
                found = await stored(bars, symbols, built.strategy, course.day.session)
                if found:
                    self._driving.drive(History(course.now(), found))

    def _before(self, kept: Mapping[str, Any] | None) -> CaughtUp | None:
        """The run before as it stood at its last moment; its last snapshot where the journal is of no use."""
        course = self._course
        if kept is None:
            return None
        if kept["setup"]["now"] > course.now() + AHEAD:  # a rehearsal that is played again, or a clock that was wrong
            log.warning("The run before was later than it is now; its marks are not used.")
            return None
        run = uuid.UUID(kept["setup"]["run"])
        for tail in (course.deck.tail, lambda *_: ()):
            try:
                return caught_up(Engine(course.deck.find), kept, tail(run, kept["event"]), self._is_there)
            except UNREADABLE as error:
                what = "the run before cannot be followed to its end; this one begins from less"
                course.complain(what, f"{type(error).__name__}: {error}")
        return None

    def _is_there(self, player: Player) -> bool:
        """Whether a strategy is what it was."""
        try:
            return bool(self._course.deck.find(player.name, player.parameters).digest == player.digest)
        except QuaestorError:
            return False

    async def _splits_since(self, before: CaughtUp | None) -> list[Split]:
        """Splits that stored triggers know and the run before did not."""
        course, day = self._course, self._course.day
        if before is None or day is None or before.setup.kept is None:
            return []
        session = before.setup.kept.get("session")
        if session is not None and session["session"] == str(day.session):
            return []
        known = await course.deck.triggers.splits_known(course.account, day.session)
        return [split for split in await course.deck.floor.quotes.splits(day.session) if split.symbol in known]

    async def _perform(self, decided: Sequence[tuple[int, Act]]) -> None:
        """What the run before decided in its last seconds and perhaps never did."""
        course = self._course
        session = course.day.session if course.day is not None else None
        ready, late = recent(decided, course.now() - MISSED, session, entries=not course.holds)
        course.acting.perform([act for act in ready if not isinstance(act, Signalled)])
        await course.acting.finish()
        names = [intent.ref_id for act in late if isinstance(act, Place) for intent in act.intents]
        if not names:
            return
        known = {order.ref_id for order in await course.deck.floor.books.orders_since(dt.date.min)}
        if missed := [str(name) for name in names if name not in known]:
            title = f"{len(missed)} orders were decided and never sent; it is too late for them now"
            course.complain(title, ", ".join(missed))
