"""The exchange itself as a market: its sessions come and go by the clock, and nobody moves them.

What the paper broker's market is told to do, a real one does by itself; left is where it stands. A session begins half
an hour before its open, when a live run rolls to it, and ends with its close: an order that is sent a moment later
waits at the broker for the next session.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

from quaestor import calendar
from quaestor.operations.live.sessions import EARLY
from quaestor.ticks import SECOND

BEFORE_THE_OPEN = dt.timedelta(seconds=EARLY // SECOND)


class ExchangeMarket:
    """Implements `ports.ReplayMarket` where there is nothing to replay. now: aware."""

    def __init__(self, now: Callable[[], dt.datetime]) -> None:
        self.now = now

    async def fund(self, cash: Decimal) -> None:
        """Nothing: the account holds what it holds (see `opening`)."""

    async def open_session(self, session: dt.date) -> None:
        """Nothing: the exchange opens by itself."""

    async def close_session(self, session: dt.date) -> None:
        """Nothing: the exchange closes by itself."""

    async def clock(self) -> tuple[dt.date | None, str]:
        """The session that began last, and whether it still is "open" or "closed"."""
        now = self.now()
        day = now.astimezone(calendar.NEW_YORK).date()
        began = calendar.is_session(day) and now >= calendar.session_open(day) - BEFORE_THE_OPEN
        session = day if began else calendar.previous_session(day)
        return session, "open" if now < calendar.session_close(session) else "closed"
