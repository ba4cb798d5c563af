"""The page for Prometheus out of real books and a real heartbeat, read by Prometheus' own parser."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from quaestor.config import parse
from quaestor.console import metrics as console
from quaestor.console.api import app
from quaestor.doors.postgres.control import ControlStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.live import LiveStore
from quaestor.doors.postgres.reads import Reads
from quaestor.metrics import LiveMetrics
from quaestor.ports_live import LiveRun
from quaestor.wiring import Loaded

RUN = LiveRun(uuid.UUID(int=3), "paper", "me", dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC), "abc123", "digest")


async def scraped(store: LiveStore, uri: str, later: dt.timedelta = dt.timedelta()) -> dict[str, dict[str, float]]:
    """Families as {label: value}, the account's label left out."""
    with Reads(uri, "paper") as door:
        books = console.read(door)
    page = console.page("paper", await store.newest("paper"), books, dt.datetime.now(dt.UTC) + later)
    found = {f.name.removeprefix("quaestor_"): f.samples for f in text_string_to_metric_families(page)}
    assert all(sample.labels.pop("account") == "paper" for samples in found.values() for sample in samples)
    return {n: {"/".join(s.labels.values()): s.value for s in samples} for n, samples in found.items()}


async def test_the_page_has_the_heartbeat_and_the_books(database: Database, database_uri: str) -> None:
    store = LiveStore(database)
    empty = await scraped(store, database_uri)
    assert (empty["live_up"], empty["books_open_orders"], "live_run_info" in empty) == ({"": 0}, {"": 0}, False)

    metrics = LiveMetrics()
    metrics.ticks.add(5, "trade")
    metrics.feed_age.set(0.25)
    metrics.commit.record(2_000_000)
    await store.begin(RUN)
    await store.beat(RUN.id, {"feed": "connected", "metrics": metrics.dump()})
    await ControlStore(database).set_latch("paper", "manual", "a test")
    found = await scraped(store, database_uri)
    assert found["live_up"] == {"": 1}
    assert found["live_run_info"] == {f"{RUN.id}/abc123/": 1}
    assert (found["live_ticks"], found["live_feed_age_seconds"]) == ({"trade": 5}, {"": 0.25})
    assert found["live_commit_seconds"]["+Inf"] == 1
    assert (found["books_latches"], found["books_latch"], found["books_leased"]) == ({"": 1}, {"manual": 1}, {"": 0})


async def test_the_console_answers_it_to_whoever_has_the_token(
    database: Database, database_uri: str, tmp_path: Path
) -> None:
    loaded = Loaded(parse(f'[database]\nurl = "{database_uri}"\n'), None, tmp_path)
    inside = httpx.ASGITransport(app=app(loaded, database, "the-token"))
    async with httpx.AsyncClient(transport=inside, base_url="http://127.0.0.1") as client:
        refused = await client.get("/metrics")
        answer = await client.get("/metrics", headers={"authorization": "Bearer the-token"})
    assert (refused.status_code, "quaestor" in refused.text) == (401, False)
    assert (answer.status_code, answer.headers["content-type"]) == (200, console.CONTENT_TYPE)
    assert {f.name for f in text_string_to_metric_families(answer.text)} >= {
        "quaestor_live_up",
        "quaestor_books_leased",
    }


async def test_a_run_that_fell_silent_or_ended_is_not_up(database: Database, database_uri: str) -> None:
    store = LiveStore(database)
    await store.begin(RUN)
    await store.beat(RUN.id, {})
    silent = await scraped(store, database_uri, later=dt.timedelta(seconds=60))
    assert silent["live_up"] == {"": 0}
    assert 59 < silent["live_beat_age_seconds"][""] < 120
    await store.end(RUN.id, "stopped")
    ended = await scraped(store, database_uri)
    assert (ended["live_up"], ended["live_run_info"]) == ({"": 0}, {f"{RUN.id}/abc123/stopped": 1})
