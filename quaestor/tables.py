"""Tables out of CSV and Parquet bytes, in which every cell still knows its line.

A person who sent a bad file wants file, line and field. So CSV is read as text: lines are numbered before blank ones
are dropped, each must have as many fields as the header, and only then cells are cast; a cell that will not cast is a
finding (see `quality`) among the others. Columns nobody asked for are ignored; a column is known by its letters, so
"Adj Close", "adj_close" and "AdjClose" are one.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quaestor import quality
from quaestor.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["date", "time", "number", "text"]

# A day as ISO writes it; pandas and yfinance add the midnight that begins it.
DAY = r"^([12]\d{3}-\d{2}-\d{2})(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"

MOST = 10_000_000  # rows of one file; a minute file of forty years has less
ZONED = r"^[12]\d{3}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})$"

MISFITS = {
    "no_time": "is no time with a zone; write it like 2005-02-28T14:31:00Z.",
    "no_date": "is no date of a daily row; write it like 2005-02-28.",
    "no_number": "is no number; write it plainly, like 46.73.",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a table is asked for: its name in the header, and what its cells are."""

    header: str
    kind: Kind
    needed: bool = True


@dataclass(frozen=True)
class Table:
    """The asked columns of a file, as read, with the header's own spelling and each row's line."""

    file: str
    columns: Mapping[str, Column]
    cells: pl.DataFrame
    spelled: Mapping[str, str]
    lines: pl.Series | None = None  # None: rows have no lines (Parquet)

    def spot(self, row: int) -> str:
        """The row, inside a sentence."""
        return f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"

    def at(self, row: int, field: str) -> str:
        """File, line and field: the head of a message."""
        head = f"{self.file}: {self.spot(row)}" if self.lines is None else f"{self.file}:{self.lines[row]}"
        return f"{head}: field {self.spelled.get(field, field)!r}"

    def refuse_empty(self) -> None:
        """Raise BadInput for a table without rows."""
        if self.cells.is_empty():
            head = self.file if self.lines is None else f"{self.file}:1"
            raise BadInput(f"{head}: a header and no rows; add rows or remove the file.")

    def cast(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The cells typed (numbers as floats), and the findings: cells that hold something else, now null."""
        import polars as pl

        typed = pl.DataFrame([self._typed(name) for name in self.cells.columns])
        bad = ((name, self.cells[name].is_not_null() & typed[name].is_null()) for name in typed.columns)
        found = [
            pl.DataFrame({"row": mask.arg_true()}).with_columns(
                quality.finding(name, f"no_{self.columns[name].kind}"),
            )
            for name, mask in bad
        ]
        return typed, quality.merged(found)

    def explain(self, row: int, field: str, rule: str) -> str:
        """A finding of `cast` in a sentence."""
        return f"{self.at(row, field)}: {_shown(self.cells[field], row)!r} {MISFITS[rule]}"

    def _typed(self, name: str) -> pl.Series:
        import polars as pl

        cells, kind = self.cells[name], self.columns[name].kind
        if cells.dtype == pl.String:
            return _from_text(cells, kind)
        if kind == "number" and cells.dtype.is_numeric():
            return _from_number(cells)
        if kind == "date" and isinstance(cells.dtype, pl.Date | pl.Datetime):
            return _from_time(cells)
        if kind == "time" and isinstance(cells.dtype, pl.Datetime):
            return self._instants(name)
        raise BadInput(f"{self.file}: field {self.spelled[name]!r} holds {cells.dtype}; write each as a {kind}.")

    def _instants(self, name: str) -> pl.Series:
        import polars as pl

        cells = self.cells[name]
        if getattr(cells.dtype, "time_zone", None) is None:
            raise BadInput(f"{self.file}: field {self.spelled[name]!r} holds times without a zone; write them in UTC.")
        known = cells.zip_with(_sane(cells), pl.Series([None], dtype=cells.dtype))
        return known.dt.convert_time_zone("UTC").dt.cast_time_unit("us")


def read(raw: bytes, file: str, columns: Mapping[str, Column]) -> Table:
    """The asked columns of a file's bytes; Parquet if the file's name says so, else CSV.

    Raises BadInput naming file, line or row, and cure.
    """
    parse = _parquet if file.lower().endswith(".parquet") else _csv
    return parse(raw, file, columns)


def _find(header: Sequence[str], columns: Mapping[str, Column], head: str) -> dict[str, int]:
    """Where each asked column stands in the header."""
    found = {}
    for name, column in columns.items():
        places = [place for place, each in enumerate(header) if _letters(each) == _letters(column.header)]
        if len(places) > 1:
            raise BadInput(f"{head}: field {column.header!r}: {len(places)} columns have this name; keep one.")
        if not places and column.needed:
            raise BadInput(f"{head}: field {column.header!r}: {_lacking(header, columns, column.header)}")
        if places:
            found[name] = places[0]
    return found


def _lacking(header: Sequence[str], columns: Mapping[str, Column], name: str) -> str:
    near = difflib.get_close_matches(_letters(name), [_letters(each) for each in header], n=1, cutoff=0.6)
    meant = next((each for each in header if [_letters(each)] == near), None)
    hint = f" Did you mean it by {meant.strip()[:40]!r}?" if meant is not None else ""
    needed = ", ".join(column.header for column in columns.values() if column.needed)
    return f"no such column.{hint} The header needs {needed}."


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())[:40]


# ── CSV ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _csv(raw: bytes, file: str, columns: Mapping[str, Column]) -> Table:
    import polars as pl

    text = pl.Series(_decoded(raw, file).replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    full = text.str.strip_chars() != ""
    lines = pl.int_range(1, len(text) + 1, dtype=pl.UInt32, eager=True).filter(full)
    text = text.filter(full)
    if text.is_empty():
        raise BadInput(f"{file}:1: the file is empty; it needs a header and rows.")
    _refuse_ragged(text, lines, file)
    fields = _fields(text, file)
    header = [name or "" for name in fields.row(0)]
    found = _find(header, columns, f"{file}:{lines[0]}")
    asked = fields[1:].select(pl.col(fields.columns[place]).alias(name) for name, place in found.items())
    cells = asked.with_columns(pl.all().str.strip_chars().replace("", None))
    return Table(file, columns, cells, {name: header[place].strip() for name, place in found.items()}, lines[1:])


def _decoded(raw: bytes, file: str) -> str:
    cure = "save it as CSV in UTF-8."
    if b"\0" in raw:
        raise BadInput(f"{file}:{_line(raw, raw.index(0))}: not a text file (it holds zero bytes); {cure}")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"byte 0x{error.object[error.start]:02x}"
        raise BadInput(f"{file}:{_line(raw, error.start)}: not UTF-8 text ({byte}); {cure}") from error


def _line(raw: bytes, offset: int) -> int:
    return raw[:offset].count(b"\n") + 1


def _refuse_ragged(text: pl.Series, lines: pl.Series, file: str) -> None:
    """Every line has as many fields as the header, and ends the quotes that it opens."""
    open_quotes = (text.str.count_matches('"', literal=True) % 2 == 1).arg_true()
    if len(open_quotes):
        raise BadInput(f"{file}:{lines[open_quotes[0]]}: a quote is opened and not closed; close it on its line.")
    if "," not in text[0] and (mark := next((mark for mark in ";\t|" if mark in text[0]), "")):
        raise BadInput(f"{file}:{lines[0]}: the fields stand apart by {mark!r}; save the file with commas.")
    width = text.str.replace_all('"[^"]*"', "").str.count_matches(",", literal=True) + 1
    odd = (width != width[0]).arg_true()
    if len(odd):
        has = f"{width[odd[0]]} fields, but the header has {width[0]}; write one per column, without extra commas."
        raise BadInput(f"{file}:{lines[odd[0]]}: {has}{quality.more(len(odd) - 1)}")


def _fields(text: pl.Series, file: str) -> pl.DataFrame:
    """All fields as text, the header as the first row."""
    import polars as pl

    try:
        fields = pl.read_csv(text.str.join("\n")[0].encode(), has_header=False, infer_schema=False)
    except pl.exceptions.PolarsError as error:
        raise BadInput(f"{file}: not CSV ({str(error).splitlines()[0]}); look at its quotes.") from error
    if fields.height != len(text):
        raise BadInput(f"{file}: not CSV ({len(text)} lines make {fields.height} rows); look at its quotes.")
    return fields


# ── Parquet ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parquet(raw: bytes, file: str, columns: Mapping[str, Column]) -> Table:
    import polars as pl

    table = _arrow(raw, file)
    header = table.column_names
    found = _find(header, columns, file)
    cells = {name: _column(table.column(place), header[place], file) for name, place in found.items()}
    return Table(file, columns, pl.DataFrame(cells), {name: header[place] for name, place in found.items()})


def _arrow(raw: bytes, file: str) -> Any:
    """The whole file, proved sound. By pyarrow: a damaged file makes polars 2.1 abort the process."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found = pq.ParquetFile(pa.BufferReader(raw))
        rows = found.metadata.num_rows
        table = found.read() if rows <= MOST else None
        if table is not None:
            table.validate(full=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = str(error).partition("\n")[0].partition(". ")[0]
        raise BadInput(f"{file}: not a sound Parquet file ({why[:100].rstrip('.')}); write it again.") from error
    if table is None:
        raise BadInput(f"{file}: it holds {rows:,} rows, more than {MOST:,}; split it, or write fewer years into it.")
    return table


def _column(column: Any, spelled: str, file: str) -> pl.Series:
    import polars as pl
    import pyarrow.types as kinds

    plain = (kinds.is_floating, kinds.is_integer, kinds.is_decimal128, kinds.is_string, kinds.is_large_string)
    if not any(test(column.type) for test in (*plain, kinds.is_date, kinds.is_timestamp)):
        raise BadInput(f"{file}: field {spelled!r} holds {column.type}; write numbers, dates or text.")
    return pl.Series(column)


# ── cells ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_text(cells: pl.Series, kind: Kind) -> pl.Series:
    import polars as pl

    match kind:
        case "date":
            return cells.str.extract(DAY).str.to_date("%Y-%m-%d", strict=False)
        case "time":
            return _from_zoned(cells)
        case "number":
            return cells.cast(pl.Float64, strict=False)
    return cells


def _from_zoned(cells: pl.Series) -> pl.Series:
    """Instants in UTC; null for a time without a zone: it could be any hour's."""
    import polars as pl

    exact = cells.zip_with(cells.str.contains(ZONED), pl.Series([None], dtype=pl.String)).str.replace(" ", "T")
    full = exact.str.replace(r"^(.{16})(Z|[+-])", "${1}:00${2}")  # seconds may be left out
    return full.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", time_zone="UTC", strict=False)


def _from_number(cells: pl.Series) -> pl.Series:
    """Floats; a single-precision 46.73 stays 46.73, where a plain cast makes it 46.72999954, a price nobody paid."""
    import polars as pl

    exact = cells.cast(pl.String) if cells.dtype == pl.Float32 else cells
    return exact.cast(pl.Float64)


def _from_time(cells: pl.Series) -> pl.Series:
    """Days; null where a time of day shows that the row is no daily bar, or the year that it is no day at all."""
    import polars as pl

    known = cells.zip_with(_sane(cells), pl.Series([None], dtype=cells.dtype))
    if cells.dtype == pl.Date:
        return known
    wall, day = known.dt.replace_time_zone(None), known.dt.date()
    return day.zip_with(wall == day.cast(wall.dtype), pl.Series([None], dtype=pl.Date))


def _sane(times: pl.Series) -> pl.Series:
    """Whether each is of our era: others make polars 2.1 panic when they are read one by one."""
    return times.dt.year().is_between(1600, 2999).fill_null(value=False)


def _shown(cells: pl.Series, row: int) -> str:
    import polars as pl

    if isinstance(cells.dtype, pl.Date | pl.Datetime) and not _sane(cells[row : row + 1])[0]:
        return "a day outside the years 1600 to 2999"
    return str(cells[row])[:40]
