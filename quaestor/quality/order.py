"""Bars in order, in batches of whole symbols.

Vendors send bars sorted, mostly: that is seen in one pass, and then nothing is moved. Else one number per row is sorted
instead of three columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from quaestor.bars import schema

if TYPE_CHECKING:
    import polars as pl

BATCH = 500_000  # rows


def typed(bars: pl.DataFrame) -> pl.DataFrame:
    """In the types of a bars frame; a volume in fractions stays one, so that it can be refused."""
    import polars as pl

    fraction = bars["volume"].dtype.is_float()
    types = schema() | {"volume": pl.Float64() if fraction else pl.Int64()}
    return bars.cast(types)  # type: ignore[arg-type]  # a dict of names to types; polars declares it invariant


def in_order(bars: pl.DataFrame) -> tuple[pl.DataFrame, list[int]]:
    """By timeframe, symbol and time, with the rows where a symbol begins; not moved where it is sorted already."""
    import polars as pl

    starts = _starts(bars)
    heads = bars[starts].select("timeframe", "symbol")
    rising = bars.select((pl.col("ts") >= pl.col("ts").shift(1)).fill_null(value=False).alias("rising"))["rising"]
    if rising.sum() + len(starts) >= bars.height and rising.scatter(starts, True).all() and heads.equals(_heads(heads)):
        return bars, starts.to_list()
    moved = bars[_order(bars).arg_sort()]
    return moved, _starts(moved).to_list()


def _order(bars: pl.DataFrame) -> pl.Series:
    """One number per row that sorts by timeframe, symbol and second: three times as fast as sorting by text."""
    import polars as pl

    def place(name: str) -> pl.Expr:
        names = pl.Enum(bars[name].drop_nulls().unique().sort())
        return (pl.col(name).cast(names).to_physical().cast(pl.Int64) + 1).fill_null(0)

    symbols, seconds = bars["symbol"].n_unique() + 1, pl.col("ts").dt.epoch("s").fill_null(0)
    return bars.select((place("timeframe") * symbols + place("symbol")) * 2**36 + seconds).to_series()


def _starts(bars: pl.DataFrame) -> pl.Series:
    import polars as pl

    other = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in ("timeframe", "symbol"))
    return bars.select(other | (pl.int_range(pl.len()) == 0)).to_series().arg_true()


def _heads(heads: pl.DataFrame) -> pl.DataFrame:
    return heads.unique().sort("timeframe", "symbol")


def batches(bars: pl.DataFrame, starts: list[int]) -> Iterator[tuple[int, int]]:
    """Stretches of whole symbols of one timeframe, as rows [first, last)."""
    heads = bars["timeframe"].gather(starts)
    first = 0
    for place, start in enumerate(starts[1:], 1):
        if start - first >= BATCH or heads[place] != heads[place - 1]:
            yield first, start
            first = start
    if bars.height:
        yield first, bars.height
