"""RSI mean reversion: buy what fell hard for a few days, sell it when it has recovered.

Wilder's relative strength index: gains and losses are averaged over `period` changes (the first average is their simple
mean, each later one moves by 1/period), RSI = 100 * gain / (gain + loss), and 100 where there was no loss at all.

Source: J. Welles Wilder (1978), "New Concepts in Technical Trading Systems", section VI; the short period and its
levels follow Connors and Alvarez (2009), "Short Term Trading Strategies That Work".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor.errors import BadInput
from quaestor.strategies.base import Strategy

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class RsiReversion(Strategy):
    """An equal share in each symbol from RSI < enter until RSI > exit; else nothing.

    period: changes, and enter, exit: levels of RSI (0 to 100). A symbol has no target before its first RSI, which needs
    `period` + 1 bars; the share is one over the number of symbols that have a bar in that session.
    """

    name = "rsi_reversion"
    period: int = 2
    enter: float = 10.0
    exit: float = 60.0

    def __post_init__(self) -> None:
        self.require_whole("period")
        for parameter in ("enter", "exit"):
            value = getattr(self, parameter)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100:
                raise BadInput(f"{self.name}: {parameter} = {value!r}: give a level between 0 and 100.")
        if self.enter >= self.exit:
            raise BadInput(
                f"{self.name}: enter = {self.enter}, exit = {self.exit}: enter must be the lower; try 10 and 60."
            )

    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        """1/n from entry to exit, else 0."""
        import polars as pl

        rsi = pl.col("rsi")
        turn = pl.when(rsi < self.enter).then(1.0).when(rsi > self.exit).then(0.0)
        return (
            bars.with_columns(rsi=self._rsi(), listed=pl.len().over("session"))
            .with_columns(inside=turn.forward_fill().over("symbol").fill_null(0.0))
            .drop_nulls("rsi")
            .select("symbol", "session", target=pl.col("inside") / pl.col("listed"))
        )

    def _rsi(self) -> pl.Expr:
        """Rounded to nine places: floats' noise must not decide whether an RSI of 10 is below 10."""
        import polars as pl

        change = pl.col("close").diff()
        # A price that did not move across a split of 3-for-1 differs in its last bit; that is no loss.
        change = pl.when(change.abs() > 1e-12 * pl.col("close")).then(change).when(change.is_not_null()).then(0.0)
        gain, loss = (self._average(move.clip(lower_bound=0.0)) for move in (change, -change))
        rsi = pl.when(loss > 0).then(100 * gain / (gain + loss)).when(loss.is_not_null()).then(100.0)
        return rsi.round(9).over("symbol")

    def _average(self, moves: pl.Expr) -> pl.Expr:
        """Wilder's: the simple mean of the first `period` moves, then (average * (period - 1) + move) / period."""
        import polars as pl

        row = pl.int_range(pl.len())
        seed = moves.slice(1, self.period).mean()
        series = pl.when(row == self.period).then(seed).when(row > self.period).then(moves)
        return series.ewm_mean(alpha=1 / self.period, adjust=False)
