"""Binary COPY against a real server, with psycopg as the oracle: what COPY writes SELECT reads, and vice versa."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quaestor.doors.postgres.copying import EPOCH, EPOCH_DAYS, blank, stream, unpacked

COLUMNS = {"a": "int2", "b": "int4", "c": "int8", "d": "float8", "e": "date", "f": "timestamptz"}
NAMES = ", ".join(COLUMNS)
SENDS = {kind: f"{kind}send" for kind in ("int2", "int4", "int8", "float8")} | {
    "date": "date_send",
    "timestamptz": "timestamptz_send",
}
OLD = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def whole(bits: int) -> st.SearchStrategy[int]:
    half = 2 ** (bits - 1)
    return st.integers(-half, half - 1) | st.sampled_from([-half, half - 1])


rows = st.lists(
    st.tuples(
        whole(16),
        whole(32),
        whole(64),
        st.floats(),
        st.dates() | st.sampled_from([dt.date.min, dt.date.max, dt.date(1999, 12, 31), dt.date(1970, 1, 1)]),
        st.datetimes(timezones=st.just(dt.UTC)) | st.sampled_from([OLD, OLD - dt.timedelta(microseconds=1)]),
    ),
    max_size=8,
)
searching = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def connection(server_uri: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server_uri, autocommit=True, options="-c timezone=UTC") as connection:
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
        connection.execute(
            f"create temporary table every_type (n int generated always as identity, {columns})".encode()
        )
        yield connection


def encoded(value: Any) -> Any:
    """A value as the record holds it."""
    if isinstance(value, dt.datetime):
        return (value - OLD) // dt.timedelta(microseconds=1) - EPOCH
    if isinstance(value, dt.date):
        return (value - OLD.date()).days - EPOCH_DAYS
    return value


def same(left: Any, right: Any) -> bool:
    return left == right or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


def all_same(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]]) -> bool:
    return len(left) == len(right) and all(
        same(a, b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True)
    )


@searching
@given(rows)
def test_what_copy_writes_select_reads(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    records = blank(COLUMNS, len(rows))
    for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=False):
        records[name] = [encoded(value) for value in column]
    connection.execute("truncate every_type")
    with connection.cursor().copy(f"copy every_type ({NAMES}) from stdin (format binary)".encode()) as copy:
        for block in stream(records):
            copy.write(block)
    assert all_same(connection.execute(f"select {NAMES} from every_type order by n".encode()).fetchall(), rows)


@searching
@given(rows)
def test_what_insert_writes_is_read_packed(connection: psycopg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    connection.execute("truncate every_type")
    with connection.cursor() as cursor:
        cursor.executemany(f"insert into every_type ({NAMES}) values (%s, %s, %s, %s, %s, %s)".encode(), rows)
    sent = " || ".join(f"{SENDS[kind]}({name})" for name, kind in COLUMNS.items())
    packed = connection.execute(
        f"select string_agg({sent}, ''::bytea order by n) as packed from every_type".encode(), binary=True
    ).fetchone()
    assert packed is not None
    found = unpacked([value for value in packed if value is not None], COLUMNS).tolist()
    assert all_same([tuple(row) for row in found], [tuple(map(encoded, row)) for row in rows])
