"""Metrics: what a live run measures, in plain values that a database can hold."""

from __future__ import annotations

import time

import orjson
import pytest

from quaestor.metrics import FLOOR, Counter, Gauge, Histogram, LiveMetrics, latencies


@pytest.mark.parametrize(
    ("ns", "median"),
    [
        pytest.param(-5, FLOOR, id="a clock that went backwards took no time"),
        pytest.param(0, FLOOR, id="nothing"),
        pytest.param(1 << 36, 1 << 36, id="the last power of two"),
        pytest.param(10**15, 10**15, id="beyond the range the greatest is what is known"),
    ],
)
def test_what_lies_beyond_the_range_is_counted_at_its_end(ns: int, median: int) -> None:
    histogram = Histogram()
    histogram.record(ns)
    assert (histogram.count, histogram.quantile(0.5)) == (1, median)


def test_a_histogram_without_values_has_quantiles_of_zero() -> None:
    dump = Histogram().dump()
    assert (dump["count"], dump["p50"], dump["p999"], sum(dump["buckets"])) == (0, 0, 0, 0)


def test_a_counter_counts_by_its_label_and_altogether() -> None:
    ticks = Counter("Ticks.", label="kind")
    ticks.add(3, "trade")
    ticks.add(of="quote")
    ticks.add(of="trade")
    ticks.set(7, "quote")
    assert (ticks.dump(), ticks.value) == ({"trade": 4, "quote": 7}, 11)
    orders = Counter("Orders.")
    orders.add()
    assert orders.dump() == 1


def test_a_run_dumps_every_figure_by_name_as_json_can_hold_it() -> None:
    metrics = LiveMetrics()
    metrics.commit.record(5_000_000)
    metrics.equity.set(100_000.25)
    dump = metrics.dump()
    assert orjson.loads(orjson.dumps(dump)) == dump
    assert dump.keys() == metrics.named().keys()
    assert (dump["equity"], dump["exposure"], dump["orders"], dump["ticks"]) == (100_000.25, None, 0, {})
    assert dump["commit"]["count"] == 1


def test_a_person_reads_times_in_milliseconds_of_what_happened_at_all() -> None:
    metrics = LiveMetrics()
    for ns in (1_000_000, 2_000_000, 40_000_000):
        metrics.commit.record(ns)
    assert latencies(metrics.dump()) == [("commit", "2.02 ms, 1 in 100 over 40 ms, 3 times")]


def test_every_figure_says_what_it_is() -> None:
    for name, metric in LiveMetrics().named().items():
        assert metric.help.endswith("."), name
        assert isinstance(metric, Counter | Gauge | Histogram)


def test_a_record_costs_less_than_a_microsecond_of_the_processor() -> None:
    """0.2 µs here; the bench has the figure, this only keeps a mistake of tenfold out."""
    record, values = Histogram().record, [7_919 * n for n in range(1, 20_001)]
    start = time.thread_time()
    for value in values:
        record(value)
    assert (time.thread_time() - start) / len(values) < 2e-6
