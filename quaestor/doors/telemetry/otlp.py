"""OTLP over HTTP with protobuf, by OpenTelemetry's own exporters: traces to `…/v1/traces`, metrics to `…/v1/metrics`.

Imported only where a sink is configured: it costs 0.1 s and 12 MB. Spans come with their ids and times as they were
recorded, so there is no tracer that would draw new ones; the figures of a run come as its heartbeat has them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from quaestor.metrics import BOUNDS, Counter, Gauge, LiveMetrics, Metric, Plain
from quaestor.spans import Span, Told, Value, spans

TIMEOUT = 5.0  # seconds for a request with its repetitions
SCOPE = InstrumentationScope("quaestor")
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
CUMULATIVE = export.AggregationTemporality.CUMULATIVE
Headers = Callable[[], Mapping[str, str]]  # asked at the first request, on the sender's thread

logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # a sink that is down is told once, by us


class TraceSink:
    """Takes what was noted, and sends it as spans."""

    def __init__(self, url: str, resource: Mapping[str, Value], headers: Headers = dict) -> None:
        self._url, self._headers = f"{url}/v1/traces", headers
        self._resource = Resource.create(resource)
        self._exporter: OTLPSpanExporter | None = None

    def write(self, items: Sequence[Told]) -> bool:
        """Send them; False where the sink does not take them in time."""
        if self._exporter is None:
            self._exporter = OTLPSpanExporter(
                self._url, headers=self._headers(), timeout=TIMEOUT, compression=Compression.Gzip
            )
        told = [self._readable(span) for item in items for span in spans(item)]
        return self._exporter.export(told) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End, also a repetition that waits."""
        if self._exporter is not None:
            self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            context=_context(span.trace, span.id),
            parent=_context(span.trace, span.parent) if span.parent else None,
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=span.start,
            end_time=span.end,
            instrumentation_scope=SCOPE,
        )


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=SAMPLED)


class MetricSink:
    """Takes dumps of `LiveMetrics` with the time they were made, ns; of several the newest is sent."""

    def __init__(self, url: str, resource: Mapping[str, Value], began: int, headers: Headers = dict) -> None:
        self._url, self._headers, self._began = f"{url}/v1/metrics", headers, began
        self._resource = Resource.create(resource)
        self._exporter: OTLPMetricExporter | None = None

    def write(self, items: Sequence[tuple[int, Plain]]) -> bool:
        """Send the newest; False where the sink does not take it in time."""
        if self._exporter is None:
            self._exporter = OTLPMetricExporter(
                self._url, headers=self._headers(), timeout=TIMEOUT, compression=Compression.Gzip
            )
        at, facts = items[-1]
        named = LiveMetrics().named()
        told = [self._metric(name, named[name], value, at) for name, value in facts.items() if name in named]
        scope = export.ScopeMetrics(SCOPE, [metric for metric in told if metric is not None], "")
        data = export.MetricsData([export.ResourceMetrics(self._resource, [scope], "")])
        return self._exporter.export(data) is export.MetricExportResult.SUCCESS

    def close(self) -> None:
        """End, also a repetition that waits."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _metric(self, name: str, metric: Metric, value: Any, at: int) -> export.Metric | None:
        points: list[export.NumberDataPoint] | list[export.HistogramDataPoint]
        data: export.Sum | export.Gauge | export.Histogram
        match metric, value:
            case Counter(), _:
                counts = value if isinstance(value, Mapping) else {"": value}
                points = [self._number({metric.label: of} if of else {}, count, at) for of, count in counts.items()]
                data = export.Sum(points, CUMULATIVE, is_monotonic=True)
            case Gauge(), int() | float():
                data = export.Gauge([self._number({}, value, at)])
            case _, Mapping():
                data = export.Histogram([self._histogram(value, at)], CUMULATIVE)
            case _:
                return None
        unit = {"seconds": "s", "bytes": "By", "dollars": "{USD}"}.get(metric.unit, "1")
        return export.Metric(f"quaestor.live.{name}", metric.help, unit, data)

    def _number(self, attributes: dict[str, str], value: float, at: int) -> export.NumberDataPoint:
        return export.NumberDataPoint(attributes, self._began, at, value)

    def _histogram(self, value: Mapping[str, Any], at: int) -> export.HistogramDataPoint:
        bounds = [bound / 1e9 for bound in BOUNDS]
        count, total, most, buckets = (value[name] for name in ("count", "sum", "max", "buckets"))
        return export.HistogramDataPoint(
            {}, self._began, at, count, total / 1e9, buckets, bounds, min=0.0, max=most / 1e9
        )
