"""Rolling windows: worked examples, what is refused, long runs without drift, snapshots, and what a push costs."""

from __future__ import annotations

import datetime as dt
import math
import time

import msgspec
import numpy as np
import pytest

from quaestor.barring import LiveBar
from quaestor.errors import BadInput
from quaestor.windows import LARGEST, Atr, Deviation, Ema, Highest, Histories, History, Lowest, Mean, Rsi, Window

# The worked example of StockCharts' ChartSchool, "Relative Strength Index (RSI)", its closes rounded to cents.
CLOSES = [
    44.34,
    44.09,
    44.15,
    43.61,
    44.33,
    44.83,
    45.10,
    45.42,
    45.84,
    46.08,
    45.89,
    46.03,
    45.61,
    46.28,
    46.28,
    46.00,
]


def bar(close: float, symbol: str = "AAPL") -> LiveBar:
    return LiveBar(symbol, "1m", dt.date(2026, 7, 2), 0, close, close + 1, close - 1, close, 100.0, 3, 0, 0)


def test_a_window_fills_then_rolls() -> None:
    window = Window(3)
    assert window.values.tolist() == []
    seen = []
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        window.push(value)
        seen.append(window.values.tolist())
    assert seen == [[1], [1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]


def test_a_windows_values_are_a_view_that_cannot_be_written() -> None:
    window = Window(3)
    window.push(1.0)
    assert window.values.base is not None
    with pytest.raises(ValueError, match="read-only"):
        window.values[0] = 2.0


def test_wilders_rsi_of_the_worked_example() -> None:
    rsi = Rsi(14)
    found = [rsi.push(close) for close in CLOSES]
    assert found[:14] == [None] * 14
    assert found[14:] == pytest.approx([70.53, 66.32], abs=0.1)  # from closes that are not rounded


def test_an_rsi_without_losses_is_100_and_without_gains_0() -> None:
    up, down = Rsi(2), Rsi(2)
    assert [up.push(price) for price in (1.0, 2.0, 2.0)][-1] == 100.0
    assert [down.push(price) for price in (3.0, 2.0, 1.0)][-1] == 0.0


def test_a_price_that_rounding_moved_has_not_moved() -> None:
    rsi = Rsi(1)
    rsi.push(30.0)
    assert rsi.push(30.0 - 1e-14 * 30) == 100.0


def test_an_ema_by_hand() -> None:
    ema = Ema(3)
    assert [ema.push(value) for value in (1.0, 2.0, 3.0, 5.0)] == [None, None, 2.25, 3.625]


def test_an_atr_by_hand() -> None:
    atr = Atr(2)
    # ranges: 2 (its own), 4 (gap up from 10 to 14), 6 (gap down from 13 to 7)
    rows = [(11.0, 9.0, 10.0), (14.0, 12.0, 13.0), (8.0, 7.0, 8.0)]
    assert [atr.push(*row) for row in rows] == [None, 3.0, 4.5]


def test_a_deviation_by_hand() -> None:
    sample, population = Deviation(4), Deviation(4, ddof=0)
    for value in (9.0, 2.0, 4.0, 4.0, 6.0):
        sample.push(value)
        population.push(value)
    assert (sample.mean, sample.value, population.value) == (4.0, math.sqrt(8 / 3), math.sqrt(2))


def test_values_that_are_all_the_same_do_not_deviate_even_after_wild_ones() -> None:
    deviation = Deviation(3)
    for value in (LARGEST, 1e-300, -LARGEST, 0.1, 0.1, 0.1):
        deviation.push(value)
    assert (deviation.value, deviation.mean) == (0.0, math.fsum([0.1] * 3) / 3)


def test_a_mean_does_not_drift_in_a_long_run() -> None:
    """A sum of floats that adds the new and takes away the old is lost by then."""
    values = [*(100 + np.sin(np.arange(100_000)) * 7).tolist(), 1e15, 0.1, 0.2, 0.3]
    mean, floats = Mean(3), 0.0
    for place, value in enumerate(values):
        mean.push(value)
        floats += value - (values[place - 3] if place >= 3 else 0.0)
    assert mean.value == math.fsum([0.1, 0.2, 0.3]) / 3
    assert floats / 3 != pytest.approx(0.2, rel=1e-9)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2 * LARGEST])
@pytest.mark.parametrize("make", [Window, Mean, Deviation, Lowest, Highest, Ema, Rsi])
def test_what_is_no_number_is_refused_and_changes_nothing(make: type, value: float) -> None:
    one = make(2)
    for close in (1.0, 2.0, 4.0):
        one.push(close)
    before = one.values.tolist() if make is Window else one.value
    with pytest.raises(BadInput, match="give finite numbers"):
        one.push(value)
    assert (one.values.tolist() if make is Window else one.value) == before


def test_prices_that_no_market_has_are_refused() -> None:
    with pytest.raises(BadInput, match="prices are above 0"):
        Rsi(2).push(0.0)
    with pytest.raises(BadInput, match="out of order"):
        Atr(2).push(9.0, 10.0, 9.5)
    with pytest.raises(BadInput, match="give finite numbers"):
        Atr(2).push(math.nan, 9.0, 9.5)


@pytest.mark.parametrize("make", [Window, Mean, Deviation, Lowest, Highest, Ema, Rsi, Atr, Histories])
@pytest.mark.parametrize("n", [0, -1, 2.5, True])
def test_a_length_that_is_no_count_is_refused(make: type, n: object) -> None:
    with pytest.raises(BadInput, match="give a whole number of at least"):
        make(n)


def test_a_sample_of_one_has_no_deviation() -> None:
    with pytest.raises(BadInput, match="at least 2"):
        Deviation(1)
    assert Deviation(1, ddof=0).push(5.0) == 0.0
    with pytest.raises(BadInput, match="of a population"):
        Deviation(5, ddof=2)


def test_histories_keep_each_symbols_last_bars() -> None:
    histories = Histories(2)
    for one in (bar(10.0), bar(20.0, "MSFT"), bar(11.0), bar(12.0)):
        histories.push(one)
    aapl = histories.of("AAPL")
    assert (aapl.close.values.tolist(), aapl.high.values.tolist()) == ([11.0, 12.0], [12.0, 13.0])
    assert (aapl.low.values.tolist(), aapl.volume.values.tolist()) == ([10.0, 11.0], [100.0, 100.0])
    assert (len(histories.of("MSFT")), len(histories.of("IBM"))) == (1, 0)


def test_a_bar_with_a_hole_leaves_a_history_as_it_was() -> None:
    history = History(3)
    with pytest.raises(BadInput):
        history.push(10.0, 11.0, math.nan, 100.0)
    assert len(history) == len(history.high) == 0


def test_histories_go_on_from_their_plain_values() -> None:
    one, other = Histories(3), Histories(3)
    for close in (1.0, 2.0, 3.0, 4.0):
        one.push(bar(close + 1))
    other.restore(msgspec.json.decode(msgspec.json.encode(one.dump())))
    assert other.dump() == one.dump()
    assert other.push(bar(9.0)).close.values.tolist() == one.push(bar(9.0)).close.values.tolist() == [4.0, 5.0, 9.0]


@pytest.mark.parametrize("columns", [[[1.0]], [[1.0], [1.0], [1.0], []]], ids=["one list", "a short list"])
def test_a_dump_that_is_none_is_refused_and_changes_nothing(columns: list[list[float]]) -> None:
    histories = Histories(3)
    histories.push(bar(5.0))
    with pytest.raises(BadInput, match="no dump of a history"):
        histories.restore({"AAPL": columns})
    assert len(histories.of("AAPL")) == 1


@pytest.mark.parametrize("make", [Window, Mean, Deviation, Lowest, Ema, Rsi])
def test_a_push_costs_the_same_however_long_the_window(make: type) -> None:
    """A window a thousand times as long, the same work: within a factor of three, for a busy box."""
    values = (100 + np.sin(np.arange(20_000)) * 7).tolist()
    short, long = (min(_cost(make(n), values) for _ in range(3)) for n in (10, 10_000))
    assert long < 3 * short


def _cost(one: Window | Mean | Lowest | Ema | Rsi, values: list[float]) -> float:
    start = time.process_time()
    for value in values:
        one.push(value)
    return time.process_time() - start
