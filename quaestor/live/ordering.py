"""Ordering: what a firing or a target asks for, as candidates for the gate.

Whose shares a trigger sells: those of whoever holds the symbol, each strategy's own by its name. What it buys is its
own: it belongs to `triggers`. The cause of an order is the firing's id, or symbol, timeframe and bar end (law 1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any

from quaestor.bars import price
from quaestor.exchange import tick
from quaestor.judging import Candidate, of_target
from quaestor.live.standing import ZERO, Standing, instant
from quaestor.orders import SELL, TRIGGERS, Intent, OrderType, Side, trimmed
from quaestor.ports import StoredSignal
from quaestor.risk import Picture
from quaestor.sizing import plan
from quaestor.triggers import Firing, Flatten, OrderTemplate

if TYPE_CHECKING:
    from quaestor.config import RiskSection


def wanted(
    account: str,
    signal: StoredSignal,
    weights: Mapping[str, float],
    standing: Standing,
    picture: Picture,
    limits: RiskSection,
) -> list[Candidate]:
    """The order that a strategy's target asks for now, where no earlier one of its may still fill."""
    if (last := standing.price_of(signal.symbol)) is None:
        return []
    prices = {signal.symbol: last}
    found = plan(account, picture.session, [signal], weights, picture.equity, picture.shares, prices, limits)
    return [of_target(want, picture.equity) for want in found]


def fired(account: str, firing: Firing, standing: Standing, picture: Picture) -> list[Candidate]:
    """The orders that a firing asks for: of its template, or sales of what is held."""
    action = firing.trigger.action
    if isinstance(action, Flatten):
        holders = standing.holders(None if action.everything else firing.symbol)
        found = [(each.strategy, each.symbol, picture.sellable(each.strategy, each.symbol)) for each in holders]
        asked = [_order(account, firing, standing, picture, *each, SELL) for each in found if each[2] > 0]
    elif isinstance(action, OrderTemplate):
        shares = _shares(action, firing.symbol, standing, picture)
        asked = [_order(account, firing, standing, picture, *each, Side(action.side), action) for each in shares]
    else:
        return []
    return [Candidate(intent, _why(firing, picture, standing)) for intent in asked]


def _shares(
    action: OrderTemplate, symbol: str, standing: Standing, picture: Picture
) -> Iterator[tuple[str, str, Decimal]]:
    """Strategy, symbol and shares of each order of a template."""
    holders = standing.holders(symbol)
    held = sum((each.quantity for each in holders), ZERO)
    whole = ZERO if action.quantity is None else _decimal(action.quantity)
    if action.fraction is not None:
        part = held * _decimal(action.fraction)
        whole = held if action.fraction == 1 else part.to_integral_value(ROUND_FLOOR)
    if action.side == "buy" or not holders:  # a sale of nothing is for the gate to refuse, where a person sees it
        yield TRIGGERS, symbol, whole
        return
    for each in holders:
        share = min(whole, max(picture.sellable(each.strategy, symbol), ZERO))
        if share > 0:
            yield each.strategy, symbol, share
            whole -= share
    if whole > 0 and action.fraction is None:
        yield TRIGGERS, symbol, whole


def _order(
    account: str,
    firing: Firing,
    standing: Standing,
    picture: Picture,
    strategy: str,
    symbol: str,
    quantity: Decimal,
    side: Side,
    action: OrderTemplate | None = None,
) -> Intent:
    seen = price(firing.price) if firing.price is not None and symbol == firing.symbol else None
    reference = seen or standing.price_of(symbol) or ZERO
    kind = OrderType(action.order_type) if action else OrderType.MARKET
    return Intent(
        account=account,
        strategy=strategy,
        symbol=symbol,
        session=picture.session,
        cause_key=f"trigger|{firing.id}",
        side=side,
        quantity=trimmed(quantity),
        reference_price=reference,
        order_type=kind,
        limit_price=_moved(reference, action.limit_offset) if action else None,
        stop_price=_moved(reference, action.stop_offset) if action else None,
        reduces=side is SELL,
    )


def _moved(reference: Decimal, offset: float | None) -> Decimal | None:
    if offset is None:
        return None
    moved = reference + _decimal(offset)
    return moved.quantize(tick(moved), ROUND_HALF_EVEN)


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))


def _why(firing: Firing, picture: Picture, standing: Standing) -> dict[str, Any]:
    """The rule as it was, the tick that fired it, the quote beside it."""
    quote = picture.live.quotes.get(firing.symbol) if picture.live else None
    seen = None if quote is None else {"bid": str(quote.bid), "ask": str(quote.ask), "at": quote.at.isoformat()}
    entry = standing.entry(firing.symbol)
    return {
        "trigger": {
            "id": str(firing.trigger.id),
            "firing": str(firing.id),
            "number": firing.number,
            "price": None if firing.price is None else str(price(firing.price)),
            "at": instant(firing.at).isoformat(),
            "rule": firing.trigger.as_dict(),
        },
        "quote": seen,
        "entry_price": None if entry is None else str(price(entry)),
    }
