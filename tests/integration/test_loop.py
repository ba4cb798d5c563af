"""The whole loop through Prefect: deployments on a worker, chained by events; and what a kill -9 in its middle changes.

The oracle is the same loop without Prefect, in a database of its own, never disturbed.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from quaestor import wiring
from quaestor.config import parse
from quaestor.console.demo import CHAIN
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.operations.generate import generate_signals
from quaestor.operations.ingest import ingest_symbol
from quaestor.operations.trade import pending, trade

if TYPE_CHECKING:
    from quaestor.doors.prefect_api import FlowRun
    from tests.integration.conftest import Stack

pytestmark = pytest.mark.timeout(640)
BROKER_ORDERS = """
select ref_id::text, symbol, side, quantity, state, filled, average_price, session
from paper."order" order by session, symbol, side, ref_id
"""
DECIDED_BY = "select distinct provenance ->> 'flow_run_id' from intent"
EQUITY = "select session, equity, cash, fees from equity order by session"


@pytest.fixture
def books(worker: Stack) -> Iterator[str]:
    """The URI of the books that the flows write, with the newest schema."""
    with EmbeddedServer(worker.local.home) as uri:
        wiring.upgrade(uri)
        yield uri


def rows(uri: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(uri) as connection:
        return connection.execute(query).fetchall()


def eventually(check: Callable[[], Any], timeout: float, what: str) -> Any:
    end = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < end, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.02)
    return found


def ended(stack: Stack, deployment: str, since: dt.datetime) -> FlowRun:
    """The newest run of the deployment since then, once it is final."""

    def final() -> FlowRun | None:
        runs = stack.api.flow_runs(since, [deployment])
        return runs[-1] if runs and runs[-1].final else None

    found: FlowRun = eventually(final, 150, f"a run of {deployment}")
    return found


async def undisturbed(uri: str, end: dt.date) -> None:
    """The same loop, in one process, without Prefect."""
    config = parse("[strategies]\nfirst_session = 2012-01-03")
    chosen, symbols = config.strategies, config.market.symbols
    plan = wiring.plan("paper", config.account.cash, symbols, chosen, None, config.risk)
    run = wiring.run_info(None, plan.digest)
    async with Database(uri) as database:
        bars, signals = wiring.bar_store(database), wiring.signal_store(database)
        told = wiring.alerts(Path(os.devnull), "", False)
        intake = wiring.intake(wiring.source("recorded"), database, told)
        for symbol in symbols:
            await ingest_symbol(intake, symbol, None, end)
        for built in plan.built:
            await generate_signals(built, bars, signals, symbols, None, end, run)
        broker = wiring.paper_broker(database, "paper", config.paper.costs)
        floor = wiring.floor(database, "paper", broker, told)
        days = await pending(floor, plan.mandate, None, end)
        await trade(floor, plan.mandate, days, run, "oracle")


async def test_a_finished_ingest_starts_the_loop_and_a_kill_in_its_middle_changes_no_order(
    worker: Stack, books: str, database_uri: str
) -> None:
    end = dt.date(2012, 9, 28)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
    worker.api.run_deployment(CHAIN[0], {"request": {"end": end.isoformat()}})
    await undisturbed(database_uri, end)  # meanwhile: the oracle
    eventually(lambda: len(rows(books, "select 1 from intent")) > 10, 320, "the killing moment")
    kill_everything(worker)
    half = len(rows(books, BROKER_ORDERS))
    (killed,) = worker.api.flow_runs(since, ["execute/paper"])
    worker.api._call("POST", f"/flow_runs/{killed.id}/set_state", {"state": {"type": "CRASHED"}, "force": True})

    worker.local.start_worker(poll=0.2)
    again = worker.api.run_deployment("execute/paper", {"request": {"end": end.isoformat()}})
    assert worker.api.wait(again, 120).state == "Completed"
    report = ended(worker, CHAIN[-1], since)  # reconcile and report follow by themselves
    expected = rows(database_uri, BROKER_ORDERS)
    assert 10 <= half < len(expected), "the kill came too late to prove anything"
    assert rows(books, BROKER_ORDERS) == expected
    assert rows(books, EQUITY) == rows(database_uri, EQUITY)

    assert report.state == "Completed"
    assert ended(worker, "reconcile/paper", since).state == "Completed"
    assert {row[0] for row in rows(books, DECIDED_BY)} == {killed.id, again}
    for key in ("ingest", "signals", "execution", "reconciliation", "devlog", "key-figures"):
        assert worker.api.artifact(key) is not None, key
    assert len(list((worker.local.home / "reports").glob("*/devlog.md"))) == 1


def kill_everything(stack: Stack) -> None:
    """kill -9 of the worker and of the flow run it started, at once."""
    worker = stack.local.status()["worker"]
    assert isinstance(worker, int)
    for pid in (worker, *children(worker)):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: stack.local.status()["worker"] is None, 10, "the worker's death")


def children(parent: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(parent).children(recursive=True)]
