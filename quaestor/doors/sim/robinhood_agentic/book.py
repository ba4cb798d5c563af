"""What the desk works with: the book that is handed in, what it notes of orders, and the knobs that bend it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from quaestor.orders import Execution, Intent, OrderUpdate
from quaestor.ports import Account

AGENTIC, BROKERAGE = "930000017", "510000042"  # account numbers
Answer = dict[str, Any]
Clock = Callable[[], dt.datetime]
Market = Callable[..., Awaitable[Any]]


def now() -> dt.datetime:
    """The wall's."""
    return dt.datetime.now(dt.UTC)


class Book(Protocol):
    """What the desk needs of an exchange."""

    async def place(self, intent: Intent, ref_id: uuid.UUID) -> OrderUpdate:
        """Accept an order; raises BrokerRejected."""
        ...

    async def clock(self) -> tuple[dt.date | None, str]:
        """The session that takes orders."""
        ...

    async def cancel(self, broker_id: str) -> None:
        """Cancel a working order; raises BrokerRejected for one that it does not know."""
        ...

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """All orders, oldest first."""
        ...

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills."""
        ...

    async def account(self) -> Account:
        """Cash and positions."""
        ...

    async def halted(self) -> frozenset[str]:
        """Symbols that take no orders."""
        ...


@dataclass
class Knobs:
    """What goes otherwise from now on. Counters count down with each use.

    approval: orders wait for their owner; review_first: an order that was not reviewed is refused; echoes: orders carry
    their ref_id; answers_known: a ref_id that comes again is answered with its order, not with a refusal; failing_page:
    of a list of orders, from 1; fails: what a tool refuses with, as text; bend: changes the list of tools.
    """

    approval: bool = False
    review_first: bool = False
    echoes: bool = True
    answers_known: bool = False
    failing_page: int = 0
    fails: str = ""
    bend: Callable[[dict[str, dict[str, Any]]], object] | None = None
    statuses: list[int] = field(default_factory=list)  # HTTP statuses of the next calls of tools, before any work
    drop_after: int = 0  # replies that are lost, once the work is done


@dataclass(frozen=True)
class Placed:
    """What the desk knows of an order beside the book."""

    ref_id: str | None
    time_in_force: str
    created_at: dt.datetime
    agent: str


class Refusal(Exception):
    """A tool's no, in the words of its upstream."""
