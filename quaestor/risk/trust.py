"""Trust: entries need books, a broker, data and a clock that can be believed."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from quaestor.orders import Intent
from quaestor.risk.rule import DAILY_BARS, UNKNOWN, Rule, Verdict, age

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture


def _latched(_: Intent, picture: Picture, __: RiskSection) -> Verdict:
    return "no stop", ", ".join(picture.latches) or "no stop", not picture.latches


def _reconcile_age(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.settled is None:
        return limits.max_reconcile_age, "n/a: nothing is settled yet", True
    if picture.compared is None:
        return limits.max_reconcile_age, "never compared", False
    old = age(picture.compared, order.session)
    return limits.max_reconcile_age, old, old <= limits.max_reconcile_age


def _unknown_order(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    waiting = order.symbol in picture.unknown
    return "none unresolved", "one unresolved" if waiting else "none unresolved", not waiting


def _blocked(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    doubted = order.symbol in picture.blocked
    return "trusted", "blocked" if doubted else "trusted", not doubted


def _data_quality(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.record is None:
        return limits.max_quarantined, UNKNOWN, False
    bad = picture.record.quarantined.get(order.symbol, 0)
    return limits.max_quarantined, bad, bad <= limits.max_quarantined


def _split_pending(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    if picture.record is None:
        return "booked", UNKNOWN, False
    pending = order.symbol in picture.record.splitting
    return "booked", "pending" if pending else "booked", not pending


def _clock_skew(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.live is None:
        return limits.max_clock_skew, DAILY_BARS, True
    skew = picture.live.skew
    if skew is None or not skew.is_finite():
        return limits.max_clock_skew, UNKNOWN, False
    return limits.max_clock_skew, skew, abs(skew) <= limits.max_clock_skew


def _clock_back(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    """Later than all that is on record, but for the skew that is allowed."""
    if picture.live is None or picture.live.newest is None:
        return "forward", DAILY_BARS if picture.live is None else "forward", True
    now, newest = picture.live.now, picture.live.newest
    ok = now >= newest - dt.timedelta(seconds=float(limits.max_clock_skew))
    return f"from {_told(newest)}", _told(now), ok


def _told(at: dt.datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


TRUST: tuple[Rule, ...] = (
    Rule("latch", "stop", "entries", "No halt, and books and broker agree.", _latched),
    Rule(
        "reconcile_age",
        "sessions",
        "entries",
        "Books and broker were compared, and agreed, not long ago: at a settlement or by the reconcile flow.",
        _reconcile_age,
        ("max_reconcile_age",),
    ),
    Rule("unknown_order", "orders", "entries", "No order on the symbol awaits its resolution (law 2).", _unknown_order),
    Rule("blocked", "state", "entries", "No vendors disagree on the symbol's splits (`quaestor unblock`).", _blocked),
    Rule(
        "data_quality",
        "bars",
        "entries",
        "Bars of the symbol that stand in quarantine among those of its newest sessions.",
        _data_quality,
        ("max_quarantined", "quality_window"),
    ),
    Rule("split_pending", "state", "entries", "Every split of what is held is in the books.", _split_pending),
    Rule("clock_skew", "seconds", "entries", "Our clock and the database's.", _clock_skew, ("max_clock_skew",)),
    Rule("clock_back", "time", "entries", "No clock stepped back behind what is on record.", _clock_back),
)
