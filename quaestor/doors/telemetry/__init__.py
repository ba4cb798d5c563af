"""The telemetry door: what a live run tells about itself, to an OTLP sink, to a file, to neither (the default).

`order`, `fill` and `batch` take a note of recorded times (`quaestor.spans`) and put it into a queue; whoever trades
pays no more than that. Spans are made of it, encoded and sent on another thread (`sender`). The file holds OTLP's JSON,
one batch on a line: a collector reads it later, `jq` at once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quaestor.doors.telemetry.lines import Lines
from quaestor.doors.telemetry.sender import PATIENCE, Sender, Sink
from quaestor.jsons import as_json
from quaestor.metrics import Plain
from quaestor.spans import Batch, Execution, Passage, Told, Value, as_otlp, spans

log = logging.getLogger("quaestor.telemetry")
Figures = tuple[int, Plain]


class TraceFile:
    """Spans as lines of OTLP's JSON."""

    def __init__(self, lines: Lines, resource: Mapping[str, Value]) -> None:
        self._lines, self._resource = lines, resource

    def write(self, items: Sequence[Told]) -> bool:
        """Append them as one line."""
        return self._lines.write([as_json(as_otlp([span for item in items for span in spans(item)], self._resource))])

    def close(self) -> None:
        """Close the file."""
        self._lines.close()


class Telemetry:
    """Implements `ports_live.Telemetry`. sample: share of batches told; every: ns between two sets of figures."""

    def __init__(
        self,
        traces: Mapping[str, Sink[Told]],
        figures: Mapping[str, Sink[Figures]],
        *,
        sample: float = 0.0,
        every: int = 15 * 10**9,
    ) -> None:
        self._traces = [Sender(name, sink, _told(name)) for name, sink in traces.items()]
        self._figures = [Sender(name, sink, _told(name), queue=4) for name, sink in figures.items()]
        self._senders: list[Sender[Any]] = [*self._traces, *self._figures]
        self._sample, self._share = sample if traces else 0.0, 0.0
        self._every, self._newest = every, 0

    def order(self, passage: Passage) -> None:
        """An order went out, and how."""
        self._tell(passage)

    def fill(self, execution: Execution) -> None:
        """An order was filled, or a part of it."""
        self._tell(execution)

    def sampled(self) -> bool:
        """Whether this batch is to be told: every so many-th is."""
        self._share += self._sample
        if self._share < 1.0:
            return False
        self._share -= 1.0
        return True

    def batch(self, batch: Batch) -> None:
        """A batch of ticks came, and what followed."""
        self._tell(batch)

    def beat(self, now: int, facts: Mapping[str, Any]) -> None:
        """The run's figures at that time of its clock, ns; told now and then."""
        if self._figures and abs(now - self._newest) >= self._every:
            self._newest = now
            for sender in self._figures:
                sender.offer((now, dict(facts)))

    @property
    def lost(self) -> Mapping[str, int]:
        """What was given up, by where it was to go."""
        return {sender.name: sender.lost for sender in self._senders}

    def close(self, patience: float = PATIENCE) -> None:
        """Send what waits, within so many seconds; then each sink may end what it is at."""
        for sender in self._senders:
            sender.end()
        late = time.monotonic() + patience
        for sender in self._senders:
            sender.close(max(0.0, late - time.monotonic()))

    def _tell(self, told: Told) -> None:
        for sender in self._traces:
            sender.offer(told)


def _told(name: str) -> Callable[[bool], None]:
    def told(well: bool) -> None:
        if well:
            log.warning("Telemetry to %s is taken again.", name)
        else:
            log.warning("Telemetry to %s is not taken and given up; trading goes on.", name)

    return told
