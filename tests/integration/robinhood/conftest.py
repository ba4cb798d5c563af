"""Robinhood's protocol server, and our door to it with tokens out of a vault."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from quaestor import wiring
from quaestor.custody.tokens import AccessToken, Names
from quaestor.doors.robinhood.broker import RobinhoodBroker
from quaestor.doors.robinhood.line import Line
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood import Person, RobinhoodServer
from quaestor.doors.sim.serving import serving
from quaestor.fetching import Patience
from quaestor.operations.custody.access import VaultAccess
from quaestor.ports_secrets import SecretStore
from quaestor.wiring.rehearsals import robinhood_server

NUMBER = "5QX00001"
BEFORE_OPEN = dt.datetime(2026, 11, 20, 14, tzinfo=dt.UTC)
QUICK = Patience(3, 0.01, 0.02, 5.0)


@dataclass
class Refresher:
    """Remembers which tokens it was told of."""

    asked: list[int] = field(default_factory=list)

    def ask(self, seq: int) -> None:
        self.asked.append(seq)


@dataclass
class Site:
    """The server at its address, a person who has an account there, and the vault with his secrets."""

    server: RobinhoodServer
    url: str
    person: Person
    vault: SecretStore
    refresher: Refresher = field(default_factory=Refresher)
    at: dt.datetime = BEFORE_OPEN
    lines: list[Line] = field(default_factory=list)

    def log_in(self, seq: int = 1) -> AccessToken:
        """New tokens in the vault, as a login leaves them."""
        token = AccessToken.of(self.server.auth.mint(self.person)["access_token"], seq)
        self.vault.set(Names("main").access, token.as_text())
        return token

    def tokens(self) -> VaultAccess:
        return VaultAccess(self.vault, "main", self.refresher)

    def line(self, **settings: Any) -> Line:
        quick: dict[str, Any] = {"base_url": self.url, "patience": QUICK, "per_minute": 60_000, "spacing": 0.0}
        self.lines.append(Line(self.tokens(), **(quick | settings)))
        return self.lines[-1]

    def broker(self, line: Line | None = None, **settings: Any) -> RobinhoodBroker:
        return RobinhoodBroker(line or self.line(), lambda: self.vault.get(Names("main").account).value, **settings)

    def trade(self, *prices: int) -> None:
        """A session: these prices after the open, one each minute; then it closes."""
        self.at = BEFORE_OPEN.replace(hour=14, minute=31)
        for price in prices:
            self.server.quote("AAPL", price, price, price)
            self.at += dt.timedelta(minutes=1)
        self.at = BEFORE_OPEN.replace(hour=21, minute=1)

    def wrong(self, *faults: Fault) -> None:
        self.server.faults[:] = faults

    def asked(self, path: str = "") -> list[str]:
        """Method and path of the requests that came, of those with that in their path."""
        return [f"{each.method} {each.path}" for each in self.server.requests if path in each.path]


class Port:
    """An address that stays, while what answers there is another server for each test: stopping one takes its time."""

    app: Any = None
    url = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def robinhood_port() -> Iterator[Port]:
    port = Port()
    with serving(port) as port.url:
        yield port


@pytest.fixture
def site(robinhood_port: Port, tmp_path: Path) -> Iterator[Site]:
    """Half an hour before the open of 20 November 2026; AAPL stands at 100, and the account holds 100,000 dollars."""
    person, vault = Person(accounts={"main": NUMBER, "second": "5QX00002"}), wiring.vault(tmp_path)
    found: Site
    server = robinhood_server(person, symbols=["AAPL"], clock=lambda: found.at)
    vault.set(Names("main").account, NUMBER)
    robinhood_port.app = server.app
    found = Site(server, robinhood_port.url, person, vault)
    server.quote("AAPL", 100, 100, 100)
    found.log_in()
    yield found
    for line in found.lines:
        line.close()
