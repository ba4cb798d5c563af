"""Spans: the way of an order from the tick that caused it to its fills, told afterwards from recorded times.

Nothing is measured twice: whoever handles an order notes when it passed each place (`Passage`), and hands the note over
once the broker has answered. An order's trace has its `ref_id` as trace id, and the ids of its spans follow from it: so
logs, books and traces meet under one name, and a fill that comes after a restart still finds its place.

    order  ├ decide  received → decided      ├ gate  → gated      ├ commit  → committed
           ├ wire    → wired                 ├ ack   → acked      └ fill    acked → filled (one for each execution)

Batches of ticks without an order are told by sample (`Batch`). Attributes are those of a list and no others (law 10).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quaestor.logs import without_secrets
from quaestor.orders import Intent

Value = str | int | float | bool
STEPS = ("decide", "gate", "commit", "wire", "ack")
NAMES = frozenset(
    f"quaestor.{name}"
    for name in (
        *("run", "symbol", "side", "strategy", "cause", "trigger", "ref_id", "outcome", "rule"),
        *("quantity", "price", "execution", "tick_age_us", "ticks", "acts"),
    )
)  # of attributes that may leave the house
LONGEST = 200  # characters of an attribute


class Passage(msgspec.Struct, frozen=True, gc=False):
    """When an order passed each place, ns on the run's clock (0: unknown, the step is left out).

    `told` is the exchange's time of the tick; `cause` the cause key; `outcome` how the broker answered: accepted,
    rejected, unknown …
    """

    ref_id: uuid.UUID
    symbol: str
    side: str
    strategy: str
    received: int
    decided: int
    gated: int = 0
    committed: int = 0
    wired: int = 0
    acked: int = 0
    told: int = 0
    cause: str = ""
    outcome: str = ""
    failed: bool = False

    @classmethod
    def of(cls, intent: Intent, *, outcome: str = "", failed: bool = False, **times: Any) -> Passage:
        """The way of an intent; `times` as the fields are named."""
        who = (intent.ref_id, intent.symbol, intent.side.value, intent.strategy)
        return cls(*who, cause=intent.cause_key, outcome=outcome, failed=failed, **times)


class Execution(msgspec.Struct, frozen=True, gc=False):
    """A fill of an order: since when it was waited for and when it came, ns; `key` names it among the order's fills."""

    ref_id: uuid.UUID
    key: str
    at: int
    since: int = 0
    symbol: str = ""
    quantity: str = ""
    price: str = ""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A batch of ticks: when it came and when it was decided what follows, ns; how many ticks and acts, and which."""

    run: uuid.UUID
    received: int
    decided: int
    ticks: int
    acts: int = 0
    outcome: str = ""


Told = Passage | Execution | Batch


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a trace; ids in hex, times in ns, `parent` empty for the root."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    attributes: Mapping[str, Value] = field(default_factory=dict)
    failed: bool = False


def trace_id(ref_id: uuid.UUID) -> str:
    """The trace of an order: its identity, without the dashes."""
    return ref_id.hex


def span_id(trace: str, name: str) -> str:
    """The same for the same span, whoever tells it."""
    return hashlib.blake2b(f"{trace}/{name}".encode(), digest_size=8).hexdigest()


def spans(told: Told) -> list[Span]:
    """What was noted, as spans; the root first."""
    match told:
        case Passage():
            return _passage(told)
        case Execution():
            return [_execution(told)]
        case Batch():
            return [_batch(told)]


def _passage(told: Passage) -> list[Span]:
    trace, at = trace_id(told.ref_id), told.received
    root = span_id(trace, "order")
    steps = []
    for name, end in zip(STEPS, (told.decided, told.gated, told.committed, told.wired, told.acked), strict=True):
        if end:
            start, at = at, max(at, end)  # a clock that was set back makes no step end before it began
            steps.append(Span(name, trace, span_id(trace, name), root, start, at))
    said = {name: getattr(told, name) for name in ("ref_id", "symbol", "side", "strategy", "cause", "outcome")}
    if told.told:
        said["tick_age_us"] = (told.received - told.told) // 1000
    return [Span("order", trace, root, "", told.received, at, attributes(said), told.failed), *steps]


def _execution(told: Execution) -> Span:
    trace = trace_id(told.ref_id)
    start = min(told.since or told.at, told.at)
    said = {"symbol": told.symbol, "quantity": told.quantity, "price": told.price, "execution": told.key}
    return Span(
        "fill", trace, span_id(trace, f"fill/{told.key}"), span_id(trace, "order"), start, told.at, attributes(said)
    )


def _batch(told: Batch) -> Span:
    trace = hashlib.blake2b(f"{told.run}/{told.received}".encode(), digest_size=16).hexdigest()
    said = {"run": told.run, "ticks": told.ticks, "acts": told.acts, "outcome": told.outcome}
    end = max(told.received, told.decided)
    return Span("ticks", trace, span_id(trace, "ticks"), "", told.received, end, attributes(said))


def attributes(said: Mapping[str, Any]) -> dict[str, Value]:
    """What may be told of it: names of the list that have a value, as short texts and numbers."""
    return {
        f"quaestor.{name}": value if isinstance(value, int | float) else without_secrets(str(value))[:LONGEST]
        for name, value in said.items()
        if f"quaestor.{name}" in NAMES and value not in ("", None)
    }


def as_otlp(told: Iterable[Span], resource: Mapping[str, Value]) -> dict[str, Any]:
    """Spans as OTLP has them in JSON (a `TracesData`), for a file that collectors read."""
    scope = {"scope": {"name": "quaestor"}, "spans": [_otlp(span) for span in told]}
    return {"resourceSpans": [{"resource": {"attributes": _pairs(resource)}, "scopeSpans": [scope]}]}


def _otlp(span: Span) -> dict[str, Any]:
    plain: dict[str, Any] = {"traceId": span.trace, "spanId": span.id, "name": span.name, "kind": 1}
    if span.parent:
        plain["parentSpanId"] = span.parent
    plain |= {"startTimeUnixNano": str(span.start), "endTimeUnixNano": str(span.end)}
    return plain | {"attributes": _pairs(span.attributes), "status": {"code": 2} if span.failed else {}}


def _pairs(named: Mapping[str, Value]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in named.items()]


def _value(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}  # 64 bits: as text, says OTLP
        case float():
            return {"doubleValue": value}
    return {"stringValue": value}
