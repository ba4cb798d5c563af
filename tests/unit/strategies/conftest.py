"""The recorded market (real prices of five companies, 2000 to 2013) and small made-up ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bokeh_sampledata
import polars as pl
import pytest

from quaestor.splits import Split, adjust, derive_splits
from quaestor.strategies.base import COLUMNS

RECORDED = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"
COLUMN_NAMES = {"Ticker": "symbol", "Date": "session", "Adj Close": "adj_close"} | {
    name.capitalize(): name for name in ("open", "high", "low", "close", "volume")
}


@dataclass(frozen=True)
class Market:
    """Bars (with version) and splits, and the frame that a strategy is shown of them."""

    bars: pl.DataFrame
    splits: Sequence[Split] = ()

    @property
    def frame(self) -> pl.DataFrame:
        return adjust(self.bars, self.splits).select(COLUMNS)

    @property
    def sessions(self) -> list[dt.date]:
        return self.bars["session"].unique().sort().to_list()


def stamped(bars: pl.DataFrame) -> pl.DataFrame:
    stamp = (pl.col("session").cast(pl.Datetime("us")) + pl.duration(hours=21)).dt.replace_time_zone("UTC")
    version = pl.lit(1, dtype=pl.Int32)
    return bars.with_columns(ts=stamp, timeframe=pl.lit("1d"), version=version).sort("symbol", "ts")


@pytest.fixture(scope="session")
def recorded() -> Market:
    raw = pl.read_csv(RECORDED, try_parse_dates=True).rename(COLUMN_NAMES)
    return Market(stamped(raw.drop("adj_close")), derive_splits(raw))


@pytest.fixture(scope="session")
def market() -> Callable[..., Market]:
    """market({"AAPL": [10.0, None, 11.0]}, splits) is three weekdays from 2020-01-01 on, one without a bar."""

    def make(closes: dict[str, list[float | None]], splits: Sequence[Split] = (), start: str = "2020-01-01") -> Market:
        rows: list[dict[str, Any]] = []
        for symbol, prices in closes.items():
            days = pl.date_range(pl.lit(start).str.to_date(), pl.lit("2030-01-01").str.to_date(), eager=True)
            weekdays = days.filter(days.dt.weekday() < 6)
            for day, close in zip(weekdays, prices, strict=False):
                if close is not None:
                    row = dict.fromkeys(("open", "high", "low", "close"), float(close))
                    rows.append({"symbol": symbol, "session": day, **row, "volume": 100})
        return Market(stamped(pl.DataFrame(rows)), splits)

    return make
