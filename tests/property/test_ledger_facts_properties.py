"""What holds for every history of all kinds of facts: fills with lots named or not, splits, dividends, transfers, fees.

The oracle reads the list of facts in fractions, and knows nothing of entries or postings. A split learned late must
leave the books as if it had been known.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.dividends import Dividend
from quaestor.ledger import (
    FIFO,
    Booked,
    Bought,
    Left,
    Lot,
    Opened,
    Relief,
    Since,
    Sold,
    book_dividend,
    book_fee,
    book_fill,
    book_split,
    deposit,
    dividend_cash,
    restate_split,
    shares,
    shares_in,
    shares_out,
    split_quantity,
    value,
    wash_sales,
    withdrawal,
)
from quaestor.orders import Execution, Side
from quaestor.splits import Split

D = Decimal
START = dt.date(2012, 1, 2)
KINDS = ("buy", "buy", "buy", "sell", "sell", "split", "dividend", "deposit", "withdrawal", "fee", "in", "out")
SYMBOLS, OWNERS = ("AAPL", "IBM"), ("momentum", "value")


@dataclass(frozen=True)
class Step:
    """A fact to be; sells and transfers out take at most what is held, `named` of the lots by number."""

    kind: str
    owner: str
    symbol: str
    quantity: int
    price: Decimal
    named: int


@dataclass
class Books:
    """Journal and lots in memory, and an account beside it that is kept in fractions."""

    journal: list[Booked] = field(default_factory=list)
    lots: dict[str, Lot] = field(default_factory=dict)
    since: dict[str, list[tuple[dt.date, Since]]] = field(default_factory=lambda: defaultdict(list))
    cash: Fraction = Fraction(0)
    held: dict[tuple[str, str], Fraction] = field(default_factory=lambda: defaultdict(Fraction))

    def open_lots(self, symbol: str, owner: str | None = None) -> list[Lot]:
        mine = [lot for lot in self.lots.values() if lot.symbol == symbol and lot.quantity]
        return [lot for lot in mine if owner in {None, lot.strategy}]

    def keep(self, booked: Booked | None) -> None:
        if booked is not None:
            self.journal.append(booked)
            self.lots |= {lot.lot_id: lot for lot in booked.lots}

    def balances(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for posting in (p for booked in self.journal for p in booked.entry.postings):
            sums[posting.ledger_account] += posting.amount
        return sums

    def by_lot(self) -> dict[str, tuple[Decimal, Decimal]]:
        """Shares and cost of each lot as the journal's own lines have them."""
        sums: dict[str, tuple[Decimal, Decimal]] = defaultdict(lambda: (D(0), D(0)))
        for p in (p for booked in self.journal for p in booked.entry.postings if p.ledger_account == "positions"):
            quantity, cost = sums[p.lot_id]
            sums[p.lot_id] = quantity + p.quantity, cost + p.amount
        return sums

    def take(self, step: Step, number: int) -> None:
        day = START + dt.timedelta(days=number)
        at, key = dt.datetime.combine(day, dt.time(14, 30), dt.UTC), f"k{number}"
        money, place = D(step.quantity), (step.owner, step.symbol)
        mine = self.open_lots(step.symbol, step.owner)
        quantity = min(D(step.quantity), sum((lot.quantity for lot in mine), D(0)))
        match step.kind:
            case "buy":
                fill = Execution(key, "b", None, step.symbol, Side.BUY, money, step.price, D("0.07"), day, at)
                self.keep(book_fill(fill, step.owner, []))
                self.since[step.symbol].append((day, Opened(self.lots[key])))
                self.cash -= Fraction(money * step.price + D("0.07"))
                self.held[place] += Fraction(money)
            case "sell" | "out" if quantity > 0:
                method = self._method(step, mine, quantity)
                if step.kind == "sell":
                    fill = Execution(key, "b", None, step.symbol, Side.SELL, quantity, step.price, D("0.03"), day, at)
                    booked = book_fill(fill, step.owner, mine, method)
                    self.cash += Fraction(quantity) * Fraction(step.price) - Fraction("0.03")
                else:
                    booked = shares_out(key, quantity, mine, day, at, method)
                cost = -sum((p.amount for p in booked.entry.postings if p.ledger_account == "positions"), D(0))
                against = "realized" if step.kind == "sell" else "capital"
                self.since[step.symbol].append((day, Left(key, step.owner, quantity, cost, against, method.lots)))
                self.keep(booked)
                self.held[place] -= Fraction(quantity)
            case "split":
                split = Split(step.symbol, day, Fraction(2) if step.named % 2 else Fraction(3))
                self.keep(book_split(split, "main", at, self.open_lots(step.symbol)))
                self.since[step.symbol].append((day, split))
                for owned in [owned for owned in self.held if owned[1] == step.symbol]:
                    self.held[owned] *= split.ratio
            case "dividend":
                held = {who: sum((lot.quantity for lot in self.open_lots(step.symbol, who)), D(0)) for who in OWNERS}
                self.keep(book_dividend(Dividend(step.symbol, day, step.price), "main", at, held))
                owned = sum(held.values(), D(0))
                self.cash += Fraction(dividend_cash(owned, step.price))
            case "deposit":
                self.keep(deposit(key, money, day, at))
                self.cash += Fraction(money)
            case "withdrawal":
                self.keep(withdrawal(key, money, day, at))
                self.cash -= Fraction(money)
            case "fee":
                self.keep(book_fee(key, step.price, day, at, "a month's", step.symbol))
                self.cash -= Fraction(step.price)
            case "in":
                self.keep(shares_in(key, Lot(key, step.owner, step.symbol, day, money, money * step.price), at))
                self.since[step.symbol].append((day, Opened(self.lots[key])))
                self.held[place] += Fraction(money)

    def _method(self, step: Step, mine: list[Lot], quantity: Decimal) -> Relief:
        """FIFO, or lots from the youngest on, as many as are needed."""
        if not step.named % 3:
            return FIFO
        names, left = [], quantity
        for lot in reversed(mine):
            if left > 0:
                names.append(lot.lot_id)
                left -= lot.quantity
        return Relief(tuple(names))


prices = st.integers(1, 20_000).map(lambda n: D(n) / 100)
steps = st.builds(
    Step,
    st.sampled_from(KINDS),
    st.sampled_from(OWNERS),
    st.sampled_from(SYMBOLS),
    st.integers(1, 300),
    prices,
    st.integers(0, 5),
)
histories = st.lists(steps, max_size=30)
trades = st.builds(
    Step,
    st.sampled_from(["buy", "buy", "sell", "sell", "in", "out"]),
    st.sampled_from(OWNERS),
    st.just("AAPL"),
    st.integers(1, 300),
    prices,
    st.integers(0, 5),
)
closes = st.fixed_dictionaries(dict.fromkeys(SYMBOLS, prices))


@settings(deadline=None)
@given(histories, closes)
def test_every_fact_balances_and_the_account_is_the_one_that_is_kept_in_fractions(
    history: list[Step], at: dict[str, Decimal]
) -> None:
    books = Books()
    for number, step in enumerate(history):
        books.take(step, number)
        open_lots = [lot for lot in books.lots.values() if lot.quantity]
        assert books.by_lot() == {lot.lot_id: (lot.quantity, lot.cost) for lot in books.lots.values()}
        equity = value(START, open_lots, books.balances(), at)
        equity.prove()
        assert Fraction(equity.cash) == books.cash
        held = shares(open_lots)
        for symbol in SYMBOLS:
            assert Fraction(held.get(symbol, D(0))) == sum(n for (_, name), n in books.held.items() if name == symbol)
        assert equity.earned == equity.equity - equity.capital
    for booked in books.journal:
        assert sum(p.amount for p in booked.entry.postings) == 0


@settings(deadline=None)
@given(st.lists(trades, max_size=10), st.lists(trades, max_size=15), st.sampled_from([Fraction(2), Fraction(3, 2)]))
def test_a_split_learned_late_leaves_the_books_as_if_it_had_been_known(
    earlier: list[Step], later: list[Step], ratio: Fraction
) -> None:
    """Fills are whole shares; a transfer or a sale that is told once is the same with and without the split."""
    history, when, symbol = [*earlier, *later], len(earlier), "AAPL"
    split = Split(symbol, START + dt.timedelta(days=when), ratio)
    at = dt.datetime.combine(split.session, dt.time(14, 30), dt.UTC)

    late, before, facts = Books(), {}, []
    for number, step in enumerate(history):
        if number == when:
            before, facts = dict(late.lots), len(late.journal)
        late.take(step, number)
    if when == len(history):
        before, facts = dict(late.lots), len(late.journal)
    told = late.since[symbol]
    since = [fact for day, fact in told if day >= split.session]

    known = Books(lots=dict(before), journal=late.journal[:facts])
    known.keep(book_split(split, "main", at, known.open_lots(symbol)))
    for booked in late.journal[facts:]:
        replayed = _again(known, booked, late)
        known.keep(replayed)

    mine = [lot for lot in before.values() if lot.symbol == symbol]
    late.keep(restate_split(split, "main", at, mine, since, list(late.lots.values())))
    assert {lot for lot in late.lots.values() if lot.quantity} == {lot for lot in known.lots.values() if lot.quantity}
    assert late.balances() == known.balances()


def _again(books: Books, booked: Booked, late: Books) -> Booked:
    """The same fact, booked on these lots."""
    entry = booked.entry
    left = [p for p in entry.postings if p.ledger_account == "positions" and p.quantity < 0]
    if not left or entry.kind == "split":
        return booked
    strategy, symbol = left[0].strategy, left[0].symbol
    quantity, mine = -sum((p.quantity for p in left), D(0)), books.open_lots(symbol, strategy)
    if entry.kind == "transfer_out":
        return shares_out(entry.key, quantity, mine, entry.session, entry.at, Relief(entry.named))
    cash = next(p.amount for p in entry.postings if p.ledger_account == "cash")
    price = (cash + D("0.03")) / quantity
    number = entry.key.removeprefix("fill:")
    fill = Execution(number, "b", None, symbol, Side.SELL, quantity, price, D("0.03"), entry.session, entry.at)
    return book_fill(fill, strategy, mine, Relief(entry.named))


@settings(deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_the_order_in_which_independent_facts_are_booked_does_not_matter(history: list[Step], random: object) -> None:
    """Facts of different symbols, and money that comes and goes, know nothing of each other."""
    numbered = list(enumerate(history))
    money = {"deposit", "withdrawal", "fee"}
    streams: dict[str, list[tuple[int, Step]]] = defaultdict(list)
    for number, step in numbered:
        streams[f"{number}" if step.kind in money else step.symbol].append((number, step))
    one, other = Books(), Books()
    for number, step in numbered:
        one.take(step, number)
    while any(streams.values()):
        name = random.choice([name for name, left in streams.items() if left])  # type: ignore[attr-defined]
        number, step = streams[name].pop(0)
        other.take(step, number)
    assert one.balances() == other.balances()
    assert one.lots == other.lots


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 50), st.integers(0, 20), st.integers(1, 9)),
        max_size=25,
    )
)
def test_no_share_is_replaced_twice_and_no_loss_is_deferred_twice(told: list[tuple[str, int, int, int]]) -> None:
    day, books, facts = START, Books(), []
    for number, (kind, quantity, later, price) in enumerate(told):
        day += dt.timedelta(days=later)
        at = dt.datetime.combine(day, dt.time(), dt.UTC)
        if kind == "buy":
            fill = Execution(f"b{number}", "b", None, "IBM", Side.BUY, D(quantity), D(price), D(0), day, at)
            books.keep(book_fill(fill, "value", []))
            facts.append(Bought(f"b{number}", day, D(quantity)))
            continue
        mine = books.open_lots("IBM")
        sold = min(D(quantity), sum((lot.quantity for lot in mine), D(0)))
        if sold:
            fill = Execution(f"s{number}", "b", None, "IBM", Side.SELL, sold, D(price), D(0), day, at)
            booked = book_fill(fill, "value", mine)
            books.keep(booked)
            taken = {p.lot_id: -p.quantity for p in booked.entry.postings if p.ledger_account == "positions"}
            gains = {p.lot_id: -p.amount for p in booked.entry.postings if p.ledger_account == "realized"}
            facts += [Sold(f"s{number}", lot_id, day, taken[lot_id], gains[lot_id]) for lot_id in taken]
    bought = {fact.lot_id: fact for fact in facts if isinstance(fact, Bought)}
    losses = {(fact.sale, fact.lot_id): fact for fact in facts if isinstance(fact, Sold) and fact.gain < 0}
    found = wash_sales(facts)
    assert len({(each.sale, each.lot_id) for each in found}) == len(found)
    for each in found:
        loss = losses[each.sale, each.lot_id]
        assert 0 < each.quantity <= loss.quantity
        assert 0 <= each.disallowed <= -loss.gain
        assert each.lot_id not in each.replaced_by
        for lot_id in each.replaced_by:
            assert abs(bought[lot_id].session - each.session) <= dt.timedelta(days=30)
    assert sum(each.quantity for each in found) <= sum(fact.quantity for fact in bought.values())


def test_a_split_of_a_restated_lot_rounds_as_the_broker_does() -> None:
    assert split_quantity(D(1), Split("AAPL", START, Fraction(1, 3))) == D("0.333333")
