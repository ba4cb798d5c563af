"""Traces and figures at a real OTLP sink: an HTTP server that reads protobuf as OpenTelemetry's package has it."""

from __future__ import annotations

import datetime as dt
import gzip
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quaestor import wiring
from quaestor.barring import nanoseconds
from quaestor.config import parse
from quaestor.doors.sim.serving import serving
from quaestor.doors.telemetry import Telemetry
from quaestor.metrics import LiveMetrics
from quaestor.spans import Batch, Execution, Passage
from quaestor.wiring import Loaded

SOON = 20.0  # seconds that a thread gets on a busy machine
REF, RUN = uuid.uuid5(uuid.NAMESPACE_URL, "an order"), uuid.UUID(int=5)
BEGAN = dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC)
T = int(BEGAN.timestamp()) * 10**9
PASSAGE = Passage(
    REF, "AAPL", "buy", "sma_crossover", T, T + 50_000, gated=T + 60_000, committed=T + 1_500_000, wired=T + 1_700_000,
    acked=T + 20_000_000, told=T - 3_000_000, cause="AAPL 1m", outcome="accepted",
)  # fmt: skip
FILL = Execution(REF, "e-1", T + 80_000_000, since=T + 20_000_000, symbol="AAPL", quantity="3", price="101.25")


@dataclass
class Collector:
    """What came, and how it answers."""

    url: str = ""
    status: int = 200
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        self.headers.append(dict(request.headers))
        if self.status == 200 and request.url.path == "/v1/traces":
            self.traces.append(ExportTraceServiceRequest.FromString(body))
        elif self.status == 200:
            self.metrics.append(ExportMetricsServiceRequest.FromString(body))
        return Response(b"", self.status, media_type="application/x-protobuf")

    @property
    def spans(self) -> list[Any]:
        return [
            s for r in self.traces for about in r.resource_spans for scope in about.scope_spans for s in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    sink = Collector()
    app = Starlette(routes=[Route(f"/v1/{signal}", sink.answer, methods=["POST"]) for signal in ("traces", "metrics")])
    with serving(app) as url:
        sink.url = url
        yield sink


def telemetry(home: Path, section: str) -> Telemetry:
    loaded = Loaded(parse(f"[telemetry]\n{section}\n"), None, home)
    return wiring.telemetry(loaded, RUN, "paper", "abc123", nanoseconds(BEGAN))


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_order_is_a_trace_from_tick_to_fill(tmp_path: Path, collector: Collector) -> None:
    wiring.vault(tmp_path).set("otlp", "Bearer of-good-news")
    door = telemetry(tmp_path, f'otlp = "{collector.url}/"\nauthorization_secret = "otlp"\nfile = "t/traces.jsonl"')
    door.order(PASSAGE)
    door.batch(Batch(RUN, T, T + 5, ticks=7))
    door.fill(FILL)
    door.close()
    spans = {span.name: span for span in collector.spans}
    root = spans["order"]
    assert {span.trace_id for name, span in spans.items() if name != "ticks"} == {REF.bytes}
    assert root.parent_span_id == b""
    assert all(
        spans[name].parent_span_id == root.span_id for name in ("decide", "gate", "commit", "wire", "ack", "fill")
    )
    assert {name: (s.start_time_unix_nano - T, s.end_time_unix_nano - T) for name, s in spans.items()} == {
        "order": (0, 20_000_000), "decide": (0, 50_000), "gate": (50_000, 60_000), "commit": (60_000, 1_500_000),
        "wire": (1_500_000, 1_700_000), "ack": (1_700_000, 20_000_000), "fill": (20_000_000, 80_000_000),
        "ticks": (0, 5),
    }  # fmt: skip
    told = {pair.key: pair.value for pair in root.attributes}
    assert (told["quaestor.symbol"].string_value, told["quaestor.tick_age_us"].int_value) == ("AAPL", 3_000)
    about = {pair.key: pair.value.string_value for pair in collector.traces[0].resource_spans[0].resource.attributes}
    expected = {"service.name": "quaestor", "service.instance.id": str(RUN), "quaestor.account": "paper"}
    assert about.items() >= expected.items()
    assert collector.headers[0]["authorization"] == "Bearer of-good-news"
    assert collector.headers[0]["content-type"] == "application/x-protobuf"
    assert door.lost == {"file": 0, "otlp": 0, "otlp metrics": 0}
    assert REF.hex in (tmp_path / "t" / "traces.jsonl").read_text()
    assert "good-news" not in (tmp_path / "t" / "traces.jsonl").read_text()


def test_figures_are_sums_gauges_and_histograms(tmp_path: Path, collector: Collector) -> None:
    metrics = LiveMetrics()
    metrics.ticks.add(3, "trade")
    metrics.ticks.add(4, "quote")
    metrics.equity.set(100_000.5)
    metrics.commit.record(1_000_000)
    metrics.commit.record(3_000_000)
    door = telemetry(tmp_path, f'otlp = "{collector.url}"\nevery = 2')
    door.beat(T + 10**10, metrics.dump())
    door.close()
    (about,) = collector.metrics[-1].resource_metrics
    told = {metric.name: metric for scope in about.scope_metrics for metric in scope.metrics}
    ticks = told["quaestor.live.ticks"].sum
    assert ticks.is_monotonic
    assert {point.attributes[0].value.string_value: point.as_int for point in ticks.data_points} == {
        "trade": 3, "quote": 4,
    }  # fmt: skip
    assert (ticks.data_points[0].start_time_unix_nano, ticks.data_points[0].time_unix_nano) == (T, T + 10**10)
    (equity,) = told["quaestor.live.equity"].gauge.data_points
    assert equity.as_double == 100_000.5
    assert "quaestor.live.exposure" not in told
    (commit,) = told["quaestor.live.commit"].histogram.data_points
    assert (commit.count, commit.sum, commit.max) == (2, pytest.approx(0.004), 0.003)
    assert len(commit.bucket_counts) == len(commit.explicit_bounds) + 1
    assert told["quaestor.live.commit"].unit == "s"


@pytest.mark.parametrize(
    ("status", "url"),
    [
        pytest.param(503, "", id="it asks for patience"),
        pytest.param(401, "", id="it wants another key"),
        pytest.param(0, "http://127.0.0.1:9", id="nobody is there"),
    ],
)
def test_a_sink_that_does_not_take_costs_nothing_but_what_is_told(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture, status: int, url: str
) -> None:
    collector.status = status
    door = telemetry(tmp_path, f'otlp = "{url or collector.url}"')
    began = time.thread_time()
    for _ in range(20_000):
        door.order(PASSAGE)
    assert time.thread_time() - began < 1  # seconds of our own processor time
    closing = time.monotonic()
    door.close(patience=0.2)
    assert time.monotonic() - closing < SOON
    assert door.lost["otlp"] == 20_000
    assert [r.getMessage() for r in caplog.records] == ["Telemetry to otlp is not taken and given up; trading goes on."]


def test_a_sink_that_comes_back_is_told_again(
    tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 401
    door = telemetry(tmp_path, f'otlp = "{collector.url}"')
    door.order(PASSAGE)
    until(lambda: door.lost["otlp"] == 1)
    collector.status = 200
    door.fill(FILL)
    until(lambda: bool(collector.traces))
    door.close()
    assert [span.name for span in collector.spans] == ["fill"]
    assert "taken again" in caplog.records[-1].getMessage()


def test_the_console_and_a_file_of_traces_need_nothing_of_opentelemetry() -> None:
    program = """
import sys, quaestor.console.cli, quaestor.console.metrics, quaestor.doors.telemetry, quaestor.doors.telemetry.logs
assert not [name for name in sys.modules if name.startswith(("opentelemetry", "google", "prefect"))]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_by_default_nothing_leaves_the_house(tmp_path: Path) -> None:
    door = wiring.telemetry(Loaded(parse(""), None, tmp_path), RUN, "paper", "abc", nanoseconds(BEGAN))
    door.order(PASSAGE)
    door.beat(T, LiveMetrics().dump())
    door.close()
    assert (door.lost, list(tmp_path.iterdir())) == ({}, [])
