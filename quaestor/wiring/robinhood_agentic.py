"""Robinhood's Agentic channel: its door with the configured login, the login itself, and a server to rehearse with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from quaestor.custody.tokens import Names
from quaestor.errors import NotFound
from quaestor.logs import know
from quaestor.symbols import Symbology
from quaestor.wiring.configuration import Loaded
from quaestor.wiring.vaults import configured_vault

if TYPE_CHECKING:
    from quaestor.custody.login import Tokens
    from quaestor.doors.robinhood_agentic.broker import RobinhoodAgenticBroker
    from quaestor.doors.sim.robinhood_agentic import RobinhoodAgenticServer
    from quaestor.ports import Alerts, StoredOrder
    from quaestor.ports_secrets import AccessTokens, SecretStore

Prices = Mapping[str, tuple[Decimal, Decimal]]  # bid and ask, by symbol


def agentic_login(loaded: Loaded) -> str:
    """Whose login the channel is asked with: the alias of its secrets."""
    return loaded.config.robinhood_agentic.login or loaded.config.account.alias


def robinhood_agentic_broker(
    loaded: Loaded,
    tokens: AccessTokens,
    *,
    vault: SecretStore | None = None,
    books: Callable[[], Awaitable[Sequence[StoredOrder]]] | None = None,
    alerts: Alerts | None = None,
    watched: Collection[str] = (),
) -> RobinhoodAgenticBroker:
    """The broker, which has quotes to poll, too. Nothing is asked before its first call, or its `open`.

    tokens: of `agentic_login`; vault: the configured one, open; books: the stored open orders; alerts: who is told that
    an order waits for an approval; watched: symbols that `halted` looks at.
    """
    from quaestor.doors.robinhood_agentic.broker import RobinhoodAgenticBroker
    from quaestor.doors.robinhood_agentic.line import Line

    said, name = loaded.config.robinhood_agentic, Names(agentic_login(loaded)).account
    line = Line(said.url, tokens, calls_per_second=said.calls_per_second, timeout=said.timeout)
    store = vault or configured_vault(loaded)

    def number() -> str:
        try:
            value = store.get(name).value.strip()
        except NotFound:
            return ""  # then it is the only account that is open to agents, or a refusal that names the cure
        know(value)
        return value

    names = Symbology("Robinhood", aliases=loaded.config.market.aliases)
    return RobinhoodAgenticBroker(
        line, number, secret=name, books=books, alerts=alerts, watched=watched, symbology=names
    )


def agentic_consent(
    loaded: Loaded, show: Callable[[str], None], paste: Callable[[], str] | None = None
) -> Callable[[], tuple[Tokens, str]]:
    """What logs in to the channel once, in the person's browser, when it is called: tokens, and the client's id."""

    def ask() -> tuple[Tokens, str]:
        from quaestor.doors.robinhood_agentic.oauth import log_in

        said = loaded.config.robinhood_agentic
        granted = log_in(said.url, show, paste=paste, timeout=said.timeout)
        return granted.tokens, granted.client_id

    return ask


async def robinhood_agentic_server(
    cash: Decimal, prices: Prices, clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
) -> RobinhoodAgenticServer:
    """A server with a live exchange behind it: of today's session, or the next one's; it logs in whoever agrees."""
    from quaestor.calendar import NEW_YORK, is_session, next_session
    from quaestor.doors.memory.broker import Broker, Exchange, Quotes
    from quaestor.doors.sim.robinhood_agentic import Issuer, RobinhoodAgenticServer
    from quaestor.exchange import Costs

    today = clock().astimezone(NEW_YORK).date()
    free = Costs(Decimal(0), sec_fee=Decimal(0), taf=Decimal(0))
    exchange, issuer = Broker(Exchange(cash), "agentic", Quotes({}), free, clock=clock), Issuer()
    await exchange.open_session(today if is_session(today) else next_session(today))
    server = RobinhoodAgenticServer(exchange, issuer.accepts, issuer=issuer, clock=clock, market=exchange.on_quote)
    for symbol, (bid, ask) in prices.items():
        await server.move(symbol, bid, ask)
    return server
