"""An old bot's rows: none is ever lost, and its profit is what shares counted one by one would have earned."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.legacy import cells, profit
from quaestor.legacy.cells import Unreadable
from quaestor.legacy.judge import Judged, Terms
from quaestor.legacy.mapping import Prices, Trades
from quaestor.legacy.rows import Deal
from quaestor.orders import Side

AT = dt.datetime(2024, 1, 2, 15, tzinfo=dt.UTC)
TERMS = Terms(ZoneInfo("America/New_York"), dt.datetime(2024, 2, 1, tzinfo=dt.UTC))
BARS = Prices(table="ohlc", symbol="s", time="t", open="o", high="h", low="l", close="c", volume="v")
TRADES = Trades(table="trades", symbol="s", side="w", quantity="q", price="p", time="t", fee="f", id="id", pnl="g")

anything = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=12), st.binary(max_size=9)
)
times = st.sampled_from(["2024-01-02", "2024-01-03 10:00:00", 1_704_214_800, "2024-01-06", "2099-01-01"]) | anything
numbers = st.sampled_from([1, 10.5, "11", 0, -1]) | anything
symbols = st.sampled_from(["AAPL", "ibm"]) | anything


def rows(**cells_of: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries(cells_of), max_size=12)


bars = rows(s=symbols, t=times, o=numbers, h=numbers, l=numbers, c=numbers, v=numbers)
trades = rows(
    s=symbols, t=times, w=st.sampled_from(["buy", "S", "hold"]) | anything, q=numbers, p=numbers, f=numbers,
    id=st.sampled_from(["a", "b", None]) | anything, g=numbers,
)  # fmt: skip


@settings(deadline=None)
@given(bars, trades)
def test_every_row_is_kept_once_or_rejected_once(prices: list[Any], deals: list[Any]) -> None:
    judged = Judged()
    judged.add_prices(BARS, enumerate(prices, 1), TERMS)
    judged.add_trades(TRADES, enumerate(deals, 1), TERMS)
    found = [*judged.daily, *judged.quotes, *judged.trades, *judged.rejected]
    places = sorted((each.table, each.row_id) for each in found)
    assert places == [("ohlc", n + 1) for n in range(len(prices))] + [("trades", n + 1) for n in range(len(deals))]
    assert judged.read == {"ohlc": len(prices), "trades": len(deals)}
    assert all(row.rule and len(row.observed) <= 40 and "\0" not in row.observed for row in judged.rejected)
    assert all(bar.low <= bar.price <= bar.high for bar in judged.daily if bar.low and bar.high)


@settings(deadline=None)
@given(anything)
def test_any_cell_is_read_or_unreadable(value: Any) -> None:
    for read in (cells.amount, cells.symbol, cells.label, lambda cell: cells.moment(cell, TERMS.zone)):
        try:
            read(value)
        except Unreadable:
            continue
    assert "\\u0000" not in cells.kept({"a": value, "account": value})


amounts = st.integers(1, 5_000).map(lambda n: Decimal(n) / 100)
deals = st.lists(
    st.tuples(st.sampled_from(Side), st.sampled_from(["AAPL", "IBM"]), st.integers(1, 40), amounts), max_size=30
)


@settings(deadline=None)
@given(deals)
def test_profit_is_that_of_shares_counted_one_by_one(history: list[tuple[Side, str, int, Decimal]]) -> None:
    piles: dict[str, deque[Fraction]] = defaultdict(deque)  # what each share cost, oldest first
    earned: dict[str, Fraction] = defaultdict(Fraction)
    beyond: dict[str, int] = defaultdict(int)
    for side, symbol, count, price in history:
        for _ in range(count):
            if side is Side.BUY:
                piles[symbol].append(Fraction(price))
            elif piles[symbol]:
                earned[symbol] += Fraction(price) - piles[symbol].popleft()
            else:
                beyond[symbol] += 1
    for row in profit.profits(_deal(n, *each) for n, each in enumerate(history)):
        rounding = Fraction(len(history) ** 2, 2_000_000)  # half a millionth of a dollar for each part of a lot
        assert abs(Fraction(row.realized) - earned[row.symbol]) <= rounding
        assert (row.unmatched, row.held) == (beyond[row.symbol], len(piles[row.symbol]))


def _deal(number: int, side: Side, symbol: str, count: int, price: Decimal) -> Deal:
    at = AT + dt.timedelta(seconds=number)
    return Deal("t", number, None, None, symbol, side, Decimal(count), price, None, None, None, at, "{}", "")
