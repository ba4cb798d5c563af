"""`make bench [ONLY=area]`: every figure with its goal and verdict; results in bench-results.json.

A benchmark is a module `bench_<area>.py` or `bench_<area>_<part>.py` beside this file with a function `figures()` that
yields `Figure`s. A goal is written as it is checked: "<= 0.5" or ">= 3". Figures are CPU seconds or ratios taken in one
run; bare wall time, a median, only where the goal itself is one. What stands behind a figure is a `note`.
"""

from __future__ import annotations

import importlib.util
import json
import operator
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "bench-results.json"
AREAS = ("data", "orders", "live", "research", "console", "devlog", "knowledge", "azure", "evolve")
MODULE = "--module"  # how this file calls itself for one module
RELATIONS = {"<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True)
class Figure:
    """One measured figure and what it must reach."""

    name: str
    value: float
    unit: str
    goal: str

    @property
    def ok(self) -> bool:
        """Whether the goal is reached."""
        relation, _, bound = self.goal.partition(" ")
        return bool(RELATIONS[relation](self.value, float(bound)))


def note(said: str) -> None:
    """Tell what was seen on the way to a figure; it has no goal and goes to no file."""
    sys.stdout.write(f"      {said}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run all areas, or those named; 0 when every goal is reached."""
    if arguments[:1] == [MODULE]:
        area, path, told = arguments[1:]
        Path(told).write_text(json.dumps(list(_module(area, Path(path)))), encoding="utf-8")
        return 0
    unknown = [area for area in arguments if area not in AREAS]
    if unknown:
        sys.stderr.write(f"bench: unknown area {unknown[0]!r}; there are: {', '.join(AREAS)}\n")
        return 2
    note(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}; ratios stand a load, wall time does not")
    rows = [row for area in arguments or AREAS for row in _area(area)]
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return int(not all(row["ok"] for row in rows))


def _area(area: str) -> Iterator[dict[str, object]]:
    modules = [*HERE.glob(f"bench_{area}.py"), *sorted(HERE.glob(f"bench_{area}_*.py"))]
    if not modules:
        sys.stdout.write(f"      {area:<9} no figure yet\n")
    for path in modules:
        yield from _apart(area, path)


def _apart(area: str, path: Path) -> list[dict[str, object]]:
    """A module in a process of its own: what one leaves in memory costs the next one nothing."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        subprocess.run([sys.executable, __file__, MODULE, area, str(path), str(rows)], check=True)
        found: list[dict[str, object]] = json.loads(rows.read_text(encoding="utf-8"))
    return found


def _module(area: str, path: Path) -> Iterator[dict[str, object]]:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    for figure in module.figures():
        verdict = "ok  " if figure.ok else "MISS"
        said = f"{figure.name:<58} {figure.value:>9.3f} {figure.unit:<9} goal {figure.goal}"
        sys.stdout.write(f"{verdict}  {area:<9} {said}\n")
        sys.stdout.flush()
        yield {"area": area, **asdict(figure), "value": round(figure.value, 6), "ok": figure.ok}


if __name__ == "__main__":
    sys.modules["run"] = sys.modules[__name__]  # benchmarks say `from run import Figure` and get this very module
    sys.exit(main(sys.argv[1:]))
