"""One large step of a symbol's price, and what speaks for and against it."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass

TEN = math.log(10)


def power(step: float, tolerance: float) -> int:
    """By how many powers of ten a price is off; 0 where it is not."""
    tens = round(step / TEN)
    return tens if abs(step - tens * TEN) <= tolerance else 0


@dataclass(frozen=True, slots=True)
class Step:
    """A large step from `price`, the close before less what is known to have left it; `end`: its symbol's last + 1."""

    at: int
    group: int
    session: dt.date
    start: int
    end: int
    anchored: bool  # stored bars come first
    opens_session: bool
    price: float | None
    open: float
    high: float
    low: float
    close: float
    step: float | None
    spread: float
    limit: float | None
    busy: float | None  # volume over the usual
    earlier: float | None  # the close two bars before
    next_open: float
    next_close: float

    @property
    def newest(self) -> bool:
        """Whether its symbol has no bar after it."""
        return self.at + 1 == self.end

    @property
    def opening(self) -> float:
        """The step of the open, where the close's is known."""
        return math.log(self.open / self.price) if self.price else math.inf

    def explained(self, news: float) -> bool:
        """Whether the volume is news by itself, beyond what a step of scale or split makes of it."""
        return self.busy is not None and self.busy >= news * math.exp(abs(self.step or 0))

    def turnover_stays(self, news: float) -> bool:
        """Whether as many dollars change hands as usual."""
        return self.busy is not None and 1 / news <= self.busy * math.exp(self.step or 0) <= news

    def comes_back(self, part: float) -> bool:
        """Whether the next bar opens and closes where the price was before."""
        if self.newest or not self.price or not self.step:
            return False
        after = (self.next_open, self.next_close)
        return all(abs(math.log(each / self.price)) <= part * abs(self.step) for each in after)

    def comes_home(self, part: float) -> bool:
        """Whether it only goes back to where the price was two bars before: the bar between was the spike."""
        if not self.earlier or not self.step:
            return False
        return abs(math.log(self.close / self.earlier)) <= part * abs(self.step)

    def confirmed(self, news: float) -> bool:
        """Whether the bar itself shows that it traded there."""
        busy = self.busy is not None and self.busy >= news
        opened = self.low < self.high and abs(math.log(self.close / self.open)) < abs(self.step or 0) / 2
        return busy or opened or self.low < self.close < self.high

    def says(self) -> str:
        """The step in words."""
        return f"close {self.close:g} after {self.price:g} (×{math.exp(self.step or 0):.4g})"
