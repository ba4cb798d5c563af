"""No set of orders that passes the gate can break a limit, whatever was asked for and in which order.

The account after the session is counted again here, from the orders that passed and nothing else.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from quaestor.config import RiskSection
from quaestor.judging import judge, of_target
from quaestor.orders import Intent, OrderType, Side
from quaestor.ports import Run, StoredSignal
from quaestor.risk import RULES, Live, Picture, Quote, Record, Refusal, Sale, Working, gate
from quaestor.sizing import Wanted

D = Decimal
SESSION, BEFORE = dt.date(2012, 1, 4), dt.date(2012, 1, 3)
NOON = dt.datetime(2012, 1, 4, 17, tzinfo=dt.UTC)
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
    max_order_shares=st.integers(30, 60),
    max_net_exposure=share(0.2, 0.7),
    max_open_positions=st.integers(1, 3),
    max_orders_per_minute=st.integers(2, 9),
    cash_account=st.booleans(),
    max_spread=share(0.001, 0.02),
    max_quote_age=st.integers(1, 20),
    max_realized_loss=share(0.02, 0.05),
    max_losses_in_a_row=st.integers(1, 3),
    losing_pause=st.integers(0, 3),
    cooldown=st.integers(0, 3),
    max_quarantined=st.integers(0, 1),
    deny=mostly(st.just(()), st.just(("IBM",))),
    max_position_weight=share(0.2, 0.8),
    max_gross_exposure=share(0.2, 0.7),
    max_orders_per_session=st.integers(1, 8),
    cash_buffer=share(0, 0.3),
    max_daily_loss=share(0.02, 0.05),
    max_drawdown=share(0.2, 0.3),
)
few = st.sampled_from([frozenset(), frozenset(), frozenset(), frozenset({"IBM"})])
holdings = st.dictionaries(st.sampled_from(SLEEVES), mostly(st.integers(1, 60).map(D), share(0.1, 60)))
sales = st.builds(
    Sale,
    order=st.sampled_from("abcdef"),
    symbol=st.sampled_from(SYMBOLS),
    session=st.sampled_from([BEFORE, dt.date(2011, 12, 30), dt.date(2011, 12, 23)]),
    at=st.just(BAR_END),
    proceeds=dollars(1, 20_000),
    realized=dollars(-3_000, 3_000),
)
records = st.builds(
    Record,
    attempts=st.integers(0, 3),
    orders=st.integers(0, 3),
    sales=mostly(st.just(()), st.lists(sales, max_size=4).map(lambda all_: tuple(sorted(all_, key=newest_first)))),
    quarantined=mostly(st.just({}), st.just({"IBM": 1})),
    splitting=mostly(st.just(frozenset()), st.just(frozenset({"AAPL"}))),
)


def newest_first(sale: Sale) -> int:
    return -sale.session.toordinal()


moments = st.builds(  # a market that is quoted, at times badly
    Live,
    now=mostly(st.just(NOON), st.sampled_from([NOON.replace(hour=14, minute=29), NOON.replace(hour=20, minute=55)])),
    quotes=mostly(st.just(None), st.just({})),
    skew=mostly(st.just(D(0)), st.sampled_from([None, D(9)])),
    newest=mostly(st.just(BAR_END), st.just(NOON + dt.timedelta(hours=5))),
)


def intent_of(strategy: str, symbol: str, side: Side, quantity: Decimal, price: Decimal, **more: Any) -> Intent:
    reduces = side is Side.SELL
    return Intent("main", strategy, symbol, SESSION, "old", side, quantity, price, reduces=reduces, **more)


@st.composite
def open_orders(draw: st.DrawFn) -> tuple[Working, ...]:
    """Orders of earlier decisions: exits alone or in pairs, at times a purchase."""
    found: list[Working] = []
    for leg, (strategy, symbol) in enumerate(draw(mostly(st.just([]), st.lists(st.sampled_from(SLEEVES), max_size=3)))):
        side = draw(st.sampled_from([Side.SELL, Side.SELL, Side.BUY]))
        oco = draw(st.sampled_from(["", "pair"])) if side is Side.SELL else ""
        left = draw(st.integers(1, 30).map(D))
        found += [
            Working(intent_of(strategy, symbol, side, left, D(100), oco=oco, leg=10 * leg + n), left)
            for n in range(2 if oco else 1)
        ]
    return tuple(found)


@st.composite
def pictures_(draw: st.DrawFn) -> Picture:
    prices = draw(st.fixed_dictionaries(dict.fromkeys(SYMBOLS, dollars(50, 500))))
    moment = draw(st.one_of(st.none(), moments))
    if moment is not None and moment.quotes is None:
        half = draw(share(0.0001, 0.01))
        quotes = {name: Quote(price * (1 - half), price * (1 + half), moment.now) for name, price in prices.items()}
        moment = replace(moment, quotes=quotes)
    return Picture(
        session=SESSION,
        equity=draw(mostly(st.just(EQUITY), dollars(-10, 200_000))),
        cash=draw(mostly(dollars(30_000, 100_000), dollars(-10, 1))),
        peak=draw(st.one_of(st.just(EQUITY), dollars(100_000, 150_000))),
        previous_equity=draw(st.one_of(st.just(EQUITY), dollars(99_000, 106_000))),
        shares=draw(holdings),
        prices=prices,
        bar_age=draw(st.sampled_from([*[{"AAPL": 1, "IBM": 1}] * 4, {"AAPL": 1, "IBM": 2}, {"AAPL": 1}])),
        trading=draw(mostly(st.just(SESSION), st.sampled_from([None, SESSION + dt.timedelta(days=1)]))),
        halted=draw(few),
        blocked=draw(few),
        latches=draw(mostly(st.just(()), st.just(("entries",)))),
        unknown=draw(few),
        unknown_exits=draw(few),
        settled=BEFORE,
        compared=draw(mostly(st.just(BEFORE), st.none())),
        universe=draw(mostly(st.none(), st.just(frozenset({"IBM"})))),
        record=draw(mostly(records, st.none())),
        live=moment,
        working=draw(open_orders()),
    )


pictures = pictures_()
entries = st.tuples(st.just(Side.BUY), st.just(False), st.integers(1, 60).map(D))
exits = st.tuples(st.just(Side.SELL), st.just(True), mostly(st.integers(1, 30).map(D), share(0.1, 60)))
strange = st.tuples(st.sampled_from(Side), st.booleans(), st.one_of(odd, st.integers(1, 60).map(D)))


near = st.sampled_from([D("0.4"), D("0.92"), D("0.995"), D("1.005"), D("1.08"), D(0), D("NaN")])
typed = st.fixed_dictionaries(  # types and prices that fit together, or do not; of the last price
    {"order_type": st.sampled_from(OrderType)},
    optional={"limit_price": near, "stop_price": near},
)


def judged(wanted: list[Wanted], picture: Picture, risk: RiskSection) -> tuple[list[Intent], list[Refusal]]:
    return judge([of_target(want, picture.equity) for want in wanted], picture, risk, Run())


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
        leg=draw(st.integers(0, 3)),
        oco=draw(mostly(st.just(""), st.just("pair"))) if side is Side.SELL else "",
        **draw(mostly(st.just({}), typed)),
    )
    return Wanted(intent, signal, D(0), D(0), D(0))


def priced(wanted: Sequence[Wanted], picture: Picture) -> list[Wanted]:
    def at(intent: Intent) -> Intent:
        last = picture.prices[intent.symbol]

        def of_last(part: Decimal | None) -> Decimal | None:
            return None if part is None else (part * last).quantize(D("0.01")) if part.is_finite() else part

        limit, stop = of_last(intent.limit_price), of_last(intent.stop_price)
        return replace(intent, reference_price=intent.reference_price * last, limit_price=limit, stop_price=stop)

    return [replace(want, intent=at(want.intent)) for want in wanted]


@settings(deadline=None, max_examples=3 * settings().max_examples)
@given(st.lists(asked(), min_size=6, max_size=12), pictures, limits)
def test_no_accepted_set_of_orders_breaks_a_limit(
    wanted: Sequence[Wanted], picture: Picture, risk: RiskSection
) -> None:
    intents, refusals = judged(priced(wanted, picture), picture, risk)
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
        last = Fraction(picture.last(intent.symbol) or 0)
        assert abs(Fraction(intent.reference_price) / last - 1) <= (
            risk.price_band_exits if intent.reduces else risk.price_band
        )
        assert intent.order_type.limits == (intent.limit_price is not None)
        assert intent.order_type.stops == (intent.stop_price is not None)
        assert intent.symbol not in picture.halted
        assert intent.session == picture.trading
    single = [(i.strategy, i.symbol, i.side) for i in intents if not i.oco]
    assert len(set(single)) == len(single), "one order of a kind, but for pairs"


def within_limits(buys: Sequence[Intent], picture: Picture, risk: RiskSection) -> None:
    if not buys:
        return
    record, symbols = picture.record, {i.symbol for i in buys}
    assert record is not None, "no entry without a record"
    assert not picture.latches
    assert picture.compared == BEFORE
    assert not (picture.unknown | picture.blocked | record.splitting | set(risk.deny)) & symbols
    assert picture.universe is None or symbols <= picture.universe
    assert all(record.quarantined.get(symbol, 0) <= risk.max_quarantined for symbol in symbols)
    assert record.orders + len(buys) <= risk.max_orders_per_session
    assert record.attempts + len(buys) <= risk.max_orders_per_minute
    equity = Fraction(picture.equity)
    value = {name: Fraction(price) for name, price in picture.prices.items()}
    held = {
        name: sum(Fraction(count) * value[name] for (_, symbol), count in picture.shares.items() if symbol == name)
        for name in SYMBOLS
    }
    waiting = [w for w in picture.working if w.intent.side is Side.BUY]
    promised = sum(Fraction(w.left) * Fraction(w.intent.reference_price) for w in waiting)
    bought = {
        name: sum(Fraction(i.notional) for i in buys if i.symbol == name)
        + sum(Fraction(w.left) * Fraction(w.intent.reference_price) for w in waiting if w.intent.symbol == name)
        for name in SYMBOLS
    }
    for symbol in symbols:
        assert held[symbol] + bought[symbol] <= Fraction(risk.max_position_weight) * equity
    spent = sum(bought.values())
    assert sum(held.values()) + spent <= Fraction(min(risk.max_gross_exposure, risk.max_net_exposure)) * equity
    assert len(symbols | {name for name in SYMBOLS if held[name]}) <= risk.max_open_positions
    unsettled = sum(Fraction(s.proceeds) for s in record.sales if s.session > dt.date(2011, 12, 29))  # T+3
    cash = Fraction(picture.cash) - (unsettled if risk.cash_account else 0)
    assert spent <= cash * (1 - Fraction(risk.cash_buffer))
    assert all(i.notional <= risk.max_order_notional and i.quantity <= risk.max_order_shares for i in buys)
    previous, peak = Fraction(picture.previous_equity), Fraction(picture.peak)
    assert previous - equity <= Fraction(risk.max_daily_loss) * previous
    assert peak - equity <= Fraction(risk.max_drawdown) * peak
    assert promised >= 0
    lost_now = -sum(Fraction(s.realized) for s in record.sales if s.session >= BEFORE)
    assert lost_now <= Fraction(risk.max_realized_loss) * previous
    moment_is_good(symbols, picture, risk)


def moment_is_good(symbols: set[str], picture: Picture, risk: RiskSection) -> None:
    if picture.live is None:
        return
    assert picture.live.now == NOON, "neither an auction nor a clock behind the books"
    assert picture.live.skew == 0
    for symbol in symbols:
        quote = picture.live.quotes[symbol]
        assert Fraction(quote.ask) - Fraction(quote.bid) <= Fraction(risk.max_spread) * Fraction(quote.mid)


def never_through_zero(sells: Sequence[Intent], picture: Picture) -> None:
    """Whatever fills: at most one order of each pair does, and all others may."""
    assert not picture.unknown_exits & {i.symbol for i in sells}
    for strategy, symbol in SLEEVES:
        mine = [i for i in sells if (i.strategy, i.symbol) == (strategy, symbol)]
        rest = [(w.intent, w.left) for w in picture.working if w.intent.reduces]
        rest = [(i, left) for i, left in rest if (i.strategy, i.symbol) == (strategy, symbol)]
        worst: dict[str, Decimal] = {}
        for number, (i, left) in enumerate([*rest, *((i, i.quantity) for i in mine)]):
            name = i.oco or str(number)
            worst[name] = max(worst.get(name, D(0)), left)
        assert not mine or sum(worst.values()) <= picture.shares.get((strategy, symbol), D(0))


@settings(deadline=None)
@given(st.lists(asked(), max_size=8), pictures, limits)
def test_an_order_is_refused_by_a_rule_that_it_really_fails(
    wanted: Sequence[Wanted], picture: Picture, risk: RiskSection
) -> None:
    _, refusals = judged(priced(wanted, picture), picture, risk)
    for refusal in refusals:
        failing = [check for check in refusal.provenance["checks"] if not check["ok"]]
        assert failing[0]["rule"] == refusal.rule
        assert (failing[0]["limit"], failing[0]["observed"]) == (refusal.limit, refusal.observed)


@settings(deadline=None)
@given(pictures, limits, st.sampled_from(SLEEVES))
def test_all_that_is_held_can_always_be_sold_unless_sanity_forbids(
    picture: Picture, risk: RiskSection, sleeve: tuple[str, str]
) -> None:
    """No limit on loss, exposure or rate keeps an exit in."""
    strategy, symbol = sleeve
    free = picture.sellable(strategy, symbol)
    fresh = symbol in picture.bar_age and picture.bar_age[symbol] <= risk.max_bar_age
    sane = fresh and symbol not in picture.halted and picture.trading == SESSION
    signal = StoredSignal(strategy, "d", "v", {}, symbol, BAR_END.date(), BAR_END, 0.0, 1, {"close": 50.0}, None)
    intent = Intent("main", strategy, symbol, SESSION, "k", Side.SELL, free, picture.prices[symbol], reduces=True)
    intents, _ = judged([Wanted(intent, signal, D(0), free, D(0))], picture, risk)
    assert bool(intents) == (free > 0 and sane and symbol not in picture.unknown_exits)


@settings(deadline=None)
@given(st.lists(asked(), max_size=8), pictures, limits)
def test_what_is_refused_changes_nothing(wanted: Sequence[Wanted], picture: Picture, risk: RiskSection) -> None:
    orders, before = priced(wanted, picture), deepcopy(picture)
    intents, _ = judged(orders, picture, risk)
    assert picture == before
    passed = {id(want) for want in orders if any(want.intent == intent for intent in intents)}
    alone, _ = judged([want for want in orders if id(want) in passed], picture, risk)
    assert alone == intents, "the others might as well never have asked"


TIGHTER = {  # one setting at its strictest, or nearly
    "max_order_notional": D("0.01"), "max_order_shares": 1, "max_position_weight": D("0.0001"),
    "max_gross_exposure": D("0.0001"), "max_net_exposure": D("0.0001"), "max_open_positions": 1,
    "max_orders_per_minute": 1, "max_orders_per_session": 1, "cash_buffer": D("0.99"), "cash_account": True,
    "price_band": D("0.0001"), "price_band_exits": D("0.0001"), "max_spread": D("0.000001"),
    "max_quote_age": D("0.001"), "max_clock_skew": D("0.001"), "quiet_open": 60, "quiet_close": 120,
    "duplicate_window": 10**6, "max_realized_loss": D("0.000001"), "max_daily_loss": D("0.000001"),
    "max_drawdown": D("0.000001"), "max_losses_in_a_row": 1, "losing_pause": 250, "cooldown": 250,
    "max_quarantined": 0, "max_reconcile_age": 1, "max_bar_age": 1, "allow": ("MSFT",), "deny": ("AAPL", "IBM"),
}  # fmt: skip


def test_each_limit_is_tightened_below() -> None:
    assert {name for rule in RULES for name in rule.settings} - set(TIGHTER) == {"quality_window"}, "the door's"


@settings(deadline=None)
@given(asked(), pictures, limits, st.sampled_from(sorted(TIGHTER)))
def test_a_tighter_limit_never_lets_more_pass(want: Wanted, picture: Picture, risk: RiskSection, name: str) -> None:
    (order,) = priced([want], picture)
    tight = risk.model_copy(update={name: TIGHTER[name]})
    loose_fails = {check.rule for check in gate(order.intent, picture, risk) if not check.ok}
    tight_fails = {check.rule for check in gate(order.intent, picture, tight) if not check.ok}
    assert bool(tight_fails) >= bool(loose_fails)
