"""Marks: the newest close of each symbol, in the shares of the day on which it is used.

A symbol may not have traded on the day of its split. Its last close then counts old shares and the position new ones:
the close is divided by every split since, or equity would jump by itself.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from quaestor.bars import Bar
from quaestor.calendar import sessions
from quaestor.exchange import cents
from quaestor.ports import Quotes
from quaestor.splits import Split


@dataclass(frozen=True, slots=True)
class Mark:
    """A close in dollars per share, and the session it was traded in."""

    price: Decimal
    session: dt.date


async def marked(symbols: Iterable[str], upto: dt.date, day: dt.date, quotes: Quotes) -> dict[str, Mark]:
    """The newest closes with session ≤ upto in the shares of `day`; a symbol without any bar is absent."""
    found = [(symbol, await quotes.last_bar(symbol, upto)) for symbol in symbols]
    bars = {symbol: bar for symbol, bar in found if bar is not None}
    oldest = min((bar.session for bar in bars.values()), default=day)
    later = sessions(oldest + dt.timedelta(days=1), day)
    splits = [split for session in later for split in await quotes.splits(session)]
    return {symbol: Mark(_price(bar, splits), bar.session) for symbol, bar in bars.items()}


def _price(bar: Bar, splits: Iterable[Split]) -> Decimal:
    since = [split.ratio for split in splits if split.symbol == bar.symbol and split.session > bar.session]
    price = bar.close
    for ratio in since:
        price = price * ratio.denominator / ratio.numerator
    return cents(price) if since else price
