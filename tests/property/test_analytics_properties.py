"""Key figures against pandas and numpy, and trades against a queue of single shares, over any account."""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.analytics import daily, drawdown, drawdowns, key_figures
from quaestor.ledger import ZERO, Equity, Lot, book_fill, book_split
from quaestor.orders import Execution, Side
from quaestor.splits import Split
from quaestor.trades import Close, Fill, Holding, follow, profits_over_time

D = Decimal
FIRST = dt.date(2010, 1, 4)
CENT = D("0.01")

cents = st.integers(50_000, 5_000_000).map(lambda amount: D(amount) * CENT)
curves = st.lists(st.tuples(cents, st.integers(0, 100)), min_size=2, max_size=60)
deposits = st.dictionaries(
    st.integers(1, 59), st.integers(1, 1_000_000).map(lambda amount: D(amount) * CENT), max_size=3
)


def build(values: list[tuple[Decimal, int]], paid_in: dict[int, Decimal] | None = None, scale: int = 1) -> list[Equity]:
    """Closes of that equity, so many percent of it invested; `paid_in` at the open of the n-th session."""
    capital, closes = D(1000) * scale, []
    for n, (amount, invested) in enumerate(values):
        capital += (paid_in or {}).get(n, ZERO) * scale
        market = amount * invested / 100 * scale
        closes.append(Equity(FIRST + dt.timedelta(days=n), amount * scale - market, market, ZERO, ZERO, ZERO, capital))
    return closes


@given(curves)
def test_the_figures_of_a_curve_are_those_of_pandas(values: list[tuple[Decimal, int]]) -> None:
    figures = key_figures(build(values))
    equity = pd.Series([1000.0, *(float(amount) for amount, _ in values)])
    returns = equity.pct_change().dropna()
    assert figures.total_return == pytest.approx(equity.iloc[-1] / equity.iloc[0] - 1)
    assert figures.volatility == pytest.approx(returns.std() * math.sqrt(252))
    assert figures.exposure == pytest.approx(np.mean([invested / 100 for _, invested in values]))
    if returns.std() > 1e-9:
        assert figures.sharpe == pytest.approx(returns.mean() / returns.std() * math.sqrt(252), rel=1e-6)
    downside = np.sqrt(np.mean(np.minimum(returns, 0) ** 2))
    if downside > 1e-9:
        assert figures.sortino == pytest.approx(returns.mean() / downside * math.sqrt(252), rel=1e-6)
    if len(returns) >= 21:
        assert figures.cagr == pytest.approx((equity.iloc[-1] / 1000.0) ** (252 / len(returns)) - 1)
    underwater = 1 - equity / equity.cummax()
    assert drawdowns(daily(build(values))) == pytest.approx(underwater.iloc[1:].tolist(), abs=1e-12)
    assert (figures.drawdown.depth if figures.drawdown else 0.0) == pytest.approx(underwater.max(), abs=1e-12)
    assert (figures.best and figures.best.change) == pytest.approx(returns.max())
    assert (figures.worst and figures.worst.change) == pytest.approx(returns.min())


@given(curves, deposits)
def test_with_deposits_the_return_is_time_weighted(
    values: list[tuple[Decimal, int]], paid_in: dict[int, Decimal]
) -> None:
    growth, before = 1.0, 1000.0
    for n, (amount, _) in enumerate(values):
        growth *= float(amount) / (before + float(paid_in.get(n, ZERO)))
        before = float(amount)
    figures = key_figures(build(values, paid_in))
    assert figures.total_return == pytest.approx(growth - 1, rel=1e-9, abs=1e-9)
    assert figures.profit == values[-1][0] - figures.deposits


@given(curves, deposits, st.integers(2, 1000))
def test_ratios_do_not_change_when_all_money_is_multiplied(
    values: list[tuple[Decimal, int]], paid_in: dict[int, Decimal], scale: int
) -> None:
    small, large = key_figures(build(values, paid_in)), key_figures(build(values, paid_in, scale))
    assert large.profit == small.profit * scale
    for name in ("total_return", "volatility", "sharpe", "sortino", "cagr", "exposure"):
        one, other = getattr(small, name), getattr(large, name)
        assert (one is None) is (other is None)
        assert one is None or one == pytest.approx(other, rel=1e-6, abs=1e-9)
    assert (small.drawdown is None) is (large.drawdown is None)


@given(curves, deposits)
def test_a_drawdown_lies_between_nothing_and_everything_and_its_days_are_in_order(
    values: list[tuple[Decimal, int]], paid_in: dict[int, Decimal]
) -> None:
    found = drawdown(daily(build(values, paid_in)))
    if found is None:
        units = [day.unit for day in daily(build(values, paid_in))]
        assert units == sorted(units)
        return
    assert 0 < found.depth <= 1
    assert (found.peak or dt.date.min) < found.trough
    assert found.recovered is None or found.trough < found.recovered


@given(curves, st.integers(1, 58))
def test_two_ranges_that_meet_earn_together_what_the_whole_earns(values: list[tuple[Decimal, int]], cut: int) -> None:
    closes, cut = build(values), min(cut, len(values) - 1)
    left, right = key_figures(closes[:cut]), key_figures(closes[cut:], before=closes[cut - 1])
    whole = key_figures(closes)
    assert left.profit + right.profit == whole.profit
    assert (1 + left.total_return) * (1 + right.total_return) == pytest.approx(1 + whole.total_return)


# ── trades ────────────────────────────────────────────────────────────────────────────────────────────────────────────

steps = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "sell", "split"]),
        st.sampled_from(["trend", "value"]),
        st.sampled_from(["AAPL", "IBM"]),
        st.integers(1, 40),
        st.integers(100, 90_000),
        st.integers(0, 500),
    ),
    max_size=40,
)


def journal_of(actions: list[tuple[str, str, str, int, int, int]]) -> list[Fill | Split]:
    """What really could happen: a strategy sells at most what it holds; splits are 2-for-1."""
    held: dict[tuple[str, str], int] = {}
    journal: list[Fill | Split] = []
    for n, (action, strategy, symbol, quantity, price, fee) in enumerate(actions):
        day, key = FIRST + dt.timedelta(days=n), (strategy, symbol)
        if action == "split":
            journal.append(Split(symbol, day, Fraction(2)))
            held = {k: v * (2 if k[1] == symbol else 1) for k, v in held.items()}
            continue
        shares = quantity if action == "buy" else min(quantity, held.get(key, 0))
        if shares:
            at = dt.datetime.combine(day, dt.time(14, 30), dt.UTC)
            amounts = (D(shares), D(price) * CENT, D(fee) * CENT)
            journal.append(Fill(strategy, Execution(f"x{n}", f"b{n}", None, symbol, Side(action), *amounts, day, at)))
            held[key] = held.get(key, 0) + (shares if action == "buy" else -shares)
    return journal


@given(steps)
def test_gains_are_those_of_a_queue_of_single_shares(actions: list[tuple[str, str, str, int, int, int]]) -> None:
    queues: dict[tuple[str, str], deque[Fraction]] = {}
    gain = Fraction(0)
    for fact in journal_of(actions):
        if isinstance(fact, Split):
            for (_, symbol), queue in queues.items():
                if symbol == fact.symbol:
                    queue.extend([queue.popleft() / 2 for _ in range(len(queue))])
                    queue.extend(cost for cost in [queue.popleft() for _ in range(len(queue))] for _ in range(2))
            continue
        queue = queues.setdefault((fact.strategy, fact.execution.symbol), deque())
        for _ in range(int(fact.execution.quantity)):
            if fact.execution.side is Side.BUY:
                queue.append(Fraction(fact.execution.price))
            else:
                gain += Fraction(fact.execution.price) - queue.popleft()
    followed = follow(journal_of(actions))
    pieces = len(followed.trades) + 1
    assert abs(Fraction(sum((trade.gain for trade in followed.trades), ZERO)) - gain) <= pieces * Fraction(1, 10**6)
    assert sum(lot.quantity for lot in followed.lots) == sum(map(len, queues.values()))


@given(steps)
def test_gains_are_the_ledgers_realised_gains_and_no_fee_is_lost(
    actions: list[tuple[str, str, str, int, int, int]],
) -> None:
    lots: dict[str, Lot] = {}
    realized, journal = ZERO, journal_of(actions)
    for fact in journal:
        if isinstance(fact, Split):
            mine = [lot for lot in lots.values() if lot.symbol == fact.symbol]
            booked = book_split(fact, "paper", dt.datetime(2010, 1, 4, tzinfo=dt.UTC), mine)
        else:
            key = (fact.strategy, fact.execution.symbol)
            mine = [lot for lot in lots.values() if (lot.strategy, lot.symbol) == key and lot.quantity]
            booked = book_fill(fact.execution, fact.strategy, mine)
        realized += booked.realized if booked else ZERO
        lots |= {lot.lot_id: lot for lot in booked.lots} if booked else {}
    followed = follow(journal)
    assert sum((trade.gain for trade in followed.trades), ZERO) == realized
    assert set(followed.lots) == {lot for lot in lots.values() if lot.quantity}
    fees = sum((fact.execution.fee for fact in journal if isinstance(fact, Fill)), ZERO)
    if not followed.lots:
        assert sum((trade.fees for trade in followed.trades), ZERO) == fees


@settings(max_examples=60)
@given(steps, st.integers(0, 39))
def test_profits_of_strategies_and_symbols_sum_to_the_accounts(
    actions: list[tuple[str, str, str, int, int, int]], start: int
) -> None:
    """A close after each fact, at a price that moves on its own; also from the middle of the journal on."""
    journal = journal_of(actions)
    closes = [_close(journal[: n + 1], D(n + 7)) for n in range(len(journal))]
    begin = min(start, len(closes))
    before = closes[begin - 1] if begin else None
    profits = profits_over_time(closes[begin:], before, [fact for fact in journal if isinstance(fact, Fill)])
    opening = before.equity.equity if before else ZERO
    assert [sum(at_close.values(), ZERO) for at_close in profits] == [c.equity.equity - opening for c in closes[begin:]]


def _close(journal: list[Fill | Split], price: Decimal) -> Close:
    held: dict[tuple[str, str], Decimal] = {}
    for lot in follow(journal).lots:
        held[lot.strategy, lot.symbol] = held.get((lot.strategy, lot.symbol), ZERO) + lot.quantity
    cash = sum((fact.execution.cash for fact in journal if isinstance(fact, Fill)), ZERO)
    last = journal[-1]
    session = last.session if isinstance(last, Split) else last.execution.session
    market = sum((quantity * price for quantity in held.values()), ZERO)
    holdings = tuple(Holding(*key, quantity, ZERO, price) for key, quantity in sorted(held.items()))
    return Close(Equity(session, cash, market, ZERO, ZERO, ZERO, ZERO), holdings)
