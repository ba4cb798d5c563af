"""Rehearse a login: play days and months of it within seconds, with what may go wrong, and count what it costs.

    a person logs in, once
    for each moment at which something may happen: the keepers look; a fault begins or ends
    for each minute of each session: whether all who ask the broker could, with what they hold or what they can get
    afterwards, apart: the chain breaks for good, a person is paged and acts, and what runs goes on

Keepers look each two seconds; here they look when tokens are due, around faults, and now and then: a keeper that looks
less often is later, never earlier. A minute is lost where somebody cannot ask until its end, though he tries each 2 s.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from bisect import bisect_right
from collections import deque
from dataclasses import replace

from quaestor import calendar
from quaestor.custody import policy
from quaestor.custody.machine import Custody, Standing
from quaestor.custody.policy import Life
from quaestor.custody.rehearsals import BROKEN, Plan
from quaestor.operations.custody.disturbing import Disturbing
from quaestor.operations.custody.rehearsed import Counted, Found, Stage, Turn

REFRESH_AT = dt.time(20, 30)
STEP = dt.timedelta(seconds=2)
SELDOM = dt.timedelta(hours=6)  # between two looks while nothing happens
PATIENCE = dt.timedelta(minutes=1)  # until a refresh counts as late, where no fault explains it
RESIGNED = 10  # once a minute is lost, whoever cannot ask tries in each tenth alone: the others count as lost, too
ACTS = dt.timedelta(minutes=5)  # after a page


class Rehearsal:
    """One rehearsal; `play` it once."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self.stage, self.plan, self.clock = stage, plan, stage.clock
        self.found = Found(plan.days)
        self.due: dt.datetime | None = None  # of the tokens that are good now
        self.revoked_at: dt.datetime | None = None
        self.disturbing = Disturbing(self)
        self._seen = stage.counted
        self._given_at: dt.datetime | None = None  # tokens that are not stored yet
        self._unsettled: dt.datetime | None = None  # since when
        self._broken: dt.datetime | None = None
        self._row = 0  # lost minutes in a row
        self._missed = False
        self._set_minutes([*plan.sessions])

    async def play(self) -> Found:
        """All of it."""
        self.tell(f"a person logs in: {await self.stage.log_in() or 'done'}")
        self._seen = self.stage.counted
        await self._given(await self._look_once())
        await self._until(self.plan.ends, deque(self.plan.in_session))
        if self._place < len(self._minutes):
            self.found.wrong.append(f"{len(self._minutes) - self._place} trading minutes were not looked at")
        self.found.refreshes = self.stage.counted.refreshes
        self.found.human_actions = self.stage.counted.logins - 1
        if BROKEN in self.plan.faults:
            await self._broken_afterwards()
        self.found.leaks = await asyncio.to_thread(self.stage.leaks)
        return self.found

    def tell(self, words: str) -> None:
        """Into the story."""
        self.found.story.append(f"{self.clock.now():%Y-%m-%d %H:%M:%S} {words}")

    def ignore_requests(self) -> None:
        """What was asked until now is no part of the next refresh."""
        self._seen = replace(self._seen, asked=self.stage.counted.asked)

    # ── time goes on ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _until(self, end: dt.datetime, agenda: deque[tuple[dt.datetime, str]]) -> None:
        while self.clock.now() < end:
            await self.look()
            await self.pass_to(min(self._next(), end, *(moment for moment, _ in list(agenda)[:1])))
            if agenda and self.clock.now() >= agenda[0][0]:
                await self.disturbing.in_session(agenda.popleft()[1])

    def _next(self) -> dt.datetime:
        """The next moment at which a keeper should look."""
        now = self.clock.now()
        found = [now + SELDOM]
        if self.due is not None and self.due > now:
            found.append(self.due)
        since = self._unsettled or (self.due if self.due is not None and self.due <= now else None)
        if since is not None:
            found.append(now + _pause(now - since))
        return min(found)

    async def pass_to(self, moment: dt.datetime) -> None:
        """To that moment, minute by minute while a session trades."""
        while self._place < len(self._minutes) and self._minutes[self._place] <= moment:
            minute = self._minutes[self._place]
            self._place += 1
            self.clock.to(minute)
            await self._minute(minute)
        self.clock.to(moment)

    # ── minutes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _set_minutes(self, days: list[dt.date]) -> None:
        """Those of the sessions; at some of them everybody asks for real, at the others what they hold is looked at."""
        self._place, self._minutes, self.asked_at = 0, list[dt.datetime](), set[dt.datetime]()
        for day in days:
            opens, count = calendar.session_open(day), calendar.minutes(day)
            mine = [opens + dt.timedelta(minutes=each) for each in range(count)]
            self._minutes += mine
            self.asked_at |= {mine[0], mine[count // 2], mine[-1]}

    async def _minute(self, minute: dt.datetime) -> None:
        self.found.minutes += 1
        if minute in self.asked_at:
            await self._ask_all()
        if self._all_held():
            self._row = 0
        elif not await self._had(max(minute, self.clock.now()) + dt.timedelta(minutes=1)):
            self._row += 1
            self.found.lost.append(minute)
            if self._row == 1:
                self.tell("a trading minute is lost")

    async def _had(self, end: dt.datetime) -> bool:
        """Whether all could ask before the minute was over."""
        while True:
            if self._row % RESIGNED == 0 and await self._ask_all():
                self._row = 0
                return True
            await self.look()
            if self.clock.now() + STEP >= end or self._row:
                return False
            await self.clock.sleep(STEP.total_seconds())

    async def _ask_all(self) -> bool:
        """Who has no good token asks, and now and then all do."""
        workers = self.stage.workers
        waiting = [each for each in workers if not self.stage.takes(each.held)] or workers
        return all(await asyncio.gather(*(each.ask() for each in waiting)))

    def _all_held(self) -> bool:
        return all(self.stage.takes(each.held) for each in self.stage.workers)

    # ── keepers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look(self) -> Custody:
        """Both keepers, and what came of it."""
        before = self.clock.now()
        custody = await self._look_once()
        await self._given(custody, before)
        await self._person(custody)
        self._late()
        return custody

    async def _look_once(self) -> Custody:
        if self.disturbing.together:
            return (await asyncio.gather(*(each.look() for each in self.stage.keepers)))[-1]
        for keeper in self.stage.keepers:
            custody = await keeper.look()
        return custody

    async def _given(self, custody: Custody, before: dt.datetime | None = None) -> None:
        """Robinhood may have given new tokens, and the vault may have them by now."""
        now, counted = self.clock.now(), self.stage.counted
        if counted.refreshes > self._seen.refreshes and self._given_at is None:
            self._given_at = before
        waits = custody.again_at is not None and custody.again_at > self.clock.our_now()
        unsettled = custody.standing != Standing.ACTIVE or waits
        self._unsettled = (self._unsettled or now) if unsettled else None
        if unsettled or (self._given_at is None and self.due is not None and counted.logins == self._seen.logins):
            return
        if self._given_at is not None:
            self._turned(self._given_at, now, counted)
        await asyncio.to_thread(self._plan_next, now)
        self._seen, self._given_at, self.revoked_at = counted, None, None

    def _turned(self, at: dt.datetime, now: dt.datetime, counted: Counted) -> None:
        revoked, due = self.revoked_at, self.due or at
        fault = "revoked_mid_order" if revoked else self.disturbing.begun
        late = (at - (revoked or due)).total_seconds()
        requests = counted.asked - self._seen.asked
        turn = Turn(at, fault, late, (now - at).total_seconds(), requests, self.disturbing.told())
        self.found.turns.append(turn)
        self.tell(
            f"new tokens, {late:.0f} s after they were {'revoked' if revoked else 'due'}" + f" ({fault})" * bool(fault)
        )
        self._judge(turn, by_plan=revoked is None)
        self.disturbing.turned(turn)

    def _judge(self, turn: Turn, *, by_plan: bool) -> None:
        early, latest = -self.disturbing.skew(turn.fault), PATIENCE.total_seconds() + self.disturbing.excuse(turn.fault)
        if not early <= turn.late <= latest:
            self.found.wrong.append(
                f"tokens were changed {turn.late:.0f} s after they were due, at {turn.at} ({turn.fault})"
            )
        if by_plan and bisect_right(self._minutes, turn.at) and self._trading(turn.at):
            self.found.wrong.append(f"tokens were changed while a session traded, at {turn.at}")

    def _trading(self, moment: dt.datetime) -> bool:
        last = self._minutes[bisect_right(self._minutes, moment) - 1]
        return moment - last < dt.timedelta(minutes=1)

    def _plan_next(self, now: dt.datetime) -> None:
        self.due = policy.due(Life(now, now + self.plan.life), now, REFRESH_AT).at
        self._missed = False
        self.disturbing.prepare(self.due)

    def _late(self) -> None:
        if self.due is None or self._missed or self._given_at is not None:
            return
        if self.clock.now() > self.due + PATIENCE + dt.timedelta(seconds=self.disturbing.excuse(self.disturbing.begun)):
            self._missed = True
            self.found.wrong.append(f"tokens that were due at {self.due} were not changed by {self.clock.now()}")

    async def _person(self, custody: Custody) -> None:
        """A person who is paged acts, and that is counted."""
        if custody.standing != Standing.BROKEN:
            self._broken = None
            return
        now = self.clock.now()
        if self._broken is None:
            self.tell(f"the chain is broken: {custody.reason}")
        self._broken = self._broken or now
        if now - self._broken >= ACTS:
            self.tell(f"a person logs in: {await self.stage.log_in() or 'done'}")

    # ── afterwards ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _broken_afterwards(self) -> None:
        """An hour after the open of the next session."""
        day = calendar.next_session(self.plan.ends.astimezone(calendar.NEW_YORK).date() - dt.timedelta(days=1))
        kept = self.found.lost, self.found.minutes
        self.found.lost = []
        self._set_minutes([day])
        self.disturbing.end()
        await self._until(calendar.session_open(day) + dt.timedelta(hours=1), deque())
        await self.disturbing.break_chain()
        self.found.lost, self.found.minutes = kept


def _pause(waited: dt.timedelta) -> dt.timedelta:
    """Between two looks while something is awaited."""
    if waited < dt.timedelta(seconds=20):
        return STEP
    return dt.timedelta(seconds=15) if waited < dt.timedelta(minutes=3) else dt.timedelta(minutes=1)
