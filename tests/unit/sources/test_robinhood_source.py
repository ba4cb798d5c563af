"""Robinhood as a source: its adjusted prices become as-traded, its spans windows, its silence errors."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import Any

import pytest

from quaestor import calendar
from quaestor.bars import DAILY
from quaestor.doors.robinhood.history import SPANS
from quaestor.errors import BadConfig, BadInput, NotFound
from quaestor.operations.ingest import DEPTH
from quaestor.splits import Split

D = dt.date
START, END = D(2026, 10, 1), D(2026, 11, 20)


async def test_prices_are_made_as_traded_again(at_robinhood: Any, at_alpaca: Any) -> None:
    ours = await at_robinhood.source().history("AAPL", START, END)
    theirs = await at_alpaca.source().history("AAPL", START, END)
    assert ours.bars.drop("interpolated").equals(theirs.bars), "both vendors tell of the same market"
    assert ours.splits == theirs.splits


async def test_a_split_before_the_window_does_not_touch_it_and_one_after_it_does(at_robinhood: Any) -> None:
    between = await at_robinhood.source().history("AAPL", D(2026, 10, 21), D(2026, 10, 30))
    assert between.bars["open"].to_list() == [100.0 + n for n in range(14, 22)]
    assert between.splits == ()


async def test_an_announced_split_is_in_no_price_yet(at_robinhood: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    announced = Split("IBM", D(2026, 12, 1), Fraction(2))
    monkeypatch.setattr(at_robinhood.server.history, "splits", [announced])
    history = await at_robinhood.source().history("IBM", START, END)
    assert history.bars["open"][0] == 100.0
    assert history.splits == ()


async def test_bars_that_were_made_up_keep_their_mark(at_robinhood: Any) -> None:
    bars = (await at_robinhood.source().history("IBM", START, END)).bars
    assert bars.filter(bars["interpolated"])["session"].to_list() == [D(2026, 10, 5)]
    assert bars.height == 37


async def test_hours_end_where_the_next_begin(at_robinhood: Any) -> None:
    day = D(2026, 11, 19)
    bars = (await at_robinhood.source().history("AAPL", day, day, "1h")).bars
    assert bars["ts"].dt.convert_time_zone("America/New_York").dt.hour().to_list() == list(range(5, 21))
    assert bars["session"].unique().to_list() == [day]


@pytest.mark.parametrize(
    ("timeframe", "start", "span"),
    [
        pytest.param("1d", D(2026, 11, 16), "span=week", id="days of this week"),
        pytest.param("1d", START, "span=3month", id="days of this quarter"),
        pytest.param("1d", D(2022, 1, 3), "span=5year", id="days of years"),
        pytest.param("1h", D(2026, 11, 21), "span=day", id="hours of today"),
        pytest.param("1h", D(2026, 8, 24), "span=3month", id="hours as far back as they go"),
        pytest.param("5m", D(2026, 11, 15), "span=week", id="minutes as far back as they go"),
    ],
)
async def test_the_shortest_span_that_reaches_back_is_asked_for(
    at_robinhood: Any, timeframe: str, start: dt.date, span: str
) -> None:
    history = await at_robinhood.source().history("IBM", start, D(2026, 11, 21), timeframe)
    assert span in at_robinhood.server.asked[-1]
    assert all(day >= start for day in history.bars["session"])


@pytest.mark.parametrize(
    ("timeframe", "start", "first"),
    [("5m", D(2026, 11, 14), "2026-11-15"), ("1h", D(2026, 8, 23), "2026-08-24"), ("1d", D(2020, 1, 2), "2021-11-23")],
)
async def test_a_window_beyond_its_reach_is_answered_with_what_there_is(
    at_robinhood: Any, timeframe: str, start: dt.date, first: str
) -> None:
    with pytest.raises(
        BadInput, match=rf"has {timeframe} bars since {first} only, .* source = \"alpaca\" goes further"
    ):
        await at_robinhood.source().history("IBM", start, END, timeframe)
    assert at_robinhood.server.asked == []


def test_a_first_ingest_asks_for_no_more_than_it_has() -> None:
    since_the_close = dt.timedelta(days=7)
    assert DEPTH[DAILY] + since_the_close < dt.timedelta(days=SPANS["5year"])


async def test_one_minute_bars_are_not_to_be_had(at_robinhood: Any) -> None:
    with pytest.raises(BadInput, match="has no 1m bars, but: 5m, 1h, 1d"):
        await at_robinhood.source().history("IBM", END, END, "1m")


async def test_an_unknown_symbol_is_not_an_empty_history(at_robinhood: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotFound, match=r"Robinhood knows no symbol 'NONE'"):
        await at_robinhood.source().history("NONE", START, END)
    assert capsys.readouterr().out == "", "robin_stocks prints nothing"


async def test_a_stale_token_names_its_secret(at_robinhood: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_robinhood.server, "token", "another")
    with pytest.raises(BadConfig, match=r"answered 401: Invalid token\. .* shown: 'the-key'"):
        await at_robinhood.source().history("IBM", START, END)


async def test_the_token_stays_out_of_the_librarys_own_session(at_robinhood: Any) -> None:
    from robin_stocks.robinhood import globals as library

    await at_robinhood.source().history("IBM", START, END)
    assert "Authorization" not in library.SESSION.headers
    assert await at_robinhood.source().span("IBM") is None
    assert calendar.is_session(END)
