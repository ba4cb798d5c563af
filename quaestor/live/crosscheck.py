"""The cross-check: before an order, the feed's quote beside the broker's own. Who trades on prices that the broker does
not see trades on another market: a wrong symbol, a feed that hangs, a split that one of both missed.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from quaestor.risk import Quote

HUNDRED = Decimal(100)


def agree(
    feed: Quote | None, broker: Quote | None, *, percent: Decimal, max_age: Decimal, now: dt.datetime
) -> str | None:
    """Why both do not prove each other; None where they do.

    percent: by which their middles may differ, of the broker's; max_age: seconds that either may be old.
    """
    for quote, whose in ((feed, "the feed"), (broker, "the broker")):
        if quote is None:
            return f"{whose} has no quote"
        if not quote.sound:
            return f"{whose}'s quote is {quote.bid} / {quote.ask}"
        age = Decimal(str((now - quote.at).total_seconds()))
        if age > max_age:
            return f"{whose}'s quote is {age:.1f} s old, {max_age} s at most are taken"
    assert feed is not None  # noqa: S101 - looked at above
    assert broker is not None  # noqa: S101
    off = abs(feed.mid - broker.mid) / broker.mid * HUNDRED
    if off > percent:
        return f"the feed says {feed.bid} / {feed.ask}, the broker {broker.bid} / {broker.ask}: {off:.2f} % apart"
    return None
