"""Fills: a purchase opens a lot; a sale relieves lots, and what it gained on each is one line."""

from __future__ import annotations

from collections.abc import Sequence

from quaestor.errors import BadInput
from quaestor.ledger.journal import ZERO, Booked, Entry, Lot, Posting
from quaestor.ledger.relief import FIFO, Relief, relieve
from quaestor.orders import Execution, Side, dollars


def book_fill(fill: Execution, strategy: str, lots: Sequence[Lot], method: Relief = FIFO) -> Booked:
    """Book an execution; `lots` are the open lots of that strategy and symbol, oldest first.

    Raises BooksDisagree when a sale exceeds the lots: never through zero.
    """
    if fill.quantity <= 0 or fill.price <= 0 or fill.fee < 0:
        raise BadInput(
            f"Fill {fill.execution_id}: quantity and price must be positive and the fee not negative: {fill}."
        )
    value = dollars(fill.quantity, fill.price)
    if fill.side is Side.BUY:
        lot = Lot(fill.execution_id, strategy, fill.symbol, fill.session, fill.quantity, value)
        postings = [Posting("positions", value, strategy, fill.symbol, fill.quantity, lot.lot_id)]
        return Booked(_entry(fill, postings, strategy), (lot,))
    what = f"Fill {fill.execution_id} sells {fill.quantity} {fill.symbol}"
    pieces = relieve(what, fill.quantity, strategy, lots, method)
    positions, gains, unpaid = [], [], value
    for n, piece in enumerate(pieces, 1):
        lot_id = piece.left.lot_id
        proceeds = unpaid if n == len(pieces) else min(dollars(piece.quantity, fill.price), unpaid)
        unpaid -= proceeds
        positions.append(Posting("positions", -piece.cost, strategy, fill.symbol, -piece.quantity, lot_id))
        gains.append(Posting("realized", piece.cost - proceeds, strategy, fill.symbol, ZERO, lot_id))
    gain = -sum((posting.amount for posting in gains), ZERO)
    entry = _entry(fill, [*positions, *gains], strategy, method)
    return Booked(entry, tuple(piece.left for piece in pieces), gain)


def _entry(fill: Execution, postings: list[Posting], strategy: str, method: Relief = FIFO) -> Entry:
    lines = [Posting("cash", fill.cash, strategy, fill.symbol), *postings]
    if fill.fee:
        lines.append(Posting("fees", fill.fee, strategy, fill.symbol))
    memo = f"{fill.side.value} {fill.quantity} {fill.symbol} @ {fill.price}"
    return Entry(f"fill:{fill.execution_id}", "fill", fill.session, fill.at, tuple(lines), memo, method.lots)
