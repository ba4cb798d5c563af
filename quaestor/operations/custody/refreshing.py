"""Refreshing: new tokens for old ones, by whoever holds the lease, once however many ask.

    under the lease:  read the vault (away: nothing is sent) ─▶ newer there: adopt it
                      a pair in the spool: store it
                      else: send the refresh token ─▶ store the pair, refresh token first, and read it back

A reply that is lost is asked for once more with the same token. `invalid_grant` breaks the chain, unless the vault has
newer tokens by then. Who asks says which token it wants to be rid of: where a newer one is there, nothing is sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from quaestor.custody import login
from quaestor.custody.machine import (
    Abandoned,
    Act,
    Custody,
    Event,
    Found,
    Given,
    GrantWasRefused,
    Look,
    NothingDone,
    Probe,
    Probed,
    RefreshAsked,
    ReplyWasLost,
    Send,
    VaultGone,
)
from quaestor.custody.tokens import AccessToken, Kind, RefreshGrant
from quaestor.errors import BadInput, Permanent, Temporary, VaultAway, VaultRefused
from quaestor.operations.custody.custodian import Custodian, unpacked
from quaestor.operations.custody.rounds import Doing, Round

T = TypeVar("T")
log = logging.getLogger("quaestor.custody")
AGAIN = 1.0  # seconds between a lost reply and the second request
CURES: dict[Kind, str] = {
    "password": "Log in anew, your phone at hand: `quaestor auth seed`.",
    "import": "Log in to robinhood.com in a browser, and bring its session: `quaestor auth import`.",
    "oauth": "Agree anew, in a browser: `quaestor auth oauth`.",
}
REFUSED = 600.0  # seconds after an answer that nobody expects


async def refresh(of: Custodian, beyond: int, *, wait_seconds: float = 0.0) -> Custody:
    """New tokens in the place of number `beyond`, or what somebody else had made of them meanwhile.

    Raises LeaseHeld where another refresher, or a person who logs in, is at it; Temporary where it is to be tried
    again; VaultAway, VaultRefused, DatabaseDown. A broken chain is no error here: its state says so, a person is paged.
    """
    async with of.lease(wait_seconds) as lease:
        custody = await of.store.load(of.alias)
        if custody.seq > beyond and not custody.held:
            return custody
        going = Refreshing(of, lease, custody)
        if custody.logging_in:  # we have the lease, so whoever logged in has not
            await going.go(Abandoned(of.now()))
        await going.go(RefreshAsked(of.now()))
        if going.failure is not None:
            raise going.failure
        return going.custody


async def _readable(read: Callable[[], Awaitable[T | None]]) -> T | None:
    """What the vault has; what is damaged there counts for nothing, and a person hears of it."""
    try:
        return await read()
    except BadInput as error:
        log.error("%s", error)
        return None


class Refreshing(Round):
    """One refresh."""

    grant: RefreshGrant | None = None
    access: AccessToken | None = None

    @property
    def doings(self) -> Mapping[type[Act], Doing]:
        """How each act is done."""
        return {**super().doings, Look: self._look, Send: self._send, Probe: self._probe}

    async def _look(self, act: Look) -> Event:
        del act
        of = self.of
        try:
            self.key = self.key or await of.make_spool_key()  # without it, what comes could not be kept
            self.access, self.grant = await _readable(of.access), await _readable(of.grant)
        except (VaultAway, VaultRefused) as error:
            self.failure = error
            return VaultGone(of.now(), str(error))
        waiting = await self._waiting()
        return Found(
            of.now(),
            self.grant.seq if self.grant else 0,
            self.access.seq if self.access else 0,
            waiting,
            self.access.issued_at if self.access else None,
            self.access.expires_at if self.access else None,
        )

    async def _waiting(self) -> int:
        """The number of the pair in the spool, which is held then; 0: none that is newer than the vault's."""
        sealed = await self.of.store.spooled(self.of.alias)
        if sealed is None or self.key is None:
            return 0
        if sealed.seq <= min(self.grant.seq if self.grant else 0, self.access.seq if self.access else 0):
            await self.of.store.unspool(self.of.alias, sealed.seq)
            return 0
        try:
            self.pair = unpacked(await asyncio.to_thread(self.of.sealing.unseal, self.key, sealed.text))
        except BadInput as error:
            log.error("Tokens number %d in the spool cannot be had: %s", sealed.seq, error)
            return 0
        return sealed.seq

    async def _send(self, act: Send) -> Event:
        if self.grant is None or self.grant.seq != act.seq:
            raise Permanent(f"The refresh token number {act.seq} was to be sent, and it is not at hand.")
        if self.custody.sent > 1:
            await self.of.sleep(AGAIN)
        answer = await self.answered(self.of.door.refresh, self.grant)
        event = self._heard(answer, self.grant)
        self.failure = Temporary(event.why) if isinstance(event, NothingDone | ReplyWasLost) else None
        return event

    def _heard(self, answer: login.Outcome, grant: RefreshGrant) -> Event:  # noqa: PLR0911  # a case, an answer
        now, cure = self.of.now(), CURES[grant.kind]
        match answer:
            case login.Tokens():
                try:
                    self.pair = answer.pair(grant.seq + 1, grant.device_token, grant.kind, grant.client_id)
                except BadInput as error:
                    return GrantWasRefused(now, str(error), cure)
                return Given(now, grant.seq + 1)
            case login.ReplyLost(why):
                return ReplyWasLost(now, why)
            case login.NotSent(why):
                return NothingDone(now, why)
            case login.Throttled(seconds):
                return NothingDone(now, "Robinhood is asked for tokens too often (429).", seconds)
            case login.GrantRefused():
                return GrantWasRefused(now, cure=cure)
            case login.ApprovalWanted() | login.CodeWanted():
                return GrantWasRefused(now, "Robinhood wants a person to approve this device again", cure)
            case login.Refused("request", detail) if detail not in {"HTTP 400", "HTTP 401"}:
                why = f"Robinhood refuses how new tokens are asked for ({detail})."
                return NothingDone(now, why, REFUSED, alert=True)
            case login.Refused(_, detail):
                return GrantWasRefused(now, f"Robinhood refuses the refresh token ({detail})", cure)

    async def _probe(self, act: Probe) -> Event:
        del act
        alive = await asyncio.to_thread(self.of.door.probe, self.access) if self.access else False
        return Probed(self.of.now(), alive)
