"""Matching against an oracle that knows the way: it walks every tick of every way through a bar, as an exchange would.

Ours does not know the way, so it must say what the worst of the ways says, and never anything better.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from quaestor.bars import Bar
from quaestor.exchange import Costs, collar
from quaestor.matching import Met, Working, meet
from quaestor.orders import OrderType, Side

D = Decimal
CENT = D("0.01")
DAY = dt.date(2012, 1, 3)
AT = dt.datetime(2012, 1, 3, 21, tzinfo=dt.UTC)
WORST = {Side.BUY: D(10**9), Side.SELL: D(-1)}  # the price of not trading at all

cents = st.integers(9_960, 10_040)
sides = st.sampled_from(Side)
costs = st.builds(Costs, slippage_bps=st.sampled_from([D(0), D(1), D(7)]), spread_bps=st.sampled_from([D(0), D(4)]))


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    opened, closed = draw(cents), draw(cents)
    high = max(opened, closed) + draw(st.integers(0, 30))
    low = min(opened, closed) - draw(st.integers(0, 30))
    return Bar("AAPL", DAY, AT, *(CENT * p for p in (opened, high, low, closed)), draw(st.integers(0, 500)))


@st.composite
def orders(draw: st.DrawFn, side: Side | None = None, kind: OrderType | None = None) -> Working:
    kind = kind or draw(st.sampled_from(OrderType))
    return Working(
        id=uuid.uuid4(),
        side=side or draw(sides),
        order_type=kind,
        left=D(draw(st.integers(1, 200))),
        reference_price=CENT * draw(st.integers(9_500, 10_040)),
        limit_price=CENT * draw(cents) if kind.limits else None,
        stop_price=CENT * draw(cents) if kind.stops else None,
        triggered=kind.stops and draw(st.booleans()),
    )


# ── the oracle ────────────────────────────────────────────────────────────────────────────────────────────────────────


def ways(bar: Bar) -> Iterator[list[int]]:
    """Every print of some ways through the bar, tick by tick, in cents; the open comes first."""
    opened, high, low, closed = (int(price * 100) for price in (bar.open, bar.high, bar.low, bar.close))
    for turns in ([high, low], [low, high], [high, low, high], [low, high, low], [high, low, high, low]):
        prints, now = [opened], opened
        for goal in [*turns, closed]:
            prints += range(now, goal, 1 if goal > now else -1)[1:]
            prints += [goal] if goal != now else []
            now = goal
        yield prints


@dataclass
class Walked:
    """An order on one way; `resting`: it is in the book as a limit order at `bound` (None: no bound)."""

    order: Working
    resting: bool
    done: Decimal | None = None

    @property
    def bound(self) -> Decimal | None:
        order = self.order
        if order.order_type in {OrderType.LIMIT, OrderType.STOP_LIMIT}:
            return order.limit_price
        if order.side is Side.SELL:
            return None
        return collar(order.stop_price if order.order_type is OrderType.STOP else order.reference_price)

    def better(self, one: Decimal, two: Decimal) -> bool:
        return one < two if self.order.side is Side.BUY else one > two

    def auction(self, price: Decimal, costs: Costs) -> bool:
        """The opening; whether it traded."""
        if not self.resting:
            return self.tick(price, costs)
        at = price if self.order.order_type.limits else costs.slipped(self.order.side, price)
        if self.bound is None or not self.better(self.bound, at):
            self.done = at
        return self.done is not None

    def tick(self, price: Decimal, costs: Costs) -> bool:
        """One print; whether it traded."""
        if self.resting:
            if self.bound is not None and self.better(price, self.bound):
                self.done = self.bound
            return self.done is not None
        stop = self.order.stop_price
        assert stop is not None
        if self.better(price, stop):
            return False
        self.resting, at = True, costs.slipped(self.order.side, price)
        if self.bound is None or (self.better(price, self.bound) and not self.better(self.bound, at)):
            self.done = at
        elif self.better(price, self.bound):
            self.done = self.bound
        return self.done is not None


def walked(legs: Sequence[Working], prints: Sequence[int], costs: Costs) -> Decimal:
    """What the legs get on one way: of a pair, only the first to trade; the stop where both would at one print."""
    book = sorted(
        (Walked(leg, not leg.order_type.stops or leg.triggered) for leg in legs),
        key=lambda w: not w.order.order_type.stops,
    )
    for n, cents in enumerate(prints):
        for leg in book:
            if (leg.auction if n == 0 else leg.tick)(CENT * cents, costs) and leg.done is not None:
                return leg.done
    return WORST[legs[0].side]


def worst(legs: Sequence[Working], bar: Bar, costs: Costs) -> Decimal:
    prices = [walked(legs, prints, costs) for prints in ways(bar)]
    return max(prices) if legs[0].side is Side.BUY else min(prices)


def ours(met: Sequence[Met]) -> Decimal:
    prices = [each.price for each in met if each.price is not None]
    assert len(prices) <= 1, "of a pair, one"
    return prices[0] if prices else WORST[met[0].order.side]


# ── ours ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=600)
@given(orders(), bars(), costs)
def test_an_order_gets_what_the_worst_way_through_the_bar_gives_it(order: Working, bar: Bar, costs: Costs) -> None:
    assert ours(meet([order], bar, costs)) == worst([order], bar, costs)


@st.composite
def pairs(draw: st.DrawFn) -> list[Working]:
    side = draw(sides)
    stop = draw(orders(side, draw(st.sampled_from([OrderType.STOP, OrderType.STOP_LIMIT]))))
    other = draw(orders(side, OrderType.LIMIT))
    assert stop.stop_price is not None
    away = draw(st.integers(1, 60)) * CENT
    other = replace(other, limit_price=stop.stop_price - side.sign * away, oco="pair")
    return draw(st.permutations([replace(stop, oco="pair", triggered=False), other]))


@settings(max_examples=600)
@given(pairs(), bars(), costs)
def test_a_pair_gets_what_the_worst_way_gives_it_and_trades_once(pair: list[Working], bar: Bar, costs: Costs) -> None:
    met = meet(pair, bar, costs)
    assert ours(met) == worst(pair, bar, costs)
    traded = [each for each in met if each.quantity]
    assert [each.canceled for each in met if each not in traded] == [bool(traded)] * (2 - len(traded))


@given(st.lists(orders(), max_size=5), bars(), st.sampled_from([D("0.1"), D("0.5"), D(1)]))
def test_orders_share_a_part_of_the_bars_volume_in_the_order_they_came(
    book: list[Working], bar: Bar, part: Decimal
) -> None:
    free, capped = Costs(), Costs(participation=part)
    wanted = {each.order.id: each.quantity for each in meet(book, bar, free)}
    got = {each.order.id: each.quantity for each in meet(book, bar, capped)}
    assert set(got) == set(wanted) == {order.id for order in book}
    if part == 1:
        assert got == wanted
        return
    left = int(bar.volume * part)
    for order in book:
        assert got[order.id] == min(wanted[order.id], left)
        left -= int(got[order.id])


@given(orders(), bars(), costs)
def test_a_fill_is_never_beyond_the_orders_own_prices(order: Working, bar: Bar, costs: Costs) -> None:
    (met,) = meet([order], bar, costs)
    if met.price is None:
        return
    assert met.quantity == order.left
    assert not order.order_type.stops or met.triggered
    if order.limit_price is not None:
        assert order.side.sign * (met.price - order.limit_price) <= 0
    elif order.side is Side.BUY:
        assert met.price <= collar(order.stop_price or order.reference_price)
