"""The desk: the blocks a flow works with, loaded by name once and handed down to its tasks."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prefect.runtime import flow_run

from blocks import Alerts, LocalVault, PaperBroker, QuaestorDatabase, RecordedFeed, TradingPlan
from quaestor import wiring
from quaestor.doors.postgres.database import Database
from quaestor.errors import Temporary
from quaestor.forms import NAME
from quaestor.operations.trade import Floor
from quaestor.ports import Run


@dataclass(frozen=True)
class Desk:
    """All forms of one account."""

    database: QuaestorDatabase
    broker: PaperBroker
    feed: RecordedFeed
    vault: LocalVault
    alerts: Alerts
    trading: TradingPlan

    @property
    def account(self) -> str:
        """The account's alias."""
        return self.trading.account

    def plan(self) -> wiring.Plan:
        """What trades: the plan's strategies and limits."""
        return self.trading.open()

    def run(self) -> Run:
        """Who acts: this flow run, this commit, this plan."""
        return wiring.run_info(flow_run_id(), self.plan().digest)

    @asynccontextmanager
    async def floor(self) -> AsyncIterator[Floor]:
        """All doors of a trading session, open."""
        async with self.database.open() as database:
            yield self.on(database)

    def on(self, database: Database) -> Floor:
        """The same, over a database that is already open."""
        return wiring.floor(database, self.account, self.broker.open(database), self.alerts.open())


async def open_desk() -> Desk:
    """Load every form by name; a missing one says that `python -m deployments.register` must run."""
    forms = (QuaestorDatabase, PaperBroker, RecordedFeed, LocalVault, Alerts, TradingPlan)
    loaded = await asyncio.gather(*(form.aload(NAME) for form in forms))
    return Desk(*loaded)


def flow_run_id() -> str | None:
    """The id of the flow run we are in."""
    return str(flow_run.id) if flow_run.id else None


def holder() -> str:
    """Who takes a lease: machine, process, flow run."""
    return f"{platform.node()}:{os.getpid()}:{flow_run_id() or 'no run'}"


def passing(task: object, task_run: object, state: object) -> bool:
    """Retry condition: only faults that pass by themselves are tried again."""
    del task, task_run
    try:
        state.result()  # type: ignore[attr-defined]
    except Temporary:
        return True
    except Exception:  # noqa: BLE001  # whatever else it was, trying again would not cure it
        return False
    return False
