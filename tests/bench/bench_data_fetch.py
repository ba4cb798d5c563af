"""Fetching: how much of the waiting for a distant source many calls at a time save, and in how much memory.

The source is Alpaca's protocol server in a process of its own, 100 ms away, asked through alpaca-py by the very door
that production uses: two requests for a symbol (its bars, its corporate actions), one after the other. Of the CPU time
0.9 ms a request is `requests` alone.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from run import Figure

    from quaestor.ports import Source

SYMBOLS = [f"S{n:03}" for n in range(500)]
SAMPLE = 20
LATENCY = 0.1
IN_FLIGHT = 32
ROUNDS = 3  # the best of each side counts: other work on the machine only ever adds
WINDOW = (dt.date(2012, 1, 3), dt.date(2012, 1, 31))


def figures() -> Iterator[Figure]:
    """500 symbols at 32 in flight, against one after the other."""
    from run import Figure

    with _server() as address:
        alone, together, grown = asyncio.run(_measured(address))
    scaled = alone * len(SYMBOLS) / SAMPLE
    name = f"fetch 500 symbols, 32 in flight / in turn ({SAMPLE} scaled)"
    yield Figure(name, together / scaled, "x", f"<= {1 / 28:.6f}")
    yield Figure("memory that fetching 500 symbols adds", grown, "MB", "<= 100")


async def _measured(address: str) -> tuple[float, float, float]:
    source = _source(address)
    await asyncio.gather(
        *(_history(source, symbol) for symbol in SYMBOLS[:IN_FLIGHT])
    )  # connections, imports, calendar
    alone = min([await _timed([[symbol] for symbol in SYMBOLS[:SAMPLE]], source) for _ in range(ROUNDS)])
    before = _peak()
    together = min([await _timed([SYMBOLS], source) for _ in range(ROUNDS)])
    return alone, together, _peak() - before


async def _timed(batches: list[list[str]], source: Source) -> float:
    begun = time.perf_counter()
    for batch in batches:
        await asyncio.gather(*(_history(source, symbol) for symbol in batch))
    return time.perf_counter() - begun


async def _history(source: Source, symbol: str) -> None:
    history = await source.history(symbol, *WINDOW)
    if history.bars.height != 20:
        raise RuntimeError(f"{symbol}: {history.bars.height} bars came, 20 were there")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _source(address: str) -> Source:
    from quaestor import wiring
    from quaestor.config import AlpacaSection, MarketSection
    from quaestor.ports_secrets import Secret

    class Keys:
        def get(self, name: str) -> Secret:
            return Secret(name, "1", {"alpaca-key": "key", "alpaca-secret": "secret"}[name])

    said = AlpacaSection(base_url=address, in_flight=IN_FLIGHT, requests_per_minute=60_000)
    return wiring.market_source(MarketSection(source="alpaca"), alpaca=said, vault=Keys())  # type: ignore[arg-type]


@contextmanager
def _server() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def serve() -> None:
    """The server, until its standard input ends."""
    import polars as pl

    from quaestor import calendar
    from quaestor.bars import schema
    from quaestor.doors.sim.alpaca import AlpacaServer
    from quaestor.doors.sim.serving import serving

    prices = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0, "volume": 1_000, "timeframe": "1d"}
    days = calendar.sessions(*WINDOW)
    rows = [{"symbol": s, "session": d, "ts": calendar.session_close(d), **prices} for s in SYMBOLS for d in days]
    server = AlpacaServer(pl.DataFrame(rows, schema=schema()))
    server.latency = LATENCY
    with serving(server.app) as address:
        print(address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    serve()
