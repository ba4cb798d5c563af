"""A folder of price files: what it gives, and how it refuses (file, line, field, cure)."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.doors.files import FileSource
from quaestor.errors import BadConfig, BadInput, NotFound
from quaestor.ports import History
from quaestor.splits import Split
from quaestor.symbols import Symbology

D = dt.date
YEAR = (D(2005, 1, 1), D(2005, 12, 31))
HEADER = "Date,Open,High,Low,Close,Volume,Adj Close"
ROWS = (
    "2005-02-24,88.48,89.31,87.77,88.93,27125700,44.465",
    "2005-02-25,89.62,89.91,88.19,88.99,1.63e7,44.495",
    "2005-02-28,44.68,45.14,43.96,44.86,16200000,44.86",
    "2005-03-01,44.99,45.11,44.16,44.5,11900000,44.5",
)
GOOD = "\n".join((HEADER, *ROWS)) + "\n"
SPLIT = D(2005, 2, 28)


def without_adjusted(text: str = GOOD) -> str:
    return "\n".join(line.rpartition(",")[0] for line in text.splitlines())


def with_row(number: int, row: str) -> str:
    """The good file with the line of that number (1 is the header) replaced."""
    lines = GOOD.splitlines()
    return "\n".join((*lines[: number - 1], row, *lines[number:])) + "\n"


async def history(folder: Path, symbol: str = "AAPL", **files: str | bytes) -> History:
    for name, content in files.items():
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(raw)
    return await FileSource(folder).history(symbol, *YEAR)


async def refusal(folder: Path, **files: str | bytes) -> str:
    with pytest.raises(BadInput) as raised:
        await history(folder, **files)
    return str(raised.value).removeprefix(f"{folder}/")


# ── what it gives ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_csv_becomes_a_bars_frame_stamped_with_the_closes(tmp_path: Path) -> None:
    frame = (await history(tmp_path, AAPL_csv=GOOD)).bars
    assert frame.schema == pl.Schema(bars.schema())
    assert frame["session"].to_list() == calendar.sessions(D(2005, 2, 24), D(2005, 3, 1))
    assert frame["ts"].to_list() == [calendar.session_close(day) for day in frame["session"]]
    assert frame["close"].to_list() == [88.93, 88.99, 44.86, 44.5]
    assert frame["volume"].to_list() == [27_125_700, 16_300_000, 16_200_000, 11_900_000]


async def test_parquet_gives_the_same_history_as_csv(tmp_path: Path) -> None:
    from_csv = await history(tmp_path, AAPL_csv=GOOD)
    pl.read_csv(tmp_path / "AAPL.csv", try_parse_dates=True).write_parquet(tmp_path / "AAPL.parquet")
    (tmp_path / "AAPL.csv").unlink()
    from_parquet = await history(tmp_path)
    assert from_parquet.bars.equals(from_csv.bars)
    assert from_parquet.splits == from_csv.splits


async def test_a_window_cuts_bars_and_splits(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(GOOD)
    source = FileSource(tmp_path)
    on_the_day = await source.history("AAPL", SPLIT, SPLIT)
    assert on_the_day.bars["session"].to_list() == [split.session for split in on_the_day.splits] == [SPLIT]
    after = await source.history("AAPL", D(2005, 3, 1), D(2005, 3, 1))
    assert (after.bars.height, after.splits) == (1, ())
    assert await source.span("AAPL") == (D(2005, 2, 24), D(2005, 3, 1))


async def test_symbols_are_the_names_of_the_files_in_capitals(tmp_path: Path) -> None:
    for name in ("aapl.csv", "BRK.B.CSV", "BF-B.parquet", "splits.csv", ".hidden.csv", "readme.txt"):
        (tmp_path / name).touch()
    (tmp_path / "archive.csv").mkdir()
    assert FileSource(tmp_path).symbols() == ["AAPL", "BF-B", "BRK.B"]
    (tmp_path / "aapl.csv").write_text(GOOD)
    (tmp_path / "splits.csv").write_text("symbol,date,ratio\n")
    assert (await FileSource(tmp_path).history("AAPL", *YEAR)).bars["symbol"].unique().to_list() == ["AAPL"]


async def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    assert (await history(tmp_path, AAPL_csv=GOOD)).bars.height == 4
    assert (await history(tmp_path, AAPL_csv="\n".join((HEADER, *ROWS[:3])))).bars.height == 3


# ── splits ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_splits_come_from_adjusted_closes_or_from_nowhere(tmp_path: Path) -> None:
    assert (await history(tmp_path, AAPL_csv=GOOD)).splits == (Split("AAPL", SPLIT, Fraction(2), "derived"),)
    assert (await history(tmp_path, AAPL_csv=without_adjusted())).splits == ()


@pytest.mark.parametrize("ratio", ["2:1", "2", "2.0", "4/2", " 2 : 1 "])
async def test_a_declared_split_is_taken_with_or_without_adjusted_closes(tmp_path: Path, ratio: str) -> None:
    declared = f"Symbol,Date,Ratio\naapl,2005-02-28,{ratio}\nIBM,2005-05-02,3\nAAPL,1987-06-16,2:1\n"
    for prices in (GOOD, without_adjusted()):
        found = (await history(tmp_path, AAPL_csv=prices, splits_csv=declared)).splits
        assert found == (Split("AAPL", SPLIT, Fraction(2), "source"),)


async def test_a_split_that_nobody_declared_is_still_derived(tmp_path: Path) -> None:
    found = await history(tmp_path, AAPL_csv=GOOD, splits_csv="symbol,date,ratio\nIBM,2005-02-28,2:1\n")
    assert [split.origin for split in found.splits] == ["derived"]


async def test_a_split_declared_on_a_session_without_a_bar_is_not_counted_twice(tmp_path: Path) -> None:
    halted = "\n".join((HEADER, ROWS[0], *ROWS[2:]))
    found = await history(tmp_path, AAPL_csv=halted, splits_csv="symbol,date,ratio\nAAPL,2005-02-25,2:1\n")
    assert found.splits == (Split("AAPL", D(2005, 2, 25), Fraction(2), "source"),)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        pytest.param(
            "AAPL,2005-02-25,2:1",
            "2: field 'ratio': the closes of AAPL do not step by 2:1 on 2005-02-25; ",
            id="a wrong date",
        ),
        pytest.param(
            "AAPL,2005-02-28,7:1",
            "2: field 'ratio': the closes of AAPL do not step by 7:1 on 2005-02-28; ",
            id="a wrong ratio",
        ),
        pytest.param(
            "AAPL,2005-02-28,5:2",
            "2: field 'ratio': 5:2, but the adjusted closes tell 2:1 on 2005-02-28; ",
            id="near, but not what the adjusted closes tell",
        ),
        pytest.param("AAPL,2005-02-28,0", "2: field 'ratio': '0' is no ratio of new shares to old; ", id="zero"),
        pytest.param("AAPL,2005-02-28,2:0", "2: field 'ratio': '2:0' is no ratio", id="for no share"),
        pytest.param("AAPL,2005-02-28,1:1", "2: field 'ratio': '1:1' is no ratio", id="one for one"),
        pytest.param("AAPL,2005-02-28,-2", "2: field 'ratio': '-2' is no ratio", id="negative"),
        pytest.param("AAPL,2005-02-28,two", "2: field 'ratio': 'two' is no ratio", id="a word"),
        pytest.param("AAPL,2005-02-28,", "2: field 'ratio': '' is no ratio", id="empty"),
        pytest.param("AAPL,2005-02-28,2.00001", "2: field 'ratio': '2.00001' is no ratio", id="too fine for shares"),
        pytest.param("AAPL,28.2.2005,2", "2: field 'date': '28.2.2005' is no date", id="no ISO date"),
        pytest.param(
            "AAPL,2005-02-27,2",
            "2: field 'date': 2005-02-27 is no session of XNYS (the next one is 2005-02-28)",
            id="a Sunday",
        ),
        pytest.param("A PL,2005-02-28,2", "2: field 'symbol': 'A PL' is no symbol; ", id="no symbol"),
        pytest.param(",2005-02-28,2", "2: field 'symbol': empty; ", id="symbol empty"),
        pytest.param(
            "IBM,2005-03-01,2\nAAPL,2005-02-28,2\n\naapl,2005-02-28,2",
            "5: field 'date': 2005-02-28 stands already in line 3; ",
            id="twice",
        ),
        pytest.param(
            "IBM,x,2\nIBM,y,0",
            "2: field 'date': 'x' is no date of a daily row; write it like 2005-02-28. 2 more problems follow.",
            id="several",
        ),
    ],
)
async def test_a_bad_row_of_splits_refuses_the_history(tmp_path: Path, rows: str, says: str) -> None:
    told = await refusal(tmp_path, AAPL_csv=GOOD, splits_csv=f"symbol,date,ratio\n{rows}\n")
    assert told.startswith(f"splits.csv:{says}")


async def test_a_split_that_the_prices_have_been_adjusted_for_is_refused(tmp_path: Path) -> None:
    adjusted = "\n".join(("date,open,high,low,close,volume", *(f"{row[:10]},44,45,43,44,100" for row in ROWS)))
    told = await refusal(tmp_path, AAPL_csv=adjusted, splits_csv="symbol,date,ratio\nAAPL,2005-02-28,2\n")
    assert told.endswith("or remove the row if the prices are split-adjusted already.")


# ── how it refuses ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("row", "says"),
    [
        pytest.param("2005-02-25,x,89.91,88.19,88.99,1,44", "field 'Open': 'x' is no number; ", id="a word"),
        pytest.param(
            '2005-02-25,"1,089.62",89.91,88.19,88.99,1,44',
            "field 'Open': '1,089.62' is no number; ",
            id="a comma for thousands",
        ),
        pytest.param(
            "2005-02-25,$89.62,89.91,88.19,88.99,1,44", "field 'Open': '$89.62' is no number; ", id="a currency"
        ),
        pytest.param("2005-02-25,,89.91,88.19,88.99,1,44", "field 'Open': empty; ", id="an empty price"),
        pytest.param("2005-02-25,89.62, ,88.19,88.99,1,44", "field 'High': empty; ", id="a blank price"),
        pytest.param("2005-02-25,89.62,89.91,88.19,88.99,,44", "field 'Volume': empty; ", id="an empty volume"),
        pytest.param(",89.62,89.91,88.19,88.99,1,44", "field 'Date': empty; ", id="an empty date"),
        pytest.param("2005-02-25,NaN,89.91,88.19,88.99,1,44", "field 'Open': nan is no price; ", id="NaN"),
        pytest.param("2005-02-25,89.62,inf,88.19,88.99,1,44", "field 'High': inf is no price; ", id="infinity"),
        pytest.param(
            "2005-02-25,-89.62,89.91,88.19,88.99,1,44",
            "field 'Open': -89.62 is not above zero; ",
            id="a negative price",
        ),
        pytest.param(
            "2005-02-25,89.62,89.91,0,88.99,1,44", "field 'Low': 0.0 is not above zero; ", id="a price of zero"
        ),
        pytest.param(
            "2005-02-25,89.62,89.91,88.19,88.99,1,0",
            "field 'Adj Close': 0.0 is not above zero; ",
            id="an adjusted close of zero",
        ),
        pytest.param(
            "2005-02-25,89.62,89.91,88.19,88.99,-1,44", "field 'Volume': -1.0 is below zero; ", id="a negative volume"
        ),
        pytest.param(
            "2005-02-25,89.62,89.91,88.19,88.99,1.5,44",
            "field 'Volume': 1.5 is no whole number of shares; ",
            id="a broken volume",
        ),
        pytest.param(
            "2005-02-25,89.62,88.0,88.19,88.99,1,44",
            "field 'High': 88.0 is below the low, 88.19; ",
            id="high below low",
        ),
        pytest.param(
            "2005-02-25,90,89.91,88.19,88.99,1,44",
            "field 'Open': 90.0 is outside the session's range, low 88.19 to high 89.91; ",
            id="open above high",
        ),
        pytest.param(
            "2005-02-25,89.62,89.91,88.19,88.1,1,44",
            "field 'Close': 88.1 is outside the session's range, low 88.19 to high 89.91; ",
            id="close below low",
        ),
        pytest.param(
            "2005-02-24,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': 2005-02-24 stands already in line 2; ",
            id="a date twice",
        ),
        pytest.param(
            "2005-02-23,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': 2005-02-23 follows 2005-02-24 (line 2); sort ",
            id="out of order",
        ),
        pytest.param(
            "2005-02-26,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': 2005-02-26 is no session of XNYS (the next one is 2005-02-28); ",
            id="a Saturday",
        ),
        pytest.param(
            "1950-02-24,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': 1950-02-24 is outside the XNYS calendar",
            id="before the calendar",
        ),
        pytest.param(
            "02/25/2005,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': '02/25/2005' is no date of a daily row; ",
            id="an American date",
        ),
        pytest.param(
            "2005-02-30,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': '2005-02-30' is no date of a daily row; ",
            id="a day that never was",
        ),
        pytest.param(
            "2005-02-25 15:59:00,89.62,89.91,88.19,88.99,1,44",
            "field 'Date': '2005-02-25 15:59:00' is no date of a daily row; ",
            id="a minute bar",
        ),
    ],
)
async def test_a_bad_row_is_named_by_file_line_field_and_cure(tmp_path: Path, row: str, says: str) -> None:
    told = await refusal(tmp_path, AAPL_csv=with_row(3, row))
    assert told.startswith(f"AAPL.csv:3: {says}")
    assert told.endswith(".")
    assert "\n" not in told


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "AAPL.csv:1: the file is empty; ", id="no byte"),
        pytest.param("\n \n", "AAPL.csv:1: the file is empty; ", id="only blank lines"),
        pytest.param(HEADER + "\n", "AAPL.csv:1: a header and no rows; ", id="only a header"),
        pytest.param(
            GOOD.replace("Volume", "Volumen"),
            "AAPL.csv:1: field 'volume': no such column. Did you mean it by 'Volumen'?",
            id="a misspelt column",
        ),
        pytest.param(
            GOOD.replace("High", "Most"),
            "AAPL.csv:1: field 'high': no such column. The header needs date, open, ",
            id="a missing column",
        ),
        pytest.param(
            "\n" + GOOD.replace("Adj Close", "close"),
            "AAPL.csv:2: field 'close': 2 columns have this name; ",
            id="a column twice",
        ),
        pytest.param(GOOD.partition("\n")[2], "AAPL.csv:1: field 'date': no such column.", id="no header"),
        pytest.param(
            GOOD.replace(",", ";"),
            "AAPL.csv:1: the fields stand apart by ';'; save the file with commas.",
            id="semicolons",
        ),
        pytest.param(GOOD.replace(",", "\t"), "AAPL.csv:1: the fields stand apart by '\\t'; save ", id="tabs"),
        pytest.param(
            with_row(3, "2005-02-25,1,2"), "AAPL.csv:3: 3 fields, but the header has 7; ", id="a line cut short"
        ),
        pytest.param(with_row(3, ROWS[1] + ","), "AAPL.csv:3: 8 fields, but the header has 7; ", id="a trailing comma"),
        pytest.param(
            GOOD.replace("8.", "8,"),
            "AAPL.csv:2: 9 fields, but the header has 7; write one per column, without extra commas."
            " 1 more problem follows.",
            id="commas in numbers",
        ),
        pytest.param(
            with_row(3, ROWS[1].replace(",89.62", ',"89.62')),
            "AAPL.csv:3: a quote is opened and not closed; ",
            id="an open quote",
        ),
        pytest.param(
            with_row(3, ROWS[1].replace(",89.62", ',"89"x')), "AAPL.csv: not CSV (", id="a quote inside a field"
        ),
        pytest.param(GOOD.encode("utf-16"), "AAPL.csv:1: not a text file (it holds zero bytes); save ", id="UTF-16"),
        pytest.param(
            with_row(3, "Börse," + ROWS[1]).encode("latin-1"),
            "AAPL.csv:3: not UTF-8 text (byte 0xf6); save ",
            id="Latin-1",
        ),
        pytest.param(bytes(range(256)), "AAPL.csv:1: not a text file", id="binary junk"),
        pytest.param(
            "\n".join((HEADER, *reversed(ROWS))),
            "AAPL.csv:3: field 'Date': 2005-02-28 follows 2005-03-01 (line 2); sort the rows by date, oldest first. "
            "2 more problems follow.",
            id="newest first",
        ),
        pytest.param(
            GOOD.replace(",89.62", ",x").replace(",44.5,", ",,"),
            "AAPL.csv:3: field 'Open': 'x' is no number; write it plainly, like 46.73. 1 more problem follows.",
            id="two problems",
        ),
    ],
)
async def test_an_unusable_file_is_refused_whole(tmp_path: Path, content: str | bytes, says: str) -> None:
    assert (await refusal(tmp_path, AAPL_csv=content)).startswith(says)


async def test_parquet_faults_are_named_by_row(tmp_path: Path) -> None:
    (tmp_path / "whole.csv").write_text(GOOD)
    whole = pl.read_csv(tmp_path / "whole.csv", try_parse_dates=True)
    (tmp_path / "whole.csv").unlink()
    file = tmp_path / "AAPL.parquet"
    whole.with_columns(High=pl.Series([89.31, None, 45.14, float("nan")])).write_parquet(file)
    assert await refusal(tmp_path) == (
        "AAPL.parquet: row 2: field 'High': empty; fill it in or remove the row. 1 more problem follows."
    )
    whole.clear().write_parquet(file)
    assert await refusal(tmp_path) == "AAPL.parquet: a header and no rows; add rows or remove the file."
    file.write_bytes(file.read_bytes()[:-20])
    assert (await refusal(tmp_path)).startswith("AAPL.parquet: not a sound Parquet file (")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        pytest.param(["my notes.csv"], "my notes.csv: its name is no symbol (", id="blank in the name"),
        pytest.param(["5G.csv"], "5G.csv: its name is no symbol (", id="begins with a digit"),
        pytest.param(["ABCDEFGHIJK.parquet"], "ABCDEFGHIJK.parquet: its name is no symbol (", id="eleven letters"),
        pytest.param(["AAPL.csv", "AAPL.parquet"], "AAPL.parquet: AAPL.csv is a file of AAPL too; ", id="two forms"),
        pytest.param(["AAPL.csv", "aapl.csv"], "aapl.csv: AAPL.csv is a file of AAPL too; ", id="two cases"),
    ],
)
def test_a_file_name_that_names_no_symbol_of_its_own_is_refused(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(BadInput) as raised:
        FileSource(tmp_path).symbols()
    assert str(raised.value).removeprefix(f"{tmp_path}/").startswith(says)


async def test_a_symbol_without_a_file_is_answered_with_the_nearest_and_the_cure(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"'APPL'\. None is known yet\. Put APPL\.csv or APPL\.parquet into "):
        await history(tmp_path, "APPL")
    with pytest.raises(NotFound, match=r"Unknown symbol 'APPL'\. Did you mean 'AAPL'\?"):
        await history(tmp_path, "APPL", AAPL_csv=GOOD)


def test_a_universe_is_refused_for_one_symbol_without_a_file_naming_the_folder(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(GOOD)
    FileSource(tmp_path).require(["AAPL"])
    with pytest.raises(NotFound) as raised:
        FileSource(tmp_path).require(["AAPL", "APPL"])
    cure = f"Put APPL.csv or APPL.parquet into {tmp_path}."
    assert str(raised.value) == f"Unknown symbol 'APPL'. Did you mean 'AAPL'? Known: AAPL. {cure}"


def test_a_missing_folder_is_named_with_its_cure(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"\[market\] folder: there is no folder .*/prices; create it"):
        FileSource(tmp_path / "prices").symbols()


async def test_a_range_that_misses_the_file_is_refused_with_its_span(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(GOOD)
    source = FileSource(tmp_path)
    for start, end in ((D(2004, 1, 1), D(2004, 12, 31)), (D(2006, 1, 1), D(2006, 12, 31))):
        with pytest.raises(BadInput, match=r"AAPL: no bars in .* its bars go from 2005-02-24 to 2005-03-01"):
            await source.history("AAPL", start, end)
    with pytest.raises(BadInput, match="is empty; give a start on or before the end"):
        await source.history("AAPL", D(2005, 3, 1), D(2005, 2, 24))


@pytest.mark.timeout(60)
async def test_a_million_bad_rows_are_refused_in_bounded_time(tmp_path: Path) -> None:
    rows = (ROWS[0] + "\n") * 1_000_000
    told = await refusal(tmp_path, AAPL_csv=f"{HEADER}\n{rows}")
    assert told.startswith("AAPL.csv:3: field 'Date': 2005-02-24 stands already in line 2; ")
    assert told.endswith("999998 more problems follow.")


# ── intraday ──────────────────────────────────────────────────────────────────────────────────────────────────────────

MINUTES = """\
timestamp,open,high,low,close,volume
2005-02-25T14:30:00Z,89.62,89.91,89.5,89.7,1000
2005-02-25 09:31:00-05:00,89.7,89.8,89.6,89.75,1200
2005-02-25T20:59Z,89,89.1,88.9,88.99,900
"""


async def minutes(folder: Path, text: str | bytes = MINUTES, name: str = "AAPL_1m.csv") -> History:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return await FileSource(folder).history("AAPL", *YEAR, "1m")


async def test_a_column_of_starts_becomes_ends_and_one_of_ends_stays(tmp_path: Path) -> None:
    ends = [dt.datetime(2005, 2, 25, *at, tzinfo=dt.UTC) for at in ((14, 31), (14, 32), (21, 0))]
    for name in ("timestamp", "Datetime", "date"):
        bars_of = (await minutes(tmp_path, MINUTES.replace("timestamp", name))).bars
        assert bars_of["ts"].to_list() == ends
    told = (await minutes(tmp_path, MINUTES.replace("timestamp", "ts"))).bars
    assert told["ts"].to_list() == [end - dt.timedelta(minutes=1) for end in ends]
    assert told.schema == pl.Schema(bars.schema())
    assert told["session"].unique().to_list() == [D(2005, 2, 25)]


async def test_intraday_and_daily_files_of_a_symbol_stand_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "AAPL.csv").write_text(GOOD)
    assert (await minutes(tmp_path, name="aapl_1M.csv")).bars.height == 3
    source = FileSource(tmp_path)
    assert source.symbols() == ["AAPL"]
    assert await source.span("AAPL", "1m") == (D(2005, 2, 25), D(2005, 2, 25))
    assert (await source.history("AAPL", *YEAR)).bars.height == 4
    with pytest.raises(NotFound, match=r"Put AAPL_5m\.csv or AAPL_5m\.parquet into"):
        await source.history("AAPL", *YEAR, "5m")


async def test_an_intraday_parquet_gives_the_same_as_the_csv(tmp_path: Path) -> None:
    from_csv = await minutes(tmp_path)
    start = (pl.col("ts") - pl.duration(minutes=1)).dt.convert_time_zone("America/New_York").alias("timestamp")
    from_csv.bars.select(start, *bars.PRICES, "volume").write_parquet(tmp_path / "AAPL_1m.parquet")
    (tmp_path / "AAPL_1m.csv").unlink()
    assert (await FileSource(tmp_path).history("AAPL", *YEAR, "1m")).bars.equals(from_csv.bars)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            ("20:59Z", "20:59"), r"_1m\.csv:4: field 'timestamp': '2005-02-25T20:59' is no time with a zone", id="naive"
        ),
        pytest.param(("14:30:00Z", "25:30:00Z"), r"_1m\.csv:2: field 'timestamp': .* is no time", id="no hour"),
        pytest.param(("2005-02-25T20:59Z", ""), r"_1m\.csv:4: field 'timestamp': empty", id="none"),
        pytest.param(("89.75", "much"), r"_1m\.csv:3: field 'close': 'much' is no number", id="a word"),
        pytest.param(("timestamp", "when"), r"one column of times, .* it has none", id="no times"),
        pytest.param(("open,", "ts,"), r"field 'open': no such column", id="no open"),
    ],
)
async def test_a_bad_intraday_file_is_refused_with_its_line(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        await minutes(tmp_path, MINUTES.replace(*change))


async def test_naive_times_in_parquet_are_refused(tmp_path: Path) -> None:
    frame = (await minutes(tmp_path)).bars.with_columns(timestamp=pl.col("ts").dt.replace_time_zone(None))
    (tmp_path / "AAPL_1m.csv").unlink()
    frame.select("timestamp", *bars.PRICES, "volume").write_parquet(tmp_path / "AAPL_1m.parquet")
    with pytest.raises(BadInput, match="field 'timestamp' holds times without a zone; write them in UTC"):
        await FileSource(tmp_path).history("AAPL", *YEAR, "1m")


async def test_a_file_too_large_for_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "AAPL.csv").open("wb") as file:
        file.truncate(300 * 2**20)
    with pytest.raises(BadInput, match="314,572,800 bytes are more than 268,435,456; write it as Parquet, or split it"):
        await FileSource(tmp_path).history("AAPL", *YEAR)
    (tmp_path / "AAPL.csv").unlink()
    monkeypatch.setattr("quaestor.tables.MOST", 2)
    (await minutes(tmp_path)).bars.write_parquet(tmp_path / "IBM_1m.parquet")
    with pytest.raises(BadInput, match="it holds 3 rows, more than 2; split it"):
        await FileSource(tmp_path).history("IBM", *YEAR, "1m")


async def test_a_name_that_follows_no_rule_is_ours_by_alias(tmp_path: Path) -> None:
    (tmp_path / "BRK-B.csv").write_text(GOOD)
    source = FileSource(tmp_path, Symbology("The folder", aliases={"BRK.B": "BRK-B"}))
    assert (await source.history("BRK.B", *YEAR)).bars["symbol"].unique().to_list() == ["BRK.B"]
