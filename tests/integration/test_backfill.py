"""A backfill through a real Prefect, from a vendor's protocol server: killed, repeated, repaired, canceled.

The oracle of the killed one is the same backfill without Prefect, in a database of its own, never disturbed.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import psycopg
import pytest

from blocks import RecordedFeed
from quaestor import bars, calendar, wiring
from quaestor.config import parse
from quaestor.doors.postgres.database import Database, without_password
from quaestor.doors.sim.alpaca import AlpacaServer
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
from quaestor.exchange import Costs
from quaestor.operations.backfill import Wanted, planned
from quaestor.operations.generate import generate_signals
from quaestor.operations.ingest import try_window
from quaestor.operations.trade import pending, trade
from tasks.ingest import LEASE

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).resolve().parents[2]
D = dt.date
SYMBOLS = tuple(f"{a}{b}" for a in "ABCD" for b in "MNOPQR")
FEW = SYMBOLS[:3]
DAYS = calendar.sessions(D(2026, 6, 1), D(2026, 9, 23))  # eighty: a window of sixty-four and one of sixteen a symbol
RANGE = {"start": str(DAYS[0]), "end": str(DAYS[-1]), "source": "alpaca"}
MINUTES = (30, 90, 150, 210, 270, 330)  # on one exchange a share does not trade in every minute
FLOW = """
import asyncio, json, sys
from flows.backfill import backfill
from flows.models import BackfillRequest
from quaestor.errors import QuaestorError
for line in sys.stdin:
    try:
        answer = {"done": asyncio.run(backfill(BackfillRequest(**json.loads(line))))}
    except QuaestorError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
"""
BARS = """
select i.symbol, b.ts, b.version, b.session, b.open, b.high, b.low, b.close, b.volume
from bar_1m b join instrument i on i.id = b.instrument order by 1, 2
"""
CELLS = """
select i.symbol, c.timeframe, c.period, c.asked_first, c.asked_last, c.stored, c.quarantined, c.digest is null,
       c.source, c.error
from coverage c join instrument i on i.id = c.instrument order by 1, 2, 3
"""
CELLS_THAT_LIE = """
select c.instrument, c.period, c.stored, count(b.ts) from coverage c
full join bar_1m b on b.instrument = c.instrument and b.session = c.period
group by 1, 2, 3 having c.stored is distinct from count(b.ts)
"""


def price(number: int, n: int) -> float:
    """A share that walks up and down by less than a percent, never twice the same."""
    return round(20.0 + number + (n * 37 % 23) / 100 + n / 10_000, 4)


def row(symbol: str, timeframe: str, ts: dt.datetime, session: dt.date, close: float, volume: int) -> dict[str, Any]:
    prices = {"open": close - 0.01, "high": close + 0.02, "low": close - 0.03, "close": close}
    return {"symbol": symbol, "timeframe": timeframe, "ts": ts, "session": session, "volume": volume, **prices}


def market() -> pl.DataFrame:
    """Minutes of all symbols, and rising days of a few."""
    rows = []
    for number, symbol in enumerate(SYMBOLS):
        for n, day in enumerate(DAYS):
            opened = calendar.session_open(day)
            for m, minute in enumerate(MINUTES):
                count = n * len(MINUTES) + m
                ts = opened + dt.timedelta(minutes=minute)
                rows.append(row(symbol, "1m", ts, day, price(number, count), 100 + count % 7))
            if symbol in FEW:
                close = calendar.session_close(day)
                rows.append(row(symbol, "1d", close, day, price(number, n) + n / 5, 10_000 + n * 13 % 997))
    return pl.DataFrame(rows, schema=bars.schema())


@dataclass
class Vendor:
    """The protocol server and its address."""

    server: AlpacaServer
    url: str

    def windows(self) -> list[tuple[str, dt.date, dt.date]]:
        """What was asked for, in the order of asking, each once: symbol, first and last day."""
        found = []
        for line in self.server.asked:
            if (url := urlsplit(line)).path == "/v2/stocks/bars":
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                first, last = (dt.datetime.fromisoformat(asked[name]) for name in ("start", "end"))
                found.append((asked["symbols"], *(each.astimezone(calendar.NEW_YORK).date() for each in (first, last))))
        return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def vendor_server() -> Iterator[Vendor]:
    server = AlpacaServer(market(), page=100)
    with serving(server.app) as url:
        yield Vendor(server, url)


@pytest.fixture
def vendor(vendor_server: Vendor) -> Iterator[Vendor]:
    yield vendor_server
    vendor_server.server.asked.clear()
    vendor_server.server.faults.clear()
    vendor_server.server.latency = 0.0


class Runner:
    """A process that runs one backfill after the other; a new one where the last was killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.process = self._new()

    def _new(self) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([sys.executable, "-c", FLOW], cwd=ROOT, env=self._environment, text=True, **pipes)

    def begin(self, request: dict[str, Any]) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def kill(self) -> None:
        """kill -9, and a successor."""
        self.close(kill=True)
        self.process = self._new()

    def close(self, *, kill: bool = False) -> None:
        if kill:
            self.process.kill()
        with self.process:  # closes its pipes, and waits for its end
            pass


@pytest.fixture(scope="module")
def runner(prefect_stack: Stack) -> Iterator[Runner]:
    runner = Runner(prefect_stack.local.environment())
    yield runner
    runner.close()


@dataclass
class Site:
    """A Prefect whose blocks name a database of the test's own and the vendor's server."""

    stack: Stack
    vendor: Vendor
    runner: Runner
    uri: str

    def run(self, **request: Any) -> dict[str, Any]:
        """The flow, to its end."""
        self.runner.begin({**RANGE, **request})
        answer = self.runner.answer()
        assert "done" in answer, answer
        done: dict[str, Any] = answer["done"]
        return done

    def run_until(self, cells: int, **request: Any) -> None:
        """The flow, killed as soon as so many cells are stored."""
        self.runner.begin({**RANGE, **request})
        eventually(lambda: len(self.rows(CELLS)) >= cells, 60, "the killing moment")
        self.runner.kill()

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.uri) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def table(self, key: str) -> list[dict[str, Any]]:
        """What a person sees in the newest artifact of that key."""
        artifact = self.stack.api.artifact(key)
        assert artifact is not None, key
        return json.loads(artifact["data"]) if isinstance(artifact["data"], str) else artifact["data"]

    def said(self, key: str) -> str:
        artifact = self.stack.api.artifact(key)
        assert artifact is not None, key
        return str(artifact["description"])

    def left_by_the_dead(self) -> None:
        """Wait until nobody is in the database; give back the dead run's places as the end of its leases would."""
        others = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        eventually(lambda: not self.rows(others), 20, "the end of its connections")
        for limit in ("quaestor-sources", "quaestor-backfill"):
            self.stack.api._call("PATCH", f"/v2/concurrency_limits/{limit}", {"active_slots": 0})


@pytest.fixture
def site(prefect_stack: Stack, vendor: Vendor, runner: Runner, database_uri: str) -> Iterator[Site]:
    url, password = without_password(database_uri)
    vault = LocalVault(prefect_stack.local.home)
    for name, value in {"alpaca-key": "key", "alpaca-secret": "secret", "test-password": password}.items():
        vault.set(name, value or "")
    feed = {"base_url": vendor.url, "requests_per_minute": 60_000}
    changes = {
        "quaestor-recorded-feed": lambda data: {"alpaca": {**data["alpaca"], **feed}, "symbols": list(SYMBOLS)},
        "quaestor-database": lambda _: {"url": url, "password_secret": "test-password"},
    }
    before = {slug: change_block(prefect_stack, slug, change) for slug, change in changes.items()}
    yield Site(prefect_stack, vendor, runner, database_uri)
    for slug, data in before.items():
        change_block(prefect_stack, slug, lambda _, data=data: data)


def change_block(stack: Stack, slug: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    """Change fields of a block as a person would in the UI; what it said before."""
    found = stack.api._call("GET", f"/block_types/slug/{slug}/block_documents/name/quaestor")
    body = {"data": {**found["data"], **change(found["data"])}, "block_schema_id": found["block_schema_id"]}
    stack.api._call("PATCH", f"/block_documents/{found['id']}", body)
    return dict(found["data"])


def eventually(check: Callable[[], Any], timeout: float, what: str) -> Any:
    end = time.monotonic() + timeout
    while not (found := check()):
        assert time.monotonic() < end, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.02)
    return found


@pytest.fixture
def other_uri(server_uri: str, template_uri: str) -> Iterator[str]:
    """Another fresh migrated database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "template_books"')  # type: ignore[arg-type]
    yield server_uri.replace("/quaestor?", f"/{name}?")
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')  # type: ignore[arg-type]


def feed(site: Site) -> RecordedFeed:
    data = site.stack.api.block_data("quaestor-recorded-feed", "quaestor")
    return RecordedFeed(**{**(data or {}), "source": "alpaca"})


async def undisturbed(site: Site, uri: str) -> tuple[list[Any], list[Any]]:
    """Bars and cells of the same backfill without Prefect."""
    source = feed(site).open()
    told = wiring.alerts(Path(os.devnull), "", False)
    async with Database(uri) as database:
        intake = wiring.intake(source, database, told)
        wanted = Wanted(SYMBOLS, "1m", DAYS[0], DAYS[-1])
        made = await planned(intake.store, source, wanted, dt.datetime.now(dt.UTC))
        for window in (window for chunk in made.chunks for window in chunk.windows):
            await try_window(intake, window.symbol, window.first, window.last, "1m")
    other = Site(site.stack, site.vendor, site.runner, uri)
    return other.rows(BARS), other.rows(CELLS)


# ── killed and canceled ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_backfill_that_was_killed_does_only_the_rest_and_ends_with_the_same_rows(
    site: Site, other_uri: str
) -> None:
    site.vendor.server.latency = 0.05
    site.run_until(300, timeframe="1m")
    site.left_by_the_dead()
    there = {(symbol, period) for symbol, _, period, *_ in site.rows(CELLS)}
    assert 300 <= len(there) < len(SYMBOLS) * len(DAYS), "the kill came too late to prove anything"
    assert site.rows(CELLS_THAT_LIE) == []

    site.vendor.server.latency = 0.0
    site.vendor.server.asked.clear()
    done = site.run(timeframe="1m")
    asked = {(symbol, day) for symbol, first, last in site.vendor.windows() for day in calendar.sessions(first, last)}
    assert asked == {(symbol, day) for symbol in SYMBOLS for day in DAYS} - there
    assert done["cells"] == {"present": len(SYMBOLS) * len(DAYS)}
    assert done["failed"] == 0

    expected_bars, expected_cells = await undisturbed(site, other_uri)
    assert len(expected_bars) == len(SYMBOLS) * len(DAYS) * len(MINUTES)
    assert site.rows(BARS) == expected_bars
    assert site.rows(CELLS) == expected_cells

    site.vendor.server.asked.clear()
    assert (site.run(timeframe="1m"))["new"] == 0
    assert site.vendor.server.asked == [], "nothing is left to ask for"
    progress = site.stack.api.artifact("backfill-progress")
    assert progress is not None
    assert (progress["data"], progress["description"]) == (100.0, "Nothing is to be done")


@pytest.mark.full
def test_a_backfill_that_is_canceled_leaves_cells_that_tell_the_truth(worker: Stack, site: Site) -> None:
    site.vendor.server.latency = 0.1
    run_id = worker.api.run_deployment("backfill/manual", {"request": {**RANGE, "timeframe": "1m"}})
    eventually(lambda: len(site.rows(CELLS)) >= 100, 90, "the moment to cancel")
    worker.api.cancel(run_id)
    assert worker.api.wait(run_id, 60).state == "Cancelled"
    site.left_by_the_dead()
    there = site.rows(CELLS)
    assert 100 <= len(there) < len(SYMBOLS) * len(DAYS)
    assert {stored for *_, stored, _, _, _, _ in there} == {len(MINUTES)}
    assert site.rows(CELLS_THAT_LIE) == []


@pytest.fixture
def three_places(prefect_stack: Stack) -> Iterator[None]:
    """As many as the chunks of this file, so that a killed run holds all of them."""
    place = "/v2/concurrency_limits/quaestor-backfill"
    prefect_stack.api._call("PATCH", place, {"limit": 3, "active_slots": 0})
    yield
    prefect_stack.api._call("PATCH", place, {"limit": 4, "active_slots": 0})


@pytest.mark.full
@pytest.mark.usefixtures("three_places")
def test_the_places_of_a_killed_backfill_are_free_again_when_their_leases_end(site: Site) -> None:
    """Prefect gives them back by itself, a lease and a look later."""
    site.vendor.server.latency = 0.2
    site.run_until(60, timeframe="1m")
    site.vendor.server.latency = 0.0
    begun = time.monotonic()
    assert site.run(timeframe="1m")["cells"] == {"present": len(SYMBOLS) * len(DAYS)}
    assert 20 < time.monotonic() - begun < LEASE + 90


# ── plan, order, progress ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_writes_nothing_and_shows_the_plan_its_cost_and_the_map(site: Site) -> None:
    done = site.run(timeframe="1m", dry_run=True)
    assert done == {"planned": len(SYMBOLS) * len(DAYS)}
    assert site.vendor.server.asked == []
    assert site.rows("select 1 from coverage union all select 1 from bar_1m union all select 1 from instrument") == []
    plan = site.table("backfill-plan")
    assert [chunk.keys() for chunk in plan] == [{"chunk", "symbols", "cells", "bars at most"}] * 3
    assert sum(chunk["cells"] for chunk in plan) == len(SYMBOLS) * len(DAYS)
    assert re.fullmatch(r"AM to DR 1m 2026-\d\d-\d\d to 2026-09-23, \d+ cells", plan[0]["chunk"])
    said = site.said("backfill-plan")
    assert said.startswith("Dry run, nothing was fetched: 1,920 cells in 3 chunks: ")
    assert "144 requests, at most 748,800 bars" in said, "24 × (3 + 1 pages of bars + 2 of splits and dividends)"
    page = site.stack.api.artifact("coverage-1m")
    assert page is not None
    assert page["description"] == "24 symbols, 2026-06-01 to 2026-09-23: 0 of 1,920 cells are complete."
    assert re.search(r"^AM  \.{40}$", page["data"], re.MULTILINE)


@pytest.mark.parametrize(
    ("order", "first"),
    [
        pytest.param("newest first", (D(2026, 9, 1), D(2026, 9, 23)), id="what trades next is there first"),
        pytest.param("oldest first", (D(2026, 6, 1), D(2026, 8, 31)), id="a study begins at the beginning"),
    ],
)
def test_all_symbols_advance_together_from_the_end_that_a_person_chose(
    site: Site, order: str, first: tuple[dt.date, dt.date]
) -> None:
    change_block(site.stack, "quaestor-recorded-feed", lambda data: {"alpaca": {**data["alpaca"], "in_flight": 1}})
    site.run(timeframe="1m", symbols=list(FEW), order=order)
    windows = site.vendor.windows()
    assert len(windows) == 2 * len(FEW)
    assert {window[1:] for window in windows[: len(FEW)]} == {first}
    assert {window[1:] for window in windows[len(FEW) :]} != {first}


# ── failures and repairs ──────────────────────────────────────────────────────────────────────────────────────────────


def test_one_symbol_that_fails_is_told_the_others_are_stored_and_only_it_is_done_again(site: Site) -> None:
    alerts = site.stack.local.home / "alerts.log"
    before = alerts.stat().st_size if alerts.exists() else 0
    site.vendor.server.faults[:] = [Fault("status", symbol=FEW[1], status=404)]
    done = site.run(timeframe="1d", symbols=list(FEW))
    assert done["failed"] == 1
    assert done["cells"] == {"present": 8, "failed": 4}
    shown = site.table("backfill")
    assert (shown[0]["symbol"], "answered 404" in shown[0]["error"]) == (FEW[1], True), "the failed ones come first"
    assert site.said("backfill") == "3 symbols, 160 new bars, 1 failed"
    assert re.search(rf"^{FEW[1]}  xxxx$", site.stack.api.artifact("coverage-1d")["data"], re.MULTILINE)  # type: ignore[index]
    told = alerts.read_text(encoding="utf-8")[before:]
    assert "1 of 3 symbols could not be fetched; the others are stored" in told
    assert f"{FEW[1]}: Alpaca answered 404" in told

    site.vendor.server.faults.clear()
    site.vendor.server.asked.clear()
    done = site.run(timeframe="1d", symbols=list(FEW), redo="failed")
    assert {symbol for symbol, *_ in site.vendor.windows()} == {FEW[1]}
    assert done["cells"] == {"present": 12}
    progress = site.stack.api.artifact("backfill-progress")
    assert progress is not None
    assert (progress["data"], progress["description"]) == (100.0, "1 of 1 chunks, 80 bars stored")


async def test_a_repaired_bar_is_a_new_version_and_the_orders_that_were_decided_on_the_old_one_are_listed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run(timeframe="1d", symbols=list(FEW))
    await traded(site.uri)
    decided = site.rows("select ref_id::text, symbol, session, cause_key from intent order by session, symbol")
    ref_id, symbol, _, key = decided[len(decided) // 2]
    end = dt.datetime.fromisoformat(key.split("|")[2])
    served = site.vendor.server._bars[symbol, "1d"]
    repaired = next(given for _, given in served if given["t"][:10] == str(end.date()))
    monkeypatch.setitem(repaired, "v", repaired["v"] + 1)

    done = site.run(timeframe="1d", symbols=list(FEW), redo="all")
    assert (done["new"], done["changed"]) == (0, 1)
    assert site.rows("select version, volume from bar_1d where version > 1") == [(2, repaired["v"])]
    assert site.rows("select version, volume from bar_old") == [(1, repaired["v"] - 1)]
    expected = [row[0] for row in decided if row[3] == key]
    assert ref_id in expected
    assert done["decisions"] == len(expected)
    assert sorted(row["ref_id"] for row in site.table("repaired-decisions")) == sorted(expected)
    assert (
        site.said("repaired-decisions") == f"{len(expected)} orders were decided on bars that are another version now"
    )


async def traded(uri: str) -> None:
    """Orders decided on the stored days, through the gate and the paper broker."""
    config = parse("[[strategies.use]]\nname = 'sma_crossover'\nweight = 0.9\nparameters = { fast = 2, slow = 5 }")
    plan = wiring.plan("paper", Decimal(100_000), FEW, config.strategies, None, config.risk)
    run = wiring.run_info(None, plan.digest)
    async with Database(uri) as database:
        store, signals = wiring.bar_store(database), wiring.signal_store(database)
        for built in plan.built:
            await generate_signals(built, store, signals, FEW, None, DAYS[-1], run)
        told = wiring.alerts(Path(os.devnull), "", False)
        broker = wiring.paper_broker(database, "paper", Costs(**config.paper.model_dump()))
        floor = wiring.floor(database, "paper", broker, told)
        days = await pending(floor, plan.mandate, None, DAYS[-1])
        await trade(floor, plan.mandate, days, run, "test")


def test_a_source_without_such_bars_is_refused_before_anything_is_written(site: Site) -> None:
    request = {"source": "recorded", "symbols": ["AAPL"], "start": "2012-01-03", "end": "2012-01-31"}
    site.runner.begin({**request, "timeframe": "1m"})
    assert "'recorded' has no '1m' bars, but 1d" in site.runner.answer()["error"]
    assert site.rows("select 1 from coverage") == []
