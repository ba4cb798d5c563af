"""`quaestor live run` as a process on books of its own, fed by a protocol server: started, killed, looked at."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

import polars as pl
import psutil

from quaestor import bars, calendar, wiring
from quaestor.console.live import Moment, clock
from quaestor.doors.postgres.bars import BarStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.sim.alpaca_stream import AlpacaStreamServer
from quaestor.doors.sim.streaming import Knobs
from quaestor.operations.session import Floor
from quaestor.ticks import QuoteTick, Tick, TradeTick

ROOT = Path(__file__).resolve().parents[3]
DAY = dt.date(2026, 11, 20)  # a Friday
IN_SESSION = dt.datetime(2026, 11, 20, 15, 0, tzinfo=dt.UTC)
AT_NIGHT = dt.datetime(2026, 11, 21, 5, 0, tzinfo=dt.UTC)
ACCOUNT = "paper"
CONFIG = """
[market]
symbols = [{symbols}]
[account]
cash = 10_000_000
[feed]
kind = "alpaca"
{feed}
[live]
beat = {beat}
[alerts]
file = "alerts.log"
[risk]
max_orders_per_minute = 100_000
max_orders_per_session = 1_000_000
min_order_notional = 0
duplicate_window = 0
max_open_positions = 100
max_daily_loss = 1
"""


@dataclass
class LiveProcess:
    """A data folder, books, a clock that all share, and the runner's process."""

    home: Path
    uri: str
    at: dt.datetime = IN_SESSION
    symbols: Sequence[str] = ("AAPL", "IBM")
    feed: str = ""  # more of [feed]
    beat: float = 0.5
    child: subprocess.Popen[bytes] | None = None
    jump: int = 0  # nanoseconds by which the server's clock differs
    moment: Moment = field(init=False)

    def __post_init__(self) -> None:
        self.moment = Moment(self.at).fixed()
        self._now = clock(self.moment)
        self.home.mkdir(parents=True, exist_ok=True)
        names = ", ".join(f'"{symbol}"' for symbol in self.symbols)
        (self.home / "quaestor.toml").write_text(CONFIG.format(symbols=names, feed=self.feed, beat=self.beat))

    def now(self) -> int:
        """The server's time."""
        return self._now() + self.jump

    async def bars(self, database: Database, price: float = 100.0) -> None:
        """Daily bars of the week before, so that the symbols are known."""
        days = calendar.sessions(DAY - dt.timedelta(days=8), calendar.previous_session(DAY))
        rows = [
            (symbol, bars.DAILY, day, calendar.session_close(day), price, price, price, price, 1_000_000)
            for symbol in self.symbols
            for day in days
        ]
        await BarStore(database).upsert(pl.DataFrame(rows, schema=bars.schema(), orient="row"), [], "test")

    def environment(self) -> dict[str, str]:
        """Of the process."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUAESTOR_", "PREFECT_"))}
        return kept | {"QUAESTOR_HOME": str(self.home), "QUAESTOR_DATABASE_URL": self.uri}

    def start(self, url: str, *more: str) -> None:
        """Start the runner, and do not wait for it. url: its feed's; "": as configured."""
        words = ("live", "run", "--at", self.moment.shared(), *(("--feed", url) if url else ()), *more)
        with (self.home / "run.log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "quaestor.console.cli", *words],
                cwd=ROOT,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """`kill -9`."""
        assert self.child is not None
        assert self.child.poll() is None, self.words()
        self.child.kill()
        self.child.wait()

    def stop(self) -> int:
        """SIGTERM, and its end."""
        assert self.child is not None
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(30)

    def end(self) -> None:
        """However it is."""
        if self.child is not None and self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    def words(self) -> str:
        """What it said at last."""
        return (self.home / "run.log").read_text(errors="replace")[-3000:]

    def alerts(self) -> list[dict[str, Any]]:
        """What a person was told."""
        file = self.home / "alerts.log"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    async def until(self, ask: Callable[[], Awaitable[Any]], what: str, seconds: float = 60.0) -> Any:
        """Ask again and again, as long as the runner lives."""
        end = time.monotonic() + seconds
        while not (answer := await ask()):
            assert self.child is None or self.child.poll() is None, f"It ended:\n{self.words()}"
            assert time.monotonic() < end, f"{what} did not come in {seconds:g} s:\n{self.words()}"
            await asyncio.sleep(0.02)
        return answer

    async def console(self, *words: str) -> Any:
        """What `quaestor … --json` answers."""
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "quaestor.console.cli", *words, "--json"),
            cwd=ROOT,
            env=self.environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await child.communicate()
        assert child.returncode == 0, said
        return json.loads(said)

    @property
    def process(self) -> psutil.Process:
        """To be measured."""
        assert self.child is not None
        return psutil.Process(self.child.pid)


@contextmanager
def live_process(home: Path, uri: str, **more: Any) -> Iterator[LiveProcess]:
    """A runner's surroundings; whatever lives of it in the end is ended."""
    live = LiveProcess(home, uri, **more)
    try:
        yield live
    finally:
        live.end()


def floor_of(live: LiveProcess, database: Database) -> Floor:
    """The doors, to look at books and broker from here; its alerts go nowhere."""
    from quaestor.exchange import Costs

    broker = wiring.paper_broker(database, ACCOUNT, Costs())
    return wiring.floor(database, ACCOUNT, broker, wiring.alerts(live.home, console=False))


async def rows(database: Database, statement: str, **named: Any) -> list[dict[str, Any]]:
    """What the database has."""
    return await database.fetch(statement.encode(), named)


class Scripted(Sequence[Tick]):
    """So many ticks, each made by its place when it is told: nothing of them is held."""

    def __init__(self, tick: Callable[[int], Tick], count: int = 10**12) -> None:
        self._tick, self._count = tick, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, n: int) -> Tick: ...
    @overload
    def __getitem__(self, n: slice) -> list[Tick]: ...
    def __getitem__(self, n: int | slice) -> Tick | list[Tick]:
        if isinstance(n, slice):
            return [self._tick(each) for each in range(*n.indices(self._count))]
        return self._tick(n)


def told(price: Callable[[str, int], float], symbols: Sequence[str]) -> Scripted:
    """Symbol after symbol, a quote and a trade of each in a round; `price` by symbol and round."""

    def tick(n: int) -> Tick:
        symbol, at = symbols[n // 2 % len(symbols)], price(symbols[n // 2 % len(symbols)], n // 2 // len(symbols))
        return TradeTick(symbol, 0, at, 100.0) if n % 2 else QuoteTick(symbol, 0, at - 0.01, at + 0.01, 900.0, 900.0)

    return Scripted(tick)


class Vendor(AlpacaStreamServer):
    """Alpaca's stream, which can be told to say nothing for a while."""

    silent = False

    def due(self, at: int, most: int, begun: float, first: int) -> int:
        """None while it is silent; afterwards it goes on."""
        return 0 if self.silent else super().due(at, most, begun, first)


def server(
    live: LiveProcess, ticks: Sequence[Tick], rate: float, knobs: Knobs | None = None, batch: int = 20
) -> Vendor:
    """The vendor."""
    return Vendor(ticks, keys=None, rate=rate, clock=live.now, knobs=knobs, batch=batch)
