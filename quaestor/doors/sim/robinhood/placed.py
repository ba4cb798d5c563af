"""An order as the server keeps it, and as Robinhood writes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from quaestor.calendar import NEW_YORK, settles
from quaestor.doors.sim.robinhood.instruments import number
from quaestor.doors.sim.robinhood.tickets import Ticket
from quaestor.doors.sim.robinhood.wire import API, stamp
from quaestor.orders import Execution, OrderUpdate

CLOSED = frozenset({"filled", "cancelled", "partially_filled_rest_cancelled", "rejected", "failed", "voided"})
USD = "1072fc76-1862-41ab-82c2-485837590762"
NO_ONE = (
    "agent_display_name",
    "agent_id",
    "canceled_agent_id",
    "canceled_agent_name",
    "drip_dividend_id",
    "investment_schedule_id",
    "last_trail_price",
    "pending_cancel_open_agent",
    "replaces",
    "response_category",
    "root_advanced_order_id",
    "stop_triggered_at",
)


@dataclass
class Placed:
    """An order that was taken. cancels_at: when its cancel is done; rejected: why it was thrown out afterwards."""

    serial: int
    id: str
    ticket: Ticket
    symbol: str
    quantity: Decimal
    created_at: dt.datetime
    cancels_at: dt.datetime | None = None
    rejected: str = ""

    @property
    def account(self) -> str:
        """Its account's number."""
        return self.ticket.account


def row(
    placed: Placed, update: OrderUpdate | None, fills: Sequence[Execution], state: str, updated: dt.datetime
) -> dict[str, Any]:
    """The order's body."""
    ticket = placed.ticket
    address, account = f"{API}/orders/{placed.id}/", f"{API}/accounts/{placed.account}/"
    names = {"id": placed.id, "ref_id": str(ticket.ref_id), "url": address, "account": account}
    names |= {"instrument": f"{API}/instruments/{ticket.instrument}/", "instrument_id": ticket.instrument}
    names |= {"position": f"{API}/positions/{placed.account}/{ticket.instrument}/", "cancel": f"{address}cancel/"}
    terms: dict[str, Any] = {"side": ticket.side.value, "type": ticket.type, "trigger": ticket.trigger}
    terms |= {"price": number(ticket.price, 8), "stop_price": number(ticket.stop_price, 8)}
    terms |= {"quantity": number(placed.quantity, 8), "time_in_force": ticket.time_in_force.value}
    terms |= {"market_hours": ticket.market_hours, "extended_hours": ticket.extended}
    terms |= {"preset_percent_limit": ticket.preset or None, "order_form_version": ticket.version}
    terms |= {"dollar_based_amount": _dollars(ticket.dollars), "position_effect": _effect(ticket)}
    filled = update.filled if update and state != "unconfirmed" else Decimal(0)
    average = update.average_price if update and filled else None
    told = list(fills) if filled else []
    fees = sum((fill.fee for fill in told), Decimal(0))
    notional = sum((fill.quantity * fill.price for fill in told), Decimal(0))
    stands: dict[str, Any] = {"state": state, "derived_state": state, "reject_reason": placed.rejected or None}
    stands |= {"cumulative_quantity": number(filled, 8), "average_price": number(average, 8)}
    stands |= {"fees": number(fees, 2), "sec_fees": "0.00", "taf_fees": "0.00", "cat_fees": "0.00"}
    stands |= {"executions": [_execution(fill) for fill in told], "executed_notional": _dollars(notional or None)}
    stands |= {"total_notional": _dollars(notional or placed.quantity * (ticket.price or Decimal(0)) or None)}
    times = {
        "created_at": stamp(placed.created_at),
        "updated_at": stamp(updated),
        "last_transaction_at": stamp(updated),
    }
    rest = {"placed_agent": "user", "override_day_trade_checks": False, "override_dtbp_checks": False}
    rest |= {"is_ipo_access_order": False, "is_primary_account": True, "is_visible_to_user": True, "is_editable": True}
    rest |= {"last_update_version": len(told), "user_cancel_request_state": "none", "order_form_type": "share_based"}
    return names | terms | stands | times | rest | dict.fromkeys(NO_ONE)


def _execution(fill: Execution) -> dict[str, Any]:
    day = fill.at.astimezone(NEW_YORK).date()
    rest = {"sec_fee": "0.00", "taf_fee": "0.00", "cat_fee": "0.00", "sales_taxes": []}
    return {
        "id": fill.execution_id,
        "price": number(fill.price, 8),
        "quantity": number(fill.quantity, 8),
        "rounded_notional": number(fill.quantity * fill.price, 2),
        "timestamp": stamp(fill.at),
        "trade_execution_date": day.isoformat(),
        "settlement_date": settles(fill.session).isoformat(),
        "fees": number(fill.fee, 2),
        **rest,
    }


def _dollars(amount: Decimal | None) -> dict[str, str] | None:
    return None if amount is None else {"amount": f"{amount:.2f}", "currency_code": "USD", "currency_id": USD}


def _effect(ticket: Ticket) -> str:
    return "open" if ticket.side.value == "buy" else "close"
