"""Quotes asked for again and again, as a feed: for a broker that has quotes and no stream.

One round at a time, every so often, all symbols in one call; a round that takes longer than that is followed at once by
the next. What was told before is not told again: a trade counts once. A passing fault is waited out, longer each time
(see `pacing`); what a person must cure ends the run, unless we were let in before. Outside the hours nobody is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from quaestor.errors import Permanent, QuaestorError, Temporary
from quaestor.feeds import UNUSABLE, FeedRefused, OnBatch, OnStatus, Status
from quaestor.pacing import backoff
from quaestor.ports_live import QuotePoll
from quaestor.ticks import Tick, TradeTick


class PollingFeed:
    """Implements `ports_live.Feed`.

    channels: those that are told, whatever is subscribed to; every: seconds from round to round; patience: seconds for
    an answer; due: whether anything is told now (a Liveness's `open`); first, longest: seconds to wait after a fault.
    """

    def __init__(
        self,
        poll: QuotePoll,
        *,
        channels: Collection[str] = ("trades", "quotes"),
        every: float = 1.0,
        patience: float = 5.0,
        due: Callable[[], bool] = lambda: True,
        first: float = 1.0,
        longest: float = 60.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"{poll.name} quotes"
        self.counts: Counter[str] = Counter()
        self.wanted = {"trades": set[str](), "quotes": set[str]()}
        self._channels = channels
        self._poll, self._every, self._patience, self._due = poll, every, patience, due
        self._first, self._longest, self._chance = first, longest, chance
        self._last: dict[tuple[str, type[Tick]], Tick] = {}
        self._reading, self._stopped = asyncio.Event(), asyncio.Event()
        self._reading.set()

    async def run(self, on_batch: OnBatch, on_status: OnStatus) -> None:
        """Feed until stopped or cancelled. Raises FeedRefused, and whatever `on_batch` raises."""
        failures, connected, ever, now = 0, False, False, asyncio.get_running_loop().time
        while not self._stopped.is_set():
            await self._reading.wait()
            began, symbols = now(), sorted(self.wanted["trades"] | self.wanted["quotes"])
            if symbols and self._due():
                try:
                    told = await self._ask(symbols)
                except Temporary as error:
                    failures, connected = failures + 1, False
                    await self._rest(error, failures, on_status)
                    continue
                except Permanent as error:
                    if ever:  # it has let us in before: a portal or a guard stands between for now
                        failures, connected = failures + 1, False
                        await self._rest(error, failures, on_status)
                        continue
                    on_status(Status("refused", str(error)))
                    raise FeedRefused(f"{self.name}: {error}") from error
                if not connected:
                    on_status(Status("connected"))
                    on_status(Status("subscribed", f"{len(symbols)} symbols, every {self._every:g} s"))
                failures, connected, ever = 0, True, True
                if news := self._news(told):
                    on_batch(news)
            await self._wait(max(0.0, began + self._every - now()))

    def stop(self) -> None:
        """Let `run` end, for good."""
        self._stopped.set()
        self._reading.set()

    def subscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols too."""
        self.wanted["trades"].update(trades if "trades" in self._channels else ())
        self.wanted["quotes"].update(quotes if "quotes" in self._channels else ())

    def unsubscribe(self, trades: Iterable[str] = (), quotes: Iterable[str] = ()) -> None:
        """Ask for these symbols no more."""
        self.wanted["trades"].difference_update(trades)
        self.wanted["quotes"].difference_update(quotes)

    def pause(self) -> None:
        """Ask no more for now."""
        self._reading.clear()

    def resume(self) -> None:
        """Ask on."""
        self._reading.set()

    async def _ask(self, symbols: Sequence[str]) -> Sequence[Tick]:
        try:
            async with asyncio.timeout(self._patience):
                return await self._poll.quotes(symbols)
        except TimeoutError as error:
            raise Temporary(f"{self.name}: no answer within {self._patience:g} s.") from error

    async def _rest(self, error: QuaestorError, failures: int, on_status: OnStatus) -> None:
        wait = backoff(failures, self._chance(), self._first, self._longest)
        wait = max(wait, float(getattr(error, "retry_after", 0.0)))
        on_status(Status("lost", str(error), wait))
        await self._wait(wait)

    async def _wait(self, seconds: float) -> None:
        """Until then, or until it is stopped; the loop turns at least once."""
        await asyncio.sleep(0)
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), seconds)

    def _news(self, told: Sequence[Tick]) -> list[Tick]:
        """What is wanted and was not told before; a time that goes back is an older answer."""
        news: list[Tick] = []
        for tick in told:
            if tick.symbol not in self.wanted["trades" if isinstance(tick, TradeTick) else "quotes"]:
                continue
            key = (tick.symbol, type(tick))
            last = self._last.get(key)
            if last is not None and (last == tick or tick.at < last.at):
                self.counts[UNUSABLE] += tick.at < last.at
                continue
            self._last[key] = tick
            news.append(tick)
        return news
