"""Closed trades, and whose profit it was: both follow from the journal of fills and splits alone (law 5).

A *closed trade* is a piece of a lot that a sale relieved, first in first out within its strategy and symbol, as a
broker's statement of realised gains lists it; it carries its share of the fees of purchase and sale. The lots are the
ledger's own (`quaestor.ledger`), so the trades' gains before fees sum to its realised gains, to the last digit, and a
split rescales them as it rescales the books; one that was learned late stands in the journal where it belongs.

The profit of a strategy in a symbol needs no lots: it is what its fills and flows (dividends, fees of no fill, shares
that were transferred at their cost) did to cash plus what its shares are worth now, less what they were worth before.
These profits sum to what the account earned.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from quaestor.ledger import MONEY, ZERO, Equity, Lot, Relief, book_fill, book_split
from quaestor.orders import Execution, Side
from quaestor.splits import Split


@dataclass(frozen=True, slots=True)
class Fill:
    """An execution in the books, the strategy it belongs to, and the lots that a sale was told to take."""

    strategy: str
    execution: Execution
    named: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Flow:
    """What came or went without a fill: kind is dividend, fee, transfer_in or transfer_out.

    `amount`: dollars earned (a fee: negative). Of shares it is what they cost, as if they were paid for when they come
    (negative) and paid out when they go; `quantity` counts those that come as positive, `lot_id` names their lot.
    """

    kind: str
    strategy: str
    symbol: str
    session: dt.date
    amount: Decimal
    quantity: Decimal = ZERO
    lot_id: str = ""


Fact = Fill | Split | Flow


@dataclass(frozen=True, slots=True)
class Holding:
    """What a strategy held of a symbol at a close: shares, the dollars they cost, the close in dollars per share."""

    strategy: str
    symbol: str
    quantity: Decimal
    cost: Decimal
    price: Decimal

    @property
    def value(self) -> Decimal:
        """Dollars at market."""
        return self.quantity * self.price


@dataclass(frozen=True, slots=True)
class Close:
    """The account at one session's close, with what it held, sorted by strategy and symbol."""

    equity: Equity
    holdings: tuple[Holding, ...] = ()

    @property
    def session(self) -> dt.date:
        """The session."""
        return self.equity.session


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """Shares bought and sold again. Dollars; `quantity` in shares as they were sold; a ref is the order's ref_id."""

    strategy: str
    symbol: str
    quantity: Decimal
    opened: dt.date
    closed: dt.date
    cost: Decimal
    proceeds: Decimal
    fees: Decimal
    entry_ref: uuid.UUID | None
    exit_ref: uuid.UUID | None

    @property
    def gain(self) -> Decimal:
        """Dollars before fees: what the ledger books as realised."""
        return self.proceeds - self.cost

    @property
    def profit(self) -> Decimal:
        """Dollars after fees."""
        return self.gain - self.fees


@dataclass(frozen=True, slots=True)
class Followed:
    """What a journal led to: trades closed, in its order, and the lots still open, oldest first."""

    trades: tuple[ClosedTrade, ...]
    lots: tuple[Lot, ...]


Key = tuple[str, str]  # strategy, symbol


def follow(journal: Iterable[Fact]) -> Followed:
    """Walk the journal in the order it was booked.

    Raises BooksDisagree when it sells what was never bought.
    """
    walk = _Walk({}, {}, [])
    for fact in journal:
        if isinstance(fact, Split):
            walk.split(fact)
        elif isinstance(fact, Flow):
            walk.flow(fact)
        elif fact.execution.side is Side.BUY:
            walk.buy(fact)
        else:
            walk.sell(fact)
    return Followed(tuple(walk.trades), tuple(sorted(walk.lots.values(), key=lambda lot: lot.session)))


@dataclass
class _Walk:
    """Open lots and the purchase behind each, with the part of its fee that no trade has borne yet."""

    lots: dict[str, Lot]
    purchases: dict[str, tuple[uuid.UUID | None, Decimal]]
    trades: list[ClosedTrade]

    def buy(self, fill: Fill) -> None:
        (lot,) = book_fill(fill.execution, fill.strategy, []).lots
        self.lots[lot.lot_id] = lot
        self.purchases[lot.lot_id] = fill.execution.ref_id, fill.execution.fee

    def flow(self, flow: Flow) -> None:
        """Shares that come open a lot, those that go take of theirs; money changes no lot."""
        if flow.quantity > 0:
            terms = (flow.strategy, flow.symbol, flow.session, flow.quantity, -flow.amount)
            self.lots[flow.lot_id] = Lot(flow.lot_id, *terms)
            self.purchases[flow.lot_id] = None, ZERO
        elif flow.quantity < 0:
            lot, (ref_id, fee) = self.lots[flow.lot_id], self.purchases[flow.lot_id]
            self.purchases[flow.lot_id] = ref_id, fee - _part(fee, -flow.quantity, lot.quantity)
            self._keep(replace(lot, quantity=lot.quantity + flow.quantity, cost=lot.cost - flow.amount))

    def sell(self, fill: Fill) -> None:
        sale, left = fill.execution, fill.execution.fee
        mine = [lot for lot in self._oldest_first() if (lot.strategy, lot.symbol) == (fill.strategy, sale.symbol)]
        known, unsold = {lot.lot_id: lot for lot in mine}, sale.quantity
        for new in book_fill(sale, fill.strategy, mine, Relief(fill.named)).lots:
            old = known[new.lot_id]
            taken = old.quantity - new.quantity
            fee = _part(left, taken, unsold)
            self.trades.append(self._closed(fill, old, taken, old.cost - new.cost, fee))
            left, unsold = left - fee, unsold - taken
            self._keep(new)

    def split(self, split: Split) -> None:
        touched = [lot for lot in self._oldest_first() if lot.symbol == split.symbol]
        booked = book_split(split, "", dt.datetime.combine(split.session, dt.time(), dt.UTC), touched)
        for lot in booked.lots if booked else ():
            self._keep(lot)

    def _closed(self, fill: Fill, lot: Lot, taken: Decimal, cost: Decimal, exit_fee: Decimal) -> ClosedTrade:
        sale, (entry_ref, fee_left) = fill.execution, self.purchases[lot.lot_id]
        entry_fee = _part(fee_left, taken, lot.quantity)
        self.purchases[lot.lot_id] = entry_ref, fee_left - entry_fee
        return ClosedTrade(
            strategy=fill.strategy,
            symbol=sale.symbol,
            quantity=taken,
            opened=lot.session,
            closed=sale.session,
            cost=cost,
            proceeds=taken * sale.price,
            fees=entry_fee + exit_fee,
            entry_ref=entry_ref,
            exit_ref=sale.ref_id,
        )

    def _oldest_first(self) -> list[Lot]:
        """As the books relieve them: by session, then as they were booked."""
        return sorted(self.lots.values(), key=lambda lot: lot.session)

    def _keep(self, lot: Lot) -> None:
        self.lots[lot.lot_id] = lot
        if not lot.quantity:
            del self.lots[lot.lot_id], self.purchases[lot.lot_id]


def _part(amount: Decimal, taken: Decimal, whole: Decimal) -> Decimal:
    """The share of `amount` that falls on `taken` of `whole`; the last piece takes what is left."""
    return amount if taken == whole else (amount * taken / whole).quantize(MONEY, ROUND_HALF_EVEN)


def profits_over_time(
    closes: Sequence[Close], before: Close | None, fills: Iterable[Fill], flows: Iterable[Flow] = ()
) -> list[dict[Key, Decimal]]:
    """Profit by (strategy, symbol) since `before`, at each close, in dollars after fees.

    `before` is the close before the first (None: the account begins there). The last element is the range's profit.
    """
    paid = [(f.execution.session, (f.strategy, f.execution.symbol), f.execution.cash) for f in fills]
    coming = sorted([*paid, *((f.session, (f.strategy, f.symbol), f.amount) for f in flows)], key=lambda each: each[0])
    if before is not None:
        coming = [each for each in coming if each[0] > before.session]
    running: dict[Key, Decimal] = {}
    _add(running, before, -1)
    answer, place = [], 0
    for close in closes:
        while place < len(coming) and coming[place][0] <= close.session:
            (_, key, cash), place = coming[place], place + 1
            running[key] = running.get(key, ZERO) + cash
        now = dict(running)
        _add(now, close, +1)
        answer.append(now)
    return answer


def _add(totals: dict[Key, Decimal], close: Close | None, sign: int) -> None:
    for holding in close.holdings if close else ():
        key = holding.strategy, holding.symbol
        totals[key] = totals.get(key, ZERO) + sign * holding.value


def by_strategy(profits: dict[Key, Decimal]) -> dict[str, Decimal]:
    """Profit by strategy, sorted by name."""
    return _summed((strategy, amount) for (strategy, _), amount in profits.items())


def by_symbol(profits: dict[Key, Decimal]) -> dict[str, Decimal]:
    """Profit by symbol, sorted by name."""
    return _summed((symbol, amount) for (_, symbol), amount in profits.items())


def _summed(pairs: Iterable[tuple[str, Decimal]]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for name, amount in pairs:
        totals[name] = totals.get(name, ZERO) + amount
    return dict(sorted(totals.items()))
