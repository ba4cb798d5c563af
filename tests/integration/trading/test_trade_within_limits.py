"""The risk gate in a replay: what its rules see comes out of the books, and every refusal is on record."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from quaestor.calendar import session_close, settles
from quaestor.doors.postgres.activity import ActivityStore
from quaestor.risk import RULES

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk

D = Decimal
DAY = dt.date
START, END = DAY(2012, 1, 3), DAY(2012, 2, 29)


def within(desk: Desk, **limits: Any) -> Desk:
    """The same desk with other limits."""
    mandate = desk.plan.mandate
    changed = mandate.limits.model_copy(update=limits)
    desk.plan = replace(desk.plan, mandate=replace(mandate, limits=changed))
    return desk


def refused(desk: Desk, rule: str) -> list[tuple[Any, ...]]:
    return desk.fetch(f"select session, symbol, side, limit_value, observed from refusal where rule = '{rule}'")


async def test_every_order_carries_the_verdict_of_every_rule_that_judges_it(desk: Desk) -> None:
    await desk.trade(START, DAY(2012, 1, 31))
    for reduces, why in desk.fetch("select reduces, provenance from intent"):
        kind = "exits" if reduces else "entries"
        assert [check["rule"] for check in why["checks"]] == [r.name for r in RULES if r.scope in {"all", kind}]


async def test_the_record_is_what_the_books_hold(desk: Desk) -> None:
    await desk.trade(START, END)
    record = await ActivityStore(desk.database, "paper").record(END, desk.plan.mandate.symbols, 5)
    gains = "select -sum(amount) from posting where ledger_account = 'realized'"
    assert [(record.realized(DAY.min),)] == desk.fetch(gains)
    cash = "select sum(quantity * price - fee), count(*) from fill where side = 'sell'"
    assert [(sum(sale.proceeds for sale in record.sales), len(record.sales))] == desk.fetch(cash)
    assert [sale.at for sale in record.sales] == sorted((sale.at for sale in record.sales), reverse=True)
    sent = f"select count(*) from intent where session = '{END}'"
    assert [(record.orders,)] == [(record.attempts,)] == desk.fetch(sent)
    live = await ActivityStore(desk.database, "paper").record(END, (), 5, live=True)
    assert live.attempts > record.attempts, "the replay sent the orders of many sessions within this minute"
    assert (record.quarantined, record.splitting) == ({}, frozenset())
    newest = max(sale.session for sale in record.sales)
    assert record.unsettled(newest) > 0
    assert record.unsettled(settles(newest)) == 0
    stranger = await ActivityStore(desk.database, "another").record(END, desk.plan.mandate.symbols, 5)
    assert (stranger.orders, stranger.attempts, stranger.sales) == (0, 0, ())


async def test_after_a_losing_close_the_symbol_cools_down(desk: Desk) -> None:
    await within(desk, cooldown=10).trade(START, END)
    cooled = refused(desk, "cooldown")
    assert cooled
    for session, symbol, side, _, observed in cooled:
        lost = f"""select max(f.session) from fill f join entry e on e.key = 'fill:' || f.execution_id
                   join posting p on p.entry_id = e.id and p.ledger_account = 'realized' and p.amount > 0
                   where f.symbol = '{symbol}' and f.session < '{session}'"""
        ((last,),) = desk.fetch(lost)
        away = desk.fetch(f"select count(*) from equity where session >= '{last}' and session < '{session}'")
        assert (side, away) == ("buy", [(int(observed),)])
        assert int(observed) <= 10


async def test_losses_in_a_row_stop_entries_for_a_while_and_no_exit(desk: Desk) -> None:
    await within(desk, max_losses_in_a_row=1, losing_pause=3).trade(START, END)
    stopped = refused(desk, "losing_streak")
    assert {side for _, _, side, _, _ in stopped} == {"buy"}
    assert desk.fetch("select count(*) from intent where side = 'sell'")[0][0] > 0
    last = max(session for session, *_ in stopped)
    assert desk.fetch(f"select count(*) from intent where side = 'buy' and session > '{last}'")[0][0] > 0


async def test_a_cash_account_waits_for_its_money(desk: Desk) -> None:
    await within(desk, cash_account=True, cash_buffer=D("0.8")).trade(START, DAY(2012, 3, 30))
    waiting = refused(desk, "settled_cash")
    assert waiting
    assert {side for _, _, side, _, _ in waiting} == {"buy"}
    assert all(D(limit) < D(observed) for _, _, _, limit, observed in waiting)


async def test_a_bar_in_quarantine_keeps_its_symbol_out(held: Desk) -> None:
    bad, apple, ibm = DAY(2011, 12, 29), "AAPL", "IBM"  # two sessions before START; IBM's good bar is stored as well
    held.execute(
        "delete from bar_1d where session = %s and instrument = (select id from instrument where symbol = %s)",
        bad,
        apple,
    )
    for symbol in (apple, ibm):
        held.execute(
            """insert into quarantine (digest, symbol, timeframe, session, ts, rule, field, observed, limit_value,
                                       source, "row") values (%s, %s, '1d', %s, %s, 'r', 'f', 'o', 'l', 's', '{}')""",
            symbol.encode(), symbol, bad, session_close(bad),
        )  # fmt: skip
    store = ActivityStore(held.database, "paper")
    assert (await store.record(START, (apple, ibm), 2)).quarantined == {apple: 1}
    assert (await store.record(START, (apple, ibm), 1)).quarantined == {}, "outside of the window"
    await held.trade(START, START)
    assert refused(held, "data_quality") == [(START, apple, "buy", "0", "1")]
    assert held.fetch(f"select count(*) from intent where symbol = '{ibm}'") == [(1,)]


async def test_a_split_that_the_books_lack_keeps_its_symbol_out(desk: Desk) -> None:
    await desk.trade(START, DAY(2012, 1, 31))
    ((symbol, bought),) = desk.fetch("select symbol, session from lot where quantity > 0 order by session limit 1")
    desk.execute(
        """insert into split (symbol, session, numerator, denominator, origin, source)
           values (%s, %s, 2, 1, 'source', 's')""",
        symbol, DAY(2012, 1, 31),
    )  # fmt: skip
    assert bought < DAY(2012, 1, 31)
    store = ActivityStore(desk.database, "paper")
    assert (await store.record(DAY(2012, 1, 31), (), 5)).splitting == {symbol}
    assert (await store.record(DAY(2012, 1, 30), (), 5)).splitting == frozenset(), "not yet"


async def test_books_that_were_not_compared_lately_make_no_entry(desk: Desk) -> None:
    await desk.trade(START, DAY(2012, 1, 10))
    await desk.floor().control.set_latch("paper", "entries", "a difference")
    await desk.trade(DAY(2012, 1, 11), DAY(2012, 1, 31))
    ((checks,),) = desk.fetch(
        "select provenance -> 'checks' from refusal where rule = 'latch' order by session limit 1"
    )
    stale = {check["rule"]: check for check in checks}["reconcile_age"]
    assert (stale["ok"], stale["observed"]) == (False, "never compared")


@pytest.mark.parametrize("limits", [{"max_realized_loss": D("0.000001")}, {"max_open_positions": 1}])
async def test_a_limit_that_bites_lets_exits_go(desk: Desk, limits: dict[str, Any]) -> None:
    await within(desk, **limits).trade(START, END)
    (name,) = limits
    assert {side for _, _, side, _, _ in refused(desk, name)} == {"buy"}
    assert not desk.fetch("select * from refusal where side = 'sell'")
