"""The kill switch and the audit as a person uses them: on an account that trades, over restarts and a lost database."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.database import Database
from tests.integration.in_process import quaestor

FIRST, LAST, LATER, END = "2012-01-03", "2012-02-29", "2012-04-30", "2012-05-31"
CONFIGURATION = f"""
[market]
symbols = ["AAPL", "GOOG", "IBM", "MSFT"]

[strategies]
first_session = {FIRST}
"""
AWAY = "postgresql://nobody@127.0.0.1:1/books"  # no server is there


@dataclass(frozen=True)
class Console:
    """`quaestor` with a data folder of its own, and books at `uri`."""

    home: Path
    uri: str

    def environment(self, **more: str) -> dict[str, str]:
        return {"QUAESTOR_HOME": str(self.home), "QUAESTOR_DATABASE_URL": self.uri, **more}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return quaestor(*arguments, environment=self.environment(**environment))

    def json(self, *arguments: str, code: int = 0) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str, code: int = 1, **environment: str) -> str:
        """The one message of a command that must fail."""
        done = self.run(*arguments, **environment)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr.strip()

    def fetch(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.uri) as connection:
            return connection.execute(query.encode()).fetchall() if query.startswith("select") else self._do(query)

    def _do(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement.encode())
        return []

    def sides(self, since: str = LAST) -> dict[str, int]:
        """Orders decided after that session."""
        return dict(self.fetch(f"select side, count(*) from intent where session > '{since}' group by side"))

    @property
    def file(self) -> Path:
        return self.home / "paper.halt"


@pytest.fixture(scope="module")
def template(server_uri: str, template_uri: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An account that traded two months, and signals for two more."""
    home = tmp_path_factory.mktemp("home")
    (home / "quaestor.toml").write_text(CONFIGURATION, encoding="utf-8")
    name = f"k{uuid.uuid4().hex[:12]}"
    _run(server_uri, f'create database "{name}" template template_books')
    console = Console(home, server_uri.replace("/quaestor?", f"/{name}?"))
    for command in (["ingest", "--end", END], ["signals"], ["execute", "--end", LAST]):
        done = console.run(*command)
        assert done.returncode == 0, done.stderr
    yield name
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
        _run(server_uri, f'drop database "{name}" with (force)')


@pytest.fixture
def console(template: str, server_uri: str, tmp_path: Path) -> Iterator[Console]:
    """A copy of it, and an empty data folder."""
    (tmp_path / "quaestor.toml").write_text(CONFIGURATION, encoding="utf-8")
    name = f"k{uuid.uuid4().hex[:12]}"
    _run(server_uri, f'create database "{name}" template "{template}"')
    yield Console(tmp_path, server_uri.replace("/quaestor?", f"/{name}?"))
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
        _run(server_uri, f'drop database "{name}" with (force)')


def _run(uri: str, statement: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute(statement.encode())


# ── halt ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_halt_is_latched_once_in_the_books_and_in_a_file_and_told(console: Console) -> None:
    assert console.json("halt", "the broker is odd") == {"new": True, "canceled": 0, "left_to": ""}
    assert console.json("halt", "again") == {"new": False, "canceled": 0, "left_to": ""}
    assert console.file.read_text() == "the broker is odd\n"
    assert console.fetch("select name, reason, cleared_at from latch") == [("halt", "the broker is odd", None)]
    (stop,) = console.json("status")["stops"]
    assert (stop["name"], stop["reason"]) == ("halt", "the broker is odd")
    (alert,) = [json.loads(line) for line in (console.home / "alerts.log").read_text().splitlines()]
    assert (alert["urgent"], alert["title"], alert["body"]) == (
        True, "paper: halted; entries are stopped", "the broker is odd",
    )  # fmt: skip


def test_it_says_what_it_did_and_how_to_end_it(console: Console) -> None:
    said = console.run("halt", "odd").stdout
    assert said.startswith("Halted: no entry will be sent. Entries taken back: 0.\n")
    assert said.endswith('`quaestor resume "reason"` ends it.\n')
    assert console.run("halt", "odd").stdout.startswith("It was halted before: no entry will be sent. ")
    assert (
        "What is held will be sold as soon as the market takes orders." in console.run("halt", "--flatten", "x").stdout
    )


@pytest.mark.parametrize("command", ["halt", "resume"])
@pytest.mark.parametrize("uri", [None, AWAY])
def test_a_reason_is_required_wherever_the_database_is(console: Console, command: str, uri: str | None) -> None:
    away = {"QUAESTOR_DATABASE_URL": uri} if uri else {}
    assert "needs a reason" in console.refused(command, "  ", **away)
    assert console.run(command, **away).returncode == 2, "none at all is a matter of usage"
    assert not console.file.exists()
    assert console.fetch("select count(*) from latch") == [(0,)]


def test_while_halted_entries_are_refused_and_exits_go_on_and_afterwards_it_trades_again(console: Console) -> None:
    words = [sys.executable, "-m", "quaestor.console.cli", "halt", "a person pulled the switch"]
    subprocess.run(words, env=console.environment(), check=True, timeout=60, capture_output=True)  # another process
    (done,) = console.json("execute", "--end", LATER)
    assert done["sessions"] > 30, "sessions are settled all the same"
    assert console.sides().keys() == {"sell"}
    refused = console.fetch(f"select distinct rule, side, observed from refusal where session > '{LAST}'")
    assert ("latch", "buy", "halt") in refused
    assert console.json("reconcile")["ok"] is True
    assert [stop["name"] for stop in console.json("status")["stops"]] == ["halt"], "no comparison ends it"
    assert console.json("resume", "it was nothing") == {"cleared": ["halt"], "latched": []}
    assert not console.file.exists()
    assert console.fetch("select reason, cleared_reason from latch") == [
        ("a person pulled the switch", "it was nothing")
    ]
    console.json("execute")
    assert "buy" in console.sides(LATER)


def test_without_a_halt_the_same_sessions_have_entries(console: Console) -> None:
    console.json("execute", "--end", LATER)
    assert console.sides().keys() == {"buy", "sell"}


def test_a_halt_holds_though_a_backup_without_it_is_put_back(console: Console) -> None:
    console.json("halt", "odd")
    console.fetch("delete from latch")
    assert console.json("resume", "over")["cleared"] == ["halt"], "the file was one"
    console.json("halt", "odd")
    console.fetch("delete from latch")
    console.json("execute", "--end", LATER)
    assert console.sides().keys() == {"sell"}


def test_a_process_that_trades_carries_the_halt_out(console: Console) -> None:
    async def while_it_trades() -> Any:
        async with Database(console.uri) as database, LeaseStore(database).hold("paper", "box:1:execute", 1):
            words = [sys.executable, "-m", "quaestor.console.cli", "halt", "odd", "--json"]
            run = functools.partial(subprocess.run, words, env=console.environment(), check=True, capture_output=True)
            return (await asyncio.to_thread(run)).stdout

    said = json.loads(asyncio.run(while_it_trades()))
    assert (said["new"], said["canceled"]) == (True, 0)
    assert said["left_to"] == "box:1:execute"
    assert console.fetch("select name from latch where cleared_at is null") == [("halt",)]


# ── the database is away ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("flags", "command", "then"),
    [
        ([], "`quaestor halt`", "so that working entries are canceled."),
        (["--flatten"], "`quaestor halt --flatten`", "so that working entries are canceled and what is held is sold."),
    ],
)
def test_a_halt_without_the_database_is_in_its_file_and_says_so(
    console: Console, flags: list[str], command: str, then: str
) -> None:
    said = console.refused("halt", *flags, "odd", code=75, QUAESTOR_DATABASE_URL=AWAY)
    assert f"The halt is latched in {console.file} all the same: no entry will be sent." in said
    assert f"Run {command} again when the database is back, {then}" in said
    assert console.file.read_text() == "odd\n"
    stays = console.refused("resume", "hm", code=75, QUAESTOR_DATABASE_URL=AWAY)
    assert "A halt stays until the database is back; nothing was resumed." in stays
    assert console.file.exists()

    console.json("execute", "--end", LATER)
    assert console.sides().keys() == {"sell"}, "the file alone stops entries"
    assert console.fetch("select name, reason from latch") == [("halt", "odd (by the file paper.halt)")]
    assert console.json("resume", "over") == {"cleared": ["halt"], "latched": []}
    assert not console.file.exists()


def test_a_halt_where_no_books_are_does_not_pretend(console: Console) -> None:
    """In the wrong folder, it would feel halted and be none: no new database is made for it."""
    said = console.refused("halt", "odd", QUAESTOR_DATABASE_URL="")
    assert f"There are no books in {console.home} yet." in said
    assert f"latched in {console.file} all the same" in said
    assert "no books" in console.refused("resume", "over", QUAESTOR_DATABASE_URL="")
    assert sorted(path.name for path in console.home.iterdir()) == ["paper.halt", "quaestor.toml"]


# ── flatten and resume ────────────────────────────────────────────────────────────────────────────────────────────────


def test_flatten_sells_all_at_the_next_session_and_buys_nothing(console: Console) -> None:
    assert console.json("positions")
    assert console.json("halt", "a little odd")["new"] is True
    assert console.json("halt", "--flatten", "very odd")["new"] is True, "that is more than a halt"
    console.json("execute", "--end", LATER)
    assert console.json("positions") == []
    sales = console.fetch(f"select distinct session::text, side, cause_key <> '' from intent where session > '{LAST}'")
    assert sales == [("2012-03-01", "sell", True)], "all of it, at once"
    assert console.json("reconcile")["ok"] is True
    assert console.json("audit", "verify")["ok"] is True
    assert console.json("resume", "over") == {"cleared": ["halt", "flatten"], "latched": []}
    console.json("execute")
    assert "buy" in console.sides(LATER)


def test_a_stop_that_books_and_broker_caused_is_not_ended_by_resuming(console: Console) -> None:
    why = "cash 1.00 against the broker's 2.00"
    console.fetch(f"insert into latch (account, name, reason) values ('paper', 'entries', $${why}$$)")
    assert console.json("resume", "so what") == {"cleared": [], "latched": [{"name": "entries", "reason": why}]}
    said = console.run("resume", "so what").stdout
    assert said.startswith("Nothing was halted, but entries stay stopped.\nStopped by 'entries': cash 1.00")
    assert "`quaestor reconcile` ends that once books and broker agree." in said
    console.json("halt", "odd")
    assert console.run("resume", "over").stdout.startswith("The halt is over, but entries stay stopped.\n")
    console.json("reconcile")
    assert console.run("resume", "over").stdout == "Nothing was halted: entries may be made.\n"


# ── audit ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_untouched_log_is_verified_and_gives_an_anchor(console: Console) -> None:
    found = console.json("audit", "verify")
    assert found.keys() == {"ok", "events", "anchor", "flaws"}
    assert (found["ok"], found["flaws"]) == (True, [])
    assert console.fetch("select count(*) from order_event") == [(found["events"],)]
    assert found["anchor"].startswith(f"{found['events']}:")
    said = console.run("audit", "verify").stdout
    assert f"{found['events']} events of " in said
    assert f"Anchor: {found['anchor']}\n" in said

    console.json("execute", "--end", LATER)
    later = console.json("audit", "verify", "--anchor", found["anchor"])
    assert (later["ok"], later["events"] > found["events"]) == (True, True), "an old anchor holds for ever"


def test_a_log_that_was_changed_is_told_with_its_place(console: Console) -> None:
    anchor = console.json("audit", "verify")["anchor"]
    console.fetch("alter table order_event disable trigger user; update order_event set cause = 'forged' where seq = 3")
    found = console.json("audit", "verify", code=1)
    assert (found["ok"], len(found["flaws"])) == (False, 1)
    assert found["flaws"][0].keys() == {"seq", "subject", "problem"}
    assert (found["flaws"][0]["seq"], "not what was written" in found["flaws"][0]["problem"]) == (3, True)
    told = console.run("audit", "verify")
    assert told.returncode == 1
    assert "1 contradiction in" in told.stdout
    assert "Stop trading (`quaestor halt`)" in told.stdout
    seq, _, digest = anchor.partition(":")
    other = f"{seq}:{digest[::-1]}"
    assert any(
        "another chain" in flaw["problem"]
        for flaw in console.json("audit", "verify", "--anchor", other, code=1)["flaws"]
    )


def test_what_is_no_anchor_is_refused(console: Console) -> None:
    assert "'7' is no anchor; it looks like 42:" in console.refused("audit", "verify", "--anchor", "7")
