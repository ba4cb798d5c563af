"""Recordings: sessions of stored prices as ticks, one after another, for replays and protocol servers.

A session may be played on another day than its own, at the same hours after the opening: so a rehearsal today has real
prices of then. Daily and minute bars have no quotes, and stored trades neither: they are made, so wide as is asked.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from quaestor import calendar
from quaestor.errors import NotFound
from quaestor.live import paths
from quaestor.ticks import SECOND, Tick

if TYPE_CHECKING:
    import polars as pl

    from quaestor.ports import BarStore, Source, TickStore

Kind = Literal["recorded", "minutes", "ticks"]


@dataclass(frozen=True)
class Shelf:
    """Where recordings are: daily bars of a source; minutes and trades of the database, where it is open."""

    source: Source
    bars: BarStore | None = None
    ticks: TickStore | None = None


@dataclass(frozen=True)
class Played:
    """What is played: from which session on, on which days, how dense and how wide.

    session: None: that of the first day where there is one, else the newest; every: seconds from trade to trade of a
    daily bar; spread: basis points, 0: no quotes; sessions: how many, None: all there are.
    """

    kind: Kind
    symbols: Sequence[str]
    day: dt.date
    session: dt.date | None = None
    every: float = 5.0
    spread: float = 2.0
    sessions: int | None = None


async def sessions(shelf: Shelf, played: Played) -> AsyncIterator[list[Tick]]:
    """One session's ticks after another, in the order of time; raises NotFound where there are none at all."""
    day = played.day if calendar.is_session(played.day) else calendar.next_session(played.day)
    found = await _days(shelf, played, day)
    told = False
    for session in found[: played.sessions]:
        ticks = await _ticks(shelf, played, session)
        if ticks:
            told = True
            moved = ticks if session == day else _on(day, session, ticks)
            yield paths.quoted(moved, played.spread) if played.spread else moved
        day = calendar.next_session(day)
    if not told:
        named, since = ", ".join(played.symbols), found[0] if found else day
        raise NotFound(f"There is no recording ({played.kind}) of {named} from {since} on.")


def _on(day: dt.date, session: dt.date, ticks: Sequence[Tick]) -> list[Tick]:
    """A session's ticks on another day; a half-day ends at its own close."""
    closes = int(calendar.session_close(day).timestamp()) * SECOND
    return [tick for tick in paths.to_session(ticks, session, day) if tick.at < closes]


async def _days(shelf: Shelf, played: Played, day: dt.date) -> list[dt.date]:
    """The sessions that are recorded, from the first that is played."""
    first, last = dt.date.max, dt.date.min
    for symbol in played.symbols:
        if span := await _span(shelf, played, symbol):
            first, last = min(first, span[0]), max(last, span[1])
    if played.kind == "ticks":  # a store of prints does not say what it has
        start = played.session or day
        return calendar.sessions(start, start)
    if last < first:
        return []
    start = played.session or (day if first <= day <= last else last)
    return calendar.sessions(start, last) if start <= last else []


async def _span(shelf: Shelf, played: Played, symbol: str) -> tuple[dt.date, dt.date] | None:
    if played.kind == "recorded":
        shelf.source.require([symbol])
        return await shelf.source.span(symbol)
    return await shelf.bars.span(symbol, "1m") if played.kind == "minutes" and shelf.bars else None


async def _ticks(shelf: Shelf, played: Played, session: dt.date) -> list[Tick]:
    match played.kind:
        case "recorded":
            streams = [
                paths.of_days(await _daily(shelf.source, each, session), played.every) for each in played.symbols
            ]
            return list(paths.together(streams))
        case "minutes":
            assert shelf.bars is not None  # noqa: S101 - whoever plays minutes opens the database
            return paths.of_minutes(await shelf.bars.frame(played.symbols, session, session, "1m"))
    assert shelf.ticks is not None  # noqa: S101 - the same
    hours = calendar.premarket_start(session), calendar.postmarket_end(session)
    return list(paths.together([paths.of_prints(await shelf.ticks.frame(each, *hours)) for each in played.symbols]))


async def _daily(source: Source, symbol: str, session: dt.date) -> pl.DataFrame:
    """The bar of a session; none where the symbol did not trade."""
    from quaestor.bars import empty

    span = await source.span(symbol)
    if span is None or not span[0] <= session <= span[1]:
        return empty()
    return (await source.history(symbol, session, session)).bars


def recording(shelf: Shelf, played: Played) -> Callable[[], AsyncIterator[list[Tick]]]:
    """For a replay feed: read when it is run."""
    return lambda: sessions(shelf, played)
