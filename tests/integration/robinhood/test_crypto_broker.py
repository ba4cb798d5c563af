"""The door to Robinhood's crypto account, over the wire to the protocol server that checks every signature."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from quaestor.calendar import NEW_YORK
from quaestor.doors.memory.books import BookStore, LeaseStore
from quaestor.doors.memory.disk import Disks
from quaestor.doors.robinhood_crypto import signing
from quaestor.doors.robinhood_crypto.broker import RobinhoodCryptoBroker
from quaestor.doors.robinhood_crypto.keys import KeyRing
from quaestor.doors.robinhood_crypto.line import Line
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood_crypto.book import Book, Pair
from quaestor.doors.sim.robinhood_crypto.server import RobinhoodCryptoServer
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
from quaestor.errors import (
    AccessLost,
    BadInput,
    BrokerAmbiguous,
    BrokerBusy,
    BrokerRejected,
    NotFound,
    Temporary,
    VaultRefused,
)
from quaestor.exchange import cents
from quaestor.operations import outbox
from quaestor.orders import Intent, OrderType, Side, State, TimeInForce
from quaestor.ports import Broker, StoredOrder
from quaestor.ports_live import QuotePoll
from tests.integration.in_process import quaestor
from tests.integration.test_broker_contract import BrokerContract, Stage

D = Decimal
NOON = dt.datetime(2026, 8, 8, 12, 0, tzinfo=NEW_YORK)  # a Saturday: crypto trades
KEY, SEED = "rh-api-3c1e6f0a-rehearsal", "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="  # RFC 8032, test 1
OTHER_SEED = "TM0Imyj/ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U+4pvs="  # test 2
NAMES = ("robinhood-crypto-key", "robinhood-crypto-private-key")
ACCOUNT = "RHC918273645"
LIMIT = OrderType.LIMIT


def public(seed: str) -> str:
    return signing.keys(KEY, seed, NAMES).public


@dataclass
class Desk:
    """The server on a port, its clock and ours, a vault with keys, and doors to open."""

    url: str
    server: RobinhoodCryptoServer
    book: Book
    vault: LocalVault
    time: list[dt.datetime]
    ahead: dt.timedelta = dt.timedelta()  # our clock against the server's
    opened: list[RobinhoodCryptoBroker] = field(default_factory=list)

    def now(self) -> dt.datetime:
        return self.time[0] + self.ahead

    def open(self, timeout: float = 5.0, per_minute: int = 60_000, kept: float = 300.0) -> RobinhoodCryptoBroker:
        ring = KeyRing(self.vault, *NAMES, kept=kept)
        line = Line(ring, base_url=self.url, requests_per_minute=per_minute, timeout=timeout, now=self.now)
        self.opened.append(RobinhoodCryptoBroker(line, now=self.now))
        return self.opened[-1]

    def buy(self, quantity: str = "0.5", **changes: Any) -> Intent:
        base = Intent("main", "m", "BTC-USD", NOON.date(), "cause", Side.BUY, D(quantity), D(100))
        return replace(base, **changes)

    def posts(self) -> int:
        return sum("/orders/?" in asked and "cursor" not in asked for asked in self.server.asked)


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> LocalVault:
    return LocalVault(tmp_path_factory.mktemp("vault"))


class Stand:
    """One port for all tests; behind it the server of the test that runs."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def stand() -> Iterator[tuple[Stand, str]]:
    stand = Stand()
    with serving(stand) as url:
        yield stand, url


@pytest.fixture
def desk(vault: LocalVault, stand: tuple[Stand, str]) -> Iterator[Desk]:
    time = [NOON]
    server = RobinhoodCryptoServer(now=lambda: time[0], per_minute=None)
    vault.set(NAMES[0], KEY)
    vault.set(NAMES[1], SEED)
    book = server.register(KEY, public(SEED), cash=D(100_000), number=ACCOUNT)
    server.quote("BTC-USD", "100", "100")
    stand[0].app = server.app
    desk = Desk(stand[1], server, book, vault, time)
    yield desk
    for broker in desk.opened:
        broker.close()


class TestRobinhoodCryptoBroker(BrokerContract):
    """The contract of every broker; Robinhood has no word for a day that ended but canceled."""

    @pytest.fixture
    async def stage(self, desk: Desk) -> Stage:
        async def trade() -> None:
            for price in ("105", "95", "101"):
                desk.server.quote("BTC-USD", price, price)
            desk.time[0] += dt.timedelta(days=1)

        return Stage(desk.open(), NOON.date(), trade, desk.open, symbol="BTC-USD", ended=State.CANCELED)


# ── who may ask ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_door_is_a_broker_and_a_poll_of_quotes(desk: Desk) -> None:
    broker: Broker = desk.open()
    poll: QuotePoll = desk.opened[0]
    assert (broker, poll.name) == (desk.opened[0], "robinhood-crypto")


async def test_a_wrong_private_key_is_told_by_its_name_and_shown_to_nobody(desk: Desk) -> None:
    desk.vault.set(NAMES[1], OTHER_SEED)
    broker = desk.open()
    with pytest.raises(VaultRefused, match="'robinhood-crypto-private-key' in the vault belong together") as refused:
        await broker.account()
    assert not {OTHER_SEED, KEY} & set(str(refused.value).split())


async def test_a_key_that_was_changed_in_the_vault_is_taken_at_the_first_no(desk: Desk) -> None:
    broker = desk.open()
    await broker.account()
    desk.server.gate.forget(KEY)
    desk.server.register("rh-api-the-newer-one", public(OTHER_SEED), number=ACCOUNT)
    desk.vault.set(NAMES[0], "rh-api-the-newer-one")
    desk.vault.set(NAMES[1], OTHER_SEED)
    assert (await broker.submit(desk.buy())).state is State.ACKED


async def test_a_deleted_key_makes_no_order_and_says_so(desk: Desk) -> None:
    broker = desk.open()
    await broker.halted()
    await broker.orders()
    desk.server.gate.forget(KEY)
    with pytest.raises(AccessLost, match="nothing was done"):
        await broker.submit(desk.buy())
    assert not desk.book.orders


async def test_a_key_that_may_only_read_makes_no_order(desk: Desk) -> None:
    desk.server.gate.read_only.add(KEY)
    with pytest.raises(AccessLost, match=r"403.*with the action that was asked"):
        await desk.open().submit(desk.buy())


@pytest.mark.parametrize(("seconds", "works"), [(-31, False), (-29, True), (29, True), (31, False)])
async def test_a_clock_may_be_thirty_seconds_off(desk: Desk, seconds: int, works: bool) -> None:
    desk.ahead = dt.timedelta(seconds=seconds)
    if works:
        assert (await desk.open().account()).cash == 100_000
        return
    with pytest.raises(VaultRefused, match=rf"clock is \{seconds:+} s off Robinhood's"):
        await desk.open().account()


@pytest.mark.parametrize("bent", ["body", "path", "method"])
async def test_what_was_bent_on_its_way_is_refused(desk: Desk, bent: str) -> None:
    import requests

    body, path = b'{"symbol":"BTC-USD"}', f"/api/v2/crypto/trading/orders/?account_number={ACCOUNT}"
    keys = signing.keys(KEY, SEED, NAMES)
    at = int(NOON.timestamp())
    signed = {
        "body": keys.headers(at, "POST", path, body.replace(b"BTC", b"ETH")),
        "path": keys.headers(at, "POST", path.split("?", maxsplit=1)[0], body),
        "method": keys.headers(at, "GET", path, body),
    }[bent]
    answer = requests.post(desk.url + path, data=body, headers=signed, timeout=5)
    assert (answer.status_code, answer.json()["errors"][0]["detail"]) == (401, "Invalid signature")
    whole = keys.headers(at, "POST", path, body)
    assert requests.post(desk.url + path, data=body, headers=whole, timeout=5).status_code == 400  # past the gate


# ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "prices"),
    [
        (OrderType.LIMIT, {"limit_price": D("90.01")}),
        (OrderType.STOP, {"stop_price": D("110.5")}),
        (OrderType.STOP_LIMIT, {"stop_price": D("110.5"), "limit_price": D("111")}),
    ],
)
@pytest.mark.parametrize("force", list(TimeInForce))
async def test_an_order_says_its_terms_and_is_told_back_with_them(
    desk: Desk, kind: OrderType, prices: dict[str, Decimal], force: TimeInForce
) -> None:
    update = await desk.open().submit(desk.buy("0.123456", order_type=kind, time_in_force=force, **prices))
    assert (update.order_type, update.quantity, update.session) == (kind, D("0.123456"), NOON.date())
    assert {"limit_price": update.limit_price, "stop_price": update.stop_price} == {
        "limit_price": None,
        "stop_price": None,
    } | prices
    (order,) = desk.book.orders.values()
    assert (order.time_in_force, order.limit, order.stop) == (force.value, update.limit_price, update.stop_price)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"symbol": "AAPL"}, "write it like BTC-USD"),
        ({"quantity": D("0.0000001")}, "more than six decimals"),
        ({"order_type": LIMIT, "limit_price": D("90.001")}, "off BTC-USD's step of 0.01"),
        ({"order_type": LIMIT}, "needs a limit price"),
        ({"session": NOON.date() + dt.timedelta(days=1)}, "Send it then"),
        ({"symbol": "NO-USD"}, "Invalid symbol: NO-USD"),
        ({"quantity": D("0.0001")}, "at least 0.10"),
        ({"symbol": "OLD-USD"}, "cannot be traded now"),
        ({"symbol": "TINY-USD"}, "finer than the books keep"),
        ({"symbol": "COARSE-USD", "quantity": D("1.5")}, "off COARSE-USD's step of 1"),
    ],
)
async def test_what_cannot_be_traded_is_a_clear_no(desk: Desk, changes: dict[str, Any], why: str) -> None:
    desk.server.pair(Pair("OLD-USD", status="untradable"))
    desk.server.pair(Pair("TINY-USD", tick=D("0.00000001")))
    desk.server.pair(Pair("COARSE-USD", lot=D(1)))
    with pytest.raises(BrokerRejected, match=why):
        await desk.open().submit(desk.buy(**changes))
    assert not desk.book.orders


async def test_a_name_that_is_refused_as_taken_is_looked_for_in_the_list(desk: Desk) -> None:
    desk.server.duplicates = "refuse"
    first = await desk.open().submit(desk.buy())
    again = await desk.open().submit(desk.buy())
    assert again.broker_id == first.broker_id
    assert len(desk.book.orders) == 1


@pytest.mark.parametrize("kind", ["hang", "dropped", "truncated"])
async def test_a_lost_answer_is_ambiguous_and_a_second_try_finds_the_order(desk: Desk, kind: Any) -> None:
    broker = desk.open(timeout=0.3)
    await broker.orders()
    desk.server.faults = [Fault(kind, path="/orders/", times=1)]
    with pytest.raises(BrokerAmbiguous):
        await broker.submit(desk.buy())
    ((made, _),) = desk.book.orders.items()
    assert [(order.broker_id, order.ref_id) for order in await broker.orders()] == [(made, desk.buy().ref_id)]
    assert (await broker.submit(desk.buy())).broker_id == made


async def test_the_outbox_finds_an_order_whose_answer_was_lost_and_its_fill_too(desk: Desk) -> None:
    disks, broker = Disks(), desk.open(timeout=0.3)
    books = BookStore(disks, "main")
    await broker.orders()
    await broker.halted()
    async with LeaseStore(disks).hold("main", "us", 1) as lease:
        desk.server.faults = [Fault("hang", path="/orders/", times=1)]
        assert await outbox.place([desk.buy()], books, broker, lease) == [State.UNKNOWN]
        assert await outbox.resolve(books, broker, lease, _in_band) == 1
        heard = await outbox.collect(books, broker, lease, NOON.date())
    assert len(desk.book.orders) == heard.booked == 1
    assert [order.state for order in await books.orders_since(NOON.date())] == [State.FILLED]


async def _in_band(_: StoredOrder) -> str:
    return ""


async def test_a_server_fault_leaves_an_orders_fate_open(desk: Desk) -> None:
    broker = desk.open()
    await broker.orders()
    desk.server.faults = [Fault("status", path="/orders/", status=503, times=1)]
    with pytest.raises(BrokerAmbiguous, match="503"):
        await broker.submit(desk.buy())
    assert await broker.orders() == []


async def test_what_never_left_is_not_ambiguous(desk: Desk) -> None:
    broker = desk.open()
    await broker.orders()
    await broker.halted()
    broker._line._wire.root = "http://127.0.0.1:1"  # nobody listens there
    with pytest.raises(BrokerBusy, match="nothing was sent"):
        await broker.submit(desk.buy())


@pytest.mark.parametrize(
    ("headers", "wait"),
    [({"Retry-After": "17"}, 17), ({"Retry-After": "1000000"}, 120), ({}, 5)],
    ids=["as it says", "not for ever", "it says nothing"],
)
async def test_too_many_requests_are_nobodys_order_and_all_wait(
    desk: Desk, headers: dict[str, str], wait: float
) -> None:
    broker = desk.open(timeout=1.0)
    await broker.orders()
    await broker.halted()
    desk.server.faults = [Fault("status", path="/orders/", status=429, headers=headers, times=1)]
    with pytest.raises(BrokerBusy) as busy:
        await broker.submit(desk.buy())
    assert busy.value.retry_after == wait
    asked = len(desk.server.asked)
    with pytest.raises(BrokerBusy, match="nothing was sent"):
        await broker.submit(desk.buy())
    assert (len(desk.server.asked), desk.book.orders) == (asked, {})


async def test_we_ask_no_faster_than_we_may(desk: Desk) -> None:
    broker = desk.open(timeout=0.5, per_minute=20)
    await asyncio.gather(broker.halted(), broker.orders())  # three requests, of 16 that reads may make at once
    await asyncio.gather(*(broker.quotes(["BTC-USD"]) for _ in range(13)))
    with pytest.raises(BrokerBusy, match="may be asked again in"):
        await broker.quotes(["BTC-USD"])
    for leg in range(4):  # an order waits for no quote
        await broker.submit(desk.buy(leg=leg))
    with pytest.raises(BrokerBusy, match="may be asked again in"):
        await broker.submit(desk.buy(leg=4))
    assert (len(desk.server.asked), len(desk.book.orders)) == (20, 4)


async def test_reads_that_hang_hold_no_order_up(desk: Desk) -> None:
    broker = desk.open(timeout=0.5)
    await broker.orders()
    await broker.halted()
    desk.server.faults = [Fault("hang", path="best_bid_ask")]
    hanging = [asyncio.create_task(broker.quotes(["BTC-USD"])) for _ in range(8)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(0.3):
        await broker.submit(desk.buy())
    desk.server.faults = []
    assert all(isinstance(each, Temporary | list) for each in await asyncio.gather(*hanging, return_exceptions=True))


async def test_the_server_takes_so_many_at_once_and_no_more(desk: Desk) -> None:
    from quaestor.pacing import Bucket

    desk.server.gate.bucket = Bucket(100 / 60, 3.0)
    broker = desk.open()
    for _ in range(3):
        await broker.quotes(["BTC-USD"])
    with pytest.raises(BrokerBusy, match="429"):
        await broker.quotes(["BTC-USD"])


# ── fills and the account ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_odd_fills_with_their_fees_pay_for_themselves_to_the_cent(desk: Desk) -> None:
    broker = desk.open()
    before, seen = await broker.account(), set()
    desk.server.quote("BTC-USD", "99.97", "110")
    await broker.submit(desk.buy("1.234567", order_type=LIMIT, limit_price=D("103.33"), time_in_force=TimeInForce.GTC))
    for n, size in enumerate(("0.333333", "0.1", "0.5")):
        desk.server.quote("BTC-USD", "99.97", f"10{n}.19", D(size))
        seen |= set(await broker.executions())
    desk.server.quote("BTC-USD", "99.97", "101.07")
    await broker.submit(desk.buy("0.7", side=Side.SELL, leg=1))
    seen |= set(await broker.executions())
    assert len(seen) == 5
    assert set(await broker.executions()) == seen
    later = {fill.execution_id: fill for fill in await desk.open().executions()}  # a process that saw none of it happen
    assert [replace(later[fill.execution_id], fee=fill.fee) for fill in seen] == list(seen)
    assert max(abs(later[fill.execution_id].fee - fill.fee) for fill in seen) <= D("0.000001")
    account = await broker.account()
    assert cents(account.cash) == cents(before.cash + sum(fill.cash for fill in seen)) == cents(desk.book.cash)
    assert dict(account.positions) == {"BTC-USD": D("0.534567")}
    assert cents(sum(fill.fee for fill in seen)) == cents(sum(order.fee for order in desk.book.orders.values()))


async def test_cash_is_what_can_be_spent_and_what_open_purchases_hold_back(desk: Desk) -> None:
    broker = desk.open()
    for n, price in enumerate(("90", "91.5")):
        await broker.submit(desk.buy("2", order_type=LIMIT, limit_price=D(price), leg=n))
    assert desk.book.buying_power < 99_640
    assert (await broker.account()).cash == 100_000


async def test_an_account_that_moves_all_the_while_is_told_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    broker, seen = desk.open(), count(100_000)
    await broker.halted()
    monkeypatch.setattr(type(desk.book), "buying_power", property(lambda _: D(next(seen))))  # another at each look
    with pytest.raises(Temporary, match="three times"):
        await broker.account()


async def test_an_order_placed_by_hand_is_told_without_a_name_of_ours(desk: Desk) -> None:
    by_hand = {"client_order_id": "0e5b6c2a-1f3d-4e7a-9b8c-2d4f6a8b0c1e", "side": "buy", "type": "market"}
    desk.book.place(by_hand | {"symbol": "BTC-USD", "market_order_config": {"asset_quantity": "1"}})
    ((update,), (fill,)) = await asyncio.gather(desk.open().orders(), desk.open().executions())
    assert (str(update.ref_id), update.state) == (by_hand["client_order_id"], State.FILLED)
    assert (fill.quantity, fill.price, fill.fee) == (1, 100, D("0.95"))


# ── lists ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_list_of_which_a_page_fails_is_no_list(desk: Desk) -> None:
    broker = desk.open()
    desk.server.page = 10
    for n in range(25):
        desk.book.place(_limit(n))
    assert len(await broker.orders()) == 25
    desk.server.faults = [Fault("status", path="/orders/", page=2, times=1)]
    with pytest.raises(Temporary, match="503"):
        await broker.orders()
    desk.server.faults = [Fault("truncated", path="/orders/", page=3, times=1)]
    with pytest.raises(Temporary, match="breaks off"):
        await broker.orders()
    desk.server.faults = [Fault("circle", path="/orders/")]
    with pytest.raises(BadInput, match="in a circle"):
        await broker.orders()


async def test_a_next_page_elsewhere_is_not_asked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from quaestor.doors.sim.robinhood_crypto import server

    desk.server.page = 1
    for n in range(2):
        desk.book.place(_limit(n))
    broker = desk.open()
    await broker.halted()
    monkeypatch.setattr(server, "API", "https://trading.robinhood.com.example.org")
    with pytest.raises(BadInput, match="that is elsewhere"):
        await broker.executions()


async def test_no_message_shows_the_accounts_number(desk: Desk) -> None:
    broker = desk.open(timeout=0.3)
    await broker.orders()
    shown = list[str]()
    for kind in ("status", "hang", "dropped", "truncated", "html"):
        desk.server.faults = [Fault(kind, path="/orders/", times=1)]
        with pytest.raises(Temporary) as error:
            await broker.orders()
        shown.append(f"{error.value} {error.value.__cause__}")
    assert not [text for text in shown if ACCOUNT in text]


def _limit(n: int) -> dict[str, Any]:
    terms = {"asset_quantity": "1", "limit_price": "50"}
    name = f"00000000-0000-4000-8000-{n:012}"
    said = {"client_order_id": name, "side": "buy", "type": "limit", "symbol": "BTC-USD"}
    return said | {"limit_order_config": terms}


# ── cancel, pairs, quotes ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_order_nobody_knows_cannot_be_canceled(desk: Desk) -> None:
    for name in ("5f0c4a5e-0000-4000-8000-000000000000", "../accounts"):
        with pytest.raises(BrokerRejected):
            await desk.open().cancel(name)


async def test_a_cancel_whose_answer_is_lost_is_ambiguous_and_repeats(desk: Desk) -> None:
    broker = desk.open(timeout=0.3)
    order = await broker.submit(desk.buy(order_type=LIMIT, limit_price=D(90)))
    desk.server.faults = [Fault("hang", path="/cancel/", times=1)]
    with pytest.raises(BrokerAmbiguous):
        await broker.cancel(order.broker_id)
    await broker.cancel(order.broker_id)
    assert [each.state for each in await broker.orders()] == [State.CANCELED]


async def test_pairs_that_take_no_orders_are_halted_and_those_for_sale_only_are_not(desk: Desk) -> None:
    desk.server.pair(Pair("OLD-USD", status="untradable"))
    desk.server.pair(Pair("APP-USD", api=False))
    desk.server.pair(Pair("EXIT-USD", status="sellonly"))
    desk.server.pair(Pair("MUCHTOOLONG-USD", api=False))  # no symbol of ours
    assert await desk.open().halted() == {"OLD-USD", "APP-USD"}


async def test_quotes_come_as_ticks_and_sides_asked_apart_are_put_in_order(desk: Desk) -> None:
    desk.server.quote("BTC-USD", "64975.78", "64970.12")
    desk.server.quote("ETH-USD", "2499", "2501")
    btc, eth = await desk.open().quotes(["BTC-USD", "ETH-USD"])
    assert (btc.symbol, btc.bid, btc.ask) == ("BTC-USD", 64970.12, 64975.78)
    assert (eth.at, eth.bid, eth.ask) == (int(NOON.timestamp()) * 10**9, 2499.0, 2501.0)
    desk.server.quote("ETH-USD", "3499", "2501")  # no two looks at one price: whoever screens ticks shall see it
    (odd,) = await desk.open().quotes(["ETH-USD"])
    assert odd.bid > odd.ask


async def test_a_pair_tells_its_steps(desk: Desk) -> None:
    broker = desk.open()
    pair = await broker.lot("ETH-USD")
    assert (pair.lot, pair.tick, pair.least) == (D("0.000001"), D("0.01"), D("0.10"))
    with pytest.raises(NotFound, match="write it like BTC-USD"):
        await broker.lot("ETH")


async def test_the_market_is_moved_from_this_machine(desk: Desk) -> None:
    import requests

    put = f"{desk.url}/sim/quotes/"
    said = {"symbol": "BTC-USD", "bid": 64000, "ask": "64010.5"}
    assert requests.put(put, json=said, timeout=5).status_code == 200
    assert [tick.ask for tick in await desk.open().quotes(["BTC-USD"])] == [64010.5]
    assert requests.put(put, json=said | {"symbol": "NO-USD"}, timeout=5).status_code == 400


# ── wiring ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_configured_broker_opens_with_the_keys_in_the_vault(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quaestor import wiring
    from quaestor.wiring.robinhood_crypto import robinhood_crypto_broker

    desk.time[0] = dt.datetime.now(dt.UTC)
    written = f'[robinhood_crypto]\nbase_url = "{desk.url}"\n[market]\nsource = "alpaca"\n'
    file = tmp_path / "quaestor.toml"
    file.write_text(f'{written}[market.aliases]\n"BTC-USD" = "XBT/USD" # a feed\'s\n', encoding="utf-8")
    monkeypatch.setenv("QUAESTOR_CONFIG", str(file))
    loaded = wiring.load()
    broker = robinhood_crypto_broker(loaded, desk.vault)
    desk.opened.append(broker)
    assert (await broker.account()).cash == 100_000


def test_a_rehearsal_makes_keys_once_and_serves_who_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from quaestor import wiring
    from quaestor.wiring import robinhood_crypto as wired

    monkeypatch.setenv("QUAESTOR_HOME", str(tmp_path))
    quotes = {"BTC-USD": (D(64_000), D(64_010))}
    with pytest.raises(VaultRefused, match="robinhood-crypto"):
        wired.robinhood_crypto_server(wiring.load(), D(500), quotes)
    server = wired.robinhood_crypto_server(wiring.load(), D(500), quotes, make_keys=True)
    assert set(NAMES) <= set(wiring.configured_vault(wiring.load()).names())
    with pytest.raises(BadInput, match="already"):
        wired.make_robinhood_crypto_keys(wiring.load())
    with serving(server.app) as url:
        (tmp_path / "quaestor.toml").write_text(f'[robinhood_crypto]\nbase_url = "{url}"\n', encoding="utf-8")
        broker = wired.robinhood_crypto_broker(wiring.load())
        assert asyncio.run(broker.account()).cash == 500
        broker.close()


def test_the_rehearsal_says_where_it_is_and_ends_when_told_to(tmp_path: Path) -> None:
    environment = os.environ | {"QUAESTOR_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "quaestor.console.cli", "sim", "robinhood-crypto", "--make-keys", "--cash", "250"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            ring = KeyRing(LocalVault(tmp_path), said["key_secret"], said["private_key_secret"])
            broker = RobinhoodCryptoBroker(Line(ring, base_url=said["url"]))
            account = asyncio.run(broker.account())
            broker.close()
        finally:
            process.terminate()
        assert process.wait(10) == 143
    assert (account.cash, account.positions) == (250, {})


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--quotes", "BTC=1/2"), "names no pair"),
        (("--quotes", "BTC-USD=1"), "are no dollars"),
        (("--cash", "-1"), "are no dollars"),
    ],
)
def test_words_of_a_rehearsal_that_make_no_sense_are_told(words: tuple[str, str], why: str, tmp_path: Path) -> None:
    ended = quaestor("sim", "robinhood-crypto", *words, environment={"QUAESTOR_HOME": str(tmp_path)})
    assert ended.returncode != 0
    assert why in ended.stderr
