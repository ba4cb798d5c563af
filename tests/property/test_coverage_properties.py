"""What holds for every state of the cells and every plan to fill them."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from itertools import pairwise
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor import calendar
from quaestor.bars import DAILY
from quaestor.coverage import (
    REDO,
    Cell,
    Chunk,
    Pace,
    Place,
    Redo,
    Status,
    Stretch,
    Window,
    grid,
    joined,
    month,
    period,
    periods,
    plan,
)

NOW = dt.datetime(2013, 1, 2, tzinfo=dt.UTC)
FIRST, LAST = dt.date(2011, 11, 1), dt.date(2012, 4, 30)
SYMBOLS = ("AAPL", "IBM", "MSFT")

timeframes = st.sampled_from([DAILY, "5m"])
days = st.dates(FIRST, LAST)
stretches = st.tuples(days, days).map(lambda pair: (min(pair), max(pair)))
spans = st.tuples(st.dates(calendar.FIRST, calendar.LAST), st.integers(0, 400)).map(
    lambda pair: (pair[0], min(pair[0] + dt.timedelta(days=pair[1]), calendar.LAST))
)
near = st.tuples(st.dates(FIRST, FIRST + dt.timedelta(days=60)), st.integers(0, 6)).map(
    lambda pair: (pair[0], pair[0] + dt.timedelta(days=pair[1]))
)  # among them Thanksgiving, Christmas, New Year and Martin Luther King Day


@st.composite
def states(draw: st.DrawFn) -> tuple[str, list[dt.date], list[Place]]:
    """A timeframe, wanted sessions, and how each of their cells stands."""
    timeframe, wanted = draw(timeframes), calendar.sessions(*draw(stretches))
    each = st.sampled_from(get_args(Status))
    places = []
    for symbol in SYMBOLS:
        for first in periods(timeframe, wanted):
            own = [day for day in wanted if period(timeframe, day) == first]
            places.append(Place(symbol, first, (own[0], own[-1]), len(own), draw(each), None))
    return timeframe, wanted, places


paces = st.builds(
    Pace,
    bars_per_request=st.none() | st.integers(1, 500),
    seconds_per_request=st.floats(0.01, 4.0),
    bars_per_session=st.sampled_from([1, 7, 78, 390]),
)
limits = st.fixed_dictionaries({"seconds": st.floats(0.5, 60.0), "bars": st.integers(1, 20_000)})


def windows_of(chunks: list[Chunk]) -> list[Window]:
    return [window for chunk in chunks for window in chunk.windows]


def inside(place: Place, window: Window) -> bool:
    return place.symbol == window.symbol and window.first <= place.wanted[0] and place.wanted[1] <= window.last


@settings(deadline=None)
@given(states(), st.sampled_from(get_args(Redo)), paces, limits, st.booleans())
def test_every_cell_that_is_to_be_redone_is_in_one_window_and_no_other_cell_is_in_any(
    state: tuple[str, list[dt.date], list[Place]], redo: Redo, pace: Pace, limits: dict[str, int], newest: bool
) -> None:
    timeframe, _, places = state
    windows = windows_of(plan(places, timeframe, redo, pace, newest_first=newest, **limits))
    for place in places:
        holding = [window for window in windows if inside(place, window)]
        touching = [
            w for w in windows if w.symbol == place.symbol and w.first <= place.wanted[1] and place.wanted[0] <= w.last
        ]
        assert holding == touching
        assert len(holding) == (place.status in REDO[redo])


@settings(deadline=None)
@given(states(), st.sampled_from(get_args(Redo)), paces, limits)
def test_a_window_counts_its_cells_and_bars_and_lies_on_wanted_sessions_without_a_hole(
    state: tuple[str, list[dt.date], list[Place]], redo: Redo, pace: Pace, limits: dict[str, int]
) -> None:
    timeframe, wanted, places = state
    for window in windows_of(plan(places, timeframe, redo, pace, **limits)):
        own = [place for place in places if inside(place, window)]
        assert window.cells == len(own)
        assert window.bars == sum(place.sessions for place in own) * pace.bars_per_session
        assert (window.first, window.last) == (own[0].wanted[0], own[-1].wanted[1])
        between = [day for day in wanted if window.first <= day <= window.last]
        assert sum(place.sessions for place in own) == len(between)


@settings(deadline=None)
@given(states(), st.sampled_from(get_args(Redo)), paces, limits)
def test_windows_and_chunks_keep_the_limits_unless_a_single_cell_does_not(
    state: tuple[str, list[dt.date], list[Place]], redo: Redo, pace: Pace, limits: dict[str, int]
) -> None:
    timeframe, _, places = state
    for chunk in plan(places, timeframe, redo, pace, **limits):
        for window in chunk.windows:
            fits = window.bars <= limits["bars"] and pace.seconds(window.bars) <= limits["seconds"]
            assert fits or window.cells == 1
        assert chunk.seconds == sum(pace.seconds(window.bars) for window in chunk.windows)
        fits = chunk.seconds <= limits["seconds"] + 1e-9 and sum(w.bars for w in chunk.windows) <= limits["bars"]
        assert fits or len(chunk.windows) == 1


@settings(deadline=None)
@given(states(), paces, limits, st.booleans())
def test_windows_come_by_time(
    state: tuple[str, list[dt.date], list[Place]], pace: Pace, limits: dict[str, int], newest: bool
) -> None:
    timeframe, _, places = state
    ends = [window.last for window in windows_of(plan(places, timeframe, "all", pace, newest_first=newest, **limits))]
    assert ends == sorted(ends, reverse=newest)


@settings(deadline=None)
@given(states(), paces, limits)
def test_a_plan_is_the_same_whatever_order_the_places_come_in(
    state: tuple[str, list[dt.date], list[Place]], pace: Pace, limits: dict[str, int]
) -> None:
    timeframe, _, places = state
    assert plan(places[::-1], timeframe, "missing", pace, **limits) == plan(
        places, timeframe, "missing", pace, **limits
    )


@settings(deadline=None)
@given(states(), paces, limits)
def test_chunks_have_names_of_their_own(
    state: tuple[str, list[dt.date], list[Place]], pace: Pace, limits: dict[str, int]
) -> None:
    timeframe, _, places = state
    for chunk in plan(places, timeframe, "all", pace, **limits):
        name = chunk.name
        assert f" {timeframe} {min(window.first for window in chunk.windows)}" in name
        assert name.startswith(min(window.symbol for window in chunk.windows))
        assert name.endswith(f", {chunk.cells} cells")


# ── stretches and periods ─────────────────────────────────────────────────────────────────────────────────────────────


@settings(deadline=None)
@given(st.lists(near, min_size=1, max_size=6))
def test_what_was_joined_claims_no_session_that_was_not_asked_for(asked: list[Stretch]) -> None:
    claimed: Stretch | None = None
    for stretch in asked:
        claimed = joined(claimed, stretch)
    assert claimed is not None
    answered = {day for stretch in asked for day in calendar.sessions(*stretch)}
    assert set(calendar.sessions(*claimed)) <= answered


@settings(deadline=None)
@given(near | spans, near | spans)
def test_a_join_loses_nothing_where_no_session_lies_between(old: Stretch, new: Stretch) -> None:
    both = joined(old, new)
    hole = calendar.sessions(min(old[1], new[1]) + dt.timedelta(1), max(old[0], new[0]) - dt.timedelta(1))
    if not hole:
        assert both == (min(old[0], new[0]), max(old[1], new[1]))
    else:
        assert both in (old, new)
        assert both[1] - both[0] == max(old[1] - old[0], new[1] - new[0])
    assert joined(None, new) == new
    assert joined(new, new) == new


@settings(deadline=None)
@given(timeframes, spans)
def test_each_session_is_in_one_period_and_periods_come_once_oldest_first(timeframe: str, span: Stretch) -> None:
    wanted = calendar.sessions(*span)
    found = periods(timeframe, wanted)
    assert all(a < b for a, b in pairwise(found))
    assert set(found) == {period(timeframe, day) for day in wanted}
    for day in wanted:
        first, last = month(day.replace(day=1))
        assert first <= day <= last
        assert period(timeframe, day) == (first if timeframe == DAILY else day)
    assert (
        month(span[0].replace(day=1))[1] + dt.timedelta(1)
        == month(month(span[0].replace(day=1))[1] + dt.timedelta(1))[0]
    )


# ── how a cell stands ─────────────────────────────────────────────────────────────────────────────────────────────────

cells = st.builds(
    Cell,
    symbol=st.sampled_from(SYMBOLS),
    timeframe=st.just(DAILY),
    period=st.sampled_from([dt.date(2012, 1, 1), dt.date(2012, 2, 1)]),
    asked=st.none() | stretches,
    stored=st.integers(0, 3),
    quarantined=st.integers(0, 2),
    source=st.just("test"),
    error=st.sampled_from(["", "no answer"]),
    at=st.just(NOW),
)


@given(cells, stretches)
def test_what_was_not_asked_for_with_success_is_missing_to_a_backfill(cell: Cell, wanted: Stretch) -> None:
    answered = not cell.error and cell.asked and cell.asked[0] <= wanted[0] and wanted[1] <= cell.asked[1]
    assert (cell.status(wanted) in REDO["missing"]) is (not answered)


@given(cells, stretches)
def test_a_cell_that_was_answered_says_how(cell: Cell, wanted: Stretch) -> None:
    status = cell.status(wanted)
    if status in {"present", "empty"}:
        assert not cell.error
        assert not cell.quarantined
        assert bool(cell.stored) is (status == "present")
    assert (status == "failed") is bool(cell.error)


@settings(deadline=None)
@given(st.lists(cells, max_size=6, unique_by=lambda cell: (cell.symbol, cell.period)), stretches, timeframes)
def test_a_grid_holds_every_wanted_session_of_every_symbol_once(
    known: list[Cell], wanted: Stretch, timeframe: str
) -> None:
    sessions = calendar.sessions(*wanted)
    places = grid([*SYMBOLS, "IBM"], timeframe, sessions, known)
    held = Counter(
        (place.symbol, day) for place in places for day in sessions if place.wanted[0] <= day <= place.wanted[1]
    )
    assert held == Counter((symbol, day) for symbol in SYMBOLS for day in sessions)
    assert [(place.symbol, place.period) for place in places] == sorted((p.symbol, p.period) for p in places)
    assert sum(place.sessions for place in places) == len(sessions) * len(SYMBOLS)
    for place in places:
        mine = [c for c in known if (c.symbol, c.period, c.timeframe) == (place.symbol, place.period, timeframe)]
        assert place.cell == (mine[0] if mine else None)
        assert place.status == (mine[0].status(place.wanted) if mine else "missing")
