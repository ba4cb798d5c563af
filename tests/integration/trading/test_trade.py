"""Trading over the recorded market: the books, counted again from fills and closes; then twice, and two at once."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from quaestor import calendar
from quaestor.errors import LeaseHeld
from quaestor.ledger import Equity
from quaestor.operations.trade import pending, trade
from quaestor.orders import Intent, OrderUpdate
from quaestor.ports import Run

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk, State

D = Decimal
DAY = dt.date
START, END = DAY(2012, 1, 3), DAY(2012, 3, 30)  # to the end of the market in conftest.py
FIRST, LAST = DAY(2005, 2, 1), DAY(2005, 3, 15)  # the stretch of `undisturbed`


async def test_equity_of_every_session_is_what_fills_and_closes_make_of_it(desk: Desk) -> None:
    done = await desk.trade(START, END)
    state = desk.state()
    assert (done.sessions, done.orders, done.fills) == (62, len(state["orders"]), len(state["fills"]))
    assert done.fills > 20
    assert desk.check_books() == calendar.sessions(START, END)
    assert done.equity == state["equity"][-1][3]


async def test_every_order_says_why(desk: Desk) -> None:
    await desk.trade(START, DAY(2012, 1, 31))
    rows = desk.fetch("select symbol, session, strategy, side, quantity, reference_price, provenance from intent")
    assert rows
    for symbol, session, strategy, side, quantity, reference, why in rows:
        (bar,) = why["bars"]
        before = calendar.previous_session(session)
        assert (bar["symbol"], dt.datetime.fromisoformat(bar["bar_end"])) == (symbol, calendar.session_close(before))
        assert (why["strategy"]["name"], D(why["target"]["reference_price"])) == (strategy, reference)
        change = D(why["target"]["wanted"]) - D(why["target"]["held"])
        assert change == (quantity if side == "buy" else -quantity)
        assert all(check["ok"] for check in why["checks"])
        assert (why["flow_run_id"], why["code_commit"]) == ("flow-run", "commit")
        assert why["config_digest"] == desk.plan.digest


async def test_an_intent_is_on_record_before_the_broker_hears_of_it(desk: Desk) -> None:
    class Witness:
        """The real broker, and how each order stood in the books when it came."""

        def __init__(self, real: Any) -> None:
            self.real = real
            self.seen: list[str] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        async def submit(self, intent: Intent) -> OrderUpdate:
            self.seen += desk.fetch(f"select state from order_state where ref_id = '{intent.ref_id}'")[0]
            update: OrderUpdate = await self.real.submit(intent)
            return update

    witness = Witness(desk.floor().broker)
    done = await desk.trade(START, DAY(2012, 1, 31), broker=witness)
    assert witness.seen == ["submitting"] * done.orders != []


async def test_books_skip_no_session_and_start_where_they_are_told(desk: Desk) -> None:
    floor, mandate = desk.floor(), desk.plan.mandate
    assert await pending(floor, mandate, DAY(2005, 2, 12), DAY(2005, 2, 15)) == [DAY(2005, 2, 14), DAY(2005, 2, 15)]
    await desk.trade(FIRST, DAY(2005, 2, 3))
    assert await pending(floor, mandate, DAY(2005, 2, 8), DAY(2005, 2, 8)) == [
        DAY(2005, 2, 4),
        DAY(2005, 2, 7),
        DAY(2005, 2, 8),
    ]
    assert await pending(floor, mandate, FIRST, DAY(2005, 2, 3)) == []
    assert (await pending(floor, mandate, None, None))[-1] == END, "no session without bars of its own"


async def test_nothing_to_trade_opens_no_account(desk: Desk) -> None:
    done = await trade(desk.floor(), desk.plan.mandate, [], Run(), "me")
    assert (done.sessions, done.equity) == (0, None)
    assert desk.fetch("select * from paper.account") == desk.fetch("select * from entry") == []


# ── again, and at the same time ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_second_run_changes_nothing(desk: Desk, undisturbed: State) -> None:
    first = await desk.trade(FIRST, LAST)
    again = await desk.trade(FIRST, LAST)
    assert (again.sessions, again.orders, again.fills) == (0, 0, 0)
    forced = await trade(desk.floor(), desk.plan.mandate, calendar.sessions(FIRST, LAST), Run(), "me")
    assert forced == first, "settled sessions are left alone even where they are asked for, and count as they did"
    assert desk.state() == undisturbed


async def test_a_stretch_traded_in_pieces_is_the_same_stretch(desk: Desk, undisturbed: State) -> None:
    for end in (DAY(2005, 2, 1), DAY(2005, 2, 25), DAY(2005, 2, 28), LAST):
        await desk.trade(FIRST, end)
    assert desk.state() == undisturbed


async def test_three_who_trade_at_the_same_time_trade_once(desk: Desk, undisturbed: State) -> None:
    done = await asyncio.gather(*(desk.trade(FIRST, LAST, name) for name in "abc"))
    assert {(traded.sessions, traded.orders, traded.fills) for traded in done} == {(30, 23, 23)}
    assert desk.state() == undisturbed


async def test_a_reconciliation_in_the_middle_of_trading_waits_and_stops_nothing(
    desk: Desk, undisturbed: State
) -> None:
    trading = asyncio.create_task(desk.trade(FIRST, LAST))
    while not desk.fetch("select session from equity"):
        await asyncio.sleep(0.01)
    assert not trading.done()
    outcome = await desk.reconcile()
    await trading
    assert outcome.ok
    assert (await desk.latches(), desk.alerts()) == ([], [])
    assert desk.state() == undisturbed


async def test_a_writer_that_loses_its_lease_stops_and_another_goes_on(desk: Desk, undisturbed: State) -> None:
    floor = desk.floor()
    days = await pending(floor, desk.plan.mandate, FIRST, LAST)

    async def robbed(day: dt.date, _: Equity) -> None:
        if day == DAY(2005, 2, 10):
            desk.execute("update lease set holder = 'thief', epoch = epoch + 1, expires_at = now()")

    with pytest.raises(LeaseHeld, match="is lost"):
        await trade(floor, desk.plan.mandate, days, Run(), "robbed", robbed)
    assert desk.state()["equity"][-1][0] == DAY(2005, 2, 10)
    await desk.trade(FIRST, LAST)
    assert desk.state() == undisturbed
