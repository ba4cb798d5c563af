"""The flow `edit-trigger` at a real Prefect server: a person's form becomes a trigger, once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import ValidationError

from flows.models import EditTriggerRequest
from quaestor import wiring
from quaestor.doors.postgres.embedded import EmbeddedServer

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ROOT = Path(__file__).resolve().parents[3]
FLOW = """
import asyncio, json, sys
from flows.edit_trigger import edit_trigger
from flows.models import EditTriggerRequest
for line in sys.stdin:
    state = asyncio.run(edit_trigger(EditTriggerRequest(**json.loads(line)), return_state=True))
    print(json.dumps({"name": state.name, "message": state.message}), flush=True)
"""
DIP = {"name": "dip", "symbol": "AAPL", "when": "price below 180", "do": "buy 10 shares", "expires": "5d"}


@pytest.fixture
def books(prefect_stack: Stack) -> Iterator[str]:
    """The URI of the books that the flow writes, with the newest schema."""
    with EmbeddedServer(prefect_stack.local.home) as uri:
        wiring.upgrade(uri)
        yield uri


def test_a_form_writes_replaces_and_removes_a_trigger(prefect_stack: Stack, books: str) -> None:
    forms: list[dict[str, Any]] = [
        DIP,
        DIP | {"when": "price below 175", "expires": "", "mode": "rearm", "note": "cheaper"},
        {"what": "remove", "name": "dip"},
        {"what": "remove", "name": "dip"},
    ]
    program = subprocess.run(
        [sys.executable, "-c", FLOW],
        input="\n".join(json.dumps(form) for form in forms),
        env=prefect_stack.local.environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert program.returncode == 0, program.stderr
    added, replaced, removed, gone = (json.loads(line) for line in program.stdout.splitlines() if line.startswith("{"))
    assert added["name"] == "Completed"
    assert added["message"].startswith("Stored: AAPL: when price below 180 do buy 10 shares; once, expires ")
    assert replaced["message"] == "Stored: AAPL: when price below 175 do buy 10 shares; rearm"
    assert removed["message"].startswith("Removed: trigger ")
    assert gone["name"] == "Failed"
    assert "Unknown trigger 'dip'" in gone["message"]
    with psycopg.connect(books) as connection:
        rows = connection.execute("select name, note, by, removed_at is null from trigger").fetchall()
    (row,) = rows
    assert (row[0], row[1], row[3]) == ("dip", "cheaper", False)
    assert row[2] == "flow run remove trigger dip"
    assert prefect_stack.api.artifact("triggers") is not None


@pytest.mark.parametrize(
    ("form", "said"),
    [
        pytest.param({}, "symbol: it is missing", id="an empty form"),
        pytest.param(DIP | {"when": "price abve 1"}, "price »abve« 1: expected", id="a typing error"),
        pytest.param(DIP | {"cooldown": "5"}, "cooldown: »5«: expected a duration", id="no unit"),
        pytest.param(DIP | {"name": "two words"}, "name: 'two words' is none", id="a name of two words"),
        pytest.param({"what": "remove"}, "which trigger is to be removed", id="remove, but what?"),
        pytest.param(DIP | {"hurry": True}, "Extra inputs", id="a field that is none"),
    ],
)
def test_a_form_that_cannot_be_used_is_refused_before_anything_runs(form: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        EditTriggerRequest(**form)
    assert said in str(caught.value)
