"""Data quality: bad bars are named with their rule, never mended and never silently dropped (law 8).

Two readers stand here. A *file* has an author: `findings` refuses all of it for its first fault, with file, line and
cure. A *vendor* has not: `gate` sifts what it sent row by row, the good bars go on, and each bad one goes to quarantine
with its rule, the value seen, the limit and its source, so that a person can look at it and release it.

    rules      what can be wrong with a bar, in sentences
    limits     how much is too much, and what the gate is told besides the bars
    order      bars sorted, in batches of whole symbols
    grammar    what a bar shows by itself: its fields, its range, its place in the session
    repeats    what two bars show together: duplicates, stale repeats
    steps      what a symbol's history shows: each large step with its evidence
    evidence   one such step
    verdicts   scale error, spike, split without a split, a newest step that nothing confirms yet
    gate       `sift`: all of it, in this order
    summary    the counts for a person
"""

from quaestor.quality.findings import (
    HIGHEST_PRICE,
    HIGHEST_VOLUME,
    Places,
    Rows,
    check,
    explain,
    finding,
    findings,
    merged,
    more,
    refuse,
    stamped,
)
from quaestor.quality.gate import sift
from quaestor.quality.limits import Context, Limits, Sifted, Suspicion
from quaestor.quality.rules import RULES, Rule
from quaestor.quality.summary import summary

__all__ = [
    "HIGHEST_PRICE",
    "HIGHEST_VOLUME",
    "RULES",
    "Context",
    "Limits",
    "Places",
    "Rows",
    "Rule",
    "Sifted",
    "Suspicion",
    "check",
    "explain",
    "finding",
    "findings",
    "merged",
    "more",
    "refuse",
    "sift",
    "stamped",
    "summary",
]
