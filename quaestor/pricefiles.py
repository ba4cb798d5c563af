"""Files of daily prices: bytes in; out, a checked bars frame and the splits that its adjusted closes tell of.

One problem refuses the whole file: half a history is worse than none, because an indicator would bridge the hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from quaestor import quality, tables
from quaestor.bars import schema
from quaestor.splits import Split, derive_splits
from quaestor.tables import Column, Table

if TYPE_CHECKING:
    import polars as pl

PRICES = {
    "session": Column("date", "date"),
    **{name: Column(name, "number") for name in ("open", "high", "low", "close", "volume")},
    "adj_close": Column("adj_close", "number", needed=False),
}
SYMBOL = {"symbol": Column("ticker", "text")}


@dataclass(frozen=True)
class Prices:
    """What one file holds: a bars frame, and the splits derived from its adjusted closes (none without them)."""

    bars: pl.DataFrame
    splits: tuple[Split, ...]

    def of(self, symbol: str) -> Prices:
        """One symbol's part."""
        mine = self.bars.filter(self.bars["symbol"] == symbol)
        return Prices(mine, tuple(split for split in self.splits if split.symbol == symbol))


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
    splits = derive_splits(frame) if "adj_close" in frame.columns else []
    bars = frame.with_columns(pl.col("volume").cast(pl.Int64)).select(list(schema())).sort("symbol", "ts")
    return Prices(bars, tuple(splits))


def _refuse(table: Table, frame: pl.DataFrame, misfits: pl.DataFrame) -> None:
    """Raise BadInput for the first finding: what will not cast, then what no bar can be."""

    def say(row: int, field: str, rule: str) -> str:
        if rule in tables.MISFITS:
            return table.explain(row, field, rule)
        return quality.explain(frame, row, field, rule, table)

    quality.refuse(quality.merged([misfits, quality.findings(frame)]), say)
