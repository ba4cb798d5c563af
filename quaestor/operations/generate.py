"""Signals: run a strategy over the stored bars and keep what it wants after each session.

Only bars up to `end` are read, so nothing leans on later prices; within the window law 9 (checked by
`quaestor.truncation`) says that each target depends on the bars up to its own session alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor.errors import BadInput
from quaestor.ports import BarStore, Run, SignalStore

if TYPE_CHECKING:
    from quaestor.strategies.catalogue import Built


@dataclass(frozen=True, slots=True)
class Generated:
    """What one strategy said: signals in the window, how many were new, sessions covered, symbols held at the end."""

    strategy: str
    version: str
    signals: int
    new: int
    first: dt.date | None
    last: dt.date | None
    holds: tuple[str, ...]


async def generate_signals(
    built: Built,
    bars: BarStore,
    store: SignalStore,
    symbols: Sequence[str],
    start: dt.date | None,
    end: dt.date | None,
    run: Run,
) -> Generated:
    """Compute and store one strategy's signals for sessions in [start, end] (default: all that is stored)."""
    from quaestor.signals import compute

    frame = await bars.frame(symbols, None, end)
    if frame.is_empty():
        raise BadInput(f"No bars of {', '.join(symbols)} are stored up to {end or 'today'}; run the ingest flow first.")
    first: dt.date = frame["session"].min()  # type: ignore[assignment]  # a frame that is not empty
    last: dt.date = frame["session"].max()  # type: ignore[assignment]
    window = (start or first, end or last)
    if window[0] > min(window[1], last):
        raise BadInput(f"The range {window[0]} … {window[1]} holds no bar; they go from {first} to {last}.")
    signals = compute(built, frame, await bars.all_splits(symbols), *window)
    new = await store.save(built, signals, (window[0], min(window[1], last)), run)
    if signals.is_empty():
        return Generated(built.name, built.version, 0, 0, None, None, ())
    final = signals["session"].max()
    holds = signals.filter((signals["session"] == final) & (signals["target"] > 0))["symbol"].to_list()
    return Generated(built.name, built.version, len(signals), new, signals["session"].min(), final, tuple(holds))  # type: ignore[arg-type]
