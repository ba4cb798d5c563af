"""Where a real market stands, by the clock."""

from __future__ import annotations

import datetime as dt

import pytest

from quaestor.operations.market import ExchangeMarket

FRIDAY, MONDAY = dt.date(2026, 11, 20), dt.date(2026, 11, 23)
THANKSGIVING, HALF_DAY = dt.date(2026, 11, 26), dt.date(2026, 11, 27)


@pytest.mark.parametrize(
    ("now", "stands"),
    [
        pytest.param("2026-11-20T08:59:59-05:00", (dt.date(2026, 11, 19), "closed"), id="before it begins"),
        pytest.param("2026-11-20T09:00:00-05:00", (FRIDAY, "open"), id="half an hour before the open"),
        pytest.param("2026-11-20T15:59:59-05:00", (FRIDAY, "open"), id="the last second"),
        pytest.param("2026-11-20T16:00:00-05:00", (FRIDAY, "closed"), id="an order now would wait for Monday"),
        pytest.param("2026-11-22T12:00:00-05:00", (FRIDAY, "closed"), id="on Sunday"),
        pytest.param("2026-11-23T13:00:00-05:00", (MONDAY, "open"), id="at noon"),
        pytest.param("2026-11-26T12:00:00-05:00", (dt.date(2026, 11, 25), "closed"), id="on a holiday"),
        pytest.param("2026-11-27T13:00:00-05:00", (HALF_DAY, "closed"), id="after a half-day's close"),
        pytest.param("2026-11-24T01:00:00+00:00", (MONDAY, "closed"), id="the next day already in UTC"),
    ],
)
async def test_it_stands_at_the_session_that_began_last(now: str, stands: tuple[dt.date, str]) -> None:
    market = ExchangeMarket(lambda: dt.datetime.fromisoformat(now))
    assert await market.clock() == stands
