"""RSI mean reversion against Wilder's definition as a plain loop, over real prices."""

from __future__ import annotations

import datetime as dt
import itertools
from fractions import Fraction

import polars as pl
import pytest

from quaestor.errors import BadInput
from quaestor.splits import Split
from quaestor.strategies.rsi_reversion import RsiReversion


def wilder(closes, period):
    """RSI by the book: the first average is a simple mean, the next ones are smoothed; None before the first."""
    moves = [new - old for old, new in itertools.pairwise(closes)]
    gain = sum(max(move, 0) for move in moves[:period]) / period
    loss = sum(max(-move, 0) for move in moves[:period]) / period
    values = [None] * period
    for index in range(period - 1, len(moves)):
        if index >= period:
            gain = (gain * (period - 1) + max(moves[index], 0)) / period
            loss = (loss * (period - 1) + max(-moves[index], 0)) / period
        values.append(100.0 if loss == 0 else 100 - 100 / (1 + gain / loss))
    return values


def loop(market, period, enter, leave):
    listed = dict(market.bars.group_by("session").len().iter_rows())
    answer = {}
    for (symbol,), rows in market.frame.group_by("symbol"):
        inside = False
        sessions, closes = (rows.sort("session")[column].to_list() for column in ("session", "close"))
        for session, rsi in zip(sessions, wilder(closes, period), strict=False):
            if rsi is not None:
                inside = rsi < enter or (inside and rsi <= leave)
                answer[symbol, session] = inside / listed[session]
    return answer


def answer(strategy, market):
    return {(symbol, session): target for symbol, session, target in strategy.targets(market.frame).iter_rows()}


@pytest.mark.parametrize(
    ("period", "enter", "leave"),
    [
        pytest.param(2, 10.0, 60.0, id="the default"),
        pytest.param(14, 30.0, 70.0, id="Wilder's own period and levels"),
        pytest.param(1, 50.0, 51.0, id="no smoothing: RSI is 0 or 100"),
    ],
)
def test_every_target_over_the_recorded_market_is_that_of_wilders_loop(recorded, period, enter, leave):
    targets = answer(RsiReversion(period=period, enter=enter, exit=leave), recorded)
    assert targets == loop(recorded, period, enter, leave)
    assert 0.02 < sum(target > 0 for target in targets.values()) / len(targets) < 0.6


def test_wilders_first_average_is_the_simple_mean_of_the_first_changes(market):
    """Changes +1, -9: gain 0.5, loss 4.5, RSI 10 at the third bar; then -1: RSI 100 * 0.25 / 3 = 8.33."""
    prices = market({"AAPL": [20.0, 21.0, 12.0, 11.0]})
    strategy = RsiReversion()
    rsi = prices.frame.select(rsi=strategy._rsi())["rsi"].to_list()
    assert rsi == [None, None, 10.0, pytest.approx(100 * 0.25 / 3)]


@pytest.mark.parametrize(
    "base", [20.0, 20.1, 33.3, 1004.7], ids=["floats say a bit more", "a bit less", "more", "8e-12 less"]
)
def test_an_rsi_of_exactly_ten_is_not_below_ten_whatever_the_floats_say(market, base):
    tie = market({"AAPL": [base, round(base + 0.1, 1), round(base - 0.8, 1)]})
    assert list(answer(RsiReversion(), tie).values()) == [0.0]


def test_it_stays_in_between_the_levels_and_leaves_above_the_upper_one(market):
    prices = market({"AAPL": [20.0, 19, 18, 18.5, 18.2, 19.5, 19.4]})
    rsi = prices.frame.select(rsi=RsiReversion()._rsi())["rsi"].to_list()[2:]
    assert [value < 10 for value in rsi] == [True, False, False, False, False]
    assert [value > 60 for value in rsi] == [False, False, False, True, True]
    assert list(answer(RsiReversion(), prices).values()) == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_without_a_loss_the_rsi_is_a_hundred(market):
    prices = market({"AAPL": [20.0, 20.0, 20.0, 21.0]})
    assert prices.frame.select(rsi=RsiReversion()._rsi())["rsi"].to_list() == [None, None, 100.0, 100.0]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(210.0, 105.0, id="2 for 1, exact in floats"),
        pytest.param(1.05, 0.35, id="3 for 1: the floats' difference is a loss of 2e-16, and no gain beside it"),
        pytest.param(1.01, 3.03, id="1 for 3: the same"),
        pytest.param(2.45, 0.35, id="7 for 1: the same"),
    ],
)
def test_a_split_is_no_loss(market, before, after):
    ratio = Fraction(str(before)) / Fraction(str(after))
    still = market({"AAPL": [before] * 2 + [after] * 4}, [Split("AAPL", dt.date(2020, 1, 3), ratio)])
    assert still.frame.select(rsi=RsiReversion()._rsi())["rsi"].to_list() == [None, None, 100.0, 100.0, 100.0, 100.0]


def test_each_symbol_has_an_rsi_of_its_own(market):
    falling, rising = [20.0, 19, 18, 17], [20.0, 21, 22, 23]
    targets = answer(RsiReversion(), market({"AAPL": falling, "IBM": rising}))
    assert {symbol: target for (symbol, _), target in targets.items()} == {"AAPL": 0.5, "IBM": 0.0}


def test_a_symbol_that_is_not_yet_listed_changes_no_share(market):
    falling = [20.0, 19, 18, 17]
    grown = market({"AAPL": falling, "FB": [None, None, None, 9.0]})
    shares = RsiReversion().targets(grown.frame).filter(pl.col("symbol") == "AAPL")["target"]
    assert shares.to_list() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"period": 0}, "rsi_reversion: period = 0: give a whole number of at least 1"),
        ({"enter": 0.0}, "rsi_reversion: enter = 0.0: give a level between 0 and 100"),
        ({"exit": 100}, "rsi_reversion: exit = 100: give a level between 0 and 100"),
        ({"enter": float("nan")}, "rsi_reversion: enter = nan: give a level between 0 and 100"),
        ({"exit": "60"}, "rsi_reversion: exit = '60': give a level between 0 and 100"),
        ({"enter": 60.0, "exit": 60.0}, "enter = 60.0, exit = 60.0: enter must be the lower"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name_value_and_cure(parameters, message):
    with pytest.raises(BadInput, match=message):
        RsiReversion(**parameters)
