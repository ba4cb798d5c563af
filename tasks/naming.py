"""Names of flow runs: what a person reads in the list of runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect.runtime import flow_run


def named(verb: str) -> Callable[[], str]:
    """A flow run name such as "ingest AAPL, MSFT · 2012-01-03 … 2013-03-01"."""

    def name() -> str:
        return f"{verb} {described(flow_run.parameters.get('request'))}".strip()

    return name


def described(request: Any) -> str:
    """Symbols and range of a request, however Prefect hands it over (a model or a dict)."""
    if request is None:
        return ""
    fields = request if isinstance(request, dict) else request.model_dump()
    symbols, start, end = fields.get("symbols"), fields.get("start"), fields.get("end")
    parts = []
    if symbols:
        parts.append(", ".join(symbols[:4]) + (f" +{len(symbols) - 4}" if len(symbols) > 4 else ""))
    if start or end:
        parts.append(f"{start or '…'} to {end or 'now'}")
    return " · ".join(parts)
