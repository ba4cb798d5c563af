"""The local server's message broker: Prefect's in-memory one, with patience for SQLite.

Prefect's own consumer hands a message to its handler four times in a row without a pause, then drops it. On SQLite two
handlers that write at once can meet "database is locked" at each of them, and a dropped message is a lost trigger: a
flow that never starts, or a finished run that the zombie reaper takes for dead. Here one handler runs at a time, and a
locked database is waited for. PREFECT_SERVER_EVENTS_MESSAGING_BROKER names it where the metadata are in SQLite; a
server on PostgreSQL does not need it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.server.utilities.messaging.memory import Cache, Publisher, break_topic, ephemeral_subscription
from sqlalchemy.exc import OperationalError

__all__ = ["Cache", "Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between tries while the database is locked


class Consumer(memory.Consumer):
    """Prefect's consumer, one message at a time."""

    def __init__(self, topic: str, **settings: Any) -> None:
        super().__init__(topic, **{**settings, "concurrency": 1})

    async def run(self, handler: MessageHandler) -> None:
        """Consume for ever; each message is handled with patience."""
        await super().run(patient(handler))


def patient(handler: MessageHandler) -> MessageHandler:
    """The handler, tried again after a pause while the database is locked; the last try's error is the caller's."""

    async def handle(message: Message) -> None:
        for pause in PAUSES:
            try:
                return await handler(message)
            except OperationalError:
                await asyncio.sleep(pause)
        return await handler(message)

    return handle
