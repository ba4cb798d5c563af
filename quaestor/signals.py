"""Signals: a strategy's answer over bars, checked.

A strategy is somebody's code, and its answer becomes orders. So the answer is believed only after it was checked: every
row is about a bar that the strategy was shown, says a share between 0 and 1, says it once, and the shares of a session
fit into the sleeve. What cannot be read is refused, never repaired: a hole filled here would be a trade nobody meant.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quaestor.errors import BadInput, QuaestorError
from quaestor.splits import Split, adjust
from quaestor.strategies.base import COLUMNS
from quaestor.strategies.catalogue import Built, explain, source_file

if TYPE_CHECKING:
    import polars as pl

ANSWER = ("symbol", "session", "target")
SLEEVE = 1 + 1e-9  # the whole sleeve, and the rounding of a few shares like 1/3


def schema() -> dict[str, pl.DataType]:
    """Columns and types of a signal frame.

    bar_end, close (as traded), bar_version: the bar after which the target is wanted; first_session and bars_seen: how
    much of the symbol's history the strategy was shown by then.
    """
    import polars as pl

    return {
        "symbol": pl.String(),
        "session": pl.Date(),
        "bar_end": pl.Datetime("us", "UTC"),
        "target": pl.Float64(),
        "close": pl.Float64(),
        "bar_version": pl.Int32(),
        "first_session": pl.Date(),
        "bars_seen": pl.Int64(),
    }


def compute(built: Built, bars: pl.DataFrame, splits: Sequence[Split], start: dt.date, end: dt.date) -> pl.DataFrame:
    """The signals of a strategy for start ≤ session ≤ end, sorted by session and symbol; see `schema`.

    `bars` is a bars frame plus `version`, from the first bar known: a strategy needs its history. Bars after `end` are
    not shown to it (law 9). Raises BadInput naming strategy, symbol, session and value for an unusable answer.
    """
    import polars as pl

    history = bars.filter(pl.col("session") <= end).sort("symbol", "ts")
    if history.is_empty():
        return pl.DataFrame(schema=schema())
    _refuse(built.name, history, ~_bar().is_first_distinct(), "has a second bar; give the bars of one timeframe")
    answer = _checked(built.name, _ask(built, adjust(history, splits).select(COLUMNS)), history)
    evidence = history.with_columns(
        bar_end="ts",
        bar_version=pl.col("version").cast(pl.Int32),
        first_session=pl.col("session").first().over("symbol"),
        bars_seen=pl.int_range(1, pl.len() + 1).over("symbol"),
    )
    signals = answer.filter(pl.col("session") >= start).join(evidence, on=["symbol", "session"])
    columns = [pl.col(name).cast(kind) for name, kind in schema().items()]
    return signals.select(columns).sort("session", "symbol")


def _ask(built: Built, seen: pl.DataFrame) -> pl.DataFrame:
    """Hand over the kind of frame that the strategy speaks; its own failure is reported with its own line."""
    try:
        given = seen.to_pandas() if built.strategy.frames == "pandas" else seen
        answer = built.strategy.targets(given)
        return _as_polars(built.name, answer)
    except QuaestorError:
        raise
    except Exception as error:
        raise BadInput(f"{built.name}: targets failed: {explain(error, source_file(type(built.strategy)))}.") from error


def _as_polars(name: str, answer: Any) -> pl.DataFrame:
    """Symbol, session and target of a polars (lazy too) or pandas frame."""
    import polars as pl

    frame: Any = answer.collect() if isinstance(answer, pl.LazyFrame) else answer
    if not hasattr(frame, "columns"):
        raise BadInput(f"{name}: targets returned a {type(answer).__name__}: return a polars or pandas frame.")
    if missing := [column for column in ANSWER if column not in frame.columns]:
        raise BadInput(f"{name}: the answer lacks {', '.join(missing)}: return the columns symbol, session, target.")
    asked = frame[list(ANSWER)]
    return asked if isinstance(asked, pl.DataFrame) else pl.DataFrame(pl.from_pandas(asked))


def _checked(name: str, raw: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """The answer in its proper types, or BadInput naming the first row that cannot be used."""
    import polars as pl

    if raw.is_empty():
        return pl.DataFrame(schema={column: schema()[column] for column in ANSWER})
    answer = _typed(name, raw).join(
        history.select("symbol", "session", shown=True), on=["symbol", "session"], how="left"
    )
    target = pl.col("target")
    rules = (
        (pl.col("symbol").is_null() | pl.col("session").is_null(), "names no bar; drop the row"),
        (target.is_null() | target.is_nan(), "is no number; drop the row (no opinion) or say 0 (hold nothing)"),
        (~target.is_between(0, 1), "is not a share between 0 and 1"),
        (~_bar().is_first_distinct(), "is the second answer about that bar; give one"),
        (pl.col("shown").is_null(), "is about a bar that the strategy was not shown; answer for the frame's rows"),
    )
    for wrong, why in rules:
        _refuse(name, answer, wrong, why)
    _require_sleeve(name, answer)
    return answer.drop("shown")


def _bar() -> pl.Expr:
    import polars as pl

    return pl.struct("symbol", "session")


def _typed(name: str, raw: pl.DataFrame) -> pl.DataFrame:
    """Symbols as text, sessions as dates (midnights will do), targets as floats."""
    import polars as pl

    symbol, session, target = (raw.schema[column] for column in ANSWER)
    if not isinstance(symbol, pl.String | pl.Categorical | pl.Enum):
        raise BadInput(f"{name}: symbol is a column of {symbol}: return the symbols as they stand in the frame.")
    day = pl.col("session")
    if not (session == pl.Date or (session == pl.Datetime and raw.select((day == day.dt.truncate("1d")).all()).item())):
        raise BadInput(f"{name}: session is a column of {session}: return the dates as they stand in the frame.")
    if not target.is_numeric():
        raise BadInput(f"{name}: target is a column of {target}: return numbers between 0 and 1.")
    return raw.select(pl.col("symbol").cast(pl.String), day.dt.date(), pl.col("target").cast(pl.Float64))


def _refuse(name: str, answer: pl.DataFrame, wrong: pl.Expr, why: str) -> None:
    """Raise BadInput for the first row (by session and symbol) that is wrong."""
    for row in answer.filter(wrong).sort("session", "symbol").head(1).iter_rows(named=True):
        value = f": target {row['target']}" if "target" in row else ""
        raise BadInput(f"{name}: {row['symbol']} {row['session']}{value} {why}.")


def _require_sleeve(name: str, answer: pl.DataFrame) -> None:
    import polars as pl

    over = answer.filter(pl.col("target").sum().over("session") > SLEEVE)
    if over.is_empty():
        return
    first = over.filter(pl.col("session") == pl.col("session").min()).sort("target", descending=True)
    largest = ", ".join(
        f"{symbol} {target:g}" for symbol, target in first.select("symbol", "target").head(4).iter_rows()
    )
    total, session = first["target"].sum(), first["session"][0]
    raise BadInput(f"{name}: the targets of {session} sum to {total:g} ({largest}): together they may be at most 1.")
