"""The sender: takes things from whoever is in a hurry, and brings them away on a thread of its own, by the batch.

`offer` never waits: what finds the queue full is given up and counted, as is what a sink did not take. So a collector
that is down, a disk that is full or slow costs the live run nothing but its telemetry.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
Taken_contra = TypeVar("Taken_contra", contravariant=True)
QUEUE = 8192  # things that wait at most
BATCH = 512  # things brought away at once
LINGER = 0.25  # seconds in which a batch gathers
PATIENCE = 2.0  # seconds that an end waits for what is still to be brought away


class Sink(Protocol[Taken_contra]):
    """Where things go."""

    def write(self, items: Sequence[Taken_contra]) -> bool:
        """Take them all, within a time of its own; False where they are lost."""
        ...

    def close(self) -> None:
        """End, also a `write` that goes on in another thread, as soon as may be."""
        ...


class Sender(Generic[T]):
    """Brings things to a sink. `told` hears once that the sink fails, and once that it takes again."""

    def __init__(
        self,
        name: str,
        sink: Sink[T],
        told: Callable[[bool], None] = lambda _well: None,
        *,
        queue: int = QUEUE,
        linger: float = LINGER,
    ) -> None:
        self.name, self.sent = name, 0
        self._given_up = self._failed = 0  # by those who offer; by the thread
        self._sink, self._told, self._limit, self._linger = sink, told, queue, linger
        self._waiting: deque[T] = deque()
        self._awake, self._ending, self._over = threading.Event(), threading.Event(), threading.Event()
        self._well = True
        self._thread = threading.Thread(target=self._run, name=f"telemetry-{name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many things were given up."""
        return self._given_up + self._failed

    def give_up(self, number: int = 1) -> None:
        """So many things are lost."""
        self._given_up += number

    def offer(self, item: T) -> None:
        """Take it along if there is room."""
        if len(self._waiting) >= self._limit or self._ending.is_set():
            self.give_up()
            return
        self._waiting.append(item)
        if not self._awake.is_set():
            self._awake.set()

    def end(self) -> None:
        """Take nothing more, and bring away what waits."""
        self._ending.set()
        self._awake.set()

    def close(self, patience: float = PATIENCE) -> None:
        """End within that time; what is still there then is lost, and counted."""
        self.end()
        self._thread.join(patience)
        self._over.set()
        self._sink.close()
        self._thread.join(1.0)
        self.give_up(len(self._waiting))

    def _run(self) -> None:
        while not self._ending.is_set():
            self._awake.wait()
            self._ending.wait(self._linger)
            self._awake.clear()
            while self._waiting and not self._over.is_set():
                self._bring()

    def _bring(self) -> None:
        items = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        try:
            well = self._sink.write(items)
        except Exception:  # noqa: BLE001 - whatever a sink raises, the thread goes on: it is counted
            well = False
        if well:
            self.sent += len(items)
        else:
            self._failed += len(items)
        if well is not self._well:
            self._well = well
            self._told(well)
