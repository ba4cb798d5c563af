"""Alpaca as a source: its starts become ends, its days sessions, its actions splits and dividends."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from quaestor import calendar
from quaestor.dividends import Dividend
from quaestor.doors.alpaca import AlpacaSource
from quaestor.doors.http import Carrier
from quaestor.doors.sim.faults import Fault
from quaestor.errors import BadConfig, BadInput, NotFound
from quaestor.splits import Split
from quaestor.symbols import Symbology

D = dt.date
START, END = D(2026, 10, 1), D(2026, 11, 20)


async def test_daily_bars_are_as_traded_and_end_with_their_sessions_close(at_alpaca: Any) -> None:
    history = await at_alpaca.source().history("AAPL", START, END)
    assert history.bars["session"].to_list() == calendar.sessions(START, END)
    assert history.bars["ts"].to_list() == [calendar.session_close(day) for day in history.bars["session"]]
    assert history.bars["close"].to_list() == [100.25 + n for n in range(37)]
    assert "adjustment=raw" in at_alpaca.server.asked[0]
    assert "feed=iex" in at_alpaca.server.asked[0]


async def test_splits_of_both_kinds_and_dividends_come_with_the_bars(at_alpaca: Any) -> None:
    history = await at_alpaca.source().history("AAPL", START, END)
    assert history.splits == (
        Split("AAPL", D(2026, 10, 20), Fraction(4)),
        Split("AAPL", D(2026, 11, 3), Fraction(1, 2)),
    )
    assert history.dividends == (Dividend("AAPL", D(2026, 11, 9), Decimal("0.26")),)
    assert (await at_alpaca.source().history("AAPL", END, END)).splits == ()


async def test_an_hour_ends_where_the_next_begins_and_extended_hours_keep_their_session(at_alpaca: Any) -> None:
    day = D(2026, 11, 19)
    bars = (await at_alpaca.source().history("AAPL", day, day, "1h")).bars
    new_york = bars["ts"].dt.convert_time_zone("America/New_York").dt.hour().to_list()
    assert new_york == list(range(5, 21))
    assert bars["session"].unique().to_list() == [day], "20:00 in New York is the next day in UTC"
    assert bars["timeframe"].unique().to_list() == ["1h"]


async def test_a_share_class_is_asked_for_as_alpaca_writes_it(at_alpaca: Any) -> None:
    history = await at_alpaca.source().history("BRK.B", START, END)
    assert "symbols=BRK.B" in at_alpaca.server.asked[0]
    assert history.bars["symbol"].unique().to_list() == ["BRK.B"]


async def test_an_alias_is_ours_inside_and_theirs_outside(at_alpaca: Any) -> None:
    carrier = Carrier("Alpaca", ["data.alpaca.markets"], base_url=at_alpaca.url)
    symbology = Symbology("Alpaca", aliases={"BLUE": "IBM"})
    source = AlpacaSource(carrier, lambda: ("key", "secret"), base_url=at_alpaca.url, symbology=symbology)
    assert (await source.history("BLUE", START, END)).bars["symbol"].unique().to_list() == ["BLUE"]
    with pytest.raises(BadInput, match=r"IBM: Alpaca calls it 'IBM', which is our BLUE"):
        source.require(["AAPL", "IBM"])


async def test_a_symbol_without_bars_in_the_window_has_none(at_alpaca: Any) -> None:
    history = await at_alpaca.source().history("AAPL", D(2020, 1, 2), D(2020, 1, 31))
    assert history.bars.height == 0
    assert history.bars["ts"].dtype.time_zone == "UTC"  # type: ignore[attr-defined]
    assert await at_alpaca.source().span("AAPL") is None


async def test_wrong_keys_name_their_secrets(at_alpaca: Any) -> None:
    carrier = Carrier(
        "Alpaca", ["data.alpaca.markets"], base_url=at_alpaca.url, secrets=["alpaca-key", "alpaca-secret"]
    )
    source = AlpacaSource(carrier, lambda: ("key", "hunter2"), base_url=at_alpaca.url)
    with pytest.raises(BadConfig, match=r"answered 403: forbidden\..* 'alpaca-key' and 'alpaca-secret'") as caught:
        await source.history("AAPL", START, END)
    assert "hunter2" not in str(caught.value)


async def test_a_missing_secret_is_named_as_the_vault_names_it(at_alpaca: Any) -> None:
    def keys() -> tuple[str, str]:
        raise NotFound.named("secret", "alpaca-key", [])

    source = AlpacaSource(Carrier("Alpaca", ["x"], base_url=at_alpaca.url), keys, base_url=at_alpaca.url)
    with pytest.raises(NotFound, match="Unknown secret 'alpaca-key'"):
        await source.history("AAPL", START, END)


async def test_a_timeframe_that_it_has_not_is_answered_with_those_it_has(at_alpaca: Any) -> None:
    with pytest.raises(BadInput, match="has no 2h bars, but: 1d, 1m, 5m, 1h"):
        await at_alpaca.source().history("AAPL", START, END, "2h")


async def test_a_corporate_action_that_cannot_be_read_fails_its_symbol(
    at_alpaca: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(at_alpaca.server._actions[0][0], "old_rate", 0)
    with pytest.raises(BadInput, match="AAPL: Alpaca tells of a corporate action that cannot be read"):
        await at_alpaca.source().history("AAPL", START, END)


async def test_actions_that_fail_fail_the_symbol_too(at_alpaca: Any) -> None:
    at_alpaca.wrong(Fault("html", path="corporate-actions"))
    with pytest.raises(BadInput, match="HTML"):
        await at_alpaca.source().history("AAPL", START, END)
