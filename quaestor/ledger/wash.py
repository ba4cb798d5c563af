"""Wash sales: losses that US tax law defers because the same shares were bought again (IRC §1091).

A loss is a wash as far as shares of the same symbol were bought within 30 calendar days before or after the sale, by
any strategy of the account. Losses are matched in the order of the sales, with purchases in the order they were made,
each share once (Treas. Reg. §1.1091-1). A purchase before the sale counts as far as its shares are still held after it;
the rest of the very lot that was sold does not (Rev. Rul. 56-602). Quantities are compared in the shares of one day:
splits between are taken out.

It is a flag. No basis is changed, as an account knows nothing of the taxpayer's others; gains are before fees. The view
`wash_sale` says the same in SQL, and a test holds the two together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from quaestor.ledger.journal import CENT, SHARE
from quaestor.splits import Split

WINDOW = dt.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Bought:
    """Shares that a fill brought: the lot it opened."""

    lot_id: str
    session: dt.date
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Sold:
    """What a sale took of one lot; `sale` names the fill, `gain` is in dollars before fees (a loss is negative)."""

    sale: str
    lot_id: str
    session: dt.date
    quantity: Decimal
    gain: Decimal


@dataclass(frozen=True, slots=True)
class WashSale:
    """How much of a loss is deferred: shares of those sold, dollars, and the lots that replace them."""

    sale: str
    lot_id: str
    session: dt.date
    quantity: Decimal
    disallowed: Decimal
    replaced_by: tuple[str, ...]


def wash_sales(facts: Iterable[Bought | Sold], splits: Sequence[Split] = ()) -> list[WashSale]:
    """The wash sales among the fills of one symbol in one account, as they were booked."""
    told = sorted(facts, key=lambda fact: fact.session)
    scale = {fact.session: _scale(fact.session, splits) for fact in told}
    bought = {fact.lot_id: fact for fact in told if isinstance(fact, Bought)}
    place = {lot_id: told.index(fact) for lot_id, fact in bought.items()}
    used: dict[str, Fraction] = {}
    found = []
    for loss in (fact for fact in told if isinstance(fact, Sold) and fact.gain < 0):
        last = max(n for n, fact in enumerate(told) if isinstance(fact, Sold) and fact.sale == loss.sale)
        sold = need = Fraction(loss.quantity) * scale[loss.session]
        replaced_by = []
        for lot in bought.values():
            if lot.lot_id == loss.lot_id or abs(lot.session - loss.session) > WINDOW or not need:
                continue
            whole = Fraction(lot.quantity) * scale[lot.session]
            free = whole - used.get(lot.lot_id, Fraction(0))
            if place[lot.lot_id] < last:
                free = min(free, whole - _gone(lot.lot_id, told[: last + 1], scale))
            taken = min(need, free)
            if taken > 0:
                used[lot.lot_id] = used.get(lot.lot_id, Fraction(0)) + taken
                need -= taken
                replaced_by.append(lot.lot_id)
        if replaced_by:
            part = (sold - need) / sold
            quantity, amount = Fraction(loss.quantity) * part, Fraction(-loss.gain) * part
            terms = (_rounded(quantity, SHARE), _rounded(amount, CENT), tuple(replaced_by))
            found.append(WashSale(loss.sale, loss.lot_id, loss.session, *terms))
    return found


def _scale(session: dt.date, splits: Iterable[Split]) -> Fraction:
    """What one share of that session has become."""
    scale = Fraction(1)
    for split in splits:
        scale *= split.ratio if split.session > session else 1
    return scale


def _gone(lot_id: str, told: Iterable[Bought | Sold], scale: dict[dt.date, Fraction]) -> Fraction:
    sold = (fact for fact in told if isinstance(fact, Sold) and fact.lot_id == lot_id)
    return sum((Fraction(fact.quantity) * scale[fact.session] for fact in sold), Fraction(0))


def _rounded(amount: Fraction, step: Decimal) -> Decimal:
    return (Decimal(amount.numerator) / Decimal(amount.denominator)).quantize(step, ROUND_HALF_UP)
