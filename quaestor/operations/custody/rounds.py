"""A round: under the lease, what happened goes to the machine, its state is kept, what it says is done, and so on.

The state is kept before an act is done. One thing outranks that: a pair of tokens that the broker gave, and that is in
this process alone. While one is held, neither a database that is away nor a lease that was lost stops its way into the
vault; the next round finds it there. Nor does an end that comes from outside: who is cancelled goes once no answer is
on its way that may hold tokens, and no pair is held. And who lost the lease meanwhile writes over no newer pair.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from quaestor.custody import machine
from quaestor.custody.machine import Act, Custody, Event, Given, Page, Standing, Store, Stored, StoreFailed, Tell
from quaestor.custody.tokens import Pair
from quaestor.errors import BadInput, LeaseHeld, Permanent, QuaestorError, VaultAway
from quaestor.operations.custody.custodian import Custodian, packed
from quaestor.ports import Lease
from quaestor.ports_custody import Sealed

T = TypeVar("T")
log = logging.getLogger("quaestor.custody")
PAUSES = (0.5, 2.0)  # seconds between tries to store a pair, before it is spooled
LONGEST = 30.0  # seconds between tries where neither vault nor database takes it

Doing = Callable[[Any], Awaitable[Event | None]]


class Round:
    """One round; what it does with an act stands in `doings`. `failure`: what a person who waits for it should hear."""

    def __init__(self, custodian: Custodian, lease: Lease, custody: Custody) -> None:
        self.of, self.custody, self._lease = custodian, custody, lease
        self.pair: Pair | None = None  # held in this process, and nowhere else
        self.key: str | None = None
        self.failure: QuaestorError | None = None
        self._asking = self._cancelled = self._overtaken = False

    @property
    def doings(self) -> Mapping[type[Act], Doing]:
        """How each act is done."""
        return {Store: self._store, Page: self._page, Tell: self._tell}

    async def go(self, event: Event | None) -> Custody:
        """Until nothing more is to be done; the state then. Who is cancelled may still end what must not be left."""
        going = asyncio.ensure_future(self._go(event))
        while not going.done():
            try:
                await asyncio.wait({going})
            except asyncio.CancelledError:
                self._cancelled = True
                if not self._busy:
                    going.cancel()
        if self._cancelled:
            if not going.cancelled() and (error := going.exception()) is not None:
                log.warning("What was going on when this process was to end came to nothing: %s", _shown(error))
            raise asyncio.CancelledError
        return going.result()

    async def _go(self, event: Event | None) -> Custody:
        while event is not None:
            before = self.custody
            self.custody, acts = machine.step(before, event)
            await self._save(before, event)
            event = None
            for act in acts:
                event = await self.doings[type(act)](act)
                if self._cancelled and not self._busy and not isinstance(event, Stored | StoreFailed):
                    raise asyncio.CancelledError
        return self.custody

    @property
    def _busy(self) -> bool:
        """Whether tokens are on their way to us, or held."""
        return self._asking or self.pair is not None

    async def answered(self, ask: Callable[..., T], *told: Any) -> T:
        """What the broker says to a request that may bring tokens; nobody leaves before it is here."""
        self._asking = True
        try:
            return await asyncio.to_thread(ask, *told)
        finally:
            self._asking = False

    async def _save(self, before: Custody, event: Event) -> None:
        try:
            due = await self.of.due(self.custody)
            await self.of.store.save(
                self.of.alias,
                self.custody,
                was=before.standing,
                what=told(event) if _noteworthy(before, self.custody) else "",
                by=self.of.holder,
                lease=self._lease,
                due_at=due.at if due else None,
            )
        except Exception as error:  # whatever it is: it must not cost the pair
            self._overtaken = self._overtaken or isinstance(error, LeaseHeld)
            if self.pair is None:
                raise
            log.warning("New tokens are stored all the same: %s", _shown(error))
        broken = before.standing == Standing.BROKEN or (before.logging_in and before.back == Standing.BROKEN)
        if broken and self.custody.standing == Standing.ACTIVE:
            await self.of.alerts.send(f"{self.of.alias}: the login works again", "What waited for it goes on.")

    # ── acts that all rounds have ─────────────────────────────────────────────────────────────────────────────────────

    async def _page(self, act: Page) -> None:
        await self.of.alerts.send(f"{self.of.alias}: {act.title}", act.body, urgent=True)

    async def _tell(self, act: Tell) -> None:
        """Whoever listens was told with the commit."""
        del act
        log.info("%s: tokens number %d are stored.", self.of.alias, self.custody.seq)

    async def _store(self, act: Store) -> Event:
        """Into the vault, or into the spool; this does not end before one of them has it."""
        pair = self.pair
        if pair is None or pair.access.seq != act.seq:
            raise Permanent(f"Tokens number {act.seq} were to be stored, and nobody holds them.")  # the machine's fault
        pause, paged = 1.0, False
        while True:
            error = await self._kept(pair)
            if error is None:
                return await self._stored(pair)
            if await self._spooled(pair):
                self.pair, self.failure = None, VaultAway(f"{error} New tokens wait in the spool; nothing is lost.")
                return StoreFailed(self.of.now(), str(error))
            if not paged:
                await self._page(
                    Page(
                        "new tokens are in this process alone",
                        f"Neither vault nor database takes them ({error}). Do not end the process "
                        f"{self.of.holder!r}; make one of them answer.",
                    )
                )
            paged = True
            await self.of.sleep(pause)
            pause = min(2 * pause, LONGEST)

    async def _stored(self, pair: Pair) -> Event:
        self.pair = None
        try:
            await self.of.store.unspool(self.of.alias, pair.access.seq)
        except Exception as error:  # noqa: BLE001  # the vault has the pair; what is left is found to be old
            log.warning("A spooled pair that the vault has by now was not removed: %s", _shown(error))
        return Stored(self.of.now(), pair.access.issued_at, pair.access.expires_at)

    async def _kept(self, pair: Pair) -> QuaestorError | None:
        failure: QuaestorError | None = None
        for pause in (*PAUSES, None):
            try:
                if self._overtaken and await self._surpassed(pair):
                    log.warning("New tokens are not stored: whoever took the lease has newer ones in the vault.")
                    return None
                await self.of.keep(pair)
            except QuaestorError as error:
                failure = error
            except Exception as error:  # noqa: BLE001  # what no door should raise must not cost the pair
                failure = VaultAway(f"The vault failed ({_shown(error)}).")
            else:
                return None
            if pause is not None:
                await self.of.sleep(pause)
        return failure

    async def _spooled(self, pair: Pair) -> bool:
        if self.key is None:
            return False
        try:
            sealed = await asyncio.to_thread(self.of.sealing.seal, self.key, packed(pair))
            await self.of.store.spool(self.of.alias, Sealed(pair.access.seq, sealed))
        except Exception as error:  # noqa: BLE001  # as above
            log.error("New tokens could not be spooled: %s", _shown(error))
            return False
        return True

    async def _surpassed(self, pair: Pair) -> bool:
        """Whether the vault has another's pair of that number, or a newer one."""
        try:
            there = await self.of.grant()
        except BadInput:
            return False
        return there is not None and there.seq >= pair.refresh.seq and there != pair.refresh


def _shown(error: BaseException) -> str:
    """Our own message; of an error that is none of ours the kind alone, for it may repeat what it was given."""
    return str(error) if isinstance(error, QuaestorError) else type(error).__name__


TOLD = {
    machine.SeedAsked: "a person logs in",
    machine.ApprovalAsked: "a person's approval is awaited",
    machine.Approved: "a person approved",
    machine.Abandoned: "what was going on was given up",
    machine.RefreshAsked: "new tokens are asked for",
    machine.Found: "vault and spool were read",
    machine.Stored: "new tokens are stored",
    Given: "Robinhood gave new tokens",
    machine.Probed: "the access token was shown to Robinhood",
}


def _noteworthy(before: Custody, now: Custody) -> bool:
    """Whether anything but a time changed: a broken chain is looked at for days, and its books tell when it broke."""
    return replace(before, again_at=None) != replace(now, again_at=None)


def told(event: Event) -> str:
    """What happened, for the books: our words alone."""
    why = getattr(event, "why", "") or getattr(event, "reason", "")
    said = TOLD.get(type(event), "")
    return f"{said}: {why}" if said and why else said or why or type(event).__name__
