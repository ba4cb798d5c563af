"""Loss: who loses, waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaestor.orders import Intent
from quaestor.risk.rule import UNKNOWN, Rule, Verdict, age, share

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture


def _realized_loss(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.record is None:
        return limits.max_realized_loss, UNKNOWN, False
    realized = picture.record.realized(picture.settled or order.session)
    lost = share(-realized, picture.previous_equity)
    return limits.max_realized_loss, lost, lost <= limits.max_realized_loss


def _daily_loss(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    lost = share(picture.previous_equity - picture.equity, picture.previous_equity)
    return limits.max_daily_loss, lost, lost <= limits.max_daily_loss


def _drawdown(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    depth = share(picture.peak - picture.equity, picture.peak)
    return limits.max_drawdown, depth, depth <= limits.max_drawdown


def _losing_streak(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.record is None:
        return limits.max_losses_in_a_row, UNKNOWN, False
    losses, wanted = picture.record.losses(), f"below {limits.max_losses_in_a_row}"
    if losses < limits.max_losses_in_a_row:
        return wanted, losses, True
    last = picture.record.last_loss()
    over = last is not None and age(last, order.session) > limits.losing_pause
    return wanted, f"{losses}, and the pause is over" if over else losses, over


def _cooldown(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.record is None:
        return limits.cooldown, UNKNOWN, False
    last = picture.record.last_loss(order.symbol)
    if limits.cooldown == 0 or last is None:
        return limits.cooldown, "no loss" if last is None else age(last, order.session), True
    return f"above {limits.cooldown}", age(last, order.session), age(last, order.session) > limits.cooldown


LOSS: tuple[Rule, ...] = (
    Rule(
        "max_realized_loss",
        "of equity",
        "entries",
        "Lost by sales in the last session and since.",
        _realized_loss,
        ("max_realized_loss",),
    ),
    Rule("max_daily_loss", "of equity", "entries", "Lost in the last session.", _daily_loss, ("max_daily_loss",)),
    Rule("max_drawdown", "of peak", "entries", "Lost since the highest close.", _drawdown, ("max_drawdown",)),
    Rule(
        "losing_streak",
        "closes",
        "entries",
        "Losing closes in a row, in any symbol; after them no entry is made for some sessions.",
        _losing_streak,
        ("max_losses_in_a_row", "losing_pause"),
    ),
    Rule(
        "cooldown",
        "sessions",
        "entries",
        "Since the symbol's last losing close.",
        _cooldown,
        ("cooldown",),
    ),
)
