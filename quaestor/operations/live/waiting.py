"""Waiting for an event with an end to it."""

from __future__ import annotations

import asyncio
import contextlib


async def waited(event: asyncio.Event, seconds: float) -> bool:
    """Until it is set, but no longer; whether it is. (`wait_for` of Python 3.11 may swallow that we are cancelled.)"""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
