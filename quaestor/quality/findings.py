"""Files that a person wrote: what makes a daily bar unusable, and in which row.

The first finding refuses the whole file, naming place, field and cure: its author is there and can mend it. Each rule
is one polars expression over a bars frame, so a million rows cost one pass; only the first finding is put into words. A
field has at most one finding per row, the most elementary: an empty high is not also "below the low". `stamped` leaves
`ts` null where the date is no session, and the rule `no_session` reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from quaestor import calendar
from quaestor.bars import DAILY, PRICES
from quaestor.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

HIGHEST_PRICE = 1e7  # dollars; no share ever cost a million: a lost decimal point, or another column
HIGHEST_VOLUME = 1e12  # shares; more than any company has


class Places(Protocol):
    """How rows are named to a person: by the line of a file, or by the row of a frame."""

    def at(self, row: int, field: str) -> str:
        """Place and field of a fault, the head of a message: "AAPL.csv:7: field 'High'"."""
        ...

    def spot(self, row: int) -> str:
        """The row alone, inside a sentence: "line 7"."""
        ...


@dataclass(frozen=True)
class Rows:
    """Places in a frame that came from no file; a person counts rows from 1."""

    name: str

    def at(self, row: int, field: str) -> str:
        """The head of a message."""
        return f"{self.name}: {self.spot(row)}: field {field!r}"

    def spot(self, row: int) -> str:
        """The row, counted from 1."""
        return f"row {row + 1}"


@dataclass(frozen=True, slots=True)
class FileRule:
    """One way for a field to be bad; `says` is the message, to be filled with the row's values."""

    id: str
    field: str
    bad: pl.Expr
    says: str


def stamped(prices: pl.DataFrame) -> pl.DataFrame:
    """Daily prices (symbol, session, open … volume) with timeframe and ts, the session's close (null: no session)."""
    import polars as pl

    first, last = prices.select(a=pl.col("session").min(), b=pl.col("session").max()).row(0)
    closes = calendar.closes(first or calendar.FIRST, last or calendar.FIRST)
    return prices.with_columns(timeframe=pl.lit(DAILY)).join(closes, on="session", how="left", maintain_order="left")


def check(bars: pl.DataFrame, places: Places) -> None:
    """Raise BadInput for the first fault of a bars frame, naming place, field and cure, and how many more there are."""
    refuse(findings(bars), lambda row, field, rule: explain(bars, row, field, rule, places))


def findings(bars: pl.DataFrame) -> pl.DataFrame:
    """Every fault as (row, field, rule), top to bottom; rows count from 0. Empty: the frame is good."""
    import polars as pl

    asked = [rule for rule in rules() if rule.field in bars.columns]
    broken = bars.select(rule.bad.fill_null(value=False).alias(f"{rule.id} {rule.field}") for rule in asked)
    rows = ((rule, broken[f"{rule.id} {rule.field}"].arg_true()) for rule in asked)
    return merged([pl.DataFrame({"row": bad}).with_columns(finding(rule.field, rule.id)) for rule, bad in rows])


def finding(field: str, rule: str) -> list[pl.Expr]:
    """The columns that make a frame of row numbers one of findings."""
    import polars as pl

    return [pl.lit(field).alias("field"), pl.lit(rule).alias("rule")]


def merged(found: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Findings together, by row; of several about one field of a row the first stays."""
    import polars as pl

    return pl.concat(found).unique(["row", "field"], keep="first", maintain_order=True).sort("row", maintain_order=True)


def refuse(found: pl.DataFrame, say: Callable[[int, str, str], str]) -> None:
    """Raise BadInput with the first finding in words, unless there is none."""
    if found.is_empty():
        return
    raise BadInput(say(*found.row(0)) + more(found.height - 1))


def more(count: int) -> str:
    """How many problems follow the one that is told, as the end of a message."""
    return f" {count} more problem{'s follow' if count > 1 else ' follows'}." if count else ""


def explain(bars: pl.DataFrame, row: int, field: str, rule: str, places: Places) -> str:
    """One finding in a sentence: place, field, what is wrong, cure."""
    values = bars.row(row, named=True)
    says = next(each.says for each in rules() if (each.id, each.field) == (rule, field))
    return f"{places.at(row, field)}: " + says.format_map(
        {**values, "value": values[field], "other": _other(bars, row, rule, places)}
    )


def _other(bars: pl.DataFrame, row: int, rule: str, places: Places) -> str:
    """What a rule about dates compares with: the calendar, the date's first row, or the row before."""
    import polars as pl

    symbol, session = bars["symbol"][row], bars["session"][row]
    above = bars.head(row).with_row_index("at").filter(pl.col("symbol").eq_missing(symbol))
    match rule:
        case "no_session":
            return calendar.why_closed(session)
        case "duplicate":
            return places.spot(above.filter(pl.col("session") == session)["at"][0])
        case "unsorted":
            return f"{above['session'][-1]} ({places.spot(above['at'][-1])})"
    return ""


@lru_cache(maxsize=1)
def rules() -> tuple[FileRule, ...]:
    """All rules, the most elementary first: the first that a field breaks speaks for it."""
    prices = (*PRICES, "adj_close")  # the vendor's adjusted close, in files that have one
    return (
        *(_missing(name) for name in ("symbol", "session", *prices, "volume")),
        *(rule for name in prices for rule in _price(name)),
        *_volume(),
        *_range(),
        *_dates(),
    )


def _missing(name: str) -> FileRule:
    import polars as pl

    return FileRule("missing", name, pl.col(name).is_null(), "empty; fill it in or remove the row.")


def _price(name: str) -> Sequence[FileRule]:
    import polars as pl

    price = pl.col(name)
    return (
        FileRule("not_finite", name, ~price.is_finite(), "{value} is no price; correct it or remove the row."),
        FileRule("not_positive", name, price <= 0, "{value} is not above zero; correct it or remove the row."),
        FileRule("too_high", name, price > HIGHEST_PRICE, "{value} dollars is beyond any share; correct it."),
    )


def _volume() -> Sequence[FileRule]:
    import polars as pl

    volume = pl.col("volume").cast(pl.Float64)
    return (
        FileRule("not_finite", "volume", ~volume.is_finite(), "{value} is no count of shares; correct it."),
        FileRule("negative", "volume", volume < 0, "{value} is below zero; correct it (0 where nothing was traded)."),
        FileRule("too_high", "volume", volume > HIGHEST_VOLUME, "{value} shares is beyond any session; correct it."),
        FileRule("not_whole", "volume", volume != volume.floor(), "{value} is no whole number of shares; correct it."),
    )


def _range() -> Sequence[FileRule]:
    import polars as pl

    low, high = pl.col("low"), pl.col("high")
    known = low.is_finite() & high.is_finite()
    outside = "{value} is outside the session's range, low {low} to high {high}; correct the row."
    return (
        FileRule("high_below_low", "high", known & (high < low), "{value} is below the low, {low}; correct the row."),
        *(
            FileRule("outside_range", name, known & (low <= high) & ~pl.col(name).is_between(low, high), outside)
            for name in ("open", "close")
        ),
    )


def _dates() -> Sequence[FileRule]:
    import polars as pl

    day = pl.col("session")
    again = ~pl.struct("symbol", "timeframe", "session").is_first_distinct()
    back = day < day.shift(1).over("symbol", "timeframe")
    return (
        FileRule("no_session", "session", pl.col("ts").is_null(), "{other}; correct the date or remove the row."),
        FileRule("duplicate", "session", again, "{value} stands already in {other}; keep one of the two."),
        FileRule("unsorted", "session", back, "{value} follows {other}; sort the rows by date, oldest first."),
    )
