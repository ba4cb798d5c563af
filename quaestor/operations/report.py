"""Report: evidence becomes a devlog with pictures, kept in the database and in a folder for people.

In order: read the evidence at one moment, render, write the pictures and then the devlog that points at them, keep the
devlog with its evidence. Run again on the same books it writes nothing new: same evidence, same bytes (law 12).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Protocol

from quaestor.analytics import KeyFigures
from quaestor.devlog import Evidence, Story, render
from quaestor.errors import BadInput
from quaestor.exchange import cents
from quaestor.pictures import draw
from quaestor.ports import EvidenceStore

DEVLOG = "devlog.md"


class Writer(Protocol):
    """Where files for people go."""

    def write(self, name: str, content: bytes) -> str:
        """Write one file, whole; its path."""
        ...


@dataclass(frozen=True, slots=True)
class Reported:
    """A report: paths of the devlog and the pictures, the figures, the text, and a summary that JSON can hold.

    `summary` has orders, fills, refusals, sessions, final_equity (dollars as text, with the cents), total_return,
    sharpe and max_drawdown (ratios; None where the range cannot say); `kept` is False when nothing had changed.
    """

    devlog: str
    figures: tuple[str, ...]
    key_figures: KeyFigures
    markdown: str
    summary: dict[str, int | float | str | None]
    kept: bool


async def report(
    evidence_store: EvidenceStore, folder: Writer, start: dt.date | None, end: dt.date | None, flow_run_id: str | None
) -> Reported:
    """Report on the settled sessions in [start, end]; before any is settled the devlog says so.

    Raises BadInput for a range that misses the settled sessions, before anything is written.
    """
    evidence = await evidence_store.evidence(start, end)
    if not evidence.closes:
        await _require_none_settled(evidence_store, start, end)
    story, markdown = Story(evidence), render(evidence)
    pictures = await asyncio.to_thread(draw, story)
    place = f"{evidence.account}-{evidence.start}_{evidence.end}" if evidence.start else f"{evidence.account}-nothing"
    paths = tuple(folder.write(f"{place}/{name}", picture) for name, picture in pictures.items())
    devlog = folder.write(f"{place}/{DEVLOG}", markdown.encode())
    kept = await evidence_store.save(evidence, markdown, flow_run_id)
    return Reported(devlog, paths, story.figures, markdown, summary(evidence, story.figures), kept)


async def _require_none_settled(store: EvidenceStore, start: dt.date | None, end: dt.date | None) -> None:
    if start and end and start > end:
        raise BadInput(f"The range {start} … {end} is empty; give a start on or before the end.")
    span = await store.span()
    if span is not None:
        asked = f"{start or 'the beginning'} … {end or 'now'}"
        raise BadInput(
            f"{store.account}: no settled session in {asked}; its books go from {span[0]} to {span[1]}. "
            "Choose a range that meets them."
        )


def summary(evidence: Evidence, figures: KeyFigures) -> dict[str, int | float | str | None]:
    """What a console or another program wants to know, ready for JSON."""
    some = figures.sessions > 0
    return {
        "sessions": figures.sessions,
        "orders": len(evidence.orders),
        "fills": len(evidence.fills),
        "refusals": len(evidence.refusals),
        "final_equity": str(cents(figures.final_equity)) if some else None,
        "total_return": round(figures.total_return, 6) if some else None,
        "sharpe": round(figures.sharpe, 6) if figures.sharpe is not None else None,
        "max_drawdown": round(figures.drawdown.depth if figures.drawdown else 0.0, 6) if some else None,
    }
