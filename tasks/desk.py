"""The desk: the blocks a flow works with, loaded by name once and handed down to its tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from pydantic import ValidationError

from blocks import (
    Alerts,
    AzureKeyVault,
    LocalVault,
    PaperBroker,
    QuaestorDatabase,
    RecordedFeed,
    RobinhoodBroker,
    Scale,
    TradingPlan,
)
from quaestor import wiring
from quaestor.config import RobinhoodSection
from quaestor.doors.postgres.database import Database
from quaestor.errors import BadConfig, PartMissing, Temporary
from quaestor.forms import NAME
from quaestor.operations.session import Floor
from quaestor.ports import Run
from quaestor.ports_secrets import AccessTokens

T = TypeVar("T")


@dataclass(frozen=True)
class Desk:
    """All forms of one account."""

    database: QuaestorDatabase
    broker: PaperBroker
    feed: RecordedFeed
    vault: LocalVault | AzureKeyVault
    alerts: Alerts
    trading: TradingPlan
    scale: Scale
    robinhood: RobinhoodBroker | None = None  # where the plan's orders go there

    @property
    def account(self) -> str:
        """The account's alias."""
        return self.trading.account

    def fed_by(self, source: str) -> Desk:
        """The same desk with another source of history ("configured": this one); BadConfig where its form lacks it."""
        if source in {"configured", self.feed.source}:
            return self
        try:
            feed = RecordedFeed.model_validate(self.feed.model_dump() | {"source": source})
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise BadConfig(
                f"The source {source!r} cannot be used: {why}. Configure it under [market] and run `python -m"
                " deployments.register`, or edit the block `quaestor-recorded-feed/quaestor`."
            ) from error
        return replace(self, feed=feed)

    def plan(self) -> wiring.Plan:
        """What trades: the plan's strategies and limits."""
        return self.trading.open()

    def run(self, plan: wiring.Plan) -> Run:
        """Who acts: this flow run, this commit, the plan that was opened."""
        return wiring.run_info(flow_run_id(), plan.digest)

    @asynccontextmanager
    async def floor(self) -> AsyncIterator[Floor]:
        """All doors of a trading session, open."""
        async with self.database.open() as database:
            yield self.on(database)

    def on(self, database: Database) -> Floor:
        """The same, over a database that is already open."""
        told = self.alerts.open()
        if self.trading.broker == "paper":
            return wiring.floor(database, self.account, self.broker.open(database), told)
        if self.robinhood is None:
            raise BadConfig(
                f"Orders go through {self.trading.broker!r}, which the live run alone asks: `quaestor live run`, and "
                "`quaestor reconcile` to compare."
            )
        broker = self.robinhood.open(self._tokens(database))
        return wiring.real_floor(database, self.account, broker, told)

    def _tokens(self, database: Database) -> AccessTokens:
        """What the broker's login lets in; a token that is refused starts the flow that changes it."""
        login = RobinhoodSection.model_validate(self.feed.robinhood).login or self.account
        return wiring.access_tokens(self.vault.open(), login, database.uri, f"flow:{self.account}")


async def open_desk() -> Desk:
    """Load every form by name; a missing one says that `python -m deployments.register` must run."""
    forms = (QuaestorDatabase, PaperBroker, RecordedFeed, LocalVault, Alerts, TradingPlan, Scale)
    try:
        desk = Desk(*await together(form.aload(NAME) for form in forms))
        if desk.database.vault["kind"] == "azure":
            desk = replace(desk, vault=await AzureKeyVault.aload(NAME))
        if desk.trading.broker == "robinhood":
            desk = replace(desk, robinhood=await RobinhoodBroker.aload(NAME))
    except ValueError as error:  # what Prefect says of a block that is not there
        raise PartMissing(f"{error} Run `python -m deployments.register` (or `make up`).") from error
    return desk


async def together(work: Iterable[Awaitable[T]]) -> list[T]:
    """Side by side; each comes to its end before the first error of any is raised."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for one in done:
        if isinstance(one, BaseException):
            raise one
    return [one for one in done if not isinstance(one, BaseException)]


def flow_run_id() -> str | None:
    """The id of the flow run we are in."""
    return str(flow_run.id) if flow_run.id else None


def holder() -> str:
    """Who takes a lease: machine, process, flow run."""
    return wiring.holder(flow_run_id() or "no run")


async def passing(task: object, task_run: object, state: State[Any]) -> bool:
    """Retry condition: only faults that pass by themselves are tried again."""
    del task, task_run
    return isinstance(await state.aresult(raise_on_failure=False), Temporary)
