"""Watching: tokens are changed in time, and a broken login pages until it is healed, without a restart."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from quaestor.custody.login import Login
from quaestor.custody.machine import Standing
from quaestor.custody.policy import quiet
from quaestor.doors.sim.robinhood import Person
from quaestor.errors import ChainBroken
from quaestor.operations.custody.seeding import seed
from quaestor.operations.custody.watching import Keeper
from tests.logins import ALIAS, House

AT = dt.time(20, 30)


def to_quiet(home: House, *, wanted: bool = True) -> None:
    """The clock goes on to the next quiet hour, or the next that is none."""
    while quiet(home.clock.now(), AT) != wanted:
        home.clock.forward(minutes=30)


async def test_tokens_are_changed_at_half_of_their_life_in_a_quiet_hour(home: House) -> None:
    keeper = Keeper(home.custodian())
    to_quiet(home)
    assert (await keeper.look()).seq == 1
    home.clock.forward(days=3, hours=1)
    to_quiet(home, wanted=False)
    assert (await keeper.look()).seq == 1
    to_quiet(home)
    assert (await keeper.look()).seq == 2
    assert (await keeper.look()).seq == 2
    assert home.server.auth.refreshes == 1
    assert home.pages() == []


async def test_working_orders_put_it_off_while_another_window_comes_in_time(home: House) -> None:
    async def working() -> bool:
        return True

    keeper = Keeper(home.custodian(working=working))
    home.clock.forward(days=3, hours=1)
    to_quiet(home)
    assert (await keeper.look()).seq == 1
    while (await keeper.look()).seq == 1:
        home.clock.forward(hours=1)
        assert home.clock.now() < home.token().expires_at
    assert home.pages() == ["main: tokens are changed at a bad time"]


async def test_a_token_that_is_refused_is_changed_at_once_and_never_twice_in_a_moment(home: House) -> None:
    of = home.custodian()
    keeper = Keeper(of)
    home.clock.forward(hours=1)
    await of.store.ask(ALIAS, 1, "a component")
    assert (await keeper.look()).seq == 2
    await of.store.ask(ALIAS, 2, "a component")
    assert (await keeper.look()).seq == 2
    home.clock.forward(seconds=21)
    assert (await keeper.look()).seq == 3
    assert home.pages() == ["main: new tokens are refused"]


async def test_a_broken_chain_pages_at_once_and_what_runs_goes_on_when_a_person_has_acted(home: House) -> None:
    access = home.access(clock=lambda: home.clock.now().timestamp())
    token = await asyncio.to_thread(access.current)
    keeper, ending = Keeper(home.custodian()), asyncio.Event()
    keeping = asyncio.create_task(keeper.run(ending, every=0.02))
    home.server.auth.break_chains()
    assert await asyncio.to_thread(access.after, token) is None
    async with asyncio.timeout(5):
        while not home.pages():
            await asyncio.sleep(0.02)
    assert home.pages() == ["main: the login is broken"]
    assert home.posts() == 1
    await seed(home.custodian("test:2:a person"), home.login())
    newer = await asyncio.to_thread(access.after, token)
    ending.set()
    await keeping
    assert newer is not None
    assert home.server.auth.bearer(newer.value) is not None
    assert [line["title"] for line in home.alerts()][-1] == "main: the login works again"


async def test_a_person_is_reminded_until_he_acts(home: House) -> None:
    home.server.auth.break_chains()
    of = home.custodian()
    keeper = Keeper(of)
    await of.store.ask(ALIAS, 1, "a component")
    assert (await keeper.look()).standing == Standing.BROKEN
    for _ in range(3):
        await keeper.look()
    assert len(home.pages()) == 1
    home.clock.forward(minutes=31)
    await keeper.look()
    assert len(home.pages()) == 2
    assert home.posts() == 1


async def test_a_login_that_waits_for_a_person_is_left_alone(home: House) -> None:
    keeper = Keeper(home.custodian("test:2:a keeper"))
    home.server.auth.approvals.does = "approve"
    home.server.auth.break_chains()
    stood = []

    async def look() -> None:
        stood.append((await keeper.look()).standing)

    home.clock.while_asleep.append(look)
    await seed(home.custodian(), home.login())
    assert stood == [Standing.AWAITING_APPROVAL]


async def test_a_refused_token_with_a_vault_away_is_told_of_within_a_minute(home: House) -> None:
    of = home.custodian()
    keeper = Keeper(of)
    home.clock.ahead = dt.timedelta()
    await of.store.ask(ALIAS, 1, "a component")
    home.vault.away_for.append("get")
    for _ in range(60):
        home.clock.forward(seconds=1)
        await keeper.look()
    assert home.pages() == ["main: no access to Robinhood"]
    assert home.posts() == 0
    home.vault.away_for.clear()
    home.clock.forward(seconds=15)
    assert (await keeper.look()).seq == 2


async def test_nobody_is_paged_where_nobody_ever_logged_in(empty: House) -> None:
    assert (await Keeper(empty.custodian()).look()).standing == Standing.UNSEEDED
    with pytest.raises(ChainBroken, match="Nobody has logged in"):
        empty.access().current()
    assert empty.pages() == []


@pytest.mark.parametrize("days", [30, -30], ids=["ahead", "behind"])
async def test_a_clock_that_is_wrong_by_a_month_changes_tokens_once_at_most_and_then_in_time(
    empty: House, days: int
) -> None:
    home, server, ours = empty, dt.timedelta(), dt.timedelta(days=days)
    home.server.clock = lambda: dt.datetime.now(dt.UTC) + server
    home.server.auth.approvals.required = False
    of = home.custodian(now=lambda: home.server.clock() + ours)
    home.server.people.append(Person("plain@example.com", "another horse", ""))  # whose codes need no clock
    await seed(of, Login("plain@example.com", "another horse"))
    keeper = Keeper(of)
    for _ in range(5):
        await keeper.look()
    assert home.server.auth.refreshes <= 1
    for _ in range(20 * 24):
        server += dt.timedelta(hours=1)
        await keeper.look()
        assert home.works()
    assert 3 <= home.server.auth.refreshes <= 8


async def test_a_damaged_secret_is_a_broken_login(home: House) -> None:
    home.vault.set(home.names.refresh, "{}")
    of = home.custodian()
    await of.store.ask(ALIAS, 1, "a component")
    assert (await Keeper(of).look()).standing == Standing.BROKEN
    assert home.posts() == 0
    assert home.pages() == ["main: the login is broken"]
    assert (await seed(of, home.login())).standing == Standing.ACTIVE


async def test_a_vault_that_stays_away_when_tokens_are_due_is_told_of_while_there_is_time(home: House) -> None:
    keeper = Keeper(home.custodian())
    home.clock.forward(days=3, hours=1)
    to_quiet(home)
    home.vault.away_for.append("get")
    for _ in range(12):
        await keeper.look()
        home.clock.forward(minutes=1)
    assert home.pages() == ["main: tokens cannot be changed"]
    assert home.posts() == 0


async def test_the_books_of_a_chain_that_is_broken_for_days_tell_when_and_why(home: House) -> None:
    of = home.custodian()
    home.server.auth.break_chains()
    await of.store.ask(ALIAS, 1, "a component")
    keeper = Keeper(of)
    assert (await keeper.look()).standing == Standing.BROKEN
    before = len(await home.sql("select 1 from auth_event"))
    for _ in range(6):
        home.clock.forward(minutes=1)
        await keeper.look()
    assert len(await home.sql("select 1 from auth_event")) == before
    assert any("broken" in event.now for event in await of.store.events(ALIAS, 5))


async def test_a_fault_of_our_own_ends_no_live_run_and_a_person_hears_of_it_without_its_words(
    home: House, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing:
        def __getattr__(self, name: str) -> Any:
            raise ValueError("eyJ-a-token")

    home.clock.forward(hours=1)
    of = home.custodian(store=Failing())
    keeper, ending = Keeper(of), asyncio.Event()
    keeping = asyncio.create_task(keeper.run(ending, every=0.01))
    while not home.pages() and not keeping.done():
        await asyncio.sleep(0.02)
        home.clock.forward(minutes=6)
    assert not keeping.done()
    ending.set()
    await keeping
    assert home.pages() == ["main: tokens cannot be changed"]
    assert "ValueError, test_watching.py" in home.alerts()[-1]["body"]
    assert "eyJ-a-token" not in caplog.text + str(home.alerts())
