"""Instruments: what can be traded, by symbol and by Robinhood's id; a name that nobody knows is not listed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from quaestor.doors.sim.robinhood.wire import API, Answer, Ask, Refused, Way, listed

DAY_TRADES = "0.2500"


class Instruments:
    """Known by symbol. `halts`: why, by symbol; `changed`: fields that are to be shown otherwise, by symbol."""

    def __init__(self, symbols: Iterable[str] = ()) -> None:
        self._ids: dict[str, str] = {}
        self.halts: dict[str, str] = {}
        self.changed: dict[str, dict[str, Any]] = {}
        self.add(symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def add(self, symbols: Iterable[str]) -> None:
        """Known from now on."""
        for symbol in symbols:
            self._ids.setdefault(symbol, str(uuid.uuid5(uuid.NAMESPACE_DNS, symbol)))

    def renumber(self, symbol: str) -> str:
        """A new id for the symbol, as a split may bring it; the old one is not found any more."""
        self._ids[symbol] = str(uuid.uuid4())
        return self._ids[symbol]

    def id(self, symbol: str) -> str:
        """Its id."""
        return self._ids[symbol]

    def address(self, symbol: str) -> str:
        """Its URL."""
        return f"{API}/instruments/{self._ids[symbol]}/"

    def symbol(self, id_or_address: str) -> str:
        """Whose it is; refuses with 404 what is nobody's."""
        asked = id_or_address.rstrip("/").rpartition("/")[2]
        for symbol, known in self._ids.items():
            if known == asked:
                return symbol
        raise Refused(404, {"detail": "Not found."})

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("GET", "/instruments/", self._list, free=True),
            Way("GET", "/instruments/{}/", self._one, free=True),
        ]

    def _list(self, ask: Ask) -> Answer:
        asked = ask.query
        if ids := asked.get("ids"):
            return listed([self.row(symbol) for symbol, known in self._ids.items() if known in ids.split(",")])
        if (symbol := asked.get("symbol")) is not None:
            return listed([self.row(symbol)] if symbol in self._ids else [])
        words = asked.get("query", "").upper()
        return listed([self.row(symbol) for symbol in sorted(self._ids) if words in symbol])

    def _one(self, ask: Ask) -> Answer:
        return Answer(self.row(self.symbol(ask.parts[0])))

    def row(self, symbol: str) -> dict[str, Any]:
        """The instrument as Robinhood tells of it."""
        address, halt = self.address(symbol), self.halts.get(symbol, "")
        names = {"id": self._ids[symbol], "url": address, "symbol": symbol, "name": symbol, "simple_name": symbol}
        links = {"quote": f"{API}/quotes/{symbol}/", "fundamentals": f"{API}/fundamentals/{symbol}/"}
        links |= {"splits": f"{address}splits/", "market": f"{API}/markets/XNAS/"}
        tradable = ("tradability", "fractional_tradability", "all_day_tradability", "rhs_tradability")
        kind = {"type": "stock", "state": "active", "country": "US", "tradeable": True, "is_test": False}
        halted: dict[str, Any] = {
            "internal_halt_reason": halt,
            "internal_halt_details": halt,
            "internal_halt_source": "",
        }
        halted |= dict.fromkeys(("internal_halt_start_time", "internal_halt_end_time", "internal_halt_sessions"))
        ratios = {"margin_initial_ratio": "0.5000", "maintenance_ratio": "0.2500", "day_trade_ratio": DAY_TRADES}
        rest = {"min_tick_size": None, "tradable_chain_id": None, "list_date": "1990-01-02", "bloomberg_unique": ""}
        row = names | links | dict.fromkeys(tradable, "tradable") | kind | halted | ratios | rest
        return row | {"default_collar_fraction": "0.05"} | self.changed.get(symbol, {})


def number(value: Decimal | None, places: int = 4) -> str | None:
    """A number as Robinhood writes it: a text with so many decimals."""
    return None if value is None else f"{value:.{places}f}"


def day(at: dt.datetime) -> str:
    """A date as Robinhood writes it."""
    return at.date().isoformat()
