"""Alpaca's market data API, locally: historical bars by pages, and corporate actions.

It serves any bars frames, splits and dividends, stamped as Alpaca does: a bar with its start, a daily one with midnight
in New York. A request without key and secret is refused. alpaca-py's own clients speak to it through `url_override`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quaestor.bars import DAILY, SECONDS
from quaestor.calendar import NEW_YORK
from quaestor.dividends import Dividend
from quaestor.doors.sim.faults import Row, Vendor, bent
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

FRAMES = {"1Min": "1m", "5Min": "5m", "1Hour": "1h", "1Day": DAILY}
FORBIDDEN = {"message": "forbidden."}


class AlpacaServer(Vendor):
    """The server's state: what it serves, who may ask, and how many bars make a page."""

    def __init__(
        self,
        bars: pl.DataFrame,
        splits: Sequence[Split] = (),
        dividends: Sequence[Dividend] = (),
        *,
        keys: tuple[str, str] = ("key", "secret"),
        page: int = 10_000,
    ) -> None:
        super().__init__()
        self.keys, self.page = keys, page
        self._bars = _by_symbol(bars)
        self._actions = [_split(each) for each in splits], [_dividend(each) for each in dividends]
        self.app = Starlette(
            routes=[Route("/v2/stocks/bars", self._answer_bars), Route("/v1/corporate-actions", self._answer_actions)]
        )

    async def _answer_bars(self, request: Request) -> Response:
        asked = request.query_params
        symbol, first = asked["symbols"], int(asked.get("page_token") or 0)
        struck = self.struck(request, symbol, first // self.page + 1)
        if not self._known(request):
            return JSONResponse(FORBIDDEN, 403)
        rows, last = self._rows(symbol, asked), first + min(self.page, int(asked["limit"]))
        bars = bent(rows[first:last], "t", "o", struck)
        token = str(last) if last < len(rows) else None
        if "endless" in struck:
            bars, token = bent(rows[: self.page], "t", "o", struck), str(last)
        token = str(first) if "circle" in struck else token
        return await self.answer(request, {"bars": {symbol: bars} if bars else {}, "next_page_token": token}, struck)

    async def _answer_actions(self, request: Request) -> Response:
        asked = request.query_params
        struck = self.struck(request, asked["symbols"])
        if not self._known(request):
            return JSONResponse(FORBIDDEN, 403)
        found: dict[str, list[Row]] = {}
        for each in (*self._actions[0], *self._actions[1]):
            if each["symbol"] == asked["symbols"] and asked["start"] <= each["ex_date"] <= asked["end"]:
                found.setdefault(each["kind"], []).append({k: v for k, v in each.items() if k != "kind"})
        return await self.answer(request, {"corporate_actions": found, "next_page_token": None}, struck)

    def _known(self, request: Request) -> bool:
        told = request.headers.get("APCA-API-KEY-ID"), request.headers.get("APCA-API-SECRET-KEY")
        return told == self.keys

    def _rows(self, symbol: str, asked: Any) -> list[Row]:
        start, end = (dt.datetime.fromisoformat(asked[name]) for name in ("start", "end"))
        rows = self._bars.get((symbol, FRAMES[asked["timeframe"]]), [])
        return [row for begun, row in rows if start <= begun <= end]


def _by_symbol(bars: pl.DataFrame) -> dict[tuple[str, str], list[tuple[dt.datetime, Row]]]:
    found: dict[tuple[str, str], list[tuple[dt.datetime, Row]]] = {}
    for bar in bars.sort("symbol", "ts").iter_rows(named=True):
        begun = _start(bar)
        row = {"t": begun.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), "n": 1, "vw": bar["close"]}
        row |= {field[0]: bar[field] for field in ("open", "high", "low", "close", "volume")}
        found.setdefault((bar["symbol"], bar["timeframe"]), []).append((begun, row))
    return found


def _start(bar: Row) -> dt.datetime:
    if bar["timeframe"] == DAILY:
        return dt.datetime.combine(bar["session"], dt.time(), NEW_YORK)
    start: dt.datetime = bar["ts"] - dt.timedelta(seconds=SECONDS[bar["timeframe"]])
    return start


def _split(each: Split) -> Row:
    kind = "forward_splits" if each.ratio > 1 else "reverse_splits"
    rates = {"new_rate": each.ratio.numerator, "old_rate": each.ratio.denominator}
    return {"kind": kind, "symbol": each.symbol, **rates, **_dates(each.session)}


def _dividend(each: Dividend) -> Row:
    paid = {"rate": float(each.amount), "special": False, "foreign": False}
    return {"kind": "cash_dividends", "symbol": each.symbol, **paid, **_dates(each.session)}


def _dates(day: dt.date) -> Row:
    return {"ex_date": day.isoformat(), "process_date": day.isoformat()}
