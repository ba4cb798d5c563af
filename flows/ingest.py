"""Ingest: bring history up to date."""

from __future__ import annotations

from itertools import chain
from typing import Any

from prefect import flow

from flows.models import IngestRequest
from quaestor.operations.ingest import check_ingested
from tasks.desk import open_desk
from tasks.events import finished
from tasks.ingest import check_symbols, groups, ingest_symbols, show_ingest, tell_failures
from tasks.naming import named
from tasks.scale import spread


@flow(name="ingest", flow_run_name=named("ingest"))
async def ingest(request: IngestRequest = IngestRequest()) -> dict[str, Any]:  # noqa: B008  # the form's defaults
    """Fetch new bars and splits of every symbol, check them, store them.

    Runs: after each close, and by hand. Requires: the blocks `quaestor`. Leaves: bars, splits, what the gate refused,
    the artifact `ingest`, and the event `quaestor.ingest.finished`, which starts `generate-signals`. A symbol that
    fails is told in an alert and stops no other; the risk gate refuses orders on its stale bars.
    """
    desk = await open_desk()
    symbols = request.symbols or desk.feed.symbols
    await check_symbols(desk, symbols)
    window = {"desk": desk, "start": request.start, "end": request.end, "timeframe": request.timeframe}
    work = [{**window, "symbols": group} for group in groups(symbols)]
    done = await spread(ingest_symbols, work, desk.scale, window=len(work))
    rows = list(chain.from_iterable(done))
    await show_ingest(rows, "ingest")
    failed = await tell_failures(desk, rows)
    check_ingested(rows)
    new = sum(row["new"] + row["changed"] for row in rows)
    finished("ingest", desk.account, request.start, request.end, symbols=list(symbols), rows=new)
    return {"symbols": len(rows), "rows": new, "failed": failed}
