"""Replay: a run's journal is folded again; at night every run of the day, with what its fills cost beside it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from quaestor.errors import Permanent
from quaestor.exchange import Costs
from quaestor.live import replaying
from quaestor.live.changing import Changes
from quaestor.live.journaling import Entry
from quaestor.live.replaying import Decides, Replayed
from quaestor.live.slippage import Comparing, Slippage


class Journal(Protocol):
    """A run's journal, to be read once from its beginning."""

    run: uuid.UUID

    @property
    def ended(self) -> bool:
        """Whether the run said that this is all."""
        ...

    @property
    def cut(self) -> int:
        """Bytes of a torn tail."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Events with their decisions."""
        ...


@dataclass(frozen=True)
class Checked:
    """A run's check; `problem`: why it could not be replayed at all; `cut`: bytes of a torn tail.

    `run` is None where even that could not be read.
    """

    run: uuid.UUID | None
    problem: str = ""
    replayed: Replayed | None = None
    slippage: Slippage | None = None
    cut: int = 0

    @property
    def ok(self) -> bool:
        """Whether every decision was made again, byte for byte."""
        return self.replayed is not None and self.replayed.same


def replay(journal: Journal, engine: Callable[[], Decides], changes: Changes | None = None) -> Replayed:
    """Fold a run's events through a fresh engine. Raises NotFound for a change to what the run never had."""
    done = replaying.replay(journal.entries(), engine(), changes, lambda: journal.ended)
    if changes is not None:
        changes.require_used()
    return done


def check(journal: Journal, engine: Callable[[], Decides], costs: Costs) -> Checked:
    """Replay a run and compare its fills with the model, in one reading."""
    comparing = Comparing(costs)

    def watched() -> Iterator[Entry]:
        for entry in journal.entries():
            comparing.take(entry)
            yield entry

    try:
        done = replaying.replay(watched(), engine(), None, lambda: journal.ended)
        return Checked(journal.run, "", done, comparing.result(), journal.cut)
    except Permanent as error:
        return Checked(journal.run, str(error))
