"""What Robinhood's answers to a login mean, and what the door tells apart: nothing sent, and answer lost."""

from __future__ import annotations

import datetime as dt
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as some

from quaestor.custody import login
from quaestor.custody.login import Login, one_time_code, outcome
from quaestor.custody.tokens import RefreshGrant
from quaestor.doors.robinhood_login import RobinhoodLogin
from quaestor.doors.sealing import Sealing
from quaestor.doors.sim.keyvault.place import certificate
from quaestor.errors import BadInput

GRANT = RefreshGrant("a-refresh-token", "a-device", "a-client", "password", 1)


@pytest.mark.parametrize(
    ("status", "body", "meant"),
    [
        pytest.param(
            200,
            {"access_token": "a.b.c", "refresh_token": "r", "token_type": "Bearer"},
            login.Tokens("a.b.c", "r"),
            id="tokens",
        ),
        pytest.param(200, {"mfa_required": True, "mfa_type": "sms"}, login.CodeWanted("sms"), id="a second factor"),
        pytest.param(
            403, {"verification_workflow": {"id": "w"}}, login.ApprovalWanted("w"), id="a device, with 403 (#515)"
        ),
        pytest.param(400, {"verification_workflow": {"id": "w"}}, login.ApprovalWanted("w"), id="the same, with 400"),
        pytest.param(
            400,
            {"detail": "Unable to log in with provided credentials."},
            login.Refused("password", "HTTP 400"),
            id="#1611",
        ),
        pytest.param(
            403, {"error": "unsupported_grant_type"}, login.Refused("request", "HTTP 403"), id="#509: no such way"
        ),
        pytest.param(401, {"error": "invalid_grant"}, login.GrantRefused(), id="a spent refresh token"),
        pytest.param(
            429,
            {"detail": "Request was throttled. Expected available in 1234 seconds."},
            login.Throttled(1234.0),
            id="#304",
        ),
        pytest.param(429, None, login.Throttled(login.THROTTLED), id="throttled without a word"),
        pytest.param(502, None, login.ReplyLost("HTTP 502"), id="a gateway: it may have been done"),
        pytest.param(
            401, None, login.ReplyLost("HTTP 401 in words that are not Robinhood's"), id="a gateway that says no"
        ),
        pytest.param(200, {"detail": "?"}, login.ReplyLost("an answer without tokens"), id="neither yes nor no"),
        pytest.param(200, [], login.ReplyLost("an answer without tokens"), id="a list"),
    ],
)
def test_each_answer_has_one_meaning(status: int, body: Any, meant: login.Outcome) -> None:
    assert outcome(status, body) == meant


@given(
    some.integers(100, 599),
    some.recursive(
        some.none() | some.text() | some.booleans() | some.integers(),
        lambda inner: (
            some.lists(inner)
            | some.dictionaries(
                some.text()
                | some.sampled_from(
                    ["access_token", "refresh_token", "verification_workflow", "id", "error", "detail", "mfa_required"]
                ),
                inner,
            )
        ),
    ),
)
def test_no_answer_is_without_a_meaning(status: int, body: Any) -> None:
    assert isinstance(outcome(status, body), login.Outcome)


def test_a_wrong_code_is_told_from_a_wrong_password() -> None:
    body = {"detail": "Please enter a valid code."}
    assert outcome(400, body, with_code=True) == login.Refused("code", "HTTP 400")


@given(some.integers(10**9, 2 * 10**9))
def test_a_one_time_code_is_what_an_app_shows(at: int) -> None:
    seed, moment = "JBSWY3DPEHPK3PXP" * 2, dt.datetime.fromtimestamp(at, dt.UTC)
    assert one_time_code("jbsw y3dp-ehpk 3pxp" * 2, moment) == pyotp.TOTP(seed).at(moment)


def test_what_is_no_seed_is_refused_without_showing_it() -> None:
    with pytest.raises(BadInput) as refused:
        one_time_code("not a seed 0189!", dt.datetime.now(dt.UTC))
    assert "0189" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"username": "someone", "password": ""}', '{"username": 5, "password": "x"}']
)
def test_a_login_that_lacks_something_names_its_secret(text: str) -> None:
    with pytest.raises(BadInput, match="rh-main-login"):
        Login.read(text, "rh-main-login")


def test_sealed_text_opens_with_its_key_alone() -> None:
    sealing = Sealing()
    key = sealing.new_key()
    sealed = sealing.seal(key, "a pair of tokens")
    assert "pair" not in sealed
    assert sealing.unseal(key, sealed) == "a pair of tokens"
    with pytest.raises(BadInput):
        sealing.unseal(sealing.new_key(), sealed)
    with pytest.raises(BadInput, match="no key") as refused:
        sealing.seal("nothing like a key", "x")
    assert "nothing like" not in str(refused.value)


# ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def line(answer: bytes | None) -> Iterator[tuple[str, list[bytes]]]:
    """A server of bytes: it reads a request, answers so much, and cuts the line."""
    listening, heard = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(65_536))
                while (told := re.search(rb"Content-Length: (\d+)\r\n.*?\r\n\r\n(.*)", heard[-1], re.DOTALL)) and len(
                    told[2]
                ) < int(told[1]):
                    heard[-1] += connection.recv(65_536)
                if answer:
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)


def replied(status: int, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}Connection: close\r\n\r\n".encode() + body


def test_a_port_that_nobody_listens_at_got_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as once:
        port = once.getsockname()[1]
    assert isinstance(RobinhoodLogin(base_url=f"http://127.0.0.1:{port}").refresh(GRANT), login.NotSent)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(None, id="cut before a byte came"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="cut in the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", id="cut in the body"),
        pytest.param(replied(200, b"<html>"), id="a page for people"),
    ],
)
def test_a_line_that_is_cut_after_the_request_lost_the_answer_and_nothing_is_sent_twice(answer: bytes | None) -> None:
    with line(answer) as (url, heard):
        assert isinstance(RobinhoodLogin(base_url=url).refresh(GRANT), login.ReplyLost)
    assert len(heard) == 1


def test_a_server_that_nobody_trusts_got_nothing(tmp_path: Path) -> None:
    """Such as a hotel's network, or a wrong clock: a refresh token that was not shown is not spent."""
    shown, private = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown, private)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        answer = RobinhoodLogin(base_url=f"https://127.0.0.1:{listening.getsockname()[1]}").refresh(GRANT)
        thread.join(5)
    assert isinstance(answer, login.NotSent)


def test_a_silent_server_lost_the_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        door = RobinhoodLogin(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.05)
        assert isinstance(door.refresh(GRANT), login.ReplyLost)


def test_a_redirect_is_not_followed_with_what_is_secret() -> None:
    with line(replied(200, b"{}")) as (other, went), line(replied(307, b"", f"Location: {other}/\r\n")) as (url, _):
        answer = RobinhoodLogin(base_url=url).refresh(GRANT)
        assert went == []
    assert isinstance(answer, login.ReplyLost)


def test_what_is_sent_is_a_form_with_the_host_that_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    body = json.dumps({"error": "invalid_grant"}).encode()
    with line(replied(401, body)) as (url, heard):
        assert RobinhoodLogin(base_url=url).refresh(GRANT) == login.GrantRefused()
    said = heard[0].decode()
    assert "X-Original-Host: api.robinhood.com" in said
    assert "Accept-Encoding: gzip, deflate\r\n" in said
    assert "refresh_token=a-refresh-token" in said
    assert "application/x-www-form-urlencoded" in said


def test_nothing_secret_is_shown_by_what_the_door_gives_back() -> None:
    body = json.dumps({"access_token": "a.very.secret", "refresh_token": "hidden-one"}).encode()
    with line(replied(200, body)) as (url, _):
        answer = RobinhoodLogin(base_url=url).log_in(Login("me@home", "horse", "ABC"), "a-device")
    assert isinstance(answer, login.Tokens)
    for secret in ("secret", "hidden", "horse", "me@home"):
        assert secret not in repr(answer) + repr(Login("me@home", "horse", "ABC"))


@pytest.mark.parametrize("told", [b"\xb2", b"9" * 400, b"-1", b"1.5", b"1e9", b"soon"])
def test_a_wait_that_is_no_number_of_seconds_breaks_nothing(told: bytes) -> None:
    """A throttled refresh is tried again; what comes of a good one must not be lost for a header."""
    with line(replied(429, b"{}", "Retry-After: SO\r\n").replace(b"SO", told)) as (url, _):
        answer = RobinhoodLogin(base_url=url).refresh(GRANT)
    assert isinstance(answer, login.Throttled)
    assert 0 < answer.seconds <= login.LONGEST


def test_a_wait_beyond_belief_is_cut() -> None:
    said = {"detail": f"Request was throttled. Expected available in {'9' * 400} seconds."}
    assert outcome(429, said) == login.Throttled(login.LONGEST)
