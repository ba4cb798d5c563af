"""Restoring: where the run before stood, brought to its last moment, and what was stored about triggers since.

A snapshot is what the run's engine would begin with at that moment, `Engine.successor`. The journal has what it was
told afterwards, and folding that again brings back every mark and every latch as they were when the run died; what it
decided on the way may not have been performed, and is handed over with its time.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from quaestor.live.acts import Act, Place
from quaestor.live.events import Event, Player, Setup
from quaestor.ports_live import StoredTrigger
from quaestor.splits import Split
from quaestor.triggers.market import rescale


class Entry(Protocol):
    """An event of a journal."""

    @property
    def event(self) -> Event:
        """The event."""
        ...


class Decides(Protocol):
    """An engine."""

    def on(self, event: Event) -> list[Act]:
        """What follows from an event."""
        ...

    def successor(self) -> Setup | None:
        """What it would begin with now."""
        ...


class CaughtUp(NamedTuple):
    """A setup to go on from, and what was decided on the way to it, each with when."""

    setup: Setup
    decided: list[tuple[int, Act]]


def snapshot(setup: Setup, event: int) -> dict[str, Any]:
    """What is kept of a run: its successor's setup, and how many events it had seen."""
    return {"setup": msgspec.to_builtins(setup), "event": event}


def caught_up(
    engine: Decides, kept: Mapping[str, Any], tail: Iterable[Entry], is_there: Callable[[Player], bool]
) -> CaughtUp:
    """The snapshot brought to the end of the journal; strategies that are others by now are left out."""
    setup = msgspec.convert(kept["setup"], Setup)
    setup = msgspec.structs.replace(setup, players=tuple(player for player in setup.players if is_there(player)))
    engine.on(setup)
    decided = [(entry.event.now, act) for entry in tail for act in engine.on(entry.event)]
    return CaughtUp(engine.successor() or setup, decided)


def continued(setup: Setup | None, stored: Sequence[StoredTrigger], splits: Sequence[Split] = ()) -> dict[str, Any]:
    """An engine's dump to go on from, with the latches that count.

    splits: those that stored rules and latches know and the dump does not; its marks are rescaled by them.
    """
    kept = None if setup is None else setup.kept
    if kept is None or setup is None:
        return {"latches": {str(each.trigger.id): each.latch.as_dict() for each in stored}}
    market = msgspec.to_builtins(kept["book"]["market"])
    for split in splits:
        rescale(market, split.symbol, float(split.ratio))
    touched = {split.symbol for split in splits}
    known = kept["book"]["latches"]
    latches = {
        str(each.trigger.id): _latch(each, known.get(str(each.trigger.id)), setup.cursor, touched) for each in stored
    }
    return {**kept, "book": {**kept["book"], "market": market, "latches": latches}}


def _latch(stored: StoredTrigger, before: Mapping[str, Any] | None, cursor: int, touched: set[str]) -> dict[str, Any]:
    """The snapshot's, unless the trigger was rewritten since, has fired since, or its levels are others by a split."""
    latch = stored.latch.as_dict()
    if before is None or stored.number > cursor or stored.trigger.symbol in touched or before["fired"] < latch["fired"]:
        return latch
    return dict(before)


def recent(
    decided: Iterable[tuple[int, Act]], since: int, session: dt.date | None, *, entries: bool = True
) -> tuple[list[Act], list[Act]]:
    """What may still be performed, and what is too late. Entries grow old, and are not wanted while a person holds;
    what reduces a position is wanted as long as its session lasts.
    """
    ready: list[Act] = []
    late: list[Act] = []
    for at, act in decided:
        if not isinstance(act, Place):
            ready.append(act)
            continue
        going = [i for i in act.intents if i.session == session and (i.reduces or (entries and at >= since))]
        gone = [intent for intent in act.intents if intent not in going]
        ready += [Place(tuple(going), act.tick)] if going else []
        late += [Place(tuple(gone), act.tick)] if gone else []
    return ready, late


Tail = Callable[[uuid.UUID, int], Iterable[Entry]]  # of a run's journal: what comes after so many events
