"""Prometheus: figures as the text that its server scrapes (format 0.0.4).

Written by ourselves: the figures are of another process and come out of the database, so that a client library, which
counts in its own process, would only be in the way; the tests read the text with Prometheus' own parser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from quaestor.metrics import BOUNDS, Counter, Histogram, LiveMetrics, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Family:
    """A metric with its samples: suffix of the name, labels, value."""

    name: str
    kind: str
    help: str
    samples: tuple[tuple[str, Labels, float], ...] = field(default=())


def text(families: Iterable[Family], labels: Labels | None = None) -> str:
    """The page; `labels` stand at every sample."""
    return "".join(f"{line}\n" for family in families for line in _lines(family, labels or {}))


def gauge(name: str, said: str, value: float | None, labels: Labels | None = None) -> Family:
    """A figure of one value; none where it is not known."""
    return Family(name, "gauge", said, ((("", labels or {}, float(value)),) if value is not None else ()))


def of_run(facts: Mapping[str, Any]) -> Iterator[Family]:
    """The figures of a live run as its heartbeat stored them (`LiveMetrics.dump`); what cannot be read is left out."""
    for name, metric in LiveMetrics().named().items():
        with suppress(KeyError, TypeError, ValueError):  # another version of us may have written it
            yield _family(f"quaestor_live_{name}", metric, facts[name])


def _family(name: str, metric: Metric, value: Any) -> Family:
    name += f"_{metric.unit}" if metric.unit else ""
    if isinstance(metric, Counter):
        counts = value if isinstance(value, Mapping) else {"": value}
        found = tuple(("", {metric.label: of} if of else {}, float(count)) for of, count in sorted(counts.items()))
        return Family(f"{name}_total", "counter", metric.help, found)
    if isinstance(metric, Histogram):
        return Family(name, "histogram", metric.help, tuple(_histogram(value)))
    return Family(name, "gauge", metric.help, (("", {}, float(value)),))


def _histogram(value: Mapping[str, Any]) -> Iterator[tuple[str, Labels, float]]:
    bounds = [*(repr(bound / 1e9) for bound in BOUNDS), "+Inf"]
    for bound, count in zip(bounds, accumulate(value["buckets"]), strict=True):
        yield "_bucket", {"le": bound}, float(count)
    yield "_sum", {}, value["sum"] / 1e9
    yield "_count", {}, float(value["count"])


def _lines(family: Family, labels: Labels) -> Iterator[str]:
    if not family.samples:
        return
    said = family.help.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {family.name} {said}"
    yield f"# TYPE {family.name} {family.kind}"
    for suffix, own, number in family.samples:
        named = ",".join(f'{name}="{_escaped(value)}"' for name, value in {**labels, **own}.items())
        yield f"{family.name}{suffix}{f'{{{named}}}' if named else ''} {_number(number)}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
