"""`GET /metrics`: the live run's newest figures and the books', as Prometheus reads them.

The figures are those of the run's last heartbeat (its fact `metrics`), two seconds old as a rule. How old they are
stands beside them (`quaestor_live_beat_age_seconds`), and `quaestor_live_up` is 0 once the run ended or fell silent.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quaestor.doors.prometheus import CONTENT_TYPE, Family, gauge, of_run, text
from quaestor.live.watching import HEARTBEAT

if TYPE_CHECKING:
    from quaestor.doors.postgres.reads import Reads
    from quaestor.ports_live import LiveRun

__all__ = ["CONTENT_TYPE", "SILENT", "Books", "page", "read"]
SILENT = HEARTBEAT  # without a beat for so long a run is held for dead

COUNTS = {
    "open_orders": "Orders that may still fill.",
    "unknown_orders": "Orders that may or may not exist at the broker.",
}
CLOSING = {
    "equity": "Equity at the newest settled session.",
    "cash": "Cash at the newest settled session.",
    "realized": "Realized since the beginning, at the newest settled session.",
    "unrealized": "Unrealized at the newest settled session.",
}


@dataclass(frozen=True)
class Books:
    """What the books say: orders counted, the newest settled session, what stops entries, whether a writer lives."""

    counts: Mapping[str, Any]
    equity: Mapping[str, Any]
    latches: Sequence[str]
    leased: bool


def read(door: Reads) -> Books:
    """Out of the database, at one moment."""
    return Books(
        door.row("counts") or {},
        door.row("equity") or {},
        tuple(row["name"] for row in door.rows("latches")),
        bool((door.row("lease") or {}).get("live")),
    )


def page(account: str, run: LiveRun | None, books: Books, now: dt.datetime) -> str:
    """The whole page."""
    return text([*_live(run, now), *_books(books)], {"account": account})


def _live(run: LiveRun | None, now: dt.datetime) -> Iterator[Family]:
    age = None if run is None else max(0.0, (now - (run.beat_at or run.started_at)).total_seconds())
    up = run is not None and run.ended_at is None and age is not None and age < SILENT.total_seconds()
    yield gauge("quaestor_live_up", "Whether a live run is at work: it has not ended and its heart beats.", float(up))
    if run is not None:
        yield gauge("quaestor_live_beat_age_seconds", "Since the run's last heartbeat.", age)
        about = {"run": str(run.id), "commit": run.commit, "outcome": run.outcome}
        yield gauge("quaestor_live_run_info", "The newest run.", 1.0, about)
        yield gauge("quaestor_live_started_seconds", "When it began, since 1970.", run.started_at.timestamp())
        yield from of_run(run.facts.get("metrics") or {})


def _books(books: Books) -> Iterator[Family]:
    for name, said in COUNTS.items():
        yield gauge(f"quaestor_books_{name}", said, books.counts.get(name))
    for name, said in CLOSING.items():
        yield gauge(f"quaestor_books_{name}_dollars", said, books.equity.get(name))
    yield gauge("quaestor_books_leased", "Whether somebody holds the account's lease.", float(books.leased))
    yield gauge("quaestor_books_latches", "Latches that stop entries.", len(books.latches))
    stopped = tuple(("", {"latch": name}, 1.0) for name in sorted(set(books.latches)))
    yield Family("quaestor_books_latch", "gauge", "Each of them.", stopped)
