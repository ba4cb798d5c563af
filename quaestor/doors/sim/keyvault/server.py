"""The vault itself: who asks is known by his token, what he may do by his role, and all is answered as Key Vault does.

A request without a token that opens is answered 401 with a challenge: which tenant gives tokens, for which audience.
Lists come by pages, in no order of time. A deleted name is blocked until it is recovered or purged. `slow`: how often
each deletion and recovery is answered with "not yet" before it is done; `page`: rows of a page.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quaestor.doors.sim.faults import Fault, Row, Vendor
from quaestor.doors.sim.keyvault.identities import OFFICER, TENANT, VAULT, Identities, Token
from quaestor.doors.sim.keyvault.place import Place, opened
from quaestor.doors.sim.keyvault.safe import LONGEST, Safe, Version

NAME = re.compile(r"[0-9a-zA-Z-]{1,127}")
CLAIMS = base64.b64encode(b'{"access_token":{"nbf":{"essential":true,"value":"1"}}}').decode()
ACTIONS = {"GET": "get", "PUT": "set", "PATCH": "update", "DELETE": "delete", "POST": "recover"}
MISSING = "AKV10000: Request is missing a Bearer or PoP token."
BLOCKED = "is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the"


@dataclass(frozen=True)
class Seen:
    """A request that was answered: by whom, never with a value."""

    action: str
    path: str
    identity: str | None
    status: int


class KeyVaultServer(Vendor):
    """The server's state. The machine's own identity may do all, until `identity` is told otherwise.

    clock: the time that it is here; page: rows of a page of a list; slow: see above; tenant: whose tokens it takes.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        page: int = 25,
        slow: int = 0,
        tenant: str = TENANT,
        token_life: float = 86_400,
    ) -> None:
        super().__init__()
        self.clock, self.page, self.slow, self.tenant = clock, page, slow, tenant
        self.safe = Safe(lambda: int(clock().timestamp()))
        self.identity = Identities(clock, life=token_life)
        self.identity.allow("", OFFICER)
        self.seen: list[Seen] = []
        self._unfinished: dict[str, int] = {}
        ways = (
            "/secrets",
            "/secrets/{name}",
            "/secrets/{name}/",
            "/secrets/{name}/{number}",
            "/deletedsecrets",
            "/deletedsecrets/{name}",
        )
        methods = list(ACTIONS)
        routes = [Route(way, self._answer, methods=methods) for way in (*ways, "/deletedsecrets/{name}/recover")]
        self.app = Starlette(routes=routes)

    def open(self, folder: Path, port: int = 0, identity_port: int = 0) -> AbstractContextManager[Place]:
        """Serve for a `with` block; certificate and key lie in the folder. Port 0: a free one."""
        return opened(self.app, self.identity.app, self.identity.header, folder, port, identity_port)

    def throttle(self, times: int | None = 1, after: int = 1, action: str = "") -> None:
        """Answer 429 so many times (None: always), and to come again after so many seconds."""
        headers = {"Retry-After": str(after)}
        self.faults.append(Fault("status", symbol=action, times=times, status=429, headers=headers))

    def disable(self, name: str, number: str = "") -> None:
        """Disable a version, or the newest, as a person does in the portal."""
        version = self.safe.find(name, number)
        if version is not None:
            self.safe.change(version, {"attributes": {"enabled": False}})

    async def _answer(self, request: Request) -> Response:
        action, name = _asked(request), _named(request)
        token = self.identity.shown(request.headers.get("Authorization", ""))
        answer = self._refusal(token, action, name, request)
        struck = self._strikes(request, action, passing=answer is None)
        if answer is None and "status" not in struck:
            answer = self._done(request, action, name, await request.body())
        if answer is None or struck or answer.status_code == 200:
            body = json.loads(bytes(answer.body) or b"null") if answer is not None else None
            answer = await self.answer(request, body, struck)
        who = token.identity.client_id if token else None
        self.seen.append(Seen(action, request.url.path, who, answer.status_code))
        return answer

    def _strikes(self, request: Request, action: str, *, passing: bool) -> dict[str, Fault]:
        """The faults of this answer; those that are counted wait for a request that would be done."""
        if passing:
            return self.struck(request, action)
        always = [each for each in self.faults if each.times is None]
        return {each.kind: each for each in always if each.strikes(request.url.path, action, 1, request.method)}

    def _refusal(self, token: Token | None, action: str, name: str, request: Request) -> Response | None:
        if token is None or token.revoked or token.expires_at <= self.clock() or token.audience.rstrip("/") != VAULT:
            return self._challenge(token)
        if token.identity.tenant != self.tenant:
            words = f"AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{self.tenant}/, found another."
            return self._challenge(None, words)
        if "api-version" not in request.query_params:
            return _error(400, "BadParameter", "AKV10017: api-version must be specified.")
        if not token.identity.may(action, name):
            words = f"Caller is not authorized to perform action on resource.\r\nAction: '{action}'"
            return _error(403, "Forbidden", words, "ForbiddenByRbac")
        return None

    def _challenge(self, token: Token | None, words: str = MISSING) -> Response:
        told = f'Bearer authorization="https://login.microsoftonline.com/{self.tenant}", resource="{VAULT}"'
        if token is not None and token.revoked:
            told += f', error="insufficient_claims", claims="{CLAIMS}"'
        return _error(401, "Unauthorized", words, headers={"WWW-Authenticate": told})

    def _done(self, request: Request, action: str, name: str, body: bytes) -> Response:
        if not name:
            return self._list(request)
        if not NAME.fullmatch(name):
            return _error(400, "BadParameter", "The request URI contains an invalid name.")
        if "/deletedsecrets/" in request.url.path:
            return self._deleted(request, action, name)
        if action == "set":
            return self._set(request, name, json.loads(body or b"{}"))
        number = request.path_params.get("number", "")
        version = self.safe.find(name, "" if action == "list" else number)
        if version is None or self._not_yet(name):
            return _error(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return self._there(request, action, name, version, body)

    def _there(self, request: Request, action: str, name: str, version: Version, body: bytes) -> Response:
        if action == "list":
            return self._paged(request, [_row(request, name, each) for each in self.safe.unordered(name)])
        if action == "delete":
            self._unfinished[name] = self.slow
            return JSONResponse(self._gone(request, name, self.safe.delete(name)))
        if action == "update":
            self.safe.change(version, json.loads(body or b"{}"))
            return JSONResponse(_row(request, name, version))
        if not version.enabled:
            return _error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return JSONResponse(_row(request, name, version) | {"value": version.value})

    def _set(self, request: Request, name: str, asked: Row) -> Response:
        if name in self.safe.deleted:
            busy = "ObjectIsBeingDeleted" if self._unfinished.get(name) else "ObjectIsDeletedButRecoverable"
            return _error(409, "Conflict", f"Secret {name} {BLOCKED} secret can only be recovered or purged.", busy)
        if len(asked.get("value", "").encode()) > LONGEST:
            return _error(400, "BadParameter", "The value of the secret is too long.")
        version = self.safe.add(name, asked)
        return JSONResponse(_row(request, name, version) | {"value": version.value})

    def _deleted(self, request: Request, action: str, name: str) -> Response:
        if name not in self.safe.deleted or self._not_yet(name):
            return _error(404, "SecretNotFound", f"Deleted Secret not found: {name}")
        if action == "recover":
            self._unfinished[name] = self.slow
            return JSONResponse(_row(request, name, self.safe.recover(name)))
        if action == "purge":
            del self.safe.deleted[name]
            return Response(status_code=204)
        return JSONResponse(self._gone(request, name, self.safe.deleted[name][-1]))

    def _list(self, request: Request) -> Response:
        if request.url.path == "/deletedsecrets":
            rows = [self._gone(request, name, each[-1]) for name, each in sorted(self.safe.deleted.items())]
            return self._paged(request, rows)
        found = sorted(self.safe.secrets.items())
        return self._paged(request, [_row(request, name, versions[-1], whole=False) for name, versions in found])

    def _paged(self, request: Request, rows: Sequence[Row]) -> Response:
        asked = request.query_params
        first, size = int(asked.get("$skiptoken", 0)), min(self.page, int(asked.get("maxresults", self.page)))
        after = first + size
        link = request.url.include_query_params(**{"$skiptoken": after}) if after < len(rows) else None
        return JSONResponse({"value": list(rows[first:after]), "nextLink": str(link) if link else None})

    def _gone(self, request: Request, name: str, version: Version) -> Row:
        told = {"recoveryId": f"{request.base_url}deletedsecrets/{name}", "deletedDate": self.safe.now()}
        return _row(request, name, version, whole=False) | told | {"scheduledPurgeDate": self.safe.now() + 90 * 86_400}

    def _not_yet(self, name: str) -> bool:
        """Whether a deletion or recovery still goes on; each question brings its end nearer."""
        left = self._unfinished.get(name, 0)
        self._unfinished[name] = max(left - 1, 0)
        return left > 0


def _asked(request: Request) -> str:
    """What is to be done: a listing tells no values; the last word of a path may be a command."""
    action, path = ACTIONS[request.method], request.url.path
    if action == "get" and (path.endswith("/versions") or "name" not in request.path_params):
        return "list"
    return "purge" if action == "delete" and path.startswith("/deletedsecrets") else action


def _named(request: Request) -> str:
    return str(request.path_params.get("name", ""))


def _row(request: Request, name: str, version: Version, *, whole: bool = True) -> Row:
    """A version without its value; not whole: as the list of secrets names them, without a version."""
    there = f"{request.base_url}secrets/{name}" + (f"/{version.number}" if whole else "")
    row: Row = {"id": there, "attributes": version.attributes, "tags": version.tags}
    return row | ({"contentType": version.content_type} if version.content_type else {})


def _error(status: int, code: str, words: str, inner: str = "", headers: dict[str, str] | None = None) -> Response:
    error: Row = {"code": code, "message": words}
    if inner:
        error["innererror"] = {"code": inner}
    return JSONResponse({"error": error}, status, headers)
