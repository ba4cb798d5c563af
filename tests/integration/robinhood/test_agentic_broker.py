"""The door to Robinhood's Agentic channel, over the official SDK on both sides and a real socket."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from quaestor import calendar
from quaestor.bars import Bar
from quaestor.custody.tokens import AccessToken
from quaestor.doors.memory import broker as memory
from quaestor.doors.memory.books import BookStore, LeaseStore
from quaestor.doors.memory.disk import Disks
from quaestor.doors.robinhood_agentic import schemas
from quaestor.doors.robinhood_agentic.approvals import ApprovalPending
from quaestor.doors.robinhood_agentic.broker import RobinhoodAgenticBroker
from quaestor.doors.robinhood_agentic.line import Line
from quaestor.doors.robinhood_agentic.schemas import SchemaDrift
from quaestor.doors.sim.robinhood_agentic import AGENTIC, BROKERAGE, PATH, Issuer, RobinhoodAgenticServer
from quaestor.doors.sim.serving import serving
from quaestor.errors import (
    AccessLost,
    BrokerAmbiguous,
    BrokerBusy,
    BrokerRejected,
    ChainBroken,
    QuaestorError,
    VaultAway,
)
from quaestor.exchange import Costs
from quaestor.operations.outbox import collect, place, resolve
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.ports import Lease, StoredOrder
from quaestor.symbols import Symbology
from quaestor.ticks import QuoteTick, TradeTick
from tests.integration.test_broker_contract import BrokerContract, Stage

D = Decimal
BEFORE, SESSION = dt.date(2011, 12, 30), dt.date(2012, 1, 3)
OPEN = calendar.session_open(SESSION)


class Tokens:
    """What the vault has: the issuer's newest token; a refused one is followed by `next`, where there is one."""

    def __init__(self, issuer: Issuer) -> None:
        self._now = AccessToken.of(issuer.token(), 1)
        self.next: AccessToken | None = None
        self.refused: list[AccessToken] = []

    def current(self) -> AccessToken:
        return self._now

    def after(self, refused: AccessToken) -> AccessToken | None:
        self.refused.append(refused)
        if self.next is not None:
            self._now = self.next
        return self.next


@dataclass
class Told:
    """Alerts that were sent."""

    sent: list[tuple[str, str]] = field(default_factory=list)

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        assert urgent
        self.sent.append((title, body))


@dataclass
class Channel:
    """The server, its exchange, and brokers at it."""

    server: RobinhoodAgenticServer
    issuer: Issuer
    exchange: memory.Broker
    url: str
    tokens: Tokens
    told: Told = field(default_factory=Told)
    brokers: list[RobinhoodAgenticBroker] = field(default_factory=list)

    def broker(self, number: str = AGENTIC, *, timeout: float = 5.0, mode: str = "auto", **more: Any) -> Any:
        line = Line(self.url, self.tokens, calls_per_second=1000, timeout=timeout, mode=mode)
        more = {"alerts": self.told, "clock": lambda: OPEN, **more}
        made = RobinhoodAgenticBroker(line, lambda: number, **more)
        self.brokers.append(made)
        return made

    def calls(self, tool: str) -> list[dict[str, Any]]:
        return [arguments for name, arguments in self.server.desk.calls if name == tool]


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, list[RobinhoodAgenticServer]]]:
    """One socket for all tests: whatever server is put there answers."""
    there: list[RobinhoodAgenticServer] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await there[-1].app(scope, receive, send)

    with serving(app) as url:
        yield url + PATH, there


@pytest.fixture
async def channel(address: tuple[str, list[RobinhoodAgenticServer]]) -> AsyncIterator[Channel]:
    url, there = address
    prices = (D(100), D(105), D(95), D(101))
    bar = Bar("AAPL", SESSION, calendar.session_close(SESSION), *prices, 10**6, 1)
    before = Bar("AAPL", BEFORE, calendar.session_close(BEFORE), *(D(100),) * 4, 10**6, 1)
    quotes = memory.Quotes({("AAPL", SESSION): bar, ("AAPL", BEFORE): before})
    exchange = memory.Broker(memory.Exchange(), "main", quotes, Costs())
    await exchange.fund(D(100_000))
    await exchange.open_session(SESSION)
    issuer = Issuer()
    server = RobinhoodAgenticServer(exchange, issuer.accepts, issuer=issuer, clock=lambda: OPEN)
    server.desk.prices["AAPL"] = (D(100), D("99.99"), D("100.01"))
    there[:] = [server]
    made = Channel(server, issuer, exchange, url, Tokens(issuer))
    try:
        yield made
    finally:
        for each in made.brokers:
            await each.aclose()


def order(quantity: int | Decimal = 100, side: Side = Side.BUY, **changes: Any) -> Intent:
    return replace(Intent("main", "m", "AAPL", SESSION, "cause", side, D(quantity), D(100)), **changes)


def limit(at: str = "99.00", **changes: Any) -> Intent:
    return order(order_type=OrderType.LIMIT, limit_price=D(at), **changes)


def stored(intent: Intent, state: State, broker_id: str | None = None) -> StoredOrder:
    return StoredOrder(intent, intent.ref_id, state, 1, broker_id, D(0), None, OPEN, OPEN)


class TestRobinhoodAgenticBroker(BrokerContract):
    """As every broker, except where Robinhood tells less: a day order that the close ends is `cancelled` there."""

    echoes = True
    mode = "auto"

    @pytest.fixture
    async def stage(self, channel: Channel) -> Stage:
        channel.server.knobs.echoes = self.echoes
        placed: dict[uuid.UUID, str] = {}

        async def books() -> Sequence[StoredOrder]:
            known = {order.ref_id: name for name, order in channel.server.desk.placed.items()}
            return [replace(stored(limit(), State.ACKED, known[str(ref)]), ref_id=ref) for ref in placed]

        class Booking(RobinhoodAgenticBroker):
            """Keeps what was answered, as the books would."""

            async def submit(self, intent: Intent) -> Any:
                update = await super().submit(intent)
                placed[intent.ref_id] = update.broker_id
                return update

        def broker() -> RobinhoodAgenticBroker:
            line = Line(channel.url, channel.tokens, calls_per_second=1000, timeout=5, mode=self.mode)
            made = Booking(line, lambda: AGENTIC, books=books, clock=lambda: OPEN)
            channel.brokers.append(made)
            return made

        async def trade() -> None:
            await channel.exchange.close_session(SESSION)

        return Stage(broker(), SESSION, trade, broker)

    async def test_an_order_for_the_day_ends_with_it_and_one_until_canceled_does_not(self, stage: Stage) -> None:
        await stage.broker.submit(stage.limit("90.00"))
        await stage.broker.submit(stage.limit("90.00", leg=1, time_in_force=TimeInForce.GTC))
        await stage.trade()
        assert [update.state for update in await stage.broker.orders()] == [State.CANCELED, State.ACKED]

    async def test_a_stop_trades_once_it_is_touched(self, stage: Stage) -> None:
        await stage.broker.submit(stage.order(order_type=OrderType.STOP, stop_price=D(104)))
        await stage.broker.submit(stage.order(order_type=OrderType.STOP, stop_price=D(106), leg=1))
        await stage.trade()
        assert [update.state for update in await stage.broker.orders()] == [State.FILLED, State.CANCELED]
        assert [fill.price >= 104 for fill in await stage.broker.executions()] == [True]


class TestTheSameWhereOrdersDoNotCarryTheirRefId(TestRobinhoodAgenticBroker):
    """As the channel was until September 2026; sessions as they were before the protocol of 2026, too."""

    echoes = False
    mode = "legacy"


DRIFTS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a tool is gone": (lambda t: t.pop("cancel_equity_order"), "no tool cancel_equity_order"),
    "a tool has another name": (
        lambda t: t.update(place_stock_order=t.pop("place_equity_order")),
        "no tool place_equity_order (but place_stock_order)",
    ),
    "a parameter has another name": (
        lambda t: t["place_equity_order"]["properties"].update(
            ref_uuid=t["place_equity_order"]["properties"].pop("ref_id")
        ),
        "place_equity_order takes no ref_id (but ref_uuid)",
    ),
    "a parameter is demanded that we do not know": (
        lambda t: t["place_equity_order"]["required"].append("risk_acknowledged"),
        "place_equity_order demands risk_acknowledged",
    ),
    "one that we do not always send is demanded": (
        lambda t: t["place_equity_order"]["required"].append("limit_price"),
        "place_equity_order demands limit_price in every call",
    ),
    "a number is no text any more": (
        lambda t: t["place_equity_order"]["properties"].update(quantity={"type": "number"}),
        "place_equity_order.quantity is number, no string",
    ),
    "a word is no longer in the prose": (
        lambda t: t["place_equity_order"]["properties"]["type"].update(
            description="'market', 'limit', or 'stop_loss'."
        ),
        "place_equity_order.type does not take stop_market, stop_limit",
    ),
    "a word is not in the enum": (
        lambda t: t["place_equity_order"]["properties"].update(side={"type": "string", "enum": ["BUY", "SELL"]}),
        "place_equity_order.side does not take buy, sell",
    ),
}


class TestDrift:
    @pytest.mark.parametrize("name", DRIFTS)
    async def test_changed_tools_stop_everything_before_anything_is_sent(self, channel: Channel, name: str) -> None:
        channel.server.knobs.bend, words = DRIFTS[name]
        broker = channel.broker()
        for ask in (broker.open, broker.orders, lambda: broker.submit(order())):
            with pytest.raises(SchemaDrift) as told:
                await ask()
            assert words in str(told.value)
            assert "Nothing was sent" in str(told.value)
        assert channel.server.desk.calls == []

    async def test_what_is_new_and_optional_is_no_drift(self, channel: Channel) -> None:
        def more(tools: dict[str, Any]) -> None:
            tools["place_equity_order"]["properties"]["note"] = {"type": "string"}
            tools["get_weather"] = {"type": "object"}

        channel.server.knobs.bend = more
        assert (await channel.broker().submit(order())).state is State.ACKED

    async def test_the_tools_are_read_again_when_the_session_has_become_old(
        self, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        broker = channel.broker()
        await broker.open()
        channel.server.knobs.bend = DRIFTS["a tool is gone"][0]
        await broker.submit(order())
        monkeypatch.setattr("quaestor.doors.robinhood_agentic.sessions.OLDEST", 0.0)
        with pytest.raises(SchemaDrift):
            await broker.submit(order(leg=1))
        assert len(channel.calls("place_equity_order")) == 1

    def test_the_table_fits_the_tools_that_the_protocol_server_lists(self) -> None:
        from quaestor.doors.sim.robinhood_agentic.tools import TOOLS

        schemas.require([schemas.Tool(name, schema) for name, schema in TOOLS.items()])


class TestApprovals:
    async def test_an_order_that_waits_for_its_owner_is_no_order_and_he_is_told_once(self, channel: Channel) -> None:
        channel.server.knobs.approval = True
        broker, intent = channel.broker(), limit()
        for _ in range(3):
            with pytest.raises(ApprovalPending) as told:
                await broker.submit(intent)
        assert isinstance(told.value, BrokerBusy)  # what the outbox takes for "not placed"
        assert told.value.retry_after > 1
        assert len(channel.calls("place_equity_order")) == 1  # his phone rings once a minute at most
        assert [title for title, _ in channel.told.sent] == ["Robinhood asks you to approve: buy 100 AAPL"]
        assert await broker.orders() == []

    @pytest.mark.parametrize("echoes", [True, False])
    async def test_once_approved_it_is_listed_under_its_name(self, channel: Channel, echoes: bool) -> None:
        channel.server.knobs.approval, channel.server.knobs.echoes = True, echoes
        broker, intent = channel.broker(), limit()
        with pytest.raises(ApprovalPending):
            await broker.submit(intent)
        await channel.server.desk.approve(str(intent.ref_id))
        (update,) = await broker.orders()
        assert (update.ref_id, update.state) == (intent.ref_id, State.ACKED)

    async def test_asked_for_again_it_is_still_one_order(
        self, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("quaestor.doors.robinhood_agentic.approvals.ASK_AGAIN", 0.0)
        channel.server.knobs.approval = True
        broker, intent = channel.broker(), limit()
        for _ in range(2):
            with pytest.raises(ApprovalPending):
                await broker.submit(intent)
        await channel.server.desk.approve(str(intent.ref_id))
        update = await broker.submit(intent)  # upstream knows the ref_id: it is looked up
        assert [each.broker_id for each in await broker.orders()] == [update.broker_id]
        assert len(channel.told.sent) == 1

    async def test_what_its_owner_declined_is_refused_for_good(
        self, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("quaestor.doors.robinhood_agentic.approvals.DENIED", frozenset({"APPROVAL_STATE_PENDING"}))
        channel.server.knobs.approval = True
        with pytest.raises(BrokerRejected, match="did not approve"):
            await channel.broker().submit(limit())

    async def test_a_state_of_approval_that_nobody_knows_is_no_answer(
        self, channel: Channel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("quaestor.doors.robinhood_agentic.approvals.PENDING", "APPROVAL_STATE_OTHER")
        channel.server.knobs.approval = True
        with pytest.raises(BrokerAmbiguous, match="APPROVAL_STATE_PENDING"):
            await channel.broker().submit(limit())


class TestLostReplies:
    @pytest.mark.parametrize("answers", [False, True], ids=["refused as known", "answered with the order"])
    async def test_a_lost_reply_and_the_same_ref_id_again_are_one_order(self, channel: Channel, answers: bool) -> None:
        channel.server.knobs.answers_known = answers
        broker, intent = channel.broker(), limit()
        await broker.open()
        channel.server.knobs.drop_after = 1
        with pytest.raises(BrokerAmbiguous):
            await broker.submit(intent)
        assert [each.ref_id for each in await broker.orders()] == [intent.ref_id]
        update = await broker.submit(intent)
        assert [each.broker_id for each in await broker.orders()] == [update.broker_id]
        assert len(await channel.exchange.orders()) == 1

    @pytest.mark.parametrize("state", [State.UNKNOWN, State.SUBMITTING])
    async def test_an_order_in_doubt_of_an_earlier_process_is_found_by_its_terms(
        self, channel: Channel, state: State
    ) -> None:
        channel.server.knobs.echoes = False
        intent = limit(time_in_force=TimeInForce.GTC)
        await channel.broker().submit(intent)

        async def books() -> Sequence[StoredOrder]:
            return [stored(intent, state), stored(limit("98.00", leg=1), state)]

        (update,) = await channel.broker(books=books).orders()
        assert update.ref_id == intent.ref_id

    @pytest.mark.parametrize(
        ("other", "agent"),
        [(limit("98.00"), "agentic"), (limit(quantity=D(99)), "agentic"), (limit(), "user")],
        ids=["another price", "another quantity", "placed by hand"],
    )
    async def test_no_other_order_is_taken_for_one_in_doubt(self, channel: Channel, other: Intent, agent: str) -> None:
        channel.server.knobs.echoes = False
        for quantity, price, who in ((D(1), D(90), "agentic"), (other.quantity, other.limit_price, agent)):
            terms = {"order_type": OrderType.LIMIT, "limit_price": price}
            await channel.server.desk.by_hand("AAPL", Side.BUY, quantity, who, **terms)

        async def books() -> Sequence[StoredOrder]:
            return [stored(limit(), State.UNKNOWN)]

        assert [each.ref_id for each in await channel.broker(books=books).orders()] == [None, None]

    async def test_of_two_in_doubt_that_are_the_same_each_takes_one(self, channel: Channel) -> None:
        channel.server.knobs.echoes = False
        one, two = limit(), limit(leg=1)
        for intent in (one, two):
            await channel.broker().submit(intent)

        async def books() -> Sequence[StoredOrder]:
            return [stored(one, State.UNKNOWN), stored(two, State.UNKNOWN)]

        assert [each.ref_id for each in await channel.broker(books=books).orders()] == [one.ref_id, two.ref_id]

    async def test_a_cancel_whose_reply_is_lost_is_ambiguous_and_asked_again_ends_well(self, channel: Channel) -> None:
        broker = channel.broker()
        update = await broker.submit(limit())
        channel.server.knobs.drop_after = 1
        with pytest.raises(BrokerAmbiguous):
            await broker.cancel(update.broker_id)
        await broker.cancel(update.broker_id)
        assert [each.state for each in await broker.orders()] == [State.CANCELED]

    async def test_an_order_of_the_evening_before_is_listed_under_its_session(self, channel: Channel) -> None:
        broker = channel.broker()
        closed = calendar.session_close(BEFORE)
        for leg, at in enumerate((closed - dt.timedelta(hours=1), closed + dt.timedelta(hours=1))):
            channel.server.desk.clock = partial(dt.datetime.fromtimestamp, at.timestamp(), dt.UTC)
            await broker.submit(limit(leg=leg, time_in_force=TimeInForce.GTC))
        assert [each.ref_id for each in await broker.orders(SESSION)] == [limit(leg=1).ref_id]
        assert len(await broker.orders(BEFORE)) == 2

    async def test_a_page_that_fails_fails_the_list(self, channel: Channel) -> None:
        broker = channel.broker()
        channel.server.desk.page = 2
        for leg in range(5):
            await broker.submit(limit(leg=leg))
        assert len(await broker.orders()) == 5
        channel.server.knobs.failing_page = 2
        for ask in (broker.orders, broker.executions):
            with pytest.raises(BrokerBusy):
                await ask()


@pytest.fixture(params=[True, False], ids=["with ref_ids", "without"])
def echoing(channel: Channel, request: pytest.FixtureRequest) -> None:
    """Whether listed orders carry their ref_id."""
    channel.server.knobs.echoes = request.param


async def in_band(_: StoredOrder) -> str:
    return ""


async def state_of(books: BookStore, ref_id: uuid.UUID) -> State:
    return next(order.state for order in await books.orders_since(SESSION) if order.ref_id == ref_id)


async def out_of_band(_: StoredOrder) -> str:
    return "its session is over"


@pytest.mark.usefixtures("echoing")
class TestTheOutboxOverIt:
    """Law 2, with books that outlive the process that sent."""

    @pytest.fixture
    async def desk(self) -> AsyncIterator[tuple[BookStore, Lease]]:
        disks = Disks()
        async with LeaseStore(disks).hold("main", "test", 0) as lease:
            yield BookStore(disks, "main"), lease

    @pytest.mark.parametrize("band", [in_band, out_of_band])
    async def test_an_order_whose_reply_was_lost_is_found_in_its_band_and_after(
        self, channel: Channel, desk: tuple[BookStore, Lease], band: Any
    ) -> None:
        books, lease = desk
        broker = channel.broker()
        await broker.open()
        channel.server.knobs.drop_after = 1
        assert await place([limit()], books, broker, lease) == [State.UNKNOWN]
        later = channel.broker(books=books.open_orders)
        await resolve(books, later, lease, band)
        (found,) = await books.open_orders()
        assert (found.state, found.broker_id) == (State.ACKED, (await channel.exchange.orders())[0].broker_id)
        await channel.exchange.cancel(str(found.broker_id))
        await collect(books, later, lease, SESSION)
        assert await state_of(books, found.ref_id) is State.CANCELED

    async def test_an_order_that_never_arrived_is_sent_again_in_its_band(
        self, channel: Channel, desk: tuple[BookStore, Lease]
    ) -> None:
        books, lease = desk
        broker = channel.broker(books=books.open_orders)
        await broker.open()
        channel.server.knobs.statuses = [503]
        assert await place([limit()], books, broker, lease) == [State.UNKNOWN]
        await resolve(books, broker, lease, in_band)
        assert [order.state for order in await books.open_orders()] == [State.ACKED]
        assert len(await channel.exchange.orders()) == 1

    @pytest.mark.parametrize("approved", [True, False])
    async def test_what_waits_for_its_owner_is_unknown_until_he_approves_or_its_band_is_over(
        self, channel: Channel, desk: tuple[BookStore, Lease], approved: bool
    ) -> None:
        books, lease = desk
        intent = limit()
        channel.server.knobs.approval = True
        broker = channel.broker(books=books.open_orders)
        assert await place([intent], books, broker, lease) == [State.UNKNOWN]
        await resolve(books, broker, lease, in_band)
        assert [order.state for order in await books.open_orders()] == [State.UNKNOWN]
        if approved:
            await channel.server.desk.approve(str(intent.ref_id))
        await resolve(books, broker, lease, out_of_band)
        state = await state_of(books, intent.ref_id)
        assert state is (State.ACKED if approved else State.EXPIRED_UNSENT)

    async def test_approved_after_it_was_given_up_it_is_booked_under_its_name(
        self, channel: Channel, desk: tuple[BookStore, Lease]
    ) -> None:
        books, lease = desk
        intent = limit("99.00")
        channel.server.knobs.approval = True
        broker = channel.broker(books=books.open_orders)
        await place([intent], books, broker, lease)
        await resolve(books, broker, lease, out_of_band)
        await channel.server.desk.approve(str(intent.ref_id))
        await collect(books, broker, lease, SESSION)
        assert await state_of(books, intent.ref_id) is State.ACKED

    async def test_a_token_that_was_refused_leaves_an_order_that_goes_out_later(
        self, channel: Channel, desk: tuple[BookStore, Lease]
    ) -> None:
        books, lease = desk
        broker = channel.broker(books=books.open_orders)
        await broker.open()
        channel.issuer.revoke()
        assert await place([limit()], books, broker, lease) == [State.UNKNOWN]
        channel.tokens.next = AccessToken.of(channel.issuer.token(), 2)
        await resolve(books, broker, lease, in_band)
        assert [order.state for order in await books.open_orders()] == [State.ACKED]


class TestStatuses:
    async def test_a_throttle_places_nothing_and_all_calls_wait(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.open()
        channel.server.knobs.statuses = [429]
        with pytest.raises(BrokerBusy) as told:
            await broker.submit(order())
        assert told.value.retry_after == 0.2
        assert await channel.exchange.orders() == []
        began = time.monotonic()
        await broker.submit(order())
        assert time.monotonic() - began > 0.15

    @pytest.mark.parametrize("status", [500, 502, 503])
    async def test_a_failing_server_leaves_an_order_in_doubt_and_a_read_for_later(
        self, channel: Channel, status: int
    ) -> None:
        broker = channel.broker()
        await broker.open()
        channel.server.knobs.statuses = [status, status]
        with pytest.raises(BrokerAmbiguous):
            await broker.submit(order())
        with pytest.raises(BrokerBusy):
            await broker.orders()
        assert await broker.orders() == []

    async def test_words_of_an_upstream_that_failed_leave_an_order_in_doubt(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.open()
        for words in ("503 upstream unavailable", "internal error", "context deadline exceeded"):
            channel.server.knobs.fails = words
            with pytest.raises(BrokerAmbiguous):
                await broker.submit(order())
        channel.server.knobs.fails = '400 "You can only purchase 500 shares of AAPL."'
        with pytest.raises(BrokerRejected, match="purchase 500 shares"):
            await broker.submit(order(leg=1))

    async def test_nobody_at_home_is_busy_and_the_line_comes_back(self, channel: Channel) -> None:
        tokens = channel.tokens
        away = RobinhoodAgenticBroker(Line("http://127.0.0.1:9/mcp/trading", tokens, timeout=1), lambda: AGENTIC)
        with pytest.raises(BrokerBusy, match="Nothing was done"):
            await away.submit(order())
        await away.aclose()

    async def test_an_answer_that_never_comes_ends_by_our_own_deadline(self, channel: Channel) -> None:
        broker = channel.broker(timeout=0.3)
        await broker.open()
        hanging = asyncio.Event()

        async def hang(**_: str) -> dict[str, Any]:
            await asyncio.wait_for(asyncio.shield(hanging.wait()), 1.5)
            return {}

        channel.server.desk.place_equity_order = hang  # type: ignore[method-assign, assignment]
        began = time.monotonic()
        with pytest.raises(BrokerAmbiguous):
            await broker.submit(order())
        assert time.monotonic() - began < 1.4
        assert await broker.orders() == []

    async def test_a_session_that_the_server_forgot_is_opened_anew_and_nothing_was_done(
        self, channel: Channel, address: tuple[str, list[RobinhoodAgenticServer]]
    ) -> None:
        broker = channel.broker(mode="legacy")
        assert await broker.orders() == []
        again = RobinhoodAgenticServer(channel.exchange, channel.issuer.accepts, clock=lambda: OPEN)
        again.desk.prices.update(channel.server.desk.prices)
        address[1][:] = [again]
        with pytest.raises(BrokerBusy, match="Nothing was done"):
            await broker.submit(order())
        assert (await broker.submit(order())).state is State.ACKED

    async def test_one_call_that_fails_takes_no_other_with_it(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.open()
        desk, slow = channel.server.desk, channel.server.desk.place_equity_order

        async def slowly(**terms: str) -> dict[str, Any]:
            await asyncio.sleep(0.3)
            return await slow(**terms)

        desk.place_equity_order = slowly  # type: ignore[method-assign, assignment]
        placing = asyncio.create_task(broker.submit(order()))
        while not channel.calls("place_equity_order"):
            await asyncio.sleep(0.01)
        channel.server.knobs.statuses = [503]
        with pytest.raises(BrokerBusy):
            await broker.orders()
        assert (await placing).state is State.ACKED

    async def test_words_of_a_refusal_show_no_account(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.open()
        channel.server.knobs.fails = f"400 account {AGENTIC} is restricted"
        with pytest.raises(BrokerRejected, match="restricted") as told:
            await broker.submit(order())
        assert AGENTIC not in str(told.value)

    async def test_a_review_that_is_demanded_is_made(self, channel: Channel) -> None:
        channel.server.knobs.review_first = True
        assert (await channel.broker().submit(order())).state is State.ACKED
        assert len(channel.calls("review_equity_order")) == 1


class TestTokens:
    async def test_a_read_goes_on_with_the_newer_token(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.open()
        channel.issuer.revoke()
        channel.tokens.next = AccessToken.of(channel.issuer.token(), 2)
        assert await broker.orders() == []
        assert [token.seq for token in channel.tokens.refused] == [1]

    async def test_a_write_is_never_repeated_behind_the_outboxs_back(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.open()
        channel.issuer.revoke()
        channel.tokens.next = AccessToken.of(channel.issuer.token(), 2)
        with pytest.raises(AccessLost):
            await broker.submit(order())
        assert channel.calls("place_equity_order") == []
        assert (await broker.submit(order())).state is State.ACKED

    async def test_without_a_newer_one_access_is_lost_and_the_refresher_knows(self, channel: Channel) -> None:
        broker = channel.broker()
        channel.issuer.revoke()
        for ask in (broker.open, broker.orders, lambda: broker.submit(order())):
            with pytest.raises(AccessLost):
                await ask()
        assert len(channel.tokens.refused) == 3
        assert channel.server.desk.calls == []

    @pytest.mark.parametrize("why", [ChainBroken("log in anew"), VaultAway("the vault sleeps")])
    async def test_without_any_token_nothing_is_done_and_it_is_tried_again(
        self, channel: Channel, why: QuaestorError
    ) -> None:
        class Never(Tokens):
            def current(self) -> AccessToken:
                raise why

        broker = RobinhoodAgenticBroker(Line(channel.url, Never(channel.issuer)), lambda: AGENTIC)
        for ask in (lambda: broker.submit(order()), lambda: broker.cancel("x")):
            with pytest.raises(AccessLost, match=f"nothing was done.*{why}"):
                await ask()

    async def test_a_name_that_is_known_and_a_list_that_is_refused_is_no_refusal(self, channel: Channel) -> None:
        broker = channel.broker()
        await broker.submit(limit())

        async def refused(_: Any) -> Any:
            raise BrokerRejected("403")

        broker._rows = refused
        with pytest.raises(BrokerAmbiguous, match="its list did not come"):
            await broker.submit(limit())

    async def test_the_token_goes_to_no_other_host(self, channel: Channel) -> None:
        import httpx2

        from quaestor.doors.robinhood_agentic.wire import Wire

        wire = Wire(channel.url, channel.tokens.current())
        async with httpx2.AsyncClient(transport=wire, trust_env=False) as client:
            elsewhere = channel.url.replace("127.0.0.1", "localhost")
            assert (await client.get(elsewhere)).status_code == 421


class TestAccount:
    @pytest.mark.parametrize(("number", "words"), [(BROKERAGE, "not open to agents"), ("999999999", "no account …999")])
    async def test_only_the_account_that_is_open_to_agents_is_traded_in(
        self, channel: Channel, number: str, words: str
    ) -> None:
        broker = channel.broker(number)
        with pytest.raises(BrokerRejected, match=words) as told:
            await broker.submit(order())
        assert number not in str(told.value)  # law 10
        assert channel.calls("place_equity_order") == []

    async def test_where_none_is_named_it_is_the_only_one(self, channel: Channel) -> None:
        assert (await channel.broker("").account()).cash == D(100_000)

    async def test_the_quotes_are_ticks(self, channel: Channel) -> None:
        channel.server.desk.prices["AAPL"] = (D("100.50"), D("100.49"), D("100.51"))
        trade, quote = await channel.broker().quotes(["AAPL", "NOSUCH"])
        assert isinstance(trade, TradeTick)
        assert isinstance(quote, QuoteTick)
        assert (trade.symbol, trade.price, quote.bid, quote.ask) == ("AAPL", 100.5, 100.49, 100.51)

    async def test_what_is_halted_is_told_of_the_watched(self, channel: Channel) -> None:
        await channel.exchange.halt("AAPL", "news")
        watched = ["AAPL", *(f"S{n}" for n in range(12))]
        assert await channel.broker(watched=watched).halted() == {"AAPL"}

    async def test_symbols_are_spelled_as_robinhood_does(self, channel: Channel) -> None:
        symbology = Symbology("Robinhood", aliases={"APPLE": "AAPL"})
        channel.server.desk.prices["AAPL"] = (D(100), D(99), D(101))
        broker = channel.broker(symbology=symbology, watched=["APPLE"])
        update = await broker.submit(order(symbol="APPLE"))
        assert [update.symbol, *(tick.symbol for tick in await broker.quotes(["APPLE"]))] == ["APPLE"] * 3
        assert [each.symbol for each in await broker.orders()] == ["APPLE"]
        assert await broker.halted() == frozenset()
        with pytest.raises(BrokerRejected, match="Nothing was sent"):
            await broker.submit(order(symbol="AAPL"))  # which is another name there

    async def test_fractions_are_for_market_orders_alone(self, channel: Channel) -> None:
        broker = channel.broker()
        with pytest.raises(BrokerRejected, match="whole shares"):
            await broker.submit(limit(quantity=D("0.5")))
        assert (await broker.submit(order(quantity=D("0.5")))).quantity == D("0.5")


class TestTurns:
    async def test_a_cancel_goes_before_orders_that_wait(self, channel: Channel) -> None:
        line = Line(channel.url, channel.tokens, calls_per_second=10)
        broker = RobinhoodAgenticBroker(line, lambda: AGENTIC, clock=lambda: OPEN)
        channel.brokers.append(broker)
        update = await broker.submit(limit())
        entries = [asyncio.create_task(broker.submit(limit(leg=n))) for n in range(1, 11)]
        await asyncio.sleep(0)
        await broker.cancel(update.broker_id)
        assert not entries[-1].done()
        await asyncio.gather(*entries)
