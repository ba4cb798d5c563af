"""The exchange behind the protocol server: the books of accounts, handed in, and the sessions that its clock brings.

A book takes orders for the session in progress or, when the market is closed, for the next one; quotes fill them while
the market is open (outside of regular hours only those that were placed for it); the close ends what was good for the
day. The books are kept in memory: whatever is asked of them is answered at once.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol, TypeVar

from quaestor.calendar import (
    NEW_YORK,
    is_session,
    next_session,
    postmarket_end,
    session_close,
    session_open,
)
from quaestor.matching import Quote
from quaestor.orders import Execution, Intent, OrderUpdate
from quaestor.ports import Account

Phase = Literal["regular", "extended", "closed"]
EARLIEST = dt.time(7)  # Robinhood's premarket, in New York
Result = TypeVar("Result")


class Book(Protocol):
    """One account's, as `doors/memory/broker.py` keeps it."""

    async def place(self, intent: Intent, ref_id: uuid.UUID) -> OrderUpdate:
        """Accept an order, once per ref_id; raises BrokerRejected."""
        ...

    async def cancel(self, broker_id: str) -> None:
        """Cancel a working order."""
        ...

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """All orders."""
        ...

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills, oldest first."""
        ...

    async def account(self) -> Account:
        """Cash and positions."""
        ...

    async def promised(self) -> tuple[Decimal, dict[str, Decimal]]:
        """What working orders may still take: dollars, shares by symbol."""
        ...

    async def pay(self, amount: Decimal) -> None:
        """Move cash."""
        ...

    async def clock(self) -> tuple[dt.date | None, str]:
        """The session, and whether it is open."""
        ...

    async def open_session(self, session: dt.date) -> None:
        """Take orders for it."""
        ...

    async def close_session(self, session: dt.date) -> None:
        """End what was good for the day."""
        ...

    async def halt(self, symbol: str, reason: str) -> None:
        """Take no orders in the symbol, and trade none."""
        ...

    async def end_halt(self, symbol: str) -> None:
        """Trade it again."""
        ...

    async def on_quote(
        self, symbol: str, quote: Quote, at: dt.datetime, only: Collection[str] | None = None
    ) -> Sequence[Execution]:
        """The market moves; what traded, of these orders only."""
        ...


def done(asked: Coroutine[Any, Any, Result]) -> Result:
    """The answer of a book in memory, which waits for nothing."""
    try:
        asked.send(None)
    except StopIteration as end:
        answer: Result = end.value
        return answer
    asked.close()
    raise RuntimeError("This book waits for something; the protocol server takes books in memory only.")


class Floor:
    """The books by account number, and the hours. round_the_clock: it is always within regular hours."""

    def __init__(self, books: Mapping[str, Book], clock: Callable[[], dt.datetime]) -> None:
        self.books, self._clock, self.round_the_clock = dict(books), clock, False

    def phase(self, at: dt.datetime | None = None) -> Phase:
        """What the market does at that time, or now."""
        now = at or self._clock()
        local = now.astimezone(NEW_YORK)
        if self.round_the_clock:
            return "regular"
        if not is_session(local.date()):
            return "closed"
        if session_open(local.date()) <= now < session_close(local.date()):
            return "regular"
        return "extended" if local.time() >= EARLIEST and now < postmarket_end(local.date()) else "closed"

    def session(self) -> dt.date:
        """The session in progress, or the next."""
        now = self._clock()
        day = now.astimezone(NEW_YORK).date()
        return day if is_session(day) and now < session_close(day) else next_session(day)

    def roll(self) -> None:
        """Bring the books to the session of the clock."""
        if not self.books:
            return
        due = self.session()
        for book in self.books.values():
            stands, phase = done(book.clock())
            if stands is not None and stands >= due:
                continue
            if stands is not None and phase == "open":
                done(book.close_session(stands))
            done(book.open_session(due))
