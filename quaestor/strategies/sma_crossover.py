"""Moving-average crossover: in the market while the fast mean of closes is above the slow one.

The comparison is exact. Means of floats would let rounding decide ties, and real data has them (AAPL 2003-02-07, IBM
2005-06-27 with 10/30): prices become whole millionths of a dollar and factors their exact ratios, all as 128-bit
integers over one common denominator, and the question is sum_fast * slow > sum_slow * fast. A tie is not above.

Source: Brock, Lakonishok and LeBaron (1992), "Simple Technical Trading Rules and the Stochastic Properties of Stock
Returns", Journal of Finance 47(5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from quaestor.errors import BadInput
from quaestor.strategies.base import Strategy

if TYPE_CHECKING:
    import polars as pl

MILLIONTHS = 1_000_000  # of a dollar: stored prices have at most six decimal places


@dataclass(frozen=True)
class SmaCrossover(Strategy):
    """An equal share in each symbol whose mean close of `fast` bars is above that of `slow` bars; else nothing.

    fast, slow: bars. A symbol has no target before its `slow`-th bar; the share is one over the number of symbols
    that have a bar in that session, so that a symbol not yet listed changes nothing.
    """

    name = "sma_crossover"
    fast: int = 10
    slow: int = 30

    def __post_init__(self) -> None:
        self.require_whole("fast")
        self.require_whole("slow")
        if self.fast >= self.slow:
            raise BadInput(
                f"{self.name}: fast = {self.fast}, slow = {self.slow}: fast must be the smaller; try 10 and 30."
            )

    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        """1/n while the fast mean is above the slow one, else 0."""
        import polars as pl

        fast, slow = (pl.col("exact").rolling_sum(bars_).over("symbol") for bars_ in (self.fast, self.slow))
        return (
            bars.with_columns(exact=_exact_close(bars), listed=pl.len().over("session"))
            .with_columns(above=fast * self.slow > slow * self.fast)
            .drop_nulls("above")
            .select("symbol", "session", target=pl.col("above") / pl.col("listed"))
        )


def _exact_close(bars: pl.DataFrame) -> pl.Expr:
    """Adjusted closes as integers over one denominator; which one does not matter to a comparison (law 9)."""
    import polars as pl

    ratios = {factor: exact_ratio(factor) for factor in bars["factor"].unique().sort()}
    common = math.lcm(*(ratio.denominator for ratio in ratios.values()))
    scale = pl.Series([int(ratio * common) for ratio in ratios.values()], dtype=pl.Int128)
    price = (pl.col("as_traded_close") * MILLIONTHS).round().cast(pl.Int128)
    return price * pl.col("factor").replace_strict(list(ratios), scale, return_dtype=pl.Int128)


def exact_ratio(factor: float) -> Fraction:
    """The simplest ratio that a factor can stand for: 0.3333333333333333 is 1/3.

    A factor is a product of a few splits' ratios, so its denominator is small and its rounding below 1e-13.
    """
    seen = Fraction(factor)
    for digits in range(1, 19):
        near = seen.limit_denominator(10**digits)
        if abs(near / seen - 1) < Fraction(1, 10**13):
            return near
    return seen
