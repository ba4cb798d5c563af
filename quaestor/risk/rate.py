"""Rate: a program that errs, errs quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaestor.orders import Intent
from quaestor.risk.rule import UNKNOWN, Rule, Verdict

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture


def _per_minute(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    """Attempts, not orders: an order that is sent three times counts three times. On daily bars the orders of a session
    are sent in one minute, before its opening.
    """
    if picture.record is None:
        return limits.max_orders_per_minute, UNKNOWN, False
    attempts = picture.record.attempts + len(picture.passed) + 1
    return limits.max_orders_per_minute, attempts, attempts <= limits.max_orders_per_minute


def _per_session(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.record is None:
        return limits.max_orders_per_session, UNKNOWN, False
    orders = picture.record.orders + len(picture.passed) + 1
    return limits.max_orders_per_session, orders, orders <= limits.max_orders_per_session


RATE: tuple[Rule, ...] = (
    Rule(
        "max_orders_per_minute",
        "attempts",
        "entries",
        "Orders sent in the last minute, each try counted, and those on their way.",
        _per_minute,
        ("max_orders_per_minute",),
    ),
    Rule(
        "max_orders_per_session",
        "orders",
        "entries",
        "Orders let through for the session, entries and exits.",
        _per_session,
        ("max_orders_per_session",),
    ),
)
