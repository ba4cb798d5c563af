"""How much is too much, what the gate is told besides the bars, and what it answers.

Steps are natural logarithms of price ratios: 0.2 is +22 % or −18 %.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

from quaestor.bars import DAILY
from quaestor.dividends import Dividend
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many equal bars in a row (the first included, all with volume) are more than a market does."""

    copies: int  # prices and volume equal, and the price moved inside the bar
    moving: int  # prices equal, and the price moved inside the bar
    flat: int  # prices equal, one price all along: an illiquid share does that for a while


@dataclass(frozen=True, slots=True)
class Limits:
    """The gate's limits; the defaults quarantine nothing in thirteen years of real daily prices.

    A step is judged when it is larger than `k` times the median absolute deviation of the symbol's returns before it
    (times √n after a hole of n sessions) *and* larger than the timeframe's smallest step: a quiet share is not
    suspicious for 1 %. Size alone convicts nothing (see `verdicts`).
    """

    k: float = 12.0
    window: int = 60  # returns before the step, from which the deviation is taken
    history: int = 20  # as many must be known, else only scale errors are judged
    daily_step: float = 0.20
    intraday_step: float = 0.05
    scale_tolerance: float = 0.30  # log: a step within ×0.74 … ×1.35 of ×10 or ×100 is one of scale
    reversion: float = 0.25  # part of a spike that may remain with the next bar
    split_step: float = 0.25  # log: smaller splits than 4:3 do not stand out of a market
    split_tolerance: float = 0.03  # log: open or close against the plain ratio
    news: float = 3.0  # times the usual turnover (dollars; shares for an unconfirmed step): something happened
    longest_gap: int = 63  # sessions without bars after which a step says nothing
    daily_repeats: Repeats = field(default=Repeats(copies=2, moving=3, flat=10))
    intraday_repeats: Repeats = field(default=Repeats(copies=3, moving=60, flat=120))

    def step(self, timeframe: str) -> float:
        """The smallest step worth judging."""
        return self.daily_step if timeframe == DAILY else self.intraday_step

    def repeats(self, timeframe: str) -> Repeats:
        """How many equal bars are too many."""
        return self.daily_repeats if timeframe == DAILY else self.intraday_repeats


@dataclass(frozen=True)
class Context:
    """What the gate is told besides the bars.

    `before` are stored bars: of each symbol those that end before its first bar of the window are used, so that steps
    and repeats are judged across the window's edge. Give `Limits.window` bars or more. `vouched` are (symbol, session)
    that a person released: doubts are not raised there again.
    """

    now: dt.datetime
    source: str
    splits: Sequence[Split] = ()
    dividends: Sequence[Dividend] = ()
    before: pl.DataFrame | None = None
    extended: bool = False  # bars before the opening and after the close are wanted
    vouched: frozenset[tuple[str, dt.date]] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Suspicion:
    """A step like a split's that nobody told of. The symbol waits until a split is known or a person vouches."""

    symbol: str
    session: dt.date
    ratio: Fraction
    observed: float  # price after / price before


@dataclass(frozen=True)
class Sifted:
    """The answer: bars to store (a bars frame), bars for quarantine, copies dropped, and symbols to ask a person about.

    `quarantined` has symbol, timeframe, session, ts, rule, field, observed, limit, source, and open … volume as given;
    a missing symbol or timeframe is "", and session and ts may be null.
    """

    good: pl.DataFrame
    quarantined: pl.DataFrame
    collapsed: int = 0  # exact copies of a bar beside it: nothing is lost with them
    suspicions: tuple[Suspicion, ...] = ()
