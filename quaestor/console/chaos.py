"""The chaos kit: play what a trader should fear, and see what holds."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence

from quaestor import wiring
from quaestor.chaos import SCENARIOS, Played
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.errors import NotFound

CLEAR = "\r\x1b[2K"
OFTEN = 5.0  # seconds


def scenarios(arguments: argparse.Namespace) -> int:
    """What can be played: threat, what must hold, and by which law."""
    rows = [{"name": s.name, "threat": s.threat, "expected": s.expected, "law": s.law} for s in SCENARIOS.values()]
    if arguments.json:
        output.print_json({"scenarios": rows})
        return 0
    output.table(
        rows,
        [Column("name", "scenario"), Column("threat", "threat"), Column("law", "laws")],
        title="`quaestor chaos run NAME` plays one, `quaestor chaos run all` plays each",
    )
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Play scenarios with real processes on a database of their own; exit code 0 only if all hold."""
    if arguments.scenario != "all" and arguments.scenario not in SCENARIOS:
        raise NotFound.named("scenario", arguments.scenario, [*SCENARIOS, "all"])
    names = list(SCENARIOS) if arguments.scenario == "all" else [arguments.scenario]
    played = _play(names, arguments.runs, arguments.seed, quiet=arguments.json)
    if arguments.json:
        rows = [
            {"name": p.scenario.name, "ok": p.ok, "expected": p.scenario.expected, "seen": _seen(p)} for p in played
        ]
        output.print_json({"scenarios": rows})
    return 0 if all(each.ok for each in played) else 1


def _play(names: Sequence[str], runs: int, seed: int, *, quiet: bool) -> list[Played]:
    from quaestor.console.stage import Stage
    from quaestor.operations.chaos import Rehearsal

    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # a database that is killed is no news here
    played = []
    show = Show(quiet=quiet)
    show.line("Setting the stage: a database of its own, recorded prices, one undisturbed run …")
    with Stage(wiring.home() / "chaos") as stage:
        rehearsal = Rehearsal.prepared(stage, seed, show.progress)
        orders, points = len(rehearsal.undisturbed.broker), len(rehearsal.points)
        show.line(f"{orders} orders, {points} points at which a process may die.")
        for name in names:
            show.line(f"\n{name}: {SCENARIOS[name].threat}")
            begun = time.monotonic()
            played.append(rehearsal.play(name, runs))
            show.line(f"  expected  {SCENARIOS[name].expected}")
            show.line(f"  {'seen' if played[-1].ok else 'WRONG':8}  {_seen(played[-1])}")
            show.line(f"  took      {time.monotonic() - begun:.0f} s")
    wrong = [each.scenario.name for each in played if not each.ok]
    verdict = f"{len(played) - len(wrong)} of {len(played)} scenarios hold"
    show.line(f"\n{verdict}{': not ' + ', '.join(wrong) if wrong else ''}.")
    return played


class Show:
    """Lines as they come; how far a scenario is, on a terminal in one line that is written over."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._over = sys.stdout.isatty()
        self._last = time.monotonic()

    def line(self, words: str) -> None:
        """For good."""
        if not self._quiet:
            sys.stdout.write(f"{CLEAR if self._over else ''}{words}\n")
            sys.stdout.flush()

    def progress(self, words: str) -> None:
        """For now; where lines cannot be written over, one every few seconds."""
        if self._quiet or (not self._over and time.monotonic() - self._last < OFTEN):
            return
        self._last = time.monotonic()
        sys.stdout.write(f"{CLEAR}  {words}" if self._over else f"  {words}\n")
        sys.stdout.flush()


def _seen(played: Played) -> str:
    """What was seen; of contradictions the first few."""
    if played.ok:
        return played.seen
    more = f" … and {len(played.wrong) - 5} more" if len(played.wrong) > 5 else ""
    return f"{played.seen}; " + "; ".join(played.wrong[:5]) + more
