"""The wire under Azure's libraries: no request lasts for ever, whatever the other side does.

The libraries bound a connection and the pause between two bytes, but neither a whole answer (a byte a second never
ends) nor the pauses that a server asks for (`Retry-After: 86400`). `within` says how long a call of ours may take with
all its requests, repetitions and pauses; the transport keeps to it. Where no time is left it raises VaultAway, which is
no error of the libraries', so none of their policies tries again.
"""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from azure.core.exceptions import AzureError
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter

from quaestor.errors import QuaestorError, VaultAway

LARGEST = 8_000_000  # bytes of an answer: a value has 25 kB, a page of a list 25 rows

_end: ContextVar[float] = ContextVar("end", default=math.inf)  # of the call that goes on, by time.monotonic


@dataclass(frozen=True)
class Patience:
    """Seconds: until a connection, between two parts of an answer, for a whole call with its repetitions."""

    connect: float = 3.05
    read: float = 10.0
    whole: float = 30.0


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """A call of ours, with all that the libraries do for it."""
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


class Line(RequestsTransport):  # type: ignore[misc] # azure-core loads it late, untyped
    """A transport of azure-core's. who: whom it reaches, for messages; verify: a certificate's file, or the usual.

    final: our error for one that no repetition cures, which is raised at once; None for the others.
    """

    def __init__(
        self,
        who: str,
        patience: Patience,
        verify: str | bool = True,
        final: Callable[[Exception], QuaestorError | None] = lambda _: None,
    ) -> None:
        self.who, self._patience, self._final, self._here = who, patience, final, threading.local()
        session, adapter = requests.Session(), _Adapter(who)
        for scheme in ("https://", "http://"):
            session.mount(scheme, adapter)
        super().__init__(session=session, connection_verify=verify)

    @property
    def status(self) -> int | None:
        """Of this thread's last answer; None: none came."""
        return getattr(self._here, "status", None)

    def send(self, request: Any, **kwargs: Any) -> Any:
        """As azure-core asks; raises VaultAway when the call's time is over."""
        left, self._here.status = _left(self.who), None
        kwargs |= {"connection_timeout": min(self._patience.connect, left)}
        kwargs |= {"read_timeout": min(self._patience.read, left)}
        try:
            response = super().send(request, **kwargs)
        except (AzureError, OSError) as error:
            failed = self._final(error)
            if failed is None:
                raise
        else:
            self._here.status = response.status_code
            return response
        raise failed

    def sleep(self, duration: float) -> None:
        """A pause before a repetition; raises VaultAway at once where it is longer than the call may still take."""
        if duration >= _left(self.who):
            seen = f"answered {self.status}" if self.status else "did not answer"
            raise VaultAway(f"{self.who} {seen}; the next try would be in {duration:.0f} s. Try again later.")
        time.sleep(duration)


class _Adapter(HTTPAdapter):
    """Reads the whole answer, within bounds, before the libraries see it."""

    def __init__(self, who: str) -> None:
        self._who = who
        super().__init__(pool_maxsize=16)

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        proxies = {} if _near(str(request.url)) else proxies
        response = super().send(request, True, timeout, verify, cert, proxies)
        try:
            content = self._read(response)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(error, request=request) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            broken = urllib3.exceptions.ProtocolError("the line broke in the middle of an answer", error)
            raise requests.ConnectionError(broken, request=request) from error
        response._content, response._content_consumed = content, True  # noqa: SLF001 - as requests does
        return response

    def _read(self, response: requests.Response) -> bytes:
        parts, size = [], 0
        while part := response.raw.read1(65_536, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                response.close()
                raise VaultAway(f"{self._who} sent more than {LARGEST:,} bytes; that is no answer of a vault.")
            if time.monotonic() > _end.get():
                response.close()
                raise VaultAway(f"{self._who} did not end its answer in time. Try again later.")
        return b"".join(parts)


def _left(who: str) -> float:
    left = _end.get() - time.monotonic()
    if left <= 0:
        raise VaultAway(f"{who} did not answer in time. Try again later.")
    return left


def _near(url: str) -> bool:
    """Whether it is on this machine or its host, where no proxy stands between."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_link_local
