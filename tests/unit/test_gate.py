"""The gate for what vendors send: each rule on bars that break it, what passes, and what is kept of what does not."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import polars as pl
import pytest

from quaestor import calendar, quality
from quaestor.bars import schema
from quaestor.quality import RULES, Context, Limits, sift

D = dt.date
DAYS = calendar.sessions(D(2024, 3, 4), D(2024, 5, 31))
NOW = dt.datetime(2024, 6, 3, tzinfo=dt.UTC)
CONTEXT = Context(NOW, "vendor")
HALF = D(2024, 11, 29)
Changes = dict[str, dict[int, Any]]


def daily(count: int = 8, name: str = "X", **changed: dict[int, Any]) -> pl.DataFrame:
    """Good daily bars that wander a little, with `field={row: value}` changed."""
    rows = [
        {
            "symbol": name,
            "timeframe": "1d",
            "session": day,
            "ts": calendar.session_close(day),
            "open": 10.0 + n % 3 / 10,
            "high": 12.0 + n % 5 / 10,
            "low": 9.0,
            "close": 11.0 + n % 4 / 10,
            "volume": 100 + n,
        }
        for n, day in enumerate(DAYS[:count])
    ]
    return frame(rows, changed)


def minutes(count: int = 60, day: dt.date = DAYS[0], **changed: dict[int, Any]) -> pl.DataFrame:
    """Good minute bars from the opening of a session on."""
    ends = calendar.ends(day, "1m")[:count]
    values = [(10.0 + n % 3 / 100, 10.04 + n % 5 / 100, 9.99, 10.02 + n % 2 / 100, 100 + n) for n in range(count)]
    rows = [
        {"symbol": "X", "timeframe": "1m", "session": day, "ts": end}
        | dict(zip(("open", "high", "low", "close", "volume"), each, strict=True))
        for end, each in zip(ends, values, strict=True)
    ]
    return frame(rows, changed)


def frame(rows: list[dict[str, Any]], changed: Changes) -> pl.DataFrame:
    for name, cells in changed.items():
        for row, value in cells.items():
            rows[row][name] = value
    fraction = any(isinstance(row["volume"], float) for row in rows)
    types: dict[str, Any] = schema() | {"volume": pl.Float64() if fraction else pl.Int64()}
    types |= {"interpolated": pl.Boolean()} if "interpolated" in changed else {}
    return pl.DataFrame(rows, schema=types)


def at(day: dt.date, hour: int, minute: int, second: int = 0) -> dt.datetime:
    wall = dt.datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=calendar.NEW_YORK)
    return wall.astimezone(dt.UTC)


def cast(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.select(list(schema())).cast({"volume": pl.Int64})


def test_good_bars_pass_untouched() -> None:
    for bars in (daily(), minutes()):
        sifted = sift(bars, CONTEXT)
        assert sifted.good.equals(bars)
        assert sifted.quarantined.is_empty()
        assert (sifted.collapsed, sifted.suspicions) == (0, ())


def test_no_bars_are_sifted_into_no_bars() -> None:
    sifted = sift(daily().clear(), CONTEXT)
    assert sifted.good.schema == pl.Schema(schema())
    assert sifted.quarantined.is_empty()


@pytest.mark.parametrize(
    ("changed", "field", "rule", "observed"),
    [
        pytest.param({"close": {1: None}}, "close", "missing", "nothing", id="no price"),
        pytest.param({"volume": {1: None}}, "volume", "missing", "nothing", id="no volume"),
        pytest.param({"ts": {1: None}}, "ts", "missing", "nothing", id="no time"),
        pytest.param({"session": {1: None}}, "session", "missing", "nothing", id="no session"),
        pytest.param({"symbol": {1: None}}, "symbol", "missing", "nothing", id="no symbol"),
        pytest.param({"timeframe": {1: None}}, "timeframe", "missing", "nothing", id="no timeframe"),
        pytest.param({"timeframe": {1: "2d"}}, "timeframe", "unknown_timeframe", "2d", id="every other day"),
        pytest.param({"low": {1: float("nan")}}, "low", "not_finite", "NaN", id="not a number"),
        pytest.param({"high": {1: float("inf")}}, "high", "not_finite", "inf", id="infinite"),
        pytest.param({"low": {1: -1.0}}, "low", "not_positive", "-1.0", id="negative"),
        pytest.param({"low": {1: 0.0}}, "low", "not_positive", "0.0", id="zero"),
        pytest.param({"high": {1: 2e7}}, "high", "too_high", "20000000", id="another column"),
        pytest.param({"volume": {1: 10**13}}, "volume", "too_high", "10000000000000", id="too many shares"),
        pytest.param({"volume": {1: -5}}, "volume", "negative_volume", "-5", id="negative volume"),
        pytest.param({"volume": {1: 0.5}}, "volume", "not_whole", "0.5", id="half a share"),
        pytest.param({"high": {1: 8.0}}, "high", "high_below_low", "8.0", id="high and low swapped"),
        pytest.param({"open": {1: 8.5}}, "open", "outside_range", "8.5", id="open under the low"),
        pytest.param({"close": {1: 14.0}}, "close", "outside_range", "14.0", id="close over the high"),
        pytest.param({"session": {1: D(2024, 3, 9)}}, "session", "no_session", "2024-03-09", id="a Saturday"),
        pytest.param({"session": {1: D(1950, 1, 3)}}, "session", "no_session", "1950-01-03", id="before the calendar"),
        pytest.param({"ts": {1: at(DAYS[1], 15, 0)}}, "ts", "out_of_session", "2024-03-05 20", id="an hour early"),
        pytest.param({"interpolated": {1: True}}, "interpolated", "interpolated", "true", id="made up"),
        pytest.param({"volume": {1: 0}}, "volume", "no_volume", "0", id="a move without a trade"),
    ],
)
def test_a_daily_bar_that_cannot_be_is_held_with_rule_field_and_value(
    changed: Changes, field: str, rule: str, observed: str
) -> None:
    sifted = sift(daily(**changed), CONTEXT)
    assert sifted.good.height == 7
    held = sifted.quarantined.row(0, named=True)
    assert (held["rule"], held["field"], held["source"]) == (rule, field, "vendor")
    assert held["observed"].startswith(observed)
    assert held["limit"]
    assert RULES[rule].severity == "fault"


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        pytest.param({"ts": {1: at(DAYS[0], 9, 30)}}, "out_of_session", id="it ends with the opening: premarket"),
        pytest.param({"ts": {1: at(DAYS[0], 16, 1)}}, "out_of_session", id="it ends after the close"),
        pytest.param({"session": {1: DAYS[1]}}, "out_of_session", id="another session's"),
        pytest.param({"ts": {1: at(DAYS[0], 11, 0, 30)}}, "off_grid", id="half a minute"),
        pytest.param({"volume": {1: 0}}, "no_volume", id="a move without a trade"),
    ],
)
def test_a_minute_bar_that_cannot_be_is_held(changed: Changes, rule: str) -> None:
    sifted = sift(minutes(**changed), CONTEXT)
    assert sifted.quarantined["rule"].to_list() == [rule]


@pytest.mark.parametrize(
    ("ts", "day", "passes"),
    [
        pytest.param(at(DAYS[0], 4, 0), DAYS[0], False, id="it ends as the premarket begins"),
        pytest.param(at(DAYS[0], 4, 1), DAYS[0], True, id="its first minute"),
        pytest.param(at(DAYS[0], 20, 0), DAYS[0], True, id="the postmarket's last minute, tomorrow in UTC"),
        pytest.param(at(DAYS[0], 20, 1), DAYS[0], False, id="after it"),
        pytest.param(at(HALF, 17, 0), HALF, True, id="the last minute of a half-day"),
        pytest.param(at(HALF, 17, 1), HALF, False, id="after it"),
    ],
)
def test_extended_hours_pass_where_they_are_wanted(ts: dt.datetime, day: dt.date, passes: bool) -> None:
    bars = minutes(1, ts={0: ts}, session={0: day}, volume={0: 0})
    late = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    assert sift(bars, Context(late, "vendor", extended=True)).good.height == passes
    assert sift(bars, Context(late, "vendor")).quarantined["rule"].to_list() == ["out_of_session"]


def test_a_bar_that_ends_after_now_is_held_until_it_has_ended() -> None:
    ends = daily()["ts"].to_list()
    assert sift(daily(), Context(ends[-1], "vendor")).good.height == 8
    early = sift(daily(), Context(ends[-1] - dt.timedelta(seconds=1), "vendor"))
    assert early.quarantined["rule"].to_list() == ["future"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({name: {1: 9.0} for name in ("open", "high", "low", "close")} | {"volume": {1: 0}}, id="halted"),
        pytest.param({"open": {1: 12.1}, "close": {1: 9.0}}, id="open at the high, close at the low"),
        pytest.param({"interpolated": {0: False, 1: None}}, id="a vendor that does not say"),
        pytest.param({"volume": {1: 100.0}}, id="a whole number as a fraction"),
    ],
)
def test_odd_but_possible_bars_pass(changed: Changes) -> None:
    assert sift(daily(**changed), CONTEXT).good.equals(cast(daily(**changed)))


def test_a_row_with_many_faults_is_held_once_under_the_most_elementary() -> None:
    bars = daily(high={1: float("nan")}, volume={1: -1}, session={1: D(2024, 3, 9)})
    held = sift(bars, CONTEXT).quarantined
    assert held["rule"].to_list() == ["not_finite"]


def test_what_is_held_keeps_the_values_that_came() -> None:
    bars = daily(high={3: 8.0}, volume={3: 77}).with_columns(extra=pl.lit("ignored"))
    held = sift(bars, CONTEXT).quarantined
    assert held.columns[:9] == ["symbol", "timeframe", "session", "ts", "rule", "field", "observed", "limit", "source"]
    assert held.drop("rule", "field", "observed", "limit", "source").row(0) == bars.drop("extra").row(3)


def test_a_row_without_symbol_or_time_can_be_held_too() -> None:
    held = sift(daily(symbol={0: None}, ts={2: None}), CONTEXT).quarantined
    assert held.select("symbol", "ts").rows() == [("", daily()["ts"][0]), ("X", None)]


# ── two bars ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_exact_copy_is_dropped_and_counted() -> None:
    bars = daily()
    sifted = sift(pl.concat([bars, bars[2:4], bars[3:4]]), CONTEXT)
    assert sifted.good.equals(bars)
    assert (sifted.collapsed, sifted.quarantined.height) == (3, 0)


def test_of_two_bars_that_differ_neither_is_believed() -> None:
    bars = daily()
    other = bars[2:3].with_columns(close=pl.col("close") + 0.01)
    sifted = sift(pl.concat([bars, other, bars[2:3]]), CONTEXT)
    assert sifted.quarantined["rule"].to_list() == ["duplicate"] * 3
    assert sifted.quarantined["observed"][0] == "3 bars of 2024-03-06 21:00"
    assert sifted.good.height == 7


def test_a_bar_is_believed_where_its_twin_cannot_be() -> None:
    bars = daily()
    sifted = sift(pl.concat([bars, bars[2:3].with_columns(low=pl.lit(-1.0))]), CONTEXT)
    assert sifted.good.equals(bars)
    assert sifted.quarantined["rule"].to_list() == ["not_positive"]


def repeated(bars: pl.DataFrame, rows: range, *names: str) -> pl.DataFrame:
    """The fields of the row before the range, in all of it."""
    inside = pl.int_range(pl.len()).is_in(list(rows))
    return bars.with_columns(
        pl.when(inside).then(pl.lit(bars[name][rows[0] - 1])).otherwise(name).alias(name) for name in names
    )


PRICES = ("open", "high", "low", "close")


@pytest.mark.parametrize(
    ("bars", "held"),
    [
        pytest.param(repeated(daily(), range(3, 4), *PRICES, "volume"), 1, id="yesterday's bar under today's date"),
        pytest.param(repeated(daily(), range(3, 4), *PRICES), 0, id="the same prices, other volume: AAPL 2003-01-29"),
        pytest.param(repeated(daily(), range(3, 5), *PRICES), 2, id="twice the same prices"),
        pytest.param(repeated(minutes(), range(3, 5), *PRICES, "volume"), 2, id="two minutes repeat a third"),
        pytest.param(repeated(minutes(), range(3, 30), *PRICES), 0, id="a quiet half hour on two prices"),
        pytest.param(
            minutes().with_columns(pl.lit(0).alias("volume"), *(pl.lit(10.0).alias(n) for n in PRICES)),
            0,
            id="an hour without trades",
        ),
        pytest.param(
            minutes(121).with_columns(pl.lit(10.0).alias(n) for n in PRICES), 120, id="two hours of trades at one price"
        ),
    ],
)
def test_repeats_are_stale_where_no_market_makes_them(bars: pl.DataFrame, held: int) -> None:
    sifted = sift(bars, CONTEXT)
    assert sifted.quarantined["rule"].to_list() == ["stale"] * held


def test_a_repeat_of_the_newest_stored_bar_is_stale() -> None:
    bars = repeated(daily(), range(7, 8), *PRICES, "volume")
    sifted = sift(bars[7:], Context(NOW, "vendor", before=bars[:7]))
    assert sifted.quarantined["rule"].to_list() == ["stale"]


# ── order, size, summary ──────────────────────────────────────────────────────────────────────────────────────────────


def test_bars_in_any_order_are_sifted_alike_and_come_out_sorted() -> None:
    bars = pl.concat([daily(), daily(name="Y", high={2: 1.0}), daily(name="A"), minutes()])
    one, other = sift(bars, CONTEXT), sift(bars.sample(fraction=1.0, shuffle=True, seed=3), CONTEXT)
    assert one.good.equals(other.good)
    assert one.quarantined.equals(other.quarantined)
    assert one.good.equals(one.good.sort("timeframe", "symbol", "ts"))
    assert one.good.height == bars.height - 1


def test_symbols_do_not_step_or_repeat_into_each_other() -> None:
    cheap = daily(60).with_columns(pl.col(*PRICES) / 10)
    assert sift(pl.concat([cheap, daily(60, name="Y")]), CONTEXT).quarantined.is_empty()


def test_the_summary_counts_by_symbol_and_rule_and_says_what_they_mean() -> None:
    bars = pl.concat([daily(low={1: -1.0, 2: -1.0}, high={4: 1.0}), daily(name="Y", low={1: -1.0})])
    told = quality.summary(sift(pl.concat([bars, bars[:1]]), CONTEXT))
    assert told.startswith("12 bars passed, 4 are in quarantine, 1 were copies.\n")
    assert "| symbol | not_positive | high_below_low | all |" in told
    assert "| X | 2 | 1 | 3 |" in told
    assert "| Y | 1 |  | 1 |" in told
    assert "| **all** | 3 | 1 | 4 |" in told
    assert "- `not_positive` (fault): A price is not above zero." in told


def test_the_summary_of_clean_bars_is_one_sentence() -> None:
    assert quality.summary(sift(daily(), CONTEXT)) == "8 bars passed, 0 are in quarantine.\n"


def test_the_summary_names_twenty_symbols_and_counts_the_rest() -> None:
    bars = pl.concat([daily(2, name=f"S{n:02}", low={1: -1.0}) for n in range(25)])
    told = quality.summary(sift(bars, CONTEXT))
    assert "| 5 more | 5 | 5 |" in told


def test_rules_have_one_id_each_and_say_a_sentence() -> None:
    assert all(rule.says.endswith(".") and rule.id == name for name, rule in RULES.items())


def test_half_a_million_minute_bars_pass_in_under_half_a_second() -> None:
    day = minutes(390)
    bars = pl.concat([day.with_columns(symbol=pl.lit(f"S{n:04}")) for n in range(1300)])
    sift(day, CONTEXT)
    begun = time.process_time()
    assert sift(bars, CONTEXT, Limits()).good.height == 507_000
    assert time.process_time() - begun < 0.5  # measured 0.09
