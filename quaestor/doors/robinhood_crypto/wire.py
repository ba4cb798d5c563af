"""One exchange with Robinhood's crypto API: paced, signed, bounded in time and size.

Robinhood takes 100 requests a minute and 300 at once; ours wait for their turn (`pacing`), and are given up where that
takes longer than an answer may. The last fifth of what may be asked at once is kept for writes: an exit waits for no
list and no quote. A request is signed when its turn has come. Messages hold no address: it has the account's number.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from quaestor import pacing
from quaestor.doors.robinhood_crypto.keys import KeyRing
from quaestor.doors.robinhood_crypto.signing import Keys
from quaestor.errors import BrokerBusy
from quaestor.fetching import LARGEST, Reply

HOST = "trading.robinhood.com"
CONNECT = 3.05  # seconds
KEPT = 0.2  # the share of what may be asked at once that reads leave to writes
LOST = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
UNSENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ProxyError)


class Unsent(Exception):
    """Not a byte went out."""


class Lost(Exception):
    """The request went out, and no whole answer came."""


class Wire:
    """Thread-safe; it blocks. See `line.Line` for what it is made of."""

    def __init__(
        self,
        ring: KeyRing,
        *,
        base_url: str,
        requests_per_minute: int,
        timeout: float,
        connections: int,
        now: Callable[[], dt.datetime],
    ) -> None:
        self.root = base_url.rstrip("/") or f"https://{HOST}"
        self._ring, self._timeout, self._now = ring, timeout, now
        self._bucket = pacing.Bucket(requests_per_minute / 60, float(requests_per_minute))
        self._turn = threading.Lock()
        self._connections = HTTPAdapter(pool_connections=1, pool_maxsize=connections)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def hold(self, seconds: float) -> None:
        """Nobody asks before that time is over."""
        with self._turn:
            self._bucket = self._bucket.hold(time.monotonic() + seconds)

    def ask(self, method: str, address: str, body: bytes = b"") -> Reply:
        """The answer as it came; after a 401 once more, where the vault has newer keys.

        address: path and query. Raises Unsent, Lost, BrokerBusy where its turn is too far, and what the vault says.
        """
        keys = self._ring.current()
        reply = self._exchange(method, address, body, keys)
        if reply.status == 401 and (newer := self._ring.after(keys)):
            reply = self._exchange(method, address, body, newer)
        return reply

    def _exchange(self, method: str, address: str, body: bytes, keys: Keys) -> Reply:
        self._wait(reads=method == "GET")
        asked = requests.Request(method, self.root + address, data=body or None).prepare()
        path = str(asked.url).removeprefix(self.root)  # as it is sent: requests may have quoted it anew
        asked.headers.update({"Accept": "application/json", "User-Agent": "quaestor"})
        if body:
            asked.headers["Content-Type"] = "application/json"
        asked.headers.update(keys.headers(int(self._now().timestamp()), method, path, body))
        try:
            answer = self._connections.send(asked, True, (CONNECT, self._timeout), proxies=self._proxies)
            with answer:
                return Reply(answer.status_code, self._body(answer), answer.headers)
        except LOST as error:
            raise (Unsent if _is_unsent(error) else Lost)(_short(error)) from None

    def _wait(self, *, reads: bool) -> None:
        """Until it is our turn; raises BrokerBusy where that takes longer than an answer may."""
        with self._turn:
            burst = self._bucket.burst
            seen = replace(self._bucket, burst=max(1.0, burst * (1 - KEPT))) if reads else self._bucket
            taken, wait = seen.take(time.monotonic())
            if wait > self._timeout:
                raise BrokerBusy(f"Robinhood may be asked again in {wait:.0f} s; nothing was sent.", wait)
            self._bucket = replace(taken, burst=burst)
        if wait > 0:
            time.sleep(wait)

    def _body(self, answer: requests.Response) -> bytes:
        end, parts, size = time.monotonic() + self._timeout, list[bytes](), 0
        while part := answer.raw.read1(65_536, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise Lost(f"more than {LARGEST:,} bytes")
            if time.monotonic() > end:
                raise Lost(f"no end within {self._timeout:.0f} s")
        return b"".join(parts)

    @cached_property
    def _proxies(self) -> dict[str, str]:
        """Those of the environment, for a vendor far away; none on this machine."""
        here = urlsplit(self.root).hostname in {"127.0.0.1", "localhost", "::1"}
        return {} if here else requests.utils.get_environ_proxies(self.root)


def _is_unsent(error: BaseException) -> bool:
    """Whether there never was a connection."""
    seen: object = error
    for _ in range(6):
        if isinstance(seen, UNSENT):
            return True
        inner = getattr(seen, "reason", None) or (seen.args[0] if isinstance(seen, BaseException) and seen.args else 0)
        if not isinstance(inner, BaseException):
            return False
        seen = inner
    return False


def _short(error: BaseException) -> str:
    """The kind of a fault of the wire: its words would hold the address."""
    cause: Any = error
    while isinstance(inner := getattr(cause, "reason", None) or (cause.args[0] if cause.args else None), BaseException):
        cause = inner
    return type(cause).__name__
