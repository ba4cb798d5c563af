"""The carrier of vendors' HTTP client libraries: threads for their calls, and one policy for every request inside.

Client libraries over `requests` are synchronous, retry by themselves or not at all, have no timeout, and some take an
error for an empty list. So each call runs in a thread of a pool as wide as the vendor may be asked at a time, and the
library's session gets an adapter of ours in the place of its own. The adapter sends each request, page by page, to the
call its thread is in: a token is awaited, the host is checked (addresses of next pages come from the server, and a
bearer token must go nowhere else), the body is read within bounds of time and size, judged (`fetching.read`), and asked
for again where that may help. An address that comes twice in a call, or the five thousandth, is a vendor whose pages
turn in a circle. Each wait ends at once when the awaiting task is cancelled. A failure is kept: when the
library swallows it, the call raises it all the same.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import BaseAdapter, HTTPAdapter

from quaestor import fetching, pacing
from quaestor.errors import BadInput, Permanent, QuaestorError, Temporary
from quaestor.fetching import Again, Patience, Reply

T = TypeVar("T")
CONNECT, READ = 3.05, 15.0  # seconds until a connection, between two parts of an answer
WHOLE = 45.0  # seconds for one whole answer
PAGES = 5_000  # requests in one call
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, requests.RequestException)
FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)

_here = threading.local()  # .call: the call that this thread is in


class Carrier:
    """A `fetching.Fetcher` for one vendor.

    vendor: its name in messages; hosts: where requests may go; secrets: the names of what is shown there;
    base_url: where requests for `hosts` go in truth (a protocol server), "" as they say; in_flight: calls at a time;
    per_second: requests; read, whole: seconds.
    """

    def __init__(
        self,
        vendor: str,
        hosts: Collection[str],
        *,
        secrets: Sequence[str] = (),
        base_url: str = "",
        in_flight: int = 8,
        per_second: float | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        read: float = READ,
        whole: float = WHOLE,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.vendor, self.secrets, self.patience = vendor, secrets, patience
        self._hosts, self._base = frozenset(hosts), base_url.rstrip("/")
        self._in_flight, self._read, self._whole, self._chance = in_flight, read, whole, chance
        self._bucket, self._turn = pacing.bucket(per_second), threading.Lock()

    async def call(
        self, subject: str, work: Callable[[], T], headers: Callable[[], Mapping[str, str]] | None = None
    ) -> T:
        """See `fetching.Fetcher`."""
        call = _Call(self, f"{subject}: {self.vendor}", headers)
        try:
            return await asyncio.wrap_future(self._threads.submit(call.run, work))
        except asyncio.CancelledError:
            call.stopped.set()
            raise

    def carry(self, session: requests.Session) -> None:
        """See `fetching.Fetcher`; environment and .netrc no longer reach the session."""
        if session.get_adapter("https://") is _ADAPTER:
            return  # mounting anew would disturb threads that are using it
        session.trust_env = False
        for scheme in ("https://", "http://"):
            session.mount(scheme, _ADAPTER)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._in_flight, thread_name_prefix=f"{self.vendor}-source")

    @cached_property
    def _wire(self) -> HTTPAdapter:
        return HTTPAdapter(pool_connections=4, pool_maxsize=self._in_flight)

    @cached_property
    def _proxies(self) -> dict[str, str]:
        return requests.utils.get_environ_proxies(self._base or f"https://{min(self._hosts)}")

    def wait_for_turn(self, call: _Call) -> None:
        """Until the bucket gives a token."""
        with self._turn:
            self._bucket, wait = self._bucket.take(time.monotonic())
        call.sleep(wait)

    def wait_to_repeat(self, call: _Call, again: Again, failures: int, told: float | None) -> None:
        """After a failure; raises it for good when patience ends, or the vendor says to wait for longer than that."""
        if failures >= self.patience.attempts:
            raise again.lasting(f"{str(again).rstrip('.')}, {failures} times.") from again
        if told is not None and told > self.patience.honoured:
            raise Temporary(f"{str(again).rstrip('.')}, and says to wait {told:.0f} s. Try again then.") from again
        if told is not None:
            with self._turn:
                self._bucket = self._bucket.hold(time.monotonic() + told)
        call.sleep(
            pacing.backoff(failures, self._chance(), self.patience.first, self.patience.longest) if not told else 0
        )

    def ask(self, request: requests.PreparedRequest, who: str) -> tuple[requests.Response, bytes]:
        """One exchange: the response and its body; raises `Again` where none came."""
        self._direct(request, who)
        try:
            response = self._wire.send(request, stream=True, timeout=(CONNECT, self._read), proxies=self._proxies)
            with response:
                return response, self._body(response, who)
        except FAILURES as error:
            raise Again(f"{who} does not answer ({_short(error)}).") from error

    def _direct(self, request: requests.PreparedRequest, who: str) -> None:
        parts = urlsplit(str(request.url))
        if self._base and str(request.url).startswith(f"{self._base}/"):
            return
        if parts.scheme != "https" or parts.netloc not in self._hosts:
            raise Permanent(f"{who} was to be asked at {parts.scheme}://{parts.netloc}, which is not the vendor's.")
        if self._base:
            request.url = self._base + parts.path + (f"?{parts.query}" if parts.query else "")

    def _body(self, response: requests.Response, who: str) -> bytes:
        end, parts, size = time.monotonic() + self._whole, [], 0
        while part := response.raw.read1(65_536, decode_content=True):
            parts.append(part)
            size += len(part)
            if size > fetching.LARGEST:
                raise BadInput(f"{who} sent more than {fetching.LARGEST:,} bytes at once. Ask for a smaller window.")
            if time.monotonic() > end:
                raise Again(f"{who} did not end its answer within {self._whole:.0f} s.")
        return b"".join(parts)


class _Call:
    """One call of a client library, in its thread."""

    def __init__(self, carrier: Carrier, who: str, headers: Callable[[], Mapping[str, str]] | None) -> None:
        self.carrier, self.who, self.stopped = carrier, who, threading.Event()
        self._fetch_headers = headers
        self._failure: QuaestorError | None = None
        self._asked = set[str]()

    def run(self, work: Callable[[], T]) -> T:
        """What the library answers; raises what failed, even where the library went on."""
        _here.call = self
        try:
            answer = work()
        except QuaestorError as error:
            raise self._failure or error from None
        except UNREADABLE as error:
            self._raise_failure(error)
            raise BadInput(f"{self.who} answered what its client cannot read ({_short(error)}).") from error
        finally:
            _here.call = None
        self._raise_failure(None)
        return answer

    def exchange(self, request: requests.PreparedRequest) -> requests.Response:
        """The response to a request of the library, its JSON proved; raises what `fetching` says."""
        try:
            self._refuse_circle(str(request.url))
            request.headers.update(self._headers)
            return self._insist(request)
        except QuaestorError as error:
            self._failure = self._failure or error
            raise

    def sleep(self, seconds: float) -> None:
        """Wait, unless nobody waits for us any more."""
        if self.stopped.wait(seconds) if seconds > 0 else self.stopped.is_set():
            raise Temporary(f"{self.who} was no longer waited for.")

    @cached_property
    def _headers(self) -> Mapping[str, str]:
        return self._fetch_headers() if self._fetch_headers else {}

    def _insist(self, request: requests.PreparedRequest) -> requests.Response:
        failures = 0
        while True:
            self.carrier.wait_for_turn(self)
            told = None
            try:
                response, body = self.carrier.ask(request, self.who)
                told = pacing.retry_after(response.headers.get("Retry-After"), dt.datetime.now(dt.UTC))
                return _answered(response, body, self.who, self.carrier.secrets)
            except Again as again:
                failures += 1
                self.carrier.wait_to_repeat(self, again, failures, told)

    def _refuse_circle(self, url: str) -> None:
        if url in self._asked or len(self._asked) >= PAGES:
            raise BadInput(f"{self.who} turns its pages in a circle. Try a smaller window.")
        self._asked.add(url)

    def _raise_failure(self, cause: Exception | None) -> None:
        if self._failure is not None:
            raise self._failure from cause


class _Adapter(BaseAdapter):
    """Sends a session's requests through the call that its thread is in."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        call: _Call | None = getattr(_here, "call", None)
        if call is None:
            _refuse(request)
        return call.exchange(request)

    def close(self) -> None:
        """Nothing: the carrier's connections outlive the library's sessions."""


_ADAPTER = _Adapter()


def _refuse(request: requests.PreparedRequest) -> NoReturn:
    raise Permanent(
        f"A client library asked {urlsplit(str(request.url)).netloc} by itself, outside of a source's call."
    )


def _answered(response: requests.Response, body: bytes, who: str, secrets: Sequence[str]) -> requests.Response:
    answer = fetching.read(Reply(response.status_code, body), who, secrets)
    response._content, response._content_consumed = body, True  # noqa: SLF001 - as requests does
    response.json = lambda **_: answer  # type: ignore[method-assign] # parsed once
    return response


def _short(error: BaseException) -> str:
    """An error of the wire in a few words, without addresses of objects."""
    cause = error
    while isinstance(inner := (cause.args[0] if cause.args else None), BaseException):
        cause = inner
    reason = getattr(cause, "reason", None) or cause
    return f"{type(reason).__name__}: {str(reason).split('>:')[-1].strip()[:100]}".rstrip(": ")
