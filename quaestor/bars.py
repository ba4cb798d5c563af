"""Bars: as-traded prices of one symbol over one stretch of time (law 8).

A *bars frame* is a polars frame with the columns of `schema()`, sorted by symbol and ts; `ts` is the bar's end (for a
daily bar the session's close), `session` the exchange session it belongs to. Prices are as-traded dollars, volume
shares.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from quaestor.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

DAILY = "1d"
MINUTE = "1m"
SECONDS = {MINUTE: 60, "5m": 300, "1h": 3600}  # how long an intraday bar lasts
TIMEFRAMES = (DAILY, *SECONDS)
PRICES = ("open", "high", "low", "close")
SYMBOL = r"^[A-Z][A-Z0-9.\-]{0,9}$"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, as traded. Prices in dollars per share, volume in shares, `ts` the bar's end in UTC."""

    symbol: str
    session: dt.date
    ts: dt.datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    version: int = 1
    timeframe: str = DAILY

    def __post_init__(self) -> None:
        if self.ts.tzinfo is None:
            raise BadInput(f"Bar {self.symbol} {self.session}: ts {self.ts} has no time zone; give it in UTC.")

    @property
    def key(self) -> str:
        """What a decision cites: symbol, timeframe, bar end (never a data version: that is provenance).

        In UTC whatever zone the bar was handed over in: idempotency keys hang on it (law 1).
        """
        return f"{self.symbol}|{self.timeframe}|{self.ts.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"


def schema() -> dict[str, pl.DataType]:
    """Columns and types of a bars frame."""
    import polars as pl

    return {
        "symbol": pl.String(),
        "timeframe": pl.String(),
        "session": pl.Date(),
        "ts": pl.Datetime("us", "UTC"),
        "open": pl.Float64(),
        "high": pl.Float64(),
        "low": pl.Float64(),
        "close": pl.Float64(),
        "volume": pl.Int64(),
    }


def empty() -> pl.DataFrame:
    """A bars frame without bars."""
    import polars as pl

    return pl.DataFrame(schema=schema())


def price(value: float) -> Decimal:
    """A price as exact decimal: the shortest decimal that reads back as this float (46.73, not 46.7299999…)."""
    return Decimal(repr(float(value)))  # float(): a NumPy float's repr is no number


exact = lru_cache(maxsize=1 << 14)(price)  # in cents, a session's prices are a few thousand, told again and again


def window(bars: pl.DataFrame, symbol: str, start: dt.date, end: dt.date) -> pl.DataFrame:
    """The bars of one symbol with start ≤ session ≤ end.

    Raises BadInput when the range is empty or misses the symbol's bars altogether.
    """
    import polars as pl

    if start > end:
        raise BadInput(f"{symbol}: the range {start} … {end} is empty; give a start on or before the end.")
    mine = bars.filter(pl.col("symbol") == symbol)
    first, last = span(mine)
    if end < first or start > last:
        there = f"its bars go from {first} to {last}"
        raise BadInput(f"{symbol}: no bars in {start} … {end}; {there}. Choose a range that meets them.")
    return mine.filter(pl.col("session").is_between(start, end))


def span(bars: pl.DataFrame) -> tuple[dt.date, dt.date]:
    """First and last session of a frame that is not empty."""
    first, last = bars.select(a=bars["session"].min(), b=bars["session"].max()).row(0)
    return first, last
