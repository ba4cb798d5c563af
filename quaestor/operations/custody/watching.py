"""Watching: a loop that keeps a login going, beside a live run or for the length of a flow.

    each two seconds, or at once where it is stirred
      a token is refused         ─▶ new ones, at once; a person hears where they are refused again so soon
      they are due               ─▶ new ones, in the quiet before an open
      tokens wait for the vault  ─▶ they are stored as soon as it takes them
      the chain is broken        ─▶ a person is told, and again each half hour; the vault is read, for he may have acted

Any number of these may run: they share one lease, and whoever finds newer tokens leaves it at that.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import traceback
from pathlib import Path

from quaestor.custody import policy
from quaestor.custody.machine import SEED, Custody, Standing, paged
from quaestor.errors import LeaseHeld, Permanent, QuaestorError, Temporary
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.refreshing import refresh
from quaestor.ports_custody import AuthRequest

EVERY = 2.0  # seconds between two looks
REREAD = dt.timedelta(seconds=15)  # between two looks into the vault of a broken chain
REMIND = dt.timedelta(minutes=30)  # between two words about it
STUCK = dt.timedelta(seconds=45)  # that a refused token may wait for its successor, until a person hears of it
FAILING = dt.timedelta(minutes=10)  # that new tokens may be had in vain, until a person hears of it
LEFT = dt.timedelta(minutes=1)  # after its deadline a login counts as given up
log = logging.getLogger("quaestor.custody")


class Keeper:
    """Keeps one login. `stirred` may be set by whoever heard a hint."""

    def __init__(self, of: Custodian) -> None:
        self.of = of
        self.stirred = asyncio.Event()
        self._told: dict[str, dt.datetime] = {}
        self._reread_at: dt.datetime | None = None
        self._failing_since: dt.datetime | None = None

    async def run(self, ending: asyncio.Event, every: float = EVERY) -> None:
        """Until `ending` is set; nothing that goes wrong ends it, be it a fault of our own."""
        while not ending.is_set():
            try:
                await self.look()
            except QuaestorError as error:
                log.warning("%s: the login was not looked at: %s", self.of.alias, error)
            except Exception as error:  # noqa: BLE001  # a live run ends with this; its message may show a secret
                log.error("%s: the login was not looked at: %s", self.of.alias, where(error))
                await self._failed(Permanent(f"Quaestor itself failed at it ({where(error)})."))
            self.stirred.clear()
            await _first_of(ending, self.stirred, every)

    async def look(self) -> Custody:
        """Once; how the login stands then. Raises DatabaseDown."""
        of, custody = self.of, await self.of.store.load(self.of.alias)
        if custody.logging_in:
            return await self._left(custody)
        refused = await of.store.requests(of.alias, max(custody.seq, 1))
        if custody.standing == Standing.BROKEN:
            return await self._broken(custody)
        if custody.standing == Standing.UNSEEDED and not refused:
            return custody
        if not await self._wanted(custody, refused):
            if custody.again_at is None:  # nothing is wanted: another keeper may have done what failed here
                self._failing_since = None
            return custody
        return await self._refreshed(custody, refused)

    async def _wanted(self, custody: Custody, refused: list[AuthRequest]) -> bool:
        """Whether new tokens are wanted now; tells a person what is unusual about it."""
        now = self.of.now()
        if custody.again_at is not None and now < custody.again_at:
            await self._stuck(custody, refused)
            return False
        if custody.standing == Standing.REFRESHING:  # a crash left it, or the vault did not take what came
            return True
        if refused:
            due = policy.refused(now, custody.last_refresh_at)
            if due.alert:
                await self._tell(
                    f"refused {custody.seq}",
                    "new tokens are refused",
                    f"Robinhood refuses access token number {custody.seq} minutes after it was made. Another program "
                    "may use this login: change the password, then " + SEED,
                )
            return due.at <= now
        return await self._due(custody)

    async def _due(self, custody: Custody) -> bool:
        due, now = await self.of.due(custody), self.of.now()
        if due is None or due.at > now:
            return False
        if due.alert:
            said = "orders are working" if due.why == "working orders" else "it is no quiet time"
            await self._tell(
                f"early {custody.seq}",
                "tokens are changed at a bad time",
                f"They end before the next quiet window, so they are changed now, though {said}. If the login breaks, "
                "a page follows.",
            )
        return True

    async def _refreshed(self, custody: Custody, refused: list[AuthRequest]) -> Custody:
        """New tokens, or why not."""
        try:
            custody = await refresh(self.of, custody.seq)
        except LeaseHeld:
            return custody  # another is at it
        except (Temporary, Permanent) as error:
            log.warning("%s: no new tokens yet: %s", self.of.alias, error)
            await self._failed(error)
            custody = await self.of.store.load(self.of.alias)
            await self._stuck(custody, refused)
            return custody
        self._failing_since = None
        return custody

    async def _failed(self, error: QuaestorError) -> None:
        """What does not pass by itself is told, while there is time left."""
        now = self.of.now()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > FAILING:
            body = f"{error} It is tried again by itself; the old ones work until they end (`quaestor auth status`)."
            await self._tell("failing", "tokens cannot be changed", body, again=REMIND)

    async def _broken(self, custody: Custody) -> Custody:
        """A person is reminded; he may have acted where this database does not show it."""
        now = self.of.now()
        since = custody.since or now
        self._told.setdefault("broken", since)  # whoever broke it told of it then
        await self._tell("broken", paged(custody).title, paged(custody).body, again=REMIND)
        if self._reread_at is not None and now - self._reread_at < REREAD:
            return custody
        self._reread_at = now
        return await self._refreshed(custody, [])

    async def _left(self, custody: Custody) -> Custody:
        """A login whose process died is given up; one that goes on has the lease."""
        over = custody.deadline or (custody.since or self.of.now()) + policy.SUSPECT
        if self.of.now() < over + LEFT:
            return custody
        return await self._refreshed(custody, [])

    async def _stuck(self, custody: Custody, refused: list[AuthRequest]) -> None:
        if refused and self.of.now() - refused[0].at > STUCK:
            await self._tell(
                f"stuck {custody.seq}",
                "no access to Robinhood",
                f"It refuses our access token, and no new one could be had yet: {custody.reason or 'no answer'}. It is "
                f"tried again by itself. If that does not end: {SEED}",
                again=REMIND,
            )

    async def _tell(self, about: str, title: str, body: str, again: dt.timedelta | None = None) -> None:
        """A person hears of it once, or once in a while."""
        now, last = self.of.now(), self._told.get(about)
        if last is not None and (again is None or now - last < again):
            return
        self._told[about] = now
        await self.of.alerts.send(f"{self.of.alias}: {title}", body, urgent=True)


def where(error: BaseException) -> str:
    """The kind of an error and where it came up, without what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    return type(error).__name__ + (f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "")


async def _first_of(ending: asyncio.Event, stirred: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.ensure_future(each.wait()) for each in (ending, stirred)]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waits:
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*waits, return_exceptions=True)
