"""The demo's summary, as a person reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quaestor.console.demo import _show_last

TRADED = {
    "start": "2012-01-03",
    "end": "2013-03-01",
    "sessions": 290,
    "orders": 1200,
    "fills": 1190,
    "refusals": 3,
    "final_equity": "123456.70",
    "total_return": 0.234567,
    "sharpe": 1.236,
    "max_drawdown": 0.1,
    "devlog": "/home/reports/devlog.md",
    "figures": [],
    "an_order": "3f2a91c0",
    "prefect_ui": "http://127.0.0.1:4200",
    "wall_seconds": 60.0,
    "cpu_seconds": 90.0,
    "peak_memory_mib": 900,
    "home": "/home",
}
NOTHING = {"orders": 0, "fills": 0, "sessions": 0}
NOTHING |= dict.fromkeys(("final_equity", "total_return", "sharpe", "max_drawdown", "an_order"))


def shown(place: Path, capsys: pytest.CaptureFixture[str], **changes: Any) -> dict[str, str]:
    (place / "demo.json").write_text(json.dumps(TRADED | changes))
    assert _show_last(place, as_json=False) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    return {name.strip(): value for name, value in ((line[:16], line[16:]) for line in lines)}


def test_a_demo_that_traded_shows_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(tmp_path, capsys)
    assert (found["final equity"], found["return"], found["Sharpe ratio"]) == ("$123,456.70", "23.46 %", "1.24")
    assert found["ask"].endswith("quaestor why 3f2a91c0")


def test_a_demo_that_traded_nothing_shows_dashes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(tmp_path, capsys, **NOTHING)
    names = ("final equity", "return", "Sharpe ratio", "max drawdown")
    assert [found[name] for name in names] == ["–"] * 4
    assert found["ask"].endswith("quaestor status")


def test_a_demo_that_traded_nothing_is_null_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "demo.json").write_text(json.dumps(TRADED | NOTHING))
    assert _show_last(tmp_path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["sharpe"] is None
