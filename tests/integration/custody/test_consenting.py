"""A person agrees in his browser: the tokens are kept, refreshed where all logins are, and open the channel."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from quaestor.custody.machine import Standing
from quaestor.custody.tokens import RefreshGrant
from quaestor.doors.memory import broker as memory
from quaestor.doors.robinhood_agentic.broker import RobinhoodAgenticBroker
from quaestor.doors.robinhood_agentic.line import Line
from quaestor.doors.robinhood_agentic.oauth import log_in
from quaestor.doors.robinhood_login import RobinhoodLogin
from quaestor.doors.sim.robinhood_agentic import PATH, Issuer, RobinhoodAgenticServer
from quaestor.doors.sim.serving import serving
from quaestor.errors import AccessLost, LoginRefused
from quaestor.exchange import Costs
from quaestor.operations.custody.consenting import consent
from quaestor.operations.custody.custodian import Custodian
from quaestor.operations.custody.refreshing import refresh
from tests.logins import House


@dataclass
class Channel:
    """The channel's server, and a login that it gives."""

    url: str
    issuer: Issuer

    def custodian(self, home: House) -> Custodian:
        door = RobinhoodLogin(timeout=2.0, base_url=self.url.removesuffix(PATH))
        return home.custodian(door=door, now=lambda: dt.datetime.now(dt.UTC))

    def ask(self) -> tuple[object, str]:
        granted = log_in(self.url, lambda address: threading.Thread(target=_agree, args=(address,)).start(), seconds=10)
        return granted.tokens, granted.client_id


def _agree(address: str) -> None:
    with httpx2.Client(trust_env=False, follow_redirects=True) as browser:
        browser.get(address)


@pytest.fixture
def channel() -> Iterator[Channel]:
    issuer = Issuer()
    exchange = memory.Broker(memory.Exchange(), "main", memory.Quotes({}), Costs())
    with serving(RobinhoodAgenticServer(exchange, issuer.accepts, issuer=issuer).app) as url:
        yield Channel(url + PATH, issuer)


async def test_what_a_person_agrees_to_is_kept_refreshed_and_opens_the_channel(empty: House, channel: Channel) -> None:
    keeper = channel.custodian(empty)
    custody = await consent(keeper, channel.ask)  # type: ignore[arg-type]
    assert (custody.standing, custody.seq) == (Standing.ACTIVE, 1)
    grant = RefreshGrant.read(empty.vault.get(empty.names.refresh).value)
    assert (grant.kind, grant.device_token, grant.seq) == ("oauth", "", 1)
    assert grant.client_id in channel.issuer.clients
    moment = [0.0]
    access = empty.access(clock=lambda: moment[0])
    broker = RobinhoodAgenticBroker(Line(channel.url, access, timeout=2.0))
    await broker.open()
    channel.issuer.revoke()  # as Robinhood does with the token before
    with pytest.raises(AccessLost):
        await broker.orders()
    custody = await refresh(keeper, custody.seq)
    assert (custody.standing, custody.seq) == (Standing.ACTIVE, 2)
    moment[0] = 3.0  # the vault is looked at every two seconds
    assert await broker.orders() == []
    await broker.aclose()


async def test_who_does_not_agree_leaves_everything_as_it_was(empty: House, channel: Channel) -> None:
    channel.issuer.consents = False
    with pytest.raises(LoginRefused, match="access_denied"):
        await consent(channel.custodian(empty), channel.ask)  # type: ignore[arg-type]
    assert empty.names.refresh not in empty.vault.names()
    channel.issuer.consents = True
    assert (await consent(channel.custodian(empty), channel.ask)).standing == Standing.ACTIVE  # type: ignore[arg-type]
