"""What a bar shows by itself: its fields, its range, its place in the session.

Each check is one polars expression. They are evaluated together in one pass; words are found only for the rows that
one of them is true for, and a row gets those of its first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor.bars import DAILY, PRICES, SECONDS
from quaestor.calendar import hours_of
from quaestor.quality.findings import HIGHEST_PRICE, HIGHEST_VOLUME
from quaestor.quality.limits import Context
from quaestor.quality.rules import no_faults

if TYPE_CHECKING:
    import polars as pl

SECOND = 1_000_000  # µs
HALF_HOUR = 1800  # hourly bars end on the hour with some vendors, on the half with those that count from 09:30
KEYS = ("symbol", "timeframe", "session", "ts")


@dataclass(frozen=True, slots=True)
class Check:
    """One way for one field to break a rule; `limit` says in words what it was held against."""

    rule: str
    field: str
    bad: pl.Expr
    limit: str | pl.Expr


def broken(bars: pl.DataFrame, timeframe: str, context: Context) -> pl.DataFrame:
    """The rows that break a rule by themselves: row (counted from 0), rule, field, observed, limit."""
    import polars as pl

    seen = bars.hstack(hours_of(bars["session"]))
    checks = list(_checks(bars, timeframe, context))
    bad = seen.select(pl.any_horizontal(check.bad for check in checks).fill_null(value=False).alias("bad"))["bad"]
    if not bad.any():
        return no_faults()
    return _worded(seen.with_row_index("row").filter(bad), checks)


def _worded(rows: pl.DataFrame, checks: list[Check]) -> pl.DataFrame:
    import polars as pl

    def first(texts: Iterator[pl.Expr]) -> pl.Expr:
        return pl.coalesce(pl.when(check.bad).then(text) for check, text in zip(checks, texts, strict=True))

    limits = (pl.lit(check.limit) if isinstance(check.limit, str) else check.limit for check in checks)
    return rows.select(
        pl.col("row").cast(pl.UInt32),
        rule=first(pl.lit(check.rule) for check in checks),
        field=first(pl.lit(check.field) for check in checks),
        observed=first(pl.col(check.field).cast(pl.String).fill_null("nothing") for check in checks),
        limit=first(limits),
    )


def _checks(bars: pl.DataFrame, timeframe: str, context: Context) -> Iterator[Check]:
    """All checks, the most elementary first."""
    import polars as pl

    yield from _missing(bars)
    if timeframe != DAILY and timeframe not in SECONDS:
        known = f"one of {', '.join((DAILY, *SECONDS))}"
        yield Check("unknown_timeframe", "timeframe", pl.lit(value=True), known)
        return
    yield from _numbers(bars)
    yield from _range()
    yield from _place(timeframe, context)
    if "interpolated" in bars.columns:
        yield Check("interpolated", "interpolated", pl.col("interpolated"), "false")
    yield _no_volume(timeframe)


def _missing(bars: pl.DataFrame) -> Iterator[Check]:
    import polars as pl

    for name in (*KEYS, *PRICES, "volume"):
        if bars[name].null_count():
            yield Check("missing", name, pl.col(name).is_null(), "a value")


def _numbers(bars: pl.DataFrame) -> Iterator[Check]:
    import polars as pl

    volume, fraction = pl.col("volume"), bars["volume"].dtype.is_float()
    for name in (*PRICES, *(["volume"] if fraction else [])):
        yield Check("not_finite", name, ~pl.col(name).is_finite(), "a finite number")
    for name in PRICES:
        yield Check("not_positive", name, pl.col(name) <= 0, "> 0")
    for name in PRICES:
        yield Check("too_high", name, pl.col(name) > HIGHEST_PRICE, f"<= {HIGHEST_PRICE:.0f}")
    yield Check("too_high", "volume", volume > HIGHEST_VOLUME, f"<= {HIGHEST_VOLUME:.0f}")
    yield Check("negative_volume", "volume", volume < 0, ">= 0")
    if fraction:
        yield Check("not_whole", "volume", volume != volume.floor(), "a whole number")


def _range() -> Iterator[Check]:
    import polars as pl

    low, high = pl.col("low"), pl.col("high")
    yield Check("high_below_low", "high", high < low, pl.format(">= low {}", low))
    for name in ("open", "close"):
        outside = ~pl.col(name).is_between(low, high)
        yield Check("outside_range", name, outside, pl.format("{} to {}", low, high))


def _place(timeframe: str, context: Context) -> Iterator[Check]:
    """A daily bar ends with its session; an intraday one inside its session's hours, on the grid."""
    import polars as pl

    yield Check("no_session", "session", pl.col("closes").is_null(), "a session of the exchange")
    ts = pl.col("ts").dt.cast_time_unit("us").to_physical()
    if timeframe == DAILY:
        close = pl.format("the session's close, {}", _text("closes"))
        yield Check("out_of_session", "ts", ts != pl.col("closes"), close)
    else:
        start, end = ("premarket", "postmarket") if context.extended else ("opens", "closes")
        outside = (ts <= pl.col(start)) | (ts > pl.col(end))
        yield Check("out_of_session", "ts", outside, pl.format("after {}, until {}", _text(start), _text(end)))
        grid = math.gcd(SECONDS[timeframe], HALF_HOUR)
        yield Check("off_grid", "ts", ts % (grid * SECOND) != 0, f"whole {grid // 60} minutes")
    yield Check("future", "ts", pl.col("ts") > context.now, f"<= {context.now:%Y-%m-%d %H:%M:%S} UTC")


def _text(mark: str) -> pl.Expr:
    import polars as pl

    return pl.from_epoch(mark, time_unit="us").dt.to_string("%Y-%m-%d %H:%M")


def _no_volume(timeframe: str) -> Check:
    """Only where a volume is certain: some vendors count none before the opening and after the close."""
    import polars as pl

    ts = pl.col("ts").dt.cast_time_unit("us").to_physical()
    regular = pl.lit(value=True) if timeframe == DAILY else (ts > pl.col("opens")) & (ts <= pl.col("closes"))
    return Check("no_volume", "volume", (pl.col("volume") == 0) & (pl.col("high") > pl.col("low")) & regular, "> 0")
