"""No set of orders that passes the gate can break a limit, whatever was asked for and in which order.

The account after the session is counted again here, from the orders that passed and nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.config import RiskSection
from quaestor.operations.decide import judge
from quaestor.orders import Intent, Side
from quaestor.ports import Run, StoredSignal
from quaestor.risk import Picture
from quaestor.sizing import Wanted

D = Decimal
SESSION = dt.date(2012, 1, 4)
BAR_END = dt.datetime(2012, 1, 3, 21, tzinfo=dt.UTC)
STRATEGIES, SYMBOLS = ("momentum", "rsi_reversion", "sma_crossover"), ("AAPL", "IBM")
SLEEVES = [(strategy, symbol) for strategy in STRATEGIES for symbol in SYMBOLS]

EQUITY = D(100_000)


def dollars(low: int, high: int) -> st.SearchStrategy[Decimal]:
    return st.integers(low * 100, high * 100).map(lambda cents: D(cents) / 100)


def share(low: float, high: float) -> st.SearchStrategy[Decimal]:
    return st.integers(int(low * 10**6), int(high * 10**6)).map(lambda millionths: D(millionths) / 10**6)


def mostly(usual: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nineteen times out of twenty the usual: a market in which much passes, and then something does not."""
    return st.integers(0, 19).flatmap(lambda n: rare if n == 19 else usual)


odd = st.sampled_from([D(0), D(-5), D("0.5"), D("1e-7"), D("NaN"), D("Infinity"), D("-Infinity")])
limits = st.builds(
    RiskSection,
    max_order_notional=dollars(5_000, 30_000),
    max_position_weight=share(0.2, 0.8),
    max_gross_exposure=share(0.2, 0.7),
    max_orders_per_session=st.integers(1, 8),
    cash_buffer=share(0, 0.3),
    max_daily_loss=share(0.02, 0.05),
    max_drawdown=share(0.2, 0.3),
)
few = st.sampled_from([frozenset(), frozenset(), frozenset(), frozenset({"IBM"})])
holdings = st.dictionaries(st.sampled_from(SLEEVES), mostly(st.integers(1, 60).map(D), share(0.1, 60)))
pictures = st.builds(
    Picture,
    session=st.just(SESSION),
    equity=mostly(st.just(EQUITY), dollars(-10, 200_000)),
    cash=mostly(dollars(30_000, 100_000), dollars(-10, 1)),
    peak=st.one_of(st.just(EQUITY), dollars(100_000, 150_000)),
    previous_equity=st.one_of(st.just(EQUITY), dollars(99_000, 106_000)),
    shares=holdings,
    prices=st.fixed_dictionaries(dict.fromkeys(SYMBOLS, dollars(50, 500))),
    bar_age=st.sampled_from([*[{"AAPL": 1, "IBM": 1}] * 4, {"AAPL": 1, "IBM": 2}, {"AAPL": 1}]),
    trading=mostly(st.just(SESSION), st.sampled_from([None, SESSION + dt.timedelta(days=1)])),
    halted=few,
    blocked=few,
    latches=st.sampled_from([(), (), (), (), ("entries",)]),
    unknown=few,
    unknown_exits=few,
    selling=mostly(st.just({}), holdings),
)
entries = st.tuples(st.just(Side.BUY), st.just(False), st.integers(1, 60).map(D))
exits = st.tuples(st.just(Side.SELL), st.just(True), mostly(st.integers(1, 30).map(D), share(0.1, 60)))
strange = st.tuples(st.sampled_from(Side), st.booleans(), st.one_of(odd, st.integers(1, 60).map(D)))


@st.composite
def asked(draw: st.DrawFn) -> Wanted:
    strategy, symbol = draw(st.sampled_from(SLEEVES))
    side, reduces, quantity = draw(st.one_of(entries, entries, exits, exits, strange))
    signal = StoredSignal(strategy, "d", "v", {}, symbol, BAR_END.date(), BAR_END, 0.5, 1, {"close": 50.0}, None)
    intent = Intent(
        account="main",
        strategy=strategy,
        symbol=symbol,
        session=SESSION,
        cause_key=f"{symbol}|1d",
        side=side,
        quantity=quantity,
        reference_price=draw(mostly(share(0.85, 1.15), odd)),  # of the last price: `priced` makes dollars of it
        reduces=reduces,
    )
    return Wanted(intent, signal, D(0), D(0), D(0))


def priced(wanted: Sequence[Wanted], picture: Picture) -> list[Wanted]:
    def at(intent: Intent) -> Intent:
        return replace(intent, reference_price=intent.reference_price * picture.prices[intent.symbol])

    return [replace(want, intent=at(want.intent)) for want in wanted]


@settings(deadline=None, max_examples=3 * settings().max_examples)
@given(st.lists(asked(), min_size=6, max_size=12), pictures, limits)
def test_no_accepted_set_of_orders_breaks_a_limit(
    wanted: Sequence[Wanted], picture: Picture, risk: RiskSection
) -> None:
    intents, refusals = judge(priced(wanted, picture), picture, risk, picture.equity, Run())
    assert len(intents) + len(refusals) == len(wanted), "every order is sent or refused"
    buys = [i for i in intents if not i.reduces]
    sells = [i for i in intents if i.reduces]
    assert all(i.side is Side.BUY for i in buys)
    assert all(i.side is Side.SELL for i in sells)
    within_limits(buys, picture, risk)
    never_through_zero(sells, picture)
    for intent in intents:
        assert picture.bar_age[intent.symbol] <= risk.max_bar_age
        assert intent.quantity > 0 < intent.reference_price
        away = abs(Fraction(intent.reference_price) / Fraction(picture.prices[intent.symbol]) - 1)
        assert away <= (risk.price_band_exits if intent.reduces else risk.price_band)
        assert intent.symbol not in picture.halted
        assert intent.session == picture.trading
    assert len({(i.strategy, i.symbol, i.side) for i in intents}) == len(intents)


def within_limits(buys: Sequence[Intent], picture: Picture, risk: RiskSection) -> None:
    if not buys:
        return
    assert not picture.latches
    assert not (picture.unknown | picture.blocked) & {i.symbol for i in buys}
    assert len(buys) <= risk.max_orders_per_session
    equity = Fraction(picture.equity)
    value = {name: Fraction(price) for name, price in picture.prices.items()}
    held = {
        name: sum(Fraction(count) * value[name] for (_, symbol), count in picture.shares.items() if symbol == name)
        for name in SYMBOLS
    }
    bought = {name: sum(Fraction(i.notional) for i in buys if i.symbol == name) for name in SYMBOLS}
    for symbol in {i.symbol for i in buys}:
        assert held[symbol] + bought[symbol] <= Fraction(risk.max_position_weight) * equity
    spent = sum(bought.values())
    assert sum(held.values()) + spent <= Fraction(risk.max_gross_exposure) * equity
    assert spent <= Fraction(picture.cash) * (1 - Fraction(risk.cash_buffer))
    assert all(i.notional <= risk.max_order_notional for i in buys)
    previous, peak = Fraction(picture.previous_equity), Fraction(picture.peak)
    assert previous - equity <= Fraction(risk.max_daily_loss) * previous
    assert peak - equity <= Fraction(risk.max_drawdown) * peak


def never_through_zero(sells: Sequence[Intent], picture: Picture) -> None:
    assert not picture.unknown_exits & {i.symbol for i in sells}
    for strategy, symbol in SLEEVES:
        sold = sum((i.quantity for i in sells if (i.strategy, i.symbol) == (strategy, symbol)), D(0))
        working = picture.selling.get((strategy, symbol), D(0))
        assert not sold or sold + working <= picture.shares.get((strategy, symbol), D(0))


@settings(deadline=None)
@given(st.lists(asked(), max_size=8), pictures, limits)
def test_an_order_is_refused_by_a_rule_that_it_really_fails(
    wanted: Sequence[Wanted], picture: Picture, risk: RiskSection
) -> None:
    _, refusals = judge(priced(wanted, picture), picture, risk, picture.equity, Run())
    for refusal in refusals:
        failing = [check for check in refusal.provenance["checks"] if not check["ok"]]
        assert failing[0]["rule"] == refusal.rule
        assert (failing[0]["limit"], failing[0]["observed"]) == (refusal.limit, refusal.observed)


@settings(deadline=None)
@given(pictures, limits, st.sampled_from(SLEEVES))
def test_all_that_is_held_can_always_be_sold_unless_sanity_forbids(
    picture: Picture, risk: RiskSection, sleeve: tuple[str, str]
) -> None:
    strategy, symbol = sleeve
    free = picture.sellable(strategy, symbol)
    fresh = symbol in picture.bar_age and picture.bar_age[symbol] <= risk.max_bar_age
    sane = fresh and symbol not in picture.halted and picture.trading == SESSION
    signal = StoredSignal(strategy, "d", "v", {}, symbol, BAR_END.date(), BAR_END, 0.0, 1, {"close": 50.0}, None)
    intent = Intent("main", strategy, symbol, SESSION, "k", Side.SELL, free, picture.prices[symbol], reduces=True)
    intents, _ = judge([Wanted(intent, signal, D(0), free, D(0))], picture, risk, picture.equity, Run())
    assert bool(intents) == (free > 0 and sane and symbol not in picture.unknown_exits)
