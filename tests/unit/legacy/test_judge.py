"""Rows: each is kept or rejected, with its rowid, the rule and what stands there."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from quaestor import calendar
from quaestor.legacy.judge import Judged, Terms
from quaestor.legacy.mapping import Orders, Prices, Trades
from quaestor.orders import Side

D = Decimal
TERMS = Terms(ZoneInfo("America/New_York"), dt.datetime(2024, 1, 5, 12, 0, tzinfo=dt.UTC))  # before the session
BARS = Prices(table="ohlc", symbol="s", time="t", open="o", high="h", low="l", close="c", volume="v")
QUOTES = Prices(table="quotes", symbol="s", time="t", price="p")
TRADES = Trades(table="trades", symbol="s", side="w", quantity="q", price="p", time="t", fee="f", id="id", pnl="g")
BAR = {"s": "AAPL", "t": "2024-01-02", "o": 10.0, "h": 12.0, "l": 9.0, "c": 11.0, "v": 100}
TRADE = {"s": "AAPL", "w": "BUY", "q": 10, "p": 1.5, "t": "2024-01-02 10:00:00", "f": 0.1, "id": "x", "g": None}


def priced(use: Prices, *rows: dict[str, Any]) -> Judged:
    judged = Judged()
    judged.add_prices(use, enumerate(rows, 1), TERMS)
    return judged


def traded(*rows: dict[str, Any], use: Trades = TRADES) -> Judged:
    judged = Judged()
    judged.add_trades(use, enumerate(rows, 1), TERMS)
    return judged


def test_a_row_per_session_is_a_daily_bar_at_its_close() -> None:
    judged = priced(BARS, BAR, BAR | {"t": "2024-01-03 16:00:00"})
    assert [bar.at for bar in judged.daily] == [calendar.session_close(dt.date(2024, 1, day)) for day in (2, 3)]
    assert judged.daily[0].prices == (D("10.0"), D("12.0"), D("9.0"), D("11.0"))
    assert not judged.quotes


def test_several_times_in_a_session_are_no_daily_bars() -> None:
    minutes = [BAR | {"t": f"2024-01-02 10:{minute:02}:00"} for minute in range(5)]
    judged = priced(BARS, *minutes)
    assert not judged.daily
    assert [quote.at.minute for quote in judged.quotes] == [0, 1, 2, 3, 4]
    assert priced(BARS.model_copy(update={"kind": "quotes"}), BAR).quotes[0].high == 12


def test_bars_without_a_volume_are_kept_as_prices_of_the_close() -> None:
    judged = priced(BARS.model_copy(update={"volume": ""}), BAR)
    assert not judged.daily
    assert judged.quotes[0].at == calendar.session_close(dt.date(2024, 1, 2))


def test_a_symbol_may_be_that_of_the_whole_table() -> None:
    use = QUOTES.model_copy(update={"symbol": "", "fixed_symbol": "IBM"})
    assert priced(use, {"t": "2024-01-02 10:00", "p": 3}).quotes[0].symbol == "IBM"


@pytest.mark.parametrize(
    ("change", "field", "rule", "observed"),
    [
        pytest.param({"c": None}, "close", "missing", "", id="null"),
        pytest.param({"t": ""}, "time", "missing", "", id="no time"),
        pytest.param({"s": " "}, "symbol", "missing", "", id="no symbol"),
        pytest.param({"s": "AAPL!"}, "symbol", "unreadable", "AAPL!", id="no symbol's form"),
        pytest.param({"o": "ten"}, "open", "unreadable", "ten", id="words"),
        pytest.param({"c": b"\x01\x02"}, "close", "unreadable", "2 bytes", id="a blob, as numpy integers are stored"),
        pytest.param({"t": "soon"}, "time", "unreadable", "soon", id="no time's form"),
        pytest.param({"l": 0}, "low", "not_positive", "0", id="zero"),
        pytest.param({"l": -9.0}, "low", "not_positive", "-9.0", id="negative"),
        pytest.param({"h": 8.0}, "high", "high_below_low", "8.0 below 9.0", id="high below low"),
        pytest.param({"c": 12.5}, "close", "outside_range", "12.5 outside 9.0 to 12.0", id="close above high"),
        pytest.param({"c": 2e7}, "close", "too_high", "20000000.0", id="not a share's price"),
        pytest.param({"v": -1}, "volume", "negative", "-1", id="negative volume"),
        pytest.param({"v": None}, "volume", "missing", "None", id="no volume"),
        pytest.param({"v": 1.5}, "volume", "not_whole", "1.5", id="half a share"),
        pytest.param({"t": "2024-01-01"}, "time", "no_session", "2024-01-01", id="New Year"),
        pytest.param({"t": "2023-12-30"}, "time", "no_session", "2023-12-30", id="a Saturday"),
        pytest.param({"t": "2024-01-05"}, "time", "future", "2024-01-05", id="a session that has not closed"),
        pytest.param({"t": "2024-01-09"}, "time", "future", "2024-01-09 05:00:00+00:00", id="next week"),
    ],
)
def test_a_bad_price_is_rejected_with_rule_and_value(
    change: dict[str, Any], field: str, rule: str, observed: str
) -> None:
    judged = priced(BARS, BAR, BAR | {"t": "2024-01-03"} | change)
    assert len(judged.daily) == 1
    (row,) = judged.rejected
    assert (row.table, row.row_id, row.field, row.rule, row.observed) == ("ohlc", 2, field, rule, observed)


def test_of_two_bars_of_a_session_the_first_stays_in_whatever_table() -> None:
    judged = priced(BARS, BAR, BAR | {"c": 10.5})
    judged.add_prices(BARS.model_copy(update={"table": "again"}), [(7, BAR)], TERMS)
    assert [bar.price for bar in judged.daily] == [D("11.0")]
    assert [(row.table, row.row_id, row.rule, row.observed) for row in judged.rejected] == [
        ("ohlc", 2, "duplicate", "AAPL 2024-01-02"),
        ("again", 7, "duplicate", "AAPL 2024-01-02"),
    ]


def test_a_trade_is_kept_with_its_row() -> None:
    (trade,) = traded(TRADE | {"account_number": "123456789"}).trades
    assert (trade.symbol, trade.side, trade.quantity, trade.price, trade.fee) == (
        "AAPL",
        Side.BUY,
        10,
        D("1.5"),
        D("0.1"),
    )
    assert trade.at == dt.datetime(2024, 1, 2, 15, 0, tzinfo=dt.UTC)
    assert "123456789" not in trade.raw
    assert '"w": "BUY"' in trade.raw


def test_a_sale_may_be_written_as_negative_shares() -> None:
    assert traded(TRADE | {"w": "SELL", "q": -3}).trades[0].quantity == 3


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        pytest.param({"w": "HOLD"}, "side", "unknown_side", id="neither way"),
        pytest.param({"w": None}, "side", "missing", id="no side"),
        pytest.param({"q": 0}, "quantity", "not_positive", id="no share"),
        pytest.param({"q": -1}, "quantity", "not_positive", id="bought less than none"),
        pytest.param({"q": 1e15}, "quantity", "too_high", id="more than there are"),
        pytest.param({"p": None}, "price", "missing", id="no price"),
        pytest.param({"f": -1}, "fee", "negative", id="negative fee"),
        pytest.param({"g": "lots"}, "pnl", "unreadable", id="profit in words"),
        pytest.param({"t": "2024-02-01 10:00"}, "time", "future", id="next month"),
        pytest.param({"id": "x"}, "row", "duplicate", id="the same fill again"),
    ],
)
def test_a_bad_trade_is_rejected_with_its_rule(change: dict[str, Any], field: str, rule: str) -> None:
    judged = traded(TRADE, TRADE | {"id": "y"} | change)
    assert [(row.row_id, row.field, row.rule) for row in judged.rejected] == [(2, field, rule)]
    assert len(judged.trades) == 1


def test_trades_on_a_weekend_are_kept() -> None:
    assert traded(TRADE | {"t": "2023-12-31 10:00"}).trades, "coins trade every day"


def test_an_order_may_be_written_many_times() -> None:
    use = Orders(table="orders", symbol="s", side="w", quantity="q", time="t", id="id")
    judged = Judged()
    judged.add_orders(use, [(1, TRADE), (2, TRADE)], TERMS)
    assert [order.price for order in judged.orders] == [None, None]
    assert not judged.rejected


def test_a_day_and_a_clock_are_read_together() -> None:
    use = TRADES.model_copy(update={"clock": "k"})
    judged = traded(TRADE | {"t": "2024-01-02", "k": "09:31:05"}, use=use)
    assert judged.trades[0].at == dt.datetime(2024, 1, 2, 14, 31, 5, tzinfo=dt.UTC)
