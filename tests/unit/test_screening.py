"""Bad ticks are counted by the rule that they break, and go no further."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quaestor.screening import (
    CROSSED,
    DAY,
    FINITE,
    FUTURE,
    POSITIVE,
    RULES,
    SPIKE,
    STALE,
    UNKNOWN,
    Screen,
)
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick

NOW = 1_795_185_000 * SECOND


def trade(price: float = 100.0, *, size: float = 10.0, at: int = NOW, symbol: str = "AAPL") -> TradeTick:
    return TradeTick(symbol, at, price, size)


def quote(bid: float = 99.0, ask: float = 101.0, *, at: int = NOW, **more: Any) -> QuoteTick:
    return QuoteTick("AAPL", at, bid, ask, more.get("bid_size", 1.0), more.get("ask_size", 1.0))


BAD = [
    pytest.param(trade(math.nan), FINITE, id="a price that is no number"),
    pytest.param(trade(math.inf), FINITE, id="an infinite price"),
    pytest.param(trade(size=math.nan), FINITE, id="a size that is no number"),
    pytest.param(quote(math.nan), FINITE, id="a bid that is no number"),
    pytest.param(quote(ask=math.inf), FINITE, id="an infinite ask"),
    pytest.param(quote(bid_size=math.nan), FINITE, id="a bid of no size that is a number"),
    pytest.param(trade(0.0), POSITIVE, id="a price of zero"),
    pytest.param(trade(-100.0), POSITIVE, id="a negative price"),
    pytest.param(trade(size=0.0), POSITIVE, id="a trade of nothing"),
    pytest.param(quote(bid=0.0), POSITIVE, id="no bid"),
    pytest.param(quote(ask_size=-1.0), POSITIVE, id="less than nothing on offer"),
    pytest.param(quote(101.0, 99.0), CROSSED, id="a bid above its ask"),
    pytest.param(trade(at=NOW + 2 * SECOND + 1), FUTURE, id="from the future"),
    pytest.param(trade(at=NOW - DAY), STALE, id="a day old"),
    pytest.param(trade(1000.0), SPIKE, id="ten times the last"),
    pytest.param(trade(10.0), SPIKE, id="a tenth of the last"),
    pytest.param(quote(99.0, 1000.0), SPIKE, id="an ask ten times the last"),
    pytest.param(quote(10.0, 101.0), SPIKE, id="a bid of a tenth of the last"),
    pytest.param(trade(symbol="STRANGER"), UNKNOWN, id="nobody subscribed"),
]


@pytest.mark.parametrize(("tick", "rule"), BAD)
def test_a_bad_tick_is_counted_by_its_rule_and_goes_no_further(tick: Tick, rule: str) -> None:
    screen = Screen(["AAPL"], {"AAPL": 100.0})
    good = [trade(100.0), quote()]
    assert screen.good([good[0], tick, good[1]], NOW) == good
    assert screen.counts == {rule: 1}
    assert rule in RULES


def test_what_is_just_within_the_rules_passes() -> None:
    screen = Screen(["AAPL"], {"AAPL": 100.0})
    ticks = [trade(at=NOW + 2 * SECOND), trade(at=NOW - DAY + 1), trade(999.99), trade(100.0), quote(100.0, 100.0)]
    ticks += [quote(bid_size=0.0)]
    assert screen.good(ticks, NOW) == ticks
    assert not screen.counts


def test_the_first_price_of_a_symbol_is_taken_as_its_level_and_a_forgotten_one_is_a_stranger() -> None:
    screen = Screen(["AAPL"])
    assert len(screen.good([quote(), trade(), trade(5.0)], NOW)) == 2
    screen.forget(["AAPL"])
    assert not screen.good([trade()], NOW)
    assert screen.counts == {SPIKE: 1, UNKNOWN: 1}


def test_five_trades_in_a_row_that_agree_for_a_second_are_a_new_level() -> None:
    screen = Screen(["AAPL"], {"AAPL": 10.0})
    after = [trade(200.0 + n, at=NOW + n * SECOND // 4) for n in range(6)]
    assert screen.good(after, NOW + SECOND) == after[4:]
    assert screen.last["AAPL"] == 205.0


@pytest.mark.parametrize(
    "ticks",
    [
        pytest.param([trade(1000.0)] * 50, id="all in one instant"),
        pytest.param([trade(1000.0 * 2**n, at=NOW + n * SECOND // 3) for n in range(6)], id="they do not agree"),
        pytest.param([quote(1000.0, 1001.0, at=NOW + n * SECOND // 8) for n in range(9)], id="quotes alone"),
    ],
)
def test_spikes_that_prove_nothing_stay_spikes(ticks: list[Tick]) -> None:
    screen = Screen(["AAPL"], {"AAPL": 100.0})
    assert screen.good(ticks, NOW + SECOND) == []
    assert screen.counts == {SPIKE: len(ticks)}


def test_a_good_trade_between_spikes_begins_their_count_anew() -> None:
    screen = Screen(["AAPL"], {"AAPL": 100.0})
    spikes = [trade(1000.0, at=NOW + n * SECOND // 8) for n in range(4)]
    assert screen.good([*spikes, trade(), *spikes], NOW + SECOND) == [trade()]
    assert screen.counts == {SPIKE: 8}
