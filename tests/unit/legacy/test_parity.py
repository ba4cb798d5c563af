"""Parity: profit by first in first out, bars against better data, and accounts in which no row is lost."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from quaestor.errors import BooksDisagree
from quaestor.legacy import daily, parity, profit
from quaestor.legacy.daily import Bars, StoredBar
from quaestor.legacy.judge import Judged
from quaestor.legacy.parity import Merged
from quaestor.legacy.rows import Deal, Quote, Rejected
from quaestor.orders import Side

D = Decimal
AT = dt.datetime(2024, 1, 2, 15, tzinfo=dt.UTC)


def deal(row: int, side: Side, quantity: str, price: str, **more: Any) -> Deal:
    told: dict[str, Any] = {"id": None, "order_id": None, "symbol": "AAPL", "fee": None, "pnl": None, "state": None}
    place = {"table": "trades", "row_id": row, "at": AT + dt.timedelta(minutes=row), "raw": "{}", "digest": str(row)}
    return Deal(**{**told, **place, "side": side, "quantity": D(quantity), "price": D(price), **more})


def bar(close: str, row: int = 1) -> Quote:
    prices = {"price": D(close), "open": D(close), "high": D(close), "low": D(close)}
    return Quote("ohlc", row, "AAPL", AT.date(), AT, volume=D(100), digest="d", **prices)


def stored(close: str, source: str = "vendor") -> dict[daily.Key, StoredBar]:
    return {("AAPL", AT.date()): StoredBar(source, (D(close), D(close), D(close), D(close), D(100)))}


def test_profit_is_first_in_first_out_before_fees_and_after() -> None:
    trades = [
        deal(1, Side.BUY, "10", "1.00", fee=D("0.10")),
        deal(2, Side.BUY, "10", "2.00", fee=D("0.10")),
        deal(3, Side.SELL, "15", "3.00", fee=D("0.20"), pnl=D("24.60")),
    ]
    (row,) = profit.profits(trades)
    assert (row.realized, row.fees, row.net) == (D(25), D("0.40"), D("24.60"))
    assert (row.held, row.unmatched, row.trades) == (5, 0, 3)
    assert row.bot_difference == 0, "this bot counts after fees"


def test_what_is_sold_beyond_the_lots_earns_nothing_and_is_told() -> None:
    (row,) = profit.profits([deal(1, Side.BUY, "1", "5"), deal(2, Side.SELL, "3", "6"), deal(3, Side.SELL, "2", "9")])
    assert (row.realized, row.unmatched, row.held, row.bot_difference) == (1, 4, 0, None)


def test_trades_of_one_moment_go_by_their_rows() -> None:
    (row,) = profit.profits([deal(2, Side.SELL, "1", "3", at=AT), deal(1, Side.BUY, "1", "2", at=AT)])
    assert (row.realized, row.unmatched) == (1, 0)


def test_what_was_not_filled_earns_nothing() -> None:
    states = ["Filled", "Cancelled", None, "OPEN", "pending"]  # open: a position that is still held
    trades = [deal(row, Side.BUY, "1", "2", state=state) for row, state in enumerate(states)]
    told, counted = profit.happened(trades, [])
    assert (told, [each.row_id for each in counted]) == ("trades", [0, 2, 3])


def test_filled_orders_stand_in_where_a_bot_wrote_no_trades() -> None:
    orders = [
        deal(1, Side.BUY, "1", "2", id="a", state="open"),
        deal(2, Side.BUY, "1", "2", id="a", state="filled"),
        deal(3, Side.SELL, "1", "2", id="b", state="filled"),
        deal(4, Side.SELL, "1", "2", id="b", state="cancelled"),
        deal(5, Side.BUY, "1", "2"),
    ]
    told, counted = profit.happened([], orders)
    assert (told, [each.row_id for each in counted]) == ("filled orders", [2])
    assert profit.happened([], []) == ("none", [])


@pytest.mark.parametrize(
    ("there", "what"),
    [
        pytest.param({}, "new", id="nothing stored"),
        pytest.param(stored("100", "legacy"), "already", id="stored by an earlier import"),
        pytest.param(stored("101", "legacy"), "different", id="the bot's row has changed"),
        pytest.param(stored("100.4"), "agree", id="better data, within half a percent"),
        pytest.param(stored("101"), "disagree", id="better data says otherwise"),
    ],
)
def test_a_daily_bar_never_overrides_what_is_stored(there: dict[daily.Key, StoredBar], what: str) -> None:
    found = daily.compare([bar("100")], there)
    assert [name for name in ("new", "already", "different", "agree", "disagree") if getattr(found, name)] == [what]


def test_a_bar_that_the_store_refused_is_rejected_and_an_altered_one_is_an_error() -> None:
    new = Bars(new=[bar("100")])
    kept, refused = daily.settled(new, {})
    assert (kept.new, refused[0].rule) == ([], "refused_by_bar_store")
    with pytest.raises(BooksDisagree, match="nothing was imported"):
        daily.settled(new, stored("99", "legacy"))


@pytest.mark.parametrize(
    ("shared", "source"),
    [
        pytest.param({}, "mine", id="nothing like it"),
        pytest.param({"trades": {"old": (10, 9)}}, "old", id="one row changed"),
        pytest.param({"trades": {"old": (10, 5)}}, "mine", id="half of the rows are others: another bot"),
        pytest.param({"trades": {"old": (9, 9), "older": (3, 3)}}, "old", id="the one that has more of it"),
        pytest.param({"trades": {"old": (2, 0)}, "prices": {"old": (99, 99)}}, "mine", id="same prices, other trades"),
        pytest.param({"prices": {"old": (99, 99)}}, "old", id="prices alone"),
    ],
)
def test_a_grown_or_moved_file_is_known_by_its_rows(shared: Any, source: str) -> None:
    assert parity.source_of(shared, "mine") == source


def test_sums_are_exact_however_long_the_decimals_are() -> None:
    deals = [deal(1, Side.BUY, "0.12345678901234567", "0.12345678901234567"), deal(2, Side.BUY, "1", "10000000")]
    (total,) = parity.deal_totals(deals, ())
    exact = sum(Fraction(each.quantity) * Fraction(each.price or 0) for each in deals)
    assert Fraction(total.notional) == exact


def test_an_account_in_which_a_row_is_lost_is_refused() -> None:
    judged = Judged(read={"trades": 3}, trades=[deal(1, Side.BUY, "1", "2")])
    judged.rejected = [Rejected("trades", 2, "side", "missing", "")]
    merged = {kind: Merged() for kind in parity.KINDS} | {"trades": Merged({"trades": 1})}
    with pytest.raises(BooksDisagree, match="3 rows were read, 2 are accounted for"):
        parity.tables(judged, {"trades": "trades"}, merged, Bars())
    judged.read = {"trades": 2}
    (table,) = parity.tables(judged, {"trades": "trades"}, merged, Bars())
    assert (table.loaded, table.rejected, table.rules) == (1, 1, {"missing": 1})


def test_other_sums_in_the_database_undo_the_import() -> None:
    mine = parity.deal_totals([deal(1, Side.BUY, "1", "2")], ())
    parity.prove("Trades", mine, mine)
    with pytest.raises(BooksDisagree, match="Nothing was imported"):
        parity.prove("Trades", mine, [])
