"""Alpaca's stock stream, locally: trades and quotes in the wire format of market data v2, to any client of it.

JSON in text frames, or MessagePack to a client whose handshake says `Content-Type: application/msgpack`, as alpaca-py's
does. What it tells, how fast, and what goes wrong: see `streaming`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

from quaestor.doors.sim.streaming import Bad, Knobs, StreamServer, StreamTalk, written
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

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
HALF = b'[{"T":"t","S":"AAPL","p":'
ODD = {"text": "about ten", "nan": math.nan, "zero": 0, "spike": 5000.0}


class _Talk(StreamTalk):
    """One connection."""

    server: AlpacaStreamServer

    def __init__(self, server: AlpacaStreamServer, knobs: Knobs, request: Any) -> None:
        super().__init__(server, knobs, request)
        self._packed = "msgpack" in request.headers.get("Content-Type", "")
        self._wanted: dict[str, set[str]] = {name: set() for name in CHANNELS}
        self._known = False

    def greet(self) -> None:
        """Alpaca speaks first."""
        self._say([{"T": "success", "msg": "connected"}])

    def hear(self, said: bytes) -> None:
        """A login, or what is wanted."""
        asked: dict[str, Any] = msgspec.msgpack.decode(said) if self._packed else json.loads(said)
        if asked["action"] == "auth":
            self._login(asked)
        elif not self._known:
            self.error(401, "not authenticated")
        elif code := self.knobs.subscription:
            self.error(code)
        else:
            self._change(asked)

    def tell(self, ticks: Sequence[Tick], at: int) -> None:
        """One frame; a bad message stands before its tick."""
        messages: list[dict[str, Any]] = []
        for n, tick in enumerate(ticks, at):
            if kind := self.knobs.bad.get(n):
                self._bad(kind, tick, messages)
            channel = self._wanted["trades" if isinstance(tick, TradeTick) else "quotes"]
            if tick.symbol in channel or "*" in channel:
                messages.append(self._message(tick, self.server.stamp(tick)))
        if messages:
            self._say(messages)

    def error(self, code: int, words: str = "") -> None:
        """Say an error of Alpaca's."""
        self._say([{"T": "error", "code": code, "msg": words or ERRORS[code]}])

    def _change(self, asked: dict[str, Any]) -> None:
        self.server.subscriptions.append(asked)
        how = set.update if asked["action"] == "subscribe" else set.difference_update
        for name in set(CHANNELS) & set(asked):
            how(self._wanted[name], asked[name])
        trades = self._wanted["trades"]
        self._say([{"T": "subscription"} | {name: sorted(who) for name, who in self._wanted.items()}
                   | {"corrections": sorted(trades), "cancelErrors": sorted(trades)}])  # fmt: skip
        self.begin()

    def _login(self, said: dict[str, Any]) -> None:
        self.server.logins.append(said["key"])
        keys = self.server.keys
        good = keys is None or (said["key"], said["secret"]) == keys
        if code := self.knobs.login or (0 if good else 402):
            self.error(code)
            self.transport.disconnect()
        else:
            self._known = True
            self._say([{"T": "success", "msg": "authenticated"}])

    def _bad(self, kind: Bad, tick: Tick, messages: list[dict[str, Any]]) -> None:
        told = self._message(TradeTick(tick.symbol, tick.at, 100.0, 1.0), self.server.stamp(tick))
        match kind:
            case "malformed":
                self._send(HALF)
                return
            case "crossed":
                told = self._message(QuoteTick(tick.symbol, tick.at, 101.0, 100.0, 1, 1), self.server.now())
            case "future" | "old":
                told["t"] = self._time(self.server.now() + SECOND * (3600 if kind == "future" else -86_401))
            case "unknown" | "correction":
                told["T"] = "zz" if kind == "unknown" else "c"
            case "stranger":
                told["S"] = "STRANGER"
            case _:
                told["p"] = ODD[kind]
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
        return written(at)

    def _say(self, messages: list[dict[str, Any]]) -> None:
        if self._packed:
            self._send(msgspec.msgpack.encode(messages))
        elif any(each.get("p") != each.get("p") for each in messages):  # msgspec would write null for NaN
            self._send(json.dumps(messages).encode())
        else:
            self._send(msgspec.json.encode(messages))

    def _send(self, data: bytes) -> None:
        self.send(data, text=not self._packed)


class AlpacaStreamServer(StreamServer):
    """See `StreamServer`. keys: whom it lets in (None: anybody); logins, subscriptions: what clients have asked."""

    talk, path = _Talk, "/v2/iex"

    def __init__(self, ticks: Sequence[Tick], *, keys: tuple[str, str] | None = ("key", "secret"), **more: Any) -> None:
        super().__init__(ticks, **more)
        self.keys = keys
        self.logins: list[str] = []
