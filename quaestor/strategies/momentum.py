"""12-1 momentum: hold last year's winners, leaving out the last month, which tends to reverse.

On the first session of each month the symbols are ranked by their return from `lookback` to `skip` bars ago; the best
`top` with a positive return get 1/top of the sleeve each and keep it until the next month.

Source: Jegadeesh and Titman (1993), "Returns to Buying Winners and Selling Losers: Implications for Stock Market
Efficiency", Journal of Finance 48(1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor.errors import BadInput
from quaestor.strategies.base import Strategy

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Momentum(Strategy):
    """1/top in each of the `top` symbols with the highest positive return, chosen monthly.

    top: symbols; lookback, skip: bars (252 and 21: a year and a month). Equal returns are ranked by symbol. A symbol
    has no target before the first month in which its history is long enough to be ranked. The very first session of
    the frame is no rebalance: nobody knows whether its month began there.
    """

    name = "momentum"
    top: int = 2
    lookback: int = 252
    skip: int = 21

    def __post_init__(self) -> None:
        self.require_whole("top")
        self.require_whole("lookback")
        self.require_whole("skip", least=0)
        if self.skip >= self.lookback:
            values = f"lookback = {self.lookback}, skip = {self.skip}"
            raise BadInput(f"{self.name}: {values}: skip must be the smaller; try 252 and 21.")

    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        """1/top for the month's winners, 0 for the others."""
        import polars as pl

        months = _months(bars)
        ranked = self._ranked(bars, months)
        winners = ranked.filter(pl.col("rank") < self.top, pl.col("growth") > 1)
        since = ranked.group_by("symbol").agg(since=pl.col("session").min())
        return (
            bars.select("symbol", "session")
            .join(months, on="session")
            .join(since, on="symbol")
            .filter(pl.col("session") >= pl.col("since"))
            .join(winners.select("symbol", "rebalance", won=True), on=["symbol", "rebalance"], how="left")
            .select("symbol", "session", target=pl.col("won").fill_null(False) / pl.lit(self.top))
        )

    def _ranked(self, bars: pl.DataFrame, months: pl.DataFrame) -> pl.DataFrame:
        """Every symbol with enough history at every rebalance; rank 0 is the best."""
        import polars as pl

        old, new = (pl.col("close").shift(bars_).over("symbol") for bars_ in (self.lookback, self.skip))
        # Growth, not return, and twelve digits of it: the noise of a split's factor must neither break a tie nor make a
        # standstill a gain.
        return (
            bars.with_columns(growth=(new / old).round_sig_figs(12))
            .drop_nulls("growth")
            .join(months.filter(pl.col("session") == pl.col("rebalance")), on="session")
            .sort("session", "growth", "symbol", descending=[False, True, False])
            .with_columns(rank=pl.int_range(pl.len()).over("session"))
        )


def _months(bars: pl.DataFrame) -> pl.DataFrame:
    """Each session and the rebalance it lives under: the newest first session of a month; none before the first."""
    import polars as pl

    month = pl.col("session").dt.month_start()
    return (
        bars.select(pl.col("session").unique().sort())
        .with_columns(rebalance=pl.when(month != month.shift(1)).then("session").forward_fill())
        .drop_nulls("rebalance")
    )
