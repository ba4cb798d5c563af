"""Loading bars: one batch, one transaction; what is there already writes nothing, what changed becomes a new version.

    1. rows become binary records, sorted by symbol and time, in cells (see `coverage`), each with a digest
    2. a cell whose digest is the stored one holds nothing new: skipped
    3. a cell of which nothing is stored: its rows go straight in, by COPY
    4. any other cell: its stored bars are read and compared; new rows go straight in, changed ones through a staging
       table, and the version that they replace goes to `bar_old` (law 8)
    5. the cells are written in the same transaction: they are the truth about what is stored

Writers of one symbol and timeframe follow each other; readers wait for nobody.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quaestor import coverage
from quaestor.bars import DAILY, PRICES
from quaestor.calendar import sessions
from quaestor.doors.postgres.copying import EPOCH, EPOCH_DAYS, blank, stream, unpacked
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import polars as pl

    from quaestor.doors.postgres.copying import Records
    from quaestor.doors.postgres.database import Connection
    from quaestor.ports import Batch

SQL = queries("bars")
COLUMNS = {
    "instrument": "int4",
    "ts": "timestamptz",
    "version": "int2",
    "session": "date",
    **dict.fromkeys(PRICES, "float8"),
    "volume": "int8",
    "load": "int4",
}
COMPARED = (*PRICES, "volume", "session")


def table(timeframe: str) -> str:
    """Where bars of a timeframe lie."""
    return f"bar_{timeframe}"


def query(name: str, timeframe: str) -> bytes:
    """A query on the bars of a timeframe."""
    return SQL[name].replace(b"{bar}", table(timeframe).encode())


@dataclass
class Cells:
    """The cells of a batch: where each begins in the records, how many rows it has, and their digest."""

    instruments: np.ndarray[Any, Any]
    periods: np.ndarray[Any, Any]
    starts: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]
    digests: list[bytes]

    def spread(self, marks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """A mark of each cell, for each of its rows."""
        import numpy as np

        return np.repeat(marks, self.counts)


def records(bars: pl.DataFrame, numbers: Mapping[str, int]) -> Records:
    """A bars frame as records, sorted by instrument and ts; raises BadInput for two bars of one time."""
    import numpy as np
    import polars as pl

    rows = blank(COLUMNS, bars.height)
    rows["instrument"] = bars["symbol"].replace_strict(dict(numbers), return_dtype=pl.Int32).to_numpy()
    rows["ts"] = bars["ts"].to_physical().to_numpy() - EPOCH
    rows["version"], rows["load"] = 1, 0
    rows["session"] = bars["session"].to_physical().to_numpy() - EPOCH_DAYS
    for name in (*PRICES, "volume"):
        rows[name] = bars[name].to_numpy()
    if not _ascends(rows).all():
        rows = rows[np.lexsort((rows["ts"], rows["instrument"]))]
        if not (ascends := _ascends(rows)).all():
            twice = int(np.flatnonzero(~ascends)[0])
            symbol = next(name for name, number in numbers.items() if number == rows["instrument"][twice])
            raise BadInput(f"{symbol}: two bars of one time came in one batch; keep one of them.")
    return rows


def _ascends(rows: Records) -> np.ndarray[Any, Any]:
    """Whether each row comes after the one before it."""
    import numpy as np

    symbol, ts = rows["instrument"].astype("i4"), rows["ts"].astype("i8")
    return np.asarray((symbol[1:] > symbol[:-1]) | ((symbol[1:] == symbol[:-1]) & (ts[1:] > ts[:-1])))


def cells(rows: Records, timeframe: str) -> Cells:
    """The cells of sorted records."""
    import numpy as np

    symbol, days = rows["instrument"].astype("i4"), (rows["session"].astype("i8") + EPOCH_DAYS).astype("M8[D]")
    periods = days.astype("M8[M]").astype("M8[D]") if timeframe == DAILY else days
    edges = np.flatnonzero((symbol[1:] != symbol[:-1]) | (periods[1:] != periods[:-1])) + 1
    starts = np.concatenate([[0], edges]).astype(int) if len(rows) else np.empty(0, int)
    counts = np.diff(np.append(starts, len(rows)))
    digests = [
        hashlib.blake2b(rows[start : start + count].tobytes(), digest_size=16).digest()
        for start, count in zip(starts, counts, strict=True)
    ]
    return Cells(symbol[starts], periods[starts], starts, counts, digests)


@dataclass
class Loaded:
    """What a load did: bars new and changed, and the changed ones' records (instrument, ts)."""

    new: int
    changed: int
    repaired: Records


async def load(connection: Connection, batch: Batch, rows: Records, numbers: Mapping[str, int]) -> Loaded:
    """Store the records of a batch inside the caller's transaction."""
    import numpy as np

    made = await asyncio.to_thread(cells, rows, batch.timeframe)
    known = await _known(connection, batch, made, numbers)
    keys = list(zip(made.instruments.tolist(), made.periods.tolist(), strict=True))
    old = [known.get(key) for key in keys]
    same = np.array(
        [row is not None and row["digest"] == mine for row, mine in zip(old, made.digests, strict=True)], bool
    )
    fresh = np.array([row is None or row["stored"] == 0 for row in old], bool) & ~same
    new, changed, versions = await _compared(connection, batch, rows, made.spread(~same & ~fresh))
    new |= made.spread(fresh)
    writes = bool(new.any() or changed.any())
    if writes:
        (load,) = await (await connection.execute(SQL["next_load"])).fetchall()
        await _copy(connection, query("copy_rows", batch.timeframe), _numbered(rows[new], load["id"]))
        if changed.any():
            await _repair(connection, batch.timeframe, _numbered(rows[changed], load["id"], versions[changed] + 1))
    lines = [*_came(batch, made, old, new, changed, numbers), *_asked(batch, made, known, numbers)]
    await _cover(connection, batch, lines)
    if writes:
        origin = {"source": batch.source, "timeframe": batch.timeframe, "flow_run_id": batch.flow_run_id}
        await connection.execute(SQL["insert_load"], {**origin, "id": load["id"]})
    return Loaded(int(new.sum()), int(changed.sum()), rows[changed])


async def _known(
    connection: Connection, batch: Batch, made: Cells, numbers: Mapping[str, int]
) -> dict[tuple[int, Any], dict[str, Any]]:
    """What is known of the cells that came, and of those that were asked for."""
    import numpy as np

    asked = [coverage.period(batch.timeframe, day) for stretch in batch.asked.values() for day in stretch]
    periods = [*(np.unique(made.periods).tolist()), *asked]
    if not periods:
        return {}
    found = await connection.execute(
        SQL["cells"],
        {
            "timeframe": batch.timeframe,
            "instruments": sorted(numbers.values()),
            "first": min(periods),
            "last": max(periods),
        },
    )
    return {(row["instrument"], row["period"]): row for row in await found.fetchall()}


async def _compared(
    connection: Connection, batch: Batch, rows: Records, overlapping: np.ndarray[Any, Any]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which of the rows that may be stored are new, which are changed, and the versions that are stored."""
    import numpy as np

    new, changed, versions = (np.zeros(len(rows), kind) for kind in (bool, bool, "i2"))
    at = np.flatnonzero(overlapping)
    if not len(at):
        return new, changed, versions
    stored = await _stored(connection, batch.timeframe, rows[at])
    where = await asyncio.to_thread(_places, rows[at], stored)
    new[at] = where < 0
    there, twin = at[where >= 0], stored[where[where >= 0]]
    versions[there] = twin["version"]
    differs = np.zeros(len(there), bool)
    for name in COMPARED:
        differs |= rows[name][there] != twin[name]
    changed[there] = differs
    return new, changed, versions


async def _stored(connection: Connection, timeframe: str, rows: Records) -> Records:
    """The stored bars of these symbols, each between its first and last row."""
    import numpy as np

    symbols, first = np.unique(rows["instrument"].astype("i4"), return_index=True)
    last = np.append(first[1:], len(rows)) - 1
    times = (rows["ts"].astype("i8") + EPOCH).astype("M8[us]")
    stretch = {
        "instruments": symbols.tolist(),
        "lows": [f"{moment}Z" for moment in times[first]],
        "highs": [f"{moment}Z" for moment in times[last]],
    }
    found = await connection.execute(query("stored_rows", timeframe), stretch, binary=True)
    return unpacked([row["packed"] for row in await found.fetchall()], COLUMNS)


def _places(rows: Records, stored: Records) -> np.ndarray[Any, Any]:
    """Where each row stands among the stored ones; −1 where it does not."""
    import polars as pl

    def keys(some: Records) -> pl.DataFrame:
        return pl.DataFrame({"instrument": some["instrument"].astype("i4"), "ts": some["ts"].astype("i8")})

    places = keys(rows).join(
        keys(stored).with_row_index("place"), on=["instrument", "ts"], how="left", maintain_order="left"
    )
    return places["place"].cast(pl.Int64).fill_null(-1).to_numpy()


def _numbered(rows: Records, load: int, versions: np.ndarray[Any, Any] | int = 1) -> Records:
    rows = rows.copy()
    rows["load"], rows["version"] = load, versions
    return rows


async def _copy(connection: Connection, statement: bytes, rows: Records) -> None:
    if len(rows):
        async with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for block in stream(rows):
                await copy.write(block)


async def _repair(connection: Connection, timeframe: str, rows: Records) -> None:
    await connection.execute(SQL["create_repairs"])
    await _copy(connection, SQL["copy_repairs"], rows)
    await connection.execute(query("keep_old", timeframe), {"timeframe": timeframe})
    await connection.execute(query("replace", timeframe))
    await connection.execute(SQL["drop_repairs"])


async def _cover(connection: Connection, batch: Batch, lines: list[tuple[Any, ...]]) -> None:
    """Write the cells that changed."""
    if lines:
        names = ("instruments", "periods", "firsts", "lasts", "counts", "digests")
        columns: dict[str, Any] = dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))
        await connection.execute(SQL["cover"], {**columns, "timeframe": batch.timeframe, "source": batch.source})


def _came(
    batch: Batch,
    made: Cells,
    old: list[dict[str, Any] | None],
    new: np.ndarray[Any, Any],
    changed: np.ndarray[Any, Any],
    numbers: Mapping[str, int],
) -> list[tuple[Any, ...]]:
    """The lines of cells that bars came for. A cell's digest is that of all its bars; None where it is not known."""
    import numpy as np

    added, repaired = (
        np.add.reduceat(marks.astype(int), made.starts) if len(made.starts) else made.starts for marks in (new, changed)
    )
    stretches = {numbers[symbol]: stretch for symbol, stretch in batch.asked.items()}
    lines: list[tuple[Any, ...]] = []
    for n, (instrument, period) in enumerate(zip(made.instruments.tolist(), made.periods.tolist(), strict=True)):
        row = old[n]
        asked = _stretch(batch.timeframe, period, stretches.get(instrument))
        before = (row["asked_first"], row["asked_last"]) if row and row["asked_first"] else None
        after = coverage.joined(before, asked) if asked else before
        stored = int(added[n]) + (row["stored"] if row else 0)
        digest = row["digest"] if row and not added[n] and not repaired[n] else None
        if stored == made.counts[n]:
            digest = made.digests[n]
        if (
            row is None
            or row["error"]
            or (after, stored, digest) != (before, row["stored"], row["digest"])
            or repaired[n]
        ):
            lines.append((instrument, period, *(after or (None, None)), stored, digest))
    return lines


def _asked(
    batch: Batch, made: Cells, known: Mapping[tuple[int, Any], dict[str, Any]], numbers: Mapping[str, int]
) -> list[tuple[Any, ...]]:
    """The lines of cells that were asked for and brought nothing: the source has nothing there."""
    came = set(zip(made.instruments.tolist(), made.periods.tolist(), strict=True))
    lines: list[tuple[Any, ...]] = []
    for symbol, stretch in batch.asked.items():
        for period in coverage.periods(batch.timeframe, sessions(*stretch)):
            key = (numbers[symbol], period)
            if key in came:
                continue
            row, asked = known.get(key), _stretch(batch.timeframe, period, stretch)
            before = (row["asked_first"], row["asked_last"]) if row and row["asked_first"] else None
            after = coverage.joined(before, asked) if asked else before
            if row is None or after != before or row["error"]:
                stored, digest = (row["stored"], row["digest"]) if row else (0, None)
                lines.append((*key, *(after or (None, None)), stored, digest))
    return lines


def _stretch(timeframe: str, period: Any, asked: tuple[Any, Any] | None) -> tuple[Any, Any] | None:
    """What of the stretch that was asked for lies in a period: bars may come of periods that nobody asked for."""
    if asked is None:
        return None
    inside = coverage.month(period) if timeframe == DAILY else (period, period)
    first, last = max(asked[0], inside[0]), min(asked[1], inside[1])
    return (first, last) if first <= last else None
