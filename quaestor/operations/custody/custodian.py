"""The custodian: all doors of one login, and what its secrets are read and written with."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from quaestor.config import RobinhoodSection
from quaestor.custody import policy
from quaestor.custody.machine import Custody, Standing
from quaestor.custody.naming import usable_key
from quaestor.custody.policy import Due, Life
from quaestor.custody.tokens import AccessToken, Names, Pair, RefreshGrant
from quaestor.errors import BadInput, NotFound, VaultAway
from quaestor.ports import Alerts, Lease, LeaseStore
from quaestor.ports_custody import CustodyStore, LoginDoor, Sealing
from quaestor.ports_secrets import SecretStore

LEASE = "auth-{}"
AGAIN = dt.timedelta(minutes=2)  # between two changes of tokens that nobody refused
LONGEST = dt.timedelta(days=100)  # that a token lives which says when it was made; 30 days were seen


async def no_orders() -> bool:
    """Whether orders are working, where nobody can say: none."""
    return False


@dataclass(frozen=True)
class Custodian:
    """The doors. alias: whose login; holder: who we are; now: aware UTC; working: whether orders are working now."""

    alias: str
    store: CustodyStore
    leases: LeaseStore
    vault: SecretStore
    door: LoginDoor
    sealing: Sealing
    alerts: Alerts
    holder: str
    settings: RobinhoodSection = field(default_factory=RobinhoodSection)
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    working: Callable[[], Awaitable[bool]] = no_orders

    @property
    def names(self) -> Names:
        """What the secrets are called."""
        return Names(self.alias)

    @asynccontextmanager
    async def lease(self, wait_seconds: float = 0.0) -> AsyncIterator[Lease]:
        """One refresher, and nobody logs in meanwhile; raises LeaseHeld."""
        async with self.leases.hold(LEASE.format(self.alias), self.holder, wait_seconds) as lease:
            yield lease

    async def due(self, custody: Custody) -> Due | None:
        """When the tokens are to be changed; None while none are good."""
        life = alive(custody)
        if life is None or custody.standing == Standing.BROKEN:
            return None
        working = self.now() >= life.half and await self.working()
        at = dt.time.fromisoformat(self.settings.refresh_at)
        found = await asyncio.to_thread(policy.due, life, self.now(), at, working=working)
        last = custody.last_refresh_at  # a token that says it ends as it begins is changed no more often than this
        soonest = last + AGAIN if last is not None and last <= self.now() else found.at
        return replace(found, at=max(found.at, soonest))

    # ── secrets ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def grant(self) -> RefreshGrant | None:
        """The refresh token as the vault has it now. Raises VaultAway, VaultRefused."""
        text = await self.secret(self.names.refresh)
        return RefreshGrant.read(text, self.names.refresh) if text is not None else None

    async def access(self) -> AccessToken | None:
        """The access token as the vault has it now. Raises VaultAway, VaultRefused."""
        text = await self.secret(self.names.access)
        return AccessToken.read(text, self.names.access) if text is not None else None

    async def secret(self, name: str) -> str | None:
        """The newest value; None where there is none."""
        try:
            return (await asyncio.to_thread(self.vault.get, name)).value
        except NotFound:
            return None

    async def spool_key(self) -> str | None:
        """What the spool is encrypted with; made at seeding."""
        return await self.secret(self.names.spool)

    async def make_spool_key(self) -> str:
        """The same, made where there is none that seals; so the vault shows that it takes what a login brings."""
        found = await self.spool_key()
        if found is not None and usable_key(found):
            return found
        return (await asyncio.to_thread(self.vault.set, self.names.spool, self.sealing.new_key())).value

    async def keep(self, pair: Pair) -> None:
        """Store the pair, refresh token first, and read it back. Raises VaultAway, VaultRefused."""
        tags = {"seq": str(pair.access.seq), "kind": pair.refresh.kind, "writer": "quaestor"}
        await asyncio.to_thread(self._keep, self.names.refresh, pair.refresh.as_text(), None, tags)
        await asyncio.to_thread(self._keep, self.names.access, pair.access.as_text(), pair.access.expires_at, tags)

    def _keep(self, name: str, text: str, ends: dt.datetime | None, tags: dict[str, str]) -> None:
        self.vault.set(name, text, expires_at=ends, tags=tags)
        if self.vault.get(name).value != text:
            raise VaultAway(f"The vault took {name}, and gives back another version of it.")


def alive(custody: Custody) -> Life | None:
    """How long the access token lives, by our own clock; None where there is none.

    When a refresh gave it, we know: it lives from then on for as long as it says, whatever the broker's clock shows.
    So with one that was made later than it came. A wrong clock changes tokens neither in a circle nor too late.
    """
    if custody.expires_at is None or custody.issued_at is None or custody.since is None:
        return None
    issued, ends, came = custody.issued_at, custody.expires_at, custody.last_refresh_at or custody.since
    ours = custody.last_refresh_at is not None or issued > came
    if ours and dt.timedelta() < ends - issued < LONGEST:
        return Life(came, came + (ends - issued))
    began = issued if ends - issued < LONGEST else came  # `came` moves with each login that is tried in vain
    return Life(min(began, ends), ends)


def packed(pair: Pair) -> str:
    """A pair as one text, to be sealed."""
    return json.dumps({"access": pair.access.as_text(), "refresh": pair.refresh.as_text()})


def unpacked(text: str) -> Pair:
    """What `packed` made; raises BadInput for anything else."""
    try:
        found = json.loads(text)
        access, refresh = found["access"], found["refresh"]
    except (ValueError, LookupError, TypeError):
        raise BadInput("What is sealed in the database is no pair of tokens.") from None
    return Pair(AccessToken.read(access), RefreshGrant.read(refresh))
