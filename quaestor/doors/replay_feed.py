"""Recorded ticks as a feed: in their order, at any speed, by a clock that is handed in.

A tick is told when its time has come: the recording began at `begins`, and runs `speed` times as fast as the clock.
So a rehearsal whose clock stands in the recording's session plays it as it was; what lies before is not told again.
Without a speed, ticks come as fast as they are taken. A replay feed reads no socket: paused, it waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable

from quaestor.errors import QuaestorError
from quaestor.feeds import FeedRefused, OnBatch, OnStatus, Status
from quaestor.ticks import SECOND, Tick, TradeTick

Recording = Iterable[Tick] | Callable[[], AsyncIterator[Iterable[Tick]]]  # at once, or part by part as it is fetched
BATCH = 512
LONGEST = 0.05  # seconds between two looks at the clock, which may jump


class ReplayFeed:
    """Implements `ports_live.Feed`.

    channels: those that are told, whatever is subscribed to; begins: the recording's instant that it begins at, ns;
    None: its first tick's. speed None: as fast as it is taken. ends: whether `run` ends with the recording; a live
    run's does not.
    """

    name = "replay"

    def __init__(
        self,
        ticks: Recording,
        *,
        channels: Collection[str] = ("trades", "quotes"),
        clock: Callable[[], int],
        speed: float | None = 1.0,
        begins: int | None = None,
        ends: bool = False,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.wanted = {"trades": set[str](), "quotes": set[str]()}
        self._ticks, self._channels, self._clock = ticks, channels, clock
        self._speed, self._begins, self._ends = speed, begins, ends
        self._reading, self._stopped = asyncio.Event(), asyncio.Event()
        self._reading.set()

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Feed until stopped, cancelled or, where it `ends`, the end.

        Raises FeedRefused, and what `on_batch` raises.
        """
        on_status(Status("connected", "a recording"))
        told = f"trades of {len(self.wanted['trades'])}, quotes of {len(self.wanted['quotes'])} symbols"
        on_status(Status("subscribed", told))
        try:
            await self._play(on_batch)
        except FeedRefused as error:
            on_status(Status("refused", str(error)))
            raise
        if not self._stopped.is_set():
            on_status(Status("note", "The recording is at its end."))
        if not self._ends:
            await self._stopped.wait()

    def stop(self) -> None:
        """Let `run` end, for good."""
        self._stopped.set()
        self._reading.set()

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Tell of these symbols too."""
        self.wanted["trades"].update(trades if "trades" in self._channels else ())
        self.wanted["quotes"].update(quotes if "quotes" in self._channels else ())

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Tell of these symbols no more."""
        self.wanted["trades"].difference_update(trades)
        self.wanted["quotes"].difference_update(quotes)

    def pause(self) -> None:
        """Tell nothing for now."""
        self._reading.clear()

    def resume(self) -> None:
        """Tell on."""
        self._reading.set()

    async def _parts(self) -> AsyncIterator[Iterable[Tick]]:
        if not callable(self._ticks):
            yield self._ticks
            return
        parts = self._ticks()
        while True:
            try:
                part = await anext(parts)
            except StopAsyncIteration:
                return
            except QuaestorError as error:
                raise FeedRefused(f"The recording cannot be read: {error}") from error
            yield part

    async def _play(self, on_batch: OnBatch) -> None:
        started, begins = self._clock(), self._begins
        async for part in self._parts():
            batch: list[Tick] = []
            for tick in part:
                if begins is None:
                    begins = tick.at
                if self._begins is not None and tick.at < self._begins:
                    continue
                if len(batch) >= BATCH or (self._speed is not None and tick.at > self._played(started, begins)):
                    await self._hand_on(batch, on_batch)
                    batch = []
                    await self._until(tick.at, started, begins)
                if self._stopped.is_set():
                    return
                if tick.symbol in self.wanted["trades" if type(tick) is TradeTick else "quotes"]:
                    batch.append(tick)
            await self._hand_on(batch, on_batch)

    def _played(self, started: int, begins: int) -> float:
        """The recording's time now."""
        return begins + (self._clock() - started) * (self._speed or 0.0)

    async def _until(self, at: int, started: int, begins: int) -> None:
        while self._speed is not None and not self._stopped.is_set():
            left = (at - self._played(started, begins)) / SECOND / self._speed
            if left <= 0:
                return
            await asyncio.sleep(min(left, LONGEST))

    async def _hand_on(self, batch: list[Tick], on_batch: OnBatch) -> None:
        await self._reading.wait()
        if batch and not self._stopped.is_set():
            on_batch(batch)
        await asyncio.sleep(0)
