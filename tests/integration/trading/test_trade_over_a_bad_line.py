"""A broker whose answers get lost: still the same orders, and never two for one ref_id (law 2)."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import uuid
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from quaestor.bars import Bar
from quaestor.errors import BrokerAmbiguous, BrokerRejected
from quaestor.orders import Intent, OrderUpdate

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk, State

DAY = dt.date
FIRST, LAST = DAY(2005, 2, 1), DAY(2005, 3, 15)  # the stretch of `undisturbed`


async def hasty(seconds: float) -> None:
    """The pauses between tries, in a fiftieth of their time."""
    await asyncio.sleep(seconds / 50)


class BadLine:
    """The real paper broker, far away. While an order is unresolved, no entry on its symbol may come."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.real = desk, desk.floor().broker
        self.tries: Counter[uuid.UUID] = Counter()
        self.hidden: Counter[uuid.UUID | None] = Counter()  # from how many more listings

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    async def submit(self, intent: Intent) -> OrderUpdate:
        unresolved = self.desk.fetch(
            f"""select count(*) from order_state join intent using (ref_id)
                where symbol = '{intent.symbol}' and state in ('unknown', 'submitting')
                and ref_id <> '{intent.ref_id}' and (reduces or not {intent.reduces})"""
        )
        assert unresolved == [(0,)], f"{intent.symbol} has an unresolved order"
        self.tries[intent.ref_id] += 1
        return await self.carry(intent, self.tries[intent.ref_id])

    async def carry(self, intent: Intent, attempt: int) -> OrderUpdate:
        """What the line makes of an attempt (1, 2, …) to send an order."""
        raise NotImplementedError

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        listed = [update for update in await self.real.orders(since) if not self.hidden[update.ref_id]]
        self.hidden -= Counter(dict.fromkeys(self.hidden, 1))
        return listed


class LossyLine(BadLine):
    """Loses a request or an answer at most three times an order; `lag` listings do not show what was lost."""

    def __init__(self, desk: Desk, seed: int, lag: int) -> None:
        super().__init__(desk)
        self.dice, self.lag, self.lost = random.Random(seed), lag, Counter[str]()

    async def carry(self, intent: Intent, attempt: int) -> OrderUpdate:
        fault = self.dice.choice(["none", "request", "answer"]) if attempt <= 3 else "none"
        self.lost[fault] += 1
        if fault == "request":
            raise BrokerAmbiguous("The line went dead before the order was out.")
        update = await self.real.submit(intent)
        if fault == "answer":
            self.hidden[intent.ref_id] = self.lag
            raise BrokerAmbiguous("The line went dead before the answer was in.")
        return update


@pytest.mark.parametrize(
    ("seed", "lag"),
    [
        pytest.param(1, 0, id="lost requests and answers"),
        pytest.param(2, 0, id="others of them"),
        pytest.param(3, 3, id="and a list that lags behind"),
    ],
)
async def test_lost_requests_and_lost_answers_change_no_order(
    desk: Desk, undisturbed: State, seed: int, lag: int
) -> None:
    line = LossyLine(desk, seed, lag)
    await desk.trade(FIRST, LAST, broker=line, sleep=hasty)
    assert min(line.lost["request"], line.lost["answer"]) > 3
    assert max(line.tries.values()) > 2
    assert desk.state() == undisturbed
    assert (await desk.reconcile()).ok


async def test_an_order_that_never_gets_through_expires_unsent_with_its_proof(desk: Desk) -> None:
    class DeadForApple(BadLine):
        async def carry(self, intent: Intent, attempt: int) -> OrderUpdate:
            if intent.symbol == "AAPL":
                raise BrokerAmbiguous(f"The line is dead, {attempt} times.")
            return await self.real.submit(intent)

    line = DeadForApple(desk)
    await desk.trade(FIRST, FIRST, broker=line, sleep=hasty)
    rows = desk.fetch("select symbol, state, reason from intent join order_state using (ref_id) order by 1, strategy")
    assert rows[:2] == [
        ("AAPL", "expired_unsent", "not among the broker's orders, and its session was over"),
        ("AAPL", "expired_unsent", "its session was over before it could be sent"),
    ], "the second waited for the first"
    assert {row[1] for row in rows[2:]} == {"filled"}
    ((proof,),) = desk.fetch("select detail from order_event where cause = 'resolve'")
    assert (proof["listings"], len(proof["orders_listed"])) == (2, 2)
    assert max(line.tries.values()) > 1, "it was tried again while there was time"
    assert (await desk.reconcile()).ok


async def test_an_order_whose_price_is_gone_is_not_sent_again(desk: Desk) -> None:
    class Crash(BadLine):
        """The line loses an order to buy Apple while its price halves."""

        halved = False

        async def carry(self, intent: Intent, attempt: int) -> OrderUpdate:
            if intent.symbol == "AAPL":
                self.halved = True
                raise BrokerAmbiguous(f"The line is dead, {attempt} times.")
            return await self.real.submit(intent)

    class Quotes:
        def __init__(self, real: Any, line: Crash) -> None:
            self.real, self.line = real, line

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        async def last_bar(self, symbol: str, upto: dt.date) -> Bar | None:
            bar = await self.real.last_bar(symbol, upto)
            return replace(bar, close=bar.close / 2) if bar and symbol == "AAPL" and self.line.halved else bar

    line = Crash(desk)
    await desk.trade(FIRST, FIRST, broker=line, quotes=Quotes(desk.floor().quotes, line), sleep=hasty)
    rows = desk.fetch("select state, reason from intent join order_state using (ref_id) where symbol = 'AAPL'")
    assert {state for state, _ in rows} == {"expired_unsent"}
    assert all("outside the band (price_band: observed 1.000000, limit 0.10)" in reason for _, reason in rows)
    assert max(line.tries.values()) == 1, "sent once, and never again at another price"
    assert (await desk.reconcile()).ok


async def test_a_no_to_a_second_try_does_not_deny_the_first(desk: Desk, undisturbed: State) -> None:
    class Forgetful(BadLine):
        """Accepts, loses the answer, hides the order from two listings, and refuses its second coming."""

        async def carry(self, intent: Intent, attempt: int) -> OrderUpdate:
            if attempt > 1:
                raise BrokerRejected("Not enough buying power: it is promised to your other order.")
            await self.real.submit(intent)
            self.hidden[intent.ref_id] = 2
            raise BrokerAmbiguous("No answer.")

    line = Forgetful(desk)
    await desk.trade(FIRST, LAST, broker=line, sleep=hasty)
    assert set(line.tries.values()) == {2}
    assert desk.state() == undisturbed


async def test_an_order_that_the_broker_refuses_is_rejected_and_trading_goes_on(desk: Desk) -> None:
    class NoApple(BadLine):
        async def carry(self, intent: Intent, attempt: int) -> OrderUpdate:
            if intent.symbol == "AAPL":
                raise BrokerRejected(f"AAPL is restricted today (attempt {attempt}).")
            return await self.real.submit(intent)

    await desk.trade(FIRST, DAY(2005, 2, 8), broker=NoApple(desk))
    rows = desk.fetch("select distinct symbol = 'AAPL', state, reason from intent join order_state using (ref_id)")
    assert sorted(rows) == [(False, "filled", ""), (True, "rejected", "AAPL is restricted today (attempt 1).")]
    assert (await desk.reconcile()).ok
