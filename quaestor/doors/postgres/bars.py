"""Bars and splits in PostgreSQL: in by COPY, versioned, out as a frame; and quotes for brokers and reports.

One symbol is one transaction: either all of its new bars and splits are there, or none.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from quaestor.bars import DAILY, PRICES, Bar, price, schema
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("bars")
WINDOW = dt.timedelta(days=92)  # quotes are read a quarter ahead: a replay asks session after session
LOOKBACK = dt.timedelta(days=14)  # and from a little before: the newest bar is rarely older


class BarStore:
    """Implements `ports.BarStore` (and so `ports.Quotes`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._window: dict[dt.date, dict[str, Bar]] = {}  # by session, oldest first
        self._window_start = dt.date.max

    async def upsert(self, bars: pl.DataFrame, splits: Sequence[Split], source: str) -> tuple[int, int]:
        """Store bars and splits; (new, changed). Raises BadInput when a split contradicts a stored one."""
        async with self._database.transaction() as connection:
            for symbol in bars["symbol"].unique().sort().to_list():
                await connection.execute(SQL["lock_symbol"], {"symbol": symbol})
            await _insert_splits(connection, splits, source)
            await connection.execute(SQL["create_staging"])
            async with connection.cursor() as cursor, cursor.copy(SQL["copy_staging"]) as copy:
                await copy.write(bars.select(list(schema())).write_csv(include_header=False))
            merged = await (await connection.execute(SQL["merge_staging"], {"source": source})).fetchone()
        self._window, self._window_start = {}, dt.date.max
        return (merged["new"], merged["changed"]) if merged else (0, 0)

    async def frame(self, symbols: Sequence[str], start: dt.date | None, end: dt.date | None) -> pl.DataFrame:
        """Current bars as a bars frame plus `version`, sorted by symbol and ts."""
        import polars as pl

        parameters = {"symbols": list(symbols), "timeframe": DAILY, "start": start, "end": end}
        buffer = io.BytesIO()
        async with (
            self._database.transaction() as connection,
            connection.cursor() as cursor,
            cursor.copy(SQL["copy_bars"], parameters) as copy,
        ):
            async for block in copy:
                buffer.write(block)
        columns = {**schema(), "ts": pl.Datetime("us"), "version": pl.Int32()}
        if not buffer.tell():
            return pl.DataFrame(schema={**schema(), "version": pl.Int32()})
        buffer.seek(0)
        frame = pl.read_csv(buffer, has_header=False, schema=columns, try_parse_dates=True)
        return frame.with_columns(pl.col("ts").dt.replace_time_zone("UTC"))

    async def all_splits(self, symbols: Sequence[str]) -> list[Split]:
        """Every known split of these symbols, oldest first."""
        return [_split(row) for row in await self._database.fetch(SQL["splits_of"], {"symbols": list(symbols)})]

    async def splits(self, session: dt.date) -> list[Split]:
        """Splits effective at the open of that session."""
        return [_split(row) for row in await self._database.fetch(SQL["splits_on"], {"session": session})]

    async def bar(self, symbol: str, session: dt.date) -> Bar | None:
        """The bar of that session; sessions near the last one asked for are already in memory.

        What is not in memory is asked for: it may have come in the meantime.
        """
        if session not in self._window:
            await self._read(session)
        if symbol not in self._window.get(session, {}):
            rows = await self._database.fetch(SQL["bars_of_session"], {"session": session, "timeframe": DAILY})
            if rows:
                self._keep(rows)
        return self._window.get(session, {}).get(symbol)

    async def last_bar(self, symbol: str, upto: dt.date) -> Bar | None:
        """The newest bar with session ≤ upto; out of memory when it is of the newest session known by then."""
        if not self._window_start <= upto <= self._window_start + WINDOW:
            await self._read(upto)
        if (bar := self._newest(symbol, upto)) is not None:
            return bar
        parameters = {"symbol": symbol, "timeframe": DAILY, "upto": upto}
        rows = await self._database.fetch(SQL["last_bar"], parameters)
        return _bar(rows[0]) if rows else None

    def _newest(self, symbol: str, upto: dt.date) -> Bar | None:
        """The bar of the newest session by then; None where the memory ends before, or the symbol did not trade."""
        if not self._window or upto > max(self._window):
            return None
        newest = max((session for session in self._window if session <= upto), default=upto)
        return self._window.get(newest, {}).get(symbol)

    async def _read(self, around: dt.date) -> None:
        """Read the window that begins a little before that day."""
        self._window, self._window_start = {}, around - LOOKBACK
        parameters = {"start": self._window_start, "end": self._window_start + WINDOW, "timeframe": DAILY}
        self._keep(await self._database.fetch(SQL["bars_of_sessions"], parameters))

    def _keep(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._window.setdefault(row["session"], {})[row["symbol"]] = _bar(row)

    async def span(self, symbol: str) -> tuple[dt.date, dt.date] | None:
        """First and last stored session of one symbol; None without any."""
        rows = await self._database.fetch(SQL["span"], {"symbol": symbol, "timeframe": DAILY})
        return (rows[0]["first"], rows[0]["last"]) if rows and rows[0]["first"] else None

    async def spans(self) -> dict[str, tuple[dt.date, dt.date, int]]:
        """First session, last session, count of bars, by symbol."""
        rows = await self._database.fetch(SQL["spans"], {"timeframe": DAILY})
        return {row["symbol"]: (row["first"], row["last"], row["bars"]) for row in rows}


async def _insert_splits(connection: Connection, splits: Sequence[Split], source: str) -> None:
    if not splits:
        return
    known_rows = await connection.execute(SQL["splits_of"], {"symbols": sorted({split.symbol for split in splits})})
    known = {(row["symbol"], row["session"]): _split(row) for row in await known_rows.fetchall()}
    for split in splits:
        old = known.get((split.symbol, split.session))
        if old is not None and old.ratio != split.ratio:
            raise BadInput(
                f"{split.symbol} {split.session}: {source} says a split of {split.ratio}, but {old.ratio} is stored. "
                "Find out which is right; nothing of this symbol was written."
            )
        parts = {"numerator": split.ratio.numerator, "denominator": split.ratio.denominator, "source": source}
        row = {"symbol": split.symbol, "session": split.session, "origin": split.origin, **parts}
        await connection.execute(SQL["insert_split"], row)


def _split(row: dict[str, Any]) -> Split:
    return Split(row["symbol"], row["session"], Fraction(row["numerator"], row["denominator"]), row["origin"])


def _bar(row: dict[str, Any]) -> Bar:
    opened, high, low, close = (price(row[name]) for name in PRICES)
    return Bar(row["symbol"], row["session"], row["ts"], opened, high, low, close, row["volume"], row["version"])
