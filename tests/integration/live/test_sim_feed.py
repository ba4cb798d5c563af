"""`quaestor sim feed` as a process, heard by alpaca-py's own client, by a plain one, and by the configured feed."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import websockets

from quaestor import calendar, wiring
from quaestor.config import parse
from quaestor.doors.polling import PollingFeed
from quaestor.errors import BadConfig, NotFound
from quaestor.feeds import always, extended, regular
from quaestor.operations.recordings import Played, sessions
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from tests.integration.live.listening import Heard, running

ROOT = Path(__file__).resolve().parents[3]
AT = dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)  # the opening
BEGAN = int(AT.timestamp()) * SECOND


@contextmanager
def served(home: Path, *options: str) -> Iterator[dict[str, Any]]:
    """The command as a process, ended by SIGTERM; what its first line says."""
    environment = os.environ | {"QUAESTOR_HOME": str(home)}
    command = [sys.executable, "-m", "quaestor.console.cli", "sim", "feed", *options]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 143


def loaded(tmp_path: Path, text: str) -> wiring.Loaded:
    return wiring.Loaded(parse(text), None, tmp_path)


async def test_alpacas_real_client_hears_it(tmp_path: Path) -> None:
    with warnings.catch_warnings():  # alpaca-py 0.44 uses what websockets calls legacy
        warnings.simplefilter("ignore", DeprecationWarning)
        from alpaca.data.enums import DataFeed
        from alpaca.data.live import StockDataStream

        with served(tmp_path, "--symbols", "AAPL,MSFT", "--at", AT.isoformat(), "--rate", "2000") as said:
            client = StockDataStream("any", "thing", feed=DataFeed.IEX, url_override=said["url"])
            heard: list[Any] = []

            async def keep(tick: Any) -> None:
                heard.append(tick)

            client.subscribe_trades(keep, "AAPL")
            client.subscribe_quotes(keep, "MSFT")
            task = asyncio.create_task(client._run_forever())
            async with asyncio.timeout(20):
                while len(heard) < 200:
                    await asyncio.sleep(0.02)
            client._should_run = False
            await client.stop_ws()
            await asyncio.wait({task}, timeout=10)
    assert {(type(tick).__name__, tick.symbol) for tick in heard} == {("Trade", "AAPL"), ("Quote", "MSFT")}
    assert all(AT <= tick.timestamp <= AT + dt.timedelta(minutes=5) for tick in heard), "stamped by its own clock"


async def test_a_recorded_session_is_played_on_todays_hours_to_the_configured_feed(tmp_path: Path) -> None:
    options = ("--symbols", "AAPL,MSFT", "--at", AT.isoformat(), "--speed", "60", "--from", "recorded:2012-06-01")
    with served(tmp_path, *options) as said:
        assert (said["vendor"], said["symbols"], said["from"]) == ("alpaca", ["AAPL", "MSFT"], "recorded:2012-06-01")
        text = f"[feed]\nkind = 'alpaca'\nurl = '{said['url']}'\n"
        feed = wiring.feed(loaded(tmp_path, text), time.time_ns)
        feed.subscribe(["AAPL"], ["AAPL"])
        async with running(feed) as heard:
            await heard.until(lambda: len(heard.ticks) > 20)
    assert {type(tick) for tick in heard.ticks} == {TradeTick, QuoteTick}
    assert all(BEGAN <= tick.at < BEGAN + 3600 * SECOND for tick in heard.ticks)
    prices = [tick.price for tick in heard.ticks if isinstance(tick, TradeTick)]
    assert 550 < min(prices) <= max(prices) < 575, "Apple's on 2012-06-01"


async def test_krakens_form_is_heard_by_a_plain_client(tmp_path: Path) -> None:
    with served(tmp_path, "--vendor", "kraken", "--symbols", "BTC-USD") as said:
        async with websockets.connect(said["url"]) as client:
            assert json.loads(await client.recv())["channel"] == "status"
            await client.send('{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"]}}')
            assert json.loads(await client.recv())["success"]
            assert json.loads(await client.recv())["data"][0]["symbol"] == "BTC/USD"


async def test_what_was_recorded_of_one_session_ends_and_the_next_follows_it() -> None:
    day = dt.date(2012, 6, 1)
    played = Played("recorded", ["AAPL", "IBM"], day, every=600.0, spread=0.0, sessions=2)
    found = [part async for part in sessions(wiring.recordings(None), played)]
    days = [{dt.datetime.fromtimestamp(tick.at / SECOND, dt.UTC).date() for tick in part} for part in found]
    assert days == [{day}, {dt.date(2012, 6, 4)}]
    assert [tick.at for tick in found[0]] == sorted(tick.at for tick in found[0])


async def test_a_session_played_on_a_half_day_ends_with_it() -> None:
    half = dt.date(2026, 11, 27)
    played = Played("recorded", ["AAPL"], half, dt.date(2012, 6, 1), every=60.0, sessions=1)
    (ticks,) = [part async for part in sessions(wiring.recordings(None), played)]
    assert max(tick.at for tick in ticks) < int(calendar.session_close(half).timestamp()) * SECOND


def test_a_port_that_is_taken_is_said_in_a_line(tmp_path: Path) -> None:
    with served(tmp_path) as said:
        port = said["url"].rpartition(":")[2].partition("/")[0]
        command = [sys.executable, "-m", "quaestor.console.cli", "sim", "feed", "--port", port]
        environment = os.environ | {"QUAESTOR_HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"--port {port}: nobody can listen there" in done.stderr


async def test_what_was_never_recorded_is_not_found() -> None:
    with pytest.raises(NotFound, match="Unknown symbol 'ZZZ'"):
        _ = [part async for part in sessions(wiring.recordings(None), Played("recorded", ["ZZZ"], AT.date()))]
    late = Played("recorded", ["AAPL"], AT.date(), dt.date(2020, 1, 2))
    with pytest.raises(NotFound, match="no recording"):
        _ = [part async for part in sessions(wiring.recordings(None), late)]


async def test_minutes_and_trades_of_the_database_are_played(database: Any) -> None:
    import polars as pl

    from quaestor import bars
    from quaestor.doors.postgres.ticks import TickStore
    from quaestor.ports import Batch

    day, opens = AT.date(), calendar.session_open(AT.date())
    row = {"symbol": "AAPL", "timeframe": "1m", "session": day, "ts": opens + dt.timedelta(minutes=1), "open": 10.0}
    row |= {"high": 11.0, "low": 9.0, "close": 10.5, "volume": 400}
    store = wiring.bar_store(database)
    await store.store(Batch("1m", pl.DataFrame([row], schema=bars.schema()), "test", {"AAPL": (day, day)}))
    prints = {"symbol": ["AAPL"], "ts": [opens], "number": [7], "price": [10.25], "size": [3.0]}
    kinds = {"ts": pl.Datetime("us", "UTC"), "number": pl.Int64}
    await TickStore(database).append(pl.DataFrame(prints, schema_overrides=kinds))
    shelf = wiring.recordings(database)
    minutes = [part async for part in sessions(shelf, Played("minutes", ["AAPL"], day, spread=0.0))]
    assert [tick.price for tick in minutes[0]] == [10.0, 9.0, 11.0, 10.5]
    trades = [part async for part in sessions(shelf, Played("ticks", ["AAPL"], day, spread=0.0))]
    assert trades == [[TradeTick("AAPL", BEGAN, 10.25, 3.0)]]


async def test_a_replay_is_configured_and_begins_at_the_clock(tmp_path: Path) -> None:
    text = "[market]\nsymbols = ['AAPL']\n[feed]\nkind = 'replay'\nspeed = 0\nsession = 2012-06-01\nquotes = false\n"
    noon = BEGAN + 2 * 3600 * SECOND
    feed = wiring.feed(loaded(tmp_path, text), lambda: noon)
    feed.subscribe(["AAPL"], ["AAPL"])
    async with running(feed) as heard:
        await heard.until(lambda: len(heard.ticks) > 1000)
    assert heard.ticks[0].at >= noon
    assert {type(tick) for tick in heard.ticks} == {TradeTick}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "no feed is configured", id="none"),
        pytest.param("[feed]\nkind = 'poll'\n", "no quotes to ask for", id="a broker without quotes"),
        pytest.param("[feed]\nkind = 'replay'\nrecording = 'ticks'\n", "needs the database", id="no database"),
    ],
)
def test_what_cannot_feed_is_said_with_its_place(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadConfig, match=why):
        wiring.feed(loaded(tmp_path, text), time.time_ns)


@pytest.mark.parametrize("kind", ["alpaca", "alpaca-py"])
def test_alpacas_keys_come_from_the_vault(tmp_path: Path, kind: str) -> None:
    said = loaded(tmp_path, f"[feed]\nkind = '{kind}'\n")
    with pytest.raises(NotFound, match="alpaca-key"):
        wiring.feed(said, time.time_ns)
    for name in ("alpaca-key", "alpaca-secret"):
        wiring.configured_vault(said).set(name, "a value")
    assert wiring.feed(said, time.time_ns).name == kind


@pytest.mark.parametrize(
    "url", ["ws://example.com/v2", "ws://127.0.0.1.example.com", "wss://k:s@example.com", "http://x"]
)
def test_a_key_is_shown_only_where_nobody_listens(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadConfig, match="write wss://"):
        parse(f"[feed]\nkind = 'alpaca'\nurl = '{url}'\n")
    with pytest.raises(BadConfig, match="write wss://"):
        wiring.fed_at(loaded(tmp_path, "[feed]\nkind = 'alpaca'\n"), url)


def test_silence_counts_in_the_hours_of_the_market(tmp_path: Path) -> None:
    hours = [loaded(tmp_path, f"[feed]\nkind = {kind}\n") for kind in ("'alpaca'", "'alpaca'\nhours = 'extended'")]
    assert [wiring.feed_hours(each) for each in hours] == [regular, extended]
    kraken = loaded(tmp_path, "[market]\nsymbols = ['BTC-USD']\n[feed]\nkind = 'kraken'\nmute = 30\n")
    assert wiring.feed_hours(kraken) is always
    assert wiring.feed(kraken, time.time_ns).name == "kraken"
    liveness = wiring.liveness(kraken, ["BTC-USD"])
    assert liveness.check(BEGAN) == []
    assert [alert.kind for second in range(40) for alert in liveness.check(BEGAN + second * SECOND)] == ["mute"]


async def test_a_brokers_quotes_are_a_feed_where_it_has_them(tmp_path: Path) -> None:
    class Desk:
        name = "desk"

        async def quotes(self, symbols: Any) -> list[Any]:
            return [TradeTick(each, BEGAN, 1.0, 1.0) for each in symbols]

    said = loaded(tmp_path, "[feed]\nkind = 'poll'\nevery = 0.1\n")
    feed = wiring.feed(said, lambda: BEGAN, poll=Desk())
    assert isinstance(feed, PollingFeed)
    feed.subscribe(trades=["AAPL"])
    async with running(feed) as heard:
        await heard.until(lambda: len(heard.ticks) == 1)
    night = wiring.feed(replace(said), lambda: BEGAN - 3600 * SECOND, poll=Desk())
    night.subscribe(trades=["AAPL"])
    async with running(night) as silent:
        await asyncio.sleep(0.2)
    assert isinstance(silent, Heard)
    assert silent.ticks == []
