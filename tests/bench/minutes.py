"""Minute bars for benchmarks: any number of symbols and bars, on minutes of real sessions, the same ones every time.

They lie in a Parquet file whose row groups are whole symbols, sorted by symbol and time: what a vendor's bulk file is
after an export. Who reads it reads a group at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

GROUP = 25  # symbols in a row group
WINDOW = (dt.date(2024, 1, 2), dt.date(2024, 3, 28))  # 61 sessions of 390 minutes


def symbols(count: int) -> list[str]:
    """Names for so many symbols."""
    return [f"S{number:03}" for number in range(count)]


def frames(names: list[str], count: int) -> Iterator[pl.DataFrame]:
    """Bars frames of these symbols, each with its first `count` minutes; `GROUP` symbols at a time."""
    import numpy as np

    rng = np.random.default_rng(1)
    minutes = _minutes(count)
    for first in range(0, len(names), GROUP):
        yield _frame(names[first : first + GROUP], minutes, rng)


def write(path: Path, parts: Iterable[pl.DataFrame]) -> None:
    """A Parquet file with one row group for each frame."""
    import pyarrow.parquet as pq

    writer = None
    for part in parts:
        table = part.to_arrow()
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=len(table))
    assert writer
    writer.close()


def read(path: Path) -> Iterator[pl.DataFrame]:
    """The row groups of a file, as bars frames."""
    import polars as pl
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            frame = pl.from_arrow(file.read_row_group(number))
            assert isinstance(frame, pl.DataFrame)
            yield frame


def _minutes(count: int) -> pl.DataFrame:
    """Session and end of so many minutes."""
    import polars as pl

    from quaestor.calendar import ends, sessions

    stamps = [(day, end) for day in sessions(*WINDOW) for end in ends(day, "1m")]
    assert len(stamps) >= count
    kinds = {"session": pl.Date(), "ts": pl.Datetime("us", "UTC")}
    return pl.DataFrame(stamps[:count], schema=kinds, orient="row")


def _frame(names: list[str], minutes: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Prices that wander by a few cents a minute, each bar with a range of its own."""
    import numpy as np
    import polars as pl

    from quaestor.bars import schema

    shape = (len(names), len(minutes))
    close = 50 + np.abs(np.cumsum(rng.normal(0, 0.03, shape), axis=1))
    opened = close + rng.normal(0, 0.02, shape)
    wick = rng.uniform(0, 0.03, (2, *shape))
    prices = {
        "open": opened,
        "high": np.maximum(opened, close) + wick[0],
        "low": np.minimum(opened, close) - wick[1],
        "close": close,
    }
    columns = {name: np.round(values, 2).ravel() for name, values in prices.items()}
    made = pl.concat([minutes] * len(names)).with_columns(
        symbol=pl.Series(names).gather(np.repeat(np.arange(len(names)), len(minutes))),
        timeframe=pl.lit("1m"),
        volume=pl.Series(rng.integers(100, 10_000, shape).ravel()),
        **{name: pl.Series(values) for name, values in columns.items()},
    )
    return made.select(list(schema()))
