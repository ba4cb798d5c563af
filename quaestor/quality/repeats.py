"""What two bars of a symbol show together: duplicates and stale repeats.

Two bars of one time that agree in everything are one bar, sent twice: the copy is dropped and counted. Where they
differ, nobody can say which is right: all of them go to quarantine.

A share may stand still: a minute without trades repeats the last price, with no volume. But a bar that moved inside,
and comes again with the same prices *and* the same volume, is the vendor's old bar under a new time. The first of
such a run is kept. (AAPL of 2003-01-29 in the recorded market repeats the day before in all four prices with another
volume; so two such days pass and three do not.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaestor.bars import PRICES
from quaestor.quality.limits import Repeats
from quaestor.quality.rules import no_faults

if TYPE_CHECKING:
    import polars as pl

VALUES = (*PRICES, "volume")


def duplicates(work: pl.DataFrame) -> tuple[pl.Series, pl.DataFrame]:
    """Rows that copy the row before (to drop), and all rows of times with conflicting bars, in the gate's words."""
    import polars as pl

    twin = _as_before("group", "ts")
    if not work.select(twin.any()).item():
        return no_faults()["row"], no_faults()
    seen = work.filter(twin | twin.shift(-1, fill_value=False))
    several = seen.filter(pl.struct(VALUES).n_unique().over("group", "ts") > 1)
    copies = seen.filter(~pl.struct("group", "ts", *VALUES).is_first_distinct())
    return copies["row"].filter(~copies["row"].is_in(several["row"].implode())), _found(several)


def _found(several: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    return several.select(
        "row",
        rule=pl.lit("duplicate"),
        field=pl.lit("ts"),
        observed=pl.format("{} bars of {}", pl.len().over("group", "ts"), pl.col("ts").dt.to_string("%Y-%m-%d %H:%M")),
        limit=pl.lit("1"),
    )


def stale(work: pl.DataFrame, limits: Repeats) -> pl.DataFrame:
    """The repeats in runs of equal bars that are too long, in the gate's words."""
    import polars as pl

    equal = _as_before("group", *PRICES) & (pl.col("volume") > 0)
    repeats = work.select(
        "row",
        at=pl.int_range(pl.len(), dtype=pl.Int64),
        equal=equal,
        moved=pl.col("high") > pl.col("low"),
        same=_as_before("volume"),
    ).filter("equal")
    if repeats.is_empty():
        return no_faults()
    runs = [
        _runs(repeats.filter("moved", "same"), limits.copies, "prices and volume"),
        _runs(repeats.filter("moved"), limits.moving, "prices"),
        _runs(repeats, limits.flat, "prices"),
    ]
    return pl.concat(runs).filter(pl.col("row").is_not_null()).unique("row", keep="first", maintain_order=True)


def _runs(repeats: pl.DataFrame, most: int, what: str) -> pl.DataFrame:
    """Repeats whose run, with the bar it repeats, is `most` bars or longer."""
    import polars as pl

    run = (pl.col("at").diff().fill_null(0) != 1).cum_sum()
    length = pl.len().over("run") + 1
    return (
        repeats.with_columns(run=run)
        .filter(length >= most)
        .select(
            "row",
            rule=pl.lit("stale"),
            field=pl.lit("close"),
            observed=pl.format("{} bars with equal {}", length, pl.lit(what)),
            limit=pl.lit(f"< {most}"),
        )
    )


def _as_before(*names: str) -> pl.Expr:
    import polars as pl

    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in names).fill_null(value=False)
