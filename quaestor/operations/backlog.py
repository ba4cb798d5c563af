"""What a feed has handed on and nobody has taken yet.

A feed hands on as fast as it reads. Who cannot always keep up puts a `Backlog` in between: of what waits there only
each symbol's newest quote stays, and every trade; what waits in the socket is read first, and past a bound the feed is
paused, so that the rest waits with the vendor, not in memory.
"""

from __future__ import annotations

import asyncio

from quaestor.ports_live import Feed
from quaestor.ticks import QuoteTick, Tick


class Backlog:
    """`add` is its feed's on_batch, `take` gives all that waits.

    calm: ticks up to which nothing is conflated; most: ticks from which on the feed is paused. `conflated`: quotes that
    gave way to newer ones.
    """

    BUSY = 256  # ticks that make it worth to look for more in the socket
    TURNS = 64

    def __init__(self, calm: int = 4096, most: int = 1_000_000, feed: Feed | None = None) -> None:
        self.conflated = 0
        self._calm, self._most, self._bound, self._feed = calm, most, calm, feed
        self._held: list[Tick] = []
        self._paused = False
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def add(self, ticks: list[Tick]) -> None:
        """Hold these ticks too."""
        self._held += ticks
        if len(self._held) > self._bound:
            self._conflate()
        self._some.set()

    async def take(self) -> list[Tick]:
        """All that is held, at least one tick; waits for it."""
        while not self._held:
            self._some.clear()
            await self._some.wait()
        if len(self._held) >= self.BUSY:
            await self._read_ahead()
        taken, self._held, self._bound = self._held, [], self._calm
        if self._paused and self._feed:
            self._paused = False
            self._feed.resume()
        return taken

    async def _read_ahead(self) -> None:
        """Give the socket its turns while it has more: a quote that is already old is not worth a decision."""
        for _ in range(self.TURNS):
            before = len(self._held) + self.conflated
            await asyncio.sleep(0)  # the loop polls the socket …
            await asyncio.sleep(0)  # … and reads it
            if self._paused or len(self._held) + self.conflated - before < self.BUSY:
                return

    def _conflate(self) -> None:
        seen: set[str] = set()
        kept: list[Tick] = []
        for tick in reversed(self._held):
            if type(tick) is QuoteTick:
                if tick.symbol in seen:
                    continue
                seen.add(tick.symbol)
            kept.append(tick)
        kept.reverse()
        self.conflated += len(self._held) - len(kept)
        self._held, self._bound = kept, max(self._calm, 2 * len(kept))
        if len(kept) > self._most and self._feed and not self._paused:
            self._paused = True
            self._feed.pause()
