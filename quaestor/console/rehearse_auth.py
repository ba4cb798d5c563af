"""The rehearsal of a login: days and months of it within seconds, with what may go wrong, and what that costs."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from typing import Any

from quaestor import wiring
from quaestor.console import output
from quaestor.console.throwaway import throwaway
from quaestor.custody.rehearsals import BROKEN, FAULTS, Plan, named, planned
from quaestor.operations.custody.rehearsed import Found


def rehearse(arguments: argparse.Namespace) -> int:
    """Play it on servers and a database of its own; exit code 0 only if nobody had to act and nothing was lost."""
    plan = planned(arguments.days, named(arguments.faults), arguments.seed)
    begun = time.monotonic()
    found = _played(plan)
    if arguments.json:
        output.print_json(found.as_row())
    else:
        _show(found, time.monotonic() - begun)
    for problem in found.problems:
        sys.stderr.write(f"WRONG: {problem}\n")
    return 1 if found.problems else 0


def _played(plan: Plan) -> Found:
    from quaestor.operations.custody.rehearsing import Rehearsal

    async def work(uri: str) -> Found:
        async with wiring.auth_stage(uri, files, plan, home) as stage:
            return await Rehearsal(stage, plan).play()

    home = wiring.home() / "rehearsal"
    with throwaway(home) as (uri, files):
        return asyncio.run(work(uri))


def _show(found: Found, seconds: float) -> None:
    rows = [(name.replace("_", " "), value) for name, value in found.as_row().items() if name != "faults"]
    rows.insert(4, ("trading minutes looked at", found.minutes))
    output.facts(rows, title=f"A login, {found.days} days of it in {seconds:.0f} s")
    for name, seen in found.faults.items():
        sys.stdout.write(f"\n{name}: {FAULTS[name]}\n  {_words(seen)}\n")
    if BROKEN in found.faults:
        sys.stdout.write(f"\n{BROKEN} was played after those days, apart: it is the one that a person must heal.\n")


def _words(seen: dict[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in seen.items())
