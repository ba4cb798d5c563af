"""Market data at the console: a vendor's protocol server, and what a person does about refused bars."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.doors.sim.alpaca import AlpacaServer
from quaestor.doors.sim.serving import serving
from quaestor.doors.vault_local import LocalVault
from tests.folders import temporary
from tests.integration.in_process import quaestor

D = dt.date
DAYS = calendar.sessions(D(2026, 3, 2), D(2026, 8, 31))
RANGE = ("--start", "2026-03-02", "--end", "2026-08-31")
CENTS, HALVED = (
    D(2026, 6, 10),
    D(2026, 7, 15),
)  # IBM once in cents for dollars; MSFT halves, and nobody tells of a split
SPLIT = D(2026, 8, 12)


def close(symbol: str, n: int, day: dt.date) -> float:
    """A quiet share, never twice the same."""
    price = 200.0 + (n * 37 % 23) / 10 + n / 1000
    if symbol == "IBM" and day == CENTS:
        price *= 100
    return price / 2 if symbol == "MSFT" and day >= HALVED else price


def daily() -> pl.DataFrame:
    rows = []
    for symbol in ("AAPL", "IBM", "MSFT"):
        for n, day in enumerate(DAYS):
            last = close(symbol, n, day)
            prices = {"open": last - 0.1, "high": last + 0.3, "low": last - 0.4, "close": last}
            ts = calendar.session_close(day)
            rows.append(
                {"symbol": symbol, "timeframe": "1d", "ts": ts, "session": day, "volume": 10_000 + n % 9, **prices}
            )
    return pl.DataFrame(rows, schema=bars.schema())


@dataclass
class Console:
    """`quaestor` in a data folder of its own, fed by the server."""

    home: Path
    vendor: AlpacaServer

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return quaestor(*arguments, environment={"QUAESTOR_HOME": str(self.home)})

    def said(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.said(*arguments, "--json"))

    def refused(self, *arguments: str) -> str:
        """The one message of a command that must fail."""
        done = self.run(*arguments)
        assert done.returncode not in {0, 2}, done.stdout
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr

    def marks(self) -> dict[str, str]:
        """The lines of the map."""
        lines = [line.split() for line in self.said("coverage", *RANGE).splitlines()]
        return {line[0]: line[1] for line in lines if line and line[0] in {"AAPL", "IBM", "MSFT"}}


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    folder = temporary("quaestor-market-")
    home = folder / "home"
    home.mkdir(mode=0o711)
    vendor = AlpacaServer(daily())
    for name, value in {"alpaca-key": "key", "alpaca-secret": "secret"}.items():
        LocalVault(home).set(name, value)
    with serving(vendor.app) as url:
        settings = f'[alpaca]\nbase_url = "{url}"\nrequests_per_minute = 60_000\n'
        market = '[market]\nsource = "alpaca"\nsymbols = ["AAPL", "IBM", "MSFT"]\n'
        (home / "quaestor.toml").write_text(market + settings, encoding="utf-8")
        console = Console(home, vendor)
        console.said("db", "start")
        yield console
        console.said("db", "stop", "--force")
    shutil.rmtree(folder)


def test_from_a_plan_to_a_map_without_holes(console: Console) -> None:
    assert console.marks() == dict.fromkeys(("AAPL", "IBM", "MSFT"), "······")
    plan = console.json("backfill", *RANGE, "--dry-run")
    assert (plan["dry_run"], plan["rows"]) == (True, [])
    assert plan["plan"] == {"cells": 18, "tasks": 1, "requests": 6, "bars": 3 * len(DAYS), "seconds": 0.0}
    assert console.vendor.asked == []

    done = {row["symbol"]: row for row in console.json("backfill", *RANGE)["rows"]}
    halved = len([day for day in DAYS if day >= HALVED])
    assert {symbol: (row["new"], row["quarantined"]) for symbol, row in done.items()} == {
        "AAPL": (len(DAYS), 0),
        "IBM": (len(DAYS) - 1, 1),
        "MSFT": (len(DAYS) - halved, halved),
    }
    assert "Nothing is to be done" in console.said("backfill", *RANGE)
    assert console.marks() == {"AAPL": "██████", "IBM": "███q██", "MSFT": "████qq"}
    cells = console.json("coverage", "IBM", *RANGE)
    june = {"symbol": "IBM", "period": "2026-06-01", "first": "2026-06-01", "last": "2026-06-30", "sessions": 21}
    assert june | {"status": "quarantined", "stored": 20, "quarantined": 1, "source": "alpaca", "error": ""} in cells

    (refused,) = console.json("quarantine", "IBM")
    assert (refused["rule"], refused["session"]) == ("scale_error", str(CENTS))
    assert "scale_error" in console.said("quarantine", "ibm")
    assert len(console.json("quarantine", "--limit", "0")) == halved + 1
    assert len(console.json("quarantine", "--limit", "2")) == 2

    assert "MSFT: a split that nobody told of?" in (console.home / "alerts.log").read_text(encoding="utf-8")
    again = f"quaestor backfill MSFT --start {HALVED} --redo failed"
    assert again in console.said("vouch", "MSFT", str(HALVED), "guidance")
    (row,) = console.json(*again.split()[1:], "--end", "2026-08-31")["rows"]
    assert (row["new"], row["quarantined"]) == (halved, 0)
    assert console.marks()["MSFT"] == "██████"


def test_a_vendor_who_changes_his_word_on_a_split_blocks_the_symbol_until_a_person_decides(console: Console) -> None:
    tell = {
        "kind": "forward_splits",
        "symbol": "AAPL",
        "old_rate": 1,
        "ex_date": str(SPLIT),
        "process_date": str(SPLIT),
    }
    splits = console.vendor._actions[0]
    try:
        splits[:] = [{**tell, "new_rate": 4}]
        console.run("backfill", "AAPL", *RANGE, "--redo", "all")
        splits[:] = [{**tell, "new_rate": 3}]
        said = console.run("backfill", "AAPL", *RANGE, "--redo", "all").stderr
    finally:
        splits.clear()
    assert f"alpaca tells a split of 3:1 on {SPLIT}" in said
    assert f"alpaca told a split of 4:1 on {SPLIT}" in said
    assert "AAPL: vendors disagree on a split; it takes no entries" in (console.home / "alerts.log").read_text()
    assert console.marks()["AAPL"] == "xxxxxx"
    assert console.said("unblock", "aapl") == "AAPL takes entries again.\n"
    assert "AAPL is not blocked" in console.refused("unblock", "AAPL")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["coverage", "APPL"], "Did you mean 'AAPL'?", id="a symbol nobody asked for"),
        pytest.param(["backfill", "AAPL", "--source", "recorded", "--timeframe", "1m"], "but 1d", id="no such bars"),
        pytest.param(["backfill", "APPL", "--source", "recorded"], "Did you mean 'AAPL'?", id="unknown at the source"),
        pytest.param(["backfill", "A PL"], "is no symbol", id="no symbol"),
        pytest.param(["backfill", "--source", "files"], "needs a folder", id="a source that is not configured"),
        pytest.param(["backfill", "--start", "2099-01-02", "--end", "2099-02-02"], "over by now", id="the future"),
        pytest.param(["coverage", "--start", "2099-01-02"], "lies after", id="from the future until now"),
        pytest.param(["backfill", "--start", "2026-03-02", "--end", "2026-01-02"], "swap them", id="reversed range"),
        pytest.param(["vouch", "AAPL", "2026-07-04", "why"], "no session", id="a day without trading"),
        pytest.param(["vouch", "APPL", "2026-07-06", "why"], "No bar of it stands in quarantine", id="a mistyped name"),
        pytest.param(["unblock", "IBM"], "IBM is not blocked", id="nothing to unblock"),
    ],
)
def test_bad_input_is_answered_with_its_cure_and_nothing_is_asked(
    console: Console, arguments: list[str], said: str
) -> None:
    console.vendor.asked.clear()
    assert said in console.refused(*arguments)
    assert console.vendor.asked == []


def test_a_map_of_any_width_can_be_drawn_by_a_process_of_its_own(console: Console) -> None:
    command = [Path(sys.executable).with_name("quaestor"), "coverage", *RANGE, "--width", "0"]
    env = {**os.environ, "QUAESTOR_HOME": str(console.home)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert "AAPL  " in done.stdout


def test_stored_bars_are_shown_and_written_as_traded_or_adjusted(console: Console, tmp_path: Path) -> None:
    (last,) = console.json("bars", "ibm", "--limit", "1")
    assert (last["session"], last["close"]) == ("2026-08-31", close("IBM", len(DAYS) - 1, DAYS[-1]))
    file = tmp_path / "ibm.csv"
    assert "bars written to" in console.said("bars", "IBM", "--adjust", "total", "--to", str(file))
    written = pl.read_csv(file, try_parse_dates=True)
    assert written["close"].to_list() == [row["close"] for row in console.json("bars", "IBM", "--limit", "999")]
    assert "No 1m bars of IBM" in console.refused("bars", "IBM", "--timeframe", "1m")
    assert "No 1d bars of IBM" in console.refused("bars", "IBM", "--known-at", "2020-01-01T00:00+00:00")
    assert "ends in .csv or .parquet" in console.refused("bars", "IBM", "--to", str(tmp_path / "ibm.xls"))
