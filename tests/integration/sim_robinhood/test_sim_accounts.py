"""Accounts, quotes and hours at Robinhood's protocol server; and that each answer has the fields that clients read."""

from __future__ import annotations

import datetime as dt
import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests

from quaestor.console.sim_robinhood import past_of

API = "https://api.robinhood.com"
NUMMUS = "https://nummus.robinhood.com"

ACCOUNT = """url account_number type brokerage_account_type buying_power cash portfolio_cash uncleared_deposits
unsettled_funds cash_held_for_orders cash_available_for_withdrawal margin_balances cash_balances deactivated locked
only_position_closing_trades agentic_allowed is_default state user withdrawal_halted created_at updated_at"""
POSITION = """url instrument instrument_id symbol account account_number quantity average_buy_price
clearing_average_cost clearing_cost_basis clearing_running_quantity intraday_quantity intraday_average_buy_price
clearing_intraday_cost_basis shares_held_for_buys shares_held_for_sells shares_available_for_sells type created_at
updated_at shares_held_for_stock_grants shares_held_for_options_events"""
ORDER = """id ref_id url account instrument instrument_id position cancel state derived_state side type trigger price
stop_price quantity cumulative_quantity average_price fees executions time_in_force market_hours extended_hours
reject_reason created_at updated_at last_transaction_at order_form_version dollar_based_amount placed_agent
executed_notional total_notional position_effect preset_percent_limit override_day_trade_checks replaces"""
QUOTE = """symbol ask_price ask_size bid_price bid_size last_trade_price last_extended_hours_trade_price
previous_close adjusted_previous_close previous_close_date trading_halted has_traded state updated_at instrument
instrument_id last_trade_price_source venue_bid_time venue_ask_time venue_last_trade_time"""
INSTRUMENT = """id url symbol name simple_name type state tradability tradeable fractional_tradability
all_day_tradability min_tick_size tradable_chain_id internal_halt_reason internal_halt_details
internal_halt_start_time internal_halt_end_time quote fundamentals splits market list_date maintenance_ratio"""
FIELDS = {
    "/accounts/": ACCOUNT,
    "/portfolios/": """equity extended_hours_equity market_value withdrawable_amount account url
        equity_previous_close adjusted_equity_previous_close last_core_equity""",
    "/positions/": POSITION,
    "/orders/": ORDER,
    "/quotes/?symbols=AAPL": QUOTE,
    "/marketdata/quotes/?symbols=AAPL": QUOTE,
    "/instruments/?symbol=AAPL": INSTRUMENT,
    "/markets/": "mic acronym name timezone todays_hours url",
    f"{NUMMUS}/currency_pairs/": """id symbol tradability asset_currency quote_currency min_order_size max_order_size
        min_order_price_increment min_order_quantity_increment name display_only""",
    f"{NUMMUS}/accounts/": "id status user_id rhs_account_number",
    f"{NUMMUS}/holdings/": """id account_id currency currency_pair_id quantity quantity_available
        quantity_held_for_buy quantity_held_for_sell cost_bases created_at updated_at""",
    f"{NUMMUS}/orders/": """id account_id currency_pair_id cancel_url state ref_id side type quantity price
        cumulative_quantity average_price executions time_in_force created_at updated_at last_transaction_at""",
    "/marketdata/forex/quotes/?symbols=BTCUSD": "id symbol ask_price bid_price mark_price open_price updated_at",
}
NUMBERS = {"price", "quantity", "cost", "equity", "cash", "power", "value", "close", "basis", "deposits"}


@pytest.mark.parametrize("path", FIELDS)
def test_an_answer_has_the_fields_that_clients_read_and_its_numbers_are_texts(inside: Any, path: str) -> None:
    inside.order(quantity=1)
    inside.rh.order_buy_crypto_by_quantity("BTC", 0.1)
    rows = inside.session.get(path if path.startswith("https") else f"{API}{path}").json()["results"]
    assert set(FIELDS[path].split()) <= set(rows[0])
    numbers = {name: value for name, value in rows[0].items() if name.rpartition("_")[2] in NUMBERS}
    assert all(value is None or isinstance(value, str) for value in numbers.values()), numbers


def test_money_and_shares_are_what_the_trades_leave(inside: Any) -> None:
    inside.order(quantity=10)
    inside.server.quote("AAPL", "199.50", "199.54", "199.52")
    inside.order(quantity=10)
    inside.order(quantity=5, side="sell")
    inside.order(quantity=2, side="sell", type="limit", price="250", time_in_force="gtc")
    inside.order(quantity=10, type="limit", price="150")
    cash = 100_000 - Decimal("1895.4") - Decimal("1995.4") + Decimal("997.5")
    account = inside.get("/accounts/5QX00001/")
    assert (account["cash"], account["buying_power"]) == (f"{cash:.4f}", f"{cash - 1500:.4f}")
    aapl, ibm = inside.get("/positions/?nonzero=true")["results"]
    assert (aapl["quantity"], aapl["shares_held_for_sells"]) == ("15.00000000", "2.00000000")
    assert (aapl["shares_available_for_sells"], aapl["intraday_quantity"]) == ("13.00000000", "20.00000000")
    assert aapl["clearing_average_cost"] == aapl["average_buy_price"] + "00" == "194.540000"
    assert (ibm["quantity"], ibm["average_buy_price"]) == ("10.00000000", "0.0000")
    worth = cash + 15 * Decimal("199.52") + 10 * Decimal("120.05")
    assert inside.get("/portfolios/")["results"][0]["equity"] == f"{worth:.4f}"


def test_what_was_sold_is_a_position_of_nothing(inside: Any) -> None:
    inside.order("IBM", 10, side="sell")
    assert inside.get("/positions/")["results"][0]["quantity"] == "0.00000000"
    assert inside.get("/positions/?nonzero=true")["results"] == []
    assert inside.get("/positions/?account_number=5QX99999")["results"] == []


def test_positions_come_by_pages(inside: Any) -> None:
    inside.order(quantity=1)
    inside.server.accounts.page_size = 1
    assert [each["symbol"] for each in inside.rh.get_open_stock_positions()] == ["AAPL", "IBM"]
    assert [each.path for each in inside.server.requests].count("/positions/") == 2


def test_other_accounts_are_shown_only_when_they_are_asked_for(inside: Any) -> None:
    assert [each["account_number"] for each in inside.get("/accounts/")["results"]] == ["5QX00001"]
    every = inside.get("/accounts/?default_to_all_accounts=true")["results"]
    assert [each["account_number"] for each in every] == ["5QX00001", "5QX00002"]
    assert inside.session.get(f"{API}/accounts/5QX99999/").status_code == 404
    assert inside.rh.load_account_profile("5QX00002", "cash") == "100000.0000"
    assert [each.status for each in inside.server.requests[-2:]] == [301, 200]


def test_quotes_of_the_unknown_are_null(inside: Any) -> None:
    rows = inside.get("/quotes/?symbols=AAPL,NONE,IBM")["results"]
    assert [row and row["symbol"] for row in rows] == ["AAPL", None, "IBM"]
    id_ = inside.server.instruments.id("IBM")
    assert inside.get(f"/marketdata/quotes/{id_}/")["ask_price"] == "120.100000"
    assert rows[0]["previous_close"] == "188.000000"
    assert inside.rh.get_latest_price("AAPL") == ["189.520000"]


def test_an_instrument_is_found_by_its_symbol_its_words_and_its_id(inside: Any) -> None:
    found = inside.get("/instruments/?symbol=AAPL")["results"][0]
    assert inside.session.get(found["url"]).json() == found
    assert [each["symbol"] for each in inside.get("/instruments/?query=ib")["results"]] == ["IBM"]
    assert inside.get("/instruments/?symbol=NONE")["results"] == []
    new = inside.server.instruments.renumber("AAPL")
    assert inside.session.get(found["url"]).status_code == 404
    assert inside.get(f"/instruments/{new}/")["symbol"] == "AAPL"


@pytest.mark.parametrize(
    ("day", "opens", "closes", "extended"),
    [
        pytest.param("2026-11-25", "14:30", "21:00", ("12:00", "01:00"), id="a day"),
        pytest.param("2026-11-26", None, None, (None, None), id="Thanksgiving"),
        pytest.param("2026-11-27", "14:30", "18:00", ("12:00", "22:00"), id="a half-day"),
        pytest.param("2026-07-01", "13:30", "20:00", ("11:00", "00:00"), id="in summer"),
    ],
)
def test_the_hours_are_the_exchanges(inside: Any, day: str, opens: Any, closes: Any, extended: Any) -> None:
    said = inside.get(f"/markets/XNYS/hours/{day}/")
    names = ("opens_at", "closes_at", "extended_opens_at", "extended_closes_at")
    assert [said[name] and said[name][11:16] for name in names] == [opens, closes, *extended]
    assert said["is_open"] is (opens is not None)


def test_robin_stocks_asks_for_the_hours_and_may_hear_otherwise(inside: Any) -> None:
    assert inside.rh.get_market_next_open_hours("XNYS")["opens_at"] == "2026-11-23T14:30:00Z"
    inside.server.hours.said[dt.date(2026, 11, 20)] = {"is_open": False}
    assert inside.rh.get_market_today_hours("XNYS", "is_open") is False


def test_what_is_nowhere_is_not_found_and_others_paths_are_not_mixed_up(inside: Any) -> None:
    assert inside.session.get(f"{API}/portfolios/historicals/5QX00001/").status_code == 404
    assert inside.session.get(f"{API}/holdings/").status_code == 404
    assert inside.session.get(f"{NUMMUS}/positions/").status_code == 404
    assert "rhs_account_number" in inside.get("/accounts/", NUMMUS)["results"][0]


def test_the_rest_is_there_too(inside: Any) -> None:
    trades = inside.get("/accounts/5QX00001/recent_day_trades/")
    assert trades == {"account_number": "5QX00001", "equity_day_trades": [], "option_day_trades": []}
    assert inside.get("/user/")["username"] == inside.person.username
    assert inside.rh.get_dividends() == []
    known, unknown = inside.get("/fundamentals/?symbols=AAPL,NONE")["results"]
    assert (known["symbol"], unknown) == ("AAPL", None)
    assert set(inside.rh.build_holdings()) == {"IBM"}


async def test_by_hand_it_has_the_recorded_past_up_to_yesterday() -> None:
    bars, splits = await past_of("recorded", ["AAPL", "NONE"], dt.date(2005, 3, 15))
    assert bars["symbol"].unique().to_list() == ["AAPL"]
    assert (bars["session"].min(), bars["session"].max()) == (dt.date(2004, 3, 15), dt.date(2005, 3, 14))
    assert [split.session for split in splits] == [dt.date(2005, 2, 28)]


def test_it_is_served_by_hand_with_a_ready_person(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "quaestor.console.cli", "sim", "robinhood", "--tokens", "--always-open"]
    environment = {"QUAESTOR_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": environment}
    with subprocess.Popen([*command, "--rate", "0", "--symbols", "AAPL"], **settings) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        who = {"Authorization": f"Bearer {said['browser']['access_token']}"}
        asked = f"{said['url']}/quotes/?symbols=AAPL"
        assert requests.get(asked, headers=who, timeout=5).json()["results"][0]["symbol"] == "AAPL"
        past = f"{said['url']}/quotes/historicals/?symbols=AAPL&interval=day&span=month"
        bars = requests.get(past, headers=who, timeout=5).json()["results"][0]["historicals"]
        assert len(bars) > 15
        assert requests.get(f"{said['url']}/quotes/?symbols=AAPL", timeout=5).status_code == 401
        move = {"symbol": "AAPL", "bid": "1.01", "ask": "1.03"}
        requests.post(f"{said['url']}/sim/quote", json=move, timeout=5).raise_for_status()
        assert requests.get(asked, headers=who, timeout=5).json()["results"][0]["bid_price"] == "1.010000"
        assert said["configure"] == f'[robinhood] base_url = "{said["url"]}"'
        process.send_signal(signal.SIGTERM)
