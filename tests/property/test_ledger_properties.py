"""What holds for every history of purchases, sales and splits, of several strategies in several symbols.

The books are kept here as the database keeps them. The oracle knows nothing of entries, lots or postings: it reads the
list of facts from the beginning, in fractions.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.errors import BooksDisagree
from quaestor.ledger import Booked, Equity, Lot, book_fill, book_split, deposit, shares, split_quantity, value
from quaestor.orders import Execution, Side
from quaestor.splits import RATIOS, Split

D = Decimal
CAPITAL = D(1_000_000)
DAY = dt.date(2012, 1, 3)
NEXT = dt.date(2012, 1, 4)  # a split rescales what was bought before its session
AT = dt.datetime(2012, 1, 3, 14, 30, tzinfo=dt.UTC)
STRATEGIES, SYMBOLS = ("momentum", "rsi_reversion", "sma_crossover"), ("AAPL", "IBM")
EVEN = [Fraction(2), Fraction(3), Fraction(3, 2), Fraction(1, 2)]  # three of these leave six decimals exact


@dataclass(frozen=True)
class Trade:
    """A fill to be: of a sale, `part` of what is held then; whole shares where `part` is None."""

    side: Side
    strategy: str
    symbol: str
    quantity: int
    part: Fraction | None
    price: Decimal
    fee: Decimal


@dataclass(frozen=True)
class Rescale:
    symbol: str
    ratio: Fraction


@dataclass
class Books:
    """Journal and lots, in memory."""

    journal: list[Booked] = field(default_factory=lambda: [deposit("opening", CAPITAL, DAY, AT)])
    lots: dict[str, Lot] = field(default_factory=dict)
    facts: list[Execution | Split] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)

    def held(self, symbol: str, strategy: str | None = None) -> list[Lot]:
        mine = (lot for lot in self.lots.values() if lot.symbol == symbol and lot.quantity)
        return [lot for lot in mine if strategy in {None, lot.strategy}]

    def apply(self, action: Trade | Rescale) -> None:
        if isinstance(action, Rescale):
            split = Split(action.symbol, NEXT, action.ratio)
            if booked := book_split(split, "main", AT, self.held(action.symbol)):
                self._keep(booked, split)
        elif (quantity := self._size(action)) > 0:
            number = len(self.facts)
            a, terms = action, (quantity, action.price, action.fee)
            execution = Execution(f"e{number}", "b", None, a.symbol, a.side, *terms, DAY, AT)
            self.owners[execution.execution_id] = a.strategy
            self._keep(book_fill(execution, a.strategy, self.held(a.symbol, a.strategy)), execution)

    def _size(self, trade: Trade) -> Decimal:
        if trade.side is Side.BUY:
            return D(trade.quantity)
        held = sum((lot.quantity for lot in self.held(trade.symbol, trade.strategy)), D(0))
        if trade.part is None:
            return D(min(trade.quantity, int(held)))
        return split_quantity(held, Split(trade.symbol, NEXT, trade.part))

    def _keep(self, booked: Booked, fact: Execution | Split) -> None:
        self.journal.append(booked)
        self.lots |= {lot.lot_id: lot for lot in booked.lots}
        self.facts.append(fact)

    def balances(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for posting in (posting for booked in self.journal for posting in booked.entry.postings):
            sums[posting.ledger_account] += posting.amount
        return sums

    def journal_shares(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for posting in (posting for booked in self.journal for posting in booked.entry.postings):
            sums[posting.symbol] += posting.quantity
        return {symbol: quantity for symbol, quantity in sums.items() if quantity}

    def valued(self, closes: dict[str, Decimal]) -> Equity:
        return value(DAY, [lot for lot in self.lots.values() if lot.quantity], self.balances(), closes)


@dataclass
class Oracle:
    """The same facts, each pile of shares a list of (shares, dollars per share), oldest first."""

    cash: Fraction = Fraction(CAPITAL)
    fees: Fraction = Fraction(0)
    realized: Fraction = Fraction(0)
    piles: dict[tuple[str, str], list[tuple[Fraction, Fraction]]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, books: Books) -> Oracle:
        oracle = cls()
        for fact in books.facts:
            if isinstance(fact, Split):
                oracle.split(fact)
            else:
                oracle.fill(fact, books.owners[fact.execution_id])
        return oracle

    def split(self, split: Split) -> None:
        for (_, symbol), pile in self.piles.items():
            if symbol == split.symbol:
                pile[:] = [(count * split.ratio, price / split.ratio) for count, price in pile]

    def fill(self, fill: Execution, owner: str) -> None:
        pile, left, price = self.piles[owner, fill.symbol], Fraction(fill.quantity), Fraction(fill.price)
        self.fees += Fraction(fill.fee)
        self.cash -= Fraction(fill.fee) + fill.side.sign * left * price
        if fill.side is Side.BUY:
            pile.append((left, price))
            return
        while left:
            count, paid = pile.pop(0)
            taken = min(count, left)
            self.realized += taken * (price - paid)
            left -= taken
            if count > taken:
                pile.insert(0, (count - taken, paid))

    def shares(self, symbol: str) -> Fraction:
        return sum(
            (count for (_, name), pile in self.piles.items() for count, _ in pile if name == symbol), Fraction(0)
        )

    def cost(self) -> Fraction:
        return sum((count * paid for pile in self.piles.values() for count, paid in pile), Fraction(0))


cents = st.integers(1, 100_000).map(lambda n: D(n) / 100)
fees = st.sampled_from([D(0), D("0.01"), D("1.37")])
parts = st.one_of(st.just(Fraction(1)), st.fractions(Fraction(1, 100), 1, max_denominator=100))
closes = st.fixed_dictionaries(dict.fromkeys(SYMBOLS, cents))
names = st.sampled_from(STRATEGIES), st.sampled_from(SYMBOLS)


def histories(
    ratios: list[Fraction], splits: int, part: st.SearchStrategy[Fraction | None]
) -> st.SearchStrategy[list[Trade | Rescale]]:
    trades = st.builds(Trade, st.sampled_from(Side), *names, st.integers(1, 500), part, cents, fees)
    rescales = st.lists(st.builds(Rescale, st.sampled_from(SYMBOLS), st.sampled_from(ratios)), max_size=splits)
    both = st.tuples(st.lists(trades, max_size=25), rescales)
    return both.flatmap(lambda two: st.permutations([*two[0], *two[1]]))


ANY = histories(list(RATIOS), 5, parts)
WHOLE = histories(EVEN, 2, st.none())


def kept(history: list[Trade | Rescale]) -> Books:
    books = Books()
    for action in history:
        books.apply(action)
    return books


@settings(deadline=None)
@given(ANY, closes)
def test_the_books_prove_themselves_after_every_fact(
    history: list[Trade | Rescale], prices: dict[str, Decimal]
) -> None:
    books = Books()
    for action in history:
        books.apply(action)
        assert sum(posting.amount for posting in books.journal[-1].entry.postings) == 0
        assert all(lot.quantity >= 0 and lot.cost >= 0 for lot in books.lots.values())
        assert not any(lot.cost for lot in books.lots.values() if not lot.quantity), "what is gone costs nothing"
        assert shares(books.lots.values()) == books.journal_shares()
        assert sum(lot.cost for lot in books.lots.values()) == books.balances()["positions"]
        equity = books.valued(prices)
        equity.prove()
        assert equity.equity == CAPITAL + equity.realized + equity.unrealized - equity.fees


@settings(deadline=None)
@given(WHOLE, closes)
def test_money_and_shares_are_those_of_an_account_kept_in_fractions(
    history: list[Trade | Rescale], prices: dict[str, Decimal]
) -> None:
    books = kept(history)
    oracle, equity = Oracle.of(books), books.valued(prices)
    assert Fraction(equity.cash) == oracle.cash
    assert Fraction(equity.fees) == oracle.fees
    for symbol in SYMBOLS:
        assert Fraction(shares(books.lots.values()).get(symbol, D(0))) == oracle.shares(symbol)
    market = sum(oracle.shares(symbol) * Fraction(prices[symbol]) for symbol in SYMBOLS)
    assert Fraction(equity.equity) == oracle.cash + market
    rounding = Fraction(len(books.facts), 2_000_000)  # half a millionth of a dollar for each part of a lot
    assert abs(Fraction(equity.realized) - oracle.realized) <= rounding
    assert abs(Fraction(equity.market_value - equity.unrealized) - oracle.cost()) <= rounding


@settings(deadline=None)
@given(WHOLE, st.sampled_from(EVEN), st.sampled_from(SYMBOLS), closes)
def test_a_split_moves_no_equity(
    history: list[Trade | Rescale], ratio: Fraction, symbol: str, prices: dict[str, Decimal]
) -> None:
    books = kept(history)
    before = books.valued(prices)
    books.apply(Rescale(symbol, ratio))
    scaled = Fraction(prices[symbol]) / ratio
    market = sum(
        Fraction(lot.quantity) * (scaled if lot.symbol == symbol else Fraction(prices[lot.symbol]))
        for lot in books.lots.values()
    )
    after = books.valued(prices)
    assert market == Fraction(before.market_value)
    assert (after.cash, after.realized, after.fees) == (before.cash, before.realized, before.fees)


millionths = st.one_of(st.integers(1, 30), st.integers(1, 10**9)).map(lambda n: D(n) / 1_000_000)
EVE = DAY - dt.timedelta(days=1)
lots = st.lists(
    st.builds(Lot, st.uuids().map(str), names[0], st.just("AAPL"), st.just(EVE), millionths, cents), min_size=1
)


@settings(deadline=None)
@given(lots, st.sampled_from(list(RATIOS)))
def test_after_a_split_the_books_hold_what_a_broker_holds_who_rounds_once(held: list[Lot], ratio: Fraction) -> None:
    split = Split("AAPL", DAY, ratio)
    bought_since = Lot("new", "momentum", "AAPL", DAY, D(7), D(7))
    booked = book_split(split, "main", AT, [*held, bought_since])
    assert booked is not None
    assert [lot.lot_id for lot in booked.lots] == [lot.lot_id for lot in held], "new shares are left alone"
    before, after = sum(lot.quantity for lot in held), sum(lot.quantity for lot in booked.lots)
    assert after == split_quantity(D(before), split)
    assert sum(posting.quantity for posting in booked.entry.postings) == after - before
    assert all(lot.quantity >= 0 for lot in booked.lots)
    assert not any(lot.cost for lot in booked.lots if not lot.quantity), "what is gone costs nothing"
    costs = sum(lot.cost for lot in held), sum(lot.cost for lot in booked.lots)
    assert costs[0] == costs[1] - booked.realized
    assert booked.realized == 0 or not after, "money is lost only where nothing is left"


@settings(deadline=None)
@given(ANY, st.sampled_from(STRATEGIES), st.sampled_from(SYMBOLS), st.integers(1, 10**9))
def test_a_sale_of_a_millionth_too_much_is_refused_and_nothing_changes(
    history: list[Trade | Rescale], strategy: str, symbol: str, excess: int
) -> None:
    books = kept(history)
    held = books.held(symbol, strategy)
    before = (list(held), dict(books.balances()))
    quantity = sum((lot.quantity for lot in held), D(0)) + D(excess) / 1_000_000
    sale = Execution("over", "b", None, symbol, Side.SELL, quantity, D(1), D(0), DAY, AT)
    with pytest.raises(BooksDisagree, match=f"sells {quantity} {symbol} but {strategy} holds"):
        book_fill(sale, strategy, held)
    assert (books.held(symbol, strategy), books.balances()) == before


@settings(deadline=None)
@given(ANY)
def test_each_strategy_keeps_its_own_shares(history: list[Trade | Rescale]) -> None:
    books = kept(history)
    for strategy in STRATEGIES:
        alone = sum(
            (p.quantity for booked in books.journal for p in booked.entry.postings if p.strategy == strategy), D(0)
        )
        assert alone == sum((lot.quantity for lot in books.lots.values() if lot.strategy == strategy), D(0))
