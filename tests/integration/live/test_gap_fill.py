"""After a reconnect the missed minutes come from Alpaca's history: its real client, over real HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import polars as pl
import pytest

from quaestor import bars, calendar
from quaestor.doors import alpaca
from quaestor.doors.alpaca import AlpacaSource
from quaestor.doors.http import Carrier
from quaestor.doors.recorded import RecordedSource
from quaestor.doors.sim.alpaca import AlpacaServer
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.serving import serving
from quaestor.fetching import Patience
from quaestor.live.gaps import Outage
from quaestor.operations.gaps import fetched, repair
from quaestor.ports import Capabilities
from quaestor.ticks import SECOND

DAY = dt.date(2026, 11, 20)
OPENS = int(calendar.session_open(DAY).timestamp()) * SECOND
SYMBOLS = ["AAPL", "IBM"]


def minutes(count: int) -> pl.DataFrame:
    rows = [
        {"symbol": symbol, "timeframe": "1m", "session": DAY, "volume": 400, "open": 100.0 + n, "high": 102.0 + n}
        | {"low": 99.0 + n, "close": 100.5 + n, "ts": calendar.session_open(DAY) + dt.timedelta(minutes=n + 1)}
        for symbol in SYMBOLS
        for n in range(count)
    ]
    return pl.DataFrame(rows, schema=bars.schema())


@pytest.fixture
def vendor() -> Iterator[tuple[AlpacaServer, AlpacaSource]]:
    """The protocol server and the source that asks it."""
    server = AlpacaServer(minutes(20))
    with serving(server.app) as url:
        patience = Patience(attempts=2, first=0.01, longest=0.02)
        carrier = Carrier("Alpaca", [alpaca.HOST], secrets=("k", "s"), base_url=url, patience=patience)
        able = Capabilities(tuple(alpaca.FRAMES), alpaca.PAGE, None, 4, beside=1)
        yield server, AlpacaSource(carrier, lambda: ("key", "secret"), base_url=url, capabilities=able)


async def test_the_missed_minutes_of_all_symbols_come_back(vendor: tuple[AlpacaServer, AlpacaSource]) -> None:
    outage = Outage(OPENS + 60 * SECOND, OPENS + 180 * SECOND)
    done = await fetched(vendor[1], SYMBOLS, outage, OPENS + 183 * SECOND, 300 * SECOND)
    assert done.failed == {}
    assert done.filled.bars.group_by("symbol").len()["len"].to_list() == [2, 2]
    assert len(done.filled.ticks) == 16
    assert done.filled.rest is None


async def test_what_has_not_ended_yet_is_asked_for_again_when_it_has(vendor: tuple[AlpacaServer, AlpacaSource]) -> None:
    now, slept = [OPENS + 150 * SECOND], []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += round(seconds * SECOND)

    outage = Outage(OPENS + 60 * SECOND, OPENS + 150 * SECOND)
    rounds = [done async for done in repair(vendor[1], SYMBOLS, outage, lambda: now[0], 300 * SECOND, sleep=sleep)]
    assert [done.filled.bars["ts"].n_unique() for done in rounds] == [1, 1]
    assert rounds[-1].filled.rest is None
    assert slept == [32.0]


async def test_a_symbol_that_fails_costs_no_other_and_is_asked_for_no_more(
    vendor: tuple[AlpacaServer, AlpacaSource],
) -> None:
    server, source = vendor
    server.faults.append(Fault("status", symbol="IBM"))
    outage = Outage(OPENS + 60 * SECOND, OPENS + 180 * SECOND)
    rounds = [
        done
        async for done in repair(source, [*SYMBOLS, "no symbol"], outage, lambda: OPENS + 183 * SECOND, 300 * SECOND)
    ]
    assert [set(done.failed) for done in rounds] == [{"IBM", "no symbol"}]
    assert set(rounds[0].filled.bars["symbol"]) == {"AAPL"}


async def test_a_source_without_minutes_says_so() -> None:
    outage = Outage(OPENS, OPENS + SECOND)
    found = [done async for done in repair(RecordedSource(), SYMBOLS, outage, lambda: OPENS, 0)]
    assert [done.failed for done in found] == [dict.fromkeys(SYMBOLS, "recorded has no bars of a minute")]
