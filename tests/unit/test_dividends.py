"""Dividends: derived from a vendor's adjusted closes, as far as its rounding lets them."""

from __future__ import annotations

import datetime as dt
import gzip
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest

from quaestor import calendar, dividends
from quaestor.dividends import Dividend, derive_dividends
from quaestor.doors.recorded import locate
from quaestor.splits import Split, derive_splits

D = dt.date
DAYS = calendar.sessions(D(2012, 1, 3), D(2012, 2, 1))

# By hand, from the companies' own histories of dividends.
PAID = {
    ("AAPL", D(2012, 8, 9)): "2.65",
    ("AAPL", D(2013, 2, 7)): "2.65",
    ("IBM", D(2000, 5, 8)): "0.13",
    ("IBM", D(2008, 5, 7)): "0.50",
    ("IBM", D(2013, 2, 6)): "0.85",
    ("MSFT", D(2003, 2, 19)): "0.08",
    ("MSFT", D(2003, 10, 15)): "0.16",
    ("MSFT", D(2004, 11, 15)): "3.08",
    ("MSFT", D(2013, 2, 19)): "0.23",
}


@pytest.fixture(scope="module")
def recorded() -> pl.DataFrame:
    """The recorded closes beside the vendor's adjusted ones."""
    raw = pl.read_csv(gzip.decompress(locate().read_bytes()), columns=["Ticker", "Date", "Close", "Adj Close"])
    named = raw.rename({"Ticker": "symbol", "Date": "session", "Close": "close", "Adj Close": "adj_close"})
    return named.with_columns(pl.col("session").str.to_date())


def test_the_recorded_markets_dividends_come_out_to_the_cent(recorded: pl.DataFrame) -> None:
    derived = derive_dividends(recorded, derive_splits(recorded))
    amounts = {(each.symbol, each.session): str(each.amount) for each in derived}
    assert amounts | PAID == amounts
    assert {symbol for symbol, _ in amounts} == {"AAPL", "IBM", "MSFT"}  # GOOG and FB paid none
    assert len(derived) == 92
    assert {each.origin for each in derived} == {"derived"}


@pytest.mark.parametrize(
    ("places", "cents", "part"),
    [
        pytest.param(6, 0, 0, id="six places"),
        pytest.param(4, 0, 0, id="four"),
        pytest.param(2, 2, 0.06, id="cents"),
    ],
)
def test_rounding_limits_the_amounts_and_makes_up_none(
    recorded: pl.DataFrame, places: int, cents: int, part: float
) -> None:
    exact = {(each.symbol, each.session): each.amount for each in derive_dividends(recorded, derive_splits(recorded))}
    rounded = recorded.with_columns(pl.col("adj_close").round(places))
    found = derive_dividends(rounded, derive_splits(rounded))
    assert {(each.symbol, each.session) for each in found} <= set(exact)
    assert len(found) > 80
    for each in found:
        amount = float(exact[each.symbol, each.session])
        assert abs(float(each.amount) - amount) <= max(cents / 100, part * amount) + 1e-9


def closes(traded: list[float], adjusted: list[float]) -> pl.DataFrame:
    columns = {"symbol": "X", "session": DAYS[: len(traded)], "close": traded, "adj_close": adjusted}
    return pl.DataFrame(columns, schema_overrides={"close": pl.Float64, "adj_close": pl.Float64})


TWO = Split("X", DAYS[2], Fraction(2))


@pytest.mark.parametrize(
    ("frame", "splits", "amount"),
    [
        pytest.param(closes([100, 100, 99, 99], [99, 99, 99, 99]), [], "1.00", id="a dollar, the price falls by it"),
        pytest.param(closes([100, 100, 120, 120], [99.2, 99.2, 120, 120]), [], "0.80", id="taken off the close before"),
        pytest.param(closes([100, 100, 49.5, 49.5], [49.5, 49.5, 49.5, 49.5]), [TWO], "0.50", id="with a split"),
        pytest.param(closes([1, 1, 1, 1], [0.987654, 0.987654, 1, 1]), [], "0.0123", id="no whole cents"),
    ],
)
def test_a_fall_of_the_factor_is_a_dividend(frame: pl.DataFrame, splits: list[Split], amount: str) -> None:
    assert derive_dividends(frame, splits) == [Dividend("X", DAYS[2], Decimal(amount), "derived")]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(closes([100, 100, 50, 50], [100, 100, 50, 50]), id="a crash"),
        pytest.param(closes([100, 100, 100, 100], [50, 50, 100, 100]), id="a correction of half the price"),
        pytest.param(closes([100, 101, 102, 101], [100, 99, 102, 101]), id="one wrong adjusted close, right next day"),
        pytest.param(closes([100, 101, 99, 100], [101, 102.01, 99, 100]), id="a factor that rises"),
        pytest.param(closes([9.99, 9.98, 9.97, 9.99], [3.33, 3.33, 3.32, 3.33]), id="cents that tick over"),
        pytest.param(closes([100, 100, 100], [99, 0, 100]), id="an adjusted close of zero"),
        pytest.param(closes([100], [99]), id="a single bar"),
        pytest.param(closes([], []), id="no bar"),
    ],
)
def test_other_falls_are_none(frame: pl.DataFrame) -> None:
    assert derive_dividends(frame) == []


def test_dividends_within_a_window_come_oldest_first_with_both_ends() -> None:
    known = [Dividend("X", day, Decimal(1)) for day in reversed(DAYS[:5])]
    assert [each.session for each in dividends.within(known, DAYS[1], DAYS[3])] == DAYS[1:4]
