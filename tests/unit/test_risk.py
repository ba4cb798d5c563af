"""The risk gate: every rule lets one order pass and refuses another, and exits pass what they must."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from quaestor.config import RiskSection
from quaestor.orders import Intent, Side
from quaestor.risk import RULES, Picture, gate, refusal

D = Decimal
LIMITS = RiskSection()
SESSION = dt.date(2012, 1, 4)

ENTRY = Intent(
    account="main",
    strategy="momentum",
    symbol="AAPL",
    session=SESSION,
    cause_key="AAPL|1d|2012-01-03T21:00:00Z",
    side=Side.BUY,
    quantity=D(50),
    reference_price=D(400),
)
EXIT = replace(ENTRY, side=Side.SELL, quantity=D(30), reduces=True)
PICTURE = Picture(
    session=SESSION,
    equity=D(100_000),
    cash=D(80_000),
    peak=D(110_000),
    previous_equity=D(101_000),
    shares={("momentum", "AAPL"): D(30), ("rsi_reversion", "IBM"): D(40)},
    prices={"AAPL": D(400), "IBM": D(200), "MSFT": D(30)},
    bar_age={"AAPL": 1, "IBM": 1, "MSFT": 1},
    trading=SESSION,
)


def entry(**changes: Any) -> Intent:
    return replace(ENTRY, **changes)


def leave(**changes: Any) -> Intent:
    return replace(EXIT, **changes)


def seen(**changes: Any) -> Picture:
    return replace(PICTURE, **changes)


def limits(**changes: Any) -> RiskSection:
    return LIMITS.model_copy(update=changes)


def failed(order: Intent, picture: Picture = PICTURE, risk: RiskSection = LIMITS) -> list[str]:
    return [check.rule for check in gate(order, picture, risk) if not check.ok]


# rule, an order that passes it at its edge, one just beyond it, why
CASES = [
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("0.5")),), "an entry is whole shares"),
    ("quantity", (leave(quantity=D("0.5")),), (leave(quantity=D("0.0000001")),), "a share has six decimals"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D(0)),), "nothing is no order"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("NaN")),), "no number"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("Infinity")),), "no end"),
    ("reference_price", (entry(),), (entry(reference_price=D(0)),), "free shares"),
    ("reference_price", (entry(),), (entry(reference_price=D("NaN")),), "no price"),
    ("bar_age", (entry(),), (entry(), seen(bar_age={"AAPL": 2})), "a stale price"),
    ("bar_age", (leave(),), (leave(), seen(bar_age={})), "an unknown symbol, even for an exit"),
    ("bar_age", (entry(), seen(bar_age={"AAPL": 3}), limits(max_bar_age=3)),
     (entry(), seen(bar_age={"AAPL": 3})), "as it was set"),
    ("tick", (entry(limit_price=D("400.01")),), (entry(limit_price=D("400.005")),), "half a cent"),
    ("tick", (entry(limit_price=D("0.9001")), seen(prices={**PICTURE.prices, "AAPL": D(400)})),
     (entry(limit_price=D("0.90005")),), "a penny stock's step"),
    ("tick", (leave(limit_price=D("400.01")),), (leave(limit_price=D("NaN")),), "no price, even for an exit"),
    ("price_band", (entry(limit_price=D(440)),), (entry(limit_price=D("440.01")),), "a purchase far above the market"),
    ("price_band", (entry(limit_price=D(1)),), (entry(), seen(prices={"IBM": D(200)})), "no price to compare with"),
    ("price_band", (entry(reference_price=D(360)),), (entry(reference_price=D(359)),), "decided on another market"),
    ("price_band", (leave(limit_price=D(200)),), (leave(limit_price=D("199.99")),), "an exit's band is wider"),
    ("halted", (entry(), seen(halted=frozenset({"IBM"}))), (entry(), seen(halted=frozenset({"AAPL"}))), "a halt"),
    ("blocked", (leave(), seen(blocked=frozenset({"AAPL"}))), (entry(), seen(blocked=frozenset({"AAPL"}))), "a split"),
    ("session_closed", (entry(),), (entry(), seen(trading=None)), "the market is closed"),
    ("session_closed", (leave(),),
     (leave(), seen(trading=SESSION + dt.timedelta(days=1))), "the session is over, even for an exit"),
    ("duplicate", (entry(), seen(passed=(entry(symbol="MSFT"),))), (entry(), seen(passed=(entry(),))), "two at once"),
    ("duplicate", (leave(),), (leave(quantity=D(10)), seen(passed=(leave(quantity=D(10)),))), "two exits at once"),
    ("reduce_only", (leave(quantity=D(30)),), (leave(quantity=D("30.000001")),), "never through zero"),
    ("reduce_only", (leave(),), (leave(strategy="rsi_reversion"),), "another strategy's shares"),
    ("reduce_only", (leave(),), (leave(side=Side.BUY),), "a purchase reduces nothing"),
    (
        "reduce_only",
        (leave(quantity=D(10)), seen(selling={("momentum", "AAPL"): D(20)})),
        (leave(quantity=D(11)), seen(selling={("momentum", "AAPL"): D(20)})),
        "an earlier exit still works",
    ),
    ("unknown_exit", (leave(), seen(unknown=frozenset({"AAPL"}))),
     (leave(), seen(unknown_exits=frozenset({"AAPL"}))), "an exit waits for an exit, not for an entry"),
    ("long_only", (entry(),), (entry(side=Side.SELL),), "a short sale"),
    ("latch", (entry(),), (entry(), seen(latches=("entries",))), "books and broker disagree"),
    ("unknown_order", (entry(), seen(unknown=frozenset({"MSFT"}))),
     (entry(), seen(unknown=frozenset({"AAPL"}))), "law 2"),
    ("self_cross", (entry(), seen(passed=(leave(symbol="IBM"),))), (entry(), seen(passed=(leave(),))), "our own sale"),
    ("max_order_notional", (entry(), PICTURE, limits(max_order_notional=D(20_000))),
     (entry(), PICTURE, limits(max_order_notional=D("19999.99"))), "50 shares at 400"),
    ("max_position_weight", (entry(), PICTURE, limits(max_position_weight=D("0.32"))),
     (entry(), PICTURE, limits(max_position_weight=D("0.319999"))), "12 000 held and 20 000 coming"),
    ("max_gross_exposure", (entry(), PICTURE, limits(max_gross_exposure=D("0.40"))),
     (entry(), PICTURE, limits(max_gross_exposure=D("0.399999"))), "20 000 held and 20 000 coming"),
    ("cash", (entry(), seen(cash=D("21276.60"))), (entry(), seen(cash=D("21276.59"))), "20 000 is 94 % of it"),
    ("max_orders_per_session", (entry(), seen(passed=(leave(symbol="IBM"),)), limits(max_orders_per_session=2)),
     (entry(), seen(passed=(leave(symbol="IBM"),)), limits(max_orders_per_session=1)), "the second one"),
    ("max_daily_loss", (entry(), seen(previous_equity=D("105263.15"))),
     (entry(), seen(previous_equity=D("105263.17"))), "5 % of 105 263.16"),
    ("max_drawdown", (entry(), seen(peak=D("153846.15"))), (entry(), seen(peak=D("153846.16"))), "35 % of the peak"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "good", "bad", "why"), CASES, ids=[f"{case[0]}: {case[3]}" for case in CASES])
def test_a_rule_lets_one_order_pass_and_refuses_another(
    rule: str, good: tuple[Any, ...], bad: tuple[Any, ...], why: str
) -> None:
    assert failed(*good) == []
    assert rule in failed(*bad)


def test_the_table_above_has_a_case_for_every_rule() -> None:
    assert {case[0] for case in CASES} == {rule.name for rule in RULES}


def test_an_exit_passes_every_limit_on_loss_exposure_and_rate() -> None:
    desperate = seen(
        equity=D(1), cash=D(-5), peak=D(10**9), previous_equity=D(10**9), latches=("halt", "entries"),
        unknown=frozenset({"AAPL"}), passed=tuple(leave(symbol="IBM", leg=n) for n in range(60)),
    )  # fmt: skip
    tight = limits(
        max_order_notional=D(1), max_position_weight=D("0.01"), max_gross_exposure=D("0.01"),
        max_orders_per_session=1, max_daily_loss=D("0.01"), max_drawdown=D("0.01"),
    )  # fmt: skip
    assert failed(leave(), desperate, tight) == []
    assert len(failed(entry(), desperate, tight)) >= 8


@pytest.mark.parametrize(
    ("order", "picture", "rule"),
    [
        pytest.param(leave(quantity=D(0)), PICTURE, "quantity", id="quantity"),
        pytest.param(leave(reference_price=D(-1)), PICTURE, "reference_price", id="price"),
        pytest.param(leave(), seen(bar_age={"AAPL": 9}), "bar_age", id="stale"),
        pytest.param(leave(), seen(passed=(leave(quantity=D(1)),)), "duplicate", id="twice"),
        pytest.param(leave(limit_price=D("400.001")), PICTURE, "tick", id="off the tick"),
        pytest.param(leave(reference_price=D(900)), PICTURE, "price_band", id="far from the market"),
        pytest.param(leave(), seen(halted=frozenset({"AAPL"})), "halted", id="halted"),
        pytest.param(leave(), seen(trading=None), "session_closed", id="closed"),
    ],
)
def test_an_exit_passes_no_rule_of_sanity(order: Intent, picture: Picture, rule: str) -> None:
    assert rule in failed(order, picture)


def test_exits_of_a_session_together_sell_no_more_than_is_held() -> None:
    picture = PICTURE.after(leave(quantity=D(20)))
    assert picture.sellable("momentum", "AAPL") == D(10)
    assert failed(leave(quantity=D(10)), picture) == ["duplicate"], "there is one exit a session at that"


def test_what_passed_counts_for_those_after_it() -> None:
    after = PICTURE.after(entry())
    assert (after.cash, after.exposure("AAPL"), after.exposure()) == (D(60_000), D(32_000), D(40_000))
    assert PICTURE.after(leave()).cash == PICTURE.cash, "sales of today do not count"


def test_an_order_that_fails_sanity_is_measured_no_further() -> None:
    assert [check.rule for check in gate(entry(quantity=D("NaN")), PICTURE, LIMITS)] == ["quantity"]


def test_every_check_of_an_order_is_reported_with_limit_and_observed_value() -> None:
    checks = {check.rule: check for check in gate(entry(), PICTURE, LIMITS)}
    assert set(checks) == {rule.name for rule in RULES if rule.scope != "exits"}
    assert (checks["max_position_weight"].limit, checks["max_position_weight"].observed) == ("0.40", "0.320000")
    assert (checks["cash"].limit, checks["cash"].observed) == ("75200.00", "20000")


def test_an_observed_share_is_never_shown_smaller_than_it_is() -> None:
    picture = seen(shares={}, equity=D(49_999_999))
    (check,) = [c for c in gate(entry(), picture, limits(max_position_weight=D("0.0004"))) if not c.ok]
    assert (check.rule, check.observed) == ("max_position_weight", "0.000401")


def test_a_refusal_says_rule_limit_observed_value_and_meaning() -> None:
    order = entry(quantity=D(200))
    check = next(check for check in gate(order, PICTURE, LIMITS) if not check.ok)
    refused = refusal(order, check, {"target": 1})
    assert refused.message == ("max_order_notional: observed 80000, limit 50000 (dollars). One order's value.")
    assert (refused.rule, refused.limit, refused.observed, refused.quantity) == (
        "max_order_notional", "50000", "80000", D(200),
    )  # fmt: skip
