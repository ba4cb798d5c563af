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

RULES: tuple[Rule, ...] = (*SANITY, *EXITS, *TRUST, *MARKET, *EXPOSURE, *RATE, *LOSS)


class _Asked:
    """A rule as the gate asks it, and its last verdict with the evidence of it: most say the same of every order."""

    __slots__ = ("judge", "last", "name", "sanity", "unit")

    def __init__(self, rule: Rule) -> None:
        self.name, self.unit, self.judge, self.sanity = rule.name, rule.unit, rule.judge, rule.scope == "all"
        self.last: tuple[object, object, bool | None, dict[str, Any]] = (None, None, None, {})


ASKED = {  # by whether an order reduces a position
    reduces: tuple(_Asked(rule) for rule in RULES if rule.scope != other)
    for reduces, other in ((True, "entries"), (False, "exits"))
}


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
    return [Check(**told) for told in verdicts(order, picture, limits)[0]]


def verdicts(order: Intent, picture: Picture, limits: RiskSection) -> tuple[list[dict[str, Any]], Check | None]:
    """The same as an order's evidence has them, which is all that most are for; and the first that is not ok.

    Orders share what is told of one verdict: nobody writes to it.
    """
    told: list[dict[str, Any]] = []
    failed: Check | None = None
    for rule in ASKED[order.reduces]:
        limit, observed, ok = rule.judge(order, picture, limits)
        was_limit, was_observed, was_ok, check = rule.last
        if observed is not was_observed or limit is not was_limit or ok is not was_ok:
            check = {"rule": rule.name, "unit": rule.unit, "limit": f"{limit!s}", "observed": f"{observed!s}", "ok": ok}
            rule.last = (limit, observed, ok, check)
        told.append(check)
        if not ok:
            failed = failed or Check(**check)
            if rule.sanity:
                break
    return told, failed


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
