"""Sessions: one of the official SDK's at a time, which calls share.

A session lives in a task of its own, for the SDK wants to be closed where it was opened, and begins by reading the
tools: where they are not as we know them, there is no session, and so no call (`schemas`). One that broke, or is an
hour old, is retired: it takes no new call, and ends when its last one has its answer; a call that fails takes no other
along.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import PaginatedRequestParams

from quaestor.doors.robinhood_agentic import schemas
from quaestor.doors.robinhood_agentic.refusals import WAIT
from quaestor.doors.robinhood_agentic.wire import Exchange, Wire, under_way
from quaestor.errors import AccessLost, BrokerBusy, QuaestorError

if TYPE_CHECKING:
    from quaestor.custody.tokens import AccessToken

OLDEST = 3600.0  # seconds after which a session is opened anew, and with it the tools are read again
PAGES = 50  # of the list of tools
BROKEN = (MCPError, RuntimeError, ValueError, TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError)


class Session:
    """A session that stands; `over` ends it. One that is retired lives on until its last call has its answer."""

    def __init__(self, client: Client) -> None:
        self.client, self.over, self.opened = client, asyncio.Event(), time.monotonic()
        self._calls, self._retired = 0, False

    def __enter__(self) -> Self:
        self._calls += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._calls -= 1
        self._end()

    def retire(self) -> None:
        """It takes no new call."""
        self._retired = True
        self._end()

    def _end(self) -> None:
        if self._retired and not self._calls:
            self.over.set()


class Sessions:
    """Opens sessions; of one event loop. timeout: seconds for each answer; mode: which protocol, as the SDK has it."""

    def __init__(self, url: str, *, timeout: float, mode: Any) -> None:
        self._url, self._timeout, self._mode = url, timeout, mode
        self._opening = asyncio.Lock()
        self._session: Session | None = None
        self._holding: set[asyncio.Task[None]] = set()
        self._not_before = 0.0

    async def standing(self, token: AccessToken) -> Session:
        """The session, opened where there is none or it is old. Raises SchemaDrift, AccessLost, BrokerBusy."""
        async with self._opening:
            if self._session is not None and time.monotonic() - self._session.opened > OLDEST:
                self.drop(self._session)
            if self._session is None:
                if (wait := self._not_before - time.monotonic()) > 0:
                    raise BrokerBusy("Robinhood's channel takes no more calls for now. Nothing was done.", wait)
                self._session = await self._opened(Exchange(token))
            return self._session

    async def _opened(self, exchange: Exchange) -> Session:
        ready: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        holding = asyncio.create_task(self._hold(exchange, ready), name="robinhood-agentic")
        self._holding.add(holding)
        holding.add_done_callback(self._holding.discard)
        try:
            async with asyncio.timeout(self._timeout * 2):
                return await asyncio.shield(ready)
        except TimeoutError as error:
            holding.cancel()
            raise BrokerBusy("Robinhood's channel opens no session in time. Nothing was done.", WAIT) from error
        except asyncio.CancelledError:
            holding.cancel()
            raise
        except BaseExceptionGroup as group:
            raise self._closed(exchange, _first(group)) from group
        except (*BROKEN, httpx2.HTTPError) as error:
            raise self._closed(exchange, error) from error

    def _closed(self, exchange: Exchange, error: BaseException) -> QuaestorError:
        """Why no session could be opened; nothing was done then, whatever it was."""
        if isinstance(error, QuaestorError):
            return error
        if exchange.status == 401:
            return AccessLost("Robinhood's channel refused the access token, and there is no newer one.")
        if exchange.status == 429:
            wait = WAIT if exchange.wait is None else exchange.wait
            self._not_before = time.monotonic() + wait
            return BrokerBusy(f"Robinhood's channel takes no more calls for {wait:g} s. Nothing was done.", wait)
        why = exchange.why or (f"status {exchange.status}" if exchange.status not in {0, 200} else str(error)[:200])
        return BrokerBusy(f"Robinhood's channel opens no session ({why}). Nothing was done.", WAIT)

    async def _hold(self, exchange: Exchange, ready: asyncio.Future[Session]) -> None:
        """Open a session, read the tools, and keep it until it is over: all in one task."""
        under_way.set(exchange)  # of this task alone
        session: Session | None = None
        try:
            wire, timeout = Wire(self._url, exchange.token), httpx2.Timeout(self._timeout, read=None)
            async with (
                httpx2.AsyncClient(transport=wire, timeout=timeout, trust_env=False) as http,
                Client(
                    streamable_http_client(self._url, http_client=http),
                    mode=self._mode,
                    read_timeout_seconds=self._timeout,
                    cache=None,
                ) as client,
            ):
                schemas.require(await _tools(client))
                session = Session(client)
                ready.set_result(session)
                await session.over.wait()
        except Exception as error:  # noqa: BLE001  # told to who waits for it; after that, calls see it break
            if not ready.done():
                ready.set_exception(error)
        finally:
            self.drop(session)

    def drop(self, session: Session | None) -> None:
        """The next call opens another one."""
        if session is not None:
            session.retire()
            if self._session is session:
                self._session = None

    async def aclose(self) -> None:
        """Close it."""
        self.drop(self._session)
        if self._holding:
            await asyncio.wait(self._holding, timeout=self._timeout)


async def _tools(client: Client) -> list[schemas.Tool]:
    tools: list[schemas.Tool] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await client.session.list_tools(params=PaginatedRequestParams(cursor=cursor) if cursor else None)
        tools += [schemas.Tool(each.name, each.input_schema) for each in page.tools]
        cursor = page.next_cursor
        if not cursor:
            return tools
    raise schemas.SchemaDrift(f"Robinhood's list of tools does not end. {schemas.CURE}")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure inside nested groups; ours before any other."""
    leaves = [_first(each) if isinstance(each, BaseExceptionGroup) else each for each in group.exceptions]
    return next((each for each in leaves if isinstance(each, QuaestorError)), leaves[0])
