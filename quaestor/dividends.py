"""Dividends: cash paid per share to who held it before the ex-date; known from a source, or derived.

A vendor's adjusted closes hold the dividends it knows: between two sessions the factor close / adj_close falls by more
than a split explains. Two conventions are in use, and they differ by the ex-date's own move: reinvested at the
ex-date's close, the factor falls by C / (C + D); taken off the close before it (CRSP, Yahoo), by 1 − D / P. Companies
pay whole cents, so the convention whose amounts lie nearer to cents is the vendor's. (The recorded market reinvests:
its special dividend of MSFT comes out as 3.08 that way, and as 3.03 the other.)
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.splits import MARKET_MOVE, Origin, Split, grain

if TYPE_CHECKING:
    import polars as pl

LEAST = 0.004  # dollars; no company posts a smaller cheque
OUTSTANDING = 3.0  # times the vendor's rounding that a dividend must be
CENT = 0.002  # dollars from a whole cent that are still that cent


@dataclass(frozen=True, slots=True, order=True)
class Dividend:
    """`amount` dollars per share of `session`, the ex-date, at whose open the price falls by about as much."""

    symbol: str
    session: dt.date
    amount: Decimal
    origin: Origin = "source"


def derive_dividends(frame: pl.DataFrame, splits: Sequence[Split] = ()) -> list[Dividend]:
    """Dividends from columns symbol, session, close, adj_close, where they stand out of the vendor's rounding.

    `splits` are those of the frame (`derive_splits`). Amounts are to the cent where they lie within 0.2 cents of one,
    else to 0.0001. Adjusted closes of four places or more give each dividend of the recorded market to the cent; those
    kept to cents give it within two cents or 6 %. Where an old price was adjusted down to cents, small dividends drown
    in the rounding and are not returned. An amount on a split's own session is per new share.
    """
    if frame.is_empty():
        return []
    parts = _falls(frame, splits).partition_by("symbol", maintain_order=True)
    return [dividend for mine in parts for dividend in _paid(mine)]


def _falls(frame: pl.DataFrame, splits: Sequence[Split]) -> pl.DataFrame:
    """Where the factor falls by more than splits and rounding explain: symbol, session, noise, reinvested, taken.

    A rise as large beside it takes it back: one adjusted close was wrong. And the as-traded close must have gone the
    same way, within a day's market move: else the vendor put something right.
    """
    import polars as pl

    fall, left = pl.col("fall"), pl.col("before") * pl.col("fall")
    paid = pl.min_horizontal("reinvested", "taken")
    taken_back = pl.any_horizontal(
        (fall * fall.shift(by).over("symbol") - 1).abs() <= 2 * pl.col("relative") for by in (1, -1)
    )
    return (
        _factors(frame, splits)
        .with_columns(noise=pl.col("relative") * pl.col("before"))
        .with_columns(
            taken_back=taken_back.fill_null(value=False),
            reinvested=pl.col("close") * (1 / fall - 1),
            taken=pl.col("before") * (1 - fall),
        )
        .filter(paid.is_finite() & (paid > pl.max_horizontal(LEAST, OUTSTANDING * pl.col("noise"))))
        .filter(~pl.col("taken_back") & ((pl.col("close") / left - 1).abs() < MARKET_MOVE))
        .select("symbol", "session", "noise", "reinvested", "taken")
    )


def _factors(frame: pl.DataFrame, splits: Sequence[Split]) -> pl.DataFrame:
    """How the factor falls to each session, splits aside; the close before, and how much of the fall is rounding."""
    import polars as pl

    rows = [(split.symbol, split.session, float(split.ratio)) for split in splits]
    known = pl.DataFrame(rows, schema={"symbol": pl.String, "session": pl.Date, "split": pl.Float64}, orient="row")
    split, factor = pl.col("split").fill_null(1.0), pl.col("close") / pl.col("adj_close")
    rounding = grain(frame["adj_close"]) / 2 / pl.col("adj_close")
    return (
        frame.sort("symbol", "session")
        .join(known, on=["symbol", "session"], how="left", maintain_order="left")
        .with_columns(
            fall=(factor / factor.shift(1)).over("symbol") * split,
            before=pl.col("close").shift(1).over("symbol") / split,
            relative=(rounding + rounding.shift(1)).over("symbol").clip(1e-9),
        )
    )


def _paid(falls: pl.DataFrame) -> list[Dividend]:
    """One symbol's dividends, by the convention whose amounts lie nearer to whole cents."""
    off = [(float((falls[name] - falls[name].round(2)).abs().sum()), name) for name in ("reinvested", "taken")]
    name = min(off)[1]
    rows = falls.select("symbol", "session", name, "noise").iter_rows()
    return [Dividend(symbol, session, _amount(paid, noise), "derived") for symbol, session, paid, noise in rows]


def _amount(paid: float, noise: float) -> Decimal:
    near = abs(paid - round(paid, 2)) <= max(CENT, noise)
    return Decimal(f"{paid:.2f}" if near else f"{paid:.4f}")


def within(dividends: Sequence[Dividend], start: dt.date, end: dt.date) -> tuple[Dividend, ...]:
    """Those with start ≤ ex-date ≤ end, oldest first."""
    return tuple(sorted((each for each in dividends if start <= each.session <= end), key=lambda each: each.session))
