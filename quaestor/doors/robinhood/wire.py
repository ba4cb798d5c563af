"""The wire: where requests to Robinhood may go, how long they may take, what is kept of them.

`next` and `cancel` addresses come from the server, so every address is looked at before a token goes there. For a
protocol server every host goes to one address; the host that was meant stands in `X-Original-Host`. Of each exchange
there is kept what a person needs who looks for a fault: method, host, path without an account's number, status, time;
neither query nor body, and no header.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from quaestor.errors import Permanent
from quaestor.fetching import LARGEST
from quaestor.logs import strike

HOST, CRYPTO = "api.robinhood.com", "nummus.robinhood.com"
HOSTS = frozenset({HOST, CRYPTO, "bonfire.robinhood.com", "phoenix.robinhood.com", "minerva.robinhood.com"})
CONNECT = 3.05  # seconds until a connection
WHOLE = 4  # times the timeout that a whole answer may take
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
STRANGE = "Robinhood may have changed its form; see docs/robinhood.md."
NUMBERED = re.compile(r"/(accounts|portfolios|positions)/[^/]+")

log = logging.getLogger("quaestor.robinhood")


@dataclass(frozen=True, slots=True)
class Exchange:
    """What is kept of a request; status 0: no answer came, and `error` says why in a word."""

    method: str
    host: str
    path: str
    status: int
    ms: float
    error: str = ""


class Broken(Exception):
    """No answer came; its words follow on a name. `sent`: whether any of the request may have reached the server.

    huge: an answer came, larger than anything that anybody asked for.
    """

    def __init__(self, words: str, *, sent: bool, huge: bool = False) -> None:
        super().__init__(words)
        self.sent, self.huge = sent, huge


class Wire:
    """Sends single requests. base_url: where all hosts are in truth, "" as they say; seconds: timeout until a part of
    an answer, whole until its end.
    """

    def __init__(self, base_url: str, timeout: float, app_version: str, in_flight: int, whole: float) -> None:
        self.kept: deque[Exchange] = deque(maxlen=1_000)
        self._base, self._timeout, self._whole, self._version = base_url.rstrip("/"), timeout, whole, app_version
        self._http = HTTPAdapter(pool_connections=8, pool_maxsize=in_flight + 12, max_retries=0)
        strike("urllib3.connectionpool")  # it tells addresses at DEBUG, and some hold the account's number
        self._proxies = requests.utils.get_environ_proxies(self._base or f"https://{HOST}")

    def send(self, request: requests.PreparedRequest, headers: Mapping[str, str]) -> requests.Response:
        """The response, read to its end. Raises Broken where none came, Permanent for an address that is not theirs."""
        asked, began = urlsplit(str(request.url)), time.monotonic()
        self._dress(request, asked.netloc, headers)
        self._direct(request)
        try:
            response = self._http.send(request, stream=True, timeout=(CONNECT, self._timeout), proxies=self._proxies)
            with response:
                response._content = _body(response, self._whole)  # noqa: SLF001 - as requests does
                response._content_consumed = True  # noqa: SLF001
        except FAILURES as error:
            self._keep(request, asked, 0, began, type(error).__name__)
            raise Broken(f"does not answer ({_short(error)})", sent=not _unsent(error)) from error
        finally:
            request.url = asked.geturl()
        self._keep(request, asked, response.status_code, began)
        response.url = asked.geturl()
        return response

    def _dress(self, request: requests.PreparedRequest, host: str, headers: Mapping[str, str]) -> None:
        """Headers belong to a request, not to robin_stocks' session, which all threads share."""
        request.headers.pop("Authorization", None)
        request.headers.pop("Cookie", None)
        request.headers["Accept-Encoding"] = "gzip, deflate"  # robin_stocks offers br, which needs a library of its own
        request.headers["X-Robinhood-API-Version"] = self._version
        request.headers.pop("Content-Type", None)
        if request.body:
            request.headers["Content-Type"] = _kind(request.body)
        if self._base:
            request.headers["X-Original-Host"] = host
        request.headers.update(headers)

    def _direct(self, request: requests.PreparedRequest) -> None:
        parts = urlsplit(str(request.url))
        if self._base and str(request.url).startswith(f"{self._base}/"):
            return
        if parts.scheme != "https" or parts.netloc not in HOSTS:
            raise Permanent(f"Robinhood was to be asked at {parts.scheme}://{parts.netloc}, which is not Robinhood's.")
        if self._base:
            request.url = self._base + parts.path + (f"?{parts.query}" if parts.query else "")

    def _keep(self, request: requests.PreparedRequest, asked: Any, status: int, began: float, error: str = "") -> None:
        path = NUMBERED.sub(r"/\1/***", asked.path)
        each = Exchange(str(request.method), asked.netloc, path, status, (time.monotonic() - began) * 1_000, error)
        self.kept.append(each)
        log.debug("%s %s%s: %s in %.0f ms", each.method, each.host, each.path, each.status or each.error, each.ms)


def _kind(body: Any) -> str:
    """What a body is, by its looks: robin_stocks says it in a header that another thread may just have changed."""
    head = body[:1] if isinstance(body, bytes | str) else ""
    return "application/json" if head in {b"{", b"[", "{", "["} else "application/x-www-form-urlencoded; charset=utf-8"


def _body(response: requests.Response, whole: float) -> bytes:
    end, parts, size = time.monotonic() + whole, [], 0
    while part := response.raw.read1(65_536, decode_content=True):
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise Broken(f"sent more than {LARGEST:,} bytes at once", sent=True, huge=True)
        if time.monotonic() > end:
            raise Broken(f"did not end its answer within {whole:.0f} s", sent=True)
    return b"".join(parts)


def _unsent(error: BaseException) -> bool:
    """Whether no connection was made at all: then nothing of the request can have arrived."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _short(error: BaseException) -> str:
    """An error of the wire in a few words, without addresses: they hold account numbers."""
    cause = error
    while isinstance(inner := (cause.args[0] if cause.args else None), BaseException):
        cause = inner
    return type(getattr(cause, "reason", None) or cause).__name__
