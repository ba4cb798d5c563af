"""Transfers: money and shares that come and go without a trade. They move capital, never profit.

Shares that come from another broker (ACATS) bring their cost basis: the capital put in is that cost, so what they had
gained before they came shows as unrealized from their first day here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal

from quaestor.errors import BadInput
from quaestor.ledger.journal import Booked, Entry, Lot, Posting
from quaestor.ledger.relief import FIFO, Relief, cost_of, relieve


def deposit(key: str, amount: Decimal, session: dt.date, at: dt.datetime) -> Booked:
    """Money put into the account."""
    _positive("A deposit", amount)
    return Booked(Entry(key, "deposit", session, at, (Posting("cash", amount), Posting("capital", -amount))), ())


def withdrawal(key: str, amount: Decimal, session: dt.date, at: dt.datetime) -> Booked:
    """Money taken out of the account."""
    _positive("A withdrawal", amount)
    return Booked(Entry(key, "withdrawal", session, at, (Posting("cash", -amount), Posting("capital", amount))), ())


def book_fee(key: str, amount: Decimal, session: dt.date, at: dt.datetime, memo: str, symbol: str = "") -> Booked:
    """A fee that belongs to no fill: a transfer's, a month's, or an ADR's, which belongs to a symbol."""
    _positive("A fee", amount)
    lines = (Posting("cash", -amount, symbol=symbol), Posting("fees", amount, symbol=symbol))
    return Booked(Entry(key, "fee", session, at, lines, memo), ())


def shares_in(key: str, lot: Lot, at: dt.datetime, memo: str = "") -> Booked:
    """Shares from another broker: one lot with its cost basis; `lot.session` is the session they came in."""
    _positive("A transfer", lot.quantity)
    if lot.cost < 0:
        raise BadInput(f"A cost basis is not negative: {lot.cost}.")
    lines = (
        Posting("positions", lot.cost, lot.strategy, lot.symbol, lot.quantity, lot.lot_id),
        Posting("capital", -lot.cost, lot.strategy, lot.symbol),
    )
    return Booked(Entry(key, "transfer_in", lot.session, at, lines, memo), (lot,))


def opening(key: str, cash: Decimal, lots: Sequence[Lot], session: dt.date, at: dt.datetime) -> Booked:
    """What an account holds when its books begin: cash, and shares with what they cost; all of it is capital."""
    _positive("The opening cash", cash)
    lines = [Posting("cash", cash), Posting("capital", -cash)]
    for lot in lots:
        held = Posting("positions", lot.cost, lot.strategy, lot.symbol, lot.quantity, lot.lot_id)
        lines += [held, Posting("capital", -lot.cost, lot.strategy, lot.symbol)]
    return Booked(Entry(key, "transfer_in" if lots else "deposit", session, at, tuple(lines), "opening"), tuple(lots))


def shares_out(
    key: str, quantity: Decimal, lots: Sequence[Lot], session: dt.date, at: dt.datetime, method: Relief = FIFO
) -> Booked:
    """Shares to another broker, with their cost basis; `lots` are the open lots of one strategy and symbol.

    Raises BooksDisagree when more go than are held.
    """
    _positive("A transfer", quantity)
    if not lots:
        raise BadInput(f"Transfer {key}: no such shares are held.")
    strategy, symbol = lots[0].strategy, lots[0].symbol
    pieces = relieve(f"Transfer {key} takes {quantity} {symbol}", quantity, strategy, lots, method)
    lines = [Posting("positions", -p.cost, strategy, symbol, -p.quantity, p.left.lot_id) for p in pieces]
    lines.append(Posting("capital", cost_of(pieces), strategy, symbol))
    entry = Entry(key, "transfer_out", session, at, tuple(lines), named=method.lots)
    return Booked(entry, tuple(piece.left for piece in pieces))


def _positive(what: str, amount: Decimal) -> None:
    if amount <= 0:
        raise BadInput(f"{what} must be positive, not {amount}.")
