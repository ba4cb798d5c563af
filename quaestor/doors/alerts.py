"""Alerts on the console and in a log file: one JSON line each, so that nothing is lost that nobody watched."""

from __future__ import annotations

import datetime as dt
import json
import logging
from pathlib import Path

log = logging.getLogger("quaestor.alerts")


class LocalAlerts:
    """Implements `ports.Alerts`. `file` is appended to; None keeps no file."""

    def __init__(self, file: Path | None, *, console: bool = True) -> None:
        self._file = file
        self._console = console

    async def send(self, title: str, body: str, *, urgent: bool = False) -> None:
        """Tell; a channel that fails is logged, never raised: trading goes on."""
        if self._console:
            log.log(logging.ERROR if urgent else logging.WARNING, "%s: %s", title, body)
        if self._file is not None:
            line = {"at": dt.datetime.now(dt.UTC).isoformat(), "urgent": urgent, "title": title, "body": body}
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            except OSError as error:
                log.exception("The alert could not be written to %s: %s", self._file, error.strerror)
