"""Rows: a bot's rows judged one by one; each is kept as a price, an order or a trade, or rejected with its reason.

A table of prices whose sessions have one time each, with open, high, low, close and volume, holds daily bars; every
other holds quotes: prices as they were seen at a moment. A daily bar's session is the day that the row names, a
quote's the exchange date of its moment. Of two rows about the same symbol and time the first is kept.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from quaestor import calendar
from quaestor.legacy import cells
from quaestor.legacy.mapping import OPEN_HIGH_LOW_CLOSE, Orders, Prices, Trades, Use
from quaestor.legacy.rows import Deal, Quote, Rejected
from quaestor.orders import Side

HIGHEST_PRICE = Decimal(10_000_000)  # dollars; beyond it another column was meant
HIGHEST_COUNT = Decimal(1_000_000_000_000)  # shares
SKEW = dt.timedelta(minutes=5)  # between the bot's clock and ours
DAILY_SHARE = 0.9  # of the sessions of a daily table have one time only; the rest are left-overs
Row = tuple[int, Mapping[str, Any]]  # rowid, cells


class _Fault(Exception):
    """A cell breaks a rule; the row is rejected."""

    def __init__(self, name: str, rule: str, observed: Any) -> None:
        super().__init__(rule)
        self.field, self.rule, self.observed = name, rule, cells.shown(observed)


@dataclass(frozen=True)
class Terms:
    """What a row is judged by: the zone of times without one, and the moment of the import."""

    zone: dt.tzinfo
    now: dt.datetime


@dataclass
class Judged:
    """What became of every row: daily bars, quotes, orders, trades, rejected ones; how many were read by table."""

    daily: list[Quote] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)
    orders: list[Deal] = field(default_factory=list)
    trades: list[Deal] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)

    def _each(self, use: Use, rows: Iterable[Row], read: Callable[[_Cells], Any]) -> Iterator[Any]:
        """What is read of each row that breaks no rule; the others are kept as rejected."""
        self.read[use.table] = 0
        for row_id, row in rows:
            self.read[use.table] += 1
            try:
                yield read(_Cells(use, row_id, row))
            except _Fault as fault:
                self.reject(use.table, row_id, fault.field, fault.rule, fault.observed)

    def reject(self, table: str, row_id: int, name: str, rule: str, observed: Any) -> None:
        """Keep a row's reason."""
        self.rejected.append(Rejected(table, row_id, name, rule, cells.shown(observed)))

    def add_prices(self, use: Prices, rows: Iterable[Row], terms: Terms) -> None:
        """Judge a table of prices."""
        found = list(self._each(use, rows, lambda row: _quote(row, use, terms)))
        if use.kind == "daily" or (use.kind == "auto" and use.bars and _one_a_day(found)):
            whole = (replace(each, at=_close(each.session)) for each in found)
            found = [each for each in whole if self._closed(each, terms.now)]
            self.daily += self._first(found, [(each.symbol, each.session) for each in self.daily], _by_session)
        else:
            self.quotes += self._first(found, [], lambda each: (each.symbol, each.at))

    def add_orders(self, use: Orders, rows: Iterable[Row], terms: Terms) -> None:
        """Judge the table of orders; a bot may write one order several times, as its state changes."""
        self.orders += self._each(use, rows, lambda row: _deal(row, use, terms))

    def add_trades(self, use: Trades, rows: Iterable[Row], terms: Terms) -> None:
        """Judge the table of trades; one with an id is one trade however often it was written."""
        found = list(self._each(use, rows, lambda row: _deal(row, use, terms)))
        self.trades += self._first(found, [], lambda each: each.id or (each.table, each.row_id))

    def _first(self, found: Sequence[Any], taken: Iterable[Any], key: Callable[[Any], Any]) -> Iterator[Any]:
        seen = set(taken)
        for each in found:
            if key(each) in seen:
                self.reject(each.table, each.row_id, "row", "duplicate", " ".join(map(str, _parts(key(each)))))
            else:
                seen.add(key(each))
                yield each

    def _closed(self, bar: Quote, now: dt.datetime) -> bool:
        """A bar is whole after the close of its session, and counts whole shares."""
        if bar.at > now:
            self.reject(bar.table, bar.row_id, "time", "future", bar.session)
        elif bar.volume is None or bar.volume != int(bar.volume):
            rule = "missing" if bar.volume is None else "not_whole"
            self.reject(bar.table, bar.row_id, "volume", rule, bar.volume)
        else:
            return True
        return False


def _by_session(bar: Quote) -> tuple[str, dt.date]:
    return bar.symbol, bar.session


@lru_cache(maxsize=20_000)
def _close(session: dt.date) -> dt.datetime:
    return calendar.session_close(session)


def _parts(key: Any) -> Sequence[Any]:
    return key if isinstance(key, tuple) else (key,)


def _one_a_day(found: Sequence[Quote]) -> bool:
    """Whether nearly every session of a symbol has one time only."""
    times: dict[tuple[str, dt.date], set[dt.datetime]] = defaultdict(set)
    for each in found:
        times[each.symbol, each.session].add(each.at)
    return sum(len(each) == 1 for each in times.values()) >= DAILY_SHARE * len(times)


@dataclass(frozen=True, slots=True)
class _Cells:
    """One row, read by our fields."""

    use: Use
    row_id: int
    row: Mapping[str, Any]

    def get(self, name: str, read: Callable[..., Any], *more: Any, needed: bool = False) -> Any:
        """A field's value; None where it is empty, or where the bot has no such column."""
        column = getattr(self.use, name, "")
        value = self.row.get(column) if column else None
        try:
            found = read(value, *more)
        except cells.Unreadable:
            raise _Fault(name, "unknown_side" if name == "side" else "unreadable", value) from None
        if found is None and needed:
            raise _Fault(name, "missing", "")
        return found

    def number(self, name: str, highest: Decimal, *, needed: bool = False, zero: bool = False) -> Decimal | None:
        """A number above zero (or from zero on)."""
        found: Decimal | None = self.get(name, cells.amount, needed=needed)
        if found is not None and (found < 0 or (found == 0 and not zero)):
            raise _Fault(name, "negative" if zero else "not_positive", found)
        if found is not None and found > highest:
            raise _Fault(name, "too_high", found)
        return found

    def moment(self, terms: Terms) -> cells.Moment:
        """When; not after now."""
        if self.use.clock and not cells.empty(day := self.row.get(self.use.time)):
            told = f"{day} {self.row.get(self.use.clock) or ''}".strip()
            found = _Cells(self.use, self.row_id, {self.use.time: told}).get("time", cells.moment, terms.zone)
        else:
            found = self.get("time", cells.moment, terms.zone, needed=True)
        if found.at > terms.now + SKEW:
            raise _Fault("time", "future", found.at)
        return found  # type: ignore[no-any-return]


def _quote(row: _Cells, use: Prices, terms: Terms) -> Quote:
    name = use.fixed_symbol or row.get("symbol", cells.symbol, needed=True)
    moment = row.moment(terms)
    session = moment.day or moment.at.astimezone(calendar.NEW_YORK).date()
    if not calendar.is_session(session):
        raise _Fault("time", "no_session", session)
    told = {part: row.number(part, HIGHEST_PRICE, needed=True) for part in OPEN_HIGH_LOW_CLOSE if getattr(use, part)}
    last = told["close"] if use.close else row.number("price", HIGHEST_PRICE, needed=True)
    _check_range(told)
    volume = row.number("volume", HIGHEST_COUNT, zero=True)
    at = _close(session) if moment.day else moment.at  # the price of a day is its last
    if at > terms.now + SKEW:
        raise _Fault("time", "future", session)
    prices = {part: told.get(part) for part in ("open", "high", "low")}
    content = cells.digest(cells.kept(row.row))
    return Quote(use.table, row.row_id, name, session, at, last, **prices, volume=volume, digest=content)  # type: ignore[arg-type]


def _check_range(told: Mapping[str, Decimal | None]) -> None:
    low, high = told.get("low"), told.get("high")
    if low is None or high is None:
        return
    if high < low:
        raise _Fault("high", "high_below_low", f"{high} below {low}")
    for part in ("open", "close"):
        if (value := told.get(part)) is not None and not low <= value <= high:
            raise _Fault(part, "outside_range", f"{value} outside {low} to {high}")


def _deal(row: _Cells, use: Orders, terms: Terms) -> Deal:
    name = row.get("symbol", cells.symbol, needed=True)
    side = row.get("side", cells.side, use.sides, needed=True)
    raw = cells.kept(row.row)
    return Deal(
        use.table,
        row.row_id,
        row.get("id", cells.label),
        row.get("order_id", cells.label),
        name,
        side,
        _quantity(row, side),
        row.number("price", HIGHEST_PRICE, needed=isinstance(use, Trades)),
        row.number("fee", HIGHEST_PRICE, zero=True),
        row.get("pnl", cells.amount),
        row.get("state", cells.label),
        row.moment(terms).at,
        raw,
        cells.digest(raw),
    )


def _quantity(row: _Cells, side: Side) -> Decimal:
    """Shares; some bots write a sale's as negative."""
    found: Decimal = row.get("quantity", cells.amount, needed=True)
    if side is Side.SELL and found < 0:
        found = -found
    if found <= 0 or found > HIGHEST_COUNT:
        raise _Fault("quantity", "not_positive" if found <= 0 else "too_high", found)
    return found
