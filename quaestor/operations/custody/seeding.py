"""Seeding: a person logs in, once; from then on tokens make the next ones.

    lease ─▶ the vault shows that it keeps what comes ─▶ one login ─▶ approval by a deadline ─▶ the same login ─▶ stored

One attempt, never repeated by itself: two or three failures lock an account out for minutes, some for half a day. The
ten minutes until the next one are kept in the database. A code that a person is sent comes in through `enter_code`,
from another terminal or another machine: a service reads no stdin.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TypeVar

from quaestor.custody import login as said
from quaestor.custody.login import Challenge, Login
from quaestor.custody.machine import (
    Abandoned,
    Act,
    ApprovalAsked,
    Approved,
    AwaitApproval,
    Custody,
    Event,
    Given,
    LogIn,
    LoginFailed,
    SeedAsked,
    Standing,
)
from quaestor.custody.tokens import Kind
from quaestor.errors import (
    BadInput,
    LoginRefused,
    LoginThrottled,
    NotFound,
    QuaestorError,
    Temporary,
)
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.rounds import Doing, Round
from quaestor.ports import Lease
from quaestor.ports_custody import Answer

POLL = 8.0  # seconds between two looks at an approval: Robinhood throttles who looks more often
CODE_POLL = 2.0  # seconds between two looks for a typed code, in the database
UNTRIED = " Correct it, wait ten minutes, then run `quaestor auth seed` again."
Tells = Callable[[str], None]
B = TypeVar("B", bound="Beginning")


async def seed(
    of: Custodian, login: Login | None = None, *, tells: Tells = lambda _: None, wait_seconds: float = 20.0
) -> Custody:
    """Log in by password, with the one given or the vault's; the state then, which is active.

    tells: hears what is going on, in words. Raises LoginRefused, LoginThrottled, ChainBroken's kin as `errors` says;
    NotFound where the vault has no login; LeaseHeld, VaultAway, VaultRefused, DatabaseDown: nothing was sent then.
    """
    async with of.lease(wait_seconds) as lease:
        going = await begin(of, lease, Seeding)
        going.login, going.tells = login or await _kept(of), tells
        await going.go(SeedAsked(of.now(), uuid.uuid4()))
        if going.failure is not None:
            raise going.failure
        return going.custody


async def begin(of: Custodian, lease: Lease, kind: type[B]) -> B:
    """A beginning that knows what there is; the vault has shown that it takes and gives."""
    custody = await of.store.load(of.alias)
    going = kind(of, lease, custody)
    going.key = await of.make_spool_key()
    going.device, going.above = await _there(of)
    spooled = await of.store.spooled(of.alias)
    given = custody.seq + min(custody.sent, 1)  # a refresher that sleeps may wake with that number
    refused = [each.seq for each in await of.store.requests(of.alias, 1)]  # whoever was refused has seen that number
    going.above = max(going.above, given, custody.held, spooled.seq if spooled else 0, *refused)
    if custody.logging_in:
        await going.go(Abandoned(of.now()))
    return going


async def _there(of: Custodian) -> tuple[str, int]:
    """Device token, and the newest number, of what the vault has; damaged secrets count for nothing."""
    device, newest = "", 0
    with suppress(BadInput):
        if grant := await of.grant():
            device, newest = grant.device_token, grant.seq
    with suppress(BadInput):
        if access := await of.access():
            newest = max(newest, access.seq)
    return device, newest


async def _kept(of: Custodian) -> Login:
    text = await of.secret(of.names.login)
    if text is None:
        raise NotFound(
            f"The vault has no secret {of.names.login!r}. Run `quaestor auth seed` in a terminal and type user name "
            'and password, or store {"username": …, "password": …, "totp": …} under that name.'
        )
    return Login.read(text, of.names.login)


async def enter_code(of: Custodian, code: str) -> None:
    """Hand a code that a person was sent to the login that waits for it. Raises BadInput where none does."""
    custody = await of.store.load(of.alias)
    over = custody.deadline is not None and of.now() > custody.deadline
    if custody.standing != Standing.AWAITING_APPROVAL or custody.attempt is None or over:
        raise BadInput("No login waits for a code now. `quaestor auth seed` begins one.")
    key = await of.spool_key()
    if key is None:
        raise BadInput(f"The vault has no secret {of.names.spool!r}; begin the login again with `quaestor auth seed`.")
    await of.store.put_code(of.alias, custody.attempt, await asyncio.to_thread(of.sealing.seal, key, code.strip()))


class Beginning(Round):
    """What begins a chain. above: its number is greater; device: which device it is."""

    above: int = 0
    device: str = ""
    tells: Tells = staticmethod(lambda _: None)

    def given(self, tokens: said.Tokens, kind: Kind) -> Event:
        """A pair came; raises nothing: what cannot be kept fails the login."""
        try:
            self.pair = tokens.pair(self.above + 1, self.device, kind)
        except BadInput as error:
            return self.failed(LoginRefused(str(error)))
        return Given(self.of.now(), self.above + 1)

    def failed(self, error: QuaestorError, *, wait: float = 0.0, sent: bool = True) -> Event:
        """It came to nothing; whoever asked hears why."""
        self.failure = error
        return LoginFailed(self.of.now(), str(error), wait, sent)


class Seeding(Beginning):
    """One login by password."""

    login: Login
    code = ""
    workflow = inquiry = ""
    challenge: Challenge | None = None
    approved = explained = False

    @property
    def doings(self) -> Mapping[type[Act], Doing]:
        """How each act is done."""
        return {**super().doings, LogIn: self._log_in, AwaitApproval: self._await}

    async def _log_in(self, act: LogIn) -> Event:
        del act
        self.device = self.device or said.new_device()
        try:
            code = self.code or (said.one_time_code(self.login.totp, self.of.now()) if self.login.totp else "")
        except BadInput as error:
            return self.failed(error, sent=False)
        answer = await self.answered(self.of.door.log_in, self.login, self.device, code)
        return self._heard(answer, with_code=bool(code))

    def _heard(self, answer: said.Outcome, *, with_code: bool) -> Event:  # noqa: PLR0911  # a case, an answer
        match answer:
            case said.Tokens():
                return self.given(answer, "password")
            case said.ApprovalWanted(workflow) if not self.approved:
                self.workflow = workflow
                return self._asked("Robinhood does not know this device", "Approve it in Robinhood's app")
            case said.CodeWanted(kind) if not with_code:
                return self._asked(f"Robinhood wants a code ({kind})", "Have it ready")
            case said.ApprovalWanted() | said.CodeWanted():
                return self.failed(LoginRefused("Robinhood asks again for what a person has shown." + UNTRIED))
            case said.Refused("code", _):
                wrong = "is the TOTP seed right, and this machine's clock?" if self.login.totp and not self.code else ""
                return self.failed(
                    LoginRefused(f"Robinhood refuses the code; {wrong or 'it was wrong or late'}{UNTRIED}")
                )
            case said.Refused("password", _) | said.GrantRefused():
                return self.failed(LoginRefused("Robinhood refuses user name or password." + UNTRIED))
            case said.Refused(_, detail):
                return self.failed(
                    LoginRefused(f"Robinhood refuses how we log in ({detail}). Use `quaestor auth import`.")
                )
            case said.Throttled(seconds):
                wait = max(seconds, said.THROTTLED)
                return self.failed(LoginThrottled(None, wait), wait=wait)
            case said.NotSent(why):
                return self.failed(Temporary(f"{why} Nothing was sent; run `quaestor auth seed` again."), sent=False)
            case said.ReplyLost(why):
                return self.failed(Temporary(f"{why} Wait ten minutes, then run `quaestor auth seed` again."))

    def _asked(self, reason: str, cure: str) -> Event:
        now, seconds = self.of.now(), self.of.settings.approval_seconds
        deadline = now + dt.timedelta(seconds=seconds)
        cure = f"{cure}; if a code comes by SMS or mail: `quaestor auth code {self.of.alias}`"
        self.tells(f"{reason}. {cure}. There is time until {deadline:%H:%M:%S} UTC.")
        return ApprovalAsked(now, deadline, reason, cure)

    # ── approval ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _await(self, act: AwaitApproval) -> Event:
        del act
        try:
            answer = await (self._approval() if self.workflow and not self.approved else self._typed())
        except (LoginRefused, LoginThrottled, BadInput) as error:
            return self.failed(error, wait=error.retry_after if isinstance(error, LoginThrottled) else 0.0)
        if answer == "approved":
            self.tells("Approved; logging in.")
            return Approved(self.of.now())
        if answer == "refused":
            return self.failed(LoginRefused(f"The approval was refused, on the phone or by a wrong code.{UNTRIED}"))
        return self.failed(
            LoginRefused(
                f"Nobody approved the login within {self.of.settings.approval_seconds:.0f} s. Have the phone at hand, "
                "wait ten minutes, then run `quaestor auth seed` again."
            )
        )

    async def _typed(self) -> Answer:
        """Until a code is typed: it goes with the login."""
        while not self._late():
            if code := await self._code():
                self.code = code
                return "approved"
            await self.of.sleep(CODE_POLL)
        return "waiting"

    async def _approval(self) -> Answer:
        """Until the person has tapped, or typed what he was sent."""
        while not self._late():
            try:
                answer = await self._looked()
            except LoginThrottled as error:
                await self._rest(error)
                continue
            except Temporary:
                answer = "waiting"  # a fault that passes costs nothing but time
            if answer != "waiting":
                return answer
            await self.of.sleep(CODE_POLL if self.challenge and self.challenge.channel != "prompt" else POLL)
        return "waiting"

    async def _looked(self) -> Answer:
        """One look: a step further, where the person has done his part."""
        door = self.of.door
        if not self.inquiry:
            self.inquiry = await asyncio.to_thread(door.begin_approval, self.device, self.workflow)
        if self.challenge is None:
            self.challenge = await asyncio.to_thread(door.challenge, self.inquiry)
            self._explain()
        answer = await self._shown(self.challenge) if self.challenge else "waiting"
        if answer == "approved":
            answer = await asyncio.to_thread(door.finish, self.inquiry)
            self.approved = answer == "approved"
        return answer

    async def _rest(self, error: LoginThrottled) -> None:
        """Who is throttled waits as long as he is told, or gives up where that is too late."""
        until = self.of.now() + dt.timedelta(seconds=error.retry_after)
        if self.custody.deadline is None or until > self.custody.deadline:
            raise error
        await self.of.sleep(error.retry_after)

    async def _shown(self, challenge: Challenge) -> Answer:
        if challenge.stands != "waiting":
            return challenge.stands
        if challenge.channel == "prompt":
            return await asyncio.to_thread(self.of.door.prompt, challenge)
        code = await self._code()
        if not code:
            return "waiting"
        answer = await asyncio.to_thread(self.of.door.respond, challenge, code)
        if answer != "refused":
            return answer
        self.challenge = None  # it says whether another try is left
        self.tells(f"Robinhood refuses that code. Type it again: `quaestor auth code {self.of.alias}`.")
        return "waiting"

    def _explain(self) -> None:
        if self.challenge is None or self.explained:
            return
        self.explained = True
        typed = f"Robinhood sent a code by {self.challenge.channel}: `quaestor auth code {self.of.alias}` hands it in."
        self.tells("Tap on the prompt in Robinhood's app." if self.challenge.channel == "prompt" else typed)

    async def _code(self) -> str | None:
        """What a person typed for this attempt."""
        attempt = self.custody.attempt
        sealed = await self.of.store.take_code(self.of.alias, attempt) if attempt is not None else None
        if sealed is None or self.key is None:
            return None
        return await asyncio.to_thread(self.of.sealing.unseal, self.key, sealed)

    def _late(self) -> bool:
        return self.custody.deadline is None or self.of.now() >= self.custody.deadline
