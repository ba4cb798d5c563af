"""A protocol server that holds: a client is met in the middle of its work, and loses nothing by it."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any


async def test_requests_are_held_after_so_many_answers_until_they_are_released(site: Any) -> None:
    window = dt.date(2026, 10, 1), dt.date(2026, 11, 20)
    whole = await site.source().history("AAPL", *window)
    site.server.hold(after=1)
    answered = site.server.answered
    asking = asyncio.create_task(site.source(read=20.0, whole=20.0).history("AAPL", *window))
    try:
        while site.server.answered == answered or not site.server.waiting:
            await asyncio.sleep(0.01)
        assert (site.server.answered - answered, asking.done()) == (1, False)
    finally:
        site.server.release()
    assert (await asking).bars.equals(whole.bars)
    assert site.server.waiting == 0


async def test_a_client_that_leaves_while_it_is_held_is_not_waited_for(site: Any) -> None:
    site.server.hold()
    try:
        asking = asyncio.create_task(site.source(read=0.25).history("AAPL", dt.date(2026, 10, 1), dt.date(2026, 10, 9)))
        await asyncio.wait([asking])
        assert "does not answer" in str(asking.exception())
        while site.server.waiting:
            await asyncio.sleep(0.01)
    finally:
        site.server.release()
