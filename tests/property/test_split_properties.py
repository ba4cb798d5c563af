"""What holds for every price path and every set of splits."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from quaestor import bars, calendar
from quaestor.splits import RATIOS, Split, adjust, derive_splits

DAYS = calendar.sessions(dt.date(2012, 1, 3), dt.date(2012, 3, 30))
COMMON = [ratio for ratio in RATIOS if Fraction(1, 10) <= ratio <= 10]

moves = st.lists(st.floats(-0.1, 0.1), min_size=5, max_size=len(DAYS) - 1)


@st.composite
def histories(draw: st.DrawFn, ratios: list[Fraction] = COMMON) -> tuple[pl.DataFrame, list[Split], list[float]]:
    """As-traded bars, their splits, and the value of what one share before the first split has become."""
    value = [100.0]
    for move in draw(moves):
        value.append(value[-1] * (1 + move))
    places = draw(st.lists(st.integers(1, len(value) - 1), max_size=3, unique=True))
    splits = [Split("X", DAYS[place], draw(st.sampled_from(ratios)), "derived") for place in sorted(places)]
    factors = pl.Series([_factor(splits, day) for day in DAYS[: len(value)]])
    frame = pl.DataFrame({"symbol": "X", "session": DAYS[: len(value)], "value": value}).with_columns(
        *(pl.lit(pl.Series(value) / factors).alias(name) for name in bars.PRICES),
        volume=(pl.lit(1_000_000) * factors).round().cast(pl.Int64),
    )
    return frame.drop("value"), splits, value


def _factor(splits: list[Split], day: dt.date) -> float:
    factor = Fraction(1)
    for split in splits:
        factor *= split.ratio if split.session <= day else 1
    return float(factor)


@settings(deadline=None)
@given(histories())
def test_adjusted_prices_are_those_of_a_share_that_never_split(
    history: tuple[pl.DataFrame, list[Split], list[float]],
) -> None:
    frame, splits, value = history
    seen = adjust(frame, splits)
    expected = pl.Series("close", value)
    for name in bars.PRICES:
        assert ((seen[name] / expected - 1).abs() < 1e-12).all()
    half_a_share = 0.5 + 0.5 / seen["factor"]  # as traded, and as adjusted
    assert ((seen["volume"] - 1_000_000).abs() <= half_a_share).all()


@settings(deadline=None)
@given(histories())
def test_the_return_across_a_split_is_the_traded_one_times_the_ratio(
    history: tuple[pl.DataFrame, list[Split], list[float]],
) -> None:
    frame, splits, _ = history
    seen = adjust(frame, splits)
    for split in splits:
        place = DAYS.index(split.session)
        before, after = (seen["close"][place - 1], seen["close"][place])
        raw = frame["close"][place] / frame["close"][place - 1] * float(split.ratio)
        assert abs(after / before - raw) < 1e-12


@settings(deadline=None)
@given(histories(), st.integers(0, len(DAYS)))
def test_adjusting_what_was_known_by_a_day_is_what_adjusting_all_shows_up_to_it(
    history: tuple[pl.DataFrame, list[Split], list[float]], cut: int
) -> None:
    frame, splits, _ = history
    day = DAYS[min(cut, frame.height) - 1] if cut else DAYS[0] - dt.timedelta(days=1)
    upto = pl.col("session") <= day
    known = [split for split in splits if split.session <= day]
    assert_frame_equal(adjust(frame.filter(upto), known), adjust(frame, splits).filter(upto), check_exact=True)


@settings(deadline=None)
@given(histories(), st.integers(0, len(DAYS)))
def test_adjusted_prices_do_not_depend_on_where_the_window_begins(
    history: tuple[pl.DataFrame, list[Split], list[float]], cut: int
) -> None:
    frame, splits, _ = history
    assert_frame_equal(adjust(frame[cut:], splits), adjust(frame, splits)[cut:], check_exact=True)


@settings(deadline=None)
@given(histories(), st.data())
def test_planted_splits_are_derived_and_dividends_are_not(
    history: tuple[pl.DataFrame, list[Split], list[float]], data: st.DataObject
) -> None:
    """A vendor's adjusted close: backwards from the last bar, through every split and dividend, to six places."""
    frame, splits, _ = history
    ratio = {split.session: float(split.ratio) for split in splits}
    paid = data.draw(st.lists(st.floats(0, 0.03), min_size=frame.height, max_size=frame.height), label="dividends")
    adjusted, factor = [], 1.0
    for day, close, dividend in reversed(list(zip(frame["session"], frame["close"], paid, strict=True))):
        adjusted.append(round(close / factor, 6))
        factor *= ratio.get(day, 1 / (1 - dividend))
    whole = frame.with_columns(adj_close=pl.Series(reversed(adjusted)))
    assert derive_splits(whole) == splits


@settings(deadline=None)
@given(st.floats(min_value=1e-6, max_value=1e7))
def test_a_price_reads_back_as_the_float_it_came_from(value: float) -> None:
    assert float(bars.price(value)) == value


@settings(deadline=None)
@given(st.integers(1, 10**12), st.integers(0, 6))
def test_a_price_of_six_places_is_its_own_decimal(units: int, places: int) -> None:
    typed = Decimal(units).scaleb(-places)
    assert bars.price(float(typed)) == typed
