"""What an account did lately, read from the books for its risk gate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import TYPE_CHECKING

from quaestor.calendar import sessions
from quaestor.doors.postgres.sql import queries
from quaestor.risk import Record, Sale

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database

SQL = queries("activity")
YEAR = dt.timedelta(days=366)  # older losses are history


class ActivityStore:
    """Implements `ports.ActivityStore` for one account."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self._account = account

    async def record(
        self, session: dt.date, symbols: Collection[str], quality_window: int, *, live: bool = False
    ) -> Record:
        """The account's record before a session."""
        ask = {"account": self._account, "session": session, "since": session - YEAR}
        looked = _sessions_before(session, quality_window)
        more = {"symbols": sorted(symbols), "looked": looked, "live": live}
        (lately,) = await self._database.fetch(SQL["lately"], ask | more)
        sales = await self._database.fetch(SQL["sales"], ask)
        return Record(
            attempts=lately["attempts"],
            orders=lately["orders"],
            sales=tuple(Sale(**row) for row in sales),
            quarantined=lately["quarantined"] or {},
            splitting=frozenset(lately["splitting"]),
        )


def _sessions_before(session: dt.date, count: int) -> dt.date:
    """The first of so many sessions before that one."""
    before = sessions(session - dt.timedelta(days=2 * count + 10), session - dt.timedelta(days=1))
    return before[-count:][0] if before else session
