"""Bars from ticks: the grid, the order of events, trades too late, bad ticks, snapshots, and how long a tick takes."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest

from quaestor import barring, calendar
from quaestor.barring import GRACE, STEPS, Barring, Builder, Correction, Grid, LiveBar, Phase, nanoseconds, phases
from quaestor.bars import Bar
from quaestor.errors import BadInput, NotFound
from quaestor.ticks import SECOND, TradeTick

DAY = dt.date(2026, 7, 2)
HALF = dt.date(2026, 11, 27)  # the day after Thanksgiving: the exchange closes at 13:00
OPEN, CLOSE = nanoseconds(calendar.session_open(DAY)), nanoseconds(calendar.session_close(DAY))
MINUTE = 60 * SECOND
GRID = Grid.of("1m", [DAY])


def trade(at: float, price: float = 100.0, size: float = 10.0, symbol: str = "AAPL") -> TradeTick:
    """A trade so many seconds after the opening."""
    return TradeTick(symbol, OPEN + round(at * SECOND), price, size)


def builder(timeframe: str = "1m", grace: int = GRACE) -> Builder:
    return Builder("AAPL", Grid.of(timeframe, [DAY]), grace)


def taken(one: Builder, *ticks: TradeTick) -> list[LiveBar | Correction]:
    return [event for tick in ticks for event in one.take(tick)]


def test_a_bar_has_the_prices_of_its_trades_and_is_named_by_its_end() -> None:
    one = builder()
    assert taken(one, trade(0, 100.0), trade(5, 103.0), trade(20, 99.0), trade(59.999, 101.0, 5)) == []
    (bar,) = taken(one, trade(62))
    assert bar == LiveBar(
        "AAPL", "1m", DAY, OPEN + MINUTE, 100.0, 103.0, 99.0, 101.0, 35.0, 4, OPEN, OPEN + 59_999_000_000
    )


def test_a_bar_in_the_moneys_terms_is_decimal_and_in_utc() -> None:
    bar = LiveBar("AAPL", "1m", DAY, OPEN + MINUTE, 46.73, 46.9, 46.7, 46.8, 34.6, 3, OPEN, OPEN + 1, version=2)
    ts = dt.datetime(2026, 7, 2, 13, 31, tzinfo=dt.UTC)
    prices = [Decimal(text) for text in ("46.73", "46.9", "46.7", "46.8")]
    assert bar.to_bar() == Bar("AAPL", DAY, ts, *prices, volume=35, version=2, timeframe="1m")
    assert bar.to_bar().key == "AAPL|1m|2026-07-02T13:31:00Z"


def test_a_trade_at_a_bars_end_belongs_to_the_next_bar() -> None:
    one = builder(grace=0)
    (first,) = taken(one, trade(59.9, 100.0), trade(60, 101.0))
    (second,) = one.close_until(OPEN + 2 * MINUTE)
    assert [(bar.end - OPEN, bar.close) for bar in (first, second)] == [(MINUTE, 100.0), (2 * MINUTE, 101.0)]


def test_an_interval_without_trades_has_no_bar() -> None:
    one = builder()
    (bar,) = taken(one, trade(1), trade(600))
    assert (bar.end, [bar.end for bar in one.close_until(CLOSE)]) == (OPEN + MINUTE, [OPEN + 11 * MINUTE])


def test_the_exchanges_time_decides_the_open_and_the_close_not_arrival() -> None:
    one = builder()
    taken(one, trade(30, 102.0), trade(10, 100.0), trade(50, 104.0), trade(40, 103.0))
    (bar,) = one.close_until(CLOSE)
    assert (bar.open, bar.close, bar.first_at, bar.last_at) == (100.0, 104.0, trade(10).at, trade(50).at)


def test_of_two_trades_in_one_nanosecond_the_earlier_to_arrive_opens_and_the_later_closes() -> None:
    one = builder()
    taken(one, trade(5, 101.0), trade(9, 104.0), trade(5, 102.0), trade(9, 103.0))
    (bar,) = one.close_until(CLOSE)
    assert (bar.open, bar.close) == (101.0, 103.0)


def test_it_is_so_too_for_trades_that_come_within_the_grace_and_later() -> None:
    one = builder()
    taken(one, trade(5, 101.0), trade(59, 104.0), trade(61), trade(5, 102.0), trade(59, 103.0))
    (bar,) = taken(one, trade(62))
    assert (bar.open, bar.close) == (101.0, 103.0)
    opening, closing = taken(one, trade(5, 105.0), trade(59, 106.0))
    mended = closing.applied(opening.applied(bar))
    assert (mended.open, mended.close, mended.version) == (101.0, 106.0, 3)


def test_the_clock_is_that_of_the_newest_trade_also_for_an_interval_without_a_bar() -> None:
    one = builder("1s", grace=SECOND // 2)
    taken(one, trade(5.0), trade(5.9))
    assert one.clock == trade(5.9).at
    assert isinstance(taken(one, trade(4.5))[0], Correction)


def test_a_bar_stays_open_for_its_grace_and_takes_what_still_belongs_to_it() -> None:
    one = builder()
    assert taken(one, trade(59, 100.0), trade(60.5, 105.0), trade(59.5, 107.0), trade(61.9, 106.0)) == []
    assert one.due == OPEN + MINUTE + GRACE
    (bar,) = taken(one, trade(62, 104.0))
    assert (bar.end, bar.high, bar.close, bar.trades) == (OPEN + MINUTE, 107.0, 107.0, 2)
    (later,) = one.close_until(CLOSE)
    assert (later.open, later.close, later.trades) == (105.0, 104.0, 3)


def test_bars_shorter_than_the_grace_are_open_side_by_side_and_close_in_their_order() -> None:
    one = builder("1s")
    assert taken(one, trade(0.5), trade(2.5), trade(1.5), trade(2.9)) == []
    assert [bar.end - OPEN for bar in taken(one, trade(4))] == [SECOND, 2 * SECOND]
    assert [bar.trades for bar in one.close_until(CLOSE)] == [2, 1]


def test_time_closes_a_bar_at_its_end_and_grace_and_not_before() -> None:
    one = builder()
    taken(one, trade(30))
    assert one.close_until(OPEN + MINUTE + GRACE - 1) == []
    assert len(one.close_until(OPEN + MINUTE + GRACE)) == 1
    assert one.close_until(OPEN + MINUTE + GRACE) == []


def test_time_does_not_run_back() -> None:
    one = builder()
    one.close_until(OPEN + 10 * MINUTE)
    one.close_until(OPEN)
    assert isinstance(taken(one, trade(30))[0], Correction)


def test_a_trade_of_a_closed_bar_is_late_and_makes_a_correction_and_the_next_version() -> None:
    one = builder()
    (bar,) = taken(one, trade(30, 100.0), trade(62, 101.0))
    before = msgspec.structs.replace(bar)
    (correction,) = taken(one, trade(59, 99.0, 7))
    assert correction == Correction("AAPL", "1m", DAY, OPEN + MINUTE, trade(59).at, 99.0, 7.0)
    mended = correction.applied(bar)
    assert (mended.open, mended.low, mended.close, mended.volume, mended.trades) == (100.0, 99.0, 99.0, 17.0, 2)
    assert (mended.version, bar, one.counts["late"]) == (2, before, 1)


def test_a_late_trade_of_an_interval_without_bar_makes_its_first() -> None:
    one = builder()
    (correction,) = taken(one, trade(120), trade(30, 99.0))
    assert correction.applied(None).to_bar().close == Decimal("99.0")
    assert correction.applied(None).version == 1


def test_a_correction_is_refused_by_another_bar() -> None:
    one = builder()
    bar, correction = taken(one, trade(30), trade(200), trade(90))
    with pytest.raises(BadInput, match="look it up by the correction's own end"):
        correction.applied(bar)


@pytest.mark.parametrize(
    ("price", "size", "rule"),
    [
        (0.0, 10.0, "bad_price"),
        (-1.0, 10.0, "bad_price"),
        (math.nan, 10.0, "bad_price"),
        (math.inf, 10.0, "bad_price"),
        (100.0, 0.0, "bad_size"),
        (100.0, -5.0, "bad_size"),
        (100.0, math.nan, "bad_size"),
        (100.0, math.inf, "bad_size"),
    ],
)
@pytest.mark.parametrize("at", [30, 200])
def test_a_bad_tick_is_counted_and_ignored_with_its_time(price: float, size: float, rule: str, at: float) -> None:
    one = builder()
    assert taken(one, trade(10), trade(at, price, size)) == []
    assert one.counts == dict.fromkeys(barring.RULES, 0) | {rule: 1}
    (bar,) = one.close_until(CLOSE)
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (100.0, 100.0, 100.0, 100.0, 10.0)


def test_a_trade_outside_the_hours_is_in_no_bar_but_its_time_counts() -> None:
    one = builder()
    assert taken(one, TradeTick("AAPL", OPEN - 1, 100.0, 1.0)) == []
    taken(one, TradeTick("AAPL", CLOSE - 1, 100.0, 1.0))
    (last,) = taken(one, TradeTick("AAPL", CLOSE + GRACE, 150.0, 1.0))
    assert (last.end, last.high, one.counts["outside"]) == (CLOSE, 100.0, 2)


def test_no_bar_crosses_a_sessions_end() -> None:
    grid = Grid("1h", [Phase(DAY, OPEN, CLOSE)])
    assert grid.place(CLOSE - 1) == (CLOSE - 30 * MINUTE, CLOSE, DAY)
    assert (grid.place(CLOSE), grid.place(OPEN - 1), grid.place(0)) == (None, None, None)


@pytest.mark.parametrize(
    "day",
    [
        pytest.param(dt.date(2026, 3, 6), id="the last winter session"),
        pytest.param(dt.date(2026, 3, 9), id="the first summer session"),
        pytest.param(dt.date(2026, 10, 30), id="the last summer session"),
        pytest.param(dt.date(2026, 11, 2), id="the first winter session"),
        pytest.param(HALF, id="a half-day"),
    ],
)
@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h", "1d"])
def test_the_grid_is_the_calendars(day: dt.date, timeframe: str, extended: bool) -> None:
    grid = Grid.of(timeframe, [calendar.previous_session(day), day, calendar.next_session(day)], extended=extended)
    ends = [nanoseconds(end) for end in calendar.ends(day, timeframe, extended=extended)]
    places = [grid.place(end - 1) for end in ends]
    assert [(place[1], place[2]) for place in places if place] == [(end, day) for end in ends]
    starts = [place[0] for place in places if place]
    assert starts[1:] == ends[:-1]
    assert grid.place(starts[0] - 1) is None


def test_a_half_days_last_bar_and_its_daily_bar_end_at_one() -> None:
    one = Barring([Grid.of("1m", [HALF]), Grid.of("1d", [HALF])])
    close = nanoseconds(dt.datetime(2026, 11, 27, 18, tzinfo=dt.UTC))  # 13:00 in New York's winter
    for at in (close - 200 * MINUTE, close - 1, close, close + MINUTE):
        one.take(TradeTick("AAPL", at, 100.0, 1.0))
    assert one.counts()["1d"]["outside"] == one.counts()["1m"]["outside"] == 2
    assert GRID.timeframe == "1m"


def test_a_daily_bar_is_the_regular_session_with_or_without_extended_hours() -> None:
    one = Builder("AAPL", Grid.of("1d", [DAY], extended=True))
    early, first, last, after = OPEN - 1, OPEN, CLOSE - 1, CLOSE
    for number, at in enumerate((early, first, last, after), 1):
        one.take(TradeTick("AAPL", at, 100.0 + number, 1.0))
    (bar,) = one.close_until(CLOSE + GRACE)
    assert (bar.open, bar.close, bar.trades, bar.end, bar.timeframe) == (102.0, 103.0, 2, CLOSE, "1d")


def test_extended_hours_have_bars_of_their_own_that_end_with_their_phase() -> None:
    one = Builder("AAPL", Grid.of("1h", [DAY], extended=True))
    events = taken(one, *(TradeTick("AAPL", at, 100.0, 1.0) for at in (OPEN - 1, OPEN, CLOSE - 1, CLOSE)))
    events += one.close_until(CLOSE + 24 * 60 * MINUTE)
    assert [event.end - OPEN for event in events] == [0, 60 * MINUTE, CLOSE - OPEN, CLOSE - OPEN + 60 * MINUTE]


def test_hours_of_another_market_are_handed_in_as_they_are() -> None:
    start = nanoseconds(dt.datetime(2026, 7, 4, tzinfo=dt.UTC))  # a coin trades on a Saturday, from midnight UTC
    one = Builder("BTC", Grid("1d", [Phase(dt.date(2026, 7, 4), start, start + 86_400 * SECOND)]))
    one.take(TradeTick("BTC", start, 60_000.0, 0.25))
    assert one.close_until(start + 86_400 * SECOND + GRACE)[0].volume == 0.25


@pytest.mark.parametrize("spans", [[(0, 10), (5, 20)], [(5, 5)], [(10, 20), (0, 5)], [(0, 5), (5, 5), (5, 9)]], ids=str)
def test_phases_that_are_empty_or_overlap_are_refused(spans: list[tuple[int, int]]) -> None:
    with pytest.raises(BadInput, match="overlap or are not in order"):
        Grid("1m", [Phase(DAY, *span) for span in spans])


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(NotFound, match="Unknown timeframe '2m'"):
        Grid("2m", [])
    with pytest.raises(BadInput, match="give 0 or more"):
        Builder("AAPL", GRID, grace=-1)
    with pytest.raises(BadInput):
        phases([dt.date(2026, 7, 4)])
    assert list(STEPS)[:2] == ["1s", "1m"]


def test_a_grid_without_sessions_has_no_bars() -> None:
    one = Builder("AAPL", Grid("1m", []))
    assert (taken(one, trade(1)), one.counts["outside"], one.due) == ([], 1, None)


def test_many_symbols_close_by_end_then_symbol_then_order_of_the_grids() -> None:
    one = Barring([Grid.of("1s", [DAY]), GRID])
    for tick in (trade(59.5, symbol="MSFT"), trade(59.5), trade(30)):
        one.take(tick)
    closed = one.close_until(OPEN + MINUTE + GRACE)
    assert [(bar.symbol, bar.timeframe) for bar in closed] == [
        *[("AAPL", "1s"), ("AAPL", "1m"), ("MSFT", "1s"), ("MSFT", "1m")]
    ]
    assert {name: counts["late"] for name, counts in one.counts().items()} == {"1s": 1, "1m": 0}


def test_another_symbols_trades_close_nothing() -> None:
    one = Barring([GRID])
    one.take(trade(1))
    assert list(one.take(trade(600, symbol="MSFT"))) == []
    assert len(one.take(trade(600))) == 1


def test_a_dump_is_plain_and_goes_on_as_if_nothing_had_been() -> None:
    grids = [Grid.of("1s", [DAY]), GRID, Grid.of("1d", [DAY])]
    one, other = Barring(grids), Barring(grids)
    for tick in (trade(1), trade(58.5), trade(2), trade(59.5, symbol="MSFT")):
        one.take(tick)
    other.restore(msgspec.json.decode(msgspec.json.encode(one.dump())))
    assert other.dump() == one.dump()
    for tick in (trade(60), trade(59, 120.0), trade(90), trade(30), trade(200, symbol="MSFT")):
        assert list(one.take(tick)) == list(other.take(tick))
    assert one.close_until(CLOSE + GRACE) == other.close_until(CLOSE + GRACE)
    assert one.counts() == other.counts()


def test_a_dump_is_not_changed_by_what_comes_after_it() -> None:
    one = builder()
    taken(one, trade(1))
    plain = one.dump()
    before = msgspec.json.encode(plain)
    taken(one, trade(2, 200.0), trade(3, -1.0))
    other = builder()
    other.restore(plain)
    taken(other, trade(2, 300.0), trade(3, -1.0))
    assert msgspec.json.encode(plain) == before


def test_a_dump_of_something_else_is_refused() -> None:
    one = builder()
    taken(one, trade(1))
    plain = one.dump()
    with pytest.raises(BadInput, match=r"MSFT\|1m: the dump holds a bar of AAPL"):
        Builder("MSFT", GRID).restore(plain)
    with pytest.raises(BadInput, match="not of my grid"):
        Builder("AAPL", Grid.of("1m", [HALF])).restore(plain)
    with pytest.raises(BadInput, match="no dump of a builder"):
        one.restore({"clock": "noon"})
    with pytest.raises(BadInput, match="the grids are 1m"):
        Barring([GRID]).restore({"AAPL": {"1s": plain}})


def test_a_full_sessions_seconds_add_up_to_its_minutes_and_its_day() -> None:
    grids = [Grid.of(name, [DAY]) for name in ("1s", "1m", "1d")]
    one = Barring(grids)
    ticks = [trade(n * 1.7, 100 + n % 50 / 10, 1 + n % 3) for n in range(13_700)]
    bars = [event for tick in ticks for event in one.take(tick)] + one.close_until(CLOSE + GRACE)
    by = {name: [bar for bar in bars if bar.timeframe == name] for name in ("1s", "1m", "1d")}
    assert len(by["1m"]) == 389
    assert {sum(bar.volume for bar in found) for found in by.values()} == {sum(tick.size for tick in ticks)}
    assert {max(bar.high for bar in found) for found in by.values()} == {104.9}
    assert all(a.end < b.end for found in by.values() for a, b in pairwise(found))
