"""Frames of bars: the queries that ADBC reads, and what came as a bars frame plus `version`.

Numbers, dates and names of ours stand in the queries as they are: ADBC binds no parameters to a COPY, by which it is
fast. A symbol never stands in one; it is a number by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from quaestor.bars import PRICES, schema
from quaestor.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

FIELDS = "b.instrument, b.ts, b.session, b.open, b.high, b.low, b.close, b.volume, b.version"
LATEST = dt.timedelta(days=1, hours=6)  # from a session's midnight in UTC to the end of its last bar, and more


def window(
    numbers: Iterable[int] | None,
    start: dt.date | None,
    end: dt.date | None,
    timeframe: str,
    as_of: dt.datetime | None = None,
) -> str:
    """Bars of some instruments (None: of all) with start ≤ session ≤ end, current or as they were at a moment."""
    source = f"bar_{timeframe}" if as_of is None else f"({_at(timeframe, as_of)})"
    return f"select {FIELDS} from {source} b where {_where(numbers, start, end)}"  # noqa: S608  # see above


def newest(numbers: Sequence[int], count: int, timeframe: str) -> str:
    """The newest bars of each instrument, each by its own walk down the primary key."""
    of = f"select {FIELDS} from bar_{timeframe} b where b.instrument = %s order by b.ts desc limit {int(count)}"  # noqa: S608
    if len(numbers) == 1:
        return of.replace("%s", str(numbers[0]))
    walk = of.replace("%s", "i")
    return f"select b.* from unnest({_array(numbers)}) i, lateral ({walk}) b"  # noqa: S608


def _array(numbers: Iterable[int]) -> str:
    return f"'{{{','.join(map(str, numbers))}}}'::int[]"


def _where(numbers: Iterable[int] | None, start: dt.date | None, end: dt.date | None) -> str:
    """The rows of a window; bounds on ts beside those on the session spare whole partitions."""
    parts = ["true"]
    if numbers is not None:
        parts.append(f"b.instrument = any({_array(numbers)})")
    if start is not None:
        parts.append(f"b.session >= '{start}' and b.ts >= '{start}T00:00Z'")
    if end is not None:
        latest = dt.datetime.combine(end, dt.time(), dt.UTC) + LATEST
        parts.append(f"b.session <= '{end}' and b.ts <= '{latest.isoformat()}'")
    return " and ".join(parts)


def _at(timeframe: str, as_of: dt.datetime) -> str:
    """The versions that were current at a moment: stored by then, and not yet superseded."""
    if as_of.tzinfo is None:
        raise BadInput(f"as_of {as_of} has no time zone; give it in UTC.")
    moment = as_of.astimezone(dt.UTC).isoformat()
    return (
        f"select b.* from (select {FIELDS}, b.load from bar_{timeframe} b) b "  # noqa: S608
        f"join load l on l.id = b.load where l.at <= '{moment}' "
        f"union all select {FIELDS}, b.load from bar_old b "
        f"join load l on l.id = b.load join load s on s.id = b.superseded "
        f"where b.timeframe = '{timeframe}' and l.at <= '{moment}' and s.at > '{moment}'"
    )


def bars(rows: pl.DataFrame, numbers: Mapping[str, int], timeframe: str) -> pl.DataFrame:
    """What came, as a bars frame plus version, sorted by symbol and ts.

    Whole columns and no expressions: of 200 bars an expression costs more than the reading, of five million a lookup
    table less than any join.
    """
    import numpy as np
    import polars as pl

    if rows.is_empty():
        return empty()
    utc = pl.Datetime("us", "UTC")
    names = sorted(numbers)
    ranks = np.zeros(max(numbers.values()) + 1, "u4")
    ranks[[numbers[name] for name in names]] = np.arange(len(names))
    rank, ts = ranks[rows["instrument"].to_numpy()], rows["ts"]
    if ts.dtype != utc:
        ts = ts.dt.cast_time_unit("us").dt.convert_time_zone("UTC")
    instants = ts.to_physical().to_numpy()
    if not ((rank[1:] > rank[:-1]) | ((rank[1:] == rank[:-1]) & (instants[1:] > instants[:-1]))).all():
        order = np.lexsort((instants, rank))
        rows, rank, ts = rows[order], rank[order], ts[order]
    named = pl.Series("symbol", names, dtype=pl.String)
    columns = (
        named.gather(rank) if len(names) > 1 else named.new_from_index(0, len(rank)),
        pl.Series("timeframe", [timeframe]).new_from_index(0, len(rank)),
        rows["session"],
        ts,
        *(rows[name] for name in (*PRICES, "volume")),
        rows["version"].cast(pl.Int32),
    )
    return pl.DataFrame(columns)


def empty() -> pl.DataFrame:
    """No bars, in the same columns."""
    import polars as pl

    return pl.DataFrame(schema={**schema(), "version": pl.Int32()})
