"""The local Prefect: a server and one worker as processes of ours, started by `up` and `demo`, ended by `down`.

Each process leads a session of its own (a Ctrl-C in the terminal is not its business, and SIGINT is not ignored in it,
as it would be after a shell's `&`). What we started is written down with the process's birth, so a number that the
system gave to another program is never signalled. Stopping goes in order: worker, its flow runs, server; a run that is
under way then stays Running for the zombie reaper, so `quaestor drain` comes first where that matters.

A fresh server spends most of its start on migrating an empty database. The first one of a Prefect version leaves a
copy of that empty, migrated database behind, and later ones start from it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from quaestor.errors import BadInput, PartMissing

HOST = "127.0.0.1"
USUAL_PORT = 4200
LOG_BYTES = 20_000_000  # a longer log is put aside at the next start
# What `prefect server start` runs, on a socket that is given to it, without the console's second of imports.
SERVER = """
import socket, sys, uvicorn
app = "prefect.server.api.server:create_app"
config = uvicorn.Config(app, factory=True, log_level="warning", timeout_keep_alive=5)
uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""
Part = Literal["server", "worker"]
NOT_THEIRS = ("PREFECT_", "QUAESTOR_DATABASE_URL")
ON_SQLITE = {"PREFECT_SERVER_EVENTS_MESSAGING_BROKER": "deployments.messaging"}  # waits where SQLite is locked


@dataclass(frozen=True)
class Process:
    """A process we started; `born` is the system's word for when, and tells it from a later one of the same number."""

    pid: int
    born: str
    port: int = 0

    @property
    def alive(self) -> bool:
        """Whether it is still this process, and no zombie."""
        return birth(self.pid) == self.born


class LocalPrefect:
    """Server and worker of one data folder.

    home: the data folder (QUAESTOR_HOME); root: the project, where flows run and `deployments/server.env` is;
    port: 0 takes 4200 or else a free one; template: where the empty, migrated database is kept between homes.
    """

    def __init__(
        self, home: Path, root: Path, port: int = 0, *, pool: str = "quaestor", template: Path | None = None
    ) -> None:
        self.home = home.absolute()
        self.root = root.absolute()
        self.wanted_port = port
        self.pool = pool
        self.template = template or self.home / "cache" / f"prefect-{version('prefect')}.sqlite"

    # ── what is there ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def port(self) -> int:
        """Port of the running server, or 0."""
        server = self._process("server")
        return server.port if server else 0

    @property
    def url(self) -> str:
        """The API of the running server; raises PartMissing when none runs."""
        if not self.port:
            raise PartMissing("No local Prefect server runs. Start it with `quaestor up`.")
        return f"http://{HOST}:{self.port}/api"

    @property
    def ui(self) -> str:
        """Where a person looks."""
        return self.url.removesuffix("/api")

    def status(self) -> dict[str, str | int | bool | None]:
        """What runs: for `quaestor status` and `doctor`."""
        server, worker = self._process("server"), self._process("worker")
        return {
            "server": server.pid if server else None,
            "worker": worker.pid if worker else None,
            "url": self.url if server else None,
            "healthy": bool(server and _answers(server.port)),
            "logs": str(self.home / "logs"),
        }

    def _process(self, part: Part) -> Process | None:
        process = self._recorded(part)
        return process if process and process.alive else None

    def _recorded(self, part: Part) -> Process | None:
        try:
            return Process(**json.loads(self._state(part).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def _state(self, part: Part) -> Path:
        return self.home / "run" / f"prefect-{part}.json"

    def log(self, part: Part) -> Path:
        """Where the process writes."""
        return self.home / "logs" / f"prefect-{part}.log"

    # ── start ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def start_server(self, *, timeout: float = 120, metadata_url: str = "") -> str:
        """Start the server unless it runs; its API's URL once it answers.

        metadata_url: `postgresql+asyncpg://…` of a PostgreSQL with pg_trgm; empty: SQLite in the data folder.
        Raises BadInput for a port in use and PartMissing, with its last words, when the server dies.
        """
        if server := self._process("server"):
            self._await_server(server, timeout)
            return self.url
        fresh = not metadata_url and self._lay_template()
        extra = {"PREFECT_API_DATABASE_CONNECTION_URL": metadata_url} if metadata_url else ON_SQLITE
        with self._take_port() as listener:  # taken now: the server itself would listen only after a long start
            port = int(listener.getsockname()[1])
            env = {**self.environment(port), **server_settings(self.root), **extra, "PREFECT__SERVER_FINAL": "1"}
            command = [sys.executable, "-c", SERVER, str(listener.fileno())]
            server = self._launch("server", command, env, port, listener.fileno())
        self._await_server(server, timeout)
        if fresh:
            self._keep_template()
        return self.url

    def start_worker(self, *, limit: int = 4, poll: float = 1.0, extra_env: Mapping[str, str] | None = None) -> int:
        """Start the process worker unless it runs; its pid. Raises PartMissing where no server runs.

        limit: flow runs at a time, about 150 MB each; poll: seconds between two looks for work.
        """
        if worker := self._process("worker"):
            return worker.pid
        command = [sys.executable, "-m", "prefect", "--no-prompt", "worker", "start", "--type", "process"]
        command += ["--pool", self.pool, "--name", f"local-{os.getpid()}", "--limit", str(limit)]
        command += ["--install-policy", "never", "--base-job-template", str(self._write_template())]
        env = {
            "PREFECT_WORKER_QUERY_SECONDS": str(poll),
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # the zombie reaper's measure: three missed are a death
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self._temporary()),
        }
        return self._launch("worker", command, {**self.environment(extra=extra_env or {}), **env}).pid

    def await_worker(self, timeout: float = 60) -> None:
        """Wait until the server knows the worker as online; raises PartMissing, with its last words, when it is not."""
        end = time.monotonic() + timeout
        place = f"{self.url}/work_pools/{self.pool}/workers/filter"
        while not (worker := self._process("worker")) or not _online(place):
            if not worker or time.monotonic() > end:
                raise PartMissing(f"The Prefect worker is not online. {self._last_words('worker')}")
            time.sleep(0.2)

    def _temporary(self) -> Path:
        """For what Prefect's runner would leave in the system's temp folder, where users get in each other's way."""
        path = self.home / "run" / "tmp"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _write_template(self) -> Path:
        """The pool's form, for a worker that comes before `deployments/register.py` has made the pool."""
        path = self.home / "run" / "work-pool.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(pool_template(self.root)))
        return path

    def _launch(
        self, part: Part, command: list[str], env: Mapping[str, str], port: int = 0, *inherited: int
    ) -> Process:
        for folder in (self.home / "run", self.home / "logs", self.home / "prefect"):
            folder.mkdir(parents=True, exist_ok=True)
        if self.log(part).exists() and self.log(part).stat().st_size > LOG_BYTES:
            self.log(part).replace(self.log(part).with_suffix(".1.log"))
        with self.log(part).open("ab") as log:
            child = subprocess.Popen(
                command,
                cwd=self.root,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=inherited,
            )
        _CHILDREN[child.pid] = child
        process = Process(child.pid, birth(child.pid) or "", port)
        state = self._state(part)
        state.with_suffix(".new").write_text(json.dumps(asdict(process)))
        state.with_suffix(".new").replace(state)
        return process

    def environment(self, port: int = 0, extra: Mapping[str, str] = MappingProxyType({})) -> dict[str, str]:
        """The environment of our Prefect processes: this one's and `extra`, without another Prefect's settings.

        Without the books' URL too, which may hold a password: flow runs open the books by their block and the vault.
        """
        kept = {key: value for key, value in {**os.environ, **extra}.items() if not key.startswith(NOT_THEIRS)}
        url = f"http://{HOST}:{port}/api" if port else self.url
        paths = [str(self.root), *filter(None, [kept.get("PYTHONPATH")])]
        return {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(paths),
            "QUAESTOR_HOME": str(self.home),
            "PREFECT_HOME": str(self.home / "prefect"),
            "PREFECT_API_URL": url,
            "PREFECT_UI_API_URL": url,  # else the UI asks whichever server this shell was used with before
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_LOGGING_EXTRA_LOGGERS": "quaestor",  # alerts and warnings stand on the run's page
            "DO_NOT_TRACK": "1",
        }

    def _take_port(self) -> socket.socket:
        for port in [self.wanted_port] if self.wanted_port else [USUAL_PORT, 0]:
            if listener := _listen(port):
                return listener
        raise BadInput(
            f"Port {self.wanted_port} on {HOST} is in use. Choose another with `[prefect] port` in quaestor.toml, or"
            " stop what listens there; 0 takes a free one."
        )

    def _await_server(self, server: Process, timeout: float) -> None:
        end = time.monotonic() + timeout
        while not _answers(server.port):
            if not server.alive:
                self._forget("server")
                raise PartMissing(f"The Prefect server ended at its start. {self._last_words('server')}")
            if time.monotonic() > end:
                raise PartMissing(f"The Prefect server is not ready after {timeout:g} s. {self._last_words('server')}")
            time.sleep(0.1)

    def _last_words(self, part: Part, lines: int = 6) -> str:
        log = self.log(part)
        words = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
        return f"Log: {log}" + "".join(f"\n  {word[:300]}" for word in words)

    # ── the empty database ────────────────────────────────────────────────────────────────────────────────────────────

    def _lay_template(self) -> bool:
        """Put the empty, migrated database where a fresh server looks; whether this server is fresh and had none."""
        database = self.home / "prefect" / "prefect.db"
        if database.exists():
            return False
        if not self.template.exists():
            return True
        database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.template, database)
        return False

    def _keep_template(self) -> None:
        self.template.parent.mkdir(parents=True, exist_ok=True)
        new = self.template.with_suffix(f".{os.getpid()}")
        with (
            closing(sqlite3.connect(self.home / "prefect" / "prefect.db", timeout=30)) as source,
            closing(sqlite3.connect(new)) as copy,
        ):
            source.backup(copy)
            copy.execute("DELETE FROM configuration")  # a server's own keys stay its own
            copy.commit()
        new.replace(self.template)

    # ── stop ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def stop(self, *, patience: float = 10) -> None:
        """End worker, its flow runs and server, in this order; nothing of ours is left. Twice is as good as once."""
        self.stop_worker(patience=patience)
        self._end("server", patience)

    def stop_worker(self, *, patience: float = 10) -> None:
        """End the worker and its flow runs."""
        self._end("worker", patience)

    def _end(self, part: Part, patience: float) -> None:
        if process := self._process(part):
            for sign in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, sign)
                if _gone(process, patience):
                    break
        self._sweep(part)
        self._forget(part)

    def _sweep(self, part: Part) -> None:
        """Kill what the process left in its session: flow runs whose worker died first."""
        mark = f"PREFECT_HOME={self.home / 'prefect'}".encode()
        leader = self._recorded(part)
        for pid in _session(leader.pid, mark) if leader else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _forget(self, part: Part) -> None:
        self._state(part).unlink(missing_ok=True)


_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # those this very process started: they must be reaped


def server_settings(root: Path) -> dict[str, str]:
    """`deployments/server.env` as a mapping."""
    lines = (root / "deployments" / "server.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def pool_template(root: Path) -> dict[str, Any]:
    """The form of the work pool: flow runs start in the project's folder, with one start of Python."""
    template: dict[str, Any] = json.loads((root / "deployments" / "work-pool.json").read_text())
    template["variables"]["properties"]["working_dir"]["default"] = str(root)
    return template


def birth(pid: int) -> str | None:
    """When the process was born, in the system's own words; None when it is gone or a zombie."""
    if (child := _CHILDREN.get(pid)) and child.poll() is not None:
        return None
    try:
        # after the name, which may hold anything: state, parent, group, session, …; the 22nd of all is the start
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _birth_by_ps(pid)
    if state == "Z" and child:
        child.wait()
    return None if state == "Z" else rest[18]


def _birth_by_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
    )
    state, _, born = answer.stdout.strip().partition(" ")
    return born.strip() if born and not state.startswith("Z") else None


def _session(leader: int, mark: bytes) -> list[int]:
    """Processes of the leader's session that carry our mark in their environment (Linux; none elsewhere)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError):
            if os.getsid(int(folder.name)) == leader and mark in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def _gone(process: Process, patience: float) -> bool:
    end = time.monotonic() + patience
    while process.alive:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _listen(port: int) -> socket.socket | None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server just ended may linger
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError:
        listener.close()
        return None
    return listener


def _answers(port: int) -> bool:
    return _ask(f"http://{HOST}:{port}/api/health") is True


def _online(place: str) -> bool:
    return bool(_ask(place, b'{"workers": {"status": {"any_": ["ONLINE"]}}}'))


def _ask(place: str, body: bytes | None = None) -> Any:
    """The server's answer, or None; an office's proxy knows nothing of it."""
    request = urllib.request.Request(place, body, {"Content-Type": "application/json"})  # noqa: S310 - our own server
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=2) as answer:
            return json.loads(answer.read())
    except OSError:
        return None
