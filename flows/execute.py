"""Execute: from signals to fills."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.models import ExecuteRequest
from tasks.desk import open_desk
from tasks.events import finished
from tasks.execute import find_sessions, show_execution, stretches, trade_sessions
from tasks.naming import named


@flow(name="execute", flow_run_name=named("execute"))
async def execute(request: ExecuteRequest = ExecuteRequest()) -> dict[str, Any]:  # noqa: B008  # the form's defaults
    """Trade every session that has signals and is not settled: decide, send, book, settle, prove.

    Runs: when signals have finished. Requires: signals, bars, the account's lease. Leaves: decisions, orders, fills,
    ledger, equity, the artifact `execution`, and the event `quaestor.execute.finished`, which starts `reconcile`.
    Killed or run twice, it sends the same orders (laws 1–4).
    """
    desk = await open_desk()
    days = await find_sessions(desk, request.start, request.end)
    rows = [await trade_sessions(desk, stretch) for stretch in stretches(days)]
    await show_execution(rows)
    first, last = (days[0], days[-1]) if days else (None, None)
    orders, fills = (sum(row[name] for row in rows) for name in ("orders", "fills"))
    finished("execute", desk.account, first, last, sessions=len(days), orders=orders, fills=fills)
    return {"sessions": len(days), "orders": orders, "fills": fills}
