"""Windows and smoothings against numpy, polars and exact fractions over all the values that went in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor.strategies.rsi_reversion import RsiReversion
from quaestor.windows import LARGEST, Atr, Deviation, Ema, Highest, Lowest, Mean, Rsi, Window

UNIT = Fraction(1, 2**53)

lengths = st.integers(1, 12)
anything = st.floats(-LARGEST, LARGEST)
prices = st.integers(1, 1_000_000).map(lambda cents: cents / 100)
close_together = st.integers(-50, 50).map(lambda n: 1e9 + n / 128)  # where the textbook's formula in floats fails
series = st.one_of(*(st.lists(kind, max_size=60) for kind in (anything, prices, close_together)))


def tails(values: Sequence[float], n: int) -> list[Sequence[float] | None]:
    """For each value, the last n up to it; None before there are n."""
    return [values[end - n : end] if end >= n else None for end in range(1, len(values) + 1)]


@given(series, lengths)
def test_a_window_is_the_last_values_side_by_side(values: list[float], n: int) -> None:
    window = Window(n)
    for end, value in enumerate(values, 1):
        window.push(value)
        seen = window.values
        assert np.array_equal(seen, np.array(values[max(0, end - n) : end]))
        assert seen.flags.c_contiguous
        assert (len(window), window.full) == (min(end, n), end >= n)


@given(series, lengths)
def test_a_mean_is_that_of_the_exact_sum_to_the_last_bit(values: list[float], n: int) -> None:
    mean = Mean(n)
    expected = [None if tail is None else math.fsum(tail) / n for tail in tails(values, n)]
    assert [mean.push(value) for value in values] == expected


@given(series, st.integers(2, 12), st.sampled_from([0, 1]))
def test_a_deviation_is_within_an_ulp_of_the_exact_one(values: list[float], n: int, ddof: int) -> None:
    deviation, mean = Deviation(n, ddof), Mean(n)
    for value, tail in zip(values, tails(values, n), strict=True):
        found = deviation.push(value)
        assert deviation.mean == mean.push(value)
        if tail is None:
            assert found is None
            continue
        assert found is not None
        exact = [Fraction(one) for one in tail]
        middle = sum(exact) / n
        variance = sum((one - middle) ** 2 for one in exact) / (n - ddof)
        if variance >= Fraction(2) ** -1022:  # below, a float has no room for it
            below, above = Fraction(math.nextafter(found, 0)), Fraction(math.nextafter(found, math.inf))
            assert below**2 <= variance <= above**2
        assert found == pytest.approx(np.std(tail, ddof=ddof), rel=1e-9, abs=1e-12 * max(map(abs, tail)))


@given(st.lists(prices, max_size=60), st.integers(2, 12))
def test_mean_and_deviation_are_polars_to_its_rounding(values: list[float], n: int) -> None:
    column = pl.Series(values, dtype=pl.Float64)
    mean, deviation = Mean(n), Deviation(n)
    means, deviations = ([one.push(value) for value in values][n - 1 :] for one in (mean, deviation))
    assert means == pytest.approx(column.rolling_mean(n).to_list()[n - 1 :], rel=1e-9)
    assert deviations == pytest.approx(column.rolling_std(n).to_list()[n - 1 :], rel=1e-6, abs=1e-3)


@given(series, lengths)
def test_lowest_and_highest_are_those_of_the_last_values(values: list[float], n: int) -> None:
    lowest, highest = Lowest(n), Highest(n)
    assert [lowest.push(value) for value in values] == [tail and min(tail) for tail in tails(values, n)]
    assert [highest.push(value) for value in values] == [tail and max(tail) for tail in tails(values, n)]


@given(series, st.integers(2, 12))
def test_what_a_window_says_depends_on_the_last_values_alone(values: list[float], n: int) -> None:
    for make in (Mean, Deviation, Lowest, Highest):
        long, fresh = make(n), make(n)
        for value in values:
            long.push(value)
        for value in values[-n:]:
            fresh.push(value)
        assert long.value == fresh.value


@given(series, lengths)
def test_an_ema_is_polars_and_near_the_exact_one_within_its_bound(values: list[float], n: int) -> None:
    ema = Ema(n)
    found = [ema.push(value) for value in values]
    largest = max(map(abs, values), default=0.0)
    column = pl.Series(values, dtype=pl.Float64).ewm_mean(span=n, adjust=False, min_samples=n)
    for end, (one, other) in enumerate(zip(found, column.to_list(), strict=True), 1):
        assert (one is None) == (other is None) == (end < n)
        if one is not None:
            assert one == pytest.approx(other, rel=1e-12, abs=1e-13 * largest)
    exact = Fraction(values[0]) if values else Fraction(0)
    for value in values[1:]:
        exact += (Fraction(value) - exact) * 2 / (n + 1)
    assert abs(Fraction(ema.average) - exact) <= (Fraction(n, 2) + 5) * UNIT * Fraction(largest)


@given(st.lists(prices, max_size=60), lengths)
def test_an_rsi_is_the_strategys_own(values: list[float], n: int) -> None:
    rsi = Rsi(n)
    frame = pl.DataFrame({"symbol": ["AAPL"] * len(values), "close": pl.Series(values, dtype=pl.Float64)})
    expected = frame.select(rsi=RsiReversion(period=n)._rsi())["rsi"].to_list()
    found = [rsi.push(value) for value in values]
    assert found[:n] == expected[:n] == [None] * min(n, len(values))
    assert found[n:] == pytest.approx(expected[n:], abs=2e-9)


@given(st.lists(prices, min_size=2, max_size=60), lengths)
def test_an_rsis_averages_are_the_exact_ones_within_their_bound(values: list[float], n: int) -> None:
    rsi = Rsi(n)
    for value in values:
        rsi.push(value)
    moves = [Fraction(b) - Fraction(a) for a, b in pairwise(values)]
    bound = (3 * n + 1) * UNIT * max(map(abs, moves)) * (n if len(moves) < n else 1)
    for found, sign in ((rsi.gain, 1), (rsi.loss, -1)):
        assert abs(Fraction(found) - wilder([max(sign * move, Fraction(0)) for move in moves], n)) <= bound


def wilder(moves: list[Fraction], n: int) -> Fraction:
    """By the book; before there are n moves, their sum."""
    if len(moves) < n:
        return sum(moves, Fraction(0))
    average = sum(moves[:n], Fraction(0)) / n
    for move in moves[n:]:
        average += (move - average) / n
    return average


@given(st.lists(st.tuples(prices, prices, prices).map(sorted), min_size=1, max_size=60), lengths)
def test_an_atr_is_the_mean_range_of_numpy_and_the_exact_one(bars: list[list[float]], n: int) -> None:
    atr = Atr(n)
    found = [atr.push(high, low, close) for low, close, high in bars]
    low, close, high = np.array(bars).T
    last = np.concatenate([[close[0]], close[:-1]])
    ranges = np.max([high - low, np.abs(high - last), np.abs(low - last)], axis=0)
    assert found[: n - 1] == [None] * len(found[: n - 1])
    if len(bars) >= n:
        assert found[n - 1] == pytest.approx(ranges[:n].mean(), rel=1e-12)
        exact = wilder([Fraction(one) for one in ranges.tolist()], n)
        assert abs(Fraction(atr.average) - exact) <= (3 * n + 1) * UNIT * Fraction(ranges.max())


@given(st.lists(prices, max_size=30), st.integers(0, 30), lengths)
def test_a_smoothing_goes_on_from_its_plain_values(values: list[float], cut: int, n: int) -> None:
    for make in (Ema, Rsi):
        one = other = make(n)
        for value in values[:cut]:
            one.push(value)
        other = msgspec.convert(msgspec.json.decode(msgspec.json.encode(one)), make)
        assert [one.push(value) for value in values[cut:]] == [other.push(value) for value in values[cut:]]
