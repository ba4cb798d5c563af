"""The login to the channel: OAuth 2.1 with PKCE, as its discovery documents say, in the person's own browser.

    .well-known/oauth-protected-resource ─▶ whose logins it takes ─▶ .well-known/oauth-authorization-server
      ─▶ we register (RFC 7591): a public client, with this redirect alone ─▶ the person agrees, in a browser
      ─▶ http://localhost:PORT/callback?code&state ─▶ the code and our verifier (S256) for a pair of tokens

No password is seen here. Addresses come out of documents, so each is held against the hosts that a login may touch:
Robinhood's, by https; on a protocol server, its own. The redirect comes to this machine; where the browser is on
another one, the person pastes the address that it could not open.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from quaestor.custody.login import Tokens
from quaestor.doors.robinhood_agentic.line import URL
from quaestor.errors import LoginRefused, Temporary

DOMAIN = "robinhood.com"
CLIENT_NAME = "Quaestor"
SCOPE = "internal"
SECONDS = 300.0  # for a person to agree
PAGE = b"<!doctype html><title>Quaestor</title><p>Done. You may close this page and go back to the terminal."


@dataclass(frozen=True)
class Granted:
    """What a login gives: the tokens, and the client that may refresh them."""

    tokens: Tokens
    client_id: str = field(repr=False)


@dataclass(frozen=True)
class _Places:
    """Where each step goes."""

    resource: str
    register: str
    authorize: str
    token: str


def log_in(
    url: str,
    show: Callable[[str], None],
    *,
    paste: Callable[[], str] | None = None,
    seconds: float = SECONDS,
    timeout: float = 10.0,
) -> Granted:
    """Log in once; blocks until the person agreed. show: gets the address to open in a browser.

    paste: asks the person for the address that his browser was sent to; without it, it is waited for on this machine.
    Raises LoginRefused where it came to nothing, Temporary where Robinhood does not answer: nothing was changed then.
    """
    resource = url or URL
    with _Callback() as callback, httpx2.Client(timeout=timeout, trust_env=False) as client:
        try:
            places = _discover(client, resource)
            client_id = _register(client, places, callback.redirect)
            verifier, state = secrets.token_urlsafe(64), secrets.token_urlsafe(32)
            show(_address(places, client_id, callback.redirect, verifier, state))
            said = _query(paste()) if paste is not None else callback.wait(seconds)
            code = _code(said, state)
            return Granted(_exchange(client, places, client_id, callback.redirect, code, verifier), client_id)
        except httpx2.HTTPError as error:
            raise Temporary(f"Robinhood does not answer ({type(error).__name__}); nothing was stored.") from error


# ── what the documents say ────────────────────────────────────────────────────────────────────────────────────────────


def _discover(client: httpx2.Client, resource: str) -> _Places:
    parts = urlsplit(resource)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    about = _json(client, [f"{origin}/.well-known/oauth-protected-resource{path}"], resource)
    if str(about.get("resource")).rstrip("/") != resource.rstrip("/"):
        raise LoginRefused(f"The channel calls itself {about.get('resource')!r}, which is not {resource}.")
    issuers = about.get("authorization_servers") or [origin]
    issuer = urlsplit(_allowed(str(issuers[0]), resource))
    known = f"{issuer.scheme}://{issuer.netloc}/.well-known/oauth-authorization-server"
    server = _json(client, [known + issuer.path.rstrip("/"), known], resource)
    if "S256" not in (server.get("code_challenge_methods_supported") or ()):
        raise LoginRefused("The channel's login knows no PKCE with S256; nothing was sent.")
    names = ("registration_endpoint", "authorization_endpoint", "token_endpoint")
    return _Places(resource, *(_allowed(str(server.get(name) or ""), resource) for name in names))


def _json(client: httpx2.Client, urls: list[str], resource: str) -> Mapping[str, Any]:
    """The first of these documents that is there."""
    for url in urls:
        answer = client.get(_allowed(url, resource))
        if answer.status_code == 200:
            return _object(answer)
    raise LoginRefused(f"{urls[0]} is not there; is [robinhood_agentic] url right?")


def _allowed(url: str, resource: str) -> str:
    """The address, where a login may go there."""
    parts, ours = urlsplit(url), urlsplit(resource)
    host = parts.hostname or ""
    if parts.scheme == "https" and _robinhoods(host):
        return url
    if not _robinhoods(ours.hostname or "") and (parts.scheme, parts.netloc) == (ours.scheme, ours.netloc):
        return url
    raise LoginRefused(f"The login was to go to {parts.scheme}://{host}, which is not Robinhood's; nothing was sent.")


def _robinhoods(host: str) -> bool:
    return host == DOMAIN or host.endswith("." + DOMAIN)


# ── the steps ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _register(client: httpx2.Client, places: _Places, redirect: str) -> str:
    asked = {
        "client_name": CLIENT_NAME,
        "redirect_uris": [redirect],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
        "scope": SCOPE,
    }
    answer = client.post(places.register, json=asked)
    client_id = _object(answer).get("client_id") if answer.status_code in {200, 201} else None
    if not isinstance(client_id, str) or not client_id:
        raise LoginRefused(f"Robinhood registers no client ({_why(answer)}).")
    return client_id


def _address(places: _Places, client_id: str, redirect: str, verifier: str, state: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "scope": SCOPE,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "resource": places.resource,
    }
    return f"{places.authorize}{'&' if urlsplit(places.authorize).query else '?'}{urlencode(asked)}"


def _code(said: Mapping[str, str], state: str) -> str:
    if not said:
        raise LoginRefused("Nobody agreed in time. Run it again, and open the address in a browser on a desktop.")
    if not hmac.compare_digest(said.get("state", ""), state):
        raise LoginRefused("The answer belongs to another login (its state differs); nothing was stored.")
    if "code" not in said:
        raise LoginRefused(
            f"Robinhood gave no access: {said.get('error_description') or said.get('error') or 'no code'}."
        )
    return said["code"]


def _exchange(
    client: httpx2.Client, places: _Places, client_id: str, redirect: str, code: str, verifier: str
) -> Tokens:
    asked = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "redirect_uri": redirect,
        "code": code,
        "code_verifier": verifier,
        "resource": places.resource,
    }
    answer = client.post(places.token, data=asked)
    told = _object(answer) if answer.status_code == 200 else {}
    access, refresh = told.get("access_token"), told.get("refresh_token")
    if not isinstance(access, str) or not isinstance(refresh, str) or not (access and refresh):
        raise LoginRefused(f"Robinhood gave no pair of tokens ({_why(answer)}). Run it again.")
    return Tokens(access, refresh, str(told.get("token_type") or "Bearer"))


def _object(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise LoginRefused(f"{urlsplit(str(answer.url)).path} is no JSON object; nothing was stored.")
    return told


def _why(answer: httpx2.Response) -> str:
    """A refusal in a few words: its status and error code, nothing else of it."""
    try:
        error = str(answer.json().get("error") or "")[:60]
    except (ValueError, AttributeError):
        error = ""
    return f"{answer.status_code} {error}".strip()


# ── the way back ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _query(address: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address.strip()).query).items()}


class _Callback:
    """Listens on the loopback for the one redirect; `redirect`: its address."""

    def __init__(self) -> None:
        self._came: Mapping[str, str] = {}
        self._here = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            """Takes /callback, and shows a page that says so."""

            def do_GET(self) -> None:  # as its class wants it
                ours = urlsplit(self.path).path == "/callback"
                self.send_response(200 if ours else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(PAGE if ours else b"")
                if ours and not outer._here.is_set():
                    outer._came = _query(self.path)
                    outer._here.set()

            def log_message(self, *_: Any) -> None:
                """Nothing: the address holds the code."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.redirect = f"http://localhost:{self._server.server_port}/callback"

    def wait(self, seconds: float) -> Mapping[str, str]:
        """What came with the redirect; nothing where none came in time."""
        self._here.wait(seconds)
        return self._came

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
