"""What a symbol's history shows: each large step between two closes, with the evidence for and against it.

Millions of returns are computed, and a handful are looked at: only where a step is larger than the smallest worth
judging, or a bar spans nearly ten times, the sixty returns before it are gathered, and their median absolute deviation
is taken. Returns of zero say nothing about how far a share moves (illiquid minutes repeat the last price) and are left
out.

Known splits and dividends are taken out of the price before the step. What is usual in volume is the median of the bars
before (daily), or of the same minute of the sessions before (intraday: the opening is always busier than noon).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quaestor.bars import DAILY
from quaestor.calendar import hours_of
from quaestor.quality.evidence import TEN
from quaestor.quality.limits import Context, Limits

if TYPE_CHECKING:
    import polars as pl

AT_ONCE = 20_000  # steps whose windows are gathered together: bounds the memory of a hopeless feed


def steps(
    work: pl.DataFrame, symbols: Sequence[str], context: Context, limits: Limits, timeframe: str
) -> pl.DataFrame | None:
    """The steps to judge, oldest first within each symbol, with their evidence (see `evidence.Step`); None: none.

    `work` is sorted by group (the place in `symbols`) and ts, stored bars (row: null) before those of the window.
    """
    import polars as pl

    price, moved = _returns(work, symbols, context)
    large = _large(work, moved, limits.step(timeframe))
    if large.is_empty():
        return None
    found = _neighbours(work, large, price).join(_spans(work), on="group", maintain_order="left")
    parts = [_measured(part, work["volume"], moved, limits) for part in found.iter_slices(AT_ONCE)]
    told = _judgeable(pl.concat(parts), limits, timeframe)
    return told if timeframe == DAILY else _busy_for_the_hour(told, work)


def _returns(work: pl.DataFrame, symbols: Sequence[str], context: Context) -> tuple[pl.Series, pl.Series]:
    """The price before each bar, less what is known to have left it, and the close over it (null: a symbol's first)."""
    import polars as pl

    same = pl.col("group") == pl.col("group").shift(1)
    price = work.select(price=pl.when(same).then(pl.col("close").shift(1)))["price"]
    if context.splits or context.dividends:
        known = _actions(work, symbols, context)
        before = price.gather(known["at"])
        left = before / known["ratio"] - known["cash"]
        price = price.scatter(known["at"], left.set(left <= 0, None))  # paid out more than it cost: nothing to compare
    return price, work["close"] / price


def _actions(work: pl.DataFrame, symbols: Sequence[str], context: Context) -> pl.DataFrame:
    """Where known splits and dividends take effect: at, ratio, cash (at the first bar on or after their session)."""
    import polars as pl

    places = {symbol: group for group, symbol in enumerate(symbols)}
    told = [(each.symbol, each.session, float(each.ratio), 0.0) for each in context.splits]
    told += [(each.symbol, each.session, 1.0, float(each.amount)) for each in context.dividends]
    rows = [(places[symbol], *rest) for symbol, *rest in dict.fromkeys(told) if symbol in places]
    schema = {"group": pl.UInt32, "session": pl.Date, "ratio": pl.Float64, "cash": pl.Float64}
    known = pl.DataFrame(rows, schema=schema, orient="row").sort("session")
    bars = work.select("group", "session", at=pl.int_range(pl.len(), dtype=pl.UInt32))
    mine = bars.filter(pl.col("group").is_in(known["group"].unique().implode()))
    firsts = mine.unique(["group", "session"], keep="first", maintain_order=True).sort("session")
    met = known.join_asof(firsts, on="session", by="group", strategy="forward", check_sortedness=False)
    return met.drop_nulls("at").group_by("at").agg(pl.col("ratio").product(), pl.col("cash").sum())


def _large(work: pl.DataFrame, moved: pl.Series, least: float) -> pl.Series:
    """Where a bar of the window steps, or spans, far enough to be looked at."""
    import polars as pl

    far = (pl.lit(moved) > math.exp(least)) | (pl.lit(moved) < math.exp(-least))
    wide = pl.col("high") > pl.col("low") * 7
    mine = pl.col("row").is_not_null()
    return work.select(((far.fill_null(value=False) | wide) & mine).alias("large"))["large"].arg_true()


def _neighbours(work: pl.DataFrame, at: pl.Series, price: pl.Series) -> pl.DataFrame:
    """The bars at these places, with the price before and the one before that, and the bar after."""
    import polars as pl

    places = at.cast(pl.Int64)
    here = work[at].with_columns(at=places, price=price.gather(at))
    before, earlier = work[(places - 1).clip(0)], work[(places - 2).clip(0)]
    later = work[(places + 1).clip(0, work.height - 1)].select(next_open="open", next_close="close")
    number = hours_of(here["session"])["number"] - hours_of(before["session"])["number"]
    both = (earlier["group"] == here["group"]) & (places > 1)
    return here.hstack(later).with_columns(
        opens_session=here["session"] != before["session"],
        gap=number.clip(1),
        # On the basis of the price before: what is known to have left the one has left the other.
        earlier=pl.when(both).then(earlier["close"] * here["price"] / before["close"]),
    )


def _spans(work: pl.DataFrame) -> pl.DataFrame:
    """Of each group: its first place, the place after its last, and whether stored bars come first."""
    import polars as pl

    starts = work.select(at=(pl.col("group") != pl.col("group").shift(1)).fill_null(value=True).arg_true())["at"]
    ends = pl.concat([starts[1:].cast(pl.Int64), pl.Series([work.height], dtype=pl.Int64)]).head(len(starts))
    columns = {"start": starts.cast(pl.Int64), "end": ends, "anchored": work["row"].gather(starts).is_null()}
    return pl.DataFrame({"group": work["group"].gather(starts), **columns})


def _measured(found: pl.DataFrame, volume: pl.Series, moved: pl.Series, limits: Limits) -> pl.DataFrame:
    """With the history before each step: how many returns, their deviation, and the usual volume."""
    import polars as pl

    first = pl.max_horizontal(pl.col("start") + 1, pl.col("at") - limits.window)
    window = (
        found.select("at", place=pl.int_ranges(first, pl.max_horizontal(first, "at"))).explode("place").drop_nulls()
    )
    seen = window.with_columns(step=moved.gather(window["place"]).log(), volume=volume.gather(window["place"]))
    still = pl.when(pl.col("step") != 0).then("step")
    centred = seen.with_columns(step=still).with_columns(
        off=(pl.col("step") - pl.col("step").median().over("at")).abs()
    )
    told = centred.group_by("at").agg(
        pl.col("step").count().alias("history"),
        pl.col("off").median().alias("mad"),
        pl.col("volume").median().alias("usual"),
    )
    return found.join(told, on="at", how="left", maintain_order="left")


def _judgeable(found: pl.DataFrame, limits: Limits, timeframe: str) -> pl.DataFrame:
    """Those beyond their limit, and those of about ten times, which need no history."""
    import polars as pl

    step, spread = (pl.col("close") / pl.col("price")).log(), (pl.col("high") / pl.col("low")).log()
    known = pl.when(pl.col("history") >= limits.history).then("mad")
    limit = pl.max_horizontal(
        limits.k * known * pl.col("gap").sqrt(), pl.when(known.is_not_null()).then(limits.step(timeframe))
    )
    busy = pl.when(pl.col("usual") > 0).then(pl.col("volume") / pl.col("usual"))
    told = found.with_columns(step=step, spread=spread, limit=limit, busy=busy)
    ten = TEN - limits.scale_tolerance
    beyond = (pl.col("step").abs() > pl.col("limit")) | (pl.col("step").abs() >= ten)
    near = pl.col("gap") <= limits.longest_gap
    return told.filter(((beyond & near).fill_null(value=False)) | (pl.col("spread") >= ten))


def _busy_for_the_hour(found: pl.DataFrame, work: pl.DataFrame) -> pl.DataFrame:
    """Volume over that of the same time of day in the sessions before; null where none is known."""
    import polars as pl

    mine = work.filter(pl.col("group").is_in(found["group"].unique().implode()))
    there = _clocked(mine).select("group", "clock", "session", "volume")
    here = _clocked(found)
    pairs = here.select("at", "group", "clock", today="session").join(there, on=["group", "clock"])
    usual = (
        pairs.filter(pl.col("session") < pl.col("today")).group_by("at").agg(pl.col("volume").median().alias("usual"))
    )
    told = found.drop("usual").join(usual, on="at", how="left", maintain_order="left")
    return told.with_columns(busy=pl.when(pl.col("usual") > 0).then(pl.col("volume") / pl.col("usual")))


def _clocked(bars: pl.DataFrame) -> pl.DataFrame:
    """With the time since the session's opening: the same minute in summer and in winter."""
    import polars as pl

    opened = hours_of(bars["session"])["opens"]
    return bars.with_columns(clock=pl.col("ts").to_physical() - opened)
