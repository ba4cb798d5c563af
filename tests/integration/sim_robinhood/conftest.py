"""Robinhood's protocol server, asked by the real robin_stocks: by another instance of it, for it keeps its login."""

from __future__ import annotations

import datetime as dt
import importlib
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
import requests
from requests.adapters import HTTPAdapter

from quaestor import wiring
from quaestor.doors.sim.faults import Fault
from quaestor.doors.sim.robinhood import HOST, Person, RobinhoodServer
from quaestor.doors.sim.serving import serving

API, NUMMUS = "https://api.robinhood.com", "https://nummus.robinhood.com"
WEB = "c82SH0WZOsabOXGP2sxqcj34FxkvfnWRZBKlBjFS"
DURING = dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC)  # a Friday, half an hour after the open
D = Decimal


class Directed(HTTPAdapter):
    """Directs all of Robinhood's hosts to the server."""

    def __init__(self) -> None:
        self.url = ""
        super().__init__()

    def send(self, request: Any, *_: Any, **settings: Any) -> Any:
        asked = urlsplit(request.url)
        told, request.headers[HOST] = request.url, asked.netloc
        request.url = self.url + asked.path + (f"?{asked.query}" if asked.query else "")
        response = super().send(request, **(settings | {"timeout": 5}))
        request.url = response.url = told
        return response


@pytest.fixture(scope="session")
def library() -> ModuleType:
    """robin_stocks.robinhood, another instance of it; its waits take no time."""
    mine = [name for name in sys.modules if name.split(".")[0] == "robin_stocks"]
    kept = {name: sys.modules.pop(name) for name in mine}
    try:
        fresh = importlib.import_module("robin_stocks.robinhood")
        fresh.globals.SESSION.mount("https://", Directed())
        fresh.globals.SESSION.trust_env = False
        fresh.authentication.time = SimpleNamespace(time=time.time, sleep=lambda _: None)
        return fresh
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "robin_stocks"]:
            del sys.modules[name]
        sys.modules |= kept


@dataclass
class Site:
    """The server, the person, the library that asks it, and requests by hand over the same line."""

    server: RobinhoodServer
    person: Person
    rh: Any
    session: requests.Session
    folder: Path
    at: dt.datetime = DURING

    def wrong(self, *faults: Fault) -> None:
        self.server.faults[:] = faults

    def later(self, **time: float) -> None:
        self.at += dt.timedelta(**time)

    def paths(self) -> list[str]:
        """Method and path of what was asked, without ids."""
        return [f"{each.method} {_plain(each.path)}" for each in self.server.requests]

    def log_in(self, **words: Any) -> Any:
        """As robin_stocks logs in."""
        words = {"mfa_code": pyotp.TOTP(self.person.totp_seed).now(), "pickle_path": str(self.folder)} | words
        return self.rh.login(self.person.username, self.person.password, **words)

    def token(self, **form: str) -> requests.Response:
        return self.session.post(f"{API}/oauth2/token/", data={"client_id": WEB, "scope": "internal"} | form)

    def password(self, device: str = "device", **form: str) -> requests.Response:
        who = {"username": self.person.username, "password": self.person.password, "device_token": device}
        code = {"mfa_code": pyotp.TOTP(self.person.totp_seed).now()}
        return self.token(**({"grant_type": "password"} | who | code | form))

    def refresh(self, token: str, device: str = "device", **form: str) -> requests.Response:
        return self.token(**({"grant_type": "refresh_token", "refresh_token": token, "device_token": device} | form))

    def ticket(self, symbol: str = "AAPL", quantity: Any = 10, **terms: Any) -> dict[str, Any]:
        """An order as the web sends it."""
        about = {"account": f"{API}/accounts/{self.person.default}/"}
        about |= {"instrument": self.server.instruments.address(symbol), "symbol": symbol, "ref_id": str(uuid.uuid4())}
        how = {"side": "buy", "type": "market", "trigger": "immediate", "time_in_force": "gfd", "quantity": quantity}
        return about | how | {"market_hours": "regular_hours", "order_form_version": 7} | terms

    def post(self, ticket: dict[str, Any]) -> requests.Response:
        return self.session.post(f"{API}/orders/", json=ticket)

    def order(self, symbol: str = "AAPL", quantity: Any = 10, **terms: Any) -> str:
        """Place one; its id."""
        answer = self.post(self.ticket(symbol, quantity, **terms))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def shown(self, order: str) -> dict[str, Any]:
        found: dict[str, Any] = self.session.get(f"{API}/orders/{order}/").json()
        return found

    def get(self, path: str, host: str = API) -> Any:
        return self.session.get(f"{host}{path}").json()

    def cancel(self, order: str) -> requests.Response:
        return self.session.post(f"{API}/orders/{order}/cancel/")


def _plain(path: str) -> str:
    return "/".join("{}" if "-" in part and len(part) == 36 else part for part in path.split("/"))


class Socket:
    """One socket for all tests; behind it stands the server of the test that runs."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def socket() -> Iterator[Socket]:
    found = Socket()
    with serving(found) as found.url:
        yield found


@pytest.fixture
def site(library: Any, socket: Socket, tmp_path: Path) -> Iterator[Site]:
    person = Person(accounts={"main": "5QX00001", "other": "5QX00002"})
    held = {"IBM": D(10)}
    found: Site
    server = wiring.robinhood_server(person, held=held, clock=lambda: found.at)
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", Directed())
    found = Site(server, person, library, session, tmp_path)
    server.quote("AAPL", "189.50", "189.54", "189.52", previous_close="188")
    server.quote("IBM", "120", "120.10", "120.05")
    server.quote("BTC-USD", "90000", "90010", "90005")
    socket.app = server.app
    for each in (session, library.globals.SESSION):
        adapter: Any = each.get_adapter("https://")
        adapter.url = socket.url
    yield found
    session.close()
    library.helper.set_login_state(False)
    library.helper.update_session("Authorization", None)


@pytest.fixture
def inside(site: Site) -> Site:
    """Logged in: the library and the requests by hand."""
    token = site.server.auth.mint(site.person)["access_token"]
    site.rh.helper.update_session("Authorization", f"Bearer {token}")
    site.rh.helper.set_login_state(True)
    site.session.headers["Authorization"] = f"Bearer {token}"
    return site
