"""Dividends, and splits and dividends learned late: books and paper broker agree to the cent, and a person is told."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from quaestor import calendar
from quaestor.devlog.story import Story
from quaestor.doors.postgres.evidence import EvidenceStore, parse
from quaestor.ledger import dividend_cash

if TYPE_CHECKING:
    from tests.integration.trading.conftest import Desk

D = Decimal
DAY = dt.date
START, BEFORE, SPLIT_DAY, END = DAY(2005, 2, 18), DAY(2005, 2, 25), DAY(2005, 2, 28), DAY(2005, 3, 4)
LEARN = "insert into split values ('AAPL', '2005-02-28', 2, 1, 'source', 'test')"
FORGET = "delete from split where symbol = 'AAPL' and session = '2005-02-28'"
PAY = "insert into dividend values (%s, %s, %s, 'source', 'test')"
EQUITY = "select session, equity, cash, dividends from equity order by session"
CASH = "select cash from paper.account"


def owned(desk: Desk, symbol: str, session: dt.date) -> Decimal:
    """Shares at a close."""
    lots = desk.fetch(f"select positions -> 'lots' from equity where session = '{session}'")[0][0]
    return sum((D(lot["quantity"]) for lot in lots if lot["symbol"] == symbol), D(0))


async def proves_itself(desk: Desk) -> None:
    """Books and broker agree, and every proof of the devlog holds, of the whole and of each stretch of it."""
    assert (await desk.reconcile()).ok
    store = EvidenceStore(desk.database, "paper")
    days = [row[0] for row in desk.fetch("select session from equity order by session")]
    for start, end in [(None, None), *((days[0], day) for day in days[1::3]), *((day, days[-1]) for day in days[1::3])]:
        evidence = await store.evidence(start, end)
        assert [proof.claim for proof in Story(evidence).proofs if not proof.ok] == []
        assert parse(evidence.as_json) == evidence


async def test_a_dividend_is_paid_at_the_open_of_its_ex_date_on_the_shares_of_the_close_before(held: Desk) -> None:
    desk = held
    day = DAY(2005, 2, 24)
    desk.execute(PAY, "IBM", day, D("0.37"))
    await desk.trade(START, END)
    shares = owned(desk, "IBM", calendar.previous_session(day))
    amount = dividend_cash(shares, D("0.37"))
    assert amount > 0
    rows = {session: (cash, paid) for session, _, cash, paid in desk.fetch(EQUITY)}
    assert [rows[session][1] for session in sorted(rows)] == [D(0)] * 3 + [amount] * (len(rows) - 3)
    assert desk.fetch("select amount from paper.paid_dividend") == [(amount,)]
    assert desk.fetch(CASH) == [(rows[END][0],)]
    await proves_itself(desk)
    assert (await desk.latches(), desk.alerts()) == ([], [])
    (row,) = desk.fetch("select strategy, symbol, dividends from pnl_by_position where dividends <> 0")
    assert row == ("hold", "IBM", amount)


async def test_a_dividend_on_the_day_of_a_split_is_paid_on_old_shares(held: Desk) -> None:
    held.execute(PAY, "AAPL", SPLIT_DAY, D("0.11"))
    await held.trade(START, END)
    amount = dividend_cash(owned(held, "AAPL", BEFORE), D("0.11"))
    assert held.fetch("select amount from paper.paid_dividend") == [(amount,)]
    assert owned(held, "AAPL", SPLIT_DAY) == 2 * owned(held, "AAPL", BEFORE)
    await proves_itself(held)


async def test_a_dividend_that_we_derived_is_an_estimate_and_no_money(desk: Desk) -> None:
    await desk.trade(DAY(2012, 1, 27), DAY(2012, 2, 15))
    derived = "select count(*) from dividend where origin = 'derived' and session between '2012-01-30' and '2012-02-15'"
    assert desk.fetch(derived) != [(0,)]
    assert desk.fetch("select * from entry where kind = 'dividend'") == []


@pytest.mark.parametrize("who", ["the next open", "a reconciliation"])
async def test_a_split_learned_late_is_booked_as_if_it_had_been_known(held: Desk, who: str) -> None:
    held.execute(FORGET)
    await held.trade(START, DAY(2005, 3, 2))
    settled = held.fetch(EQUITY)
    assert held.fetch("select * from entry where kind = 'split'") == [], "not known yet"
    held.execute(LEARN)
    if who == "a reconciliation":
        assert (await held.reconcile()).ok
        assert len(held.alerts()) == 1
    await held.trade(START, END)
    split = "from entry e join posting p on p.entry_id = e.id where e.kind = 'split'"
    assert held.fetch(f"select sum(quantity), sum(amount) {split}") == [(owned(held, "AAPL", BEFORE), D(0))]
    assert held.fetch(EQUITY)[: len(settled)] == settled, "settled sessions stay as they were"
    (alert,) = held.alerts()
    assert "the split of 2005-02-28 was learned late" in alert["title"]
    assert "3 settled sessions, to 2005-03-02, stays as it was" in alert["body"]
    await proves_itself(held)
    ours = held.fetch("select symbol, sum(quantity) from position_now group by symbol order by symbol")
    assert ours == held.fetch("select symbol, quantity from paper.position where quantity <> 0 order by symbol")


async def test_a_dividend_learned_late_is_paid_on_what_was_held_then(held: Desk) -> None:
    await held.trade(START, DAY(2005, 3, 2))
    held.execute(PAY, "IBM", DAY(2005, 2, 24), D("0.37"))
    await held.trade(START, END)
    amount = dividend_cash(owned(held, "IBM", DAY(2005, 2, 23)), D("0.37"))
    assert [row[3] for row in held.fetch(EQUITY)][-2:] == [amount, amount]
    assert "the dividend of 2005-02-24 was learned late" in held.alerts()[0]["title"]
    await proves_itself(held)


async def test_who_sold_before_a_split_was_learned_is_put_right(desk: Desk) -> None:
    """The default strategies trade Apple between the split and the day on which it is learned."""
    desk.execute(FORGET)
    await desk.trade(DAY(2005, 2, 1), DAY(2005, 4, 15))
    sales = "select count(*) from fill where symbol = 'AAPL' and side = 'sell' and session >= '2005-02-28'"
    assert desk.fetch(sales) != [(0,)]
    desk.execute(LEARN)
    await desk.trade(DAY(2005, 2, 1), DAY(2005, 4, 18))
    lots = desk.fetch("select symbol, sum(quantity) from lot where quantity > 0 group by symbol order by symbol")
    assert lots == desk.fetch("select symbol, quantity from paper.position where quantity <> 0 order by symbol")
    await proves_itself(desk)
    assert desk.fetch("select memo from entry where kind = 'split'") == [("AAPL 2-for-1, learned late",)]
    told = [alert["title"] for alert in desk.alerts()]
    assert told == ["paper: AAPL: the split of 2005-02-28 was learned late"]


async def test_a_fill_larger_than_its_order_stops_entries_and_is_kept_for_a_person(desk: Desk) -> None:
    await desk.trade(DAY(2005, 2, 1), DAY(2005, 2, 8))
    desk.execute(
        """insert into paper.execution (id, order_id, alias, quantity, price, fee, session, at)
           select gen_random_uuid(), order_id, alias, 1, price, 0, session, at from paper.execution limit 1"""
    )
    desk.execute("update paper.account set cash = cash - 1")
    before = desk.state()["fills"]
    outcome = await desk.reconcile()
    fill = next(d for d in outcome.differences if d["subject"] == "fill")
    assert "the broker filled too much, or tells a fill twice" in fill["cure"]
    assert desk.state()["fills"] == before, "nothing of it is booked"
    ((account, reason, booked_at),) = desk.fetch("select account, reason, booked_at from suspect_fill")
    assert (account, booked_at) == ("paper", None)
    assert "would make" in reason
    assert await desk.latches() == ["entries"]
    assert desk.alerts()[0]["urgent"]
