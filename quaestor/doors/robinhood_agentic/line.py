"""The line to the channel: calls of its tools, over a session of the official SDK (`sessions`).

Each call waits for its turn, shows the newest access token, and has a deadline. What becomes of it, by what the wire
saw:

    no token                AccessLost, with what the vault says: nothing done
    401                     a newer token in the vault? a read is repeated once with it; else AccessLost: nothing done
    429                     BrokerBusy, and none of its kind (cancels, orders, reads) calls before the time it asks for
    never left, 404         BrokerBusy: nothing was done; the next call opens a new session
    no answer, 5xx          a read: BrokerBusy; a write: BrokerAmbiguous, and it is never repeated here
    other 4xx, a clear no   BrokerRejected
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, CallToolResult, TextContent

from quaestor.doors.robinhood_agentic import schemas
from quaestor.doors.robinhood_agentic.refusals import WAIT, refusal
from quaestor.doors.robinhood_agentic.sessions import BROKEN, Session, Sessions
from quaestor.doors.robinhood_agentic.turns import Turns
from quaestor.doors.robinhood_agentic.wire import Exchange, under_way
from quaestor.errors import AccessLost, BrokerAmbiguous, BrokerBusy, BrokerRejected, QuaestorError, Temporary
from quaestor.queueing import Priority

if TYPE_CHECKING:
    from quaestor.custody.tokens import AccessToken
    from quaestor.ports_secrets import AccessTokens

URL = "https://agent.robinhood.com/mcp/trading"


class Line:
    """Calls the channel's tools; of one event loop. timeout: seconds for each answer."""

    def __init__(
        self,
        url: str,
        tokens: AccessTokens,
        *,
        calls_per_second: float = 4.0,
        timeout: float = 10.0,
        mode: Any = "auto",
    ) -> None:
        self._tokens, self._timeout, self._turns = tokens, timeout, Turns(calls_per_second)
        self._sessions = Sessions(url or URL, timeout=timeout, mode=mode)

    async def call(
        self, tool: str, arguments: Mapping[str, Any], *, writes: bool = False, priority: Priority = Priority.READ
    ) -> Mapping[str, Any]:
        """What a tool answers, out of its envelope. Raises what the table above says, and SchemaDrift."""
        refused: AccessToken | None = None
        while True:
            token = await self._token(tool)
            try:
                return await self._once(tool, arguments, Exchange(token), writes=writes, priority=priority)
            except AccessLost:
                newer = await self._token(tool, token)
                if writes or refused is not None or newer is None:
                    raise
                refused = token

    async def _token(self, tool: str, refused: AccessToken | None = None) -> Any:
        """The newest token, or the one after that which was refused. Without one nothing is sent: AccessLost."""
        try:
            if refused is None:
                return await asyncio.to_thread(self._tokens.current)
            return await asyncio.to_thread(self._tokens.after, refused)
        except QuaestorError as error:
            raise AccessLost(f"{tool}: nothing was done, for there is no access token. {error}") from error

    async def open(self) -> None:
        """Open the session now, so that a drift is known before anything is to be sent."""
        refused: AccessToken | None = None
        while True:
            token = await asyncio.to_thread(self._tokens.current)
            try:
                await self._sessions.standing(token)
            except AccessLost:
                newer = await asyncio.to_thread(self._tokens.after, token)
                if refused is not None or newer is None:
                    raise
                refused = token
            else:
                return

    async def aclose(self) -> None:
        """Close the session."""
        await self._sessions.aclose()

    # ── a call ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _once(
        self, tool: str, arguments: Mapping[str, Any], exchange: Exchange, *, writes: bool, priority: Priority
    ) -> Mapping[str, Any]:
        await self._turns.take(priority)
        session = await self._sessions.standing(exchange.token)
        mark = under_way.set(exchange)
        try:
            with session:
                async with asyncio.timeout(self._timeout + 1):  # the SDK's own deadline comes first
                    result = await session.client.session.call_tool(tool, dict(arguments), self._timeout)
        except BROKEN as error:
            raise self._failure(tool, error, exchange, session, writes, priority) from error
        finally:
            under_way.reset(mark)
        return _read(result, tool, writes=writes)

    def _failure(
        self,
        tool: str,
        error: BaseException,
        exchange: Exchange,
        session: Session,
        writes: bool,
        priority: Priority,
    ) -> QuaestorError:
        """What a call's failure means, by what the wire saw of it."""
        status, who = exchange.status, f"Robinhood's channel ({tool})"
        if status not in {200, 401, 429}:
            self._sessions.drop(session)
        if status == 401:
            return AccessLost(f"{who} refused the access token, and there is no newer one. Nothing was done.")
        if status == 429:
            return self._throttled(who, exchange, priority)
        if (no := _clear_no(who, error, status)) is not None:
            return no
        if exchange.unsent or status in {404, 421}:
            return BrokerBusy(f"{who} could not be reached ({exchange.why or status}). Nothing was done.", WAIT)
        why = exchange.why or (f"status {status}" if status not in {0, 200} else str(error)[:200] or "no answer")
        return lost(f"{who} gave no answer ({why})", writes=writes)

    def _throttled(self, who: str, exchange: Exchange, priority: Priority) -> BrokerBusy:
        wait = WAIT if exchange.wait is None else exchange.wait
        self._turns.hold(priority, wait)
        return BrokerBusy(f"{who} takes no more calls for {wait:g} s. Nothing was done.", wait)


def _read(result: CallToolResult, tool: str, *, writes: bool) -> Mapping[str, Any]:
    """The answer out of its envelope `{"data": …, "guide": …}`."""
    text = next((part.text for part in result.content if isinstance(part, TextContent)), "")
    if result.is_error:
        raise refusal(text, tool, writes=writes)
    told: Any = result.structured_content
    if told is None:
        with contextlib.suppress(ValueError):
            told = json.loads(text)
    data = told.get("data", told) if isinstance(told, dict) else None
    if isinstance(data, dict):
        return data
    raise unreadable(tool, "no JSON object", writes=writes)


def unreadable(tool: str, what: str, *, writes: bool = False) -> Temporary:
    """An answer that cannot be understood: after a write, nobody knows what was done."""
    return lost(f"Robinhood answered {tool} with {what}", writes=writes)


def lost(what: str, *, writes: bool) -> Temporary:
    """No answer that says anything."""
    return BrokerAmbiguous(f"{what}: it may have been done.") if writes else BrokerBusy(f"{what}.", WAIT)


def _clear_no(who: str, error: BaseException, status: int) -> BrokerRejected | None:
    """What says that nothing was done, and that asking again is useless."""
    code = error.code if isinstance(error, MCPError) else None
    if code == METHOD_NOT_FOUND and status == 200:
        return schemas.SchemaDrift(f"{who} is not known there any more. {schemas.CURE}")
    if code == INVALID_PARAMS or status in {400, 403, 405, 413, 415, 422}:
        return BrokerRejected(f"{who} answered {status}: {str(error)[:200]}")
    return None
