"""12-1 momentum against a loop over pandas columns, over real prices."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import pandas as pd
import polars as pl
import pytest

from quaestor.errors import BadInput
from quaestor.splits import Split
from quaestor.strategies.momentum import Momentum


def loop(market, top, lookback, skip):
    """The definition, month after month, on one pandas column per symbol."""
    closes = market.frame.to_pandas().pivot_table(index="session", columns="symbol", values="close")
    held, answer, ranked_once = None, {}, set()
    for previous, day in zip(closes.index, closes.index[1:], strict=False):
        if (previous.year, previous.month) != (day.year, day.month):
            returns = {}
            for symbol in closes.columns:
                past = closes[symbol].loc[:day].dropna()
                if len(past) > lookback and past.index[-1] == day:
                    returns[symbol] = past.iloc[-1 - skip] / past.iloc[-1 - lookback] - 1
            ranked_once |= returns.keys()
            ranking = sorted((symbol for symbol in returns if returns[symbol] > 0), key=lambda s: (-returns[s], s))
            held = ranking[:top]
        for symbol in ranked_once:
            if pd.notna(closes[symbol].loc[day]):
                answer[symbol, day.date()] = (symbol in held) / top
    return answer


def answer(strategy, market):
    return {(symbol, session): target for symbol, session, target in strategy.targets(market.frame).iter_rows()}


@pytest.mark.parametrize(
    ("top", "lookback", "skip"),
    [
        pytest.param(2, 252, 21, id="the default"),
        pytest.param(1, 63, 0, id="a quarter, nothing skipped"),
        pytest.param(4, 126, 21, id="more places than winners in bad months"),
    ],
)
def test_every_target_over_the_recorded_market_is_that_of_a_pandas_loop(recorded, top, lookback, skip):
    assert answer(Momentum(top=top, lookback=lookback, skip=skip), recorded) == loop(recorded, top, lookback, skip)


def test_targets_change_on_the_first_session_of_a_month_only(recorded):
    frame = Momentum().targets(recorded.frame).sort("symbol", "session")
    changed = frame.filter(pl.col("target") != pl.col("target").shift(1).over("symbol"))["session"].unique()
    sessions = recorded.bars["session"].unique().sort()
    firsts = sessions.filter(sessions.dt.month() != sessions.shift(1).dt.month())
    assert len(changed) > 30
    assert changed.is_in(firsts.implode()).all()


def test_the_first_session_of_the_frame_is_no_rebalance(market):
    rising = [10.0, 11, 12, 13]
    assert answer(Momentum(top=1, lookback=1, skip=0), market({"AAPL": rising}, start="2020-01-01")) == {}


def test_equal_returns_are_ranked_by_symbol(market):
    twins = market({symbol: [10.0, 11, 12, 13] for symbol in ("MSFT", "AAPL", "IBM")}, start="2020-01-30")
    targets = answer(Momentum(top=2, lookback=1, skip=0), twins)
    assert {symbol for (symbol, _), target in targets.items() if target} == {"AAPL", "IBM"}
    assert set(targets.values()) == {0.0, 0.5}


def test_a_place_without_a_winner_stays_in_cash(market):
    mixed = market({"AAPL": [10.0, 11, 12, 13], "IBM": [10.0, 10, 10, 10], "MSFT": [9.0, 8, 7, 6]}, start="2020-01-30")
    targets = answer(Momentum(top=2, lookback=1, skip=0), mixed)
    assert {symbol: target for (symbol, _), target in targets.items()} == {"AAPL": 0.5, "IBM": 0.0, "MSFT": 0.0}


def test_a_symbol_without_a_bar_at_the_rebalance_is_out_until_the_next(market):
    closes = {"AAPL": [10.0, 11, None, 13, 14], "IBM": [10.0, 11, 12, 13, 14]}
    gap = market(closes, start="2020-01-30")  # 31 January is a Friday, 3 February a Monday
    targets = answer(Momentum(top=2, lookback=1, skip=0), gap)
    assert {symbol for symbol, _ in targets} == {"IBM"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(90.0, 45.0, id="2 for 1, exact in floats"),
        pytest.param(1.14, 0.38, id="3 for 1: the floats' difference is a gain of 2e-16"),
        pytest.param(1.41, 4.23, id="1 for 3: the same"),
    ],
)
def test_a_holding_that_stood_still_across_a_split_gained_nothing(market, before, after):
    split = Split("AAPL", dt.date(2020, 1, 31), Fraction(str(before)) / Fraction(str(after)))
    still = market({"AAPL": [before] + [after] * 4}, [split], start="2020-01-30")
    assert set(answer(Momentum(top=1, lookback=2, skip=0), still).values()) == {0.0}


def test_the_rounding_of_a_split_does_not_break_a_tie(market):
    """Both double; AAPL's floats (3 for 1, from 1.05 to 0.70) fall short of it by 2e-16."""
    split = Split("AAPL", dt.date(2020, 1, 31), Fraction(3))
    twins = market({"AAPL": [1.05, 0.35, 0.7], "IBM": [1.05, 1.05, 2.1]}, [split], start="2020-01-30")
    assert {key[0] for key, target in answer(Momentum(top=1, lookback=2, skip=0), twins).items() if target} == {"AAPL"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top": 0}, "momentum: top = 0: give a whole number of at least 1"),
        ({"lookback": 0}, "momentum: lookback = 0: give a whole number of at least 1"),
        ({"skip": -1}, "momentum: skip = -1: give a whole number of at least 0"),
        ({"skip": 252}, "lookback = 252, skip = 252: skip must be the smaller"),
        ({"lookback": 12.0}, "momentum: lookback = 12.0: give a whole number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name_value_and_cure(parameters, message):
    with pytest.raises(BadInput, match=message):
        Momentum(**parameters)
