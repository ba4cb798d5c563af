"""The HTTP API over a real socket and a real PostgreSQL, as a program, a browser and a stranger ask it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from quaestor import wiring
from quaestor.console.api import app
from quaestor.console.guarding import allowed
from quaestor.doors import token_file
from quaestor.doors.postgres.database import Database
from quaestor.doors.web import Listener
from quaestor.errors import BadConfig
from quaestor.ports_live import LiveRun

QUAESTOR = Path(sys.executable).with_name("quaestor")
TOKEN = "t" * 43
DIP = {"symbol": "AAPL", "when": "price below 180", "do": "buy 10 shares", "name": "dip"}


class House:
    """The API on a socket, and clients of it."""

    def __init__(self, url: str, uri: str) -> None:
        self.uri = uri
        self.client = httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"})
        self.stranger = httpx.AsyncClient(base_url=url)

    async def ask(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        found = await self.client.request(method, path, **more)
        assert found.status_code == status, found.text
        return found.json()

    def run(self, statement: str, *parameters: Any) -> None:
        with psycopg.connect(self.uri) as connection:
            connection.execute(statement.encode(), parameters)


@contextmanager
def console(home: Path, uri: str) -> Iterator[str]:
    """The API of that database, in a thread with a loop of its own; its address."""
    listener, begun = Listener("127.0.0.1", 0), threading.Event()

    async def answering() -> None:
        async with Database(uri, patience=0.5) as database:
            begun.set()
            await listener.serve(app(loaded, database, TOKEN, ["quaestor.lan"]))

    with pytest.MonkeyPatch.context() as patch, closing(listener):
        patch.setenv("QUAESTOR_HOME", str(home))
        patch.setenv("QUAESTOR_DATABASE_URL", uri)
        loaded = wiring.load()
        thread = threading.Thread(target=lambda: asyncio.run(answering()))
        thread.start()
        assert begun.wait(20)
        try:
            yield listener.url
        finally:
            listener.stop()
            thread.join()


@pytest.fixture(scope="module")
def answering(
    server_uri: str, template_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Its address, and its database's URI."""
    assert template_uri
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "template_books"'.encode())
    uri = server_uri.replace("/quaestor?", f"/{name}?")
    with console(tmp_path_factory.mktemp("console"), uri) as url:
        yield url, uri


@pytest.fixture
async def house(answering: tuple[str, str]) -> AsyncIterator[House]:
    found = House(*answering)
    found.run("truncate trigger, trigger_firing, trigger_changes")
    async with found.client, found.stranger:
        yield found


# ── triggers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_trigger_is_added_looked_at_changed_and_removed(house: House) -> None:
    added = await house.ask("POST", "/api/triggers", 201, json={**DIP, "expires": "5d", "note": "cheap"})
    assert added["sentence"].startswith("AAPL: when price below 180 do buy 10 shares; once, expires ")
    assert (added["by"], added["state"], added["note"]) == ("api@127.0.0.1", "armed", "cheap")

    shown = await house.ask("GET", "/api/triggers/dip")
    assert shown["plain"][1] == "Then it would buy 10 shares of AAPL, at the market."
    assert (await house.ask("GET", f"/api/triggers/{added['id']}"))["name"] == "dip"

    changed = await house.ask("PUT", "/api/triggers/dip", json={"when": "price below 175", "expires": None})
    assert (changed["changed"], changed["sentence"]) == (True, "AAPL: when price below 175 do buy 10 shares; once")
    assert (await house.ask("PUT", "/api/triggers/dip", json={"when": "price below 175"}))["changed"] is False

    listed = await house.ask("GET", "/api/triggers")
    assert [row["id"] for row in listed["triggers"]] == [added["id"]]
    assert (listed["damaged"], listed["cursor"]) == ([], 2)

    assert await house.ask("DELETE", "/api/triggers/dip") == {"removed": added["id"]}
    assert (await house.ask("GET", "/api/triggers"))["triggers"] == []
    await house.ask("GET", "/api/triggers/dip", 404)


async def test_a_rule_that_is_sent_again_is_stored_once(house: House) -> None:
    rule = (await house.ask("POST", "/api/triggers/check", json=DIP))["rule"]
    assert (await house.ask("GET", "/api/triggers"))["triggers"] == []  # a check stores nothing
    first = await house.ask("POST", "/api/triggers", 201, json=rule)
    second = await house.ask("POST", "/api/triggers", 200, json=rule)
    assert (first["id"], second["id"], second["changed"]) == (rule["id"], rule["id"], False)


async def test_firings_are_told_newest_first(house: House) -> None:
    added = await house.ask("POST", "/api/triggers", 201, json=DIP)
    for number in (1, 2):
        house.run(
            "insert into trigger_firing (id, account, trigger, number, symbol, at, action) "
            "values (gen_random_uuid(), 'paper', %s, %s, 'AAPL', now(), 'buy 10 shares')",
            added["id"],
            number,
        )
    rows = (await house.ask("GET", "/api/firings?trigger=dip"))["firings"]
    assert [(row["number"], row["name"]) for row in rows] == [(2, "dip"), (1, "dip")]
    assert {row["trigger"] for row in rows} == {added["id"]}
    assert len((await house.ask("GET", "/api/firings?limit=1"))["firings"]) == 1


async def test_the_live_run_is_told_and_measured(house: House) -> None:
    empty = await house.ask("GET", "/api/live")
    assert (empty["run"], empty["alive"], empty["desired"]["state"]) == (None, False, "armed")
    run = LiveRun(uuid.UUID(int=3), "paper", "me", dt.datetime(2026, 11, 20, tzinfo=dt.UTC), "abc", "digest")
    async with Database(house.uri) as database:
        store = wiring.live_store(database)
        await store.begin(run)
        await store.beat(run.id, {"ticks": 5})
        await store.desire("paper", "hold", "ada", "news")
    told = await house.ask("GET", "/api/live")
    assert (told["run"]["id"], told["run"]["facts"], told["alive"]) == (str(run.id), {"ticks": 5}, True)
    assert (told["desired"]["state"], told["desired"]["reason"]) == ("hold", "news")
    page = await house.client.get("/metrics")
    assert page.status_code == 200
    assert 'quaestor_live_up{account="paper"} 1' in page.text


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "said"),
    [
        pytest.param("POST", "/api/triggers", {**DIP, "when": "price abve 1"}, 422, "»abve« 1", id="a typing error"),
        pytest.param("POST", "/api/triggers", {**DIP, "wen": "x"}, 422, "Did you mean 'when'?", id="a key mistyped"),
        pytest.param("POST", "/api/triggers", {**DIP, "name": 5}, 422, "'5' is no text", id="a name that is none"),
        pytest.param("POST", "/api/triggers", {"symbol": "AAPL"}, 422, "when: it is missing", id="half a form"),
        pytest.param("POST", "/api/triggers", {**DIP, "cooldown": 10**400}, 422, "no finite number", id="400 digits"),
        pytest.param("POST", "/api/triggers", "[]", 400, "The body is a list", id="a list"),
        pytest.param("POST", "/api/triggers", "{", 400, "The body is no JSON", id="no JSON"),
        pytest.param("POST", "/api/triggers", "[" * 60_000, 400, "no JSON", id="60,000 lists within each other"),
        pytest.param("POST", "/api/triggers", '{"band": NaN}', 400, "NaN is no number", id="a number that is none"),
        pytest.param("POST", "/api/triggers", "\xff".encode("latin-1"), 400, "no JSON", id="no text"),
        pytest.param("POST", "/api/triggers", " " * 70_000, 413, "65536 bytes at most", id="too much"),
        pytest.param("PUT", "/api/triggers/nope", {"when": "drawdown 5%"}, 404, "Unknown trigger", id="none to change"),
        pytest.param("DELETE", "/api/triggers/nope", None, 404, "Unknown trigger", id="none to remove"),
        pytest.param("GET", "/api/firings?limit=x", None, 422, "limit: 'x' is no number", id="no limit"),
        pytest.param("GET", "/api/firings?limit=9999", None, 422, "write 1 to 1000", id="too many rows"),
        pytest.param("GET", "/api/nothing", None, 404, "There is nothing at this path", id="no such path"),
        pytest.param("PATCH", "/api/triggers", None, 405, "PATCH is not answered here", id="no such method"),
        pytest.param("GET", "/api/triggers/a%2Fb", None, 404, "", id="a name with a slash"),
        pytest.param("GET", "/api/triggers/%00", None, 422, "", id="a name that the database cannot take"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_is_answered_with_what_happened_and_the_cure(
    house: House, method: str, path: str, sent: object, status: int, said: str
) -> None:
    body = sent if isinstance(sent, bytes) else sent.encode() if isinstance(sent, str) else json.dumps(sent).encode()
    found = await house.ask(method, path, status, content=body if sent is not None else None)
    assert said in found["message"]
    assert found["cure"]
    assert (await house.ask("GET", "/api/triggers"))["triggers"] == []


async def test_words_that_are_not_understood_say_where_they_stand(house: House) -> None:
    found = await house.ask("POST", "/api/triggers/check", 422, json={**DIP, "when": "price abve 1"})
    assert "price abve 1"[slice(*found["at"])] == "abve"


async def test_a_body_that_never_says_how_long_it_is_is_not_read_to_its_end(house: House) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 4096

    assert (await house.client.post("/api/triggers", content=endless())).status_code == 413


async def test_a_damaged_trigger_is_named_and_hides_no_other(house: House) -> None:
    await house.ask("POST", "/api/triggers", 201, json=DIP)
    torn = await house.ask("POST", "/api/triggers", 201, json={**DIP, "name": "torn"})
    house.run("update trigger set rule = '{}' where name = 'torn'")
    listed = await house.ask("GET", "/api/triggers")
    assert [row["name"] for row in listed["triggers"]] == ["dip"]
    assert [row["id"] for row in listed["damaged"]] == [torn["id"]]
    assert "cannot be read" in (await house.ask("GET", "/api/triggers/torn", 422))["message"]
    await house.ask("DELETE", "/api/triggers/torn")


# ── strangers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="no token"),
        pytest.param({"authorization": "Bearer"}, id="an empty one"),
        pytest.param({"authorization": f"Bearer {TOKEN[:-1]}"}, id="one that is short by a letter"),
        pytest.param({"authorization": f"Basic {TOKEN}"}, id="another scheme"),
        pytest.param({"authorization": "Bearer t\xe4".encode("latin-1")}, id="letters that are none of ASCII"),
    ],
)
async def test_without_the_token_nothing_is_read_or_written(house: House, given: dict[str, Any]) -> None:
    for method, path in (
        ("GET", "/api/triggers"),
        ("POST", "/api/triggers"),
        ("GET", "/api/live"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
    ):
        found = await house.stranger.request(method, path, headers=given)
        assert (found.status_code, found.json()["error"]) == (401, "Unauthorized")
        assert found.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in found.text
    assert (await house.stranger.get("/health", headers=given)).json() == {"ok": True}


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        pytest.param("127.0.0.1:4210", True, id="an address"),
        pytest.param("[::1]:4210", True, id="an address of the newer kind"),
        pytest.param("localhost", True, id="localhost"),
        pytest.param("LOCALHOST:4210", True, id="in capitals"),
        pytest.param("quaestor.lan", True, id="a name that was allowed"),
        pytest.param("evil.example", False, id="a name that points here"),
        pytest.param("127.0.0.1.evil.example:4210", False, id="one that looks like an address"),
        pytest.param("localhost.evil.example", False, id="one that looks like localhost"),
        pytest.param("", False, id="none"),
    ],
)
async def test_a_page_cannot_reach_it_through_a_name_of_its_own(house: House, host: str, fine: bool) -> None:
    found = await house.client.get("/api/triggers", headers={"host": host})
    assert found.status_code == (200 if fine else 403)
    assert allowed(host, {"localhost", "quaestor.lan"}) is fine


async def test_answers_are_kept_nowhere_and_are_what_they_say(house: House) -> None:
    found = await house.client.get("/api/triggers")
    assert (found.headers["cache-control"], found.headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert "access-control-allow-origin" not in found.headers
    assert "server" not in found.headers


async def test_a_database_that_is_away_is_said_to_be(tmp_path: Path, database_uri: str) -> None:
    renamed = f"{urlsplit(database_uri).path[1:]}x"
    with console(tmp_path, database_uri) as url:
        others = database_uri.replace(f"/{renamed[:-1]}?", "/template1?")
        with psycopg.connect(others, autocommit=True) as connection:
            connection.execute(f'alter database "{renamed[:-1]}" rename to "{renamed}"'.encode())
            async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
                found = await client.get("/api/triggers")
            connection.execute(f'alter database "{renamed}" rename to "{renamed[:-1]}"'.encode())
    assert (found.status_code, found.headers["retry-after"], found.json()["error"]) == (503, "5", "DatabaseDown")
    assert "see `quaestor doctor`" in found.json()["cure"]


# ── the token and the command ─────────────────────────────────────────────────────────────────────────────────────────


def test_the_token_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    first = token_file.token(tmp_path / "home")
    assert token_file.token(tmp_path / "home") == first
    assert len(first) == 43
    file = token_file.place(tmp_path / "home")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["console.token"]
    file.chmod(0o640)
    with pytest.raises(BadConfig, match="can be read by others"):
        token_file.token(tmp_path / "home")
    file.chmod(0o600)
    file.write_text("short\n")
    with pytest.raises(BadConfig, match="is no token"):
        token_file.token(tmp_path / "home")


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_command_answers_until_it_is_told_to_end(
    tmp_path: Path, database_uri: str, sent: signal.Signals, code: int
) -> None:
    env = {**os.environ, "QUAESTOR_HOME": str(tmp_path), "QUAESTOR_DATABASE_URL": database_uri}
    command = [QUAESTOR, "console", "--port", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.readline()
        url, token = said.split()[2].rstrip(";"), token_file.token(tmp_path)
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
            assert client.post("/api/triggers", json=DIP).status_code == 201
            assert client.get("/api/triggers").json()["triggers"][0]["name"] == "dip"
            process.send_signal(sent)
            assert process.wait(20) == code
        logged = process.stdout.read() + process.stderr.read()
    assert token not in said + logged
    assert "Traceback" not in logged


def test_an_address_that_is_taken_is_named_with_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadConfig, match=rf"Nothing can listen at 127.0.0.1:{port} .*choose another"):
            Listener("127.0.0.1", port)
    with pytest.raises(BadConfig, match="Nothing can listen"):
        Listener("no such host", 0)
