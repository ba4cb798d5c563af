"""`quaestor auth`, as a person types it: what it says, its exit codes, and no secret on the screen."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quaestor.custody.login import Login
from quaestor.custody.tokens import Names
from quaestor.doors.sim.robinhood import Person, RobinhoodServer
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
from tests.integration.in_process import quaestor

PERSON = Person()
ANYBODY = Login(PERSON.username, PERSON.password, PERSON.totp_seed)


@dataclass
class Desk:
    """A person at his terminal, and Robinhood."""

    home: Path
    uri: str
    server: RobinhoodServer

    @property
    def vault(self) -> LocalVault:
        """His vault."""
        return LocalVault(self.home)

    def auth(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """He types that."""
        environment = {"QUAESTOR_HOME": str(self.home), "QUAESTOR_DATABASE_URL": self.uri}
        done = quaestor("auth", *arguments, environment=environment, typed=typed)
        for secret in (PERSON.password, PERSON.totp_seed, "eyJ"):
            assert secret not in done.stdout + done.stderr
        return done

    def status(self) -> dict[str, Any]:
        """What he sees."""
        found: dict[str, Any] = json.loads(self.auth("status", "--json").stdout)
        return found


@pytest.fixture
def desk(tmp_path: Path, database_uri: str) -> Iterator[Desk]:
    server = RobinhoodServer(people=[PERSON])
    server.auth.approvals.required = False  # on the real clock a prompt is looked at each 8 s
    with serving(server.app) as url:
        (tmp_path / "quaestor.toml").write_text(f'[robinhood]\nlogin = "main"\nbase_url = "{url}"\n', encoding="utf-8")
        yield Desk(tmp_path, database_uri, server)


@pytest.fixture
def seeded(desk: Desk) -> Desk:
    desk.vault.set(Names("main").login, ANYBODY.as_text())
    done = desk.auth("seed")
    assert done.returncode == 0, done.stderr
    return desk


def test_a_login_is_seeded_from_the_vault_and_its_status_says_until_when_it_lives(seeded: Desk) -> None:
    found = seeded.status()
    assert (found["login"], found["state"], found["number"]) == ("main", "active", 1)
    assert found["token_ends"] > found["next_refresh"] > found["since"]
    assert "next refresh" in seeded.auth("status").stdout


def test_nobody_having_logged_in_is_said_with_the_cure(desk: Desk) -> None:
    done = desk.auth("status", "--json")
    assert (done.returncode, json.loads(done.stdout)["state"]) == (1, "unseeded")
    done = desk.auth("seed")
    assert done.returncode == 1
    assert "rh-main-login" in done.stderr
    done = desk.auth("refresh")
    assert done.returncode == 1
    assert "quaestor auth seed" in done.stderr


def test_a_wrong_password_is_refused_and_the_next_try_may_pass_by_itself(desk: Desk) -> None:
    desk.vault.set(Names("main").login, Login(PERSON.username, "wrong horse").as_text())
    done = desk.auth("seed")
    assert (done.returncode, "password" in done.stderr) == (1, True)
    assert desk.auth("seed").returncode == 75  # the cool-down
    assert desk.server.auth.refusals == 1


def test_a_browser_s_session_comes_through_a_pipe_or_a_file(desk: Desk) -> None:
    session = json.dumps({**desk.server.auth.mint(PERSON, "a-browser"), "device_id": "a-browser"})
    done = desk.auth("import", "--json", typed=session)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "active"
    file = desk.home / "session.json"
    file.write_text(json.dumps({**desk.server.auth.mint(PERSON, "b"), "device_id": "b"}), encoding="utf-8")
    done = desk.auth("import", "--file", str(file))
    assert (done.returncode, "remove it" in done.stderr) == (0, True)
    assert desk.status()["number"] == 2
    assert desk.auth("import", "--file", str(desk.home / "absent")).returncode == 1


def test_tokens_are_changed_when_due_or_when_a_person_says_so(seeded: Desk) -> None:
    assert seeded.auth("refresh").returncode == 0
    assert seeded.status()["number"] == 1
    assert seeded.auth("refresh", "--now").returncode == 0
    assert seeded.status()["number"] == 2
    assert seeded.server.auth.refreshes == 1


def test_a_broken_login_is_said_with_the_one_action_that_heals(seeded: Desk) -> None:
    seeded.server.auth.break_chains()
    done = seeded.auth("refresh", "--now")
    assert done.returncode == 1
    assert "quaestor auth seed" in done.stderr
    done = seeded.auth("status")
    assert (done.returncode, "broken" in done.stdout) == (1, True)
    assert json.loads((seeded.home / "alerts.log").read_text().splitlines()[-1])["urgent"] is True
    assert seeded.auth("seed").returncode == 0
    assert seeded.status()["state"] == "active"


@pytest.mark.parametrize("typed", ["123456\n", ""])
def test_a_code_that_no_login_waits_for_is_refused(seeded: Desk, typed: str) -> None:
    done = seeded.auth("code", "main", typed=typed)
    assert done.returncode == 1
    assert "123456" not in done.stderr


def test_another_login_may_be_named(seeded: Desk) -> None:
    done = seeded.auth("status", "--login", "second", "--json")
    assert (done.returncode, json.loads(done.stdout)["login"]) == (1, "second")


def test_user_name_and_password_are_typed_unseen_in_a_terminal(desk: Desk) -> None:
    """A terminal shows what is echoed: nothing of it may be secret."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "QUAESTOR_HOME": str(desk.home), "QUAESTOR_DATABASE_URL": desk.uri}
    command = [Path(sys.executable).with_name("quaestor"), "auth", "seed", "--json"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    ) as running:
        os.close(theirs)
        shown = b""
        for asked, typed in (("User name", PERSON.username), ("Password", PERSON.password), ("TOTP", PERSON.totp_seed)):
            while asked.encode() not in shown:
                shown += os.read(ours, 1000)
            os.write(ours, f"{typed}\n".encode())
        with contextlib.suppress(OSError):  # a terminal whose other end is closed
            while part := os.read(ours, 10_000):
                shown += part
    assert running.returncode == 0, shown
    assert b'"active"' in shown
    for secret in (PERSON.username, PERSON.password, PERSON.totp_seed):
        assert secret.encode() not in shown


def test_nobody_is_asked_to_type_where_there_is_no_terminal(desk: Desk) -> None:
    done = desk.auth("seed", "--typed", typed="someone\nhorse\n")
    assert (done.returncode, "terminal" in done.stderr) == (1, True)
    assert desk.server.requests == []
