"""Spans are told afterwards from recorded times, under names that follow from the order's identity."""

from __future__ import annotations

import base64
import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from quaestor import logs
from quaestor.orders import Intent, Side
from quaestor.spans import NAMES, Batch, Execution, Passage, as_otlp, attributes, span_id, spans, trace_id

REF = uuid.uuid5(uuid.NAMESPACE_URL, "an order")
PASSAGE = Passage(
    REF, "AAPL", "buy", "sma_crossover", 1_000, 1_400, gated=1_500, committed=9_000, wired=9_700, acked=30_000,
    told=-4_000_000, cause="AAPL 1m", outcome="accepted",
)  # fmt: skip


def test_an_orders_trace_is_its_identity_and_its_steps_follow_one_another() -> None:
    root, *steps = spans(PASSAGE)
    assert {span.trace for span in (root, *steps)} == {REF.hex} == {trace_id(REF)}
    assert (root.name, root.parent, root.start, root.end) == ("order", "", 1_000, 30_000)
    assert [(step.name, step.start, step.end) for step in steps] == [
        ("decide", 1_000, 1_400),
        ("gate", 1_400, 1_500),
        ("commit", 1_500, 9_000),
        ("wire", 9_000, 9_700),
        ("ack", 9_700, 30_000),
    ]
    assert {step.parent for step in steps} == {root.id}
    assert root.attributes["quaestor.tick_age_us"] == 4_001


def test_the_way_of_an_intent_has_its_names() -> None:
    intent = Intent("paper", "s", "AAPL", dt.date(2026, 11, 20), "AAPL 1m", Side.SELL, Decimal(3), Decimal(101))
    way = Passage.of(intent, received=1, decided=2, acked=5, outcome="rejected", failed=True)
    assert way == Passage(
        intent.ref_id, "AAPL", "sell", "s", 1, 2, acked=5, cause="AAPL 1m", outcome="rejected", failed=True
    )


def test_a_step_that_was_not_noted_is_left_out_and_the_next_begins_where_the_last_ended() -> None:
    _, *steps = spans(Passage(REF, "AAPL", "buy", "s", 100, 200, committed=900, wired=1_000, outcome="unknown"))
    assert [(step.name, step.start, step.end) for step in steps] == [
        ("decide", 100, 200),
        ("commit", 200, 900),
        ("wire", 900, 1_000),
    ]


def test_a_clock_that_was_set_back_makes_no_step_end_before_it_began() -> None:
    told = spans(Passage(REF, "AAPL", "buy", "s", 500, 600, gated=550, committed=400, wired=700, acked=300))
    assert all(span.end >= span.start for span in told)
    assert told[0].end == 700


def test_a_fill_finds_its_order_also_after_a_restart() -> None:
    (fill,) = spans(Execution(REF, "exec-1", 90_000, since=30_000, symbol="AAPL", quantity="3", price="101.25"))
    order = spans(PASSAGE)[0]
    assert (fill.trace, fill.parent, fill.start, fill.end) == (order.trace, order.id, 30_000, 90_000)
    (other,) = spans(Execution(REF, "exec-2", 95_000))
    assert (other.start, other.parent) == (95_000, order.id)
    assert other.id != fill.id != span_id(order.trace, "order")


def test_a_batch_is_a_trace_of_its_own() -> None:
    run = uuid.UUID(int=7)
    (one,), (two,) = spans(Batch(run, 10, 20, ticks=5, acts=1, outcome="refuse")), spans(Batch(run, 11, 20, ticks=5))
    assert (one.name, one.parent, one.attributes["quaestor.ticks"]) == ("ticks", "", 5)
    assert one.trace != two.trace


def test_only_names_of_the_list_leave_and_no_secret_in_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_known", set())  # what other tests of this process call a secret is none here
    logs.know("hunter2-hunter2")
    told = attributes({
        "symbol": "AAPL", "account_number": "5QR12345", "password": "x", "strategy": "", "price": None, "ticks": 0,
        "outcome": "rejected: token=abcdef hunter2-hunter2 " + "y" * 500,
    })  # fmt: skip
    assert told.keys() == {"quaestor.symbol", "quaestor.ticks", "quaestor.outcome"}
    assert str(told["quaestor.outcome"]).startswith("rejected: token=*** *** yyy")
    assert len(str(told["quaestor.outcome"])) == 200
    assert all(set(span.attributes) <= NAMES for span in spans(PASSAGE))


@pytest.mark.parametrize("failed", [pytest.param(True, id="refused"), pytest.param(False, id="accepted")])
def test_lines_of_json_are_otlps(failed: bool) -> None:
    told = spans(Passage(REF, "AAPL", "buy", "s", 100, 200, acked=900, told=50, failed=failed))
    plain = json.loads(json.dumps(as_otlp(told, {"service.name": "quaestor", "n": 3, "share": 0.5, "well": True})))
    data = ParseDict(in_base64(plain), TracesData())
    assert [(pair.key, pair.value.WhichOneof("value")) for pair in data.resource_spans[0].resource.attributes] == [
        ("service.name", "string_value"),
        ("n", "int_value"),
        ("share", "double_value"),
        ("well", "bool_value"),
    ]
    order, decide, ack = data.resource_spans[0].scope_spans[0].spans
    assert (order.trace_id, order.parent_span_id, order.start_time_unix_nano, order.end_time_unix_nano) == (
        REF.bytes, b"", 100, 900,
    )  # fmt: skip
    assert (decide.parent_span_id, ack.name, order.status.code) == (order.span_id, "ack", 2 if failed else 0)


def in_base64(plain: Any) -> Any:
    """OTLP has ids in hex, protobuf's own JSON in base64."""
    if isinstance(plain, list):
        return [in_base64(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    return {
        name: base64.b64encode(bytes.fromhex(value)).decode() if name.endswith("Id") else in_base64(value)
        for name, value in plain.items()
    }
