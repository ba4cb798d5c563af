"""The configured broker: who gets the orders, whose market it is, what quotes it has, and who keeps its login."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quaestor.errors import Permanent
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.custody import access_tokens, custodian, keeper, robinhood_login
from quaestor.wiring.databases import configured_database, quotes
from quaestor.wiring.robinhood_agentic import agentic_login, robinhood_agentic_broker
from quaestor.wiring.robinhood_crypto import robinhood_crypto_broker
from quaestor.wiring.telling import configured_alerts
from quaestor.wiring.trading import floor, paper_broker, robinhood_broker
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Database
    from quaestor.doors.robinhood.broker import RobinhoodBroker
    from quaestor.operations.session import Floor
    from quaestor.ports import Alerts, Broker, ReplayMarket
    from quaestor.ports_live import QuotePoll

log = logging.getLogger("quaestor.live")
WATCHED = (3.0, 15.0)  # seconds between two looks at a real broker while an order works, and otherwise
HERE = ("http://127.0.0.1", "http://localhost", "http://[::1]")  # the configuration takes http for no other


@dataclass(frozen=True)
class Trading:
    """A broker and its market.

    poll: its own quotes, where it has them; paper: itself, where it fills by our feed; looks: seconds between two looks
    at it while an order works, and otherwise; keep: keeps its login, until the event is set; prepare: see `Deck`.
    """

    broker: Broker
    market: ReplayMarket
    poll: QuotePoll | None = None
    paper: Any = None
    looks: tuple[float, float] | None = None
    keep: Callable[[asyncio.Event], Awaitable[None]] | None = None
    prepare: Callable[[dt.date, Sequence[str]], Awaitable[str]] | None = None


def trading(loaded: Loaded, database: Database, now: Callable[[], dt.datetime] | None = None) -> Trading:
    """The configured broker over an open database. now: a live run's clock, aware UTC; None: recorded sessions."""
    config = loaded.config
    if config.broker.kind != "paper":
        return _real(loaded, database, now or (lambda: dt.datetime.now(dt.UTC)))
    paper = config.paper
    if now is None:
        broker = paper_broker(database, config.account.alias, paper.costs, paper.faults, paper.faults_seed)
        return Trading(broker, broker)
    from quaestor.doors.postgres.paper import PaperBroker

    live = PaperBroker(database, config.account.alias, quotes(database), paper.costs, clock=now)
    return Trading(live, live, paper=live)


@asynccontextmanager
async def configured_floor(loaded: Loaded, *, create: bool = True) -> AsyncIterator[Floor]:
    """All doors of a trading session, open; `create` as for `configured_database`."""
    async with configured_database(loaded, create=create) as database:
        on = trading(loaded, database)
        yield floor(database, loaded.config.account.alias, on.broker, configured_alerts(loaded), on.market)


def login_of(loaded: Loaded) -> str:
    """Whose login the configured broker is asked with: the alias of its secrets."""
    return agentic_login(loaded) if loaded.config.broker.kind == "robinhood-agentic" else robinhood_login(loaded)


def rehearsing_is_safe(loaded: Loaded) -> bool:
    """Whether a clock that is not the world's can do no harm: no order leaves this machine."""
    config = loaded.config
    where = {
        "robinhood": config.robinhood.base_url,
        "robinhood-agentic": config.robinhood_agentic.url,
        "robinhood-crypto": config.robinhood_crypto.base_url,
    }
    return config.broker.kind == "paper" or where[config.broker.kind].startswith(HERE)


def _real(loaded: Loaded, database: Database, now: Callable[[], dt.datetime]) -> Trading:
    from quaestor.doors.postgres.books import BookStore
    from quaestor.operations.market import ExchangeMarket
    from quaestor.operations.opening import SinceOpening

    broker, login = _door(loaded, database)
    books = BookStore(database, loaded.config.account.alias)
    keep = _keeping(loaded, database, login) if login else None
    prepare = _preparing(broker) if loaded.config.broker.kind == "robinhood" else None
    return Trading(SinceOpening(broker, books), ExchangeMarket(now), broker, None, WATCHED, keep, prepare)


def real_floor(database: Database, account: str, broker: Broker, told: Alerts) -> Floor:
    """All doors of a trading session at a real broker, as a flow has them: it may compare, and sends nothing itself."""
    from quaestor.doors.postgres.books import BookStore
    from quaestor.operations.market import ExchangeMarket
    from quaestor.operations.opening import SinceOpening

    market = ExchangeMarket(lambda: dt.datetime.now(dt.UTC))
    return floor(database, account, SinceOpening(broker, BookStore(database, account)), told, market)


def _door(loaded: Loaded, database: Database) -> tuple[Any, str]:
    """The broker's door, and whose login it is asked with ("": none)."""
    kind, vault = loaded.config.broker.kind, configured_vault(loaded)
    if kind == "robinhood-crypto":
        return robinhood_crypto_broker(loaded, vault), ""
    from quaestor.doors.postgres.books import BookStore

    login = login_of(loaded)
    tokens = access_tokens(vault, login, database.uri, f"live:{loaded.config.account.alias}")
    if kind == "robinhood":
        return robinhood_broker(loaded, tokens), login
    books = BookStore(database, loaded.config.account.alias)
    symbols, told = loaded.config.market.symbols, configured_alerts(loaded)
    broker = robinhood_agentic_broker(
        loaded, tokens, vault=vault, books=books.open_orders, alerts=told, watched=symbols
    )
    return broker, login


def _preparing(broker: RobinhoodBroker) -> Callable[[dt.date, Sequence[str]], Awaitable[str]]:
    async def prepare(day: dt.date, symbols: Sequence[str]) -> str:
        for symbol in symbols:
            try:
                await broker.prepare([symbol])
            except Permanent as error:  # of one symbol: the others are looked up all the same
                log.warning("%s: %s Orders in it are refused until then.", symbol, error)
        try:
            return await broker.hours_differ(day)
        except Permanent as error:  # nothing is entered then, and exits go on
            return str(error)

    return prepare


def _keeping(loaded: Loaded, database: Database, login: str) -> Callable[[asyncio.Event], Awaitable[None]]:
    config = loaded.config
    of = custodian(
        database, configured_vault(loaded), login, config.account.alias, config.robinhood, configured_alerts(loaded)
    )
    return keeper(of).run
