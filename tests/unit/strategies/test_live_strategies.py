"""Live strategies: one follower a symbol, told of what is over; over a frame it answers as bar by bar."""

from __future__ import annotations

import datetime as dt
import doctest
import itertools
import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from quaestor.barring import LiveBar, nanoseconds
from quaestor.doors.strategy_folder import read
from quaestor.errors import BadInput
from quaestor.strategies import live
from quaestor.strategies.catalogue import Catalogue, Definition
from quaestor.strategies.live import Follower, LiveStrategy
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.truncation import check

PAGE = Path(__file__).parents[3] / "docs" / "strategies.md"
DAY = dt.date(2026, 11, 20)
OPENS = nanoseconds(dt.datetime(2026, 11, 20, 14, 30, tzinfo=dt.UTC))


class Telling(Follower):
    """Keeps what it is told; of every second bar it says its number as percent."""

    def __init__(self) -> None:
        self.told: list[LiveBar] = []

    def on_bar(self, bar: LiveBar) -> float | None:
        self.told.append(bar)
        return None if len(self.told) % 2 else len(self.told) / 100


FOLLOWERS: dict[str, Telling] = {}


@dataclass(frozen=True)
class Told(LiveStrategy):
    """Its followers are found in FOLLOWERS."""

    name = "told"

    def follow(self, symbol: str) -> Follower:
        FOLLOWERS[symbol] = Telling()
        return FOLLOWERS[symbol]


def minutes(*prices: tuple[float, float, float], session: dt.date = DAY) -> list[LiveBar]:
    """Bars of a minute by high, low, close."""
    ends = itertools.count(OPENS, 60 * SECOND)
    return [
        LiveBar("AAPL", "1m", session, end, close, high, low, close, 100.0, 3, end, end)
        for end, (high, low, close) in zip(ends, prices, strict=False)
    ]


@pytest.fixture
def follower(tmp_path):
    """The page's own strategy, read as a person's file is: a range of two minutes, a stop of one percent."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (block,) = [block for block in blocks if block.startswith("# strategies/opening_range.py")]
    (tmp_path / "opening_range.py").write_text(block)
    strategy = Catalogue(read(tmp_path)).build("opening_range", {"minutes": 2, "stop": 1.0}).strategy
    return lambda: strategy.follow("AAPL")


def test_each_symbol_has_a_follower_that_is_told_its_bars_oldest_first(market):
    two = market({"IBM": [1.0, 2, 3], "AAPL": [7.0, 8]})
    Told().targets(two.frame.sample(fraction=1, shuffle=True, seed=1))
    told = {symbol: [(bar.symbol, bar.close) for bar in each.told] for symbol, each in FOLLOWERS.items()}
    assert told == {"AAPL": [("AAPL", 7.0), ("AAPL", 8.0)], "IBM": [("IBM", 1.0), ("IBM", 2.0), ("IBM", 3.0)]}


def test_a_bar_of_a_frame_is_told_whole(market):
    frame = market({"AAPL": [7.0]}).frame.with_columns(open=6.0, high=9.0, low=5.0, volume=44)
    Told().targets(frame)
    (bar,) = FOLLOWERS["AAPL"].told
    assert (bar.session, bar.end) == (frame["session"][0], nanoseconds(frame["ts"][0]))
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (6.0, 9.0, 5.0, 7.0, 44.0)


def test_no_opinion_is_no_row(market):
    found = Told().targets(market({"AAPL": [7.0] * 5}).frame)
    assert found["target"].to_list() == [0.02, 0.04]
    assert found.schema == {"symbol": pl.String, "session": pl.Date, "target": pl.Float64}


def test_a_frame_without_bars_has_no_targets(market):
    assert Told().targets(market({"AAPL": [7.0]}).frame.clear()).is_empty()


def test_a_follower_that_wants_nothing_says_nothing():
    silent = Follower()
    assert not silent.wants_ticks
    assert silent.on_bar(minutes((1, 1, 1))[0]) is None
    assert silent.on_tick(TradeTick("AAPL", 0, 1.0, 1.0)) is None


def test_a_live_strategy_looks_at_no_future(market):
    built = Catalogue([Definition(Told, b"", "a test")]).build("told")
    bars = market({"AAPL": [float(n) for n in range(1, 20)], "IBM": [None] * 5 + [3.0] * 9})
    assert check(built, bars.bars, [], bars.sessions) == []


def test_a_base_without_followers_is_no_strategy():
    assert "live" not in Catalogue().names()
    with pytest.raises(TypeError, match="follow"):
        LiveStrategy()


def test_the_example_in_the_definition_of_a_live_strategy_works():
    assert doctest.testmod(live, raise_on_error=True).attempted >= 3


# ── the page's example ────────────────────────────────────────────────────────────────────────────────────────────────

RISE = ((101, 99, 100), (102, 99, 101), (103, 101, 103), (110, 104, 109))


def test_the_pages_example_goes_in_above_the_range_and_out_below_the_best_minute(follower):
    mine = follower()
    path = minutes(*RISE, (109.5, 109, 109), (109, 108, 108.5), (112, 108, 111))
    assert [mine.on_bar(bar) for bar in path] == [0.0, 0.0, 0.25, 0.25, 0.25, 0.0, 0.25]


def test_the_pages_example_goes_out_at_the_tick_and_knows_the_same_without_it(follower):
    live, restarted = follower(), follower()
    for bar in minutes(*RISE):
        assert live.on_bar(bar) == restarted.on_bar(bar)
    said = [live.on_tick(TradeTick("AAPL", 0, price, 1.0)) for price in (109.5, 108.9, 108.0, 112.0)]
    assert said == [None, 0.0, 0.0, None]
    after = minutes(*RISE, (112, 108, 112), (113, 112, 113))[4:]
    assert [live.on_bar(bar) for bar in after] == [restarted.on_bar(bar) for bar in after] == [0.0, 0.25]


def test_the_pages_example_asks_for_ticks_and_leaves_quotes_alone(follower):
    mine = follower()
    assert mine.wants_ticks
    assert mine.on_tick(QuoteTick("AAPL", 0, 1.0, 1.1, 1.0, 1.0)) is None


def test_the_pages_example_begins_anew_with_each_session(follower):
    mine = follower()
    for bar in minutes(*RISE):
        mine.on_bar(bar)
    monday = minutes((90, 89, 90), session=dt.date(2026, 11, 23))
    assert [mine.on_bar(bar) for bar in monday] == [0.0]
    assert mine.on_tick(TradeTick("AAPL", 0, 1.0, 1.0)) is None


def test_the_pages_example_refuses_what_it_cannot_use(tmp_path, follower):
    with pytest.raises(BadInput, match="opening_range: minutes = 0"):
        Catalogue(read(tmp_path)).build("opening_range", {"minutes": 0})
