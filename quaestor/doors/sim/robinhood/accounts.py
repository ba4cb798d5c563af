"""Accounts: cash, buying power, positions and what they cost; and what else a person's profile answers.

/accounts/ shows the default account alone, unless all are asked for. `average_buy_price` of shares that were not traded
in this session is "0.0000", as it may be at Robinhood; `clearing_average_cost` and `clearing_cost_basis` are right.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quaestor.doors.sim.robinhood.exchange import Floor, done
from quaestor.doors.sim.robinhood.instruments import Instruments, number
from quaestor.doors.sim.robinhood.people import Person
from quaestor.doors.sim.robinhood.quotes import Prices
from quaestor.doors.sim.robinhood.wire import API, Answer, Ask, Refused, Way, listed, stamp
from quaestor.orders import Execution

ZERO = Decimal(0)
BEGAN = "2020-01-02T14:30:00.000000Z"
LISTS = ("/dividends/", "/options/orders/", "/options/positions/", "/options/aggregate_positions/", "/ach/transfers/")


@dataclass(frozen=True)
class Held:
    """Shares of one symbol: what they cost, dollars; what of them was traded in this session."""

    quantity: Decimal
    cost: Decimal = ZERO
    today: Decimal = ZERO
    today_cost: Decimal = ZERO
    at: dt.datetime | None = None

    @property
    def average(self) -> Decimal:
        """Dollars per share."""
        return self.cost / self.quantity if self.quantity else ZERO


@dataclass
class Accounts:
    """What a person has. changed: fields that an account is to be shown with, by its number.

    basis: dollars per share that were held from the start, by (account number, symbol).
    """

    floor: Floor
    instruments: Instruments
    prices: Prices
    clock: Callable[[], dt.datetime]
    page_size: int = 100
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    basis: dict[tuple[str, str], Decimal] = field(default_factory=dict)

    def ways(self) -> list[Way]:
        """What is answered."""
        return [
            Way("GET", "/accounts/", self._accounts),
            Way("GET", "/accounts/{}/", self._account),
            Way("GET", "/accounts/{}/recent_day_trades/", self._day_trades),
            Way("GET", "/portfolios/", self._portfolios),
            Way("GET", "/portfolios/{}/", self._portfolio),
            Way("GET", "/positions/", self._positions),
            Way("GET", "/user/", self._user),
            Way("GET", "/fundamentals/", self._fundamentals),
            Way("GET", "/accounts/unified/", self._unified, host="bonfire"),
            Way("GET", "/accounts/unified/", self._unified, host="phoenix"),
            *(Way("GET", path, lambda _: listed([])) for path in LISTS),
        ]

    def _accounts(self, ask: Ask) -> Answer:
        person = ask.whose
        every = ask.query.get("default_to_all_accounts", "").lower() == "true"
        shown = list(person.accounts.values()) if every else [person.default]
        return listed([self.row(person, each) for each in shown if each in self.floor.books])

    def _account(self, ask: Ask) -> Answer:
        return Answer(self.row(ask.whose, self._mine(ask, ask.parts[0])))

    def _mine(self, ask: Ask, account: str) -> str:
        if account not in ask.whose.accounts.values() or account not in self.floor.books:
            raise Refused(404, {"detail": "Not found."})
        return account

    def row(self, person: Person, account: str) -> dict[str, Any]:
        """An account as Robinhood tells of it."""
        book = self.floor.books[account]
        cash = done(book.account()).cash
        spent, _ = done(book.promised())
        alias = next(name for name, each in person.accounts.items() if each == account)
        power, held = number(cash - spent), number(spent)
        money = {"buying_power": power, "cash": number(cash), "portfolio_cash": number(cash)}
        money |= {"cash_available_for_withdrawal": power, "cash_held_for_orders": held, "crypto_buying_power": power}
        none = dict.fromkeys(("uncleared_deposits", "unsettled_funds", "unsettled_debit", "sma"), "0.0000")
        margin = money | none | {"day_trade_buying_power": power, "overnight_buying_power": power}
        margin |= {"margin_limit": None, "created_at": BEGAN, "updated_at": BEGAN}
        names = {"url": f"{API}/accounts/{account}/", "account_number": account, "nickname": alias}
        names |= {"user": f"{API}/user/", "user_id": person.id}
        kind = {"type": "margin", "brokerage_account_type": "individual", "management_type": "self_directed"}
        kind |= {"state": "active", "created_at": BEGAN, "updated_at": BEGAN}
        no = ("deactivated", "permanently_deactivated", "locked", "only_position_closing_trades", "withdrawal_halted")
        agentic = {
            "is_default": account == person.default,
            "agentic_allowed": alias in person.agentic,
            "agentic_audience": "",
        }
        whole = {**names, **kind, **money, **none, **dict.fromkeys((*no, "deposit_halted"), False), **agentic}
        whole |= {"margin_balances": margin, "cash_balances": None, "eligible_for_fractionals": True}
        return whole | self.changed.get(account, {})

    def _portfolios(self, ask: Ask) -> Answer:
        return listed([self._worth(each) for each in (ask.whose.default,) if each in self.floor.books])

    def _portfolio(self, ask: Ask) -> Answer:
        return Answer(self._worth(self._mine(ask, ask.parts[0])))

    def _worth(self, account: str) -> dict[str, Any]:
        found = done(self.floor.books[account].account())
        worth = sum((count * self._last(symbol) for symbol, count in found.positions.items()), ZERO)
        equity = number(found.cash + worth)
        names = {"url": f"{API}/portfolios/{account}/", "account": f"{API}/accounts/{account}/"}
        before = ("equity_previous_close", "adjusted_equity_previous_close", "portfolio_equity_previous_close")
        same = ("equity", "last_core_equity", "last_core_portfolio_equity", *before)
        later = dict.fromkeys(
            ("extended_hours_equity", "extended_hours_market_value", "extended_hours_portfolio_equity"),
        )
        values = {"market_value": number(worth), "last_core_market_value": number(worth)}
        values |= {"withdrawable_amount": number(found.cash), "unwithdrawable_deposits": "0.0000"}
        values |= {"unwithdrawable_grants": "0.0000", "start_date": BEGAN[:10]}
        return names | dict.fromkeys(same, equity) | later | values

    def _last(self, symbol: str) -> Decimal:
        price = self.prices.known.get(symbol)
        return (price.last or price.bid or ZERO) if price else self._basis("", symbol)

    def _basis(self, account: str, symbol: str) -> Decimal:
        return self.basis.get((account, symbol), ZERO)

    def _positions(self, ask: Ask) -> Answer:
        account = ask.query.get("account_number") or ask.whose.default
        if account not in ask.whose.accounts.values() or account not in self.floor.books:
            return listed([])
        nonzero = ask.query.get("nonzero", "").lower() == "true"
        held = {symbol: each for symbol, each in self.held(account).items() if each.quantity or not nonzero}
        first = (ask.page - 1) * self.page_size
        rows = [self._position(account, symbol, each) for symbol, each in held.items()]
        query = "&".join(f"{name}={value}" for name, value in ask.query.items() if name != "cursor")
        more = f"{API}/positions/?cursor={ask.page + 1}&{query}" if len(rows) > first + self.page_size else None
        return listed(rows[first : first + self.page_size], more)

    def held(self, account: str) -> dict[str, Held]:
        """Every symbol that the account has or had, with what its shares cost on average."""
        book = self.floor.books[account]
        have, fills = done(book.account()).positions, done(book.executions())
        session, _ = done(book.clock())
        bought = {fill.symbol: ZERO for fill in fills}
        for fill in fills:
            bought[fill.symbol] += fill.side.sign * fill.quantity
        self.instruments.add({**have, **bought})
        start = {symbol: have.get(symbol, ZERO) - bought.get(symbol, ZERO) for symbol in {**have, **bought}}
        found = {symbol: Held(count, count * self._basis(account, symbol)) for symbol, count in start.items()}
        for fill in fills:
            found[fill.symbol] = _after(found[fill.symbol], fill, today=fill.session == session)
        return dict(sorted(found.items()))

    def _position(self, account: str, symbol: str, held: Held) -> dict[str, Any]:
        book = self.floor.books[account]
        sold = done(book.promised())[1].get(symbol, ZERO)
        id_, at = self.instruments.id(symbol), stamp(held.at) if held.at else BEGAN
        names = {"url": f"{API}/positions/{account}/{id_}/", "account": f"{API}/accounts/{account}/", "symbol": symbol}
        names |= {"account_number": account, "instrument": self.instruments.address(symbol), "instrument_id": id_}
        average = held.average if held.today else ZERO
        costs = {"average_buy_price": number(average), "pending_average_buy_price": number(average)}
        costs |= {"clearing_average_cost": number(held.average, 6), "clearing_cost_basis": number(held.cost, 6)}
        costs |= {"clearing_direction": "credit", "clearing_running_quantity": number(held.quantity, 8)}
        today = held.today_cost / held.today if held.today else ZERO
        costs |= {"intraday_average_buy_price": number(today), "clearing_intraday_cost_basis": number(held.today_cost)}
        shares = {"quantity": held.quantity, "intraday_quantity": held.today, "shares_held_for_sells": sold}
        shares |= {"shares_held_for_buys": ZERO, "shares_available_for_sells": held.quantity - sold}
        shares |= {"shares_available_for_exercise": held.quantity, "shares_held_for_stock_grants": ZERO}
        shares |= {"shares_held_for_options_events": ZERO, "shares_held_for_asset_transfer": ZERO}
        rest: dict[str, Any] = {
            "type": "long",
            "brokerage_account_type": "individual",
            "created_at": at,
            "updated_at": at,
        }
        rest |= {"instrument_is_halted": symbol in self.instruments.halts, "is_pnl_accurate": True}
        return {**names, **costs, **{name: number(count, 8) for name, count in shares.items()}, **rest}

    def _day_trades(self, ask: Ask) -> Answer:
        account = self._mine(ask, ask.parts[0])
        return Answer({"account_number": account, "equity_day_trades": [], "option_day_trades": []})

    def _user(self, ask: Ask) -> Answer:
        person = ask.whose
        return Answer({"id": person.id, "username": person.username, "email": person.username, "url": f"{API}/user/"})

    def _fundamentals(self, ask: Ask) -> Answer:
        asked = ask.query.get("symbols", "").split(",")
        return Answer({"results": [self._fundament(each) if each in self.instruments else None for each in asked]})

    def _fundament(self, symbol: str) -> Mapping[str, Any]:
        names = ("open", "high", "low", "market_cap", "pe_ratio", "dividend_yield", "high_52_weeks", "low_52_weeks")
        return {"symbol": symbol, "instrument": self.instruments.address(symbol), **dict.fromkeys(names)}

    def _unified(self, ask: Ask) -> Answer:
        person = ask.whose
        return listed([self.row(person, each) for each in person.accounts.values() if each in self.floor.books])


def _after(held: Held, fill: Execution, *, today: bool) -> Held:
    """After a fill: a purchase costs its price, a sale takes its part of the cost along."""
    quantity = held.quantity + fill.side.sign * fill.quantity
    bought = fill.side.sign > 0
    cost = held.cost + fill.quantity * fill.price if bought else held.average * quantity
    since, since_cost = (held.today, held.today_cost) if today else (ZERO, ZERO)
    if today and bought:
        since, since_cost = since + fill.quantity, since_cost + fill.quantity * fill.price
    return Held(quantity, cost, since, since_cost, fill.at)
