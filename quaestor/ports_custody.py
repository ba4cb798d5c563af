"""Ports of custody: how a login stands in the database, the broker's door for logins, and what seals a secret there.

Calls of `LoginDoor` and `Sealing` block: from async code they go to a thread.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import Literal, Protocol

from quaestor.custody.login import Challenge, Login, Outcome
from quaestor.custody.machine import Custody, Standing
from quaestor.custody.tokens import AccessToken, RefreshGrant
from quaestor.ports import Lease


@dataclass(frozen=True)
class AuthRequest:
    """The broker refused the access token of that number, as somebody said."""

    seq: int
    by: str
    at: dt.datetime


@dataclass(frozen=True)
class AuthEvent:
    """A change of how a login stands, append-only."""

    at: dt.datetime
    was: Standing
    now: Standing
    what: str
    by: str


@dataclass(frozen=True)
class Sealed:
    """A pair of tokens that waits for the vault, encrypted."""

    seq: int
    text: str = field(repr=False)


class CustodyStore(Protocol):
    """How logins stand, in the database: never a token in the clear. Raises DatabaseDown."""

    async def load(self, alias: str) -> Custody:
        """As it was saved last; unseeded where it never was."""
        ...

    async def save(
        self,
        alias: str,
        custody: Custody,
        *,
        was: Standing,
        what: str,
        by: str,
        lease: Lease,
        due_at: dt.datetime | None,
    ) -> None:
        """Keep it, and what happened ("": nothing to tell). Raises LeaseHeld, keeping nothing, for a lost lease."""
        ...

    async def now(self) -> dt.datetime:
        """The database's clock."""
        ...

    async def due_at(self, alias: str) -> dt.datetime | None:
        """When tokens are to be changed next, as it was saved."""
        ...

    async def events(self, alias: str, limit: int = 20) -> list[AuthEvent]:
        """The newest first."""
        ...

    async def ask(self, alias: str, seq: int, by: str) -> bool:
        """The broker refused that access token; False where that was known. Hints whoever listens."""
        ...

    async def requests(self, alias: str, seq: int) -> list[AuthRequest]:
        """Who said that the broker refused this token, or a newer one; oldest first."""
        ...

    async def spool(self, alias: str, sealed: Sealed) -> None:
        """Keep a pair that the vault does not take; an older one gives way."""
        ...

    async def spooled(self, alias: str) -> Sealed | None:
        """What waits for the vault."""
        ...

    async def unspool(self, alias: str, seq: int) -> None:
        """The vault has that pair, or a newer one."""
        ...

    async def put_code(self, alias: str, attempt: uuid.UUID, sealed: str) -> None:
        """A code that a person typed, on its way to that attempt."""
        ...

    async def take_code(self, alias: str, attempt: uuid.UUID) -> str | None:
        """The code, once; it is no longer there then, nor are those of other attempts."""
        ...


class Asker(Protocol):
    """How those who ask the broker reach the refresher; it blocks for no longer than a statement takes."""

    def ask(self, seq: int) -> None:
        """The broker refused that access token. Raises DatabaseDown."""
        ...


class Sealing(Protocol):
    """Encryption of what lies in the database for a while."""

    def new_key(self) -> str:
        """A key, as the vault keeps it."""
        ...

    def seal(self, key: str, text: str) -> str:
        """Encrypt. Raises BadInput for what is no key."""
        ...

    def unseal(self, key: str, sealed: str) -> str:
        """Decrypt. Raises BadInput where the key is another's."""
        ...


Answer = Literal["approved", "waiting", "refused"]


class LoginDoor(Protocol):
    """The broker's token endpoint, and how a device is approved. No error and no repr of it shows a secret.

    The calls of an approval raise Temporary (ask again), LoginThrottled, LoginRefused.
    """

    def log_in(self, login: Login, device_token: str, code: str = "") -> Outcome:
        """Ask for tokens by password."""
        ...

    def refresh(self, grant: RefreshGrant) -> Outcome:
        """Ask for the next pair of tokens; sent once."""
        ...

    def begin_approval(self, device_token: str, workflow: str) -> str:
        """Say which device waits for a person; the inquiry's id."""
        ...

    def challenge(self, inquiry: str) -> Challenge | None:
        """How the person is asked; None while that is not known."""
        ...

    def prompt(self, challenge: Challenge) -> Answer:
        """Whether the person tapped on his phone."""
        ...

    def respond(self, challenge: Challenge, code: str) -> Answer:
        """Hand in the code that the person was sent."""
        ...

    def finish(self, inquiry: str) -> Answer:
        """End the inquiry, once the challenge is done."""
        ...

    def probe(self, access: AccessToken) -> bool | None:
        """Whether the broker takes the token; None where it did not say."""
        ...
