"""Fields of Robinhood's crypto API, read strictly.

It writes amounts now as text, padded to 18 digits, now as bare numbers, in one and the same object; the line keeps bare
numbers as they stand, so each is exact here. Times come with one offset or another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from quaestor.calendar import NEW_YORK
from quaestor.errors import BadInput
from quaestor.orders import MILLIONTH, trimmed

ZERO = Decimal(0)


def amount(row: Mapping[str, Any], name: str, default: Decimal | None = None) -> Decimal:
    """A number; the default where it is absent or null. Raises BadInput for what is none."""
    value = row.get(name)
    if value is None and default is not None:
        return default
    try:
        if isinstance(value, bool):
            raise InvalidOperation
        found = Decimal(str(value))
    except InvalidOperation:
        raise BadInput(f"Robinhood's {name} is {str(value)[:40]!r}, which is no number.") from None
    if not found.is_finite():
        raise BadInput(f"Robinhood's {name} is {found}, which is no number.")
    return found


def text(row: Mapping[str, Any], name: str) -> str:
    """A text that is there. Raises BadInput."""
    value = row.get(name)
    if not isinstance(value, str) or not value:
        raise BadInput(f"Robinhood tells no {name}; it may have changed its form.")
    return value


def time(row: Mapping[str, Any], name: str) -> dt.datetime:
    """A time, in UTC. Raises BadInput for one without a zone."""
    value = text(row, name)
    try:
        found = dt.datetime.fromisoformat(value)
    except ValueError:
        raise BadInput(f"Robinhood's {name} is {value[:40]!r}, which is no time.") from None
    if found.tzinfo is None:
        raise BadInput(f"Robinhood's {name} is {value[:40]!r}, which names no time zone.")
    return found.astimezone(dt.UTC)


def session(at: dt.datetime) -> dt.date:
    """The session of a moment: crypto trades without a pause, so it is the date in New York, whatever day it is."""
    return at.astimezone(NEW_YORK).date()


def floored(quantity: Decimal) -> Decimal:
    """As books keep it: down to a millionth of a coin."""
    return trimmed(quantity.quantize(MILLIONTH, ROUND_FLOOR))
