"""Report: the devlog with its pictures."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.models import ReportRequest
from tasks.desk import open_desk
from tasks.events import finished
from tasks.naming import named
from tasks.report import show_report, write_report


@flow(name="report", flow_run_name=named("report"))
async def report(request: ReportRequest = ReportRequest()) -> dict[str, Any]:  # noqa: B008  # the form's defaults
    """Equity curve, drawdown, P&L distribution, key figures and the devlog of a range of sessions.

    Runs: when books and broker were found to agree, and by hand. Requires: settled sessions. Leaves: a folder with
    `devlog.md` and its pictures in the data folder, the artifacts `devlog` and `key-figures`, and the event
    `quaestor.report.finished`.
    """
    desk = await open_desk()
    reported = await write_report(desk, request.start, request.end)
    await show_report(reported)
    finished("report", desk.account, request.start, request.end, devlog=str(reported.devlog))
    return dict(reported.summary)
