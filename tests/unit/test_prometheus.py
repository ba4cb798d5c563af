"""The page for Prometheus, read by Prometheus' own parser."""

from __future__ import annotations

import math

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from quaestor.doors.prometheus import Family, gauge, of_run, text
from quaestor.metrics import LiveMetrics


def read(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


def test_a_runs_figures_are_families_with_their_units() -> None:
    metrics = LiveMetrics()
    for ns in (1_500, 3_000_000, 3_000_001, 10**12):
        metrics.tick_to_wire.record(ns)
    metrics.ticks.add(5, "trade")
    metrics.ticks.add(2, "quote")
    metrics.orders.add(3)
    metrics.equity.set(100_000.25)
    families = read(text(of_run(metrics.dump()), {"account": "paper"}))
    wire = families["quaestor_live_tick_to_wire_seconds"]
    assert wire.type == "histogram"
    samples = {s.labels.get("le", s.name.rpartition("_")[2]): s.value for s in wire.samples}
    assert (samples["1.024e-06"], samples["2.048e-06"], samples["+Inf"]) == (0, 1, 4)
    assert (samples["count"], samples["sum"]) == (4, pytest.approx(1000.0060015))
    counts = [s.value for s in wire.samples if s.name.endswith("_bucket")]
    assert counts == sorted(counts)
    ticks = families["quaestor_live_ticks"]
    assert (ticks.type, {s.labels["kind"]: s.value for s in ticks.samples}) == ("counter", {"trade": 5, "quote": 2})
    assert families["quaestor_live_orders"].samples[0].value == 3
    assert families["quaestor_live_equity_dollars"].samples[0].value == 100_000.25
    assert all(s.labels["account"] == "paper" for family in families.values() for s in family.samples)
    assert families["quaestor_live_commit_seconds"].documentation == metrics.commit.help


def test_what_a_run_does_not_know_or_we_do_not_is_left_out() -> None:
    odd = {"equity": None, "of_another_version": 3, "commit": {"count": 1}, "ack": 7, "ticks": [], "exposure": "much"}
    families = read(text(of_run(odd | {"fills": 2})))
    assert families.keys() == {"quaestor_live_fills"}, "ack and ticks are of other kinds than ours"
    assert text([gauge("x", "X.", None)]) == ""


@pytest.mark.parametrize(
    "value",
    [
        pytest.param('say "hi"', id="quotes"),
        pytest.param("a\\b", id="a backslash"),
        pytest.param("two\nlines", id="a line's end"),
        pytest.param("é–🙂", id="beyond ASCII"),
    ],
)
def test_labels_come_back_as_they_were(value: str) -> None:
    page = text([Family("x", "gauge", "A\nhelp with \\ in it.", (("", {"why": value}, 1.0),))])
    assert read(page)["x"].samples[0].labels == {"why": value}
    assert read(page)["x"].documentation == "A\nhelp with \\ in it."


@pytest.mark.parametrize("number", [0.0, -1.5, 1e300, 2.0**53, 123456789.0, 0.1, math.inf, -math.inf])
def test_numbers_come_back_as_they_were(number: float) -> None:
    assert read(text([gauge("x", "X.", number)]))["x"].samples[0].value == number
