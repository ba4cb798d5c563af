"""Alpaca's stock stream (market data v2) as a feed: a client of our own on picows.

One connection, one story: hello, auth, subscribe, ticks. Frames are decoded into structs chosen by their "T" and handed
on when the socket has been read empty, so a burst is one batch. A frame that is not as it should be is read again
message by message: what can be used is used, the rest is counted by rule id, and the connection stays up.

A line that is lost (closed, silent, refused for the moment) is tried again with growing waits, each drawn by chance
(see `pacing`), and what was subscribed to is asked for again. What a person must cure (a wrong key, a plan that lacks
the feed, too many symbols) ends the run with FeedRefused. The codes: https://docs.alpaca.markets/docs/streaming-market-data.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import picows

from quaestor.feeds import FeedLost, FeedRefused, OnBatch, OnStatus, Status
from quaestor.pacing import backoff
from quaestor.symbols import Symbology
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

URL = "wss://stream.data.alpaca.markets/v2/"
KEYS = "Check alpaca-key and alpaca-secret in the vault against the key page of your Alpaca account."
CURES = {
    400: "Alpaca calls our message invalid; report this.",
    402: f"The key or its secret is wrong. {KEYS}",
    405: "More symbols than the plan allows; take some out of the universe, or change the plan.",
    409: "The plan does not include this feed; use feed = 'iex', or change the plan.",
    410: "This feed has no such channel; choose another feed.",
}
PAUSES = {406: 60.0, 407: 0.0, 429: 60.0}  # seconds: the connection before ours is let go of only after a while
UNREADABLE, UNUSABLE = "frame-malformed", "message-malformed"
UNKNOWN_TYPE, NO_TICK = "message-unknown-type", "message-no-tick"
HANDSHAKE = {401: KEYS, 403: KEYS, 404: "There is no such stream; check the address and the feed's name."}
LARGEST = 64 << 20  # bytes of a message that comes in parts
IDLE = frozenset({"b", "d", "u", "s", "l", "n", "c", "x"})  # known, and no tick: bars, halts, bands, corrections


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
_text = msgspec.json.Decoder(list[TEXT])
_packed = msgspec.msgpack.Decoder(list[PACKED])
_pieces = msgspec.msgpack.Decoder(list[msgspec.Raw])
_TEXT, _BINARY, _CONTINUATION = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION
BAD = (msgspec.DecodeError, ValueError, IndexError, OverflowError)  # what reading what is not as it should be raises
KNOWN = frozenset({"t", "q", "success", "error", "subscription"})
_SCALE = [10 ** (9 - digits) for digits in range(10)]


def _stamper() -> Callable[[str], int]:
    """A reader of RFC 3339 in UTC, to the nanosecond; it keeps the second that it read last."""
    known, base = "", 0

    def stamp(text: str) -> int:
        nonlocal known, base
        if text[:19] != known:
            base = int(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()) * SECOND
            known = text[:19]
        if len(text) == 20 and text[19] == "Z":
            return base
        if text[-1] != "Z" or text[19] != "." or not text[20:-1].isdecimal():
            raise ValueError(f"not a time in UTC: {text[:40]!r}")
        fraction: int = int(text[20:-1]) * _SCALE[len(text) - 21]
        return base + fraction

    return stamp


stamp = _stamper()


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
    if kind is _Trade:
        return TradeTick(said.S, stamp(said.t), said.p, said.s)
    if kind is _Quote:
        return QuoteTick(said.S, stamp(said.t), said.bp, said.ap, said.bs, said.as_)
    if kind is _PackedTrade:
        return TradeTick(said.S, unpack(said.t), said.p, said.s)
    if kind is _PackedQuote:
        return QuoteTick(said.S, unpack(said.t), said.bp, said.ap, said.bs, said.as_)
    return None


def refused(code: int, words: str) -> FeedRefused | FeedLost:
    """What an error of Alpaca's means for us."""
    if code in CURES:
        return FeedRefused(f"Alpaca's stream: {words} ({code}). {CURES[code]}")
    return FeedLost(f"Alpaca's stream: {words} ({code}).", PAUSES.get(code, 0.0))


@dataclass(frozen=True)
class Timing:
    """Seconds: for a login; silence before a ping, and for its answer; silence of data while it is due; the waits."""

    login: float = 10.0
    ping: float = 5.0
    pong: float = 5.0
    data: float = 10.0
    first: float = 0.5
    longest: float = 30.0


class AlpacaStream:
    """A Feed (see `feeds`). Key and secret are values, and stay here.

    feed: "iex" (free), "sip", "test"; url: a protocol server's, "" Alpaca's; packed: ask for MessagePack; due: whether
    silence is a fault now (a Liveness's `open`), without which only pings find a dead line.
    """

    name = "alpaca"

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        feed: str = "iex",
        url: str = "",
        packed: bool = False,
        due: Callable[[], bool] = lambda: False,
        timing: Timing | None = None,
        chance: Callable[[], float] = random.random,
        symbology: Symbology | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.timing, self.wanted = timing or Timing(), {"trades": set[str](), "quotes": set[str]()}
        self._login = {"action": "auth", "key": key, "secret": secret}
        self._url, self.packed, self._due, self._chance = url or URL + feed, packed, due, chance
        self._symbology = symbology or Symbology("Alpaca")
        self._line: _Line | None = None
        self._paused = False
        self._stopped = asyncio.Event()

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Feed until stopped or cancelled. Raises FeedRefused, and whatever `on_batch` raises."""
        failures = 0
        while not self._stopped.is_set():
            line = _Line(self, on_batch, on_status)
            try:
                await self._once(line)
            except FeedRefused as error:
                on_status(Status("refused", str(error)))
                raise
            except FeedLost as error:
                failures = 1 if line.fed else failures + 1
                drawn = backoff(failures, self._chance(), self.timing.first, self.timing.longest)
                wait = error.pause + drawn
                on_status(Status("lost", str(error), wait))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), wait)

    def stop(self) -> None:
        """Let `run` end, for good."""
        self._stopped.set()
        if self._line:
            self._line.end(None)

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols too, now and after each reconnect."""
        self._change("subscribe", set.update, trades, quotes)

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols no more."""
        self._change("unsubscribe", set.difference_update, trades, quotes)

    def pause(self) -> None:
        """Read no more for now; the socket fills, and Alpaca waits or (407) closes it."""
        self._paused = True
        if self._line:
            self._line.read(False)

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._line:
            self._line.read(True)

    def _change(self, action: str, how: Callable[..., None], trades: Iterable[str], quotes: Iterable[str]) -> None:
        told = {"trades": trades, "quotes": quotes}
        theirs = {each: [self._symbology.theirs(symbol) for symbol in symbols] for each, symbols in told.items()}
        for channel, symbols in theirs.items():
            how(self.wanted[channel], symbols)
        if self._line:
            self._line.ask(action, theirs)

    async def _once(self, line: _Line) -> None:
        headers = {"Content-Type": "application/msgpack"} if self.packed else None
        try:
            async with asyncio.timeout(self.timing.login):
                patience = self.timing.login / 2  # picows closes its half-open socket by itself
                await picows.ws_connect(
                    lambda: line, self._url, extra_headers=headers, websocket_handshake_timeout=patience
                )
        except (OSError, picows.WSError) as error:  # TimeoutError is an OSError
            status = error.response.status if isinstance(error, picows.WSHandshakeError) and error.response else 0
            if cure := HANDSHAKE.get(int(status)):
                raise FeedRefused(f"Alpaca's stream answers {int(status)}. {cure}") from error
            raise FeedLost(
                f"Alpaca's stream does not answer ({str(error) or type(error).__name__}).", PAUSES.get(int(status), 0.0)
            ) from error
        self._line = line
        try:
            if self._paused:
                line.read(False)
            await self._watched(line)
        finally:
            self._line = None
            line.leave()

    async def _watched(self, line: _Line) -> None:
        """Until the line ends; a silent one is asked, and given up."""
        timing = self.timing
        step = min(timing.login, timing.ping, timing.pong, timing.data) / 4
        while not self._stopped.is_set() and not (await asyncio.wait({line.ended}, timeout=step))[0]:
            line.judge(due=self._due() and any(self.wanted.values()), reading=not self._paused)
        if line.ended.done():
            line.ended.result()


class _Line(picows.WSListener):
    """One connection, from hello to its end; `ended` has the reason."""

    def __init__(self, stream: AlpacaStream, on_batch: OnBatch, on_status: OnStatus) -> None:
        self.fed, self.ended = False, asyncio.get_running_loop().create_future()
        self._stream, self._on_batch, self._on_status = stream, on_batch, on_status
        self._login = stream._login  # noqa: SLF001 - one class in two halves
        self._now = asyncio.get_running_loop().time
        self._ticks: list[Tick] = []
        self._parts: bytearray | None = None
        self._text = True
        self._state: Literal["hello", "auth", "in"] = "hello"
        self._began = self._heard = self._data = self._now()
        self._pinged = 0.0
        self._transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        """The socket stands; Alpaca speaks first."""
        self._transport = transport

    def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002
        """Data, and pings and closes too."""
        try:
            self._heard = self._now()
            kind = frame.msg_type
            if kind is _TEXT or kind is _BINARY or kind is _CONTINUATION:
                if frame.fin and self._parts is None:
                    self._read(frame.get_payload_as_memoryview(), kind is _TEXT)
                else:
                    self._join(frame, kind)
            elif kind is picows.WSMsgType.CLOSE:
                self.end(FeedLost(f"Alpaca's stream closed ({frame.get_close_code()})."))
            if self._ticks and frame.last_in_buffer:
                self._hand_on()
        except BaseException as error:  # noqa: BLE001 - the caller is C and would only log it; `run` raises it
            self.end(error)

    def on_ws_disconnected(self, transport: Any) -> None:  # noqa: ARG002
        """The socket is gone."""
        if self._ticks and not self.ended.done():
            self._hand_on()
        self.end(FeedLost("Alpaca's stream: the connection is gone."))

    def ask(self, action: str, channels: dict[str, list[str]]) -> None:
        """Tell Alpaca what is wanted, once logged in."""
        if self._state == "in" and any(channels.values()):
            self._send({"action": action, **{name: symbols for name, symbols in channels.items() if symbols}})

    def read(self, on: bool) -> None:
        """Read the socket, or leave it."""
        socket = self._transport.underlying_transport
        (socket.resume_reading if on else socket.pause_reading)()
        self._heard = self._data = self._now()

    def judge(self, *, due: bool, reading: bool) -> None:
        """Ping a silent line; end one that does not answer, does not let us in, or has no data while they are due."""
        timing, now = self._stream.timing, self._now()
        if self._state != "in" and now - self._began > timing.login:
            self.end(FeedLost("Alpaca's stream does not let us in."))
        if not due or not reading:
            self._data = now
        if now - self._data > timing.data:
            self.end(FeedLost(f"Alpaca's stream is mute for {timing.data:g} s."))
        if reading and now - self._heard > timing.ping:
            if self._pinged < self._heard:
                self._pinged = now
                self._transport.send_ping()
            elif now - self._pinged > timing.pong:
                self.end(FeedLost("Alpaca's stream does not answer a ping."))

    def end(self, why: BaseException | None) -> None:
        """The line is over."""
        if not self.ended.done():
            if why is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(why)

    def leave(self) -> None:
        """Let go of the socket, and of a reason that nobody asked for."""
        self._transport.disconnect(False)
        self.end(None)
        self.ended.exception()

    def _hand_on(self) -> None:
        ticks, self._ticks = self._ticks, []
        self.fed, self._data = True, self._heard
        self._on_batch(ticks)

    def _join(self, frame: Any, kind: Any) -> None:
        """A message in parts, which Alpaca does not send, and may."""
        if self._parts is None:
            self._parts, self._text = bytearray(), kind is _TEXT
        self._parts += frame.get_payload_as_memoryview()
        if len(self._parts) > LARGEST:
            self.end(FeedLost("Alpaca's stream sends a message without an end."))
        elif frame.fin:
            whole, self._parts = bytes(self._parts), None
            self._read(whole, self._text)

    def _read(self, payload: Any, text: bool) -> None:
        add, before = self._ticks.append, len(self._ticks)
        try:
            if not text:
                payload = bytes(payload)
            for said in _text.decode(payload) if text else _packed.decode(payload):
                if type(said) is _Quote:
                    add(QuoteTick(said.S, stamp(said.t), said.bp, said.ap, said.bs, said.as_))
                elif type(said) is _Trade:
                    add(TradeTick(said.S, stamp(said.t), said.p, said.s))
                elif tick := _tick(said):
                    add(tick)
                else:
                    self._take(said)
        except BAD:
            del self._ticks[before:]
            self._read_again(bytes(payload), text)

    def _read_again(self, payload: bytes, text: bool) -> None:
        """Message by message; json reads NaN, which is for the screening to judge."""
        try:
            told = json.loads(payload) if text else _pieces.decode(payload)
        except (*BAD, RecursionError):
            told = None
        if not isinstance(told, list):
            self._stream.counts[UNREADABLE] += 1
            return
        for each in told:
            try:
                said = msgspec.convert(each, TEXT) if text else msgspec.msgpack.decode(each, type=PACKED)
                if tick := _tick(said):
                    self._ticks.append(tick)
                else:
                    self._take(said)
            except BAD:
                self._stream.counts[_fault(each)] += 1

    def _take(self, said: Any) -> None:
        """What is no tick: the login's steps, errors, and what is subscribed to now."""
        if isinstance(said, _Error):
            self.end(refused(said.code, said.msg))
        elif isinstance(said, _Subscription):
            words = f"trades of {len(said.trades)}, quotes of {len(said.quotes)} symbols"
            self._on_status(Status("subscribed", words))
        elif said.msg == "connected" and self._state == "hello":
            self._state = "auth"
            self._send(self._login)
        elif said.msg == "authenticated" and self._state == "auth":
            self._state, self._data = "in", self._now()
            self._on_status(Status("connected"))
            self.ask("subscribe", {name: sorted(symbols) for name, symbols in self._stream.wanted.items()})

    def _send(self, said: dict[str, Any]) -> None:
        if self._stream.packed:
            self._transport.send(_BINARY, msgspec.msgpack.encode(said))
        else:
            self._transport.send(_TEXT, msgspec.json.encode(said))


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
