"""A backfill through a real Prefect, from a vendor's protocol server: killed, canceled, without its database, repaired.

The oracle of what was disturbed is the same backfill without Prefect, in a database of its own, never disturbed. The
vendor answers so many requests and then holds the others, so that each backfill is met in its middle.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import psycopg
import pytest

from quaestor import bars, calendar, wiring
from quaestor.config import parse
from quaestor.doors.alpaca import HOST, AlpacaSource
from quaestor.doors.http import Carrier
from quaestor.doors.postgres.database import Database, without_password
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.doors.sim.alpaca import AlpacaServer
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
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
SYMBOLS = tuple(f"{a}{b}" for a in "AB" for b in "MNOPQR")
FEW = SYMBOLS[:3]
DAYS = calendar.sessions(D(2026, 6, 1), D(2026, 9, 23))  # eighty: a window of sixty-four and one of sixteen a symbol
CELLS_OF_ALL = len(SYMBOLS) * len(DAYS)
ANSWERS = 32  # of the 84 that a whole backfill asks for: some windows are stored by then, and both chunks are under way
RANGE = {"start": str(DAYS[0]), "end": str(DAYS[-1]), "source": "alpaca"}
MINUTES = (30, 90, 150, 210, 270, 330)  # on one exchange a share does not trade in every minute
FLOW = """
import asyncio, json, sys
from flows.backfill import backfill
from flows.models import BackfillRequest
from quaestor.errors import QuaestorError
from tasks.backfill import fetch_chunk
for line in sys.stdin:
    asked = json.loads(line)
    fetch_chunk.retry_delay_seconds = asked.pop("delays", fetch_chunk.retry_delay_seconds)
    try:
        answer = {"done": asyncio.run(backfill(BackfillRequest(**asked)))}
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
OTHERS = "select 1 from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
IN_MID_LOAD = "select from pg_stat_activity where wait_event_type = 'Lock' and query ~ 'insert into coverage'"
Rows = list[tuple[Any, ...]]


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
    vendor_server.server.release()


class Runner:
    """A process that runs one backfill after the other; a new one where the last was killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.process = self._new()
        self._successor: subprocess.Popen[str] | None = None

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

    def warm(self) -> None:
        """Start the successor of one that will be killed: it needs seconds to import Prefect."""
        self._successor = self._new()

    def kill(self) -> None:
        """kill -9; the successor takes its place."""
        assert self._successor
        self.process.kill()
        self._end(self.process)
        self.process, self._successor = self._successor, None

    def close(self) -> None:
        for process in filter(None, (self.process, self._successor)):
            self._end(process)

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        assert process.stdin
        process.stdin.close()
        with process:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:  # where a test failed in the middle of a backfill
                process.kill()


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

    def in_the_middle(self) -> None:
        """Wait until a backfill can neither go on nor end: some windows are stored, and the vendor holds the others."""
        eventually(lambda: self.vendor.server.waiting and self.rows(CELLS), 60, "the middle of the backfill")

    def killed_in_the_middle(self) -> None:
        self.vendor.server.hold(ANSWERS)
        self.runner.begin({**RANGE, "timeframe": "1m"})
        self.runner.warm()
        self.in_the_middle()
        self.runner.kill()
        self.left_alone()
        self.vendor.server.release()

    def rows(self, query: str, *parameters: Any) -> Rows:
        with psycopg.connect(self.uri) as connection:
            return connection.execute(query, parameters or None).fetchall()

    def whole_windows(self) -> set[tuple[str, dt.date]]:
        """The cells that are there: some and not all, each with all of its bars, which are the market's."""
        there = self.rows(CELLS)
        assert 0 < len(there) < CELLS_OF_ALL, "the middle of the backfill was missed"
        assert {stored for *_, stored, _, _, _, _ in there} == {len(MINUTES)}
        assert self.rows(CELLS_THAT_LIE) == []
        return {(symbol, period) for symbol, _, period, *_ in there}

    def does_the_rest(self, clean: tuple[Rows, Rows]) -> None:
        """Run it again: what is not there is asked for, nothing else, and it ends as if nothing had happened."""
        there = self.whole_windows()
        self.vendor.server.asked.clear()
        done = self.run(timeframe="1m")
        asked = {(symbol, day) for symbol, *ends in self.vendor.windows() for day in calendar.sessions(*ends)}
        assert asked == {(symbol, day) for symbol in SYMBOLS for day in DAYS} - there
        assert (done["new"], done["failed"]) == ((CELLS_OF_ALL - len(there)) * len(MINUTES), 0)
        self.is_as(clean)

    def is_as(self, clean: tuple[Rows, Rows]) -> None:
        assert len(clean[0]) == CELLS_OF_ALL * len(MINUTES)
        assert self.rows(BARS) == clean[0]
        assert self.rows(CELLS) == clean[1]

    def table(self, key: str) -> list[dict[str, Any]]:
        """What a person sees in the newest artifact of that key."""
        artifact = self.stack.api.artifact(key)
        assert artifact is not None, key
        return json.loads(artifact["data"]) if isinstance(artifact["data"], str) else artifact["data"]

    def said(self, key: str) -> str:
        artifact = self.stack.api.artifact(key)
        assert artifact is not None, key
        return str(artifact["description"])

    def left_alone(self) -> None:
        """Wait until nobody else is in the database."""
        eventually(lambda: not self.rows(OTHERS), 30, "the end of its connections")

    def give_back_places(self) -> None:
        """Those of a dead run, as the end of its leases would."""
        for limit in ("quaestor-sources", "quaestor-backfill"):
            self.stack.api._call("PATCH", f"/v2/concurrency_limits/{limit}", {"active_slots": 0})


@pytest.fixture
def site(prefect_stack: Stack, vendor: Vendor, runner: Runner, database_uri: str) -> Iterator[Site]:
    with moved_in(Site(prefect_stack, vendor, runner, database_uri), at(prefect_stack, database_uri)) as site:
        yield site


@contextmanager
def moved_in(site: Site, database: dict[str, Any]) -> Iterator[Site]:
    """The blocks name the vendor's server and this database, until the block ends."""
    vault = LocalVault(site.stack.local.home)
    for name in ("key", "secret"):
        vault.set(f"alpaca-{name}", name)
    feed = {"base_url": site.vendor.url, "requests_per_minute": 60_000}
    changes = {
        "quaestor-recorded-feed": lambda data: {"alpaca": {**data["alpaca"], **feed}, "symbols": list(SYMBOLS)},
        "quaestor-database": lambda _: database,
    }
    before = {slug: change_block(site.stack, slug, change) for slug, change in changes.items()}
    yield site
    for slug, data in before.items():
        change_block(site.stack, slug, lambda _, data=data: data)


def at(stack: Stack, uri: str) -> dict[str, Any]:
    """How the database's block names it, with the password in the vault."""
    url, password = without_password(uri)
    LocalVault(stack.local.home).set("test-password", password or "")
    return {"home": str(stack.local.home), "url": url, "password_secret": "test-password"}


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


@pytest.fixture(scope="module")
def clean(server_uri: str, template_uri: str, vendor_server: Vendor) -> tuple[Rows, Rows]:
    """Bars and cells of the same backfill without Prefect, in a database of its own."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template "template_books"')  # type: ignore[arg-type]
    uri = server_uri.replace("/quaestor?", f"/{name}?")
    asyncio.run(undisturbed(vendor_server.url, uri))
    vendor_server.server.asked.clear()
    with psycopg.connect(uri) as connection:
        return connection.execute(BARS).fetchall(), connection.execute(CELLS).fetchall()


async def undisturbed(vendor_url: str, uri: str) -> None:
    carrier = Carrier("Alpaca", [HOST], base_url=vendor_url)
    source = AlpacaSource(carrier, lambda: ("key", "secret"), base_url=vendor_url)
    told = wiring.alerts(Path(os.devnull), "", False)
    async with Database(uri) as database:
        intake = wiring.intake(source, database, told)
        wanted = Wanted(SYMBOLS, "1m", DAYS[0], DAYS[-1])
        made = await planned(intake.store, source, wanted, dt.datetime.now(dt.UTC))
        for window in (window for chunk in made.chunks for window in chunk.windows):
            await try_window(intake, window.symbol, window.first, window.last, "1m")


# ── killed and canceled ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_backfill_that_was_killed_does_only_the_rest_and_ends_with_the_same_rows(
    site: Site, clean: tuple[Rows, Rows]
) -> None:
    site.killed_in_the_middle()
    site.give_back_places()
    site.does_the_rest(clean)

    site.vendor.server.asked.clear()
    assert (site.run(timeframe="1m"))["new"] == 0
    assert site.vendor.server.asked == [], "nothing is left to ask for"
    progress = site.stack.api.artifact("backfill-progress")
    assert progress is not None
    assert (progress["data"], progress["description"]) == (100.0, "Nothing is to be done")


@pytest.mark.full
def test_a_backfill_that_is_canceled_leaves_whole_cells_and_is_done_with_the_rest(
    worker: Stack, site: Site, clean: tuple[Rows, Rows]
) -> None:
    site.vendor.server.hold(ANSWERS)
    run_id = worker.api.run_deployment("backfill/manual", {"request": {**RANGE, "timeframe": "1m"}})
    site.in_the_middle()
    worker.api.cancel(run_id)
    assert worker.api.wait(run_id, 90).state == "Cancelled", "while the vendor still holds"
    site.left_alone()
    site.vendor.server.release()
    site.does_the_rest(clean)


@pytest.fixture
def two_places(prefect_stack: Stack) -> Iterator[None]:
    """As many as the chunks of this file, so that a killed run holds all of them."""
    place = "/v2/concurrency_limits/quaestor-backfill"
    prefect_stack.api._call("PATCH", place, {"limit": 2, "active_slots": 0})
    yield
    prefect_stack.api._call("PATCH", place, {"limit": 4, "active_slots": 0})


@pytest.mark.full
@pytest.mark.usefixtures("two_places")
def test_the_places_of_a_killed_backfill_are_free_again_when_their_leases_end(site: Site) -> None:
    """Prefect gives them back by itself, a lease and a look later."""
    site.killed_in_the_middle()
    held = site.stack.api._call("GET", "/v2/concurrency_limits/quaestor-backfill")
    assert held["active_slots"] == 2, "both are the dead one's"
    begun = time.monotonic()
    assert site.run(timeframe="1m")["cells"] == {"present": CELLS_OF_ALL}
    assert time.monotonic() - begun < LEASE + 90


# ── without its database ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Cluster:
    """A PostgreSQL of this file's own, that may be killed."""

    home: Path
    server: EmbeddedServer
    uri: str

    def killed_in_mid_load(self, site: Site) -> None:
        """End it at once, with bars written that no cell tells of yet, in every transaction that can be."""
        with closing(psycopg.connect(site.uri)) as holder:
            holder.execute("lock table coverage in share mode")
            site.vendor.server.release()
            eventually(lambda: len(site.rows(IN_MID_LOAD)) >= 4, 9, "the middle of the loads")
            pid = self.server.status().pid
            assert pid
            os.kill(pid, signal.SIGQUIT)
            eventually(lambda: not self.server.status().running, 10, "the end of PostgreSQL")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="quaestor-killed-"))
    folder.chmod(0o711)
    server = EmbeddedServer(folder / "home")
    try:
        uri = server.acquire()
        wiring.upgrade(uri)
        yield Cluster(folder / "home", server, uri)
    finally:
        server.stop()
        server.release()
        shutil.rmtree(folder)


def test_a_database_that_is_gone_in_mid_load_is_started_again_and_the_load_ends_the_same(
    prefect_stack: Stack, vendor: Vendor, runner: Runner, cluster: Cluster, clean: tuple[Rows, Rows]
) -> None:
    """The embedded one: the chunks' next tries start it."""
    embedded = {"home": str(cluster.home), "url": "", "password_secret": ""}
    with moved_in(Site(prefect_stack, vendor, runner, cluster.uri), embedded) as site:
        vendor.server.hold(ANSWERS)
        runner.begin({**RANGE, "timeframe": "1m"})
        site.in_the_middle()
        cluster.killed_in_mid_load(site)
        begun = time.monotonic()
        answer = runner.answer()
        assert answer["done"]["cells"] == {"present": CELLS_OF_ALL}, answer
        assert time.monotonic() - begun < 90, "no chunk waits for a database that nobody starts"
        cluster.uri = site.uri = cluster.server.acquire()
        assert site.rows(CELLS_THAT_LIE) == []
        site.is_as(clean)


@pytest.mark.full
def test_a_database_that_stays_away_fails_the_run_in_clear_words_and_the_next_run_does_the_rest(
    prefect_stack: Stack, vendor: Vendor, runner: Runner, cluster: Cluster, clean: tuple[Rows, Rows]
) -> None:
    """One at an address, which flows do not start."""
    with psycopg.connect(cluster.uri, autocommit=True) as connection:
        connection.execute("create database elsewhere")
    uri = cluster.uri.replace("/quaestor?", "/elsewhere?")
    wiring.upgrade(uri)
    with moved_in(Site(prefect_stack, vendor, runner, uri), at(prefect_stack, uri)) as site:
        vendor.server.hold(ANSWERS)
        runner.begin({**RANGE, "timeframe": "1m", "delays": [0.1, 0.1, 0.1]})
        site.in_the_middle()
        cluster.killed_in_mid_load(site)
        assert re.match(r"DatabaseDown: The database at .* does not answer: ", runner.answer()["error"])

        cluster.uri = cluster.server.acquire()
        site.uri = cluster.uri.replace("/quaestor?", "/elsewhere?")
        change_block(prefect_stack, "quaestor-database", lambda _: at(prefect_stack, site.uri))
        site.does_the_rest(clean)


# ── plan, order, progress ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_dry_run_writes_nothing_and_shows_the_plan_its_cost_and_the_map(site: Site) -> None:
    done = site.run(timeframe="1m", dry_run=True)
    assert done == {"planned": CELLS_OF_ALL, "complete": 0}
    assert site.vendor.server.asked == []
    assert site.rows("select 1 from coverage union all select 1 from bar_1m union all select 1 from instrument") == []
    plan = site.table("backfill-plan")
    assert [chunk.keys() for chunk in plan] == [{"chunk", "symbols", "cells", "bars at most"}] * 2
    assert sum(chunk["cells"] for chunk in plan) == CELLS_OF_ALL
    assert re.fullmatch(r"AM to BR 1m 2026-\d\d-\d\d to 2026-09-23, \d+ cells", plan[0]["chunk"])
    said = site.said("backfill-plan")
    assert said.startswith("Dry run, nothing was fetched: 960 cells in 2 chunks: ")
    assert "72 requests, at most 374,400 bars" in said, "12 × (3 + 1 pages of bars + 2 of splits and dividends)"
    page = site.stack.api.artifact("coverage-1m")
    assert page is not None
    assert page["description"] == "12 symbols, 2026-06-01 to 2026-09-23: 0 of 960 cells are complete."
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
        broker = wiring.paper_broker(database, "paper", config.paper.costs)
        floor = wiring.floor(database, "paper", broker, told)
        days = await pending(floor, plan.mandate, None, DAYS[-1])
        await trade(floor, plan.mandate, days, run, "test")


def test_a_source_without_such_bars_is_refused_before_anything_is_written(site: Site) -> None:
    request = {"source": "recorded", "symbols": ["AAPL"], "start": "2012-01-03", "end": "2012-01-31"}
    site.runner.begin({**request, "timeframe": "1m"})
    assert "'recorded' has no '1m' bars, but 1d" in site.runner.answer()["error"]
    assert site.rows("select 1 from coverage") == []


def test_a_source_that_is_not_configured_is_refused_with_what_to_do(site: Site) -> None:
    site.runner.begin({**RANGE, "source": "files"})
    assert site.runner.answer()["error"] == (
        "BadConfig: The source 'files' cannot be used: source = 'files' needs a folder. Configure it under [market] and"
        " run `python -m deployments.register`, or edit the block `quaestor-recorded-feed/quaestor`."
    )
    assert site.rows("select 1 from coverage") == []
