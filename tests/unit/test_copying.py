"""Binary COPY without a server: the bytes are the manual's, and what is encoded is decoded."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaestor.doors.postgres.copying import BLOCK, HEADER, TRAILER, blank, layout, stream, unpacked

PACKED = {"int2": "h", "int4": "i", "int8": "q", "float8": "d", "date": "i", "timestamptz": "q"}
BITS = {"int2": 16, "int4": 32, "int8": 64, "date": 32, "timestamptz": 64}


def values(kind: str) -> st.SearchStrategy[Any]:
    """Any value of a type, with its extremes."""
    if kind == "float8":
        return st.floats(allow_nan=False)
    half = 2 ** (BITS[kind] - 1)
    return st.integers(-half, half - 1) | st.sampled_from([-half, -1, 0, 1, half - 1])


@st.composite
def tables(draw: st.DrawFn) -> tuple[dict[str, str], list[tuple[Any, ...]]]:
    """Columns, and rows of them."""
    kinds = draw(st.lists(st.sampled_from(sorted(PACKED)), min_size=1, max_size=6))
    columns = {f"c{n}": kind for n, kind in enumerate(kinds)}
    return columns, draw(st.lists(st.tuples(*map(values, kinds)), max_size=20))


def records(columns: dict[str, str], rows: list[tuple[Any, ...]]) -> Any:
    filled = blank(columns, len(rows))
    for name, column in zip(columns, zip(*rows, strict=True), strict=False):
        filled[name] = column
    return filled


def by_hand(columns: dict[str, str], rows: list[tuple[Any, ...]]) -> bytes:
    """The stream as the manual describes it, field by field."""
    fields = (
        struct.pack(">h", len(row))
        + b"".join(field(kind, value) for kind, value in zip(columns.values(), row, strict=True))
        for row in rows
    )
    return b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0) + b"".join(fields) + struct.pack(">h", -1)


def field(kind: str, value: Any) -> bytes:
    if value is None:
        return struct.pack(">i", -1)
    packed = struct.pack(">" + PACKED[kind], value)
    return struct.pack(">i", len(packed)) + packed


@given(tables())
def test_the_stream_is_the_manuals_byte_for_byte(table: tuple[dict[str, str], list[tuple[Any, ...]]]) -> None:
    assert b"".join(stream(records(*table))) == by_hand(*table)


@given(tables(), st.integers(1, 3))
def test_what_a_server_packs_is_unpacked_however_its_rows_are_grouped(
    table: tuple[dict[str, str], list[tuple[Any, ...]]], size: int
) -> None:
    columns, rows = table
    packed = [
        b"".join(field(kind, value)[4:] for kind, value in zip(columns.values(), row, strict=True)) for row in rows
    ]
    values = [b"".join(packed[start : start + size]) for start in range(0, len(packed), size)]
    assert [tuple(row) for row in unpacked(values, columns).tolist()] == rows


def test_nan_and_the_infinities_pass() -> None:
    odd = records({"x": "float8"}, [(float("nan"),), (float("inf"),), (float("-inf"),), (-0.0,)])
    assert unpacked([odd["x"].tobytes()], {"x": "float8"})["x"].tobytes() == odd["x"].tobytes()


def test_a_large_stream_goes_in_blocks() -> None:
    many = records({"a": "int8", "b": "float8"}, [(1, 2.0)]).repeat(100_000)
    blocks = list(stream(many))
    assert len(blocks) > 3
    assert max(map(len, blocks)) == BLOCK
    assert b"".join(blocks) == HEADER + many.tobytes() + TRAILER


def test_no_rows_are_a_header_and_a_trailer() -> None:
    assert list(stream(blank({"a": "int4"}, 0))) == [HEADER, TRAILER]
    assert len(unpacked([], {"a": "int4"})) == 0


def test_bytes_that_are_no_whole_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        unpacked([bytes(9)], {"a": "int4", "b": "int4"})


def test_a_record_is_as_wide_as_its_fields() -> None:
    assert layout({"a": "int4", "ts": "timestamptz", "p": "float8"}) == np.dtype(
        [
            ("fields", ">i2"),
            ("a length", ">i4"),
            ("a", ">i4"),
            ("ts length", ">i4"),
            ("ts", ">i8"),
            ("p length", ">i4"),
            ("p", ">f8"),
        ]
    )
    assert layout({"a": "int4", "ts": "timestamptz", "p": "float8"}).itemsize == 2 + 8 + 12 + 12
