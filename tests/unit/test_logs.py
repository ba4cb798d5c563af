"""Logs: a JSON object on each line, whose it is, and no secret in it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from quaestor import logs
from quaestor.doors.telemetry.logs import logging_to
from quaestor.logs import without_secrets
from quaestor.ports_secrets import Secret

RUN, REF = uuid.UUID(int=1), uuid.uuid5(uuid.NAMESPACE_URL, "a decision")
log = logging.getLogger("quaestor.test")


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_known", set())
    monkeypatch.setattr(logs, "_passing", {})
    monkeypatch.setattr(logs, "_pattern", None)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_a_line_says_whose_it_is_and_only_what_is_on_the_list(tmp_path: Path) -> None:
    file = tmp_path / "logs" / "live.jsonl"
    with logging_to(file, console=False), logs.within(run_id=RUN, alias="paper"):
        log.info("The feed is there.")
        with logs.within(ref_id=REF):
            log.warning("refused by %s", "cash", extra={"symbol": "AAPL", "rule": "cash", "account_number": "5QR1"})
        log.debug("too much")
    first, second = lines(file)
    assert first["ts"].endswith("Z")
    assert {name: first[name] for name in first if name != "ts"} == {
        "level": "INFO", "logger": "quaestor.test", "message": "The feed is there.", "run": str(RUN),
        "account": "paper",
    }  # fmt: skip
    assert {name: second[name] for name in ("decision", "trace", "symbol", "rule", "message")} == {
        "decision": str(REF), "trace": REF.hex, "symbol": "AAPL", "rule": "cash", "message": "refused by cash",
    }  # fmt: skip
    assert "account_number" not in second
    assert file.stat().st_mode & 0o777 == 0o600


async def test_each_task_logs_the_decision_that_it_is_about(tmp_path: Path) -> None:
    async def decide(ref_id: uuid.UUID) -> None:
        with logs.within(ref_id=ref_id):
            await asyncio.sleep(0)
            log.warning("sent")

    with logging_to(tmp_path / "l", console=False), logs.within(run_id=RUN):
        await asyncio.gather(*(decide(uuid.UUID(int=n)) for n in range(20)))
        log.warning("all sent")
    *each, last = lines(tmp_path / "l")
    assert {line["decision"] for line in each} == {str(uuid.UUID(int=n)) for n in range(20)}
    assert {line["run"] for line in (*each, last)} == {str(RUN)}
    assert "decision" not in last


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        pytest.param("Authorization: Bearer abc.def-123", "Authorization: Bearer ***", id="a bearer token"),
        pytest.param("authorization=Basic dXNlcjpwYXNz", "authorization=Basic ***", id="user and password"),
        pytest.param("password=hunter2 user=me", "password=*** user=me", id="a password in a DSN"),
        pytest.param('{"access_token": "eyJx", "n": 1}', '{"access_token": "***", "n": 1}', id="a token in JSON"),
        pytest.param("{'api_key': 'AK12', 'b': 2}", "{'api_key': '***', 'b': 2}", id="a key in Python's words"),
        pytest.param("APCA-API-SECRET-KEY: s3cr3t", "APCA-API-SECRET-KEY: ***", id="Alpaca's header"),
        pytest.param("at postgresql://me:pw@host:1/db", "at postgresql://me:***@host:1/db", id="a URL"),
        pytest.param("?token=abc&x=1", "?token=***&x=1", id="a query"),
        pytest.param('"account_number": "5QR12345"', '"account_number": "***"', id="an account's number"),
        pytest.param("the token bucket is empty", "the token bucket is empty", id="no secret"),
        pytest.param("secret 'alpaca-key' is missing", "secret 'alpaca-key' is missing", id="a secret's name"),
    ],
)
def test_secrets_are_struck_out_by_their_looks(told: str, kept: str) -> None:
    assert without_secrets(told) == kept


def test_what_came_out_of_the_vault_is_struck_out_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Secret("robinhood-password", "1", "correct.horse+battery")
    Secret("pin", "1", "12")  # too short: it would strike out every dozen
    with logging_to(tmp_path / "l"):
        try:
            raise ValueError("login correct.horse+battery failed, 12 tries left")
        except ValueError:
            log.exception("%s", {"said": "correct.horse+battery"}, extra={"error": "correct.horse+battery!"})
    text = (tmp_path / "l").read_text() + capsys.readouterr().err
    assert "correct.horse" not in text
    assert text.count("***") >= 5
    (line,) = lines(tmp_path / "l")
    assert (line["error"], line["message"]) == ("***!", "{'said': '***'}")
    assert "12 tries left" in line["exception"]


def test_what_json_has_no_word_for_is_told_as_its_text(tmp_path: Path) -> None:
    with logging_to(tmp_path / "l", console=False):
        log.info("a\nb", extra={"count": RUN, "seconds": 1.5, "kind": ["x", {"password": "y"}]})
    (line,) = lines(tmp_path / "l")
    assert (line["message"], line["count"], line["seconds"]) == ("a\nb", str(RUN), 1.5)
    assert line["kind"] == "['x', {'password': '***'}]"


@pytest.mark.parametrize("formatter", [logs.AsJson(), logs.AsText()])
def test_a_message_that_its_arguments_do_not_fit_is_told_all_the_same(formatter: logging.Formatter) -> None:
    record = log.makeRecord(log.name, logging.INFO, "", 0, "%d shares, password=%s", ("three", "x"), None)
    assert "%d shares, password=***" in formatter.format(record)
    assert "three" in formatter.format(record)


def test_others_are_heard_from_warnings_on_and_all_is_as_before_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    before = (list(logging.getLogger().handlers), logging.getLogger("quaestor").level)
    with logging_to(None, level="DEBUG"):
        logging.getLogger("other").info("small talk")
        logging.getLogger("other").warning("a warning")
        log.debug("ours")
    log.warning("afterwards")
    assert (list(logging.getLogger().handlers), logging.getLogger("quaestor").level) == before
    assert [line.split("  ")[-1] for line in shown.getvalue().splitlines()[:2]] == ["a warning", "ours"]


def test_tokens_of_months_do_not_pile_up_and_what_lasts_is_never_forgotten() -> None:
    """A pair of tokens comes every three days; a password is told once, when the process begins."""
    logs.know("the-password-of-the-database")
    tokens = [f"token-number-{number:04}" for number in range(500)]
    for token in tokens:
        logs.know(token, passing=True)
    assert len(logs._passing) == logs.PASSING
    assert logs.without_secrets(f"{tokens[-1]} {tokens[-logs.PASSING]}") == "*** ***"
    assert logs.without_secrets("the-password-of-the-database") == "***"


def test_a_token_that_is_in_use_stays_struck_out_however_many_come() -> None:
    """A vault's own tokens come by the hour, and a broker's token lives for a week."""
    logs.know("the-token-that-is-in-use", passing=True)
    for number in range(3 * logs.PASSING):
        logs.know(f"another-token-{number}", passing=True)
        assert logs.without_secrets("the-token-that-is-in-use") == "***"
        if number % 10 == 0:
            logs.know("the-token-that-is-in-use", passing=True)


def test_what_was_told_as_passing_and_then_as_lasting_lasts() -> None:
    logs.know("a-secret-told-twice", passing=True)
    logs.know("a-secret-told-twice")
    for number in range(2 * logs.PASSING):
        logs.know(f"yet-another-token-{number}", passing=True)
    assert logs.without_secrets("a-secret-told-twice") == "***"
