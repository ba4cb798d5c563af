"""Rows of the paper broker's books, as values of the field."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from quaestor.doors.postgres.texts import texts
from quaestor.matching import Met, Working
from quaestor.orders import Execution, Intent, OrderType, OrderUpdate, Side, State, TimeInForce, dollars, trimmed

ZERO = Decimal(0)
MILLIONTH = Decimal("0.000001")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """An order that came in; `ref_id` is None for one that was placed by hand. row: what the books will have of it."""

    order: Intent
    ref_id: uuid.UUID | None
    row: dict[str, Any]

    @cached_property
    def told(self) -> dict[str, str | None]:
        """The same as text, with its session."""
        return texts(self.row | {"session": self.order.session})


def update_of(row: Row) -> OrderUpdate:
    """What the broker says of an order."""
    return OrderUpdate(
        broker_id=str(row["id"]),
        ref_id=row["ref_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        state=State(row["state"]),
        quantity=trimmed(row["quantity"]),
        filled=trimmed(row["filled"]),
        average_price=row["average_price"],
        updated_at=row["updated_at"],
        reason=row["reason"],
        session=row["session"],
        order_type=OrderType(row["order_type"]),
        limit_price=row["limit_price"],
        stop_price=row["stop_price"],
    )


def execution_of(row: Row) -> Execution:
    """What the broker says of a fill."""
    return Execution(
        execution_id=str(row["id"]),
        broker_id=str(row["order_id"]),
        ref_id=row["ref_id"],
        symbol=row["symbol"],
        side=Side(row["side"]),
        quantity=trimmed(row["quantity"]),
        price=row["price"],
        fee=row["fee"],
        session=row["session"],
        at=row["at"],
    )


def working_of(row: Row) -> Working:
    """An order as the exchange has it."""
    return Working(
        id=row["id"],
        side=Side(row["side"]),
        order_type=OrderType(row["order_type"]),
        left=row["quantity"] - row["filled"],
        reference_price=row["reference_price"],
        limit_price=row["limit_price"],
        stop_price=row["stop_price"],
        oco=row["oco"],
        triggered=row["triggered"],
    )


def order_row(order: Intent, own: uuid.UUID, ref_id: uuid.UUID | None, reserved: Decimal) -> dict[str, Any]:
    """What is stored of an order that is accepted; what all orders of a moment share is not in it."""
    return {
        "id": own,
        "ref_id": ref_id,
        "symbol": order.symbol,
        "side": order.side.value,  # an array's enumerations would go by their names
        "order_type": order.order_type.value,
        "time_in_force": order.time_in_force.value,
        "quantity": order.quantity,
        "limit_price": order.limit_price,
        "stop_price": order.stop_price,
        "reference_price": order.reference_price,
        "oco": order.oco,
        "reserved": reserved,
    }


def accepted(order: Intent, row: Row, at: dt.datetime) -> OrderUpdate:
    """What the broker says of an order that it has just taken."""
    return OrderUpdate(
        broker_id=str(row["id"]),
        ref_id=row["ref_id"],
        symbol=order.symbol,
        side=order.side,
        state=State.ACKED,
        quantity=trimmed(order.quantity),
        filled=ZERO,
        average_price=None,
        updated_at=at,
        session=order.session,
        order_type=order.order_type,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
    )


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """New orders as an array of each column, for `unnest`."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def after(row: Row, met: Met, reason: str, *, ends: bool) -> dict[str, Any]:
    """Where an order stands after what it met; `ends`: a day order ends with it, for that reason."""
    filled = row["filled"] + met.quantity
    if filled >= row["quantity"]:
        state, reason = State.FILLED, ""
    elif met.canceled:
        state, reason = State.CANCELED, "the other leg of its pair traded"
    elif ends and row["time_in_force"] == TimeInForce.GFD:
        state, reason = State.EXPIRED, "the session ended before the rest could trade" if filled else reason
    else:
        state, reason = State.PARTIALLY_FILLED if filled else State.ACKED, ""
    return {
        "id": row["id"],
        "state": state.value,
        "filled": filled,
        "average_price": _average(row, met),
        "reason": reason,
        "triggered": met.triggered,
    }


def _average(row: Row, met: Met) -> Decimal | None:
    average: Decimal | None = row["average_price"]
    if met.price is None:
        return average
    if average is None:
        return met.price
    paid = dollars(row["filled"], average) + dollars(met.quantity, met.price)
    shares: Decimal = row["filled"] + met.quantity
    return (paid / shares).quantize(MILLIONTH)
