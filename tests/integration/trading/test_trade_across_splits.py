"""A split moves no equity and makes no order, whoever holds, and whatever is missing on its day."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from quaestor import calendar

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk

D = Decimal
DAY = dt.date
BEFORE, SPLIT_DAY = DAY(2005, 2, 25), DAY(2005, 2, 28)
APPLE = "instrument = (select id from instrument where symbol = 'AAPL')"


def explained(desk: Desk, day: dt.date, symbol: str) -> tuple[Fraction, Fraction]:
    """What equity did on the day of a split, and what the evening's shares and the day's fills make of the prices."""
    closes, before = desk.prices.closes, calendar.previous_session(day)
    ratios = {split.symbol: split.ratio for split in desk.prices.splits if split.session == day}
    assert symbol in ratios
    equity = dict(desk.fetch(f"select session, equity from equity where session in ('{before}', '{day}')"))
    moved = Fraction(0)
    for lot in desk.fetch(f"select positions -> 'lots' from equity where session = '{before}'")[0][0]:
        name, ratio = lot["symbol"], ratios.get(lot["symbol"], Fraction(1))
        moved += Fraction(lot["quantity"]) * ratio * (closes[name, day] - closes[name, before] / ratio)
    for name, side, *terms in desk.fetch(
        f"select symbol, side, quantity, price, fee from fill where session = '{day}'"
    ):
        quantity, price, fee = (Fraction(term) for term in terms)
        moved += (quantity if side == "buy" else -quantity) * (closes[name, day] - price) - fee
    return Fraction(equity[day]) - Fraction(equity[before]), moved


async def test_the_split_of_apple_moves_no_equity_and_makes_no_order(desk: Desk) -> None:
    await desk.trade(DAY(2005, 2, 1), DAY(2005, 3, 15))
    held = """select lot ->> 'strategy', sum((lot ->> 'quantity')::numeric)
              from equity, jsonb_array_elements(positions -> 'lots') lot
              where lot ->> 'symbol' = 'AAPL' and session = """
    before, after = (dict(desk.fetch(f"{held} '{day}' group by 1")) for day in (BEFORE, SPLIT_DAY))
    assert before == {"momentum": D(208), "sma_crossover": D(104)}
    assert after == {strategy: 2 * quantity for strategy, quantity in before.items()}
    assert desk.fetch(f"select * from intent where session = '{SPLIT_DAY}' and symbol = 'AAPL'") == []
    did, expected = explained(desk, SPLIT_DAY, "AAPL")
    assert did == expected
    assert abs(did) < 3_000, "an ordinary day: half of Apple would be 14 000 dollars"
    desk.check_books()


@pytest.mark.parametrize(
    ("symbol", "day"),
    [("AAPL", DAY(2000, 6, 21)), ("MSFT", DAY(2003, 2, 18)), ("AAPL", SPLIT_DAY)],
    ids=["Apple in 2000", "Microsoft in 2003", "Apple in 2005"],
)
async def test_who_holds_on_holds_on_across_a_split(held: Desk, symbol: str, day: dt.date) -> None:
    start, end = day - dt.timedelta(days=8), day + dt.timedelta(days=3)
    await held.trade(start, end)
    bought = held.fetch("select distinct session from intent")
    assert bought == [(calendar.sessions(start, end)[0],)], "bought on the first day, and left alone"
    did, expected = explained(held, day, symbol)
    assert did == expected
    held.check_books()
    assert (await held.reconcile()).ok


async def test_a_symbol_that_rests_on_the_day_of_its_split_is_valued_in_new_shares(held: Desk) -> None:
    held.execute(f"delete from bar_1d where {APPLE} and session = '{SPLIT_DAY}'")
    await held.trade(DAY(2005, 2, 18), SPLIT_DAY)
    old = held.prices.closes["AAPL", BEFORE]
    (positions,) = held.fetch(f"select positions from equity where session = '{SPLIT_DAY}'")[0]
    assert abs(Fraction(positions["closes"]["AAPL"]) - old / 2) <= Fraction(1, 200)
    (now,), (before,) = held.fetch("select equity from equity order by session desc limit 2")
    assert abs(now / before - 1) < D("0.02")
    assert (await held.reconcile()).ok


async def test_a_position_is_not_resized_because_its_price_is_of_old_shares(held: Desk) -> None:
    lax = held.plan.mandate.limits.model_copy(update={"max_bar_age": 5})
    held.plan = replace(held.plan, mandate=replace(held.plan.mandate, limits=lax))
    held.execute(f"delete from bar_1d where {APPLE} and session = '{SPLIT_DAY}'")
    await held.trade(DAY(2005, 2, 18), DAY(2005, 3, 1))
    assert held.fetch("select count(distinct session) from intent") == [(1,)], "bought once, and left alone"


async def test_a_split_in_a_session_without_any_bars_is_applied_when_trading_goes_on(held: Desk) -> None:
    held.execute(f"delete from bar_1d where session = '{SPLIT_DAY}'")
    done = await held.trade(DAY(2005, 2, 18), DAY(2005, 3, 2))
    settled = held.state()["equity"]
    assert SPLIT_DAY not in [row[0] for row in settled]
    assert done.sessions == len(settled) == 7
    assert all(abs(after[3] / before[3] - 1) < D("0.02") for before, after in pairwise(settled))
    assert (await held.reconcile()).ok
