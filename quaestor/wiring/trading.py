"""The trading floor: the broker, the books, the lease and the kill switch, joined for one session."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor.custody.tokens import Names
from quaestor.exchange import Costs
from quaestor.symbols import Symbology
from quaestor.wiring.configuration import Loaded, home
from quaestor.wiring.databases import quotes, signal_store
from quaestor.wiring.sources import robinhood_line, robinhood_section
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.config import RobinhoodSection
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.postgres.reads import Reads
    from quaestor.doors.robinhood.broker import RobinhoodBroker
    from quaestor.operations.session import Floor
    from quaestor.ports import Alerts, ReplayMarket
    from quaestor.ports_secrets import AccessTokens, SecretStore


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


def robinhood_broker(loaded: Loaded, tokens: AccessTokens) -> RobinhoodBroker:
    """Robinhood's door for the configured account; it is a `ports.Broker` and a `ports_live.QuotePoll`."""
    market = loaded.config.market
    return robinhood_door(robinhood_section(loaded), tokens, configured_vault(loaded), market.symbols, market.aliases)


def robinhood_door(
    said: RobinhoodSection,
    tokens: AccessTokens,
    vault: SecretStore,
    symbols: Sequence[str],
    aliases: Mapping[str, str] | None = None,
) -> RobinhoodBroker:
    """The same as it is told. The account's number is fetched out of the vault when it is used first."""
    from quaestor.doors.robinhood.broker import RobinhoodBroker

    line = robinhood_line(said)
    line.tokens = tokens
    return RobinhoodBroker(
        line,
        lambda: vault.get(Names(said.login).account).value,
        universe=symbols,
        form_version=said.order_form_version,
        symbology=Symbology("Robinhood", aliases=aliases or {}),
    )


def floor(database: Database, account: str, broker: Any, told: Alerts, market: ReplayMarket | None = None) -> Floor:
    """All doors of a trading session; the broker is its own market where no other is named."""
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
        market=market or broker,
    )


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
