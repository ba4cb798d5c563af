"""Bars: what a decision cites, exact prices, and windows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from quaestor import bars
from quaestor.bars import Bar
from quaestor.errors import BadInput

D = dt.date
ONE = Decimal(1)


def bar(ts: dt.datetime) -> Bar:
    return Bar("AAPL", D(2012, 3, 12), ts, ONE, ONE, ONE, ONE, 100)


def frame(*days: dt.date) -> pl.DataFrame:
    return pl.DataFrame({"symbol": ["AAPL"] * len(days), "session": days})


def test_a_bar_is_cited_by_symbol_timeframe_and_end() -> None:
    assert bar(dt.datetime(2012, 3, 12, 20, tzinfo=dt.UTC)).key == "AAPL|1d|2012-03-12T20:00:00Z"


def test_the_citation_is_in_utc_whatever_zone_the_bar_came_in() -> None:
    here = dt.datetime(2012, 3, 12, 16, tzinfo=ZoneInfo("America/New_York"))
    assert bar(here).key == bar(here.astimezone(dt.UTC)).key


def test_a_bar_without_a_time_zone_is_refused() -> None:
    naive = dt.datetime(2012, 3, 12, 16, tzinfo=dt.UTC).replace(tzinfo=None)
    with pytest.raises(BadInput, match="Bar AAPL 2012-03-12: ts 2012-03-12 16:00:00 has no time zone"):
        bar(naive)


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        pytest.param(46.73, "46.73", id="not 46.7299999…"),
        pytest.param(0.1 + 0.2, "0.30000000000000004", id="what a computation left is kept"),
        pytest.param(np.float64(46.73), "46.73", id="a NumPy float, whose repr is no number"),
        pytest.param(100, "100.0", id="an integer"),
    ],
)
def test_a_price_is_the_decimal_that_a_person_reads(value: float, exact: str) -> None:
    assert str(bars.price(value)) == exact


def test_a_window_has_both_its_ends() -> None:
    days = [D(2012, 3, 8), D(2012, 3, 9), D(2012, 3, 12)]
    assert bars.window(frame(*days), "AAPL", days[0], days[1])["session"].to_list() == days[:2]


def test_a_window_inside_the_span_may_hold_no_bar() -> None:
    found = bars.window(frame(D(2012, 3, 9), D(2012, 3, 12)), "AAPL", D(2012, 3, 10), D(2012, 3, 11))
    assert found.is_empty()


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        pytest.param(D(2012, 3, 10), D(2012, 3, 9), "2012-03-10 … 2012-03-09 is empty", id="end before start"),
        pytest.param(D(2011, 1, 1), D(2012, 3, 8), "go from 2012-03-09 to 2012-03-12", id="entirely before"),
        pytest.param(D(2012, 3, 13), D(2013, 1, 1), "go from 2012-03-09 to 2012-03-12", id="entirely after"),
    ],
)
def test_a_window_that_misses_the_bars_is_refused_with_their_span(start: dt.date, end: dt.date, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        bars.window(frame(D(2012, 3, 9), D(2012, 3, 12)), "AAPL", start, end)
