"""What a rule is, and how a verdict is said."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from quaestor.calendar import is_session, session_close, session_open, sessions
from quaestor.orders import Intent

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture

ZERO = Decimal(0)
MILLIONTH = Decimal("0.000001")
DAILY_BARS = "n/a: daily bars"  # they have neither quotes nor a time of day
UNKNOWN = "not known"  # what should be known and is not: no entry is made on it
Verdict = tuple[object, object, bool]  # limit, observed, ok
Scope = Literal["all", "entries", "exits"]


class Rule(NamedTuple):
    """A rule of the gate. `judge` answers limit, observed value and whether the order passes.

    name: the reason code; settings: the keys of `[risk]` that hold its limits, none where the limit is no choice.
    """

    name: str
    unit: str
    scope: Scope
    meaning: str
    judge: Callable[[Intent, Picture, RiskSection], Verdict]
    settings: tuple[str, ...] = ()


def share(part: Decimal, whole: Decimal) -> Decimal:
    """Rounded up: what is shown never looks better than it is."""
    return (part / whole).quantize(MILLIONTH, ROUND_CEILING) if whole > 0 else Decimal(1)


@lru_cache(maxsize=4096)  # a day's orders ask for the same few
def age(past: dt.date, session: dt.date) -> int:
    """Sessions from one to a later one; 0 for the same."""
    return len(sessions(past, session)) - 1


@lru_cache(maxsize=256)
def hours(day: dt.date) -> tuple[dt.datetime, dt.datetime] | None:
    """When a session opens and closes, UTC; None for a day that is none."""
    return (session_open(day), session_close(day)) if is_session(day) else None
