"""EMA crossover against polars' own exponential averages, over real prices."""

from __future__ import annotations

import polars as pl
import pytest

from quaestor.errors import BadInput
from quaestor.strategies.ema_cross import EmaCross

NEAR = 1e-12  # of a price: two ways of rounding may lie so far apart


def vectorised(frame, strategy):
    """The definition in polars: symbol and session with both averages, once there are `slow` closes."""
    averages = {
        name: pl.col("close").ewm_mean(span=span, adjust=False, min_samples=strategy.slow).over("symbol")
        for name, span in (("fast", strategy.fast), ("slow", strategy.slow))
    }
    return frame.sort("symbol", "ts").with_columns(**averages).drop_nulls("slow")


def answer(frame, strategy):
    return {(symbol, session): target for symbol, session, target in strategy.targets(frame).iter_rows()}


@pytest.mark.parametrize(
    ("fast", "slow", "share"),
    [
        pytest.param(20, 60, 0.1, id="the default"),
        pytest.param(1, 2, 1.0, id="the shortest: the close itself against an average of two"),
        pytest.param(12, 26, 0.5, id="Appel's own"),
    ],
)
def test_every_target_over_the_recorded_market_is_that_of_polars(recorded, fast, slow, share):
    strategy = EmaCross(fast=fast, slow=slow, share=share)
    wanted = vectorised(recorded.frame, strategy)
    found = answer(recorded.frame, strategy)
    assert found.keys() == set(wanted.select("symbol", "session").iter_rows())
    clear = wanted.filter((pl.col("fast") - pl.col("slow")).abs() > NEAR * pl.col("close"))
    assert len(clear) > 0.999 * len(wanted)
    for symbol, session, above in clear.select("symbol", "session", pl.col("fast") > pl.col("slow")).iter_rows():
        assert found[symbol, session] == (share if above else 0.0), (symbol, session)


def test_no_opinion_before_the_slow_average_is_known(market):
    rising = market({"AAPL": [10.0, 11, 12, 13]})
    assert EmaCross(fast=1, slow=3).targets(rising.frame)["session"].to_list() == rising.sessions[2:]


def test_averages_that_are_equal_hold_nothing(market):
    still = market({"AAPL": [10.0] * 5})
    assert set(EmaCross(fast=1, slow=3).targets(still.frame)["target"]) == {0.0}


def test_a_symbol_follows_its_own_closes_and_no_others(market):
    alone = market({"AAPL": [10.0, 11, 12, 13]})
    beside = market({"AAPL": [10.0, 11, 12, 13], "IBM": [90.0, 70, 50, 30], "MSFT": [1.0, 9, 2, 8]})
    strategy = EmaCross(fast=1, slow=2)
    mine = {key: target for key, target in answer(beside.frame, strategy).items() if key[0] == "AAPL"}
    assert mine == answer(alone.frame, strategy)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fast": 0}, "ema_cross: fast = 0: give a whole number of at least 1"),
        ({"fast": 2.5}, "ema_cross: fast = 2.5: give a whole number"),
        ({"slow": 1}, "ema_cross: slow = 1: give a whole number of at least 2"),
        ({"slow": True}, "ema_cross: slow = True: give a whole number"),
        ({"fast": 60}, "fast = 60, slow = 60: fast must be the smaller"),
        ({"fast": 90}, "fast = 90, slow = 60: fast must be the smaller"),
        ({"share": 0}, "ema_cross: share = 0: give a share of the sleeve, above 0 and at most 1"),
        ({"share": 1.5}, "ema_cross: share = 1.5: give a share"),
        ({"share": True}, "ema_cross: share = True: give a share"),
        ({"share": float("nan")}, "ema_cross: share = nan: give a share"),
        ({"share": "half"}, "ema_cross: share = 'half': give a share"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name_value_and_cure(parameters, message):
    with pytest.raises(BadInput, match=message):
        EmaCross(**parameters)
