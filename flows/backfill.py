"""Backfill: fetch a piece of history again, by hand."""

from __future__ import annotations

from itertools import chain
from typing import Any

from prefect import flow

from flows.models import BackfillRequest
from quaestor.operations.ingest import check_ingested
from tasks.desk import open_desk, together
from tasks.events import finished
from tasks.ingest import check_symbols, groups, ingest_symbols, show_ingest, show_plan
from tasks.naming import named


@flow(name="backfill", flow_run_name=named("backfill"))
async def backfill(request: BackfillRequest) -> dict[str, Any]:
    """Fetch these symbols and sessions again; what changed becomes a new version, the old one stays.

    Runs: by hand (the UI's "Custom run", or `prefect deployment run backfill/manual`). Requires: the blocks `quaestor`.
    Leaves: bars, the artifact `backfill`, and the event `quaestor.backfill.finished`. It decides nothing.
    """
    desk = await open_desk()
    await check_symbols(desk, request.symbols)
    if request.dry_run:
        return {"planned": await show_plan(desk, request.symbols, request.start, request.end)}
    work = (ingest_symbols(desk, group, request.start, request.end, again=True) for group in groups(request.symbols))
    rows = list(chain.from_iterable(await together(work)))
    await show_ingest(rows, "backfill")
    check_ingested(rows)
    counts = {name: sum(row[name] for row in rows) for name in ("read", "new", "changed")}
    finished("backfill", desk.account, request.start, request.end, symbols=request.symbols, **counts)
    return counts
