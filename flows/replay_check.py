"""Replay check: would today's live runs decide the same again?"""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect import flow

from flows.models import ReplayRequest
from quaestor.errors import ReplayDiverged
from quaestor.live.watching import today
from tasks.desk import open_desk
from tasks.replay_check import alert, find_journals, replay_run, show_replays, summary, tidy_journals


@flow(name="replay-check", flow_run_name="replay check")
async def replay_check(request: ReplayRequest = ReplayRequest()) -> dict[str, Any]:  # noqa: B008  # the form's defaults
    """Fold the day's live runs again: compare every decision byte for byte, and fills with the paper broker's model.

    Runs: on weekday evenings, and by hand. Requires: the journals, in the data folder of the machine that it runs on.
    Leaves: the artifact `replay`, and the journals packed. A run that decides otherwise, or cannot be replayed, alerts
    and fails this one; it stops no trading.
    """
    desk = await open_desk()
    day = request.day or today(dt.datetime.now(dt.UTC))
    folders = await find_journals(desk, day)
    checked = [await replay_run(desk, folder) for folder in folders]  # one after the other: each takes a core
    await show_replays(day, checked)
    freed = await tidy_journals(desk, folders, request.keep_days)
    wrong = [summary(each) for each in checked if not each.ok]
    if wrong:
        await alert(desk, "\n".join(wrong))
        raise ReplayDiverged(" ".join(wrong))
    return {"runs": len(checked), "freed": freed}
