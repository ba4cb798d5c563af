"""Drain: stop a worker without zombies.

A stopped worker kills its flow runs at once and nobody tells the server: they stay Running until the zombie reaper
finds them. So: pause the pool (no worker takes a new run; those under way go on), wait until none is under way, stop
the worker, and open the pool again. If the wait is too long, nothing was stopped and the pool is open as before.

A run that is only a window (tag `window`: the live session's) is not waited for, since it may last all day and its end
changes nothing. It ends with the worker; the zombie reaper marks it Crashed, and it is run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from quaestor.errors import Temporary

WINDOW = "window"


class Busy(Protocol):
    """A flow run under way."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def state(self) -> str:
        """Where it is."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """What sort of run it is."""
        ...


class Pools(Protocol):
    """Work pools, as the orchestrator's door shows them."""

    def pause_pool(self, name: str, *, paused: bool) -> None:
        """Close or open a pool."""
        ...

    def busy(self, pool: str) -> Sequence[Busy]:
        """Runs that a worker has taken and not ended."""
        ...


def drain(
    pools: Pools,
    pool: str,
    stop_worker: Callable[[], None],
    *,
    patience: float = 600,
    every: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[Sequence[Busy]], None] = lambda _: None,
) -> None:
    """Let the runs of the pool end, then stop the worker; `tell` hears of the runs that are waited for.

    patience, every: seconds. Raises Temporary, with the worker running on, when runs last longer than `patience`.
    """
    pools.pause_pool(pool, paused=True)
    try:
        await_idle(pools, pool, patience=patience, every=every, sleep=sleep, clock=clock, tell=tell)
        stop_worker()
    finally:
        pools.pause_pool(pool, paused=False)


def await_idle(
    pools: Pools,
    pool: str,
    *,
    patience: float,
    every: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    tell: Callable[[Sequence[Busy]], None] = lambda _: None,
) -> None:
    """Wait until the pool was idle twice in a row: a run taken just before the pause shows up a moment later."""
    end, idle = clock() + patience, 0
    while True:
        runs = [run for run in pools.busy(pool) if WINDOW not in run.tags]
        idle = 0 if runs else idle + 1
        if idle == 2:
            return
        if clock() >= end:
            named = ", ".join(f"{run.name} ({run.state})" for run in runs) or "one was just taken"
            raise Temporary(
                f"Still under way after {patience:g} s: {named}. Wait longer, or cancel it; nothing was stopped."
            )
        tell(runs)
        sleep(every)
