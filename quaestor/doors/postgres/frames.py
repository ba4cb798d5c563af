"""Frames of bars: the queries that read them, and what came as a bars frame plus `version`.

Many rows come by ADBC, as columns. Few come packed, through the pool that all else goes through: the fields of all rows
one after the other in one value of a symbol, which server and client make and take apart in less time than a COPY
takes to begin. How few, `PACKED` says: a value stands whole in memory, on both sides.

Numbers, dates and names of ours stand in the queries as they are: ADBC binds no parameters to a COPY, by which it is
fast. A symbol never stands in one; it is a number by then.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quaestor import coverage
from quaestor.bars import PRICES, schema
from quaestor.doors.postgres.copying import EPOCH, EPOCH_DAYS, unpacked
from quaestor.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

PACKED = 250_000  # rows that come packed at most: 16 MB, a year of one symbol's minutes
COLUMNS = {
    "instrument": "int4",
    "ts": "timestamptz",
    "session": "date",
    **dict.fromkeys(PRICES, "float8"),
    "volume": "int8",
    "version": "int2",
}  # none of them is ever null
SENDS = {"timestamptz": "timestamptz_send", "date": "date_send"}  # the others: int4send …
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
    if len(numbers) == 1:
        return _walk(str(numbers[0]), count, timeframe)
    return f"select b.* from unnest({_array(numbers)}) i, lateral ({_walk('i', count, timeframe)}) b"  # noqa: S608


def _walk(number: str, count: int, timeframe: str) -> str:
    bar = f"bar_{timeframe} b where b.instrument = {number}"
    return f"select {FIELDS} from {bar} order by b.ts desc limit {int(count)}"  # noqa: S608


def packed_window(
    number: int, start: dt.date | None, end: dt.date | None, timeframe: str, as_of: dt.datetime | None = None
) -> str:
    """The same of one instrument, packed; `stored` says how many rows lie there, and of too many none come."""
    first = f" and period >= '{coverage.period(timeframe, start)}'" if start is not None else ""
    last = f" and period <= '{end}'" if end is not None else ""
    rows = _packed(window([number], start, end, timeframe, as_of))
    return (
        f"select stored, case when stored <= {PACKED} then ({rows}) end as packed "  # noqa: S608  # see above
        f"from (select coalesce(sum(stored), 0) as stored from coverage "
        f"where instrument = {number} and timeframe = '{timeframe}'{first}{last}) c"
    )


def packed_newest(numbers: Sequence[int], count: int, timeframe: str) -> str:
    """The newest bars of each instrument, packed, a row an instrument."""
    if len(numbers) == 1:
        return _packed(newest(numbers, count, timeframe))
    return f"select ({_packed(_walk('i', count, timeframe))}) as packed from unnest({_array(numbers)}) i"  # noqa: S608


def _packed(query: str) -> str:
    """All rows of a query as one value; null without any."""
    fields = " || ".join(f"{SENDS.get(kind, f'{kind}send')}(b.{name})" for name, kind in COLUMNS.items())
    return f"select string_agg({fields}, ''::bytea) as packed from ({query}) b"  # noqa: S608


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


def rows(values: Iterable[bytes | None]) -> pl.DataFrame:
    """The rows of packed values, as ADBC would give them."""
    import polars as pl

    records = unpacked((value for value in values if value is not None), COLUMNS)
    native = {name: records[name].astype(records.dtype[name].newbyteorder("=")) for name in COLUMNS}
    native["ts"] += EPOCH
    native["session"] += EPOCH_DAYS
    kinds = {"ts": pl.Datetime("us", "UTC"), "session": pl.Date()}
    told = (pl.Series(name, values) for name, values in native.items())
    return pl.DataFrame([each.cast(kinds[each.name]) if each.name in kinds else each for each in told])


def bars(rows: pl.DataFrame, numbers: Mapping[str, int], timeframe: str) -> pl.DataFrame:
    """What came, as a bars frame plus version, sorted by symbol and ts.

    Whole columns and no expressions: of 200 bars an expression costs more than the reading, of five million a lookup
    table less than any join. The columns are made whole before they are sorted: gathering out of ADBC's thousand
    pieces takes longer than all else.
    """
    import polars as pl

    if rows.is_empty():
        return empty()
    rows = rows.rechunk()
    names = sorted(numbers)
    rank, ts = _ranks(rows["instrument"].to_numpy(), [numbers[name] for name in names]), _in_utc(rows["ts"])
    found = [rows["session"], ts, *(rows[name] for name in (*PRICES, "volume")), rows["version"].cast(pl.Int32)]
    if (order := _order(rank, ts.to_physical().to_numpy())) is not None:
        found, rank = pl.DataFrame(found)[pl.Series(order)].get_columns(), rank[order]
    named = pl.Series("symbol", names, dtype=pl.String)
    symbol = named.gather(rank) if len(names) > 1 else named.new_from_index(0, len(rank))
    return pl.DataFrame([symbol, pl.Series("timeframe", [timeframe]).new_from_index(0, len(rank)), *found])


def _ranks(instruments: np.ndarray[Any, Any], ordered: Sequence[int]) -> np.ndarray[Any, Any]:
    """The place of each row's instrument among those in order."""
    import numpy as np

    ranks = np.zeros(max(ordered) + 1, "u4")
    ranks[ordered] = np.arange(len(ordered))
    return np.asarray(ranks[instruments])


def _in_utc(ts: pl.Series) -> pl.Series:
    import polars as pl

    return ts if ts.dtype == pl.Datetime("us", "UTC") else ts.dt.cast_time_unit("us").dt.convert_time_zone("UTC")


def _order(rank: np.ndarray[Any, Any], instants: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Where the rows stand once they are sorted by rank and time; None where they are.

    Both in one number sort in half the time of one after the other; rows come in long stretches that are sorted
    already, and a stable sort merges those.
    """
    import numpy as np

    if ((rank[1:] > rank[:-1]) | ((rank[1:] == rank[:-1]) & (instants[1:] > instants[:-1]))).all():
        return None
    since = instants - instants.min()
    bits = int(since.max()).bit_length()
    if bits + int(rank.max()).bit_length() > 63:  # centuries of a million symbols
        return np.lexsort((instants, rank)).astype("u4")
    return np.argsort((rank.astype("i8") << bits) | since, kind="stable").astype("u4")


def empty() -> pl.DataFrame:
    """No bars, in the same columns."""
    import polars as pl

    return pl.DataFrame(schema={**schema(), "version": pl.Int32()})
