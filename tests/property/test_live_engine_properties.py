"""The live engine is a fold: cut anywhere and gone on with from its snapshot, it decides the same, byte for byte."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor import calendar
from quaestor.barring import nanoseconds
from quaestor.config import RiskSection
from quaestor.live.account import AccountState
from quaestor.live.acts import Place, as_line
from quaestor.live.engine import Engine
from quaestor.live.events import Clock, Event, Filled, Latched, Moved, Player, Rules, Session, Setup, Ticks, Told
from quaestor.orders import Side, State
from quaestor.risk import Record
from quaestor.strategies.catalogue import Catalogue
from quaestor.ticks import SECOND, QuoteTick, TradeTick
from quaestor.triggers import (
    Above,
    Below,
    Crossing,
    Drawdown,
    Flatten,
    OrderTemplate,
    SessionTime,
    Trailing,
    Trigger,
)
from quaestor.triggers import (
    Moved as MovedBy,
)

DAY = dt.date(2026, 11, 20)
OPENS, CLOSES = (nanoseconds(at) for at in (calendar.session_open(DAY), calendar.session_close(DAY)))
MORNING = OPENS + 20 * 60 * SECOND
SYMBOLS = ("AAPL", "IBM")
CASH = Decimal(100_000)
CATALOGUE = Catalogue()
BUILT = CATALOGUE.build("ema_cross", {"fast": 1, "slow": 2, "share": 0.2})
LIMITS = RiskSection(duplicate_window=0, max_orders_per_minute=1000).model_dump(mode="json")

prices = st.integers(9_000, 11_000).map(lambda cents: cents / 100)
conditions = st.one_of(
    st.builds(Above, prices),
    st.builds(Below, prices),
    st.builds(Crossing, prices),
    st.builds(Trailing, st.sampled_from([1.0, 3.0])),
    st.builds(MovedBy, st.sampled_from([-2.0, 1.0, 2.5]), st.sampled_from(["open", "entry"])),
    st.builds(Drawdown, st.sampled_from([0.1, 1.0])),
    st.builds(SessionTime, st.sampled_from([30, 45])),
)
actions = st.one_of(
    st.builds(OrderTemplate, st.just("buy"), quantity=st.sampled_from([1.0, 10.0, 2_000.0])),
    st.builds(OrderTemplate, st.just("sell"), fraction=st.sampled_from([0.5, 1.0])),
    st.builds(Flatten),
)


@st.composite
def triggers(draw: st.DrawFn) -> Trigger:
    name = uuid.UUID(int=draw(st.integers(0, 5)))  # few, so that rules are replaced
    mode = draw(st.sampled_from(["once", "rearm"]))
    return Trigger(name, draw(st.sampled_from(SYMBOLS)), draw(conditions), draw(actions), mode=mode)


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    now, events = MORNING, list[Any]()
    for _ in range(draw(st.integers(1, 40))):
        now += draw(st.sampled_from([SECOND // 10, 2 * SECOND, 40 * SECOND]))
        kind = draw(st.sampled_from(["ticks", "ticks", "ticks", "clock", "rules", "removed", "latched"]))
        if kind == "ticks":
            symbol, price = draw(st.sampled_from(SYMBOLS)), draw(prices)
            quote = QuoteTick(symbol, now, round(price - 0.01, 2), round(price + 0.01, 2), 5.0, 5.0)
            events.append(Ticks(now, [quote, TradeTick(symbol, now, price, 100.0)]))
        elif kind == "clock":
            events.append(Clock(now))
        elif kind == "rules":
            events.append(Rules(now, (draw(triggers()).as_dict(),), (), len(events)))
        elif kind == "removed":
            events.append(Rules(now, (), (uuid.UUID(int=draw(st.integers(0, 5))),), len(events)))
        else:
            events.append(Latched(now, draw(st.sampled_from([(), ("halt",)]))))
    return events


class Broker:
    """Fills whatever is placed at its reference price, at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def run(self, engine: Engine, events: list[Event]) -> None:
        todo = list(events)
        while todo:
            event = todo.pop(0)
            acts = engine.on(event)
            self.lines += [as_line(act) for act in acts]
            for act in acts:
                for intent in act.intents if isinstance(act, Place) else ():
                    what = (intent.strategy, intent.symbol, intent.side, intent.quantity, intent.reference_price)
                    todo[:0] = [
                        Filled(event.now, *what, Decimal(0)),
                        Moved(event.now, intent.ref_id, State.FILLED, Decimal(0)),
                    ]


def begun(rules: list[Trigger]) -> Engine:
    engine = Engine(CATALOGUE.build)
    player = Player(BUILT.name, dict(BUILT.parameters), BUILT.version, BUILT.digest, 0.5)
    named = {rule.id: rule.as_dict() for rule in rules}
    setup = Setup(MORNING, uuid.UUID(int=9), "paper", SYMBOLS, LIMITS, (player,), tuple(named.values()), "abc", "d1")
    reference = dict.fromkeys(SYMBOLS, Decimal(100))
    for event in (setup, Session(MORNING, DAY, OPENS, CLOSES, reference, dict.fromkeys(SYMBOLS, 1)), told(engine)):
        engine.on(event)
    return engine


def told(engine: Engine) -> Told:
    """The account as the engine's own fills make it: what books would say."""
    standing = engine.standing
    cash = standing.cash if standing.told is not None else CASH
    held = tuple(position for _, position in sorted(standing.held.items()))
    working = tuple(standing.working.values())
    state = (DAY, CASH, CASH, CASH, cash, held, working, (), standing.latches, Record())
    return Told(max(engine.now, MORNING), AccountState(*state, skew=Decimal(0)))


@settings(max_examples=150, deadline=None)
@given(st.lists(triggers(), max_size=4), histories(), st.data())
def test_a_successor_decides_what_the_run_would_have_decided(
    rules: list[Trigger], events: list[Event], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(events)))
    whole, first = Broker(), Broker()
    engine = begun(rules)
    whole.run(engine, events[:cut])
    account = told(engine)
    whole.run(engine, [account, *events[cut:]])
    before = begun(rules)
    first.run(before, events[:cut])
    setup = before.successor()
    assert setup is not None
    setup = msgspec.json.decode(msgspec.json.encode(setup), type=Setup)  # as it is stored
    after = Engine(CATALOGUE.build)
    after.on(setup)
    first.run(after, [account, *events[cut:]])
    assert first.lines == whole.lines


@settings(max_examples=60, deadline=None)
@given(st.lists(triggers(), max_size=4), histories())
def test_nobody_sells_what_he_does_not_have_nor_spends_more_than_there_is(
    rules: list[Trigger], events: list[Event]
) -> None:
    engine, broker = begun(rules), Broker()
    for event in events:
        broker.run(engine, [event])
        assert all(position.quantity >= 0 for position in engine.standing.held.values())
        assert engine.standing.cash >= 0


def test_what_is_drawn_does_something() -> None:
    buy = Trigger(uuid.UUID(int=1), "AAPL", Above(101.0), OrderTemplate("buy", quantity=10))
    engine, broker = begun([buy]), Broker()
    at = MORNING + SECOND
    quote = QuoteTick("AAPL", at, 101.49, 101.51, 5.0, 5.0)
    broker.run(engine, [Ticks(at, [quote, TradeTick("AAPL", at, 101.5, 100.0)])])
    assert engine.standing.held["triggers", "AAPL"].quantity == 10
    assert [Side(msgspec.json.decode(line)["intents"][0]["side"]) for line in broker.lines if '"place"' in line] == [
        Side.BUY
    ]
