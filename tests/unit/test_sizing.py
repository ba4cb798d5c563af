"""Sizing: from target weights to whole-share orders, worked out by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import pytest

from quaestor.config import RiskSection
from quaestor.orders import Side
from quaestor.ports import StoredSignal
from quaestor.sizing import Wanted, plan, strategy_shares

D = Decimal
LIMITS = RiskSection()
SESSION = dt.date(2012, 1, 4)
BAR_END = dt.datetime(2012, 1, 3, 21, tzinfo=dt.UTC)
EQUITY = D(100_000)
PRICES = {"AAPL": D(400), "IBM": D(200), "MSFT": D(30)}
WEIGHTS = {"momentum": 0.5, "rsi_reversion": 0.25}


def signal(symbol: str, target: float, strategy: str = "momentum", bar_end: dt.datetime = BAR_END) -> StoredSignal:
    return StoredSignal(strategy, "digest", "v1", {}, symbol, bar_end.date(), bar_end, target, 1, {}, None)


def planned(
    *signals: StoredSignal, held: Mapping[tuple[str, str], Decimal] | None = None, limits: RiskSection = LIMITS
) -> list[Wanted]:
    return plan("main", SESSION, signals, WEIGHTS, EQUITY, held or {}, PRICES, limits)


def orders(*signals: StoredSignal, **more: object) -> list[str]:
    wanted = [want.intent for want in planned(*signals, **more)]  # type: ignore[arg-type]
    return [f"{i.strategy} {i.side.value} {i.quantity} {i.symbol}" for i in wanted]


@pytest.mark.parametrize(
    ("target", "held", "expected"),
    [
        pytest.param(1.0, "0", "buy 125", id="the whole sleeve: 50 000 / 400"),
        pytest.param(1 / 3, "0", "buy 41", id="a third of it is 41.67 shares: whole ones"),
        pytest.param(0.0, "0", "", id="nothing held, nothing wanted"),
        pytest.param(0.0, "60", "sell 60", id="all of it"),
        pytest.param(0.0, "60.5", "sell 60.5", id="and the half share that a split left"),
        pytest.param(0.5, "62", "", id="there already: 62.5 shares"),
        pytest.param(0.5, "50", "", id="12 short, within a quarter of 62"),
        pytest.param(0.5, "46", "buy 16", id="16 short, beyond a quarter of 62"),
        pytest.param(0.5, "77", "", id="15 over, within the band"),
        pytest.param(0.5, "78", "sell 16", id="16 over, beyond it"),
        pytest.param(0.5, "78.5", "sell 16", id="a trim is whole shares"),
        pytest.param(0.5, "45.5", "buy 16", id="a top-up too"),
        pytest.param(0.001, "1", "sell 1", id="a target of less than one share is none"),
    ],
)
def test_a_target_becomes_the_order_that_gets_there(target: float, held: str, expected: str) -> None:
    made = orders(signal("AAPL", target), held={("momentum", "AAPL"): D(held)})
    assert made == ([f"momentum {expected} AAPL"] if expected else [])


def test_a_change_that_is_not_worth_its_costs_is_not_made() -> None:
    assert orders(signal("MSFT", 0.0018)) == [], "three shares at 30 are 90 dollars"
    assert orders(signal("MSFT", 0.0025)) == ["momentum buy 4 MSFT"]
    small = LIMITS.model_copy(update={"min_order_notional": D(90)})
    assert orders(signal("MSFT", 0.0018), limits=small) == ["momentum buy 3 MSFT"]


def test_a_position_is_closed_however_small() -> None:
    assert orders(signal("MSFT", 0.0), held={("momentum", "MSFT"): D(1)}) == ["momentum sell 1 MSFT"]


def test_each_strategy_has_a_sleeve_of_its_own() -> None:
    made = orders(signal("AAPL", 1.0), signal("AAPL", 1.0, "rsi_reversion"))
    assert made == ["momentum buy 125 AAPL", "rsi_reversion buy 62 AAPL"]


def test_a_strategy_sells_only_what_is_its_own() -> None:
    held = {("momentum", "AAPL"): D(10), ("rsi_reversion", "AAPL"): D(5)}
    assert orders(signal("AAPL", 0.0, "rsi_reversion"), held=held) == ["rsi_reversion sell 5 AAPL"]


def test_exits_come_first_then_strategies_and_symbols_by_name() -> None:
    made = orders(
        signal("MSFT", 0.5, "rsi_reversion"),
        signal("IBM", 0.5),
        signal("AAPL", 0.5),
        signal("IBM", 0.0, "rsi_reversion"),
        held={("rsi_reversion", "IBM"): D(3)},
    )
    assert [order.split(" ", 1)[0] + " " + order.rsplit(" ", 1)[1] for order in made] == [
        "rsi_reversion IBM",
        "momentum AAPL",
        "momentum IBM",
        "rsi_reversion MSFT",
    ]


def test_no_opinion_leaves_a_position_alone() -> None:
    held = {("momentum", "AAPL"): D(10), ("momentum", "IBM"): D(20)}
    assert orders(signal("IBM", 0.0), held=held) == ["momentum sell 20 IBM"]


def test_a_symbol_without_a_price_and_a_strategy_without_a_sleeve_are_not_traded() -> None:
    assert orders(signal("GOOG", 1.0), signal("AAPL", 1.0, "retired")) == []


def test_an_order_names_its_cause_in_universal_time_whatever_zone_the_bar_came_in() -> None:
    new_york = BAR_END.astimezone(dt.timezone(dt.timedelta(hours=-5)))
    (here,), (there,) = planned(signal("AAPL", 1.0)), planned(signal("AAPL", 1.0, bar_end=new_york))
    assert here.intent.cause_key == "AAPL|1d|2012-01-03T21:00:00Z"
    assert there.intent.ref_id == here.intent.ref_id


def test_an_order_carries_the_figures_that_led_to_it() -> None:
    (want,) = planned(signal("AAPL", 0.5), held={("momentum", "AAPL"): D(78)})
    assert (want.sleeve, want.held, want.wanted) == (D(50_000), D(78), D(62))
    assert (want.intent.side, want.intent.reduces, want.intent.reference_price) == (Side.SELL, True, D(400))
    assert (want.intent.account, want.intent.session) == ("main", SESSION)


def test_shares_of_a_strategy_are_the_sum_of_its_lots() -> None:
    lots = [("a", "AAPL", D(1)), ("b", "AAPL", D(2)), ("a", "AAPL", D("0.5"))]
    assert strategy_shares(lots) == {("a", "AAPL"): D("1.5"), ("b", "AAPL"): D(2)}
