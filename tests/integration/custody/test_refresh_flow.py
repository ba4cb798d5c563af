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
from quaestor.custody.leaks import Search
from quaestor.custody.login import Login
from quaestor.custody.tokens import Names
from quaestor.doors import searching
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
            env={**prefect_stack.local.environment(), "PREFECT_LOGGING_EXTRA_LOGGERS": "quaestor,urllib3"},
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
    seen = dict(_seen(prefect_stack, vault))
    for place, secret in {
        "prefect": "refresh-credentials",
        "logs": "the login is broken",
        "artifacts": "login",
    }.items():
        assert any(place in name and secret.encode() in each for name, each in seen.items()), place  # the right ones
    search = Search(_known(vault))
    assert search.look({**seen, "output": json.dumps(told).encode() + complained.encode()}.items()) == []
    assert search.look([("a log", next(iter(_known(vault))).encode())]) != []


def _known(vault: LocalVault) -> dict[str, str]:
    """Every token there was, and what began them."""
    names, known = Names(ALIAS), {PERSON.password: "password", PERSON.totp_seed: "TOTP seed"}
    for name in (names.access, names.refresh):
        for version in vault.versions(name):
            held = json.loads(vault.get(name, version.version).value)
            known |= {value: f"{name} {key}" for key, value in held.items() if key.endswith("_token")}
    assert len(known) == 2 + 2 + 2 + 1  # two pairs, and the device
    return known


def _seen(stack: Stack, vault: LocalVault) -> Iterator[tuple[str, bytes]]:
    """What Prefect keeps and shows, and all else that lies in the data folder, but the vault."""
    home = stack.local.home
    yield from searching.files(home, but=[home / "vault"])
    for what in ("logs", "artifacts", "flow_runs", "task_runs", "block_documents"):
        yield what, json.dumps(stack.rows(f"/{what}/filter")).encode()
