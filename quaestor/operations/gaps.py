"""After a reconnect: what the line missed, fetched from the source of history, as far as it is known there.

Symbols are asked for side by side, as many as the source may be asked at a time; one that it cannot give is named, and
costs no other. `repair` comes again for the minutes that had not ended yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from quaestor.bars import MINUTE as TIMEFRAME
from quaestor.errors import QuaestorError
from quaestor.live.gaps import LATE, Filled, Heard, Outage, fill, nothing_heard
from quaestor.live.paths import MINUTE
from quaestor.ports import Source
from quaestor.ticks import SECOND

ROUNDS = 5  # how often what is left is asked for


@dataclass(frozen=True)
class Repaired:
    """What was filled, and the symbols for which nothing could be had, with the words why."""

    filled: Filled
    failed: dict[str, str] = field(default_factory=dict)


async def fetched(
    source: Source, symbols: Sequence[str], outage: Outage, now: int, max_age: int, heard: Heard = nothing_heard
) -> Repaired:
    """One round; see `gaps.fill`."""
    import polars as pl

    from quaestor.bars import empty

    if TIMEFRAME not in source.capabilities.timeframes:
        words = f"{source.name} has no bars of a minute"
        return Repaired(Filled(empty(), [], None), dict.fromkeys(symbols, words))
    turn, failed = asyncio.Semaphore(source.capabilities.in_flight), dict[str, str]()

    async def minutes(symbol: str) -> pl.DataFrame:
        async with turn:
            try:
                return (await source.history(symbol, *outage.days, TIMEFRAME)).bars.select(empty().columns)
            except QuaestorError as error:
                failed[symbol] = str(error)
                return empty()

    found = await asyncio.gather(*(minutes(symbol) for symbol in symbols))
    bars = pl.concat([empty(), *found]).sort("symbol", "ts")
    return Repaired(fill(bars, outage, now, max_age, heard), failed)


async def repair(
    source: Source,
    symbols: Sequence[str],
    outage: Outage,
    now: Callable[[], int],
    max_age: int,
    heard: Heard = nothing_heard,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[Repaired]:
    """Round after round, until the outage is filled; what cannot be had is asked for no more."""
    left: Outage | None = outage
    for _ in range(ROUNDS):
        if left is None or not symbols:
            return
        done = await fetched(source, symbols, left, now(), max_age, heard)
        symbols = [symbol for symbol in symbols if symbol not in done.failed]
        left = done.filled.rest
        yield done
        if left is not None:
            known = (left.since // MINUTE + 1) * MINUTE + LATE
            await sleep(max(0.0, known - now()) / SECOND)
