"""Upkeep: make partitions before they are needed, and drop bars by age where a person said how long to keep them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from quaestor.bars import TIMEFRAMES
from quaestor.ports import BarStore

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
