"""The auth state machine: from a person's login to the next pair of tokens, without ever losing the newest one.

    unseeded ──▶ seeding ──▶ awaiting_approval ──▶ active ──▶ refreshing ──▶ active
                    │                │               ▲  ▲         │
                    └── refused, late: back ─────────┘  │         └──▶ broken: a person is paged
                                                        └── the vault has newer tokens ──┘

Core answers, shell acts: `step` takes what happened and says what is to be done next; it does nothing. The shell
(`operations.custody`) stores the new state, then does the act, and what comes of that is the next event. So a crash
between any two of them leaves a state from which `RefreshAsked` finds the way on:

    before the request is sent, `sent` counts it: after a crash the same token is sent once more, as after a lost reply
    while `held` names a pair, no token is sent: it is stored first, out of memory or out of the spool
    the refresh token is stored before the access token: of the two, the first can make the second, never the reverse

A refresh token works once. It is sent a second time only where nobody knows what came of the first, and never a third
time unless the broker still takes the access token beside it, which a refresh would have ended.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import singledispatch

from quaestor.errors import LoginThrottled, Refused

COOL = dt.timedelta(minutes=10)  # between two logins, whatever came of the first
SOON = dt.timedelta(seconds=10)  # until a vault that was away is asked again
LATER = dt.timedelta(minutes=1)  # until a refresh that came to nothing is tried again
TRIES = 2  # requests with one refresh token
SEED = "Log in anew: `quaestor auth seed`, or `quaestor auth import` with a browser's session."


class Standing(StrEnum):
    """How an account's login stands."""

    UNSEEDED = "unseeded"
    SEEDING = "seeding"
    AWAITING_APPROVAL = "awaiting_approval"
    ACTIVE = "active"
    REFRESHING = "refreshing"
    BROKEN = "broken"


@dataclass(frozen=True)
class Custody:
    """What is known of a login. No secret is in it; times are aware UTC.

    seq: the newest pair that the vault is known to have; held: a newer one that it has not yet (0: none);
    sent: requests with the refresh token `seq` whose outcome nobody knows; spent: the broker refused that token;
    again_at: no refresh before; cool_until: no login before;
    deadline: until when a person may approve; attempt: the login on its way; back: where it returns to when it fails.
    """

    standing: Standing = Standing.UNSEEDED
    since: dt.datetime | None = None
    seq: int = 0
    held: int = 0
    sent: int = 0
    spent: bool = False
    expires_at: dt.datetime | None = None
    issued_at: dt.datetime | None = None
    last_refresh_at: dt.datetime | None = None
    again_at: dt.datetime | None = None
    cool_until: dt.datetime | None = None
    deadline: dt.datetime | None = None
    attempt: uuid.UUID | None = None
    back: Standing = Standing.UNSEEDED
    reason: str = ""
    cure: str = ""

    @property
    def logging_in(self) -> bool:
        """Whether a login is on its way."""
        return self.standing in {Standing.SEEDING, Standing.AWAITING_APPROVAL}


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Event:
    """Something happened at that moment, aware UTC."""

    at: dt.datetime


@dataclass(frozen=True)
class SeedAsked(Event):
    """A person wants to log in; `sends`: with a password, which the broker counts."""

    attempt: uuid.UUID
    sends: bool = True


@dataclass(frozen=True)
class ApprovalAsked(Event):
    """The broker wants a person's approval, or a code, until then; `cure`: what he does."""

    deadline: dt.datetime
    reason: str = ""
    cure: str = ""


@dataclass(frozen=True)
class Approved(Event):
    """The person did what was asked: the login may be sent again, once."""


@dataclass(frozen=True)
class LoginFailed(Event):
    """It came to nothing; `wait`: seconds that the broker wants to be left alone; `sent`: whether it saw anything."""

    reason: str
    wait: float = 0.0
    sent: bool = True


@dataclass(frozen=True)
class Abandoned(Event):
    """Whoever logged in, or refreshed, is gone: nobody else holds the lease."""


@dataclass(frozen=True)
class Given(Event):
    """The broker gave a pair; it has that number."""

    seq: int


@dataclass(frozen=True)
class Stored(Event):
    """The vault has the pair that was held, and it was read back."""

    issued_at: dt.datetime
    expires_at: dt.datetime


@dataclass(frozen=True)
class StoreFailed(Event):
    """The vault does not take the pair that is held."""

    why: str


@dataclass(frozen=True)
class RefreshAsked(Event):
    """It is due, or the broker refused an access token."""


@dataclass(frozen=True)
class Found(Event):
    """What there is: numbers in the vault of refresh token and access token, and in the spool (0: none)."""

    refresh: int
    access: int
    spooled: int
    issued_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


@dataclass(frozen=True)
class VaultGone(Event):
    """The vault does not answer: nothing is sent that it could not keep the answer of."""

    why: str


@dataclass(frozen=True)
class ReplyWasLost(Event):
    """The request was sent; nobody knows what came of it."""

    why: str


@dataclass(frozen=True)
class NothingDone(Event):
    """The request was not sent, or surely not heeded; `wait`: seconds until it may be tried again."""

    why: str
    wait: float = 0.0
    alert: bool = False


@dataclass(frozen=True)
class GrantWasRefused(Event):
    """The broker says that the refresh token is spent, expired or revoked; or wants a person for it."""

    why: str = "Robinhood says that the refresh token is spent, expired or revoked (invalid_grant)"
    cure: str = SEED


@dataclass(frozen=True)
class Probed(Event):
    """Whether the broker takes the access token; None: it did not say."""

    alive: bool | None


# ── acts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Act:
    """Something to be done. Of several, the last one brings the next event."""


@dataclass(frozen=True)
class LogIn(Act):
    """Send the login."""


@dataclass(frozen=True)
class AwaitApproval(Act):
    """Follow the approval, or wait for a code, until the deadline."""


@dataclass(frozen=True)
class Look(Act):
    """Read what the vault and the spool have."""


@dataclass(frozen=True)
class Send(Act):
    """Send the refresh token of that number."""

    seq: int


@dataclass(frozen=True)
class Probe(Act):
    """Show the access token to the broker."""


@dataclass(frozen=True)
class Store(Act):
    """Store the pair that is held, refresh token first, and read it back; or spool it."""

    seq: int


@dataclass(frozen=True)
class Page(Act):
    """Tell a person, urgently, with the one action that heals."""

    title: str
    body: str


@dataclass(frozen=True)
class Tell(Act):
    """Tell whoever asks the broker that there is a newer access token, and forget what was asked about older ones."""


Step = tuple[Custody, tuple[Act, ...]]


def step(now: Custody, event: Event) -> Step:
    """What follows of an event: the state to be stored first, then the acts. Raises Refused, LoginThrottled."""
    return _follow(event, now)


@singledispatch
def _follow(event: Event, now: Custody) -> Step:
    raise TypeError(f"no such event: {event!r} ({now.standing})")


def _to(now: Custody, standing: Standing, at: dt.datetime, **changes: object) -> Custody:
    since = now.since if standing == now.standing else at
    return replace(now, standing=standing, since=since, **changes)  # type: ignore[arg-type]


# ── a login ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@_follow.register
def _(event: SeedAsked, now: Custody) -> Step:
    if now.logging_in:
        raise Refused("A login is on its way already; `quaestor auth status` shows it.")
    if event.sends and now.cool_until is not None and event.at < now.cool_until:
        left = (now.cool_until - event.at).total_seconds()
        raise LoginThrottled(
            f"The last login came to nothing; Robinhood locks out who tries too often. Wait until "
            f"{now.cool_until:%H:%M:%S} UTC, then run `quaestor auth seed` again.",
            left,
        )
    cool = {"cool_until": event.at + COOL} if event.sends else {}
    going = _to(now, Standing.SEEDING, event.at, attempt=event.attempt, back=now.standing, deadline=None, **cool)
    return going, (LogIn(),)


@_follow.register
def _(event: ApprovalAsked, now: Custody) -> Step:
    if now.standing != Standing.SEEDING:
        return now, ()
    waiting = _to(now, Standing.AWAITING_APPROVAL, event.at, deadline=event.deadline)
    return replace(waiting, reason=event.reason, cure=event.cure), (AwaitApproval(),)


@_follow.register
def _(event: Approved, now: Custody) -> Step:
    if now.standing != Standing.AWAITING_APPROVAL:
        return now, ()
    if now.deadline is not None and event.at > now.deadline:
        return step(now, LoginFailed(event.at, "the approval came too late"))
    return _to(now, Standing.SEEDING, event.at, reason="", cure=""), (LogIn(),)


@_follow.register
def _(event: LoginFailed, now: Custody) -> Step:
    if not now.logging_in:
        return now, ()
    first = now.since is not None and now.cool_until == now.since + COOL  # nothing of this attempt was sent before
    cool = None if first and not event.sent else now.cool_until
    if event.wait:
        cool = max(filter(None, (cool, event.at + dt.timedelta(seconds=event.wait))))
    cure = SEED if now.back in {Standing.BROKEN, Standing.UNSEEDED} else ""
    return _to(
        now, now.back, event.at, attempt=None, deadline=None, cool_until=cool, reason=event.reason, cure=cure
    ), ()


@_follow.register
def _(event: Abandoned, now: Custody) -> Step:
    if now.logging_in:
        return step(now, LoginFailed(event.at, "whoever logged in is gone"))
    return now, ()


# ── tokens on their way into the vault ────────────────────────────────────────────────────────────────────────────────


@_follow.register
def _(event: Given, now: Custody) -> Step:
    if event.seq <= max(now.seq, now.held):
        raise Refused(f"Tokens number {event.seq} are no newer than number {max(now.seq, now.held)}.")
    return replace(now, held=event.seq), (Store(event.seq),)


@_follow.register
def _(event: Stored, now: Custody) -> Step:
    if not now.held:
        return now, ()
    changed = None if now.logging_in else event.at
    return _active(now, event.at, now.held, event.issued_at, event.expires_at, last_refresh_at=changed)


@_follow.register
def _(event: StoreFailed, now: Custody) -> Step:
    if not now.held:
        return now, ()
    page = Page(
        "new tokens wait for the vault",
        f"{event.why} Robinhood gave new tokens, and the old ones are dead. They are kept, encrypted, in the database, "
        "and go into the vault as soon as it takes them; until then nobody can ask Robinhood. "
        "Make the vault answer: `quaestor secrets check`.",
    )
    reason = "new tokens wait for the vault"
    waiting = _to(now, Standing.REFRESHING, event.at, attempt=None, deadline=None, reason=reason)
    return replace(waiting, cure="`quaestor secrets check`"), (() if now.reason == reason else (page,))


def _active(
    now: Custody, at: dt.datetime, seq: int, issued: dt.datetime | None, expires: dt.datetime | None, **more: object
) -> Step:
    """The vault has that pair, and nothing is on its way."""
    clean = Custody(Standing.ACTIVE, seq=seq, issued_at=issued, expires_at=expires, last_refresh_at=now.last_refresh_at)
    same = now.standing == Standing.ACTIVE and seq == now.seq
    return replace(clean, since=now.since if same else at, **more), (Tell(),)  # type: ignore[arg-type]


# ── a refresh ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@_follow.register
def _(event: RefreshAsked, now: Custody) -> Step:
    del event
    if now.logging_in:
        raise Refused("A person is logging in; tokens are not changed meanwhile. `quaestor auth status` shows it.")
    return now, (Look(),)


@_follow.register
def _(event: VaultGone, now: Custody) -> Step:
    reason = now.reason if now.spent else event.why  # why the token is spent is what a person needs to hear
    return replace(now, again_at=event.at + SOON, reason=reason), ()


@_follow.register
def _(event: Found, now: Custody) -> Step:  # noqa: PLR0911  # a case, an answer
    if event.spooled >= event.refresh and event.spooled > event.access:
        return replace(now, held=event.spooled), (Store(event.spooled),)
    if event.refresh > now.seq and event.access == event.refresh:
        found = event.refresh, event.issued_at, event.expires_at
        return _active(now, event.at, *found, last_refresh_at=None)  # another stored it: adopted
    if event.refresh > now.seq:  # the access token of this pair never came to the vault: the next pair replaces it
        return _sending(replace(now, seq=event.refresh, held=0, sent=0, spent=False), event.at)
    back = event.refresh == event.access == now.seq > 0 and not now.sent  # what was deleted or damaged is there again
    if now.standing == Standing.BROKEN and back and not now.spent:
        return _active(now, event.at, now.seq, event.issued_at, event.expires_at)
    if now.spent or now.standing == Standing.BROKEN:
        return _broken(now, event.at, now.reason or GrantWasRefused(event.at).why)
    if event.refresh < now.seq:
        what = f"number {event.refresh}" if event.refresh else "none"
        return _broken(now, event.at, f"the vault has older tokens ({what}) than were stored (number {now.seq})")
    if not event.refresh:
        return _broken(now, event.at, "nobody has logged in yet")
    return _sending(now, event.at)


def _sending(now: Custody, at: dt.datetime) -> Step:
    if now.sent >= TRIES:
        return _to(now, Standing.REFRESHING, at), (Probe(),)
    return _to(now, Standing.REFRESHING, at, held=0, sent=now.sent + 1), (Send(now.seq),)


@_follow.register
def _(event: ReplyWasLost, now: Custody) -> Step:
    if now.standing != Standing.REFRESHING or now.held:
        return now, ()
    return _sending(now, event.at)


@_follow.register
def _(event: NothingDone, now: Custody) -> Step:
    if now.standing != Standing.REFRESHING or now.held:
        return now, ()
    again = event.at + max(LATER, dt.timedelta(seconds=event.wait))
    left = _to(now, Standing.ACTIVE if now.sent <= 1 else Standing.REFRESHING, event.at, sent=now.sent - 1)
    told = Page(
        "tokens were not changed", f"{event.why} It is tried again at {again:%H:%M} UTC. If that persists: {SEED}"
    )
    return replace(left, again_at=again, reason=event.why), ((told,) if event.alert and event.why != now.reason else ())


@_follow.register
def _(event: GrantWasRefused, now: Custody) -> Step:
    if now.standing != Standing.REFRESHING or now.held:
        return now, ()
    return replace(now, reason=event.why, cure=event.cure, spent=True), (Look(),)


@_follow.register
def _(event: Probed, now: Custody) -> Step:
    if now.standing != Standing.REFRESHING or now.held or now.sent < TRIES:
        return now, ()
    if event.alive:  # a refresh would have ended it: the token is unspent
        return _to(now, Standing.ACTIVE, event.at, sent=0, again_at=event.at + COOL), ()
    if event.alive is None:
        return replace(now, again_at=event.at + LATER), (_doubt(now),) if now.reason != DOUBT else ()
    return _broken(now, event.at, "two replies with new tokens were lost, and the old ones are dead")


DOUBT = "two replies with new tokens were lost"


def _doubt(now: Custody) -> Page:
    return Page(
        "tokens are in doubt",
        f"{DOUBT}, and Robinhood does not say whether number {now.seq} still works. It is asked again each minute. "
        f"If that does not end: {SEED}",
    )


def _broken(now: Custody, at: dt.datetime, reason: str) -> Step:
    broken = _to(now, Standing.BROKEN, at, held=0, again_at=None, reason=reason, cure=now.cure or SEED)
    return broken, (() if now.standing == Standing.BROKEN else (paged(broken),))


def paged(broken: Custody) -> Page:
    """What a person is told, at first and again until he acts."""
    return Page(
        "the login is broken",
        f"{broken.reason[:1].upper()}{broken.reason[1:]}. Nobody can ask Robinhood until a person acts. {broken.cure} "
        "What runs goes on by itself then.",
    )
