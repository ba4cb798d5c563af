"""Ticks: what a feed tells, one trade or one quote at a time.

They come by the hundred thousand a second, so they are structs of plain floats and integers: prices in dollars per
share, sizes in shares, `at` in nanoseconds since 1970 UTC by the exchange's clock. Money is made of them only where an
order is: as Decimal.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

SECOND = 1_000_000_000  # nanoseconds
_SCALE: list[int] = [10 ** (9 - digits) for digits in range(10)]


class TradeTick(msgspec.Struct, gc=False):
    """A trade that happened."""

    symbol: str
    at: int
    price: float
    size: float


class QuoteTick(msgspec.Struct, gc=False):
    """The best bid and ask, from that moment on."""

    symbol: str
    at: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


Tick = TradeTick | QuoteTick


def stamper() -> Callable[[str], int]:
    """A reader of RFC 3339 in UTC (as vendors' JSON has times), to the nanosecond; it keeps the second it read last.

    What it is given that is no such time raises ValueError, IndexError or OverflowError.
    """
    known, base = "", 0

    def stamp(text: str) -> int:
        nonlocal known, base
        if text[:20] != known:
            second = int(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp()) * SECOND
            if text[19:] == "Z":
                return second
            if text[19] != ".":
                raise ValueError(f"not a time in UTC: {text[:40]!r}")
            base, known = second, text[:20]
        fraction = text[20:-1]
        if text[-1] != "Z" or not fraction.isdecimal():
            raise ValueError(f"not a time in UTC: {text[:40]!r}")
        return base + int(fraction) * _SCALE[len(fraction)]

    return stamp
