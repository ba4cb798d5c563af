"""The demo: the main job, end to end, on real recorded prices, with the embedded parts and through Prefect.

    history to 2011-12-31, then each session of 2012-01-03 … 2013-03-01 on a simulated clock:
    ingest ──event──▶ generate-signals ──event──▶ execute ──event──▶ reconcile ──event──▶ report

Each link is one flow run of a deployment on the worker; only the first is started by hand. Every demo begins with empty
books in a folder of its own, so two of them end with the same orders, fills and equity.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor import wiring
from quaestor.console import output, stack
from quaestor.errors import BadConfig, NotFound, PartMissing, Temporary

if TYPE_CHECKING:
    from quaestor.doors.prefect_api import FlowRun, PrefectApi
    from quaestor.operations.report import Reported

FIRST_SESSION = dt.date(2012, 1, 3)
LAST_SESSION = dt.date(2013, 3, 1)
CHAIN = (
    "ingest/recorded",
    "generate-signals/daily",
    "execute/paper",
    "reconcile/paper",
    "report/daily",
)
PATIENCE = 300.0  # seconds for one link
CONFIGURATION = f"""\
# The demo's configuration: the defaults, trading from the first session of 2012.
[strategies]
first_session = {FIRST_SESSION}
"""


@dataclass
class Stage:
    """What a stage of the demo cost: wall and CPU seconds."""

    name: str
    wall: float
    cpu: float


@dataclass
class Meter:
    """Measures stages: CPU of everything the demo runs, and the most memory at once."""

    loaded: wiring.Loaded
    stages: list[Stage] = field(default_factory=list)
    peak: int = 0
    ended: float = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as one stage, and say that it is done."""
        begun, cpu = time.monotonic(), self.look()
        yield
        self.stages.append(Stage(name, time.monotonic() - begun, self.look() - cpu))
        done = self.stages[-1]
        sys.stderr.write(f"  {name:<18} {done.wall:6.1f} s   {done.cpu:6.1f} CPU s\n")

    def look(self) -> float:
        """CPU seconds until now; remembers the memory seen."""
        used = wiring.usage([os.getpid(), *self._servers()])
        self.peak = max(self.peak, used.memory)
        return used.cpu

    def _servers(self) -> list[int]:
        prefect = wiring.local_prefect(self.loaded).status()
        postgres = wiring.embedded(self.loaded).status().pid
        return [pid for pid in (prefect["server"], prefect["worker"], postgres) if isinstance(pid, int)]


def demo(arguments: argparse.Namespace) -> int:
    """Run the demo, or show the last one."""
    place = home()
    if arguments.last:
        return _show_last(place, as_json=arguments.json)
    begun = time.monotonic()
    loaded = _prepare(place)
    meter = Meter(loaded)
    sys.stderr.write(f"Quaestor demo in {place}\n")
    try:
        with meter.stage("start"):
            stack.start(loaded, schedules=False)
        _loop(loaded, meter)
        summary = _summary(loaded)
    finally:
        stack.stop(loaded)
    summary |= _costs(meter, time.monotonic() - begun, loaded)
    (place / "demo.json").write_text(json.dumps(output.plain(summary), indent=2) + "\n", encoding="utf-8")
    return _show_last(place, as_json=arguments.json)


def home() -> Path:
    """The demo's own folder: in the project, unless root runs it where the database's user cannot reach."""
    from quaestor.doors.postgres.embedded import check_reachable, default_home

    place = wiring.ROOT / ".quaestor" / "demo"
    try:
        check_reachable(place)
    except BadConfig:
        return default_home() / "demo"
    return place


def _prepare(place: Path) -> wiring.Loaded:
    """Empty books, a clean Prefect, the demo's configuration; the environment's own settings do not reach in."""
    for name in (
        "QUAESTOR_DATABASE_URL",
        "PREFECT_API_URL",
        "PREFECT_API_KEY",
        "PREFECT_API_AUTH_STRING",
        "PREFECT_PROFILE",
    ):
        os.environ.pop(name, None)
    place.mkdir(parents=True, exist_ok=True)
    os.environ["QUAESTOR_HOME"] = str(place)
    os.environ["QUAESTOR_CONFIG"] = str(place / wiring.FILE)
    (place / wiring.FILE).write_text(CONFIGURATION, encoding="utf-8")
    loaded = wiring.load()
    stack.stop(loaded)
    wiring.embedded(loaded).destroy()
    for name in ("prefect", "reports", "logs", "alerts.log", "demo.json"):
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return loaded


def _loop(loaded: wiring.Loaded, meter: Meter) -> None:
    """Start the first link and follow the events to the last."""
    api = wiring.prefect_api(loaded)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    first = api.run_deployment(CHAIN[0], {"request": {"end": LAST_SESSION.isoformat()}})
    for name in CHAIN:
        with meter.stage(name.partition("/")[0]):
            run = _follow(api, name, first if name == CHAIN[0] else None, since, meter)
        if run.state_type != "COMPLETED":
            log = loaded.home / "logs"
            raise PartMissing(
                f"{name} ended as {run.state}: {run.message or 'no message'} The worker's log is in {log}."
            )


def _follow(api: PrefectApi, name: str, run_id: str | None, since: dt.datetime, meter: Meter) -> FlowRun:
    deadline = time.monotonic() + PATIENCE
    look = api.patiently(lambda: [api.flow_run(run_id)] if run_id else api.flow_runs(since, [name]))
    runs: list[FlowRun] | None = None
    while time.monotonic() < deadline:
        runs = look() or runs
        if runs and runs[0].final:
            return runs[0]
        meter.look()
        time.sleep(0.25)
    began = f"is still {runs[0].state}" if runs else "never started"
    raise Temporary(f"{name} {began} after {PATIENCE:g} s; look at the worker's log in {meter.loaded.home / 'logs'}.")


def _summary(loaded: wiring.Loaded) -> dict[str, Any]:
    """What the report on the worker found: the same report again, which changes nothing, and tells its paths."""
    done = asyncio.run(_report(loaded))
    with wiring.reads(loaded) as door:
        newest = door.orders(limit=1)
    span = {"start": FIRST_SESSION.isoformat(), "end": LAST_SESSION.isoformat()}
    order = str(newest[0]["ref_id"])[:8] if newest else None
    span["prefect_ui"] = wiring.local_prefect(loaded).ui
    return {**span, **done.summary, "devlog": done.devlog, "figures": list(done.figures), "an_order": order}


async def _report(loaded: wiring.Loaded) -> Reported:
    async with wiring.configured_database(loaded) as database:
        alias = loaded.config.account.alias
        return await wiring.write_report(database, alias, loaded.home, FIRST_SESSION, LAST_SESSION, None)


def _costs(meter: Meter, wall: float, loaded: wiring.Loaded) -> dict[str, Any]:
    stages = {
        stage.name: {"wall_seconds": round(stage.wall, 1), "cpu_seconds": round(stage.cpu, 1)} for stage in meter.stages
    }
    return {
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(sum(stage.cpu for stage in meter.stages), 1),
        "peak_memory_mib": round(meter.peak / 2**20),
        "stages": stages,
        "home": str(loaded.home),
    }


def _show_last(place: Path, *, as_json: bool) -> int:
    """The last demo's summary."""
    path = place / "demo.json"
    if not path.exists():
        raise NotFound("No demo has ended here yet. Run `make demo`.")
    summary = json.loads(path.read_text(encoding="utf-8"))
    if as_json:
        output.print_json(summary)
        return 0
    question = f"why {summary['an_order']}" if summary["an_order"] else "status"
    cost = f"{summary['wall_seconds']} s, {summary['cpu_seconds']} CPU s, {summary['peak_memory_mib']} MiB at most"
    output.facts(
        [
            ("sessions", f"{summary['sessions']} ({summary['start']} to {summary['end']})"),
            ("orders", f"{summary['orders']:,} (and {summary['refusals']} refused)"),
            ("fills", f"{summary['fills']:,}"),
            ("final equity", _shown(summary["final_equity"], "${:,.2f}")),
            ("return", output.percent(summary["total_return"])),
            ("Sharpe ratio", _shown(summary["sharpe"], "{:.2f}")),
            ("max drawdown", output.percent(summary["max_drawdown"])),
            ("cost", cost),
            ("devlog", summary["devlog"]),
            *(("picture", figure) for figure in summary["figures"]),
            ("Prefect UI", f"{summary['prefect_ui']} after: QUAESTOR_HOME={summary['home']} make up"),
            ("ask", f"QUAESTOR_HOME={summary['home']} .venv/bin/quaestor {question}"),
        ],
        title="The demo traded:",
    )  # fmt: skip
    return 0


def _shown(value: str | float | None, form: str) -> str:
    """A figure, or a dash where nothing was traded that it could be computed from."""
    return "–" if value is None else form.format(float(value))
