"""Robinhood's private API, locally, as far as history goes: historicals by span, instruments, their splits.

It serves any bars frames as Robinhood does: prices are texts, adjusted for every split up to its `today`; a bar carries
its start, a daily one midnight in UTC; a pair of interval and span that Robinhood has not answers 400. Addresses in
bodies stay https://api.robinhood.com/…; the client's adapter directs them here.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quaestor.bars import DAILY, PRICES, SECONDS
from quaestor.doors.sim.faults import Row, Vendor, bent
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

API = "https://api.robinhood.com"
FRAMES = {"5minute": "5m", "hour": "1h", "day": DAILY}
DAYS = {"day": 1, "week": 7, "month": 30, "3month": 90, "year": 365, "5year": 1825}
HAS = {"5minute": {"day", "week"}, "hour": {"day", "week", "month", "3month"}, "day": set(DAYS) - {"day"}}


class RobinhoodServer(Vendor):
    """The server's state: what it serves, its day, and the token that it takes ("" takes any)."""

    def __init__(
        self,
        bars: pl.DataFrame,
        splits: Sequence[Split] = (),
        *,
        today: dt.date,
        token: str = "",
        made_up: Sequence[dt.datetime] = (),
    ) -> None:
        super().__init__()
        self._today, self._token, self._splits, self._made_up = today, token, list(splits), set(made_up)
        self._bars = list(bars.sort("symbol", "ts").iter_rows(named=True))
        self._ids = {symbol: str(uuid.uuid5(uuid.NAMESPACE_DNS, symbol)) for symbol in bars["symbol"].unique()}
        self.app = Starlette(
            routes=[
                Route("/quotes/historicals/", self._answer_bars),
                Route("/instruments/", self._answer_instrument),
                Route("/instruments/{id}/splits/", self._answer_splits),
            ]
        )

    async def _answer_bars(self, request: Request) -> Response:
        asked = request.query_params
        symbol, interval, span = asked["symbols"], asked["interval"], asked["span"]
        struck = self.struck(request, symbol)
        if not self._known(request):
            return JSONResponse({"detail": "Invalid token."}, 401)
        if span not in HAS.get(interval, set()):
            return JSONResponse({"detail": "Invalid interval and span."}, 400)
        if symbol not in self._ids:
            return await self.answer(request, {"results": []}, struck)
        since = self._today - dt.timedelta(days=DAYS[span] - 1)
        rows = [
            self._row(bar)
            for bar in self._bars
            if (bar["symbol"], bar["timeframe"]) == (symbol, FRAMES[interval])
            and since <= bar["session"] <= self._today
        ]
        found = {"symbol": symbol, "interval": interval, "span": span, "instrument": self._address(symbol)}
        bars = bent(rows, "begins_at", "open_price", struck)
        return await self.answer(request, {"results": [found | {"historicals": bars}]}, struck)

    async def _answer_instrument(self, request: Request) -> Response:
        symbol = request.query_params["symbol"]
        struck = self.struck(request, symbol)
        known = (
            [{"id": self._ids[symbol], "url": self._address(symbol), "symbol": symbol}] if symbol in self._ids else []
        )
        return await self.answer(request, {"next": None, "previous": None, "results": known}, struck)

    async def _answer_splits(self, request: Request) -> Response:
        symbol = next(name for name, number in self._ids.items() if number == request.path_params["id"])
        page = int(request.query_params.get("cursor") or 1)
        struck = self.struck(request, symbol, page)
        mine = [_split(each) for each in self._splits if each.symbol == symbol]
        more = f"{self._address(symbol)}splits/?cursor={page + 1}" if page < len(mine) or "endless" in struck else None
        more = f"{self._address(symbol)}splits/?cursor={page}" if "circle" in struck else more
        results = mine[page - 1 : page]  # one a page: whoever forgets the second sees it
        return await self.answer(request, {"next": more, "previous": None, "results": results}, struck)

    def _known(self, request: Request) -> bool:
        return not self._token or request.headers.get("Authorization") == f"Bearer {self._token}"

    def _address(self, symbol: str) -> str:
        return f"{API}/instruments/{self._ids[symbol]}/"

    def _row(self, bar: Row) -> Row:
        ratio = 1.0
        for split in self._splits:
            later = split.symbol == bar["symbol"] and bar["session"] < split.session <= self._today
            ratio *= float(split.ratio) if later else 1.0
        prices = {f"{name}_price": f"{bar[name] / ratio:.6f}" for name in PRICES}
        volume = round(bar["volume"] * ratio)
        return {
            "begins_at": _start(bar),
            **prices,
            "volume": volume,
            "session": "reg",
            "interpolated": bar["ts"] in self._made_up,
        }


def _start(bar: Row) -> str:
    if bar["timeframe"] == DAILY:
        return f"{bar['session']}T00:00:00Z"
    start: dt.datetime = bar["ts"] - dt.timedelta(seconds=SECONDS[bar["timeframe"]])
    return start.strftime("%Y-%m-%dT%H:%M:%SZ")


def _split(each: Split) -> Row:
    ratio = {"multiplier": f"{each.ratio.numerator:.8f}", "divisor": f"{each.ratio.denominator:.8f}"}
    return {"execution_date": each.session.isoformat(), **ratio}
