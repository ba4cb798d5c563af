"""Rows of the paper broker's books, as values of the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from quaestor.matching import Met, Working
from quaestor.orders import Execution, Intent, OrderType, OrderUpdate, Side, State, TimeInForce, dollars, trimmed

MILLIONTH = Decimal("0.000001")
Row = Mapping[str, Any]
TERMS = (
    "symbol",
    "side",
    "order_type",
    "time_in_force",
    "quantity",
    "limit_price",
    "stop_price",
    "reference_price",
    "oco",
)
COLUMNS = ("id", "ref_id", *TERMS, "reserved")


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


def order_row(order: Intent) -> dict[str, Any]:
    """What is stored of an order that is accepted, but for its identity."""
    terms = {name: getattr(order, name) for name in TERMS}
    words = ("side", "order_type", "time_in_force")
    return terms | {name: terms[name].value for name in words}  # an array's enumerations would go by their names


def columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """New orders as an array of each column that they do not share, for `unnest`."""
    return {name: [row[name] for row in rows] for name in COLUMNS}


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
