"""Screening: which ticks may be traded upon. A bad one is counted by the rule it breaks and goes no further.

A good tick passes one chain of comparisons, written so that whatever is odd (NaN, too, which no comparison likes) fails
it; only what fails is judged rule by rule. The band that a price must keep is ten times the symbol's last trade, up and
down. A market may leave it (a reverse split, a first print that was wrong): five trades in a row that agree with each
other, over a second or more, are the new level; one print never is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

UNKNOWN, FINITE, POSITIVE, CROSSED = "tick-unknown-symbol", "tick-not-finite", "tick-not-positive", "tick-crossed"
FUTURE, STALE, SPIKE = "tick-future", "tick-stale", "tick-spike"
RULES: Mapping[str, str] = {
    UNKNOWN: "a symbol that nobody subscribed to",
    FINITE: "a price or size that is no finite number",
    POSITIVE: "a price of zero or less, a trade of no shares, or a size below zero",
    CROSSED: "a bid above its ask",
    FUTURE: "more than 2 seconds ahead of our clock",
    STALE: "a day old or older",
    SPIKE: "ten times the last trade or a tenth of it, without four more that say the same",
}
AHEAD = 2 * SECOND
DAY = 86_400 * SECOND
BAND = 10.0
AGREED, OVER = 5, SECOND  # trades in a row, from the first of them to the last, that make a new level
NEAR = 1.2  # two prices agree within this factor


class Screen:
    """Judges ticks; `counts` has the refused ones by rule id, `last` the level of each symbol (0: none yet)."""

    def __init__(self, symbols: Iterable[str] = (), last: Mapping[str, float] | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.last: dict[str, float] = {}
        self._odd: dict[str, tuple[int, int, float]] = {}  # trades outside the band: how many, since when, where
        self.watch(symbols, last)

    def watch(self, symbols: Iterable[str], last: Mapping[str, float] | None = None) -> None:
        """Let these symbols pass from now on; `last`: prices to begin with, such as the previous closes."""
        for symbol in symbols:
            self.last.setdefault(symbol, 0.0)
        self.last.update(last or {})

    def forget(self, symbols: Iterable[str]) -> None:
        """Let these symbols pass no more."""
        for symbol in symbols:
            self.last.pop(symbol, None)
            self._odd.pop(symbol, None)

    def good(self, ticks: Iterable[Tick], now: int) -> list[Tick]:
        """The ticks that may be traded upon, in their order; `now` in nanoseconds."""
        last, odd, oldest, newest, infinite = self.last, self._odd, now - DAY, now + AHEAD, math.inf
        passed: list[Tick] = []
        keep = passed.append
        for tick in ticks:
            symbol = tick.symbol
            level = last.get(symbol, 0.0)
            if type(tick) is QuoteTick:
                bid, ask = tick.bid, tick.ask
                if (
                    level < bid * BAND
                    and bid <= ask < level * BAND
                    and oldest < tick.at <= newest
                    and 0.0 <= tick.bid_size < infinite
                    and 0.0 <= tick.ask_size < infinite
                ):
                    keep(tick)
                    continue
            elif (
                level < tick.price * BAND  # type: ignore[union-attr] # it is no quote
                and tick.price < level * BAND  # type: ignore[union-attr]
                and oldest < tick.at <= newest
                and 0.0 < tick.size < infinite  # type: ignore[union-attr]
            ):
                last[symbol] = tick.price  # type: ignore[union-attr]
                if odd:
                    odd.pop(symbol, None)
                keep(tick)
                continue
            if (rule := self.rule(tick, now)) is None:
                keep(tick)
            else:
                self.counts[rule] += 1
        return passed

    def rule(self, tick: Tick, now: int) -> str | None:
        """The rule that a tick breaks, the first of them; None for a good one, whose level is taken."""
        if tick.symbol not in self.last:
            return UNKNOWN
        return _shape(tick) or _time(tick.at, now) or self._level(tick)

    def _level(self, tick: Tick) -> str | None:
        level = self.last[tick.symbol]
        trade = isinstance(tick, TradeTick)
        low, high = (tick.price, tick.price) if isinstance(tick, TradeTick) else (tick.bid, tick.ask)
        if level and not (level < low * BAND and high < level * BAND) and not (trade and self._agreed(tick, low)):
            return SPIKE
        if trade or not level:
            self.last[tick.symbol] = (low + high) / 2
        return None

    def _agreed(self, tick: Tick, price: float) -> bool:
        """Whether this trade outside the band is the last that a new level needs."""
        count, since, where = self._odd.get(tick.symbol, (0, tick.at, price))
        if not where / NEAR <= price <= where * NEAR:
            count, since, where = 0, tick.at, price
        if agreed := count + 1 >= AGREED and tick.at - since >= OVER:
            self._odd.pop(tick.symbol, None)
        else:
            self._odd[tick.symbol] = (count + 1, since, where)
        return agreed


def _shape(tick: Tick) -> str | None:
    if isinstance(tick, TradeTick):
        prices, sizes, none = (tick.price,), (tick.size,), tick.size <= 0
    else:
        prices, sizes = (tick.bid, tick.ask), (tick.bid_size, tick.ask_size)  # type: ignore[assignment]
        none = min(sizes) < 0
    if not all(map(math.isfinite, (*prices, *sizes))):
        return FINITE
    if min(prices) <= 0 or none:
        return POSITIVE
    return CROSSED if prices[0] > prices[-1] else None


def _time(at: int, now: int) -> str | None:
    if at > now + AHEAD:
        return FUTURE
    return STALE if at <= now - DAY else None
