"""The gate's doubts: what a large step is taken for, on the recorded market and on faults planted in it."""

from __future__ import annotations

import asyncio
import datetime as dt
import random
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from quaestor import calendar
from quaestor.bars import PRICES
from quaestor.dividends import Dividend
from quaestor.doors.recorded import RecordedSource
from quaestor.quality import RULES, Context, Limits, Sifted, Suspicion, sift
from quaestor.splits import Split

D = dt.date
NOW = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
SPAN = (D(2000, 1, 1), D(2013, 12, 31))
TWO = Fraction(2)


@pytest.fixture(scope="module")
def market() -> tuple[pl.DataFrame, tuple[Split, ...]]:
    """All recorded bars and their three splits."""
    source = RecordedSource()

    async def fetch() -> list[Any]:
        return [await source.history(symbol, *SPAN) for symbol in source.symbols()]

    histories = asyncio.run(fetch())
    return pl.concat([each.bars for each in histories]), tuple(split for each in histories for split in each.splits)


Market = tuple[pl.DataFrame, tuple[Split, ...]]


def rules(sifted: Sifted) -> set[str]:
    return set(sifted.quarantined["rule"])


def held(sifted: Sifted) -> set[tuple[str, dt.date]]:
    return set(sifted.quarantined.select("symbol", "session").iter_rows())


# ── the recorded market ───────────────────────────────────────────────────────────────────────────────────────────────


def test_thirteen_years_of_real_prices_pass_without_one_bar_held(market: Market) -> None:
    bars, splits = market
    sifted = sift(bars, Context(NOW, "recorded", splits))
    assert sifted.quarantined.is_empty()
    assert sifted.good.equals(bars)
    assert (sifted.collapsed, sifted.suspicions) == (0, ())


def test_real_prices_pass_session_by_session_too(market: Market) -> None:
    """Every sixtieth session, and those of the largest steps, each judged as the newest bar."""
    bars, splits = market
    days = bars["session"].unique().sort().to_list()
    step = (pl.col("close") / pl.col("close").shift(1)).log().abs().over("symbol")
    wild = set(bars.filter(step > 0.12)["session"])
    for place, day in enumerate(days[1:], 1):
        if place % 60 == 0 or day in wild:
            before = bars.filter(pl.col("session").is_between(days[max(place - 61, 0)], days[place - 1]))
            now = bars.filter(pl.col("session") == day)
            assert sift(now, Context(NOW, "recorded", splits, before=before)).quarantined.is_empty(), day


def test_splits_that_nobody_tells_of_are_suspected_and_nothing_else(market: Market) -> None:
    """AAPL's crash of 2000-09-29 (×0.48, opening ×0.527) has the size of a split, and the turnover of a crash."""
    bars, splits = market
    sifted = sift(bars, Context(NOW, "recorded"))
    assert [(each.symbol, each.session, each.ratio) for each in sifted.suspicions] == [
        (split.symbol, split.session, split.ratio) for split in splits
    ]
    assert rules(sifted) == {"split_sized_step"}
    first = {split.symbol: split.session for split in reversed(splits)}
    basis = pl.col("session") >= pl.col("symbol").replace_strict(first, default=D(2100, 1, 1))
    assert sifted.quarantined.height == bars.filter(basis).height
    assert sifted.good.equals(bars.filter(~basis))


def test_a_known_split_that_the_prices_do_not_show_is_suspected_the_other_way(market: Market) -> None:
    """A vendor that adjusts its history already: applied again, the split would double every return across it."""
    bars, splits = market
    msft = bars.filter(pl.col("symbol") == "MSFT")
    split = next(each for each in splits if each.symbol == "MSFT")
    later = pl.col("session") >= split.session
    adjusted = msft.with_columns(pl.when(later).then(pl.col(name)).otherwise(pl.col(name) / 2) for name in PRICES)
    sifted = sift(adjusted, Context(NOW, "vendor", [split]))
    assert [(each.session, each.ratio) for each in sifted.suspicions] == [(split.session, Fraction(1, 2))]
    assert min(sifted.quarantined["session"]) == split.session


def test_a_session_that_a_person_vouched_for_is_not_doubted_again(market: Market) -> None:
    bars, splits = market
    vouched = frozenset((split.symbol, split.session) for split in splits)
    assert sift(bars, Context(NOW, "recorded", vouched=vouched)).quarantined.is_empty()


# ── planted faults ────────────────────────────────────────────────────────────────────────────────────────────────────


def off(row: dict[str, Any], factor: float) -> None:
    row.update({name: row[name] * factor for name in PRICES})


def bad_close(row: dict[str, Any], factor: float) -> None:
    row["close"] *= factor


def bad_print(row: dict[str, Any], factor: float) -> None:
    row["close"] *= factor
    row.update(high=max(row["high"], row["close"]), low=min(row["low"], row["close"]))


def swap(row: dict[str, Any], factor: float) -> None:
    row.update(high=row["low"], low=row["high"])


def not_a_number(row: dict[str, Any], factor: float) -> None:
    row["close" if factor > 1 else "low"] = float("nan")


def no_shares(row: dict[str, Any], factor: float) -> None:
    row["volume"] = 0


def repeat(row: dict[str, Any], factor: float) -> None:
    row.update({name: row["before"][name] for name in (*PRICES, "volume")})


def a_session_late(row: dict[str, Any], factor: float) -> None:
    row["session"] = calendar.next_session(row["session"])
    row["ts"] = calendar.session_close(row["session"])


def by_half(row: dict[str, Any], factor: float) -> None:
    off(row, 1.6 if factor > 1 else 0.6)


def planted(bars: pl.DataFrame, fault: Any, longest: int, seed: int) -> tuple[pl.DataFrame, set[tuple[str, dt.date]]]:
    """Faults of up to `longest` bars in a row, well apart, not in a symbol's last bars; and where they are."""
    rng, rows = random.Random(seed), bars.rows(named=True)
    where: set[tuple[str, dt.date]] = set()
    for start in range(25, len(rows) - 40, 60):
        first, factor = start + rng.randrange(20), rng.choice([10, 100, 0.1, 0.01])
        run = rows[first - 2 : first + rng.randint(1, longest) + 2]
        if len({row["symbol"] for row in run}) == 1:
            for before, row in pairwise(run[1:-2]):
                row["before"] = before
                fault(row, factor)
                where.add((row["symbol"], row["session"]))
    return pl.DataFrame([{name: row[name] for name in bars.columns} for row in rows], schema=bars.schema), where


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.full) for seed in (1, 2))])
@pytest.mark.parametrize(
    ("fault", "longest", "recall", "precision"),
    [
        pytest.param(off, 1, 0.99, 1.0, id="a bar of the wrong scale"),
        pytest.param(off, 15, 0.99, 1.0, id="weeks of the wrong scale"),
        pytest.param(bad_close, 1, 1.0, 1.0, id="a close of the wrong scale, outside its range"),
        pytest.param(bad_print, 1, 0.99, 1.0, id="a print of the wrong scale, which made the high or the low"),
        pytest.param(swap, 1, 1.0, 1.0, id="high and low swapped"),
        pytest.param(not_a_number, 1, 1.0, 1.0, id="a field that is no number"),
        pytest.param(no_shares, 1, 1.0, 1.0, id="no volume"),
        pytest.param(repeat, 1, 1.0, 0.99, id="yesterday's bar again (beside AAPL 2003-01-29 it takes that one too)"),
        pytest.param(a_session_late, 1, 1.0, 1.0, id="a bar under the next session's date: both are held"),
        pytest.param(by_half, 1, 0.97, 0.99, id="a bar off by half, which comes back"),
    ],
)
def test_planted_faults_are_caught_and_clean_bars_pass(
    market: Market, fault: Any, longest: int, recall: float, precision: float, seed: int
) -> None:
    bars, splits = market
    faulty, where = planted(bars, fault, longest, seed)
    found = held(sift(faulty, Context(NOW, "vendor", splits)))
    assert len(where) > 150
    assert len(found & where) / len(where) >= recall
    assert len(found & where) / len(found) >= precision


# ── one symbol, step by step ──────────────────────────────────────────────────────────────────────────────────────────

DAYS = calendar.sessions(D(2023, 1, 3), D(2024, 5, 31))


def walk(count: int = 80, *, volume: int = 1_000_000, seed: int = 1) -> pl.DataFrame:
    """Daily bars of X that move about 1 % a session."""
    rng = random.Random(seed)
    rows, price = [], 100.0
    for day in DAYS[:count]:
        opened, price = price * (1 + rng.gauss(0, 0.002)), price * (1 + rng.gauss(0, 0.01))
        high, low = max(opened, price) * 1.004, min(opened, price) * 0.996
        shares = round(volume * rng.uniform(0.7, 1.4))
        rows.append(("X", "1d", day, calendar.session_close(day), opened, high, low, price, shares))
    names = ("symbol", "timeframe", "session", "ts", *PRICES, "volume")
    bars = pl.DataFrame(rows, schema=list(names), orient="row")
    return bars.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


def scaled(bars: pl.DataFrame, first: int, last: int, price: float, volume: float = 1.0) -> pl.DataFrame:
    """Rows [first, last) times a factor."""
    inside = pl.int_range(pl.len()).is_between(first, last, closed="left")
    moved = [pl.when(inside).then(pl.col(name) * price).otherwise(name).alias(name) for name in PRICES]
    shares = pl.when(inside).then(pl.col("volume") * volume).otherwise("volume").round().cast(pl.Int64)
    return bars.with_columns(*moved, volume=shares)


def reported(bars: pl.DataFrame, **known: Any) -> list[tuple[str, int]]:
    """Each rule, with how many bars it holds; by `before` the first so many are stored already."""
    stored = known.pop("stored", 0)
    limits = known.pop("limits", Limits())
    sifted = sift(bars[stored:], Context(NOW, "vendor", before=bars[:stored], **known), limits)
    return sorted(sifted.quarantined["rule"].value_counts().iter_rows())


@pytest.mark.parametrize(
    ("bars", "found"),
    [
        pytest.param(walk(), [], id="nothing happens"),
        pytest.param(scaled(walk(), 50, 80, 0.45, 12), [], id="a crash that stays, with the volume of one"),
        pytest.param(scaled(walk(), 50, 80, 1.4, 12), [], id="a takeover"),
        pytest.param(scaled(walk(), 50, 80, 0.88), [], id="a step under the smallest, far beyond twelve deviations"),
        pytest.param(scaled(walk(), 50, 51, 1.5), [("spike", 1)], id="one bar half as high again"),
        pytest.param(scaled(walk(), 50, 51, 0.7, 0.1), [("spike", 1)], id="one bar a third lower, hardly traded"),
        pytest.param(scaled(walk(), 50, 80, 0.5, 2), [("split_sized_step", 30)], id="it halves, and shares double"),
        pytest.param(scaled(walk(), 50, 80, 0.5), [("split_sized_step", 30)], id="it halves in ordinary volume"),
        pytest.param(scaled(walk(), 50, 80, 0.5, 12), [], id="it halves on news"),
        pytest.param(scaled(walk(), 50, 80, 3.0, 0.4), [("split_sized_step", 30)], id="a reverse split, 1:3"),
        pytest.param(scaled(walk(), 50, 60, 0.5, 2), [("split_sized_step", 10)], id="two weeks on another basis"),
        pytest.param(scaled(walk(), 50, 80, 0.1, 10), [("split_sized_step", 30)], id="10:1, and ten times the shares"),
        pytest.param(scaled(walk(), 50, 80, 0.05, 20), [("split_sized_step", 30)], id="20:1"),
        pytest.param(scaled(walk(), 50, 80, 0.1, 60), [], id="it lost nine tenths, on sixty times the volume"),
        pytest.param(scaled(walk(), 50, 80, 10), [("scale_error", 30)], id="ten times: the longer side is right"),
        pytest.param(scaled(walk(), 0, 50, 100), [("scale_error", 30)], id="cents for dollars, and then dollars"),
        pytest.param(scaled(walk(), 0, 1, 10), [("scale_error", 1)], id="the very first bar"),
        pytest.param(scaled(walk(), 79, 80, 0.01), [("scale_error", 1)], id="the very last bar"),
        pytest.param(scaled(scaled(walk(), 50, 51, 10), 51, 52, 0.1), [("scale_error", 2)], id="up and down by ten"),
        pytest.param(scaled(scaled(walk(), 30, 31, 1.5), 32, 33, 0.6), [("spike", 2)], id="a good bar between two bad"),
    ],
)  # fmt: skip
def test_a_step_is_taken_for_what_the_evidence_shows(bars: pl.DataFrame, found: list[tuple[str, int]]) -> None:
    assert reported(bars) == found
    assert all(RULES[rule].severity == "doubt" for rule, _ in found)


@pytest.mark.parametrize(
    ("bars", "found"),
    [
        pytest.param(scaled(walk(), 60, 80, 10), [("scale_error", 20)], id="the whole window is off by ten"),
        pytest.param(scaled(walk(), 60, 80, 0.5, 2), [("split_sized_step", 20)], id="a split over the window's edge"),
        pytest.param(scaled(walk(), 60, 61, 1.5), [("spike", 1)], id="a spike in its first bar"),
        pytest.param(scaled(walk(61), 60, 61, 10), [("scale_error", 1)], id="one new bar, off by ten"),
        pytest.param(scaled(walk(61), 60, 61, 0.5, 2), [("split_sized_step", 1)], id="one new bar, halved"),
        pytest.param(scaled(walk(), 20, 40, 10), [], id="faults of the past are not judged again"),
    ],
)
def test_steps_are_judged_across_the_windows_edge(bars: pl.DataFrame, found: list[tuple[str, int]]) -> None:
    assert reported(bars, stored=60) == found


def closing_at(bars: pl.DataFrame, factor: float, low: float, high: float, volume: float) -> pl.DataFrame:
    """The last bar opens where it did, and ends far away."""
    last = bars[-1:].with_columns(
        close=pl.col("close") * factor,
        low=pl.col("low") * low,
        high=pl.col("high") * high,
        volume=(pl.col("volume") * volume).round().cast(pl.Int64),
    )
    return pl.concat([bars[:-1], last])


@pytest.mark.parametrize(
    ("bars", "found"),
    [
        pytest.param(scaled(walk(61), 60, 61, 0.57), [], id="it opened there, and traded there all day"),
        pytest.param(closing_at(walk(61), 0.6, 0.55, 1, 1), [], id="it fell through the day, and below its close"),
        pytest.param(closing_at(walk(61), 0.6, 1, 1, 8), [], id="it closed at its low, with the volume of a crash"),
        pytest.param(closing_at(walk(61), 0.6, 1, 1, 1), [("step_unconfirmed", 1)], id="one print, at the close"),
        pytest.param(closing_at(walk(61), 1.7, 1, 1, 0.8), [("step_unconfirmed", 1)], id="one print, upwards"),
    ],
)
def test_the_newest_bar_passes_if_it_shows_that_it_traded_there(
    bars: pl.DataFrame, found: list[tuple[str, int]]
) -> None:
    bars = bars.with_columns(
        low=pl.min_horizontal("low", "open", "close"), high=pl.max_horizontal("high", "open", "close")
    )
    assert reported(bars, stored=60) == found


def test_an_unconfirmed_bar_passes_once_the_next_one_stays() -> None:
    bars = closing_at(walk(61), 0.6, 1, 1, 1).with_columns(low=pl.min_horizontal("low", "close"))
    after = scaled(walk(64), 61, 64, 0.6)[61:]
    assert reported(bars, stored=60) == [("step_unconfirmed", 1)]
    assert reported(pl.concat([bars, after]), stored=60) == []


def test_a_known_split_or_dividend_is_no_step() -> None:
    assert reported(scaled(walk(), 50, 80, 0.5, 2), splits=[Split("X", DAYS[50], TWO)]) == []
    bars = scaled(walk(), 50, 80, 0.66)
    paid = Decimal(str(round(walk()["close"][49] * 0.34, 2)))
    assert reported(bars) == [("split_sized_step", 30)]
    assert reported(bars, dividends=[Dividend("X", DAYS[50], paid)]) == []
    assert reported(bars, dividends=[Dividend("X", DAYS[50], paid * 9)]) == []


def test_a_split_known_from_two_sources_counts_once() -> None:
    twice = [Split("X", DAYS[50], TWO), Split("X", DAYS[50], TWO, "derived")]
    assert reported(scaled(walk(), 50, 80, 0.5, 2), splits=twice) == []


def test_a_split_takes_effect_at_the_first_bar_on_or_after_its_session() -> None:
    bars = scaled(walk(), 50, 80, 0.5, 2).filter(pl.col("session") != DAYS[50])
    assert reported(bars, splits=[Split("X", DAYS[50], TWO)]) == []
    assert reported(bars, splits=[Split("X", DAYS[49], TWO)]) != []


def test_a_new_share_is_judged_by_scale_alone_until_it_has_a_history() -> None:
    assert reported(scaled(walk(15), 8, 9, 1.6)) == []
    assert reported(scaled(walk(15), 8, 9, 10)) == [("scale_error", 1)]


def test_after_a_long_hole_a_step_says_nothing() -> None:
    bars = scaled(walk(200), 150, 200, 0.5)
    assert reported(bars.filter(~pl.col("session").is_in(DAYS[80:150]))) == []
    assert reported(bars.filter(~pl.col("session").is_in(DAYS[140:150]))) == [("split_sized_step", 50)]


def test_a_wild_share_may_step_farther_than_a_quiet_one() -> None:
    quiet = scaled(walk(), 50, 51, 1.35)
    ripple = pl.Series([1.0, 1.09] * 40)
    wild = quiet.with_columns(pl.col(name) * ripple for name in PRICES)
    assert reported(quiet) == [("spike", 1)]
    assert reported(wild) == []


def test_limits_are_a_persons_to_set() -> None:
    bars = scaled(walk(), 50, 51, 1.15)
    assert reported(bars) == []
    assert reported(bars, limits=Limits(daily_step=0.1, k=6)) == [("spike", 1)]


def test_a_suspicion_names_symbol_session_and_ratio() -> None:
    sifted = sift(scaled(walk(), 50, 80, 2 / 3, 1.5), Context(NOW, "vendor"))
    (suspicion,) = sifted.suspicions
    assert (suspicion.symbol, suspicion.session, suspicion.ratio) == ("X", DAYS[50], Fraction(3, 2))
    assert isinstance(suspicion, Suspicion)
    assert abs(suspicion.observed - 2 / 3) < 0.03


# ── minutes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def ticking(sessions: int = 4, seed: int = 2) -> pl.DataFrame:
    """Minute bars of X: 0.05 % a minute, the opening minute twenty times as busy as the others."""
    rng = random.Random(seed)
    rows, price = [], 100.0
    for day in DAYS[:sessions]:
        for n, end in enumerate(calendar.ends(day, "1m")):
            opened, price = price, round(price * (1 + rng.gauss(0, 0.0005)), 2)
            shares = round((20_000 if n == 0 else 1_000) * rng.uniform(0.7, 1.4))
            rows.append(
                ("X", "1m", day, end, opened, max(opened, price) + 0.01, min(opened, price) - 0.01, price, shares)
            )
    names = ("symbol", "timeframe", "session", "ts", *PRICES, "volume")
    bars = pl.DataFrame(rows, schema=list(names), orient="row")
    return bars.with_columns(pl.col("ts").cast(pl.Datetime("us", "UTC")))


@pytest.mark.parametrize(
    ("bars", "found"),
    [
        pytest.param(ticking(), [], id="nothing happens"),
        pytest.param(scaled(ticking(), 780, 1560, 0.75, 20), [], id="a gap of a quarter over night, on the news of it"),
        pytest.param(scaled(ticking(), 900, 1560, 0.5, 2), [], id="it halves at noon: no split does that"),
        pytest.param(scaled(ticking(), 900, 901, 1.08), [("spike", 1)], id="one minute eight percent higher"),
        pytest.param(scaled(ticking(), 900, 960, 0.1), [("scale_error", 60)], id="an hour off by ten"),
        pytest.param(scaled(ticking(), 780, 781, 100), [("scale_error", 1)], id="the busy opening minute, in cents"),
        pytest.param(scaled(ticking(), 780, 1560, 0.5, 2), [("split_sized_step", 780)], id="it opens at half"),
    ],
)
def test_minute_bars_are_judged_by_the_same_evidence(bars: pl.DataFrame, found: list[tuple[str, int]]) -> None:
    assert reported(bars) == found


def test_without_earlier_sessions_no_minute_is_convicted_as_a_split() -> None:
    """The opening's usual volume is unknown, and with it the one witness that tells a split from a crash."""
    bars = scaled(ticking(2), 390, 780, 0.5, 2)[330:]
    assert reported(bars, stored=60) == []


def test_an_illiquid_minute_that_ticks_over_is_no_spike() -> None:
    """A share at ten cents' width: most minutes repeat the price, and a trade on the other side moves it 6 %."""
    still = ticking(1).with_columns(pl.lit(1.60).alias(name) for name in PRICES)
    tick = pl.int_range(pl.len()) % 45 == 0
    bars = still.with_columns(pl.when(tick).then(1.70).otherwise(name).alias(name) for name in PRICES)
    assert reported(bars) == []
