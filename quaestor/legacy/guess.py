"""Guess: which table and column mean what, from their names, and from values that must fit the meaning.

A column is chosen by its name, best name first, if most of its values can be read as what it should be. Two columns
with equally good names and different values are a doubt, and so are two tables: a doubt is not decided by chance but
told, with what to write into the map. Tables of another purpose (positions, settings, backtests) are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

from quaestor.legacy import cells
from quaestor.legacy.found import Column, Table
from quaestor.legacy.mapping import Mapping, Orders, Prices, Trades
from quaestor.legacy.names import CLOCKS, FEE, FIELDS, FILLER, NEEDED, OTHER, PNL, STATE, WORDS, Tiers

UTC = ZoneInfo("UTC")
FITS = 0.5  # of the values must be readable: an old table has its bad rows

KINDS: dict[str, Callable[[Any], object]] = {
    "symbol": cells.symbol,
    "time": lambda value: cells.moment(value, UTC),
    "side": lambda value: cells.side(value, {}),
    "id": cells.label,
    "order_id": cells.label,
    "state": cells.label,
}  # all others are numbers


@dataclass(frozen=True)
class Candidate:
    """A table that may have a role: how well its name fits, the columns found, and what is not clear about them."""

    table: Table
    role: str
    named: int
    columns: dict[str, str]
    doubts: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """All that is needed was found."""
        needed = set(NEEDED[self.role]) <= self.columns.keys()
        bars = {"open", "high", "low", "close"} <= self.columns.keys()
        return needed and (self.role != "prices" or bars or (self.named > 0 and "price" in self.columns))


@dataclass(frozen=True)
class Guess:
    """What was guessed (None: nothing), tables that were not used, and what a person must decide."""

    mapping: Mapping | None
    unused: tuple[str, ...] = ()
    doubts: tuple[str, ...] = field(default=())


def guess(tables: Sequence[Table]) -> Guess:
    """The best mapping of these tables; with doubts it must not be used unseen."""
    found = {table.name: _role(table) for table in tables}
    offers = [candidate for candidate in found.values() if candidate is not None]
    chosen, doubts = _chosen(offers)
    used = {candidate.table.name for candidate in chosen}
    unsure = [f"{candidate.table.name}: {doubt}" for candidate in chosen for doubt in candidate.doubts]
    complete = [candidate for candidate in chosen if candidate.whole]
    unused = tuple(sorted(found.keys() - used))
    return Guess(_mapping(complete), unused, (*doubts, *unsure))


def _role(table: Table) -> Candidate | None:
    """What a table is, by its name or, where the name says nothing, by its columns; None for one of another purpose."""
    words = _words(table.name)
    if not table.rowids or words & OTHER:
        return None
    named = [role for role in ("trades", "orders", "prices") if words & WORDS[role]]
    if named:
        return _candidate(table, named[0], 2 if words <= WORDS[named[0]] else 1)
    silent = [_candidate(table, role, 0) for role in _by_columns(table)]
    return next((candidate for candidate in silent if candidate.whole), None)


def _by_columns(table: Table) -> Sequence[str]:
    """The roles that a table without a telling name may have, the likelier first."""
    names = {_letters(name) for name in table.names}
    kept_by_orders = names & set(STATE[0]) and not names & {*FEE[0], *PNL[0]}
    return ("orders", "prices") if kept_by_orders else ("trades", "prices")


def _candidate(table: Table, role: str, named: int) -> Candidate:
    columns: dict[str, str] = {}
    doubts = []
    for name, tiers in FIELDS[role].items():
        best = _best(table, name, tiers, set(columns.values()))
        if len(best) == 1:
            columns[name] = best[0].name
        elif best:
            choices = ", ".join(repr(column.name) for column in best)
            doubts.append(f'{name} may be {choices}; write {name} = "…" under [{role}].')
    if clock := _clock(table, columns):
        columns["clock"] = clock
    found = Candidate(table, role, named, columns, tuple(doubts))
    return found if found.whole or doubts or role == "prices" else replace(found, doubts=(_lacking(found),))


def _lacking(found: Candidate) -> str:
    lacks = [name for name in NEEDED[found.role] if name not in found.columns]
    cure = f'write {lacks[0]} = "…" under [{found.role}], or a map without this table.'
    return f"no column was recognised as its {' or '.join(lacks)}; {cure}"


def _best(table: Table, name: str, tiers: Tiers, taken: set[str]) -> Sequence[Column]:
    """The columns of the first tier that has any that fit; of columns that hold the same, one."""
    for tier in tiers:
        fitting = [
            column
            for column in table.columns
            if _letters(column.name) in tier and column.name not in taken and _fits(name, column)
        ]
        if fitting:
            same = all(list(column.samples) == list(fitting[0].samples) for column in fitting)
            return fitting[:1] if same else fitting
    return ()


def _fits(name: str, column: Column) -> bool:
    values = [value for value in column.samples if not cells.empty(value)]
    good = sum(_readable(KINDS.get(name, cells.amount), value) for value in values)
    return good >= FITS * len(values) and bool(values or not column.samples)  # a column that nobody fills means nothing


def _readable(kind: Callable[[Any], object], value: Any) -> bool:
    try:
        return kind(value) is not None
    except cells.Unreadable:
        return False


def _clock(table: Table, columns: dict[str, str]) -> str | None:
    """A column that holds the time of day, where the time found holds days alone."""
    day = next((column for column in table.columns if column.name == columns.get("time")), None)
    if day is None or not day.samples or not all(re.fullmatch(r"\S{8,10}", str(value)) for value in day.samples):
        return None
    for column in table.columns:
        clock = all(re.match(r"\d{1,2}:\d{2}", str(value)) for value in column.samples)
        if column is not day and _letters(column.name) in CLOCKS and column.samples and clock:
            return column.name
    return None


def _chosen(offers: Sequence[Candidate]) -> tuple[list[Candidate], list[str]]:
    """Every table of prices; of trades and orders the one whose name fits best, or a doubt."""
    filled = [each for each in offers if each.table.rows and (each.whole or each.doubts)]
    chosen, doubts = [each for each in filled if each.role == "prices"], []
    for role in ("orders", "trades"):
        mine = sorted((each for each in filled if each.role == role), key=_rank, reverse=True)
        if len(mine) > 1 and _rank(mine[0]) == _rank(mine[1]):
            names = " and ".join(repr(each.table.name) for each in mine if _rank(each) == _rank(mine[0]))
            doubts.append(f'both {names} look like {role}; write table = "…" under [{role}].')
        chosen += mine[:1]
    return chosen, doubts


def _rank(candidate: Candidate) -> tuple[bool, int]:
    return candidate.whole, candidate.named


def _mapping(chosen: Sequence[Candidate]) -> Mapping | None:
    if not chosen:
        return None
    prices = tuple(Prices(table=each.table.name, **_priced(each.columns)) for each in chosen if each.role == "prices")
    orders, trades = (next((each for each in chosen if each.role == role), None) for role in ("orders", "trades"))
    return Mapping(
        prices=prices,
        orders=Orders(table=orders.table.name, **orders.columns) if orders else None,
        trades=Trades(table=trades.table.name, **trades.columns) if trades else None,
    )


def _priced(columns: dict[str, str]) -> dict[str, Any]:
    """Bars without a polled price beside them; a lone close is a price."""
    if {"open", "high", "low", "close"} <= columns.keys():
        return {name: column for name, column in columns.items() if name != "price"}
    lone = {name: column for name, column in columns.items() if name not in {"open", "high", "low"}}
    return {name: column for name, column in lone.items() if name != "close" or "price" not in lone}


def _words(name: str) -> set[str]:
    """The words of a table's name, in the singular: stockPrices, stock_prices and STOCK-PRICE are the same two."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1_\2", name)
    return set(_singular(re.split(r"[^a-z]+", spaced.lower())))


def _singular(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        single = word if word.endswith("ss") else word.removesuffix("s")
        if word not in FILLER:
            yield single


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
