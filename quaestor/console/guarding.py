"""The console's door-keeper: who may ask, and how much may be said at once.

A page in a browser must not reach the console through a name of its own that points at 127.0.0.1 (DNS rebinding): the
Host header must be an address, `localhost`, this machine's name, or one that was allowed. Everything but `/health`
wants the token; it is compared in constant time, and stands in no log.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/health",)  # what may be asked without the token
LARGEST = 64 * 1024  # bytes of a body
HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


class Guard:
    """Stands before the app."""

    def __init__(self, app: ASGIApp, *, token: str, names: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or hand on."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        refusal = self._refusal(scope["path"], headers)
        handler: ASGIApp = self._app if refusal is None else refusal
        await handler(scope, receive, _with_headers(send))

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> JSONResponse | None:
        if not allowed(headers.get(b"host", b"").decode("latin-1"), self._names):
            cure = "Ask by address or as localhost; allow another name with `quaestor console --allow-host NAME`."
            return answer(403, "Forbidden", "The console does not answer to this host name.", cure)
        if path in OPEN:
            return None
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token):
            return None
        cure = "Send `Authorization: Bearer …` with what stands in the file console.token of the data folder."
        refused = answer(401, "Unauthorized", "The token is missing or wrong.", cure)
        refused.headers["www-authenticate"] = "Bearer"
        return refused


def allowed(host: str, names: Iterable[str]) -> bool:
    """Whether a Host header is an address, or one of these names."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() and not host.endswith("]") else host
    name = name.lower().removesuffix(".")
    if name in names:
        return True
    try:
        return bool(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        return False


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *HEADERS]
        await send(message)

    return sending


def answer(status: int, error: str, message: str, cure: str, **more: Any) -> JSONResponse:
    """An error as JSON."""
    return JSONResponse({"error": error, "message": message, "cure": cure, **more}, status)


async def body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; refuses more than 64 KiB before it is read, and what is no object."""
    said = request.headers.get("content-length", "0")
    if not said.isdigit() or int(said) > LARGEST:
        raise HTTPException(413, f"A body may have {LARGEST} bytes at most.")
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > LARGEST:
            raise HTTPException(413, f"A body may have {LARGEST} bytes at most.")
    try:
        found = json.loads(read, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"The body is no JSON: {str(error)[:200]}.") from error
    if not isinstance(found, dict):
        raise HTTPException(400, f"The body is a {type(found).__name__}; one object in braces is wanted.")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is no number")
