"""Splits: derived from adjusted closes, told from dividends, applied without looking ahead."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import polars as pl
import pytest

from quaestor import bars, calendar, splits
from quaestor.splits import Split, adjust, derive_splits

D = dt.date
DAYS = calendar.sessions(D(2012, 1, 3), D(2012, 2, 1))
TWO = Split("X", DAYS[2], Fraction(2))


def closes(traded: list[float], adjusted: list[float]) -> pl.DataFrame:
    columns = {"symbol": "X", "session": DAYS[: len(traded)], "close": traded, "adj_close": adjusted}
    return pl.DataFrame(columns, schema_overrides={"close": pl.Float64, "adj_close": pl.Float64})


def traded(*prices: float, volume: int = 1200) -> pl.DataFrame:
    """Bars whose open, high, low and close are one price."""
    frame = pl.DataFrame({"symbol": "X", "session": DAYS[: len(prices)], "volume": volume})
    return frame.with_columns(pl.Series(name, [float(price) for price in prices]) for name in bars.PRICES)


@pytest.mark.parametrize(
    ("ratio", "prices", "adjusted"),
    [
        pytest.param("2", [100, 101, 50, 51], [50, 50.5, 50, 51], id="two for one"),
        pytest.param("3/2", [90, 90, 61, 60], [60, 60, 61, 60], id="three for two"),
        pytest.param("1/10", [1, 1.1, 10.5, 10], [10, 11, 10.5, 10], id="a reverse split"),
        pytest.param("2", [100, 100, 62, 62], [50, 50, 62, 62], id="the share rose 24 % on the same day"),
        pytest.param("2", [100, 100, 50, 50], [49.6, 49.6, 50, 50], id="it paid 0.8 % on the same day"),
        pytest.param("2", [1.28, 1.30, 0.65, 0.66], [0.03, 0.03, 0.03, 0.03], id="the vendor kept only cents"),
    ],
)
def test_a_split_is_seen_where_both_closes_step(ratio: str, prices: list[float], adjusted: list[float]) -> None:
    assert derive_splits(closes(prices, adjusted)) == [Split("X", DAYS[2], Fraction(ratio), "derived")]


@pytest.mark.parametrize(
    ("prices", "adjusted"),
    [
        pytest.param([100, 100, 99, 99], [99, 99, 99, 99], id="a dividend of 1 %"),
        pytest.param([29.97, 29.97, 27.39, 27.39], [26.89, 26.89, 27.39, 27.39], id="a special dividend of 10 %"),
        pytest.param([100, 100, 48, 48], [100, 100, 48, 48], id="a crash: the adjusted close falls along"),
        pytest.param([100, 101, 102, 101], [50, 101, 51, 50.5], id="one wrong adjusted close, put right next day"),
        pytest.param([1.64, 1.66, 1.68, 1.68], [0.04, 0.04, 0.05, 0.05], id="cents that tick over like a 5:4"),
        pytest.param([100, 100, 50, 50], [100, 0, 50, 50], id="an adjusted close of zero"),
        pytest.param([100], [50], id="a single bar"),
        pytest.param([], [], id="no bar"),
    ],
)
def test_other_steps_are_no_split(prices: list[float], adjusted: list[float]) -> None:
    assert derive_splits(closes(prices, adjusted)) == []


def test_symbols_in_one_frame_do_not_step_into_each_other() -> None:
    first = closes([100, 100], [100, 100])
    second = closes([50, 50], [25, 25]).with_columns(symbol=pl.lit("Y"))
    assert derive_splits(pl.concat([first, second])) == []


@pytest.mark.parametrize(
    ("prices", "shown"),
    [
        pytest.param([100, 100, 50], True, id="the close halves"),
        pytest.param([100, 100, 64], True, id="it halves and rises 28 %"),
        pytest.param([100, 100, 100], False, id="no step: wrong date, or adjusted prices"),
        pytest.param([100, 50, 50], False, id="the step is a session earlier"),
        pytest.param([100, 100], None, id="the bars end before the split"),
    ],
)
def test_a_split_shows_in_the_as_traded_closes_or_not(prices: list[float], shown: bool | None) -> None:
    assert splits.shown(traded(*prices), TWO) is shown


def test_a_split_before_the_first_bar_cannot_show() -> None:
    assert splits.shown(traded(100, 100, 50).tail(1), TWO) is None


def test_adjusting_takes_the_step_out_and_keeps_what_was_traded() -> None:
    seen = adjust(traded(100, 110, 55, 60), [TWO])
    for name in bars.PRICES:
        assert seen[name].to_list() == [100, 110, 110, 120]
    assert seen["volume"].to_list() == [1200, 1200, 600, 600]
    assert seen["as_traded_close"].to_list() == [100, 110, 55, 60]
    assert seen["factor"].to_list() == [1, 1, 2, 2]


def test_splits_multiply_and_other_symbols_are_left_alone() -> None:
    later, other = Split("X", DAYS[3], Fraction(3, 2)), Split("Y", DAYS[0], Fraction(7))
    assert adjust(traded(120, 120, 60, 40), [later, other, TWO])["close"].to_list() == [120, 120, 120, 120]


def test_without_splits_or_bars_adjusting_changes_nothing() -> None:
    frame = traded(100, 110)
    assert adjust(frame, []).select(frame.columns).equals(frame)
    assert adjust(frame.clear(), [TWO]).select(frame.columns).equals(frame.clear())


def test_splits_within_a_window_come_oldest_first_with_both_ends() -> None:
    known = [Split("X", day, Fraction(2)) for day in reversed(DAYS[:5])]
    assert [split.session for split in splits.within(known, DAYS[1], DAYS[3])] == DAYS[1:4]
