"""Prefect's REST API over plain HTTP: how the console, the drain and the live runner see Prefect without importing it.

Importing Prefect costs seconds of CPU; one request costs milliseconds. Every call has a timeout. What is not there is
said with its cure: a server that does not answer is `PartMissing`, one that stumbles is `Temporary`, an unknown
deployment or run is `NotFound`, a refused request is `BadInput`. Who waits for a run is patient with the first two: an
hour's work is not given up for one slow answer.
"""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from quaestor.errors import BadInput, NotFound, PartMissing, Temporary

PAGE = 200  # the server's own limit of objects in one answer
FINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
BUSY = ("PENDING", "RUNNING", "CANCELLING")
LOCAL = "http://127.0.0.1:4200/api"

T = TypeVar("T")
Method = Literal["GET", "POST", "PATCH", "DELETE"]


class _Exists(BadInput):
    """Somebody else has just created it."""


class _Busy(Temporary):
    """The server turned the request away before it did anything."""


class _Away(PartMissing):
    """Nobody listens there, for a moment or for good."""


@dataclass(frozen=True)
class FlowRun:
    """A run as Prefect knows it; `state_type` is Prefect's upper-case kind, `state` the name a person reads."""

    id: str
    name: str
    deployment_id: str | None
    state: str
    state_type: str
    message: str
    expected: dt.datetime | None
    started: dt.datetime | None
    ended: dt.datetime | None
    parameters: Mapping[str, Any]
    tags: tuple[str, ...] = ()

    @property
    def final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.state_type in FINAL


@dataclass(frozen=True)
class Deployment:
    """`name` is `flow/deployment`, as one writes it to start a run."""

    id: str
    name: str
    pool: str | None
    queue: str | None
    paused: bool
    status: str
    entrypoint: str


@dataclass(frozen=True)
class Pool:
    """A work pool: status READY, NOT_READY (no worker online) or PAUSED; workers are the names of those online."""

    name: str
    status: str
    paused: bool
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Queue:
    """A work queue: a smaller priority goes first; `limit` is runs at a time, None: as many as the worker takes."""

    name: str
    priority: int
    limit: int | None = None
    description: str = ""


@dataclass(frozen=True)
class PrefectApi:
    """A client of one server.

    url: ends in /api; auth: `user:password` of the server, or a Prefect Cloud key; timeout: seconds per request (one
    that waits for its SQLite file is slow; leaving it in the middle of a write makes it slower); patience: seconds
    without an answer that one who waits for a run puts up with.
    """

    url: str = LOCAL
    auth: str = field(default="", repr=False)
    timeout: float = 30.0
    patience: float = 60.0

    # ── server ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def healthy(self) -> bool:
        """Whether the server answers."""
        try:
            return self._call("GET", "/health") is True
        except (PartMissing, Temporary, NotFound, BadInput):
            return False

    # ── deployments and runs ──────────────────────────────────────────────────────────────────────────────────────────

    def deployments(self) -> list[Deployment]:
        """All deployments, by name."""
        flows = {row["id"]: row["name"] for row in self._pages("/flows/filter", {})}
        found = [_deployment(row, flows.get(row["flow_id"], "?")) for row in self._pages("/deployments/filter", {})]
        return sorted(found, key=lambda one: one.name)

    def deployment(self, name: str) -> Deployment:
        """One deployment by `flow/deployment`; raises NotFound with the nearest known name."""
        flow, _, last = name.partition("/")
        path = f"/deployments/name/{urllib.parse.quote(flow)}/{urllib.parse.quote(last)}"
        try:
            return _deployment(self._call("GET", path), flow)
        except NotFound as error:
            known = [one.name for one in self.deployments()]
            cure = "Deploy with `python -m deployments.register`."
            raise NotFound.named("deployment", name, known, cure) from error

    def run_deployment(
        self,
        name: str,
        parameters: Mapping[str, Any],
        *,
        tags: Iterable[str] = (),
        idempotency_key: str | None = None,
    ) -> str:
        """Start `flow/deployment` now; the flow run's id. The same idempotency key answers the same run."""
        body = {
            "parameters": dict(parameters),
            "tags": list(tags),
            "state": {"type": "SCHEDULED"},
            "idempotency_key": idempotency_key or str(uuid.uuid4()),  # so that asking again starts one run
        }
        answer = self._call("POST", f"/deployments/{self.deployment(name).id}/create_flow_run", body)
        return str(answer["id"])

    def flow_run(self, run_id: str) -> FlowRun:
        """One run; raises NotFound."""
        return _flow_run(self._call("GET", f"/flow_runs/{run_id}"))

    def flow_runs(
        self, since: dt.datetime | None = None, deployments: Iterable[str] = (), states: Iterable[str] = ()
    ) -> list[FlowRun]:
        """Runs expected at or after `since`, oldest first, of these deployments and state types (empty: all)."""
        wanted: dict[str, Any] = {}
        if since:
            wanted["expected_start_time"] = {"after_": since.isoformat()}
        if states := list(states):
            wanted["state"] = {"type": {"any_": states}}
        body: dict[str, Any] = {"flow_runs": wanted, "sort": "EXPECTED_START_TIME_ASC"}
        if ids := [self.deployment(name).id for name in deployments]:
            body["deployments"] = {"id": {"any_": ids}}
        return [_flow_run(row) for row in self._pages("/flow_runs/filter", body)]

    def busy(self, pool: str) -> list[FlowRun]:
        """Runs of the pool that a worker has taken and not ended."""
        body = {
            "flow_runs": {"state": {"type": {"any_": list(BUSY)}}},
            "work_pools": {"name": {"any_": [pool]}},
            "sort": "EXPECTED_START_TIME_ASC",
        }
        return [_flow_run(row) for row in self._pages("/flow_runs/filter", body)]

    def wait(
        self, run_id: str, timeout: float, *, every: float = 0.5, sleep: Callable[[float], None] = time.sleep
    ) -> FlowRun:
        """The run once it is final; raises Temporary after `timeout` seconds."""
        ask, end = self.patiently(lambda: self.flow_run(run_id)), time.monotonic() + timeout
        seen = f"Flow run {run_id} was not seen once"
        while not ((run := ask()) and run.final):
            seen = f"Flow run {run.name} is still {run.state}" if run else seen
            if time.monotonic() >= end:
                raise Temporary(
                    f"{seen} after {timeout:g} s."
                    " Look at its log in the Prefect UI; is a worker online (`quaestor status`)?"
                )
            sleep(every)
        return run

    def patiently(self, ask: Callable[[], T]) -> Callable[[], T | None]:
        """`ask`, for one who asks again and again: None while the server stumbles, its fault after `patience` of it."""
        failing: float | None = None

        def asked() -> T | None:
            nonlocal failing
            try:
                answer = ask()
            except (Temporary, _Away):
                now = time.monotonic()
                failing = now if failing is None else failing
                if now - failing >= self.patience:
                    raise
                return None
            failing = None
            return answer

        return asked

    def cancel(self, run_id: str) -> str:
        """Ask a run to end; the state's name that the server answers."""
        kind = "CANCELLING" if self.flow_run(run_id).state_type in BUSY else "CANCELLED"
        answer = self._call("POST", f"/flow_runs/{run_id}/set_state", {"state": {"type": kind}, "force": False})
        return str((answer.get("state") or {}).get("name", ""))

    # ── work pool ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def pool(self, name: str) -> Pool:
        """The pool and who works for it; raises NotFound."""
        row = self._call("GET", f"/work_pools/{name}")
        workers = self._pages(f"/work_pools/{name}/workers/filter", {"workers": {"status": {"any_": ["ONLINE"]}}})
        return Pool(name, str(row["status"]), bool(row["is_paused"]), tuple(one["name"] for one in workers))

    def pause_pool(self, name: str, *, paused: bool) -> None:
        """Close a pool, so that no worker takes a run from it (running ones go on), or open one that was closed so.

        A pool that a person paused stays as it was found. Which it is, a variable at the server remembers: the one who
        opens may be another process than the one who closed, or come after a crash of it.
        """
        row = self._call("GET", f"/work_pools/{name}")
        mark = f"quaestor_closed_{row['id'].replace('-', '')}"
        if paused and not row["is_paused"]:
            with suppress(_Exists):
                self._call("POST", "/variables/", {"name": mark, "value": True})
            self._call("PATCH", f"/work_pools/{name}", {"is_paused": True})
        elif not paused:
            with suppress(NotFound):
                self._call("GET", f"/variables/name/{mark}")
                self._call("PATCH", f"/work_pools/{name}", {"is_paused": False})
                self._call("DELETE", f"/variables/name/{mark}")

    def ensure_pool(
        self, name: str, template: Mapping[str, Any], queues: Iterable[Queue], description: str = ""
    ) -> bool:
        """Create or correct a process pool and its queues; whether anything had to change."""
        wanted = {"base_job_template": dict(template), "description": description}
        changed = self._ensure(
            f"/work_pools/{name}", "/work_pools/", {"name": name, "type": "process", **wanted}, wanted
        )
        for queue in queues:
            settings = {
                "priority": queue.priority,
                "concurrency_limit": queue.limit,
                "description": queue.description,
            }
            place = f"/work_pools/{name}/queues"
            changed |= self._ensure(f"{place}/{queue.name}", place, {"name": queue.name, **settings}, settings)
        return changed

    def _ensure(self, place: str, create: str, body: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
        try:
            found = self._call("GET", place)
        except NotFound:
            with suppress(_Exists):  # a worker that starts at this moment makes the pool too
                self._call("POST", create, body)
                return True
            found = self._call("GET", place)
        if all(found.get(key) == value for key, value in wanted.items()):
            return False
        self._call("PATCH", place, dict(wanted))
        return True

    # ── artifacts, blocks ─────────────────────────────────────────────────────────────────────────────────────────────

    def artifact(self, key: str) -> dict[str, Any] | None:
        """The newest artifact of that key (`data`, `type`, `description`, `flow_run_id`, `created`), or None."""
        try:
            found: dict[str, Any] = self._call("GET", f"/artifacts/{urllib.parse.quote(key)}/latest")
        except NotFound:
            return None
        return found

    def block_data(self, block_type_slug: str, name: str) -> dict[str, Any] | None:
        """What the server's block document says, or None. Our blocks hold names of secrets, no values."""
        try:
            row = self._call("GET", f"/block_types/slug/{block_type_slug}/block_documents/name/{name}")
        except NotFound:
            return None
        return dict(row["data"])

    # ── transport ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pages(self, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        while True:
            page = self._call("POST", path, {**body, "limit": PAGE, "offset": len(rows)})
            rows += page
            if len(page) < PAGE:
                return rows

    def _call(self, method: Method, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One request. A server on SQLite answers 503 while its file is locked, having done nothing: ask again."""
        for wait in (0.1, 0.3, 0.9, 2.7):
            try:
                return self._once(method, path, body)
            except _Busy:
                time.sleep(wait)
        return self._once(method, path, body)

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body, default=str).encode()
        request = urllib.request.Request(self.url + path, data, self._headers(), method=method)  # noqa: S310 - our URL
        try:
            with self._opener().open(request, timeout=self.timeout) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise self._refused(error, path) from error
        except TimeoutError as error:
            raise Temporary(f"Prefect at {self.url} did not answer {path} within {self.timeout:g} s.") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Away(
                f"Prefect does not answer at {self.url} ({error}). Start it with `quaestor up`, or set PREFECT_API_URL."
            ) from error
        return json.loads(text) if text else None

    def _opener(self) -> urllib.request.OpenerDirector:
        """An office's proxy knows nothing of a server on this machine."""
        local = urllib.parse.urlsplit(self.url).hostname in {"127.0.0.1", "localhost", "::1"}
        return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if ":" in self.auth:
            headers["Authorization"] = "Basic " + base64.b64encode(self.auth.encode()).decode()
        elif self.auth:
            headers["Authorization"] = f"Bearer {self.auth}"
        return headers

    def _refused(self, error: urllib.error.HTTPError, path: str) -> Exception:  # noqa: PLR0911  # a case, an answer
        detail = error.read().decode(errors="replace")[:500]
        if error.code == http.client.NOT_FOUND:
            return NotFound(f"Prefect at {self.url} knows no {path}.")
        if error.code in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            return PartMissing(f"Prefect at {self.url} refuses us ({error.code}). Set PREFECT_API_AUTH_STRING.")
        if error.code in {http.client.SERVICE_UNAVAILABLE, http.client.TOO_MANY_REQUESTS}:
            return _Busy(f"Prefect at {self.url} is too busy for {path} ({error.code}). Try again; see its log.")
        if error.code >= http.client.INTERNAL_SERVER_ERROR:
            return Temporary(f"Prefect at {self.url} stumbled over {path}: {error.code} {detail}")
        if error.code == http.client.CONFLICT:
            if path.endswith("/create_flow_run"):
                return BadInput(f"The form does not take these fields: {_said(detail)}")
            return _Exists(f"Prefect at {self.url} has it already: {path}. {detail}")
        return BadInput(f"Prefect refused {path}: {error.code} {detail}")


def _said(detail: str) -> str:
    """The sentence in a JSON answer, or the answer."""
    try:
        return str(json.loads(detail)["detail"])
    except (ValueError, KeyError, TypeError):
        return detail


def _deployment(row: Mapping[str, Any], flow: str) -> Deployment:
    return Deployment(
        id=row["id"],
        name=f"{flow}/{row['name']}",
        pool=row.get("work_pool_name"),
        queue=row.get("work_queue_name"),
        paused=bool(row.get("paused")),
        status=str(row.get("status") or ""),
        entrypoint=str(row.get("entrypoint") or ""),
    )


def _flow_run(row: Mapping[str, Any]) -> FlowRun:
    state = row.get("state") or {}
    return FlowRun(
        id=row["id"],
        name=row["name"],
        deployment_id=row.get("deployment_id"),
        state=state.get("name") or "",
        state_type=state.get("type") or "",
        message=state.get("message") or "",
        expected=_time(row.get("expected_start_time")),
        started=_time(row.get("start_time")),
        ended=_time(row.get("end_time")),
        parameters=row.get("parameters") or {},
        tags=tuple(row.get("tags") or ()),
    )


def _time(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
