"""Metrics of a live run: counters, gauges and latency histograms that cost a fraction of a microsecond each.

A histogram is log-linear, as HDR's: every power of two is cut into 32 equal parts, so that a quantile is wrong by 1.6 %
at most, from 64 ns to 137 s, in a list of fixed length. What a run measures is named once, in `LiveMetrics`. Its dump
is plain values, which the run's heartbeat stores (`LiveStore.beat`), and from which `/metrics`, OTLP and a person read:

    a counter   the number, or {label: number}         a gauge     the number, None before it is known
    a histogram {count, sum, max, p50, p90, p99, p999, buckets}, nanoseconds; `buckets` as counted between `BOUNDS`
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import ceil
from typing import Any, Literal

PART = 5  # a power of two is cut into 2**PART
PARTS = 1 << PART
LEAST, MOST = 6, 37  # powers of two: what is less than 2**6 ns counts as that, what is more than 2**37 as the last part
FLOOR = 1 << LEAST
OFFSET = (LEAST + 2) << PART  # the index that FLOOR would have
COARSE = 10  # the first bound of the dump is 2**10 ns, a microsecond
BOUNDS = tuple(1 << power for power in range(COARSE, MOST))  # ns; between them, and beyond the last, a dump counts
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}

Plain = dict[str, Any]


class Counter:
    """What only grows; with a `label`, one count for each of its values."""

    kind: Literal["counter"] = "counter"
    __slots__ = ("counts", "help", "label", "unit")

    def __init__(self, text: str, label: str = "", unit: str = "") -> None:
        self.help, self.label, self.unit = text, label, unit
        self.counts: dict[str, int] = {} if label else {"": 0}

    def add(self, number: int = 1, of: str = "") -> None:
        """So many more."""
        self.counts[of] = self.counts.get(of, 0) + number

    def set(self, number: int, of: str = "") -> None:
        """It is counted elsewhere, and stands at that."""
        self.counts[of] = number

    @property
    def value(self) -> int:
        """All together."""
        return sum(self.counts.values())

    def dump(self) -> Any:
        """The number, or one for each value of the label."""
        return dict(self.counts) if self.label else self.value


class Gauge:
    """What goes up and down; None until it is known."""

    kind: Literal["gauge"] = "gauge"
    label = ""
    __slots__ = ("help", "unit", "value")

    def __init__(self, text: str, unit: str = "") -> None:
        self.help, self.unit = text, unit
        self.value: float | None = None

    def set(self, value: float | None) -> None:
        """It is that now."""
        self.value = value

    def dump(self) -> float | None:
        """The number."""
        return self.value


class Histogram:
    """How long something takes, in nanoseconds."""

    kind: Literal["histogram"] = "histogram"
    label, unit = "", "seconds"
    __slots__ = ("counts", "help", "most", "total")

    def __init__(self, text: str = "") -> None:
        self.help = text
        self.counts = [0] * ((MOST - LEAST) << PART)
        self.total = self.most = 0

    def record(self, ns: int) -> None:
        """It took so long; a clock that went backwards took no time."""
        if ns < FLOOR:  # noqa: PLR1730 - max() takes thrice the time, and this stands in the way of every tick
            ns = FLOOR
        bits = ns.bit_length()
        try:
            self.counts[(bits << PART) + (ns >> (bits - PART - 1)) - OFFSET] += 1
        except IndexError:
            self.counts[-1] += 1
        self.total += ns
        if ns > self.most:  # noqa: PLR1730
            self.most = ns

    @property
    def count(self) -> int:
        """How many were recorded."""
        return sum(self.counts)

    def quantile(self, part: float) -> int:
        """What that part (0–1) of all took at most, ns; 0 where nothing was recorded."""
        return self._at(list(accumulate(self.counts)), part)

    def _at(self, running: Sequence[int], part: float) -> int:
        if not running[-1]:
            return 0
        index = bisect_left(running, max(1, ceil(part * running[-1])))
        if index == len(running) - 1:
            return self.most  # beyond the range nothing but the greatest is known
        power, within = divmod(index, PARTS)
        return min(((2 * (PARTS + within) + 1) << (power + LEAST - PART)) >> 1, self.most)

    def merge(self, other: Histogram) -> None:
        """Take in what another recorded."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total
        self.most = max(self.most, other.most)

    def dump(self) -> Plain:
        """Plain values; see the module."""
        running = list(accumulate(self.counts))
        ends = [running[((power - LEAST) << PART) - 1] for power in range(COARSE, MOST)] + [running[-1]]
        buckets = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        quantiles = {name: self._at(running, part) for name, part in QUANTILES.items()}
        return {"count": running[-1], "sum": self.total, "max": self.most, **quantiles, "buckets": buckets}


Metric = Counter | Gauge | Histogram


class LiveMetrics:
    """What a live run measures."""

    def __init__(self) -> None:
        self.tick_to_decision = Histogram("From a tick's arrival until it was decided what follows.")
        self.tick_to_wire = Histogram("From a tick's arrival until the order that it caused was on the wire.")
        self.commit = Histogram("A durable commit of intents.")
        self.ack = Histogram("From an order on the wire until the broker's answer.")
        self.queue_depth = Gauge("Events that wait for the engine.")
        self.feed_age = Gauge("Since the feed told anything.", unit="seconds")
        self.ticks = Counter("Ticks that the feed told, by kind.", label="kind")
        self.refused_ticks = Counter("Ticks that the screen refused, by rule.", label="rule")
        self.conflated = Counter("Quotes that a newer one of the symbol replaced before they were looked at.")
        self.triggers = Gauge("Triggers that wait.")
        self.firings = Counter("Triggers that fired.")
        self.orders = Counter("Orders sent.")
        self.refusals = Counter("Decisions that were refused, by rule.", label="rule")
        self.rejects = Counter("Orders that the broker refused.")
        self.reconnects = Counter("Lines that broke and came again, by what they lead to.", label="line")
        self.fills = Counter("Executions.")
        self.equity = Gauge("What the account is worth.", unit="dollars")
        self.pnl_day = Gauge("Profit and loss since the session before.", unit="dollars")
        self.exposure = Gauge("Market value of all positions, without their signs.", unit="dollars")
        self.journal = Counter("Written to the run's journal.", unit="bytes")
        self.restarts = Counter("Runs of the account before this one that ended unasked.")
        self.telemetry_lost = Counter("Spans, figures and log lines given up, by where they were to go.", label="sink")

    def named(self) -> Mapping[str, Metric]:
        """All of them, by name."""
        return vars(self)

    def dump(self) -> Plain:
        """The figures as they stand, in plain values."""
        return {name: metric.dump() for name, metric in self.named().items()}


def latencies(dump: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a dump says of times, for a person: each histogram that has any, in milliseconds."""
    named = LiveMetrics().named()
    return [
        (
            name.replace("_", " "),
            f"{_ms(value['p50'])} ms, 1 in 100 over {_ms(value['p99'])} ms, {value['count']:,} times",
        )
        for name, value in dump.items()
        if isinstance(named.get(name), Histogram) and value["count"]
    ]


def _ms(ns: int) -> str:
    return f"{ns / 1e6:.3g}"
