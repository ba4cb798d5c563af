"""The nightly replay at a real Prefect server, over journals that a real engine's decisions are in."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quaestor.console.cli import main
from quaestor.doors.journal import JournalReader, JournalWriter
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.triggers import TriggerStore
from quaestor.live.account import AccountState
from quaestor.live.engine import Engine
from quaestor.live.events import Event, Filled, Session, Setup, Ticks, Told
from quaestor.orders import Side
from quaestor.risk import Record
from quaestor.strategies.catalogue import Catalogue
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.triggers import read_trigger

if TYPE_CHECKING:
    from tests.integration.conftest import Stack

ROOT = Path(__file__).resolve().parents[3]
DAY = dt.date(2026, 11, 20)
BEFORE = DAY - dt.timedelta(days=1)
OPENS = int(dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC).timestamp()) * SECOND
WRITTEN = dt.datetime(2026, 11, 20, 21, 5, tzinfo=dt.UTC).timestamp()
DIPPED = {
    "id": "11111111-0000-4000-8000-000000000001",
    "symbol": "AAPL",
    "condition": {"kind": "below", "level": 188.0},
    "action": {"kind": "order", "side": "buy", "quantity": 20.0},
}
pytestmark = pytest.mark.timeout(300)


def events(run: uuid.UUID) -> Iterator[Event]:
    """AAPL falls through 188: 20 shares are bought, at three cents over the ask."""
    yield Setup(OPENS - 1, run, "paper", ("AAPL",), {"quiet_open": 0}, (), (DIPPED,), "abc1234", "digest")
    yield Session(OPENS, DAY, OPENS, OPENS + 23_400 * SECOND, {"AAPL": Decimal(190)}, {"AAPL": 1})
    money = Decimal(100_000)
    yield Told(
        OPENS, AccountState(DAY, money, money, money, money, (), (), (), (), Record(), BEFORE, BEFORE, skew=Decimal(0))
    )
    for n in range(1, 100):
        now, price = OPENS + n * SECOND, 190 - n / 20
        yield Ticks(
            now, [QuoteTick("AAPL", now, price - 0.01, price, 500.0, 500.0), TradeTick("AAPL", now, price, 10.0)]
        )
    yield Filled(OPENS + 100 * SECOND, "triggers", "AAPL", Side.BUY, Decimal(20), Decimal("188.03"), Decimal(0))


def record(home: Path, run: uuid.UUID, recorded: float = 188.0) -> Path:
    """A run's journal, last written on that day; its decisions are those at `recorded`, the events say 188."""
    folder, engine = home / "journals" / str(run), Engine(Catalogue().build)
    with JournalWriter(folder, run) as journal:
        for event in events(run):
            held = journal.append(event)
            if isinstance(held, Setup):
                held.triggers[0]["condition"]["level"] = recorded
            journal.decided(engine.on(held))
    for file in folder.iterdir():
        os.utime(file, (WRITTEN, WRITTEN))
    return folder


@pytest.fixture
def home(prefect_stack: Stack) -> Iterator[Path]:
    yield prefect_stack.local.home
    shutil.rmtree(prefect_stack.local.home / "journals", ignore_errors=True)


def flow(stack: Stack, **request: Any) -> subprocess.CompletedProcess[str]:
    form = f"m.ReplayRequest.model_validate_json({json.dumps(request)!r})"
    code = f"import asyncio, flows.models as m, flows.replay_check as r; print(asyncio.run(r.replay_check({form})))"
    env = stack.local.environment() | {"PREFECT_API_KEY": ""}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


def cut(folder: Path, length: int) -> None:
    """A power cut."""
    file = folder / "000001.journal"
    file.write_bytes(file.read_bytes()[:length])
    os.utime(file, (WRITTEN, WRITTEN))


def test_a_day_that_decides_the_same_is_shown_and_packed_and_one_that_does_not_alerts_and_fails(
    prefect_stack: Stack, home: Path
) -> None:
    same = record(home, uuid.UUID(int=1))
    size = sum(file.stat().st_size for file in same.iterdir())
    done = flow(prefect_stack, day="2026-11-20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'runs': 1" in done.stdout
    page = prefect_stack.api.artifact("replay")
    assert page is not None
    assert "# 1 replayed: all the same" in page["data"]
    assert "2 decisions on 103 events" in page["data"]
    assert "| AAPL | 1 | 20 | 0.53 | 0.53 | 0.00 |" in page["data"], (
        "188.03 against 188.00 and one basis point, up to the tick"
    )
    assert sum(file.stat().st_size for file in same.iterdir()) < size
    assert JournalReader(same).ended

    record(home, uuid.UUID(int=2), recorded=187.0)
    cut(record(home, uuid.UUID(int=3)), 2_000)
    cut(record(home, uuid.UUID(int=4)), 50)
    done = flow(prefect_stack, day="2026-11-20")
    assert done.returncode != 0
    assert "ReplayDiverged" in done.stderr
    page = prefect_stack.api.artifact("replay")
    assert page is not None
    assert "# 2 of 4 replays came out otherwise" in page["data"]
    assert "| decision 1 | – | fired |" in page["data"]
    assert "bytes of a torn tail were cut off" in page["data"]
    assert "cannot be replayed" in page["data"]
    alerts = [json.loads(line) for line in (home / "alerts.log").read_text().splitlines()]
    told = [each for each in alerts if "replay" in each["title"]]
    assert len(told) == 1
    assert told[0]["urgent"]
    assert "00000000: 2 events decided otherwise, first event 43" in told[0]["body"]


def test_a_trigger_is_changed_by_the_name_that_a_person_gave_it(
    database_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def put() -> None:
        async with Database(database_uri) as database:
            await TriggerStore(database).put("paper", read_trigger(DIPPED), name="dip")

    asyncio.run(put())
    monkeypatch.setenv("QUAESTOR_HOME", str(tmp_path))
    monkeypatch.setenv("QUAESTOR_DATABASE_URL", database_uri)
    record(tmp_path, uuid.UUID(int=6))
    assert main(["replay", "last", "--with", "trigger.dip.condition.level=100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [order["symbol"] for order in told["only_recorded"]] == ["AAPL"]
    assert told["only_now"] == told["other"] == []
    assert main(["replay", "last", "--with", "trigger.dop.condition.level=100"]) == 1
    assert "the run had no trigger 'dop'" in capsys.readouterr().err
