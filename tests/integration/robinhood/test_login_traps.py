"""The traps of robin_stocks' login: the plain library falls into each, our custody does not.

Its own state of a login is a pickle in a folder; ours is the vault's. Time is skipped in both.
"""

from __future__ import annotations

import builtins
import getpass
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyotp
import pytest

from quaestor.custody.machine import Standing
from quaestor.custody.tokens import RefreshGrant
from quaestor.doors.postgres.database import Database
from quaestor.doors.sim.faults import Fault
from quaestor.errors import LoginRefused, LoginThrottled
from quaestor.operations.custody.seeding import enter_code, seed
from tests.integration.robinhood.plain import Plain, plain
from tests.logins import PERSON, House, house


class Stopped(BaseException):
    """No `except Exception` of the library's catches it."""


@pytest.fixture
def home(tmp_path: Path, database: Database) -> Iterator[House]:
    with house(tmp_path, database) as found:
        yield found


@pytest.fixture
def theirs(home: House) -> Iterator[Plain]:
    with plain(home.url) as found:
        found["authentication"].time = SimpleNamespace(time=time.time, sleep=lambda _: None)
        yield found


@pytest.fixture
def their_login(theirs: Plain, tmp_path: Path) -> Any:
    """Their login with the right password, and a code for the second factor where the test names no other."""

    def log_in(**changes: Any) -> Any:
        told = {"username": PERSON.username, "password": PERSON.password}
        told |= {"mfa_code": pyotp.TOTP(PERSON.totp_seed).now(), "pickle_path": str(tmp_path / "tokens")}
        return theirs.rh.login(**(told | changes))

    return log_in


def pickled(tmp_path: Path) -> Path:
    return tmp_path / "tokens" / "robinhood.pickle"


def trusted_device(home: House) -> str:
    return RefreshGrant.read(home.vault.get(home.names.refresh).value).device_token


async def test_a_login_that_fails_loses_the_device_that_was_trusted(
    home: House, theirs: Plain, their_login: Any, tmp_path: Path
) -> None:
    assert their_login()
    assert pickled(tmp_path).stat().st_size > 0
    home.server.auth.revoke()
    assert their_login(password="wrong") is None
    assert pickled(tmp_path).stat().st_size == 0

    await seed(home.custodian(), home.login())
    device = trusted_device(home)
    with pytest.raises(LoginRefused):
        await seed(home.custodian(), home.login(password="wrong"))
    assert trusted_device(home) == device
    assert home.works(), "and the tokens that it had"


async def test_a_device_that_is_no_longer_trusted_can_never_be_approved_again(
    home: House, theirs: Plain, their_login: Any
) -> None:
    assert their_login()
    home.server.auth.break_chains()
    assert their_login() is None
    asked = [flow.device for flow in home.server.auth.approvals.asking]
    assert len(asked) == 2, "it was asked for the pickle's device, and went on with another"

    await seed(home.custodian(), home.login())
    home.server.auth.break_chains()
    assert (await seed(home.custodian(), home.login())).standing == Standing.ACTIVE


async def test_without_a_store_a_success_is_called_a_failure(
    home: House, theirs: Plain, their_login: Any, capsys: Any, tmp_path: Path
) -> None:
    assert their_login()
    assert their_login(store_session=False) is None
    assert (theirs["helper"].LOGGED_IN, pickled(tmp_path).exists()) == (True, False)
    assert "Login failed" in capsys.readouterr().out

    assert (await seed(home.custodian(), home.login())).standing == Standing.ACTIVE
    assert not list(tmp_path.rglob("*.pickle")), "no file holds a token"


async def test_a_second_factor_that_is_asked_for_is_not_understood(
    home: House, their_login: Any, theirs: Plain
) -> None:
    assert their_login(mfa_code=None) is None

    of = home.custodian()
    home.clock.while_asleep.append(lambda: enter_code(of, pyotp.TOTP(PERSON.totp_seed).now()))
    home.server.auth.approvals.required = False
    assert (await seed(of, home.login(totp=""))).standing == Standing.ACTIVE


async def test_a_prompt_that_nobody_answers_is_asked_for_for_ever(home: House, their_login: Any, theirs: Plain) -> None:
    home.server.auth.approvals.does = "never"
    sleeps = [0]

    def sleep(_: float) -> None:
        sleeps[0] += 1
        if sleeps[0] > 40:
            raise Stopped

    theirs["authentication"].time = SimpleNamespace(time=time.time, sleep=sleep)
    with pytest.raises(Stopped):
        their_login()

    began = home.clock.now()
    with pytest.raises(LoginRefused, match="Nobody approved the login within 180 s"):
        await seed(home.custodian(), home.login())
    assert (home.clock.now() - began).total_seconds() < 200


async def test_a_throttled_look_at_the_prompt_is_a_programmers_error(
    home: House, their_login: Any, theirs: Plain, capsys: Any
) -> None:
    home.server.faults[:] = [Fault("status", path="/push/", status=429, headers={"Retry-After": "3600"})]
    assert their_login() is None
    assert "'NoneType' object is not subscriptable" in capsys.readouterr().out

    with pytest.raises(LoginThrottled) as told:
        await seed(home.custodian(), home.login())
    assert told.value.retry_after == 3600
    assert (home.posts(), len(home.server.auth.approvals.asking)) == (2, 2), "one login of theirs, one of ours"


async def test_codes_and_passwords_are_asked_for_on_stdin(
    home: House, their_login: Any, theirs: Plain, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(words: str = "") -> str:
        asked.append(words)
        raise EOFError

    monkeypatch.setattr(builtins, "input", ask)
    monkeypatch.setattr(getpass, "getpass", ask)
    home.server.auth.approvals.kind = "sms"
    assert their_login() is None
    with pytest.raises(EOFError):
        their_login(username=None)
    with pytest.raises(EOFError):
        their_login(password=None)
    assert len(asked) == 3

    of = home.custodian()
    home.clock.while_asleep.append(lambda: enter_code(of, "123456"))
    assert (await seed(of, home.login())).standing == Standing.ACTIVE
    assert len(asked) == 3, "ours asks nobody there"


async def test_what_its_login_prints_cannot_be_turned_off(
    home: House, their_login: Any, theirs: Plain, capsys: Any
) -> None:
    assert their_login()
    assert "Starting login process" in capsys.readouterr().out
    assert theirs.said.getvalue() == "", "where it was told to print"

    await seed(home.custodian(), home.login())
    assert capsys.readouterr().out == ""


async def test_a_logout_leaves_the_token_alive(home: House, their_login: Any, theirs: Plain) -> None:
    """Ours has none: a token that is to end is ended in Robinhood's app, and that is heard of at the next request."""
    token = their_login()["access_token"]
    theirs.rh.logout()
    assert home.server.auth.bearer(token) is not None

    await seed(home.custodian(), home.login())
    access = home.access()
    shown = access.current()
    home.server.auth.revoke()
    assert access.after(shown) is None, "nothing newer: the refresher is told"


async def test_the_file_of_tokens_is_for_everybodys_eyes(
    home: House, their_login: Any, theirs: Plain, tmp_path: Path
) -> None:
    their_login()
    token = theirs.session.headers["Authorization"].split()[1].encode()
    assert pickled(tmp_path).stat().st_mode & 0o044
    assert token in pickled(tmp_path).read_bytes()
    pickled(tmp_path).unlink()

    await seed(home.custodian(), home.login())
    mine = home.token().value.encode()
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and mine in file.read_bytes()]


async def test_how_long_a_token_lives_is_what_was_asked_for(home: House, their_login: Any, theirs: Plain) -> None:
    their_login()
    assert their_login(expiresIn=5)["expires_in"] == 5, "out of the pickle: nobody was asked"

    custody = await seed(home.custodian(), home.login())
    assert custody.expires_at == home.token().expires_at
