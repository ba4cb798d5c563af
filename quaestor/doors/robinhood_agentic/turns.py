"""Turns: the line before the channel (`queueing`), as its calls wait in it."""

from __future__ import annotations

import asyncio
import contextlib

from quaestor.queueing import Priority, Queue


class Turns:
    """Lets calls through, so many a second, the most urgent first; of one event loop."""

    def __init__(self, per_second: float) -> None:
        self._queue = Queue(per_second)
        self._turns: dict[int, asyncio.Future[None]] = {}
        self._came = asyncio.Event()
        self._giving: asyncio.Task[None] | None = None

    async def take(self, priority: Priority) -> None:
        """Wait for a turn."""
        loop = asyncio.get_running_loop()
        ticket = self._queue.ask(priority, loop.time())
        self._turns[ticket] = loop.create_future()
        self._came.set()
        if self._giving is None or self._giving.done():
            self._giving = asyncio.create_task(self._give(), name="robinhood-agentic-turns")
        try:
            await self._turns[ticket]
        finally:
            self._queue.leave(ticket)
            self._turns.pop(ticket, None)

    def hold(self, priority: Priority, seconds: float) -> None:
        """Let none of that kind through for so long."""
        self._queue.hold(priority, asyncio.get_running_loop().time() + seconds)

    async def _give(self) -> None:
        while self._queue.waiting:
            ticket, wait = self._queue.next(asyncio.get_running_loop().time())
            if ticket is not None:
                turn = self._turns.get(ticket)
                if turn is not None and not turn.done():
                    turn.set_result(None)
                continue
            self._came.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), wait)  # who comes may be more urgent, or not held back
