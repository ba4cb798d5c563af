"""Exposure: how much an entry may add, of what, and with which money."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.orders import Intent
from quaestor.risk.rule import UNKNOWN, ZERO, Rule, Verdict, share

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture

CENT = Decimal("0.01")


def _allowed(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    symbol = order.symbol
    if symbol in limits.deny:
        return "not denied", "denied", False
    if limits.allow and symbol not in limits.allow:
        return "on the list", "not on the list", False
    inside = picture.universe is None or symbol in picture.universe
    return "in the universe", "in the universe" if inside else "outside", inside


def _order_notional(order: Intent, _: Picture, limits: RiskSection) -> Verdict:
    return limits.max_order_notional, order.notional, order.notional <= limits.max_order_notional


def _order_shares(order: Intent, _: Picture, limits: RiskSection) -> Verdict:
    return limits.max_order_shares, order.quantity, order.quantity <= limits.max_order_shares


def _position_weight(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    weight = share(picture.exposure(order.symbol) + order.notional, picture.equity)
    return limits.max_position_weight, weight, weight <= limits.max_position_weight


def _gross_exposure(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    gross = share(picture.exposure() + order.notional, picture.equity)
    return limits.max_gross_exposure, gross, gross <= limits.max_gross_exposure


def _net_exposure(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    net = share(picture.net() + order.notional, picture.equity)
    return limits.max_net_exposure, net, net <= limits.max_net_exposure


def _open_positions(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    symbols = picture.positions()
    count = len(symbols) + (order.symbol not in symbols)
    return limits.max_open_positions, count, count <= limits.max_open_positions


def _cash(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    usable = _usable(picture, limits, ZERO)
    return usable.quantize(CENT), order.notional, order.notional <= usable


def _settled_cash(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if not limits.cash_account:
        return "any cash", "n/a: no cash account", True
    if picture.record is None:
        return "settled", UNKNOWN, False
    usable = _usable(picture, limits, picture.record.unsettled(order.session))
    return usable.quantize(CENT), order.notional, order.notional <= usable


def _usable(picture: Picture, limits: RiskSection, unsettled: Decimal) -> Decimal:
    """Cash before this decision, less the buffer, less what orders on their way will spend."""
    tally = picture.tally
    return (picture.cash + tally.bought - unsettled) * (1 - limits.cash_buffer) - tally.spent


EXPOSURE: tuple[Rule, ...] = (
    Rule(
        "allowed",
        "list",
        "entries",
        "Not denied, on the list where there is one, in the universe.",
        _allowed,
        ("allow", "deny"),
    ),
    Rule("max_order_notional", "dollars", "entries", "One order's value.", _order_notional, ("max_order_notional",)),
    Rule("max_order_shares", "shares", "entries", "One order's shares.", _order_shares, ("max_order_shares",)),
    Rule(
        "max_position_weight",
        "of equity",
        "entries",
        "All that is held and coming in one symbol.",
        _position_weight,
        ("max_position_weight",),
    ),
    Rule(
        "max_gross_exposure",
        "of equity",
        "entries",
        "All positions and entries together.",
        _gross_exposure,
        ("max_gross_exposure",),
    ),
    Rule(
        "max_net_exposure",
        "of equity",
        "entries",
        "The same, short positions set against long ones.",
        _net_exposure,
        ("max_net_exposure",),
    ),
    Rule(
        "max_open_positions",
        "symbols",
        "entries",
        "Symbols held and coming.",
        _open_positions,
        ("max_open_positions",),
    ),
    Rule(
        "cash",
        "dollars",
        "entries",
        "Cash at hand less the buffer for a higher open; sales of today do not count.",
        _cash,
        ("cash_buffer",),
    ),
    Rule(
        "settled_cash",
        "dollars",
        "entries",
        "In a cash account: the same without proceeds of sales that are not settled (SEC rule 15c6-1).",
        _settled_cash,
        ("cash_account",),
    ),
)
