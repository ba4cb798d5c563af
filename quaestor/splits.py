"""Splits: known from a source, or derived from a vendor's adjusted closes; and the frame a strategy sees.

Adjustment is anchored *before the first known split*: a price of session t is multiplied by the ratios of all splits
up to and including t. It never uses a split that lies after t, so a strategy's answer at t is the same on truncated
data (law 9), and does not depend on where its window begins. The usual back-adjustment, anchored at the last bar,
would rewrite the past at each new split.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    import polars as pl

Origin = Literal["source", "derived"]

# Forward and reverse splits that companies really make. Few dividends are large enough to step like the smallest (6:5).
FORWARD = ("2 3 4 5 6 7 8 10 12 15 20 25 30 50", "3/2 4/3 5/2 5/3 5/4 6/5")
REVERSE = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 100)
RATIOS = tuple(Fraction(text) for text in " ".join(FORWARD).split()) + tuple(Fraction(1, n) for n in REVERSE)
TOLERANCE = 0.01  # of the ratio: the adjusted close carries that session's dividend too
MARKET_MOVE = 0.3  # of the price: as far as a stock goes by itself on the day it splits


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """`ratio` new shares for one old, effective at the open of `session`."""

    symbol: str
    session: dt.date
    ratio: Fraction
    origin: Origin = "source"


class Dated(Protocol):
    """What takes effect at the open of a session."""

    @property
    def session(self) -> dt.date:
        """The session."""
        ...


D = TypeVar("D", bound=Dated)


def within(actions: Sequence[D], start: dt.date, end: dt.date) -> tuple[D, ...]:
    """Those effective in start ≤ session ≤ end, oldest first."""
    return tuple(sorted((each for each in actions if start <= each.session <= end), key=lambda each: each.session))


def derive_splits(frame: pl.DataFrame) -> list[Split]:
    """Splits from columns symbol, session, close, adj_close (one vendor's adjusted close beside the as-traded one).

    The factor close / adj_close falls by the split's ratio on its session; the as-traded close must step by about the
    same ratio (within a day's market move), else it was a dividend or a correction. Where the adjusted close is
    rounded coarsely (old prices of a share that split often), a step must stand out of the rounding.
    """
    import polars as pl

    factor, half_grain = pl.col("close") / pl.col("adj_close"), grain(frame["adj_close"]) / 2
    noise = half_grain / pl.col("adj_close")
    step = (
        frame.sort("symbol", "session")
        .with_columns(
            ratio=(factor.shift(1) / factor).over("symbol"),
            move=(pl.col("close").shift(1) / pl.col("close")).over("symbol"),
            noise=(noise + noise.shift(1)).over("symbol"),
        )
        .filter((pl.col("ratio") - 1).abs() > 0.05 + pl.col("noise"))
    )
    rows = step.select("symbol", "session", "ratio", "move", "noise").iter_rows()
    read = [(symbol, session, _ratio(ratio, move, noise)) for symbol, session, ratio, move, noise in rows]
    return [Split(symbol, session, ratio, "derived") for symbol, session, ratio in read if ratio]


def grain(prices: pl.Series) -> float:
    """The unit that a vendor rounds to, dollars: a cent or finer; 0 where nothing is rounded."""
    return next((10.0**-places for places in range(2, 9) if _on_grid(prices, places)), 0.0)


def _on_grid(prices: pl.Series, places: int) -> bool:
    return bool(((prices.round(places) - prices).abs() < 1e-10).all())


def _ratio(step: float, move: float, noise: float) -> Fraction | None:
    """The plainest ratio that both the adjusted and the as-traded close can mean."""
    near = [ratio for ratio in RATIOS if abs(step / float(ratio) - 1) <= TOLERANCE + noise]
    seen = [ratio for ratio in near if abs(move / float(ratio) - 1) < MARKET_MOVE]
    return min(seen, key=lambda ratio: ratio.numerator + ratio.denominator, default=None)


def shown(bars: pl.DataFrame, split: Split) -> bool | None:
    """Whether as-traded closes of the split's symbol step by about its ratio; None where they do not span it."""
    import polars as pl

    mine = bars.filter(pl.col("symbol") == split.symbol).sort("session")
    before = mine.filter(pl.col("session") < split.session)["close"]
    after = mine.filter(pl.col("session") >= split.session)["close"]
    if before.is_empty() or after.is_empty():
        return None
    return bool(abs(before[-1] / after[0] / float(split.ratio) - 1) < MARKET_MOVE)


def adjust(bars: pl.DataFrame, splits: Sequence[Split]) -> pl.DataFrame:
    """The frame a strategy sees: prices multiplied, volume divided by all ratios up to each session.

    Keeps the as-traded close as `as_traded_close`, and adds `factor`.
    """
    import polars as pl

    factor = pl.lit(1.0)
    for split in splits:
        hit = (pl.col("symbol") == split.symbol) & (pl.col("session") >= split.session)
        factor = factor * pl.when(hit).then(float(split.ratio)).otherwise(1.0)
    return (
        bars.with_columns(factor=factor, as_traded_close=pl.col("close"))
        .with_columns(pl.col("open", "high", "low", "close") * pl.col("factor"))
        .with_columns(volume=(pl.col("volume") / pl.col("factor")).round().cast(pl.Int64))
    )
