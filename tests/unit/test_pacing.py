"""How fast and how soon again: the bucket's law over any window, waits after failures, Retry-After."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor.pacing import Bucket, backoff, bucket, retry_after

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
GAPS = st.lists(st.floats(0, 5), min_size=1, max_size=60)
RATES = st.floats(0.1, 100)


def granted(full: Bucket, gaps: list[float]) -> list[tuple[float, float]]:
    """(asked, granted) of requests that come after these gaps."""
    now, told = 0.0, []
    for gap in gaps:
        now += gap
        full, wait = full.take(now)
        told.append((now, now + wait))
    return told


@given(rate=RATES, burst=st.integers(1, 20), gaps=GAPS)
def test_no_window_sees_more_than_burst_and_rate_allow(rate: float, burst: int, gaps: list[float]) -> None:
    times = [at for _, at in granted(Bucket(rate, burst), gaps)]
    for first in range(len(times)):
        for last in range(first, len(times)):
            allowed = burst + rate * (times[last] - times[first])
            assert last - first + 1 <= allowed + 1e-6


@given(rate=RATES, burst=st.integers(1, 20), gaps=GAPS)
def test_nobody_starves_and_nobody_is_overtaken(rate: float, burst: int, gaps: list[float]) -> None:
    told = granted(Bucket(rate, burst), gaps)
    times = [at for _, at in told]
    assert times == sorted(times)
    for place, (asked, at) in enumerate(told):
        assert asked <= at <= asked + (place + 1) / rate + 1e-6


@given(rate=RATES, gaps=st.lists(st.floats(0, 1), min_size=1, max_size=20), held=st.floats(0, 30))
def test_a_hold_lets_nobody_through_before_its_end(rate: float, gaps: list[float], held: float) -> None:
    times = [at for _, at in granted(Bucket(rate, 3).hold(held), gaps)]
    assert min(times) >= held - 1e-9
    assert granted(Bucket(None).hold(held), [0.0]) == [(0.0, held)]


def test_a_bucket_gives_at_once_what_a_second_would() -> None:
    assert [bucket(rate).burst for rate in (None, 0.5, 3.4, 200)] == [1, 1, 3, 200]
    assert granted(bucket(None), [0.0, 0.0]) == [(0, 0), (0, 0)]
    assert granted(bucket(2), [0.0] * 4) == [(0, 0), (0, 0), (0, 0.5), (0, 1.0)]


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_a_wait_is_drawn_from_all_of_its_range(failures: int, chance: float) -> None:
    assert 0 <= backoff(failures, chance) <= 20
    assert backoff(failures, 0) == 0
    assert backoff(failures, 1) == min(20, 0.5 * 2 ** min(failures - 1, 30))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("7", 7, id="seconds"),
        pytest.param(" 0.5 ", 0.5, id="parts of a second"),
        pytest.param(format_datetime(NOW + dt.timedelta(seconds=90), usegmt=True), 90, id="a date"),
        pytest.param("Sun, 22 Nov 2026 07:00:30 -0500", 30, id="a date elsewhere"),
        pytest.param("Sun, 22 Nov 2026 12:00:30 -0000", 30, id="a date without a place"),
        pytest.param("Sun, 22 Nov 2020 12:00:00 GMT", 0, id="long past"),
        pytest.param(None, None, id="none"),
        pytest.param("soon", None, id="words"),
        pytest.param("-5", None, id="less than none"),
        pytest.param("1e9", None, id="not a plain number"),
        pytest.param("Sun, 99 Nov 2026 12:00:00 GMT", None, id="no day"),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds
