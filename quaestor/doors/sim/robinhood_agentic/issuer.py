"""The login of the channel, locally: registration of a client, consent that is given at once, tokens, refresh.

A public client with PKCE (S256), loopback redirects alone, refresh tokens that are good for one use: as Robinhood's,
whose token address serves all its logins. For a whole Robinhood with one token address for all, see `sim.robinhood`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, Router

LIFE = 4 * 86_400  # seconds of an access token


class Issuer(Router):
    """An application with /oauth/trading/register, /oauth and /oauth2/token/; `accepts` knows its access tokens.

    consents: whether the person agrees; tampers: what the answer's state is changed to.
    """

    def __init__(self, life: float = LIFE) -> None:
        super().__init__(
            [
                Route("/oauth/trading/register", self._register, methods=["POST"]),
                Route("/oauth", self._authorize),
                Route("/oauth2/token/", self._token, methods=["POST"]),
            ]
        )
        self.life, self.consents, self.tampers = life, True, ""
        self.clients: dict[str, list[str]] = {}
        self._codes: dict[str, tuple[str, str, str]] = {}
        self._refresh: dict[str, str] = {}
        self._good = set[str]()

    def accepts(self, token: str) -> bool:
        """Whether it is a token of ours that was not revoked."""
        return token in self._good

    def revoke(self) -> None:
        """From now on no access token given so far is good."""
        self._good.clear()

    def token(self) -> str:
        """An access token that is good: a JSON Web Token."""
        now = int(time.time())
        claims = {"iat": now, "exp": now + int(self.life), "jti": secrets.token_hex(8)}
        made = ".".join(_b64(json.dumps(part).encode()) for part in ({"alg": "none"}, claims)) + ".c2ln"
        self._good.add(made)
        return made

    async def _register(self, request: Request) -> Response:
        asked = await request.json()
        uris = asked.get("redirect_uris") or []
        if not uris or any(urlsplit(uri).hostname not in {"127.0.0.1", "localhost", "::1"} for uri in uris):
            return JSONResponse({"error": "invalid_redirect_uri"}, 400)
        client = secrets.token_hex(16)
        self.clients[client] = uris
        return JSONResponse({**asked, "client_id": client}, 201)

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        known = self.clients.get(asked.get("client_id", ""), [])
        if asked.get("redirect_uri") not in known or asked.get("code_challenge_method") != "S256":
            return JSONResponse({"error": "invalid_request"}, 400)
        said = {"state": self.tampers or asked.get("state", "")}
        if self.consents:
            code = secrets.token_hex(16)
            self._codes[code] = (asked["client_id"], asked["redirect_uri"], asked.get("code_challenge", ""))
            said["code"] = code
        else:
            said["error"] = "access_denied"
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(said)}", 302)

    async def _token(self, request: Request) -> Response:
        asked = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        if asked.get("grant_type") == "refresh_token":
            good = self._refresh.pop(asked.get("refresh_token", ""), None) == asked.get("client_id")
            return self._pair(asked["client_id"]) if good else JSONResponse({"error": "invalid_grant"}, 401)
        client, uri, challenge = self._codes.pop(asked.get("code", ""), ("", "", ""))
        shown = _b64(hashlib.sha256(asked.get("code_verifier", "").encode()).digest())
        if not client or (client, uri, challenge) != (asked.get("client_id"), asked.get("redirect_uri"), shown):
            return JSONResponse({"error": "invalid_grant"}, 400)
        return self._pair(client)

    def _pair(self, client: str) -> Response:
        refresh = secrets.token_urlsafe(32)
        self._refresh[refresh] = client
        said = {"access_token": self.token(), "refresh_token": refresh, "token_type": "Bearer"}
        return JSONResponse({**said, "expires_in": int(self.life), "scope": "internal"})


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
