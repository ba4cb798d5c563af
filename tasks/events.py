"""Events: how one flow starts the next (the triggers stand in `prefect.yaml`)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from prefect.events import emit_event


def finished(what: str, account: str, start: dt.date | None, end: dt.date | None, **payload: Any) -> None:
    """Say that a step of the loop is done for a range of sessions, e.g. `quaestor.ingest.finished`."""
    window = {"start": start.isoformat() if start else None, "end": end.isoformat() if end else None}
    resource = {"prefect.resource.id": f"quaestor.account.{account}", "prefect.resource.name": account}
    emit_event(f"quaestor.{what}.finished", resource=resource, payload={**window, **payload})
