"""Calls: what becomes of the requests that are made in one. robin_stocks makes them, or the line itself.

    Read    waits its turn, is sent, judged (`fetching.read`), and asked for again where that may help
    Write   waits its turn, is sent once, never again: no answer is BrokerAmbiguous, 401 and 429 BrokerBusy

A failure is kept, and the call raises it whatever the library made of it. Each request carries the access token as it
is then; 401: one that is newer by now replays a read once.
"""

from __future__ import annotations

import datetime as dt
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter

from quaestor import fetching, pacing
from quaestor.custody.tokens import AccessToken
from quaestor.doors.robinhood.wire import STRANGE, Broken
from quaestor.errors import (
    AccessLost,
    BadInput,
    BrokerAmbiguous,
    BrokerBusy,
    Permanent,
    QuaestorError,
    Temporary,
)
from quaestor.fetching import BUSY, Again, Patience, Reply
from quaestor.logs import without_secrets
from quaestor.queueing import Priority

if TYPE_CHECKING:
    from quaestor.doors.robinhood.line import Line

T = TypeVar("T")
PAGES = 1_000  # requests in one call
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, requests.RequestException)
DENIED = 401

_here = threading.local()  # .call: the call that this thread is in


class Call(ABC):
    """A call, in its thread."""

    priority = Priority.READ

    def __init__(self, line: Line, who: str) -> None:
        self.line, self.who, self.stopped = line, who, threading.Event()
        self.failure: QuaestorError | None = None
        self.recalls = line.recalls[self.priority]
        self.longest = line.timeout  # seconds that it waits where Robinhood has said to wait

    def run(self, work: Callable[[], T]) -> T:
        """What the work answers; raises what failed in it, even where it went on."""
        _here.call = self
        try:
            answer = work()
        except QuaestorError as error:
            raise self.failure or error from None
        except UNREADABLE as error:
            if self.failure is not None:
                raise self.failure from error
            raise BadInput(f"{self.who} answered what cannot be read ({type(error).__name__}). {STRANGE}") from error
        finally:
            _here.call = None
        if self.failure is not None:
            raise self.failure
        return answer

    def exchange(self, request: requests.PreparedRequest) -> requests.Response:
        """A request that is made in it."""
        try:
            return self.asked(request)
        except QuaestorError as error:
            self.failure = self.failure or error
            raise

    @abstractmethod
    def asked(self, request: requests.PreparedRequest) -> requests.Response:
        """The response to a request; raises what it means."""

    def heed(self) -> None:
        """Raise where nobody waits for us any more."""
        if self.stopped.is_set():
            raise Temporary(f"{self.who} was no longer waited for.")

    def token(self, refused: AccessToken | None = None) -> AccessToken | None:
        """The token as it is now, or the one after that which Robinhood refused.

        Without one nothing is sent, and it is tried again: AccessLost, with what the vault or the custody says.
        """
        if self.line.tokens is None:
            return None
        try:
            return self.line.tokens.current() if refused is None else self.line.tokens.after(refused)
        except QuaestorError as error:
            raise AccessLost(f"{self.who}: nothing was done, for there is no access token. {error}") from error


class Read(Call):
    """A reading, or a library's call that only reads."""

    def __init__(
        self, line: Line, who: str, patience: Patience, headers: Callable[[], Mapping[str, str]] | None = None
    ) -> None:
        super().__init__(line, who)
        self._patience, self._headers, self.longest = patience, headers, patience.honoured
        self._asked_for = set[str]()

    def asked(self, request: requests.PreparedRequest) -> requests.Response:
        """The response, its JSON proved; repeated while that may help."""
        self._refuse_circle(str(request.url))
        line, failures, url = self.line, 0, str(request.url)
        while True:
            line.turn(self)
            told: float | None = None
            try:
                request.url = url
                response = self._answered(request)
                told = _told(response)
                return response if response.is_redirect else _judged(response, self.who, line.secrets)
            except Again as again:
                failures += 1
                self._rest(again, failures, told)

    def _refuse_circle(self, url: str) -> None:
        """An address that a library asks for twice in a call is a list that turns in a circle."""
        if url in self._asked_for or len(self._asked_for) >= PAGES:
            raise BadInput(f"{self.who} turns its pages in a circle. Try a smaller window.")
        self._asked_for.add(url)

    def _answered(self, request: requests.PreparedRequest) -> requests.Response:
        token = self.token()
        response = self._sent(request, token)
        if response.status_code == DENIED and token is not None:
            newer = self.token(token)
            if newer is not None:
                response = self._sent(request, newer)
            if response.status_code == DENIED:
                raise AccessLost(
                    f"{self.who} refused our access token, and there is no newer one yet; `quaestor auth status`."
                )
        return response

    def _sent(self, request: requests.PreparedRequest, token: AccessToken | None) -> requests.Response:
        extra = {"Authorization": token.header} if token is not None else {}
        try:
            return self.line.wire.send(request, extra | dict(self._headers() if self._headers else {}))
        except Broken as error:
            raise (BadInput if error.huge else Again)(f"{self.who} {error}.") from error

    def _rest(self, again: Again, failures: int, told: float | None) -> None:
        """Wait before the next try; raises the failure for good when patience ends."""
        patience = self._patience
        if told is not None:
            self.line.hold(Priority.READ, told)
        if failures >= patience.attempts or (told or 0.0) > patience.honoured:
            said = str(again).rstrip(".")
            if told is not None:
                raise BrokerBusy(f"{said}, and says to wait {told:.0f} s. Try again then.", told)
            raise again.lasting(f"{said}, {failures} times.")
        self.stopped.wait(pacing.backoff(failures, self.line.chance(), patience.first, patience.longest))


class Write(Call):
    """One request that changes something."""

    def __init__(self, line: Line, who: str, priority: Priority) -> None:
        self.priority = priority
        super().__init__(line, who)

    def run(self, work: Callable[[], T]) -> T:
        """See `Call`. Whatever cannot be read of an answer, the request has been sent."""
        try:
            return super().run(work)
        except BadInput as error:
            raise BrokerAmbiguous(f"{self.who}: Robinhood's answer to what was sent cannot be read. {error}") from error

    def asked(self, request: requests.PreparedRequest) -> requests.Response:
        """The response as it came; sent once."""
        self.line.turn(self)
        token = self.token()
        try:
            response = self.line.wire.send(request, {"Authorization": token.header} if token is not None else {})
        except Broken as error:
            if not error.sent:
                raise BrokerBusy(f"{self.who}: no connection, nothing was sent: Robinhood {error}.") from error
            raise BrokerAmbiguous(f"{self.who}: no answer to what was sent: Robinhood {error}.") from error
        if response.status_code == DENIED:
            if token is not None:
                self.token(token)
            raise AccessLost(f"{self.who}: Robinhood refused our access token; nothing was done.")
        if response.status_code == BUSY:
            wait = _told(response) or 1.0
            self.line.hold(self.priority, wait)
            raise BrokerBusy(f"{self.who}: Robinhood takes no more requests for {wait:.0f} s; nothing was done.", wait)
        response.headers.pop("Location", None)  # it is not followed, so nobody tries to read it either
        return response


class _Adapter(BaseAdapter):
    """Sends the library's requests through the call that its thread is in."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        call: Call | None = getattr(_here, "call", None)
        if call is None:
            host = urlsplit(str(request.url)).netloc
            raise Permanent(f"A client library asked {host} by itself, outside of a source's call.")
        return call.exchange(request)

    def close(self) -> None:
        """Nothing: connections are the wire's."""


ADAPTER = _Adapter()


def _judged(response: requests.Response, who: str, secrets: Sequence[str]) -> requests.Response:
    try:
        answer = fetching.read(Reply(response.status_code, response.content), who, secrets)
    except QuaestorError as error:
        error.args = (without_secrets(str(error)),)  # Robinhood's words may name the account
        raise
    response.json = lambda **_: answer  # type: ignore[method-assign] # parsed once
    return response


def _told(response: requests.Response) -> float | None:
    return pacing.retry_after(response.headers.get("Retry-After"), dt.datetime.now(dt.UTC))
