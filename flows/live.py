"""Live: the remote control and the window of a session that is traded as it happens."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import Flow, State, flow, get_run_logger
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run as current
from prefect.states import Completed

from flows.models import LiveRequest
from quaestor import wiring
from quaestor.calendar import why_closed
from quaestor.live.watching import HEARTBEAT, Watched, figures, session_at, today
from quaestor.operations.watch import Watch, watch
from tasks.desk import Desk, open_desk
from tasks.live import PrefectWindow, arm_session, find_cursor, is_canceled, say


def _named() -> str:
    """A name such as "live 2026-11-20"."""
    request = current.parameters.get("request") or LiveRequest()
    return f"live {today(_Clock.of(LiveRequest.model_validate(request)).now())}"


async def say_what_a_cancel_means(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The one way in which the end of a flow run changes what is traded: somebody canceled it."""
    del flow, state
    if not await is_canceled(flow_run):
        return
    request = LiveRequest.model_validate(flow_run.parameters.get("request") or {})
    desk = await open_desk()
    wanted = desk.trading.on_cancel if request.on_cancel == "configured" else request.on_cancel
    await say(desk, wanted, f"flow run {flow_run.name}", "canceled in Prefect")


@flow(name="live", flow_run_name=_named, on_cancellation=[say_what_a_cancel_means])
async def live(request: LiveRequest = LiveRequest()) -> State[Any]:  # noqa: B008  # the form's defaults
    """Watch a session: a runner that lives, what happens in it, its settled books.

    Runs: before each open; on a holiday it ends at once. Requires: the blocks `quaestor`. Leaves: the desired state
    `armed`, a runner, events `quaestor.live.*`, the artifacts `live-ACCOUNT` and `live-ACCOUNT-progress`.

    It sends no order. Killed, drained or run twice, it changes nothing: the runner is a process of its own. A cancel
    says `hold` or `flatten`, as the form or `[live] on_cancel` has it: entries stop, exits go on, and the runner lives.
    """
    clock = _Clock.of(request)
    watched = session_at(clock.now())
    if watched is None:
        return Completed(message=f"No session today: {why_closed(today(clock.now()))}")
    desk = await open_desk()
    await arm_session(desk)
    said, facts = await _watch(desk, request, watched, clock)
    return Completed(message=_result(said, facts))


async def _watch(desk: Desk, request: LiveRequest, watched: Watched, clock: _Clock) -> tuple[str, Mapping[str, Any]]:
    books = desk.database
    host = await asyncio.to_thread(wiring.runner_process, Path(books.home), books.url, books.password_secret)
    async with books.open() as database:
        store, account = wiring.live_store(database), desk.account
        cursor = await find_cursor(store, account, rehearsal=request.at is not None)
        window = PrefectWindow(account, watched, clock.now, cursor)
        options = request.options(clock.now)
        watching = Watch(account, watched, options, request.start_runner, clock.now, time.monotonic)
        get_run_logger().info("Watching %s until it is settled; it closes at %s", watched.session, watched.closes)
        said, facts = await watch(watching, store, host, window, desk.alerts.open(), cursor)
        alive = await store.alive(account, HEARTBEAT)
        await window.draw(alive or await store.newest(account), await store.desired(account), alive=alive is not None)
    return said, facts


@dataclass(frozen=True)
class _Clock:
    """The runner's clock: the system's, or a rehearsal's that began at `at` and runs `speed` times as fast."""

    at: dt.datetime | None
    speed: float
    begun: float

    @classmethod
    def of(cls, request: LiveRequest) -> _Clock:
        return cls(request.at, request.speed, time.monotonic())

    def now(self) -> dt.datetime:
        """The time, UTC."""
        if self.at is None:
            return dt.datetime.now(dt.UTC)
        return (self.at + dt.timedelta(seconds=(time.monotonic() - self.begun) * self.speed)).astimezone(dt.UTC)


def _result(said: str, facts: Mapping[str, Any]) -> str:
    """How it ended, in a line."""
    found = dict(figures({name: facts[name] for name in ("equity", "orders", "fills", "refusals") if name in facts}))
    return ", ".join([said, *(f"{name} {value}" for name, value in found.items())])
