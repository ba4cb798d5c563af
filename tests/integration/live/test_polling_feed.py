"""Quotes asked for again and again: one round at a time, nothing told twice, faults waited out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from quaestor.doors.polling import PollingFeed
from quaestor.errors import BadConfig, BrokerBusy, NotFound, QuaestorError
from quaestor.ticks import QuoteTick, Tick, TradeTick
from tests.integration.live.listening import Heard, refusal, running


class Desk:
    """Recorded quotes for the asking: the n-th round has the n-th price; `faults` by round."""

    name = "desk"

    def __init__(self, faults: dict[int, QuaestorError] | None = None, takes: float = 0.0, still: bool = False) -> None:
        self.rounds: list[list[str]] = []
        self.now = self.most = 0
        self._faults, self._takes, self._still = faults or {}, takes, still

    async def quotes(self, symbols: Sequence[str]) -> list[Tick]:
        self.rounds.append(list(symbols))
        n = 1 if self._still else len(self.rounds)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self._takes)
        finally:
            self.now -= 1
        if fault := self._faults.get(len(self.rounds)):
            raise fault
        trades: list[Tick] = [TradeTick(each, n, 100.0 + n, 1.0) for each in symbols]
        return [*trades, *(QuoteTick(each, n, 99.0 + n, 101.0 + n, 1.0, 1.0) for each in symbols)]


def made(desk: Desk, **more: object) -> PollingFeed:
    feed = PollingFeed(desk, **{"every": 0.02, "first": 0.02, "longest": 0.1, "chance": lambda: 1.0} | more)  # type: ignore[arg-type]
    feed.subscribe(trades=["AAPL"], quotes=["AAPL", "IBM"])
    return feed


async def test_all_symbols_are_asked_for_in_one_call_and_only_what_is_wanted_is_told() -> None:
    desk = Desk()
    async with running(made(desk)) as heard:
        await heard.until(lambda: len(heard.ticks) >= 9)
        assert desk.rounds[0] == ["AAPL", "IBM"]
        assert heard.ticks[:3] == [
            TradeTick("AAPL", 1, 101.0, 1.0),
            QuoteTick("AAPL", 1, 100.0, 102.0, 1.0, 1.0),
            QuoteTick("IBM", 1, 100.0, 102.0, 1.0, 1.0),
        ]
        assert heard.kinds() == ["connected", "subscribed"]


async def test_what_was_told_before_is_not_told_again() -> None:
    desk = Desk(still=True)
    async with running(made(desk)) as heard:
        await heard.until(lambda: len(desk.rounds) >= 5)
        assert len(heard.ticks) == 3


async def test_rounds_do_not_overlap_and_one_that_takes_long_is_followed_at_once() -> None:
    desk, began = Desk(takes=0.05), time.monotonic()
    async with running(made(desk, every=0.01)) as heard:
        await heard.until(lambda: len(desk.rounds) >= 6)
        assert desk.most == 1
        assert time.monotonic() - began >= 5 * 0.05


async def test_a_passing_fault_is_waited_out_longer_each_time_and_told_of() -> None:
    desk = Desk({2: BrokerBusy(retry_after=0.0), 3: BrokerBusy("busy", retry_after=0.15)})
    async with running(made(desk)) as heard:
        await heard.until(lambda: heard.kinds().count("connected") == 2)
        assert heard.kinds() == ["connected", "subscribed", "lost", "lost", "connected", "subscribed"]
        assert [status.wait for status in heard.statuses if status.kind == "lost"] == [0.02, 0.15]


async def test_no_answer_is_a_passing_fault() -> None:
    async with running(made(Desk(takes=60.0), patience=0.05)) as heard:
        await heard.until(lambda: heard.kinds()[:2] == ["lost", "lost"])
        assert "no answer within 0.05 s" in heard.statuses[0].words


async def test_what_a_person_must_cure_from_the_beginning_ends_the_run() -> None:
    heard = Heard(made(Desk({1: NotFound("Nobody knows XYZ.")})))
    assert "Nobody knows XYZ" in str(await refusal(heard.feed, heard))
    assert heard.kinds() == ["refused"]


@pytest.mark.parametrize("why", ["the hours", "a pause", "nothing wanted"])
async def test_nobody_is_asked_outside_of(why: str) -> None:
    desk = Desk()
    feed = made(desk, due=lambda: why != "the hours")
    if why == "nothing wanted":
        feed.unsubscribe(["AAPL"], ["AAPL", "IBM"])
    if why == "a pause":
        feed.pause()
    async with running(feed):
        await asyncio.sleep(0.15)
        assert desk.rounds == []


async def test_what_a_consumer_raises_ends_the_run() -> None:
    def broken(ticks: list[Tick]) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(made(Desk()).run(broken, lambda _: None), 5)


async def test_who_let_us_in_before_and_refuses_now_is_asked_again() -> None:
    """A guard or a portal that stands between for a moment must not silence the prices of a whole day."""
    desk = Desk({2: BadConfig("403"), 3: NotFound("404")})
    async with running(made(desk)) as heard:
        await heard.until(lambda: heard.kinds().count("connected") == 2)
        assert heard.kinds() == ["connected", "subscribed", "lost", "lost", "connected", "subscribed"]
