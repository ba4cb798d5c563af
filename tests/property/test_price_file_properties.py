"""Whatever bytes a file holds: prices that pass every check, or a refusal that names the file; never anything else."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quaestor import pricefiles, quality, splitfiles
from quaestor.errors import BadInput

CSV = b"""Date,Open,High,Low,Close,Volume,Adj Close
2005-02-24,88.48,89.31,87.77,88.93,27125700,44.465
2005-02-25,89.62,89.91,88.19,88.99,1.63e7,44.495
2005-02-28,44.68,45.14,43.96,44.86,16200000,44.86
2005-03-01,44.99,45.11,44.16,44.5,11900000,44.5
"""
SPLITS = b"symbol,date,ratio\nAAPL,2005-02-28,2:1\nIBM,1999-05-27,2\n"


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pl.read_csv(CSV, try_parse_dates=True).write_parquet(buffer)
    return buffer.getvalue()


PARQUET = _parquet()

edits = st.lists(
    st.tuples(
        st.integers(0, 5000), st.integers(0, 4), st.binary(max_size=4) | st.sampled_from([b",", b"\n", b'"', b"-"])
    ),
    min_size=1,
    max_size=6,
)


def edited(raw: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """Some stretches of the bytes replaced, removed or filled in."""
    for place, removed, added in changes:
        at = place % (len(raw) + 1)
        raw = raw[:at] + added + raw[at + removed :]
    return raw


def refused(read: Callable[[], Any], file: str) -> Any:
    """What was read; or None, once the refusal has proved to be one line that names the file."""
    try:
        return read()
    except BadInput as refusal:
        told = str(refusal)
    assert told.startswith(file)
    assert told.endswith(".")
    assert len(told.splitlines()) == 1
    return None


def read_or_refused(raw: bytes, file: str) -> None:
    prices = refused(lambda: pricefiles.read(raw, file, "AAPL"), file)
    if prices is not None:
        assert prices.bars.height > 0
        quality.check(prices.bars, quality.Rows("bars"))


@settings(deadline=None)
@given(edits)
def test_a_csv_with_any_edit_is_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    read_or_refused(edited(CSV, changes), "AAPL.csv")


@settings(deadline=None)
@given(edits)
def test_a_parquet_file_with_any_edit_is_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    read_or_refused(edited(PARQUET, changes), "AAPL.parquet")


@settings(deadline=None)
@given(st.integers(0, len(PARQUET) - 1))
def test_a_parquet_file_cut_anywhere_is_refused(length: int) -> None:
    read_or_refused(PARQUET[:length], "AAPL.parquet")


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
@example(b"\xef\xbb\xbf")
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for file in ("AAPL.csv", "AAPL.parquet"):
        read_or_refused(raw, file)


@settings(deadline=None)
@given(edits)
def test_splits_with_any_edit_are_read_or_refused(changes: list[tuple[int, int, bytes]]) -> None:
    declared = refused(lambda: splitfiles.read(edited(SPLITS, changes), "splits.csv"), "splits.csv")
    assert all(each.split.ratio > 0 and each.place.startswith("splits.csv:") for each in declared or ())
