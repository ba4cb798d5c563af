"""Alerts on the console and in a file; a channel that fails stops nothing."""

from __future__ import annotations

import datetime as dt
import json
import logging
from pathlib import Path

import pytest

from quaestor.doors.alerts import LocalAlerts


async def test_an_alert_is_a_line_in_the_file_and_one_on_the_console(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "home" / "alerts.log"
    alerts = LocalAlerts(file)
    await alerts.send("books disagree", "cash USD: ours 1\nbroker 2", urgent=True)
    await alerts.send("all is well", "again")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["title"], line["urgent"]) for line in lines] == [("books disagree", True), ("all is well", False)]
    assert lines[0]["body"] == "cash USD: ours 1\nbroker 2"
    assert dt.datetime.fromisoformat(lines[0]["at"]).utcoffset() == dt.timedelta(0)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "books disagree: cash USD: ours 1\nbroker 2"),
        (logging.WARNING, "all is well: again"),
    ]


async def test_a_quiet_console_hears_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await LocalAlerts(tmp_path / "alerts.log", console=False).send("t", "b")
    assert caplog.records == []
    await LocalAlerts(None).send("t", "b")
    assert len(caplog.records) == 1


async def test_a_file_that_cannot_be_written_is_logged_and_never_raised(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    await LocalAlerts(tmp_path / "home" / "alerts.log", console=False).send("t", "b")
    assert "could not be written" in caplog.text
