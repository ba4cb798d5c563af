"""Reconcile: books against broker."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.models import ReconcileRequest
from quaestor.errors import BooksDisagree
from tasks.desk import open_desk
from tasks.events import finished
from tasks.naming import named
from tasks.reconcile import compare, show_reconciliation


@flow(name="reconcile", flow_run_name=named("reconcile"))
async def reconcile(request: ReconcileRequest = ReconcileRequest()) -> dict[str, Any]:  # noqa: B008
    """Compare cash, positions, fills and orders with the broker's, to the cent and the share.

    Runs: when an execution has finished, before each open, and by hand. Requires: the broker. Leaves: the outcome, the
    artifact `reconciliation`, and the event `quaestor.reconcile.finished`, which starts `report`. A difference stops
    entries, alerts, and fails the run.
    """
    desk = await open_desk()
    outcome = await compare(desk, request.start)
    await show_reconciliation(outcome)
    if not outcome.ok:
        first = outcome.differences[0]
        raise BooksDisagree(
            f"{len(outcome.differences)} differences; entries are stopped. First: {first['subject']} {first['key']}: "
            f"ours {first['ours']}, broker {first['theirs']}. {first['cure']}"
        )
    finished("reconcile", desk.account, request.start, request.end, ok=True)
    return {"ok": True, **outcome.checked}
