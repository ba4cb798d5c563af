"""Alpaca's stock stream (market data v2), as a dialect of `streaming`: hello, auth, subscribe, ticks.

Frames are decoded into structs chosen by their "T". A frame that is not as it should be is read again message by
message: what can be used is used, the rest is counted by rule id, and the connection stays up. A wrong key, a plan that
lacks the feed, too many symbols are for a person. The codes: https://docs.alpaca.markets/docs/streaming-market-data.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from quaestor.feeds import NO_TICK, UNKNOWN_TYPE, UNREADABLE, UNUSABLE, FeedLost, FeedRefused, Status
from quaestor.ports_live import Line
from quaestor.symbols import Symbology
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick, stamper

URL = "wss://stream.data.alpaca.markets/v2/"
VENDOR = "Alpaca's stream"
KEYS = "Check alpaca-key and alpaca-secret in the vault against the key page of your Alpaca account."
CURES = {
    400: "Alpaca calls our message invalid; report this.",
    402: f"The key or its secret is wrong. {KEYS}",
    405: "More symbols than the plan allows; take some out of the universe, or change the plan.",
    409: "The plan does not include this feed; use feed = 'iex', or change the plan.",
    410: "This feed has no such channel; choose another feed.",
}
FULL = 406  # the connection limit
HANDSHAKE = {401: KEYS, 403: KEYS, 404: "There is no such stream; check the address and the feed's name."}
IDLE = frozenset({"b", "d", "u", "s", "l", "n", "c", "x"})  # known, and no tick: bars, halts, bands, corrections
KNOWN = frozenset({"t", "q", "success", "error", "subscription"})
BAD = (msgspec.DecodeError, ValueError, IndexError, OverflowError)  # what reading what is not as it should be raises


class _Said(msgspec.Struct, tag_field="T"):
    pass


class _Success(_Said, tag="success"):
    msg: str = ""


class _Error(_Said, tag="error"):
    code: int = 0
    msg: str = ""


class _Subscription(_Said, tag="subscription"):
    trades: list[str] = []
    quotes: list[str] = []


class _Trade(_Said, tag="t", gc=False):
    S: str
    p: float
    s: float
    t: str


class _Quote(_Said, tag="q", gc=False):
    S: str
    bp: float
    ap: float
    bs: float
    as_: float = msgspec.field(name="as")
    t: str = msgspec.field()


class _PackedTrade(_Said, tag="t"):
    S: str
    p: float
    s: float
    t: msgspec.msgpack.Ext


class _PackedQuote(_Said, tag="q"):
    S: str
    bp: float
    ap: float
    bs: float
    as_: float = msgspec.field(name="as")
    t: msgspec.msgpack.Ext = msgspec.field()


TEXT = _Trade | _Quote | _Success | _Error | _Subscription
PACKED = _PackedTrade | _PackedQuote | _Success | _Error | _Subscription
_text = msgspec.json.Decoder(list[TEXT]).decode
_packed = msgspec.msgpack.Decoder(list[PACKED]).decode
_pieces = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
stamp = stamper()


def unpack(told: msgspec.msgpack.Ext) -> int:
    """MessagePack's timestamp (extension -1, in 4, 8 or 12 bytes) in nanoseconds."""
    seconds: int
    nanoseconds: int
    data = bytes(told.data)
    if told.code != -1 or len(data) not in {4, 8, 12}:
        raise ValueError(f"not a timestamp: extension {told.code} of {len(data)} bytes")
    if len(data) == 12:
        nanoseconds, seconds = struct.unpack(">Iq", data)
    else:
        both = int.from_bytes(data, "big")
        nanoseconds, seconds = (both >> 34, both & (1 << 34) - 1) if len(data) == 8 else (0, both)
    return seconds * SECOND + nanoseconds


def _tick(said: Any) -> Tick | None:
    """A tick as told; None for what is none."""
    kind = type(said)
    if kind is _Quote:
        return QuoteTick(said.S, stamp(said.t), said.bp, said.ap, said.bs, said.as_)
    if kind is _Trade:
        return TradeTick(said.S, stamp(said.t), said.p, said.s)
    if kind is _PackedTrade:
        return TradeTick(said.S, unpack(said.t), said.p, said.s)
    if kind is _PackedQuote:
        return QuoteTick(said.S, unpack(said.t), said.bp, said.ap, said.bs, said.as_)
    return None


def refused(code: int, words: str) -> FeedRefused | FeedLost:
    """What an error of Alpaca's means for us."""
    if code in CURES:
        return FeedRefused(f"{VENDOR}: {words} ({code}). {CURES[code]}")
    return FeedLost(f"{VENDOR}: {words} ({code}).", full=code == FULL)


class Alpaca:
    """Implements `ports_live.Dialect`. Key and secret are values, and stay here.

    feed: "iex" (free), "sip", "test"; url: a protocol server's, "" Alpaca's; packed: ask for MessagePack.
    """

    name, vendor, ping = "alpaca", VENDOR, b""
    cures: Mapping[int, str] = HANDSHAKE

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        feed: str = "iex",
        url: str = "",
        packed: bool = False,
        symbology: Symbology | None = None,
    ) -> None:
        self.url, self._packed = url or URL + feed, packed
        self.headers: Mapping[str, str] = {"Content-Type": "application/msgpack"} if packed else {}
        self.theirs = (symbology or Symbology("Alpaca")).theirs
        self._login = {"action": "auth", "key": key, "secret": secret}

    def talk(self, line: Line) -> _Talk:
        """A new connection's talk."""
        return _Talk(line, self._login, self._packed)


class _Talk:
    """Implements `ports_live.Talk`; Alpaca speaks first."""

    def __init__(self, line: Line, login: Mapping[str, str], packed: bool) -> None:
        self._line, self._login, self._packed = line, login, packed
        self._state: Literal["hello", "auth", "in"] = "hello"

    def begin(self) -> None:
        """Nothing: Alpaca says hello."""

    def read(self, payload: bytes | memoryview, text: bool, ticks: list[Tick]) -> None:
        """A frame: a list of messages."""
        add, before = ticks.append, len(ticks)
        try:
            for said in _text(payload) if text else _packed(payload):
                if type(said) is _Quote:
                    add(QuoteTick(said.S, stamp(said.t), said.bp, said.ap, said.bs, said.as_))
                elif type(said) is _Trade:
                    add(TradeTick(said.S, stamp(said.t), said.p, said.s))
                elif tick := _tick(said):
                    add(tick)
                else:
                    self._take(said)
        except BAD:
            del ticks[before:]
            self._read_again(bytes(payload), text, ticks)

    def ask(self, action: str, channels: Mapping[str, Sequence[str]]) -> None:
        """Both channels in one message."""
        self._send({"action": action, **channels})

    def _read_again(self, payload: bytes, text: bool, ticks: list[Tick]) -> None:
        """Message by message; json reads NaN, which is for the screening to judge."""
        try:
            told = json.loads(payload) if text else _pieces(payload)
        except (*BAD, RecursionError):
            told = None
        if not isinstance(told, list):
            self._line.count(UNREADABLE)
            return
        for each in told:
            try:
                said = msgspec.convert(each, TEXT) if text else msgspec.msgpack.decode(each, type=PACKED)
                if tick := _tick(said):
                    ticks.append(tick)
                else:
                    self._take(said)
            except BAD:
                self._line.count(_fault(each))

    def _take(self, said: Any) -> None:
        """What is no tick: the login's steps, errors, and what is subscribed to now."""
        if isinstance(said, _Error):
            self._line.end(refused(said.code, said.msg))
        elif isinstance(said, _Subscription):
            words = f"trades of {len(said.trades)}, quotes of {len(said.quotes)} symbols"
            self._line.tell(Status("subscribed", words))
        elif said.msg == "connected" and self._state == "hello":
            self._state = "auth"
            self._send(self._login)
        elif said.msg == "authenticated" and self._state == "auth":
            self._state = "in"
            self._line.let_in()

    def _send(self, said: Mapping[str, Any]) -> None:
        encode = msgspec.msgpack.encode if self._packed else msgspec.json.encode
        self._line.send(encode(said), text=not self._packed)


def _fault(message: Any) -> str:
    """The rule id of a message that could not be used."""
    kind: Any = None
    if isinstance(message, msgspec.Raw):
        with contextlib.suppress(msgspec.DecodeError):
            message = msgspec.msgpack.decode(message, type=dict[str, msgspec.Raw])
            kind = msgspec.msgpack.decode(message["T"]) if "T" in message else None
    elif isinstance(message, dict):
        kind = message.get("T")
    if not isinstance(kind, str) or kind in KNOWN:
        return UNUSABLE
    return NO_TICK if kind in IDLE else UNKNOWN_TYPE
