"""What a broken line missed is made good from history: whole bars, and young prices that nobody has seen."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.live.gaps import Filled, Hearing, Outage, fill
from quaestor.ticks import SECOND

DAY = dt.date(2026, 11, 20)
OPENS = int(calendar.session_open(DAY).timestamp()) * SECOND
MINUTE = 60 * SECOND
AGE = 300 * SECOND


def minutes(count: int = 10) -> pl.DataFrame:
    """Minutes from the opening on: the n-th goes from 100+n to 100+n+0.5, between 99+n and 102+n."""
    rows = [
        {"symbol": "AAPL", "timeframe": "1m", "session": DAY, "volume": 400, "open": 100.0 + n, "high": 102.0 + n}
        | {"low": 99.0 + n, "close": 100.5 + n, "ts": calendar.session_open(DAY) + dt.timedelta(minutes=n + 1)}
        for n in range(count)
    ]
    return pl.DataFrame(rows, schema=bars.schema())


def outage(since: float, until: float) -> Outage:
    """In seconds after the opening."""
    return Outage(OPENS + round(since * SECOND), OPENS + round(until * SECOND))


def seen(filled: Filled) -> list[float]:
    return [tick.price for tick in filled.ticks]  # type: ignore[union-attr]


def ended(filled: Filled) -> list[int]:
    return [int((ts - calendar.session_open(DAY)).total_seconds()) for ts in filled.bars["ts"]]


def test_whole_minutes_are_filled_with_bars_and_ticks() -> None:
    filled = fill(minutes(), outage(60, 180), OPENS + 183 * SECOND, AGE)
    assert ended(filled) == [120, 180]
    assert seen(filled) == [101.0, 100.0, 103.0, 101.5, 102.0, 101.0, 104.0, 102.5]
    assert filled.rest is None


def test_a_minute_that_has_not_ended_is_left_for_later() -> None:
    first = fill(minutes(2), outage(60, 150), OPENS + 150 * SECOND, AGE)
    assert (ended(first), first.rest) == ([120], outage(120, 150))
    assert first.rest is not None
    second = fill(minutes(3), first.rest, OPENS + 183 * SECOND, AGE)
    assert (ended(second), second.rest) == ([180], None)
    assert not set(seen(first)) & {102.0, 104.0}


def test_a_minute_that_has_just_ended_is_not_believed_yet() -> None:
    filled = fill(minutes(), outage(60, 120), OPENS + 121 * SECOND, AGE)
    assert (ended(filled), filled.ticks, filled.rest) == ([], [], outage(60, 120))


@pytest.mark.parametrize(
    ("known", "prices"),
    [
        pytest.param(None, [101.0, 100.0, 103.0, 101.5], id="nothing of it was heard"),
        pytest.param((100.0, 103.0), [], id="all of it was heard"),
        pytest.param((100.5, 103.0), [100.0], id="its low was not"),
        pytest.param((100.0, 101.5), [103.0], id="its high was not"),
    ],
)
def test_of_a_minute_at_the_edge_only_what_is_news_is_told(
    known: tuple[float, float] | None, prices: list[float]
) -> None:
    filled = fill(minutes(), outage(80, 110), OPENS + 122 * SECOND, AGE, lambda *_: known)
    assert seen(filled) == prices
    assert all(OPENS + 80 * SECOND < tick.at <= OPENS + 110 * SECOND for tick in filled.ticks)
    assert ended(filled) == [120], "the vendor's bar is the whole one"


def test_prices_too_old_for_a_trigger_are_no_ticks_and_their_bars_are_bars() -> None:
    filled = fill(minutes(), outage(0, 300), OPENS + 302 * SECOND, 70 * SECOND)
    assert ended(filled) == [60, 120, 180, 240, 300]
    assert min(tick.at for tick in filled.ticks) >= OPENS + 232 * SECOND


def test_an_outage_over_night_asks_for_both_days() -> None:
    assert outage(0, 86_400).days == (DAY, DAY + dt.timedelta(days=1))


def test_hearing_measures_an_outage_from_the_last_tick_not_from_the_alarm() -> None:
    hearing = Hearing()
    assert hearing.back(5) is None, "nothing was lost"
    hearing.heard(10)
    hearing.lost(30)
    hearing.heard(35)  # a straggler of the old line
    hearing.lost(40)
    assert hearing.back(50) == Outage(10, 50)
    assert hearing.back(60) is None
    hearing.lost(70)
    assert hearing.back(80) == Outage(50, 80)
