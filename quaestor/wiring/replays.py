"""Markets that are played: recorded days as a feed, and vendors' streams served on this machine."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from quaestor.errors import BadConfig
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.databases import bar_store
from quaestor.wiring.sources import source

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.sim.streaming import StreamServer
    from quaestor.operations.recordings import Shelf
    from quaestor.ports_live import Feed
    from quaestor.ticks import Tick


def replay(loaded: Loaded, now: Callable[[], int], channels: Sequence[str], database: Database | None) -> Feed:
    """The configured recording as a feed; `database`: open, for what is stored. Raises BadConfig without."""
    from quaestor import calendar
    from quaestor.doors.replay_feed import ReplayFeed
    from quaestor.operations.recordings import Played, recording

    said = loaded.config.feed
    if said.recording != "recorded" and database is None:
        raise BadConfig(f"{loaded.place(['feed', 'recording'])}: {said.recording!r} needs the database open.")
    day = dt.datetime.fromtimestamp(now() // 10**9, calendar.NEW_YORK).date()
    played = Played(said.recording, loaded.config.market.symbols, day, said.session, spread=said.spread)
    ticks = recording(recordings(database), played)
    return ReplayFeed(ticks, channels=channels, clock=now, speed=said.speed or None, begins=now())


def recordings(database: Database | None) -> Shelf:
    """What can be replayed: recorded daily prices, and what the database has, where it is open."""
    from quaestor.operations.recordings import Shelf

    if database is None:
        return Shelf(source("recorded"))
    from quaestor.doors.postgres.ticks import TickStore

    return Shelf(source("recorded"), bar_store(database), TickStore(database))


def stream_server(
    vendor: str, ticks: Sequence[Tick], *, symbols: Sequence[str], rate: float, clock: Callable[[], int]
) -> StreamServer:
    """A vendor's stream on this machine: so many ticks a second, stamped by the clock; rate 0: each at its time."""
    if vendor == "kraken":
        from quaestor.doors.sim.kraken_stream import KrakenStreamServer

        return KrakenStreamServer(ticks, symbols=symbols, rate=rate, clock=clock, by_time=not rate)
    from quaestor.doors.sim.alpaca_stream import AlpacaStreamServer

    return AlpacaStreamServer(ticks, keys=None, rate=rate, clock=clock, by_time=not rate)


def made_up(symbols: Sequence[str]) -> Sequence[Tick]:
    """Ticks without an end."""
    from quaestor.doors.sim.streaming import Synthetic

    return Synthetic(symbols, 10**12)
