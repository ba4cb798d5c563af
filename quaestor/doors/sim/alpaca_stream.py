"""Alpaca's stock stream, locally: trades and quotes in the wire format of market data v2, to any client of it.

It serves recorded or synthetic ticks at a chosen rate: JSON in text frames, or MessagePack to a client whose handshake
says `Content-Type: application/msgpack`, as alpaca-py's does. Who comes later, or comes back, hears what is told from
then on: a stream does not wait. A client that does not read is waited for (picows' `send` never blocks, and calls
`pause_writing` when its buffer is full), never buried.

`Knobs` say what goes wrong. A bad message is told beside the good ones, never in place of one: a test can count.
"""

from __future__ import annotations

import asyncio
import json
import math
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal, Self, overload

import msgspec
import picows

from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

Bad = Literal[
    "malformed", "unknown", "text", "nan", "zero", "spike", "future", "old", "stranger", "crossed", "correction"
]
ERRORS = {
    400: "invalid syntax",
    402: "auth failed",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    500: "internal error",
}
CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "corrections", "cancelErrors")
BURST = 256  # ticks between two breaths of a server that is not paced
HALF = b'[{"T":"t","S":"AAPL","p":'


@dataclass
class Knobs:
    """What goes wrong; `times`: at how many connections yet (None: at each).

    login, subscription: the error answered there; status: of the handshake, in place of 101; drop, mute: after so many
    ticks the connection is closed, or says no more; speechless: no hello; deaf: no pong; bad: before which tick which
    bad message is told.
    """

    login: int = 0
    subscription: int = 0
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
        if n % 3 == 2:
            return TradeTick(symbol, at, price, 100.0)
        return QuoteTick(symbol, at, round(price - 0.01, 2), round(price + 0.01, 2), 1.0, 2.0)


class AlpacaStreamServer:
    """The server's state: what it serves, to whom, how fast. Used as `async with`; then `url` is its address.

    rate: ticks a second, 0: as fast as they are read; batch: ticks in a frame; now: ticks are stamped when they are
    sent. logins, subscriptions: what clients have asked; told: ticks sent; at: the place in the ticks.
    """

    def __init__(
        self,
        ticks: Sequence[Tick],
        *,
        keys: tuple[str, str] = ("key", "secret"),
        rate: float = 0.0,
        batch: int = 20,
        now: bool = False,
        knobs: Knobs | None = None,
    ) -> None:
        self.ticks, self.keys, self.rate, self.batch, self.now = ticks, keys, rate, batch, now
        self.knobs = knobs or Knobs()
        self.logins: list[str] = []
        self.subscriptions: list[dict[str, Any]] = []
        self.told = self.at = 0
        self.url = ""
        self._talks: set[_Talk] = set()
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on the loopback; port 0: a free one. The address."""
        deaf = self.knobs.deaf
        self._server = await picows.ws_create_server(self._come, "127.0.0.1", port, enable_auto_pong=not deaf)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v2/iex"
        return self.url

    async def stop(self) -> None:
        """Close every connection, and listen no more."""
        if self._server:
            self._server.close()
        for each in list(self._talks):
            each.close()
        await asyncio.gather(*(each.pump for each in list(self._talks) if each.pump), return_exceptions=True)
        if self._server:
            await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _come(self, request: Any) -> Any:
        knobs = self.knobs.struck()
        if knobs.status:
            answer = picows.WSUpgradeResponse.create_error_response(knobs.status, b"no")
            return picows.WSUpgradeResponseWithListener(answer, None)
        packed = "msgpack" in request.headers.get("Content-Type", "")
        return _Talk(self, knobs, packed)


class _Talk(picows.WSListener):
    """One connection."""

    def __init__(self, server: AlpacaStreamServer, knobs: Knobs, packed: bool) -> None:
        self.pump: asyncio.Task[None] | None = None
        self._server, self._knobs, self._packed = server, knobs, packed
        self._wanted: dict[str, set[str]] = {name: set() for name in CHANNELS}
        self._known, self._parts = False, b""
        self._room = asyncio.Event()
        self._room.set()
        self._transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        self._transport = transport
        self._server._talks.add(self)  # noqa: SLF001 - its half
        if not self._knobs.speechless:
            self._say([{"T": "success", "msg": "connected"}])

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type is picows.WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type not in {picows.WSMsgType.PING, picows.WSMsgType.PONG}:
            self._parts += frame.get_payload_as_bytes()
            if frame.fin:
                whole, self._parts = self._parts, b""
                self._hear(msgspec.msgpack.decode(whole) if self._packed else json.loads(whole))

    def on_ws_disconnected(self, transport: Any) -> None:  # noqa: ARG002
        self._server._talks.discard(self)  # noqa: SLF001
        if self.pump:
            self.pump.cancel()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def close(self) -> None:
        if self.pump:
            self.pump.cancel()
        self._transport.disconnect(False)

    def _hear(self, said: dict[str, Any]) -> None:
        if said["action"] == "auth":
            self._login(said)
        elif not self._known:
            self._error(401, "not authenticated")
        elif code := self._knobs.subscription:
            self._error(code)
        else:
            self._server.subscriptions.append(said)
            how = set.update if said["action"] == "subscribe" else set.difference_update
            for name in set(CHANNELS) & set(said):
                how(self._wanted[name], said[name])
            trades = self._wanted["trades"]
            self._say([{"T": "subscription"} | {name: sorted(who) for name, who in self._wanted.items()}
                       | {"corrections": sorted(trades), "cancelErrors": sorted(trades)}])  # fmt: skip
            self.pump = self.pump or asyncio.create_task(self._tell())

    def _login(self, said: dict[str, Any]) -> None:
        self._server.logins.append(said["key"])
        if code := self._knobs.login or (0 if (said["key"], said["secret"]) == self._server.keys else 402):
            self._error(code)
            self._transport.disconnect()
        else:
            self._known = True
            self._say([{"T": "success", "msg": "authenticated"}])

    def _error(self, code: int, words: str = "") -> None:
        self._say([{"T": "error", "code": code, "msg": words or ERRORS[code]}])

    async def _tell(self) -> None:
        """Tick after tick, at the rate; the due ones in frames of at most a batch."""
        server, knobs, begun, first = self._server, self._knobs, time.monotonic(), self._server.at
        told, at = 0, first
        while at < len(server.ticks):
            await self._room.wait()
            most = min(server.batch, len(server.ticks) - at)
            if server.rate:
                most = min(most, int((time.monotonic() - begun) * server.rate) - (at - first))
            stop = min((n for n in (knobs.drop, knobs.mute) if n is not None), default=None)
            if stop is not None and told >= stop:
                break
            if most <= 0:
                await asyncio.sleep(min(0.01, 1 / server.rate))
                continue
            most = most if stop is None else min(most, stop - told)
            self._frame(server.ticks[at : at + most], at)
            at, told = at + most, told + most
            server.at, server.told = max(server.at, at), server.told + most
            if not server.rate and at // BURST != (at - most) // BURST:
                await asyncio.sleep(0)
        if knobs.drop is not None and told >= knobs.drop:
            self._transport.send_close(picows.WSCloseCode.INTERNAL_ERROR)
            self._transport.disconnect()

    def _frame(self, ticks: Sequence[Tick], at: int) -> None:
        messages: list[dict[str, Any]] = []
        now = time.time_ns()
        for n, tick in enumerate(ticks, at):
            if kind := self._knobs.bad.get(n):
                self._bad(kind, tick, now, messages)
            channel = self._wanted["trades" if isinstance(tick, TradeTick) else "quotes"]
            if tick.symbol in channel or "*" in channel:
                messages.append(self._message(tick, now if self._server.now else tick.at))
        if messages:
            self._say(messages)

    def _bad(self, kind: Bad, tick: Tick, now: int, messages: list[dict[str, Any]]) -> None:
        told = self._message(TradeTick(tick.symbol, tick.at, 100.0, 1.0), now if self._server.now else tick.at)
        match kind:
            case "malformed":
                self._send(HALF)
                return
            case "crossed":
                told = self._message(QuoteTick(tick.symbol, tick.at, 101.0, 100.0, 1, 1), now)
            case "future" | "old":
                told["t"] = self._time(now + SECOND * (3600 if kind == "future" else -86_401))
            case "unknown" | "correction":
                told["T"] = "zz" if kind == "unknown" else "c"
            case "stranger":
                told["S"] = "STRANGER"
            case _:
                told["p"] = {"text": "about ten", "nan": math.nan, "zero": 0, "spike": 5000.0}[kind]
        messages.append(told)

    def _message(self, tick: Tick, at: int) -> dict[str, Any]:
        if isinstance(tick, TradeTick):
            told = {"T": "t", "i": 52983525029461, "S": tick.symbol, "x": "D", "p": tick.price, "s": int(tick.size)}
        else:
            told = {"T": "q", "S": tick.symbol, "bx": "U", "bp": tick.bid, "bs": int(tick.bid_size), "ax": "X"}
            told |= {"ap": tick.ask, "as": int(tick.ask_size)}
        return told | {"c": ["@"], "z": "C", "t": self._time(at)}

    def _time(self, at: int) -> Any:
        if self._packed:
            return msgspec.msgpack.Ext(-1, struct.pack(">Q", (at % SECOND) << 34 | at // SECOND))
        second = _second(at // SECOND)
        fraction = f"{at % SECOND:09d}".rstrip("0")  # as Go writes it
        return f"{second}.{fraction}Z" if fraction else f"{second}Z"

    def _say(self, messages: list[dict[str, Any]]) -> None:
        if self._packed:
            self._send(msgspec.msgpack.encode(messages))
        elif any(each.get("p") != each.get("p") for each in messages):  # msgspec would write null for NaN
            self._send(json.dumps(messages).encode())
        else:
            self._send(msgspec.json.encode(messages))

    def _send(self, data: bytes) -> None:
        self._transport.send(picows.WSMsgType.BINARY if self._packed else picows.WSMsgType.TEXT, data)


@lru_cache(maxsize=16)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
