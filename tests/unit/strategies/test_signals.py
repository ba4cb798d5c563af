"""From a strategy's answer to checked signals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from quaestor.errors import BadInput
from quaestor.signals import compute, schema
from quaestor.splits import Split
from quaestor.strategies.base import COLUMNS, Strategy
from quaestor.strategies.catalogue import Built, Catalogue, Definition

LONG_AGO, FAR_OFF = dt.date(1990, 1, 1), dt.date(2030, 1, 1)
THURSDAY = dt.date(2020, 1, 2)


def answering(answer: Callable[[Any], Any], kind: str = "polars") -> Built:
    """A strategy that answers with this function."""

    @dataclass(frozen=True)
    class Answering(Strategy):
        name = "answering"
        frames = kind

        def targets(self, bars):
            return answer(bars)

    return Catalogue([Definition(Answering, b"", "a test")]).build("answering")


def all_in(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.select("symbol", "session", target=1.0 / pl.len().over("session"))


def keeping(shown: list[Any]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Everything in, after noting what was shown."""
    return lambda bars: shown.append(bars) or all_in(bars)


@pytest.fixture
def two(market):
    """AAPL over five sessions, IBM from the third on."""
    return market({"AAPL": [10.0, 11, 12, 13, 14], "IBM": [None, None, 20, 21, 22]})


@dataclass(frozen=True)
class PolarsReversal(Strategy):
    """Buy what fell yesterday."""

    name = "polars_reversal"

    def targets(self, bars: pl.DataFrame) -> pl.DataFrame:
        fell = pl.col("close") < pl.col("close").shift(1).over("symbol")
        return bars.select("symbol", "session", target=fell / pl.len().over("session")).drop_nulls()


@dataclass(frozen=True)
class PandasReversal(Strategy):
    """The same in pandas."""

    name = "pandas_reversal"
    frames = "pandas"

    def targets(self, bars: pd.DataFrame) -> pd.DataFrame:
        before = bars.groupby("symbol")["close"].shift(1)
        listed = bars.groupby("session")["symbol"].transform("count")
        return bars.assign(target=(bars["close"] < before) / listed)[before.notna()]


def test_a_signal_carries_the_bar_it_was_made_after_and_the_history_behind_it(two):
    revised = two.bars.with_columns(version=pl.when(pl.col("session") == THURSDAY).then(2).otherwise("version"))
    signals = compute(answering(all_in), revised, [], THURSDAY, dt.date(2020, 1, 3))
    assert dict(signals.schema) == schema()
    assert signals.rows() == [
        ("AAPL", THURSDAY, dt.datetime(2020, 1, 2, 21, tzinfo=dt.UTC), 1.0, 11.0, 2, dt.date(2020, 1, 1), 2),
        ("AAPL", dt.date(2020, 1, 3), dt.datetime(2020, 1, 3, 21, tzinfo=dt.UTC), 0.5, 12.0, 1, dt.date(2020, 1, 1), 3),
        ("IBM", dt.date(2020, 1, 3), dt.datetime(2020, 1, 3, 21, tzinfo=dt.UTC), 0.5, 20.0, 1, dt.date(2020, 1, 3), 1),
    ]


def test_the_strategy_sees_adjusted_prices_and_the_signal_carries_the_traded_close(two):
    shown = []
    split = Split("AAPL", THURSDAY, Fraction(2))
    signals = compute(answering(keeping(shown)), two.bars, [split], LONG_AGO, FAR_OFF)
    apple = shown[0].filter(pl.col("symbol") == "AAPL")
    assert tuple(shown[0].columns) == COLUMNS
    assert apple["close"].to_list() == [10.0, 22, 24, 26, 28]
    assert apple["as_traded_close"].to_list() == [10.0, 11, 12, 13, 14]
    assert signals.filter(pl.col("symbol") == "AAPL")["close"].to_list() == [10.0, 11, 12, 13, 14]


def test_bars_after_the_end_are_not_shown_and_history_before_the_start_is(two):
    shown = []
    compute(answering(keeping(shown)), two.bars, [], THURSDAY, dt.date(2020, 1, 3))
    assert (shown[0]["session"].min(), shown[0]["session"].max()) == (dt.date(2020, 1, 1), dt.date(2020, 1, 3))


def test_bars_in_any_order_give_the_same_signals_sorted_by_session_and_symbol(recorded):
    built = Catalogue().build("sma_crossover")
    shuffled = recorded.bars.sample(fraction=1, shuffle=True, seed=1)
    signals = compute(built, recorded.bars, recorded.splits, LONG_AGO, FAR_OFF)
    assert_frame_equal(compute(built, shuffled, recorded.splits, LONG_AGO, FAR_OFF), signals)
    assert_frame_equal(signals.sort("session", "symbol"), signals)


def test_a_pandas_and_a_polars_strategy_of_one_idea_give_the_same_signals(recorded):
    catalogue = Catalogue([Definition(kind, b"", "a test") for kind in (PolarsReversal, PandasReversal)])
    polars, pandas = (
        compute(catalogue.build(name), recorded.bars, recorded.splits, LONG_AGO, FAR_OFF)
        for name in ("polars_reversal", "pandas_reversal")
    )
    assert len(polars) == len(recorded.bars) - 5
    assert 0.3 < (polars["target"] > 0).mean() < 0.6
    assert_frame_equal(polars, pandas)


@pytest.mark.parametrize("name", ["sma_crossover", "momentum", "rsi_reversion"])
def test_no_built_in_strategy_takes_a_split_for_a_move(recorded, name):
    """What it wants around the three real splits is what it wants on prices that never split."""
    later = pl.lit(1.0)
    for split in recorded.splits:
        hit = (pl.col("symbol") == split.symbol) & (pl.col("session") < split.session)
        later = later * pl.when(hit).then(float(split.ratio)).otherwise(1.0)
    back_adjusted = recorded.bars.with_columns(pl.col("open", "high", "low", "close") / later)
    built = Catalogue().build(name)
    real = compute(built, recorded.bars, recorded.splits, LONG_AGO, FAR_OFF)
    unsplit = compute(built, back_adjusted, [], LONG_AGO, FAR_OFF)
    naive = compute(built, recorded.bars, [], LONG_AGO, FAR_OFF)
    assert [str(split.session) for split in recorded.splits] == ["2000-06-21", "2005-02-28", "2003-02-18"]
    assert_frame_equal(real.drop("close"), unsplit.drop("close"))
    assert not real.drop("close").equals(naive.drop("close"))  # ignoring splits would show


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(lambda bars: all_in(bars.lazy()), "polars", id="a lazy frame"),
        pytest.param(lambda bars: all_in(bars).to_pandas(), "polars", id="pandas from polars"),
        pytest.param(lambda bars: all_in(pl.from_pandas(bars)), "pandas", id="polars from pandas"),
        pytest.param(lambda bars: all_in(bars).sample(fraction=1, shuffle=True, seed=1), "polars", id="another order"),
        pytest.param(lambda bars: all_in(bars).with_columns(note=pl.lit("x")), "polars", id="one column more"),
        pytest.param(lambda bars: all_in(bars).cast({"symbol": pl.Categorical}), "polars", id="categories"),
        pytest.param(lambda bars: all_in(bars).cast({"session": pl.Datetime("ns")}), "polars", id="midnights"),
        pytest.param(
            lambda bars: all_in(bars).with_columns(
                pl.col("session").cast(pl.Datetime).dt.replace_time_zone("Asia/Tokyo")
            ),
            "polars",
            id="midnights of some zone",
        ),
        pytest.param(lambda bars: all_in(bars).to_pandas().set_index("session", drop=False), "polars", id="an index"),
        pytest.param(
            lambda bars: all_in(bars).to_pandas().assign(session=lambda f: f["session"].dt.date), "polars", id="objects"
        ),
    ],
)
def test_the_same_answer_in_another_form_gives_the_same_signals(two, answer, kind):
    expected = compute(answering(all_in), two.bars, [], LONG_AGO, FAR_OFF)
    assert_frame_equal(compute(answering(answer, kind), two.bars, [], LONG_AGO, FAR_OFF), expected)


def test_whole_numbers_are_targets_too(two):
    ones = answering(lambda bars: bars.select("symbol", "session", target=pl.col("symbol").eq("IBM").cast(pl.Int8)))
    signals = compute(ones, two.bars, [], LONG_AGO, FAR_OFF)
    assert signals["target"].to_list() == [0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "nothing",
    [
        pytest.param(lambda bars: all_in(bars).clear(), id="polars"),
        pytest.param(lambda _: pl.DataFrame({"symbol": [], "session": [], "target": []}), id="polars without types"),
        pytest.param(lambda _: pd.DataFrame(columns=["symbol", "session", "target"]), id="pandas without types"),
    ],
)
def test_an_empty_answer_is_no_opinion(two, nothing):
    signals = compute(answering(nothing), two.bars, [], LONG_AGO, FAR_OFF)
    assert signals.is_empty()
    assert dict(signals.schema) == schema()


def test_a_strategy_is_not_asked_about_no_bars(two):
    signals = compute(answering(lambda _: 1 / 0), two.bars, [], LONG_AGO, LONG_AGO)
    assert signals.is_empty()
    assert dict(signals.schema) == schema()


def test_a_pandas_strategy_that_writes_into_its_frame_changes_nothing_but_that(two):
    def scribble(bars):
        bars["close"] = 0.0
        bars.loc[:, "as_traded_close"] = 0.0
        return bars.assign(target=0.0)

    before = two.bars.clone()
    signals = compute(answering(scribble, "pandas"), two.bars, [], LONG_AGO, FAR_OFF)
    assert_frame_equal(two.bars, before)
    assert signals["close"].min() == 10.0


def put(column: str, value: Any, symbol: str = "AAPL") -> Callable[[pl.DataFrame], pl.DataFrame]:
    """An answer of zeros, but for this value at one bar of 2020-01-02."""
    at = (pl.col("session") == THURSDAY) & (pl.col("symbol") == symbol)
    zeros = pl.lit(0.0).alias("target")
    return lambda bars: bars.select("symbol", "session", zeros).with_columns(
        pl.when(at).then(pl.lit(value)).otherwise(column).alias(column)
    )


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        pytest.param(put("target", None), "AAPL 2020-01-02: target None is no number; drop the row", id="null"),
        pytest.param(put("target", float("nan")), "AAPL 2020-01-02: target nan is no number", id="not a number"),
        pytest.param(put("target", float("inf")), "AAPL 2020-01-02: target inf is not a share", id="infinite"),
        pytest.param(put("target", -0.1), "AAPL 2020-01-02: target -0.1 is not a share between 0 and 1", id="short"),
        pytest.param(put("target", 1.5), "AAPL 2020-01-02: target 1.5 is not a share between 0 and 1", id="leverage"),
        pytest.param(put("symbol", "TSLA"), "TSLA 2020-01-02: target 0.0 is about a bar .* not shown", id="stranger"),
        pytest.param(put("symbol", None), "None 2020-01-02: target 0.0 names no bar", id="no symbol"),
        pytest.param(put("session", dt.date(2020, 1, 4)), "AAPL 2020-01-04: .* a bar .* not shown", id="a Saturday"),
        pytest.param(put("session", dt.date(2020, 1, 3)), "AAPL 2020-01-03: .* the second answer", id="twice"),
        pytest.param(
            lambda bars: bars.select("symbol", "session", target=0.6),
            r"the targets of 2020-01-03 sum to 1.2 \((AAPL 0.6, IBM 0.6|IBM 0.6, AAPL 0.6)\): together .* at most 1",
            id="more than there is",
        ),
        pytest.param(lambda _: None, "targets returned a NoneType: return a polars or pandas frame", id="nothing"),
        pytest.param(lambda _: {"AAPL": 1.0}, "targets returned a dict: return a polars or pandas", id="a dict"),
        pytest.param(lambda bars: bars["close"], "targets returned a Series: return a polars", id="a column"),
        pytest.param(
            lambda bars: bars.select("symbol", "session", "close"), "the answer lacks target: return", id="no target"
        ),
        pytest.param(
            lambda bars: all_in(bars).with_columns(pl.col("target").cast(pl.String)),
            "target is a column of String: return numbers between 0 and 1",
            id="text",
        ),
        pytest.param(
            lambda bars: all_in(bars).with_columns(pl.col("session").cast(pl.String)),
            "session is a column of String: return the dates as they stand",
            id="dates as text",
        ),
        pytest.param(
            lambda bars: bars.select("symbol", session="ts", target=0.0), "session is a column of Datetime", id="ts"
        ),
        pytest.param(
            lambda bars: all_in(bars).with_columns(symbol=1), "symbol is a column of Int32: return", id="numbers"
        ),
        pytest.param(
            lambda bars: bars.select("x"),
            r"targets failed: ColumnNotFound.*test_signals.py:\d+\)",
            id="a column that is not there",
        ),
        pytest.param(lambda _: 1 / 0, r"targets failed: ZeroDivisionError: .*test_signals.py:\d+\)", id="an error"),
    ],
)
def test_an_answer_that_cannot_be_believed_is_refused_by_strategy_symbol_session_and_value(two, answer, message):
    with pytest.raises(BadInput, match=f"^answering: {message}"):
        compute(answering(answer), two.bars, [], LONG_AGO, FAR_OFF)


def test_a_null_in_a_pandas_answer_is_refused_too(two):
    with pytest.raises(BadInput, match="AAPL 2020-01-01: target None is no number"):
        compute(
            answering(lambda bars: bars.assign(target=bars["close"].diff() * 0), "pandas"),
            two.bars,
            [],
            LONG_AGO,
            FAR_OFF,
        )


def test_thirds_and_sevenths_still_fit_into_the_sleeve(market):
    seven = market({f"S{number}": [10.0] for number in range(7)})
    assert compute(answering(all_in), seven.bars, [], LONG_AGO, FAR_OFF)["target"].to_list() == [1 / 7] * 7


def test_two_bars_of_one_symbol_in_one_session_are_refused(two):
    with pytest.raises(BadInput, match="AAPL 2020-01-01 has a second bar; give the bars of one timeframe"):
        compute(answering(all_in), pl.concat([two.bars, two.bars.head(1)]), [], LONG_AGO, FAR_OFF)
