"""Robinhood's historicals, as a source, through robin_stocks.

robin_stocks answers errors with an empty list or [None] and prints them; below it the carrier raises them, and what
still comes back as nothing is refused here. Robinhood is asked for a span that ends today, not for a window, and has
only these pairs (others answer 400):

    5m   the last 7 days      1h   the last 90 days      1d   the last 5 years

Its prices are adjusted for every split up to today. Law 8 wants them as they were traded: each price is multiplied, and
each volume divided, by the ratios of all splits after its session; a price is rounded to 1/10,000 dollar. Bars that
Robinhood made up where nothing was traded keep their mark in the column `interpolated`. It tells of no dividends here.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from robin_stocks.robinhood import globals as library
from robin_stocks.robinhood import helper, stocks

from quaestor import fetching, pages, splits
from quaestor.bars import DAILY, PRICES
from quaestor.calendar import NEW_YORK
from quaestor.doors.robinhood import hours
from quaestor.doors.robinhood.wire import HOST
from quaestor.errors import BadInput, NotFound
from quaestor.fetching import Fetcher
from quaestor.pages import Pages, Window
from quaestor.ports import Capabilities, History
from quaestor.splits import Split
from quaestor.symbols import Symbology

if TYPE_CHECKING:
    import polars as pl

FIELDS = {
    "start": "begins_at",
    **{name: f"{name}_price" for name in PRICES},
    "volume": "volume",
    "interpolated": "interpolated",
}
MOST = 1_255  # bars that a span holds at most
INTERVALS = {"5m": "5minute", "1h": "hour", DAILY: "day"}
SPANS = {"day": 1, "week": 7, "month": 30, "3month": 90, "year": 365, "5year": 5 * 365}  # days that each goes back
PAIRS = {
    "5m": ("day", "week"),
    "1h": ("day", "week", "month", "3month"),
    DAILY: ("week", "month", "3month", "year", "5year"),
}


class _Nowhere(io.TextIOBase):
    """Where robin_stocks may print: its messages hold addresses with account numbers."""

    def write(self, text: str) -> int:
        return len(text)


class RobinhoodSource:
    """A Source (see `ports`) over Robinhood's private API.

    token: the access token, fetched at each call ("" sends none); now: the moment at which the spans end.
    """

    name = "robinhood"

    def __init__(
        self,
        fetcher: Fetcher,
        token: Callable[[], str],
        *,
        capabilities: Capabilities | None = None,
        symbology: Symbology | None = None,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.capabilities = capabilities or Capabilities(tuple(PAIRS), MOST)
        self._fetcher, self._token, self._now = fetcher, token, now
        self._symbology = symbology or Symbology("Robinhood")
        fetcher.carry(library.SESSION)
        helper.set_output(_Nowhere())

    def require(self, symbols: Iterable[str]) -> None:
        """Raise BadInput for the first symbol that Robinhood cannot be asked for."""
        for symbol in symbols:
            self._symbology.theirs(symbol)

    async def history(self, symbol: str, start: dt.date, end: dt.date, timeframe: str = DAILY) -> History:
        """Bars and splits of one symbol with start ≤ session ≤ end; see `fetching` for what it raises."""
        fetching.refuse_timeframe(self.name, self.capabilities, timeframe)
        theirs, window = self._symbology.theirs(symbol), Window(f"{symbol}: Robinhood", timeframe, start, end)
        span = self._span(window)
        return await self._fetcher.call(symbol, lambda: self._history(symbol, theirs, window, span), self._headers)

    async def span(self, symbol: str, timeframe: str = DAILY) -> None:
        """None: Robinhood does not say without being asked for the bars."""

    def _headers(self) -> Mapping[str, str]:
        token = self._token()
        accepted = {"Accept-Encoding": "gzip, deflate"}  # robin_stocks offers br, which needs a library that it lacks
        return accepted | ({"Authorization": f"Bearer {token}"} if token else {})

    def _today(self) -> dt.date:
        return self._now().astimezone(NEW_YORK).date()

    def _span(self, window: Window) -> str:
        """The shortest span that reaches back to the window's start; raises BadInput where none does."""
        back = (self._today() - window.start).days + 1
        spans = PAIRS[window.timeframe]
        if back > SPANS[spans[-1]]:
            first = self._today() - dt.timedelta(days=SPANS[spans[-1]] - 1)
            raise BadInput(
                f"{window.who} has {window.timeframe} bars since {first} only, not from {window.start} on. "
                'Choose a later start; source = "alpaca" goes further back.'
            )
        return next(span for span in spans if SPANS[span] >= back)

    def _history(self, symbol: str, theirs: str, window: Window, span: str) -> History:
        done = self._splits(symbol, theirs)
        day = _day() if window.timeframe == DAILY else None
        bars = _as_traded(pages.stamped(_bars(theirs, window, span), symbol, window.timeframe, day), done)
        return History(pages.asked(bars, window, self._now()), splits.within(done, window.start, window.end))

    def _splits(self, symbol: str, theirs: str) -> list[Split]:
        """Splits up to today, oldest first; the announced ones are in no price yet."""
        instrument = helper.id_for_stock(theirs)
        if not instrument:
            raise NotFound(
                f"Robinhood knows no symbol {theirs!r}. Correct it, or name Robinhood's in [market.aliases]."
            )
        found = helper.request_get(f"https://{HOST}/instruments/{instrument}/splits/", "pagination")
        _refuse_nothing(found, symbol)
        return sorted(
            split for split in (hours.split(symbol, each) for each in found) if split.session <= self._today()
        )


def _bars(theirs: str, window: Window, span: str) -> pl.DataFrame:
    found = stocks.get_stock_historicals(theirs, INTERVALS[window.timeframe], span, "regular")
    _refuse_nothing(found, window.who)
    if odd := [each for each in found if each.get("symbol") != theirs]:
        raise BadInput(f"{window.who} answered for {odd[0].get('symbol')!r} when asked for {theirs!r}.")
    today = Window(
        window.who, window.timeframe, window.start, max(window.end, window.start + dt.timedelta(SPANS[span]))
    )
    taken = Pages(today, FIELDS)
    taken.add(found)
    return taken.frame()


def _refuse_nothing(found: Any, who: str) -> None:
    """robin_stocks says None and [None] for what it could not read."""
    if not isinstance(found, list) or None in found:
        raise BadInput(f"{who}: robin_stocks could not read Robinhood's answer; it may have changed its form.")


def _day() -> pl.Expr:
    """The session of a daily bar: Robinhood stamps it with midnight in UTC, or with one in New York."""
    import polars as pl

    utc = pl.col("start").dt.time() == dt.time()
    return pl.when(utc).then(pl.col("start").dt.date()).otherwise(pages.in_new_york())


def _as_traded(bars: pl.DataFrame, done: Sequence[Split]) -> pl.DataFrame:
    """Prices and volumes without the splits after their session."""
    import polars as pl

    factor = pl.lit(1.0)
    for split in done:
        factor = factor * pl.when(pl.col("session") < split.session).then(float(split.ratio)).otherwise(1.0)
    prices = [pl.when(factor != 1).then((pl.col(p) * factor).round(4)).otherwise(pl.col(p)).alias(p) for p in PRICES]
    return bars.with_columns(*prices, (pl.col("volume") / factor).round().cast(pl.Int64).alias("volume"))
