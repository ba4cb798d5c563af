"""The ledger: what follows from fills (law 5). Double entry, Decimal, nothing else.

Every fact is one balanced entry over five ledger accounts (amounts in dollars, debits positive):

    fact       entry
    deposit    cash +a                       capital −a
    purchase   cash −(q·p+f)  positions +q·p  fees +f
    sale       cash +(q·p−f)  positions −cost fees +f   realized −(q·p−cost)     cost: FIFO lots of that strategy
    split      nothing moves; lots hold q·ratio shares at the same cost

So Σ amount = 0 in each entry, Σ quantity of lots = shares owned, Σ cost of lots = balance of `positions`, and
equity = cash + shares at market = capital + realized + unrealized − fees.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from quaestor.errors import BadInput, BooksDisagree
from quaestor.orders import Execution, Side, dollars, trimmed
from quaestor.splits import Split

SHARE = Decimal("0.000001")  # brokers keep six decimals of a share
MONEY = Decimal("0.000001")
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
    """One line of an entry. `ledger_account` is cash, positions, capital, realized or fees; debits positive."""

    ledger_account: str
    amount: Decimal
    strategy: str = ""
    symbol: str = ""
    quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced entry. `key` names the fact and is unique: booking it twice changes nothing."""

    key: str
    kind: str
    session: dt.date
    at: dt.datetime
    postings: tuple[Posting, ...]
    memo: str = ""

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


def deposit(key: str, amount: Decimal, session: dt.date, at: dt.datetime) -> Booked:
    """Money put into the account."""
    if amount <= 0:
        raise BadInput(f"A deposit must be positive, not {amount}.")
    return Booked(Entry(key, "deposit", session, at, (Posting("cash", amount), Posting("capital", -amount))), ())


def book_fill(fill: Execution, strategy: str, lots: Sequence[Lot]) -> Booked:
    """Book an execution; `lots` are the open lots of that strategy and symbol, oldest first.

    Raises BooksDisagree when a sale exceeds the lots: never through zero.
    """
    if fill.quantity <= 0 or fill.price <= 0 or fill.fee < 0:
        raise BadInput(
            f"Fill {fill.execution_id}: quantity and price must be positive and the fee not negative: {fill}."
        )
    value = dollars(fill.quantity, fill.price)
    if fill.side is Side.BUY:
        lot = Lot(fill.execution_id, strategy, fill.symbol, fill.session, fill.quantity, value)
        postings = [Posting("positions", value, strategy, fill.symbol, fill.quantity)]
        return Booked(_entry(fill, postings, strategy), (lot,))
    changed, cost = _relieve(fill, strategy, lots)
    gain = value - cost
    postings = [
        Posting("positions", -cost, strategy, fill.symbol, -fill.quantity),
        Posting("realized", -gain, strategy, fill.symbol),
    ]
    return Booked(_entry(fill, postings, strategy), changed, gain)


def _entry(fill: Execution, postings: list[Posting], strategy: str) -> Entry:
    lines = [Posting("cash", fill.cash, strategy, fill.symbol), *postings]
    if fill.fee:
        lines.append(Posting("fees", fill.fee, strategy, fill.symbol))
    memo = f"{fill.side.value} {fill.quantity} {fill.symbol} @ {fill.price}"
    return Entry(f"fill:{fill.execution_id}", "fill", fill.session, fill.at, tuple(lines), memo)


def _relieve(fill: Execution, strategy: str, lots: Sequence[Lot]) -> tuple[tuple[Lot, ...], Decimal]:
    left, cost, changed = fill.quantity, ZERO, []
    for lot in lots:
        if left == 0:
            break
        taken = min(left, lot.quantity)
        part = lot.cost if taken == lot.quantity else (lot.cost * taken / lot.quantity).quantize(MONEY, ROUND_HALF_EVEN)
        changed.append(replace(lot, quantity=lot.quantity - taken, cost=lot.cost - part))
        left, cost = left - taken, cost + part
    if left:
        held = fill.quantity - left
        raise BooksDisagree(
            f"Fill {fill.execution_id} sells {fill.quantity} {fill.symbol} but {strategy} holds {held}. "
            "Entries are stopped; run the reconcile flow and read its differences."
        )
    return tuple(changed), cost


def book_split(split: Split, account: str, at: dt.datetime, lots: Sequence[Lot]) -> Booked | None:
    """Rescale every strategy's lots of the symbol; cost stays, so equity does not move. None when nothing is held.

    Shares bought from its session on are new ones already: however late it is booked, only older lots are rescaled.
    Where a reverse split leaves not a millionth of a share of all of them, what they cost is lost.
    """
    lots = [lot for lot in lots if lot.session < split.session]
    if not lots:
        return None
    changed = _rescaled(lots, split)
    postings = [
        Posting("positions", new.cost - old.cost, new.strategy, new.symbol, new.quantity - old.quantity)
        for old, new in zip(lots, changed, strict=True)
    ]
    lost = -sum((posting.amount for posting in postings), ZERO)
    if lost:
        postings.append(Posting("realized", lost, symbol=split.symbol))
    key = f"split:{account}:{split.symbol}:{split.session}"
    memo = f"{split.symbol} {split.ratio.numerator}-for-{split.ratio.denominator}"
    return Booked(Entry(key, "split", split.session, at, tuple(postings), memo), changed, -lost)


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


def shares(lots: Iterable[Lot]) -> dict[str, Decimal]:
    """Shares by symbol; symbols with none left are absent."""
    held: dict[str, Decimal] = {}
    for lot in lots:
        held[lot.symbol] = held.get(lot.symbol, ZERO) + lot.quantity
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


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

    @property
    def equity(self) -> Decimal:
        """Cash plus positions at market."""
        return self.cash + self.market_value

    def prove(self) -> None:
        """cash + positions at market = capital + realized + unrealized − fees, to the cent and beyond."""
        other = self.capital + self.realized + self.unrealized - self.fees
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
    )
