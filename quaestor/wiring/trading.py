"""The trading floor: the broker, the books, the lease and the kill switch, joined for one session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.exchange import Costs
from quaestor.wiring.configuration import Loaded, home
from quaestor.wiring.databases import configured_database, quotes, signal_store
from quaestor.wiring.telling import configured_alerts

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.postgres.reads import Reads
    from quaestor.operations.session import Floor
    from quaestor.ports import Alerts


def paper_broker(database: Database, alias: str, costs: Costs, faults: Decimal = Decimal(0), seed: int = 0) -> Any:
    """The paper broker over the stored bars; it is a `ports.Broker` and a `ports.ReplayMarket`.

    `faults` is the share of calls that go wrong on the way to it, as `seed` draws them.
    """
    from quaestor.doors.postgres.paper import PaperBroker

    broker = PaperBroker(database, alias, quotes(database), costs)
    if not faults:
        return broker
    from quaestor.doors.faulty import FaultyMarket
    from quaestor.faults import Seeded

    return FaultyMarket(broker, Seeded(float(faults), seed), asyncio.sleep)


def floor(database: Database, account: str, broker: Any, told: Alerts) -> Floor:
    """All doors of a trading session."""
    from quaestor.doors.holder import gone
    from quaestor.doors.postgres.activity import ActivityStore
    from quaestor.doors.postgres.books import BookStore
    from quaestor.doors.postgres.control import ControlStore, LeaseStore
    from quaestor.doors.switch import Switch
    from quaestor.operations.session import Floor

    return Floor(
        books=BookStore(database, account),
        activity=ActivityStore(database, account),
        signals=signal_store(database),
        quotes=quotes(database),
        leases=LeaseStore(database, gone=gone),
        control=Switch(ControlStore(database), home()),
        alerts=told,
        broker=broker,
        market=broker,
    )


@asynccontextmanager
async def configured_floor(loaded: Loaded, *, create: bool = True) -> AsyncIterator[Floor]:
    """All doors of a trading session, open; `create` as for `configured_database`."""
    config = loaded.config
    async with configured_database(loaded, create=create) as database:
        paper = config.paper
        broker = paper_broker(database, config.account.alias, paper.costs, paper.faults, paper.faults_seed)
        yield floor(database, config.account.alias, broker, configured_alerts(loaded))


def holder(role: str) -> str:
    """This process as who takes a lease."""
    from quaestor.doors.holder import me

    return me(role)


def stops(loaded: Loaded, door: Reads) -> list[dict[str, Any]]:
    """What stops entries now: latches in the database, and a halt that is only in its file."""
    from quaestor.doors.switch import in_file

    found: list[dict[str, Any]] = door.rows("latches")
    halt = in_file(loaded.home, loaded.config.account.alias)
    if halt is not None and not any(row["name"] == halt.name for row in found):
        found.insert(0, {"name": halt.name, "reason": halt.reason, "set_at": halt.set_at})
    return found


def halt_without_database(loaded: Loaded, reason: str) -> Path:
    """Latch the kill switch where the database is away: its file."""
    from quaestor.doors.switch import write

    return write(loaded.home, loaded.config.account.alias, reason)
