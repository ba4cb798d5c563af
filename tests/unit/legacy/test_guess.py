"""Guessing: bots as people write them are understood; what may be two things is asked, never decided by chance."""

from __future__ import annotations

from typing import Any

import pytest

from quaestor.legacy.found import Column, Table
from quaestor.legacy.guess import guess
from quaestor.legacy.mapping import Mapping, parse, written

DAYS = ["2024-01-02", "2024-01-03"]
OHLC = {"open": [1.0, 2.0], "high": [1.5, 2.5], "low": [0.5, 1.5], "close": [1.2, 2.2], "volume": [100, 200]}
DEALS = {"symbol": ["AAPL", "F"], "side": ["BUY", "SELL"], "quantity": [1, 2], "price": [10.0, 11.0], "timestamp": DAYS}


def table(name: str, columns: dict[str, list[Any]], **more: Any) -> Table:
    rows = max((len(values) for values in columns.values()), default=0)
    return Table(name, [Column(key, "", values) for key, values in columns.items()], rows, **more)


def mapped(*tables: Table) -> Mapping:
    found = guess(tables)
    assert found.doubts == ()
    assert found.mapping is not None
    return found.mapping


def test_a_schedule_bot_of_a_tutorial_is_understood() -> None:
    found = mapped(
        table("price_history", {"id": [1, 2], "ticker": ["AAPL", "F"], "date": DAYS, **OHLC}),
        table("orders", {"order_id": ["a", "b"], "stock": ["AAPL", "F"], "action": ["buy", "sell"], "qty": [1, 2],
                         "limit_price": [10, 11], "status": ["filled", "open"], "created_at": DAYS}),
        table("trades", {"id": [1, 2], "symbol": ["AAPL", "F"], "type": ["B", "S"], "shares": [1, 2],
                         "fill_price": [10.0, 11.0], "commission": [0, 0.1], "date": DAYS, "pnl": [None, 3.5]}),
    )  # fmt: skip
    assert found.prices[0].columns == {"symbol": "ticker", "time": "date", **{name: name for name in OHLC}}
    assert found.orders is not None
    assert found.orders.columns == {
        "id": "order_id", "symbol": "stock", "side": "action", "quantity": "qty", "price": "limit_price",
        "state": "status", "time": "created_at",
    }  # fmt: skip
    assert found.trades is not None
    assert found.trades.columns == {
        "id": "id", "symbol": "symbol", "side": "type", "quantity": "shares", "price": "fill_price",
        "fee": "commission", "time": "date", "pnl": "pnl",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["prices", "ohlc", "candles", "stock_data", "StockPrices", "daily_bars", "market_data"]
)
def test_tables_of_prices_are_known_by_their_names(name: str) -> None:
    assert mapped(table(name, {"Symbol": ["AAPL", "F"], "Date": DAYS, **OHLC})).prices[0].table == name


@pytest.mark.parametrize(
    "name", ["trades", "fills", "transactions", "executions", "trade_history", "tradeLog", "my_trades"]
)
def test_tables_of_trades_are_known_by_their_names(name: str) -> None:
    found = mapped(table(name, DEALS))
    assert found.trades is not None
    assert found.trades.table == name
    assert not found.prices


def test_a_table_without_a_telling_name_is_known_by_its_columns() -> None:
    found = mapped(table("t1", DEALS), table("t2", {**DEALS, "status": ["filled", "open"]}))
    assert found.trades is not None
    assert found.orders is not None
    assert (found.trades.table, found.orders.table) == ("t1", "t2")


def test_polled_quotes_have_a_price_alone() -> None:
    found = mapped(
        table("quotes", {"sym": ["AAPL", "F"], "ts": [1_704_214_800.5, 1_704_214_860.5], "last_price": [1, 2]})
    )
    assert found.prices[0].columns == {"symbol": "sym", "time": "ts", "price": "last_price"}
    assert not found.prices[0].bars


def test_a_day_and_a_clock_apart_belong_together() -> None:
    deals = {name: values for name, values in DEALS.items() if name != "timestamp"}
    found = mapped(table("trades", {**deals, "date": DAYS, "time": ["09:31:00", "15:59:59"]}))
    assert found.trades is not None
    assert (found.trades.time, found.trades.clock) == ("date", "time")


def test_values_decide_where_a_name_misleads() -> None:
    found = mapped(table("orders", {**DEALS, "type": ["market", "limit"], "stock": ["Apple Inc", "Ford Motor"]}))
    assert found.orders is not None
    assert (found.orders.side, found.orders.symbol) == ("side", "symbol")


def test_a_column_that_nobody_fills_means_nothing() -> None:
    found = mapped(table("trades", {**DEALS, "filled_at": [None, None], "fee": [None, ""]}))
    assert found.trades is not None
    assert (found.trades.time, found.trades.fee) == ("timestamp", "")


@pytest.mark.parametrize("name", ["positions", "portfolio", "watchlist", "price_alerts", "signals", "backtest_trades"])
def test_tables_of_another_purpose_are_left_alone(name: str) -> None:
    found = guess([table(name, DEALS), table("trades", DEALS)])
    assert found.unused == (name,)
    assert found.mapping is not None
    assert found.mapping.trades is not None
    assert found.mapping.trades.table == "trades"


def test_a_table_without_rowids_is_not_guessed() -> None:
    assert guess([table("trades", DEALS, rowids=False)]).mapping is None


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        pytest.param(
            [table("trades", DEALS), table("fills", DEALS)],
            "both 'trades' and 'fills' look like trades; write table = \"…\" under [trades].",
            id="two tables of trades",
        ),
        pytest.param(
            [table("trades", {**DEALS, "shares": [3, 4]})],
            "trades: quantity may be 'quantity', 'shares'; write quantity = \"…\" under [trades].",
            id="two columns, different values",
        ),
        pytest.param(
            [table("trades", {**DEALS, "side": ["in", "out"]})],
            'trades: no column was recognised as its side; write side = "…" under [trades]',
            id="a column that is missing",
        ),
    ],
)
def test_what_may_be_two_things_is_a_doubt_that_says_what_to_write(tables: list[Table], said: str) -> None:
    assert guess(tables).doubts[0].startswith(said)


def test_two_columns_of_the_same_values_are_no_doubt() -> None:
    found = mapped(table("trades", {**DEALS, "shares": DEALS["quantity"]}))
    assert found.trades is not None
    assert found.trades.quantity == "quantity"


def test_the_guess_reads_back_from_the_map_it_is_written_as() -> None:
    found = mapped(table('odd "name"', DEALS), table("prices", {"symbol": ["A", "B"], "date": DAYS, **OHLC}))
    assert parse(written(found, ["a note"]), "map.toml") == found


def test_nothing_is_guessed_of_nothing() -> None:
    assert guess([]).mapping is None
    assert guess([table("settings", {"key": ["a"], "value": ["b"]})]).unused == ("settings",)
