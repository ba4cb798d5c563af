"""Watch a live run for a session: keep a runner alive, show what happens, end with the settled books.

The watcher's own death changes nothing: the runner trades on, and whoever watches next goes on where the window's
cursor stands. The window may be shut (Prefect away): it is tried, and its faults are its own.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quaestor.errors import PartMissing, Temporary
from quaestor.live.watching import (
    HEARTBEAT,
    Done,
    GiveUp,
    Many,
    Meter,
    Sight,
    Start,
    Step,
    Watched,
    is_to_arm,
    next_step,
    settles,
)
from quaestor.ports import Alerts
from quaestor.ports_live import Desired, Happening, LiveRun, LiveStore

EVERY = 1.0  # seconds between two looks
PAGE = 500
NEVER = float("inf")
log = logging.getLogger("quaestor.watch")


class Host(Protocol):
    """Where a runner can be started: a process of its own, which outlives whoever started it."""

    def start(self, options: Sequence[str]) -> None:
        """Start one, in the place of the one before."""
        ...

    @property
    def running(self) -> bool:
        """Whether the process that was started last lives."""
        ...

    def owns(self, holder: str) -> bool:
        """Whether a runner that calls itself so (machine:process:…) is the process that was started last."""
        ...

    def last_words(self) -> str:
        """Where its log is, and its end."""
        ...


class Window(Protocol):
    """Where a person looks. It raises nothing."""

    async def show(self, shown: Sequence[Happening], many: Many | None) -> None:
        """What happened since."""
        ...

    async def figures(self, run: LiveRun | None, desired: Desired, *, alive: bool) -> None:
        """Where it stands now."""
        ...


@dataclass(frozen=True)
class Watch:
    """A watch: of which account and session, what its runner is started with (by the watched clock), whether it is.

    now: the runner's clock (a rehearsal's stands elsewhere); clock: seconds that only grow.
    """

    account: str
    watched: Watched
    options: Callable[[], Sequence[str]]
    ours: bool
    now: Callable[[], dt.datetime]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


async def arm(store: LiveStore, account: str, by: str, now: dt.datetime) -> Desired:
    """Say that a new session is traded, unless somebody said otherwise since the last one closed; what is wanted."""
    desired = await store.desired(account)
    if is_to_arm(desired, now):
        return await store.desire(account, "armed", by, "a new session")
    return desired


async def watch(
    watch: Watch, store: LiveStore, host: Host, window: Window, alerts: Alerts, cursor: int = 0
) -> tuple[str, Mapping[str, Any]]:
    """Until the session is settled or somebody stops it: how it ended, and the newest facts.

    Raises PartMissing, with the cure, where no runner stays alive or the session does not settle.
    """
    watching = _Watching(watch, store, host, window, alerts, cursor)
    while True:
        step = await watching.look()
        if isinstance(step, Done):
            return step.said, watching.facts
        if isinstance(step, GiveUp):
            await alerts.send(f"{watch.account}: the live run is not watched any more", step.cure, urgent=True)
            raise PartMissing(f"{step.cure} {host.last_words()}")
        await watch.sleep(EVERY)


class _Watching:
    """What is remembered from one look to the next."""

    def __init__(self, watch: Watch, store: LiveStore, host: Host, window: Window, alerts: Alerts, cursor: int) -> None:
        self._watch, self._store, self._host, self._window, self._alerts = watch, store, host, window, alerts
        self._meter = Meter()
        self._cursor = cursor
        self._settled = self._seen = self._beaten = self._told = False
        self._starts, self._started, self._lost = 0, -NEVER, watch.clock()
        self.facts: Mapping[str, Any] = {}

    async def look(self) -> Step | None:
        """One look, and what follows from it; None where the database is away, which says nothing about the runner."""
        try:
            step = await self._look()
        except Temporary as error:
            log.warning("The run cannot be seen: %s", error)
            self._lost = self._watch.clock()
            return None
        if isinstance(step, Start):
            await self._start(again=step.again)
        return step

    async def _look(self) -> Step:
        account, clock = self._watch.account, self._watch.clock()
        alive = await self._store.alive(account, HEARTBEAT)
        gone = alive is not None and self._host.owns(alive.holder) and not self._host.running
        if gone:
            alive = None
        desired = await self._store.desired(account)
        run = alive or await self._store.newest(account)
        self.facts = run.facts if run else {}
        await self._follow()
        if alive or self._seen or self._starts:  # else the facts may be those of an older rehearsal
            self._settled |= settles(self._watch.watched.session, (), self.facts)
        if alive:
            self._lost, self._seen, self._beaten, self._told = clock, True, True, False
        elif not self._watch.ours:
            await self._miss(clock)
        await self._window.figures(run, desired, alive=alive is not None)
        lost = NEVER if gone else clock - self._lost
        return next_step(self._sight(desired, clock, lost, alive=alive is not None))

    def _sight(self, desired: Desired, clock: float, lost: float, *, alive: bool) -> Sight:
        return Sight(
            now=self._watch.now(),
            watched=self._watch.watched,
            desired=desired,
            alive=alive,
            running=self._host.running,
            settled=self._settled,
            starts=self._starts,
            started=clock - self._started,
            lost=lost,
            seen=self._seen or lost == NEVER,
            beaten=self._beaten,
            ours=self._watch.ours,
        )

    async def _follow(self) -> None:
        """Show what happened since the cursor."""
        while found := await self._store.happenings(self._watch.account, self._cursor, PAGE):
            self._settled |= settles(self._watch.watched.session, found, {})
            await self._window.show(*self._meter.portion(found, self._watch.clock()))
            self._cursor = found[-1].number
            if len(found) < PAGE:
                return

    async def _start(self, *, again: bool) -> None:
        if again:
            await self._alerts.send(
                f"{self._watch.account}: the live runner was lost and is started again", "", urgent=True
            )
        await asyncio.to_thread(self._host.start, self._watch.options())
        self._starts, self._started, self._beaten = self._starts + 1, self._watch.clock(), False

    async def _miss(self, clock: float) -> None:
        """No runner lives, and it is another's to start one: tell a person, once."""
        if clock - self._lost >= HEARTBEAT.total_seconds() and not self._told:
            self._told = True
            cure = "Start it (`quaestor live run`, or its service), or let the flow do it."
            await self._alerts.send(f"{self._watch.account}: no live runner is alive", cure, urgent=True)
