"""As-traded bars seen with corporate actions taken out.

`splits.adjust` is what a strategy sees. Here are two more: `total_return` also reinvests dividends, each in the close
of its ex-date. Both are anchored at the beginning: a price of session t is changed by actions up to t alone, so it
stays what it was when later ones become known (law 9). `back_adjusted` is anchored at the end, as charts are drawn: the
newest price is the one that was traded, and the past moves with each new action; so it says *as of* which session it
is, and no strategy may read it. Returns are the same in either.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quaestor.bars import PRICES
from quaestor.dividends import Dividend
from quaestor.splits import Split, adjust

if TYPE_CHECKING:
    import polars as pl


def total_return(bars: pl.DataFrame, splits: Sequence[Split], dividends: Sequence[Dividend]) -> pl.DataFrame:
    """The frame as of a holder who reinvests: prices times split ratios and 1 + dividend / close of its ex-date.

    Adds `factor` (splits) and `growth` (dividends), keeps `as_traded_close`; volume follows the splits alone. A
    dividend counts at the symbol's first bar on or after its ex-date, if it has one before: what was paid before the
    frame begins is not in it.
    """
    import polars as pl

    growth = _growth(bars, dividends)
    return adjust(bars, splits).with_columns(growth=growth).with_columns(pl.col(PRICES) * pl.col("growth"))


def back_adjusted(
    bars: pl.DataFrame, splits: Sequence[Split], dividends: Sequence[Dividend] = (), *, as_of: dt.date
) -> pl.DataFrame:
    """The frame as a chart shows it at the end of session `as_of`: later bars and actions are not there yet."""
    import polars as pl

    upto = bars.filter(pl.col("session") <= as_of)
    paid = [dividend for dividend in dividends if dividend.session <= as_of]
    seen = total_return(upto, [split for split in splits if split.session <= as_of], paid)

    def newest(value: pl.Expr) -> pl.Expr:
        return value.sort_by(_order(bars)).last().over("symbol")

    shares = newest(pl.col("factor"))
    return seen.with_columns(
        pl.col(PRICES) / newest(pl.col("factor") * pl.col("growth")),
        volume=(upto["volume"] * shares / pl.col("factor")).round().cast(pl.Int64),
    )


def _growth(bars: pl.DataFrame, dividends: Sequence[Dividend]) -> pl.Series:
    """What reinvested dividends have made of one share, row by row."""
    import polars as pl

    rows = bars.select(*_order(bars), "close").with_row_index("row").sort(_order(bars), maintain_order=True)
    grown = rows.join(_paid(rows, dividends), on="row", how="left", maintain_order="left").with_columns(
        growth=(1 + pl.col("amount").fill_null(0.0) / pl.col("close")).cum_prod().over("symbol")
    )
    return grown.sort("row")["growth"]


def _paid(rows: pl.DataFrame, dividends: Sequence[Dividend]) -> pl.DataFrame:
    """Where dividends are reinvested: row, amount (a symbol's first row reinvests none: nobody held it before)."""
    import polars as pl

    told = [(each.symbol, each.session, float(each.amount)) for each in dividends]
    schema = {"symbol": pl.String, "session": pl.Date, "amount": pl.Float64}
    paid = pl.DataFrame(told, schema=schema, orient="row").sort("session")
    firsts = rows.with_columns(held=pl.col("symbol").cum_count().over("symbol") > 1)
    bars = firsts.unique(["symbol", "session"], keep="first", maintain_order=True).sort("session")
    met = paid.join_asof(bars, on="session", by="symbol", strategy="forward", check_sortedness=False)
    return met.filter("held").group_by("row").agg(pl.col("amount").sum())


def _order(bars: pl.DataFrame) -> list[str]:
    return [name for name in ("symbol", "session", "ts") if name in bars.columns]
