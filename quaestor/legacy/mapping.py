"""Mapping: which table and column of the bot means what; written by hand as TOML, or guessed and confirmed.

    timezone = "America/New_York"      # of times without a zone

    [[prices]]                         # any number of tables
    table = "price_history"
    symbol = "ticker"
    time = "date"
    …
    [trades]                           # at most one, and one [orders]
    table = "trades"

An unknown key, table or column is refused with its line and the nearest name.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from quaestor.bars import SYMBOL
from quaestor.config import Section, line_of
from quaestor.errors import BadInput, NotFound
from quaestor.legacy.found import Table
from quaestor.orders import Side

Role = Literal["prices", "orders", "trades"]
OPEN_HIGH_LOW_CLOSE = ("open", "high", "low", "close")
SETTINGS = frozenset({"table", "kind", "sides", "fixed_symbol"})  # the keys that name no column


class Use(Section):
    """One table and its columns, by what they mean."""

    table: str = Field(description="The table's name.")
    time: str = Field(description="When: Unix time, ISO text, a date.")
    clock: str = Field("", description="The time of day, where `time` holds the date alone.")

    @property
    def columns(self) -> dict[str, str]:
        """The bot's column by our field; fields that it has not are absent."""
        return {name: column for name, column in self.model_dump(exclude=set(SETTINGS)).items() if column}


class Prices(Use):
    """A table of prices: daily or intraday bars (open, high, low, close), or prices polled now and then (price)."""

    symbol: str = Field("", description="The column of the symbol.")
    fixed_symbol: str = Field(
        "", pattern=SYMBOL, description="The symbol of all rows, where the table has no such column."
    )
    open: str = ""
    high: str = ""
    low: str = ""
    close: str = ""
    price: str = ""
    volume: str = ""
    kind: Literal["auto", "daily", "quotes"] = Field("auto", description="auto: daily if it has one row per session.")

    @model_validator(mode="after")
    def _whole(self) -> Prices:
        if bool(self.symbol) == bool(self.fixed_symbol):
            raise ValueError("give symbol (a column) or fixed_symbol (the symbol of all rows)")
        if not self.price and not self.close:
            raise ValueError("give close (with open, high and low), or price")
        if self.kind == "daily" and not self.bars:
            raise ValueError("daily bars need open, high, low, close and volume")
        return self

    @property
    def bars(self) -> bool:
        """It has all that a bar needs."""
        return all((self.open, self.high, self.low, self.close, self.volume))


class Orders(Use):
    """The table of orders."""

    id: str = ""
    symbol: str
    side: str
    quantity: str
    price: str = ""
    fee: str = ""
    state: str = ""
    sides: dict[str, Side] = Field(default_factory=dict, description="The bot's own words: { enter = 'buy' }.")


class Trades(Orders):
    """The table of trades (fills): a price is needed, and the bot's own profit may stand beside."""

    price: str
    order_id: str = ""
    pnl: str = ""


def _several(value: Any) -> Any:
    """`[prices]` is one of `[[prices]]`."""
    return [value] if isinstance(value, dict) else value


class Mapping(Section):
    """All that is to be read."""

    timezone: str = ""
    prices: Annotated[tuple[Prices, ...], BeforeValidator(_several)] = ()
    orders: Orders | None = None
    trades: Trades | None = None

    @field_validator("timezone")
    @classmethod
    def _known(cls, name: str) -> str:
        if name:
            zone(name)
        return name

    @model_validator(mode="after")
    def _something(self) -> Mapping:
        tables = [use.table for _, use in self.uses()]
        if not tables:
            raise ValueError("name at least one table under [[prices]], [orders] or [trades]")
        if twice := [name for name in tables if tables.count(name) > 1]:
            raise ValueError(f"table {twice[0]!r} is used twice; give it one meaning")
        return self

    def uses(self) -> Iterator[tuple[list[str], Prices | Orders]]:
        """Each table with its place in the file."""
        yield from ((["prices", str(number)], use) for number, use in enumerate(self.prices))
        if self.orders is not None:
            yield ["orders"], self.orders
        if self.trades is not None:
            yield ["trades"], self.trades


def zone(name: str) -> ZoneInfo:
    """A time zone by name. Raises ValueError saying how to write one."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"unknown time zone {name!r}; write it like America/New_York") from error


def parse(text: str, place: str) -> Mapping:
    """Read a map; raises BadInput naming file, line, key and cure."""
    try:
        return Mapping.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{place}: not valid TOML: {error}.") from error
    except ValidationError as error:
        raise BadInput(_explain(error.errors()[0], text, place)) from error


def _explain(error: Any, text: str, place: str) -> str:
    path = [str(part) for part in error["loc"] if part != "[key]"]
    where, key = f"{place}:{line_of(path, text)}", ".".join(part for part in path if not part.isdigit())
    if error["type"] == "extra_forbidden":
        models: dict[str, type[Section]] = {"prices": Prices, "orders": Orders, "trades": Trades}
        known = sorted(models.get(path[0] if path[1:] else "", Mapping).model_fields)
        near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
        return f"{where}: unknown key {key!r}. {hint}"
    return f"{where}: {key or 'file'}: {error['msg'].removeprefix('Value error, ')}."


def check(mapping: Mapping, tables: Sequence[Table], text: str = "", place: str = "the map") -> None:
    """Raise NotFound for a table or column that the database has not, with its line and the nearest name."""
    known = {table.name: table for table in tables}
    for path, use in mapping.uses():
        if use.table not in known:
            raise _unknown("table", use.table, list(known), [*path, "table"], text, place)
        if not known[use.table].rowids:
            cure = "copy it into a plain one in a copy of the file (create table … as select …)"
            raise BadInput(f"Table {use.table!r} has no rowids, by which its rows are known; {cure}.")
        for field, column in use.columns.items():
            if column not in known[use.table].names:
                kind = f"column of {use.table}"
                raise _unknown(kind, column, known[use.table].names, [*path, field], text, place)


def _unknown(kind: str, name: str, known: Sequence[str], path: list[str], text: str, place: str) -> NotFound:
    where = f"{place}:{line_of(path, text)}" if text else place
    return NotFound(f"{where}: {NotFound.named(kind, name, known)}")


def written(mapping: Mapping, notes: Sequence[str] = ()) -> str:
    """The map as TOML, to be saved and corrected; `notes` stand above it as comments."""
    lines = [f"# {note}" for note in notes]
    if mapping.timezone:
        lines += [f"timezone = {json.dumps(mapping.timezone)}"]
    for path, use in mapping.uses():
        lines += ["", f"[[{path[0]}]]" if path[0] == "prices" else f"[{path[0]}]"]
        lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in _said(use).items()]
    return "\n".join(lines).strip() + "\n"


def _said(use: Use) -> dict[str, str]:
    found = {name: value for name, value in use.model_dump().items() if isinstance(value, str) and value}
    return {name: value for name, value in found.items() if (name, value) != ("kind", "auto")}
