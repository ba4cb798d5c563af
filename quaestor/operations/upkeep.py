"""Upkeep: make partitions before they are needed, drop bars by age where a person said how long to keep them, and
forget what live runs told long ago.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from quaestor.bars import TIMEFRAMES
from quaestor.ports import BarStore
from quaestor.ports_live import LiveStore

HAPPENINGS = dt.timedelta(days=90)  # what live runs told; orders and fills stay in the books for ever
AHEAD = dt.timedelta(days=45)  # so that no load of the next weeks has to make one


@dataclass(frozen=True, slots=True)
class Kept:
    """What was done for a timeframe: partitions made and dropped, and the day before which none is kept."""

    timeframe: str
    made: tuple[str, ...]
    dropped: tuple[str, ...]
    before: dt.date | None


async def keep_up(store: BarStore, keep: Mapping[str, int], today: dt.date, *, dry_run: bool = False) -> list[Kept]:
    """Do it for every timeframe; `keep` are days by timeframe, and what is not named is kept for ever.

    A partition is dropped when all of its days are older; `dry_run` only says which.
    """
    done = []
    for timeframe in TIMEFRAMES:
        before = today - dt.timedelta(days=keep[timeframe]) if timeframe in keep else None
        made, dropped = await store.upkeep(timeframe, today, today + AHEAD, before, dry_run=dry_run)
        done.append(Kept(timeframe, tuple(made), tuple(dropped), before))
    return done


async def forget(store: LiveStore, *, dry_run: bool = False) -> int:
    """Forget old happenings of live runs; how many went."""
    return 0 if dry_run else await store.prune(HAPPENINGS)
