"""Pages: a vendor's rows, page by page, into one bars frame.

Each page becomes typed columns at once and its rows are let go, so memory is that of the frame. Two bounds stand before
it: ten million rows, and twice what the window can hold (a vendor that never stops sending is found out early). A field
that is no number becomes null, for the quality gate to quarantine its row; where no row has all its numbers, the vendor
speaks another language and the whole answer is refused. So is a time without a zone: it could be any of three hours.

Vendors stamp a bar with its start; ours carries its end (`ts`), a daily one its session's close (null: no session).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from quaestor import calendar
from quaestor.bars import DAILY, PRICES, SECONDS, schema
from quaestor.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

MOST = 10_000_000
NUMBERS = (*PRICES, "volume")
CLOCK = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}[\d:.]*)?$"  # a time, as far as it goes
TIME = "%Y-%m-%dT%H:%M:%S%.f%#z"


@dataclass(frozen=True)
class Window:
    """What was asked: bars of `timeframe` with start ≤ session ≤ end; `who` sent them ("AAPL: Alpaca")."""

    who: str
    timeframe: str
    start: dt.date
    end: dt.date

    @property
    def most(self) -> int:
        """Rows that are believed: twice what fits into the window, at most ten million."""
        a_day = 1 if self.timeframe == DAILY else 86_400 // SECONDS[self.timeframe]
        return min(MOST, 2 * a_day * ((self.end - self.start).days + 1))


@dataclass
class Pages:
    """Rows of one symbol as they come; `fields` says how the vendor calls start, open, …, volume and any flags."""

    window: Window
    fields: Mapping[str, str]
    _frames: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0

    def add(self, rows: Sequence[Any]) -> None:
        """Take one page; raises BadInput for what is no row, for a bad time, and past the bound."""
        self._rows += len(rows)
        if self._rows > self.window.most:
            asked = f"{self.window.start} … {self.window.end}"
            raise BadInput(
                f"{self.window.who} sent more than {self.window.most:,} {self.window.timeframe} bars for {asked}. "
                "Ask for a smaller window; if it is small, the vendor's paging is broken."
            )
        if rows:
            self._frames.append(self._typed(rows))

    def frame(self) -> pl.DataFrame:
        """All rows: `start`, the numbers, the flags; raises BadInput where not one row has all its numbers."""
        import polars as pl

        frame = pl.concat(self._frames) if self._frames else self._typed([])
        self._frames.clear()
        empty = {name: frame[name].null_count() for name in NUMBERS}
        if any(empty.values()) and frame.select(pl.any_horizontal(pl.col(NUMBERS).is_null()).all()).item():
            worst = max(NUMBERS, key=empty.__getitem__)
            raise BadInput(f"{self.window.who}: not one bar has a number in its field {self.fields[worst]!r}.")
        return frame

    def _typed(self, rows: Sequence[Any]) -> pl.DataFrame:
        """One page as columns, by one polars query: each costs more than the twenty rows of a month."""
        import polars as pl

        if not all(isinstance(row, dict) for row in rows):
            raise BadInput(f"{self.window.who} sent rows that are no bars, like {str(rows[0])[:40]!r}.")
        read = [self._column(name, [row.get(key) for row in rows]) for name, key in self.fields.items()]
        time = pl.col("start").str.to_datetime(TIME, time_unit="us", time_zone="UTC", strict=False)
        typed = pl.DataFrame(read).with_columns(time, whole())
        if typed["start"].null_count():
            self._refuse_time(read[list(self.fields).index("start")], typed["start"])
        return typed

    def _column(self, name: str, values: list[Any]) -> pl.Series:
        import polars as pl

        if name == "start":
            return pl.Series(
                name, [value if isinstance(value, str) else str(value) for value in values], dtype=pl.String
            )
        if name not in NUMBERS:
            return pl.Series(name, [value is True for value in values], dtype=pl.Boolean)
        return _floats(name, values)

    def _refuse_time(self, texts: pl.Series, times: pl.Series) -> NoReturn:
        first = texts.filter(times.is_null())[0][:40]
        if re.search(CLOCK, first):
            raise BadInput(f"{self.window.who}: the time {first!r} of a bar has no zone; it could be any hour's.")
        raise BadInput(f"{self.window.who}: {first!r} is no time of a bar.")


def _floats(name: str, values: list[Any]) -> pl.Series:
    import polars as pl

    kinds = set(map(type, values))
    if kinds <= {float}:
        return pl.Series(name, values, dtype=pl.Float64)
    if kinds == {int} and max(map(abs, values)) < 2**62:
        return pl.Series(name, values, dtype=pl.Int64).cast(pl.Float64)
    if kinds == {str}:
        return pl.Series(name, values).cast(pl.Float64, strict=False)
    return pl.Series(name, [_number(value) for value in values], dtype=pl.Float64)


def _number(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None


def whole() -> pl.Expr:
    """The volume as a count of shares; null where it is no whole number that a count can be."""
    import polars as pl

    volume = pl.col("volume")
    good = (volume == volume.floor()) & (volume.abs() < 2**62)
    return pl.when(good).then(volume).cast(pl.Int64, strict=False).alias("volume")


# ── from a vendor's rows to a bars frame ──────────────────────────────────────────────────────────────────────────────


def stamped(rows: pl.DataFrame, symbol: str, timeframe: str, session: pl.Expr | None = None) -> pl.DataFrame:
    """A bars frame of rows with `start`; flags stay behind the bars' own columns.

    session: the day that a bar belongs to, else the one on which it starts in New York.
    """
    import polars as pl

    dated = rows.with_columns_seq((in_new_york() if session is None else session).alias("session"))
    ended = _daily(dated) if timeframe == DAILY else dated.with_columns_seq(ts=_end(timeframe))
    named = ended.with_columns_seq(symbol=pl.lit(symbol), timeframe=pl.lit(timeframe))
    sorted_ = named if rows["start"].is_sorted() else named.sort("start", maintain_order=True)
    flags = [name for name in rows.columns if name != "start" and name not in schema()]
    return sorted_.select(*schema(), *flags)


def in_new_york() -> pl.Expr:
    """The day, in New York, on which a bar starts: the session that it belongs to, extended hours included."""
    import polars as pl

    return pl.col("start").dt.convert_time_zone(calendar.NEW_YORK.key).dt.date()


def _daily(dated: pl.DataFrame) -> pl.DataFrame:
    """With the session's close, where there is one."""
    first, last = dated["session"].min(), dated["session"].max()
    known = isinstance(first, dt.date) and isinstance(last, dt.date)
    closes = _closes(first, last) if known else _closes(calendar.FIRST, calendar.FIRST)  # type: ignore[arg-type] # dates
    return dated.join(closes, on="session", how="left", maintain_order="left")


@lru_cache(maxsize=64)
def _closes(first: dt.date, last: dt.date) -> pl.DataFrame:
    """All symbols of a batch share their window."""
    return calendar.closes(first, last).select("session", "ts")


def _end(timeframe: str) -> pl.Expr:
    import polars as pl

    return (pl.col("start") + pl.duration(seconds=SECONDS[timeframe])).cast(pl.Datetime("us", "UTC"))


def asked(bars: pl.DataFrame, window: Window, now: dt.datetime) -> pl.DataFrame:
    """The bars inside the window, and those of the future, which the quality gate must see."""
    import polars as pl

    first, last = bars["session"].min(), bars["session"].max()
    if isinstance(first, dt.date) and isinstance(last, dt.date) and window.start <= first and last <= window.end:
        return bars
    inside = pl.col("session").is_between(window.start, window.end)
    return bars.filter(inside | (pl.col("ts") > now) | (pl.col("session") > now.date()))
