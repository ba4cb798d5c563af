"""Our client of Kraken's stream against a server that speaks its wire format, over real sockets, fault by fault.

The server itself is heard by a plain `websockets` client, which knows no more than Kraken's documentation says.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
import websockets

from quaestor import feeds, screening
from quaestor.doors.kraken_stream import Kraken
from quaestor.doors.sim.kraken_stream import KrakenStreamServer
from quaestor.doors.sim.streaming import Bad, Knobs, Synthetic
from quaestor.doors.streaming import Stream
from quaestor.errors import BadInput
from quaestor.feeds import FeedRefused
from quaestor.operations.backlog import Backlog
from quaestor.screening import Screen
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from tests.integration.live.listening import QUICK, Heard, refusal, running

PAIRS = ["BTC-USD", "ETH-USD", "SOL-EUR"]
BEGAN = 1_795_185_000 * SECOND + 123_456_789


def made(server: KrakenStreamServer, **more: Any) -> Stream:
    feed = Stream(Kraken(url=server.url), timing=QUICK, **more)
    feed.subscribe(trades=PAIRS, quotes=PAIRS)
    return feed


async def test_every_tick_arrives_as_it_was_told_to_the_nanosecond() -> None:
    ticks = Synthetic(PAIRS, 3000, begins=BEGAN)
    async with KrakenStreamServer(ticks) as server, running(made(server)) as heard:
        await heard.until(lambda: len(heard.ticks) == len(ticks))
        assert heard.ticks == list(ticks)
        assert heard.kinds() == ["connected", "subscribed"]
        assert "trades of 3, quotes of 3" in heard.statuses[1].words
        assert [each["params"].get("event_trigger") for each in server.subscriptions] == [None, "bbo"]


async def test_symbols_come_and_go_while_it_runs() -> None:
    async with KrakenStreamServer(Synthetic(PAIRS, 10**7), rate=2000) as server:
        feed = made(server)
        feed.unsubscribe(trades=PAIRS, quotes=PAIRS[1:])
        async with running(feed) as heard:
            await heard.until(lambda: bool(heard.ticks))
            feed.subscribe(trades=["ETH-USD"])
            await heard.until(lambda: TradeTick in {type(tick) for tick in heard.ticks})
            feed.unsubscribe(quotes=["BTC-USD"])
            await heard.until(lambda: heard.kinds().count("subscribed") == 3)
            heard.ticks.clear()
            await heard.until(lambda: len(heard.ticks) > 20)
            assert {(type(tick), tick.symbol) for tick in heard.ticks} == {(TradeTick, "ETH-USD")}
            feed.unsubscribe(trades=["ETH-USD"])
            await heard.until(lambda: "trades of 0, quotes of 0" in heard.statuses[-1].words)


@pytest.mark.parametrize("symbol", ["AAPL", "btc-usd", "BTC/USD", ""])
async def test_a_symbol_that_is_no_pair_is_refused_at_once(symbol: str) -> None:
    with pytest.raises(BadInput, match="write it like BTC-USD"):
        Stream(Kraken()).subscribe(trades=[symbol])


async def test_a_pair_that_kraken_does_not_have_is_told_of_and_costs_no_other() -> None:
    ticks = Synthetic(PAIRS, 300)
    async with KrakenStreamServer(ticks, symbols=PAIRS) as server:
        feed = made(server)
        feed.subscribe(trades=["XBT-FOO"])
        async with running(feed) as heard:
            await heard.until(lambda: len(heard.ticks) == len(ticks))
            assert heard.kinds() == ["connected", "note", "subscribed"]
            assert "Currency pair not supported XBT/FOO. Take it out" in heard.statuses[1].words


async def test_where_it_has_none_of_them_the_run_ends() -> None:
    async with KrakenStreamServer([], symbols=["ADA-USD"]) as server:
        assert "not supported" in str(await refusal(made(server)))


async def test_a_request_too_many_is_a_lost_line_that_rests() -> None:
    knobs = Knobs(refuse={"BTC/USD": "Exceeded msg rate"}, times=1)
    async with KrakenStreamServer(Synthetic(PAIRS, 10), knobs=knobs) as server, running(made(server)) as heard:
        await heard.until(lambda: "subscribed" in heard.kinds())
        assert min(status.wait for status in heard.statuses if status.kind == "lost") >= QUICK.full


async def test_an_engine_in_maintenance_is_told_of() -> None:
    knobs = Knobs(system="maintenance")
    async with KrakenStreamServer(Synthetic(PAIRS, 10), knobs=knobs) as server, running(made(server)) as heard:
        await heard.until(lambda: "subscribed" in heard.kinds())
        assert [status.words for status in heard.statuses if status.kind == "note"] == [
            "Kraken's matching engine: maintenance."
        ]


@pytest.mark.parametrize("status", [403, 404])
async def test_a_refused_handshake_ends_with_the_cure(status: int) -> None:
    async with KrakenStreamServer([], knobs=Knobs(status=status)) as server:
        heard = Heard(made(server))
        assert str(status) in str(await refusal(heard.feed, heard))
        assert heard.kinds() == ["refused"]


async def test_a_vendor_in_trouble_is_tried_again() -> None:
    ticks = Synthetic(PAIRS, 200)
    async with KrakenStreamServer(ticks, knobs=Knobs(status=503, times=2)) as server, running(made(server)) as heard:
        await heard.until(lambda: len(heard.ticks) == len(ticks))
        assert heard.kinds() == ["lost", "lost", "connected", "subscribed"]


async def test_after_a_dropped_line_the_trades_of_the_gap_come_by_their_numbers_each_once() -> None:
    ticks = Synthetic(PAIRS, 900)
    async with KrakenStreamServer(ticks, knobs=Knobs(drop=300, times=1), rate=3000) as server:
        async with running(made(server)) as heard:
            await heard.until(lambda: "lost" in heard.kinds())
            server.at += 60  # nobody heard these
            await heard.until(lambda: len([each for each in heard.ticks if isinstance(each, TradeTick)]) == 300)
        told = sorted((tick for tick in heard.ticks if isinstance(tick, TradeTick)), key=lambda tick: tick.at)
        assert told == [tick for tick in ticks if isinstance(tick, TradeTick)]
        snapshots = [
            each["params"]["snapshot"] for each in server.subscriptions if each["params"]["channel"] == "trade"
        ]
        assert snapshots == [False, True], "only what was missed is history worth asking for"


async def test_a_line_that_says_nothing_for_lack_of_news_is_kept_by_its_heartbeats() -> None:
    async with KrakenStreamServer(Synthetic(PAIRS, 30), heartbeat=0.1) as server:
        async with running(made(server, due=lambda: True)) as heard:
            await asyncio.sleep(0.7)
            assert heard.kinds() == ["connected", "subscribed"]
        assert heard.feed.counts == {}


async def test_a_mute_line_is_left() -> None:
    knobs = Knobs(mute=50, times=1)
    ticks = Synthetic(PAIRS, 10**7)
    async with (
        KrakenStreamServer(ticks, rate=1000, heartbeat=0.1, knobs=knobs) as server,
        running(made(server, due=lambda: True)) as heard,
    ):
        await heard.until(lambda: len(heard.ticks) > 200)
        assert [status.words for status in heard.statuses if "mute" in status.words]


async def test_a_line_that_answers_no_ping_is_left() -> None:
    knobs = Knobs(deaf=True)
    async with KrakenStreamServer([], heartbeat=60.0, knobs=knobs) as server, running(made(server)) as heard:
        await heard.until(lambda: heard.kinds().count("connected") == 2)
        assert "ping" in next(status.words for status in heard.statuses if status.kind == "lost")


async def test_a_line_that_answers_is_kept_through_the_longest_silence() -> None:
    async with KrakenStreamServer([], heartbeat=60.0) as server, running(made(server)) as heard:
        await asyncio.sleep(0.7)
        assert heard.kinds() == ["connected", "subscribed"]


async def test_a_line_that_never_says_its_status_is_left() -> None:
    knobs = Knobs(speechless=True, times=1)
    async with KrakenStreamServer([], knobs=knobs) as server, running(made(server)) as heard:
        await heard.until(lambda: "connected" in heard.kinds())
        assert heard.kinds()[0] == "lost"


BAD: list[tuple[Bad, str]] = [
    ("malformed", feeds.UNREADABLE),
    ("unknown", feeds.UNKNOWN_TYPE),
    ("correction", feeds.NO_TICK),
    ("text", feeds.UNUSABLE),
    ("nan", screening.FINITE),
    ("zero", screening.POSITIVE),
    ("spike", screening.SPIKE),
    ("future", screening.FUTURE),
    ("old", screening.STALE),
    ("stranger", screening.UNKNOWN),
    ("crossed", screening.CROSSED),
]


@pytest.mark.parametrize(("bad", "rule"), BAD, ids=[bad for bad, _ in BAD])
async def test_what_is_bad_is_counted_by_its_rule_and_nothing_else_is_lost(bad: Bad, rule: str) -> None:
    ticks = Synthetic(PAIRS, 2000)
    knobs = Knobs(bad=dict.fromkeys(range(100, 2000, 100), bad))
    async with KrakenStreamServer(ticks, clock=time.time_ns, knobs=knobs) as server:
        feed, screen, good = made(server), Screen(PAIRS), []

        def screened(told: list[Tick]) -> None:
            good.extend(screen.good(told, time.time_ns()))

        async with running(feed, screened) as heard:
            await heard.until(lambda: len(good) >= len(ticks))
            await heard.until(lambda: (feed.counts + screen.counts).total() == 19)
        assert feed.counts + screen.counts == {rule: 19}
        assert [(tick.symbol, type(tick)) for tick in good] == [(tick.symbol, type(tick)) for tick in ticks]
        assert heard.kinds() == ["connected", "subscribed"], "the connection stays up"


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="null"),
        pytest.param(b"{}", id="an empty message"),
        pytest.param(b'{"channel":7}', id="a channel that is a number"),
        pytest.param(b'{"channel":"trade"}', id="no data"),
        pytest.param(b'{"channel":"trade","data":7}', id="data that are no list"),
        pytest.param(b'{"channel":"trade","data":[null,[],{}]}', id="data of nothing"),
        pytest.param(b'{"channel":"ticker","data":[{"symbol":"BTC/USD","bid":1}]}', id="half a quote"),
        pytest.param(
            b'{"channel":"trade","data":[{"symbol":"BTC/USD","price":1,"qty":1,"timestamp":"soon"}]}', id="no time"
        ),
        pytest.param(b'{"method":7}', id="a method that is a number"),
        pytest.param(b"[" * 100_000, id="a pit of brackets"),
        pytest.param(b"\xff\xfe{}", id="no text"),
    ],
)
async def test_no_frame_brings_the_line_down(frame: bytes) -> None:
    async with KrakenStreamServer(Synthetic(PAIRS, 10**6), rate=500) as server, running(made(server)) as heard:
        await heard.until(lambda: len(heard.ticks) > 10)
        next(iter(server.talks)).send(frame)
        await heard.until(lambda: heard.feed.counts.total() > 0)
        count = len(heard.ticks)
        await heard.until(lambda: len(heard.ticks) > count + 10)
        assert heard.kinds() == ["connected", "subscribed"]


async def test_a_quote_without_a_time_has_ours() -> None:
    said = b'{"channel":"ticker","data":[{"symbol":"BTC/USD","bid":1,"bid_qty":2,"ask":3,"ask_qty":4}]}'
    async with KrakenStreamServer([]) as server:
        feed = Stream(Kraken(url=server.url, now=lambda: 7), timing=QUICK)
        feed.subscribe(quotes=PAIRS)
        async with running(feed) as heard:
            await heard.until(lambda: "subscribed" in heard.kinds())
            next(iter(server.talks)).send(said)
            await heard.until(lambda: heard.ticks == [QuoteTick("BTC-USD", 7, 1.0, 3.0, 2.0, 4.0)])


async def test_what_a_consumer_raises_ends_the_run() -> None:
    def broken(ticks: list[Tick]) -> None:
        raise ZeroDivisionError

    async with KrakenStreamServer(Synthetic(PAIRS, 1000)) as server:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(made(server).run(broken, lambda _: None), 10)


async def test_a_slow_consumer_gets_every_trade_and_the_newest_quotes() -> None:
    ticks = Synthetic(PAIRS, 30_000)
    async with KrakenStreamServer(ticks) as server:
        feed = made(server)
        backlog, taken = Backlog(calm=500, feed=feed), []
        async with running(feed, backlog.add):
            async with asyncio.timeout(60):
                while len(taken) + backlog.conflated < len(ticks):
                    taken += await backlog.take()
                    await asyncio.sleep(0.05)
        assert [tick for tick in taken if isinstance(tick, TradeTick)] == [
            tick for tick in ticks if isinstance(tick, TradeTick)
        ]
        assert backlog.conflated > 1000


async def test_the_server_speaks_as_krakens_documentation_says_to_a_plain_client() -> None:
    ticks = Synthetic(PAIRS, 10**6)
    async with (
        KrakenStreamServer(ticks, rate=2000, symbols=PAIRS) as server,
        websockets.connect(server.url) as client,
    ):

        async def said() -> Any:
            return json.loads(await asyncio.wait_for(client.recv(), 5))

        status = await said()
        assert (status["channel"], status["data"][0]["system"]) == ("status", "online")
        await client.send('{"method":"ping","req_id":101}')
        pong = await said()
        assert (pong["method"], pong["req_id"], set(pong)) == (
            "pong", 101, {"method", "req_id", "time_in", "time_out"},
        )  # fmt: skip
        params = {"channel": "ticker", "symbol": ["BTC/USD", "FOO/BAR"], "event_trigger": "bbo"}
        await client.send(json.dumps({"method": "subscribe", "params": params, "req_id": 7}))
        good, bad, told = await said(), await said(), await said()
        assert (good["success"], good["result"]["symbol"], good["req_id"]) == (True, "BTC/USD", 7)
        assert (bad["success"], bad["error"]) == (False, "Currency pair not supported FOO/BAR")
        assert (told["channel"], told["type"], told["data"][0]["symbol"]) == ("ticker", "update", "BTC/USD")
        await client.send('{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}')
        while told["channel"] != "trade":
            told = {"channel": ""} | await said()
        trade = told["data"][0]
        assert {"symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"} == set(trade)


async def test_a_refusal_is_raised_as_one() -> None:
    async with KrakenStreamServer([], knobs=Knobs(status=403)) as server:
        with pytest.raises(FeedRefused, match="from another place"):
            await made(server).run(lambda _: None, lambda _: None)
