"""Generate signals: what each strategy wants."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.models import SignalsRequest
from tasks.desk import open_desk, together
from tasks.events import finished
from tasks.naming import named
from tasks.signals import show_signals, strategy_signals


@flow(name="generate-signals", flow_run_name=named("signals"))
async def generate_signals(request: SignalsRequest = SignalsRequest()) -> dict[str, Any]:  # noqa: B008
    """Run every strategy of the plan over the stored bars and keep its targets.

    Runs: when an ingest has finished. Requires: bars. Leaves: signals, the artifact `signals`, and the event
    `quaestor.signals.finished`, which starts `execute`.
    """
    desk = await open_desk()
    names = [built.name for built in desk.plan().daily]
    rows = await together(strategy_signals(desk, name, request.start, request.end) for name in names)
    await show_signals(rows)
    finished("signals", desk.account, None, request.end, signals=sum(row["new"] for row in rows))
    return {"strategies": len(rows), "signals": sum(row["signals"] for row in rows)}
