"""The journal's words: lots, postings, entries; and what booking a fact answers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from quaestor.errors import BooksDisagree

SHARE = Decimal("0.000001")  # brokers keep six decimals of a share
MONEY = Decimal("0.000001")
CENT = Decimal("0.01")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Lot:
    """Shares bought at one moment by one strategy: quantity left, and the dollars they cost (fees apart)."""

    lot_id: str
    strategy: str
    symbol: str
    session: dt.date
    quantity: Decimal
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry; debits positive.

    `ledger_account` is cash, positions, capital, realized, dividends or fees; `lot_id` names the lot it changes, or
    whose sale it realized.
    """

    ledger_account: str
    amount: Decimal
    strategy: str = ""
    symbol: str = ""
    quantity: Decimal = ZERO
    lot_id: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced entry. `key` names the fact and is unique: booking it twice changes nothing.

    `named` are the lots that a sale was told to take; none: first in, first out.
    """

    key: str
    kind: str
    session: dt.date
    at: dt.datetime
    postings: tuple[Posting, ...]
    memo: str = ""
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        total = sum((p.amount for p in self.postings), ZERO)
        if total != 0:
            raise BooksDisagree(
                f"Entry {self.key} does not balance: its postings sum to {total}; report this as a defect."
            )


@dataclass(frozen=True, slots=True)
class Booked:
    """An entry and what it does to lots: lots as they are now (quantity 0 = closed)."""

    entry: Entry
    lots: tuple[Lot, ...]
    realized: Decimal = ZERO


def shares(lots: Iterable[Lot]) -> dict[str, Decimal]:
    """Shares by symbol; symbols with none left are absent."""
    held: dict[str, Decimal] = {}
    for lot in lots:
        held[lot.symbol] = held.get(lot.symbol, ZERO) + lot.quantity
    return {symbol: quantity for symbol, quantity in held.items() if quantity}
