"""Kraken's public market data (WebSocket v2), as a dialect of `streaming`: trades, and the top of the book as quotes.

No login: Kraken says its status, what is wanted is asked for, and each symbol of each channel is answered by itself;
one that cannot be had is told of and costs no other. Quotes are the channel `ticker`, told at each change of the best
bid or offer. After a reconnect the last 50 trades are asked for too, and those that we missed are handed on, by their
numbers. A heartbeat, once a second while nothing else is said, means that there is nothing to tell.
https://docs.kraken.com/api/docs/websocket-v2/trade, …/ticker, …/status, …/heartbeat
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from quaestor.errors import BadInput
from quaestor.feeds import NO_TICK, UNKNOWN_TYPE, UNREADABLE, UNUSABLE, FeedLost, FeedRefused, Status
from quaestor.ports_live import Line
from quaestor.ticks import QuoteTick, Tick, TradeTick, stamper

URL = "wss://ws.kraken.com/v2"
VENDOR = "Kraken's stream"
CURES = {
    403: "Kraken lets nobody in from this address; ask from another place.",
    404: "There is no such stream; check the address.",
}
CURE = "Take it out of the universe, or say its name there under [market.aliases]."
CHANNELS = {"trades": "trade", "quotes": "ticker"}
SIDE_CHANNELS = frozenset({"book", "ohlc", "instrument", "level3"})  # known, and not asked for
BAD = (msgspec.DecodeError, ValueError, IndexError, OverflowError)
stamp = stamper()


class _Traded(msgspec.Struct, gc=False):
    symbol: str
    price: float
    qty: float
    timestamp: str
    trade_id: int = 0


class _Top(msgspec.Struct, gc=False):
    symbol: str
    bid: float
    ask: float
    bid_qty: float
    ask_qty: float
    timestamp: str = ""


class _Engine(msgspec.Struct):
    system: str = ""


class _Said(msgspec.Struct, tag_field="channel"):
    pass


class _Trades(_Said, tag="trade"):
    data: list[_Traded]
    type: str = "update"


class _Tops(_Said, tag="ticker"):
    data: list[_Top]


class _State(_Said, tag="status"):
    data: list[_Engine] = []


class _Heartbeat(_Said, tag="heartbeat"):
    pass


class _Named(msgspec.Struct):
    channel: str = ""
    symbol: str = ""


class _Answer(msgspec.Struct):
    method: str = ""
    success: bool = True
    error: str = ""
    symbol: str = ""
    req_id: int = 0
    result: _Named | None = None


DATA = _Trades | _Tops | _State | _Heartbeat
_data = msgspec.json.Decoder(DATA).decode


class Kraken:
    """Implements `ports_live.Dialect`. Our BTC-USD is Kraken's BTC/USD; what follows no rule is in `aliases`.

    url: a protocol server's, "" Kraken's; now: nanoseconds, for a quote without a time of its own.
    """

    name, vendor, ping = "kraken", VENDOR, b'{"method":"ping"}'
    headers: Mapping[str, str] = MappingProxyType({})
    cures: Mapping[int, str] = CURES

    def __init__(
        self, *, url: str = "", aliases: Mapping[str, str] | None = None, now: Callable[[], int] = time.time_ns
    ) -> None:
        self.url, self.now = url or URL, now
        self.last: dict[str, int] = {}  # the number of each symbol's newest trade
        self._theirs = dict(aliases or {})
        self._ours = {theirs: ours for ours, theirs in self._theirs.items()}

    def theirs(self, symbol: str) -> str:
        """BTC/USD of BTC-USD; raises BadInput."""
        if name := self._theirs.get(symbol):
            return name
        if not re.fullmatch(r"[A-Z0-9.]+-[A-Z0-9.]+", symbol):
            raise BadInput(f"{symbol!r} is no pair of Kraken's; write it like BTC-USD.")
        return symbol.replace("-", "/")

    def ours(self, name: str) -> str:
        """BTC-USD of BTC/USD."""
        return self._ours.get(name) or name.replace("/", "-")

    def talk(self, line: Line) -> _Talk:
        """A new connection's talk."""
        return _Talk(self, line)


class _Talk:
    """Implements `ports_live.Talk`."""

    def __init__(self, kraken: Kraken, line: Line) -> None:
        self._kraken, self._line = kraken, line
        self._before = dict(kraken.last)  # where the line before ours ended
        self._asked = 0
        self._open: dict[int, int] = {}  # answers that a request still waits for
        self._had: dict[str, set[str]] = {"trade": set(), "ticker": set()}
        self._in, self._noes = False, ""

    def begin(self) -> None:
        """Nothing: Kraken says its status."""

    def read(self, payload: bytes | memoryview, text: bool, ticks: list[Tick]) -> None:  # noqa: ARG002
        """A frame: one message; `method` answers, everything else is of a channel."""
        before = len(ticks)
        try:
            said = _data(payload)
            if type(said) is _Trades or type(said) is _Tops:
                self._ticks(said, ticks)
            else:
                self._state(said)
        except BAD:
            del ticks[before:]
            self._read_again(bytes(payload), ticks)

    def ask(self, action: str, channels: Mapping[str, Sequence[str]]) -> None:
        """A request for each channel; its symbols are answered one by one."""
        for name, symbols in channels.items():
            fresh = [symbol for symbol in symbols if name == "quotes" or symbol not in self._before]
            for part in (fresh, [symbol for symbol in symbols if symbol not in fresh]):
                if part:
                    self._ask(action, name, part, snapshot=name == "quotes" or part is not fresh)

    def _ask(self, action: str, name: str, symbols: Sequence[str], *, snapshot: bool) -> None:
        self._asked += 1
        self._open[self._asked] = len(symbols)
        params: dict[str, Any] = {"channel": CHANNELS[name], "symbol": list(symbols)}
        if name == "quotes":
            params["event_trigger"] = "bbo"
        if action == "subscribe":
            params["snapshot"] = snapshot
        self._line.send(msgspec.json.encode({"method": action, "params": params, "req_id": self._asked}))

    def _ticks(self, said: Any, ticks: list[Tick]) -> None:
        ours = self._kraken.ours
        if type(said) is _Tops:
            for top in said.data:
                at = stamp(top.timestamp) if top.timestamp else self._kraken.now()
                ticks.append(QuoteTick(ours(top.symbol), at, top.bid, top.ask, top.bid_qty, top.ask_qty))
            return
        last, since = self._kraken.last, self._before if said.type == "snapshot" else {}
        for trade in said.data:
            if trade.trade_id > since.get(trade.symbol, -1):
                ticks.append(TradeTick(ours(trade.symbol), stamp(trade.timestamp), trade.price, trade.qty))
                last[trade.symbol] = trade.trade_id

    def _state(self, said: Any) -> None:
        if type(said) is _Heartbeat:
            self._line.fresh()
            return
        if not self._in:
            self._in = True
            self._line.let_in()
        for each in said.data:
            if each.system != "online":
                self._line.tell(Status("note", f"Kraken's matching engine: {each.system}."))

    def _read_again(self, payload: bytes, ticks: list[Tick]) -> None:
        """An answer; or a message of which only a part can be used. json reads NaN, which is for the screening."""
        try:
            said = json.loads(payload)
        except (*BAD, RecursionError):
            said = None
        if not isinstance(said, dict):
            self._line.count(UNREADABLE)
        elif "method" in said or "error" in said:
            self._answer(said)
        elif said.get("channel") not in {"trade", "ticker"}:
            known = said.get("channel") in SIDE_CHANNELS
            self._line.count(NO_TICK if known else UNUSABLE if not said.get("channel") else UNKNOWN_TYPE)
        else:
            self._piece_by_piece(said, ticks)

    def _piece_by_piece(self, said: dict[str, Any], ticks: list[Tick]) -> None:
        data = said.get("data")
        for each in data if isinstance(data, list) else [None]:
            try:
                self._ticks(msgspec.convert({**said, "data": [each]}, DATA), ticks)
            except BAD:
                self._line.count(UNUSABLE)

    def _answer(self, said: dict[str, Any]) -> None:
        try:
            answer = msgspec.convert(said, _Answer)
        except BAD:
            self._line.count(UNUSABLE)
            return
        if answer.method == "pong":
            return
        if not answer.success:
            self._refused(answer)
        elif answer.result:
            how = set.add if answer.method == "subscribe" else set.discard
            how(self._had.setdefault(answer.result.channel, set()), answer.result.symbol)
        self._answered(answer.req_id)

    def _refused(self, answer: _Answer) -> None:
        words = f"{VENDOR}: {answer.error or 'no, without a reason'}"
        if "rate" in answer.error.lower():
            self._line.end(FeedLost(f"{words}.", full=True))
            return
        self._noes = answer.error
        self._line.tell(Status("note", f"{words}. {CURE}"))

    def _answered(self, request: int) -> None:
        if request not in self._open:
            return
        self._open[request] -= 1
        if self._open[request] <= 0:
            del self._open[request]
        if self._open:
            return
        trades, quotes = (len(self._had[channel]) for channel in ("trade", "ticker"))
        if self._noes and not trades and not quotes:
            self._line.end(FeedRefused(f"{VENDOR} has none of what is asked for ({self._noes}). {CURE}"))
        else:
            self._line.tell(Status("subscribed", f"trades of {trades}, quotes of {quotes} symbols"))
