"""Whatever the market does and whichever rules there are: cash and shares are what the fills say, twice the same."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor import calendar
from quaestor.barring import nanoseconds
from quaestor.config import RiskSection
from quaestor.exchange import Costs
from quaestor.live.acts import as_line
from quaestor.live.engine import Engine
from quaestor.live.events import Clock, Event, Session, Setup
from quaestor.live.simulated import Played, SimulatedAccount, batches, play
from quaestor.orders import Side
from quaestor.strategies.catalogue import Catalogue
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from quaestor.triggers import Above, Below, Flatten, OrderTemplate, Trailing, Trigger

SYMBOLS = ("AAPL", "IBM")
DAY = dt.date(2026, 11, 20)
OPENS, CLOSES = (nanoseconds(at(DAY)) for at in (calendar.session_open, calendar.session_close))
NOON = OPENS + 3600 * SECOND
SESSION = Session(OPENS, DAY, OPENS, CLOSES, dict.fromkeys(SYMBOLS, Decimal(100)), dict.fromkeys(SYMBOLS, 1))
CASH = Decimal(100_000)
LIMITS = RiskSection(duplicate_window=0, max_orders_per_session=1000, max_orders_per_minute=1000, max_daily_loss=1)
moves = st.tuples(
    st.sampled_from(SYMBOLS), st.booleans(), st.integers(-80, 80), st.integers(1, 400), st.floats(0.0, 3.0)
)


@st.composite
def actions(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["market", "limit", "stop", "flatten"]))
    side: Any = draw(st.sampled_from(["buy", "sell"]))
    if kind == "flatten":
        return Flatten(everything=draw(st.booleans()))
    sign = 1 if side == "buy" else -1
    offset = draw(st.integers(1, 100)) / 100 * sign
    more: dict[str, Any] = {"limit": {"limit_offset": -offset}, "stop": {"stop_offset": offset}}.get(kind, {})
    return OrderTemplate(side, quantity=draw(st.integers(1, 40)), order_type=kind, **more)  # type: ignore[arg-type]


@st.composite
def rules(draw: st.DrawFn) -> list[Trigger]:
    buys = OrderTemplate("buy", quantity=draw(st.integers(1, 40)))
    found = [Trigger(uuid.UUID(int=99 - n), s, Above(100.2), buys, mode="rearm") for n, s in enumerate(SYMBOLS)]
    for number in range(draw(st.integers(1, 8))):
        condition = draw(
            st.one_of(
                st.builds(Above, st.integers(98, 103).map(float)),
                st.builds(Below, st.integers(97, 102).map(float)),
                st.builds(Trailing, percent=st.integers(1, 3).map(float)),
            )
        )
        mode: Any = draw(st.sampled_from(["once", "rearm"]))
        symbol = draw(st.sampled_from(SYMBOLS))
        found.append(Trigger(uuid.UUID(int=number), symbol, condition, draw(actions()), mode=mode, hysteresis=0.1))
    return found


def market(steps: list[Any]) -> list[Tick]:
    prices, at, ticks = dict.fromkeys(SYMBOLS, 100.0), NOON, list[Tick]()
    for symbol, is_trade, move, size, seconds in steps:
        at += round(seconds * SECOND)
        price = prices[symbol] = round(max(prices[symbol] + move / 100, 1.0), 2)
        if is_trade:
            ticks.append(TradeTick(symbol, at, price, float(size)))
        else:
            spread = (round(price - 0.01, 2), round(price + 0.02, 2))
            ticks.append(QuoteTick(symbol, at, *spread, float(size % 50), float(size)))
    return ticks


def traded(triggers: list[Trigger], ticks: list[Tick]) -> tuple[Played, Engine, list[str]]:
    engine, lines = Engine(Catalogue().build), list[str]()
    decided = engine.on

    def on(event: Event) -> Any:
        acts = decided(event)
        lines.extend(map(as_line, acts))
        return acts

    engine.on = on  # type: ignore[method-assign]
    plain = tuple(trigger.as_dict() for trigger in triggers)
    setup = Setup(1, uuid.UUID(int=1), "main", SYMBOLS, LIMITS.model_dump(mode="json"), (), plain, "c", "d")
    events: list[Event] = [setup, SESSION, *batches(ticks, SECOND), Clock(CLOSES)]
    played = play(engine, events, SimulatedAccount(CASH, Costs(), evidence=True))
    return played, engine, lines


@given(rules(), st.lists(moves, min_size=30, max_size=80))
@settings(max_examples=60, deadline=None)
def test_cash_and_shares_follow_from_the_fills_nothing_is_sold_that_is_not_held_and_a_second_time_is_the_same(
    triggers: list[Trigger], steps: list[Any]
) -> None:
    ticks = market(steps)
    played, engine, lines = traded(triggers, ticks)
    cash, shares = CASH, dict[str, Decimal]()
    for fill in played.fills:
        sign = 1 if fill.side is Side.BUY else -1
        cash -= sign * fill.quantity * fill.price + fill.fee
        shares[fill.symbol] = shares.get(fill.symbol, Decimal(0)) + sign * fill.quantity
        assert shares[fill.symbol] >= 0, "sold what was not there"
    held: dict[str, Decimal] = {}
    for each in played.positions:
        held[each.symbol] = held.get(each.symbol, Decimal(0)) + each.quantity
    assert (played.cash, held) == (cash, {symbol: left for symbol, left in shares.items() if left})
    standing = engine.standing
    assert (standing.cash, tuple(each for _, each in sorted(standing.held.items()))) == (cash, played.positions)
    assert not standing.working, "every order ends with its session"
    for order in played.orders:
        filled = sum((fill.quantity for fill in played.fills if fill.ref_id == order.name), Decimal(0))
        assert filled == order.filled <= order.intent.quantity
    again, _, same = traded(triggers, ticks)
    assert (again, same) == (played, lines)
