"""Market: entries need a quote to believe, a narrow spread, and no auction about to decide the price."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

from quaestor.orders import BUY, Intent, OrderType
from quaestor.risk.rule import DAILY_BARS, MILLIONTH, Rule, Verdict, hours

if TYPE_CHECKING:
    from quaestor.config import RiskSection
    from quaestor.risk.picture import Picture

NO_QUOTE = "no quote"


def _quote_age(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    """Neither old nor from the future, which is a clock that errs."""
    if picture.live is None:
        return limits.max_quote_age, DAILY_BARS, True
    quote = picture.live.quotes.get(order.symbol)
    if quote is None:
        return limits.max_quote_age, NO_QUOTE, False
    old = Decimal(str((picture.live.now - quote.at).total_seconds()))
    return limits.max_quote_age, old, -limits.max_clock_skew <= old <= limits.max_quote_age


def _spread(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.live is None:
        return limits.max_spread, DAILY_BARS, True
    quote = picture.live.quotes.get(order.symbol)
    if quote is None or not quote.sound:
        return limits.max_spread, NO_QUOTE if quote is None else f"{quote.bid} / {quote.ask}", False
    wide = (quote.ask - quote.bid) / quote.mid
    return limits.max_spread, wide.quantize(MILLIONTH, ROUND_CEILING), wide <= limits.max_spread


def _auction(order: Intent, picture: Picture, limits: RiskSection) -> Verdict:
    if picture.live is None:
        return "outside", DAILY_BARS, True
    if (there := hours(order.session)) is None:
        return "outside", "no session", False
    now, (opens, closes) = picture.live.now, there
    opening = -60 * limits.quiet_open <= (now - opens).total_seconds() < 60 * limits.quiet_open
    closing = 0 < (closes - now).total_seconds() <= 60 * limits.quiet_close
    observed = "opening" if opening else "closing" if closing else "outside"
    return "outside", observed, observed == "outside"


def _self_cross(order: Intent, picture: Picture, _: RiskSection) -> Verdict:
    against = sum(1 for sale in picture.tally.sales.get(order.symbol, ()) if _meet(order, sale))
    return 0, against, against == 0


def _meet(buy: Intent, sale: Intent) -> bool:
    """Whether they could trade with each other: neither waits for a stop, and their limits do not keep them apart."""
    if sale.order_type.stops or buy.order_type.stops:
        return False
    if sale.order_type is OrderType.LIMIT and buy.order_type is OrderType.LIMIT:
        return sale.limit_price is None or buy.limit_price is None or buy.limit_price >= sale.limit_price
    return True


MARKET: tuple[Rule, ...] = (
    Rule("long_only", "side", "entries", "Entries are purchases: nothing is sold short.", lambda o, _, __: _side(o)),
    Rule("quote_age", "seconds", "entries", "There is a quote, and it is fresh.", _quote_age, ("max_quote_age",)),
    Rule("spread", "of the middle", "entries", "Bid and ask are near each other.", _spread, ("max_spread",)),
    Rule(
        "auction",
        "phase",
        "entries",
        "Not in the minutes around the opening, nor in those before the close, 13:00 on a half-day: auctions set both.",
        _auction,
        ("quiet_open", "quiet_close"),
    ),
    Rule(
        "self_cross",
        "orders",
        "entries",
        "No purchase meets our own sale of the symbol (FINRA rule 5210).",
        _self_cross,
    ),
)


def _side(order: Intent) -> Verdict:
    return BUY, order.side, order.side is BUY
