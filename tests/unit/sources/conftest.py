"""The vendors' protocol servers, and sources that ask them through the vendors' real client libraries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.dividends import Dividend
from quaestor.doors import alpaca
from quaestor.doors.alpaca import AlpacaSource
from quaestor.doors.http import Carrier
from quaestor.doors.robinhood import RobinhoodSource
from quaestor.doors.robinhood.line import Line
from quaestor.doors.sim.alpaca import AlpacaServer
from quaestor.doors.sim.faults import Fault, Vendor
from quaestor.doors.sim.robinhood import RobinhoodServer
from quaestor.doors.sim.serving import serving
from quaestor.fetching import Patience
from quaestor.ports import Source
from quaestor.splits import Split

D = dt.date
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
START, END = D(2026, 10, 1), D(2026, 11, 20)
SPLITS = [Split("AAPL", D(2026, 10, 20), Fraction(4)), Split("AAPL", D(2026, 11, 3), Fraction(1, 2))]
DIVIDENDS = [Dividend("AAPL", D(2026, 11, 9), Decimal("0.26"))]
SYMBOLS = ("AAPL", "BRK.B", "IBM")
MADE_UP = calendar.session_close(D(2026, 10, 5))


def _row(symbol: str, timeframe: str, ts: dt.datetime, session: dt.date, price: float) -> dict[str, Any]:
    prices = {"open": price, "high": price + 2, "low": price - 1, "close": price + 0.25}
    return {"symbol": symbol, "timeframe": timeframe, "ts": ts, "session": session, "volume": 1_000, **prices}


def daily() -> pl.DataFrame:
    """As-traded daily bars of three symbols over the window."""
    days = list(enumerate(calendar.sessions(START, END)))
    rows = [_row(s, "1d", calendar.session_close(day), day, 100.0 + n) for s in SYMBOLS for n, day in days]
    return pl.DataFrame(rows, schema=bars.schema())


def hours() -> pl.DataFrame:
    """Hours of one session of AAPL, from premarket to postmarket: 04:00 to 20:00 in New York."""
    day = D(2026, 11, 19)
    begin = dt.datetime.combine(day, dt.time(4), calendar.NEW_YORK).astimezone(dt.UTC)
    rows = [_row("AAPL", "1h", begin + dt.timedelta(hours=n + 1), day, 100.0 + n) for n in range(16)]
    return pl.DataFrame(rows, schema=bars.schema())


class Opens(Protocol):
    """Opens the source at its server; `settings` are the carrier's."""

    def __call__(self, **settings: Any) -> Source: ...


@dataclass
class Site:
    """A vendor's server at its address, and how its source is opened."""

    name: str
    server: Vendor
    url: str

    def source(self, **settings: Any) -> Source:
        """With short waits only where a fault makes the server silent: a busy machine must not look like one."""
        silent = any(fault.kind in {"hang", "drip"} for fault in self.server.faults)
        waits = {"read": 0.4, "whole": 0.5} if silent else {"read": 30.0, "whole": 30.0}
        quick: dict[str, Any] = {"patience": Patience(3, 0.01, 0.02), **waits}
        quick |= {"secrets": ["the-key"], "base_url": self.url}
        if self.name == "Robinhood":
            return RobinhoodSource(_line(**(quick | settings)), lambda: "token", now=lambda: NOW)
        carrier = Carrier(self.name, [alpaca.HOST], **(quick | settings))
        return AlpacaSource(carrier, lambda: ("key", "secret"), base_url=self.url, now=lambda: NOW)

    def wrong(self, *faults: Fault) -> None:
        self.server.faults[:] = faults


def _line(*, read: float, whole: float, in_flight: int = 8, **settings: Any) -> Line:
    return Line(None, timeout=read, whole=whole, in_flight=in_flight, per_minute=60_000, **settings)


@pytest.fixture(scope="module")
def alpaca_site() -> Iterator[Site]:
    server = AlpacaServer(pl.concat([daily(), hours()]), SPLITS, DIVIDENDS, page=15)
    with serving(server.app) as url:
        yield Site("Alpaca", server, url)


@pytest.fixture(scope="module")
def robinhood_site() -> Iterator[Site]:
    stored = pl.concat([daily(), hours()])
    server = RobinhoodServer(stored, SPLITS, today=NOW.date(), token="token", made_up=[MADE_UP])
    with serving(server.app) as url:
        yield Site("Robinhood", server, url)


@pytest.fixture
def at_alpaca(alpaca_site: Site) -> Iterator[Site]:
    yield _clean(alpaca_site)
    _clean(alpaca_site)


@pytest.fixture
def at_robinhood(robinhood_site: Site) -> Iterator[Site]:
    yield _clean(robinhood_site)
    _clean(robinhood_site)


@pytest.fixture(params=["at_alpaca", "at_robinhood"])
def site(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


def _clean(site: Site) -> Site:
    site.wrong()
    site.server.asked.clear()
    return site
