"""The login to the Agentic channel: discovery, registration, consent in a browser, tokens, and their refresh."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from quaestor.custody.tokens import AccessToken
from quaestor.doors.memory import broker as memory
from quaestor.doors.robinhood_agentic import oauth
from quaestor.doors.robinhood_agentic.oauth import log_in
from quaestor.doors.sim.robinhood_agentic import PATH, Issuer, RobinhoodAgenticServer
from quaestor.doors.sim.serving import serving
from quaestor.errors import LoginRefused, Temporary
from quaestor.exchange import Costs


@dataclass
class Person:
    """Opens the address in a browser, in a thread of his own; `went` is where he was sent at the end."""

    follows: bool = True
    shown: list[str] = field(default_factory=list)
    went: str = ""

    def show(self, address: str) -> None:
        self.shown.append(address)
        if self.follows:
            threading.Thread(target=self._browse, args=(address,), daemon=True).start()
        else:
            with httpx2.Client(trust_env=False) as browser:
                self.went = str(browser.get(address).headers.get("location", ""))

    @staticmethod
    def _browse(address: str) -> None:
        with httpx2.Client(trust_env=False, follow_redirects=True) as browser:
            browser.get(address)

    @property
    def asked(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.shown[0]).query).items()}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, Issuer]]:
    issuer = Issuer()
    exchange = memory.Broker(memory.Exchange(), "main", memory.Quotes({}), Costs())
    with serving(RobinhoodAgenticServer(exchange, issuer.accepts, issuer=issuer).app) as url:
        yield url + PATH, issuer


@pytest.fixture
def channel(served: tuple[str, Issuer]) -> Iterator[tuple[str, Issuer]]:
    yield served
    served[1].consents, served[1].tampers = True, ""


def test_a_person_agrees_in_his_browser_and_the_tokens_open_the_channel(channel: tuple[str, Issuer]) -> None:
    url, issuer = channel
    person = Person()
    granted = log_in(url, person.show, seconds=10)
    assert issuer.accepts(granted.tokens.access_token)
    assert AccessToken.of(granted.tokens.access_token, 1).expires_at
    assert issuer.clients[granted.client_id] == [person.asked["redirect_uri"]]
    assert urlsplit(person.asked["redirect_uri"]).hostname == "localhost"
    assert (person.asked["code_challenge_method"], person.asked["scope"]) == ("S256", "internal")
    assert person.asked["resource"] == url
    assert granted.tokens.access_token not in repr(granted)


def test_the_refresh_is_the_token_addresss_own_and_good_for_one_use(channel: tuple[str, Issuer]) -> None:
    url, issuer = channel
    granted = log_in(url, Person().show, seconds=10)
    asked = {
        "grant_type": "refresh_token",
        "refresh_token": granted.tokens.refresh_token,
        "client_id": granted.client_id,
    }
    with httpx2.Client(trust_env=False) as client:
        token = url.removesuffix(PATH) + "/oauth2/token/"
        first = client.post(token, data=asked)
        assert issuer.accepts(first.json()["access_token"])
        assert client.post(token, data=asked).status_code == 401


def test_where_the_browser_is_on_another_machine_the_address_is_pasted(channel: tuple[str, Issuer]) -> None:
    url, issuer = channel
    person = Person(follows=False)
    granted = log_in(url, person.show, paste=lambda: person.went + "\n")
    assert issuer.accepts(granted.tokens.access_token)


def test_who_does_not_agree_is_told_so(channel: tuple[str, Issuer]) -> None:
    url, issuer = channel
    issuer.consents = False
    with pytest.raises(LoginRefused, match="access_denied"):
        log_in(url, Person().show, seconds=10)


def test_an_answer_to_another_login_is_not_taken(channel: tuple[str, Issuer]) -> None:
    url, issuer = channel
    issuer.tampers = "somebody-elses"
    with pytest.raises(LoginRefused, match="state differs"):
        log_in(url, Person().show, seconds=10)


def test_nobody_who_agrees_ends_it(channel: tuple[str, Issuer]) -> None:
    with pytest.raises(LoginRefused, match="in time"):
        log_in(channel[0], lambda _: None, seconds=0.05)


def test_nobody_at_home_is_a_passing_fault() -> None:
    with pytest.raises(Temporary, match="nothing was stored"):
        log_in("http://127.0.0.1:9/mcp/trading", lambda _: None, timeout=1)


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://api.robinhood.com/oauth2/token/", "https://agent.robinhood.com/mcp/trading"),
        ("https://robinhood.com.evil.example/token", "https://agent.robinhood.com/mcp/trading"),
        ("https://evilrobinhood.com/token", "https://agent.robinhood.com/mcp/trading"),
        ("http://127.0.0.1:8000/token", "https://agent.robinhood.com/mcp/trading"),
        ("http://127.0.0.1:8001/token", "http://127.0.0.1:8000/mcp/trading"),
        ("", "https://agent.robinhood.com/mcp/trading"),
    ],
)
def test_a_login_goes_to_robinhood_alone(url: str, ours: str) -> None:
    with pytest.raises(LoginRefused, match="not Robinhood's"):
        oauth._allowed(url, ours)
    assert oauth._allowed("https://api.robinhood.com/oauth2/token/", ours)
