"""Relief: which lots leave when shares do. First in, first out; or lots that a person or a tax rule names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from quaestor.errors import BadInput, BooksDisagree
from quaestor.ledger.journal import MONEY, ZERO, Lot


@dataclass(frozen=True, slots=True)
class Relief:
    """The lots to take, in this order; none named: the oldest first."""

    lots: tuple[str, ...] = ()


FIFO = Relief()


def specific(*lot_ids: str) -> Relief:
    """These lots, in this order."""
    return Relief(lot_ids)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is taken of one lot: shares, the dollars they cost, and the lot that is left."""

    quantity: Decimal
    cost: Decimal
    left: Lot


def relieve(what: str, quantity: Decimal, strategy: str, lots: Sequence[Lot], method: Relief = FIFO) -> list[Piece]:
    """Take shares from lots, oldest first as they come, or from the named ones.

    Raises BooksDisagree when more leave than are held: never through zero. Raises BadInput for names that do not fit.
    """
    left, pieces = quantity, []
    for lot in _named(what, lots, method) if method.lots else lots:
        if left == 0:
            break
        taken = min(left, lot.quantity)
        cost = lot.cost if taken == lot.quantity else (lot.cost * taken / lot.quantity).quantize(MONEY, ROUND_HALF_EVEN)
        pieces.append(Piece(taken, cost, replace(lot, quantity=lot.quantity - taken, cost=lot.cost - cost)))
        left -= taken
    if left and method.lots:
        raise BadInput(f"{what}, but the lots it names hold {quantity - left}; name more of them, or none.")
    if left:
        raise BooksDisagree(
            f"{what} but {strategy} holds {quantity - left}. "
            "Entries are stopped; run the reconcile flow and read its differences."
        )
    return pieces


def _named(what: str, lots: Sequence[Lot], method: Relief) -> list[Lot]:
    known = {lot.lot_id: lot for lot in lots}
    if unknown := [name for name in method.lots if name not in known]:
        have = ", ".join(known) or "none"
        raise BadInput(f"{what} and names lot {unknown[0]}, which is not open. Open lots: {have}.")
    if len(set(method.lots)) < len(method.lots):
        raise BadInput(f"{what} and names a lot twice; name each once.")
    return [known[name] for name in method.lots]


def cost_of(pieces: Sequence[Piece]) -> Decimal:
    """What all of them cost."""
    return sum((piece.cost for piece in pieces), ZERO)
