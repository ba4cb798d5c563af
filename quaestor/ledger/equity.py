"""Equity: the account valued at one session's close, and its proof."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from quaestor.errors import BooksDisagree
from quaestor.ledger.journal import ZERO, Lot
from quaestor.orders import dollars


@dataclass(frozen=True, slots=True)
class Equity:
    """The account at one session's close, in dollars."""

    session: dt.date
    cash: Decimal
    market_value: Decimal
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    capital: Decimal
    dividends: Decimal = ZERO

    @property
    def equity(self) -> Decimal:
        """Cash plus positions at market."""
        return self.cash + self.market_value

    @property
    def earned(self) -> Decimal:
        """What the account made of its capital: realized, unrealized and dividends, less fees."""
        return self.realized + self.unrealized + self.dividends - self.fees

    def prove(self) -> None:
        """cash + positions at market = capital + realized + unrealized + dividends − fees, to the last digit."""
        other = self.capital + self.earned
        if other != self.equity:
            raise BooksDisagree(
                f"{self.session}: cash + positions = {self.equity}, but capital + P&L − fees = {other}."
            )


def value(
    session: dt.date, lots: Iterable[Lot], balances: Mapping[str, Decimal], closes: Mapping[str, Decimal]
) -> Equity:
    """Value the account at the closes; `balances` are the ledger accounts' sums (debits positive)."""
    held = list(lots)
    if unpriced := sorted({lot.symbol for lot in held} - set(closes)):
        raise BooksDisagree(f"{session}: {', '.join(unpriced)} is held, but no close of it is stored; ingest it first.")
    market = sum((dollars(lot.quantity, closes[lot.symbol]) for lot in held), ZERO)
    cost = sum((lot.cost for lot in held), ZERO)
    booked = balances.get("positions", ZERO)
    if cost != booked:
        raise BooksDisagree(f"{session}: lots cost {cost}, but the ledger's positions account stands at {booked}.")
    return Equity(
        session=session,
        cash=balances.get("cash", ZERO),
        market_value=market,
        realized=-balances.get("realized", ZERO),
        unrealized=market - cost,
        fees=balances.get("fees", ZERO),
        capital=-balances.get("capital", ZERO),
        dividends=-balances.get("dividends", ZERO),
    )
