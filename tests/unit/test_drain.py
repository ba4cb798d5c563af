"""Drain: pause, wait, stop, open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from quaestor.errors import Temporary
from quaestor.operations.drain import drain


@dataclass
class Run:
    name: str
    state: str = "Running"
    tags: tuple[str, ...] = ()


@dataclass
class Site:
    """A pool whose runs end at given times, a worker, and a clock that moves when one sleeps."""

    ends: dict[str, float]
    now: float = 0.0
    log: list[str] = field(default_factory=list)

    def pause_pool(self, name: str, *, paused: bool) -> None:
        self.log.append(f"{'close' if paused else 'open'} {name}")

    def busy(self, pool: str) -> Sequence[Run]:  # noqa: ARG002 - it is the only pool
        return [
            Run(name, tags=("quaestor", *(["window"] if name == "live" else [])))
            for name, end in self.ends.items()
            if end > self.now
        ]

    def stop_worker(self) -> None:
        self.log.append(f"stop at {self.now:g}")

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def drain(self, patience: float) -> None:
        drain(self, "quaestor", self.stop_worker, patience=patience, sleep=self.sleep, clock=lambda: self.now)


def test_the_worker_stops_once_its_runs_have_ended_and_the_pool_opens_again() -> None:
    site = Site({"ingest": 3.0, "report": 5.0})
    site.drain(patience=60)
    assert site.log == ["close quaestor", "stop at 6", "open quaestor"]


def test_an_idle_worker_is_looked_at_twice_before_it_stops() -> None:
    site = Site({})
    site.drain(patience=60)
    assert site.log == ["close quaestor", "stop at 1", "open quaestor"]


def test_a_run_that_lasts_too_long_is_named_and_nothing_is_stopped() -> None:
    site = Site({"execute": 1000.0})
    with pytest.raises(Temporary, match=r"after 10 s: execute \(Running\)\. Wait longer, or cancel it"):
        site.drain(patience=10)
    assert site.log == ["close quaestor", "open quaestor"]


def test_a_window_that_is_open_all_day_is_not_waited_for() -> None:
    site = Site({"live": 1000.0, "ingest": 3.0})
    site.drain(patience=10)
    assert site.log == ["close quaestor", "stop at 4", "open quaestor"]
