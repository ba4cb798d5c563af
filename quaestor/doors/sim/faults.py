"""Faults: what a protocol server does wrong when it is told to, so that a client's manners can be seen.

A fault names its kind, and where it strikes: a method, a symbol, a part of the path, from which page on, and how often.
The kinds either take the answer's place, or bend the rows in it:

    status     answers `status` with `headers` (429 with Retry-After, 503, 401 …)
    html       a page for people, with status 200          truncated  half of the JSON, its length declared as such
    dropped    half of the announced bytes, then the end   hang       nothing, until the client leaves
    drip       a byte now and then, for ever               huge       more bytes than anyone asked for
    lost       the work is done and the line cut: not a byte of the answer comes
    naive      times without a zone                        future     the last bar ten years ahead
    text       words for the opening price in every second bar; with every=True in each
    endless    always another page                         circle     a next page that is this one

A server may also hold: after so many answers each further request waits, without a fault, until the server is told to
release. So a client is found in the middle of its work, however fast the machine is.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

Kind = Literal[
    "status",
    "html",
    "truncated",
    "dropped",
    "hang",
    "drip",
    "huge",
    "lost",
    "naive",
    "future",
    "text",
    "endless",
    "circle",
]
Row = dict[str, Any]
HTML = "<!DOCTYPE html><html><body>Sign in to the guest network</body></html>"


@dataclass
class Fault:
    """One thing that goes wrong; `times`: how often (None: always)."""

    kind: Kind
    symbol: str = ""
    path: str = ""
    page: int = 1
    times: int | None = None
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    every: bool = False
    method: str = ""
    words: Mapping[str, Any] | None = None  # the body of a status

    def strikes(self, path: str, symbol: str, page: int, method: str = "") -> bool:
        """Whether it is for this answer; counts."""
        mine = self.path in path and self.symbol in {"", symbol} and page >= self.page and self.times != 0
        mine = mine and self.method in {"", method}
        if mine and self.times is not None:
            self.times -= 1
        return mine


@dataclass
class Vendor:
    """What all protocol servers share: latency in seconds, faults, the paths that were asked, the most at a time.

    answered: requests that were answered; waiting: those that are held now.
    """

    latency: float = 0.0
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    busy: int = 0
    busiest: int = 0
    answered: int = 0
    waiting: int = 0
    _until: float = math.inf  # answers after which requests are held; written by the test's thread alone

    def hold(self, after: int = 0) -> None:
        """Answer so many requests more, then none until `release`."""
        self._until = self.answered + after

    def release(self) -> None:
        """Answer those that are held, and all to come."""
        self._until = math.inf

    def struck(self, request: Request, symbol: str, page: int = 1) -> dict[str, Fault]:
        """The faults of this answer, by kind."""
        self.asked.append(f"{request.url.path}?{request.url.query}")
        path, method = request.url.path, request.method
        return {each.kind: each for each in self.faults if each.strikes(path, symbol, page, method)}

    async def answer(self, request: Request, payload: Any, struck: Mapping[str, Fault]) -> Response:
        """The payload as JSON, after the latency; or what a fault makes of it."""
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            await asyncio.sleep(self.latency)
            await self._turn(request)
            return await self._said(request, payload, struck)
        finally:
            self.busy -= 1

    async def _turn(self, request: Request) -> None:
        """Wait while requests are held; a client that leaves waits no longer, and takes no other's turn."""
        self.waiting += 1
        try:
            while self.answered >= self._until:
                if await request.is_disconnected():
                    return
                await asyncio.sleep(0.01)
            self.answered += 1
        finally:
            self.waiting -= 1

    async def _said(self, request: Request, payload: Any, struck: Mapping[str, Fault]) -> Response:
        body = json.dumps(payload, separators=(",", ":")).encode()
        for kind, fault in struck.items():
            if replaced := await _replaced(kind, fault, body, request):
                return replaced
        return Response(body, media_type="application/json")


async def _replaced(kind: str, fault: Fault, body: bytes, request: Request) -> Response | None:
    match kind:
        case "status":
            words = json.dumps(fault.words or {"message": f"status {fault.status} was asked for"})
            return Response(words, fault.status, dict(fault.headers), "application/json")
        case "html":
            return Response(HTML, media_type="text/html")
        case "truncated":
            return Response(body[: len(body) // 2], media_type="application/json")
        case "dropped":
            length = {"Content-Length": str(len(body))}
            return StreamingResponse(_half(body), headers=length, media_type="application/json")
        case "hang":
            await _gone(request)
        case "lost":
            # The line is uvicorn's: whatever is sent afterwards goes nowhere.
            request.receive.__self__.transport.abort()  # type: ignore[attr-defined]
        case "drip" | "huge":
            return StreamingResponse(_stream(kind, request), media_type="application/json")
    return None


async def _gone(request: Request) -> None:
    while not await request.is_disconnected():
        await asyncio.sleep(0.02)


async def _half(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]


async def _stream(kind: str, request: Request) -> AsyncIterator[bytes]:
    yield b"["
    while not await request.is_disconnected():
        yield b"0," if kind == "drip" else b"0," * 500_000
        await asyncio.sleep(0.05 if kind == "drip" else 0)


def bent(rows: list[Row], time: str, price: str, struck: Mapping[str, Fault]) -> list[Row]:
    """The rows with their faults; `time` and `price` name the fields that are bent."""
    rows = [dict(row) for row in rows] if struck else rows
    if "naive" in struck:
        rows = [row | {time: re.sub(r"Z$|[+-]\d\d:\d\d$", "", row[time])} for row in rows]
    if "future" in struck and rows:
        rows[-1][time] = f"{int(rows[-1][time][:4]) + 10}{rows[-1][time][4:]}"
    if text := struck.get("text"):
        rows = [row | {price: "about ten"} if text.every or not n % 2 else row for n, row in enumerate(rows)]
    return rows
