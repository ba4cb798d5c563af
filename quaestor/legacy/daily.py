"""Daily bars of a bot against the bar store: legacy never overrides better data, and never itself.

A bar is new where none is stored. Where another source told one, the bot's is left out, and whether the two closes
agree is reported; where an earlier import stored one, it stays.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quaestor.bars import price
from quaestor.errors import BooksDisagree
from quaestor.legacy.rows import Quote, Rejected

SOURCE = "legacy"  # of bars in the bar store
NEAR = Decimal("0.005")  # two closes this near agree
EXAMPLES = 5
Key = tuple[str, dt.date]  # symbol, session
Bar = tuple[Decimal, Decimal, Decimal, Decimal, Decimal]  # open, high, low, close, volume


@dataclass(frozen=True, slots=True)
class StoredBar:
    """A daily bar in the bar store."""

    source: str
    values: Bar


@dataclass(frozen=True)
class Bars:
    """Daily bars against the bar store: new, stored alike by an earlier import, or left out for better data."""

    new: Sequence[Quote] = ()
    already: Sequence[Quote] = ()
    different: Sequence[Quote] = ()
    agree: Sequence[Quote] = ()
    disagree: Sequence[tuple[Quote, StoredBar]] = ()

    @property
    def ours(self) -> list[Quote]:
        """What the bar store holds from this file, once it is loaded."""
        return [*self.new, *self.already]


def compare(daily: Iterable[Quote], stored: Mapping[Key, StoredBar]) -> Bars:
    """Which daily bars are new, and how the others stand to what is stored: legacy never overrides better data."""
    found: dict[str, list[Any]] = defaultdict(list)
    for bar in daily:
        there = stored.get((bar.symbol, bar.session))
        if there is None:
            found["new"].append(bar)
        elif there.source == SOURCE:
            found["already" if there.values == values(bar) else "different"].append(bar)
        elif abs(there.values[3] - bar.price) <= NEAR * there.values[3]:
            found["agree"].append(bar)
        else:
            found["disagree"].append((bar, there))
    return Bars(**found)


def values(bar: Quote) -> Bar:
    """What the bar store would hold: prices as decimals of double precision."""
    opened, high, low, close = (price(float(part or 0)) for part in bar.prices)
    return opened, high, low, close, bar.volume or Decimal(0)


def settled(bars: Bars, stored: Mapping[Key, StoredBar]) -> tuple[Bars, list[Rejected]]:
    """The bars as the store took them, and those that its checks refused. Raises BooksDisagree for an altered one."""
    kept, refused = [], []
    for bar in bars.new:
        there = stored.get((bar.symbol, bar.session))
        if there is None:
            refused.append(
                Rejected(bar.table, bar.row_id, "row", "refused_by_bar_store", f"{bar.symbol} {bar.session}")
            )
        elif there != StoredBar(SOURCE, values(bar)):
            raise BooksDisagree(f"The bar of {bar.symbol} {bar.session} was stored otherwise; nothing was imported.")
        else:
            kept.append(bar)
    return Bars(kept, bars.already, bars.different, bars.agree, bars.disagree), refused


def against(bars: Bars) -> dict[str, Any]:
    """How the daily bars stand to better data."""
    told = [
        f"{bar.symbol} {bar.session}: {bar.price}, stored {there.values[3]} ({there.source})"
        for bar, there in bars.disagree[:EXAMPLES]
    ]
    return {
        "loaded": len(bars.new),
        "already_there": len(bars.already),
        "left_out": len(bars.agree) + len(bars.disagree),
        "agree": len(bars.agree),
        "disagree": len(bars.disagree),
        "examples": told,
    }
