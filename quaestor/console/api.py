"""The HTTP API: triggers, firings, the live run; for this machine's programs and pages, with a token.

    GET  /health                          is it there? (without the token)
    GET  /api/triggers                    all, with how they stand         POST   a new one
    GET  /api/triggers/{id or name}       one, in plain words too          PUT    change what is sent   DELETE
    POST /api/triggers/check              what it would do; nothing is stored
    GET  /api/firings?trigger=&limit=     newest first
    GET  /api/live                        the newest run, what is wanted of it, its figures
    GET  /metrics                         the same for Prometheus

A trigger is sent as words (`symbol`, `when`, `do`, …) or as a rule, as `operations.triggers` reads them. Errors are
JSON: what happened, and the cure; for words that are not understood, where they stand.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import platform
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from quaestor import wiring
from quaestor.console import metrics, output
from quaestor.console.guarding import Guard, answer, body
from quaestor.errors import BadInput, NotFound, QuaestorError, Temporary
from quaestor.live.watching import HEARTBEAT
from quaestor.operations import triggers as by_hand
from quaestor.triggers.tokens import BadWording

if TYPE_CHECKING:
    from starlette.requests import Request

    from quaestor.doors.postgres.database import Database
    from quaestor.ports_live import TriggerStore

MOST = 1000  # rows of an answer
CURES = {
    404: "See GET /api/triggers, /api/firings, /api/live, /metrics, /health.",
    405: "Use one of the methods that the header Allow names.",
    413: "Send one trigger at a time.",
}


@dataclass(frozen=True)
class House:
    """What the answers are made of."""

    loaded: wiring.Loaded
    database: Database

    @property
    def account(self) -> str:
        """The account's alias."""
        return self.loaded.config.account.alias

    @property
    def triggers(self) -> TriggerStore:
        """Its triggers."""
        return wiring.trigger_store(self.database)


def app(loaded: wiring.Loaded, database: Database, token: str, names: Iterable[str] = ()) -> Starlette:
    """The whole API; `names`: host names that it answers to, beside addresses, localhost and this machine's."""
    known = ["localhost", platform.node(), *names]
    made = Starlette(
        routes=routes(),
        middleware=[Middleware(Guard, token=token, names=known)],
        exception_handlers={HTTPException: _refused, QuaestorError: _failed, Exception: _broken},
    )
    made.state.house = House(loaded, database)
    return made


def routes() -> list[Route]:
    """All that is answered; another page adds its own here."""
    return [
        Route("/health", _health),
        *trigger_routes(),
        *live_routes(),
    ]


# ── triggers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def trigger_routes() -> list[Route]:
    """Triggers and their firings."""
    return [
        Route("/api/triggers", _list, methods=["GET"]),
        Route("/api/triggers", _add, methods=["POST"]),
        Route("/api/triggers/check", _check, methods=["POST"]),
        Route("/api/triggers/{named}", _show, methods=["GET"]),
        Route("/api/triggers/{named}", _edit, methods=["PUT"]),
        Route("/api/triggers/{named}", _remove, methods=["DELETE"]),
        Route("/api/firings", _firings, methods=["GET"]),
    ]


async def _list(request: Request) -> Response:
    house = _house(request)
    return _json(await by_hand.overview(house.triggers, house.account, time.time_ns()))


async def _add(request: Request) -> Response:
    house = _house(request)
    put = await by_hand.add(house.triggers, house.account, await body(request), time.time_ns(), _by(request))
    row = by_hand.row(put.stored, time.time_ns())
    where = {"location": f"/api/triggers/{row['id']}"}
    return _json({"changed": put.changed, **row}, 201 if put.changed else 200, where)


async def _check(request: Request) -> Response:
    asked = await body(request)
    trigger = by_hand.read_asked(asked, time.time_ns())
    closes = await _house(request).triggers.closes([trigger.symbol])
    return _json(by_hand.checked(trigger, closes.get(trigger.symbol)))


async def _show(request: Request) -> Response:
    house = _house(request)
    return _json(await by_hand.look(house.triggers, house.account, _named(request), time.time_ns()))


async def _edit(request: Request) -> Response:
    house, asked = _house(request), await body(request)
    put = await by_hand.edit(house.triggers, house.account, _named(request), asked, time.time_ns(), _by(request))
    return _json({"changed": put.changed, **by_hand.row(put.stored, time.time_ns())})


async def _remove(request: Request) -> Response:
    house = _house(request)
    return _json({"removed": await by_hand.remove(house.triggers, house.account, _named(request), _by(request))})


async def _firings(request: Request) -> Response:
    house, asked = _house(request), request.query_params
    limit = asked.get("limit", "50")
    if not re.fullmatch(r"[0-9]{1,4}", limit) or not 0 < int(limit) <= MOST:
        raise BadInput(f"limit: {limit[:20]!r} is no number of rows; write 1 to {MOST}.")
    rows = await by_hand.firings(house.triggers, house.account, int(limit), asked.get("trigger", ""))
    return _json({"firings": rows})


# ── the live run ──────────────────────────────────────────────────────────────────────────────────────────────────────


def live_routes() -> list[Route]:
    """The live run, for people and for Prometheus."""
    return [Route("/api/live", _live), Route("/metrics", _metrics)]


async def _live(request: Request) -> Response:
    house = _house(request)
    store = wiring.live_store(house.database)
    run, alive = await store.newest(house.account), await store.alive(house.account, HEARTBEAT)
    return _json(
        {
            "account": house.account,
            "alive": alive is not None,
            "desired": asdict(await store.desired(house.account)),
            "run": None if run is None else asdict(run),
        }
    )


async def _metrics(request: Request) -> Response:
    house = _house(request)
    run = await wiring.live_store(house.database).newest(house.account)
    books = await asyncio.to_thread(_books, house.loaded)
    page = metrics.page(house.account, run, books, dt.datetime.now(dt.UTC))
    return PlainTextResponse(page, media_type=metrics.CONTENT_TYPE)


def _books(loaded: wiring.Loaded) -> metrics.Books:
    with wiring.reads(loaded) as door:
        return metrics.read(door)


async def _health(_: Request) -> Response:
    return _json({"ok": True})


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _house(request: Request) -> House:
    found: House = request.app.state.house
    return found


def _named(request: Request) -> str:
    return str(request.path_params["named"])


def _by(request: Request) -> str:
    return f"api@{request.client.host if request.client else 'unknown'}"


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(output.plain(value), status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # it is registered for these
    told = "There is nothing at this path." if error.status_code == 404 else error.detail
    if error.status_code == 405:
        told = f"{request.method} is not answered here."
    found = answer(error.status_code, type(error).__name__, told, CURES.get(error.status_code, "Correct the request."))
    found.headers.update(error.headers or {})
    return found


async def _failed(_: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotFound) else 422 if isinstance(error, BadInput) else 500
    status = 503 if isinstance(error, Temporary) else status
    where = {"at": [error.start, error.end]} if isinstance(error, BadWording) else {}
    found = answer(status, type(error).__name__, str(error), cure(str(error)), **where)
    if status == 503:
        found.headers["retry-after"] = "5"
    return found


async def _broken(_: Request, error: Exception) -> Response:
    said = f"The console stumbled ({type(error).__name__}); nothing is known to be written."
    return answer(500, "Defect", said, "Its log says more; report it as a defect.")


def cure(message: str) -> str:
    """What a message says last: the cure, as all of ours do."""
    parts: Sequence[str] = re.split(r"; |(?<=[.?]) ", message.strip())
    return parts[-1]
