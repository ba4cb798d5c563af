"""Backfill: look at the coverage, plan what is to be fetched again, and say which decisions stood on repaired bars.

The plan is made of the coverage table, so a backfill that was killed and is run again does only the rest.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quaestor import calendar
from quaestor.coverage import COMPLETE, Chunk, Pace, Place, Redo, grid, plan
from quaestor.errors import BadInput
from quaestor.operations.ingest import last_closed
from quaestor.ports import BarStore, Capabilities, Source

SLOW = 0.5  # seconds of a request where a source names no rate


@dataclass(frozen=True)
class Wanted:
    """What a person asks to be filled: symbols, timeframe, first and last session, and what to do again."""

    symbols: Sequence[str]
    timeframe: str
    start: dt.date
    end: dt.date
    redo: Redo = "missing"
    newest_first: bool = True


@dataclass(frozen=True)
class Plan:
    """How the cells stand, and the chunks that fill what is wanted."""

    places: list[Place]
    chunks: list[Chunk]

    @property
    def cells(self) -> int:
        """Cells to be fetched."""
        return sum(chunk.cells for chunk in self.chunks)

    @property
    def complete(self) -> int:
        """Cells that are complete before anything is fetched, as the map counts them."""
        return sum(place.status in COMPLETE for place in self.places)

    @property
    def bars(self) -> int:
        """Bars that they may bring at most."""
        return sum(window.bars for chunk in self.chunks for window in chunk.windows)

    def cost(self, pace: Pace) -> dict[str, Any]:
        """Requests, bars at most, and seconds at the source's pace."""
        windows = [window for chunk in self.chunks for window in chunk.windows]
        return {
            "cells": self.cells,
            "tasks": len(self.chunks),
            "requests": sum(pace.requests(window.bars) for window in windows),
            "bars": self.bars,
            "seconds": round(sum(chunk.seconds for chunk in self.chunks), 1),
        }


def pace(capabilities: Capabilities, timeframe: str) -> Pace:
    """What a source can take, for a timeframe."""
    seconds = 1 / capabilities.requests_per_second if capabilities.requests_per_second else SLOW
    longest = calendar.expected(dt.date(2024, 1, 3), timeframe)  # a full session
    return Pace(capabilities.bars_per_request, seconds, longest, capabilities.beside)


async def survey(store: BarStore, wanted: Wanted, now: dt.datetime) -> list[Place]:
    """How the cells stand; sessions that are not over yet are not wanted. Raises BadInput where none is left."""
    end = min(wanted.end, last_closed(now))
    days = calendar.sessions(wanted.start, end)
    if not days:
        raise BadInput(
            f"There is no session in {wanted.start} … {wanted.end} that is over by now; choose another range."
        )
    cells = await store.cells(wanted.symbols, wanted.timeframe, days[0], days[-1])
    return grid(wanted.symbols, wanted.timeframe, days, cells)


async def planned(store: BarStore, source: Source, wanted: Wanted, now: dt.datetime) -> Plan:
    """What has to be fetched. Raises BadInput for a timeframe that the source does not have."""
    can = source.capabilities
    if wanted.timeframe not in can.timeframes:
        has = ", ".join(can.timeframes)
        raise BadInput(f"The source {source.name!r} has no {wanted.timeframe!r} bars, but {has}; choose one of them.")
    places = await survey(store, wanted, now)
    chunks = plan(places, wanted.timeframe, wanted.redo, pace(can, wanted.timeframe), newest_first=wanted.newest_first)
    return Plan(places, chunks)


async def decided_on(store: BarStore, repaired: Sequence[str]) -> list[dict[str, Any]]:
    """The orders that were decided on bars which are now another version (law 8: a person may want to know)."""
    return await store.decided_on(repaired) if repaired else []
