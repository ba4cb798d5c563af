"""The ledger: an example worked out by hand, and what it refuses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from quaestor.dividends import Dividend
from quaestor.errors import BadInput, BooksDisagree
from quaestor.ledger import (
    Booked,
    Bought,
    Entry,
    Equity,
    Left,
    Lot,
    Posting,
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
    specific,
    split_quantity,
    value,
    wash_sales,
    withdrawal,
)
from quaestor.orders import Execution, Side
from quaestor.splits import Split

D = Decimal
DAY = dt.date(2005, 2, 25)
SPLIT = Split("AAPL", dt.date(2005, 2, 28), Fraction(2))


def at(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(14, 30), dt.UTC)


def fill(number: int, side: Side, quantity: str, price: str, fee: str = "0", symbol: str = "AAPL") -> Execution:
    return Execution(f"e{number}", "b", None, symbol, side, D(quantity), D(price), D(fee), DAY, at(DAY))


def after(lots: Sequence[Lot], booked: Booked) -> list[Lot]:
    changed = {lot.lot_id: lot for lot in booked.lots}
    kept = [changed.pop(lot.lot_id, lot) for lot in lots]
    return [lot for lot in [*kept, *changed.values()] if lot.quantity]


def balances(*entries: Booked) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for posting in (posting for booked in entries for posting in booked.entry.postings):
        sums[posting.ledger_account] = sums.get(posting.ledger_account, D(0)) + posting.amount
    return sums


def test_two_purchases_a_sale_a_split_and_another_sale_come_out_as_on_paper() -> None:
    opening = deposit("opening", D(100_000), DAY, at(DAY))
    first = book_fill(fill(1, Side.BUY, "100", "80.00", "1.00"), "momentum", [])
    lots = after([], first)
    second = book_fill(fill(2, Side.BUY, "50", "90.00"), "momentum", lots)
    lots = after(lots, second)

    # 120 shares go: the 100 at 80, and 20 of the 50 at 90. Cost 8000 + 1800, proceeds 12 000.
    sale = book_fill(fill(3, Side.SELL, "120", "100.00", "0.37"), "momentum", lots)
    lots = after(lots, sale)
    assert sale.realized == D(2200)
    assert [(lot.quantity, lot.cost) for lot in lots] == [(D(30), D(2700))]

    split = book_split(SPLIT, "main", at(SPLIT.session), lots)
    assert split is not None
    lots = after(lots, split)
    assert [(lot.quantity, lot.cost) for lot in lots] == [(D(60), D(2700))]

    # 45 of 60 shares that cost 45 each: cost 2025, proceeds 45 · 52.
    last = book_fill(fill(4, Side.SELL, "45", "52.00", "0.10"), "momentum", lots)
    lots = after(lots, last)
    assert last.realized == D(315)
    assert shares(lots) == {"AAPL": D(15)}

    sums = balances(opening, first, second, sale, split, last)
    assert sums == {
        "cash": D("101838.53"),  # 100 000 − 8001 − 4500 + 11 999.63 + 2339.90
        "positions": D(675),
        "capital": D(-100_000),
        "realized": D(-2515),
        "fees": D("1.47"),
    }
    equity = value(SPLIT.session, lots, sums, {"AAPL": D("44.50")})
    equity.prove()
    assert (equity.market_value, equity.unrealized, equity.equity) == (D("667.50"), D("-7.50"), D("102506.03"))


def test_the_lines_of_a_sale_are_these() -> None:
    lot = Lot("e1", "momentum", "AAPL", DAY, D(10), D(800))
    booked = book_fill(fill(2, Side.SELL, "10", "90", "0.04"), "momentum", [lot])
    assert booked.entry.key == "fill:e2"
    assert booked.entry.memo == "sell 10 AAPL @ 90"
    assert [(p.ledger_account, p.amount, p.quantity) for p in booked.entry.postings] == [
        ("cash", D("899.96"), D(0)),
        ("positions", D(-800), D(-10)),
        ("realized", D(-100), D(0)),
        ("fees", D("0.04"), D(0)),
    ]


def test_the_oldest_lots_go_first_and_a_closed_one_keeps_no_cost() -> None:
    lots = [Lot(f"l{n}", "s", "AAPL", DAY, D(3), D(10)) for n in range(3)]
    booked = book_fill(fill(9, Side.SELL, "4", "5"), "s", lots)
    assert [(lot.lot_id, lot.quantity, lot.cost) for lot in booked.lots] == [
        ("l0", D(0), D(0)),
        ("l1", D(2), D("6.666667")),
    ]


def test_a_sale_of_more_than_is_held_is_refused_and_changes_nothing() -> None:
    lots = [Lot("l0", "momentum", "AAPL", DAY, D(3), D(10))]
    with pytest.raises(BooksDisagree, match=r"sells 4 AAPL but momentum holds 3\. Entries are stopped"):
        book_fill(fill(1, Side.SELL, "4", "5"), "momentum", lots)
    assert lots == [Lot("l0", "momentum", "AAPL", DAY, D(3), D(10))]


@pytest.mark.parametrize(
    ("quantity", "price", "fee"),
    [
        pytest.param("0", "5", "0", id="no shares"),
        pytest.param("-1", "5", "0", id="fewer than none"),
        pytest.param("1", "0", "0", id="for nothing"),
        pytest.param("1", "5", "-0.01", id="a fee that is paid to us"),
    ],
)
def test_a_fill_that_cannot_be_is_refused(quantity: str, price: str, fee: str) -> None:
    with pytest.raises(BadInput, match="Fill e1: quantity and price must be positive"):
        book_fill(fill(1, Side.BUY, quantity, price, fee), "s", [])


@pytest.mark.parametrize("amount", [D(0), D(-1)])
def test_a_deposit_is_positive(amount: Decimal) -> None:
    with pytest.raises(BadInput, match="must be positive"):
        deposit("opening", amount, DAY, at(DAY))


def test_an_entry_that_does_not_balance_cannot_be_made() -> None:
    with pytest.raises(BooksDisagree, match=r"Entry k does not balance: its postings sum to 0\.01"):
        Entry("k", "fill", DAY, at(DAY), (Posting("cash", D("1.01")), Posting("capital", D(-1))))


def test_a_split_of_what_is_not_held_is_no_entry() -> None:
    assert book_split(SPLIT, "main", at(DAY), []) is None


def test_a_split_rescales_the_lots_of_every_strategy_and_moves_no_money() -> None:
    lots = [Lot("l0", "a", "AAPL", DAY, D(3), D(100)), Lot("l1", "b", "AAPL", DAY, D(5), D(200))]
    booked = book_split(replace(SPLIT, ratio=Fraction(3, 2)), "main", at(DAY), lots)
    assert booked is not None
    assert [(lot.quantity, lot.cost) for lot in booked.lots] == [(D("4.5"), D(100)), (D("7.5"), D(200))]
    assert {posting.amount for posting in booked.entry.postings} == {D(0)}
    assert [posting.quantity for posting in booked.entry.postings] == [D("1.5"), D("2.5")]
    assert booked.entry.key == "split:main:AAPL:2005-02-28"
    assert booked.entry.memo == "AAPL 3-for-2"


def test_a_split_rounds_once_for_the_whole_account_as_the_broker_does() -> None:
    third = replace(SPLIT, ratio=Fraction(1, 3))
    lots = [Lot(f"l{n}", "a", "AAPL", DAY, D(1), D(100)) for n in range(3)]
    booked = book_split(third, "main", at(DAY), lots)
    assert booked is not None
    assert [lot.quantity for lot in booked.lots] == [D("0.333334"), D("0.333333"), D("0.333333")]
    assert shares(booked.lots) == {"AAPL": split_quantity(D(3), third)} == {"AAPL": D(1)}


def test_shares_leave_out_what_is_gone() -> None:
    lots = [Lot("l0", "a", "AAPL", DAY, D(0), D(0)), Lot("l1", "a", "IBM", DAY, D(2), D(9))]
    assert shares(lots) == {"IBM": D(2)}


def test_lots_that_cost_something_else_than_the_ledger_says_are_found_out() -> None:
    lots = [Lot("l0", "a", "AAPL", DAY, D(1), D(100))]
    with pytest.raises(BooksDisagree, match="lots cost 100, but the ledger's positions account stands at 99"):
        value(DAY, lots, {"positions": D(99)}, {"AAPL": D(1)})


def test_a_position_without_a_close_cannot_be_valued() -> None:
    lots = [Lot("l0", "a", "ZZZ", DAY, D(1), D(100))]
    with pytest.raises(BooksDisagree, match="ZZZ is held, but no close of it is stored"):
        value(DAY, lots, {"positions": D(100)}, {"AAPL": D(1)})


def test_an_account_that_does_not_add_up_is_found_out() -> None:
    right = Equity(DAY, D(90), D(15), D(3), D(5), D(3), D(100))
    right.prove()
    with pytest.raises(BooksDisagree, match=r"cash \+ positions = 105\.01, but capital \+ P&L − fees = 105"):
        replace(right, cash=D("90.01")).prove()


def test_a_split_booked_late_leaves_shares_alone_that_were_bought_from_its_session_on() -> None:
    split = Split("AAPL", dt.date(2005, 2, 28), Fraction(2))
    at = dt.datetime(2005, 2, 28, 14, 30, tzinfo=dt.UTC)
    before = Lot("a", "sma", "AAPL", dt.date(2005, 2, 25), Decimal(10), Decimal(890))
    after = Lot("b", "sma", "AAPL", dt.date(2005, 2, 28), Decimal(10), Decimal(446))
    booked = book_split(split, "paper", at, [before, after])
    assert booked is not None
    assert [(lot.lot_id, lot.quantity) for lot in booked.lots] == [("a", Decimal(20))]
    assert book_split(split, "paper", at, [after]) is None


# ── named lots ────────────────────────────────────────────────────────────────────────────────────────────────────────

THREE = [Lot(f"l{n}", "s", "AAPL", DAY, D(3), D(10 * (n + 1))) for n in range(3)]


def test_a_sale_takes_the_lots_that_it_names_and_says_what_each_gained() -> None:
    booked = book_fill(fill(9, Side.SELL, "4", "5", "0.02"), "s", THREE, specific("l2", "l0"))
    assert [(lot.lot_id, lot.quantity, lot.cost) for lot in booked.lots] == [
        ("l2", D(0), D(0)),
        ("l0", D(2), D("6.666667")),
    ]
    assert [(p.ledger_account, p.amount, p.quantity, p.lot_id) for p in booked.entry.postings] == [
        ("cash", D("19.98"), D(0), ""),
        ("positions", D(-30), D(-3), "l2"),
        ("positions", D("-3.333333"), D(-1), "l0"),
        ("realized", D(15), D(0), "l2"),
        ("realized", D("-1.666667"), D(0), "l0"),
        ("fees", D("0.02"), D(0), ""),
    ]
    assert (booked.entry.named, booked.realized) == (("l2", "l0"), D("-13.333333"))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(("l9",), r"names lot l9, which is not open\. Open lots: l0, l1, l2", id="unknown"),
        pytest.param(("l0", "l0"), "names a lot twice", id="twice"),
        pytest.param(("l0",), "the lots it names hold 3; name more of them, or none", id="too few"),
    ],
)
def test_names_that_do_not_fit_are_refused(names: tuple[str, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        book_fill(fill(9, Side.SELL, "4", "5"), "s", THREE, specific(*names))


# ── dividends, fees, transfers ────────────────────────────────────────────────────────────────────────────────────────


def test_a_dividend_is_rounded_once_and_each_strategy_gets_its_part() -> None:
    paid = Dividend("AAPL", DAY, D("0.3333"))
    booked = book_dividend(paid, "main", at(DAY), {"a": D(1), "b": D(2), "c": D(0)})
    assert booked is not None
    assert dividend_cash(D(3), paid.amount) == D("1.00")
    assert [(p.ledger_account, p.amount, p.strategy, p.symbol) for p in booked.entry.postings] == [
        ("cash", D("0.333333"), "a", "AAPL"),
        ("dividends", D("-0.333333"), "a", "AAPL"),
        ("cash", D("0.666667"), "b", "AAPL"),
        ("dividends", D("-0.666667"), "b", "AAPL"),
    ]
    assert (booked.entry.key, booked.entry.session) == (f"dividend:main:AAPL:{DAY}", DAY)
    assert booked.entry.memo == "3 AAPL × 0.3333"


@pytest.mark.parametrize(
    ("held", "amount"), [({}, "1"), ({"a": D(0)}, "1"), ({"a": D(1)}, "0.004")], ids=["none", "gone", "under a cent"]
)
def test_a_dividend_that_pays_nothing_is_no_entry(held: dict[str, Decimal], amount: str) -> None:
    assert book_dividend(Dividend("AAPL", DAY, D(amount)), "main", at(DAY), held) is None


def test_dividends_and_fees_are_profit_and_transfers_are_capital() -> None:
    entries = [
        deposit("d", D(1000), DAY, at(DAY)),
        withdrawal("w", D(200), DAY, at(DAY)),
        book_fee("f", D(25), DAY, at(DAY), "ACATS"),
        shares_in("i", Lot("x", "s", "IBM", DAY, D(10), D(150)), at(DAY)),
        book_dividend(Dividend("IBM", DAY, D("0.5")), "main", at(DAY), {"s": D(10)}),
    ]
    lots = after([], entries[3])
    entries.append(shares_out("o", D(4), lots, DAY, at(DAY)))
    lots = after(lots, entries[-1])
    equity = value(DAY, lots, balances(*entries), {"IBM": D(20)})
    equity.prove()
    assert (equity.cash, equity.capital, equity.dividends, equity.fees) == (D(780), D(890), D(5), D(25))
    assert (equity.equity, equity.unrealized, equity.earned) == (D(900), D(30), D(10))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: withdrawal("w", D(0), DAY, at(DAY)),
        lambda: book_fee("f", D(-1), DAY, at(DAY), ""),
        lambda: shares_in("i", Lot("x", "s", "IBM", DAY, D(0), D(1)), at(DAY)),
        lambda: shares_in("i", Lot("x", "s", "IBM", DAY, D(1), D(-1)), at(DAY)),
        lambda: shares_out("o", D(1), [], DAY, at(DAY)),
    ],
)
def test_a_transfer_of_nothing_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(BadInput):
        wrong()


def test_more_shares_than_are_held_cannot_be_transferred() -> None:
    with pytest.raises(BooksDisagree, match="Transfer o takes 10 AAPL but s holds 9"):
        shares_out("o", D(10), THREE, DAY, at(DAY))


# ── a split learned late ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_sale_of_new_shares_that_was_booked_as_old_ones_is_put_right() -> None:
    """100 at 80 become 200 at 40; 60 are sold at 45: a gain of 300, which was booked as a loss of 2100."""
    lot = Lot("l", "s", "AAPL", DAY, D(100), D(8000))
    monday = SPLIT.session
    sale = replace(fill(2, Side.SELL, "60", "45"), session=monday)
    sold = book_fill(sale, "s", [lot])
    assert sold.realized == D(-2100)
    left = Left(sold.entry.key, "s", D(60), D(4800))
    booked = restate_split(SPLIT, "main", at(monday), [lot], [left], after([lot], sold))
    assert booked is not None
    assert [(now.quantity, now.cost) for now in booked.lots] == [(D(140), D(5600))]
    assert [(p.ledger_account, p.amount, p.quantity) for p in booked.entry.postings] == [
        ("positions", D(2400), D(100)),
        ("realized", D(-2400), D(0)),
    ]
    assert sold.realized + booked.realized == D(300)
    assert booked.entry.memo == "AAPL 2-for-1, learned late"


def test_a_reverse_split_that_leaves_less_than_was_sold_since_is_refused() -> None:
    lot = Lot("l", "s", "AAPL", DAY, D(100), D(8000))
    reverse = replace(SPLIT, ratio=Fraction(1, 10))
    left = Left("fill:e2", "s", D(60), D(4800))
    with pytest.raises(BooksDisagree, match="fill:e2 takes 60 but s holds 10"):
        restate_split(reverse, "main", at(reverse.session), [lot], [left], [])


# ── wash sales ────────────────────────────────────────────────────────────────────────────────────────────────────────


def day(number: int) -> dt.date:
    return DAY + dt.timedelta(days=number)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param(
            [Bought("a", day(0), D(100)), Sold("s", "a", day(50), D(100), D(-500)), Bought("b", day(80), D(40))],
            [("s", D(40), D(200), ("b",))],
            id="bought again 30 days later, in part",
        ),
        pytest.param(
            [Bought("a", day(0), D(100)), Sold("s", "a", day(50), D(100), D(-500)), Bought("b", day(81), D(40))],
            [],
            id="31 days later",
        ),
        pytest.param(
            [Bought("a", day(0), D(100)), Bought("b", day(20), D(100)), Sold("s", "a", day(50), D(100), D(-500))],
            [("s", D(100), D(500), ("b",))],
            id="bought 30 days before",
        ),
        pytest.param(
            [Bought("a", day(0), D(100)), Sold("s", "a", day(9), D(40), D(-200))], [], id="the rest of the lot is none"
        ),
        pytest.param(
            [
                Bought("a", day(0), D(50)),
                Bought("b", day(5), D(50)),
                Sold("s", "a", day(9), D(50), D(-100)),
                Sold("s", "b", day(9), D(50), D(-80)),
            ],
            [],
            id="both lots sold at once: nothing replaces them",
        ),
        pytest.param(
            [
                Bought("a", day(0), D(50)),
                Sold("s", "a", day(40), D(25), D(-100)),
                Sold("t", "a", day(41), D(25), D(-80)),
                Bought("b", day(45), D(30)),
            ],
            [("s", D(25), D(100), ("b",)), ("t", D(5), D(16), ("b",))],
            id="each new share replaces one",
        ),
        pytest.param(
            [Bought("a", day(0), D(10)), Sold("s", "a", day(40), D(10), D(10)), Bought("b", day(45), D(30))],
            [],
            id="a gain is none",
        ),
    ],
)
def test_wash_sales(facts: list[Bought | Sold], expected: list[tuple[object, ...]]) -> None:
    found = wash_sales(facts)
    assert [(wash.sale, wash.quantity, wash.disallowed, wash.replaced_by) for wash in found] == expected


def test_shares_bought_after_a_split_replace_half_as_many_old_ones() -> None:
    facts = [Bought("a", day(0), D(100)), Sold("s", "a", day(40), D(100), D(-500)), Bought("b", day(60), D(100))]
    (wash,) = wash_sales(facts, [Split("AAPL", day(50), Fraction(2))])
    assert (wash.quantity, wash.disallowed) == (D(50), D(250))
