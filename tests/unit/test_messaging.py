"""The local server's message broker waits where SQLite is locked, and Prefect takes it for a broker."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from prefect.server.utilities.messaging import BrokerModule
from prefect.server.utilities.messaging.memory import MemoryMessage
from sqlalchemy.exc import OperationalError

from deployments import messaging
from quaestor.doors.prefect_local import ON_SQLITE

LOCKED = OperationalError("insert", {}, sqlite3.OperationalError("database is locked"))


def test_the_local_server_is_told_of_this_module() -> None:
    assert {"PREFECT_SERVER_EVENTS_MESSAGING_BROKER": messaging.__name__} == ON_SQLITE


def test_prefect_takes_the_module_for_a_broker() -> None:
    assert isinstance(messaging, BrokerModule)


def test_one_message_is_handled_at_a_time() -> None:
    assert messaging.Consumer("events", concurrency=5).concurrency == 1


async def test_a_message_is_handled_in_the_end_however_often_the_database_was_locked() -> None:
    tries = []

    async def handler(message: object) -> None:
        tries.append(message)
        if len(tries) < 4:
            raise LOCKED

    message = MemoryMessage(data=b"", attributes={})
    await messaging.patient(handler)(message)
    assert tries == [message] * 4


async def test_another_error_is_not_tried_again() -> None:
    tries = []

    async def handler(message: object) -> None:
        tries.append(message)
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match="no such thing"):
        await asyncio.wait_for(messaging.patient(handler)(MemoryMessage(data=b"", attributes={})), 1)
    assert len(tries) == 1
