"""What goes over the wire: what was asked, what is answered, and the ways that lead from one to the other.

All of Robinhood's hosts are served at one port; the client says in the header X-Original-Host which one it meant, since
/accounts/, /orders/ and /holdings/ are others at nummus than at api. Addresses in bodies are Robinhood's own.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request

from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood.people import Person

API = "https://api.robinhood.com"
NUMMUS = "https://nummus.robinhood.com"
HOST = "X-Original-Host"
REQUIRED = "This field is required."


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    payload: Any = field(default_factory=dict)
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):  # an answer, thrown from where it is found out
    """A no, with its status and words."""

    def __init__(self, status: int, payload: Any, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.answer = Answer(payload, status, headers or {})


@dataclass
class Ask:
    """A request, read. `parts`: what its way left open in the path; `page`: which of a list, from 1."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    body: Mapping[str, Any]
    bearer: str
    struck: Mapping[str, Fault] = field(default_factory=dict)
    parts: Sequence[str] = ()
    person: Person | None = None

    @property
    def whose(self) -> Person:
        """Who asks; refuses who did not log in."""
        if self.person is None:
            raise Refused(401, {"detail": "Invalid token."})
        return self.person

    def text(self, name: str) -> str:
        """A field of the body as text, "" where it is not there; form fields have no other kind."""
        value = self.body.get(name)
        return "" if value is None else str(value)

    @property
    def page(self) -> int:
        """Which page of a list is asked for, from 1."""
        return place(self.query.get("cursor", ""))[0]


@dataclass(frozen=True)
class Way:
    """From a method and a path to who answers. `{}` in the path is any one part; free: nobody need have logged in."""

    method: str
    path: str
    answer: Callable[[Ask], Answer]
    host: str = "api"
    free: bool = False

    def leads(self, method: str, host: str, path: str) -> Sequence[str] | None:
        """What stands for the {} where it leads there, else None."""
        if method != self.method or host.partition(".")[0] != self.host:
            return None
        found = re.fullmatch(re.escape(self.path).replace(r"\{\}", "([^/]+)"), path)
        return found.groups() if found else None


async def read(request: Request) -> Ask:
    """The request; refuses a body that its content type does not fit."""
    headers, raw = request.headers, await request.body()
    kind, _, token = headers.get("Authorization", "").partition(" ")
    return Ask(
        request.method,
        headers.get(HOST, "api.robinhood.com"),
        request.url.path,
        request.query_params,
        _body(raw, headers.get("Content-Type", "")),
        token if kind == "Bearer" else "",
    )


def _body(raw: bytes, kind: str) -> Mapping[str, Any]:
    if not raw:
        return {}
    if "json" not in kind:
        return {name: values[-1] for name, values in parse_qs(raw.decode(), keep_blank_values=True).items()}
    try:
        found = json.loads(raw)
    except ValueError:
        raise Refused(400, {"detail": "JSON parse error - Expecting value: line 1 column 1 (char 0)"}) from None
    if not isinstance(found, dict):
        raise Refused(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
    return found


def listed(results: Sequence[Any], more: str | None = None) -> Answer:
    """A page of a list; `more`: the address of the next."""
    return Answer({"next": more, "previous": None, "results": list(results)})


def cursor(page: int, after: int) -> str:
    """Where a list goes on: at that page, after that number."""
    return base64.urlsafe_b64encode(f"{page}:{after}".encode()).decode()


def place(text: str) -> tuple[int, int]:
    """Page and number of a cursor; the first page for none, or for one that is not ours."""
    if text.isdigit():
        return int(text), 0
    try:
        page, _, after = base64.urlsafe_b64decode(text).decode().partition(":")
        return int(page), int(after)
    except ValueError:
        return 1, 0


def stamp(at: dt.datetime) -> str:
    """A time as Robinhood writes it."""
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def throttled(seconds: float) -> Refused:
    """Too often; the words are Django REST framework's."""
    wait = max(1, round(seconds))
    words = f"Request was throttled. Expected available in {wait} second{'s' * (wait != 1)}."
    return Refused(429, {"detail": words}, {"Retry-After": str(wait)})
