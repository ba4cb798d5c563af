"""What holds for everything a vendor can send."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor import calendar, quality
from quaestor.bars import PRICES, schema
from quaestor.quality import RULES, Context, Sifted, sift

DAYS = calendar.sessions(dt.date(2024, 6, 24), dt.date(2024, 7, 12))
NOW = dt.datetime(2024, 7, 11, 18, tzinfo=dt.UTC)
CONTEXT = Context(NOW, "vendor")

prices = st.one_of(
    st.none(), st.sampled_from([9.0, 10.0, 11.0, 100.0, 0.1, 0.0, -1.0]), st.floats(allow_nan=True, allow_infinity=True)
)
volumes = st.one_of(st.none(), st.integers(-2, 5), st.integers(0, 2**62))
times = st.one_of(
    st.none(),
    st.sampled_from(DAYS).map(calendar.session_close),
    st.integers(0, 20_000).map(lambda n: calendar.premarket_start(DAYS[0]) + dt.timedelta(minutes=n)),
)
rows = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["A", "B", None]),
        "timeframe": st.sampled_from(["1d", "1d", "1m", None]),
        "session": st.one_of(st.none(), st.sampled_from(DAYS), st.just(dt.date(2024, 7, 4))),
        "ts": times,
        **dict.fromkeys(PRICES, prices),
        "volume": volumes,
        "interpolated": st.sampled_from([None, False, False, True]),
    }
)


@st.composite
def sent(draw: st.DrawFn) -> pl.DataFrame:
    """Bars of which some are good, some are anything, and some come twice."""
    some: list[dict[str, Any]] = draw(st.lists(rows, max_size=12))
    days = draw(st.lists(st.sampled_from(DAYS), max_size=10))
    good = [{"symbol": "A", "timeframe": "1d", "session": day, "ts": calendar.session_close(day)} for day in days]
    values = {"open": 10.0, "high": 11.0, "low": 9.0, "interpolated": False}
    good = [row | values | {"close": 10 + n / 100, "volume": 100 + n} for n, row in enumerate(good)]
    again = draw(st.lists(st.sampled_from(some + good), max_size=4)) if some + good else []
    mixed = draw(st.permutations(some + good + again))
    return pl.DataFrame(mixed, schema=schema() | {"interpolated": pl.Boolean()})


def told(sifted: Sifted) -> list[str]:
    return sorted(map(repr, sifted.quarantined.rows()))


@settings(deadline=None, max_examples=25)
@given(sent())
def test_every_row_is_stored_held_or_a_copy_of_a_stored_one(bars: pl.DataFrame) -> None:
    sifted = sift(bars, CONTEXT)
    assert sifted.good.height + sifted.quarantined.height + sifted.collapsed == bars.height
    assert set(sifted.quarantined["rule"]) <= set(RULES)
    assert (
        not sifted.quarantined.select(pl.col("rule", "field", "observed", "limit", "source").is_null().any())
        .row(0)
        .count(True)
    )
    assert sifted.good.schema == pl.Schema(schema())


@settings(deadline=None, max_examples=25)
@given(sent())
def test_what_passes_is_sorted_and_as_good_as_a_file_that_a_person_wrote(bars: pl.DataFrame) -> None:
    good = sift(bars, CONTEXT).good
    assert good.equals(good.sort("timeframe", "symbol", "ts"))
    quality.check(good.filter(pl.col("timeframe") == "1d"), quality.Rows("bars"))
    assert good.select("symbol", "timeframe", "ts").is_unique().all()
    assert good.filter(pl.col("ts") > NOW).is_empty()


@settings(deadline=None, max_examples=25)
@given(sent(), st.integers(0, 1000))
def test_the_answer_does_not_hang_on_the_order_of_the_rows(bars: pl.DataFrame, seed: int) -> None:
    one, other = sift(bars, CONTEXT), sift(bars.sample(fraction=1.0, shuffle=True, seed=seed), CONTEXT)
    assert one.good.equals(other.good)
    assert told(one) == told(other)
    assert one.collapsed == other.collapsed


@settings(deadline=None, max_examples=25)
@given(sent())
def test_what_passed_passes_again_as_long_as_it_is_judged_with_the_same_history(bars: pl.DataFrame) -> None:
    good = sift(bars, CONTEXT).good
    again = sift(good, CONTEXT)
    doubts = {name for name, rule in RULES.items() if rule.severity == "doubt"}
    assert set(again.quarantined["rule"]) <= doubts
