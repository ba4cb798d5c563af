"""Exits: what an order that reduces a position must show, and nothing else may keep it in (law 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quaestor.orders import SELL, Intent
from quaestor.risk.rule import Rule, Verdict

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture


def _reduce_only(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    left = picture.sellable(order.strategy, order.symbol, order)
    return left, order.quantity, order.side is SELL and order.quantity <= left


def _unknown_exit(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    waiting = order.symbol in picture.unknown_exits
    return "none unresolved", "one unresolved" if waiting else "none unresolved", not waiting


EXITS: tuple[Rule, ...] = (
    Rule(
        "reduce_only",
        "shares",
        "exits",
        "An exit sells at most what is held and not yet being sold; a pair of which one cancels the other counts once.",
        _reduce_only,
    ),
    Rule("unknown_exit", "orders", "exits", "No exit on the symbol awaits its resolution (law 5).", _unknown_exit),
)
