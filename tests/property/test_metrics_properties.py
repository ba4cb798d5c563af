"""Histograms against the exact quantiles of the same values."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from quaestor.metrics import BOUNDS, Histogram

LATENCIES = st.lists(
    st.one_of(st.integers(1_000, 100_000_000_000), st.integers(1_000, 50_000), st.sampled_from(BOUNDS)), min_size=1
)
ERROR = 0.05


def filled(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(LATENCIES, st.floats(0, 1))
def test_a_quantile_is_within_five_percent_of_the_exact_one(values: list[int], part: float) -> None:
    exact = sorted(values)[max(1, math.ceil(part * len(values))) - 1]
    assert abs(filled(values).quantile(part) - exact) <= ERROR * exact


@given(LATENCIES, LATENCIES)
def test_two_merged_are_as_one_that_recorded_all(first: list[int], second: list[int]) -> None:
    merged = filled(first)
    merged.merge(filled(second))
    assert merged.dump() == filled(first + second).dump()


@given(LATENCIES)
def test_a_dump_counts_sums_and_bounds_exactly(values: list[int]) -> None:
    dump = filled(values).dump()
    assert (dump["count"], dump["sum"], dump["max"]) == (len(values), sum(values), max(values))
    starts, ends = (0, *BOUNDS), (*BOUNDS, math.inf)
    expected = [sum(start <= value < end for value in values) for start, end in zip(starts, ends, strict=True)]
    assert dump["buckets"] == expected
    assert dump["p50"] <= dump["p90"] <= dump["p99"] <= dump["p999"] <= dump["max"]
