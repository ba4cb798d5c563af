"""Alpaca's historical bars and corporate actions, as a source, through alpaca-py.

Bars are asked for unadjusted (`adjustment=raw`), splits and cash dividends from the corporate actions API. alpaca-py
makes the requests, signs them and turns the pages; each page is taken out of its hands as it comes (`pages.Pages`), so
a year of minutes never stands in memory as Python objects. Its own repeating (three times, three seconds, 429 and 504)
never begins: the carrier below it repeats, paces and judges each page, and raises before the library sees a failure.

Alpaca stamps a bar with its start, in UTC; a daily one with midnight in New York. Extended hours belong to the session
of their day. A symbol without bars in the window answers none.
"""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, TypeVar

from quaestor import fetching, pages
from quaestor.bars import DAILY, TIMEFRAMES
from quaestor.calendar import NEW_YORK
from quaestor.dividends import Dividend
from quaestor.errors import BadInput
from quaestor.fetching import Fetcher
from quaestor.pages import Pages, Window
from quaestor.ports import Capabilities, History
from quaestor.splits import Split
from quaestor.symbols import Symbology

with (
    warnings.catch_warnings()
):  # alpaca-py 0.44 imports its trading stream too, which uses what websockets calls legacy
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(websockets|alpaca)\.")
    from alpaca.common.types import HTTPResult
    from alpaca.data.enums import Adjustment, CorporateActionsType, DataFeed
    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.historical.stock import StockHistoricalDataClient
    from alpaca.data.requests import CorporateActionsRequest, StockBarsRequest
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

HOST = "data.alpaca.markets"
PAGE = 10_000
FIELDS = {"start": "t", "open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
FRAMES = {
    "1m": TimeFrame(1, TimeFrameUnit.Minute),
    "5m": TimeFrame(5, TimeFrameUnit.Minute),
    "1h": TimeFrame(1, TimeFrameUnit.Hour),
    DAILY: TimeFrame(1, TimeFrameUnit.Day),
}
ACTIONS = [CorporateActionsType.FORWARD_SPLIT, CorporateActionsType.REVERSE_SPLIT, CorporateActionsType.CASH_DIVIDEND]

T = TypeVar("T")


class AlpacaSource:
    """A Source (see `ports`) over Alpaca's market data API.

    keys: key and secret, fetched at each call; feed: "iex" (free) or "sip"; base_url: a protocol server, "" Alpaca.
    """

    name = "alpaca"

    def __init__(
        self,
        fetcher: Fetcher,
        keys: Callable[[], tuple[str, str]],
        *,
        feed: str = "iex",
        base_url: str = "",
        capabilities: Capabilities | None = None,
        symbology: Symbology | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.capabilities = capabilities or Capabilities(TIMEFRAMES, PAGE)
        self._fetcher, self._keys, self._feed, self._now = fetcher, keys, DataFeed(feed), now
        self._base, self._symbology = base_url.rstrip("/"), symbology or Symbology("Alpaca")

    def require(self, symbols: Iterable[str]) -> None:
        """Raise BadInput for the first symbol that Alpaca cannot be asked for."""
        for symbol in symbols:
            self._symbology.theirs(symbol)

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> History:
        """Bars, splits and dividends of one symbol with start ≤ session ≤ end; see `fetching` for what it raises."""
        fetching.refuse_timeframe(self.name, self.capabilities, timeframe)
        theirs = self._symbology.theirs(symbol)
        window = Window(f"{symbol}: Alpaca", timeframe, start, end)
        return await self._fetcher.call(symbol, lambda: self._history(symbol, theirs, window))

    async def span(self, symbol: str, timeframe: str = DAILY) -> None:
        """None: Alpaca does not say without being asked for the bars."""

    def _history(self, symbol: str, theirs: str, window: Window) -> History:
        keys = self._keys()
        bars = self._bars(symbol, theirs, window, keys)
        found = self._actions(theirs, window, keys)
        return History(bars, _splits(symbol, found), _dividends(symbol, found))

    def _bars(self, symbol: str, theirs: str, window: Window, keys: tuple[str, str]) -> Any:
        taken = Pages(window, FIELDS)
        client = self._carried(_Bars(taken, theirs, *keys, url_override=self._base or None))
        client.get_stock_bars(
            StockBarsRequest(
                symbol_or_symbols=theirs,
                timeframe=FRAMES[window.timeframe],
                start=_midnight(window.start),
                end=_midnight(window.end + dt.timedelta(days=1)) - dt.timedelta(microseconds=1),
                adjustment=Adjustment.RAW,
                feed=self._feed,
            )
        )
        return pages.asked(pages.stamped(taken.frame(), symbol, window.timeframe), window, self._now())

    def _actions(self, theirs: str, window: Window, keys: tuple[str, str]) -> list[dict[str, Any]]:
        client = self._carried(CorporateActionsClient(*keys, raw_data=True, url_override=self._base or None))
        asked = CorporateActionsRequest(symbols=[theirs], types=ACTIONS, start=window.start, end=window.end, limit=None)
        found: dict[str, list[dict[str, Any]]] = client.get_corporate_actions(asked)  # type: ignore[assignment] # raw
        return [{**each, "kind": kind} for kind, each_kind in found.items() for each in each_kind]

    def _carried(self, client: T) -> T:
        self._fetcher.carry(client._session)  # type: ignore[attr-defined] # noqa: SLF001 - alpaca-py has no other seam
        return client


class _Bars(StockHistoricalDataClient):
    """alpaca-py's own client, whose pages go into ours as they come."""

    def __init__(self, taken: Pages, symbol: str, key: str, secret: str, url_override: str | None) -> None:
        super().__init__(key, secret, raw_data=True, url_override=url_override)
        self._taken, self._symbol = taken, symbol

    def get(self, path: str, data: Any = None, **kwargs: Any) -> HTTPResult:
        """One page; alpaca-py is left its token alone."""
        page: Any = super().get(path, data, **kwargs)
        bars = page["bars"] or {}
        if others := sorted(set(bars) - {self._symbol}):
            raise BadInput(f"{self._taken.window.who} answered for {others[0]!r} when asked for {self._symbol!r}.")
        self._taken.add(bars.get(self._symbol) or [])
        return {"bars": {}, "next_page_token": page.get("next_page_token")}


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), NEW_YORK)


def _splits(symbol: str, found: list[dict[str, Any]]) -> tuple[Split, ...]:
    """Forward and reverse splits, oldest first."""
    kinds = {"forward_splits", "reverse_splits"}
    return tuple(sorted(_read(symbol, each, _split) for each in found if each["kind"] in kinds))


def _dividends(symbol: str, found: list[dict[str, Any]]) -> tuple[Dividend, ...]:
    """Cash dividends, oldest first; a special one on the day of a regular one is added to it."""
    paid: dict[dt.date, Decimal] = {}
    for one in (_read(symbol, each, _dividend) for each in found if each["kind"] == "cash_dividends"):
        paid[one.session] = paid.get(one.session, Decimal(0)) + one.amount
    return tuple(Dividend(symbol, day, amount) for day, amount in sorted(paid.items()))


def _split(symbol: str, each: dict[str, Any]) -> Split:
    ratio = Fraction(str(each["new_rate"])) / Fraction(str(each["old_rate"]))
    if ratio <= 0:
        raise ValueError(f"a ratio of {ratio}")
    return Split(symbol, dt.date.fromisoformat(each["ex_date"]), ratio)


def _dividend(symbol: str, each: dict[str, Any]) -> Dividend:
    amount = Decimal(str(each["rate"]))
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"an amount of {amount}")
    return Dividend(symbol, dt.date.fromisoformat(each["ex_date"]), amount)


def _read(symbol: str, each: dict[str, Any], as_what: Callable[[str, dict[str, Any]], T]) -> T:
    try:
        return as_what(symbol, each)
    except (KeyError, TypeError, ValueError, ArithmeticError, InvalidOperation) as error:
        raise BadInput(f"{symbol}: Alpaca tells of a corporate action that cannot be read ({error!r}).") from error
