"""Data quality: each rule, named by row, field and cure."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest

from quaestor import calendar, quality
from quaestor.bars import schema
from quaestor.errors import BadInput

D = dt.date
DAYS = calendar.sessions(D(2012, 3, 5), D(2012, 3, 9))


def market(**changed: dict[int, Any]) -> pl.DataFrame:
    """Five good bars of X, with `field={row: value}` changed."""
    columns = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 100.0}
    rows = [{"symbol": "X", "session": day, **columns} for day in DAYS]
    for name, cells in changed.items():
        for row, value in cells.items():
            rows[row][name] = value
    types = schema() | {"volume": pl.Float64()}
    return quality.stamped(pl.DataFrame(rows, schema={name: types[name] for name in rows[0]}))


def test_good_bars_have_no_findings_and_pass() -> None:
    assert quality.findings(market()).is_empty()
    quality.check(market(), quality.Rows("bars"))


def test_no_bars_have_no_findings() -> None:
    assert quality.findings(market().clear()).is_empty()
    assert quality.stamped(market().clear().drop("ts", "timeframe")).is_empty()


def test_bars_are_stamped_with_the_close_of_their_session() -> None:
    assert market()["ts"].to_list() == [calendar.session_close(day) for day in DAYS]


@pytest.mark.parametrize(
    ("changed", "field", "rule", "says"),
    [
        pytest.param({"high": {1: None}}, "high", "missing", "empty; fill it in", id="no value"),
        pytest.param({"volume": {1: None}}, "volume", "missing", "empty; fill it in", id="no volume"),
        pytest.param({"session": {1: None}}, "session", "missing", "empty; fill it in", id="no date"),
        pytest.param({"symbol": {1: None}}, "symbol", "missing", "empty; fill it in", id="no symbol"),
        pytest.param({"low": {1: float("nan")}}, "low", "not_finite", "nan is no price", id="not a number"),
        pytest.param({"open": {1: float("inf")}}, "open", "not_finite", "inf is no price", id="infinite"),
        pytest.param({"low": {1: -1.0}}, "low", "not_positive", "-1.0 is not above zero", id="negative"),
        pytest.param({"low": {1: 0.0}}, "low", "not_positive", "0.0 is not above zero", id="zero"),
        pytest.param({"high": {1: 2e7}}, "high", "too_high", "20000000.0 dollars is beyond", id="a volume as price"),
        pytest.param({"volume": {1: -5.0}}, "volume", "negative", "-5.0 is below zero", id="negative volume"),
        pytest.param({"volume": {1: 1e13}}, "volume", "too_high", "beyond any session", id="too many shares"),
        pytest.param({"volume": {1: 0.5}}, "volume", "not_whole", "0.5 is no whole number", id="half a share"),
        pytest.param({"volume": {1: float("nan")}}, "volume", "not_finite", "nan is no count", id="no count"),
        pytest.param({"high": {1: 8.0}}, "high", "high_below_low", "8.0 is below the low, 9.0", id="high < low"),
        pytest.param({"open": {1: 8.5}}, "open", "outside_range", "low 9.0 to high 12.0", id="open < low"),
        pytest.param({"close": {1: 12.5}}, "close", "outside_range", "low 9.0 to high 12.0", id="close > high"),
        pytest.param(
            {"session": {4: D(2012, 3, 10)}}, "session", "no_session", "2012-03-10 is no session", id="a Saturday"
        ),
        pytest.param({"session": {4: DAYS[3]}}, "session", "duplicate", "stands already in row 4", id="a day twice"),
        pytest.param({"session": {0: D(2012, 3, 12)}}, "session", "unsorted", "(row 1); sort", id="out of order"),
    ],
)
def test_a_bad_bar_is_named_with_its_rule_field_and_cure(
    changed: dict[str, dict[int, Any]], field: str, rule: str, says: str
) -> None:
    bars = market(**changed)
    found = quality.findings(bars).rows()
    assert [(name, broken) for _, name, broken in found] == [(field, rule)]
    row = found[0][0]
    message = quality.explain(bars, row, field, rule, quality.Rows("bars"))
    assert message.startswith(f"bars: row {row + 1}: field '{field}': ")
    assert says in message
    assert message.endswith(".")


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"volume": {1: 0.0}}, id="nothing was traded"),
        pytest.param({name: {1: 9.0} for name in ("open", "high", "low", "close")}, id="one price all day"),
        pytest.param({"open": {1: 12.0}, "close": {1: 9.0}}, id="open at the high, close at the low"),
        pytest.param({"session": {4: D(2012, 3, 30)}}, id="a hole of weeks: coverage tells, not quality"),
    ],
)
def test_odd_but_possible_bars_pass(changed: dict[str, dict[int, Any]]) -> None:
    assert quality.findings(market(**changed)).is_empty()


def test_the_same_date_of_two_symbols_is_no_duplicate() -> None:
    both = pl.concat([market(), market().with_columns(symbol=pl.lit("Y"))])
    assert quality.findings(both).is_empty()


def test_a_field_has_one_finding_the_most_elementary() -> None:
    bars = market(high={1: -3.0}, session={2: D(2012, 3, 4)})
    assert quality.findings(bars).rows() == [(1, "high", "not_positive"), (2, "session", "no_session")]


def test_the_first_fault_is_told_and_the_rest_counted() -> None:
    with pytest.raises(BadInput, match=r"^bars: row 2: field 'low': nan .*\. 2 more problems follow\.$"):
        quality.check(market(low={1: float("nan")}, high={3: 8.0}, volume={4: -1.0}), quality.Rows("bars"))
    with pytest.raises(BadInput, match=r"\. 1 more problem follows\.$"):
        quality.check(market(low={1: float("nan")}, high={3: 8.0}), quality.Rows("bars"))
