"""Hours: when the markets are open, by Robinhood's own word; `said` lets it say otherwise than the calendar."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from quaestor.calendar import (
    NEW_YORK,
    is_session,
    next_session,
    postmarket_end,
    previous_session,
    session_close,
    session_open,
)
from quaestor.doors.sim.robinhood.exchange import EARLIEST
from quaestor.doors.sim.robinhood.wire import API, Answer, Ask, Refused, Way, listed

MARKETS = {"XNYS": ("NYSE", "New York Stock Exchange"), "XNAS": ("NASDAQ", "NASDAQ - All Markets")}


class Hours:
    """The markets. `said`: fields that a day is to be told with, by day."""

    def __init__(self, clock: Callable[[], dt.datetime]) -> None:
        self._clock = clock
        self.said: dict[dt.date, dict[str, Any]] = {}

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("GET", "/markets/", self._markets, free=True),
            Way("GET", "/markets/{}/", self._market, free=True),
            Way("GET", "/markets/{}/hours/{}/", self._hours, free=True),
        ]

    def _markets(self, ask: Ask) -> Answer:
        del ask
        return listed([self._row(mic) for mic in MARKETS])

    def _market(self, ask: Ask) -> Answer:
        return Answer(self._row(ask.parts[0]))

    def _row(self, mic: str) -> dict[str, Any]:
        if mic not in MARKETS:
            raise Refused(404, {"detail": "Not found."})
        acronym, name = MARKETS[mic]
        today = self._clock().astimezone(NEW_YORK).date()
        where = {"city": "New York", "country": "US", "timezone": "US/Eastern", "operating_mic": mic}
        links = {"url": f"{API}/markets/{mic}/", "todays_hours": _address(mic, today)}
        return {"mic": mic, "acronym": acronym, "name": name, "website": "", **where, **links}

    def _hours(self, ask: Ask) -> Answer:
        mic, written = ask.parts
        self._row(mic)
        try:
            day = dt.date.fromisoformat(written)
        except ValueError:
            raise Refused(404, {"detail": "Not found."}) from None
        return Answer(hours(mic, day) | self.said.get(day, {}))


def hours(mic: str, day: dt.date) -> dict[str, Any]:
    """A day as Robinhood tells of it; a closed one has no times."""
    opens = is_session(day)
    names = (
        "opens_at",
        "closes_at",
        "extended_opens_at",
        "extended_closes_at",
        "all_day_opens_at",
        "all_day_closes_at",
    )
    times: dict[str, str | None] = dict.fromkeys(names)
    if opens:
        early = dt.datetime.combine(day, EARLIEST, NEW_YORK)
        night = dt.datetime.combine(day - dt.timedelta(days=1), dt.time(20), NEW_YORK)
        moments = (session_open(day), session_close(day), early, postmarket_end(day), night, postmarket_end(day))
        times |= {name: f"{at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}" for name, at in zip(names, moments, strict=True)}
    beside = {"previous_open_hours": _address(mic, previous_session(day))}
    beside |= {"next_open_hours": _address(mic, next_session(day))}
    return {"date": day.isoformat(), "is_open": opens, **times, **beside}


def _address(mic: str, day: dt.date) -> str:
    return f"{API}/markets/{mic}/hours/{day.isoformat()}/"
