"""Before an order, the feed's quote and the broker's must prove each other."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

import pytest

from quaestor.config import LiveSection
from quaestor.errors import BrokerBusy, QuaestorError
from quaestor.live.crosscheck import agree
from quaestor.operations.crosscheck import Checked, cross_check
from quaestor.risk import Quote
from quaestor.ticks import SECOND, QuoteTick, Tick

D = Decimal
NOW = dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC)


def quote(bid: str, ask: str, age: float = 1.0) -> Quote:
    return Quote(D(bid), D(ask), NOW - dt.timedelta(seconds=age))


GOOD = quote("99.99", "100.01")


@pytest.mark.parametrize(
    ("feed", "broker", "why"),
    [
        pytest.param(GOOD, GOOD, None, id="the same"),
        pytest.param(GOOD, quote("100.98", "101.00"), None, id="a little apart"),
        pytest.param(GOOD, quote("101.10", "101.12"), "1.10 % apart", id="too far above"),
        pytest.param(GOOD, quote("98.80", "98.82"), "1.20 % apart", id="too far below"),
        pytest.param(GOOD, quote("9.99", "10.01"), "900.00 % apart", id="a split that one of both missed"),
        pytest.param(None, GOOD, "the feed has no quote", id="no quote of ours"),
        pytest.param(GOOD, None, "the broker has no quote", id="none of theirs"),
        pytest.param(GOOD, quote("99.99", "100.01", 60), "the broker's quote is 60.0 s old", id="an old one of theirs"),
        pytest.param(quote("99.99", "100.01", 11), GOOD, "the feed's quote is 11.0 s old", id="an old one of ours"),
        pytest.param(GOOD, quote("101", "100"), "the broker's quote is 101 / 100", id="crossed"),
        pytest.param(GOOD, quote("NaN", "100"), "the broker's quote is NaN / 100", id="no number"),
        pytest.param(GOOD, quote("0", "100"), "the broker's quote is 0 / 100", id="nothing"),
    ],
)
def test_quotes_agree_or_it_is_said_why_not(feed: Quote | None, broker: Quote | None, why: str | None) -> None:
    said = agree(feed, broker, percent=D(1), max_age=D(10), now=NOW)
    assert (said is None) if why is None else why in str(said)


class Desk:
    """A broker whose quotes are known, and how it behaves."""

    name = "desk"

    def __init__(self, bids: dict[str, float], fault: QuaestorError | None = None, takes: float = 0.0) -> None:
        self._bids, self._fault, self._takes = bids, fault, takes

    async def quotes(self, symbols: Sequence[str]) -> list[Tick]:
        await asyncio.sleep(self._takes)
        if self._fault:
            raise self._fault
        at = int(NOW.timestamp()) * SECOND
        return [QuoteTick(each, at, self._bids[each], self._bids[each] + 0.02, 1.0, 1.0) for each in symbols]


OURS = {"AAPL": quote("99.99", "100.01"), "IBM": quote("99.99", "100.01")}


async def checked(desk: Desk | None, policy: str, patience: float = 5.0) -> Checked:
    said = LiveSection(cross_check=policy, cross_check_seconds=patience)  # type: ignore[arg-type]
    return await cross_check(desk, OURS, said, lambda: NOW)


async def test_an_entry_far_from_the_brokers_quote_is_refused_alone() -> None:
    found = await checked(Desk({"AAPL": 99.99, "IBM": 120.0}), "refuse")
    assert (list(found.refused), found.warned) == (["IBM"], {})


async def test_where_a_warning_is_wanted_nothing_is_refused() -> None:
    found = await checked(Desk({"AAPL": 99.99, "IBM": 120.0}), "warn")
    assert (found.refused, list(found.warned)) == ({}, ["IBM"])


async def test_where_no_check_is_wanted_nobody_is_asked() -> None:
    assert await checked(Desk({}, BrokerBusy()), "off") == Checked()


@pytest.mark.parametrize(
    ("desk", "why"),
    [
        pytest.param(Desk({}, takes=30.0), "within 0.05 s", id="it does not answer"),
        pytest.param(Desk({}, BrokerBusy("Too many requests.")), "Too many requests", id="it answers with a fault"),
        pytest.param(None, "has no quotes", id="it has none"),
    ],
)
async def test_a_broker_that_says_nothing_in_time_proves_nothing(desk: Desk | None, why: str) -> None:
    found = await checked(desk, "refuse", 0.05)
    assert set(found.refused) == {"AAPL", "IBM"}
    assert all(why in words for words in found.refused.values())
