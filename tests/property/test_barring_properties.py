"""Bars from ticks against polars, which sees all ticks at once and groups them: the builder sees them one at a time.

However they arrive within the grace, the bars are those of the groups; whatever comes later makes corrections, and bars
with their corrections are the groups again. The hours are the calendar's, across a half-day and both changes of clocks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from quaestor import calendar
from quaestor.barring import GRACE, Barring, Builder, Correction, Grid, LiveBar, nanoseconds
from quaestor.ticks import SECOND, TradeTick

DAYS = [dt.date(2026, 3, 6), dt.date(2026, 3, 9), dt.date(2026, 10, 30), dt.date(2026, 11, 2), dt.date(2026, 11, 27)]
MARKS = {
    day: [
        nanoseconds(mark(day))
        for mark in (calendar.premarket_start, calendar.session_open, calendar.session_close, calendar.postmarket_end)
    ]
    for day in DAYS
}
TENTH = SECOND // 10  # a coarse clock: ends are met exactly, and many trades share a nanosecond
COLUMNS = ("end", "open", "high", "low", "close", "volume", "trades", "first_at", "last_at")

timeframes = st.sampled_from(["1s", "1m", "5m", "1h", "1d"])
graces = st.sampled_from([0, TENTH, GRACE, 90 * SECOND])
prices = st.integers(9_900, 10_100).map(lambda cents: cents / 100)
sizes = st.integers(1, 500).map(float)
hours = st.booleans()  # extended or not
# An example plays around a few marks only: else no two of its trades would meet in a bar.
scenes = st.shared(st.lists(st.sampled_from([m for marks in MARKS.values() for m in marks]), min_size=1, max_size=3))


@st.composite
def moments(draw: st.DrawFn) -> int:
    """Near a mark of a session, or minutes after it."""
    minutes = draw(st.sampled_from([0, 0, 0, -1, 1, 5, 60]))
    return draw(st.sampled_from(draw(scenes))) + minutes * 60 * SECOND + draw(st.integers(-25, 25)) * TENTH


@st.composite
def trades(draw: st.DrawFn) -> list[TradeTick]:
    return [TradeTick("AAPL", at, draw(prices), draw(sizes)) for at in draw(st.lists(moments(), max_size=40))]


@st.composite
def arrivals(draw: st.DrawFn, grace: int) -> list[TradeTick]:
    """Trades that arrive at most `grace` after newer ones."""
    ticks = draw(trades())
    delays = draw(st.lists(st.integers(0, grace), min_size=len(ticks), max_size=len(ticks)))
    return [tick for _, tick in sorted(zip(delays, ticks, strict=True), key=lambda pair: pair[0] + pair[1].at)]


# ── the oracle ────────────────────────────────────────────────────────────────────────────────────────────────────────


def grouped(ticks: Sequence[TradeTick], timeframe: str, *, extended: bool) -> list[dict[str, Any]]:
    """One row a bar, by polars; ends are the calendar's (of a second: the next whole one)."""
    frame = pl.DataFrame(
        [(tick.at, tick.price, tick.size) for tick in ticks],
        schema={"at": pl.Int64, "price": pl.Float64, "size": pl.Float64},
        orient="row",
    )
    wide = extended and timeframe != "1d"
    inside = [pl.col("at").is_between(marks[0 if wide else 1], marks[3 if wide else 2] - 1) for marks in MARKS.values()]
    if timeframe == "1s":
        end = (pl.col("at") // SECOND + 1) * SECOND
    else:
        ends = pl.Series([nanoseconds(end) for day in DAYS for end in calendar.ends(day, timeframe, extended=wide)])
        frame = frame.with_columns(place=ends.search_sorted(frame["at"], "right").clip(0, len(ends) - 1))
        end = pl.lit(ends).gather(pl.col("place"))
    return (
        frame.with_columns(end=end)
        .filter(pl.any_horizontal(inside))
        .sort("at", maintain_order=True)
        .group_by("end", maintain_order=True)
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("size").sum(),
            trades=pl.len(),
            first_at=pl.col("at").min(),
            last_at=pl.col("at").max(),
        )
        .select(COLUMNS)
        .to_dicts()
    )


def rows(bars: Iterable[LiveBar]) -> list[dict[str, Any]]:
    return [{name: getattr(bar, name) for name in COLUMNS} for bar in sorted(bars, key=lambda bar: bar.end)]


def run(builder: Builder, ticks: Iterable[TradeTick]) -> list[LiveBar | Correction]:
    events = [event for tick in ticks for event in builder.take(tick)]
    return events + builder.close_until(MARKS[DAYS[-1]][3] + 3600 * SECOND)


# ── what holds ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.data(), timeframes, graces, hours)
def test_however_trades_arrive_within_the_grace_the_bars_are_those_of_the_groups(
    data: st.DataObject, timeframe: str, grace: int, extended: bool
) -> None:
    ticks = data.draw(arrivals(grace))
    builder = Builder("AAPL", Grid.of(timeframe, DAYS, extended=extended), grace)
    bars = run(builder, ticks)
    assert all(isinstance(bar, LiveBar) for bar in bars)
    assert [bar.end for bar in bars] == sorted({bar.end for bar in bars})
    assert rows(bars) == grouped(ticks, timeframe, extended=extended)
    assert builder.counts["late"] == 0
    assert builder.counts["outside"] == len(ticks) - sum(bar.trades for bar in bars)


@given(trades(), timeframes, graces, hours)
def test_bars_with_their_corrections_are_the_groups_whatever_the_order_and_no_closed_bar_changes(
    ticks: list[TradeTick], timeframe: str, grace: int, extended: bool
) -> None:
    builder = Builder("AAPL", Grid.of(timeframe, DAYS, extended=extended), grace)
    known: dict[int, LiveBar] = {}
    handed: list[tuple[LiveBar, bytes]] = []
    for tick in [*ticks, None]:
        for event in builder.take(tick) if tick else run(builder, []):
            if isinstance(event, Correction):
                known[event.end] = event.applied(known.get(event.end))
            else:
                assert event.end not in known
                known[event.end] = event
            handed.append((known[event.end], msgspec.json.encode(known[event.end])))
    assert rows(known.values()) == grouped(ticks, timeframe, extended=extended)
    assert all(msgspec.json.encode(bar) == then for bar, then in handed)
    assert sum(bar.version - 1 for bar in known.values()) <= builder.counts["late"]


@given(st.lists(st.one_of(trades(), moments()), max_size=12), graces)
def test_a_builder_restored_at_any_moment_tells_the_same(steps: list[list[TradeTick] | int], grace: int) -> None:
    grids = [Grid.of(timeframe, DAYS) for timeframe in ("1s", "1m", "1d")]
    whole, broken = Barring(grids, grace), Barring(grids, grace)
    for step in steps:
        if isinstance(step, int):
            assert whole.close_until(step) == broken.close_until(step)
        else:
            for tick in step:
                assert list(whole.take(tick)) == list(broken.take(tick))
        plain = msgspec.json.decode(msgspec.json.encode(broken.dump()))
        broken = Barring(grids, grace)
        broken.restore(plain)
        assert broken.dump() == plain == whole.dump()
    assert whole.counts() == broken.counts()


@given(st.lists(st.one_of(trades(), moments()), max_size=8), timeframes, graces)
def test_a_bar_closes_once_its_clock_reaches_its_end_and_grace_and_never_before(
    steps: list[list[TradeTick] | int], timeframe: str, grace: int
) -> None:
    builder, clock = Builder("AAPL", Grid.of(timeframe, DAYS), grace), 0
    for step in (one for some in steps for one in (some if isinstance(some, list) else [some])):
        before, clock = clock, max(clock, step if isinstance(step, int) else step.at)
        events = builder.close_until(step) if isinstance(step, int) else builder.take(step)
        assert all(before < event.end + grace <= clock for event in events if isinstance(event, LiveBar))
        assert builder.clock == clock
        assert builder.due is None or builder.due > clock
