"""Where logs go: lines of JSON into a file that is turned over, text for a person's eyes on the error output.

A record is made a line where it is logged, for run and decision are known there; the file is written on another thread,
so that no disk holds up the live run.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quaestor.doors.telemetry.lines import Lines
from quaestor.doors.telemetry.sender import Sender
from quaestor.logs import AsJson, AsText

OURS = "quaestor"


class Offered(logging.Handler):
    """Hands lines to a sender."""

    def __init__(self, sender: Sender[str]) -> None:
        super().__init__()
        self.sender = sender
        self.setFormatter(AsJson())

    def emit(self, record: logging.LogRecord) -> None:
        """Offer the line."""
        self.sender.offer(self.format(record))


@contextmanager
def logging_to(
    file: Path | None, *, level: str = "INFO", most: int = 64 << 20, keep: int = 4, console: bool = True
) -> Iterator[Sender[str] | None]:
    """Log our own from that level on, others' from warnings on; afterwards as it was. Yields the file's sender."""
    sender = Sender("log", Lines(file, most, keep)) if file is not None else None
    handlers: list[logging.Handler] = [Offered(sender)] if sender is not None else []
    if console:
        handlers.append(logging.StreamHandler(sys.stderr))
        handlers[-1].setFormatter(AsText())
    ours, root = logging.getLogger(OURS), logging.getLogger()
    before = ours.level
    ours.setLevel(level)
    for handler in handlers:
        root.addHandler(handler)
    try:
        yield sender
    finally:
        for handler in handlers:
            root.removeHandler(handler)
        ours.setLevel(before)
        if sender is not None:
            sender.close()
