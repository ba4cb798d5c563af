"""Engine and simulated account trade recorded ticks: what fills, at which price, and what the engine is told of it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from quaestor import calendar
from quaestor.barring import nanoseconds
from quaestor.config import RiskSection
from quaestor.exchange import Costs
from quaestor.live.engine import Engine
from quaestor.live.events import Clock, Event, Player, Session, Setup, Ticks
from quaestor.live.simulated import Played, SimulatedAccount, batches, play
from quaestor.orders import State
from quaestor.strategies.catalogue import Built
from quaestor.strategies.live import Follower, LiveStrategy
from quaestor.ticks import SECOND, QuoteTick, Tick, TradeTick
from quaestor.triggers import Above, Below, Flatten, Halt, OrderTemplate, Trigger

D = Decimal
DAY = dt.date(2026, 11, 20)
AFTER = calendar.next_session(DAY)
NOON = nanoseconds(calendar.session_open(DAY)) + 3600 * SECOND
SYMBOLS = ("AAPL", "IBM")
PLAIN = Costs(slippage_bps=D(0), sec_fee=D(0), taf=D(0))
LIMITS = RiskSection(duplicate_window=0, max_position_weight=D(1))


def rule(number: int, condition: Any, action: Any, symbol: str = "AAPL", **more: Any) -> Trigger:
    return Trigger(uuid.UUID(int=number), symbol, condition, action, **more)


def session(day: dt.date = DAY, **more: Any) -> Session:
    opens, closes = nanoseconds(calendar.session_open(day)), nanoseconds(calendar.session_close(day))
    return Session(opens, day, opens, closes, dict.fromkeys(SYMBOLS, D(100)), dict.fromkeys(SYMBOLS, 1), **more)


def quote(price: float, second: float = 0, symbol: str = "AAPL", size: float = 500.0) -> QuoteTick:
    at = NOON + round(second * SECOND)
    return QuoteTick(symbol, at, round(price - 0.01, 2), round(price + 0.01, 2), size, size)


def trade(price: float, second: float = 0, symbol: str = "AAPL") -> TradeTick:
    return TradeTick(symbol, NOON + round(second * SECOND), price, 100.0)


def traded(
    ticks: Sequence[Tick],
    *triggers: Trigger,
    costs: Costs = PLAIN,
    limits: RiskSection = LIMITS,
    use: Mapping[str, Mapping[str, Any]] | None = None,
    more: Sequence[Event] = (),
) -> tuple[Played, Engine]:
    engine = Engine(_find)
    players = tuple(Player(name, dict(own), "v", "d", 1.0) for name, own in (use or {}).items())
    rules = tuple(trigger.as_dict() for trigger in triggers)
    setup = Setup(1, uuid.UUID(int=1), "main", SYMBOLS, limits.model_dump(mode="json"), players, rules, "c", "d")
    events: list[Event] = [setup, session(), *batches(ticks, SECOND), *more]
    return play(engine, events, SimulatedAccount(D(100_000), costs)), engine


@dataclass(frozen=True)
class Rising(LiveStrategy):
    """Half of the sleeve while a trade is above a level."""

    name = "rising"
    level: float = 101.0

    def follow(self, symbol: str) -> Follower:
        del symbol
        return _Rising(self.level)


class _Rising(Follower):
    wants_ticks: ClassVar[bool] = True

    def __init__(self, level: float) -> None:
        self._level = level

    def on_tick(self, tick: Tick) -> float | None:
        return (0.5 if tick.price > self._level else 0.0) if isinstance(tick, TradeTick) else None


def _find(name: str, parameters: Mapping[str, Any]) -> Built:
    return Built(Rising(**parameters), name, "v", dict(parameters), "d")


BUY = rule(1, Above(101.0), OrderTemplate("buy", quantity=10))


def test_a_market_order_meets_the_quote_that_stands_at_the_end_of_its_batch() -> None:
    played, engine = traded([quote(101.0), trade(101.5, 0.1), quote(102.0, 0.2)], BUY)
    (fill,) = played.fills
    assert (fill.quantity, fill.price, fill.fee) == (D(10), D("102.01"), D(0))
    assert played.cash == 100_000 - 10 * D("102.01")
    assert played.equity == played.cash + 10 * D("101.5"), "at the last trade"
    assert (engine.standing.cash, engine.standing.equity()) == (played.cash, played.equity)
    assert not engine.standing.working


def test_orders_share_the_size_of_a_quote_and_the_rest_waits_for_the_next() -> None:
    ticks: list[Tick] = [quote(101.5, 0, size=15.0), trade(101.5, 0.1), quote(101.6, 2, size=100.0)]
    other = rule(2, Above(101.0), OrderTemplate("buy", quantity=10))
    limits = LIMITS.model_copy(update={"duplicate_window": 0})
    played, _ = traded(ticks, BUY, other, limits=limits)
    filled = [(fill.quantity, fill.price) for fill in played.fills]
    assert filled == [(D(10), D("101.51")), (D(5), D("101.51")), (D(5), D("101.61"))]
    assert {order.state for order in played.orders} == {State.FILLED}


@pytest.mark.parametrize(
    ("prices", "state"),
    [
        pytest.param([101.5, 100.9], State.EXPIRED, id="the market stays above the limit: it ends with the session"),
        pytest.param([101.5, 100.4], State.FILLED, id="the market comes to the limit"),
    ],
)
def test_a_limit_order_waits_until_the_session_closes(prices: list[float], state: State) -> None:
    buy = rule(1, Above(101.0), OrderTemplate("buy", quantity=10, order_type="limit", limit_offset=-1.0))
    ticks: list[Tick] = [
        tick for n, price in enumerate(prices) for tick in (quote(price, 2 * n), trade(price, 2 * n + 0.1))
    ]
    over = Clock(session().closes + SECOND)
    played, engine = traded(ticks, buy, more=[over])
    assert [order.state for order in played.orders] == [state]
    assert played.sessions == ((DAY, played.equity),)
    told = engine.standing.told
    assert told is not None
    assert (told.trading, told.settled, told.equity) == (None, DAY, played.equity)


def test_a_strategy_enters_and_leaves_and_its_loss_is_on_record() -> None:
    ticks: list[Tick] = [
        quote(102.0),
        trade(102.0, 0.1),
        quote(100.0, 2),
        trade(100.0, 2.1),
        quote(100.0, 9),
        trade(100.0, 9.1),
    ]
    played, engine = traded(ticks, use={"rising": {}}, costs=Costs())
    bought, sold = played.fills
    assert bought.quantity == sold.quantity == D(490)
    assert played.cash == 100_000 + bought.cash + sold.cash
    assert not played.positions
    told = engine.standing.told
    assert told is not None
    assert told.record is not None
    (sale,) = told.record.sales
    assert sale.realized == 490 * (sold.price - bought.price)
    assert (sale.proceeds, told.record.orders, told.record.losses()) == (sold.cash, 2, 1)


def test_a_halt_takes_entries_back_and_lets_exits_go_on() -> None:
    wait = rule(1, Above(101.0), OrderTemplate("buy", quantity=7, order_type="limit", limit_offset=-1.0), symbol="IBM")
    stop, leave = rule(2, Above(102.0), Halt("enough")), rule(3, Below(99.0), Flatten())
    ticks: list[Tick] = [quote(101.5), trade(101.5, 0.1), quote(101.5, 0.2, "IBM"), trade(101.5, 0.3, "IBM")]
    ticks += [quote(102.5, 2), trade(102.5, 2.1), quote(98.0, 4), trade(98.0, 4.1)]
    late = rule(4, Above(102.4), OrderTemplate("buy", quantity=1))
    played, _ = traded(ticks, rule(5, Above(101.0), OrderTemplate("buy", quantity=10)), wait, stop, leave, late)
    states = {(o.intent.symbol, o.intent.side.value): o.state for o in played.orders}
    assert states["IBM", "buy"] is State.CANCELED
    assert states["AAPL", "sell"] is State.FILLED
    assert not played.positions


def test_what_the_gate_refuses_is_counted_by_its_rule() -> None:
    much = rule(1, Above(101.0), OrderTemplate("buy", quantity=900))
    played, _ = traded([quote(101.5), trade(101.5, 0.1)], much)
    assert (played.refused, played.orders) == ({"max_order_notional": 1}, ())


def test_shares_split_over_night_and_cost_what_they_cost() -> None:
    played, _ = traded(
        [quote(101.5), trade(101.5, 0.1)], BUY, more=[Clock(session().closes), session(AFTER, splits=(("AAPL", 2, 1),))]
    )
    (held,) = played.positions
    assert (held.quantity, held.cost) == (D(20), 10 * D("101.51"))
    assert [day for day, _ in played.sessions] == [DAY]


def test_evidence_is_kept_where_it_is_asked_for() -> None:
    engine = Engine(_find)
    setup = Setup(1, uuid.UUID(int=1), "main", SYMBOLS, LIMITS.model_dump(mode="json"), (), (BUY.as_dict(),), "c", "d")
    ticks: list[Tick] = [quote(101.5), trade(101.5, 0.1)]
    account = SimulatedAccount(D(100_000), PLAIN, evidence=True)
    played = play(engine, [setup, session(), *batches(ticks)], account)
    (order,) = played.orders
    assert {"trigger", "quote", "checks", "code_commit"} <= order.intent.provenance.keys()
    assert not traded(ticks, BUY)[0].orders[0].intent.provenance


def test_batches_hold_so_much_of_the_feeds_time_and_lose_nothing() -> None:
    ticks: list[Tick] = [trade(100.0, second) for second in (0, 0.02, 0.049, 0.05, 0.2)]
    found = list(batches(ticks))
    assert [len(batch.ticks) for batch in found] == [3, 1, 1]
    assert [batch.now for batch in found] == [batch.ticks[-1].at for batch in found]
    assert not list(batches([]))
    assert isinstance(found[0], Ticks)
