"""Robinhood's protocol server by hand: a ready person with an account, prices that move, and a phone that answers."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from quaestor import bars, calendar, wiring
from quaestor.console import sim, sim_words
from quaestor.console.live import clock
from quaestor.errors import BadInput, QuaestorError
from quaestor.splits import Split
from quaestor.ticks import SECOND, QuoteTick, Tick

if TYPE_CHECKING:
    import polars as pl

    from quaestor.doors.sim.robinhood import RobinhoodServer

RATE = 20.0  # ticks a second that are made up, where nothing else is said
STEP = 0.1  # seconds from move to move
HALF = 0.01  # dollars from the last trade to bid and ask, while no quote was told


def serve(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first line says where, who may log in, and what moves it."""
    loaded = wiring.load()
    symbols = [each.strip().upper() for each in arguments.symbols.split(",") if each.strip()]
    if not symbols:
        raise BadInput("--symbols names none; write them like AAPL,MSFT.")
    if arguments.speed <= 0 or arguments.rate < 0:
        raise BadInput("--speed is a number above 0; --rate, too, or 0 for prices that stand still.")
    asyncio.run(_serve(loaded, arguments, symbols))
    return 0


async def _serve(loaded: wiring.Loaded, arguments: argparse.Namespace, symbols: Sequence[str]) -> None:
    from quaestor.doors.sim.robinhood import Person
    from quaestor.doors.sim.serving import serving

    at = arguments.at.fixed() if arguments.at is not None else None
    now = clock(at, arguments.speed)
    kind, _, day = arguments.source.partition(":")
    ticks = await sim.recorded(loaded, kind, day, symbols, now())
    person = Person(accounts={loaded.config.account.alias: "5QX00001"})

    def moment() -> dt.datetime:
        return dt.datetime.fromtimestamp(now() / SECOND, dt.UTC)

    daily, splits = await past_of(kind, symbols, moment().date())
    past: dict[str, Any] = {"bars": daily, "splits": splits}
    server = wiring.robinhood_server(
        person, cash=sim_words.dollars("--cash", arguments.cash), symbols=symbols, clock=moment, **past
    )
    server.floor.round_the_clock = arguments.always_open
    server.auth.approvals.does = arguments.approve if arguments.approve in {"approve", "refuse"} else "never"
    server.auth.approvals.kind = "sms" if arguments.approve == "code" else "prompt"
    market = _Market(server, ticks, arguments.rate if kind == "synthetic" else None, now)
    market.begin(symbols)
    try:
        with serving(server.app, arguments.port) as url:
            said = _said(url, server, arguments) | {"at": None if at is None else at.shared()}
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
            while True:
                market.move()
                await asyncio.sleep(STEP)
    except (OSError, OverflowError) as error:
        raise BadInput(f"--port {arguments.port}: nobody can listen there ({error}).") from error


async def past_of(kind: str, symbols: Sequence[str], today: dt.date) -> tuple[pl.DataFrame, list[Split]]:
    """Daily bars of the year before: recorded ones, or made up to end where made-up ticks begin; with their splits."""
    import polars as pl

    start, end = today - dt.timedelta(days=366), today - dt.timedelta(days=1)
    if kind == "synthetic":
        days = calendar.sessions(start, end)
        rows = [_bar(symbol, day, len(days) - n) for symbol in symbols for n, day in enumerate(days)]
        return pl.DataFrame(rows, schema=bars.schema()), []
    source = wiring.source("recorded")
    found, splits = [pl.DataFrame(schema=bars.schema())], list[Split]()
    for symbol in symbols:
        with suppress(QuaestorError):  # what was never recorded has no past
            history = await source.history(symbol, start, end)
            found.append(history.bars.select(*bars.schema()))
            splits += history.splits
    return pl.concat(found), splits


def _bar(symbol: str, day: dt.date, left: int) -> dict[str, Any]:
    """A made-up day, so many sessions before today."""
    close, before = (round(100 + 5 * math.sin(-n / 9), 2) for n in (left - 1, left))
    prices = {"open": before, "high": max(close, before) + 0.5, "low": min(close, before) - 0.5, "close": close}
    when = {"timeframe": bars.DAILY, "ts": calendar.session_close(day), "session": day}
    return {"symbol": symbol, **when, **prices, "volume": 1_000_000}


def _said(url: str, server: RobinhoodServer, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a person needs to play; it is a made-up person's, who has nothing to lose."""
    person = server.people[0]
    said: dict[str, Any] = {"url": url, "username": person.username, "password": person.password}
    said |= {"totp_seed": person.totp_seed, "accounts": dict(person.accounts), "symbols": arguments.symbols}
    ways = {"by-hand": f"curl -X POST {url}/sim/approve", "code": f"quaestor auth code: {server.auth.approvals.code}"}
    said |= {"approve": ways.get(arguments.approve, f"by itself: {arguments.approve}")}
    said |= {"configure": f'[robinhood] base_url = "{url}"'}
    move = '{"symbol":"AAPL","bid":"189.50","ask":"189.54","last":"189.52"}'
    said |= {"move": f"curl -X POST {url}/sim/quote -H 'Content-Type: application/json' -d '{move}'"}
    if arguments.tokens:
        tokens = server.auth.mint(person, "browser-of-the-rehearsal")
        shown = {name: tokens[name] for name in ("access_token", "refresh_token")}
        said |= {"browser": shown | {"device_token": "browser-of-the-rehearsal"}}
    return said


class _Market:
    """Moves the server's quotes: so many ticks a second, or (None) each at its time."""

    def __init__(
        self, server: RobinhoodServer, ticks: Sequence[Tick], rate: float | None, now: Callable[[], int]
    ) -> None:
        self._server, self._ticks, self._rate, self._now = server, ticks, rate, now
        self._begun, self._place = now(), 0
        self._prices: dict[str, list[float | None]] = {}  # bid, ask, last

    def begin(self, symbols: Sequence[str]) -> None:
        """Every symbol has a price from the start: the first that it will have, where none is due yet."""
        missing = set(symbols)
        for n in range(min(len(self._ticks), 100_000)):
            if not missing:
                break
            if self._ticks[n].symbol in missing:
                missing.discard(self._ticks[n].symbol)
                self._hear(self._ticks[n])
        self._tell(self._prices)

    def move(self) -> None:
        """Tell what is due."""
        moved = set()
        for tick in self._due():
            self._hear(tick)
            moved.add(tick.symbol)
        self._tell(moved)

    def _due(self) -> Iterator[Tick]:
        now, ticks = self._now(), self._ticks
        upto = None if self._rate is None else int((now - self._begun) / SECOND * self._rate)
        while self._place < len(ticks):
            tick = ticks[self._place]
            if tick.at > now if upto is None else self._place >= upto:
                return
            self._place += 1
            yield tick

    def _hear(self, tick: Tick) -> None:
        price = self._prices.setdefault(tick.symbol, [None, None, None])
        if isinstance(tick, QuoteTick):
            price[:2] = tick.bid, tick.ask
        else:
            price[2] = tick.price

    def _tell(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            bid, ask, last = self._prices[symbol]
            if last is not None and (bid is None or ask is None):
                bid, ask = round(last - HALF, 4), round(last + HALF, 4)
            self._server.quote(symbol, bid, ask, last)
