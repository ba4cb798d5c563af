"""The local stack: `up` starts database, Prefect server, worker and schedules; `down` ends them, `drain` gently."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

from quaestor import wiring
from quaestor.console import output
from quaestor.errors import BadInput, PartMissing
from quaestor.operations import drain as operation

PATIENCE = 180  # seconds for a program of ours


def up(arguments: argparse.Namespace) -> int:
    """Start everything and leave it running; what runs already is left alone."""
    del arguments
    loaded = wiring.load()
    start(loaded, schedules=True)
    prefect = wiring.local_prefect(loaded)
    output.facts(
        [
            ("Prefect UI", prefect.ui),
            ("work pool", loaded.config.prefect.work_pool),
            ("data", str(loaded.home)),
            ("logs", str(loaded.home / "logs")),
            ("next", "`quaestor run ingest/recorded` starts the loop now; `make down` ends everything"),
        ],
        title="Quaestor is up.",
    )
    return 0


def start(loaded: wiring.Loaded, *, schedules: bool) -> None:
    """Database, server, worker and registration, the slow parts side by side; what it started ends if it fails."""
    prefect, before = wiring.local_prefect(loaded), _running(loaded)
    programs: list[subprocess.Popen[str]] = []
    try:
        if not loaded.config.database.url:
            wiring.embedded(loaded).pin()
        programs.append(_program(loaded, "-m", "quaestor.console.cli", "db", "upgrade"))
        url = prefect.start_server(metadata_url=wiring.metadata_url(loaded))
        extra = [] if schedules else ["--no-schedules"]
        root = str(wiring.ROOT)
        ours = {**prefect.environment(), "PREFECT_API_URL": url}
        programs.append(_program(loaded, "-m", "deployments.register", "--root", root, *extra, **ours))
        prefect.start_worker(extra_env=_environment(loaded))
        for program, problem in zip(programs, ("Upgrading the database", "Registering at Prefect"), strict=True):
            _finish(program, problem)
        prefect.await_worker()
    except BaseException:
        for program in programs:
            program.kill()
            program.wait()
        stop(loaded, spare=before)
        raise


def _running(loaded: wiring.Loaded) -> frozenset[str]:
    """Which parts run already: server, worker, live runner, database."""
    found = wiring.local_prefect(loaded).status()
    parts = {part for part in ("server", "worker") if found[part] is not None}
    if wiring.local_runner(loaded).running:
        parts.add("runner")
    if not loaded.config.database.url and wiring.embedded(loaded).status().pinned:
        parts.add("database")
    return frozenset(parts)


def _program(loaded: wiring.Loaded, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A Python program of ours, in a process of its own: it may import what the console must not."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=wiring.ROOT,
        env={**_environment(loaded), **environment},
    )


def _environment(loaded: wiring.Loaded) -> dict[str, str]:
    found = {**os.environ, "QUAESTOR_HOME": str(loaded.home)}
    if loaded.path is not None:
        found["QUAESTOR_CONFIG"] = str(loaded.path)
    return found


def _finish(program: subprocess.Popen[str], problem: str) -> None:
    try:
        said, _ = program.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise PartMissing(
            f"{problem} took longer than {PATIENCE} s and was ended; is the machine overloaded?"
        ) from error
    if program.returncode:
        raise PartMissing(f"{problem} failed: {' '.join(said.split())[-600:]}")


def down(arguments: argparse.Namespace) -> int:
    """End everything that `up` started."""
    del arguments
    loaded = wiring.load()
    stop(loaded)
    sys.stdout.write(f"Quaestor is down: nothing runs of {loaded.home}.\n")
    return 0


def stop(loaded: wiring.Loaded, spare: frozenset[str] = frozenset()) -> None:
    """Worker first, then the live runner, the server, the database; parts named in `spare` go on.

    What is wanted of the runner stays as it was said: the next session's flow starts another.
    """
    prefect = wiring.local_prefect(loaded)
    if "worker" not in spare:
        prefect.stop_worker()
    if "runner" not in spare:
        wiring.local_runner(loaded).end()
    if "server" not in spare:
        prefect.stop()
    if not loaded.config.database.url and "database" not in spare:
        server = wiring.embedded(loaded)
        server.unpin()
        server.stop()


def drain(arguments: argparse.Namespace) -> int:
    """Let running flows end, then stop the worker: no run is left as a zombie."""
    loaded = wiring.load()
    api, pool = wiring.prefect_api(loaded), loaded.config.prefect.work_pool
    operation.drain(api, pool, wiring.local_prefect(loaded).stop_worker, patience=arguments.patience)
    sys.stdout.write("The worker has ended; nothing was running. `make up` starts it again.\n")
    if api.pool(pool).paused:
        sys.stdout.write(f"The pool {pool} stays paused, as it was found; resume it in the Prefect UI.\n")
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Start a deployment by name, with the fields of its form as JSON or name=value."""
    loaded = wiring.load()
    api = wiring.prefect_api(loaded)
    request = _request(arguments.fields)
    run_id = api.run_deployment(arguments.deployment, {"request": request} if request else {})
    if arguments.wait:
        done = api.wait(run_id, arguments.wait)
        if done.state_type != "COMPLETED":
            raise PartMissing(f"Flow run {done.name} ended as {done.state}: {done.message}")
        sys.stdout.write(f"{done.name}: {done.state}\n")
        return 0
    sys.stdout.write(f"Started {arguments.deployment}: flow run {run_id}\n")
    return 0


def _request(fields: list[str]) -> dict[str, Any]:
    """name=value pairs as a form's fields: JSON where it can be read so, else text; symbols are split at commas."""
    request: dict[str, Any] = {}
    for field in fields:
        name, given, value = field.partition("=")
        if not given:
            raise BadInput(f"{field!r} is no field; write name=value, such as end=2013-03-01 or symbols=AAPL,MSFT.")
        request[name] = value.split(",") if name == "symbols" else _value(value)
    return request


def _value(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def status(arguments: argparse.Namespace) -> int:
    """What stands where: account, books, stops, lease, Prefect."""
    loaded = wiring.load()
    found: dict[str, Any] = {"account": loaded.config.account.alias, "home": str(loaded.home)}
    with wiring.reads(loaded) as door:
        equity, lease, reconciled = door.row("equity"), door.row("lease"), door.row("last_reconcile")
        found |= door.row("counts") or {}
        found["session"] = equity["session"] if equity else None
        found["equity"] = equity["equity"] if equity else None
        found["cash"] = equity["cash"] if equity else None
        found["stops"] = wiring.stops(loaded, door)
        found["broker"] = loaded.config.broker.kind
        found["login"] = door.row("login", alias=wiring.login_of(loaded))
        found["writer"] = lease["holder"] if lease and lease["live"] else None
        found["reconciled"] = (
            {"ok": reconciled["ok"], "session": reconciled["session"], "at": reconciled["at"]} if reconciled else None
        )
    found["prefect"] = wiring.local_prefect(loaded).status()
    if arguments.json:
        output.print_json(found)
        return 0
    _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    prefect, reconciled = found["prefect"], found["reconciled"]
    stops = "; ".join(f"{stop['name']}: {stop['reason']}" for stop in found["stops"]) or "none"
    checked = (
        f"{'agree' if reconciled['ok'] else 'DIFFER'} at {reconciled['session']}" if reconciled else "never compared"
    )
    login = found["login"]
    output.facts(
        [
            ("account", f"{found['account']}, at the broker {found['broker']}"),
            ("books at", output.text(found["session"])),
            ("equity", output.money(found["equity"])),
            ("cash", output.money(found["cash"])),
            ("orders", f"{found['orders']} ({found['open_orders']} open, {found['unknown_orders']} unknown)"),
            ("fills", str(found["fills"])),
            ("refusals", str(found["refusals"])),
            ("stops", stops),
            ("books and broker", checked),
            *([("login", f"{login['state']}, {login['cure'] or login['reason']}".rstrip(", "))] if login else []),
            ("writer", output.text(found["writer"])),
            ("bars", f"{found['bars']:,} of {found['symbols']} symbols, newest {output.text(found['last_bar'])}"),
            ("prefect", prefect["url"] if prefect["healthy"] else "not running (`make up`)"),
            ("data", found["home"]),
        ]
    )  # fmt: skip
