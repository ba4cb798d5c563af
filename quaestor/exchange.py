"""The exchange: how a working order meets a daily bar. Shared by paper broker, backtest and protocol servers.

A market order fills at the open, moved against us by the slippage and rounded against us to the tick. Brokers collar
market purchases: one never pays more than 5 % over the reference price; if the open lies beyond the collar, the order
waits for the price to come back to it, like a limit order. A market sale has no collar: an exit gets out where the
market opens, however low. A limit order fills at the open when that is as good or better, else at its limit when the
bar trades *through* it (a touch may leave us in the queue: we assume it does).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

from quaestor.bars import Bar
from quaestor.orders import OrderType, Side

CENT = Decimal("0.01")
TICK = CENT  # SEC rule 612: quotes of one dollar and more are in cents
SUB_PENNY = Decimal("0.0001")  # and below one dollar in hundredths of a cent
COLLAR = Decimal("0.05")


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading costs.

    slippage_bps: basis points of the price, against us; commission: dollars per order; sec_fee: dollars per dollar
    sold; taf: dollars per share sold (FINRA's trading activity fee). Fees round up to the cent, as brokers do.
    """

    slippage_bps: Decimal = Decimal(1)
    commission: Decimal = Decimal(0)
    sec_fee: Decimal = Decimal("0.0000278")
    taf: Decimal = Decimal("0.000166")

    def fee(self, side: Side, quantity: Decimal, price: Decimal) -> Decimal:
        """Dollars, in whole cents."""
        fee = self.commission
        if side is Side.SELL:
            fee += (quantity * price * self.sec_fee).quantize(CENT, ROUND_CEILING)
            fee += (quantity * self.taf).quantize(CENT, ROUND_CEILING)
        return fee.quantize(CENT, ROUND_CEILING)

    def slipped(self, side: Side, price: Decimal) -> Decimal:
        """The price after slippage, on the tick, never in our favour; a tick at least."""
        moved = price * (1 + side.sign * self.slippage_bps / Decimal(10_000))
        return max(moved.quantize(TICK, ROUND_CEILING if side is Side.BUY else ROUND_FLOOR), TICK)


def tick(price: Decimal) -> Decimal:
    """The smallest step of an order's price at that price, dollars (SEC rule 612)."""
    return TICK if price >= 1 else SUB_PENNY


def cents(amount: Decimal) -> Decimal:
    """Dollars rounded to whole cents, half to even."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def collar(reference: Decimal) -> Decimal:
    """The most that a market purchase may pay."""
    return (reference * (1 + COLLAR)).quantize(TICK, ROUND_FLOOR)


def fill_price(
    bar: Bar, side: Side, order_type: OrderType, limit: Decimal | None, reference: Decimal, costs: Costs
) -> Decimal | None:
    """The price at which the order fills in this bar, or None if it does not.

    `reference` is the last price before the order was sent: the anchor of a market purchase's collar.
    """
    market = order_type is OrderType.MARKET or limit is None
    at_open = costs.slipped(side, bar.open) if market else bar.open
    if market and side is Side.SELL:
        return at_open
    bound = collar(reference) if limit is None or market else limit
    if _as_good(side, at_open, bound):
        return at_open
    through = bar.low < bound if side is Side.BUY else bar.high > bound
    return bound if through else None


def _as_good(side: Side, price: Decimal, bound: Decimal) -> bool:
    return price <= bound if side is Side.BUY else price >= bound
