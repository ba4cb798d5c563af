"""A live run: all its doors on one deck, and the plan that it reads again when the file changes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from quaestor.wiring.brokers import trading
from quaestor.wiring.configuration import Loaded, load
from quaestor.wiring.databases import bar_store, configured_database, live_store, trigger_store
from quaestor.wiring.feeds import live_feed, liveness
from quaestor.wiring.journals import journals_folder
from quaestor.wiring.orchestrator import prefect_api
from quaestor.wiring.plans import catalogue, configured_plan
from quaestor.wiring.sources import configured_source
from quaestor.wiring.telling import configured_alerts, telemetry
from quaestor.wiring.trading import floor

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.live.journaling import Entry
    from quaestor.operations.live.deck import Deck
    from quaestor.operations.live.deck import Plan as LivePlan


@asynccontextmanager
async def live_deck(
    loaded: Loaded, run: uuid.UUID, now: Callable[[], int], *, feed_url: str = ""
) -> AsyncIterator[tuple[Deck, LivePlan]]:
    """All doors of a live run, open, and what it trades; `now` is its clock, `feed_url` in the place of the configured.

    Raises BadConfig, PartMissing.
    """
    from quaestor.doors.journal import JournalWriter
    from quaestor.live.standing import instant
    from quaestor.operations.live.deck import LOOKS, Deck

    config = loaded.config
    plan = live_plan(loaded)
    async with configured_database(loaded) as database:
        on = trading(loaded, database, lambda: instant(now()))
        told = configured_alerts(loaded)
        journal = JournalWriter(journals_folder(loaded) / str(run), run)
        telling = telemetry(loaded, run, config.account.alias, plan.commit, now())
        deck = Deck(
            floor=floor(database, config.account.alias, on.broker, told, on.market),
            live=live_store(database),
            triggers=trigger_store(database),
            feed=live_feed(loaded, now, feed_url, database, on.poll),
            journal=journal,
            find=catalogue(loaded).build,
            settings=config.live,
            now=now,
            skew=lambda: _skew(database),
            start_flow=lambda name, key: _start_flow(loaded, name, key),
            reread=Reread(loaded),
            tail=lambda before, after: _tail(loaded, before, after),
            telemetry=telling,
            source=configured_source(loaded) if config.live.fill_gaps else None,
            bars=bar_store(database),
            paper=on.paper,
            poll=on.poll,
            keep=on.keep,
            looks=on.looks or LOOKS,
            prepare=on.prepare,
            liveness=liveness(loaded, plan.mandate.symbols),
            calm=config.feed.calm,
            most=config.feed.most,
        )
        try:
            yield deck, plan
        finally:
            await asyncio.to_thread(telling.close)


def live_plan(loaded: Loaded) -> LivePlan:
    """What a live run trades, as configured now."""
    from quaestor.doors.code import commit
    from quaestor.operations.live.deck import Plan as LivePlan

    plan = configured_plan(loaded)
    return LivePlan(plan.mandate, plan.built, commit(), plan.digest)


class Reread:
    """The plan as configured now; None while the file is as it was when it was asked last."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded, self._seen = loaded, self._stamp(loaded.path)

    def __call__(self) -> LivePlan | None:
        """Raises BadConfig, once for each change that cannot be used."""
        stamp = self._stamp(self._loaded.path)
        if stamp == self._seen:
            return None
        self._seen = stamp
        return live_plan(load())

    @staticmethod
    def _stamp(path: Path | None) -> tuple[int, int]:
        try:
            found = path.stat() if path is not None else None
        except OSError:
            return 0, 0
        return (found.st_mtime_ns, found.st_size) if found is not None else (0, 0)


def _tail(loaded: Loaded, run: uuid.UUID, after: int) -> Iterable[Entry]:
    """What a run's journal has after so many events; nothing where there is none."""
    from quaestor.doors.journal import JournalReader

    folder = journals_folder(loaded) / str(run)
    return JournalReader(folder).entries(after) if folder.is_dir() else ()


async def _skew(database: Database) -> Decimal:
    """Seconds by which this machine's clock is ahead of the database's: half of the way there counts for nothing."""
    began = time.time()
    (row,) = await database.fetch(b"select extract(epoch from clock_timestamp())::float8 as at")
    return Decimal(str(round((began + time.time()) / 2 - row["at"], 1)))  # a tenth: noise is no news


async def _start_flow(loaded: Loaded, deployment: str, key: str) -> None:
    await asyncio.to_thread(lambda: prefect_api(loaded).run_deployment(deployment, {}, idempotency_key=key))
