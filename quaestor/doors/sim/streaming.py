"""What the protocol servers of streams share: ticks, told to whoever asks, at a rate or by a clock, faults included.

Who comes later, or comes back, hears what is told from then on: a stream does not wait. A client that does not read is
waited for (picows' `send` never blocks, and calls `pause_writing` when its buffer is full), never buried.

`Knobs` say what goes wrong. A bad message is told beside the good ones, never in place of one: a test can count.
"""

from __future__ import annotations

import asyncio
import math
import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self, overload

import picows

from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

Bad = Literal[
    "malformed", "unknown", "text", "nan", "zero", "spike", "future", "old", "stranger", "crossed", "correction"
]
BURST = 256  # ticks between two breaths of a server that is not paced, or lags
SMALLEST = 0.01  # seconds between two looks at what is due


@dataclass
class Knobs:
    """What goes wrong; `times`: at how many connections yet (None: at each).

    login, subscription: the error answered there (Alpaca); refuse: words for symbols that cannot be had, system: what
    the exchange does (Kraken); status: of the handshake, in place of 101; drop, mute: after so many ticks the
    connection is closed, or says no more; speechless: no hello; deaf: no pong; bad: before which tick which bad message
    is told.
    """

    login: int = 0
    subscription: int = 0
    refuse: Mapping[str, str] = field(default_factory=dict)
    system: str = "online"
    status: int = 0
    drop: int | None = None
    mute: int | None = None
    speechless: bool = False
    deaf: bool = False
    bad: Mapping[int, Bad] = field(default_factory=dict)
    times: int | None = None

    def struck(self) -> Knobs:
        """What goes wrong at the next connection; counts."""
        if self.times == 0:
            return Knobs(bad=self.bad)
        if self.times is not None:
            self.times -= 1
        return replace(self)


class Synthetic(Sequence[Tick]):
    """Made-up ticks, as many as wanted, none of them held: two quotes, then a trade, from symbol to symbol."""

    def __init__(self, symbols: Sequence[str], count: int, begins: int = 0) -> None:
        self._symbols, self._count, self._begins = symbols, count, begins

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, n: int) -> Tick: ...
    @overload
    def __getitem__(self, n: slice) -> list[Tick]: ...
    def __getitem__(self, n: int | slice) -> Tick | list[Tick]:
        if isinstance(n, slice):
            return [self._tick(each) for each in range(*n.indices(self._count))]
        if not -self._count <= n < self._count:
            raise IndexError(n)
        return self._tick(n % self._count)

    def _tick(self, n: int) -> Tick:
        symbol, at = self._symbols[n % len(self._symbols)], self._begins + n * 1000
        price = round(100 + 5 * math.sin(n / 5000), 2)
        if (n + n // (3 * len(self._symbols))) % 3 == 2:
            return TradeTick(symbol, at, price, 100.0)
        return QuoteTick(symbol, at, round(price - 0.01, 2), round(price + 0.01, 2), 1.0, 2.0)


class StreamServer:
    """A server's state: what it serves, to whom, how fast. Used as `async with`; then `url` is its address.

    rate: ticks a second, 0: as fast as they are read; batch: ticks told at a time; clock: ticks are stamped with it
    when they are told, or, `by_time`, told when it is their time. told: ticks sent; at: the place in the ticks.
    """

    talk: ClassVar[type[StreamTalk]]
    path: ClassVar[str] = "/"

    def __init__(
        self,
        ticks: Sequence[Tick],
        *,
        rate: float = 0.0,
        batch: int = 20,
        clock: Callable[[], int] | None = None,
        by_time: bool = False,
        knobs: Knobs | None = None,
    ) -> None:
        self.ticks, self.rate, self.batch, self.clock, self.by_time = ticks, rate, batch, clock, by_time
        self.knobs = knobs or Knobs()
        self.subscriptions: list[dict[str, Any]] = []
        self.told = self.at = 0
        self.url = ""
        self.talks: set[StreamTalk] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on the loopback; port 0: a free one. The address."""
        deaf = self.knobs.deaf
        self._server = await picows.ws_create_server(self._come, "127.0.0.1", port, enable_auto_pong=not deaf)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}{self.path}"
        return self.url

    async def stop(self) -> None:
        """Close every connection, and listen no more."""
        if self._server:
            self._server.close()
        talks = list(self.talks)
        for each in talks:
            each.close()
        await asyncio.gather(*(job for each in talks for job in each.jobs), return_exceptions=True)
        if self._server:
            await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def stamp(self, tick: Tick) -> int:
        """The time that a tick is told with."""
        return tick.at if self.clock is None or self.by_time else self.clock()

    def now(self) -> int:
        """The server's time, nanoseconds."""
        return self.clock() if self.clock else time.time_ns()

    def due(self, at: int, most: int, begun: float, first: int) -> int:
        """How many ticks from that place on are to be told now."""
        if self.by_time:
            now = self.now()
            return next((n for n, tick in enumerate(self.ticks[at : at + most]) if tick.at > now), most)
        if self.rate:
            return min(most, int((time.monotonic() - begun) * self.rate) - (at - first))
        return most

    def begins(self) -> int:
        """The place in the ticks from which a client that comes now hears."""
        return max(self.at, bisect_right(self.ticks, self.now(), key=lambda tick: tick.at)) if self.by_time else self.at

    def _come(self, request: Any) -> Any:
        knobs = self.knobs.struck()
        if knobs.status:
            answer = picows.WSUpgradeResponse.create_error_response(knobs.status, b"no")
            return picows.WSUpgradeResponseWithListener(answer, None)
        return self.talk(self, knobs, request)


class StreamTalk(picows.WSListener, ABC):
    """One connection; a vendor's server says what is heard and told on it."""

    def __init__(self, server: Any, knobs: Knobs, request: Any) -> None:  # noqa: ARG002 - a vendor may look at it
        self.server, self.knobs = server, knobs
        self.jobs: set[asyncio.Task[None]] = set()
        self.transport: Any = None
        self.telling = False
        self._parts = b""
        self._room = asyncio.Event()
        self._room.set()

    @abstractmethod
    def greet(self) -> None:
        """The first word."""

    @abstractmethod
    def hear(self, said: bytes) -> None:
        """A whole message of the client's."""

    @abstractmethod
    def tell(self, ticks: Sequence[Tick], at: int) -> None:
        """Tell these ticks, those of them that are wanted; `at`: the place of the first."""

    def begin(self) -> None:
        """Tell tick after tick from now on."""
        if not self.telling:
            self.telling = True
            self.do(self._tell())

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something as long as the connection stands."""
        job = asyncio.create_task(work)
        self.jobs.add(job)
        job.add_done_callback(self.jobs.discard)

    def close(self) -> None:
        """End the connection."""
        for job in self.jobs:
            job.cancel()
        self.transport.disconnect(False)

    def send(self, said: bytes, *, text: bool = True) -> None:
        """Send a message."""
        self.transport.send(picows.WSMsgType.TEXT if text else picows.WSMsgType.BINARY, said)

    def on_ws_connected(self, transport: Any) -> None:
        """The socket stands."""
        self.transport = transport
        self.server.talks.add(self)
        if not self.knobs.speechless:
            self.greet()

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """A message, or a part of one."""
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type not in {picows.WSMsgType.PING, picows.WSMsgType.PONG}:
            self._parts += frame.get_payload_as_bytes()
            if frame.fin:
                whole, self._parts = self._parts, b""
                self.hear(whole)

    def on_ws_disconnected(self, transport: Any) -> None:  # noqa: ARG002
        """The socket is gone."""
        self.server.talks.discard(self)
        for job in self.jobs:
            job.cancel()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._room.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._room.set()

    async def _tell(self) -> None:
        """Tick after tick, those that are due at most a batch at a time."""
        server, knobs, begun = self.server, self.knobs, time.monotonic()
        told, at = 0, server.begins()
        first, stop = at, min((n for n in (knobs.drop, knobs.mute) if n is not None), default=None)
        while at < len(server.ticks) and (stop is None or told < stop):
            await self._room.wait()
            most = server.due(at, min(server.batch, len(server.ticks) - at), begun, first)
            most = most if stop is None else min(most, stop - told)
            if most <= 0:
                await asyncio.sleep(min(SMALLEST, 1 / server.rate) if server.rate else SMALLEST)
                continue
            self.tell(server.ticks[at : at + most], at)
            at, told = at + most, told + most
            server.at, server.told = max(server.at, at), server.told + most
            if at // BURST != (at - most) // BURST:
                await asyncio.sleep(0)  # else who lags would never hear that the client has left
        if knobs.drop is not None and told >= knobs.drop:
            self.transport.send_close(picows.WSCloseCode.INTERNAL_ERROR)
            self.transport.disconnect()


def written(at: int) -> str:
    """RFC 3339 in UTC as Go writes it: no zeros behind, to the nanosecond."""
    second = _second(at // SECOND)
    fraction = f"{at % SECOND:09d}".rstrip("0")
    return f"{second}.{fraction}Z" if fraction else f"{second}Z"


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
