"""A vendor's times are read to the nanosecond, and what is no time is refused."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor.ticks import SECOND, stamper

BEGAN = 1_795_185_000 * SECOND


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        pytest.param("1970-01-01T00:00:00Z", 0, id="the beginning"),
        pytest.param("2026-11-20T14:30:00Z", BEGAN, id="a whole second"),
        pytest.param("2026-11-20T14:30:00.5Z", BEGAN + 500_000_000, id="half a second"),
        pytest.param("2026-11-20T14:30:00.123456Z", BEGAN + 123_456_000, id="microseconds"),
        pytest.param("2026-11-20T14:30:00.123456789Z", BEGAN + 123_456_789, id="nanoseconds"),
    ],
)
def test_times_are_read_to_the_nanosecond(text: str, nanoseconds: int) -> None:
    assert stamper()(text) == nanoseconds


@given(st.integers(0, 4 * 10**9), st.integers(0, 10**9 - 1))
def test_what_is_written_is_read_whatever_was_read_before(second: int, fraction: int) -> None:
    stamp, written = stamper(), dt.datetime.fromtimestamp(second, dt.UTC)
    stamp("2026-11-20T14:30:00.5Z")
    for _ in range(2):
        assert stamp(f"{written:%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z") == second * SECOND + fraction


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("Z", id="a zone alone"),
        pytest.param("yesterday", id="a word"),
        pytest.param("2026-11-20T14:30:00", id="no zone"),
        pytest.param("2026-11-20T14:30:00.5", id="a fraction and no zone"),
        pytest.param("2026-11-20T14:30:00-05:00", id="another zone"),
        pytest.param("2026-11-20T14:30:00.Z", id="a point and no fraction"),
        pytest.param("2026-13-20T14:30:00Z", id="no month"),
        pytest.param("2026-11-20T14:30:00.1_2Z", id="what Python takes for a number"),
        pytest.param("2026-11-20T14:30:00.+1Z", id="a sign"),
        pytest.param("2026-11-20T14:30:00,5Z", id="a comma"),
        pytest.param("2026-11-20T14:30:00.1234567890Z", id="less than a nanosecond"),
    ],
)
def test_what_is_no_time_in_utc_is_refused(text: str) -> None:
    stamp = stamper()
    stamp("2026-11-20T14:30:00.5Z")
    with pytest.raises((ValueError, IndexError)):
        stamp(text)
