"""Auth: logging in, refreshing, revoking; access tokens live for days, refresh tokens for one use.

A login with password, device and second factor starts a chain. A refresh gives the chain's next pair: the refresh token
that was shown dies at once (shown again: 401 invalid_grant), and the access token before is revoked. Whoever loses the
answer to a refresh has lost the chain; with `grace`, the same old token gives the same new pair for that long.

The official client comes without password and device: authorization_code with PKCE (RFC 7636, S256) at the same
address, under its own client id; its chains refresh in the same way.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import pyotp

from quaestor.doors.sim.robinhood.approvals import Approvals
from quaestor.doors.sim.robinhood.people import Person
from quaestor.doors.sim.robinhood.wire import REQUIRED, Answer, Ask, Refused, Way, throttled

WEB = "c82SH0WZOsabOXGP2sxqcj34FxkvfnWRZBKlBjFS"  # the web app's client id, which robin_stocks sends
INVALID = {"error": "invalid_grant"}
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})


@dataclass(frozen=True)
class Chain:
    """What a login began: whose, by which client, on which device."""

    person: Person
    client: str
    device: str = ""
    kind: Literal["password", "oauth"] = "password"
    id: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Code:
    """An authorization code that was given out: for which client, where to, and what proves that it is the same."""

    person: Person
    client: str
    redirect: str
    challenge: str


@dataclass
class Auth:
    """Who is logged in, the knobs, and counters. Times are `clock`'s; a second factor may also be the wall clock's.

    life, official_life: of access tokens; grace: how long a spent refresh token gives its pair again; patience: failed
    logins until all are throttled for `cool_down`; asks_again: a refresh is answered with a verification workflow.
    """

    people: Sequence[Person]
    clock: Callable[[], dt.datetime]
    life: dt.timedelta = dt.timedelta(days=6)
    official_life: dt.timedelta = dt.timedelta(days=4)
    grace: dt.timedelta = dt.timedelta()
    patience: int = 3
    cool_down: dt.timedelta = dt.timedelta(minutes=10)
    asks_again: bool = False
    logins: int = 0
    refreshes: int = 0
    refusals: int = 0

    def __post_init__(self) -> None:
        self.approvals = Approvals(self.trust)
        self.trusted = {(person.username, device) for person in self.people for device in person.devices}
        self.clients: dict[str, list[str]] = {}  # official ones, with where they may be sent to
        self._key = secrets.token_bytes(32)
        self._access: dict[str, tuple[Chain, dt.datetime]] = {}
        self._refresh: dict[str, Chain] = {}
        self._spent: dict[str, tuple[dt.datetime, Mapping[str, Any]]] = {}
        self._failed: dict[str, list[dt.datetime]] = {}
        self._codes: dict[str, Code] = {}

    # ── what tests and neighbours call ────────────────────────────────────────────────────────────────────────────────

    def bearer(self, token: str) -> Person | None:
        """Whose access token it is; None for one that is unknown, revoked or too old."""
        chain, ends = self._access.get(token, (None, None))
        return chain.person if chain is not None and ends is not None and self.clock() < ends else None

    def trust(self, person: Person, device: str) -> None:
        """From now on the device logs in without approval."""
        self.trusted.add((person.username, device))

    def revoke(self, person: Person | None = None) -> None:
        """All access tokens, or that person's, end now; refresh tokens stay good."""
        for token in [token for token, (chain, _) in self._access.items() if person in {None, chain.person}]:
            del self._access[token]

    def break_chains(self, person: Person | None = None) -> None:
        """Refresh and access tokens end now, as after a changed password; devices are trusted no more."""
        self.revoke(person)
        for token in [token for token, chain in self._refresh.items() if person in {None, chain.person}]:
            del self._refresh[token]
        self._spent.clear()
        self.trusted = {each for each in self.trusted if person is not None and each[0] != person.username}

    def mint(self, person: Person, device: str = "browser", *, client: str = WEB) -> Mapping[str, Any]:
        """A chain as a browser's login leaves it, for `auth import`: the token reply."""
        self.trust(person, device)
        return self._pair(Chain(person, client, device))

    def register(self, redirects: Sequence[str]) -> str:
        """A new official client (RFC 7591), which may be sent to these addresses on the loopback; its id."""
        if not redirects or any(urlsplit(each).hostname not in LOOPBACK for each in redirects):
            raise Refused(400, {"error": "invalid_redirect_uri"})
        client = secrets.token_urlsafe(24)
        self.clients[client] = list(redirects)
        return client

    def authorize(self, person: Person, client: str, redirect: str, challenge: str) -> str:
        """The person agrees in the browser; the code. `challenge`: base64url of the verifier's SHA-256."""
        if not any(_same_but_port(each, redirect) for each in self.clients.get(client, [])) or not challenge:
            raise Refused(400, {"error": "invalid_request"})
        code = secrets.token_urlsafe(24)
        self._codes[code] = Code(person, client, redirect, challenge)
        return code

    # ── over the wire ─────────────────────────────────────────────────────────────────────────────────────────────────

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("POST", "/oauth2/token/", self._token, free=True),
            Way("POST", "/oauth2/revoke_token/", self._revoke, free=True),
            Way("GET", "/oauth", self._browser, host="robinhood", free=True),
            Way("POST", "/oauth/trading/register", self._register, host="agent", free=True),
            *self.approvals.ways(),
        ]

    def _token(self, ask: Ask) -> Answer:
        grants = {"password": self._login, "refresh_token": self._next, "authorization_code": self._exchange}
        try:
            if (grant := ask.text("grant_type")) not in grants:
                raise Refused(403, {"error": "unsupported_grant_type"})
            return Answer(grants[grant](ask))
        except Refused:
            self.refusals += 1
            raise

    def _login(self, ask: Ask) -> Mapping[str, Any]:
        name, device = ask.text("username"), ask.text("device_token")
        if missing := [each for each in ("username", "password", "device_token") if not ask.text(each)]:
            raise Refused(400, {each: [REQUIRED] for each in missing})
        if ask.text("client_id") != WEB:
            raise Refused(401, {"error": "invalid_client"})
        self._throttle(name)
        person = next((each for each in self.people if each.username == name), None)
        if person is None or not hmac.compare_digest(person.password.encode(), ask.text("password").encode()):
            raise self._fail(name, "Unable to log in with provided credentials.")
        if person.totp_seed and not ask.text("mfa_code"):
            return {"mfa_required": True, "mfa_type": "app"}
        if person.totp_seed and not self._is_code(person, ask.text("mfa_code")):
            raise self._fail(name, "Please enter a valid code.")
        if self.approvals.required and (name, device) not in self.trusted:
            raise self.approvals.begin(person, device)
        self.trust(person, device)
        self.logins += 1
        self._failed.pop(name, None)
        return self._pair(Chain(person, WEB, device))

    def _throttle(self, name: str) -> None:
        failed = [at for at in self._failed.get(name, []) if self.clock() - at < self.cool_down]
        if len(failed) >= self.patience:
            raise throttled((failed[-1] + self.cool_down - self.clock()).total_seconds())

    def _fail(self, name: str, words: str) -> Refused:
        self._failed.setdefault(name, []).append(self.clock())
        return Refused(400, {"detail": words})

    def _is_code(self, person: Person, code: str) -> bool:
        """By our clock or by the wall's: a rehearsal's clock stands elsewhere than the phone's."""
        totp, now = pyotp.TOTP(person.totp_seed), dt.datetime.now(dt.UTC)
        return any(totp.verify(code, for_time=at, valid_window=1) for at in (self.clock(), now))

    def _next(self, ask: Ask) -> Mapping[str, Any]:
        shown = ask.text("refresh_token")
        if self.asks_again and shown in self._refresh:
            flow = self.approvals.begin(self._refresh[shown].person, self._refresh[shown].device)
            raise flow
        at, again = self._spent.get(shown, (None, None))
        if at is not None and again is not None and self.clock() - at < self.grace:
            return again
        chain = self._refresh.get(shown)
        device = ask.text("device_token")
        wrong = chain is None or ask.text("client_id") != chain.client or device not in {"", chain.device}
        if chain is None or wrong:
            raise Refused(401, INVALID)
        self.refreshes += 1
        pair = self._pair(chain)
        self._spent[shown] = self.clock(), pair
        return pair

    def _exchange(self, ask: Ask) -> Mapping[str, Any]:
        code = self._codes.pop(ask.text("code"), None)
        proof = hashlib.sha256(ask.text("code_verifier").encode()).digest()
        shown = base64.urlsafe_b64encode(proof).rstrip(b"=").decode()
        told = (ask.text("client_id"), ask.text("redirect_uri"), shown)
        if code is None or told != (code.client, code.redirect, code.challenge):
            raise Refused(400, INVALID)
        self.logins += 1
        return self._pair(Chain(code.person, code.client, kind="oauth"))

    def _pair(self, chain: Chain) -> Mapping[str, Any]:
        """The chain's next tokens; those before are dead."""
        for token in [token for token, (each, _) in self._access.items() if each.id == chain.id]:
            del self._access[token]
        for token in [token for token, each in self._refresh.items() if each.id == chain.id]:
            del self._refresh[token]
        life = self.life if chain.kind == "password" else self.official_life
        access, refresh = self._signed(chain, life), secrets.token_hex(20)
        self._access[access], self._refresh[refresh] = (chain, self.clock() + life), chain
        said = {"access_token": access, "expires_in": round(life.total_seconds()), "token_type": "Bearer"}
        said |= {"scope": "internal", "refresh_token": refresh, "user_uuid": chain.person.id}
        return said | ({} if chain.kind == "oauth" else {"mfa_code": None, "backup_code": None})

    def _signed(self, chain: Chain, life: dt.timedelta) -> str:
        """A JSON Web Token (RFC 7519), HS256."""
        now = int(self.clock().timestamp())
        claims = {"iat": now, "exp": now + int(life.total_seconds()), "user_id": chain.person.id, "scope": "internal"}
        claims |= {"client_id": chain.client, "jti": secrets.token_hex(8)}
        head = ".".join(_packed(each) for each in ({"alg": "HS256", "typ": "JWT"}, claims))
        return f"{head}.{_packed(hmac.digest(self._key, head.encode(), 'sha256'))}"

    def _revoke(self, ask: Ask) -> Answer:
        """An access token ends alone, a refresh token with its chain."""
        token = ask.text("token")
        self._access.pop(token, None)
        if chain := self._refresh.pop(token, None):
            self._access = {each: held for each, held in self._access.items() if held[0].id != chain.id}
        return Answer()

    def _browser(self, ask: Ask) -> Answer:
        """The page on which a person agrees; he does so at once."""
        asked = ask.query
        if (asked.get("response_type"), asked.get("code_challenge_method")) != ("code", "S256") or not self.people:
            raise Refused(400, {"error": "invalid_request"})
        redirect = asked.get("redirect_uri", "")
        code = self.authorize(self.people[0], asked.get("client_id", ""), redirect, asked.get("code_challenge", ""))
        query = urlencode({"code": code} | ({"state": asked["state"]} if "state" in asked else {}))
        return Answer({}, 302, {"Location": f"{redirect}{'&' if '?' in redirect else '?'}{query}"})

    def _register(self, ask: Ask) -> Answer:
        redirects = ask.body.get("redirect_uris")
        client = self.register(redirects if isinstance(redirects, list) else [])
        public = {"token_endpoint_auth_method": "none", "grant_types": ["authorization_code", "refresh_token"]}
        return Answer({"client_id": client, "redirect_uris": redirects, "response_types": ["code"], **public}, 201)


def _packed(part: Mapping[str, Any] | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _same_but_port(registered: str, shown: str) -> bool:
    """A loopback address may have any port when it is used (RFC 8252, section 7.3)."""
    one, two = urlsplit(registered), urlsplit(shown)
    return (one.scheme, one.hostname, one.path) == (two.scheme, two.hostname, two.path)
