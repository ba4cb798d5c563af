"""Backfill: fill the holes of history, or fetch a piece of it again, by hand."""

from __future__ import annotations

from itertools import chain
from typing import Any

from prefect import flow

from flows.models import BackfillRequest
from quaestor.operations.ingest import by_symbol, check_failed
from tasks.backfill import Progress, fetch_chunk, plan, show_coverage, show_plan, show_repairs
from tasks.desk import open_desk
from tasks.events import finished
from tasks.ingest import check_symbols, show_ingest, tell_failures
from tasks.naming import named
from tasks.scale import spread

WINDOW = 4  # chunks that wait or work at a time


@flow(name="backfill", flow_run_name=named("backfill"))
async def backfill(request: BackfillRequest) -> dict[str, Any]:
    """Fetch what is missing, what failed, or all of a range; what changed becomes a new version, the old one stays.

    Runs: by hand (the UI's "Custom run", or `prefect deployment run backfill/manual`). Requires: the blocks `quaestor`.
    Leaves: bars, the artifacts `backfill-plan`, `backfill-progress`, `backfill` and `coverage-…`, `repaired-decisions`
    where orders stood on bars that changed, and the event `quaestor.backfill.finished`. It decides nothing. Killed or
    canceled and started again, it fetches only the rest.
    """
    desk = (await open_desk()).fed_by(request.source)
    wanted = request.wanted(desk.feed.symbols)
    await check_symbols(desk, wanted.symbols)
    made = await plan(desk, wanted)
    await show_plan(made, dry_run=request.dry_run)
    if request.dry_run:
        await show_coverage(desk, wanted)
        return {"planned": made["cells"], "complete": made["complete"]}
    progress = await Progress.begin(len(made["chunks"]))
    work = [{"desk": desk, "timeframe": wanted.timeframe, **chunk} for chunk in made["chunks"]]
    done = await spread(fetch_chunk, work, desk.scale, window=WINDOW, done=progress.advance)
    windows = list(chain.from_iterable(chunk["rows"] for chunk in done))
    rows = by_symbol(windows)
    await show_ingest(rows, "backfill")
    failed = await tell_failures(desk, rows)
    cells = await show_coverage(desk, wanted)
    if decisions := list(chain.from_iterable(chunk["decisions"] for chunk in done)):
        await show_repairs(decisions)
    check_failed(windows)
    counts = {name: sum(row[name] for row in rows) for name in ("read", "new", "changed", "quarantined")}
    finished("backfill", desk.account, wanted.start, wanted.end, symbols=list(wanted.symbols), **counts)
    return {**counts, "failed": failed, "cells": cells, "decisions": len(decisions)}
