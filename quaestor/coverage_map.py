"""Coverage as a map: symbols down, time across, one mark a cell, so that a hole is seen at a glance.

Where there are more periods than columns, neighbours share one: months become quarters, years or as much as it takes,
and the worst of them gives the mark.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from quaestor.coverage import COMPLETE, Place, Status

MARKS: dict[Status, str] = {  # the worst first
    "failed": "x",
    "quarantined": "q",
    "missing": "·",
    "partial": "▒",
    "present": "█",
    "empty": "-",
}
WORST = {status: rank for rank, status in enumerate(MARKS)}
LEGEND = "█ present   ▒ partly   · missing   q bars in quarantine   x failed   - the source has none"
ON_A_PAGE = str.maketrans("█▒·", "#+.")  # a browser's font for code has no blocks of a letter's width


@dataclass(frozen=True)
class Line:
    """One symbol: its marks from left to right, its worst status, and how many cells stand how."""

    symbol: str
    marks: str
    worst: Status
    counts: Counter[Status]


def axis(columns: Sequence[tuple[dt.date, dt.date]]) -> str:
    """The years (or days, of a short map) at the columns where they begin, as far apart as they can be read."""
    years = len({first.year for first, _ in columns}) > 2
    text = ""
    for at, (first, _) in enumerate(columns):
        label = f"{first.year}" if years else f"{first:%Y-%m-%d}"
        new = at == 0 or not years or first.year != columns[at - 1][0].year
        if new and at >= len(text) + bool(text):
            text = f"{text:<{at}}{label}"
    return text


@dataclass(frozen=True)
class Map:
    """The lines, and the first and last period of each column."""

    columns: Sequence[tuple[dt.date, dt.date]]
    lines: Sequence[Line]

    @property
    def counts(self) -> Counter[Status]:
        """Cells by status, of all symbols."""
        return sum((line.counts for line in self.lines), Counter())

    @property
    def title(self) -> str:
        """What it shows, in a sentence."""
        if not self.columns:
            return "No cells."
        total, there = self.counts.total(), sum(self.counts[status] for status in COMPLETE)
        periods = f"{self.columns[0][0]} to {self.columns[-1][1]}"
        symbols = "1 symbol" if len(self.lines) == 1 else f"{len(self.lines)} symbols"
        return f"{symbols}, {periods}: {there:,} of {total:,} cells are complete."


def draw(places: Sequence[Place], width: int = 60) -> Map:
    """The map of some places, at most `width` columns wide; symbols in the order of the places."""
    width = max(1, width)
    periods = sorted({place.period for place in places})
    share = -(-len(periods) // width) if periods else 1
    column = {first: n // share for n, first in enumerate(periods)}
    groups = [periods[n : n + share] for n in range(0, len(periods), share)]
    lines: dict[str, list[Place]] = {}
    for place in places:
        lines.setdefault(place.symbol, []).append(place)
    drawn = [_line(symbol, own, column, len(groups)) for symbol, own in lines.items()]
    return Map([(group[0], group[-1]) for group in groups], drawn)


def _line(symbol: str, places: Sequence[Place], column: dict[dt.date, int], width: int) -> Line:
    cells: list[Status | None] = [None] * width
    for place in places:
        at = column[place.period]
        old = cells[at]
        cells[at] = place.status if old is None else min(old, place.status, key=WORST.__getitem__)
    counts = Counter(place.status for place in places)
    marks = "".join(MARKS[status] if status else " " for status in cells)
    return Line(symbol, marks, min(counts, key=WORST.__getitem__), counts)


def markdown(drawn: Map, limit: int = 200) -> str:
    """The map for a page: the lines in fixed width, the worst symbols first where not all fit, and the legend."""
    lines = sorted(drawn.lines, key=lambda line: WORST[line.worst])[:limit] if len(drawn.lines) > limit else drawn.lines
    wide = max((len(line.symbol) for line in lines), default=0)
    rows = [f"{'':<{wide}}  {axis(drawn.columns)}", *(f"{line.symbol:<{wide}}  {line.marks}" for line in lines)]
    left = len(drawn.lines) - len(lines)
    more = [f"… and {left:,} symbols that stand no worse"] if left else []
    legend = LEGEND.replace("   ", "  ")  # a page is 88 letters wide
    return "\n".join(["```", *rows, *more, "", legend, "```", ""]).translate(ON_A_PAGE)
