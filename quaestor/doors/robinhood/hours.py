"""What Robinhood says of days: when its market is open, and which splits there are. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from quaestor import calendar
from quaestor.errors import BadInput
from quaestor.splits import Split


def differ(day: dt.date, said: Mapping[str, Any]) -> str:
    """How Robinhood's hours of a day differ from our calendar's; "" where both agree. Raises BadInput."""
    try:
        theirs = (_instant(said["opens_at"]), _instant(said["closes_at"])) if said["is_open"] else None
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"Robinhood's hours of {day} cannot be read ({error!r}).") from error
    ours = (calendar.session_open(day), calendar.session_close(day)) if calendar.is_session(day) else None
    return "" if ours == theirs else f"{day}: our calendar says {_words(ours)}, Robinhood {_words(theirs)}."


def split(symbol: str, each: Mapping[str, Any]) -> Split:
    """A split as Robinhood tells it; raises BadInput."""
    try:
        ratio = Fraction(str(each["multiplier"])) / Fraction(str(each["divisor"]))
        if ratio <= 0:
            raise ValueError(f"a ratio of {ratio}")
        return Split(symbol, dt.date.fromisoformat(each["execution_date"]), ratio)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BadInput(f"{symbol}: Robinhood tells of a split that cannot be read ({error!r}).") from error


def _instant(text: str) -> dt.datetime:
    found = dt.datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"the time {text!r} without a zone")
    return found.astimezone(dt.UTC)


def _words(hours: tuple[dt.datetime, dt.datetime] | None) -> str:
    return "closed" if hours is None else f"open {hours[0]:%H:%M} to {hours[1]:%H:%M} UTC"
