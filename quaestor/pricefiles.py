"""Files of prices: bytes in; out, a bars frame and, of daily ones, the splits that its adjusted closes tell of.

One problem refuses the whole file: half a history is worse than none, because an indicator would bridge the hole.

An intraday file says in each row when the bar was, with a zone: in the column `ts` when it ended (as Quaestor keeps
it), in the column `timestamp`, `datetime` or `date` when it began (as vendors write it). Taken for the other, an end
would only make a bar known later than it was; a start taken for an end would show the future.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor import pages, quality, tables
from quaestor.bars import SECONDS, schema
from quaestor.dividends import Dividend, derive_dividends
from quaestor.errors import BadInput
from quaestor.splits import Split, derive_splits
from quaestor.tables import Column, Table

if TYPE_CHECKING:
    import polars as pl

PRICES = {
    "session": Column("date", "date"),
    **{name: Column(name, "number") for name in ("open", "high", "low", "close", "volume")},
    "adj_close": Column("adj_close", "number", needed=False),
}
TIMES = {"ts": "ts", "start": "timestamp", "start_2": "datetime", "start_3": "date"}
INTRADAY = {
    **{name: Column(header, "time", needed=False) for name, header in TIMES.items()},
    **{name: PRICES[name] for name in ("open", "high", "low", "close", "volume")},
}
SYMBOL = {"symbol": Column("ticker", "text")}


@dataclass(frozen=True)
class Prices:
    """What one file holds: a bars frame, and what its adjusted closes tell of (nothing without them)."""

    bars: pl.DataFrame
    splits: tuple[Split, ...]
    dividends: tuple[Dividend, ...] = ()

    def of(self, symbol: str) -> Prices:
        """One symbol's part."""
        mine = self.bars.filter(self.bars["symbol"] == symbol)
        splits = tuple(split for split in self.splits if split.symbol == symbol)
        return Prices(mine, splits, tuple(paid for paid in self.dividends if paid.symbol == symbol))


def read(raw: bytes, file: str, symbol: str | None = None) -> Prices:
    """The prices of `symbol`; where it is None, of all symbols in the file's column `ticker`.

    Raises BadInput for the first problem, naming file, line, field and cure, and how many more there are.
    """
    import polars as pl

    table = tables.read(raw, file, PRICES if symbol else SYMBOL | PRICES)
    table.refuse_empty()
    typed, misfits = table.cast()
    frame = quality.stamped(typed.with_columns(symbol=pl.lit(symbol)) if symbol else typed)
    _refuse(table, frame, misfits)
    adjusted = "adj_close" in frame.columns
    splits = derive_splits(frame) if adjusted else []
    dividends = derive_dividends(frame, splits) if adjusted else []
    bars = frame.with_columns(pl.col("volume").cast(pl.Int64)).select(list(schema())).sort("symbol", "ts")
    return Prices(bars, tuple(splits), tuple(dividends))


def intraday(raw: bytes, file: str, symbol: str, timeframe: str) -> pl.DataFrame:
    """The bars of an intraday file; what no bar can be is left to the quality gate, row by row.

    Raises BadInput for the first cell that is no number or no time with a zone, naming file, line, field and cure.
    """
    table = tables.read(raw, file, INTRADAY)
    table.refuse_empty()
    typed, misfits = table.cast()
    quality.refuse(misfits, table.explain)
    starts = _starts(table, typed, timeframe).alias("start")
    rows = typed.drop(TIMES, strict=False).with_columns(starts, pages.whole())
    return pages.stamped(rows, symbol, timeframe)


def _starts(table: Table, typed: pl.DataFrame, timeframe: str) -> pl.Series:
    named = [name for name in TIMES if name in typed.columns]
    if len(named) != 1:
        which = ", ".join(table.spelled[name] for name in named) or "none"
        raise BadInput(
            f"{table.file}: it needs one column of times, `timestamp` (starts) or `ts` (ends); it has {which}."
        )
    times = typed[named[0]]
    if times.null_count():
        raise BadInput(f"{table.at(times.is_null().arg_true()[0], named[0])}: empty; fill it in or remove the row.")
    return times - dt.timedelta(seconds=SECONDS[timeframe]) if named[0] == "ts" else times


def _refuse(table: Table, frame: pl.DataFrame, misfits: pl.DataFrame) -> None:
    """Raise BadInput for the first finding: what will not cast, then what no bar can be."""

    def say(row: int, field: str, rule: str) -> str:
        if rule in tables.MISFITS:
            return table.explain(row, field, rule)
        return quality.explain(frame, row, field, rule, table)

    quality.refuse(quality.merged([misfits, quality.findings(frame)]), say)
