"""What the protocol server tells: its book in Robinhood's fields, as text or as bare numbers where Robinhood's are."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from quaestor.calendar import NEW_YORK
from quaestor.doors.sim.robinhood_crypto.book import ZERO, Book, Order, Row

FILTERS = ("id", "symbol", "side", "state", "type")  # of a list of orders
Quote = tuple[Decimal, Decimal, Decimal | None, dt.datetime]


def account(book: Book) -> Row:
    """An account, with where it stands among the fees."""
    volume = sum((p * q for order in book.orders.values() for p, q, _ in order.executions), ZERO)
    tier = {"fee_ratio": float(book.fee_ratio), "thirty_day_volume": float(volume)}
    return {
        "account_number": book.number,
        "status": "active",
        "buying_power": f"{book.buying_power:.8f}",
        "buying_power_currency": "USD",
        "account_type": "individual",
        "is_api_tradable": True,
        "fee_tier_status": tier | {"next_fee_tier_ratio": None, "next_fee_tier_threshold": None},
    }


def holding(book: Book, symbol: str) -> Row:
    """Coins of one kind, and those that no sale holds back."""
    return {
        "account_number": book.number,
        "asset_code": symbol.split("-", maxsplit=1)[0],
        "total_quantity": float(book.coins[symbol]),
        "quantity_available_for_trading": float(book.free(symbol)),
    }


def quote(symbol: str, quoted: Quote) -> Row:
    """Best bid and ask, without fees."""
    bid, ask, _, at = quoted
    return {"symbol": symbol, "bid": str(bid), "ask": str(ask), "timestamp": _time(at)}


def estimate(symbol: str, side: str, quantity: Decimal, quoted: Quote, ratio: Decimal) -> Row:
    """What so many coins would cost now."""
    bid, ask, _, at = quoted
    price = ask if side == "ask" else bid
    fee = price * quantity * ratio
    told = {"symbol": symbol, "side": side, "quantity": float(quantity), "timestamp": _time(at)}
    told |= {"fee_ratio": float(ratio), "est_fee": float(fee), side: float(price)}
    return told | ({"est_total_cost": float(price * quantity + fee)} if side == "ask" else {})


def order(book: Book, each: Order) -> Row:
    """An order with its executions; the fee is told of the whole."""
    terms = {"asset_quantity": f"{each.quantity:.18f}"}
    if each.stop is not None:
        terms |= {"stop_price": f"{each.stop:.18f}", "time_in_force": each.time_in_force}
    if each.limit is not None:
        terms["limit_price"] = f"{each.limit:.18f}"
    value = sum((price * coins for price, coins, _ in each.executions), ZERO)
    fills = [
        {"effective_price": f"{p:.18f}", "quantity": f"{q:.18f}", "timestamp": _time(at)}
        for p, q, at in each.executions
    ]
    return {
        "id": each.id,
        "account_number": book.number,
        "symbol": each.symbol,
        "client_order_id": each.client_order_id,
        "side": each.side,
        "type": each.type,
        "state": each.state,
        "executions": fills,
        "filled_asset_quantity": f"{each.filled:.18f}",
        "average_price": f"{value / each.filled:.18f}" if each.filled else None,
        "created_at": _time(each.made),
        "updated_at": _time(each.moved),
        "fee_charged": float(each.fee),
        "estimated_fee_remaining": float(book.expected_fee(each)),
        f"{each.type}_order_config": terms,
    }


def _time(at: dt.datetime) -> str:
    return at.astimezone(NEW_YORK).isoformat(timespec="microseconds")
