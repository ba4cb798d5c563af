"""Built-in strategies over generated markets: late listings, missing bars, splits of every ratio.

No strategy looks ahead (law 9), and each agrees with its definition in exact fractions: the rounding of floats decides
nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from fractions import Fraction
from itertools import pairwise
from math import prod

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.signals import compute
from quaestor.splits import RATIOS, Split
from quaestor.strategies.catalogue import Catalogue
from quaestor.truncation import check

SYMBOLS = ("AAPL", "FB", "IBM")
FIRST = dt.date(2020, 1, 27)
CATALOGUE = Catalogue()
LENGTHS = st.integers(1, 4)


@st.composite
def markets(draw):
    """Closes in cents by symbol and session (of 3 to 30 consecutive ones), and up to three splits."""
    days = [FIRST + dt.timedelta(days=number) for number in range(draw(st.integers(3, 30)))]
    cents = st.one_of(st.integers(1, 20_000), st.integers(990, 1010), st.sampled_from([900, 1000, 3000]), st.none())
    closes = {
        (symbol, day): close
        for symbol in draw(st.sets(st.sampled_from(SYMBOLS), min_size=1))
        for day, close in zip(days, draw(st.lists(cents, min_size=len(days), max_size=len(days))), strict=True)
        if close is not None
    }
    split = st.builds(Split, st.sampled_from(SYMBOLS), st.sampled_from(days), st.sampled_from(RATIOS))
    return closes, draw(st.lists(split, max_size=3, unique_by=lambda item: (item.symbol, item.session)))


def frame(closes):
    rows = [
        {
            "symbol": symbol,
            "timeframe": "1d",
            "session": day,
            "ts": dt.datetime(day.year, day.month, day.day, 21, tzinfo=dt.UTC),
        }
        | dict.fromkeys(("open", "high", "low", "close"), cents / 100)
        | {"volume": 100, "version": 1}
        for (symbol, day), cents in closes.items()
    ]
    types = {"symbol": pl.String, "session": pl.Date, "ts": pl.Datetime("us", "UTC"), "close": pl.Float64}
    return pl.DataFrame(rows, schema_overrides=types) if rows else pl.DataFrame(schema=types)


def exact(closes, splits):
    """Adjusted closes in exact fractions: {symbol: [(session, close), …]} from the oldest on."""
    columns = defaultdict(list)
    for (symbol, day), cents in sorted(closes.items()):
        ratio = prod(split.ratio for split in splits if split.symbol == symbol and split.session <= day)
        columns[symbol].append((day, cents * ratio))
    return columns


def answer(name, parameters, closes, splits):
    signals = compute(CATALOGUE.build(name, parameters), frame(closes), splits, dt.date.min, dt.date.max)
    return {
        (symbol, session): target
        for symbol, session, target in signals.select("symbol", "session", "target").iter_rows()
    }


def shares(wanted, closes):
    """Wanted or not, as an equal share of the symbols that have a bar in that session."""
    listed = defaultdict(int)
    for _, day in closes:
        listed[day] += 1
    return {(symbol, day): want / listed[day] for (symbol, day), want in wanted.items()}


@settings(deadline=None)
@given(markets(), LENGTHS, LENGTHS)
def test_sma_crossover_is_its_definition_in_exact_fractions(market, fast, more):
    closes, splits = market
    slow = fast + more
    wanted = {}
    for symbol, column in exact(closes, splits).items():
        prices = [price for _, price in column]
        for index in range(slow, len(column) + 1):
            above = sum(prices[index - fast : index]) * slow > sum(prices[index - slow : index]) * fast
            wanted[symbol, column[index - 1][0]] = above
    assert answer("sma_crossover", {"fast": fast, "slow": slow}, closes, splits) == shares(wanted, closes)


@settings(deadline=None)
@given(markets(), LENGTHS, st.sampled_from([(10.0, 60.0), (25.0, 50.0), (50.0, 75.0)]))
def test_rsi_reversion_is_wilders_definition_in_exact_fractions(market, period, levels):
    closes, splits = market
    wanted = {}
    for symbol, column in exact(closes, splits).items():
        moves = [(day, new - old) for (_, old), (day, new) in pairwise(column)]
        gain = sum(max(move, 0) for _, move in moves[:period]) / Fraction(period)
        loss = sum(max(-move, 0) for _, move in moves[:period]) / Fraction(period)
        inside = False
        for number, (day, move) in enumerate(moves, 1):
            if number > period:
                gain = (gain * (period - 1) + max(move, 0)) / period
                loss = (loss * (period - 1) + max(-move, 0)) / period
            if number >= period:
                rsi = 100 * gain / (gain + loss) if loss else 100
                inside = rsi < levels[0] or (inside and rsi <= levels[1])
                wanted[symbol, day] = inside
    parameters = {"period": period, "enter": levels[0], "exit": levels[1]}
    assert answer("rsi_reversion", parameters, closes, splits) == shares(wanted, closes)


@settings(deadline=None)
@given(markets(), LENGTHS, LENGTHS, st.integers(0, 3))
def test_momentum_is_its_definition_in_exact_fractions(market, top, more, skip):
    closes, splits = market
    lookback, columns = skip + more, exact(closes, splits)
    known, held, expected = set(), [], {}
    for before, day in pairwise(sorted({day for _, day in closes})):
        if before.month != day.month:
            past = {symbol: [price for session, price in columns[symbol] if session <= day] for symbol in columns}
            grown = {
                symbol: prices[-1 - skip] / prices[-1 - lookback]
                for symbol, prices in past.items()
                if len(prices) > lookback and (symbol, day) in closes
            }
            known |= grown.keys()
            held = sorted((symbol for symbol in grown if grown[symbol] > 1), key=lambda s: (-grown[s], s))[:top]
        expected |= {(symbol, day): (symbol in held) / top for symbol in known if (symbol, day) in closes}
    assert answer("momentum", {"top": top, "lookback": lookback, "skip": skip}, closes, splits) == expected


@settings(max_examples=40, deadline=None)
@given(
    markets(),
    st.sampled_from(
        [
            ("sma_crossover", {"fast": 2, "slow": 5}),
            ("momentum", {"top": 2, "lookback": 3, "skip": 1}),
            ("rsi_reversion", {"period": 2}),
        ]
    ),
)
def test_no_built_in_strategy_looks_ahead(market, use):
    closes, splits = market
    assert check(CATALOGUE.build(*use), frame(closes), splits, {day for _, day in closes}) == []
