"""Robinhood's quotes: for a feed that polls, for the cross-check before an entry, and for what is halted."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from quaestor.doors.robinhood.line import Line
from quaestor.doors.robinhood.wire import HOST, STRANGE
from quaestor.errors import BadInput
from quaestor.symbols import Symbology
from quaestor.ticks import QuoteTick, Tick, TradeTick, stamper

PLACE = f"https://{HOST}/quotes/"
LONGEST = 5_000  # signs of symbols in one address; Robinhood takes about 5,700
UNTOLD = 1.0  # the size of a trade whose size is not told


Row = Mapping[str, Any]
log = logging.getLogger("quaestor.robinhood")


class Quotes:
    """Implements `ports_live.QuotePoll`. saw: is told of each symbol's quote, which names its instrument."""

    name = "Robinhood"

    def __init__(self, line: Line, symbology: Symbology, saw: Callable[[str, Row], None] = lambda *_: None) -> None:
        self._line, self._names, self._saw, self._stamp = line, symbology, saw, stamper()

    async def quotes(self, symbols: Sequence[str]) -> Sequence[Tick]:
        """The newest quote of each symbol and its last trade; a trade's size is not told, it counts as one share."""
        ticks: list[Tick] = []
        strange: BadInput | None = None
        for symbol, row in (await self.rows(symbols)).items():
            try:
                ticks += list(self._ticks(symbol, row))
            except BadInput as error:  # one symbol's fault is no silence of all the others
                strange = error
                log.warning("%s", error)
        if strange is not None and not ticks:
            raise strange
        return ticks

    async def halted(self, symbols: Sequence[str]) -> frozenset[str]:
        """Those that are halted, or not active; one that has no quote takes no order either."""
        rows = await self.rows(symbols)
        return frozenset(symbol for symbol in symbols if symbol not in rows or _stands(rows[symbol]))

    async def rows(self, symbols: Sequence[str]) -> dict[str, Row]:
        """What Robinhood says of each symbol that it knows."""
        names = {self._names.theirs(symbol): symbol for symbol in symbols}
        found: dict[str, Row] = {}
        for group in _groups(list(names)):
            answer = await self._line.get("Quotes", PLACE, {"symbols": ",".join(group)})
            rows = answer.get("results") if isinstance(answer, dict) else None
            if not isinstance(rows, list):
                raise BadInput(f"Quotes: Robinhood's answer is no list. {STRANGE}")
            found |= {names[row["symbol"]]: row for row in rows if row and row.get("symbol") in names}
        for symbol, row in found.items():
            self._saw(symbol, row)
        return found

    def _ticks(self, symbol: str, row: Row) -> Iterator[Tick]:
        try:
            at = self._stamp(row["updated_at"])
            if row.get("bid_price") and row.get("ask_price"):
                sizes = float(row.get("bid_size") or 0), float(row.get("ask_size") or 0)
                yield QuoteTick(symbol, at, float(row["bid_price"]), float(row["ask_price"]), *sizes)
            if row.get("last_trade_price"):
                traded = row.get("venue_last_trade_time")
                yield TradeTick(symbol, self._stamp(traded) if traded else at, float(row["last_trade_price"]), UNTOLD)
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise BadInput(f"{symbol}: Robinhood's quote cannot be read ({error!r}). {STRANGE}") from error


def crossing(symbol: str, row: Row) -> QuoteTick:
    """A crypto pair's quote; its sizes are not told."""
    try:
        told = dt.datetime.fromisoformat(row["updated_at"])
        if told.tzinfo is None:
            raise ValueError("a time without a zone")
        at = round(told.timestamp() * 1_000_000) * 1_000
        return QuoteTick(symbol, at, float(row["bid_price"]), float(row["ask_price"]), 0.0, 0.0)
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{symbol}: Robinhood's quote cannot be read ({error!r}). {STRANGE}") from error


def _stands(row: Row) -> bool:
    return bool(row.get("trading_halted")) or row.get("state", "active") != "active"


def _groups(names: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for name in names:
        if group and sum(map(len, group)) + len(group) + len(name) > LONGEST:
            yield group
            group = []
        group.append(name)
    if group:
        yield group
