"""The feed's form opens a vendor's source, with secrets out of the vault and addresses out of the form."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from blocks import RecordedFeed
from quaestor import wiring
from quaestor.custody.tokens import AccessToken
from quaestor.doors.sim.robinhood import Person
from quaestor.errors import Permanent
from tasks.ingest import source_of

START, END = dt.date(2026, 10, 1), dt.date(2026, 11, 20)


async def test_the_feed_opens_alpaca_with_the_vaults_keys(at_alpaca: Any, tmp_path: Path) -> None:
    vault = wiring.vault(tmp_path)
    vault.set("my-key", "key")
    vault.set("alpaca-secret", "secret")
    feed = RecordedFeed(
        source="alpaca",
        home=str(tmp_path),
        aliases={"BLUE": "IBM"},
        alpaca={"base_url": at_alpaca.url, "key_secret": "my-key"},
    )
    history = await feed.open().history("BLUE", START, END)
    assert history.bars["symbol"].unique().to_list() == ["BLUE"]
    assert history.bars.height == 37
    assert not {"key", "secret"} & set(feed.alpaca.values()), "the form holds names"


async def test_the_feed_opens_robinhood_with_the_vaults_token(at_robinhood: Any, tmp_path: Path) -> None:
    token = AccessToken.of(at_robinhood.server.auth.mint(Person())["access_token"], 1)
    wiring.vault(tmp_path).set("rh-main-access", token.as_text())
    at = {"base_url": at_robinhood.url, "login": "main"}
    feed = RecordedFeed(source="robinhood", home=str(tmp_path), robinhood=at)
    with pytest.raises(Permanent, match="AAPL: Robinhood has 5m bars since"):
        await feed.open().history("AAPL", dt.date(2020, 1, 2), dt.date(2020, 1, 3), "5m")
    today = dt.datetime.now(dt.UTC).date()
    await feed.open().history("AAPL", today - dt.timedelta(days=90), today)
    assert [path.split("?")[0] for path in at_robinhood.server.asked][-1] == "/quotes/historicals/"


@pytest.mark.parametrize(
    ("form", "says"),
    [
        pytest.param({"source": "alpaca"}, "needs the data folder", id="no vault"),
        pytest.param({"alpaca": {"fed": "iex"}}, "fed", id="an unknown key"),
        pytest.param({"robinhood": {"base_url": "http://example.com"}}, "write https://", id="in the clear"),
        pytest.param({"aliases": {"META": "FB"}}, "another source", id="aliases of the recorded market"),
    ],
)
def test_a_form_that_cannot_be_opened_is_refused(form: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        RecordedFeed(**form)


async def test_an_address_that_only_begins_like_the_vendors_gets_nothing(at_alpaca: Any) -> None:
    source = at_alpaca.source(base_url=at_alpaca.url[:-1])
    with pytest.raises(Permanent, match="which is not the vendor's"):
        await source.history("AAPL", START, END)
    assert at_alpaca.server.asked == []


def test_all_chunks_of_a_process_share_the_source_and_so_its_pace(at_alpaca: Any, tmp_path: Path) -> None:
    def desk(**alpaca: Any) -> Any:
        alpaca["base_url"] = at_alpaca.url
        return SimpleNamespace(feed=RecordedFeed(source="alpaca", home=str(tmp_path), alpaca=alpaca))

    assert source_of(desk()) is source_of(desk())
    assert source_of(desk()) is not source_of(desk(requests_per_minute=100))
