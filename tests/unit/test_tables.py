"""Tables: columns by their letters, cells by their lines, and types of Parquet."""

from __future__ import annotations

import datetime as dt
import io
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from quaestor import tables
from quaestor.errors import BadInput
from quaestor.tables import Column

COLUMNS = {"session": Column("date", "date"), "close": Column("adj_close", "number")}
DAY = dt.date(2012, 3, 5)


def parquet(**columns: Any) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def cast(raw: bytes, file: str = "x.csv") -> list[Any]:
    typed, misfits = tables.read(raw, file, COLUMNS).cast()
    assert misfits.is_empty()
    return typed.rows()


@pytest.mark.parametrize(
    "spelled", ["adj_close", "Adj Close", "ADJCLOSE", " adj. close ", '"Adj Close"', "Adj Close**"]
)
def test_a_column_is_known_by_its_letters(spelled: str) -> None:
    assert cast(f"Date,{spelled}\n2012-03-05,7\n".encode()) == [(DAY, 7.0)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("date,adj_close\n2012-03-05,7.5\n", id="plain"),
        pytest.param("\ufeffdate,adj_close\n2012-03-05,7.5", id="byte order mark, no last newline"),
        pytest.param("date,adj_close\r\n2012-03-05,7.5\r\n", id="Windows lines"),
        pytest.param("date,adj_close\r2012-03-05,7.5\r", id="old Mac lines"),
        pytest.param("\n\ndate,adj_close\n\n \n2012-03-05,7.5\n\n", id="blank lines"),
        pytest.param('"date","adj_close"\n"2012-03-05","7.5"\n', id="all quoted"),
        pytest.param('note,date,adj_close\n"a, b",2012-03-05, 7.5 \n', id="another column, a comma in it, blanks"),
        pytest.param("adj_close,,date\n75e-1,,2012-03-05 00:00:00-05:00\n", id="yfinance's midnight, another order"),
    ],
)
def test_the_forms_of_csv_read_the_same(text: str) -> None:
    assert cast(text.encode()) == [(DAY, 7.5)]


@pytest.mark.parametrize(
    ("days", "closes"),
    [
        pytest.param(pl.Series([DAY]), pl.Series([46.73]), id="date and double"),
        pytest.param(pl.Series([DAY]), pl.Series([46.73], dtype=pl.Float32), id="single precision is not widened"),
        pytest.param(pl.Series([DAY]), pl.Series([Decimal("46.73")]), id="decimal"),
        pytest.param(pl.Series(["2012-03-05"]), pl.Series(["46.73"]), id="text"),
        pytest.param(pl.Series([dt.datetime(2012, 3, 5)]), pl.Series([46.73]), id="midnight"),  # noqa: DTZ001
        pytest.param(
            pl.Series([dt.datetime(2012, 3, 5)]).dt.replace_time_zone("America/New_York"),  # noqa: DTZ001
            pl.Series([46.73]),
            id="midnight of a zone",
        ),
        pytest.param(
            pl.Series([dt.datetime(2012, 3, 5)]).cast(pl.Datetime("ns")),  # noqa: DTZ001
            pl.Series([46.73]),
            id="the nanoseconds of pandas",
        ),
    ],
)
def test_the_types_of_parquet_read_the_same(days: pl.Series, closes: pl.Series) -> None:
    assert cast(parquet(date=days, adj_close=closes), "x.parquet") == [(DAY, 46.73)]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        pytest.param(
            {"date": [20120305], "adj_close": [1.0]},
            "x.parquet: field 'date' holds Int64; write each as a date.",
            id="days as integers",
        ),
        pytest.param(
            {"date": [DAY], "adj_close": [DAY]},
            "x.parquet: field 'adj_close' holds Date; write each as a number.",
            id="dates as prices",
        ),
        pytest.param(
            {"date": [DAY], "adj_close": [[1.0]]},
            "x.parquet: field 'adj_close' holds large_list<element: double>; write numbers, dates or text.",
            id="lists",
        ),
        pytest.param(
            {"date": [DAY], "adj_close": [True]},
            "x.parquet: field 'adj_close' holds bool; write numbers, dates or text.",
            id="yes and no",
        ),
        pytest.param(
            {"date": [DAY]},
            "x.parquet: field 'adj_close': no such column. The header needs date, adj_close.",
            id="a column is missing",
        ),
    ],
)
def test_a_parquet_column_of_another_type_is_refused(columns: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as refusal:
        tables.read(parquet(**columns), "x.parquet", COLUMNS).cast()
    assert str(refusal.value) == says


def test_a_time_of_day_is_no_daily_row() -> None:
    stamps = [dt.datetime(2012, 3, 5), dt.datetime(2012, 3, 5, 16)]  # noqa: DTZ001
    table = tables.read(parquet(date=stamps, adj_close=[1.0, 2.0]), "x.parquet", COLUMNS)
    _, misfits = table.cast()
    assert misfits.rows() == [(1, "session", "no_date")]
    assert table.explain(1, "session", "no_date").startswith("x.parquet: row 2: field 'date': '2012-03-05 16:00:00' is")


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(pl.Date(), id="days"),
        pytest.param(pl.Datetime("ms"), id="milliseconds"),
        pytest.param(pl.Datetime("us"), id="microseconds"),
        pytest.param(pl.Datetime("ms", "UTC"), id="milliseconds of UTC"),
        pytest.param(pl.Datetime("us", "America/New_York"), id="microseconds of New York"),
    ],
)
def test_a_day_of_no_known_era_is_no_date(unit: pl.DataType) -> None:
    far = 10**8 if unit == pl.Date() else 2**62
    days = pl.Series([far, -far]).cast(pl.Int32 if unit == pl.Date() else pl.Int64).cast(unit)
    table = tables.read(parquet(date=days, adj_close=[1.0, 2.0]), "x.parquet", COLUMNS)
    _, misfits = table.cast()
    assert misfits["row"].to_list() == [0, 1]
    assert "'a day outside the years 1600 to 2999' is no date" in table.explain(*misfits.row(0))


def test_a_damaged_parquet_file_is_refused() -> None:
    whole = parquet(date=[DAY] * 500, adj_close=[1.0] * 500)
    for raw in (b"", b"junk", whole[:-9], whole[:40] + b"\xff" * 40 + whole[80:]):
        with pytest.raises(BadInput, match=r"^x\.parquet: not a sound Parquet file \(.+\); write it again\.$"):
            tables.read(raw, "x.parquet", COLUMNS)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["Unix", "Windows", "old Mac"])
def test_lines_count_blank_ones(end: str) -> None:
    lines = ("", "Date,adj_close", "", "2012-03-05,1", "", "", "2012-03-06,2", "")
    table = tables.read(end.join(lines).encode(), "x.csv", COLUMNS)
    assert [table.spot(row) for row in (0, 1)] == ["line 4", "line 7"]
    assert table.at(1, "session") == "x.csv:7: field 'Date'"
