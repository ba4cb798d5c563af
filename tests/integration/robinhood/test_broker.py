"""The broker's contract, kept by Robinhood's door; and what only Robinhood answers."""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from quaestor import wiring
from quaestor.config import parse
from quaestor.doors.robinhood import RobinhoodSource
from quaestor.doors.sim.faults import Fault
from quaestor.errors import (
    AccessLost,
    BadInput,
    BrokerAmbiguous,
    BrokerBusy,
    BrokerRejected,
    NotFound,
    Permanent,
    QuaestorError,
    Temporary,
)
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.ports import Broker
from quaestor.ports_live import QuotePoll
from quaestor.splits import Split
from quaestor.ticks import QuoteTick, TradeTick
from tests.integration.test_broker_contract import BrokerContract, Stage

D = Decimal
SESSION = dt.date(2026, 11, 20)
OPEN = int(dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC).timestamp()) * 10**9
BUY = Intent("main", "m", "AAPL", SESSION, "cause", Side.BUY, D(100), D(100))
LIMIT = replace(BUY, order_type=OrderType.LIMIT, limit_price=D(90), time_in_force=TimeInForce.GTC)


class TestRobinhoodBroker(BrokerContract):
    @pytest.fixture
    async def stage(self, site: Any) -> Stage:
        async def trade() -> None:
            site.trade(100, 105, 95, 101)

        return Stage(site.broker(), SESSION, trade, site.broker)


def test_it_is_a_broker_and_has_quotes(site: Any) -> None:
    door = site.broker()
    broker: Broker = door
    poll: QuotePoll = door
    assert (broker.submit, poll.name) == (door.submit, "Robinhood")


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_is_one_request(site: Any) -> None:
    broker = site.broker()
    await broker.prepare(["AAPL"])
    before = len(site.asked())
    placed = await broker.submit(BUY)
    assert site.asked()[before:] == ["POST /orders/"]
    await broker.cancel(placed.broker_id)
    assert site.asked()[before:] == ["POST /orders/", f"POST /orders/{placed.broker_id}/cancel/"]


async def test_without_preparation_only_the_first_order_looks_its_symbol_up(site: Any) -> None:
    broker = site.broker()
    for leg in range(3):
        await broker.submit(replace(BUY, leg=leg, quantity=D(1)))
    assert site.asked() == ["GET /instruments/", *["POST /orders/"] * 3]


async def test_a_symbol_that_was_quoted_needs_no_look_up_and_a_new_instrument_is_noticed(site: Any) -> None:
    broker = site.broker()
    await broker.quotes(["AAPL"])
    await broker.submit(replace(BUY, quantity=D(1)))
    assert site.asked() == ["GET /quotes/", "POST /orders/"]
    new = site.server.instruments.renumber("AAPL")  # as a split may do
    await broker.quotes(["AAPL"])
    await broker.submit(replace(BUY, quantity=D(1), leg=1))
    assert site.server.orders.placed[-1].ticket.instrument == new


@pytest.mark.parametrize("answers", ["error", "existing"])
async def test_a_reference_that_came_before_is_the_order_that_is_there(site: Any, answers: str) -> None:
    site.server.orders.duplicates = answers
    broker = site.broker()
    first = await broker.submit(LIMIT)
    assert await broker.submit(LIMIT) == first
    assert len(await broker.orders()) == 1


async def test_an_order_whose_answer_was_lost_is_unknown_and_then_found_with_its_reference(site: Any) -> None:
    broker = site.broker()
    await broker.prepare(["AAPL"])
    site.wrong(Fault("lost", path="/orders/", method="POST", times=1))
    with pytest.raises(BrokerAmbiguous, match="no answer to what was sent"):
        await broker.submit(BUY)
    (listed,) = await broker.orders()
    assert listed.ref_id == BUY.ref_id
    assert (await broker.submit(BUY)).broker_id == listed.broker_id
    assert len(await broker.orders()) == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        pytest.param(400, {"detail": "Not enough buying power."}, BrokerRejected, "Not enough buying", id="no money"),
        pytest.param(402, {"detail": "Pay first."}, BrokerRejected, "Pay first", id="402"),
        pytest.param(403, {"detail": "Restricted."}, BrokerRejected, "Restricted", id="403"),
        pytest.param(400, ["huh"], BrokerAmbiguous, "400", id="a no that says nothing"),
        pytest.param(404, {"detail": "Not found."}, BrokerAmbiguous, "404", id="404: somebody else may answer"),
        pytest.param(500, {}, BrokerAmbiguous, "500", id="500"),
        pytest.param(502, {}, BrokerAmbiguous, "502", id="502"),
        pytest.param(201, {"id": "x"}, BrokerAmbiguous, "201", id="an order without our reference"),
        pytest.param(201, {"ref_id": str(BUY.ref_id)}, BrokerAmbiguous, "lacks", id="an order that cannot be read"),
        pytest.param(301, {}, BrokerAmbiguous, "301", id="a redirect"),
        pytest.param(429, {"detail": "Slow."}, BrokerBusy, "nothing was done", id="429"),
        pytest.param(401, {"detail": "Who?"}, AccessLost, "nothing was done", id="401"),
    ],
)
async def test_an_answer_to_an_order_is_one_of_three_words(
    site: Any, status: int, body: Any, error: type[QuaestorError], says: str
) -> None:
    broker = site.broker()
    await broker.prepare(["AAPL"])
    site.wrong(Fault("status", path="/orders/", method="POST", status=status, words=body))
    with pytest.raises(error, match=says) as told:
        await broker.submit(BUY)
    assert type(told.value) is error
    assert len(site.asked("/orders/")) == 1, "never by itself again"


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("status", path="/instruments/", status=503), id="the symbol cannot be looked up"),
        pytest.param(Fault("hang", path="/instruments/"), id="nobody answers"),
        pytest.param(Fault("html", path="/instruments/"), id="a portal answers"),
        pytest.param(Fault("status", path="/instruments/", status=403), id="we are not let in"),
    ],
)
async def test_what_fails_before_the_order_leaves_nothing_in_doubt(site: Any, fault: Fault) -> None:
    site.wrong(fault)
    with pytest.raises(BrokerBusy, match="Nothing was sent"):
        await site.broker(site.line(timeout=0.1)).submit(BUY)
    assert site.asked("/orders/") == []


async def test_without_the_accounts_number_nothing_is_sent(site: Any) -> None:
    site.vault.delete("rh-main-account")
    with pytest.raises(BrokerBusy, match=r"Nothing was sent.*rh-main-account"):
        await site.broker().submit(BUY)
    with pytest.raises(NotFound, match="rh-main-account"):
        await site.broker().account()
    assert site.asked() == []


async def test_a_duplicate_whose_list_does_not_come_stays_unknown(site: Any) -> None:
    broker = site.broker()
    await broker.submit(LIMIT)
    site.wrong(Fault("status", path="/orders/", method="GET", status=500))
    with pytest.raises(BrokerAmbiguous, match="its list did not come"):
        await broker.submit(LIMIT)


async def test_an_order_that_robinhood_rejects_later_is_rejected_with_its_reason(site: Any) -> None:
    broker = site.broker()
    site.server.orders.reject_next = "Account restricted."
    assert (await broker.submit(BUY)).state is State.ACKED
    (order,) = await broker.orders()
    assert (order.state, order.reason) == (State.REJECTED, "Account restricted.")


async def test_a_part_that_was_filled_is_told_and_the_cancel_leaves_it(site: Any) -> None:
    broker = site.broker()
    placed = await broker.submit(replace(LIMIT, limit_price=D(99)))
    site.at = site.at.replace(hour=15)
    site.server.quote("AAPL", 98, 98, 98, size=40)
    (order,) = await broker.orders()
    assert (order.state, order.filled) == (State.PARTIALLY_FILLED, D(40))
    await broker.cancel(placed.broker_id)
    (order,) = await broker.orders()
    assert (order.state, order.filled) == (State.CANCELED, D(40))
    assert [fill.quantity for fill in await broker.executions()] == [D(40)]


async def test_a_cancel_that_comes_too_early_is_asked_again(site: Any) -> None:
    broker = site.broker()
    site.server.orders.confirm_takes = dt.timedelta(seconds=5)
    placed = await broker.submit(LIMIT)
    with pytest.raises(BrokerBusy, match=r"not cancel .* yet: Order cannot be cancelled at this time"):
        await broker.cancel(placed.broker_id)
    site.at += dt.timedelta(seconds=6)
    await broker.cancel(placed.broker_id)
    await broker.cancel(placed.broker_id)
    assert [order.state for order in await broker.orders()] == [State.CANCELED]


async def test_a_cancel_that_lost_the_race_lets_the_fill_stand(site: Any) -> None:
    broker = site.broker()
    site.server.orders.cancel_takes = dt.timedelta(seconds=5)
    placed = await broker.submit(LIMIT)
    await broker.cancel(placed.broker_id)
    assert [order.state for order in await broker.orders()] == [State.ACKED], "asked, not done"
    site.at = site.at.replace(hour=15)
    site.server.orders.placed[0].cancels_at = site.at + dt.timedelta(seconds=5)
    site.server.quote("AAPL", 89, 89, 89)
    await broker.cancel(placed.broker_id)
    assert [order.state for order in await broker.orders()] == [State.FILLED]


@pytest.mark.parametrize(
    ("broker_id", "fault", "error"),
    [
        pytest.param("0" * 32, None, BrokerRejected, id="nobody knows it"),
        pytest.param("../accounts", None, BrokerRejected, id="no order's id: nothing is sent"),
        pytest.param("0" * 32, Fault("status", status=500), BrokerAmbiguous, id="500"),
        pytest.param("0" * 32, Fault("status", status=429), BrokerBusy, id="429"),
        pytest.param("0" * 32, Fault("lost"), BrokerAmbiguous, id="no answer"),
    ],
)
async def test_a_cancel_is_answered_in_the_same_words(
    site: Any, broker_id: str, fault: Fault | None, error: type[QuaestorError]
) -> None:
    site.wrong(*([fault] if fault else []))
    with pytest.raises(error):
        await site.broker().cancel(broker_id)


async def test_an_order_placed_by_hand_is_listed_without_a_reference_of_ours(site: Any) -> None:
    broker = site.broker()
    placed = await broker.submit(LIMIT)
    site.server.orders.changed[placed.broker_id] = {"ref_id": None}
    (order,) = await broker.orders()
    assert (order.ref_id, order.symbol, order.broker_id) == (None, "AAPL", placed.broker_id)


async def test_an_order_in_what_nobody_can_name_is_no_order_left_out(site: Any) -> None:
    broker = site.broker()
    placed = await broker.submit(LIMIT)
    for named in ({"instrument_id": "gone"}, {"instrument_id": None, "instrument": ""}):
        site.server.orders.changed[placed.broker_id] = named
        with pytest.raises(Permanent):
            await broker.orders()


async def test_what_was_filled_today_of_an_older_order_is_told_today(site: Any) -> None:
    broker = site.broker()
    await broker.submit(LIMIT)
    site.at = dt.datetime(2026, 11, 23, 15, tzinfo=dt.UTC)
    site.server.quote("AAPL", 89, 89, 89)
    monday = dt.date(2026, 11, 23)
    assert [fill.session for fill in await broker.executions(monday)] == [monday]
    assert await broker.orders(monday) == [], "it is not of that session"
    assert len(await broker.orders(SESSION)) == 1


async def test_half_a_listing_is_none(site: Any) -> None:
    broker = site.broker()
    site.server.orders.page_size = 2
    for leg in range(5):
        await broker.submit(replace(LIMIT, leg=leg))
    assert len(await broker.orders()) == 5
    site.wrong(Fault("status", path="/orders/", page=3, status=500))
    for asking in (broker.orders(), broker.executions()):
        with pytest.raises(Temporary):
            await asking


# ── account ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_account_is_the_named_one_with_what_its_shares_cost(site: Any) -> None:
    broker = site.broker()
    await broker.submit(BUY)
    site.trade(100)
    site.at += dt.timedelta(days=4)
    account = await broker.account()
    assert (account.cash, dict(account.positions)) == (D(90_000), {"AAPL": D(100)})
    assert dict(account.costs) == {"AAPL": D(100)}, "the broker's average_buy_price is 0 by now"
    site.vault.set("rh-main-account", "5QX00002")
    assert (await site.broker().account()).positions == {}


async def test_money_that_working_orders_hold_is_still_ours(site: Any) -> None:
    broker = site.broker()
    await broker.submit(LIMIT)
    assert (await broker.account()).cash == D(100_000)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        (path, status, error)
        for path in ("/accounts/", "/positions/")
        for status, error in ((401, AccessLost), (403, Permanent), (404, Permanent), (429, Temporary), (500, Temporary))
    ],
)
async def test_an_account_that_does_not_come_is_not_empty(
    site: Any, path: str, status: int, error: type[QuaestorError]
) -> None:
    site.wrong(Fault("status", path=path, status=status))
    with pytest.raises(error):
        await site.broker().account()


async def test_the_number_of_the_account_is_in_no_error_and_no_line_of_the_log(
    site: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "quaestor")
    broker = site.broker()
    site.wrong(Fault("status", status=400, words={"detail": "Account 5QX00001 cannot do that."}))
    for asking in (broker.account(), broker.orders()):
        with pytest.raises(QuaestorError) as told:
            await asking
        assert "5QX00001" not in str(told.value)
    site.wrong(Fault("status", path="/orders/", status=400, words={"detail": "Account 5QX00001 cannot do that."}))
    with pytest.raises(BrokerRejected, match=r"Account \*\*\* cannot"):
        await broker.submit(BUY)
    assert "5QX00001" not in f"{caplog.text} {broker.line.exchanges}"


# ── market ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_quotes_are_the_newest_and_what_has_none_is_left_out(site: Any) -> None:
    site.server.quote("IBM", "250.10", "250.20", "250.15", size=300)
    ticks = await site.broker().quotes(["AAPL", "IBM", "NOSUCH"])
    at = int(site.at.timestamp()) * 10**9
    assert [tick for tick in ticks if tick.symbol == "IBM"] == [
        QuoteTick("IBM", at, 250.10, 250.20, 300.0, 300.0),
        TradeTick("IBM", at, 250.15, 1.0),
    ]
    assert {tick.symbol for tick in ticks} == {"AAPL", "IBM"}
    assert site.asked() == ["GET /quotes/"], "all of them in one request"


async def test_a_thousand_symbols_are_few_requests(site: Any) -> None:
    await site.broker().quotes([f"A{n:04}" for n in range(1_000)])
    assert site.asked() == ["GET /quotes/"] * 2


async def test_the_feed_that_polls_asks_the_configured_broker(site: Any, tmp_path: Path) -> None:
    section = f'[robinhood]\nlogin = "main"\nbase_url = "{site.url}"\n[feed]\nkind = "poll"\n'
    loaded = wiring.Loaded(parse(section), None, tmp_path)
    feed = wiring.feed(loaded, lambda: OPEN, poll=wiring.robinhood_broker(loaded, site.tokens()))
    feed.subscribe(trades=["AAPL"], quotes=["AAPL"])
    told: list[Any] = []

    def take(batch: list[Any]) -> None:
        told.extend(batch)
        feed.stop()

    async with asyncio.timeout(10):
        await feed.run(take, lambda _: None)
    assert {type(tick) for tick in told} == {QuoteTick, TradeTick}


async def test_the_configured_broker_takes_the_accounts_number_out_of_the_vault(site: Any, tmp_path: Path) -> None:
    section = f'[robinhood]\nlogin = "main"\nbase_url = "{site.url}"\norder_form_version = 9\n'
    section += "requests_per_minute = 6000\n"
    broker = wiring.robinhood_broker(wiring.Loaded(parse(section), None, tmp_path), site.tokens())
    await broker.submit(LIMIT)
    assert [each.ticket.version for each in site.server.orders.placed] == [9]
    assert (await broker.account()).cash == D(100_000)


async def test_what_is_halted_takes_no_orders(site: Any) -> None:
    site.server.instruments.add(["IBM"])
    broker = site.broker(universe=["AAPL", "IBM", "MSFT"])
    assert await broker.halted() == {"IBM", "MSFT"}, "no quote, no orders"
    site.server.quote("IBM", 250, 250, 250)
    site.server.halt("AAPL")
    assert await broker.halted() == {"AAPL", "MSFT"}
    with pytest.raises(BrokerRejected, match="halted"):
        await broker.submit(BUY)
    site.server.end_halt("AAPL")
    assert await broker.halted() == {"MSFT"}
    assert await site.broker().halted() == frozenset(), "nobody asked for any"


async def test_a_halt_that_cannot_be_asked_for_is_no_free_way(site: Any) -> None:
    site.wrong(Fault("status", path="/quotes/", status=500))
    with pytest.raises(Temporary):
        await site.broker(universe=["AAPL"]).halted()


async def test_hours_that_differ_from_the_calendar_are_told(site: Any) -> None:
    broker, friday = site.broker(), dt.date(2026, 11, 27)
    assert [await broker.hours_differ(friday + dt.timedelta(days=n)) for n in range(3)] == ["", "", ""]
    site.server.hours.said[friday] = {"closes_at": "2026-11-27T21:00:00Z"}
    assert await broker.hours_differ(friday) == (
        "2026-11-27: our calendar says open 14:30 to 18:00 UTC, Robinhood open 14:30 to 21:00 UTC."
    )
    site.server.hours.said[friday] = {"is_open": False}
    assert "Robinhood closed" in await broker.hours_differ(friday)
    site.server.hours.said[friday] = {"opens_at": None}
    with pytest.raises(BadInput, match="cannot be read"):
        await broker.hours_differ(friday)


async def test_history_comes_through_the_same_line(site: Any) -> None:
    line = site.line()
    source = RobinhoodSource(line, lambda: "", now=lambda: site.at)
    with pytest.raises(NotFound, match="knows no symbol 'NOSUCH'"):
        await source.history("NOSUCH", SESSION, SESSION)
    assert (await source.history("AAPL", SESSION, SESSION)).bars.is_empty()
    assert {each.path for each in line.exchanges} >= {"/instruments/", "/quotes/historicals/"}


async def test_splits_are_told_with_those_to_come(site: Any) -> None:
    done, announced = (
        Split("AAPL", dt.date(2020, 8, 31), Fraction(4)),
        Split("AAPL", dt.date(2027, 1, 4), Fraction(1, 2)),
    )
    site.server.history.splits[:] = [announced, done]
    assert await site.broker().splits("AAPL") == [done, announced]


async def test_an_instrument_is_kept_for_a_day_and_then_asked_for_again(site: Any) -> None:
    broker = site.broker()
    clock = [0.0]
    broker.instruments._now = lambda: clock[0]
    first = await broker.instrument("AAPL")
    new = site.server.instruments.renumber("AAPL")
    assert await broker.instrument("AAPL") == first
    clock[0] = 86_400.0
    assert (await broker.instrument("AAPL")).id == new
    with pytest.raises(NotFound, match="knows no symbol 'NOSUCH'"):
        await broker.instrument("NOSUCH")
