"""The gate: what a vendor sent is sifted into bars to store and bars for quarantine.

Rules about a bar by itself come first, then duplicates, then repeats, and last what a symbol's history says: each stage
sees only rows that passed the ones before it, so a NaN close makes no spike of its neighbours. Symbols are judged in
batches of about half a million rows: five million clean minute bars pass in one CPU second, in half their own memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor.bars import PRICES, schema
from quaestor.quality import grammar, repeats, verdicts
from quaestor.quality.limits import Context, Limits, Sifted, Suspicion
from quaestor.quality.order import batches, in_order, typed
from quaestor.quality.rules import RULES, WORDS, no_faults
from quaestor.quality.steps import steps

if TYPE_CHECKING:
    import polars as pl

GIVEN = (*PRICES, "volume")
DEFAULT = Limits()


def sift(bars: pl.DataFrame, context: Context, limits: Limits = DEFAULT) -> Sifted:
    """Every row of `bars` (the columns of a bars frame, perhaps `interpolated`; in any order), judged."""
    import polars as pl

    tidy, starts = in_order(typed(bars))
    judged = [_judged(tidy[first:last], first, context, limits) for first, last in batches(tidy, starts)]
    faults = pl.concat([no_faults(), *(each.faults for each in judged)])
    copies = pl.concat([faults["row"].clear(), *(each.copies for each in judged)])
    return Sifted(
        good=_good(tidy, pl.concat([faults["row"], copies])),
        quarantined=_quarantined(tidy, faults, context.source),
        collapsed=len(copies),
        suspicions=tuple(sorted(each for part in judged for each in part.suspicions)),
    )


# ── one batch ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Judged:
    """Of one batch, in rows of the whole frame: faults, copies, and what is suspected."""

    faults: pl.DataFrame
    copies: pl.Series
    suspicions: list[Suspicion]


def _judged(batch: pl.DataFrame, offset: int, context: Context, limits: Limits) -> _Judged:
    import polars as pl

    timeframe = batch["timeframe"][0]
    alone = grammar.broken(batch, timeframe, context)
    work, symbols = _working(batch)
    work = _without(work, alone["row"])
    copies, twice = repeats.duplicates(work)
    work = _after_stored(_without(work, pl.concat([copies, twice["row"]])), symbols, timeframe, context)
    again = repeats.stale(work, limits.repeats(timeframe))
    work = _without(work, again["row"])
    found = steps(work, symbols, context, limits, timeframe)
    verdict = verdicts.judge(found, symbols, context, limits, timeframe)
    doubts = _rows(work, verdict.held)
    faults = pl.concat([alone, twice, again, doubts]).with_columns(pl.col("row") + offset)
    return _Judged(faults, copies + offset, verdict.suspicions)


def _working(batch: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """What the rules about several bars need, with the row in the batch and the symbol's place among its symbols."""
    import polars as pl

    group = batch["symbol"].rle_id()
    symbols = batch["symbol"].gather(group.is_first_distinct().arg_true()).to_list()
    row = pl.int_range(batch.height, dtype=pl.UInt32, eager=True)
    values = batch.select("session", "ts", *PRICES, pl.col("volume").cast(pl.Float64))
    return values.with_columns(row=row, group=group), symbols


def _without(work: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The working frame less these rows of the batch; stored bars stay."""
    import polars as pl

    if rows.is_empty():
        return work
    return work.filter(~pl.col("row").is_in(rows.unique().implode()).fill_null(value=False))


def _after_stored(work: pl.DataFrame, symbols: list[str], timeframe: str, context: Context) -> pl.DataFrame:
    """The working frame with each symbol's stored bars before its first one."""
    import polars as pl

    if context.before is None or context.before.is_empty():
        return work
    groups = pl.DataFrame({"symbol": symbols}).with_row_index("group")
    firsts = work.group_by("group").agg(first=pl.col("ts").min())
    stored = (
        context.before.filter(pl.col("timeframe") == timeframe)
        .join(groups.join(firsts, on="group"), on="symbol")
        .filter(pl.col("ts") < pl.col("first"))
        .sort("ts")
        .with_columns(pl.col("volume").cast(pl.Float64), row=pl.lit(None, dtype=pl.UInt32))
    )
    return pl.concat([stored.select(work.columns), work]).sort("group", maintain_order=True)


def _rows(work: pl.DataFrame, held: list[verdicts.Held]) -> pl.DataFrame:
    """The rows of the batch that verdicts hold back, each once, under the most elementary rule."""
    import polars as pl

    if not held:
        return no_faults()
    rank = {rule: place for place, rule in enumerate(RULES)}
    spans = pl.DataFrame(sorted(held, key=lambda each: rank[each.rule]), schema=_held_schema(), orient="row")
    places = spans.with_columns(at=pl.int_ranges("start", "end")).explode("at").drop_nulls("at")
    rows = places.with_columns(row=work["row"].gather(places["at"])).drop_nulls("row")
    return rows.unique("row", keep="first", maintain_order=True).select("row", *WORDS)


# ── the answer ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _held_schema() -> dict[str, pl.DataType]:
    import polars as pl

    return {"start": pl.Int64(), "end": pl.Int64(), **{word: pl.String() for word in WORDS}}


def _good(bars: pl.DataFrame, dropped: pl.Series) -> pl.DataFrame:
    import polars as pl

    names = list(schema())
    if dropped.is_empty():
        return bars.select(names).cast({"volume": pl.Int64()})
    keep = pl.repeat(value=True, n=bars.height, dtype=pl.Boolean, eager=True).scatter(dropped, False)
    return bars.select(names).filter(keep).cast({"volume": pl.Int64()})


def _quarantined(bars: pl.DataFrame, faults: pl.DataFrame, source: str) -> pl.DataFrame:
    """The faulty rows as they came, with what was wrong."""
    import polars as pl

    found = faults.sort("row")
    given = bars[found["row"]].select(*schema())
    keys = given.select(pl.col("symbol", "timeframe").fill_null(""), "session", "ts")
    words = found.select(*WORDS, source=pl.lit(source))
    return pl.concat([keys, words, given.select(GIVEN)], how="horizontal")
