"""Corporate actions: splits rescale lots, dividends pay cash; known in time, or learned late.

On the day of a split or an ex-date the order of events is: the dividend is owed on the shares held at the close before
(so per old share), then the split rescales them, then the session opens. We book a dividend on its ex-date, not on the
day of payment: from that open on the price is lower by it, so equity would dip and recover between the two; and a
source tells the ex-date (table `dividend`), not always the other. With a real broker, whose cash arrives weeks later,
cash differs until then; the paper broker pays on the ex-date, as we book. Only what a source told is paid: a dividend
that we derived from adjusted closes is an estimate.

A split learned after its session is booked as if it had been known: the lots of the close before are rescaled, and all
that happened since happens again to the new lots. What the sales since would have cost is a correction of `realized`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from quaestor.dividends import Dividend
from quaestor.ledger.journal import CENT, MONEY, SHARE, ZERO, Booked, Entry, Lot, Posting
from quaestor.ledger.relief import Relief, cost_of, relieve
from quaestor.orders import trimmed
from quaestor.splits import Split


def dividend_cash(quantity: Decimal, per_share: Decimal) -> Decimal:
    """Dollars paid on so many shares, in whole cents. Shared with the paper broker, so both round alike."""
    return (quantity * per_share).quantize(CENT, ROUND_HALF_EVEN)


def book_dividend(dividend: Dividend, account: str, at: dt.datetime, held: Mapping[str, Decimal]) -> Booked | None:
    """Book a dividend; `held` are the shares of each strategy at the close before the ex-date. None where it pays none.

    The broker rounds once, for the whole account; each strategy gets its part, the largest what rounding leaves.
    """
    owners = {strategy: quantity for strategy, quantity in held.items() if quantity > 0}
    total = sum(owners.values(), ZERO)
    cash = dividend_cash(total, dividend.amount)
    if not cash:
        return None
    parts = {who: (cash * owned / total).quantize(MONEY, ROUND_HALF_EVEN) for who, owned in owners.items()}
    parts[max(owners, key=lambda who: owners[who])] += cash - sum(parts.values(), ZERO)
    postings = [
        Posting(name, sign * amount, strategy, dividend.symbol)
        for strategy, amount in parts.items()
        for name, sign in (("cash", 1), ("dividends", -1))
    ]
    memo = f"{trimmed(total)} {dividend.symbol} × {trimmed(dividend.amount)}"
    key = f"dividend:{account}:{dividend.symbol}:{dividend.session}"
    return Booked(Entry(key, "dividend", dividend.session, at, tuple(postings), memo), ())


def book_split(split: Split, account: str, at: dt.datetime, lots: Sequence[Lot]) -> Booked | None:
    """Rescale every strategy's lots of the symbol; cost stays, so equity does not move. None when nothing is held.

    Shares bought from its session on are new ones already: only older lots are rescaled.
    Where a reverse split leaves not a millionth of a share of all of them, what they cost is lost.
    """
    older = [lot for lot in lots if lot.session < split.session]
    return restate_split(split, account, at, older, [], older)


@dataclass(frozen=True, slots=True)
class Opened:
    """A lot as a purchase or a transfer opened it."""

    lot: Lot


@dataclass(frozen=True, slots=True)
class Left:
    """Shares that left: sold (`against` realized) or transferred (`against` capital), and what they cost as booked."""

    key: str
    strategy: str
    quantity: Decimal
    cost: Decimal
    against: str = "realized"
    named: tuple[str, ...] = ()


Since = Opened | Left | Split


def restate_split(
    split: Split, account: str, at: dt.datetime, before: Sequence[Lot], since: Sequence[Since], now: Sequence[Lot]
) -> Booked | None:
    """Book a split as if it had been known in time. None when nothing was held.

    `before` are the symbol's lots at the close before its session, oldest first; `since`, all that happened to lots of
    it from then on, as it was booked; `now`, its lots as they are. Raises BooksDisagree where sales since exceed what
    the split leaves.
    """
    held = [lot for lot in before if lot.quantity]
    if not held:
        return None
    walk = _Walk({lot.lot_id: lot for lot in held}, {}, ZERO)
    for fact in (split, *since):
        walk.take(fact)
    old, postings, changed = {lot.lot_id: lot for lot in now}, [], []
    for lot_id, new in walk.lots.items():
        was = old.get(lot_id, replace(new, quantity=ZERO, cost=ZERO))
        changed.append(new)
        if (was.quantity, was.cost) != (new.quantity, new.cost):
            terms = (new.cost - was.cost, new.strategy, new.symbol, new.quantity - was.quantity, lot_id)
            postings.append(Posting("positions", *terms))
    moved = [Posting(name, amount, strategy, split.symbol) for (name, strategy), amount in walk.moved.items() if amount]
    if walk.lost:
        moved.append(Posting("realized", walk.lost, symbol=split.symbol))
    key = f"split:{account}:{split.symbol}:{split.session}"
    memo = f"{split.symbol} {split.ratio.numerator}-for-{split.ratio.denominator}" + (", learned late" if since else "")
    realized = -sum((posting.amount for posting in moved if posting.ledger_account == "realized"), ZERO)
    return Booked(Entry(key, "split", split.session, at, (*postings, *moved), memo), tuple(changed), realized)


@dataclass
class _Walk:
    """Lots of one symbol; by (ledger account, strategy), how much more what left did cost; and cost that was lost."""

    lots: dict[str, Lot]
    moved: dict[tuple[str, str], Decimal]
    lost: Decimal

    def take(self, fact: Since) -> None:
        if isinstance(fact, Split):
            self._split(fact)
        elif isinstance(fact, Opened):
            self.lots[fact.lot.lot_id] = fact.lot
        else:
            self._left(fact)

    def _split(self, split: Split) -> None:
        touched = [lot for lot in self._oldest_first() if lot.session < split.session]
        changed = _rescaled(touched, split) if touched else ()
        self.lost += sum((old.cost - new.cost for old, new in zip(touched, changed, strict=True)), ZERO)
        self.lots |= {lot.lot_id: lot for lot in changed}

    def _left(self, left: Left) -> None:
        mine = [lot for lot in self._oldest_first() if lot.strategy == left.strategy]
        pieces = relieve(f"{left.key} takes {left.quantity}", left.quantity, left.strategy, mine, Relief(left.named))
        self.lots |= {piece.left.lot_id: piece.left for piece in pieces}
        place = left.against, left.strategy
        self.moved[place] = self.moved.get(place, ZERO) + cost_of(pieces) - left.cost

    def _oldest_first(self) -> list[Lot]:
        return sorted((lot for lot in self.lots.values() if lot.quantity), key=lambda lot: lot.session)


def _rescaled(lots: Sequence[Lot], split: Split) -> tuple[Lot, ...]:
    """The lots after the split. The broker rounds once, for the whole account: the largest lot takes the difference.

    Lots too small to survive leave their cost to the largest that does.
    """
    total = split_quantity(sum((lot.quantity for lot in lots), ZERO), split)
    quantities = [split_quantity(lot.quantity, split) for lot in lots]
    quantities[max(range(len(lots)), key=lambda n: lots[n].quantity)] += total - sum(quantities, ZERO)
    costs = [lot.cost if quantity else ZERO for lot, quantity in zip(lots, quantities, strict=True)]
    if total:
        left = sum((lot.cost for lot in lots), ZERO) - sum(costs, ZERO)
        costs[max(range(len(lots)), key=lambda n: quantities[n])] += left
    return tuple(
        replace(lot, quantity=quantity, cost=cost) for lot, quantity, cost in zip(lots, quantities, costs, strict=True)
    )


def split_quantity(quantity: Decimal, split: Split) -> Decimal:
    """Shares after the split, to six decimals of a share. Shared with the paper broker, so both round alike."""
    return trimmed((quantity * split.ratio.numerator / split.ratio.denominator).quantize(SHARE, ROUND_HALF_EVEN))
