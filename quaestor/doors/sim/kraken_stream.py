"""Kraken's public WebSocket v2, locally: the channels trade, ticker, status and heartbeat, ping and pong.

Each symbol of a subscription is answered by itself; a trade's number is its place in the ticks. What it tells, how
fast, and what goes wrong: see `streaming`. Field by field as https://docs.kraken.com/api/docs/websocket-v2 has them.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from quaestor.doors.sim.streaming import Bad, Knobs, StreamServer, StreamTalk, written
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

HALF = b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","price":'
ODD = {"text": "about ten", "nan": math.nan, "zero": 0, "spike": 5000.0}
SNAPSHOT, FAR = 50, 5_000  # trades in a snapshot; ticks that are looked through for it


class _Talk(StreamTalk):
    """One connection."""

    server: KrakenStreamServer

    def __init__(self, server: KrakenStreamServer, knobs: Knobs, request: Any) -> None:
        super().__init__(server, knobs, request)
        self._wanted: dict[str, set[str]] = {"trade": set(), "ticker": set()}
        self._said = 0.0

    def greet(self) -> None:
        """Kraken says how its engine is."""
        state = {"system": self.knobs.system, "api_version": "v2", "connection_id": 1234, "version": "2.0.10"}
        self._say({"channel": "status", "type": "update", "data": [state]})

    def hear(self, said: bytes) -> None:
        """A ping, or what is wanted."""
        try:
            asked = msgspec.json.decode(said, type=dict[str, Any])
        except msgspec.DecodeError:
            self._say({"error": "JSON parse error", "success": False})
            return
        match asked.get("method"):
            case "ping":
                if not self.knobs.deaf:
                    self._say({"method": "pong", **self._times(asked)})
            case "subscribe" | "unsubscribe":
                self._change(asked)
            case other:
                self._no(asked, f"Unsupported method {other}")

    def tell(self, ticks: Sequence[Tick], at: int) -> None:
        """Trades one after another in one message, each quote in one of its own; a bad message before its tick."""
        trades: list[dict[str, Any]] = []
        for n, tick in enumerate(ticks, at):
            if kind := self.knobs.bad.get(n):
                self._bad(kind, tick, n)
            name, channel = tick.symbol.replace("-", "/"), "trade" if isinstance(tick, TradeTick) else "ticker"
            if name not in self._wanted[channel]:
                continue
            if isinstance(tick, TradeTick):
                trades.append(self._trade(tick, n))
                continue
            self._trades(trades)
            trades = []
            self._say({"channel": "ticker", "type": "update", "data": [self._top(tick)]})
        self._trades(trades)

    def _trades(self, trades: list[dict[str, Any]], kind: str = "update") -> None:
        if trades:
            self._say({"channel": "trade", "type": kind, "data": trades})

    def _change(self, asked: dict[str, Any]) -> None:
        params = asked.get("params", {})
        channel = params.get("channel")
        if channel not in self._wanted:
            self._no(asked, f"Unsupported channel {channel}")
            return
        self.server.subscriptions.append(asked)
        for name in params["symbol"]:
            if words := self._refusal(name):
                self._no(asked, words, name)
                continue
            (set.add if asked["method"] == "subscribe" else set.discard)(self._wanted[channel], name)
            result = {key: value for key, value in params.items() if key != "symbol"} | {"symbol": name}
            self._say({"method": asked["method"], "result": result, "success": True, **self._times(asked)})
            if asked["method"] == "subscribe" and params.get("snapshot", channel == "ticker"):
                self._snapshot(channel, name)
        if any(self._wanted.values()):
            if not self.telling:
                self.do(self._beats())
            self.begin()

    def _refusal(self, name: str) -> str:
        if words := self.knobs.refuse.get(name):
            return words
        known = {symbol.replace("-", "/") for symbol in self.server.symbols}
        return "" if not known or name in known else f"Currency pair not supported {name}"

    def _no(self, asked: dict[str, Any], words: str, name: str = "") -> None:
        named = {"symbol": name} if name else {}
        self._say({"error": words, "method": asked.get("method", ""), "success": False, **named, **self._times(asked)})

    def _snapshot(self, channel: str, name: str) -> None:
        """What was told last of it."""
        server, trades = self.server, list[dict[str, Any]]()
        for n in range(server.at - 1, max(-1, server.at - 1 - FAR), -1):
            tick = server.ticks[n]
            if tick.symbol.replace("-", "/") != name:
                continue
            if channel == "ticker" and isinstance(tick, QuoteTick):
                self._say({"channel": "ticker", "type": "snapshot", "data": [self._top(tick)]})
                return
            if channel == "trade" and isinstance(tick, TradeTick) and len(trades) < SNAPSHOT:
                trades.append(self._trade(tick, n))
        self._trades(trades[::-1], "snapshot")

    async def _beats(self) -> None:
        """A heartbeat when nothing else was said for a second."""
        loop, every = asyncio.get_running_loop(), self.server.heartbeat
        self._said = loop.time()
        while self.knobs.mute is None or self.server.told < self.knobs.mute:
            await asyncio.sleep(every / 4)
            if loop.time() - self._said >= every:
                self._say({"channel": "heartbeat"})

    def _bad(self, kind: Bad, tick: Tick, n: int) -> None:
        told = {"channel": "trade", "type": "update"}
        trade = self._trade(TradeTick(tick.symbol, tick.at, 100.0, 1.0), n)
        match kind:
            case "malformed":
                self.send(HALF)
                return
            case "crossed":
                told["channel"], trade = "ticker", self._top(QuoteTick(tick.symbol, tick.at, 101.0, 100.0, 1, 1))
            case "future" | "old":
                trade["timestamp"] = written(self.server.now() + SECOND * (3600 if kind == "future" else -86_401))
            case "unknown" | "correction":
                told["channel"] = "zz" if kind == "unknown" else "book"
            case "stranger":
                trade["symbol"] = "STRANGE/USD"
            case _:
                trade["price"] = ODD[kind]
        self._say({**told, "data": [trade]})

    def _trade(self, tick: TradeTick, n: int) -> dict[str, Any]:
        name, at = tick.symbol.replace("-", "/"), written(self.server.stamp(tick))
        told = {"symbol": name, "side": "buy", "price": tick.price, "qty": tick.size, "ord_type": "limit"}
        return told | {"trade_id": n + 1, "timestamp": at}

    def _top(self, tick: QuoteTick) -> dict[str, Any]:
        told = {"symbol": tick.symbol.replace("-", "/"), "bid": tick.bid, "bid_qty": tick.bid_size, "ask": tick.ask}
        told |= {"ask_qty": tick.ask_size, "last": tick.bid, "volume": 1000.0, "vwap": tick.bid, "low": tick.bid}
        return told | {
            "high": tick.ask,
            "change": 0.0,
            "change_pct": 0.0,
            "timestamp": written(self.server.stamp(tick)),
        }

    def _times(self, asked: dict[str, Any]) -> dict[str, Any]:
        now = written(self.server.now() // 1000 * 1000)
        return {"time_in": now, "time_out": now} | ({"req_id": asked["req_id"]} if "req_id" in asked else {})

    def _say(self, said: dict[str, Any]) -> None:
        self._said = asyncio.get_running_loop().time()
        odd = any(each.get("price") != each.get("price") for each in said.get("data", ()))
        self.send(json.dumps(said).encode() if odd else msgspec.json.encode(said))  # msgspec would write null for NaN


class KrakenStreamServer(StreamServer):
    """See `StreamServer`. symbols: those that can be had, as BTC-USD (none: all); heartbeat: seconds of silence."""

    talk, path = _Talk, "/v2"

    def __init__(
        self, ticks: Sequence[Tick], *, symbols: Sequence[str] = (), heartbeat: float = 1.0, **more: Any
    ) -> None:
        super().__init__(ticks, **more)
        self.symbols, self.heartbeat = tuple(symbols), heartbeat
