"""The risk gate: every rule lets one order pass and refuses another, and exits pass what they must."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from quaestor import calendar
from quaestor.config import RiskSection
from quaestor.orders import Intent, OrderType, Side, TimeInForce
from quaestor.risk import RULES, Attempt, Live, Picture, Quote, Record, Sale, Working, gate, refusal

D = Decimal
LIMITS = RiskSection()
SESSION, BEFORE = dt.date(2012, 1, 4), dt.date(2012, 1, 3)
HALF = dt.date(2012, 7, 3)
NOON = dt.datetime(2012, 1, 4, 17, tzinfo=dt.UTC)  # in New York

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
    settled=BEFORE,
    compared=BEFORE,
    universe=frozenset({"AAPL", "IBM", "MSFT"}),
    record=Record(),
)
LIVE = Live(NOON, {"AAPL": Quote(D("399.90"), D("400.10"), NOON)}, skew=D("0.01"), newest=NOON)
STOP, LIMIT, STOP_LIMIT = OrderType.STOP, OrderType.LIMIT, OrderType.STOP_LIMIT


def entry(**changes: Any) -> Intent:
    return replace(ENTRY, **changes)


def leave(**changes: Any) -> Intent:
    return replace(EXIT, **changes)


def stop(price: str, limit: str | None = None, **changes: Any) -> Intent:
    """An exit that waits for its stop."""
    kind = {"order_type": STOP_LIMIT, "limit_price": D(limit)} if limit else {"order_type": STOP}
    return leave(stop_price=D(price), **kind, **changes)


def aim(price: str, **changes: Any) -> Intent:
    """An exit that waits for its limit."""
    return leave(order_type=LIMIT, limit_price=D(price), **changes)


def bid(price: str, **changes: Any) -> Intent:
    return entry(order_type=LIMIT, limit_price=D(price), **changes)


def seen(**changes: Any) -> Picture:
    return replace(PICTURE, **changes)


def live(**changes: Any) -> Picture:
    return seen(live=replace(LIVE, **changes))


def at(hour: int, minute: int, second: int = 0, day: dt.date = SESSION) -> Picture:
    """A picture of that minute (UTC), with a fresh quote."""
    now = dt.datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=dt.UTC)
    fresh = {"AAPL": Quote(D("399.90"), D("400.10"), now)}
    moment = Live(now, fresh, skew=D(0))
    before = calendar.previous_session(day)
    return seen(session=day, trading=day, settled=before, compared=before, live=moment)


def quoted(bid: str, ask: str, age: float = 0) -> Picture:
    return live(quotes={"AAPL": Quote(D(bid), D(ask), NOON - dt.timedelta(seconds=age))})


def sold(*gains: int, symbol: str = "AAPL", session: dt.date = BEFORE) -> Picture:
    """Closes of a session with these gains, newest first."""
    return seen(record=Record(sales=tuple(sale(gain, symbol, session, f"o{n}") for n, gain in enumerate(gains))))


def sale(gain: int, symbol: str = "AAPL", session: dt.date = BEFORE, order: str = "o") -> Sale:
    return Sale(order, symbol, session, calendar.session_open(session), D(1000), D(gain))


def done(**changes: Any) -> Picture:
    return seen(record=Record(**changes))


def working(*orders: Intent) -> Picture:
    return seen(working=tuple(Working(order, order.quantity) for order in orders))


def limits(**changes: Any) -> RiskSection:
    return LIMITS.model_copy(update=changes)


def failed(order: Intent, picture: Picture = PICTURE, risk: RiskSection = LIMITS) -> list[str]:
    return [check.rule for check in gate(order, picture, risk) if not check.ok]


JUST_SENT = Attempt(ENTRY, NOON - dt.timedelta(seconds=59))
LONG_AGO = Attempt(ENTRY, NOON - dt.timedelta(seconds=61))
OLD = replace(EXIT, leg=7)  # an exit that was replaced
CASH_ACCOUNT = limits(cash_account=True)
WEEK = dt.date(2011, 12, 27)  # five sessions before SESSION

# rule, an order that passes it at its edge, one just beyond it, why
CASES = [
    ("symbol_unknown", (entry(),), (entry(symbol="ZZZZ"),), "nobody knows it"),
    ("symbol_unknown", (leave(),), (leave(), seen(bar_age={})), "no bar of it, even for an exit"),
    ("symbol_unknown", (entry(),), (entry(symbol="aapl; drop"), seen(bar_age={"aapl; drop": 1})), "no symbol at all"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("0.5")),), "an entry is whole shares"),
    ("quantity", (leave(quantity=D("0.5")),), (leave(quantity=D("0.0000001")),), "a share has six decimals"),
    ("quantity", (leave(quantity=D("0.5")),), (aim("410", quantity=D("0.5")),), "a fraction goes at market alone"),
    ("quantity", (leave(quantity=D("0.5")),),
     (leave(quantity=D("0.5"), time_in_force=TimeInForce.GTC),), "a fraction goes today alone"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D(0)),), "nothing is no order"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D(-1)),), "less than nothing"),
    ("quantity", (leave(quantity=D(1)),), (leave(quantity=D(-1)),), "less than nothing, even for an exit"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("NaN")),), "no number"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("sNaN")),), "a number that raises"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("Infinity")),), "no end"),
    ("quantity", (entry(quantity=D(1)),), (entry(quantity=D("1e12")),), "a slip of the pen"),
    ("quantity", (leave(quantity=D(1)),), (leave(quantity=D("1e40")),), "more digits than arithmetic has"),
    ("quantity", (entry(quantity=D("1.00")),),
     (entry(quantity=D("1.00000000000000000000000000000000001")),), "digits beyond the precision of arithmetic"),
    ("reference_price", (entry(),), (entry(reference_price=D(0)),), "free shares"),
    ("reference_price", (entry(),), (entry(reference_price=D("NaN")),), "no price"),
    ("reference_price", (entry(),), (entry(reference_price=D("1e999999")),), "a price that breaks arithmetic"),
    ("order_prices", (bid("400"),), (entry(order_type=LIMIT),), "a limit order without its limit"),
    ("order_prices", (entry(),), (entry(limit_price=D(400)),), "a market order with a limit"),
    ("order_prices", (stop("390"),), (leave(order_type=STOP),), "a stop order without its stop"),
    ("order_prices", (stop("390"),), (stop("390", limit_price=D(380)),), "a stop order with a limit"),
    ("order_prices", (bid("400"),), (bid("400", stop_price=D(410)),), "a limit order with a stop"),
    ("order_prices", (stop("390", "385"),), (leave(order_type=STOP_LIMIT, stop_price=D(390)),), "half of its prices"),
    ("order_prices", (aim("410"),), (aim("NaN"),), "no price, even for an exit"),
    ("order_prices", (stop("390"),), (stop("0"),), "a stop at nothing"),
    ("order_prices", (stop("390"),), (stop("-390"),), "a price below zero"),
    ("order_prices", (aim("410"),), (aim("Infinity"),), "a limit that is none"),
    ("tick", (bid("400.01"),), (bid("400.005"),), "half a cent"),
    ("tick", (bid("0.9001"),), (bid("0.90005"),), "a penny stock's step"),
    ("tick", (stop("390.01"),), (stop("390.005"),), "a stop off the tick"),
    ("tick", (stop("390.01", "385.01"),), (stop("390.01", "385.001"),), "a stop's limit off the tick"),
    ("stop_side", (stop("399.99"),), (stop("400"),), "a sale's stop is below the market"),
    ("stop_side", (entry(order_type=STOP, stop_price=D("400.01")),),
     (entry(order_type=STOP, stop_price=D(400)),), "a purchase's stop is above it"),
    ("stop_side", (stop("390", "390"),), (stop("390", "390.01"),), "a sale's limit above its stop would wait again"),
    ("stop_side",
     (entry(order_type=STOP_LIMIT, stop_price=D(410), limit_price=D(410)),),
     (entry(order_type=STOP_LIMIT, stop_price=D(410), limit_price=D("409.99")),), "a purchase's limit below its stop"),
    ("stop_side", (stop("394.99"), quoted("394.95", "395.05")),
     (stop("395"), quoted("394.95", "395.05")), "the last quote is the market"),
    ("bar_age", (entry(),), (entry(), seen(bar_age={"AAPL": 2})), "a stale price"),
    ("bar_age", (leave(),), (leave(), seen(bar_age={"AAPL": 2})), "a stale price, even for an exit"),
    ("bar_age", (entry(), seen(bar_age={"AAPL": 3}), limits(max_bar_age=3)),
     (entry(), seen(bar_age={"AAPL": 3})), "as it was set"),
    ("price_band", (bid("440"),), (bid("440.01"),), "a purchase far above the market"),
    ("price_band", (bid("1"),), (entry(reference_price=D(441)),), "a purchase far below it only waits"),
    ("price_band", (entry(reference_price=D(360)),), (entry(reference_price=D(359)),), "decided on another market"),
    ("price_band", (aim("200"),), (aim("199.99"),), "an exit's band is wider"),
    ("price_band", (stop("200"),), (stop("199.99"),), "a stop that protects nothing"),
    ("price_band", (entry(), quoted("363.60", "363.70")), (entry(), quoted("363.58", "363.66")), "the last quote"),
    ("halted", (entry(), seen(halted=frozenset({"IBM"}))), (entry(), seen(halted=frozenset({"AAPL"}))), "a halt"),
    ("halted", (leave(), seen(halted=frozenset({"IBM"}))), (leave(), seen(halted=frozenset({"AAPL"}))), "exits too"),
    ("session_closed", (entry(),), (entry(), seen(trading=None)), "the market is closed"),
    ("session_closed", (leave(),),
     (leave(), seen(trading=SESSION + dt.timedelta(days=1))), "the session is over, even for an exit"),
    ("session_closed", (leave(), at(20, 59, 59)), (leave(), at(21, 0)), "the closing bell"),
    ("session_closed", (leave(session=HALF), at(16, 59, 59, HALF)),
     (leave(session=HALF), at(17, 0, 0, HALF)), "on a half-day it rings at 13:00"),
    ("session_closed", (leave(),), (leave(), seen(settled=SESSION)), "a clock that stepped back"),
    ("duplicate", (entry(), seen(passed=(entry(symbol="MSFT"),))), (entry(), seen(passed=(entry(),))), "two at once"),
    ("duplicate", (leave(),), (leave(quantity=D(10)), seen(passed=(leave(quantity=D(10)),))), "two exits at once"),
    ("duplicate", (stop("390", oco="p", leg=1), seen(passed=(aim("410", oco="p"),))),
     (stop("390", oco="q", leg=1), seen(passed=(aim("410", oco="p"),))), "a pair is no duplicate, two pairs are"),
    ("duplicate", (stop("390", oco="p", leg=1), seen(passed=(aim("410", oco="p"),))),
     (aim("410", oco="p"), seen(passed=(aim("410", oco="p"),))), "the same leg twice"),
    ("duplicate", (leave(replaces=OLD.ref_id), seen(passed=(OLD,))), (leave(), seen(passed=(OLD,))), "it takes over"),
    ("duplicate", (entry(leg=1), live(recent=(LONG_AGO,))), (entry(leg=1), live(recent=(JUST_SENT,))), "the window"),
    ("duplicate", (entry(leg=1), live(recent=(JUST_SENT,)), limits(duplicate_window=59)),
     (entry(leg=1), live(recent=(Attempt(ENTRY, NOON + dt.timedelta(hours=1)),)), limits(duplicate_window=59)),
     "sent in a future from which the clock stepped back"),
    ("reduce_only", (leave(quantity=D(30)),), (leave(quantity=D("30.000001")),), "never through zero"),
    ("reduce_only", (leave(),), (leave(strategy="rsi_reversion"),), "another strategy's shares"),
    ("reduce_only", (leave(),), (leave(side=Side.BUY),), "a purchase reduces nothing"),
    ("reduce_only", (leave(quantity=D(10)), working(leave(quantity=D(20), leg=1))),
     (leave(quantity=D(11)), working(leave(quantity=D(20), leg=1))), "an earlier exit still works"),
    ("reduce_only", (leave(quantity=D(10)), working(stop("390", oco="p", quantity=D(20)), aim("410", oco="p", leg=1,
     quantity=D(20)))), (leave(quantity=D(11)), working(stop("390", oco="p", quantity=D(20)), aim("410", oco="p",
     leg=1, quantity=D(20)))), "a pair counts once"),
    ("reduce_only", (stop("390", oco="p", leg=1), seen(passed=(aim("410", oco="p"),))),
     (stop("390", oco="p", leg=1, quantity=D(31)), seen(passed=(aim("410", oco="p"),))), "its own pair not at all"),
    ("reduce_only", (leave(replaces=OLD.ref_id), working(OLD)), (leave(), working(OLD)), "nor the one it replaces"),
    ("unknown_exit", (leave(), seen(unknown=frozenset({"AAPL"}))),
     (leave(), seen(unknown_exits=frozenset({"AAPL"}))), "an exit waits for an exit, not for an entry"),
    ("latch", (entry(),), (entry(), seen(latches=("entries",))), "books and broker disagree"),
    ("reconcile_age", (entry(),), (entry(), seen(compared=dt.date(2011, 12, 30))), "compared two sessions ago"),
    ("reconcile_age", (entry(), seen(settled=None, compared=None)), (entry(), seen(compared=None)), "never compared"),
    ("unknown_order", (entry(), seen(unknown=frozenset({"MSFT"}))),
     (entry(), seen(unknown=frozenset({"AAPL"}))), "law 2"),
    ("blocked", (leave(), seen(blocked=frozenset({"AAPL"}))), (entry(), seen(blocked=frozenset({"AAPL"}))), "a split"),
    ("data_quality", (entry(), done(quarantined={"IBM": 9})), (entry(), done(quarantined={"AAPL": 1})), "a bad bar"),
    ("data_quality", (entry(), done(quarantined={"AAPL": 2}), limits(max_quarantined=2)),
     (entry(), done(quarantined={"AAPL": 2})), "as it was set"),
    ("split_pending", (entry(), done(splitting=frozenset({"IBM"}))),
     (entry(), done(splitting=frozenset({"AAPL"}))), "how many shares are held?"),
    ("clock_skew", (entry(), live(skew=D("-2"))), (entry(), live(skew=D("-2.01"))), "our clock is slow"),
    ("clock_skew", (entry(), live(skew=D("2"))), (entry(), live(skew=None)), "not measured"),
    ("clock_skew", (entry(), live(skew=D("2"))), (entry(), live(skew=D("NaN"))), "no number"),
    ("clock_back", (entry(), live(newest=NOON + dt.timedelta(seconds=2))),
     (entry(), live(newest=NOON + dt.timedelta(seconds=3))), "the books know a later moment"),
    ("long_only", (entry(),), (entry(side=Side.SELL),), "a short sale"),
    ("quote_age", (entry(), quoted("399.90", "400.10", 10)), (entry(), quoted("399.90", "400.10", 11)), "an old quote"),
    ("quote_age", (entry(), quoted("399.90", "400.10", -2)), (entry(), quoted("399.90", "400.10", -3)), "a future one"),
    ("quote_age", (entry(), PICTURE), (entry(), live(quotes={})), "none, where there should be one"),
    ("spread", (entry(), quoted("398", "402")), (entry(), quoted("397.99", "402")), "a wide market"),
    ("spread", (entry(), quoted("400", "400")), (entry(), quoted("400.01", "400")), "a crossed market"),
    ("spread", (entry(), PICTURE), (entry(), quoted("NaN", "400")), "a bid that is no number"),
    ("auction", (entry(), at(14, 27, 59)), (entry(), at(14, 28)), "the opening auction takes no more"),
    ("auction", (entry(), at(14, 32)), (entry(), at(14, 31, 59)), "the first minutes"),
    ("auction", (entry(), at(20, 49, 59)), (entry(), at(20, 50)), "the closing auction"),
    ("auction", (entry(session=HALF), at(16, 49, 59, HALF)), (entry(session=HALF), at(16, 50, 0, HALF)), "half-day"),
    ("self_cross", (entry(), seen(passed=(leave(symbol="IBM"),))), (entry(), seen(passed=(leave(),))), "our own sale"),
    ("self_cross", (entry(), working(stop("390"))), (entry(), working(aim("410"))), "a stop sleeps, a limit may meet"),
    ("self_cross", (bid("409.99"), working(aim("410"))), (bid("410"), working(aim("410"))), "limits that do not meet"),
    ("allowed", (entry(),), (entry(), seen(universe=frozenset({"IBM"}))), "outside of the universe"),
    ("allowed", (entry(), PICTURE, limits(allow=("AAPL",))), (entry(), PICTURE, limits(allow=("IBM",))), "not on it"),
    ("allowed", (entry(), PICTURE, limits(deny=("IBM",))), (entry(), PICTURE, limits(deny=("AAPL",))), "on that one"),
    ("max_order_notional", (entry(), PICTURE, limits(max_order_notional=D(20_000))),
     (entry(), PICTURE, limits(max_order_notional=D("19999.99"))), "50 shares at 400"),
    ("max_order_shares", (entry(), PICTURE, limits(max_order_shares=50)),
     (entry(), PICTURE, limits(max_order_shares=49)), "50 shares"),
    ("max_position_weight", (entry(), PICTURE, limits(max_position_weight=D("0.32"))),
     (entry(), PICTURE, limits(max_position_weight=D("0.319999"))), "12 000 held and 20 000 coming"),
    ("max_gross_exposure", (entry(), PICTURE, limits(max_gross_exposure=D("0.40"))),
     (entry(), PICTURE, limits(max_gross_exposure=D("0.399999"))), "20 000 held and 20 000 coming"),
    ("max_gross_exposure", (entry(), working(entry(symbol="MSFT", reference_price=D(30))),
     limits(max_gross_exposure=D("0.415"))),
     (entry(), working(entry(symbol="MSFT", reference_price=D(30))), limits(max_gross_exposure=D("0.414999"))),
     "and 1 500 of an earlier order"),
    ("max_net_exposure", (entry(), PICTURE, limits(max_net_exposure=D("0.40"))),
     (entry(), PICTURE, limits(max_net_exposure=D("0.399999"))), "long alone, net is gross"),
    ("max_open_positions", (entry(), PICTURE, limits(max_open_positions=2)),
     (entry(symbol="MSFT", reference_price=D(30)), PICTURE, limits(max_open_positions=2)), "a third symbol"),
    ("cash", (entry(), seen(cash=D("21276.60"))), (entry(), seen(cash=D("21276.59"))), "20 000 is 94 % of it"),
    ("cash", (entry(), replace(working(entry(symbol="MSFT", reference_price=D(30))), cash=D("22872.35"))),
     (entry(), replace(working(entry(symbol="MSFT", reference_price=D(30))), cash=D("22872.34"))), "1 500 is promised"),
    ("settled_cash", (entry(), replace(sold(1), cash=D("22276.60")), CASH_ACCOUNT),
     (entry(), replace(sold(1), cash=D("22276.59")), CASH_ACCOUNT), "1 000 come tomorrow and the day after"),
    ("settled_cash", (entry(), replace(sold(1, session=dt.date(2011, 12, 29)), cash=D("21276.60")), CASH_ACCOUNT),
     (entry(), replace(sold(1, session=dt.date(2011, 12, 30)), cash=D("21276.60")), CASH_ACCOUNT), "T+3 in 2012"),
    ("settled_cash", (entry(), PICTURE, CASH_ACCOUNT), (entry(), seen(record=None), CASH_ACCOUNT), "not known"),
    ("max_orders_per_minute", (entry(), done(attempts=59)), (entry(), done(attempts=60)), "each try counts"),
    ("max_orders_per_minute", (entry(), replace(done(attempts=58), passed=(leave(symbol="IBM"),))),
     (entry(), replace(done(attempts=59), passed=(leave(symbol="IBM"),))), "those on their way, too"),
    ("max_orders_per_session", (entry(), seen(passed=(leave(symbol="IBM"),)), limits(max_orders_per_session=2)),
     (entry(), seen(passed=(leave(symbol="IBM"),)), limits(max_orders_per_session=1)), "the second one"),
    ("max_orders_per_session", (entry(), done(orders=49)), (entry(), done(orders=50)), "decided before"),
    ("max_realized_loss", (entry(), sold(-5050)), (entry(), sold(-5051)), "5 % of 101 000"),
    ("max_realized_loss", (entry(), sold(-9999, session=dt.date(2011, 12, 30))), (entry(), sold(-9999)), "long ago"),
    ("max_daily_loss", (entry(), seen(previous_equity=D("105263.15"))),
     (entry(), seen(previous_equity=D("105263.17"))), "5 % of 105 263.16"),
    ("max_drawdown", (entry(), seen(peak=D("153846.15"))), (entry(), seen(peak=D("153846.16"))), "35 % of the peak"),
    ("losing_streak", (entry(), sold(*[-1] * 9)), (entry(), sold(*[-1] * 10)), "ten in a row"),
    ("losing_streak", (entry(), sold(*[-1] * 9, 0, -1)), (entry(), sold(*[-1] * 9, -1, 0)), "a gain in between"),
    ("losing_streak", (entry(), sold(*[-1] * 10, session=dt.date(2011, 12, 23))),
     (entry(), sold(*[-1] * 10, session=WEEK)), "the pause is five sessions"),
    ("cooldown", (entry(), sold(-1, session=WEEK), limits(cooldown=4)),
     (entry(), sold(-1, session=WEEK), limits(cooldown=5)), "five sessions ago"),
    ("cooldown", (entry(), sold(-1, symbol="IBM"), limits(cooldown=5)),
     (entry(), sold(-1), limits(cooldown=5)), "another symbol's loss"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "good", "bad", "why"), CASES, ids=[f"{case[0]}: {case[3]}" for case in CASES])
def test_a_rule_lets_one_order_pass_and_refuses_another(
    rule: str, good: tuple[Any, ...], bad: tuple[Any, ...], why: str
) -> None:
    assert failed(*good) == []
    assert rule in failed(*bad)


def test_the_table_above_has_a_case_for_every_rule() -> None:
    assert {case[0] for case in CASES} == {rule.name for rule in RULES}


DESPERATE = seen(
    equity=D(1), cash=D(-5), peak=D(10**9), previous_equity=D(10**9), latches=("halt", "entries"),
    unknown=frozenset({"AAPL"}), blocked=frozenset({"AAPL"}),
    passed=tuple(leave(symbol="IBM", leg=n) for n in range(60)),
    compared=None, universe=frozenset(), live=Live(NOON, newest=NOON + dt.timedelta(days=1)),
    record=Record(attempts=999, orders=999, sales=tuple(sale(-999, order=f"o{n}") for n in range(99)),
                  quarantined={"AAPL": 5}, splitting=frozenset({"AAPL"})),
)  # fmt: skip
TIGHT = limits(
    max_order_notional=D(1), max_order_shares=1, max_position_weight=D("0.01"), max_gross_exposure=D("0.01"),
    max_net_exposure=D("0.01"), max_open_positions=1, max_orders_per_session=1, max_orders_per_minute=1,
    max_daily_loss=D("0.01"), max_drawdown=D("0.01"), max_realized_loss=D("0.0000001"), max_losses_in_a_row=1,
    cooldown=250, cash_account=True, deny=("AAPL",),
)  # fmt: skip


def test_an_exit_passes_every_limit_on_loss_exposure_and_rate() -> None:
    assert failed(leave(), DESPERATE, TIGHT) == []
    assert failed(leave(), replace(DESPERATE, record=None), TIGHT) == []
    kept_in = {rule.name for rule in RULES if rule.scope == "entries"} - {"long_only", "self_cross", "auction"}
    assert set(failed(entry(), DESPERATE, TIGHT)) == kept_in


def test_what_is_not_known_of_the_account_stops_entries_and_no_exit() -> None:
    blind = seen(record=None)
    checks = {check.rule: check for check in gate(entry(), blind, CASH_ACCOUNT) if not check.ok}
    assert set(checks) == {
        "data_quality", "split_pending", "settled_cash", "max_orders_per_minute", "max_orders_per_session",
        "max_realized_loss", "losing_streak", "cooldown",
    }  # fmt: skip
    assert {check.observed for check in checks.values()} == {"not known"}
    assert failed(leave(), blind) == []


def test_on_daily_bars_rules_on_quotes_and_the_time_of_day_say_so() -> None:
    quiet = {check.rule for check in gate(entry(), PICTURE, LIMITS) if check.observed == "n/a: daily bars"}
    assert quiet == {"clock_skew", "clock_back", "quote_age", "spread", "auction"}


@pytest.mark.parametrize(
    ("order", "picture", "rule"),
    [
        pytest.param(leave(quantity=D(0)), PICTURE, "quantity", id="quantity"),
        pytest.param(leave(reference_price=D(-1)), PICTURE, "reference_price", id="price"),
        pytest.param(leave(), seen(bar_age={"AAPL": 9}), "bar_age", id="stale"),
        pytest.param(leave(), seen(prices={}), "symbol_unknown", id="unknown"),
        pytest.param(leave(), seen(passed=(leave(quantity=D(1)),)), "duplicate", id="twice"),
        pytest.param(aim("400.001"), PICTURE, "tick", id="off the tick"),
        pytest.param(leave(limit_price=D(400)), PICTURE, "order_prices", id="a price too many"),
        pytest.param(stop("401"), PICTURE, "stop_side", id="a stop through the market"),
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
    assert [check.rule for check in gate(entry(quantity=D("NaN")), PICTURE, LIMITS)] == ["symbol_unknown", "quantity"]


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "1e40", "-1e12"])
def test_a_refusal_of_a_number_that_no_book_can_hold_can_be_stored(wrong: str) -> None:
    order = entry(quantity=D(wrong))
    refused = refusal(order, gate(order, PICTURE, LIMITS)[-1], {})
    assert (refused.rule, refused.quantity, refused.observed) == ("quantity", 0, str(D(wrong)))


def test_every_limit_is_a_setting_and_every_setting_is_a_rules_or_the_sizings() -> None:
    named = [name for rule in RULES for name in rule.settings]
    assert len(set(named)) == len(named)
    assert set(RiskSection.model_fields) - set(named) == {"min_order_notional", "rebalance_band"}


def test_reason_codes_are_stable_words() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and name.islower() for name in names)


def test_a_pair_and_a_chain_of_replacements_promise_their_shares_once() -> None:
    first = aim("410", oco="p", quantity=D(20))
    pair = (first, stop("390", oco="p", leg=1, quantity=D(20)))
    assert working(*pair).sellable("momentum", "AAPL") == D(10)
    moved = aim("409", oco="p", leg=2, quantity=D(15), replaces=first.ref_id)
    assert working(*pair, moved).sellable("momentum", "AAPL") == D(10)
    alone = leave(leg=3, quantity=D(5))
    again = leave(leg=4, quantity=D(5), replaces=alone.ref_id)
    assert working(*pair, alone, again).sellable("momentum", "AAPL") == D(5)


def test_an_order_that_filled_in_two_sessions_is_one_close() -> None:
    two = (sale(-50, order="a"), sale(+80, order="a", session=WEEK), sale(-1, order="b", session=WEEK))
    record = Record(sales=two)
    assert (record.losses(), record.last_loss(), record.realized(WEEK), record.realized(BEFORE)) == (0, WEEK, 29, -50)


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
