"""Coverage: which cells of the history are there, and what it would take to fill the rest.

A *cell* is one symbol, one timeframe and one period: a session of intraday bars, a calendar month of daily ones. It
remembers which sessions were asked for, how many bars are stored and how many stand in quarantine, so that what a
vendor does not have is asked for once, and what failed is asked for again. Cells are written in the transaction that
writes their bars: whatever a run says of itself, they are the truth.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from quaestor import calendar
from quaestor.bars import DAILY

Stretch = tuple[dt.date, dt.date]  # first and last session
Status = Literal["present", "empty", "partial", "quarantined", "failed", "missing"]
Redo = Literal["missing", "failed", "all"]

REDO: Mapping[Redo, frozenset[Status]] = {
    "missing": frozenset({"missing", "partial", "failed"}),  # whatever was not asked for with success
    "failed": frozenset({"failed", "quarantined"}),
    "all": frozenset({"present", "empty", "partial", "quarantined", "failed", "missing"}),
}

COMPLETE: frozenset[Status] = frozenset({"present", "empty"})  # all of it was asked for, and nothing of it was refused


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as the books have it; `asked` is the stretch of sessions that a source was asked for."""

    symbol: str
    timeframe: str
    period: dt.date
    asked: Stretch | None
    stored: int
    quarantined: int
    source: str
    error: str
    at: dt.datetime

    def status(self, wanted: Stretch) -> Status:
        """How the cell stands for one who wants this stretch of its sessions."""
        if self.error:
            return "failed"
        if self.asked is None or wanted[0] < self.asked[0] or self.asked[1] < wanted[1]:
            return "partial" if self.stored or self.quarantined or self.asked else "missing"
        if self.quarantined:
            return "quarantined"
        return "present" if self.stored else "empty"


@dataclass(frozen=True, slots=True)
class Place:
    """One cell of a grid: what is wanted of it, how many sessions that is, and how it stands."""

    symbol: str
    period: dt.date
    wanted: Stretch
    sessions: int
    status: Status
    cell: Cell | None


def period(timeframe: str, session: dt.date) -> dt.date:
    """The period that a session belongs to, by its first day."""
    return session.replace(day=1) if timeframe == DAILY else session


def periods(timeframe: str, sessions: Sequence[dt.date]) -> list[dt.date]:
    """The periods that these sessions (oldest first) belong to, oldest first."""
    return list(dict.fromkeys(period(timeframe, session) for session in sessions))


def month(first: dt.date) -> Stretch:
    """First and last day of the month that begins on that day."""
    return first, (first + dt.timedelta(days=32)).replace(day=1) - dt.timedelta(days=1)


def joined(old: Stretch | None, new: Stretch) -> Stretch:
    """The sessions asked for once `new` is asked too; of two stretches with a hole between them the longer one.

    To claim the hole would mean never to ask for it.
    """
    if old is None:
        return new
    day = dt.timedelta(days=1)
    if calendar.sessions(
        min(old[1], new[1]) + day, max(old[0], new[0]) - day
    ):  # a weekend is no hole, nor is a closed week
        return max(old, new, key=lambda stretch: stretch[1] - stretch[0])
    return min(old[0], new[0]), max(old[1], new[1])


def grid(symbols: Iterable[str], timeframe: str, sessions: Sequence[dt.date], cells: Iterable[Cell]) -> list[Place]:
    """How every cell of these symbols and sessions (oldest first) stands, by symbol and period."""
    known = {(cell.symbol, cell.period): cell for cell in cells if cell.timeframe == timeframe}
    wanted = {first: list(days) for first, days in groupby(sessions, key=lambda day: period(timeframe, day))}
    places = []
    for symbol in sorted(set(symbols)):
        for first, days in wanted.items():
            cell, stretch = known.get((symbol, first)), (days[0], days[-1])
            status: Status = cell.status(stretch) if cell else "missing"
            places.append(Place(symbol, first, stretch, len(days), status, cell))
    return places


# ── a plan to fill it ─────────────────────────────────────────────────────────────────────────────────────────────────

STRETCH = 25_000  # bars of a window, a quarter of minutes: the newest of all symbols comes before the oldest of one


@dataclass(frozen=True, slots=True)
class Window:
    """One request to a source: a symbol and a stretch of sessions; `cells` it fills, `bars` it may bring at most."""

    symbol: str
    first: dt.date
    last: dt.date
    cells: int
    bars: int


@dataclass(frozen=True)
class Chunk:
    """Windows that one task fetches, some seconds of work together."""

    timeframe: str
    windows: tuple[Window, ...]
    seconds: float

    @property
    def name(self) -> str:
        """The cells, for a person and for the letters of Prefect's graph: "AAPL to IBM 1d 2012-01-03, 2 cells"."""
        names = sorted({window.symbol for window in self.windows})
        who = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
        first, last = min(window.first for window in self.windows), max(window.last for window in self.windows)
        when = f"{first}" if first == last else f"{first} to {last}"
        return f"{who} {self.timeframe} {when}, {self.cells} cells"

    @property
    def cells(self) -> int:
        """How many cells it fills."""
        return sum(window.cells for window in self.windows)


@dataclass(frozen=True, slots=True)
class Pace:
    """What a source can take: bars a request, seconds a request, bars of a session at most.

    `beside` are the requests of each window that bring no bars, but splits and dividends.
    """

    bars_per_request: int | None
    seconds_per_request: float
    bars_per_session: int
    beside: int = 0

    def requests(self, bars: int) -> int:
        """Requests for so many bars."""
        pages = 1 if self.bars_per_request is None else max(1, -(-bars // self.bars_per_request))
        return pages + self.beside

    def seconds(self, bars: int) -> float:
        """Seconds that so many bars take, one request after the other."""
        return self.requests(bars) * self.seconds_per_request


def plan(
    places: Sequence[Place],
    timeframe: str,
    redo: Redo,
    pace: Pace,
    *,
    newest_first: bool = True,
    seconds: float = 15.0,
    bars: int = 250_000,
    stretch: int = STRETCH,
) -> list[Chunk]:
    """The chunks that fill what is to be done again, each of about so many seconds and so many bars at most.

    Neighbouring cells of a symbol become one window, of at most `stretch` bars. Windows are taken by time, so that all
    symbols advance together.
    """
    todo = [place for place in places if place.status in REDO[redo]]
    most = min(bars, stretch)
    windows = [window for group in _runs(todo, places) for window in _windows(group, pace, seconds, most)]
    windows.sort(key=lambda window: (window.last, window.symbol), reverse=newest_first)
    return _chunks(windows, timeframe, pace, seconds, bars)


def _runs(todo: Sequence[Place], places: Sequence[Place]) -> list[list[Place]]:
    """Neighbouring places of one symbol, together."""
    order = {first: n for n, first in enumerate(sorted({place.period for place in places}))}
    runs: list[list[Place]] = []
    for place in sorted(todo, key=lambda place: (place.symbol, place.period)):
        last = runs[-1][-1] if runs else None
        if last is not None and last.symbol == place.symbol and order[place.period] == order[last.period] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _windows(run: Sequence[Place], pace: Pace, seconds: float, bars: int) -> list[Window]:
    """A run cut into windows of at most so many seconds and bars; one cell at least."""
    windows: list[Window] = []
    for place in run:
        more = place.sessions * pace.bars_per_session
        last = windows[-1] if windows else None
        if last is not None and last.bars + more <= bars and pace.seconds(last.bars + more) <= seconds:
            windows[-1] = Window(last.symbol, last.first, place.wanted[1], last.cells + 1, last.bars + more)
        else:
            windows.append(Window(place.symbol, *place.wanted, 1, more))
    return windows


def _chunks(windows: Sequence[Window], timeframe: str, pace: Pace, seconds: float, bars: int) -> list[Chunk]:
    chunks: list[list[Window]] = []
    spent, held = 0.0, 0
    for window in windows:
        cost = pace.seconds(window.bars)
        if chunks and spent + cost <= seconds and held + window.bars <= bars:
            chunks[-1].append(window)
            spent, held = spent + cost, held + window.bars
        else:
            chunks.append([window])
            spent, held = cost, window.bars
    return [Chunk(timeframe, tuple(each), sum(pace.seconds(w.bars) for w in each)) for each in chunks]
