"""Running a feed in a test, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from quaestor.doors.streaming import Timing
from quaestor.feeds import FeedRefused, Status
from quaestor.ports_live import Feed
from quaestor.ticks import Tick

QUICK = Timing(login=1.0, ping=0.2, pong=0.2, data=0.3, first=0.02, longest=0.1, full=0.1)


@dataclass
class Heard:
    """What a run has told."""

    feed: Any
    ticks: list[Tick] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    batches: int = 0

    def on_batch(self, ticks: list[Tick]) -> None:
        self.ticks += ticks
        self.batches += 1

    def kinds(self) -> list[str]:
        return [status.kind for status in self.statuses]

    async def until(self, what: Callable[[], bool], patience: float = 15.0) -> None:
        async with asyncio.timeout(patience):
            while not what():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(feed: Feed, on_batch: Any = None) -> AsyncIterator[Heard]:
    """The feed, running, and what it tells; stopped at the end, with nothing left behind."""
    before = asyncio.all_tasks()
    heard = Heard(feed)
    task = asyncio.create_task(feed.run(on_batch or heard.on_batch, heard.statuses.append))
    try:
        yield heard
        feed.stop()
        await asyncio.wait_for(task, 5)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, FeedRefused):
            await task
    await asyncio.sleep(0.05)
    servers = ("_tell", "_beats")
    assert not {each for each in asyncio.all_tasks() - before if not any(name in repr(each) for name in servers)}


async def refusal(feed: Feed, heard: Heard | None = None) -> FeedRefused:
    """The refusal that ends the feed's run."""
    told = heard or Heard(feed)
    try:
        await asyncio.wait_for(feed.run(told.on_batch, told.statuses.append), 10)
    except FeedRefused as error:
        return error
    raise AssertionError("not refused")
