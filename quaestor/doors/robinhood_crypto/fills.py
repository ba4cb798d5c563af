"""Fills: what an order's executions are in our books, with identities and fees that Robinhood does not tell.

An execution has a price, a quantity and a time, and no name: its id is made of these, and of its place among those
that are alike, so it is the same whenever and in whatever order it is told. The fee is told of the whole order: each
fill carries its share by value. What was told once with a fee keeps it, as long as this process lives; what an order
is charged more belongs to the fills that came since. After a restart between two fills of one order the first one's
share is computed anew; it is the same to a millionth of a dollar where the rate did not change.

Books keep millionths, of a coin and of a dollar. What is finer is carried over to the order's next fill, and what the
rounded price does not tell of the dollars paid is in the fee: cash is exact.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quaestor.doors.robinhood_crypto.fields import ZERO, amount, floored, session, time
from quaestor.errors import BadInput
from quaestor.orders import MILLIONTH, NAMESPACE, Execution, OrderUpdate, dollars, trimmed

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Piece:
    """One execution as Robinhood tells it, quantity cut to what the books keep; value: dollars, exact."""

    id: str
    row: Row
    quantity: Decimal
    value: Decimal


def fills(row: Row, order: OrderUpdate, told: MutableMapping[str, Decimal]) -> list[Execution]:
    """The fills of an order, oldest first. `told`: fees that were told by execution id; kept up here."""
    pieces = list(_pieces(row, order.broker_id))
    new = [piece for piece in pieces if piece.id not in told]
    known = sum((told[piece.id] for piece in pieces if piece.id in told), ZERO)
    left, worth = max(ZERO, amount(row, "fee_charged", ZERO) - known), sum((piece.value for piece in new), ZERO)
    shared, valued = ZERO, ZERO
    for piece in new:
        valued += piece.value
        upto = (left * valued / worth).quantize(MILLIONTH)
        told[piece.id] = upto - shared
        shared = upto
    return [_execution(piece, order, told[piece.id]) for piece in pieces]


def _pieces(row: Row, broker_id: str) -> Iterator[_Piece]:
    """The executions in the order of their times; dust below a millionth goes with the next."""
    rows = row.get("executions") or []
    if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
        raise BadInput(f"Robinhood tells of executions of order {broker_id} that cannot be read.")
    alike, quantity, value = Counter[str](), ZERO, ZERO
    for each in sorted(rows, key=lambda one: time(one, "timestamp")):
        price, coins = amount(each, "effective_price"), amount(each, "quantity")
        if price <= 0 or coins <= 0:
            raise BadInput(f"Robinhood tells of an execution of order {broker_id} at {price} of {coins}.")
        looks = f"{time(each, 'timestamp').isoformat()}\x1f{trimmed(price)}\x1f{trimmed(coins)}"
        alike[looks] += 1
        quantity, value = quantity + coins, value + coins * price
        if whole := floored(quantity):
            name = uuid.uuid5(NAMESPACE, f"{broker_id}\x1f{looks}\x1f{alike[looks]}")
            part = value * whole / quantity if whole != quantity else value
            yield _Piece(str(name), each, whole, part)
            quantity, value = quantity - whole, value - part


def _execution(piece: _Piece, order: OrderUpdate, fee: Decimal) -> Execution:
    at = time(piece.row, "timestamp")
    price = max((piece.value / piece.quantity).quantize(MILLIONTH), MILLIONTH)
    beside = order.side.sign * (piece.value.quantize(MILLIONTH) - dollars(piece.quantity, price))
    return Execution(
        execution_id=piece.id,
        broker_id=order.broker_id,
        ref_id=order.ref_id,
        symbol=order.symbol,
        side=order.side,
        quantity=piece.quantity,
        price=trimmed(price),
        fee=max(ZERO, fee + beside),
        session=session(at),
        at=at,
    )
