"""A recording as a feed: in order, at the clock's pace or as fast as it is taken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from quaestor.doors.replay_feed import ReplayFeed
from quaestor.errors import NotFound
from quaestor.operations.backlog import Backlog
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from tests.integration.live.listening import Heard, refusal, running

BEGAN = 1_795_185_000 * SECOND


def recording(count: int, step: int = SECOND) -> list[Tick]:
    return [
        TradeTick("AAPL", BEGAN + n * step, 100.0 + n, 1.0)
        if n % 2
        else QuoteTick("IBM", BEGAN + n * step, 99.0, 101.0, 1.0, 1.0)
        for n in range(count)
    ]


def made(ticks: list[Tick], **more: object) -> ReplayFeed:
    feed = ReplayFeed(ticks, clock=more.pop("clock", time.time_ns), **more)  # type: ignore[arg-type]
    feed.subscribe(trades=["AAPL"], quotes=["IBM"])
    return feed


async def test_without_a_speed_everything_comes_in_order_as_fast_as_it_is_taken() -> None:
    ticks = recording(100_000)
    heard = Heard(made(ticks, speed=None, ends=True))
    began = time.process_time()
    await heard.feed.run(heard.on_batch, heard.statuses.append)
    assert heard.ticks == ticks
    assert heard.kinds() == ["connected", "subscribed", "note"]
    assert len(ticks) / (time.process_time() - began) > 100_000


async def test_a_tick_comes_when_its_time_has_come_by_the_given_clock() -> None:
    ticks, now = recording(60), [BEGAN]
    async with running(made(ticks, clock=lambda: now[0], begins=BEGAN)) as heard:
        for seconds, told in ((0, 1), (1, 2), (10, 11), (9, 11), (59, 60)):  # the clock may jump, back too
            now[0] = BEGAN + seconds * SECOND
            await heard.until(lambda: len(heard.ticks) >= told)  # noqa: B023 - at once
            await asyncio.sleep(0.06)
            assert len(heard.ticks) == told
        assert heard.ticks == ticks


@pytest.mark.parametrize("speed", [20.0, 200.0])
async def test_a_speed_is_of_the_clock(speed: float) -> None:
    ticks = recording(12)
    began = time.monotonic()
    heard = Heard(made(ticks, speed=speed, ends=True))
    await heard.feed.run(heard.on_batch, heard.statuses.append)
    assert heard.ticks == ticks
    assert time.monotonic() - began >= 11 / speed


async def test_what_lies_before_the_beginning_is_not_told() -> None:
    heard = Heard(made(recording(10), begins=BEGAN + 7 * SECOND, clock=lambda: BEGAN, speed=None, ends=True))
    await heard.feed.run(heard.on_batch, heard.statuses.append)
    assert [tick.at for tick in heard.ticks] == [BEGAN + n * SECOND for n in (7, 8, 9)]


async def test_only_what_is_wanted_is_told_and_the_run_waits_at_the_end() -> None:
    feed = made(recording(10), speed=None)
    feed.unsubscribe(quotes=["IBM"])
    async with running(feed) as heard:
        await heard.until(lambda: "note" in heard.kinds())
        assert {tick.symbol for tick in heard.ticks} == {"AAPL"}


async def test_a_paused_replay_waits_and_goes_on_without_a_gap() -> None:
    ticks = recording(10_000)
    async with running(made(ticks, speed=None)) as heard:
        heard.feed.pause()
        await asyncio.sleep(0.05)
        stood = len(heard.ticks)
        await asyncio.sleep(0.05)
        assert len(heard.ticks) == stood < len(ticks)
        heard.feed.resume()
        await heard.until(lambda: len(heard.ticks) == len(ticks))


async def test_a_backlog_paces_it() -> None:
    ticks: list[Tick] = [TradeTick("AAPL", BEGAN + n, 1.0, 1.0) for n in range(50_000)]
    feed = made(ticks, speed=None)
    backlog, taken = Backlog(calm=500, most=2000, feed=feed), []
    async with running(feed, backlog.add):
        while len(taken) < len(ticks):
            taken += await backlog.take()
    assert taken == ticks


async def test_a_recording_that_cannot_be_read_refuses_and_what_a_consumer_raises_is_its_own() -> None:
    async def parts() -> AsyncIterator[list[Tick]]:
        yield recording(2)
        raise NotFound("No such recording.")

    heard = Heard(made(parts, speed=None))  # type: ignore[arg-type]
    assert "No such recording" in str(await refusal(heard.feed, heard))
    assert (len(heard.ticks), heard.kinds()) == (2, ["connected", "subscribed", "refused"])

    def broken(ticks: list[Tick]) -> None:
        raise NotFound("The consumer's.")

    with pytest.raises(NotFound, match="consumer"):
        await asyncio.wait_for(made(recording(2), speed=None).run(broken, lambda _: None), 5)
