"""Fetching: what a vendor's answer means, and who carries the calls. The policy is here; `doors/http.py` performs it.

    200 and JSON                  the answer
    200 and HTML or other text    BadInput: a portal, a proxy or another service stands there
    200 and JSON that breaks off  asked again; still so: BadInput
    429, 5xx, no answer           asked again, not before Retry-After; still so, or told to wait for long: Temporary
    401, 403                      BadConfig, naming the secrets that were shown
    404 / any other               NotFound / BadInput, with the vendor's own words

A door speaks through the vendor's real client library, which is synchronous: it hands the call to a `Fetcher`, whose
threads carry it, and every request that the library makes inside is paced, judged and repeated one by one. A page that
fails for good fails the whole call, whatever the library makes of it: nothing half leaves a door.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from quaestor.errors import BadConfig, BadInput, NotFound, QuaestorError, Temporary
from quaestor.ports import Capabilities

T = TypeVar("T")
BUSY = 429
LARGEST = 16 * 2**20  # bytes of one answer; a page of 10,000 bars has 1.2 million


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to insist: attempts per request, seconds of the first and longest wait, and of Retry-After at most."""

    attempts: int = 5
    first: float = 0.5
    longest: float = 20.0
    honoured: float = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Again(Temporary):
    """Another try may help; `lasting` is what it is called when none did."""

    def __init__(self, message: str, lasting: type[QuaestorError] = Temporary) -> None:
        super().__init__(message)
        self.lasting = lasting


class Fetcher(Protocol):
    """Carries calls of a vendor's synchronous client library."""

    async def call(
        self, subject: str, work: Callable[[], T], headers: Callable[[], Mapping[str, str]] | None = None
    ) -> T:
        """Run `work` in a thread; its requests, through a session that `carry` prepared, follow the policy.

        headers: added to every request, fetched once. Raises what the table above says; messages begin with `subject`.
        """
        ...

    def carry(self, session: Any) -> None:
        """Let every request of that `requests.Session` go through the call that its thread is in."""
        ...


def read(reply: Reply, who: str, secrets: Sequence[str] = ()) -> Any:
    """The JSON of an answer; raises what the table above says. `who` begins the message: "AAPL: Alpaca"."""
    if reply.status != 200:
        raise _refusal(reply, who, secrets)
    head = reply.body[:64].lstrip().lower()
    if not head.startswith((b"{", b"[")):
        raise BadInput(f"{who} answered with {_kind(head)}: a proxy or a portal may stand between. Check base_url.")
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError) as error:
        raise Again(f"{who} answered with JSON that breaks off or is none ({error}).", BadInput) from error


def _refusal(reply: Reply, who: str, secrets: Sequence[str]) -> QuaestorError:
    said = f"{who} answered {reply.status}{_words(reply.body)}"
    match reply.status:
        case 401 | 403:
            named = " and ".join(repr(name) for name in secrets) or "none (no secret is named)"
            return BadConfig(f"{said}. Put a valid secret into the vault, or name another; it was shown: {named}.")
        case 404:
            return NotFound(f"{said}. Correct the symbol, or name the vendor's under [market.aliases].")
        case status if status == BUSY or status >= 500:
            return Again(f"{said}.")
    return BadInput(f"{said}.")


def _kind(head: bytes) -> str:
    if not head:
        return "nothing"
    return "HTML" if head.startswith((b"<!doctype", b"<html", b"<head", b"<body")) else "what is no JSON"


def _words(body: bytes) -> str:
    """What the vendor says about it, short and printable; untrusted text."""
    try:
        said = json.loads(body[:4096])
    except (ValueError, RecursionError):
        return ""
    text = next((said[key] for key in ("message", "detail", "error") if said.get(key)), "") if _is_table(said) else ""
    plain = "".join(sign for sign in str(text)[:160] if sign.isprintable())
    return f": {plain.rstrip('. ')}" if plain else ""


def _is_table(said: object) -> bool:
    return isinstance(said, dict)


def refuse_timeframe(name: str, capabilities: Capabilities, timeframe: str) -> None:
    """Raise BadInput for bars that the source has not, naming what it has."""
    if timeframe not in capabilities.timeframes:
        there = ", ".join(capabilities.timeframes)
        raise BadInput(f"The source {name!r} has no {timeframe} bars, but: {there}. Choose one, or another source.")
