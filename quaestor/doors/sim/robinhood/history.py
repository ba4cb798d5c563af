"""History: bars by span, instruments' splits, as Robinhood has them.

Prices are texts, adjusted for every split up to `today`; a bar carries its start, a daily one midnight in UTC; a pair
of interval and span that Robinhood has not answers 400.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from quaestor.bars import DAILY, PRICES, SECONDS
from quaestor.doors.sim.faults import Row, bent
from quaestor.doors.sim.robinhood.instruments import Instruments
from quaestor.doors.sim.robinhood.wire import Answer, Ask, Refused, Way, listed
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

FRAMES = {"5minute": "5m", "hour": "1h", "day": DAILY}
DAYS = {"day": 1, "week": 7, "month": 30, "3month": 90, "year": 365, "5year": 1825}
HAS = {"5minute": {"day", "week"}, "hour": {"day", "week", "month", "3month"}, "day": set(DAYS) - {"day"}}


class History:
    """What it serves: any bars frame, and splits; `made_up`: ends of bars that Robinhood itself invented."""

    def __init__(
        self,
        bars: pl.DataFrame | None,
        splits: Sequence[Split],
        made_up: Sequence[dt.datetime],
        instruments: Instruments,
        today: Callable[[], dt.date],
    ) -> None:
        self.splits = list(splits)
        self._today, self._made_up, self._instruments = today, set(made_up), instruments
        self._bars = [] if bars is None else list(bars.sort("symbol", "ts").iter_rows(named=True))
        instruments.add(row["symbol"] for row in self._bars)

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("GET", "/quotes/historicals/", self._several),
            Way("GET", "/marketdata/historicals/{}/", self._one),
            Way("GET", "/instruments/{}/splits/", self._splits, free=True),
        ]

    def _several(self, ask: Ask) -> Answer:
        found = [self._found(ask, symbol) for symbol in ask.query.get("symbols", "").split(",")]
        return Answer({"results": [each for each in found if each]})

    def _one(self, ask: Ask) -> Answer:
        symbol = self._instruments.symbol(ask.parts[0])
        return Answer(self._found(ask, symbol) | {"InstrumentID": ask.parts[0]})

    def _found(self, ask: Ask, symbol: str) -> Row:
        interval, span = ask.query.get("interval", "day"), ask.query.get("span", "week")
        bounds = ask.query.get("bounds", "regular")
        if span not in HAS.get(interval, set()):
            raise Refused(400, {"detail": "Invalid interval and span."})
        if symbol not in self._instruments:
            return {}
        since = self._today() - dt.timedelta(days=DAYS[span] - 1)
        rows = [
            self._row(bar)
            for bar in self._bars
            if (bar["symbol"], bar["timeframe"]) == (symbol, FRAMES[interval])
            and since <= bar["session"] <= self._today()
        ]
        address = self._instruments.address(symbol)
        found = {"symbol": symbol, "interval": interval, "span": span, "bounds": bounds, "instrument": address}
        return found | {"historicals": bent(rows, "begins_at", "open_price", ask.struck)}

    def _splits(self, ask: Ask) -> Answer:
        """One a page: whoever forgets the second sees it."""
        symbol, page = self._instruments.symbol(ask.parts[0]), ask.page
        mine = [_split(each) for each in self.splits if each.symbol == symbol]
        address = f"{self._instruments.address(symbol)}splits/?cursor="
        more = f"{address}{page + 1}" if page < len(mine) or "endless" in ask.struck else None
        more = f"{address}{page}" if "circle" in ask.struck else more
        return listed(mine[page - 1 : page], more)

    def _row(self, bar: Row) -> Row:
        ratio = 1.0
        for split in self.splits:
            later = split.symbol == bar["symbol"] and bar["session"] < split.session <= self._today()
            ratio *= float(split.ratio) if later else 1.0
        prices = {f"{name}_price": f"{bar[name] / ratio:.6f}" for name in PRICES}
        about = {"volume": round(bar["volume"] * ratio), "session": "reg", "interpolated": bar["ts"] in self._made_up}
        return {"begins_at": _start(bar), **prices, **about}


def _start(bar: Row) -> str:
    if bar["timeframe"] == DAILY:
        return f"{bar['session']}T00:00:00Z"
    start: dt.datetime = bar["ts"] - dt.timedelta(seconds=SECONDS[bar["timeframe"]])
    return start.strftime("%Y-%m-%dT%H:%M:%SZ")


def _split(each: Split) -> Row:
    ratio = {"multiplier": f"{each.ratio.numerator:.8f}", "divisor": f"{each.ratio.denominator:.8f}"}
    return {"execution_date": each.session.isoformat(), **ratio}
