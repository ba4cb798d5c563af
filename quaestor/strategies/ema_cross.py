"""EMA crossover, bar by bar: hold a symbol while its fast exponential average is above its slow one.

An average over n bars moves by 2 / (n + 1) of the way to each new close. Source: Gerald Appel (2005), "Technical
Analysis: Power Tools for Active Investors", on which of two averages is above.
"""

from __future__ import annotations

from dataclasses import dataclass

from quaestor.barring import LiveBar
from quaestor.errors import BadInput
from quaestor.strategies.live import Follower, LiveStrategy
from quaestor.windows import Ema


@dataclass(frozen=True)
class EmaCross(LiveStrategy):
    """`share` of the sleeve in each symbol while EMA(fast) > EMA(slow) on bars of a minute, else nothing."""

    name = "ema_cross"
    fast: int = 20
    slow: int = 60
    share: float = 0.1

    def __post_init__(self) -> None:
        self.require_whole("fast")
        self.require_whole("slow", 2)
        if self.fast >= self.slow:
            raise BadInput(f"{self.name}: fast = {self.fast}, slow = {self.slow}: fast must be the smaller.")
        if self.slow * 5 > self.warmup:
            raise BadInput(
                f"{self.name}: slow = {self.slow}: give at most {self.warmup // 5}; {self.warmup} bars teach it."
            )
        if isinstance(self.share, bool) or not isinstance(self.share, int | float) or not 0 < self.share <= 1:
            raise BadInput(f"{self.name}: share = {self.share!r}: give a share of the sleeve, above 0 and at most 1.")

    def follow(self, symbol: str) -> Follower:
        """Two averages of its closes."""
        del symbol
        return _Averages(self)


class _Averages(Follower):
    def __init__(self, strategy: EmaCross) -> None:
        self._fast, self._slow, self._share = Ema(strategy.fast), Ema(strategy.slow), strategy.share

    def on_bar(self, bar: LiveBar) -> float | None:
        fast, slow = self._fast.push(bar.close), self._slow.push(bar.close)
        if fast is None or slow is None:
            return None
        return self._share if fast > slow else 0.0
