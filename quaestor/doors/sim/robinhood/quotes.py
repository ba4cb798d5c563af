"""Quotes: the last word on each symbol, until it is moved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quaestor.calendar import NEW_YORK, is_session, previous_session
from quaestor.doors.sim.robinhood.instruments import Instruments, number
from quaestor.doors.sim.robinhood.wire import Answer, Ask, Refused, Way, stamp


@dataclass
class Priced:
    """What is known of one symbol: dollars, shares; `left`: what of the quote our orders may still take (None: all)."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal | None
    at: dt.datetime
    bid_size: int = 100
    ask_size: int = 100
    left: Decimal | None = None
    extended: bool = False
    before: Decimal | None = None  # the close of the session before
    shown: dict[str, Any] = field(default_factory=dict)  # fields that are to be shown otherwise


class Prices:
    """All quotes, by symbol; what was never quoted is null on the wire, as what nobody knows."""

    def __init__(self, instruments: Instruments, clock: Callable[[], dt.datetime]) -> None:
        self._instruments, self._clock = instruments, clock
        self.known: dict[str, Priced] = {}

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("GET", "/quotes/", self._list),
            Way("GET", "/quotes/{}/", self._one),
            Way("GET", "/marketdata/quotes/", self._list),
            Way("GET", "/marketdata/quotes/{}/", self._by_id),
        ]

    def _list(self, ask: Ask) -> Answer:
        if ids := ask.query.get("ids"):
            of = {self._instruments.id(symbol): symbol for symbol in self._instruments}
            return Answer({"results": [self.row(of.get(each, "")) for each in ids.split(",")]})
        return Answer({"results": [self.row(symbol) for symbol in ask.query.get("symbols", "").split(",")]})

    def _one(self, ask: Ask) -> Answer:
        if (row := self.row(ask.parts[0])) is None:
            raise Refused(404, {"detail": "Not found."})
        return Answer(row)

    def _by_id(self, ask: Ask) -> Answer:
        if (row := self.row(self._instruments.symbol(ask.parts[0]))) is None:
            raise Refused(404, {"detail": "Not found."})
        return Answer(row)

    def row(self, symbol: str) -> dict[str, Any] | None:
        """A quote as Robinhood tells it; None for a symbol without one."""
        quote = self.known.get(symbol)
        if quote is None or symbol not in self._instruments:
            return None
        last, before = quote.last or quote.bid or quote.ask, quote.before or quote.last or quote.bid
        at = stamp(quote.at)
        two_sided: dict[str, Any] = {
            "bid_price": number(quote.bid or Decimal(0), 6),
            "ask_price": number(quote.ask or Decimal(0), 6),
        }
        two_sided |= {"bid_size": quote.bid_size, "ask_size": quote.ask_size}
        two_sided |= {"venue_bid_time": at, "venue_ask_time": at, "bid_mic": "XNAS", "ask_mic": "XNAS"}
        prints = {"last_trade_price": number(last, 6), "venue_last_trade_time": at}
        prints |= {"last_extended_hours_trade_price": number(last, 6) if quote.extended else None}
        prints |= {"last_non_reg_trade_price": number(last, 6) if quote.extended else None}
        prints |= {"venue_last_non_reg_trade_time": at if quote.extended else None}
        prints |= {"last_trade_price_source": "consolidated", "last_non_reg_trade_price_source": "consolidated"}
        closes = {"previous_close": number(before, 6), "adjusted_previous_close": number(before, 6)}
        closes |= {"previous_close_date": self._day_before(quote.at)}
        names = {"symbol": symbol, "instrument": self._instruments.address(symbol)}
        names |= {"instrument_id": self._instruments.id(symbol)}
        halted = symbol in self._instruments.halts
        stands = {"trading_halted": halted, "has_traded": True, "state": "active", "updated_at": at}
        return names | two_sided | prints | closes | stands | quote.shown

    def _day_before(self, at: dt.datetime) -> str:
        day = at.astimezone(NEW_YORK).date()
        return (previous_session(day) if is_session(day) else day).isoformat()
