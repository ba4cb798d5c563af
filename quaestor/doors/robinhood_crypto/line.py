"""The line to Robinhood's crypto API: reads, all pages of them, and writes, and what their answers mean.

                          a read                          a write (a new order, a cancel)
    2xx and JSON          the answer                      the answer
    2xx, not readable     Temporary                       BrokerAmbiguous: it may have been done
    400, 404, 409 …       BadInput, NotFound              `Said`: a clear no; the broker judges its words
    401, 403              VaultRefused, once the vault    AccessLost: nothing was done, and a person must act
                          has no newer key
    429                   BrokerBusy                      BrokerBusy: nothing was done
    5xx, no answer        Temporary                       BrokerAmbiguous
    no connection         Temporary                       BrokerBusy: not a byte was sent

Nothing is repeated here, except once after a 401, with a key that is newer (`wire`). Next pages are followed on the
vendor's own host only, and on the path that was asked. Addresses hold the account's number: no message shows one.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from quaestor import pacing
from quaestor.doors.robinhood_crypto.keys import KeyRing
from quaestor.doors.robinhood_crypto.signing import WINDOW
from quaestor.doors.robinhood_crypto.wire import HOST, Lost, Unsent, Wire
from quaestor.errors import (
    AccessLost,
    BadInput,
    BrokerAmbiguous,
    BrokerBusy,
    NotFound,
    QuaestorError,
    Temporary,
    VaultAway,
    VaultRefused,
)
from quaestor.fetching import Reply
from quaestor.logs import without_secrets

WHO = "Robinhood's crypto API"
PAGES = 500
PAUSE, LONGEST = 5.0, 120.0  # seconds to wait after a 429 that names none, and that names many

Query = Sequence[tuple[str, str]]
Row = dict[str, Any]


class Said(Exception):
    """A clear no to a write: its status, Robinhood's words (untrusted), and the fields that they are about."""

    def __init__(self, status: int, words: str, fields: frozenset[str]) -> None:
        super().__init__(words)
        self.status, self.words, self.fields = status, words, fields


class Line:
    """Thread-safe. Its methods block.

    base_url: a protocol server's, "" Robinhood's; timeout: seconds for an answer; now: aware, signs requests.
    """

    def __init__(
        self,
        ring: KeyRing,
        *,
        base_url: str = "",
        requests_per_minute: int = 100,
        timeout: float = 10.0,
        connections: int = 4,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._names, self._now = ring.names, now
        self._wire = Wire(
            ring,
            base_url=base_url,
            requests_per_minute=requests_per_minute,
            timeout=timeout,
            connections=connections,
            now=now,
        )

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()

    def get(self, path: str, query: Query = ()) -> Any:
        """The answer to a read; raises as the table says."""
        return self._read(_address(path, query))

    def pages(self, path: str, query: Query = ()) -> list[Row]:
        """The rows of all pages. Raises as the table says, and BadInput for pages that turn in a circle."""
        rows, asked, address = list[Row](), set[str](), _address(path, query)
        while address:
            if address in asked or len(asked) >= PAGES:
                raise BadInput(f"{WHO} turns the pages of {path} in a circle. Try again later.")
            asked.add(address)
            page = self._read(address)
            rows += _rows(page, path)
            address = self._next(page.get("next"), path)
        return rows

    def post(self, path: str, query: Query = (), body: Mapping[str, Any] | None = None) -> Any:
        """The answer to a write, None where it is no JSON and nobody cares; raises as the table says."""
        sent = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        try:
            reply = self._wire.ask("POST", _address(path, query), sent)
        except Unsent as error:
            raise BrokerBusy(f"{WHO} cannot be reached ({error}); nothing was sent.", PAUSE) from error
        except Lost as error:
            raise BrokerAmbiguous(f"{WHO} gave no whole answer ({error}); it may have done it.") from error
        except VaultAway as error:
            raise BrokerBusy(f"{error} Nothing was sent.", PAUSE) from error
        return self._written(reply, wanted=body is not None)

    # ── what an answer means ──────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, address: str) -> Any:
        try:
            reply = self._wire.ask("GET", address)
        except (Unsent, Lost) as error:
            raise Temporary(f"{WHO} does not answer ({error}).") from error
        if reply.status == 200:
            try:
                return _parsed(reply.body)
            except (ValueError, RecursionError) as error:
                raise Temporary(f"{WHO} answered with JSON that breaks off or is none.") from error
        raise self._no(reply)

    def _no(self, reply: Reply) -> QuaestorError:
        words = _words(reply.body)[0]
        said = f"{WHO} answered {reply.status}{f': {words}' if words else ''}"
        match reply.status:
            case 401 | 403:
                return VaultRefused(f"{said}. {self._cure(reply)}")
            case 404:
                return NotFound(f"{said}. It knows no such thing.")
            case 429:
                return self._busy(reply)
            case status if status >= 500:
                return Temporary(f"{said}.")
        return BadInput(f"{said}.")

    def _written(self, reply: Reply, *, wanted: bool) -> Any:
        words, fields = _words(reply.body)
        match reply.status:
            case 200 | 201 | 202:
                try:
                    return _parsed(reply.body)
                except (ValueError, RecursionError) as error:
                    if not wanted:
                        return None
                    raise BrokerAmbiguous(f"{WHO} gave an answer that cannot be read; it may have done it.") from error
            case 401 | 403:
                raise AccessLost(f"{WHO} answered {reply.status}; nothing was done. {self._cure(reply)}", 30.0)
            case 429:
                raise self._busy(reply)
            case status if 400 <= status < 500 and status != 408:
                raise Said(status, words or f"status {status}", fields)
        raise BrokerAmbiguous(f"{WHO} answered {reply.status}; it may have done it.")

    def _busy(self, reply: Reply) -> BrokerBusy:
        """After a 429 nobody asks before the time that it names."""
        told = pacing.retry_after(reply.headers.get("Retry-After"), dt.datetime.now(dt.UTC))
        wait = PAUSE if told is None else min(told, LONGEST)
        self._wire.hold(wait)
        return BrokerBusy(f"{WHO} takes no more requests for {wait:.0f} s (429).", wait)

    def _cure(self, reply: Reply) -> str:
        shown = " and ".join(repr(name) for name in self._names)
        off = self._off(reply.headers.get("Date"))
        if abs(off) >= WINDOW / 2:
            return f"This machine's clock is {off:+.0f} s off Robinhood's, and 30 s is too much; set it right."
        return (
            f"Look whether the key is enabled at Robinhood, with the action that was asked, and for this machine's "
            f"address; and that {shown} in the vault belong together."
        )

    def _off(self, date: str | None) -> float:
        """Seconds that our clock is ahead of the one in the answer."""
        try:
            return (self._now() - parsedate_to_datetime(date or "")).total_seconds()
        except (ValueError, TypeError):
            return 0.0

    def _next(self, url: object, path: str) -> str:
        """The path and query of a next page, "" without one; raises BadInput where it leads elsewhere."""
        if not url:
            return ""
        parts = urlsplit(str(url))
        ours = {f"https://{HOST}", self._wire.root}
        if f"{parts.scheme}://{parts.netloc}" not in ours or parts.path != path:
            raise BadInput(f"{WHO} names a next page of {path} that is elsewhere; it was not asked.")
        return f"{parts.path}?{parts.query}"


def _address(path: str, query: Query) -> str:
    return f"{path}?{urlencode(query, safe=':,')}" if query else path


def _rows(page: object, path: str) -> list[Row]:
    found = page.get("results") if isinstance(page, dict) else None
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise BadInput(f"{WHO} answered {path} with what is no page of rows; it may have changed its form.")
    return found


def _parsed(body: bytes) -> Any:
    """JSON as it stands there: numbers to the last digit, and none that is no number."""
    return json.loads(body, parse_float=Decimal, parse_constant=_no_number)


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _words(body: bytes) -> tuple[str, frozenset[str]]:
    """What Robinhood says about a no, short and printable, and the fields it is about; untrusted text."""
    try:
        said = _parsed(body[:8192])
        errors = [each for each in said["errors"] if isinstance(each, dict)]
    except (ValueError, RecursionError, LookupError, TypeError):
        return "", frozenset()
    text = "; ".join(str(each.get("detail", "")) for each in errors[:3])
    plain = "".join(sign for sign in text[:200] if sign.isprintable()).rstrip(". ")
    return without_secrets(plain), frozenset(str(each["attr"]) for each in errors if each.get("attr"))
