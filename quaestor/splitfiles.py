"""Files of splits that a person declares, and their agreement with the prices.

A declared split is believed over a derived one, but not against the prices: if the as-traded closes do not step by its
ratio, its date or ratio is wrong, or the prices are split-adjusted already. Applied all the same, it would halve or
double every return across it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from quaestor import quality, tables
from quaestor.bars import SYMBOL
from quaestor.errors import BadInput
from quaestor.splits import Split, shown
from quaestor.tables import Column, Table

if TYPE_CHECKING:
    import polars as pl

COLUMNS = {
    "symbol": Column("symbol", "text"),
    "session": Column("date", "date"),
    "ratio": Column("ratio", "text"),
}
RATIO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(?:\s*[:/]\s*(\d{1,9}(?:\.\d{1,9})?))?")
FINEST = 10_000  # shares; no company splits 10,001 new for 10,000 old

SAYS = {
    "no_symbol": "is no symbol; write it like AAPL.",
    "no_ratio": "is no ratio of new shares to old; write it like 2:1, 3:2 or 2.",
}


@dataclass(frozen=True, slots=True)
class Declared:
    """A split, and the place where a person wrote it."""

    split: Split
    place: str


def read(raw: bytes, file: str) -> list[Declared]:
    """The splits in a CSV of symbol, date, ratio; a file without rows declares none.

    Raises BadInput for the first problem, naming file, line, field and cure, and how many more there are.
    """
    table = tables.read(raw, file, COLUMNS)
    typed, misfits = table.cast()
    frame = quality.stamped(typed.with_columns(typed["symbol"].str.to_uppercase()))
    ratios = [_ratio(text) for text in frame["ratio"]]
    _refuse(table, frame, [misfits, *_misread(frame, ratios), quality.findings(frame)])
    rows = zip(frame["symbol"], frame["session"], ratios, strict=True)
    return [
        Declared(Split(symbol, session, ratio), table.at(row, "ratio"))
        for row, (symbol, session, ratio) in enumerate(rows)
        if ratio
    ]


def _ratio(text: str | None) -> Fraction | None:
    """New shares for one old: "2:1", "3/2", "2" or "0.1"."""
    parts = RATIO.fullmatch(text or "")
    if parts is None or not Fraction(parts[2] or 1):
        return None
    ratio = Fraction(parts[1]) / Fraction(parts[2] or 1)
    return ratio if ratio not in {0, 1} and max(ratio.numerator, ratio.denominator) <= FINEST else None


def _misread(frame: pl.DataFrame, ratios: Sequence[Fraction | None]) -> list[pl.DataFrame]:
    import polars as pl

    bad = {
        "symbol": ~frame["symbol"].str.contains(SYMBOL),
        "ratio": pl.Series([ratio is None for ratio in ratios], dtype=pl.Boolean),
    }
    return [
        pl.DataFrame({"row": mask.fill_null(value=False).arg_true()}).with_columns(quality.finding(name, f"no_{name}"))
        for name, mask in bad.items()
    ]


def _refuse(table: Table, frame: pl.DataFrame, found: Sequence[pl.DataFrame]) -> None:
    import polars as pl

    def say(row: int, field: str, rule: str) -> str:
        if rule in SAYS:
            return f"{table.at(row, field)}: {str(table.cells[field][row] or '')[:40]!r} {SAYS[rule]}"
        if rule in tables.MISFITS:
            return table.explain(row, field, rule)
        return quality.explain(frame, row, field, rule, table)

    # A list of splits may stand in any order.
    quality.refuse(quality.merged(found).filter(pl.col("rule") != "unsorted"), say)


def agreed(bars: pl.DataFrame, declared: Sequence[Declared], derived: Sequence[Split]) -> tuple[Split, ...]:
    """All splits of one symbol's bars: the declared ones, and those derived that nobody declared.

    Raises BadInput for a declared split that the as-traded closes or the adjusted closes contradict.
    """
    at_bar = {bar: each for each in declared if (bar := _first_bar(bars, each.split))}
    for each in declared:
        _refuse_unseen(bars, each)
    for split in derived:
        if split.session in at_bar:
            _refuse_unlike(at_bar[split.session], split)
    undeclared = [split for split in derived if split.session not in at_bar]
    return tuple(sorted([each.split for each in declared] + undeclared))


def _first_bar(bars: pl.DataFrame, split: Split) -> dt.date | None:
    """Where a split shows: the first bar on or after its session (the symbol may not trade on that day)."""
    later = bars["session"].filter(bars["session"] >= split.session)
    return None if later.is_empty() else later[0]


def _refuse_unseen(bars: pl.DataFrame, declared: Declared) -> None:
    split = declared.split
    if shown(bars, split) is False:
        step = f"the closes of {split.symbol} do not step by {_text(split.ratio)} on {split.session}"
        cure = "correct date or ratio, or remove the row if the prices are split-adjusted already"
        raise BadInput(f"{declared.place}: {step}; {cure}.")


def _refuse_unlike(declared: Declared, derived: Split) -> None:
    if declared.split.ratio != derived.ratio:
        told = f"{_text(declared.split.ratio)}, but the adjusted closes tell {_text(derived.ratio)}"
        raise BadInput(f"{declared.place}: {told} on {derived.session}; correct the one that is wrong.")


def _text(ratio: Fraction) -> str:
    return f"{ratio.numerator}:{ratio.denominator}"
