"""What waits for a consumer is conflated, never lost; silence is told of once, and only in session."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import Any

import pytest

from quaestor.calendar import session_close, session_open
from quaestor.feeds import Alert, Liveness, always, extended
from quaestor.operations.backlog import Backlog
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

DAY = dt.date(2026, 11, 20)  # a Friday
HALF = dt.date(2026, 11, 27)


def ns(instant: dt.datetime) -> int:
    return int(instant.timestamp()) * SECOND


OPEN, CLOSE = ns(session_open(DAY)), ns(session_close(DAY))


def trade(symbol: str = "AAPL", at: int = OPEN) -> TradeTick:
    return TradeTick(symbol, at, 100.0, 1.0)


def quote(symbol: str, bid: float) -> QuoteTick:
    return QuoteTick(symbol, OPEN, bid, bid + 1, 1.0, 1.0)


def watched(feed: Liveness, start: int, seconds: int, heard: Any = ()) -> list[tuple[int, Alert]]:
    """What is told in that time, second by second, when ticks come in the seconds of `heard`."""
    found = []
    for second in range(seconds):
        now = start + second * SECOND
        if second in heard:
            feed.heard([trade()], now)
        found += [(second, alert) for alert in feed.check(now)]
    return found


def test_a_mute_feed_in_session_raises_one_alert_within_15_seconds_and_one_when_it_is_back() -> None:
    told = watched(Liveness(["AAPL"]), OPEN + 3600 * SECOND, 400, heard=[*range(100), *range(300, 400)])
    assert [(second, alert.kind, alert.symbols) for second, alert in told] == [(110, "mute", ()), (300, "back", ())]


@pytest.mark.parametrize(
    ("start", "why"),
    [
        pytest.param(CLOSE, "after the close", id="after the close"),
        pytest.param(OPEN - 3600 * SECOND, "before the opening", id="before the opening"),
        pytest.param(OPEN + 86_400 * SECOND, "a Saturday", id="a Saturday"),
        pytest.param(ns(session_close(HALF)), "a half-day's afternoon", id="the afternoon of a half-day"),
        pytest.param(OPEN + 6 * 86_400 * SECOND, "Thanksgiving", id="Thanksgiving"),
    ],
)
def test_at_night_nothing_is_told(start: int, why: str) -> None:
    assert watched(Liveness(["AAPL"]), start, 1800) == [], why


def test_silence_begins_at_the_opening_and_ends_with_the_session() -> None:
    feed = Liveness(["AAPL"])
    told = watched(feed, OPEN - 60 * SECOND, 120)
    assert [(second, alert.kind) for second, alert in told] == [(71, "mute")]
    assert watched(feed, CLOSE - 5 * SECOND, 60) == []
    monday = OPEN + 3 * 86_400 * SECOND
    assert [alert.kind for _, alert in watched(feed, monday - 60 * SECOND, 120)] == ["mute"]


def test_a_mute_feed_outside_the_regular_hours_counts_where_they_are_traded() -> None:
    start = OPEN - 3600 * SECOND
    assert [alert.kind for _, alert in watched(Liveness(hours=extended), start, 60)] == ["mute"]
    assert [alert.kind for _, alert in watched(Liveness(hours=always), CLOSE + 5 * 3600 * SECOND, 60)] == ["mute"]


def test_a_symbol_that_is_silent_beside_others_is_told_of_once_and_forgotten_ones_never() -> None:
    feed = Liveness(["AAPL", "IBM", "MSFT"])
    feed.forget(["MSFT"])
    start = OPEN + 3600 * SECOND
    told = watched(feed, start, 200, heard=range(200))
    assert [(second, alert.kind, alert.symbols) for second, alert in told] == [(61, "stale", ("IBM",))]
    feed.heard([trade("IBM")], start + 200 * SECOND)
    assert [alert.kind for alert in feed.check(start + 200 * SECOND)] == ["back"]
    assert feed.age("IBM", start + 201 * SECOND) == SECOND
    assert feed.age("GOOG", start) is None


@pytest.mark.parametrize("jump", [3600, -3600, 86_400 * 3, -86_400 * 3])
def test_a_clock_that_jumps_begins_silence_anew(jump: int) -> None:
    feed = Liveness(["AAPL"])
    start = OPEN + 2 * 3600 * SECOND
    assert watched(feed, start, 30, heard=range(30)) == []
    after = start + (30 + jump) * SECOND
    assert watched(feed, after, 9) == []
    kinds = [alert.kind for _, alert in watched(feed, after + 9 * SECOND, 20)]
    assert kinds == (["mute"] if feed.open(after) else [])


def test_looking_and_listening_cost_little() -> None:
    symbols = [f"S{n}" for n in range(1000)]
    feed, ticks = Liveness(symbols), [trade(symbol) for symbol in symbols]
    began = time.process_time()
    for n in range(100):
        feed.heard(ticks, OPEN + n)
    assert time.process_time() - began < 0.5, "100,000 ticks"


async def test_a_backlog_keeps_every_trade_and_the_newest_quote_of_each_symbol_in_order() -> None:
    backlog = Backlog(calm=10)
    ticks: list[Tick] = []
    for n in range(100):
        ticks += [quote("AAPL", n), quote("IBM", n), trade(at=n)]
    for n in range(0, 300, 10):
        backlog.add(ticks[n : n + 10])
    taken = await backlog.take()
    assert [tick for tick in taken if isinstance(tick, TradeTick)] == [trade(at=n) for n in range(100)]
    quotes = [tick for tick in taken if isinstance(tick, QuoteTick)]
    assert quotes[-2:] == [quote("AAPL", 99), quote("IBM", 99)]
    assert backlog.conflated == 200 - len(quotes) > 100
    assert [ticks.index(tick) for tick in taken] == sorted(ticks.index(tick) for tick in taken)
    assert len(backlog) == 0


async def test_taking_waits_for_a_tick() -> None:
    backlog = Backlog()
    waiting = asyncio.create_task(backlog.take())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    backlog.add([trade()])
    assert await asyncio.wait_for(waiting, 1) == [trade()]


async def test_a_backlog_of_trades_past_its_bound_pauses_the_feed_until_it_is_taken() -> None:
    told: list[str] = []

    class Tap:
        def pause(self) -> None:
            told.append("pause")

        def resume(self) -> None:
            told.append("resume")

    backlog = Backlog(calm=10, most=100, feed=Tap())  # type: ignore[arg-type]
    for _ in range(50):
        backlog.add([trade()] * 10)
    assert told == ["pause"]
    assert len(await backlog.take()) == 500
    assert told == ["pause", "resume"]
