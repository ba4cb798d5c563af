"""Importing: the tokens of a browser's session begin the chain, where Robinhood lets no program log in.

Robinhood's web page keeps them in its local storage, under `web:auth_state`. They are shown to Robinhood once, and
stored where it takes them. From then on the browser's session is ours: the first refresh logs it out.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from quaestor.custody.login import Tokens
from quaestor.custody.machine import Act, Custody, Event, LogIn, SeedAsked
from quaestor.errors import BadInput, LoginRefused, Temporary
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.rounds import Doing
from quaestor.operations.custody.seeding import Beginning, begin

HOW = (
    "Log in to robinhood.com, open the browser's developer tools, and copy the value of `web:auth_state` in the local "
    "storage: it holds access_token, refresh_token and device_id."
)
NAMES = {
    "access_token": ("access_token", "accessToken"),
    "refresh_token": ("refresh_token", "refreshToken"),
    "device": ("device_id", "device_token", "deviceId", "deviceToken"),
}


async def import_session(of: Custodian, text: str, *, wait_seconds: float = 20.0) -> Custody:
    """Take over a browser's session; the state then, which is active.

    Raises BadInput for what is no such session, LoginRefused where Robinhood does not take it, Temporary where it does
    not answer; LeaseHeld, VaultAway, VaultRefused, DatabaseDown.
    """
    tokens, device = session(text)
    async with of.lease(wait_seconds) as lease:
        going = await begin(of, lease, Importing)
        going.tokens, going.device = tokens, device or going.device
        await going.go(SeedAsked(of.now(), uuid.uuid4(), sends=False))
        if going.failure is not None:
            raise going.failure
        return going.custody


class Importing(Beginning):
    """One import."""

    tokens: Tokens

    @property
    def doings(self) -> Mapping[type[Act], Doing]:
        """How each act is done."""
        return {**super().doings, LogIn: self._show}

    async def _show(self, act: LogIn) -> Event:
        del act
        event = self.given(self.tokens, "import")
        pair = self.pair
        if pair is None:
            return event
        alive = await asyncio.to_thread(self.of.door.probe, pair.access)
        if alive:
            return event
        self.pair = None
        if alive is None:
            return self.failed(Temporary("Robinhood does not answer; nothing was stored. Try again."), sent=False)
        return self.failed(LoginRefused(f"Robinhood does not take these tokens. {HOW}"), sent=False)


def session(text: str) -> tuple[Tokens, str]:
    """Tokens and device of a browser's session; raises BadInput, which shows nothing of it."""
    try:
        found = json.loads(text)
        found = json.loads(found) if isinstance(found, str) else found  # as some browsers copy it
    except ValueError:
        raise BadInput(f"That is no JSON. {HOW}") from None
    fields = dict(_fields(found))
    if missing := [name for name in ("access_token", "refresh_token") if not fields.get(name)]:
        raise BadInput(f"That session has no {' and no '.join(missing)}. {HOW}")
    return Tokens(fields["access_token"], fields["refresh_token"]), fields.get("device", "")


def _fields(found: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Ours out of an object, or out of one that stands in it."""
    if not isinstance(found, dict) or depth > 3:
        return
    for inner in found.values():
        yield from _fields(inner, depth + 1)
    for name, theirs in NAMES.items():
        for each in theirs:
            if isinstance(found.get(each), str):
                yield name, found[each]
