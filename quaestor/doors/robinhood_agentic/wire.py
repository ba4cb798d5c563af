"""The wire below the SDK: whom we may speak to, with which token, and what became of each exchange.

The SDK tells a refused token, a throttle and a dropped connection apart no more than "an error"; for an order it makes
all the difference. So its HTTP client gets a transport of ours. Each call lays an `Exchange` before it (a context
variable, which the SDK carries along to where it sends), and the transport writes down what it saw: the status, the
seconds that a throttle asks for, whether the request could not leave at all. A connection that fails is answered as
status 599, for an exception there would end the whole session, with all that is under way in it.
"""

from __future__ import annotations

import datetime as dt
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2

from quaestor.pacing import retry_after

if TYPE_CHECKING:
    from quaestor.custody.tokens import AccessToken

FAILED = 599  # no server's word: the connection failed
STRANGE = 421  # another host than ours
UNSENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)


@dataclass
class Exchange:
    """A call's way: the token it shows, and what was seen. `status` 0: nothing yet; `why`: of a failed connection."""

    token: AccessToken
    status: int = 0
    unsent: bool = False
    wait: float | None = None
    why: str = ""


under_way: ContextVar[Exchange | None] = ContextVar("under_way", default=None)


class Wire(httpx2.AsyncBaseTransport):
    """Sends to one host alone; the token goes nowhere else. `token`: shown where no call is under way."""

    def __init__(self, url: str, token: AccessToken) -> None:
        self._host, self._token = _origin(url), token
        self._inner = httpx2.AsyncHTTPTransport(verify=_trust(), trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request and its answer; a JSON answer is whole."""
        exchange = under_way.get() or Exchange(self._token)
        if _origin(str(request.url)) != self._host:
            exchange.status, exchange.unsent = STRANGE, True
            return httpx2.Response(STRANGE, request=request)
        request.headers["Authorization"] = exchange.token.header
        try:
            response = await self._inner.handle_async_request(request)
            if response.headers.get("content-type", "").startswith("application/json"):
                await response.aread()
        except (httpx2.TransportError, httpx2.StreamError) as error:
            exchange.status, exchange.unsent = FAILED, isinstance(error, UNSENT)
            exchange.why = f"{type(error).__name__}: {str(error)[:80]}".rstrip(": ")
            return httpx2.Response(FAILED, request=request)
        exchange.status = response.status_code
        exchange.wait = retry_after(response.headers.get("retry-after"), dt.datetime.now(dt.UTC))
        return response

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Whose certificates are taken: reading them takes longer than opening a session."""
    return httpx2.create_ssl_context(trust_env=False)


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
