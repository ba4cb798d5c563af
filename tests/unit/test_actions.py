"""Corporate actions: whose word holds, and the prices seen through them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.actions import Told, back_adjusted, reconcile, total_return
from quaestor.dividends import Dividend
from quaestor.splits import Split, adjust

D = dt.date
DAY, NEXT, LATER = D(2024, 3, 8), D(2024, 3, 11), D(2024, 3, 12)  # a Friday, the Monday and Tuesday after it
SATURDAY = D(2024, 3, 9)


def split(ratio: str = "2", day: dt.date = DAY, source: str = "one", origin: Any = "source", symbol: str = "X") -> Told:
    return Told(Split(symbol, day, Fraction(ratio), origin), source)


def paid(amount: str = "0.24", day: dt.date = DAY, source: str = "one", origin: Any = "source") -> Told:
    return Told(Dividend("X", day, Decimal(amount), origin), source)


@pytest.mark.parametrize(
    ("known", "told", "outcome"),
    [
        pytest.param([], split(), "new", id="nobody told of it"),
        pytest.param([split(symbol="Y")], split(), "new", id="another company's"),
        pytest.param([split(day=LATER)], split(), "new", id="two sessions apart it is another"),
        pytest.param([paid()], split(), "new", id="a dividend on that day is another thing"),
        pytest.param([split()], split(source="two"), "agreed", id="a second vendor says the same"),
        pytest.param([split()], split(), "agreed", id="the same vendor again"),
        pytest.param([split("3/2")], split("15001/10000", source="two"), "agreed", id="a ratio rounded"),
        pytest.param([split()], split(origin="derived"), "agreed", id="derived what was told"),
        pytest.param([split(origin="derived")], split(), "better", id="a word takes the place of a derivation"),
        pytest.param([split(origin="derived")], split("2.01"), "better", id="derived ratios are plain, told ones not"),
        pytest.param([split()], split("3", source="two"), "value", id="two vendors, two ratios"),
        pytest.param([split(origin="derived")], split("3", source="two"), "value", id="derived and told differ"),
        pytest.param([split()], split("3"), "changed", id="the same vendor says otherwise now"),
        pytest.param([split()], split(day=NEXT, source="two"), "session", id="a session late, over a weekend"),
        pytest.param([split(day=NEXT)], split(source="two"), "session", id="a session early"),
        pytest.param([split(day=NEXT, origin="derived")], split(), "session", id="the prices step a session later"),
        pytest.param([], split(day=SATURDAY), "no_session", id="on a Saturday nothing takes effect"),
        pytest.param([], paid(), "new", id="a dividend"),
        pytest.param([paid()], paid(source="two"), "agreed", id="the same dividend"),
        pytest.param([paid(origin="derived")], paid("0.245"), "better", id="a derived amount, to the cent"),
        pytest.param([paid()], paid("0.30", source="two"), "value", id="two amounts"),
        pytest.param([paid()], paid(day=NEXT, source="two"), "session", id="the same amount a session later"),
        pytest.param([paid()], paid("3.00", day=NEXT), "new", id="a special dividend the day after"),
        pytest.param(
            [paid(), paid("3.00")], paid("3.00", source="two"), "agreed", id="two on one day, and one of them"
        ),
    ],
)
def test_what_is_told_is_held_against_what_is_known(known: list[Told], told: Told, outcome: str) -> None:
    agreement = reconcile(known, [told])
    conflict = [each.reason for each in agreement.conflicts]
    found = {"new": agreement.new, "agreed": agreement.agreed, "better": [theirs for _, theirs in agreement.better]}
    assert {name: list(each) for name, each in found.items() if each} | {reason: [told] for reason in conflict} == {
        outcome: [told]
    }


def test_what_is_told_twice_in_one_breath_is_new_once() -> None:
    agreement = reconcile([], [split(), split(source="two"), split("3", source="three")])
    assert (agreement.new, agreement.agreed) == ((split(),), (split(source="two"),))
    assert agreement.conflicts[0].source == "three"


def test_a_better_word_is_what_later_ones_are_held_against() -> None:
    ours = split(origin="derived")
    agreement = reconcile([ours], [split("2.01"), split("2", source="two")])
    assert agreement.better == ((ours, split("2.01")),)
    assert [each.reason for each in agreement.conflicts] == ["value"]


def test_a_split_in_conflict_blocks_its_symbol_and_a_dividend_does_not() -> None:
    known, told = [split(), split(symbol="Y"), paid()], [split("3", source="two"), paid("9", source="two")]
    assert reconcile(known, told).blocked == {"X"}
    assert reconcile(known, told[1:]).blocked == frozenset()


def test_a_conflict_says_who_told_what_and_the_cure() -> None:
    (conflict,) = reconcile([split(origin="derived")], [split("3", source="two")]).conflicts
    assert conflict.says() == (
        "X: two tells a split of 3:1 on 2024-03-08 (source), but one told a split of 2:1 on 2024-03-08 (derived); "
        "decide which is right."
    )
    (closed,) = reconcile([], [paid(day=SATURDAY)]).conflicts
    assert closed.says().endswith(
        "but 2024-03-09 is no session of XNYS (the next one is 2024-03-11); correct its date."
    )


# ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

DAYS = calendar.sessions(D(2024, 3, 4), D(2024, 3, 29))


def traded(*prices: float, symbol: str = "X") -> pl.DataFrame:
    frame = pl.DataFrame({"symbol": symbol, "session": DAYS[: len(prices)], "volume": 1200})
    return frame.with_columns(pl.Series(name, [float(price) for price in prices]) for name in bars.PRICES)


TWO, CASH = Split("X", DAYS[2], Fraction(2)), Dividend("X", DAYS[3], Decimal(5))


def test_a_holder_who_reinvests_earns_the_move_and_the_dividend() -> None:
    seen = total_return(traded(100, 110, 55, 50, 60), [TWO], [CASH])
    assert seen["close"].to_list() == pytest.approx([100, 110, 110, 110, 132])
    assert seen["factor"].to_list() == [1, 1, 2, 2, 2]
    assert seen["growth"].to_list() == pytest.approx([1, 1, 1, 1.1, 1.1])
    assert seen["volume"].to_list() == [1200, 1200, 600, 600, 600]
    assert seen["as_traded_close"].to_list() == [100, 110, 55, 50, 60]


def test_a_dividend_counts_at_the_first_bar_on_or_after_its_session() -> None:
    bars = traded(100, 100, 100, 100, 100).filter(pl.col("session") != DAYS[3])
    assert total_return(bars, [], [CASH])["growth"].to_list() == pytest.approx([1, 1, 1, 1.05])


@pytest.mark.parametrize(
    "dividend",
    [
        pytest.param(Dividend("X", DAYS[0], Decimal(5)), id="on the first bar: nobody held it before"),
        pytest.param(Dividend("X", DAYS[9], Decimal(5)), id="after the last bar"),
        pytest.param(Dividend("Y", DAYS[1], Decimal(5)), id="another company's"),
    ],
)
def test_a_dividend_that_no_holder_in_the_frame_got_changes_nothing(dividend: Dividend) -> None:
    assert total_return(traded(100, 110), [], [dividend])["growth"].to_list() == [1, 1]


def test_a_dividend_is_reinvested_once_in_a_session_of_many_bars() -> None:
    day = traded(100, 100).with_columns(session=pl.Series([DAYS[2], DAYS[3]]))
    minutes = pl.concat([day, day[1:], day[1:]]).with_columns(ts=pl.int_range(4))
    assert total_return(minutes, [], [CASH])["growth"].to_list() == pytest.approx([1, 1.05, 1.05, 1.05])


def test_a_chart_ends_at_the_traded_price_and_is_as_of_its_session() -> None:
    prices = traded(100, 110, 55, 50, 60)
    late = back_adjusted(prices, [TWO], [CASH], as_of=DAYS[4])
    assert late["close"].to_list() == pytest.approx([100 / 2.2, 110 / 2.2, 50, 50, 60])
    assert late["volume"].to_list() == [2400, 2400, 1200, 1200, 1200]
    early = back_adjusted(prices, [TWO], [CASH], as_of=DAYS[1])
    assert early["close"].to_list() == [100, 110]
    assert early["volume"].to_list() == [1200, 1200]


def test_symbols_in_a_chart_are_anchored_each_at_its_own_end() -> None:
    both = pl.concat([traded(100, 110, 55), traded(7, 7, 7, symbol="Y")])
    seen = back_adjusted(both, [TWO], as_of=DAYS[9])
    assert seen["close"].to_list() == [50, 55, 55, 7, 7, 7]


def test_without_actions_every_view_shows_what_was_traded() -> None:
    frame = traded(100, 110)
    for seen in (adjust(frame, []), total_return(frame, [], []), back_adjusted(frame, [], as_of=DAYS[9])):
        assert seen.select(frame.columns).equals(frame)
        assert total_return(frame.clear(), [TWO], [CASH]).is_empty()
