"""Ingest: history from a source into the bar store, symbol by symbol, incrementally.

A symbol starts after its newest stored bar, with a few sessions of overlap so that late corrections of the vendor are
seen; a first ingest takes all. Either all of a symbol's bars and splits are stored, or none.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quaestor.errors import BadInput
from quaestor.ports import BarStore, Source

OVERLAP = dt.timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest of one symbol did: bars read, new, changed; first and last session read; splits in the window."""

    symbol: str
    read: int
    new: int
    changed: int
    first: dt.date | None
    last: dt.date | None
    splits: int


async def ingest_symbol(
    source: Source, store: BarStore, symbol: str, start: dt.date | None, end: dt.date | None, *, again: bool = False
) -> Ingested:
    """Bring one symbol up to date within [start, end]; `again` re-reads the whole window (a backfill).

    A symbol that was not listed before `end` has nothing yet, which is no error. Raises NotFound for an unknown symbol,
    BadInput for a window that was asked for and holds no data, and for unusable data; nothing is written then.
    """
    first, last = await source.span(symbol)
    if start is None and end is not None and end < first:
        return Ingested(symbol, 0, 0, 0, None, None, 0)  # not listed yet
    since = start or first
    until = end or max(last, since)
    if not again and since <= last:
        since = await _resume(store, symbol, since, until)
    history = await source.history(symbol, since, until)
    new, changed = await store.upsert(history.bars, history.splits, source.name)
    days = history.bars["session"]
    return Ingested(symbol, len(days), new, changed, days.min(), days.max(), len(history.splits))  # type: ignore[arg-type]


async def _resume(store: BarStore, symbol: str, since: dt.date, until: dt.date) -> dt.date:
    """Where to go on: shortly before the newest stored bar, so that no hole is left and late corrections are seen."""
    stored = await store.span(symbol)
    if stored is None or since < stored[0]:
        return since
    return min(max(since, min(stored[1], until) - OVERLAP), stored[1] - OVERLAP)


def check_ingested(rows: Sequence[Mapping[str, Any]]) -> None:
    """Raise BadInput when a symbol failed (`error` says why), or when the range held no bar of any of them."""
    failed = [row["error"] for row in rows if row["error"]]
    if failed:
        stored = "the others are stored" if len(failed) < len(rows) else "nothing was stored"
        others = f"{len(failed)} of {len(rows)} symbols failed; {stored}. " if len(rows) > 1 else ""
        raise BadInput(others + failed[0])
    if rows and not any(row["read"] for row in rows):
        names = ", ".join(row["symbol"] for row in rows)
        raise BadInput(f"There is no bar of {names} in this range; it ends before the first one. Choose a later end.")
