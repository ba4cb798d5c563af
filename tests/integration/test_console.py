"""The console as a person and as another program use it: real books, and messages that say the cure.

Commands run in the tests' process; where the process itself matters, in one of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from quaestor.doors.vault_local import LocalVault
from tests.folders import temporary
from tests.integration.in_process import quaestor

QUAESTOR = Path(sys.executable).with_name("quaestor")
CONFIGURATION = """
[market]
symbols = ["AAPL", "GOOG", "IBM", "MSFT"]

[strategies]
first_session = 2012-01-03
"""


@dataclass(frozen=True)
class Console:
    """`quaestor` in a data folder of its own."""

    home: Path

    def run(self, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return quaestor(*arguments, environment={"QUAESTOR_HOME": str(self.home), **environment}, typed=typed)

    def process(self, *arguments: str, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """The same in a process of its own."""
        env = {**os.environ, "QUAESTOR_HOME": str(self.home), **environment}
        return subprocess.run(
            [QUAESTOR, *arguments], env=env, input=typed, capture_output=True, text=True, check=False, timeout=120
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str, **environment: str) -> str:
        """The one message of a command that must fail."""
        return refusal(self.run(*arguments, **environment))


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """Its one message."""
    assert done.returncode not in {0, 2}, done.stdout
    assert "Traceback" not in done.stderr
    message = done.stderr.strip()
    assert len(message.splitlines()) <= 2, message
    return message


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    path = temporary("quaestor-console-")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def traded(folder: Path) -> Iterator[Console]:
    """Two months, traded from the console without Prefect; the database runs on, so that no test has to start it."""
    console = Console(folder / "home")
    console.home.mkdir(mode=0o711)
    (console.home / "quaestor.toml").write_text(CONFIGURATION, encoding="utf-8")
    try:
        done = console.process("ingest", "--end", "2012-02-29")  # starts the database for itself
        assert done.returncode == 0, done.stderr
        for command in (["db", "start"], ["signals"], ["execute"]):
            done = console.run(*command)
            assert done.returncode == 0, done.stderr
        yield console
    finally:
        console.run("db", "stop", "--force")


def test_status_says_what_stands_where(traded: Console) -> None:
    found = traded.json("status")
    assert found["account"] == "paper"
    assert found["session"] == "2012-02-29"
    assert found["open_orders"] == found["unknown_orders"] == 0
    assert found["fills"] > 0
    assert found["stops"] == []
    assert found["prefect"]["healthy"] is False
    assert found["equity"].rpartition(".")[2].isdigit()
    assert len(found["equity"].rpartition(".")[2]) == 2  # money is text, with the cents


def test_positions_add_up_to_the_equity(traded: Console) -> None:
    equity = traded.json("status")
    held = traded.json("positions")
    assert held
    market = sum(round(float(row["market_value"]), 2) for row in held)
    assert market + float(equity["cash"]) == pytest.approx(float(equity["equity"]), abs=0.011 * len(held))


def test_profit_is_the_same_however_it_is_grouped(traded: Console) -> None:
    ways = [traded.json("pnl", "--by", by)["rows"] for by in ("both", "strategy", "symbol")]
    totals = [sum(float(row["total"]) for row in rows) for rows in ways]
    assert totals == pytest.approx([totals[0]] * 3, abs=0.05)
    assert 100_000 + totals[0] == pytest.approx(float(traded.json("status")["equity"]), abs=0.05)


def test_every_order_answers_why(traded: Console) -> None:
    orders = traded.json("orders", "--limit", "0")
    assert len(orders) == traded.json("status")["orders"]
    for order in (orders[0], orders[-1]):
        told = traded.json("why", order["ref_id"][:8])
        evidence = told["provenance"]
        assert evidence["bars"][0]["symbol"] == order["symbol"]
        assert evidence["bars"][0]["bar_end"] < order["session"]
        assert evidence["strategy"].keys() == {"name", "version", "parameters", "digest"}
        assert evidence["target"].keys() >= {"weight", "equity", "sleeve", "held", "wanted"}
        assert evidence["checks"]
        assert all(check["ok"] for check in evidence["checks"])
        assert {"flow_run_id", "code_commit", "config_digest"} <= evidence.keys()
        assert [event["state"] for event in told["events"]][:3] == ["planned", "submitting", "acked"]
    assert "became" in traded.run("why", orders[0]["ref_id"]).stdout


def test_orders_are_chosen_by_symbol_and_state(traded: Console) -> None:
    assert {row["symbol"] for row in traded.json("orders", "--symbol", "ibm")} == {"IBM"}
    assert {row["state"] for row in traded.json("orders", "--state", "filled")} == {"filled"}


def test_running_the_steps_again_changes_nothing(traded: Console) -> None:
    before = traded.json("status"), traded.json("orders", "--limit", "0")
    assert {row["new"] + row["changed"] for row in traded.json("ingest", "--end", "2012-02-29")} == {0}
    assert {row["new"] for row in traded.json("signals")} == {0}
    assert traded.json("execute")[0]["sessions"] == 0
    assert (traded.json("status"), traded.json("orders", "--limit", "0")) == before


def test_books_and_broker_agree(traded: Console) -> None:
    found = traded.json("reconcile")
    assert found["ok"] is True
    assert found["checked"]["fills"] == traded.json("status")["fills"]


def test_a_report_names_its_files(traded: Console) -> None:
    found = traded.json("report")
    assert Path(found["devlog"]).read_text(encoding="utf-8").startswith("# Devlog of `paper`")
    assert [Path(figure).suffix for figure in found["figures"]] == [".png"] * 3
    assert found.keys() >= {"orders", "fills", "final_equity", "total_return", "sharpe", "max_drawdown"}


def test_the_doctor_finds_every_part(traded: Console) -> None:
    found = {row["part"]: row["verdict"] for row in traded.json("doctor")}
    assert found["database"] == found["folders"] == found["prices"] == found["strategies"] == "ok"
    assert "fail" not in found.values()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["ingest", "APPL"], "Did you mean 'AAPL'?", id="unknown symbol"),
        pytest.param(["ingest", "AAPL", "--start", "2014-01-02"], "from 2000-03-01 to 2013-03-01", id="after the data"),
        pytest.param(["ingest", "AAPL", "--end", "1999-01-04"], "no bar of AAPL in this range", id="before the data"),
        pytest.param(["ingest", "--start", "2012-02-01", "--end", "2012-01-03"], "is empty", id="reversed range"),
        pytest.param(["why", "ffffffff"], "See `quaestor orders`", id="unknown order"),
        pytest.param(["execute", "--start", "2020-01-02"], "sessions from", id="nothing to trade there"),
        pytest.param(["execute", "--end", "1999-01-04"], "sessions from", id="nothing to trade yet"),
        pytest.param(["signals", "--start", "2020-01-02"], "holds no bar", id="no bars there"),
        pytest.param(["report", "--start", "2015-01-02"], "2012-01-03", id="range without sessions"),
        pytest.param(["run", "ingest/recorded"], "Start it with `quaestor up`", id="no Prefect"),
    ],
)
def test_bad_input_is_answered_with_its_place_and_cure(traded: Console, arguments: list[str], said: str) -> None:
    before = traded.json("status")
    assert said in traded.refused(*arguments, PREFECT_API_URL="http://127.0.0.1:9/api")
    assert traded.json("status") == before  # nothing was written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[risk]\nmax_order = 1", "quaestor.toml:2: unknown key 'risk.max_order'", id="unknown key"),
        pytest.param(
            "[[strategies.use]]\nname = 'sma'\nweight = 0.5",
            "quaestor.toml:2: Unknown strategy 'sma'",
            id="unknown strategy",
        ),
        pytest.param(
            "[[strategies.use]]\nname = 'sma_crossover'\nweight = 0.5\nparameters = {fats = 3}",
            "quaestor.toml:4: Unknown parameter of sma_crossover 'fats'. Did you mean 'fast'?",
            id="unknown parameter",
        ),
        pytest.param("[account]\ncash = -5", "account.cash", id="negative cash"),
        pytest.param("[market", "not valid TOML", id="no TOML"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_line(traded: Console, folder: Path, text: str, said: str) -> None:
    path = folder / "quaestor.toml"
    path.write_text(text, encoding="utf-8")
    assert said in traded.refused("signals", QUAESTOR_CONFIG=str(path))


def test_a_file_with_a_bad_row_is_refused_whole(traded: Console, folder: Path) -> None:
    prices = folder / "prices"
    prices.mkdir()
    (prices / "ABC.csv").write_text(
        "date,open,high,low,close,volume\n2012-01-03,1,2,0.5,1.5,100\n2012-01-04,1,2,3,1.5,100\n", encoding="utf-8"
    )
    path = folder / "files.toml"
    path.write_text(f'[market]\nsource = "files"\nfolder = "{prices}"\nsymbols = ["ABC"]\n', encoding="utf-8")
    before = traded.json("status")["bars"]
    assert f"{prices / 'ABC.csv'}:3: field 'high'" in traded.refused("ingest", QUAESTOR_CONFIG=str(path))
    assert traded.json("status")["bars"] == before


def test_a_database_that_does_not_answer_is_named_without_its_password(traded: Console) -> None:
    done = traded.process("status", QUAESTOR_DATABASE_URL="postgresql://me:hidden@127.0.0.1:9/books")
    said = refusal(done)
    assert done.returncode == 75, "it may be there the next time"
    assert "127.0.0.1:9/books does not answer" in said
    assert "QUAESTOR_DATABASE_URL" in said
    assert "hidden" not in said


def test_empty_books_say_where_to_begin(folder: Path) -> None:
    assert "quaestor db upgrade" in Console(folder / "nobody").refused("positions")
    assert not (folder / "nobody").exists()


@pytest.mark.parametrize("command", ["--help", "status", "positions"])
def test_the_quick_commands_import_nothing_heavy(traded: Console, command: str) -> None:
    code = (
        "import sys; from quaestor.console.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    env = {**os.environ, "QUAESTOR_HOME": str(traded.home)}
    done = subprocess.run([sys.executable, "-c", code, command], env=env, capture_output=True, text=True, check=True)
    heavy = {"prefect", "polars", "pandas", "sqlalchemy", "alembic", "matplotlib", "exchange_calendars", "httpx"}
    assert not heavy & set(done.stderr.split())


def test_a_secret_is_stored_and_never_shown(traded: Console) -> None:
    done = traded.process("secrets", "set", "broker-token", typed="s3cr3t\n")
    assert done.returncode == 0, done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr
    assert "broker-token" in [secret["name"] for secret in traded.json("secrets", "list")]
    files = [path.read_bytes() for path in (traded.home / "vault").iterdir() if path.is_file()]
    assert not any(b"s3cr3t" in content for content in files)


def test_a_home_without_a_server_does_not_talk_to_anothers(traded: Console) -> None:
    assert "quaestor up" in traded.refused("run", "ingest/recorded")


def test_a_strategy_that_was_never_asked_stops_trading(traded: Console, folder: Path) -> None:
    path = folder / "other.toml"
    path.write_text(CONFIGURATION + "\n[[strategies.use]]\nname = 'momentum'\nweight = 0.5\nparameters = { top = 1 }\n")
    assert "No signals of momentum" in traded.refused("execute", QUAESTOR_CONFIG=str(path))


def test_a_package_that_cannot_be_imported_is_named_with_the_cure(traded: Console, folder: Path) -> None:
    shadow = folder / "shadow"
    shadow.mkdir()
    (shadow / "psycopg.py").write_text("raise ImportError('broken on purpose', name='psycopg')\n", encoding="utf-8")
    said = refusal(traded.process("status", PYTHONPATH=str(shadow)))
    assert "psycopg cannot be imported" in said
    assert "make setup" in said


def test_a_mistyped_command_is_answered_with_the_nearest(traded: Console) -> None:
    done = traded.process("ordres")
    assert done.returncode == 2
    assert "Did you mean 'orders'?" in done.stderr


def test_a_command_that_has_another_name_now_says_it(traded: Console) -> None:
    done = traded.process("vault", "list")
    assert done.returncode == 2
    assert "It is called 'secrets' now" in done.stderr


def test_a_secret_of_several_lines_is_kept_whole(traded: Console) -> None:
    assert traded.run("secrets", "set", "key", typed="one\ntwo\n").returncode == 0
    assert LocalVault(traded.home).get("key").value == "one\ntwo"


def test_a_database_without_trigrams_is_refused_for_prefects_metadata(traded: Console, folder: Path) -> None:
    assert traded.run("db", "start").returncode == 0
    try:
        url = traded.run("db", "url").stdout.strip()
        path = folder / "metadata.toml"
        path.write_text(f'[prefect]\ndatabase_url = "{url}"\n', encoding="utf-8")
        done = traded.run("doctor", "--json", QUAESTOR_CONFIG=str(path))
        found = {row["part"]: row for row in json.loads(done.stdout)}
        assert done.returncode == 1
        assert "pg_trgm" in found["metadata"]["seen"]
        assert "pg_trgm" in refusal(traded.process("up", QUAESTOR_CONFIG=str(path)))
    finally:
        assert "stopped" in traded.run("db", "stop", "--force").stdout
