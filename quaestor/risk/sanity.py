"""Sanity: judges every order, exits too. No position is worth an order that no market could take."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from quaestor.bars import SYMBOL
from quaestor.exchange import tick
from quaestor.orders import BUY, Intent, OrderType, TimeInForce
from quaestor.risk.rule import MILLIONTH, ZERO, Rule, Verdict, hours

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture

SHARE, WHOLE = MILLIONTH, Decimal(1)  # brokers keep six decimals
SPELLED = re.compile(SYMBOL)
MOST = Decimal(100_000_000)  # shares of an order, dollars of a price: beyond it the pen has slipped


def _symbol(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    spelled = SPELLED.fullmatch(order.symbol) is not None
    known = order.symbol in picture.bar_age and order.symbol in picture.prices
    return "known", "known" if spelled and known else "unknown", spelled and known


def _quantity(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    market = order.reduces and order.order_type is OrderType.MARKET and order.time_in_force is TimeInForce.GFD
    wanted, step = ("shares > 0, 6 decimals", SHARE) if market else ("whole shares > 0", WHOLE)
    return wanted, order.quantity, _between(order.quantity) and order.quantity == order.quantity.quantize(step)


def _between(amount: Decimal) -> bool:
    """Whether it is a number that shares or a price can have."""
    return amount.is_finite() and ZERO < amount < MOST


def _reference_price(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    return "> 0", order.reference_price, _between(order.reference_price)


def _order_prices(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    """Exactly the prices that its type names, and each a price."""
    kind = order.order_type
    if kind is OrderType.MARKET and _at_market(order):
        return "none", "none", True
    prices = {"limit": order.limit_price, "stop": order.stop_price}
    wanted = [name for name, named in (("limit", kind.limits), ("stop", kind.stops)) if named]
    given = {name: amount for name, amount in prices.items() if amount is not None}
    ok = list(given) == wanted and all(_between(amount) for amount in given.values())
    return " and ".join(wanted) or "none", ", ".join(f"{name} {amount}" for name, amount in given.items()) or "none", ok


def _at_market(order: Intent) -> bool:
    """Whether it names no price, as most orders do: there is nothing to look at then."""
    return order.limit_price is None and order.stop_price is None


def _tick(order: Intent, _: Picture, __: RiskSection) -> Verdict:
    if _at_market(order):
        return "a multiple of the tick", "at market", True
    prices = [amount for amount in (order.limit_price, order.stop_price) if amount is not None]
    off = next((amount for amount in prices if amount % tick(amount) != 0), None)
    if off is not None:
        return f"a multiple of {tick(off)}", off, False
    return "a multiple of the tick", ", ".join(map(str, prices)), True


def _stop_side(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    """A stop waits: a sale's below the market, a purchase's above; and its limit lies beyond it, where it can fill."""
    if (stop := order.stop_price) is None:
        return "no stop", "no stop", True
    last = picture.last(order.symbol)
    waits = last is not None and order.side.sign * (stop - last) > 0
    reaches = order.limit_price is None or order.side.sign * (order.limit_price - stop) >= 0
    where = "above" if order.side is BUY else "below"
    limit = "" if order.limit_price is None else f", limit {order.limit_price}"
    return f"{where} {'no price' if last is None else last}", f"stop {stop}{limit}", waits and reaches


def _bar_age(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    old = picture.bar_age.get(order.symbol)
    return limits.max_bar_age, "no bar" if old is None else old, old is not None and old <= limits.max_bar_age


def _price_band(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    return price_band(order, picture.last(order.symbol), limits)


def price_band(order: Intent, last: Decimal | None, limits: RiskSection) -> Verdict:
    """Whether an order's prices are near the last one (dollars): its reference and its stop either way, its limit where
    it is worse.

    Asked when the order is decided, and again before an order is sent a second time (law 2).
    """
    width = limits.price_band_exits if order.reduces else limits.price_band
    if last is None or last <= 0:
        return width, "no price", False
    away = abs(order.reference_price / last - 1)
    if order.limit_price is not None:
        away = max(away, order.side.sign * (order.limit_price / last - 1))
    if order.stop_price is not None:
        away = max(away, abs(order.stop_price / last - 1))
    return width, away.quantize(MILLIONTH, ROUND_CEILING), away <= width


def _halted(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    halted = order.symbol in picture.halted
    return "trading", "halted" if halted else "trading", not halted


def _session(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    """The market's session, not settled before, and not over: on a half-day it ends at 13:00."""
    if picture.settled is not None and order.session <= picture.settled:
        return order.session, f"{picture.settled} is settled", False
    over = _over(order, picture)
    open_ = picture.trading == order.session and not over
    return order.session, over or picture.trading or "closed", open_


def _over(order: Intent, picture: Picture) -> str:
    if picture.live is None or (there := hours(order.session)) is None:
        return ""
    return f"over since {there[1]:%H:%M} UTC" if picture.live.now >= there[1] else ""


def _duplicate(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    """In this decision, and among what was sent inside the window; an order is no duplicate of its pair, nor of the
    one it replaces.
    """
    alike = picture.tally.passed.get((order.strategy, order.symbol, order.side), ())
    same = [other for other in alike if _same(order, other)]
    recent = () if picture.live is None else [each for each in picture.live.recent if _same(order, each.intent)]
    if picture.live is not None and recent:
        since = picture.live.now.timestamp() - limits.duplicate_window
        same += [each.intent for each in recent if each.at.timestamp() > since]
    return 0, len(same), not same


def _same(order: Intent, other: Intent) -> bool:
    if order.symbol != other.symbol or order.side is not other.side or order.strategy != other.strategy:
        return False
    related = order.replaces == other.ref_id or (order.oco != "" and order.oco == other.oco)
    return not related or order.ref_id == other.ref_id


SANITY: tuple[Rule, ...] = (
    Rule("symbol_unknown", "symbol", "all", "The symbol is spelled as one, and there are bars of it.", _symbol),
    Rule(
        "quantity",
        "shares",
        "all",
        "A number above 0 and below 100 million. Whole shares; an exit at market may sell the fraction a split left.",
        _quantity,
    ),
    Rule("reference_price", "dollars", "all", "An order is sized at a real price.", _reference_price),
    Rule(
        "order_prices",
        "prices",
        "all",
        "A limit and a stop price where the type of the order asks for them, and no others.",
        _order_prices,
    ),
    Rule("tick", "dollars", "all", "Limit and stop price are on the tick (SEC rule 612).", _tick),
    Rule(
        "stop_side",
        "dollars",
        "all",
        "A stop is not through the market already, and its limit lies at it or beyond.",
        _stop_side,
    ),
    Rule("bar_age", "sessions", "all", "The symbol's newest bar is fresh.", _bar_age, ("max_bar_age",)),
    Rule(
        "price_band",
        "of the last price",
        "all",
        "The order's prices are near the last quote, or the last close where there are no quotes.",
        _price_band,
        ("price_band", "price_band_exits"),
    ),
    Rule("halted", "state", "all", "The market takes orders for the symbol.", _halted),
    Rule(
        "session_closed",
        "session",
        "all",
        "The market takes orders for the session; it is neither over (13:00 on a half-day) nor settled.",
        _session,
    ),
    Rule(
        "duplicate",
        "orders",
        "all",
        "One order per strategy, symbol and side in a decision, and inside the window; not counting its own pair.",
        _duplicate,
        ("duplicate_window",),
    ),
)
