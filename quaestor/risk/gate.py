"""The gate: all rules in their order, one order at a time; and what a refusal says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from quaestor.orders import Intent, Side
from quaestor.risk.exits import EXITS
from quaestor.risk.exposure import EXPOSURE
from quaestor.risk.loss import LOSS
from quaestor.risk.market import MARKET
from quaestor.risk.rate import RATE
from quaestor.risk.rule import ZERO, Rule
from quaestor.risk.sanity import MOST, SANITY
from quaestor.risk.trust import TRUST

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture

_check = tuple.__new__  # a named tuple's own constructor costs three times that, for each of the rules of each order
RULES: tuple[Rule, ...] = (*SANITY, *EXITS, *TRUST, *MARKET, *EXPOSURE, *RATE, *LOSS)
ENTRY_RULES = tuple(rule for rule in RULES if rule.scope != "exits")
EXIT_RULES = tuple(rule for rule in RULES if rule.scope != "entries")


class Check(NamedTuple):
    """One rule's verdict on one order; limit and observed in the rule's unit."""

    rule: str
    unit: str
    limit: str
    observed: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision not to act; `cause_key` as in `orders.Intent`."""

    session: dt.date
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    rule: str
    unit: str
    limit: str
    observed: str
    message: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    cause_key: str = ""


def gate(order: Intent, picture: Picture, limits: RiskSection) -> list[Check]:
    """All verdicts on an order, in the order of `RULES`; it may be sent when each is ok.

    An order that fails sanity is measured no further: its quantity or price may be no number at all.
    """
    checks: list[Check] = []
    for name, unit, scope, _, judge, _ in EXIT_RULES if order.reduces else ENTRY_RULES:
        limit, observed, ok = judge(order, picture, limits)
        told = limit if type(limit) is str else str(limit), observed if type(observed) is str else str(observed)
        checks.append(_check(Check, (name, unit, *told, ok)))
        if scope == "all" and not ok:
            break
    return checks


def refusal(order: Intent, failed: Check, provenance: Mapping[str, Any]) -> Refusal:
    """The refusal of an order by the first rule that failed. A quantity that no book can hold is told as 0: `observed`
    has it as it was.
    """
    meaning = next(rule.meaning for rule in RULES if rule.name == failed.rule)
    return refused_by(order, failed, meaning, provenance)


def refused_by(order: Intent, failed: Check, meaning: str, provenance: Mapping[str, Any]) -> Refusal:
    """The same, by a rule of whoever asks."""
    message = f"{failed.rule}: observed {failed.observed}, limit {failed.limit} ({failed.unit}). {meaning}"
    return Refusal(
        session=order.session,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity if order.quantity.is_finite() and abs(order.quantity) < MOST else ZERO,
        rule=failed.rule,
        unit=failed.unit,
        limit=failed.limit,
        observed=failed.observed,
        message=message,
        provenance=provenance,
        cause_key=order.cause_key,
    )
