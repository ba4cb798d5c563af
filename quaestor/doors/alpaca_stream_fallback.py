"""Alpaca's stock stream through alpaca-py's own client: the same Feed, slower, should ours not understand Alpaca.

alpaca-py connects, logs in, reads MessagePack, reconnects with growing waits and gives up a mute line by itself. Four
of its manners are bent here: a wrong key, which it tries for ever, ends the run; its spinning without a subscription is
a wait; a subscription while it runs, for which it would wait on itself, is sent by our loop; and a frame that cannot be
read is counted and costs no other. It does not say an error's code at login, so that its words are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from quaestor.errors import QuaestorError
from quaestor.feeds import (
    NO_TICK,
    UNKNOWN_TYPE,
    UNREADABLE,
    UNUSABLE,
    FeedLost,
    FeedRefused,
    OnBatch,
    OnStatus,
    Status,
)
from quaestor.symbols import Symbology
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

with warnings.catch_warnings():  # alpaca-py 0.44 uses what websockets calls legacy
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(websockets|alpaca)\.")
    import websockets
    from alpaca.data.enums import DataFeed
    from alpaca.data.live import StockDataStream

NO_TICKS = frozenset({"b", "d", "u", "s", "l", "n", "c", "x"})
CURES = {
    "auth failed": "The key or its secret is wrong; check both in the vault against your Alpaca account.",
    "symbol limit exceeded": "More symbols than the plan allows; take some out, or change the plan.",
    "insufficient subscription": "The plan does not include this feed; use feed = 'iex', or change the plan.",
    "invalid subscribe action": "This feed has no such channel; choose another feed.",
    "HTTP 401": "The key or its secret is wrong; check both in the vault against your Alpaca account.",
    "HTTP 403": "The key or its secret is wrong; check both in the vault against your Alpaca account.",
    "HTTP 404": "There is no such stream; check the address and the feed's name.",
}
BUSY = ("connection limit exceeded", "HTTP 429")
PAUSE = 60.0  # seconds: the connection before ours is let go of only after a while


class AlpacaStreamFallback:
    """Implements `ports_live.Feed`. Key and secret are values, and stay here.

    feed: "iex" (free) or "sip"; url: a protocol server's, "" Alpaca's; channels: those that
    are asked for, whatever is subscribed to; silence: seconds without data that end a
    connection while they are due (a Liveness's `open`); pause: seconds to leave Alpaca alone at its connection limit.
    """

    name = "alpaca-py"

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        feed: str = "iex",
        url: str = "",
        channels: Collection[str] = ("trades", "quotes"),
        silence: float = 10.0,
        due: Callable[[], bool] = lambda: False,
        pause: float = PAUSE,
        symbology: Symbology | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._client = _Client(self, pause, key, secret, DataFeed(feed), url or None, silence, due)
        self._channels, self._symbology = channels, symbology or Symbology("Alpaca")
        self._some, self._reading, self._stopped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._reading.set()

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Feed until stopped or cancelled. Raises FeedRefused, and whatever `on_batch` raises."""
        client = self._client
        client.begin(on_batch, on_status)
        await self._some.wait()
        job = asyncio.create_task(self._job())
        try:
            await asyncio.wait({job})
        finally:
            client.halt()
            while not job.done():  # a cancellation is lost where alpaca-py's `wait_for` has an answer at that moment
                job.cancel()
                await asyncio.wait({job}, timeout=0.1)
            fault = None if job.cancelled() else job.exception()
            await client.leave()
        client.end()
        if fault:
            raise fault

    async def _job(self) -> None:
        if not self._stopped.is_set():
            await self._client._run_forever()  # noqa: SLF001 - its `run` would start a loop of its own

    def stop(self) -> None:
        """Let `run` end, for good."""
        self._stopped.set()
        self._some.set()
        self._client.halt()

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols too, now and after each reconnect."""
        for channel, names in self._named(trades, quotes):
            self._client._handlers[channel].update(dict.fromkeys(names, self._client.keep))  # noqa: SLF001
            if names:
                self._some.set()
        self._client.soon(self._client._send_subscribe_msg)  # noqa: SLF001

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols no more."""
        for channel, names in self._named(trades, quotes):
            for name in names:
                self._client._handlers[channel].pop(name, None)  # noqa: SLF001
            self._client.soon(self._client._send_unsubscribe_msg, channel, names)  # noqa: SLF001

    def _named(self, trades: Iterable[str], quotes: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
        for channel, symbols in (("trades", trades), ("quotes", quotes)):
            if channel in self._channels:
                yield channel, [self._symbology.theirs(symbol) for symbol in symbols]

    def pause(self) -> None:
        """Read no more for now: alpaca-py waits for its handler, and websockets for alpaca-py."""
        self._reading.clear()

    def resume(self) -> None:
        """Read on."""
        self._reading.set()


class _Client(StockDataStream):
    """alpaca-py's client; a fault that ends it is kept in `fault`."""

    def __init__(
        self,
        ours: AlpacaStreamFallback,
        pause: float,
        key: str,
        secret: str,
        feed: Any,
        url: Any,
        silence: float,
        due: Callable[[], bool],
    ) -> None:
        self._due, self._due_since = due, -math.inf
        params = {"ping_interval": 5, "ping_timeout": 5, "max_queue": 1024, "open_timeout": 10, "close_timeout": 2}
        super().__init__(key, secret, True, feed, params, url, silence)
        self.fault: BaseException | None = None
        self.tell: OnStatus = lambda _: None
        self.hand_on: OnBatch = lambda _: None
        self._ours, self._pause = ours, pause
        self._ticks: list[Tick] = []
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def _data_timeout(self) -> float:  # alpaca-py asks at each turn
        """The silence that ends a connection: none at night, nor before data have been due for as long."""
        now = time.monotonic()
        self._due_since = min(self._due_since, now) if self._due() and self._ours._reading.is_set() else math.inf  # noqa: SLF001
        return self._silence if now - self._due_since >= self._silence else math.inf

    @_data_timeout.setter
    def _data_timeout(self, seconds: float | None) -> None:
        self._silence = seconds or math.inf

    def begin(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Before a run."""
        self.hand_on, self.tell, self.fault = on_batch, on_status, None

    def end(self) -> None:
        """After a run: raise what ended it."""
        if isinstance(self.fault, FeedRefused):
            self.tell(Status("refused", str(self.fault)))
        if self.fault:
            raise self.fault

    async def keep(self, said: Any) -> None:
        """A trade or quote; they are handed on together when alpaca-py has read what has come."""
        try:
            tick = _tick(said)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            self._ours.counts[UNUSABLE] += 1
            return
        self._ticks.append(tick)
        if len(self._ticks) == 1:
            asyncio.get_running_loop().call_soon(self._flush)
        if not self._ours._reading.is_set():  # noqa: SLF001
            await self._ours._reading.wait()  # noqa: SLF001

    def soon(self, send: Any, *arguments: Any) -> None:
        """Send something, if the line stands."""
        if self._running and self._line():
            job = asyncio.create_task(self._sent(send, *arguments))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    def halt(self, fault: BaseException | None = None) -> None:
        """End `_run_forever`, whatever it is doing."""
        self.fault = self.fault or fault
        self._should_run = False
        if self._stop_stream_event:
            self._stop_stream_event.set()
        if self._stop_stream_queue.empty():
            self._stop_stream_queue.put_nowait({"should_stop": True})
        if line := self._line():
            self.soon(line.close)

    def _line(self) -> Any:
        return self._ws

    async def leave(self) -> None:
        """Let go of everything, as alpaca-py does not when it is cancelled."""
        with contextlib.suppress(OSError, websockets.WebSocketException):
            async with asyncio.timeout(5):
                await self.close()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._flush()

    async def _sent(self, send: Any, *arguments: Any) -> None:
        with contextlib.suppress(OSError, websockets.WebSocketException):  # the reader sees it too
            await send(*arguments)

    def _flush(self) -> None:
        ticks, self._ticks = self._ticks, []
        try:
            if ticks and self.fault is None:
                self.hand_on(ticks)
        except Exception as error:  # noqa: BLE001 - of the consumer; `run` raises it
            self.halt(error)

    async def _start_ws(self) -> None:
        try:
            await super()._start_ws()
        except Exception as error:  # alpaca-py raises ValueError for whatever Alpaca says
            await self._judge(str(error))
            raise
        self.tell(Status("connected"))

    async def _judge(self, words: str) -> None:
        """End for what a person must cure; wait for what takes long."""
        judged = refused(words)
        if isinstance(judged, FeedRefused):
            self.halt(judged)
            return
        busy = any(each in words for each in BUSY)
        self.tell(Status("lost", str(judged), self._pause if busy else 0.0))
        if busy:
            with contextlib.suppress(OSError, websockets.WebSocketException):
                await self.close()
            await self._sleep(self._pause)

    async def _sleep(self, seconds: float) -> None:
        if self._stop_stream_event:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop_stream_event.wait(), seconds)

    async def _consume(self) -> bool:
        while True:
            try:
                stale = await super()._consume()
            except (websockets.WebSocketException, OSError) as error:
                if self._should_run:
                    self.tell(Status("lost", f"Alpaca's stream, by alpaca-py: {error}."))
                raise
            except (ValueError, TypeError, AttributeError, KeyError):  # msgpack's errors are ValueErrors
                self._ours.counts[UNREADABLE] += 1
                continue
            if stale:
                self.tell(Status("lost", "Alpaca's stream is mute."))
            return bool(stale)

    async def _dispatch(self, msg: Any) -> None:
        kind = msg.get("T")
        if kind == "error":
            await self._wrong(f"{msg.get('msg')} ({msg.get('code')})")
        elif kind == "subscription":
            words = f"trades of {len(msg.get('trades') or [])}, quotes of {len(msg.get('quotes') or [])} symbols"
            self.tell(Status("subscribed", words))
        elif kind in {"t", "q"}:
            handler = self._handlers["trades" if kind == "t" else "quotes"].get(msg.get("S"), self.keep)
            await handler(msg)  # one never asked for is for the screening to count
        else:
            self._ours.counts[NO_TICK if kind in NO_TICKS else UNKNOWN_TYPE] += 1

    async def _wrong(self, words: str) -> None:
        judged = refused(words)
        if isinstance(judged, FeedRefused):
            self.halt(judged)
        else:
            self.tell(Status("lost", str(judged)))


def refused(words: str) -> QuaestorError:
    """What an error of Alpaca's means for us, by its words."""
    told = f"Alpaca's stream, by alpaca-py: {words}."
    cure = next((cure for each, cure in CURES.items() if each in words), "")
    return FeedRefused(f"{told} {cure}") if cure else FeedLost(told)


def _tick(said: dict[str, Any]) -> Tick:
    at = said["t"].seconds * SECOND + said["t"].nanoseconds
    if said["T"] == "t":
        return TradeTick(_name(said["S"]), at, _number(said["p"]), _number(said["s"]))
    return QuoteTick(_name(said["S"]), at, *(_number(said[each]) for each in ("bp", "ap", "bs", "as")))


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"no symbol: {value!r}")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"no number: {value!r}")
    return float(value)
