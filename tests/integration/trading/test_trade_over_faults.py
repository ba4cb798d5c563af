"""Trading over a line on which everything goes wrong ends where it ends over a good one: same orders, fills, equity."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from quaestor import wiring
from quaestor.doors.faulty import FaultyMarket
from quaestor.errors import Temporary
from quaestor.exchange import Costs
from quaestor.faults import Fault, Seeded

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk, State

FIRST, LAST = dt.date(2005, 2, 1), dt.date(2005, 3, 15)
# Lists that hide what a broker has cannot be told from truth by looking twice in a row: the chaos kit has them.
HIDING = {Fault.LAG, Fault.SHRUNK, Fault.ARRIVES_LATE}
KINDS = [fault for fault in Fault if fault not in HIDING]


async def trade_with_retries(desk: Desk, line: FaultyMarket) -> int:
    """As a flow is retried; how often it was."""
    for tries in range(200):
        try:
            await desk.trade(FIRST, LAST, broker=line, market=line)
        except Temporary:
            continue
        return tries
    raise AssertionError("never came to an end")


@pytest.mark.parametrize("seed", range(2))
async def test_a_bad_line_changes_nothing(desk: Desk, undisturbed: State, seed: int) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    paper = wiring.paper_broker(desk.database, "paper", Costs())
    line = FaultyMarket(paper, Seeded(0.15, seed, KINDS), sleep)
    assert await trade_with_retries(desk, line) > 0
    assert slept
    assert desk.state() == undisturbed
