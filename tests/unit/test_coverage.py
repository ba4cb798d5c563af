"""Cells, and the plan to fill them, by example."""

from __future__ import annotations

import datetime as dt

import pytest

from quaestor import calendar
from quaestor.bars import DAILY
from quaestor.coverage import Cell, Pace, Redo, Stretch, grid, joined, month, period, periods, plan

D = dt.date
WHOLE = (D(2012, 1, 1), D(2012, 1, 31))
JANUARY = (D(2012, 1, 3), D(2012, 1, 31))
ANY = Pace(None, 1.0, 1)


def cell(
    symbol: str = "AAPL",
    first: dt.date = WHOLE[0],
    asked: Stretch | None = WHOLE,
    stored: int = 20,
    quarantined: int = 0,
    error: str = "",
) -> Cell:
    at = dt.datetime(2012, 2, 1, tzinfo=dt.UTC)
    return Cell(symbol, DAILY, first, asked, stored, quarantined, "test", error, at)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        pytest.param(cell(), "present", id="asked for as a whole, and bars came"),
        pytest.param(cell(stored=0), "empty", id="asked for as a whole, and the source has nothing"),
        pytest.param(cell(asked=JANUARY), "present", id="asked from its first session to its last: holidays are none"),
        pytest.param(cell(asked=(D(2012, 1, 3), D(2012, 1, 30))), "partial", id="its last session was not asked for"),
        pytest.param(cell(asked=(D(2012, 1, 4), D(2012, 1, 31))), "partial", id="its first session was not"),
        pytest.param(cell(asked=(D(2012, 1, 4), D(2012, 1, 4)), stored=0), "partial", id="some of it has nothing"),
        pytest.param(cell(asked=None), "partial", id="bars that nobody asked for"),
        pytest.param(cell(asked=None, stored=0), "missing", id="a cell that only failed once, and then was forgotten"),
        pytest.param(cell(quarantined=1), "quarantined", id="a bar of it was refused"),
        pytest.param(
            cell(quarantined=1, asked=(D(2012, 1, 3), D(2012, 1, 4)), stored=1),
            "partial",
            id="one was refused, but most was not asked for: the rest is missing first",
        ),
        pytest.param(cell(error="no answer"), "failed", id="the last try failed, whatever is stored"),
        pytest.param(cell(error="no answer", quarantined=1), "failed", id="it failed after a bar was refused"),
    ],
)
def test_a_cell_stands(found: Cell, status: str) -> None:
    assert found.status(JANUARY) == status


def test_a_month_that_is_wanted_in_part_is_present_when_that_part_was_asked_for() -> None:
    half = cell(asked=(D(2012, 1, 3), D(2012, 1, 13)))
    assert half.status((D(2012, 1, 3), D(2012, 1, 13))) == "present"
    assert half.status((D(2012, 1, 3), D(2012, 1, 17))) == "partial"


@pytest.mark.parametrize(
    ("old", "new", "both"),
    [
        pytest.param(None, (D(2012, 1, 3), D(2012, 1, 5)), (D(2012, 1, 3), D(2012, 1, 5)), id="the first"),
        pytest.param(
            (D(2012, 1, 3), D(2012, 1, 6)),
            (D(2012, 1, 9), D(2012, 1, 10)),
            (D(2012, 1, 3), D(2012, 1, 10)),
            id="a weekend is no hole",
        ),
        pytest.param(
            (D(2012, 1, 9), D(2012, 1, 13)),
            (D(2012, 1, 17), D(2012, 1, 18)),
            (D(2012, 1, 9), D(2012, 1, 18)),
            id="nor is Martin Luther King Day after it",
        ),
        pytest.param(
            (D(2012, 1, 3), D(2012, 1, 5)),
            (D(2012, 1, 9), D(2012, 1, 10)),
            (D(2012, 1, 3), D(2012, 1, 5)),
            id="a Friday is one",
        ),
        pytest.param(
            (D(2012, 1, 3), D(2012, 1, 4)),
            (D(2012, 1, 9), D(2012, 1, 13)),
            (D(2012, 1, 9), D(2012, 1, 13)),
            id="over a hole the longer one is kept",
        ),
        pytest.param(
            (D(2001, 9, 4), D(2001, 9, 10)),
            (D(2001, 9, 17), D(2001, 9, 18)),
            (D(2001, 9, 4), D(2001, 9, 18)),
            id="the exchange was closed for a week",
        ),
        pytest.param(
            (D(2012, 1, 3), D(2012, 1, 31)),
            (D(2012, 1, 9), D(2012, 1, 10)),
            (D(2012, 1, 3), D(2012, 1, 31)),
            id="one inside the other",
        ),
    ],
)
def test_stretches_join(old: Stretch | None, new: Stretch, both: Stretch) -> None:
    assert joined(old, new) == both
    if old:
        assert joined(new, old) == both


def test_daily_bars_come_by_the_month_and_intraday_bars_by_the_session() -> None:
    days = calendar.sessions(D(2012, 1, 30), D(2012, 2, 2))
    assert periods(DAILY, days) == [D(2012, 1, 1), D(2012, 2, 1)]
    assert periods("1m", days) == days
    assert period("1h", D(2012, 1, 30)) == D(2012, 1, 30)
    assert month(D(2012, 2, 1)) == (D(2012, 2, 1), D(2012, 2, 29))
    assert month(D(2012, 12, 1)) == (D(2012, 12, 1), D(2012, 12, 31))


def windows(symbols: list[str], cells: list[Cell], redo: Redo = "missing", **limits: float) -> list[list[str]]:
    """A year of plans for daily bars: each chunk's windows, for a person."""
    days = calendar.sessions(D(2012, 1, 1), D(2012, 12, 31))
    chunks = plan(grid(symbols, DAILY, days, cells), DAILY, redo, ANY, **limits)  # type: ignore[arg-type]
    return [[f"{w.symbol} {w.first:%m-%d}…{w.last:%m-%d} {w.cells}" for w in chunk.windows] for chunk in chunks]


def test_nothing_is_known_so_all_is_fetched_in_one_request_a_symbol() -> None:
    assert windows(["IBM", "AAPL"], []) == [["IBM 01-03…12-31 12", "AAPL 01-03…12-31 12"]]


def test_what_is_there_parts_the_windows() -> None:
    there = [cell(first=D(2012, n, 1), asked=month(D(2012, n, 1))) for n in (3, 4, 12)]
    assert windows(["AAPL"], there) == [["AAPL 05-01…11-30 7", "AAPL 01-03…02-29 2"]]
    assert windows(["AAPL"], there, newest_first=False) == [["AAPL 01-03…02-29 2", "AAPL 05-01…11-30 7"]]
    assert windows(["AAPL"], there, "all") == [["AAPL 01-03…12-31 12"]]


def test_only_failures_are_tried_again() -> None:
    states = [cell(error="no answer"), cell(first=D(2012, 2, 1), quarantined=2, asked=month(D(2012, 2, 1)))]
    assert windows(["AAPL"], states, "failed") == [["AAPL 01-03…02-29 2"]]


def test_windows_and_chunks_end_at_the_bars_a_transaction_takes_and_the_seconds_a_task_takes() -> None:
    assert windows(["AAPL"], [], bars=70, newest_first=False)[:2] == [["AAPL 01-03…03-30 3"], ["AAPL 04-02…06-29 3"]]
    three = windows(["AAPL", "IBM", "MSFT"], [], seconds=2.0)
    assert three == [["MSFT 01-03…12-31 12", "IBM 01-03…12-31 12"], ["AAPL 01-03…12-31 12"]]
    assert len(windows(["AAPL"], [], bars=1)) == 12, "a single month is fetched though it is too large"


def test_a_window_of_minutes_is_no_longer_than_a_quarter_so_that_all_symbols_advance_together() -> None:
    days = calendar.sessions(D(2012, 1, 1), D(2012, 12, 31))
    chunks = plan(grid(["AAPL", "IBM"], "1m", days, []), "1m", "missing", Pace(10_000, 0.3, 390, 1))
    windows = [window for chunk in chunks for window in chunk.windows]
    assert [window.symbol for window in windows] == ["IBM", "AAPL"] * 4
    assert max(window.bars for window in windows) == 64 * 390


@pytest.mark.parametrize(
    ("symbols", "cells", "name"),
    [
        pytest.param(["AAPL"], 12, "AAPL 1d 2012-01-03 to 2012-12-31, 12 cells", id="one symbol"),
        pytest.param(
            ["MSFT", "AAPL", "IBM"], 36, "AAPL to MSFT 1d 2012-01-03 to 2012-12-31, 36 cells", id="first and last"
        ),
    ],
)
def test_a_chunk_has_a_name_for_a_person(symbols: list[str], cells: int, name: str) -> None:
    days = calendar.sessions(D(2012, 1, 1), D(2012, 12, 31))
    (chunk,) = plan(grid(symbols, DAILY, days, []), DAILY, "missing", ANY)
    assert (chunk.cells, chunk.name) == (cells, name)


def test_one_session_is_named_once() -> None:
    (chunk,) = plan(grid(["AAPL"], "1m", [D(2012, 1, 3)], []), "1m", "missing", ANY)
    assert chunk.name == "AAPL 1m 2012-01-03, 1 cells"


@pytest.mark.parametrize(
    ("pace", "bars", "requests", "seconds"),
    [
        pytest.param(Pace(None, 0.5, 390), 1_000_000, 1, 0.5, id="a source without limit"),
        pytest.param(Pace(1_000, 0.5, 390), 1_000, 1, 0.5, id="just one request"),
        pytest.param(Pace(1_000, 0.5, 390), 1_001, 2, 1.0, id="one bar more"),
        pytest.param(Pace(1_000, 0.5, 390), 0, 1, 0.5, id="an empty answer is a request too"),
        pytest.param(Pace(1_000, 0.5, 390, 2), 1_001, 4, 2.0, id="splits and dividends are asked for beside the bars"),
    ],
)
def test_requests_cost_time(pace: Pace, bars: int, requests: int, seconds: float) -> None:
    assert (pace.requests(bars), pace.seconds(bars)) == (requests, seconds)
