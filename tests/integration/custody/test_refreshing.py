"""Refreshing: one request whoever asks, the newest pair never lost, and a person paged where he alone can help."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quaestor.custody.machine import Custody, Standing
from quaestor.custody.tokens import RefreshGrant
from quaestor.doors.robinhood_login import RobinhoodLogin
from quaestor.doors.sim.faults import Fault
from quaestor.errors import AccessLost, ChainBroken, LeaseHeld, QuaestorError, Temporary, VaultAway, VaultRefused
from quaestor.operations.custody.refreshing import refresh
from quaestor.operations.custody.seeding import seed
from quaestor.operations.custody.watching import Keeper
from tests.logins import ALIAS, House, together

TOKEN = "/oauth2/token/"
ROOT = Path(__file__).resolve().parents[3]


def numbers(house: House) -> tuple[int, int]:
    """Of refresh token and access token, as the vault has them."""
    grant = RefreshGrant.read(house.vault.get(house.names.refresh).value)
    return grant.seq, house.token().seq


async def test_new_tokens_take_the_place_of_the_old(home: House) -> None:
    old = home.token()
    custody = await refresh(home.custodian(), 1)
    assert (custody.standing, custody.seq) == (Standing.ACTIVE, 2)
    assert numbers(home) == (2, 2)
    assert home.works()
    assert home.server.auth.bearer(old.value) is None
    assert home.vault.versions(home.names.access)[0].expires_at == home.token().expires_at


async def test_a_newer_pair_in_the_vault_is_adopted_and_nothing_is_sent(home: House) -> None:
    """Another database's refresher made it: this one only knows the vault."""
    of = home.custodian()
    before = await of.store.load(ALIAS)
    await refresh(of, 1)
    await home.database.fetch(b"update auth set seq = 1 returning 1")
    home.server.requests.clear()
    custody = await refresh(of, 1)
    assert (custody.standing, custody.seq, before.seq) == (Standing.ACTIVE, 2, 1)
    assert home.posts() == 0


async def test_a_lost_reply_is_asked_for_once_more_and_breaks_the_chain_where_the_token_was_spent(home: House) -> None:
    home.server.faults[:] = [Fault("lost", path=TOKEN, times=1)]
    custody = await refresh(home.custodian(), 1)
    assert custody.standing == Standing.BROKEN
    assert home.posts() == 2
    assert home.pages() == ["main: the login is broken"]
    assert "quaestor auth seed" in home.alerts()[-1]["body"]
    assert (await refresh(home.custodian(), 1)).standing == Standing.BROKEN
    assert home.posts() == 2  # a token that was refused is not sent again
    assert len(home.pages()) == 1


async def test_a_lost_reply_costs_nothing_where_robinhood_gives_it_again(home: House) -> None:
    home.server.auth.grace = dt.timedelta(minutes=1)
    home.server.faults[:] = [Fault("lost", path=TOKEN, times=1)]
    custody = await refresh(home.custodian(), 1)
    assert (custody.standing, custody.seq, home.works()) == (Standing.ACTIVE, 2, True)


@pytest.mark.parametrize("kind", ["status", "html", "truncated"])
async def test_an_answer_that_nobody_can_read_before_the_token_was_spent_is_asked_for_again(
    home: House, kind: Any
) -> None:
    home.server.faults[:] = [Fault(kind, path=TOKEN, times=1)]
    custody = await refresh(home.custodian(), 1)
    if kind == "truncated":  # the work was done
        assert custody.standing == Standing.BROKEN
    else:
        assert (custody.standing, custody.seq) == (Standing.ACTIVE, 2)
    assert home.posts() == 2


@pytest.mark.parametrize("kind", ["drip", "hang"])
async def test_an_answer_that_does_not_end_is_waited_for_no_longer_than_twice_the_timeout(
    home: House, kind: Any
) -> None:
    home.server.faults[:] = [Fault(kind, path=TOKEN, times=1)]
    door = RobinhoodLogin(timeout=0.2, base_url=home.url)
    began = time.monotonic()
    await refresh(home.custodian(door=door), 1)
    assert time.monotonic() - began < 5
    assert home.posts() == 2


async def test_a_crash_between_request_and_vault_is_a_lost_reply(home: House) -> None:
    class Died(BaseException):
        pass

    def die(name: str) -> None:
        raise Died

    home.vault.on_set = die
    with pytest.raises(Died):
        await refresh(home.custodian(), 1)
    home.vault.on_set = str
    home.server.auth.grace = dt.timedelta(minutes=1)
    custody = await refresh(home.custodian("test:2:the next"), 1)
    assert (custody.standing, home.works()) == (Standing.ACTIVE, True)
    assert home.server.auth.refreshes == 1


async def test_a_crash_between_the_two_secrets_goes_on_with_the_one_that_is_stored(home: House) -> None:
    class Died(BaseException):
        pass

    def die(name: str) -> None:
        if name == home.names.access:
            raise Died

    home.vault.on_set = die
    with pytest.raises(Died):
        await refresh(home.custodian(), 1)
    assert numbers(home) == (2, 1)
    home.vault.on_set = str
    custody = await refresh(home.custodian("test:2:the next"), 1)
    assert (custody.seq, numbers(home), home.works()) == (3, (3, 3), True)


async def test_a_vault_that_is_away_before_keeps_the_token_unspent(home: House) -> None:
    home.vault.away_for.append("get")
    with pytest.raises(VaultAway):
        await refresh(home.custodian(), 1)
    assert home.posts() == 0
    home.vault.away_for.clear()
    home.clock.forward(seconds=30)
    assert (await refresh(home.custodian(), 1)).seq == 2


@pytest.mark.parametrize("what", ["set", "set rh-main-access"], ids=["at the first secret", "at the second"])
async def test_a_vault_that_goes_away_afterwards_finds_the_pair_in_the_spool(home: House, what: str) -> None:
    of = home.custodian()
    home.vault.away_for.append(what)
    with pytest.raises(VaultAway, match="nothing is lost"):
        await refresh(of, 1)
    assert home.pages() == ["main: new tokens wait for the vault"]
    (row,) = await home.sql("select * from auth_spool")
    assert "eyJ" not in str(row)
    posts = home.posts()
    keeper = Keeper(home.custodian("test:2:a keeper"))
    with pytest.raises(VaultAway):
        await refresh(of, 1)
    assert len(home.pages()) == 1
    home.vault.away_for.clear()
    home.clock.forward(minutes=1)
    await keeper.look()
    assert (numbers(home), home.works(), home.posts()) == ((2, 2), True, posts)
    assert await home.sql("select * from auth_spool") == []


async def test_two_refreshers_at_once_send_one_request(home: House) -> None:
    async def one(who: str) -> Custody | QuaestorError:
        try:
            return await refresh(home.custodian(who), 1, wait_seconds=5)
        except QuaestorError as error:
            return error

    done = await asyncio.gather(*(one(f"test:{n}:refresher") for n in range(3)))
    assert {each.seq for each in done if isinstance(each, Custody)} == {2}
    assert home.posts() == 1


async def test_a_refresher_that_slept_past_its_lease_writes_nothing_and_breaks_nothing(home: House) -> None:
    """It wakes with a token that its successor has spent: what it hears then is not the truth any more."""
    of = home.custodian("test:1:the sleeper")
    real = of.door.refresh

    class Sleeper:
        def __getattr__(self, name: str) -> Any:
            return getattr(of.door, name)

        def refresh(self, grant: RefreshGrant) -> Any:
            asyncio.run_coroutine_threadsafe(overtake(), loop).result(20)
            return real(grant)

    async def overtake() -> None:
        await home.database.fetch(b"update lease set expires_at = now() - interval '1 s' returning 1")
        await refresh(home.custodian("test:2:the successor"), 1)

    loop = asyncio.get_running_loop()
    with pytest.raises(LeaseHeld):
        await refresh(home.custodian("test:1:the sleeper", door=Sleeper()), 1)
    custody = await of.store.load(ALIAS)
    assert (custody.standing, custody.seq) == (Standing.ACTIVE, 2)
    assert home.works()
    assert home.pages() == []


async def test_a_throttled_refresh_is_tried_again_when_robinhood_said(home: House) -> None:
    home.server.faults[:] = [
        Fault("status", path=TOKEN, status=429, times=1, headers={"Retry-After": "300"}),
    ]
    of = home.custodian()
    with pytest.raises(Temporary):
        await refresh(of, 1)
    keeper = Keeper(of)
    await of.store.ask(ALIAS, 1, "a component")
    home.clock.forward(seconds=100)
    await keeper.look()
    assert home.posts() == 1
    home.clock.forward(seconds=250)
    assert (await keeper.look()).seq == 2


# ── those who ask the broker ──────────────────────────────────────────────────────────────────────────────────────────


def test_errors_say_that_lost_access_is_no_harm() -> None:
    assert issubclass(AccessLost, Temporary)


async def test_fifty_components_that_are_refused_at_once_make_one_request(home: House) -> None:
    """Thirty threads of one process, and twenty that each have a vault and a database of their own."""
    shared = home.access()
    alone = [home.access() for _ in range(20)]
    token = await asyncio.to_thread(shared.current)
    home.server.auth.revoke()
    keeper, ending = Keeper(home.custodian()), asyncio.Event()
    keeping = asyncio.create_task(keeper.run(ending, every=0.05))
    seats = iter([shared] * 30 + alone)

    def component() -> int:
        access = next(seats)
        got = access.after(token)
        for _ in range(200):
            if got is not None:
                return got.seq
            time.sleep(0.05)
            got = access.after(token)
        return 0

    got = await asyncio.to_thread(together, 50, component)
    ending.set()
    await keeping
    assert got == [2] * 50
    assert home.server.auth.refreshes == 1
    assert home.posts() == 1
    assert home.works()


async def test_one_reading_of_the_vault_serves_all_threads_that_are_refused(home: House) -> None:
    access = home.access()
    token = await asyncio.to_thread(access.current)
    home.vault.reads = 0
    assert await asyncio.to_thread(together, 40, lambda: access.after(token)) == [None] * 40
    assert home.vault.reads == 1
    assert len(await home.sql("select * from auth_request")) == 1


PROCESS = """
import asyncio, sys
from pathlib import Path
from quaestor.config import RobinhoodSection
from quaestor.operations.custody.refreshing import refresh
from quaestor.wiring import alerts, custodian, vault
from quaestor.doors.postgres.database import Database
async def main():
    url, uri, folder = sys.argv[1:4]
    async with Database(uri) as database:
        said = RobinhoodSection(base_url=url)
        of = custodian(database, vault(Path(folder)), "main", "main", said, alerts(Path(folder)))
        print("ready", flush=True)
        sys.stdin.readline()
        print((await refresh(of, 1, wait_seconds=10)).seq)
asyncio.run(main())
"""


async def test_processes_that_refresh_at_once_send_one_request(home: House) -> None:
    """Two processes and this one, wired as the command line wires them."""
    arguments = [sys.executable, "-c", PROCESS, home.url, home.database.uri, str(home.folder)]
    running = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(2)
    ]
    for one in running:
        assert one.stdout is not None
        assert await asyncio.to_thread(one.stdout.readline) == "ready\n"
    told = (asyncio.to_thread(one.communicate, "go\n", 30) for one in running)
    *done, ours = await asyncio.gather(*told, refresh(home.custodian(), 1, wait_seconds=10))
    assert [out.strip() for out, _ in done] == ["2", "2"]
    assert ours.seq == 2
    assert home.posts() == 1


async def test_a_vault_that_is_away_leaves_the_token_that_is_known(home: House) -> None:
    now = [0.0]
    access = home.access(clock=lambda: now[0])
    token = await asyncio.to_thread(access.current)
    home.vault.away_for.append("get")
    now[0] = 1000.0
    assert await asyncio.to_thread(access.current) == token
    with pytest.raises(VaultAway):
        home.access().current()


async def test_a_token_is_kept_for_a_minute_and_then_read_again(home: House) -> None:
    now = [0.0]
    access = home.access(clock=lambda: now[0])
    assert (await asyncio.to_thread(access.current)).seq == 1
    await refresh(home.custodian(), 1)
    now[0] = 60.0
    assert (await asyncio.to_thread(access.current)).seq == 1
    now[0] = 120.0
    assert (await asyncio.to_thread(access.current)).seq == 2


# ── ends and faults at the wrong moment ───────────────────────────────────────────────────────────────────────────────


class Waylaid:
    """The door, where something happens once an answer is on its way."""

    def __init__(self, door: Any, happens: Callable[[], Any]) -> None:
        self._door, self._happens = door, happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._door, name)

    def refresh(self, grant: RefreshGrant) -> Any:
        got = self._door.refresh(grant)
        self._happens()
        return got


@pytest.mark.parametrize("times", [1, 3], ids=["once", "again and again, as a run that ends does"])
async def test_who_is_cancelled_while_the_answer_is_on_its_way_stores_it_first(home: House, times: int) -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()

    def on_its_way() -> None:
        loop.call_soon_threadsafe(asked.set)
        time.sleep(0.2)

    door = Waylaid(home.custodian().door, on_its_way)
    going = asyncio.ensure_future(refresh(home.custodian(door=door), 1))
    await asked.wait()
    for _ in range(times):
        going.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await going
    assert (numbers(home), home.works()) == ((2, 2), True)
    assert (await home.custodian().store.load(ALIAS)).standing == Standing.ACTIVE
    assert (await home.sql("select holder from lease where account = 'auth-main'"))[0]["holder"] in {None, ""}


async def test_who_is_cancelled_while_a_pair_is_held_goes_once_it_is_stored(home: House) -> None:
    home.vault.away_for.append("set")
    going: asyncio.Task[Any]

    def cancel() -> None:
        going.cancel()

    def back() -> None:
        home.vault.away_for.clear()

    home.clock.while_asleep += [cancel, back]
    going = asyncio.ensure_future(refresh(home.custodian(), 1))
    with pytest.raises(asyncio.CancelledError):
        await going
    assert (numbers(home), home.works()) == ((2, 2), True)


async def test_who_is_cancelled_before_anything_is_sent_goes_at_once(home: House) -> None:
    home.vault.on_get = lambda: time.sleep(0.1)
    going = asyncio.ensure_future(refresh(home.custodian(), 1))
    await asyncio.sleep(0.05)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert home.posts() == 0


async def test_a_fault_that_no_door_should_raise_does_not_cost_the_pair(home: House) -> None:
    """Such as a keyring's own error, or a file system's."""

    def fail(name: str) -> None:
        raise OSError(5, "eyJ-no-word-of-this")

    home.vault.on_set = fail
    with pytest.raises(VaultAway, match="nothing is lost"):
        await refresh(home.custodian(), 1)
    assert "no-word-of-this" not in str(await home.sql("select * from auth_event")) + str(home.alerts())
    home.vault.on_set = str
    posts = home.posts()
    home.clock.forward(minutes=1)
    await Keeper(home.custodian()).look()
    assert (numbers(home), home.posts()) == ((2, 2), posts)


async def test_a_sleeper_that_wakes_with_tokens_writes_over_nothing_that_a_person_seeded(home: House) -> None:
    loop = asyncio.get_running_loop()
    successor = home.custodian("test:2:a person")

    async def seeded() -> None:
        await home.database.fetch(b"update lease set expires_at = now() - interval '1 s' returning 1")
        home.server.auth.approvals.required = False
        await seed(successor, home.login())
        home.server.auth.approvals.required = True

    door = Waylaid(successor.door, lambda: asyncio.run_coroutine_threadsafe(seeded(), loop).result(20))
    with pytest.raises(LeaseHeld):
        await refresh(home.custodian("test:1:the sleeper", door=door), 1)
    custody = await successor.store.load(ALIAS)
    assert (custody.standing, custody.seq, numbers(home), home.works()) == (Standing.ACTIVE, 3, (3, 3), True)
    assert (await refresh(successor, 3)).seq == 4


async def test_a_spool_key_that_is_missing_is_made_before_a_token_is_spent(home: House) -> None:
    home.vault.delete(home.names.spool)
    home.vault.recover(home.names.spool)
    home.vault.set(home.names.spool, "no key at all")
    home.vault.away_for.append("set")
    with pytest.raises(VaultAway):
        await refresh(home.custodian(), 1)
    assert home.posts() == 0  # what comes could have been kept nowhere
    home.vault.away_for[:] = ["set rh-main-refresh"]
    home.clock.forward(minutes=1)
    with pytest.raises(VaultAway, match="nothing is lost"):
        await refresh(home.custodian(), 1)
    home.vault.away_for.clear()
    assert (await refresh(home.custodian(), 1)).seq == 2


async def test_a_spooled_pair_whose_key_is_lost_breaks_the_chain_and_a_login_heals_it(home: House) -> None:
    home.vault.away_for.append("set rh-main-refresh")
    with pytest.raises(VaultAway):
        await refresh(home.custodian(), 1)
    home.vault.away_for.clear()
    home.vault.set(home.names.spool, home.custodian().sealing.new_key())
    assert (await refresh(home.custodian(), 1)).standing == Standing.BROKEN
    home.server.auth.approvals.required = False
    assert (await seed(home.custodian(), home.login())).standing == Standing.ACTIVE
    assert await home.sql("select * from auth_spool") == []
    assert home.works()


async def test_a_secret_that_was_deleted_and_recovered_needs_no_new_login(home: House) -> None:
    home.vault.delete(home.names.refresh)
    assert (await refresh(home.custodian(), 1)).standing == Standing.BROKEN
    home.vault.recover(home.names.refresh)
    custody = await refresh(home.custodian(), 1)
    assert (custody.standing, custody.seq, home.posts()) == (Standing.ACTIVE, 1, 0)


async def test_an_adopted_pair_is_not_due_because_the_one_before_it_was(home: House) -> None:
    """A person seeded on another machine, a week after this one adopted the pair before."""
    await refresh(home.custodian(), 1)
    old = home.token()
    await home.database.fetch(
        b"update auth set seq = 1, last_refresh_at = null, since = now() - interval '30 days' returning 1"
    )
    custody = await refresh(home.custodian(), 1)
    due = await home.custodian().due(custody)
    assert due is not None
    assert due.at > home.clock.now() + (old.expires_at - home.clock.now()) / 3


async def test_a_wait_beyond_belief_is_no_wait_for_ever(home: House) -> None:
    told = {"Retry-After": "9" * 30}
    home.server.faults[:] = [Fault("status", path=TOKEN, status=429, times=1, headers=told)]
    with pytest.raises(Temporary):
        await refresh(home.custodian(), 1)
    custody = await home.custodian().store.load(ALIAS)
    assert custody.again_at is not None
    assert custody.again_at <= home.clock.now() + dt.timedelta(days=1)


async def test_a_token_that_ends_as_it_begins_is_not_changed_in_a_circle(home: House) -> None:
    await refresh(home.custodian(), 1)
    await home.database.fetch(b"update auth set expires_at = issued_at returning 1")
    keeper = Keeper(home.custodian())
    for _ in range(5):
        assert (await keeper.look()).seq == 2
        home.clock.forward(seconds=2)


async def test_a_login_s_number_is_above_any_that_was_refused(home: House) -> None:
    """Books and vault were lost or restored, and what runs still holds a token of then: it takes the new one."""
    of = home.custodian()
    await of.store.ask(ALIAS, 40, "what runs since then")
    home.server.auth.approvals.required = False
    custody = await seed(of, home.login())
    home.clock.forward(hours=1)
    assert ((await Keeper(of).look()).seq, custody.seq, home.posts()) == (41, 41, 1)


@pytest.mark.parametrize("damage", ["{}", "swordfish"])
async def test_a_damaged_access_token_is_mended_while_who_runs_goes_on_with_the_one_he_has(
    home: House, damage: str
) -> None:
    now = [0.0]
    access = home.access(clock=lambda: now[0])
    token = await asyncio.to_thread(access.current)
    home.vault.set(home.names.access, damage)
    now[0] = 1000.0
    assert await asyncio.to_thread(access.current) == token
    assert await asyncio.to_thread(access.after, token) is None
    home.clock.forward(hours=1)
    assert (await Keeper(home.custodian()).look()).seq == 2
    now[0] = 2000.0
    got = await asyncio.to_thread(access.current)
    assert (got.seq, home.works()) == (2, True)


async def test_a_damaged_access_token_is_told_to_who_has_none(home: House) -> None:
    home.vault.set(home.names.access, "swordfish")
    with pytest.raises(ChainBroken) as broken:
        await asyncio.to_thread(home.access().current)
    assert "swordfish" not in str(broken.value)


async def test_a_vault_that_refuses_for_a_while_leaves_the_token_that_is_known(home: House) -> None:
    """As Azure does for some minutes when roles are changed."""

    def refuse() -> None:
        raise VaultRefused("The role is missing.")

    now = [0.0]
    access = home.access(clock=lambda: now[0])
    token = await asyncio.to_thread(access.current)
    home.vault.on_get, now[0] = refuse, 1000.0
    assert await asyncio.to_thread(access.current) == token
    with pytest.raises(VaultRefused):
        await asyncio.to_thread(home.access().current)
