"""What is told, and to whom: alerts to a person; logs and telemetry of a run."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.wiring.configuration import Loaded
from quaestor.wiring.vaults import vault

if TYPE_CHECKING:
    from quaestor.doors.telemetry import Telemetry
    from quaestor.doors.telemetry.sender import Sender, Sink
    from quaestor.ports import Alerts
    from quaestor.spans import Told, Value


def alerts(home: Path, file: str = "", console: bool = True) -> Alerts:
    """Alerts on the console and, where `file` is named, in that file of the data folder."""
    from quaestor.doors.alerts import LocalAlerts

    return LocalAlerts(home / file if file else None, console=console)


def configured_alerts(loaded: Loaded) -> Alerts:
    """How a person is told, as configured."""
    return alerts(loaded.home, loaded.config.alerts.file, loaded.config.alerts.console)


def logs(loaded: Loaded, *, console: bool = True) -> AbstractContextManager[Sender[str] | None]:
    """Write logs as the configuration says, while it is entered; `quaestor.logs.within` says whose they are."""
    from quaestor.doors.telemetry.logs import logging_to

    said = loaded.config.telemetry
    file = loaded.home / said.log_file if said.log_file else None
    return logging_to(file, level=said.log_level, most=said.file_bytes, keep=said.files_kept, console=console)


def telemetry(loaded: Loaded, run: uuid.UUID, account: str, commit: str, began: int) -> Telemetry:
    """What a run that began then (ns) tells about itself, and where; by default nowhere. To be closed."""
    from quaestor.doors.telemetry import Telemetry, TraceFile
    from quaestor.doors.telemetry.lines import Lines

    said = loaded.config.telemetry
    about: dict[str, Value] = {"service.name": "quaestor", "service.version": commit}
    about |= {"service.instance.id": str(run), "quaestor.account": account}
    traces: dict[str, Sink[Told]] = {}
    figures: dict[str, Sink[tuple[int, dict[str, Any]]]] = {}
    if said.file:
        traces["file"] = TraceFile(Lines(loaded.home / said.file, said.file_bytes, said.files_kept), about)
    if said.otlp:
        from quaestor.doors.telemetry.otlp import MetricSink, TraceSink

        def headers() -> dict[str, str]:
            name = said.authorization_secret
            return {"authorization": vault(loaded.home).get(name).value} if name else {}

        traces["otlp"] = TraceSink(said.otlp.rstrip("/"), about, headers)
        figures["otlp metrics"] = MetricSink(said.otlp.rstrip("/"), about, began, headers)
    return Telemetry(traces, figures, sample=said.sample, every=said.every * 10**9)
