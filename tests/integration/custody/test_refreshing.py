"""Refreshing: one request whoever asks, the newest pair never lost, and a person paged where he alone can help."""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from quaestor.custody.machine import Custody, Standing
from quaestor.custody.tokens import RefreshGrant
from quaestor.doors.robinhood_login import RobinhoodLogin
from quaestor.doors.sim.faults import Fault
from quaestor.errors import AccessLost, LeaseHeld, QuaestorError, Temporary, VaultAway
from quaestor.operations.custody.refreshing import refresh
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
