"""Law 9: strategies that look ahead are caught, the built-in ones do not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl
import pytest

from quaestor.errors import BadInput
from quaestor.strategies.base import Strategy
from quaestor.strategies.catalogue import Built, Catalogue, Definition
from quaestor.truncation import Leak, check

# Around each split and FB's listing, at turns of months, and anywhere else.
CUTS = [
    *(dt.date(2000, 6, day) for day in (20, 21, 22)),
    *(dt.date(2003, 2, day) for day in (14, 18, 19)),
    *(dt.date(2005, 2, day) for day in (25, 28)),
    dt.date(2005, 3, 1),
    *(dt.date(2012, 5, day) for day in (17, 18, 21, 31)),
    dt.date(2012, 6, 1),
    dt.date(2000, 3, 1),
    dt.date(2001, 3, 9),
    dt.date(2008, 10, 10),
    dt.date(2013, 3, 1),
]


def wanting(target: pl.Expr) -> Built:
    """A strategy that wants this expression."""

    @dataclass(frozen=True)
    class Wanting(Strategy):
        name = "wanting"

        def targets(self, bars):
            return bars.select("symbol", "session", target=target.cast(pl.Float64) * 0.2)

    return Catalogue([Definition(Wanting, b"", "a test")]).build("wanting")


@pytest.mark.parametrize("name", Catalogue().names())
def test_no_built_in_strategy_looks_ahead_on_the_recorded_market(recorded, name):
    assert check(Catalogue().build(name), recorded.bars, recorded.splits, CUTS) == []


CLOSE = pl.col("close")
TOMORROW = CLOSE.shift(-1).over("symbol")


@pytest.mark.parametrize(
    "target",
    [
        pytest.param((TOMORROW > CLOSE).fill_null(False), id="shifted the wrong way"),
        pytest.param(CLOSE.mean().over("symbol") < CLOSE, id="a mean over the whole column"),
        pytest.param(CLOSE / CLOSE.max(), id="scaled by the highest price there will be"),
        pytest.param(1 / pl.col("symbol").n_unique(), id="counts symbols not yet listed"),
        pytest.param(CLOSE.rolling_mean(3, center=True).fill_null(0).over("symbol") > CLOSE, id="centred mean"),
        pytest.param(TOMORROW.is_null(), id="knows which bar is the last"),
        pytest.param(CLOSE.backward_fill() * CLOSE.rank().over("symbol") > 100, id="a rank among all days"),
        pytest.param(CLOSE.shuffle() > 100, id="a random number"),
    ],
)
def test_a_strategy_that_looks_ahead_is_caught(recorded, target):
    assert check(wanting(target), recorded.bars, recorded.splits, CUTS[::4]) != []


def test_a_leak_names_strategy_symbol_session_and_both_targets(market):
    rises = market({"AAPL": [10.0, 11, 12, 11]})
    peek = wanting((TOMORROW > CLOSE).fill_null(False))
    cut = dt.date(2020, 1, 2)
    leaks = check(peek, rises.bars, [], [cut, dt.date(2020, 1, 3)])
    assert leaks == [Leak(cut, "AAPL", "wanting", cut, full=0.2, truncated=0.0)]
    assert str(leaks[0]) == (
        "wanting: AAPL 2020-01-02: target 0.2 with the bars after 2020-01-02, target 0 without them. "
        "The strategy looks ahead."
    )


def test_a_row_that_exists_only_thanks_to_later_bars_is_a_leak_too(market):
    rises = market({"AAPL": [10.0, 11, 12, 13]})

    @dataclass(frozen=True)
    class AllButTheLast(Strategy):
        name = "all_but_the_last"

        def targets(self, bars):
            return bars.select("symbol", "session", target=1.0).filter(pl.col("session") < pl.col("session").max())

    built = Catalogue([Definition(AllButTheLast, b"", "a test")]).build("all_but_the_last")
    cut = dt.date(2020, 1, 2)
    assert check(built, rises.bars, [], [cut]) == [Leak(cut, "AAPL", "all_but_the_last", cut, 1.0, None)]


def test_a_target_of_the_past_that_changes_is_a_leak_at_its_own_session(market):
    """The whole past is compared, not the cut's session alone."""
    fall = market({"AAPL": [12.0, 12, 10, 10, 1]})
    leaks = check(wanting(CLOSE.mean() + 2 < CLOSE), fall.bars, [], [dt.date(2020, 1, 6)])
    assert [leak.session for leak in leaks] == [dt.date(2020, 1, 1), dt.date(2020, 1, 2)]


def test_a_leak_that_several_cuts_show_is_listed_once_with_the_earliest(market):
    fall = market({"AAPL": [12.0, 12, 12, 12, 1]})
    cuts = [dt.date(2020, 1, 6), dt.date(2020, 1, 3), dt.date(2020, 1, 3)]
    leaks = check(wanting(CLOSE.mean() < CLOSE), fall.bars, [], cuts)
    assert [(leak.session.day, leak.cut.day) for leak in leaks] == [(1, 3), (2, 3), (3, 3), (6, 6)]


def test_a_cut_before_the_data_or_no_data_shows_nothing(market):
    bars = market({"AAPL": [10.0, 11]}).bars
    peek = wanting((TOMORROW > CLOSE).fill_null(False))
    assert check(peek, bars, [], [dt.date(1999, 1, 4)]) == []
    assert check(peek, bars.clear(), [], [dt.date(2020, 1, 2)]) == []


def test_a_strategy_that_cannot_answer_at_all_is_refused(market):
    with pytest.raises(BadInput, match="wanting: AAPL 2020-01-02: target None is no number"):
        check(wanting(TOMORROW / 100), market({"AAPL": [10.0, 11]}).bars, [], [dt.date(2020, 1, 1)])
