"""A broker behind a bad line: any broker, and faults between it and us, for rehearsals and tests.

Before every call its schedule says whether something goes wrong, and what (`quaestor.faults`). What the broker does, it
does for good: the faults bend what we send and what we hear, never its books. So after any number of them the broker's
own list is the truth that everything must come back to (law 2).

    a write that may have arrived   BrokerAmbiguous        a read that brought nothing   Temporary
    429, where nothing arrived      BrokerBusy
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from decimal import Decimal
from typing import Protocol, TypeVar

from quaestor.errors import BrokerAmbiguous, BrokerBusy, BrokerRejected, Temporary
from quaestor.faults import WRITES, Call, Fault, Schedule
from quaestor.orders import Execution, Intent, OrderUpdate
from quaestor.ports import Account, Broker, ReplayMarket

T = TypeVar("T")
Row = TypeVar("Row", OrderUpdate, Execution)
Sleep = Callable[[float], Awaitable[object]]

SAID = {
    Fault.REPLY_LOST: "the connection was reset before the answer came",
    Fault.REQUEST_LOST: "the connection was refused",
    Fault.ARRIVES_LATE: "no answer in time",
    Fault.HANG: "no answer in time",
    Fault.SERVER_ERROR: "503 Service Unavailable",
    Fault.BAD_GATEWAY: "502 Bad Gateway",
}
DONE = frozenset({Fault.REPLY_LOST, Fault.HANG, Fault.BAD_GATEWAY})  # the broker did what it was asked


class FaultyBroker:
    """Implements `ports.Broker` around a broker; delay, timeout and retry_after in seconds, slept with `sleep`.

    A request that arrives late does so after `late` more calls.
    """

    def __init__(
        self,
        broker: Broker,
        faults: Schedule,
        sleep: Sleep,
        *,
        delay: float = 0.2,
        timeout: float = 10.0,
        retry_after: float = 1.0,
        late: int = 3,
    ) -> None:
        self._broker = broker
        self._faults = faults
        self._sleep = sleep
        self._delay, self._timeout, self._retry_after, self._late = delay, timeout, retry_after, late
        self._coming: list[tuple[int, Callable[[], Awaitable[object]]]] = []
        self._calls = 0
        self._listed: dict[str, OrderUpdate] = {}
        self._told: set[str] = set()

    # ── the broker ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, intent: Intent) -> OrderUpdate:
        """As the broker does it, if it hears of it."""
        return await self._call(Call.SUBMIT, lambda: self._broker.submit(intent))

    async def cancel(self, broker_id: str) -> None:
        """As the broker does it, if it hears of it."""
        await self._call(Call.CANCEL, lambda: self._broker.cancel(broker_id))

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """The broker's list, or what the fault leaves of it."""
        fault = await self._before(Call.ORDERS)
        rows = await self._read(fault, lambda: self._broker.orders(since))
        if fault is Fault.STALE:
            return [self._listed.get(row.broker_id, row) for row in rows]
        heard = _bent(rows, fault, self._listed.keys(), lambda row: row.broker_id)
        self._listed |= {row.broker_id: row for row in heard}
        return heard

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """The broker's fills, or what the fault leaves of them."""
        fault = await self._before(Call.EXECUTIONS)
        rows = await self._read(fault, lambda: self._broker.executions(since))
        heard = _bent(rows, fault, self._told, lambda row: row.execution_id)
        self._told |= {row.execution_id for row in heard}
        return heard

    async def account(self) -> Account:
        """What the broker says we own."""
        return await self._call(Call.ACCOUNT, self._broker.account)

    async def halted(self) -> frozenset[str]:
        """Symbols that take no orders now."""
        return await self._call(Call.HALTED, self._broker.halted)

    # ── the line ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _call(self, call: Call, ask: Callable[[], Awaitable[T]]) -> T:
        fault = await self._before(call)
        if call not in WRITES:
            return await self._read(fault, ask)
        if fault in DONE:
            with suppress(BrokerRejected):  # its no does not arrive either
                await ask()
        elif fault is Fault.ARRIVES_LATE:
            self._coming.append((self._calls + self._late, ask))
        if fault is not None and fault in SAID:
            raise BrokerAmbiguous(f"{call.value}: {await self._silence(fault)}. The broker may have it, or not.")
        return await ask()

    async def _read(self, fault: Fault | None, ask: Callable[[], Awaitable[T]]) -> T:
        if fault is not None and fault in SAID:
            raise Temporary(f"The broker did not answer: {await self._silence(fault)}.")
        return await ask()

    async def _before(self, call: Call) -> Fault | None:
        """What arrives late, arrives; then the fault of this call, with its wait."""
        self._calls += 1
        due = [ask for at, ask in self._coming if at <= self._calls]
        self._coming = [(at, ask) for at, ask in self._coming if at > self._calls]
        for ask in due:
            with suppress(BrokerRejected):
                await ask()
        fault = self._faults.strikes(call)
        if fault is Fault.THROTTLED:
            wait = self._retry_after
            raise BrokerBusy(f"{call.value}: 429 Too Many Requests, Retry-After {wait:g} s. Nothing was done.", wait)
        if fault is Fault.DELAY:
            await self._sleep(self._delay)
        return fault

    async def _silence(self, fault: Fault) -> str:
        if fault in {Fault.HANG, Fault.ARRIVES_LATE}:
            await self._sleep(self._timeout)
        return SAID[fault]


class PaperMarket(Broker, ReplayMarket, Protocol):
    """A broker over a market that can be moved."""


class FaultyMarket(FaultyBroker):
    """The same around a broker whose market can be moved; the moves themselves never fail."""

    def __init__(self, broker: PaperMarket, faults: Schedule, sleep: Sleep) -> None:
        super().__init__(broker, faults, sleep)
        self._market = broker

    async def fund(self, cash: Decimal) -> None:
        """Open the account with that cash, once."""
        await self._market.fund(cash)

    async def open_session(self, session: dt.date) -> None:
        """Before the open."""
        await self._market.open_session(session)

    async def close_session(self, session: dt.date) -> None:
        """Trade the session."""
        await self._market.close_session(session)

    async def clock(self) -> tuple[dt.date | None, str]:
        """Where the simulated clock stands."""
        return await self._market.clock()


def _bent(rows: list[Row], fault: Fault | None, known: Container[str], name: Callable[[Row], str]) -> list[Row]:
    """The rows as the fault tells them; `known` are the names of those told before."""
    match fault:
        case Fault.TWICE:
            return [row for row in rows for _ in range(2)]
        case Fault.REORDERED:
            return rows[::-1]
        case Fault.LAG:
            return [row for row in rows if name(row) in known]
        case Fault.SHRUNK:
            return rows[: len(rows) // 2]
        case _:
            return rows
