"""The live run's window in the Prefect UI, and its remote control: events, figures, and what a cancel says.

Prefect down is not trading down. The runner is no child of Prefect's, and every call of this window may fail or hang:
it is given up after a few seconds, said once, and tried again with the next figures.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import acreate_progress_artifact, acreate_table_artifact, aupdate_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.variables import Variable

from quaestor import wiring
from quaestor.live.watching import Many, Watched, figures, last_close
from quaestor.operations.watch import arm
from quaestor.ports_live import Desire, Desired, Happening, LiveRun, LiveStore
from tasks.desk import Desk, passing

EVERY = 30.0  # seconds between two updates of what stands in the UI
PATIENCE = 10.0  # seconds for a call of Prefect's
EVENTS = uuid.UUID("6f1c7d0a-5f0e-4f0b-9f57-3a1f0c5d2b11")  # our namespace: a happening is one event, told twice or not


# Saying it again changes nothing: safe to try again.
@task(
    name="arm",
    retries=5,
    retry_delay_seconds=[1, 2, 5, 10, 20],
    retry_condition_fn=passing,
    timeout_seconds=60,
    cache_policy=NO_CACHE,
    tags=["database"],
)
async def arm_session(desk: Desk) -> str:
    """Say that the session is traded, unless somebody said otherwise since the last one closed; what is wanted now."""
    async with desk.database.open() as database:
        desired = await arm(wiring.live_store(database), desk.account, by_us(), dt.datetime.now(dt.UTC))
    if desired.state != "armed":
        get_run_logger().warning("It stays %s, as %s said: %s", desired.state, desired.by, desired.reason)
    return desired.state


def by_us() -> str:
    """Who says it: this flow run."""
    return f"flow run {flow_run.name or 'without a name'}"


# ── the window ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class PrefectWindow:
    """Implements `operations.watch.Window`: events, a bar and a table. `now`: the watched clock."""

    account: str
    watched: Watched
    now: Callable[[], dt.datetime]
    cursor: int = 0
    _kept: int = -1
    _drawn: float = float("-inf")
    _bar: UUID | None = None
    _table: UUID | None = None
    _shut: bool = field(default=False)

    async def show(self, shown: Sequence[Happening], many: Many | None) -> None:
        """One event for each; what is too much is one event together."""
        with self._tried():
            for one in shown:
                payload = {**one.body, "subject": one.subject, "at": one.at.isoformat(), "number": one.number}
                self._emit(one.kind, str(one.number), payload)
            if many is not None:
                payload = {"kinds": dict(many.kinds), "first": many.first, "last": many.last}
                self._emit("many", f"{many.first}-{many.last}", payload)
        self.cursor = max([self.cursor, *(one.number for one in shown), *([many.last] if many else [])])

    def _emit(self, kind: str, number: str, payload: dict[str, Any]) -> None:
        resource = {"prefect.resource.id": f"quaestor.account.{self.account}", "prefect.resource.name": self.account}
        plain = json.loads(json.dumps(payload, default=str))
        event = uuid.uuid5(EVENTS, f"{self.account} {number}")
        emit_event(f"quaestor.live.{kind}", resource=resource, payload=plain, id=event)

    async def figures(self, run: LiveRun | None, desired: Desired, *, alive: bool) -> None:
        """Where it stands, at most so often."""
        if time.monotonic() - self._drawn < EVERY:
            return
        self._drawn = time.monotonic()
        await self.draw(run, desired, alive=alive)

    async def draw(self, run: LiveRun | None, desired: Desired, *, alive: bool) -> None:
        """Where it stands, now."""
        title = f"{self.account} · {self.watched.session} · {desired.state} · {'alive' if alive else 'NOT ALIVE'}"
        share = self.watched.progress(self.now())
        await self._try(self._draw_bar(share, title))
        await self._try(self._draw_table(self._rows(run, desired, alive=alive), title))
        await self._try(self._keep_cursor())

    def _rows(self, run: LiveRun | None, desired: Desired, *, alive: bool) -> list[dict[str, str]]:
        why = f" ({desired.by}: {desired.reason})" if desired.by else ""
        rows = [
            ("session", f"{self.watched.opens:%Y-%m-%d %H:%M} to {self.watched.closes:%H:%M} UTC"),
            ("wanted", f"{desired.state}{why}"),
            ("runner", f"{run.holder}, run {str(run.id)[:8]}" if run else "none yet"),
            ("heartbeat", "alive" if alive else f"lost; the last one was {run.beat_at if run else 'never'}"),
            *((name, value) for name, value in figures(run.facts if run else {}) if name not in {"session", "desired"}),
        ]
        return [{"what": name, "value": value} for name, value in rows]

    async def _draw_bar(self, share: float, title: str) -> None:
        if self._bar is None:
            made = await acreate_progress_artifact(share, key=f"live-{self.account}-progress", description=title)
            self._bar = made
        else:
            await aupdate_progress_artifact(self._bar, progress=share, description=title)

    async def _draw_table(self, rows: list[dict[str, str]], title: str) -> None:
        """The same artifact all day: a version each half minute would be a thousand by the evening."""
        if self._table is None:
            self._table = await acreate_table_artifact(rows, key=f"live-{self.account}", description=title)
            return
        async with get_client() as client:
            await client.update_artifact(self._table, ArtifactUpdate(data=json.dumps(rows), description=title))

    async def _keep_cursor(self) -> None:
        if self.cursor != self._kept:
            await Variable.aset(cursor_name(self.account), self.cursor, overwrite=True)
            self._kept = self.cursor

    async def _try(self, call: Awaitable[None]) -> None:
        with self._tried():
            await asyncio.wait_for(call, PATIENCE)

    @contextmanager
    def _tried(self) -> Iterator[None]:
        """Whatever keeps the window shut is said when it begins."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # whatever it is, the run goes on
            if not self._shut:
                get_run_logger().warning("Prefect does not take what is shown (%s); the run goes on.", error)
            self._shut = True
        else:
            self._shut = False


def cursor_name(account: str) -> str:
    """The variable at the server that knows what it was told already."""
    return f"quaestor_live_{account}"


async def find_cursor(store: LiveStore, account: str, *, rehearsal: bool) -> int:
    """From where on happenings are shown: where the window was left, else what was told since the last close.

    A rehearsal shows its own. A variable that knows more than the database is another database's.
    """
    now = dt.datetime.now(dt.UTC)
    newest = await store.cursor_at(account, now)
    if rehearsal:
        return newest
    try:
        kept: Any = await asyncio.wait_for(Variable.aget(cursor_name(account), default=None), PATIENCE)
    except Exception as error:  # noqa: BLE001  # Prefect away: nothing is kept then
        get_run_logger().warning("Where the window was left is not known: %s", error)
        kept = None
    if isinstance(kept, int) and kept <= newest:
        return kept
    return await store.cursor_at(account, last_close(now))


# ── a cancel ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def is_canceled(run: FlowRun) -> bool:
    """Whether somebody canceled this run: the server says so, not the state that a hook is handed.

    Prefect runs cancellation hooks for whatever its runner ends, so also where `serve` shuts down: nobody meant that.
    """
    async with get_client() as client:
        state = (await client.read_flow_run(run.id)).state
    return state is not None and state.type in {StateType.CANCELLING, StateType.CANCELLED}


async def say(desk: Desk, state: Desire, by: str, reason: str) -> Desired:
    """Say what is wanted from now on."""
    async with desk.database.open() as database:
        return await wiring.live_store(database).desire(desk.account, state, by, reason)
