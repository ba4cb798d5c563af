"""Leaks: no secret stands where it should not, and a search that would find it wherever it stood."""

from __future__ import annotations

import base64
import gc
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quaestor import wiring
from quaestor.config import parse
from quaestor.custody.leaks import Search
from quaestor.custody.login import Login, Tokens
from quaestor.custody.rehearsals import named, planned
from quaestor.custody.tokens import AccessToken, RefreshGrant
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
from quaestor.operations.custody.rehearsing import Rehearsal
from quaestor.ports_custody import Sealed
from quaestor.ports_secrets import Secret
from quaestor.spans import Passage
from quaestor.wiring import Loaded
from quaestor.wiring.auth_props import places

SECRET = f'pä"ss & word+of={uuid.uuid4().hex}%'  # of this run alone: others' processes are looked at, too
TODAY = time.time_ns()


# ── the search finds what is there ────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def in_table(uri: str, folder: Path) -> Iterator[None]:
    with psycopg.connect(uri) as line:
        line.execute("insert into auth (alias, state, reason) values ('x', 'broken', %s)", (SECRET,))
    yield


@contextmanager
def in_file(uri: str, folder: Path) -> Iterator[None]:
    (folder / "deep").mkdir()
    (folder / "deep" / "dump").write_bytes(bytes(1 << 17) + SECRET.encode() + bytes(1 << 17))
    yield


@contextmanager
def in_process_list(uri: str, folder: Path) -> Iterator[None]:
    with _running([sys.executable, "-c", "input()", SECRET]):
        yield


@contextmanager
def in_environment(uri: str, folder: Path) -> Iterator[None]:
    with _running([sys.executable, "-c", "input()"], env={"TOKEN": SECRET}):
        yield


@contextmanager
def _running(words: list[str], **settings: Any) -> Iterator[None]:
    process = subprocess.Popen(words, stdin=subprocess.PIPE, **settings)
    try:
        yield
    finally:
        process.communicate(b"\n")


@contextmanager
def in_repr(uri: str, folder: Path) -> Iterator[None]:
    kept = Sealed(1, "x")
    object.__setattr__(kept, "seq", SECRET)
    yield
    del kept


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (in_table, "table public.auth"),
        (in_file, "file deep/dump"),
        (in_process_list, "cmdline"),
        (in_environment, "environ"),
        (in_repr, "repr of quaestor.ports_custody.Sealed"),
    ],
)
def test_a_secret_is_found_where_it_was_left(
    database_uri: str, tmp_path: Path, plant: Callable[[str, Path], Any], place: str
) -> None:
    search = Search({SECRET: "password"})
    assert search.look(places(database_uri, tmp_path, [])) == []
    with plant(database_uri, tmp_path):
        leaks = search.look(places(database_uri, tmp_path, []))
    assert [(place in leak.place, leak.kind) for leak in leaks] == [(True, "password")]
    assert SECRET not in str(leaks)


def test_a_secret_in_an_error_is_found(database_uri: str, tmp_path: Path) -> None:
    leaks = Search({SECRET: "password"}).look(places(database_uri, tmp_path, [f"ValueError({SECRET!r})"]))
    assert [leak.place for leak in leaks] == ["exception"]


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "in JSON": lambda value: json.dumps({"a": value}).encode(),
    "in an address": lambda value: f"https://x?y={quote(value, safe='')}&z".encode(),
    "in a form": lambda value: f"password={quote_plus(value)}&z".encode(),
    **{
        f"in base64, after {before} bytes": lambda value, before=before: base64.b64encode(  # type: ignore[misc]
            b"x" * before + value.encode() + b"tail"
        )
        for before in range(4)
    },
    "in the base64 of addresses": lambda value: base64.urlsafe_b64encode(b"user:" + value.encode()),
    "in a page of a table": lambda value: bytes(70_000) + b"\x01" + value.encode() + b"\x02" + bytes(70_000),
}


@pytest.mark.parametrize("how", WRITTEN)
@pytest.mark.parametrize(
    "value",
    [SECRET, "5QX00001", "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2lnbmF0dXJl-_w"],
    ids=["password", "number", "token"],
)
def test_a_secret_is_found_however_it_is_written(how: str, value: str) -> None:
    written = WRITTEN[how](value)
    assert [leak.kind for leak in Search({value: "password"}).look([("here", written)])][:1] == ["password"]
    assert Search({value[::-1] + "x": "password"}).look([("here", written)]) == []


# ── and there is nothing ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Sink:
    """An OTLP collector that keeps what comes, as it comes."""

    came: bytes = b""

    async def answer(self, request: Request) -> Response:
        self.came += await request.body()
        return Response(b"", media_type="application/x-protobuf")


def traced(folder: Path, words: list[str]) -> bytes:
    """What a trace tells of orders that came to such an end."""
    sink = Sink()
    with serving(Starlette(routes=[Route("/v1/traces", sink.answer, methods=["POST"])])) as url:
        loaded = Loaded(parse(f'[telemetry]\notlp = "{url}"\nfile = "traces.jsonl"\nevery = 3600\n'), None, folder)
        door = wiring.telemetry(loaded, uuid.UUID(int=5), "main", "abc", TODAY)
        for number, each in enumerate(words):
            passed = Passage(uuid.UUID(int=number), "AAPL", "buy", "rehearsal", TODAY, TODAY + 5, outcome=each)
            door.order(passed)
        door.close()
    assert sink.came
    return sink.came


async def test_nothing_is_left_anywhere_by_days_with_every_fault(
    database_uri: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = planned(2, named("revoked_mid_order,vault_down,chain_broken"))
    async with wiring.auth_stage(database_uri, tmp_path, plan) as stage:
        found = await Rehearsal(stage, plan).play()
        known = stage.known()
        heard, shown = "\n".join(stage.heard), [line for each in stage.heard for line in each.splitlines()[:1]]
        trace = traced(tmp_path, shown)
    assert found.leaks == []
    kinds = set(known.values())
    assert {"password", "TOTP seed", "account number", "rh-main-refresh device_token", "rh-main-spool secret"} <= kinds
    assert "vault's access token" in kinds
    assert sum("access_token" in kind for kind in known.values()) > len(found.turns)
    assert "AccessLost" in heard
    assert "VaultAway" in heard
    logs = (tmp_path / "debug.log").read_text(encoding="utf-8")
    assert all(f"DEBUG {name}" in logs for name in ("urllib3", "azure.core", "azure.identity", "quaestor"))
    said = "".join(capfd.readouterr())
    search = Search(known)
    assert search.look([("trace", trace), ("output", said.encode()), ("log", logs.encode())]) == []
    assert search.look([("trace", trace + next(iter(known)).encode())]) != []


def test_no_object_that_holds_a_secret_shows_it() -> None:
    claims = base64.urlsafe_b64encode(b'{"exp": 2000000000}').decode().rstrip("=")
    jwt = f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJlLW9mLW5vYm9keQ"
    refresh, device = "0123456789abcdef" * 2, str(uuid.uuid4())
    kept = [
        Login("someone@example.com", SECRET, "JBSWY3DPEHPK3PXP"),
        Tokens(jwt, refresh),
        Tokens(jwt, refresh).pair(1, device, "password"),
        AccessToken.of(jwt, 1),
        RefreshGrant(refresh, device, "client", "password", 1),
        Secret("rh-main-login", "1", SECRET),
        Sealed(1, SECRET),
    ]
    known = dict.fromkeys((SECRET, "JBSWY3DPEHPK3PXP", jwt, refresh, device, "someone@example.com"), "secret")
    assert Search(known).look((type(each).__name__, f"{each!r} {each}".encode()) for each in kept) == []
    assert any(each is kept[0] for each in gc.get_objects())  # what the rehearsal looks through is what there is


def test_a_vault_on_the_disk_shows_nothing(tmp_path: Path) -> None:
    LocalVault(tmp_path).set("rh-main-login", SECRET)
    found = [(f"{path.name}", path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()]
    assert found
    assert Search({SECRET: "password"}).look(found) == []
