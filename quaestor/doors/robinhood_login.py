"""Robinhood's token endpoint, and how it has a device approved: one request for each call, and none sent twice.

    POST /oauth2/token/                              tokens by password, or by a refresh token
    POST /pathfinder/user_machine/                   which device waits
    GET  /pathfinder/inquiries/ID/user_view/         how the person is asked
    GET  /push/ID/get_prompts_status/                whether he tapped on his phone
    POST /challenge/ID/respond/                      the code that he was sent
    POST /pathfinder/inquiries/ID/user_view/         the end of it
    GET  /positions/?nonzero=true                    whether an access token is taken

Never robin_stocks' login: it asks on stdin, loops without an end, and empties its file of tokens when a login fails.
What is sent and what came never stand in an error. Whether a request was sent counts: a line that never came about is
`NotSent`; one that broke later is `ReplyLost`, for the refresh token may be spent.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3
from certifi import where

from quaestor.custody import login as said
from quaestor.custody.login import CLIENT, Challenge, Login, NotSent, Outcome, ReplyLost
from quaestor.custody.tokens import AccessToken, RefreshGrant
from quaestor.errors import BadInput, LoginRefused, LoginThrottled, Temporary
from quaestor.ports_custody import Answer

API = "https://api.robinhood.com"
HOST = "api.robinhood.com"
CONNECT = 3.05  # seconds until a connection
LARGEST = 1_000_000  # bytes of an answer
UNSENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.LocationValueError,
)
UNTRUSTED = (ssl.SSLCertVerificationError, urllib3.util.ssl_match_hostname.CertificateError)  # before a byte is sent
FORM = "application/x-www-form-urlencoded; charset=utf-8"
JSON = "application/json"


class RobinhoodLogin:
    """Implements `ports_custody.LoginDoor`. timeout: seconds; base_url: a protocol server in Robinhood's place.

    Environment, proxies and .netrc have no part in it: urllib3's pool knows none of them. Redirects are not followed:
    what is shown here goes nowhere else.
    """

    def __init__(self, *, timeout: float = 16.0, app_version: str = "1.431.4", base_url: str = "") -> None:
        self._base = (base_url or API).rstrip("/")
        self._headers = {
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate",
            "Accept-Language": "en-US,en;q=1",
            "X-Robinhood-API-Version": app_version,
            "User-Agent": "*",
        }
        if base_url:
            self._headers["X-Original-Host"] = HOST
        self._whole = 2 * timeout  # seconds for one whole answer
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=CONNECT, read=timeout), ca_certs=where()
        )
        self._lock = threading.Lock()  # one request of a login at a time

    # ── tokens ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def log_in(self, login: Login, device_token: str, code: str = "") -> Outcome:
        """Ask for tokens by password."""
        form = {
            "client_id": CLIENT,
            "expires_in": "86400",  # what is asked for is not heeded
            "grant_type": "password",
            "username": login.username,
            "password": login.password,
            "scope": "internal",
            "device_token": device_token,
            "try_passkeys": "False",
            "token_request_path": "/login",
            "create_read_only_secondary_token": "True",
        } | ({"mfa_code": code} if code else {})
        return self._tokens(form, with_code=bool(code))

    def refresh(self, grant: RefreshGrant) -> Outcome:
        """Ask for the next pair of tokens."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": grant.refresh_token,
            "scope": "internal",
            "client_id": grant.client_id,
            "expires_in": "734000",
        } | ({"device_token": grant.device_token} if grant.device_token else {})
        return self._tokens(form)

    def probe(self, access: AccessToken) -> bool | None:
        """Whether the broker takes the token."""
        found = self._ask("GET", "/positions/?nonzero=true", headers={"Authorization": access.header})
        if isinstance(found, NotSent | ReplyLost):
            return None
        return {200: True, 401: False}.get(found[0])

    def _tokens(self, form: Mapping[str, str], *, with_code: bool = False) -> Outcome:
        found = self._ask("POST", "/oauth2/token/", urlencode(form).encode(), {"Content-Type": FORM})
        if isinstance(found, NotSent | ReplyLost):
            return found
        status, body, wait = found
        return said.outcome(status, body, with_code=with_code, wait=wait)

    # ── approval ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def begin_approval(self, device_token: str, workflow: str) -> str:
        """Say which device waits; the inquiry's id."""
        body = {"device_id": device_token, "flow": "suv", "input": {"workflow_id": workflow}}
        found = self._approval("POST", "/pathfinder/user_machine/", body)
        if not isinstance(found, dict) or not found.get("id"):
            raise LoginRefused("Robinhood did not say how this device is approved. Try again in ten minutes.")
        return _id(found["id"])

    def challenge(self, inquiry: str) -> Challenge | None:
        """How the person is asked."""
        return said.challenge(self._approval("GET", f"/pathfinder/inquiries/{_id(inquiry)}/user_view/"))

    def prompt(self, challenge: Challenge) -> Answer:
        """Whether the person tapped."""
        return said.verdict(self._approval("GET", f"/push/{_id(challenge.id)}/get_prompts_status/"))

    def respond(self, challenge: Challenge, code: str) -> Answer:
        """Hand in the code."""
        form = urlencode({"response": code}).encode()
        found = self._ask("POST", f"/challenge/{_id(challenge.id)}/respond/", form, {"Content-Type": FORM})
        if not isinstance(found, NotSent | ReplyLost) and found[0] in {400, 401, 403, 404}:
            return "refused"
        return said.verdict(_understood(found))

    def finish(self, inquiry: str) -> Answer:
        """End the inquiry."""
        body = {"sequence": 0, "user_input": {"status": "continue"}}
        return said.verdict(self._approval("POST", f"/pathfinder/inquiries/{_id(inquiry)}/user_view/", body))

    def _approval(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        sent = json.dumps(body).encode() if body is not None else None
        return _understood(self._ask(method, path, sent, {"Content-Type": JSON} if sent else {}))

    # ── the wire ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, float | None] | NotSent | ReplyLost:
        """Status, JSON (None where it is none) and Retry-After; a body is read to its end or counts as lost."""
        with self._lock:
            try:
                response = self._pool.request(
                    method,
                    self._base + path,
                    body=body,
                    headers={**self._headers, **(headers or {})},
                    redirect=False,
                    preload_content=False,
                )
            except UNSENT as error:
                return NotSent(f"Robinhood cannot be reached ({type(error).__name__}).")
            except urllib3.exceptions.HTTPError as error:
                if isinstance(error.args[0] if error.args else None, UNTRUSTED):
                    return NotSent("What answers in Robinhood's place shows a certificate that is not trusted.")
                return ReplyLost(f"Robinhood's answer did not come ({type(error).__name__}).")
            return _read(response, time.monotonic() + self._whole)


def _read(response: urllib3.BaseHTTPResponse, end: float) -> tuple[int, Any, float | None] | ReplyLost:
    """To the end of the answer, but no longer than until `end` (monotonic seconds)."""
    text = bytearray()
    try:
        while part := response.read1(65_536, decode_content=True):
            text += part
            if len(text) > LARGEST or time.monotonic() > end:
                response.close()
                return ReplyLost("Robinhood's answer does not come to an end.")
        response.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        response.close()
        return ReplyLost(f"Robinhood's answer broke off ({type(error).__name__}).")
    told = response.headers.get("Retry-After", "")
    wait = float(told) if re.fullmatch(r"[0-9]{1,9}", told) else None
    try:
        return response.status, json.loads(text), wait
    except (ValueError, RecursionError):
        if response.status == 200:
            return ReplyLost("Robinhood's answer is no JSON.")
        return response.status, None, wait


def _understood(found: tuple[int, Any, float | None] | NotSent | ReplyLost) -> Any:
    """An approval's answer; raises Temporary, LoginThrottled, LoginRefused."""
    if isinstance(found, NotSent | ReplyLost):
        raise Temporary(found.why)
    status, body, wait = found
    if status == 429:
        throttled = said.outcome(status, body, wait=wait)
        raise LoginThrottled(None, getattr(throttled, "seconds", said.THROTTLED))
    if status >= 500:
        raise Temporary(f"Robinhood answered HTTP {status} while a person's approval was awaited.")
    if status >= 400 and said.verdict(body) != "approved":
        raise LoginRefused(f"Robinhood ended the approval (HTTP {status}). Try again in ten minutes.")
    return body


def _id(text: Any) -> str:
    """An id of theirs, as it may stand in a path."""
    if not isinstance(text, str) or not re.fullmatch(r"[\w-]{1,80}", text):
        raise BadInput("Robinhood named something that cannot stand in an address; nothing was sent there.")
    return text
