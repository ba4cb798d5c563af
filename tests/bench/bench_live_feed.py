"""The feed: from the socket to the decision of triggers, on Alpaca's wire format.

Every message is read, parsed, screened and shown to 1,000 triggers of 100 symbols, half of them on trades and half on
quotes, none of which fires: what is left is what each message costs when nothing happens, which is nearly always. The
server is another process that has prepared all of its frames; the client's CPU is what counts. The peer is the plain
`websockets` client in the place of ours, with the same parsing and all behind it.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websockets
from feeding import SYMBOLS
from run import Figure, note

from quaestor.doors.alpaca_stream import Alpaca
from quaestor.doors.streaming import Stream
from quaestor.screening import Screen
from quaestor.ticks import Tick, TradeTick
from quaestor.triggers import Above, Alert, Trigger, TriggerBook

HERE = Path(__file__).resolve().parent
COUNT, RUNS = 200_000, 3
RATE, SECONDS = 5000, 5


def figures() -> Iterator[Figure]:
    """Throughput at several sizes of frames, the peer's, and the latency at a steady pace."""
    rates = {size: _median(_ours, size) for size in (1, 0, 20, 100)}
    for size, rate in rates.items():
        note(f"{_named(size)}: {rate / 1e3:,.0f} k messages per client CPU second, triggers decided")
    peers = {size: _median(_plain, size) for size in (1, 0, 20)}
    for size, rate in peers.items():
        note(
            f"{_named(size)}: the plain websockets client {rate / 1e3:,.0f} k, ours {rates[size] / rate:.1f} times that"
        )
    p50, p99, part = (statistics.median(each) for each in zip(*(_paced() for _ in range(RUNS)), strict=True))
    note(f"at {RATE:,} messages per s, from the vendor's send to the decision: p50 {p50:.0f}, p99 {p99:.0f} µs")
    note(f"the client, woken for a few of them at a time, takes {part:.0%} of a core")
    yield Figure("socket to trigger, mixed frames: k messages per CPU s", rates[0] / 1e3, "k", ">= 300")
    yield Figure("socket to trigger, one message a frame: k per CPU s", rates[1] / 1e3, "k", ">= 300")
    yield Figure(f"socket to trigger at {RATE:,} per s: p50", p50, "µs", "<= 150")


def _named(size: int) -> str:
    return f"{size} messages a frame" if size else "mixed frames"


def _median(measure: Callable[[str], Any], size: int) -> float:
    def once() -> float:
        with _server(COUNT, size) as url:
            gc.collect()
            cpu: float = asyncio.run(measure(url))
            return COUNT / cpu

    return statistics.median(once() for _ in range(RUNS))


@contextmanager
def _server(count: int, size: int, rate: float = 0.0) -> Iterator[str]:
    command = [sys.executable, str(HERE / "feeding.py"), str(count), str(size), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(30)


class Decider:
    """Screens ticks and shows them to the triggers; counts them."""

    def __init__(self) -> None:
        self.seen = 0
        self._screen = Screen(SYMBOLS, dict.fromkeys(SYMBOLS, 100.0))
        self._book = TriggerBook(time.time_ns())
        for n in range(1000):
            symbol = SYMBOLS[n % len(SYMBOLS)]
            source: Any = "trade" if n < 500 else "mid"
            self._book.add(Trigger(uuid.UUID(int=n), symbol, Above(500.0 + n), Alert("far away"), price=source))

    def take(self, ticks: list[Tick]) -> None:
        """A batch: the time first, then each tick that may be traded upon."""
        now = time.time_ns()
        book = self._book
        book.on_time(now)
        for tick in self._screen.good(ticks, now):
            (book.on_trade if type(tick) is TradeTick else book.on_quote)(tick)  # type: ignore[operator]
        self.seen += len(ticks)
        assert not self._screen.counts, self._screen.counts


async def _ours(url: str) -> float:
    """CPU seconds of the whole way."""
    decider = Decider()
    feed = Stream(Alpaca("key", "secret", url=url))
    feed.subscribe(SYMBOLS, SYMBOLS)

    def on_batch(ticks: list[Tick]) -> None:
        decider.take(ticks)
        if decider.seen >= COUNT:
            feed.stop()

    began = time.process_time()
    await asyncio.wait_for(feed.run(on_batch, lambda _: None), 60)
    return time.process_time() - began


class Plain:
    """The plain client's line, as much of it as the talk needs."""

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.known = False

    def send(self, said: bytes, **_: object) -> None:
        """To be sent."""
        self.said.append(said)

    def let_in(self) -> None:
        """The login is done."""
        self.known = True

    def tell(self, _: object) -> None:
        """Nobody listens."""


async def _plain(url: str) -> float:
    """The same with `websockets` in the place of our client."""
    decider, line = Decider(), Plain()
    talk = Alpaca("key", "secret", url=url).talk(line)  # type: ignore[arg-type]
    began = time.process_time()
    async with websockets.connect(url, compression=None, max_queue=1024) as client:
        async for frame in client:
            ticks: list[Tick] = []
            talk.read(frame.encode() if isinstance(frame, str) else frame, True, ticks)
            if line.known:
                line.known = False
                talk.ask("subscribe", {"trades": SYMBOLS, "quotes": SYMBOLS})
            for said in line.said:
                await client.send(said.decode())
            line.said.clear()
            if ticks:
                decider.take(ticks)
            if decider.seen >= COUNT:
                return time.process_time() - began
    raise AssertionError("the server left")


def _paced() -> tuple[float, float, float]:
    """p50 and p99, µs, from the vendor's stamp on a tick to the end of its batch's decision; the part of a core."""
    late: list[int] = []

    async def run(url: str) -> None:
        decider = Decider()
        feed = Stream(Alpaca("key", "secret", url=url))
        feed.subscribe(SYMBOLS, SYMBOLS)

        def on_batch(ticks: list[Tick]) -> None:
            decider.take(ticks)
            now = time.time_ns()
            late.extend(now - tick.at for tick in ticks)
            if decider.seen >= RATE * SECONDS:
                feed.stop()

        await asyncio.wait_for(feed.run(on_batch, lambda _: None), 60)

    with _server(RATE * SECONDS, 20, RATE) as url:
        began = time.process_time()
        asyncio.run(run(url))
        part = (time.process_time() - began) / SECONDS
    late.sort()
    return late[len(late) // 2] / 1000, late[len(late) * 99 // 100] / 1000, part
