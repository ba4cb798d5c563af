"""The flow `refresh-credentials` at a real Prefect server: it keeps a login, and Prefect keeps nothing of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from quaestor import wiring
from quaestor.custody.login import Login
from quaestor.custody.tokens import AccessToken, Names
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.doors.sim.robinhood import Person, RobinhoodServer
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ROOT = Path(__file__).resolve().parents[3]
ALIAS, PERSON = "flow-test", Person()
FLOW = """
import asyncio, json, sys
from blocks import RecordedFeed
from flows.models import RefreshCredentialsRequest
from flows.refresh_credentials import refresh_credentials
from quaestor.forms import NAME
url, alias = sys.argv[1:3]
form = RecordedFeed.load(NAME)
asked = form.model_copy(update={"robinhood": {**form.robinhood, "base_url": url, "login": alias}})
asked.save(NAME, overwrite=True)
try:
    for line in sys.stdin:
        request = RefreshCredentialsRequest(what=line.strip())
        state = asyncio.run(refresh_credentials(request, return_state=True))
        found = state.result(raise_on_failure=False)
        print(json.dumps({"name": state.name, "found": found if isinstance(found, dict) else str(found)}), flush=True)
finally:
    form.save(NAME, overwrite=True)
"""


@pytest.fixture
def books(prefect_stack: Stack) -> Iterator[str]:
    """The URI of the flow's books, with the newest schema."""
    with EmbeddedServer(prefect_stack.local.home) as uri:
        wiring.upgrade(uri)
        yield uri


def test_a_login_is_seeded_kept_and_told_of_when_it_breaks(prefect_stack: Stack, books: str) -> None:
    vault, server = LocalVault(prefect_stack.local.home), RobinhoodServer(people=[PERSON])
    vault.set(Names(ALIAS).login, Login(PERSON.username, PERSON.password, PERSON.totp_seed).as_text())
    server.auth.approvals.required = False
    with serving(server.app) as url:
        program = subprocess.Popen(
            [sys.executable, "-c", FLOW, url, ALIAS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=prefect_stack.local.environment(),
            cwd=ROOT,
            text=True,
        )
        assert program.stdin is not None
        assert program.stdout is not None
        told = []
        for what in ("look", "seed", "refresh now", "look", "refresh now"):
            if len(told) == 4:
                server.auth.break_chains()
            program.stdin.write(f"{what}\n")
            program.stdin.flush()
            told.append(json.loads(next(line for line in program.stdout if line.startswith("{"))))
        _, complained = program.communicate(timeout=60)
    assert program.returncode == 0, complained
    assert [each["name"] for each in told] == ["Completed"] * 4 + ["Failed"]
    assert [each["found"]["state"] for each in told[:4]] == ["unseeded", "active", "active", "active"]
    assert [each["found"]["number"] for each in told[:4]] == [0, 1, 2, 2]
    assert "quaestor auth seed" in told[4]["found"]
    assert "is broken" in str(prefect_stack.api.artifact("login"))
    with psycopg.connect(books) as connection:
        rows = connection.execute("select state, seq from auth where alias = %s", (ALIAS,)).fetchall()
    assert rows == [("broken", 2)]
    kept = b"".join(path.read_bytes() for path in prefect_stack.local.home.rglob("*.db*") if path.is_file())
    assert b"refresh-credentials" in kept  # it is the right file that is looked at
    for secret in (PERSON.password, PERSON.totp_seed, AccessToken.read(vault.get(Names(ALIAS).access).value).value):
        assert secret.encode() not in kept + complained.encode()
