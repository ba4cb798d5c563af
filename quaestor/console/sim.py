"""Protocol servers by hand: a vendor's stream on this machine, for its real client libraries and for rehearsals."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quaestor import calendar, wiring
from quaestor.console.live import clock
from quaestor.errors import BadInput
from quaestor.ticks import SECOND, Tick

if TYPE_CHECKING:
    from quaestor.operations.recordings import Played

RATE = 1000.0  # ticks a second that are made up, where nothing else is said


def feed(arguments: argparse.Namespace) -> int:
    """Serve until told to end; the first line says where."""
    loaded = wiring.load()
    symbols = [each.strip().upper() for each in arguments.symbols.split(",") if each.strip()]
    if not symbols:
        raise BadInput("--symbols names none; write them like AAPL,MSFT.")
    if arguments.speed <= 0 or (arguments.rate is not None and arguments.rate <= 0):
        raise BadInput("--speed and --rate are numbers above 0.")
    asyncio.run(_serve(loaded, arguments, symbols))
    return 0


async def _serve(loaded: wiring.Loaded, arguments: argparse.Namespace, symbols: Sequence[str]) -> None:
    at = arguments.at.fixed() if arguments.at is not None else None
    now = clock(at, arguments.speed)
    kind, _, day = arguments.source.partition(":")
    ticks = await recorded(loaded, kind, day, symbols, now())
    rate = arguments.rate or (RATE if kind == "synthetic" else 0.0)
    server = wiring.stream_server(arguments.vendor, ticks, rate=rate, clock=now, symbols=symbols)
    try:
        try:
            url = await server.start(arguments.port)
        except (OSError, OverflowError) as error:
            raise BadInput(f"--port {arguments.port}: nobody can listen there ({error}).") from error
        said: dict[str, Any] = {
            "url": url,
            "vendor": arguments.vendor,
            "symbols": list(symbols),
            "from": arguments.source,
        }
        said["at"] = None if at is None else at.shared()
        sys.stdout.write(json.dumps(said | {"ticks": None if kind == "synthetic" else len(ticks)}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    finally:
        await server.stop()


async def recorded(loaded: wiring.Loaded, kind: str, day: str, symbols: Sequence[str], begins: int) -> Sequence[Tick]:
    """What is told: made up, recorded, or what the database has of a session."""
    if kind == "synthetic":
        return wiring.made_up(symbols)
    from quaestor.operations.recordings import Played

    first = dt.datetime.fromtimestamp(begins // SECOND, calendar.NEW_YORK).date()
    played = Played(kind, symbols, first, dt.date.fromisoformat(day) if day else None, sessions=1)  # type: ignore[arg-type]
    if kind == "recorded":
        return await _session(None, played)
    async with wiring.configured_database(loaded, create=False) as database:
        return await _session(database, played)


async def _session(database: Any, played: Played) -> Sequence[Tick]:
    from quaestor.operations.recordings import sessions

    return [tick async for ticks in sessions(wiring.recordings(database), played) for tick in ticks]
