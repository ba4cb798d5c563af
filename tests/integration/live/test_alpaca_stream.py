"""Both clients of Alpaca's stream against a server that speaks its wire format, over real sockets, fault by fault."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import picows
import pytest

from quaestor import feeds, screening
from quaestor.doors.alpaca_stream import CURES, Alpaca, refused
from quaestor.doors.alpaca_stream_fallback import AlpacaStreamFallback
from quaestor.doors.sim.alpaca_stream import ERRORS, AlpacaStreamServer
from quaestor.doors.sim.streaming import Bad, Knobs, Synthetic
from quaestor.doors.streaming import Stream
from quaestor.errors import BadInput
from quaestor.feeds import FeedLost, FeedRefused
from quaestor.operations.backlog import Backlog
from quaestor.screening import Screen
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from tests.integration.live.listening import QUICK, Heard, running

SYMBOLS = ["AAPL", "IBM", "MSFT", "BRK.B", "GOOG"]
KINDS = ["ours", "ours, packed", "alpaca-py"]
LONG = pytest.param("alpaca-py", marks=pytest.mark.full)
Make = Callable[..., Any]


def made(kind: str, server: AlpacaStreamServer, key: str = "key", secret: str = "secret", **more: Any) -> Any:
    """A feed of that kind at this server, subscribed to the symbols."""
    if kind == "alpaca-py":
        feed: Any = AlpacaStreamFallback(key, secret, url=server.url, pause=0.1, silence=0.3, **more)
        feed._client._reconnect_min_backoff = feed._client._reconnect_max_backoff = 0.05
    else:
        feed = Stream(Alpaca(key, secret, url=server.url, packed="packed" in kind), timing=QUICK, **more)
    feed.subscribe(trades=SYMBOLS, quotes=SYMBOLS)
    return feed


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each client in turn."""
    return str(request.param)


async def test_every_tick_arrives_as_it_was_told_to_the_nanosecond(kind: str) -> None:
    ticks = Synthetic(SYMBOLS, 3000, begins=1_795_185_000 * SECOND + 123_456_789)
    async with AlpacaStreamServer(ticks) as server, running(made(kind, server)) as heard:
        await heard.until(lambda: len(heard.ticks) == len(ticks))
        assert heard.ticks == list(ticks)
        assert heard.kinds() == ["connected", "subscribed"]
        assert heard.batches < len(ticks) / 5, "ticks come together"
        assert server.subscriptions[0]["quotes"]
        assert server.logins == ["key"]


async def test_symbols_come_and_go_while_it_runs(kind: str) -> None:
    async with AlpacaStreamServer(Synthetic(SYMBOLS, 10**7), rate=2000) as server:
        feed = made(kind, server)
        feed.unsubscribe(trades=SYMBOLS, quotes=SYMBOLS[1:])
        async with running(feed) as heard:
            await heard.until(lambda: bool(heard.ticks))
            feed.subscribe(trades=["IBM"])
            await heard.until(lambda: TradeTick in {type(tick) for tick in heard.ticks})
            feed.unsubscribe(quotes=["AAPL"])
            await heard.until(lambda: heard.kinds().count("subscribed") == 3)
            heard.ticks.clear()
            await heard.until(lambda: len(heard.ticks) > 20)
            assert {(type(tick), tick.symbol) for tick in heard.ticks} == {(TradeTick, "IBM")}


async def test_only_the_channels_that_are_wanted_are_asked_for(kind: str) -> None:
    async with AlpacaStreamServer(Synthetic(SYMBOLS, 3000)) as server:
        async with running(made(kind, server, channels=("trades",))) as heard:
            await heard.until(lambda: len(heard.ticks) == 1000)
        assert {type(tick) for tick in heard.ticks} == {TradeTick}
        assert not any(each.get("quotes") for each in server.subscriptions)


async def test_a_symbol_that_alpaca_cannot_be_asked_for_is_refused_at_once(kind: str) -> None:
    async with AlpacaStreamServer([]) as server:
        with pytest.raises(BadInput, match="is no symbol"):
            made(kind, server).subscribe(trades=["a a"])


async def test_a_feed_that_is_stopped_before_or_without_a_subscription_ends(kind: str) -> None:
    async with AlpacaStreamServer([]) as server:
        feed = made(kind, server)
        feed.unsubscribe(SYMBOLS, SYMBOLS)
        async with running(feed):
            await asyncio.sleep(0.1)


async def test_a_wrong_key_ends_with_the_cure_and_no_secret(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with AlpacaStreamServer(Synthetic(SYMBOLS, 100)) as server:
        heard = Heard(made(kind, server, "wrong-key", "wrong-secret"))
        with pytest.raises(FeedRefused, match=r"auth failed.*The key or its secret is wrong.*vault") as found:
            await asyncio.wait_for(heard.feed.run(heard.on_batch, heard.statuses.append), 10)
        assert server.logins == ["wrong-key"]
        assert heard.kinds() == ["refused"]
        quiet = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
        assert "wrong-secret" not in " ".join([*quiet, str(found.value)])


@pytest.mark.parametrize("code", [405, 409])
async def test_a_refused_subscription_ends_with_the_cure(kind: str, code: int) -> None:
    async with AlpacaStreamServer(Synthetic(SYMBOLS, 100), knobs=Knobs(subscription=code)) as server:
        heard = Heard(made(kind, server))
        with pytest.raises(FeedRefused, match=f"{ERRORS[code]}.*change the plan"):
            await asyncio.wait_for(heard.feed.run(heard.on_batch, heard.statuses.append), 10)


@pytest.mark.parametrize("status", [401, 404])
async def test_a_refused_handshake_ends_with_the_cure(kind: str, status: int) -> None:
    async with AlpacaStreamServer([], knobs=Knobs(status=status)) as server:
        heard = Heard(made(kind, server))
        with pytest.raises(FeedRefused, match=str(status)):
            await asyncio.wait_for(heard.feed.run(heard.on_batch, heard.statuses.append), 10)


@pytest.mark.parametrize("knobs", [{"login": 406}, {"status": 429}], ids=["connection limit", "too many requests"])
async def test_a_full_house_is_left_alone_for_a_while_and_tried_again(kind: str, knobs: dict[str, int]) -> None:
    ticks = Synthetic(SYMBOLS, 200)
    async with AlpacaStreamServer(ticks, knobs=Knobs(**knobs, times=2)) as server:
        async with running(made(kind, server)) as heard:
            await heard.until(lambda: len(heard.ticks) == len(ticks))
        waits = [status.wait for status in heard.statuses if status.kind == "lost"]
        assert len(waits) == 2
        assert min(waits) >= 0.1


async def test_a_vendor_in_trouble_is_tried_again(kind: str) -> None:
    ticks = Synthetic(SYMBOLS, 200)
    async with AlpacaStreamServer(ticks, knobs=Knobs(status=503, times=2)) as server:
        async with running(made(kind, server)) as heard:
            await heard.until(lambda: len(heard.ticks) == len(ticks))
        assert heard.kinds() == ["lost", "lost", "connected", "subscribed"]


@pytest.mark.parametrize("code", [407, 500])
async def test_an_error_in_the_middle_that_passes_is_a_lost_line(code: int) -> None:
    async with (
        AlpacaStreamServer(Synthetic(SYMBOLS, 10**6), rate=500) as server,
        running(made("ours", server)) as heard,
    ):
        await heard.until(lambda: bool(heard.ticks))
        next(iter(server.talks)).error(code)
        await heard.until(lambda: heard.kinds().count("subscribed") == 2)
        assert ERRORS[code] in heard.statuses[2].words


async def test_a_message_in_parts_is_one_message() -> None:
    said = b'[{"T":"t","S":"AAPL","p":1.5,"s":2,"t":"1970-01-01T00:00:00.000000007Z"}]'
    async with AlpacaStreamServer([]) as server, running(made("ours", server)) as heard:
        await heard.until(lambda: "subscribed" in heard.kinds())
        send, types = next(iter(server.talks)).transport.send, picows.WSMsgType
        send(types.TEXT, b"", False)
        send(types.CONTINUATION, said[:20], False)
        send(types.PING, b"")
        send(types.CONTINUATION, said[20:], True)
        await heard.until(lambda: heard.ticks == [TradeTick("AAPL", 7, 1.5, 2.0)])


async def test_a_dropped_line_is_taken_up_again_with_all_that_was_subscribed_to(kind: str) -> None:
    ticks = Synthetic(SYMBOLS, 1000)
    async with AlpacaStreamServer(ticks, knobs=Knobs(drop=100, times=3)) as server:
        async with running(made(kind, server)) as heard:
            await heard.until(lambda: len(heard.ticks) == len(ticks))
        assert heard.ticks == list(ticks)
        assert heard.kinds() == ["connected", "subscribed", "lost"] * 3 + ["connected", "subscribed"]
        assert [sorted(each["trades"]) for each in server.subscriptions] == [sorted(SYMBOLS)] * 4


@pytest.mark.parametrize("kind", ["ours", LONG])
async def test_a_mute_line_is_left_while_data_are_due_and_kept_at_night(kind: str) -> None:
    due = [True]
    more = {"due": lambda: due[0]}
    knobs = Knobs(mute=50, times=2)
    async with AlpacaStreamServer(Synthetic(SYMBOLS, 10**7), rate=1000, knobs=knobs) as server:
        async with running(made(kind, server, **more)) as heard:
            await heard.until(lambda: len(heard.ticks) > 300)
        assert [status.words for status in heard.statuses if "mute" in status.words]
        assert len(server.logins) == 3
    due[0] = False
    async with AlpacaStreamServer([]) as server, running(made(kind, server, **more)) as heard:
        await asyncio.sleep(0.6)
        assert heard.kinds() == ["connected", "subscribed"], "pings are answered"


async def test_a_line_that_answers_no_ping_is_left() -> None:
    async with AlpacaStreamServer([], knobs=Knobs(deaf=True)) as server, running(made("ours", server)) as heard:
        await heard.until(lambda: len(server.logins) == 2)
        assert "ping" in heard.statuses[2].words


async def test_a_line_that_never_says_hello_is_left() -> None:
    knobs = Knobs(speechless=True, times=1)
    async with AlpacaStreamServer([], knobs=knobs) as server, running(made("ours", server)) as heard:
        await heard.until(lambda: "connected" in heard.kinds())
        assert heard.kinds()[0] == "lost"


async def test_nobody_there_is_a_lost_line_whose_waits_grow_and_stay_within_bounds() -> None:
    async with AlpacaStreamServer([]) as server:
        feed = made("ours", server, chance=lambda: 1.0)
    async with running(feed) as heard:
        await heard.until(lambda: len(heard.statuses) == 5)
        assert [status.wait for status in heard.statuses] == [0.02, 0.04, 0.08, 0.1, 0.1]


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
async def test_what_is_bad_is_counted_by_its_rule_and_nothing_else_is_lost(kind: str, bad: Bad, rule: str) -> None:
    ticks = Synthetic(SYMBOLS, 2000)
    knobs = Knobs(bad=dict.fromkeys(range(100, 2000, 100), bad))
    async with AlpacaStreamServer(ticks, clock=time.time_ns, knobs=knobs) as server:
        feed, screen, good = made(kind, server), Screen(SYMBOLS), []

        def screened(told: list[Tick]) -> None:
            good.extend(screen.good(told, time.time_ns()))

        async with running(feed, screened) as heard:
            await heard.until(lambda: len(good) >= len(ticks))
            await heard.until(lambda: (feed.counts + screen.counts).total() == 19)
        assert feed.counts + screen.counts == {rule: 19}
        assert [(tick.symbol, type(tick)) for tick in good] == [(tick.symbol, type(tick)) for tick in ticks]
        assert heard.kinds() == ["connected", "subscribed"], "the connection stays up"


FRAMES: list[bytes] = [
    b"",
    b"{}",
    b"null",
    b"[1, null, [], {}]",
    b'[{"T": 7}]',
    b'[{"T":"t"}]',
    b'[{"T":"t","S":"AAPL","p":1,"s":1,"t":"yesterday"}]',
    b'[{"T":"t","S":"AAPL","p":1,"s":1,"t":""}]',
    b'[{"T":"t","S":"AAPL","p":1,"s":1,"t":"2026-11-20T14:30:00.1234567890Z"}]',
    b'[{"T":"t","S":"AAPL","p":1,"s":1,"t":"2026-13-20T14:30:00Z"}]',
    b'[{"T":"t","S":"AAPL","p":1,"s":1,"t":"2026-11-20T14:30:00-05:00"}]',
    b"[" * 100_000,
    b"\xff\xfe[]",
]


@pytest.mark.parametrize("frame", FRAMES, ids=[repr(frame[:70]) for frame in FRAMES])
async def test_no_frame_brings_the_line_down(frame: bytes) -> None:
    server = AlpacaStreamServer(Synthetic(SYMBOLS, 10**6), rate=500)
    async with server, running(made("ours", server)) as heard:
        await heard.until(lambda: len(heard.ticks) > 10)
        next(iter(server.talks)).send(frame)
        await heard.until(lambda: heard.feed.counts.total() > 0)
        count = len(heard.ticks)
        await heard.until(lambda: len(heard.ticks) > count + 10)
        assert heard.kinds() == ["connected", "subscribed"]


async def test_what_a_consumer_raises_ends_the_run(kind: str) -> None:
    def broken(ticks: list[Tick]) -> None:
        raise ZeroDivisionError

    async with AlpacaStreamServer(Synthetic(SYMBOLS, 1000)) as server:
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(made(kind, server).run(broken, lambda _: None), 10)


async def test_a_cancelled_run_leaves_nothing_behind(kind: str) -> None:
    before = asyncio.all_tasks()
    async with AlpacaStreamServer(Synthetic(SYMBOLS, 10**7), rate=1000) as server:
        heard = Heard(made(kind, server))
        task = asyncio.create_task(heard.feed.run(heard.on_batch, heard.statuses.append))
        await heard.until(lambda: bool(heard.ticks))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("kind", ["ours", LONG])
async def test_a_slow_consumer_gets_every_trade_and_the_newest_quotes(kind: str) -> None:
    ticks = Synthetic(SYMBOLS, 60_000)
    async with AlpacaStreamServer(ticks) as server:
        feed = made(kind, server)
        backlog, taken = Backlog(calm=500, feed=feed), []
        async with running(feed, backlog.add):
            async with asyncio.timeout(60):
                while len(taken) + backlog.conflated < len(ticks):
                    taken += await backlog.take()
                    await asyncio.sleep(0.05)
        trades = [tick for tick in taken if isinstance(tick, TradeTick)]
        assert trades == [tick for tick in ticks if isinstance(tick, TradeTick)]
        assert backlog.conflated > 1000
        newest = {tick.symbol: tick for tick in ticks if isinstance(tick, QuoteTick)}
        assert {tick.symbol: tick for tick in taken if isinstance(tick, QuoteTick)} == newest


@pytest.mark.parametrize("kind", ["ours", LONG])
async def test_a_paused_feed_leaves_the_rest_with_the_vendor_and_reads_on(kind: str) -> None:
    ticks = Synthetic(SYMBOLS, 120_000)
    async with AlpacaStreamServer(ticks) as server:
        async with running(made(kind, server)) as heard:
            await heard.until(lambda: bool(heard.ticks))
            heard.feed.pause()
            stood = -1
            while stood != server.at:
                stood = server.at
                await asyncio.sleep(0.4)
            assert server.at == stood < len(ticks), "the server waits, and the silence is no fault"
            heard.feed.resume()
            await heard.until(lambda: len(heard.ticks) == len(ticks), 40)
        assert heard.kinds() == ["connected", "subscribed"]


@pytest.mark.parametrize("code", [*ERRORS, 401, 403, 410, 418])
def test_every_error_of_alpacas_is_a_lost_line_or_a_refusal_with_a_cure(code: int) -> None:
    error = refused(code, "words")
    assert type(error) is (FeedRefused if code in CURES else FeedLost)
    assert str(code) in str(error)
