"""The channel's server: the official SDK's own, behind a check of the bearer token, with the discovery documents.

`app` is an ASGI application for any server, also one that sends no lifespan: the SDK's session manager is started by
the first request. Faults of HTTP (a status before any work, a reply lost once the work is done) are played here; those
of the tools, on the desk. By hand, the market is moved and orders are approved at /sim/….
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from mcp.server.lowlevel import Server
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from quaestor.doors.sim.robinhood_agentic.book import Book, Clock, Knobs, Market, Refusal, now
from quaestor.doors.sim.robinhood_agentic.desk import Desk
from quaestor.doors.sim.robinhood_agentic.tools import schemas

if TYPE_CHECKING:
    from mcp_types import CallToolRequestParams, PaginatedRequestParams

PATH = "/mcp/trading"
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Send], Awaitable[None]]


class RobinhoodAgenticServer:
    """Serves the tools to whoever shows a token that `accepts` takes.

    issuer: an application that answers the login's paths (`Issuer`), where this server is to have one.
    """

    def __init__(
        self,
        book: Book,
        accepts: Callable[[str], bool],
        *,
        page: int = 50,
        issuer: Router | None = None,
        clock: Clock = now,
        market: Market | None = None,
    ) -> None:
        self.knobs = Knobs()
        self.desk = Desk(book, self.knobs, page=page, clock=clock, market=market)
        self._accepts, self._issuer = accepts, issuer
        self._server: Server[Any] = Server("robinhood-trading", on_list_tools=self._list, on_call_tool=self._call)
        self._inner: App = self._server.streamable_http_app(streamable_http_path=PATH, json_response=True)
        self._documents = Router(
            [
                Route("/.well-known/oauth-protected-resource" + PATH, self._resource),
                Route("/.well-known/oauth-authorization-server" + PATH, self._authority),
                Route("/.well-known/oauth-authorization-server", self._authority),
                Route("/sim/quote", self._quote, methods=["POST"]),
                Route("/sim/approve", self._approve, methods=["POST"]),
            ]
        )
        self._managing: asyncio.Task[None] | None = None
        self.refused = 0

    @property
    def app(self) -> App:
        """The ASGI application: a plain function, by which servers know it."""

        async def app(scope: Any, receive: Any, send: Send) -> None:
            await self._answer(scope, receive, send)

        return app

    async def _answer(self, scope: Any, receive: Any, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path.startswith(("/.well-known/", "/sim/")):
            await self._documents(scope, receive, send)
        elif path.rstrip("/") != PATH:
            answer = self._issuer or Response(status_code=404)
            await answer(scope, receive, send)
        else:
            await self._guarded(scope, receive, send)

    async def move(self, symbol: str, bid: Decimal, ask: Decimal) -> None:
        """The market moves, and fills what it reaches."""
        await self.desk.move(symbol, bid, ask)

    # ── at the door ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _guarded(self, scope: Any, receive: Any, send: Send) -> None:
        kind, _, token = Request(scope).headers.get("authorization", "").partition(" ")
        if kind != "Bearer" or not self._accepts(token):
            self.refused += 1
            await Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})(scope, receive, send)
            return
        await self._manage()
        body = await _body(receive)
        calls = b'"tools/call"' in body
        if calls and self.knobs.statuses:
            status = self.knobs.statuses.pop(0)
            headers = {"Retry-After": "0.2"} if status == 429 else {}
            await Response("asked for", status, headers)(scope, receive, send)
            return
        drops = calls and self.knobs.drop_after > 0
        self.knobs.drop_after -= drops
        await self._inner(scope, _again(body, receive), _nowhere if drops else send)
        if drops:
            raise ConnectionError("the reply was lost, as asked")

    async def _manage(self) -> None:
        """Run the SDK's session manager, in this loop, for as long as it lives."""
        if self._managing is not None and not self._managing.done():
            return
        ready = asyncio.Event()

        async def hold() -> None:
            async with self._server.session_manager.run():
                ready.set()
                await asyncio.Event().wait()

        self._managing = asyncio.create_task(hold(), name="agentic-sessions")
        await ready.wait()

    async def _resource(self, request: Request) -> Response:
        here = _here(request)
        said = {"resource": here + PATH, "authorization_servers": [here + PATH], "scopes_supported": ["internal"]}
        return JSONResponse(said)

    async def _authority(self, request: Request) -> Response:
        here = _here(request)
        return JSONResponse(
            {
                "issuer": here + PATH,
                "authorization_endpoint": here + "/oauth",
                "token_endpoint": here + "/oauth2/token/",
                "registration_endpoint": here + "/oauth/trading/register",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "scopes_supported": ["internal"],
            }
        )

    async def _quote(self, request: Request) -> Response:
        """By hand: the market moves."""
        asked = await request.json()
        try:
            await self.move(str(asked["symbol"]), Decimal(str(asked["bid"])), Decimal(str(asked["ask"])))
        except (LookupError, TypeError, InvalidOperation):
            return JSONResponse({"detail": "symbol, bid and ask, please"}, 400)
        return JSONResponse({})

    async def _approve(self, _: Request) -> Response:
        """By hand: the owner approves whatever waits for him."""
        waiting = list(self.desk.waiting)
        for ref_id in waiting:
            await self.desk.approve(ref_id)
        return JSONResponse({"approved": waiting})

    # ── the tools ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _list(self, _: Any, __: PaginatedRequestParams | None) -> ListToolsResult:
        told = schemas()
        if self.knobs.bend is not None:
            self.knobs.bend(told)
        return ListToolsResult(tools=[Tool(name=name, input_schema=schema) for name, schema in told.items()])

    async def _call(self, _: Any, params: CallToolRequestParams) -> CallToolResult:
        arguments = dict(params.arguments or {})
        try:
            if params.name not in schemas():
                raise Refusal(f"unknown tool {params.name}")
            told = await self.desk.answer(params.name, arguments)
        except Refusal as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)
        return CallToolResult(content=[TextContent(type="text", text=json.dumps(told))])


def _here(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


async def _body(receive: Any) -> bytes:
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _again(body: bytes, receive: Any) -> Any:
    """A `receive` that gives the body once more, and then what comes."""
    given = False

    async def once() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


async def _nowhere(_: MutableMapping[str, Any]) -> None:
    """The client hears nothing."""
