"""Seeding: one login, one approval, one deadline, and no second attempt by itself."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from quaestor.custody.login import Login
from quaestor.custody.machine import Standing
from quaestor.custody.tokens import RefreshGrant
from quaestor.doors.sim.faults import Fault
from quaestor.errors import (
    BadInput,
    LeaseHeld,
    LoginRefused,
    LoginThrottled,
    NotFound,
    QuaestorError,
    Temporary,
    VaultAway,
)
from quaestor.operations.custody.importing import import_session
from quaestor.operations.custody.refreshing import CURES, refresh
from quaestor.operations.custody.seeding import enter_code, seed
from tests.logins import ALIAS, PERSON, House


async def test_a_person_taps_on_his_phone_and_the_tokens_are_in_the_vault(empty: House) -> None:
    said: list[str] = []
    custody = await seed(empty.custodian(), empty.login(), tells=said.append)
    assert (custody.standing, custody.seq) == (Standing.ACTIVE, 1)
    assert empty.works()
    assert empty.posts() == 2  # one login before the approval, the same after it
    assert any("app" in line for line in said)
    states = [row["state"] for row in await empty.sql("select state from auth_event order by number")]
    assert list(dict.fromkeys(states)) == ["seeding", "awaiting_approval", "active"] or states[-1] == "active"


async def test_the_login_in_the_vault_is_taken_where_none_is_typed(empty: House) -> None:
    with pytest.raises(NotFound, match="rh-main-login"):
        await seed(empty.custodian())
    empty.vault.set(empty.names.login, empty.login().as_text())
    assert (await seed(empty.custodian())).standing == Standing.ACTIVE


@pytest.mark.parametrize("kind", ["sms", "email"])
async def test_a_code_reaches_the_login_from_another_terminal(empty: House, kind: Any) -> None:
    empty.server.auth.approvals.kind = kind
    of = empty.custodian()

    async def typed() -> None:
        await enter_code(empty.custodian("another:1:terminal"), "000000")  # mistyped
        empty.clock.while_asleep.append(lambda: enter_code(of, " 123456 "))

    empty.clock.while_asleep.append(typed)
    said: list[str] = []
    assert (await seed(of, empty.login(), tells=said.append)).standing == Standing.ACTIVE
    assert any("refuses that code" in line for line in said)
    assert await empty.sql("select * from auth_code") == []


async def test_a_code_lies_encrypted_in_the_database_and_only_while_a_login_waits(empty: House) -> None:
    empty.server.auth.approvals.kind = "sms"
    of, rows = empty.custodian(), list[dict[str, Any]]()

    async def look() -> None:
        await enter_code(of, "123456")
        rows.extend(await empty.sql("select * from auth_code"))

    with pytest.raises(BadInput, match="No login waits"):
        await enter_code(of, "123456")
    empty.clock.while_asleep.append(look)
    await seed(of, empty.login())
    assert len(rows) == 1
    assert "123456" not in str(rows)


async def test_an_authenticator_s_code_may_be_typed_too(empty: House) -> None:
    import pyotp

    empty.server.auth.approvals.required = False
    of, code = empty.custodian(), pyotp.TOTP(PERSON.totp_seed).now()
    empty.clock.while_asleep.append(lambda: enter_code(of, code))
    assert (await seed(of, empty.login(totp=""))).standing == Standing.ACTIVE
    assert empty.posts() == 2


@pytest.mark.parametrize(
    ("changes", "does", "said"),
    [
        pytest.param({"password": "wrong horse"}, "approve", "password", id="a wrong password"),
        pytest.param({"totp": "GEZDGNBVGY3TQOJQ"}, "approve", "TOTP", id="a wrong seed"),
        pytest.param({}, "refuse", "refused", id="he says no"),
        pytest.param({}, "never", "Nobody approved the login within 180 s", id="he never looks"),
    ],
)
async def test_a_login_that_is_refused_says_why_and_is_not_tried_again(
    empty: House, changes: dict[str, str], does: Any, said: str
) -> None:
    empty.server.auth.approvals.does = does
    began = empty.clock.now()
    with pytest.raises(LoginRefused, match=said) as refused:
        await seed(empty.custodian(), empty.login(**changes))
    assert empty.posts() == 1
    assert empty.clock.now() - began < dt.timedelta(seconds=200)
    assert PERSON.password not in str(refused.value)
    with pytest.raises(LoginThrottled):
        await seed(empty.custodian("test:2:another process"), empty.login())
    assert empty.posts() == 1
    empty.clock.forward(minutes=10)
    empty.server.auth.approvals.does = "approve"
    assert (await seed(empty.custodian(), empty.login())).standing == Standing.ACTIVE


async def test_who_looks_at_his_phone_after_the_deadline_is_too_late(empty: House) -> None:
    empty.server.auth.approvals.does = "never"
    empty.clock.while_asleep += [lambda: None] * 40
    with pytest.raises(LoginRefused):
        await seed(empty.custodian(), empty.login())
    polls = sum("/push/" in asked.path for asked in empty.server.requests)
    assert 10 < polls < 30  # each 8 s for 180 s: Robinhood throttles who looks more often


async def test_a_throttled_login_keeps_to_the_longer_wait(empty: House) -> None:
    empty.server.faults[:] = [Fault("status", path="/oauth2/token/", status=429, headers={"Retry-After": "3600"})]
    with pytest.raises(LoginThrottled) as throttled:
        await seed(empty.custodian(), empty.login())
    assert throttled.value.retry_after == 3600
    empty.server.faults.clear()
    empty.clock.forward(minutes=30)
    with pytest.raises(LoginThrottled):
        await seed(empty.custodian(), empty.login())
    assert empty.posts() == 1


async def test_a_login_whose_answer_is_lost_is_not_sent_again(empty: House) -> None:
    empty.server.faults[:] = [Fault("lost", path="/oauth2/token/", times=1)]
    with pytest.raises(Temporary):
        await seed(empty.custodian(), empty.login())
    assert empty.posts() == 1


async def test_nothing_is_counted_where_robinhood_cannot_be_reached(empty: House) -> None:
    from quaestor.doors.robinhood_login import RobinhoodLogin

    away = RobinhoodLogin(base_url="http://127.0.0.1:1")
    with pytest.raises(Temporary, match="Nothing was sent"):
        await seed(empty.custodian(door=away), empty.login())
    assert (await seed(empty.custodian(), empty.login())).standing == Standing.ACTIVE


@pytest.mark.parametrize("away", ["get", "set"])
async def test_a_vault_that_is_away_stops_the_login_before_it_is_sent(empty: House, away: str) -> None:
    empty.vault.away_for.append(away)
    with pytest.raises(VaultAway):
        await seed(empty.custodian(), empty.login())
    assert empty.posts() == 0


async def test_two_people_cannot_log_in_at_once(empty: House) -> None:
    errors: list[QuaestorError] = []

    async def another() -> None:
        try:
            await seed(empty.custodian("test:2:b"), empty.login(), wait_seconds=0)
        except QuaestorError as error:
            errors.append(error)

    empty.clock.while_asleep.append(another)
    await seed(empty.custodian(), empty.login())
    assert [type(error) for error in errors] == [LeaseHeld]
    assert empty.server.auth.logins == 1


async def test_a_known_device_needs_no_second_approval(home: House) -> None:
    device = RefreshGrant.read(home.vault.get(home.names.refresh).value).device_token
    custody = await seed(home.custodian(), home.login())
    assert custody.seq == 2
    assert home.posts() == 1
    assert RefreshGrant.read(home.vault.get(home.names.refresh).value).device_token == device


async def test_a_login_that_died_leaves_the_way_free_after_its_lease(empty: House) -> None:
    of = empty.custodian()

    class Died(BaseException):
        pass

    def die() -> None:
        raise Died

    empty.clock.while_asleep.append(die)
    with pytest.raises(Died):
        await seed(of, empty.login())
    assert (await of.store.load(ALIAS)).standing == Standing.AWAITING_APPROVAL
    with pytest.raises(LoginThrottled):
        await seed(of, empty.login())
    empty.clock.forward(minutes=11)
    assert (await seed(of, empty.login())).standing == Standing.ACTIVE


# ── a browser's session ───────────────────────────────────────────────────────────────────────────────────────────────


def session(house: House, **changes: Any) -> str:
    minted = house.server.auth.mint(PERSON, "5e0c6f3a-browser")
    return json.dumps({"read_only": False, **minted, "device_id": "5e0c6f3a-browser", **changes})


@pytest.mark.parametrize("wrapped", [False, True], ids=["as an object", "as a text in a text"])
async def test_a_browser_s_session_begins_a_chain(empty: House, wrapped: bool) -> None:
    text = session(empty)
    custody = await import_session(empty.custodian(), json.dumps(text) if wrapped else text)
    assert (custody.standing, custody.seq) == (Standing.ACTIVE, 1)
    assert empty.works()
    grant = RefreshGrant.read(empty.vault.get(empty.names.refresh).value)
    assert (grant.kind, grant.device_token) == ("import", "5e0c6f3a-browser")


async def test_a_session_that_robinhood_does_not_take_is_not_stored(empty: House) -> None:
    text = session(empty)
    empty.server.auth.revoke()
    with pytest.raises(LoginRefused, match="does not take"):
        await import_session(empty.custodian(), text)
    assert empty.names.access not in empty.vault.names()


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"access_token": "a.b.c"}', "eyJhbGciOi"])
async def test_what_is_no_session_is_refused_without_showing_it(empty: House, text: str) -> None:
    with pytest.raises(BadInput, match="web:auth_state") as refused:
        await import_session(empty.custodian(), text)
    assert "eyJ" not in str(refused.value)
    assert empty.server.requests == []


async def test_no_secret_is_in_the_books_of_a_login(empty: House) -> None:
    await seed(empty.custodian(), empty.login())
    text = ""
    for table in ("auth", "auth_event", "auth_request", "auth_spool", "auth_code"):
        text += str(await empty.sql(f"select * from {table}"))
    text += str(empty.alerts())
    for secret in (PERSON.password, PERSON.username, empty.token().value):
        assert secret not in text
    assert repr(Login("someone", "secret")) == "Login()"


async def test_who_imported_a_session_is_told_to_import_one_when_it_breaks(empty: House) -> None:
    of = empty.custodian()
    await import_session(of, session(empty))
    empty.server.auth.break_chains()
    assert (await refresh(of, 1)).cure == CURES["import"]
    assert "quaestor auth import" in empty.alerts()[-1]["body"]
