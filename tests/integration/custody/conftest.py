"""A login's house, and one that is seeded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quaestor.doors.postgres.database import Database
from quaestor.operations.custody.seeding import seed
from tests.logins import House, house


@pytest.fixture
def empty(tmp_path: Path, database: Database) -> Iterator[House]:
    """Nobody has logged in yet."""
    with house(tmp_path, database) as found:
        yield found


@pytest.fixture
async def home(empty: House) -> House:
    """Somebody has, on a device that needs no approval."""
    empty.server.auth.approvals.required = False
    await seed(empty.custodian(), empty.login())
    empty.server.auth.approvals.required = True
    empty.server.requests.clear()
    return empty
