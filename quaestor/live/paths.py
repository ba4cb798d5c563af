"""Paths: stored prices as ticks that may have made them, for replays, protocol servers and gaps.

Prints are what they were. A bar of a minute becomes four trades: the open at its start; then low and high after a
quarter and a half of it, the low first where the bar closed no lower than it opened; the close a nanosecond before its
end. Their sizes sum to its volume: whoever bars them again has the same bars. A daily bar becomes a way through the
same four prices over the session's hours, a trade every so often, within its high and low and a little restless in
between, the same each time. A bar that nobody traded in has no ticks.

Quotes, where they are wanted, stand just before each trade, on both sides of it.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from quaestor import calendar
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

if TYPE_CHECKING:
    import polars as pl

MINUTE = 60 * SECOND
RESTLESS = 0.04  # of a day's range
LOT = 100.0  # shares at each side of a made quote
_at = attrgetter("at")


def of_prints(prints: pl.DataFrame) -> list[Tick]:
    """Recorded trades (symbol, ts, price, size; number, where there is one) in the feed's order."""
    order = ["ts", "number"] if "number" in prints.columns else ["ts"]
    rows = prints.sort(order, maintain_order=True)
    stamps = (rows["ts"].dt.epoch("us") * 1000).to_list()
    columns = (rows["symbol"].to_list(), stamps, rows["price"].to_list(), rows["size"].to_list())
    return [TradeTick(*row) for row in zip(*columns, strict=True)]


def of_minutes(bars: pl.DataFrame, seconds: int = 60) -> list[Tick]:
    """Four trades for each bar that lasts so many seconds, in the order of time."""
    found: list[Tick] = []
    names = ("symbol", "ts", "open", "high", "low", "close", "volume")
    for symbol, ts, first, high, low, last, volume in bars.select(names).iter_rows():
        found += _four(symbol, _ns(ts) - seconds * SECOND, seconds * SECOND, (first, high, low, last), volume)
    return sorted(found, key=_at)


def of_days(bars: pl.DataFrame, every: float = 5.0) -> list[Tick]:
    """A way through each daily bar, a trade every so many seconds, in the order of time."""
    names = ("symbol", "session", "open", "high", "low", "close", "volume")
    return sorted((tick for row in bars.select(names).iter_rows() for tick in _day(row, every)), key=_at)


def moved(ticks: Iterable[Tick], by: int) -> list[Tick]:
    """The same ticks, so many nanoseconds later."""
    return [_again(tick, tick.at + by) for tick in ticks]


def to_session(ticks: Iterable[Tick], session: dt.date, day: dt.date) -> list[Tick]:
    """The ticks of a session as if they were that day's: as long after its opening."""
    return moved(ticks, _ns(calendar.session_open(day)) - _ns(calendar.session_open(session)))


def quoted(ticks: Iterable[Tick], basis_points: float) -> list[Tick]:
    """With a quote just before each trade, so wide."""
    found: list[Tick] = []
    for tick in ticks:
        if isinstance(tick, TradeTick):
            found.append(_quote(tick, basis_points))
        found.append(tick)
    return found


def together(streams: Sequence[Iterable[Tick]]) -> Iterator[Tick]:
    """Streams in the order of time as one; of the same time, the earlier stream first."""
    return merge(*streams, key=_at)


def _ns(instant: dt.datetime) -> int:
    whole = int(instant.timestamp())
    return whole * SECOND + instant.microsecond * 1000


def _four(symbol: str, start: int, lasts: int, prices: tuple[float, ...], volume: int) -> list[Tick]:
    if not volume or any(price is None for price in prices):
        return []
    first, high, low, last = prices
    way = (first, low, high, last) if last >= first else (first, high, low, last)
    sizes = _shares(volume, 4)
    instants = (start, start + lasts // 4, start + lasts // 2, start + lasts - 1)
    return [TradeTick(symbol, at, price, size) for at, price, size in zip(instants, way, sizes, strict=True)]


def _shares(volume: int, parts: int) -> list[float]:
    """Whole shares where there are enough; the last has the rest."""
    each = float(volume // parts) if volume >= parts else volume / parts
    return [each] * (parts - 1) + [volume - each * (parts - 1)]


def _day(row: tuple[Any, ...], every: float) -> list[Tick]:
    symbol, day, first, high, low, last, volume = row
    if not volume or any(price is None for price in (first, high, low, last)):
        return []
    opens, closes = _ns(calendar.session_open(day)), _ns(calendar.session_close(day))
    turns = (first, low, high, last) if last >= first else (first, high, low, last)
    steps = max(3, int((closes - opens) / (every * SECOND)))
    at_turns = {0: turns[0], steps // 3: turns[1], steps - steps // 3: turns[2], steps: turns[3]}
    sizes = _shares(volume, steps + 1)
    seed = sum(map(ord, symbol)) + day.toordinal()
    found: list[Tick] = []
    for n in range(steps + 1):
        price = at_turns.get(n)
        if price is None:
            price = _between(n / steps, turns, high - low, seed + n)
            price = min(max(round(price, 2), low), high)
        at = opens + (closes - opens) * n // steps
        found.append(TradeTick(symbol, min(at, closes - 1), price, sizes[n]))
    return found


def _between(part: float, turns: tuple[float, ...], span: float, n: int) -> float:
    leg = min(int(part * 3), 2)
    way = part * 3 - leg
    return turns[leg] + (turns[leg + 1] - turns[leg]) * way + RESTLESS * span * math.sin(2.4 * n) * math.sin(0.37 * n)


def _quote(trade: TradeTick, basis_points: float) -> QuoteTick:
    digits = 2 if trade.price >= 1 else 4
    half = max(trade.price * basis_points / 20_000, 0.5 / 10**digits)
    bid, ask = round(trade.price - half, digits), round(trade.price + half, digits)
    if bid >= ask or bid <= 0:
        bid, ask = min(bid, trade.price) if bid > 0 else trade.price, max(ask, trade.price)
    return QuoteTick(trade.symbol, trade.at, bid, ask, LOT, LOT)


def _again(tick: Tick, at: int) -> Tick:
    if isinstance(tick, TradeTick):
        return TradeTick(tick.symbol, at, tick.price, tick.size)
    return QuoteTick(tick.symbol, at, tick.bid, tick.ask, tick.bid_size, tick.ask_size)
