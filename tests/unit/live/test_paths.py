"""Stored prices as ticks: whoever bars them again has the same bars."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor import bars, calendar
from quaestor.live import paths
from quaestor.screening import Screen
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

DAY = dt.date(2026, 11, 20)
OPENS = int(calendar.session_open(DAY).timestamp()) * SECOND
CLOSES = int(calendar.session_close(DAY).timestamp()) * SECOND
CENTS = st.integers(1_000, 100_000)


def frame(*rows: dict[str, Any], timeframe: str = "1m", symbol: str = "AAPL") -> pl.DataFrame:
    """A bars frame: minutes from the opening on, or the day."""
    whole = []
    for n, row in enumerate(rows, 1):
        ts = calendar.session_open(DAY) + dt.timedelta(minutes=n) if timeframe == "1m" else calendar.session_close(DAY)
        whole.append({"symbol": symbol, "timeframe": timeframe, "session": DAY, "ts": ts, **row})
    return pl.DataFrame(whole, schema=bars.schema())


def bar(first: float, high: float, low: float, last: float, volume: int = 1000) -> dict[str, Any]:
    return {"open": first, "high": high, "low": low, "close": last, "volume": volume}


def again(ticks: list[Tick]) -> tuple[float, float, float, float, float]:
    prices = [tick.price for tick in ticks if isinstance(tick, TradeTick)]
    sizes = sum(tick.size for tick in ticks if isinstance(tick, TradeTick))
    return prices[0], max(prices), min(prices), prices[-1], sizes


@pytest.mark.parametrize(
    ("last", "way"),
    [
        pytest.param(101.0, [100.0, 98.0, 103.0, 101.0], id="a bar that rose went down first"),
        pytest.param(100.0, [100.0, 98.0, 103.0, 100.0], id="one that ended where it began, too"),
        pytest.param(99.0, [100.0, 103.0, 98.0, 99.0], id="one that fell went up first"),
    ],
)
def test_a_minute_is_four_trades_in_its_bounds(last: float, way: list[float]) -> None:
    ticks = paths.of_minutes(frame(bar(100.0, 103.0, 98.0, last, 1003)))
    assert [tick.price for tick in ticks] == way  # type: ignore[union-attr]
    assert [tick.at - OPENS for tick in ticks] == [0, 15 * SECOND, 30 * SECOND, 60 * SECOND - 1]
    assert [tick.size for tick in ticks] == [250.0, 250.0, 250.0, 253.0]  # type: ignore[union-attr]


@given(st.lists(CENTS, min_size=4, max_size=4), st.integers(1, 10**6), st.sampled_from(["1m", "1d"]))
def test_whoever_bars_the_ticks_again_has_the_same_bar(cents: list[int], volume: int, timeframe: str) -> None:
    low, first, last, high = (cent / 100 for cent in (min(cents), cents[1], cents[2], max(cents)))
    made = paths.of_days if timeframe == "1d" else paths.of_minutes
    ticks = made(frame(bar(first, high, low, last, volume), timeframe=timeframe))
    *prices, sizes = again(ticks)
    assert prices == [first, high, low, last]
    assert sizes == pytest.approx(volume, rel=1e-9)
    assert all(tick.size > 0 for tick in ticks)  # type: ignore[union-attr]


def test_a_day_goes_from_the_opening_to_the_close_and_is_the_same_each_time() -> None:
    day = frame(bar(100.0, 110.0, 95.0, 104.0, 10**6), timeframe="1d")
    ticks = paths.of_days(day, every=5.0)
    assert (ticks[0].at, ticks[-1].at, len(ticks)) == (OPENS, CLOSES - 1, 4681)
    assert ticks == paths.of_days(day, every=5.0)
    assert all(one.at < other.at for one, other in pairwise(ticks))
    steps = [abs(one.price - other.price) for one, other in pairwise(ticks)]  # type: ignore[union-attr]
    assert max(steps) < 1.5, "no jump that a screen would take for an error"


def test_nobody_traded_is_no_tick() -> None:
    assert paths.of_minutes(frame(bar(1.0, 1.0, 1.0, 1.0, 0))) == []
    assert paths.of_days(frame(bar(1.0, 1.0, 1.0, 1.0, 0), timeframe="1d")) == []


def test_prints_come_in_the_order_of_the_feed_to_the_microsecond() -> None:
    ts = [calendar.session_open(DAY) + dt.timedelta(microseconds=micro) for micro in (5, 5, 1)]
    rows = {"symbol": ["IBM", "AAPL", "AAPL"], "ts": ts, "number": [2, 1, 9], "price": [1.0, 2.0, 3.0]}
    ticks = paths.of_prints(pl.DataFrame(rows | {"size": [1.0, 1.0, 1.0]}))
    assert [(tick.symbol, tick.at - OPENS) for tick in ticks] == [("AAPL", 1000), ("AAPL", 5000), ("IBM", 5000)]


def test_a_session_played_on_another_day_keeps_its_hours_through_daylight_saving() -> None:
    summer = dt.date(2026, 7, 1)
    ticks = paths.to_session(paths.of_minutes(frame(bar(1.0, 1.0, 1.0, 1.0))), DAY, summer)
    assert ticks[0].at == int(calendar.session_open(summer).timestamp()) * SECOND


@given(st.integers(1, 10**7), st.floats(0, 500))
def test_a_made_quote_stands_on_both_sides_of_its_trade_and_may_be_traded_upon(mills: int, basis_points: float) -> None:
    trade = TradeTick("AAPL", OPENS, mills / 1000, 100.0)
    quote, same = paths.quoted([trade], basis_points)
    assert same == trade
    assert isinstance(quote, QuoteTick)
    assert 0 < quote.bid <= trade.price * 1.01 + 0.01
    assert quote.ask >= trade.price * 0.99 - 0.01
    assert Screen(["AAPL"]).rule(quote, OPENS) is None


def test_streams_become_one_in_the_order_of_time() -> None:
    one, other = [TradeTick("A", at, 1.0, 1.0) for at in (1, 5)], [TradeTick("B", at, 1.0, 1.0) for at in (1, 3)]
    assert [(tick.symbol, tick.at) for tick in paths.together([one, other])] == [("A", 1), ("B", 1), ("B", 3), ("A", 5)]
