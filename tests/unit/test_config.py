"""The one configuration: what it refuses, with which line; and what a digest means."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from quaestor.config import Config, RiskSection, digest, parse
from quaestor.errors import BadConfig

TWO_STRATEGIES = """\
[strategies]
folder = "mine"

[[strategies.use]]
name = "momentum"
weight = 0.5

[[strategies.use]]
name = "sma_crossover"
weight = 0.5
"""


def refused(text: str) -> str:
    with pytest.raises(BadConfig) as caught:
        parse(text, "q.toml")
    return str(caught.value)


def test_an_empty_file_is_the_defaults() -> None:
    assert parse("") == Config()


def test_the_shipped_file_says_what_the_defaults_say() -> None:
    shipped = Path(__file__).parents[2] / "quaestor.toml"
    assert parse(shipped.read_text(), str(shipped)) == Config()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "[account]\nalias = 'x'\n\n[risk]\nmax_order_notionl = 5\n",
            "q.toml:5: unknown key 'risk.max_order_notionl'. Did you mean 'max_order_notional'?",
            id="a key with a typo",
        ),
        pytest.param("\n[riskk]\nx = 1\n", "q.toml:2: unknown key 'riskk'. Did you mean 'risk'?", id="a table"),
        pytest.param(
            "[alerts]\nzzz = 1\n", "q.toml:2: unknown key 'alerts.zzz'. Known: console, file.", id="near to none"
        ),
        pytest.param(
            TWO_STRATEGIES + "wieght = 1\n",
            "q.toml:11: unknown key 'strategies.use.1.wieght'. Did you mean 'weight'?",
            id="in the second of two tables of the same name",
        ),
        pytest.param("risk.max_dradown = 0.1\n", "q.toml:1: unknown key 'risk.max_dradown'. Did you mean", id="dotted"),
        pytest.param("[market]\nfoo.bar = 1\n", "q.toml:2: unknown key 'market.foo'.", id="a dotted table"),
        pytest.param('[risk]\n"max_dradown" = 1\n', "q.toml:2: unknown key 'risk.max_dradown'.", id="quoted"),
    ],
)
def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[risk]\n\nmax_drawdown = 'x'\n", "q.toml:3: risk.max_drawdown: ", id="text for a number"),
        pytest.param("[risk]\nmax_drawdown = 2\n", "q.toml:2: risk.max_drawdown: ", id="more than all"),
        pytest.param("[risk]\nmax_drawdown = nan\n", "q.toml:2: risk.max_drawdown: ", id="no number"),
        pytest.param("[risk]\nmax_order_notional = inf\n", "q.toml:2: risk.max_order_notional: ", id="no limit at all"),
        pytest.param("[risk]\ndeny = ['aapl']\n", "q.toml:2: risk.deny: 'aapl' is no symbol; write it", id="no symbol"),
        pytest.param(
            "\n[risk]\nallow = ['IBM', 'AAPL']\ndeny = ['AAPL']\n", "q.toml:2: risk: AAPL is both allowed", id="both"
        ),
        pytest.param("[risk]\ncooldown = -1\n", "q.toml:2: risk.cooldown: ", id="less than none"),
        pytest.param("[risk]\nmax_orders_per_session = 0\n", "q.toml:2: risk.max_orders_per_session: ", id="zero"),
        pytest.param("[account]\ncash = 1.234\n", "q.toml:2: account.cash: ", id="part of a cent"),
        pytest.param("[account]\ncash = true\n", "q.toml:2: account.cash: ", id="truth for money"),
        pytest.param("[account]\nalias = '123-456-789'\n", "q.toml:2: account.alias: ", id="a number for an alias"),
        pytest.param("[strategies]\nfirst_session = 'soon'\n", "q.toml:2: strategies.first_session: ", id="no date"),
        pytest.param("[market]\nsymbols = []\n", "q.toml:2: market.symbols: ", id="nothing to trade"),
        pytest.param("\nrisk = 3\n", "q.toml:2: risk: ", id="a number for a table"),
        pytest.param(
            "[[strategies.use]]\nname = 'a'\n\n[[strategies.use]]\nname = 'b'\nweight = 0.1\n",
            "q.toml:1: strategies.use.0.weight: Field required",
            id="a missing key stands where its table begins",
        ),
        pytest.param(
            "[[strategies.use]]\nname = 'a'\nweight = 0.1\n[strategies.use.parameters]\nfast = [1]\n",
            "q.toml:5: strategies.use.0.parameters.fast: Give a number, a text, true or false.",
            id="a list for a parameter",
        ),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_line(text: str, expected: str) -> None:
    assert refused(text).startswith(expected)


def test_the_value_that_was_given_is_shown() -> None:
    assert refused("[prefect]\nport = 70000\n").endswith("(got 70000).")


def test_strategies_may_not_use_more_than_the_account() -> None:
    assert parse(TWO_STRATEGIES).strategies.use[1].weight == 0.5
    message = refused(TWO_STRATEGIES.replace("0.5", "0.51"))
    assert message == "q.toml:1: strategies: the weights sum to 1.02; together they may use at most 1."


def test_three_thirds_of_the_account_fit() -> None:
    thirds = "".join(f"[[strategies.use]]\nname = '{name}'\nweight = {1 / 3!r}\n" for name in "abc")
    assert len(parse(thirds).strategies.use) == 3


def test_a_strategy_is_used_once() -> None:
    message = refused(TWO_STRATEGIES.replace("sma_crossover", "momentum"))
    assert message == "q.toml:1: strategies: a strategy is used twice; give each name once."


def test_files_need_a_folder() -> None:
    assert "source = 'files' needs a folder" in refused("[market]\nsource = 'files'\n")


@pytest.mark.parametrize(
    ("url", "good"),
    [
        pytest.param("https://data.example.com/", True, id="encrypted"),
        pytest.param("http://127.0.0.1:8080", True, id="this machine"),
        pytest.param("http://localhost:8080/v2", True, id="this machine by name"),
        pytest.param("http://data.example.com", False, id="in the clear"),
        pytest.param("http://127.0.0.1.example.com", False, id="a name that only begins so"),
        pytest.param("http://127.0.0.1@example.com", False, id="a user that looks like an address"),
        pytest.param("https://key:secret@example.com", False, id="with a secret in it"),
        pytest.param("ftp://127.0.0.1", False, id="another way"),
    ],
)
def test_secrets_are_shown_only_where_nobody_listens(url: str, good: bool) -> None:
    for section in ("alpaca", "robinhood"):
        text = f"[{section}]\nbase_url = {url!r}\n"
        if good:
            assert getattr(parse(text), section).base_url == url.rstrip("/")
        else:
            assert f"q.toml:2: {section}.base_url: write https://" in refused(text)


def test_aliases_are_a_table_of_the_market() -> None:
    said = "[market]\nsource = 'files'\nfolder = 'p'\n[market.aliases]\n\"BRK.B\" = 'BRK-B'\n"
    assert parse(said).market.aliases == {"BRK.B": "BRK-B"}
    assert "aliases need another source than 'recorded'" in refused("[market.aliases]\nMETA = 'FB'\n")


def test_what_is_not_toml_is_refused_with_its_place() -> None:
    message = refused("[account]\nalias = 'x'\n[risk\n")
    assert message.startswith("q.toml: not valid TOML:")
    assert "line 3" in message


def test_money_is_the_decimal_that_a_person_typed() -> None:
    assert parse("[paper]\nsec_fee = 0.1\n").paper.sec_fee == Decimal("0.1")
    assert parse("[account]\ncash = 100_000.10\n").account.cash == Decimal("100000.10")


def test_a_digest_of_values_and_models_does_not_hang_on_order_or_idle_zeros() -> None:
    one = digest({"a": Decimal("1.50"), "b": RiskSection()})
    assert one == digest({"b": RiskSection(max_order_notional=Decimal("50000.00")), "a": Decimal("1.5")})
    assert one != digest({"a": Decimal("1.51"), "b": RiskSection()})
