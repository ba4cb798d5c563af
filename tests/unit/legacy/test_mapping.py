"""The map: what is wrong in it is told with its line, the nearest name and the cure."""

from __future__ import annotations

import pytest

from quaestor.errors import BadInput, NotFound
from quaestor.legacy.found import Column, Table
from quaestor.legacy.mapping import check, parse

TRADES = """timezone = "UTC"

[trades]
table = "trades"
time = "at"
symbol = "ticker"
side = "side"
quantity = "qty"
price = "px"
"""
PRICES = '[prices]\ntable = "quotes"\ntime = "at"\nsymbol = "ticker"\nprice = "px"\n'
FOUND = [
    Table("trades", [Column(name) for name in ("at", "ticker", "side", "qty", "px")]),
    Table("quotes", [Column(name) for name in ("at", "ticker", "px")]),
    Table("view", [Column("at")], rowids=False),
]


def test_one_table_of_prices_may_be_written_without_double_brackets() -> None:
    assert parse(PRICES, "map.toml").prices == parse(PRICES.replace("[prices]", "[[prices]]"), "map.toml").prices


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[trades", "map.toml: not valid TOML", id="no TOML"),
        pytest.param(TRADES + 'fees = "fee"', "map.toml:10: unknown key 'trades.fees'. Did you mean 'fee'?", id="key"),
        pytest.param("[trade]\n", "map.toml:1: unknown key 'trade'. Did you mean 'trades'?", id="section"),
        pytest.param(PRICES + 'opn = "o"', "map.toml:6: unknown key 'prices.opn'. Did you mean 'open'?", id="price"),
        pytest.param(TRADES.replace('price = "px"', ""), "map.toml:3: trades.price: Field required.", id="missing"),
        pytest.param(TRADES.replace("UTC", "Mars/North"), "map.toml:1: timezone: unknown time zone", id="zone"),
        pytest.param(PRICES.replace("price =", "open ="), "give close (with open, high and low), or", id="no price"),
        pytest.param(PRICES.replace("symbol =", "clock ="), "give symbol (a column) or fixed_symbol", id="no symbol"),
        pytest.param(PRICES + 'kind = "daily"', "daily bars need open, high, low, close and volume", id="not daily"),
        pytest.param("", "map.toml:1: file: name at least one table", id="empty"),
        pytest.param(PRICES + TRADES.replace('timezone = "UTC"', "").replace('"trades"', '"quotes"'), "used twice", id="twice"),  # noqa: E501
        pytest.param(TRADES + '[trades.sides]\nin = "bye"', "map.toml:11: trades.sides.in: ", id="side"),
    ],
)  # fmt: skip
def test_a_bad_map_is_refused_with_its_line_and_cure(text: str, said: str) -> None:
    with pytest.raises(BadInput) as refusal:
        parse(text, "map.toml")
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param('"trades"', '"trade"', "map.toml:4: Unknown table 'trade'. Did you mean 'trades'?", id="table"),
        pytest.param(
            '"qty"', '"qtty"', "map.toml:8: Unknown column of trades 'qtty'. Did you mean 'qty'?", id="column"
        ),
    ],
)
def test_a_name_that_the_database_has_not_is_answered_with_the_nearest(old: str, new: str, said: str) -> None:
    text = TRADES.replace(old, new)
    with pytest.raises(NotFound) as refusal:
        check(parse(text, "map.toml"), FOUND, text, "map.toml")
    assert said in str(refusal.value)


def test_a_table_without_rowids_is_refused_with_the_cure() -> None:
    text = '[prices]\ntable = "view"\ntime = "at"\nfixed_symbol = "AAPL"\nprice = "at"\n'
    with pytest.raises(BadInput, match="has no rowids"):
        check(parse(text, "map.toml"), FOUND, text, "map.toml")


def test_a_good_map_is_accepted() -> None:
    check(parse(TRADES + PRICES, "map.toml"), FOUND, TRADES, "map.toml")
