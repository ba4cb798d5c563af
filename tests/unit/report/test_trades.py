from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from quaestor.devlog import Evidence
from quaestor.errors import BooksDisagree
from quaestor.splits import Split
from quaestor.trades import ClosedTrade, Fill, by_strategy, by_symbol, follow, profits_over_time

D = Decimal
MONDAY, TUESDAY, FRIDAY = dt.date(2012, 3, 5), dt.date(2012, 3, 6), dt.date(2012, 3, 9)
FIRST, SECOND, SALE = (uuid.UUID(int=n) for n in (1, 2, 3))


def test_a_sale_relieves_the_oldest_shares_first_and_each_piece_bears_its_share_of_both_fees(
    fill: Callable[..., Fill],
) -> None:
    journal = [
        fill("trend", "AAPL", "buy", "10", "100", MONDAY, "1.00", FIRST),
        fill("trend", "AAPL", "buy", "10", "110", TUESDAY, "2.00", SECOND),
        fill("trend", "AAPL", "sell", "15", "120", FRIDAY, "0.30", SALE),
    ]
    assert follow(journal).trades == (
        ClosedTrade("trend", "AAPL", D(10), MONDAY, FRIDAY, D(1000), D(1200), D("1.20"), FIRST, SALE),
        ClosedTrade("trend", "AAPL", D(5), TUESDAY, FRIDAY, D(550), D(600), D("1.10"), SECOND, SALE),
    )
    (left,) = follow(journal).lots
    assert (left.quantity, left.cost) == (D(5), D(550))
    assert [trade.profit for trade in follow(journal).trades] == [D("198.80"), D("48.90")]


def test_the_pieces_of_a_lot_bear_its_whole_fee_to_the_last_digit(fill: Callable[..., Fill]) -> None:
    sales = [fill("trend", "AAPL", "sell", "1", f"{price}", FRIDAY) for price in (101, 102, 103)]
    trades = follow([fill("trend", "AAPL", "buy", "3", "100", MONDAY, "0.10"), *sales]).trades
    assert [trade.fees for trade in trades] == [D("0.033333"), D("0.033334"), D("0.033333")]
    assert sum(trade.fees for trade in trades) == D("0.10")


def test_each_strategy_sells_its_own_shares(fill: Callable[..., Fill]) -> None:
    journal = [
        fill("trend", "AAPL", "buy", "10", "100", MONDAY),
        fill("value", "AAPL", "buy", "10", "110", MONDAY),
        fill("value", "AAPL", "sell", "10", "120", FRIDAY),
    ]
    (trade,) = follow(journal).trades
    assert (trade.strategy, trade.cost) == ("value", D(1100))


def test_a_purchase_that_was_booked_late_is_still_older(fill: Callable[..., Fill]) -> None:
    journal = [
        fill("trend", "AAPL", "buy", "1", "100", TUESDAY),
        fill("trend", "AAPL", "buy", "1", "200", MONDAY),
        fill("trend", "AAPL", "sell", "1", "300", FRIDAY),
    ]
    (trade,) = follow(
        [replace(fact, execution=replace(fact.execution, execution_id=f"x{n}")) for n, fact in enumerate(journal)]
    ).trades
    assert trade.cost == 200


def test_a_split_changes_the_shares_and_neither_cost_nor_gain(fill: Callable[..., Fill]) -> None:
    journal = [
        fill("trend", "AAPL", "buy", "10", "90", MONDAY),
        Split("AAPL", TUESDAY, Fraction(2)),
        Split("IBM", TUESDAY, Fraction(3)),
        fill("trend", "AAPL", "sell", "20", "50", FRIDAY),
    ]
    (trade,) = follow(journal).trades
    assert (trade.quantity, trade.cost, trade.gain) == (D(20), D(900), D(100))
    assert follow(journal).lots == ()


def test_a_split_in_which_shares_vanish_whole_closes_the_lot(fill: Callable[..., Fill]) -> None:
    journal = [fill("trend", "AAPL", "buy", "0.000001", "90", MONDAY), Split("AAPL", TUESDAY, Fraction(1, 100))]
    assert follow(journal).lots == ()


def test_selling_what_was_never_bought_is_refused(fill: Callable[..., Fill]) -> None:
    with pytest.raises(BooksDisagree, match="trend holds 0"):
        follow([fill("trend", "AAPL", "sell", "1", "100", MONDAY)])


def test_profits_are_cash_of_fills_and_shares_at_market(evidence: Evidence) -> None:
    profits = profits_over_time(evidence.closes, None, evidence.fills)
    assert [by_strategy(at_close) for at_close in profits] == [
        {"trend": D(10)},
        {"trend": D(-10), "value": D(10)},
        {"trend": D("29.90"), "value": D(5)},
    ]
    assert by_symbol(profits[-1]) == {"AAPL": D("29.90"), "IBM": D(5)}


def test_profits_of_a_range_begin_at_the_close_before_it(evidence: Evidence) -> None:
    before, *closes = evidence.closes
    profits = profits_over_time(closes, before, evidence.fills)
    assert [by_strategy(at_close) for at_close in profits] == [
        {"trend": D(-20), "value": D(10)},
        {"trend": D("19.90"), "value": D(5)},
    ]
