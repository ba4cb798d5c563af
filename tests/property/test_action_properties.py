"""What holds for every price path with splits and dividends."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from quaestor import bars, calendar
from quaestor.actions import Told, back_adjusted, reconcile, total_return
from quaestor.dividends import Dividend
from quaestor.splits import Split, adjust

DAYS = calendar.sessions(dt.date(2012, 1, 3), dt.date(2012, 3, 30))
RATIOS = [Fraction(2), Fraction(3, 2), Fraction(7), Fraction(1, 10)]
COLUMNS = [*bars.PRICES, "volume"]

sessions = st.sampled_from(DAYS)
some_splits = st.lists(st.builds(Split, st.just("X"), sessions, st.sampled_from(RATIOS)), max_size=3)
amounts = st.integers(1, 300).map(lambda cents: Decimal(cents) / 100)
some_dividends = st.lists(st.builds(Dividend, st.just("X"), sessions, amounts), max_size=4)


@st.composite
def markets(draw: st.DrawFn) -> pl.DataFrame:
    """As-traded bars of X with holes."""
    prices = draw(st.lists(st.floats(1, 1000), min_size=2, max_size=40))
    days = sorted(draw(st.permutations(DAYS))[: len(prices)])
    frame = pl.DataFrame(
        {"symbol": "X", "session": days[: len(prices)], "volume": pl.Series([1_000_000] * len(prices))}
    )
    return frame.with_columns(pl.Series(name, prices[: len(days)]) for name in bars.PRICES)


@settings(deadline=None)
@given(markets(), some_splits, some_dividends)
def test_returns_are_the_same_from_either_end(
    market: pl.DataFrame, splits: list[Split], dividends: list[Dividend]
) -> None:
    forward = total_return(market, splits, dividends)["close"]
    backward = back_adjusted(market, splits, dividends, as_of=DAYS[-1])["close"]
    off = (forward / forward.shift(1)) / (backward / backward.shift(1)) - 1
    assert (off.drop_nulls().abs() < 1e-9).all()
    assert abs(backward[-1] / market["close"][-1] - 1) < 1e-9


@settings(deadline=None)
@given(markets())
def test_no_actions_change_nothing(market: pl.DataFrame) -> None:
    for seen in (adjust(market, []), total_return(market, [], []), back_adjusted(market, [], as_of=DAYS[-1])):
        assert_frame_equal(seen.select(market.columns), market, check_exact=True)


@settings(deadline=None)
@given(markets(), some_splits, some_dividends, sessions)
def test_what_was_seen_by_a_session_stays_when_later_bars_and_actions_come(
    market: pl.DataFrame, splits: list[Split], dividends: list[Dividend], day: dt.date
) -> None:
    upto = pl.col("session") <= day
    known = [split for split in splits if split.session <= day], [paid for paid in dividends if paid.session <= day]
    then, now = total_return(market.filter(upto), *known), total_return(market, splits, dividends)
    assert_frame_equal(then, now.filter(upto), check_exact=True)
    chart = back_adjusted(market, splits, dividends, as_of=day)
    assert_frame_equal(chart, back_adjusted(market.filter(upto), *known, as_of=day), check_exact=True)


@settings(deadline=None)
@given(markets(), some_splits, some_dividends, st.randoms(use_true_random=False))
def test_a_view_does_not_hang_on_the_order_of_rows_or_actions(
    market: pl.DataFrame, splits: list[Split], dividends: list[Dividend], rng: object
) -> None:
    mixed = market.reverse()
    one = total_return(market, splits, dividends)
    other = total_return(mixed, list(reversed(splits)), list(reversed(dividends)))
    assert_frame_equal(one, other.reverse(), rel_tol=1e-12)


told = st.builds(
    Told,
    st.one_of(
        st.builds(
            Split, st.sampled_from("XY"), sessions, st.sampled_from(RATIOS), st.sampled_from(["source", "derived"])
        ),
        st.builds(Dividend, st.sampled_from("XY"), sessions, amounts, st.sampled_from(["source", "derived"])),
    ),
    st.sampled_from(["one", "two"]),
)


@settings(deadline=None)
@given(st.lists(told, max_size=6), st.lists(told, max_size=6))
def test_every_told_action_ends_in_exactly_one_way(known: list[Told], news: list[Told]) -> None:
    found = reconcile(known, news)
    better, conflicts = [theirs for _, theirs in found.better], [each.theirs for each in found.conflicts]
    ended = [*found.new, *found.agreed, *better, *conflicts]
    assert sorted(map(repr, ended)) == sorted(map(repr, news))


@settings(deadline=None)
@given(st.lists(told, max_size=6))
def test_what_is_known_agrees_with_itself(news: list[Told]) -> None:
    found = reconcile([], news)
    again = reconcile(found.new, found.new)
    assert again.agreed == found.new
