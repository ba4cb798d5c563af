"""Pages of a vendor's rows: typed, bounded, stamped."""

from __future__ import annotations

import datetime as dt
import tracemalloc
from typing import Any

import polars as pl
import pytest

from quaestor import calendar, pages
from quaestor.errors import BadInput
from quaestor.pages import Pages, Window

D = dt.date
FIELDS = {"start": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
DAY = Window("AAPL: V", "1m", D(2026, 11, 19), D(2026, 11, 19))


def row(time: Any = "2026-11-19T14:30:00Z", **fields: Any) -> dict[str, Any]:
    return {"t": time, "o": 10, "h": 11.0, "l": 9.5, "c": 10.5, "v": 100} | fields


def taken(*rows: Any, window: Window = DAY) -> pl.DataFrame:
    collected = Pages(window, FIELDS)
    collected.add(rows)
    return collected.frame()


@pytest.mark.parametrize(
    ("value", "number"),
    [
        pytest.param(10, 10.0, id="a whole number"),
        pytest.param("10.5", 10.5, id="a number in quotes"),
        pytest.param("ten", None, id="a word"),
        pytest.param(None, None, id="nothing"),
        pytest.param(True, None, id="truth"),
        pytest.param([1], None, id="a list"),
        pytest.param(10**400, None, id="beyond any number"),
    ],
)
def test_a_field_is_a_number_or_null(value: Any, number: float | None) -> None:
    assert taken(row(), row(o=value))["open"].to_list() == [10.0, number]


@pytest.mark.parametrize(("value", "volume"), [("7", 7), (7.0, 7), (7.5, None), (1e300, None), (float("nan"), None)])
def test_a_volume_is_a_whole_number_or_null(value: Any, volume: int | None) -> None:
    assert taken(row(), row(v=value))["volume"].to_list() == [100, volume]


@pytest.mark.parametrize(
    "time", ["2026-11-19T14:30:00Z", "2026-11-19T14:30:00.000000000Z", "2026-11-19T09:30:00-05:00"]
)
def test_times_of_any_zone_become_utc(time: str) -> None:
    assert taken(row(time))["start"].to_list() == [dt.datetime(2026, 11, 19, 14, 30, tzinfo=dt.UTC)]


@pytest.mark.parametrize(
    ("time", "says"),
    [
        pytest.param("2026-11-19T14:30:00", "has no zone; it could be any hour's", id="naive"),
        pytest.param("2026-11-19", "has no zone", id="a day"),
        pytest.param("2026-13-19T14:30:00Z", "is no time of a bar", id="no month"),
        pytest.param(1_763_562_600, "'1763562600' is no time of a bar", id="a count"),
        pytest.param(None, "'None' is no time of a bar", id="nothing"),
    ],
)
def test_a_time_that_is_none_refuses_the_symbol(time: Any, says: str) -> None:
    with pytest.raises(BadInput, match=f"^AAPL: V: .*{says}"):
        taken(row(), row(time))


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(BadInput, match="sent rows that are no bars"):
        taken(row(), "a word")


def test_an_answer_without_one_sound_row_is_refused_and_one_sound_row_keeps_all() -> None:
    with pytest.raises(BadInput, match="not one bar has a number in its field 'c'"):
        taken(row(c="x"), row(c="y", o="z"))
    assert taken(row(c="x"), row(o="y"), row()).height == 3


def test_more_rows_than_the_window_can_hold_are_refused_at_once() -> None:
    collected = Pages(DAY, FIELDS)
    collected.add([row()] * 2_880)
    with pytest.raises(BadInput, match=r"more than 2,880 1m bars .* Ask for a smaller window"):
        collected.add([row()])


def test_ten_million_rows_are_the_most_of_any_window() -> None:
    assert Window("V", "1m", D(1962, 1, 2), D(2026, 1, 1)).most == 10_000_000


def test_rows_are_kept_as_columns_and_not_as_objects() -> None:
    """A year of minutes: a hundred bytes a row where Python objects take six hundred."""
    collected = Pages(Window("V", "1m", D(2026, 1, 1), D(2026, 12, 31)), FIELDS)
    tracemalloc.start()
    for _ in range(20):
        collected.add([row() for _ in range(2_000)])
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 2_000_000
    assert collected.frame().estimated_size() < 100 * 40_000


def test_an_empty_answer_is_an_empty_bars_frame() -> None:
    frame = pages.stamped(taken(), "AAPL", "1m")
    assert (frame.height, frame.schema["ts"]) == (0, pl.Datetime("us", "UTC"))


def test_a_day_that_is_no_session_has_no_close() -> None:
    rows = taken(row("2026-11-26T05:00:00Z"), row("2026-11-27T05:00:00Z"))
    stamped = pages.stamped(rows, "AAPL", "1d")
    assert stamped["session"].to_list() == [D(2026, 11, 26), D(2026, 11, 27)]
    assert stamped["ts"].to_list() == [None, calendar.session_close(D(2026, 11, 27))], "Thanksgiving; a half-day"


def test_a_window_cuts_the_past_and_keeps_the_future_for_the_gate() -> None:
    times = ("2026-11-18T14:30:00Z", "2026-11-19T14:30:00Z", "2036-11-19T14:30:00Z")
    bars = pages.stamped(taken(*map(row, times)), "AAPL", "1m")
    kept = pages.asked(bars, DAY, dt.datetime(2026, 11, 22, tzinfo=dt.UTC))
    assert kept["session"].to_list() == [D(2026, 11, 19), D(2036, 11, 19)]
