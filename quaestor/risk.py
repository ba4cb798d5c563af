"""The risk gate: every order passes it, or is refused with the rule, the limit and what was observed.

A rule has a name, a unit and a sentence; `scope` says which orders it judges. Sanity rules judge all orders; limits on
loss, exposure and rate judge entries alone: an order that reduces a position must never be kept in by a limit (law 5).
The gate is pure: it sees a `Picture` of the account, which it advances by each order it lets through.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from quaestor.exchange import tick
from quaestor.orders import Intent, Side

if TYPE_CHECKING:
    from quaestor.config import RiskSection

ZERO = Decimal(0)
SHARE_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Check:
    """One rule's verdict on one order; limit and observed in the rule's unit."""

    rule: str
    unit: str
    limit: str
    observed: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """A decision not to act."""

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


@dataclass(frozen=True)
class Picture:
    """The account as the gate sees it, before the session opens. Dollars and shares.

    `shares` by (strategy, symbol), `prices` the reference prices by symbol, `bar_age` sessions since each symbol's
    newest bar; `trading` is the session that the market takes orders for now (None: it takes none), `halted` the
    symbols it takes none for, `blocked` those whose data a person must look at; `passed` are the orders already let
    through in this session; `unknown` symbols with an UNKNOWN order, `unknown_exits` those where it is an exit;
    `selling` what orders of earlier sessions may still sell.
    """

    session: dt.date
    equity: Decimal
    cash: Decimal
    peak: Decimal
    previous_equity: Decimal
    shares: Mapping[tuple[str, str], Decimal]
    prices: Mapping[str, Decimal]
    bar_age: Mapping[str, int]
    trading: dt.date | None
    halted: frozenset[str] = frozenset()
    blocked: frozenset[str] = frozenset()
    latches: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()
    unknown_exits: frozenset[str] = frozenset()
    selling: Mapping[tuple[str, str], Decimal] = field(default_factory=dict)
    passed: tuple[Intent, ...] = ()

    def after(self, intent: Intent) -> Picture:
        """The picture once this order is on its way: its cash is spoken for, its exposure counts."""
        spent = intent.notional if intent.side is Side.BUY else ZERO
        return replace(self, cash=self.cash - spent, passed=(*self.passed, intent))

    def exposure(self, symbol: str | None = None) -> Decimal:
        """Market value of positions and of entries on their way, in one symbol or in all."""
        held = sum(
            (quantity * self.prices[name] for (_, name), quantity in self.shares.items() if symbol in {None, name}),
            ZERO,
        )
        coming = (i.notional for i in self.passed if i.side is Side.BUY and symbol in {None, i.symbol})
        return held + sum(coming, ZERO)

    def sellable(self, strategy: str, symbol: str) -> Decimal:
        """Shares of the strategy that no order sells yet."""
        going = (i.quantity for i in self.passed if (i.strategy, i.symbol, i.side) == (strategy, symbol, Side.SELL))
        working = self.selling.get((strategy, symbol), ZERO)
        return self.shares.get((strategy, symbol), ZERO) - working - sum(going, ZERO)


Verdict = tuple[object, object, bool]  # limit, observed, ok
Scope = Literal["all", "entries", "exits"]


class Rule(NamedTuple):
    """A rule of the gate. `judge` answers limit, observed value and whether the order passes."""

    name: str
    unit: str
    scope: Scope
    meaning: str
    judge: Callable[[Intent, Picture, RiskSection], Verdict]


def _quantity(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    finite = order.quantity.is_finite()
    ok = (
        finite
        and order.quantity > 0
        and order.quantity % SHARE_STEP == 0
        and (order.reduces or order.quantity % 1 == 0)
    )
    return "whole shares > 0", order.quantity, ok


def _price(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    return "> 0", order.reference_price, order.reference_price.is_finite() and order.reference_price > 0


def _bar_age(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    age = picture.bar_age.get(order.symbol)
    return limits.max_bar_age, "no bar" if age is None else age, age is not None and age <= limits.max_bar_age


def _tick(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    if order.limit_price is None:
        return "at market", "at market", True
    limit = order.limit_price
    if not (limit.is_finite() and limit > 0):
        return "> 0", limit, False
    return f"a multiple of {tick(limit)}", limit, limit % tick(limit) == 0


def _price_band(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    return price_band(order, picture.prices.get(order.symbol), limits)


def price_band(order: Intent, last: Decimal | None, limits: RiskSection) -> Verdict:
    """Whether an order's prices are near the last one (dollars): its reference either way, its limit where it is worse.

    Asked when the order is decided, and again before an order is sent a second time (law 2).
    """
    width = limits.price_band_exits if order.reduces else limits.price_band
    if last is None or last <= 0:
        return width, "no price", False
    away = abs(order.reference_price / last - 1)
    if order.limit_price is not None:
        away = max(away, order.side.sign * (order.limit_price / last - 1))
    return width, away.quantize(Decimal("0.000001"), ROUND_CEILING), away <= width


def _halted(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    halted = order.symbol in picture.halted
    return "trading", "halted" if halted else "trading", not halted


def _session(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    return order.session, picture.trading or "closed", picture.trading == order.session


def _duplicate(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    same = sum(
        1 for i in picture.passed if (i.strategy, i.symbol, i.side) == (order.strategy, order.symbol, order.side)
    )
    return 0, same, same == 0


def _reduce_only(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    left = picture.sellable(order.strategy, order.symbol)
    return left, order.quantity, order.side is Side.SELL and order.quantity <= left


def _long_only(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    return "buy", order.side.value, order.side is Side.BUY


def _latched(_: Intent, picture: Picture, __: RiskSection) -> Verdict:
    return "no stop", ", ".join(picture.latches) or "no stop", not picture.latches


def _unknown(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    waiting = order.symbol in picture.unknown
    return "none unresolved", "one unresolved" if waiting else "none unresolved", not waiting


def _unknown_exit(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    waiting = order.symbol in picture.unknown_exits
    return "none unresolved", "one unresolved" if waiting else "none unresolved", not waiting


def _blocked(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    doubted = order.symbol in picture.blocked
    return "trusted", "blocked" if doubted else "trusted", not doubted


def _self_cross(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    against = sum(1 for i in picture.passed if i.symbol == order.symbol and i.side is not order.side)
    return 0, against, against == 0


def _order_notional(order: Intent, _: Picture, limits: RiskSection) -> Verdict:
    return limits.max_order_notional, order.notional, order.notional <= limits.max_order_notional


def _position_weight(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    weight = _share(picture.exposure(order.symbol) + order.notional, picture.equity)
    return limits.max_position_weight, weight, weight <= limits.max_position_weight


def _gross_exposure(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    gross = _share(picture.exposure() + order.notional, picture.equity)
    return limits.max_gross_exposure, gross, gross <= limits.max_gross_exposure


def _cash(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    bought = sum((i.notional for i in picture.passed if i.side is Side.BUY), ZERO)
    usable = (picture.cash + bought) * (1 - limits.cash_buffer) - bought
    return usable.quantize(Decimal("0.01")), order.notional, order.notional <= usable


def _rate(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    return limits.max_orders_per_session, len(picture.passed) + 1, len(picture.passed) < limits.max_orders_per_session


def _daily_loss(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    loss = _share(picture.previous_equity - picture.equity, picture.previous_equity)
    return limits.max_daily_loss, loss, loss <= limits.max_daily_loss


def _drawdown(_: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    depth = _share(picture.peak - picture.equity, picture.peak)
    return limits.max_drawdown, depth, depth <= limits.max_drawdown


def _share(part: Decimal, whole: Decimal) -> Decimal:
    """Rounded up: what is shown never looks better than it is."""
    return (part / whole).quantize(Decimal("0.000001"), ROUND_CEILING) if whole > 0 else Decimal(1)


RULES: tuple[Rule, ...] = (
    Rule(
        "quantity", "shares", "all", "Entries are whole shares; an exit may sell the fraction a split left.", _quantity
    ),
    Rule("reference_price", "dollars", "all", "An order is sized at a real price.", _price),
    Rule("bar_age", "sessions", "all", "The symbol is known and its newest bar is fresh.", _bar_age),
    Rule("tick", "dollars", "all", "A limit price is on the tick (SEC rule 612).", _tick),
    Rule("price_band", "of the last price", "all", "The order's prices are near the last price.", _price_band),
    Rule("halted", "state", "all", "The market takes orders for the symbol.", _halted),
    Rule("session_closed", "session", "all", "The market takes orders for the session.", _session),
    Rule("duplicate", "orders", "all", "One order per strategy, symbol, side and session.", _duplicate),
    Rule("reduce_only", "shares", "exits", "An exit sells at most what is held and not yet being sold.", _reduce_only),
    Rule("unknown_exit", "orders", "exits", "No exit on the symbol awaits its resolution (law 5).", _unknown_exit),
    Rule("long_only", "side", "entries", "Entries are purchases: nothing is sold short.", _long_only),
    Rule("latch", "stop", "entries", "No halt, and books and broker agree.", _latched),
    Rule("unknown_order", "orders", "entries", "No order on the symbol awaits its resolution (law 2).", _unknown),
    Rule("blocked", "state", "entries", "No vendors disagree on the symbol's splits (`quaestor unblock`).", _blocked),
    Rule(
        "self_cross",
        "orders",
        "entries",
        "No purchase meets our own sale of the symbol (FINRA rule 5210).",
        _self_cross,
    ),
    Rule("max_order_notional", "dollars", "entries", "One order's value.", _order_notional),
    Rule("max_position_weight", "of equity", "entries", "All that is held and coming in one symbol.", _position_weight),
    Rule("max_gross_exposure", "of equity", "entries", "All positions and entries together.", _gross_exposure),
    Rule(
        "cash",
        "dollars",
        "entries",
        "Cash at hand less the buffer for a higher open; sales of today do not count.",
        _cash,
    ),
    Rule("max_orders_per_session", "orders", "entries", "Orders let through in the session.", _rate),
    Rule("max_daily_loss", "of equity", "entries", "Lost in the last session.", _daily_loss),
    Rule("max_drawdown", "of peak", "entries", "Lost since the highest close.", _drawdown),
)


def gate(order: Intent, picture: Picture, limits: RiskSection) -> list[Check]:
    """All verdicts on an order, in the order of `RULES`; it may be sent when each is ok.

    An order that fails sanity is measured no further: its quantity or price may be no number at all.
    """
    kind: Scope = "exits" if order.reduces else "entries"
    checks: list[Check] = []
    for rule in RULES:
        if rule.scope not in {"all", kind}:
            continue
        checks.append(_check(rule, rule.judge(order, picture, limits)))
        if rule.scope == "all" and not checks[-1].ok:
            break
    return checks


def _check(rule: Rule, verdict: Verdict) -> Check:
    limit, observed, ok = verdict
    return Check(rule.name, rule.unit, str(limit), str(observed), ok)


def refusal(order: Intent, failed: Check, provenance: Mapping[str, Any]) -> Refusal:
    """The refusal of an order by the first rule that failed."""
    meaning = next(rule.meaning for rule in RULES if rule.name == failed.rule)
    message = f"{failed.rule}: observed {failed.observed}, limit {failed.limit} ({failed.unit}). {meaning}"
    return Refusal(
        session=order.session,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        rule=failed.rule,
        unit=failed.unit,
        limit=failed.limit,
        observed=failed.observed,
        message=message,
        provenance=provenance,
    )
