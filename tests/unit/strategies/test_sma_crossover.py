"""SMA crossover against a loop in exact fractions, over real prices."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from math import prod

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quaestor.errors import BadInput
from quaestor.splits import RATIOS, Split
from quaestor.strategies.sma_crossover import SmaCrossover, exact_ratio


def loop(market, fast, slow):
    """The definition, one bar after another, in fractions."""
    listed = dict(market.bars.group_by("session").len().iter_rows())
    answer = {}
    for (symbol,), rows in market.bars.group_by("symbol"):
        sums = [Fraction(0)]  # of all closes so far
        for session, close in rows.sort("session").select("session", "close").iter_rows():
            ratio = prod(split.ratio for split in market.splits if split.symbol == symbol and split.session <= session)
            sums.append(sums[-1] + Fraction(str(close)) * ratio)
            if len(sums) > slow:
                above = (sums[-1] - sums[-1 - fast]) / fast > (sums[-1] - sums[-1 - slow]) / slow
                answer[symbol, session] = above / listed[session]
    return answer


def answer(strategy, market):
    return {(symbol, session): target for symbol, session, target in strategy.targets(market.frame).iter_rows()}


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        pytest.param(10, 30, id="the default"),
        pytest.param(1, 2, id="the shortest: today against yesterday"),
        pytest.param(50, 200, id="the golden cross"),
    ],
)
def test_every_target_over_the_recorded_market_is_that_of_an_exact_loop(recorded, fast, slow):
    assert answer(SmaCrossover(fast=fast, slow=slow), recorded) == loop(recorded, fast, slow)


@pytest.mark.parametrize(
    ("symbol", "session"),
    [
        pytest.param("AAPL", dt.date(2003, 2, 7), id="14.404 = 14.404; float means differ in the last bit"),
        pytest.param("IBM", dt.date(2005, 6, 27), id="75.703 = 75.703; float means differ in the last bit"),
    ],
)
def test_a_tie_of_the_means_is_not_above(recorded, symbol, session):
    closes = recorded.bars.filter(pl.col("symbol") == symbol, pl.col("session") <= session)["close"]
    cents = [round(close * 100) for close in closes.tail(30)]
    assert sum(cents[-10:]) * 30 == sum(cents) * 10
    assert answer(SmaCrossover(), recorded)[symbol, session] == 0


def test_there_is_no_target_before_the_slow_mean_exists(recorded):
    first = SmaCrossover(fast=10, slow=30).targets(recorded.frame).group_by("symbol").agg(pl.col("session").min())
    thirtieth = recorded.bars.group_by("symbol", maintain_order=True).agg(pl.col("session").get(29))
    assert_frame_equal(first, thirtieth, check_row_order=False)


def test_a_symbol_that_is_not_yet_listed_changes_no_share(market):
    rising = [10.0, 11, 12, 13, 14]
    grown = market({"AAPL": rising, "IBM": rising, "FB": [None, None, None, None, 9.0]})
    shares = [SmaCrossover(fast=1, slow=2).targets(grown.frame).filter(pl.col("symbol") == "AAPL")["target"]]
    assert shares[0].to_list() == [1 / 2, 1 / 2, 1 / 2, 1 / 3]


def test_the_targets_across_real_splits_are_those_of_fully_back_adjusted_prices(recorded):
    later = pl.lit(1.0)
    for split in recorded.splits:
        hit = (pl.col("symbol") == split.symbol) & (pl.col("session") < split.session)
        later = later * pl.when(hit).then(float(split.ratio)).otherwise(1.0)
    prices = [pl.col(name) / later for name in ("open", "high", "low", "close")]
    back_adjusted = type(recorded)(recorded.bars.with_columns(prices))
    assert len(recorded.splits) == 3
    assert answer(SmaCrossover(), recorded) == answer(SmaCrossover(), back_adjusted)


@pytest.mark.parametrize("ratio", RATIOS, ids=str)
def test_a_split_of_any_ratio_moves_nothing(market, ratio):
    """The value of a holding stands still, so no mean is above another, before, at or after the split."""
    split = Split("AAPL", dt.date(2020, 1, 8), ratio)
    still = market({"AAPL": [50_400.0] * 5 + [float(50_400 / ratio)] * 10}, [split])
    assert set(answer(SmaCrossover(fast=3, slow=5), still).values()) == {0.0}


@pytest.mark.parametrize("ratio", [*RATIOS, Fraction(8, 9), Fraction(3, 100), Fraction(1, 10**12)], ids=str)
def test_a_factor_is_read_back_as_the_ratio_it_stands_for(ratio):
    assert exact_ratio(float(ratio)) == ratio


def test_a_factor_of_many_splits_is_read_back_as_their_product():
    ratios = [Fraction(1, 3), Fraction(4, 3), Fraction(1, 30), Fraction(7), Fraction(6, 5), Fraction(1, 15)]
    assert exact_ratio(prod(float(ratio) for ratio in ratios)) == prod(ratios)


def test_a_hundred_reverse_splits_worth_of_scale_still_compares_exactly(market):
    """A leveraged fund's factor: 1/10 eight times over. The integers outgrow 64 bits."""
    days = [dt.date(2020, 1, day) for day in (2, 3, 6, 7, 8, 9, 10, 13)]
    splits = [Split("UVXY", day, Fraction(1, 10)) for day in days]
    fund = market({"UVXY": [50_000.0 * 10**n for n in range(9)] + [50_000.0 * 10**8 - 1]}, splits)
    assert answer(SmaCrossover(fast=1, slow=2), fund) == loop(fund, 1, 2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fast": 0}, "sma_crossover: fast = 0: give a whole number of at least 1"),
        ({"slow": -5}, "sma_crossover: slow = -5: give a whole number of at least 1"),
        ({"fast": 2.5}, "sma_crossover: fast = 2.5: give a whole number"),
        ({"fast": True}, "sma_crossover: fast = True: give a whole number"),
        ({"fast": 30, "slow": 30}, "fast = 30, slow = 30: fast must be the smaller"),
        ({"fast": 40, "slow": 30}, "fast = 40, slow = 30: fast must be the smaller"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name_value_and_cure(parameters, message):
    with pytest.raises(BadInput, match=message):
        SmaCrossover(**parameters)
