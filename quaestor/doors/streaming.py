"""Streaming: a feed over WebSocket (picows) from any vendor whose `Dialect` is handed in.

One connection, one story: the socket stands, the vendor lets us in, what is wanted is asked for, ticks come. They are
handed on when the socket has been read empty, so a burst is one batch. A line that is lost (closed, silent, refused for
the moment) is tried again with growing waits, each drawn by chance (see `pacing`), and what was subscribed to is asked
for again. What a person must cure ends the run with FeedRefused.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import picows

from quaestor.feeds import FeedLost, FeedRefused, OnBatch, OnStatus, Status
from quaestor.pacing import backoff
from quaestor.ports_live import Dialect
from quaestor.ticks import Tick

LARGEST = 64 << 20  # bytes of a message that comes in parts
FULL = 429  # the status of a handshake that came once too often
ELSEWHERE = "It sends us to another address; check the one that is configured."
_TEXT, _BINARY, _CONTINUATION = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY, picows.WSMsgType.CONTINUATION
_DATA = frozenset({_TEXT, _BINARY, _CONTINUATION})


@dataclass(frozen=True)
class Timing:
    """Seconds: for a login; silence before a ping, and for its answer; silence of data while it is due; the waits.

    full: to leave a vendor alone that takes no more connections; it lets go of the one before ours only after a while.
    """

    login: float = 10.0
    ping: float = 5.0
    pong: float = 5.0
    data: float = 10.0
    first: float = 0.5
    longest: float = 30.0
    full: float = 60.0


class Stream:
    """Implements `ports_live.Feed`.

    due: whether silence is a fault now (a Liveness's `open`), without which only pings find a dead line; channels:
    those that are asked for, whatever is subscribed to.
    """

    def __init__(
        self,
        dialect: Dialect,
        *,
        channels: Collection[str] = ("trades", "quotes"),
        due: Callable[[], bool] = lambda: False,
        timing: Timing | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.dialect, self.timing = dialect.name, dialect, timing or Timing()
        self.counts: Counter[str] = Counter()
        self.wanted = {"trades": set[str](), "quotes": set[str]()}
        self._channels, self._due, self._chance = channels, due, chance
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
                wait = backoff(failures, self._chance(), self.timing.first, self.timing.longest)
                wait += self.timing.full if error.full else 0.0
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
        """Read no more for now; the socket fills, and the vendor waits or closes it."""
        self._paused = True
        if self._line:
            self._line.read(False)

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._line:
            self._line.read(True)

    def _change(
        self,
        action: Literal["subscribe", "unsubscribe"],
        how: Callable[..., None],
        trades: Iterable[str],
        quotes: Iterable[str],
    ) -> None:
        told = {each: symbols for each, symbols in (("trades", trades), ("quotes", quotes)) if each in self._channels}
        theirs = {each: [self.dialect.theirs(symbol) for symbol in symbols] for each, symbols in told.items()}
        for channel, symbols in theirs.items():
            how(self.wanted[channel], symbols)
        if self._line:
            self._line.ask(action, theirs)

    async def _once(self, line: _Line) -> None:
        try:
            await self._connect(line)
            self._line = line
            if self._paused:
                line.read(False)
            await self._watched(line)
        finally:
            self._line = None
            line.leave()

    async def _connect(self, line: _Line) -> None:
        try:
            async with asyncio.timeout(self.timing.login):
                await picows.ws_connect(
                    lambda: line,
                    self.dialect.url,
                    extra_headers=dict(self.dialect.headers) or None,
                    websocket_handshake_timeout=self.timing.login / 2,  # picows closes its half-open socket by itself
                    max_redirects=0,  # a key goes nowhere else
                )
        except (OSError, picows.WSError) as error:  # TimeoutError is an OSError
            raise self._unconnected(error) from error
        if not line.stands:  # picows takes it for no error when who answers leaves before the handshake is done
            raise FeedLost(f"{self.dialect.vendor} does not answer (no handshake).")

    def _unconnected(self, error: Exception) -> FeedRefused | FeedLost:
        status = int(error.response.status if isinstance(error, picows.WSHandshakeError) and error.response else 0)
        if cure := self.dialect.cures.get(status) or (ELSEWHERE if 300 <= status < 400 else ""):
            return FeedRefused(f"{self.dialect.vendor} answers {status}. {cure}")
        said = str(error) or type(error).__name__
        return FeedLost(f"{self.dialect.vendor} does not answer ({said}).", full=status == FULL)

    async def _watched(self, line: _Line) -> None:
        """Until the line ends; a silent one is asked, and given up."""
        timing = self.timing
        step = min(timing.login, timing.ping, timing.pong, timing.data) / 4
        while not self._stopped.is_set() and not (await asyncio.wait({line.ended}, timeout=step))[0]:
            line.judge(due=self._due() and any(self.wanted.values()), reading=not self._paused)
        if line.ended.done():
            line.ended.result()


class _Line(picows.WSListener):
    """One connection, to its end; `ended` has the reason, `fed`: whether ticks came. Implements `ports_live.Line`."""

    def __init__(self, stream: Stream, on_batch: OnBatch, on_status: OnStatus) -> None:
        self.fed, self.ended = False, asyncio.get_running_loop().create_future()
        self.tell = on_status
        self._stream, self._vendor, self._on_batch = stream, stream.dialect.vendor, on_batch
        self._now = asyncio.get_running_loop().time
        self._talk = stream.dialect.talk(self)
        self._hear = self._talk.read
        self._ticks: list[Tick] = []
        self._parts: bytearray | None = None
        self._text, self._in = True, False
        self._began = self._heard = self._data = self._now()
        self._pinged = 0.0
        self._transport: Any = None

    @property
    def stands(self) -> bool:
        """Whether there is a connection, or was."""
        return self._transport is not None

    # ── picows calls these ────────────────────────────────────────────────────────────────────────────────────────────

    def on_ws_connected(self, transport: Any) -> None:
        """The socket stands."""
        self._transport = transport
        try:
            self._talk.begin()
        except BaseException as error:  # noqa: BLE001 - as below
            self.end(error)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002
        """Data, and pings and closes too."""
        try:
            kind = frame.msg_type
            if kind is _TEXT and frame.fin and self._parts is None:
                self._hear(frame.get_payload_as_memoryview(), True, self._ticks)
            else:
                self._other(frame, kind)
            if frame.last_in_buffer:
                self._heard = self._now()
                if self._ticks:
                    self._hand_on()
        except BaseException as error:  # noqa: BLE001 - the caller is C and would only log it; `run` raises it
            self.end(error)

    def on_ws_disconnected(self, transport: Any) -> None:  # noqa: ARG002
        """The socket is gone."""
        if self._ticks and not self.ended.done():
            self._hand_on()
        self.end(FeedLost(f"{self._vendor}: the connection is gone."))

    # ── the talk calls these ──────────────────────────────────────────────────────────────────────────────────────────

    def send(self, said: bytes, *, text: bool = True) -> None:
        """Say something."""
        self._transport.send(_TEXT if text else _BINARY, said)

    def let_in(self) -> None:
        """The vendor lets us in: what is wanted is asked for."""
        self._in, self._data = True, self._now()
        self.tell(Status("connected"))
        self.ask("subscribe", {name: sorted(symbols) for name, symbols in self._stream.wanted.items()})

    def fresh(self) -> None:
        """The vendor says that it has nothing to tell: its silence is none."""
        self._data = self._now()

    def count(self, rule: str) -> None:
        """Something could not be used."""
        self._stream.counts[rule] += 1

    def end(self, why: BaseException | None) -> None:
        """The line is over."""
        if not self.ended.done():
            if why is None:
                self.ended.set_result(None)
            else:
                self.ended.set_exception(why)

    # ── the stream calls these ────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, action: Literal["subscribe", "unsubscribe"], channels: dict[str, list[str]]) -> None:
        """Tell the vendor what is wanted, once it lets us in."""
        if self._in and any(channels.values()):
            self._talk.ask(action, {name: symbols for name, symbols in channels.items() if symbols})

    def read(self, on: bool) -> None:
        """Read the socket, or leave it."""
        socket = self._transport.underlying_transport
        (socket.resume_reading if on else socket.pause_reading)()
        self._heard = self._data = self._now()

    def judge(self, *, due: bool, reading: bool) -> None:
        """Ask a silent line; end one that does not answer, does not let us in, or has no data while they are due."""
        timing, now = self._stream.timing, self._now()
        if not self._in and now - self._began > timing.login:
            self.end(FeedLost(f"{self._vendor} does not let us in."))
        if not due or not reading:
            self._data = now
        if now - self._data > timing.data:
            self.end(FeedLost(f"{self._vendor} is mute for {timing.data:g} s."))
        if reading and now - self._heard > timing.ping:
            if self._pinged < self._heard:
                self._pinged = now
                self._ping()
            elif now - self._pinged > timing.pong:
                self.end(FeedLost(f"{self._vendor} does not answer a ping."))

    def leave(self) -> None:
        """Let go of the socket, and of a reason that nobody asked for."""
        if self._transport is not None:
            self._transport.disconnect(False)
        self.end(None)
        self.ended.exception()

    def _ping(self) -> None:
        if said := self._stream.dialect.ping:
            self.send(said)
        else:
            self._transport.send_ping()

    def _hand_on(self) -> None:
        ticks, self._ticks = self._ticks, []
        self.fed, self._data = True, self._now()
        self._on_batch(ticks)

    def _other(self, frame: Any, kind: Any) -> None:
        """What is not a whole message of text."""
        if kind is picows.WSMsgType.CLOSE:
            self.end(FeedLost(f"{self._vendor} closed ({frame.get_close_code()})."))
        elif kind in _DATA and frame.fin and self._parts is None:
            self._hear(frame.get_payload_as_bytes(), kind is _TEXT, self._ticks)
        elif kind in _DATA:
            self._join(frame, kind)

    def _join(self, frame: Any, kind: Any) -> None:
        """A message in parts, which vendors do not send, and may."""
        if self._parts is None:
            self._parts, self._text = bytearray(), kind is _TEXT
        self._parts += frame.get_payload_as_memoryview()
        if len(self._parts) > LARGEST:
            self.end(FeedLost(f"{self._vendor} sends a message without an end."))
        elif frame.fin:
            whole, self._parts = bytes(self._parts), None
            self._hear(whole, self._text, self._ticks)
