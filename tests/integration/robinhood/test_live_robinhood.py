"""`quaestor live run` with Robinhood as its broker: its quotes, its orders, its login, and our death in the middle."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from quaestor import wiring
from quaestor.custody.tokens import AccessToken, Names, RefreshGrant
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.triggers import TriggerStore
from quaestor.doors.sim.robinhood import Person, RobinhoodServer
from quaestor.doors.sim.robinhood.auth import WEB
from quaestor.doors.sim.serving import serving
from quaestor.live.standing import instant
from quaestor.orders import EXTERNAL, TRIGGERS
from quaestor.ports_secrets import SecretStore
from quaestor.triggers import Above, OrderTemplate, Trigger
from quaestor.wiring.rehearsals import robinhood_server
from tests.integration.live.live_process import ACCOUNT, LiveProcess, live_process, rows

D = Decimal
NUMBER = "5QX00001"
CONFIG = """
[broker]
kind = "robinhood"
[robinhood]
base_url = "{url}"
order_spacing = 0
requests_per_minute = 6000
[market]
source = "robinhood"
symbols = ["AAPL", "IBM"]
[feed]
kind = "poll"
every = 0.1
[live]
beat = 0.5
[alerts]
file = "alerts.log"
[risk]
duplicate_window = 0
quiet_open = 0
"""


@dataclass
class Scene:
    live: LiveProcess
    server: RobinhoodServer
    vault: SecretStore
    person: Person
    device: str = "a browser"
    seq: int = 0

    def log_in(self) -> None:
        """As a person's login leaves it."""
        self.seq += 1
        given, names = self.server.auth.mint(self.person, self.device), Names(ACCOUNT)
        grant = RefreshGrant(given["refresh_token"], self.device, WEB, "import", self.seq)
        self.vault.set(names.refresh, grant.as_text())
        self.vault.set(names.access, AccessToken.of(given["access_token"], self.seq).as_text())

    def price(self, symbol: str, price: float) -> None:
        """The market moves."""
        self.server.quote(symbol, price - 0.01, price + 0.01, price)

    def orders(self) -> list[Any]:
        """All that Robinhood has."""
        return [asked for asked in self.server.requests if asked.method == "POST" and asked.path == "/orders/"]


@pytest.fixture
def scene(database_uri: str, tmp_path: Path) -> Iterator[Scene]:
    with live_process(tmp_path / "home", database_uri) as live:
        person = Person(accounts={ACCOUNT: NUMBER})
        server = robinhood_server(
            person, cash=D(25_000), held={"IBM": D(10)}, symbols=["AAPL"], clock=lambda: instant(live.now())
        )
        with serving(server.app) as url:
            (live.home / "quaestor.toml").write_text(CONFIG.format(url=url))
            vault = wiring.vault(live.home)
            vault.set(Names(ACCOUNT).account, NUMBER)
            found = Scene(live, server, vault, person)
            found.log_in()
            for symbol in ("AAPL", "IBM"):
                found.price(symbol, 100.0)
            yield found


def above(level: float, shares: int) -> Trigger:
    template = OrderTemplate("buy", quantity=shares)
    return Trigger(uuid.uuid4(), "AAPL", Above(level), template)


async def test_it_trades_there_refreshes_its_login_and_is_killed_and_no_order_is_lost_or_sent_twice(
    scene: Scene, database: Database
) -> None:
    live, books = scene.live, BookStore(database, ACCOUNT)
    await live.bars(database)
    triggers = TriggerStore(database)
    for n, level in enumerate((101.0, 102.0, 103.0)):
        await triggers.put(ACCOUNT, above(level, 1 + n), name=f"t{n}")

    async def held() -> Counter[tuple[str, str]]:
        counted: Counter[tuple[str, str]] = Counter()
        for lot in await books.lots():
            counted[lot.strategy, lot.symbol] += lot.quantity
        return counted

    async def bought(shares: int) -> bool:
        found = await rows(database, "select coalesce(sum(quantity), 0) as n from lot where strategy = 'triggers'")
        return bool(found[0]["n"] == shares)

    live.start("")
    await live.until(lambda: rows(database, "select 1 from entry where key like 'opening:%%'"), "the opening", 60)
    assert (await books.balances())["cash"] == D(25_000)
    assert await held() == {(EXTERNAL, "IBM"): D(10)}

    async def runs() -> bool:
        said = await rows(database, "select 1 from live_run where beat_at is not null and ended_at is null")
        return bool(said)

    await live.until(runs, "a heartbeat")
    scene.price("AAPL", 101.5)
    await live.until(lambda: bought(1), "the first purchase")

    scene.server.auth.revoke(scene.person)  # in the middle of the session, and with the next order on its way
    prices = cycle([102.5, 102.51])  # a market that goes on trading: a price that nobody repeats is too old in the end

    async def bought_above() -> bool:
        scene.price("AAPL", next(prices))
        return await bought(1 + 2)

    await live.until(bought_above, "the purchase with a new token", 90)
    assert scene.server.auth.refreshes == 1

    scene.price("AAPL", 103.5)
    await live.until(lambda: triggers.firings(ACCOUNT), "a firing")
    live.kill()
    live.start("")
    await live.until(lambda: bought(1 + 2 + 3), "the purchase after a kill", 90)

    broker = next(iter(scene.server.floor.books.values()))
    account = await broker.account()
    assert account.positions["AAPL"] == 1 + 2 + 3
    assert (await books.balances())["cash"] == account.cash
    placed = await broker.orders()
    assert len(placed) == len({order.ref_id for order in placed}) == 3
    assert await held() == {(EXTERNAL, "IBM"): D(10), (TRIGGERS, "AAPL"): D(6)}
    assert live.stop() == 143  # a SIGTERM, heard
    outcome = await live.console("reconcile")
    assert outcome["ok"], outcome
    text = (live.home / "run.log").read_text()
    assert NUMBER not in text
