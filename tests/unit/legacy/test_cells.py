"""Cells: whatever a bot wrote is one of our values, or told to be unreadable."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from quaestor.legacy import cells
from quaestor.legacy.cells import Unreadable
from quaestor.orders import Side

NEW_YORK, UTC = ZoneInfo("America/New_York"), ZoneInfo("UTC")
NOON = dt.datetime(2024, 1, 2, 17, 0, tzinfo=dt.UTC)  # 12:00 in New York
NOON_UNIX = 1_704_214_800
DAY = dt.date(2024, 1, 2)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(NOON_UNIX, id="Unix seconds"),
        pytest.param(float(NOON_UNIX), id="Unix seconds of time.time()"),
        pytest.param(str(NOON_UNIX), id="Unix seconds as text"),
        pytest.param(NOON_UNIX * 1_000, id="milliseconds"),
        pytest.param(NOON_UNIX * 1_000_000, id="microseconds"),
        pytest.param(NOON_UNIX * 1_000_000_000, id="nanoseconds of pandas"),
        pytest.param("2024-01-02T17:00:00Z", id="ISO in UTC"),
        pytest.param("2024-01-02 17:00:00+00:00", id="ISO with an offset, as pandas writes it"),
        pytest.param("2024-01-02T12:00:00-05:00", id="ISO of New York"),
        pytest.param("2024-01-02 12:00:00", id="naive: the owner's zone"),
        pytest.param("2024-01-02 12:00", id="naive without seconds"),
        pytest.param("2024-01-02T12:00:00.000000000", id="naive with nanoseconds"),
        pytest.param("2024-01-02 12:00:00 EST", id="a zone's letters"),
        pytest.param("01/02/2024 12:00", id="American"),
        pytest.param("1/2/2024 12:00:00 PM", id="American, twelve hours"),
    ],
)
def test_a_time_is_the_same_moment_however_it_is_written(value: Any) -> None:
    assert cells.moment(value, NEW_YORK) == cells.Moment(NOON)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("2024-01-02", id="a date"),
        pytest.param("2024-01-02 00:00:00", id="midnight, as pandas writes a date"),
        pytest.param("2024-01-02T00:00:00Z", id="midnight in UTC, as Robinhood writes a day"),
        pytest.param("2024-01-02 00:00:00-05:00", id="midnight in New York, as yfinance writes it"),
        pytest.param(1_704_153_600, id="midnight in UTC as Unix seconds"),
        pytest.param(1_704_171_600, id="midnight in New York as Unix seconds"),
        pytest.param(20240102, id="eight digits"),
        pytest.param("01/02/2024", id="American"),
    ],
)
def test_a_midnight_is_a_day(value: Any) -> None:
    found = cells.moment(value, NEW_YORK)
    assert found is not None
    assert found.day == DAY


def test_summer_time_is_the_zones() -> None:
    july = cells.moment("2024-07-02 12:00:00", NEW_YORK)
    assert july is not None
    assert july.at.hour == 16


@pytest.mark.parametrize("value", ["yesterday", "2024-13-01", "12:30", 5, -1, 1e300, True, b"\x01", "99/99/2024"])
def test_what_is_no_time_is_unreadable(value: Any) -> None:
    with pytest.raises(Unreadable):
        cells.moment(value, UTC)


@pytest.mark.parametrize("value", [None, "", "  ", "None", "nan", "NULL", "N/A"])
def test_words_for_nothing_are_nothing(value: Any) -> None:
    assert cells.moment(value, UTC) is None
    assert cells.amount(value) is None
    assert cells.symbol(value) is None
    assert cells.side(value, {}) is None
    assert cells.label(value) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(46.73, "46.73", id="a float: the shortest decimal that reads back"),
        pytest.param(0.1 + 0.2, "0.30000000000000004", id="a float that was computed keeps all it says"),
        pytest.param(12, "12", id="an integer"),
        pytest.param("$1,234.50", "1234.50", id="written for people"),
        pytest.param(" -3 ", "-3", id="text"),
    ],
)
def test_an_amount_is_an_exact_decimal(value: Any, expected: str) -> None:
    assert str(cells.amount(value)) == expected


@pytest.mark.parametrize("value", ["ten", float("inf"), "1e999", b"\x10\x00", "1,2.3.4"])
def test_what_is_no_number_is_unreadable(value: Any) -> None:
    with pytest.raises(Unreadable):
        cells.amount(value)


@pytest.mark.parametrize(
    ("word", "side"),
    [("BUY", Side.BUY), ("b", Side.BUY), ("Bought", Side.BUY), ("OrderSide.SELL", Side.SELL), ("s", Side.SELL)],
)
def test_sides_are_known_by_many_words(word: str, side: Side) -> None:
    assert cells.side(word, {}) is side


def test_an_owners_own_words_come_first() -> None:
    assert cells.side("enter", {"enter": "buy"}) is Side.BUY
    with pytest.raises(Unreadable):
        cells.side("enter", {})


def test_a_kept_row_shows_no_account_number_and_no_secret() -> None:
    row = {
        "id": 7,
        "account_number": "5RY12345",
        "account": "https://api.robinhood.com/accounts/123456789/",
        "acct": 987654321,
        "access_token": "eyJ",
        "note": "order 123456789 of\0mine",
        "price": 1.5,
        "blob": b"\x00\x01",
        "odd": float("inf"),
    }
    kept = cells.kept(row)
    assert (
        json.loads(kept)["account_number"] == json.loads(kept)["acct"] == json.loads(kept)["access_token"] == cells.MASK
    )
    assert json.loads(kept)["account"] == f"https://api.robinhood.com/accounts/{cells.MASK}/"
    assert json.loads(kept)["note"] == "order 123456789 of�mine", "an order's number is no account's"
    assert json.loads(kept)["price"] == 1.5
    assert "Infinity" not in kept
    assert cells.digest(kept) == cells.digest(cells.kept(dict(row))) != cells.digest(cells.kept(row | {"id": 8}))


def test_prices_keep_their_digits() -> None:
    assert cells.amount(123456.789012) == Decimal("123456.789012")
