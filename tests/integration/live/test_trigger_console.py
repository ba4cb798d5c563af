"""`quaestor trigger …` as a trader uses it: sentences, errors that point at the word, JSON for machines."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.integration.in_process import quaestor

CONFIGURATION = '[market]\nsymbols = ["AAPL", "IBM"]\n'
PROFIT = ("--symbol", "aapl", "--when", "price above 190 and volume spike 3 over 5m", "--do", "sell 50%")


class Console:
    """`quaestor` in a data folder of its own, on a fresh database."""

    def __init__(self, home: Path, uri: str) -> None:
        self.home, self.uri = home, uri

    def run(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return quaestor(
            "trigger",
            *arguments,
            environment={"QUAESTOR_HOME": str(self.home), "QUAESTOR_DATABASE_URL": self.uri},
            typed=typed,
        )

    def json(self, *arguments: str, typed: str = "") -> Any:
        done = self.run(*arguments, "--json", typed=typed)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def refused(self, *arguments: str, typed: str = "") -> str:
        done = self.run(*arguments, typed=typed)
        assert (done.returncode, done.stdout) == (1, ""), done.stdout
        assert "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr
        return done.stderr


@pytest.fixture
def console(tmp_path: Path, database_uri: str) -> Console:
    (tmp_path / "quaestor.toml").write_text(CONFIGURATION, encoding="utf-8")
    return Console(tmp_path, database_uri)


def test_a_trigger_is_added_shown_edited_and_removed(console: Console) -> None:
    assert "No trigger yet" in console.run("list").stdout
    added = console.run("add", *PROFIT, "--name", "take-profit", "--note", "gap day", "--expires", "5d")
    assert added.returncode == 0, added.stderr
    assert "AAPL: when price above 190 and volume spike 3x over 5m do sell 50%; once" in added.stdout
    assert "expires in 120h" in added.stdout
    assert added.stderr == ""

    edited = console.json("edit", "take-profit", "--when", "price above 195", "--rearm", "--expires", "never")
    assert edited["changed"] is True
    assert edited["sentence"] == "AAPL: when price above 195 do sell 50%; rearm"
    assert (edited["note"], edited["name"], edited["state"]) == ("gap day", "take-profit", "armed")
    assert console.json("edit", "take-profit", "--rearm")["changed"] is False

    shown = console.run("show", "take-profit").stdout
    assert "Then it would sell 50% of the shares held of AAPL, at the market." in shown
    assert "gap day" in shown
    listed = console.run("list").stdout
    assert edited["id"][:8] in listed
    assert "armed" in listed

    assert "fires no more" in console.run("remove", edited["id"][:8]).stdout
    assert console.json("list")["triggers"] == []
    assert "Unknown trigger 'take-profit'" in console.refused("show", "take-profit")


def test_what_is_written_as_json_is_a_trigger_too(console: Console, tmp_path: Path) -> None:
    rule = console.json("check", *PROFIT)["rule"]
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(rule), encoding="utf-8")
    first = console.json("add", "--json-file", str(file), "--name", "one")
    assert first["id"] == rule["id"]
    assert console.json("add", "--json-file", str(file), "--name", "one")["changed"] is False
    form = {"symbol": "IBM", "when": "price crosses below 180", "do": 'alert "look"', "cooldown": "5m"}
    second = console.json("add", "--json-file", "-", "--rearm", typed=json.dumps(form))
    assert second["sentence"] == 'IBM: when price crosses below 180 do alert "look"; rearm, cooldown 5m'
    assert [row["symbol"] for row in console.json("list")["triggers"]] == ["AAPL", "IBM"]


def test_a_check_stores_nothing_and_says_what_would_happen(console: Console) -> None:
    said = console.run("check", "--symbol", "AAPL", "--when", "trailing stop 5%", "--do", "flatten").stdout
    assert "Waits until a trade's price of AAPL has fallen 5% from its highest since the trigger watches." in said
    assert "Then it would sell all AAPL that is held." in said
    assert "Nothing was stored." in said
    assert console.json("list")["triggers"] == []


def test_a_symbol_without_prices_is_warned_of(console: Console) -> None:
    done = console.run("add", "--symbol", "TSLA", "--when", "price above 1", "--do", "flatten")
    assert done.returncode == 0
    assert "TSLA is not among [market] symbols (AAPL, IBM)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        pytest.param(["add"], "", "symbol: it is missing", id="nothing said"),
        pytest.param(
            ["add", "--symbol", "AAPL", "--when", "price abve 190", "--do", "flatten"],
            "",
            "when: price »abve« 190: expected 'above', 'below', 'crosses', 'up' or 'down'. Did you mean 'above'?",
            id="a typing error",
        ),
        pytest.param(
            ["add", *PROFIT, "--do", "sell 50% limit 189"], "", "limit »189«: expected dollars from", id="no offset"
        ),
        pytest.param(["add", *PROFIT, "--once", "--rearm"], "", "contradict each other", id="both modes"),
        pytest.param(
            ["add", *PROFIT, "--name", "two words"], "", "name: 'two words' is none", id="a name of two words"
        ),
        pytest.param(["add", *PROFIT, "--cooldown", "5"], "", "cooldown: »5«: expected a duration", id="no unit"),
        pytest.param(["add", "--json-file", "none.json"], "", "none.json: cannot be read", id="no such file"),
        pytest.param(["add", "--json-file", "-"], "{", "standard input: no JSON", id="no JSON"),
        pytest.param(["add", "--json-file", "-"], "[]", "one trigger is wanted", id="a list"),
        pytest.param(["add", "--json-file", "-"], '{"symbl": "AAPL"}', "Did you mean 'symbol'?", id="a key mistyped"),
        pytest.param(["add", *PROFIT, "--json-file", "-"], '{"id": "5"}', "id: '5' is no UUID", id="no id"),
        pytest.param(
            ["add", "--when", "price above 1", "--json-file", "-"],
            '{"symbol": "AAPL", "condition": {}, "action": {}}',
            "'when' is of a form in words",
            id="words and a rule",
        ),
        pytest.param(["edit", "nope", "--once"], "", "None is known yet", id="edit what is not there"),
        pytest.param(["remove", "nope"], "", "Unknown trigger 'nope'", id="remove what is not there"),
        pytest.param(["firings", "nope"], "", "Unknown trigger 'nope'", id="firings of what is not there"),
    ],
)
def test_what_is_not_understood_is_pointed_at_and_not_stored(
    console: Console, arguments: list[str], typed: str, said: str
) -> None:
    assert said in console.refused(*arguments, typed=typed)
    assert console.json("list")["triggers"] == []


def test_an_edit_of_nothing_is_refused(console: Console) -> None:
    console.json("add", *PROFIT, "--name", "dip")
    assert "Nothing to change" in console.refused("edit", "dip")
    assert "is another trigger's" in console.refused("edit", "dip", "--json-file", "-", typed=f'{{"id": "{"1" * 32}"}}')
    console.json("add", *PROFIT, "--name", "dip2")
    assert "is the name of trigger" in console.refused("edit", "dip", "--name", "dip2")


def test_the_list_says_how_far_the_price_must_go_and_what_is_damaged(console: Console) -> None:
    done = quaestor(
        *("ingest", "IBM", "--start", "2012-01-03", "--end", "2012-01-04"),
        environment={"QUAESTOR_HOME": str(console.home), "QUAESTOR_DATABASE_URL": console.uri},
    )
    assert done.returncode == 0, done.stderr
    console.json("add", "--symbol", "IBM", "--when", "price above 200 or drawdown 5%", "--do", "flatten", "--name", "a")
    console.json("add", *PROFIT, "--name", "torn")
    with psycopg.connect(console.uri) as connection:
        connection.execute("update trigger set rule = '{}' where name = 'torn'")
    listed = console.run("list")
    assert listed.returncode == 1
    assert "(torn) cannot be read: trigger: 'id' is missing; add it. It fires never" in listed.stdout
    found = json.loads(console.run("list", "--json").stdout)
    (row,) = found["triggers"]
    assert row["distance"] == pytest.approx(200 / row["close"] - 1)
    assert f"{row['distance']:+.2%}" in listed.stdout
    assert [torn["name"] for torn in found["damaged"]] == ["torn"]
    assert "cannot be read" in console.refused("show", "torn")
    assert console.run("remove", "torn").returncode == 0


def test_firings_are_listed_newest_first(console: Console) -> None:
    added = console.json("add", *PROFIT, "--name", "dip")
    with psycopg.connect(console.uri) as connection:
        for number in (1, 2):
            connection.execute(
                "insert into trigger_firing (id, account, trigger, number, symbol, price, at, action, outcome) "
                "values (gen_random_uuid(), 'paper', %s, %s, 'AAPL', 190.25, now(), 'sell 50%%', '1 order')",
                (added["id"], number),
            )
    told = [(row["number"], row["name"], row["price"]) for row in console.json("firings", "dip")]
    assert told == [(2, "dip", 190.25), (1, "dip", 190.25)]
    assert len(console.json("firings", "--limit", "1")) == 1
    assert "190.25" in console.run("firings").stdout
    console.run("remove", "dip")
    assert len(console.json("firings", added["id"])) == 2
