"""Consenting: a person agrees in his own browser, and an official channel's tokens begin the chain.

No password comes near us, and nothing is locked by a refusal, so it costs no attempt. The vault has shown that it keeps
what comes before the person is asked. The client that was registered goes with the chain: only it may refresh it, at
the token address that all of the broker's logins share.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping

from quaestor.custody.login import Tokens
from quaestor.custody.machine import Act, Custody, Event, Given, LogIn, SeedAsked
from quaestor.errors import BadInput, LoginRefused, Temporary
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.rounds import Doing
from quaestor.operations.custody.seeding import Beginning, begin

Consent = Callable[[], tuple[Tokens, str]]  # asks the person; blocks; the tokens, and the client's id


async def consent(of: Custodian, ask: Consent, *, wait_seconds: float = 20.0) -> Custody:
    """Begin a chain with what the person agrees to; the state then, which is active.

    Raises LoginRefused where he does not, Temporary where the broker does not answer; LeaseHeld, VaultAway,
    VaultRefused, DatabaseDown: nothing was asked then.
    """
    async with of.lease(wait_seconds) as lease:
        going = await begin(of, lease, Consenting)
        going.ask = ask
        await going.go(SeedAsked(of.now(), uuid.uuid4(), sends=False))
        if going.failure is not None:
            raise going.failure
        return going.custody


class Consenting(Beginning):
    """One consent."""

    ask: Consent

    @property
    def doings(self) -> Mapping[type[Act], Doing]:
        """How each act is done."""
        return {**super().doings, LogIn: self._agree}

    async def _agree(self, act: LogIn) -> Event:
        del act
        try:
            tokens, client_id = await asyncio.to_thread(self.ask)
            self.pair = tokens.pair(self.above + 1, "", "oauth", client_id)
        except (LoginRefused, Temporary) as error:
            return self.failed(error, sent=False)
        except BadInput as error:
            return self.failed(LoginRefused(str(error)), sent=False)
        return Given(self.of.now(), self.above + 1)
