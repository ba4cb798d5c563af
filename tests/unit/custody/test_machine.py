"""The auth state machine: whatever happens, the newest pair stays, no token is spent twice, no login is repeated."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from quaestor.custody import machine as m
from quaestor.custody.machine import Custody, Standing, step
from quaestor.errors import LoginThrottled, Refused

AT = dt.datetime(2026, 11, 23, 1, 30, tzinfo=dt.UTC)
ENDS = AT + dt.timedelta(days=6)
ACTIVE = Custody(Standing.ACTIVE, AT, seq=1, issued_at=AT, expires_at=ENDS)
SEED = m.SeedAsked(AT, uuid.UUID(int=1))


class Died(Exception):
    """The process ended here."""


@dataclass
class World:
    """Vault, spool and broker as they are in truth, and what a shell does with the machine's acts.

    The broker knows one refresh token that it takes; a refresh makes the next. `luck` decides what goes wrong.
    """

    luck: some.DataObject
    custody: Custody = ACTIVE
    kept: Custody = ACTIVE  # in the database
    at: dt.datetime = AT
    refresh: int = 1  # in the vault
    access: int = 1
    spool: int = 0
    alive: int = 1  # the broker's newest pair
    held: int = 0
    spent: list[int] = field(default_factory=list)
    tries: list[int] = field(default_factory=list)  # which tokens were sent
    sent: list[int] = field(default_factory=list)  # whose answer came, and was kept
    answered: int = 0
    logins: list[dt.datetime] = field(default_factory=list)
    begun: list[dt.datetime] = field(default_factory=list)  # when a login began that the broker saw
    worked: set[dt.datetime] = field(default_factory=set)
    pages: int = 0

    def draw(self, *ways: str) -> str:
        return self.luck.draw(some.sampled_from(ways))

    def go(self, event: m.Event | None) -> None:
        while event is not None:
            self.custody, acts = step(self.custody, event)
            self.perhaps_die()
            self.kept = self.custody
            if self.answered:  # from here on a crash knows of the answer
                self.sent.append(self.answered)
                self.answered = 0
            self.check()
            event = None
            for act in acts:
                event = self.do(act)

    def perhaps_die(self) -> None:
        if self.draw(*["on"] * 9, "dies") == "dies":
            raise Died

    def check(self) -> None:
        assert self.custody.seq <= max(self.refresh, self.access)
        assert self.custody.sent <= m.TRIES

    def do(self, act: m.Act) -> m.Event | None:  # noqa: PLR0911  # a case, an answer
        self.at += dt.timedelta(seconds=1)
        match act:
            case m.Look():
                if self.draw("there", "there", "there", "away") == "away":
                    return m.VaultGone(self.at, "away")
                if self.spool <= min(self.refresh, self.access):
                    self.spool = 0
                self.held = self.spool or self.held
                return m.Found(self.at, self.refresh, self.access, self.spool, AT, ENDS)
            case m.Send(seq):
                return self.send(seq)
            case m.Probe():
                if self.draw("says", "silent") == "silent":
                    return m.Probed(self.at, None)
                if self.access == self.alive:  # so the token is unspent
                    self.tries.clear()
                return m.Probed(self.at, self.access == self.alive)
            case m.Store(seq):
                return self.store(seq)
            case m.LogIn():
                self.logins.append(self.at)
                return self.log_in()
            case m.AwaitApproval():
                said = self.draw("yes", "no", "late")
                if said == "yes":
                    return m.Approved(self.at)
                return m.LoginFailed(self.at, said)
            case m.Page():
                self.pages += 1
        return None

    def send(self, seq: int) -> m.Event:
        assert seq == self.refresh, "only what the vault has is sent"
        assert self.held <= seq, "a newer pair waits"
        assert seq not in self.sent, "its answer came before"
        assert self.tries.count(seq) < m.TRIES
        way = self.draw("answers", "loses", "unheard", "unsent")
        if way == "unsent":
            return m.NothingDone(self.at, way, 30.0)
        taken = seq == self.alive and way != "unheard"
        if taken:
            self.alive += 1
            self.spent.append(seq)
        if way in {"loses", "unheard"}:
            self.tries.append(seq)
            return m.ReplyWasLost(self.at, way)
        self.tries.append(seq)
        self.answered = seq
        if not taken:
            return m.GrantWasRefused(self.at)
        self.held = self.alive
        return m.Given(self.at, self.alive)

    def log_in(self) -> m.Event:
        way = self.draw("tokens", "approval", "refused", "throttled")
        if way == "tokens":
            self.alive = max(self.alive, self.refresh, self.spool, self.custody.seq, self.custody.held) + 1
            self.held = self.alive
            return m.Given(self.at, self.alive)
        if way == "approval":
            return m.ApprovalAsked(self.at, self.at + dt.timedelta(minutes=3))
        return m.LoginFailed(self.at, way, 3600.0 if way == "throttled" else 0.0)

    def store(self, seq: int) -> m.Event:
        assert seq == self.held, "what is stored is at hand"
        assert seq >= max(self.refresh, self.access), "nothing newer is written over"
        if self.draw("takes", "takes", "refuses") == "takes":
            self.refresh = seq
            self.perhaps_die()
            if self.draw("takes", "takes", "refuses") == "takes":
                self.access, self.held = seq, 0
                self.perhaps_die()
                return m.Stored(self.at, AT, ENDS)
        self.spool = max(self.spool, seq)
        self.held = 0
        return m.StoreFailed(self.at, "full")

    def restart(self) -> None:
        self.custody, self.held, self.answered = self.kept, 0, 0


@settings(deadline=None)
@given(
    some.data(),
    some.lists(
        some.sampled_from(["refresh", "refresh", "refresh", "seed", "wait", "import", "revoked"]),
        min_size=1,
        max_size=14,
    ),
)
def test_no_course_of_events_loses_the_newest_pair_or_spends_a_token_twice(
    luck: some.DataObject, wants: list[str]
) -> None:
    world, attempts = World(luck), 0
    for want in wants:
        try:
            if world.custody.logging_in:
                world.go(m.Abandoned(world.at))
            if want == "wait":
                world.at += dt.timedelta(minutes=11)
            elif want == "revoked":  # by a changed password, or by who stole the token
                world.alive = max(world.alive, world.spool) + 1
            elif want == "refresh":
                world.go(m.RefreshAsked(world.at))
            else:
                attempts += 1
                world.go(m.SeedAsked(world.at, uuid.UUID(int=attempts), sends=want == "seed"))
        except Died:
            world.restart()
        except (Refused, LoginThrottled):
            pass
    assert len(set(world.spent)) == len(world.spent)
    if world.custody.standing == Standing.BROKEN:
        assert world.custody.cure


@settings(deadline=None)
@given(some.data(), some.integers(1, 8))
def test_a_login_is_sent_once_for_each_time_that_a_person_asks_and_acts(luck: some.DataObject, times: int) -> None:
    world = World(luck)
    for number in range(times):
        before, seq = len(world.logins), world.custody.seq
        began = world.at
        try:
            world.go(m.SeedAsked(began, uuid.UUID(int=number)))
            if world.custody.seq > seq:
                world.worked.add(began)
        except Died:
            world.restart()
        except (Refused, LoginThrottled):
            assert len(world.logins) == before
        if len(world.logins) > before:
            world.begun.append(began)
        if world.custody.logging_in:
            world.custody, _ = step(world.custody, m.Abandoned(world.at))
            world.kept = world.custody
        world.at += dt.timedelta(minutes=luck.draw(some.sampled_from([1, 9, 11])))
    for at, later in pairwise(world.begun):
        assert later - at >= m.COOL or at in world.worked


# ── one by one ────────────────────────────────────────────────────────────────────────────────────────────────────────


def found(refresh: int, access: int, spooled: int = 0) -> m.Found:
    return m.Found(AT, refresh, access, spooled, AT, ENDS)


@pytest.mark.parametrize(
    ("there", "standing", "acts"),
    [
        pytest.param(found(1, 1), Standing.REFRESHING, (m.Send(1),), id="as it was: the token is sent"),
        pytest.param(found(3, 3), Standing.ACTIVE, (m.Tell(),), id="another stored a newer pair: adopted"),
        pytest.param(found(2, 1), Standing.REFRESHING, (m.Send(2),), id="half of a pair is stored: it makes the next"),
        pytest.param(found(1, 1, 2), Standing.ACTIVE, (m.Store(2),), id="a pair waits in the spool: stored first"),
        pytest.param(found(2, 1, 2), Standing.ACTIVE, (m.Store(2),), id="half of it is in the vault"),
    ],
)
def test_what_there_is_says_what_is_done(there: m.Found, standing: Standing, acts: tuple[m.Act, ...]) -> None:
    after, done = step(ACTIVE, there)
    assert (after.standing, done) == (standing, acts)


@pytest.mark.parametrize(
    ("before", "there", "why"),
    [
        pytest.param(ACTIVE, found(0, 0), "older tokens", id="the vault lost them"),
        pytest.param(Custody(), found(0, 0), "Nobody has logged in", id="there never were any"),
        pytest.param(
            replace(ACTIVE, spent=True), found(1, 1), "spent", id="the token is refused and there is no newer"
        ),
    ],
)
def test_a_chain_that_nothing_heals_pages_with_what_a_person_does(before: Custody, there: m.Found, why: str) -> None:
    after, acts = step(before, there)
    assert after.standing == Standing.BROKEN
    assert isinstance(acts[0], m.Page)
    assert why in acts[0].body
    assert "quaestor auth seed" in acts[0].body
    assert step(after, there)[1] == ()  # once; the keeper reminds


def test_two_lost_replies_are_cleared_up_by_the_access_token() -> None:
    now, acts = step(ACTIVE, found(1, 1))
    now, acts = step(now, m.ReplyWasLost(AT, "lost"))
    assert acts == (m.Send(1),)
    now, acts = step(now, m.ReplyWasLost(AT, "lost"))
    assert acts == (m.Probe(),)
    unspent, _ = step(now, m.Probed(AT, alive=True))
    assert (unspent.standing, unspent.sent) == (Standing.ACTIVE, 0)
    assert step(now, m.Probed(AT, alive=False))[0].standing == Standing.BROKEN
    doubt, acts = step(now, m.Probed(AT, alive=None))
    assert (doubt.standing, [type(act) for act in acts]) == (Standing.REFRESHING, [m.Page])


def test_a_second_login_waits_ten_minutes_even_after_a_crash() -> None:
    going, _ = step(Custody(), SEED)
    after, _ = step(going, m.Abandoned(AT))
    with pytest.raises(LoginThrottled) as throttled:
        step(after, m.SeedAsked(AT + dt.timedelta(minutes=9), uuid.UUID(int=2)))
    assert throttled.value.retry_after == 60
    assert step(after, m.SeedAsked(AT + dt.timedelta(minutes=10), uuid.UUID(int=2)))[0].logging_in
    assert step(after, m.SeedAsked(AT, uuid.UUID(int=2), sends=False))[0].logging_in  # an import sends no password


def test_what_was_never_sent_costs_no_time_and_frees_nobody_from_an_earlier_wait() -> None:
    going, _ = step(Custody(), SEED)
    unsent = m.LoginFailed(AT, "no line", sent=False)
    assert step(going, unsent)[0].cool_until is None
    failed, _ = step(going, m.LoginFailed(AT, "wrong password"))
    later = AT + dt.timedelta(minutes=1)
    importing, _ = step(failed, m.SeedAsked(later, uuid.UUID(int=2), sends=False))
    assert step(importing, unsent)[0].cool_until == AT + m.COOL
    waiting, _ = step(going, m.ApprovalAsked(later, later + dt.timedelta(minutes=3)))
    approved, _ = step(waiting, m.Approved(later))
    assert step(approved, unsent)[0].cool_until == AT + m.COOL  # its first half was sent


def test_a_login_that_fails_leaves_a_chain_that_works() -> None:
    going, _ = step(ACTIVE, SEED)
    after, acts = step(going, m.LoginFailed(AT, "no"))
    assert (after.standing, after.seq, acts) == (Standing.ACTIVE, 1, ())


def test_an_approval_that_comes_after_the_deadline_logs_nobody_in() -> None:
    going, _ = step(Custody(), SEED)
    waiting, acts = step(going, m.ApprovalAsked(AT, AT + dt.timedelta(minutes=3)))
    assert acts == (m.AwaitApproval(),)
    late, acts = step(waiting, m.Approved(AT + dt.timedelta(minutes=4)))
    assert (late.standing, acts) == (Standing.UNSEEDED, ())


def test_tokens_are_not_changed_while_a_person_logs_in() -> None:
    going, _ = step(ACTIVE, SEED)
    with pytest.raises(Refused):
        step(going, m.RefreshAsked(AT))
    with pytest.raises(Refused):
        step(going, SEED)


def test_a_login_that_fails_while_tokens_wait_lets_them_wait_on() -> None:
    waiting, _ = step(replace(ACTIVE, standing=Standing.REFRESHING, held=2, sent=1), m.StoreFailed(AT, "full"))
    going, _ = step(waiting, SEED)
    after, _ = step(going, m.LoginFailed(AT, "no"))
    assert (after.standing, after.held) == (Standing.REFRESHING, 2)  # the keeper goes on with it at once


def test_a_token_that_is_spent_is_told_of_even_where_the_vault_was_away_then() -> None:
    spent, _ = step(replace(ACTIVE, standing=Standing.REFRESHING, sent=1), m.GrantWasRefused(AT, "it is spent"))
    away, _ = step(spent, m.VaultGone(AT, "the vault is away"))
    assert step(away, found(1, 1))[0].reason == "it is spent"


@pytest.mark.parametrize(
    ("before", "there", "heals"),
    [
        pytest.param({}, found(1, 1), True, id="they are back"),
        pytest.param({}, found(1, 0), False, id="one of them"),
        pytest.param({"spent": True}, found(1, 1), False, id="the broker refused them"),
        pytest.param({"sent": 2}, found(1, 1), False, id="nobody knows what came of them"),
        pytest.param({"seq": 2}, found(1, 1), False, id="older ones"),
        pytest.param({"seq": 0}, found(0, 0), False, id="there never were any"),
    ],
)
def test_tokens_that_were_gone_from_the_vault_for_a_while_are_good_again(
    before: dict[str, int], there: m.Found, heals: bool
) -> None:
    broken = replace(ACTIVE, standing=Standing.BROKEN, **before)  # type: ignore[arg-type]
    after, acts = step(broken, there)
    assert (after.standing == Standing.ACTIVE, m.Tell() in acts) == (heals, heals)


def test_an_adopted_pair_stands_since_then() -> None:
    later = AT + dt.timedelta(days=30)
    after, _ = step(ACTIVE, replace(found(3, 3), at=later))
    assert after.since == later
