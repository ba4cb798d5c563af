"""Ticks: what a feed tells, one trade or one quote at a time.

They come by the hundred thousand a second, so they are structs of plain floats and integers: prices in dollars per
share, sizes in shares, `at` in nanoseconds since 1970 UTC by the exchange's clock. Money is made of them only where an
order is: as Decimal.
"""

from __future__ import annotations

import msgspec

SECOND = 1_000_000_000  # nanoseconds


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
