"""Queueing: who may ask the broker next, and when. Pure: the clock is given.

    CANCEL before EXIT before ENTRY before READ; among equals, who came first

Two buckets (see `pacing`) say when: every request takes from the first, a new order also from the second, and who lacks
one of them is passed over by who does not. When the broker says "wait", one kind waits (`hold`), and the others go on:
a cancel is never held back by the reads' 429. Rank alone would starve reads while orders stream: whoever was passed
over `PASSED` times in a row goes next, if his buckets let him.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from quaestor.pacing import Bucket, bucket

PASSED = 8  # requests that may go before one that came earlier
BLINK = 1e-9  # seconds that are none: what sums of floats leave


class Priority(IntEnum):
    """What a request is; the lower number goes first."""

    CANCEL = 0
    EXIT = 1
    ENTRY = 2
    READ = 3

    @property
    def orders(self) -> bool:
        """Whether it is a new order."""
        return self in {Priority.EXIT, Priority.ENTRY}


@dataclass(frozen=True, slots=True)
class Waiter:
    """Who waits, since when (seconds); tickets count up in the order of coming."""

    ticket: int
    priority: Priority
    since: float


@dataclass
class Queue:
    """The line before the broker's door. per_second: requests (None: any number); spacing: seconds between orders."""

    per_second: float | None = None
    spacing: float = 0.0
    waiting: list[Waiter] = field(default_factory=list)
    _tickets: int = 0
    _passed: int = 0  # by who came later, since the oldest waiter became the oldest

    def __post_init__(self) -> None:
        self._all = bucket(self.per_second)
        self._orders = Bucket(1 / self.spacing) if self.spacing > 0 else Bucket()
        self._held = dict.fromkeys(Priority, -math.inf)

    def ask(self, priority: Priority, now: float) -> int:
        """Stand in the line; the ticket."""
        self._tickets += 1
        self.waiting.append(Waiter(self._tickets, priority, now))
        return self._tickets

    def leave(self, ticket: int) -> None:
        """Go away without having been let in."""
        self._drop(ticket)

    def hold(self, priority: Priority, until: float) -> None:
        """Let nobody of that kind in before that instant; exits and entries are one kind."""
        for each in Priority:
            if each is priority or (each.orders and priority.orders):
                self._held[each] = max(self._held[each], until)

    def held(self, priority: Priority, now: float) -> float:
        """Seconds for which that kind is held back, 0 where it is not."""
        return max(0.0, self._held[priority] - now)

    def next(self, now: float) -> tuple[int | None, float]:
        """Who is let in now, with the buckets' tokens; else None, and the seconds until it is of use to ask again."""
        ready = [(self._wait(each.priority, now), each) for each in self.waiting]
        free = [each for wait, each in ready if wait <= BLINK]
        if not free:
            return None, min((wait for wait, _ in ready), default=math.inf)
        oldest = self.waiting[0]
        chosen = oldest if self._passed >= PASSED and oldest in free else min(free, key=_rank)
        self._passed = 0 if chosen is oldest else self._passed + 1
        self._take(chosen.priority, now)
        self._drop(chosen.ticket)
        return chosen.ticket, 0.0

    def _wait(self, priority: Priority, now: float) -> float:
        waits = [self._all.take(now)[1], self.held(priority, now)]
        return max([*waits, self._orders.take(now)[1]] if priority.orders else waits)

    def _take(self, priority: Priority, now: float) -> None:
        self._all = self._all.take(now)[0]
        if priority.orders:
            self._orders = self._orders.take(now)[0]

    def _drop(self, ticket: int) -> None:
        if self.waiting and self.waiting[0].ticket == ticket:
            self._passed = 0
        self.waiting = [each for each in self.waiting if each.ticket != ticket]


def _rank(waiter: Waiter) -> tuple[int, int]:
    return waiter.priority, waiter.ticket
