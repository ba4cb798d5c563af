"""The live engine, event by event: what waits is not forgotten, and nothing is decided twice."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from quaestor import calendar
from quaestor.barring import nanoseconds
from quaestor.config import RiskSection
from quaestor.errors import BadInput
from quaestor.live.account import AccountState
from quaestor.live.acts import Act, Fired, Place, Refuse
from quaestor.live.engine import Engine
from quaestor.live.events import Clock, Event, Filled, Missed, Moved, Player, Rules, Session, Setup, Ticks, Told
from quaestor.orders import State
from quaestor.risk import Record
from quaestor.splits import Split
from quaestor.strategies.catalogue import Built, Catalogue
from quaestor.strategies.live import Follower, LiveStrategy
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from quaestor.triggers import Above, Below, Flatten, OrderTemplate, Trailing, Trigger
from quaestor.triggers import Moved as MovedBy

DAY = dt.date(2026, 11, 20)
OPENS, CLOSES = (nanoseconds(at) for at in (calendar.session_open(DAY), calendar.session_close(DAY)))
MORNING = OPENS + 20 * 60 * SECOND
CASH = Decimal(100_000)
ZERO = Decimal(0)


@dataclass(frozen=True)
class TickStrategy(LiveStrategy):
    name = "on_ticks"

    def follow(self, symbol: str) -> Follower:
        del symbol
        return _OnTicks()


class _OnTicks(Follower):
    """A tenth above 100, nothing below."""

    wants_ticks = True

    def on_tick(self, tick: Tick) -> float | None:
        return None if isinstance(tick, QuoteTick) else 0.1 if tick.price > 100 else 0.0


@dataclass(frozen=True)
class QuoteStrategy(LiveStrategy):
    name = "on_quotes"

    def follow(self, symbol: str) -> Follower:
        del symbol
        return _OnQuotes()


class _OnQuotes(Follower):
    """A tenth, as soon as anybody quotes."""

    wants_ticks = True

    def on_tick(self, tick: Tick) -> float | None:
        return 0.1 if isinstance(tick, QuoteTick) else None


def find(name: str, parameters: Any) -> Any:
    if name == "on_quotes":
        return Built(QuoteStrategy(), name, "v1", {}, "digest")
    if name == "on_ticks":
        return Built(TickStrategy(), name, "v1", {}, "digest")
    return Catalogue().build(name, parameters)


class Desk:
    """An engine in session, and a broker who fills when he is told to."""

    def __init__(self, *rules: Trigger, limits: RiskSection | None = None, players: tuple[Player, ...] = ()) -> None:
        self.engine, self.now, self.acts = Engine(find), MORNING, list[Act]()
        self.sent: list[Any] = []
        dumped = (limits or RiskSection()).model_dump(mode="json")
        written = tuple(rule.as_dict() for rule in rules)
        self.on(Setup(MORNING, uuid.uuid4(), "paper", ("AAPL",), dumped, players, written, "abc", "d1"))
        self.on(Session(MORNING, DAY, OPENS, CLOSES, {"AAPL": Decimal(100)}, {"AAPL": 1}))
        state = (DAY, CASH, CASH, CASH, CASH, (), (), (), (), Record())
        self.on(Told(MORNING, AccountState(*state, skew=ZERO)))

    def on(self, event: Event) -> list[Act]:
        acts = self.engine.on(event)
        self.acts += acts
        self.sent += [intent for act in acts if isinstance(act, Place) for intent in act.intents]
        return acts

    def price(self, price: float, after: float = 1.0) -> list[Act]:
        self.now += round(after * SECOND)
        quote = QuoteTick("AAPL", self.now, price - 0.01, price + 0.01, 500.0, 500.0)
        return self.on(Ticks(self.now, [quote, TradeTick("AAPL", self.now, price, 100.0)]))

    def fill(self, number: int = -1) -> None:
        intent = self.sent[number]
        what = (intent.strategy, intent.symbol, intent.side, intent.quantity, intent.reference_price)
        self.on(Filled(self.now, *what, ZERO))
        self.on(Moved(self.now, intent.ref_id, State.FILLED, ZERO))

    def of(self, kind: type) -> list[Any]:
        return [act for act in self.acts if isinstance(act, kind)]


def rule(condition: Any, action: Any, **more: Any) -> Trigger:
    return Trigger(uuid.uuid4(), "AAPL", condition, action, **more)


BUY = rule(Above(101.0), OrderTemplate("buy", quantity=10))


def test_an_exit_that_has_to_wait_is_sold_when_it_may_and_its_wait_is_told_once() -> None:
    """Half is sold; the stop fires within the duplicate window. It goes out when the window is over."""
    desk = Desk(BUY, rule(Above(102.0), OrderTemplate("sell", fraction=0.5)), rule(Below(99.0), Flatten()))
    desk.price(101.5)
    desk.fill()
    desk.price(102.5)
    desk.fill()
    desk.price(98.5)
    (refused,) = [act for act in desk.of(Refuse) if act.refusals[0].rule == "duplicate"]
    assert refused.refusals[0].quantity == 5
    for _ in range(30):
        desk.price(98.0, after=3)
    assert [str(intent.quantity) for intent in desk.sent] == ["10", "5", "5"]
    desk.fill()
    assert not desk.engine.standing.held
    assert len([act for act in desk.of(Refuse) if act.refusals[0].rule == "duplicate"]) == 1


def test_what_waits_outlives_the_run() -> None:
    desk = Desk(BUY, rule(Above(102.0), OrderTemplate("sell", fraction=0.5)), rule(Below(99.0), Flatten()))
    for price in (101.5, 102.5):
        desk.price(price)
        desk.fill()
    desk.price(98.5)
    setup = desk.engine.successor()
    assert setup is not None
    after = Engine(find)
    after.on(setup)
    assert after.dump()["owed"] == desk.engine.dump()["owed"] != []


def test_an_exit_that_waits_is_given_up_when_nothing_is_held() -> None:
    desk = Desk(BUY, rule(Above(102.0), OrderTemplate("sell", fraction=0.5)), rule(Below(99.0), Flatten()))
    for price in (101.5, 102.5):
        desk.price(price)
        desk.fill()
    desk.price(98.5)
    state = (DAY, CASH, CASH, CASH, CASH, (), (), (), (), Record())
    desk.on(Told(desk.now, AccountState(*state, skew=ZERO)))  # a person has sold it
    desk.price(98.0)
    assert desk.engine.dump()["owed"] == []
    assert len(desk.sent) == 2


def test_a_target_that_comes_while_an_order_works_is_met_when_that_has_ended() -> None:
    player = Player("on_ticks", {}, "v1", "digest", 1.0)
    desk = Desk(players=(player,), limits=RiskSection(duplicate_window=0))
    desk.price(101.0)
    desk.price(99.0)  # nothing is wanted any more, but the purchase is on its way
    assert len(desk.sent) == 1
    desk.fill()
    desk.on(Clock(desk.now + 2 * SECOND))
    assert [intent.side.value for intent in desk.sent] == ["buy", "sell"]


def test_a_strategy_may_act_on_a_quote_before_anything_was_traded() -> None:
    player = Player("on_quotes", {}, "v1", "digest", 1.0)
    desk = Desk(players=(player,), limits=RiskSection(quiet_open=0))
    desk.on(Ticks(desk.now, [QuoteTick("AAPL", desk.now, 99.99, 100.01, 500.0, 500.0)]))
    (intent,) = desk.sent
    assert intent.provenance["bars"][0]["close"] == "100.0"


def test_no_rule_is_spent_before_the_account_is_known() -> None:
    engine = Engine(find)
    limits = RiskSection().model_dump(mode="json")
    engine.on(Setup(MORNING, uuid.uuid4(), "paper", ("AAPL",), limits, (), (BUY.as_dict(),), "abc", "d1"))
    engine.on(Session(MORNING, DAY, OPENS, CLOSES, {"AAPL": Decimal(100)}, {"AAPL": 1}))
    later = MORNING + SECOND
    quote = QuoteTick("AAPL", later, 101.49, 101.51, 500.0, 500.0)
    acts = engine.on(Ticks(later, [quote, TradeTick("AAPL", later, 101.5, 100.0)]))
    acts += engine.on(Clock(later + 2 * SECOND))
    assert not [act for act in acts if isinstance(act, Fired)]
    account = AccountState(DAY, CASH, CASH, CASH, CASH, (), (), (), (), Record(), skew=ZERO)
    engine.on(Told(later + 2 * SECOND, account))
    later += 3 * SECOND
    quote = QuoteTick("AAPL", later, 101.49, 101.51, 500.0, 500.0)
    acts = engine.on(Ticks(later, [quote, TradeTick("AAPL", later, 101.5, 100.0)]))
    assert [type(act).__name__ for act in acts] == ["Fired", "Place"]


def told(desk: Desk, *, entries_wait: bool) -> list[Act]:
    """The session again, without entries where nobody knows what is halted."""
    barred = ("AAPL",) if entries_wait else ()
    prices = ({"AAPL": Decimal(100)}, {"AAPL": 1})
    return desk.on(Session(desk.now, DAY, OPENS, CLOSES, *prices, (), barred, entries_wait=entries_wait))


def test_a_rule_that_buys_waits_while_nobody_knows_what_is_halted_and_one_that_sells_goes_on() -> None:
    again, stop = rule(Above(103.0), OrderTemplate("buy", quantity=7)), rule(Below(99.0), Flatten())
    desk = Desk(BUY, again, stop)
    desk.price(101.5)
    desk.fill()
    told(desk, entries_wait=True)
    desk.price(103.5)
    desk.price(98.5)
    assert [str(intent.quantity) for intent in desk.sent] == ["10", "10"]  # the purchase, and the stop's sale of it
    desk.fill()
    desk.price(103.5, after=120)  # past the window in which it would be a second purchase of the same
    told(desk, entries_wait=False)
    desk.price(103.6)
    assert [str(intent.quantity) for intent in desk.sent] == ["10", "10", "7"]
    assert desk.of(Refuse) == []
    desk.price(103.7)
    assert len(desk.of(Fired)) == 3


def test_a_rule_that_buys_does_not_fire_when_its_moment_is_over() -> None:
    desk = Desk(BUY)
    told(desk, entries_wait=True)
    desk.price(101.5)
    desk.price(100.0)
    told(desk, entries_wait=False)
    for _ in range(5):
        desk.price(100.0)
    assert desk.of(Fired) == []
    desk.price(101.5)
    assert len(desk.sent) == 1


def test_a_trailing_purchase_trails_on_while_it_waits_and_a_restored_one_with_it() -> None:
    trailing = rule(Trailing(5.0), OrderTemplate("buy", quantity=3))
    desk = Desk(trailing)
    for price in (100.0, 101.0):
        desk.price(price)
    told(desk, entries_wait=True)
    for price in (102.0, 106.0, 110.0):
        desk.price(price)
    setup = desk.engine.successor()
    assert setup is not None
    other = Desk(trailing)
    other.engine, other.now = Engine(find), desk.now
    other.acts.clear()
    other.on(setup)
    other.on(Told(desk.now, AccountState(DAY, CASH, CASH, CASH, CASH, (), (), (), (), Record(), skew=ZERO)))
    for each in (desk, other):
        for price in (114.0, 118.0):
            each.price(price)
        told(each, entries_wait=False)
        for price in (116.0, 113.0):
            each.price(price)
            assert each.of(Fired) == []
        each.price(112.0)
        assert [fired.price for fired in each.of(Fired)] == [112.0]


def test_that_entries_wait_outlives_the_run_and_a_split() -> None:
    desk = Desk(BUY)
    told(desk, entries_wait=True)
    setup = desk.engine.successor()
    assert setup is not None
    after = Desk(BUY)
    after.acts.clear()
    after.engine = Engine(find)
    after.on(setup)
    after.on(Told(MORNING, AccountState(DAY, CASH, CASH, CASH, CASH, (), (), (), (), Record(), skew=ZERO)))
    after.price(101.5)
    assert after.of(Fired) == []
    told(after, entries_wait=False)
    after.price(101.5)
    assert len(after.sent) == 1
    halved = (("AAPL", 2, 1),)
    split = Session(desk.now, DAY, OPENS, CLOSES, {"AAPL": Decimal(50)}, {"AAPL": 1}, (), ("AAPL",), halved, True)
    desk.on(split)
    desk.price(50.8)
    assert desk.of(Fired) == []


def test_a_stop_that_the_night_has_jumped_over_fires_on_the_first_print() -> None:
    stop = rule(Below(99.0), Flatten())
    desk = Desk(BUY, stop)
    desk.price(101.5)
    desk.fill()
    acts = desk.price(80.0, after=0.001)
    assert not [act for act in acts if isinstance(act, Fired)]  # the band: one print so far away is not believed
    acts = desk.price(80.0, after=0.2)
    assert any(isinstance(act, Fired) for act in acts)


def test_a_session_told_again_splits_nothing_twice() -> None:
    desk = Desk(rule(Above(200.0), OrderTemplate("buy", quantity=1)))
    split = ("AAPL", 2, 1)
    again = Session(desk.now, DAY, OPENS, CLOSES, {"AAPL": Decimal(50)}, {"AAPL": 1}, splits=(split,))
    desk.on(again)
    desk.on(again)
    (found,) = desk.engine.book
    assert found.condition == Above(100.0)


def test_a_rule_that_loses_its_meaning_by_a_split_goes_and_the_others_stay() -> None:
    tiny = rule(Above(5e-324), OrderTemplate("buy", quantity=1))
    other = rule(Above(200.0), OrderTemplate("buy", quantity=1))
    desk = Desk(tiny, other)
    with pytest.raises(BadInput):
        tiny.rescaled(Split("AAPL", DAY, Fraction(10**6)))
    split = ("AAPL", 10**6, 1)
    desk.on(Session(desk.now, DAY, OPENS, CLOSES, {"AAPL": Decimal(50)}, {"AAPL": 1}, splits=(split,)))
    assert [each.id for each in desk.engine.book] == [other.id]


def test_a_rule_that_is_told_again_as_it_was_keeps_its_latch() -> None:
    desk = Desk(BUY)
    desk.price(101.5)
    desk.on(Rules(desk.now, (BUY.as_dict(),), (), 7))
    desk.price(101.6, after=70)
    assert len(desk.sent) == 1
    assert desk.engine.cursor == 7


def test_trades_that_were_missed_wake_rules_and_make_no_price() -> None:
    desk = Desk(BUY)
    desk.price(100.0)
    desk.on(Missed(desk.now + SECOND, (TradeTick("AAPL", desk.now + 1, 101.5, 100.0),)))
    assert len(desk.of(Fired)) == 1
    assert desk.engine.last["AAPL"] == 100.0


def test_outside_of_a_session_prices_are_heard_and_nothing_follows() -> None:
    desk = Desk(BUY, rule(MovedBy(1.0, "open"), Flatten()))
    desk.now = CLOSES
    desk.price(101.5)
    assert desk.engine.last["AAPL"] == 101.5
    assert not desk.of(Fired)
