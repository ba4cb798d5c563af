"""Bars in PostgreSQL: in by binary COPY, versioned, out as frames; and quotes for brokers and reports.

How a batch is stored, `loading` tells; this is the store's face, and the reading.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from quaestor import coverage
from quaestor.actions import Told
from quaestor.bars import DAILY, PRICES, Bar, price
from quaestor.coverage import Cell
from quaestor.dividends import Dividend
from quaestor.doors.postgres import frames, loading
from quaestor.doors.postgres.copying import EPOCH
from quaestor.doors.postgres.partitions import Partition, Partitions
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput
from quaestor.orders import trimmed
from quaestor.ports import Batch, Stored
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

    from quaestor.doors.postgres.database import Connection, Database
    from quaestor.doors.postgres.loading import Loaded

SQL = queries("bars")
WINDOW = dt.timedelta(days=92)  # quotes are read a quarter ahead: a replay asks session after session
LOOKBACK = dt.timedelta(days=14)  # and from a little before: the newest bar is rarely older


class BarStore:
    """Implements `ports.BarStore` (and so `ports.Quotes`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitions = Partitions(database, _forget)
        self._numbers: dict[str, int] = {}
        self._window: dict[dt.date, dict[str, Bar]] = {}  # by session, oldest first
        self._window_start = dt.date.max

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def store(self, batch: Batch) -> Stored:
        """Store a batch whole; raises BadInput for bars of one time and for a split that contradicts a stored one."""
        numbers = await self._number(sorted({*batch.bars["symbol"].unique(), *batch.asked}))
        rows = await asyncio.to_thread(loading.records, batch.bars, numbers)
        if len(rows):
            first, last = batch.bars.select(a=batch.bars["ts"].min(), b=batch.bars["ts"].max()).row(0)
            await self._partitions.ensure(loading.table(batch.timeframe), first.date(), last.date())
        async with self._database.transaction() as connection:
            await connection.execute(SQL["lock_symbols"], {"symbols": list(numbers), "timeframe": batch.timeframe})
            await _insert_splits(connection, batch.splits, batch.source)
            await _insert_dividends(connection, batch.dividends, batch.source)
            loaded = await loading.load(connection, batch, rows, numbers)
            refused = await _quarantine(connection, batch, list(numbers))
        self._window, self._window_start = {}, dt.date.max
        return Stored(loaded.new, loaded.changed, refused, _keys(loaded, batch.timeframe, numbers))

    async def upsert(self, bars: pl.DataFrame, splits: Sequence[Split], source: str) -> tuple[int, int]:
        """Store daily bars and splits that nobody asked for: (new, changed)."""
        stored = await self.store(Batch(DAILY, bars, source, splits=splits))
        return stored.new, stored.changed

    async def fail(self, symbol: str, timeframe: str, asked: tuple[dt.date, dt.date], source: str, error: str) -> None:
        """Remember that a source could not give these sessions; what is stored stays."""
        from quaestor.calendar import sessions

        await self._number([symbol])
        periods = coverage.periods(timeframe, sessions(*asked))
        line = {"symbol": symbol, "timeframe": timeframe, "periods": periods, "source": source, "error": error}
        async with self._database.transaction() as connection:
            await connection.execute(SQL["lock_symbols"], {"symbols": [symbol], "timeframe": timeframe})
            await connection.execute(SQL["fail"], line)

    async def _number(self, symbols: Sequence[str]) -> dict[str, int]:
        """The numbers of these symbols; a new symbol gets one."""
        if missing := [symbol for symbol in symbols if symbol not in self._numbers]:
            async with self._database.transaction() as connection:
                await connection.execute(SQL["add_instruments"], {"symbols": missing})
            rows = await self._database.fetch(SQL["instruments"], {"symbols": missing})
            self._numbers |= {row["symbol"]: row["id"] for row in rows}
        return {symbol: self._numbers[symbol] for symbol in symbols}

    # ── out, as frames ────────────────────────────────────────────────────────────────────────────────────────────────

    async def frame(
        self,
        symbols: Sequence[str] | None,
        start: dt.date | None,
        end: dt.date | None,
        timeframe: str = DAILY,
        as_of: dt.datetime | None = None,
    ) -> pl.DataFrame:
        """Bars of some symbols (None: all) as a bars frame plus `version`, sorted by symbol and ts."""
        if symbols is None:  # the names come last: a writer may add some meanwhile
            rows = await self._database.frame(frames.window(None, start, end, timeframe, as_of))
            return frames.bars(rows, await self._known(None), timeframe)
        if not (numbers := await self._known(symbols)):
            return frames.empty()
        if len(numbers) == 1:
            (number,) = numbers.values()
            found = await self._database.read(frames.packed_window(number, start, end, timeframe, as_of))
            if found[0]["stored"] <= frames.PACKED:
                return frames.bars(frames.rows([found[0]["packed"]]), numbers, timeframe)
        query = frames.window(numbers.values(), start, end, timeframe, as_of)
        return frames.bars(await self._database.frame(query), numbers, timeframe)

    async def last_bars(self, symbols: Sequence[str], count: int, timeframe: str = DAILY) -> pl.DataFrame:
        """The newest `count` bars of each symbol, sorted by symbol and ts."""
        numbers = await self._known(symbols)
        if not numbers:
            return frames.empty()
        of = list(numbers.values())
        if count * len(of) <= frames.PACKED:
            found = await self._database.read(frames.packed_newest(of, count, timeframe))
            return frames.bars(frames.rows(row["packed"] for row in found), numbers, timeframe)
        return frames.bars(await self._database.frame(frames.newest(of, count, timeframe)), numbers, timeframe)

    async def _known(self, symbols: Sequence[str] | None) -> dict[str, int]:
        """The numbers of those symbols that have one; None: of all."""
        if symbols is None:
            rows = await self._database.fetch(SQL["all_instruments"])
            self._numbers |= {row["symbol"]: row["id"] for row in rows}
            return self._numbers
        if missing := [symbol for symbol in symbols if symbol not in self._numbers]:
            rows = await self._database.fetch(SQL["instruments"], {"symbols": missing})
            self._numbers |= {row["symbol"]: row["id"] for row in rows}
        return {symbol: self._numbers[symbol] for symbol in symbols if symbol in self._numbers}

    # ── what belongs to them ──────────────────────────────────────────────────────────────────────────────────────────

    async def all_splits(self, symbols: Sequence[str]) -> list[Split]:
        """Every known split of these symbols, oldest first."""
        return [_split(row) for row in await self._database.fetch(SQL["splits_of"], {"symbols": list(symbols)})]

    async def splits(self, session: dt.date) -> list[Split]:
        """Splits effective at the open of that session."""
        return [_split(row) for row in await self._database.fetch(SQL["splits_on"], {"session": session})]

    async def dividends(self, symbols: Sequence[str]) -> list[Dividend]:
        """Every known dividend of these symbols, oldest first."""
        return [_dividend(row) for row in await self._database.fetch(SQL["dividends_of"], {"symbols": list(symbols)})]

    async def told(self, symbols: Sequence[str]) -> list[Told]:
        """Every known split and dividend of these symbols, with who told it."""
        wanted = {"symbols": list(symbols)}
        splits = await self._database.fetch(SQL["splits_of"], wanted)
        dividends = await self._database.fetch(SQL["dividends_of"], wanted)
        return [
            *(Told(_split(row), row["source"]) for row in splits),
            *(Told(_dividend(row), row["source"]) for row in dividends),
        ]

    async def span(self, symbol: str, timeframe: str = DAILY) -> tuple[dt.date, dt.date] | None:
        """First and last stored session of one symbol; None without any."""
        rows = await self._database.fetch(loading.query("span", timeframe), {"symbol": symbol})
        return (rows[0]["first"], rows[0]["last"]) if rows and rows[0]["first"] else None

    async def cells(
        self,
        symbols: Sequence[str] | None,
        timeframe: str = DAILY,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> list[Cell]:
        """What is known of the cells of these symbols (None: all) whose period meets [start, end]."""
        parameters = {
            "symbols": None if symbols is None else list(symbols),
            "timeframe": timeframe,
            "first": start and coverage.period(timeframe, start),
            "last": end,
        }
        return [_cell(row) for row in await self._database.fetch(SQL["coverage"], parameters)]

    async def quarantined(
        self,
        symbols: Sequence[str] | None = None,
        timeframe: str | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Bars that the gate refused, newest first."""
        wanted = None if symbols is None else list(symbols)
        parameters = {"symbols": wanted, "timeframe": timeframe, "start": start, "end": end, "limit": limit}
        return await self._database.fetch(SQL["quarantined"], parameters)

    async def vouch(self, symbol: str, session: dt.date, reason: str) -> None:
        """A person found the steps of that session real: the gate raises no doubt there again."""
        await self._change("vouch", symbol=symbol, session=session, reason=reason)

    async def vouched(self, symbols: Sequence[str]) -> frozenset[tuple[str, dt.date]]:
        """Sessions that a person vouched for."""
        rows = await self._database.fetch(SQL["vouched"], {"symbols": list(symbols)})
        return frozenset((row["symbol"], row["session"]) for row in rows)

    async def block(self, symbol: str, reason: str) -> bool:
        """Let the symbol take no entries; False when it already was blocked."""
        return await self._change("block", symbol=symbol, reason=reason) == 1

    async def unblock(self, symbol: str) -> bool:
        """Let it take entries again; False when it was not blocked."""
        return await self._change("unblock", symbol=symbol) == 1

    async def blocked(self) -> dict[str, str]:
        """Symbols whose data a person must look at before any entry, and why."""
        return {row["symbol"]: row["reason"] for row in await self._database.fetch(SQL["blocked"])}

    async def upkeep(
        self, timeframe: str, first: dt.date, last: dt.date, before: dt.date | None, *, dry_run: bool = False
    ) -> tuple[list[str], list[str]]:
        """Make the partitions from one day to another, drop those wholly before a third: (made, dropped)."""
        table = loading.table(timeframe)
        if dry_run:
            return [], [part.name for part in await self._partitions.before(table, before)] if before else []
        made = await self._partitions.make(table, first, last)
        return made, await self._partitions.drop_before(table, before) if before else []

    async def _change(self, name: str, **parameters: Any) -> int:
        async with self._database.transaction() as connection:
            return (await connection.execute(SQL[name], parameters)).rowcount

    async def decided_on(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Orders that were decided on these bars (`Bar.key`)."""
        return await self._database.fetch(SQL["decided_on"], {"keys": list(keys)})

    # ── quotes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def bar(self, symbol: str, session: dt.date) -> Bar | None:
        """The daily bar of that session; sessions near the last one asked for are already in memory.

        What is not in memory is asked for: it may have come in the meantime.
        """
        if session not in self._window:
            await self._read(session)
        if symbol not in self._window.get(session, {}):
            self._keep(await self._database.fetch(SQL["bars_of_session"], {"session": session}))
        return self._window.get(session, {}).get(symbol)

    async def last_bar(self, symbol: str, upto: dt.date) -> Bar | None:
        """The newest daily bar with session ≤ upto; out of memory when it is of the newest session known by then."""
        if not self._window_start <= upto <= self._window_start + WINDOW:
            await self._read(upto)
        if (bar := self._newest(symbol, upto)) is not None:
            return bar
        before = dt.datetime.combine(upto, dt.time(), dt.UTC) + frames.LATEST
        rows = await self._database.fetch(SQL["last_bar"], {"symbol": symbol, "upto": upto, "before": before})
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
        parameters = {"start": self._window_start, "end": self._window_start + WINDOW}
        self._keep(await self._database.fetch(SQL["bars_of_sessions"], parameters))

    def _keep(self, rows: Sequence[dict[str, Any]]) -> None:
        for row in rows:
            self._window.setdefault(row["session"], {})[row["symbol"]] = _bar(row)


# ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _keys(loaded: Loaded, timeframe: str, numbers: Mapping[str, int]) -> tuple[str, ...]:
    """The keys of repaired bars, as decisions cite them."""
    names = {number: symbol for symbol, number in numbers.items()}
    times = (loaded.repaired["ts"].astype("i8") + EPOCH).astype("M8[us]").astype("M8[s]")
    pairs = zip(loaded.repaired["instrument"].tolist(), times, strict=True)
    return tuple(f"{names[instrument]}|{timeframe}|{moment}Z" for instrument, moment in pairs)


async def _forget(connection: Connection, part: Partition) -> None:
    """Count anew the cells of a partition that was dropped; old versions go with the bars they were."""
    timeframe = part.name.removeprefix("bar_").partition("_p")[0]
    gone = {"timeframe": timeframe, "since": part.since, "until": part.until}
    await connection.execute(loading.query("forget", timeframe), gone)
    await connection.execute(SQL["forget_old"], gone)


async def _quarantine(connection: Connection, batch: Batch, symbols: list[str]) -> int:
    """Keep what the gate refused, once; how many refused bars are new."""
    rows = [] if batch.quarantined is None else [_refused(row) for row in batch.quarantined.iter_rows(named=True)]
    new = 0
    if rows:
        parameters = {"rows": json.dumps(rows), "flow_run_id": batch.flow_run_id}
        new = len(await (await connection.execute(SQL["add_quarantined"], parameters)).fetchall())
    counted = {"timeframe": batch.timeframe, "symbols": symbols}
    await connection.execute(loading.query("count_quarantined", batch.timeframe), counted)
    return new


def _refused(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the gate's frame as it is kept: the finding, and the bar's own fields as text."""
    told = {name: None if row[name] is None else str(row[name]) for name in FINDING}
    bar = {name: None if value is None else str(value) for name, value in row.items() if name not in FINDING}
    name = hashlib.blake2b(json.dumps([told, bar], sort_keys=True).encode(), digest_size=16).hexdigest()
    return {**told, "digest": name, "row": bar}


FINDING = ("symbol", "timeframe", "session", "ts", "rule", "field", "observed", "limit", "source")


async def _insert_splits(connection: Connection, splits: Sequence[Split], source: str) -> None:
    if not splits:
        return
    known_rows = await connection.execute(SQL["splits_of"], {"symbols": sorted({split.symbol for split in splits})})
    known = {(row["symbol"], row["session"]): _split(row) for row in await known_rows.fetchall()}
    for split in splits:
        old = known.get((split.symbol, split.session))
        better = old is not None and (old.origin, split.origin) == ("derived", "source")
        if old is not None and old.ratio != split.ratio and not better:
            raise BadInput(
                f"{split.symbol} {split.session}: {source} says a split of {split.ratio}, but {old.ratio} is stored. "
                "Find out which is right; nothing of this symbol was written."
            )
        parts = {"numerator": split.ratio.numerator, "denominator": split.ratio.denominator, "source": source}
        row = {"symbol": split.symbol, "session": split.session, "origin": split.origin, **parts}
        await connection.execute(SQL["insert_split"], row)


async def _insert_dividends(connection: Connection, dividends: Sequence[Dividend], source: str) -> None:
    for each in dividends:
        row = {"symbol": each.symbol, "session": each.session, "amount": each.amount, "origin": each.origin}
        await connection.execute(SQL["insert_dividend"], {**row, "source": source})


def _split(row: dict[str, Any]) -> Split:
    return Split(row["symbol"], row["session"], Fraction(row["numerator"], row["denominator"]), row["origin"])


def _dividend(row: dict[str, Any]) -> Dividend:
    return Dividend(row["symbol"], row["session"], trimmed(row["amount"]), row["origin"])


def _cell(row: dict[str, Any]) -> Cell:
    asked = (row["asked_first"], row["asked_last"]) if row["asked_first"] else None
    named = {name: row[name] for name in ("symbol", "timeframe", "period", "stored", "quarantined", "source", "error")}
    return Cell(**named, asked=asked, at=row["at"])


def _bar(row: dict[str, Any]) -> Bar:
    opened, high, low, close = (price(row[name]) for name in PRICES)
    return Bar(row["symbol"], row["session"], row["ts"], opened, high, low, close, row["volume"], row["version"])
