"""The exchange: what trading costs, and the steps that prices are on.

Shared by paper broker, backtest and protocol servers. How a working order meets the market, `matching` says; whether a
broker takes it at all, `admission`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import cached_property

from quaestor.orders import BUY, SELL, Side

CENT = Decimal("0.01")
TICK = CENT  # SEC rule 612: quotes of one dollar and more are in cents
SUB_PENNY = Decimal("0.0001")  # and below one dollar in hundredths of a cent
COLLAR = Decimal("0.05")
_MOST = 1 + COLLAR


@dataclass(frozen=True)
class Costs:
    """What trading costs, and how much of it a market bears.

    slippage_bps: basis points of the price, against us; commission: dollars per order; sec_fee: dollars per dollar
    sold; taf: dollars per share sold (FINRA's trading activity fee; Section 1 of Schedule A to its By-Laws), at most
    taf_cap dollars per trade. Fees round up to the cent, as brokers do.
    spread_bps: basis points between bid and ask where only prints are known: half of it is against us; participation:
    the share of a bar's volume, or of a quote's size, that our orders take at most (1: no limit).
    """

    slippage_bps: Decimal = Decimal(1)
    commission: Decimal = Decimal(0)
    sec_fee: Decimal = Decimal("0.0000278")
    taf: Decimal = Decimal("0.000166")
    taf_cap: Decimal = Decimal("8.30")
    spread_bps: Decimal = Decimal(0)
    participation: Decimal = Decimal(1)

    def fee(self, side: Side, quantity: Decimal, price: Decimal, *, first: bool = True) -> Decimal:
        """Dollars, in whole cents; the commission goes with an order's first fill."""
        fee = self.commission if first else Decimal(0)
        if side is SELL:
            fee += (quantity * price * self.sec_fee).quantize(CENT, ROUND_CEILING)
            fee += min(quantity * self.taf, self.taf_cap).quantize(CENT, ROUND_CEILING)
        return fee.quantize(CENT, ROUND_CEILING)

    def slipped(self, side: Side, price: Decimal, *, quoted: bool = False) -> Decimal:
        """The price after slippage and spread, on the tick, never in our favour; a tick at least.

        A quoted price has the spread in it.
        """
        bought, sold = self._quoted if quoted else self._printed
        if side is BUY:
            return max((price * bought).quantize(TICK, ROUND_CEILING), TICK)
        return max((price * sold).quantize(TICK, ROUND_FLOOR), TICK)

    @cached_property
    def _quoted(self) -> tuple[Decimal, Decimal]:
        """What slippage makes of a dollar that is bought, and of one that is sold."""
        return self._of_a_dollar(self.slippage_bps)

    @cached_property
    def _printed(self) -> tuple[Decimal, Decimal]:
        """What slippage and half the spread do."""
        return self._of_a_dollar(self.slippage_bps + self.spread_bps / 2)

    @staticmethod
    def _of_a_dollar(bps: Decimal) -> tuple[Decimal, Decimal]:
        return 1 + bps / Decimal(10_000), 1 + -bps / Decimal(10_000)

    def available(self, volume: Decimal) -> Decimal | None:
        """Whole shares of that volume that our orders may take; None: any number."""
        return (volume * self.participation).to_integral_value(ROUND_FLOOR) if self.participation < 1 else None


def tick(price: Decimal) -> Decimal:
    """The smallest step of an order's price at that price, dollars (SEC rule 612)."""
    return TICK if price >= 1 else SUB_PENNY


def cents(amount: Decimal) -> Decimal:
    """Dollars rounded to whole cents, half to even."""
    return amount.quantize(CENT, ROUND_HALF_EVEN)


def collar(reference: Decimal) -> Decimal:
    """The most that a market purchase may pay."""
    return (reference * _MOST).quantize(TICK, ROUND_FLOOR)
