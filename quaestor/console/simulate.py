"""`quaestor chaos simulate`: sessions under faults, in memory, by the thousand; a failing seed is told and replays."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from quaestor.console import output, simulation
from quaestor.console.simulation import Simulated, Summary
from quaestor.errors import BadInput

SHOWN = 5  # contradictions of a failing seed


def simulate(arguments: argparse.Namespace) -> int:
    """Play seeds; one alone tells all that happened in its world. Exit code 0 only if none contradicts itself."""
    if arguments.runs < 1:
        raise BadInput("Nothing to play: give --runs of at least 1.")
    if arguments.runs == 1:
        return _replayed(simulation.simulate(arguments.seed), as_json=arguments.json)
    seeds = range(arguments.seed, arguments.seed + arguments.runs)
    quiet = arguments.json or not sys.stdout.isatty()
    began = time.monotonic()
    summary = simulation.spread(seeds, (lambda _: None) if quiet else _how_far(arguments.runs))
    took = round(time.monotonic() - began, 1)
    if arguments.json:
        output.print_json({**_figures(summary), "seconds": took, "failing": _failing(summary)})
    else:
        _tell(summary, took)
    return 1 if summary.failing else 0


def _how_far(runs: int) -> Callable[[Summary], object]:
    return lambda summary: sys.stdout.write(f"\r{summary.runs:,} of {runs:,}\r")


def _figures(summary: Summary) -> dict[str, object]:
    return {
        "runs": summary.runs,
        "stories": dict(sorted(summary.stories.items())),
        "orders": summary.orders,
        "processes": summary.processes,
        "died": summary.deaths,
        "places": len(summary.places),
        "overtaken": summary.thefts,
        "faults": summary.faults.total(),
        "by_fault": {fault.value: count for fault, count in summary.faults.most_common()},
    }


def _failing(summary: Summary) -> list[dict[str, object]]:
    return [{"seed": seed, "wrong": list(wrong[:SHOWN])} for seed, wrong in sorted(summary.failing.items())]


def _tell(summary: Summary, took: float) -> None:
    kinds = ", ".join(f"{fault} {count:,}" for fault, count in summary.faults.most_common())
    stories = ", ".join(f"{story} {count:,}" for story, count in summary.stories.most_common())
    output.facts(
        [
            ("runs", f"{summary.runs:,} in {took:g} s ({stories})"),
            ("orders", f"{summary.orders:,} at the broker"),
            ("processes", f"{summary.processes:,}; {summary.deaths:,} died, at {len(summary.places)} places"),
            ("overtaken", f"{summary.thefts:,} while they slept"),
            ("faults", f"{summary.faults.total():,}: {kinds}"),
            ("failing seeds", f"{len(summary.failing):,}"),
        ]
    )
    for seed, wrong in sorted(summary.failing.items()):
        sys.stdout.write(f"seed {seed}: `quaestor chaos simulate --runs 1 --seed {seed}` replays it\n")
        sys.stdout.writelines(f"  {each}\n" for each in wrong[:SHOWN])


def _replayed(run: Simulated, *, as_json: bool) -> int:
    """One seed, with all that happened in its world."""
    facts = {"seed": run.seed, "story": run.story, "digest": run.digest, "orders": run.orders, "died": run.deaths}
    if as_json:
        output.print_json({**facts, "wrong": list(run.wrong), "log": list(run.log)})
        return 1 if run.wrong else 0
    output.facts([(name, str(value)) for name, value in facts.items()])
    sys.stdout.writelines(f"  {each}\n" for each in run.log)
    sys.stdout.writelines(f"WRONG  {each}\n" for each in run.wrong)
    return 1 if run.wrong else 0
