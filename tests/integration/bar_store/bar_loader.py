"""A process that loads a long window of one symbol in many parts: `bar_loader.py URI SYMBOL`. It may be killed.

Its source is a random walk that is the same in every process.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
from collections.abc import Iterable

import numpy as np
import polars as pl

from quaestor import bars, calendar
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.operations import ingest
from quaestor.ports import Capabilities, History

FIRST, LAST = dt.date(2010, 11, 1), dt.date(2011, 6, 30)
TIMEFRAME = "5m"


class Walk:
    """A source: prices that step by cents."""

    name = "walk"
    capabilities = Capabilities((TIMEFRAME,))

    def require(self, symbols: Iterable[str]) -> None:
        """It has every symbol."""

    async def span(self, symbol: str, timeframe: str = bars.DAILY) -> tuple[dt.date, dt.date]:
        """The same for all."""
        del symbol, timeframe
        return FIRST, LAST

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = bars.DAILY) -> History:
        """The bars of a window."""
        ends = [(day, at) for day in calendar.sessions(FIRST, LAST) for at in calendar.ends(day, timeframe)]
        rng = np.random.default_rng(7)
        closes = 100 + np.cumsum(rng.integers(-5, 6, len(ends))) / 100
        frame = pl.DataFrame(
            {
                "symbol": [symbol] * len(ends),
                "timeframe": [timeframe] * len(ends),
                "session": [day for day, _ in ends],
                "ts": [at for _, at in ends],
                "open": closes,
                "high": closes + 0.05,
                "low": closes - 0.05,
                "close": closes,
                "volume": rng.integers(1_000, 9_000, len(ends)),
            },
            schema=bars.schema(),
        )
        return History(frame.filter(pl.col("session").is_between(start, end)))


class Silent:
    """Alerts that nobody needs."""

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        """Raise: this market is calm."""
        raise AssertionError(f"{title}: {body} ({urgent=})")


async def load(uri: str, symbol: str) -> ingest.Ingested:
    """Take the whole window in small parts."""
    ingest.split.__defaults__ = (1_000,)
    async with Database(uri) as door:
        intake = ingest.Intake(Walk(), BarStore(door), Silent(), lambda: dt.datetime(2012, 3, 5, tzinfo=dt.UTC))
        return await ingest.take(intake, symbol, FIRST, LAST, TIMEFRAME)


if __name__ == "__main__":
    print(asyncio.run(load(*sys.argv[1:])))
