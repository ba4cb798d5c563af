"""Parity: what was read, what became of each row, and the proof that PostgreSQL holds the same.

Every row read is in exactly one count: loaded, already there, left out (better data is stored), different (stored
earlier with another content; kept as it was) or rejected. Sums are made twice, of the file's rows and by PostgreSQL of
the stored ones; where they are not equal to the last digit the import is undone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from typing import Any

from quaestor.errors import BooksDisagree
from quaestor.legacy.daily import Bars
from quaestor.legacy.judge import Judged
from quaestor.legacy.profit import Profit
from quaestor.legacy.rows import Deal, Place, Quote, Rejected

KINDS = ("prices", "orders", "trades")
EXAMPLES = 5  # of each rule, and of each kind of difference


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of the rows of one kind: new ones by table, and the places of those stored with other content."""

    new: Mapping[str, int] = field(default_factory=dict)
    different: Collection[Place] = ()


@dataclass(frozen=True, slots=True)
class Total:
    """Sums of one table and side. Of prices: quantity is the volume, notional the sum of the prices."""

    table: str
    side: str
    rows: int
    quantity: Decimal
    notional: Decimal
    fees: Decimal


@dataclass(frozen=True)
class TableReport:
    """What became of one table's rows."""

    table: str
    kind: str
    read: int
    loaded: int
    already_there: int
    left_out: int
    different: int
    rejected: int
    rules: Mapping[str, int]
    examples: Sequence[Rejected]


@dataclass(frozen=True)
class Report:
    """The parity report of one import."""

    file: str
    sha256: str
    source: str
    dry_run: bool
    timezone: str
    tables: Sequence[TableReport]
    bars: Mapping[str, Any]
    differences: Sequence[str]
    totals: Sequence[Total]
    pnl_from: str
    pnl: Sequence[Profit]
    same: bool

    @property
    def count(self) -> Counter[str]:
        """Rows of all tables by what became of them."""
        names = ("read", "loaded", "already_there", "left_out", "different", "rejected")
        return Counter({name: sum(getattr(table, name) for table in self.tables) for name in names})


def source_of(shared: Mapping[str, Mapping[str, tuple[int, int]]], fallback: str) -> str:
    """Which earlier import these rows continue: a file may grow or move, but most of its rows stay as they were.

    `shared` counts, by kind and earlier source, rows of the same table and rowid, and how many of them are equal.
    """
    for kind in ("trades", "orders", "prices"):
        if found := shared.get(kind):
            source, (rows, equal) = max(found.items(), key=lambda item: (item[1][1], item[0]))
            return source if 2 * equal > rows else fallback
    return fallback


def deal_totals(deals: Iterable[Deal], different: Collection[Place]) -> list[Total]:
    """Sums by table and side, without the rows that are stored with other content."""
    rows: dict[tuple[str, str], list[Deal]] = defaultdict(list)
    for deal in deals:
        if (deal.table, deal.row_id) not in different:
            rows[deal.table, deal.side.value].append(deal)
    return [_deal_total(table, side, mine) for (table, side), mine in sorted(rows.items())]


def _deal_total(table: str, side: str, deals: Sequence[Deal]) -> Total:
    with localcontext(prec=200):
        zero = Decimal(0)
        quantity = sum((deal.quantity for deal in deals), zero)
        notional = sum((deal.quantity * (deal.price or zero) for deal in deals), zero)
        return Total(table, side, len(deals), quantity, notional, sum((deal.fee or zero for deal in deals), zero))


def price_totals(quotes: Iterable[Quote], different: Collection[Place] = ()) -> list[Total]:
    """The same of prices, by table."""
    rows: dict[str, list[Quote]] = defaultdict(list)
    for quote in quotes:
        if (quote.table, quote.row_id) not in different:
            rows[quote.table].append(quote)
    return [_price_total(table, mine) for table, mine in sorted(rows.items())]


def _price_total(table: str, quotes: Sequence[Quote]) -> Total:
    with localcontext(prec=200):
        zero = Decimal(0)
        volume = sum((quote.volume or zero for quote in quotes), zero)
        return Total(table, "", len(quotes), volume, sum((quote.price for quote in quotes), zero), zero)


def prove(what: str, file: Sequence[Any], stored: Sequence[Any]) -> None:
    """Raise BooksDisagree where PostgreSQL has other sums than the file."""
    if list(file) != list(stored):
        mine, theirs = (next((each for each in file if each not in stored), None), next(iter(stored), None))
        raise BooksDisagree(
            f"{what}: the file has {mine}, PostgreSQL {theirs}. Nothing was imported; report this as a defect."
        )


def tables(judged: Judged, kinds: Mapping[str, str], merged: Mapping[str, Merged], bars: Bars) -> list[TableReport]:
    """The account of every table's rows; raises BooksDisagree when one is in no count or in two."""
    rejected: dict[str, list[Rejected]] = defaultdict(list)
    for row in judged.rejected:
        rejected[row.table].append(row)
    return [_table(table, kinds[table], judged, merged, bars, rejected[table]) for table in judged.read]


def _table(
    table: str, kind: str, judged: Judged, merged: Mapping[str, Merged], bars: Bars, rejected: Sequence[Rejected]
) -> TableReport:
    outcome = merged[kind]
    different = sum(place[0] == table for place in outcome.different) + _of(table, bars.different)
    loaded = outcome.new.get(table, 0) + _of(table, bars.new)
    staged = _of(table, getattr(judged, "quotes" if kind == "prices" else kind))
    already = staged - outcome.new.get(table, 0) - sum(place[0] == table for place in outcome.different)
    left_out = _of(table, bars.agree) + _of(table, [bar for bar, _ in bars.disagree])
    counts = (loaded, already + _of(table, bars.already), left_out, different, len(rejected))
    if sum(counts) != judged.read[table]:
        raise BooksDisagree(f"Table {table}: {judged.read[table]} rows were read, {sum(counts)} are accounted for.")
    rules = Counter(row.rule for row in rejected)
    return TableReport(table, kind, judged.read[table], *counts, dict(rules.most_common()), _examples(rejected))


def _of(table: str, rows: Iterable[Quote | Deal]) -> int:
    return sum(row.table == table for row in rows)


def _examples(rejected: Sequence[Rejected]) -> list[Rejected]:
    """The first rows of each rule."""
    by_rule: dict[str, list[Rejected]] = defaultdict(list)
    for row in rejected:
        by_rule[row.rule].append(row)
    return [row for rows in by_rule.values() for row in rows[:EXAMPLES]]


def differences(merged: Mapping[str, Merged], bars: Bars) -> list[str]:
    """Rows that were stored earlier with other content, the first of them in words."""
    places = [f"{table} rowid {row}" for kind in KINDS for table, row in sorted(merged[kind].different)]
    return [*places, *(f"{bar.table} rowid {bar.row_id}: {bar.symbol} {bar.session}" for bar in bars.different)]
