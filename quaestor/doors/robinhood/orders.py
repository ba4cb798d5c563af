"""Orders as Robinhood writes them, and its answers as ours. Pure: an intent in, a payload out; a row in, an order out.

A market purchase is what Robinhood's own app sends: a limit order 5 % above the price, with that percentage named
(`preset_percent_limit`). A stop waits as a market order; a purchase names the most it may pay. Fills are what the
executions say, never the state's name: "filled" may stand beside a part, and "confirmed" beside a fill.
"""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from typing import Any

from quaestor import calendar
from quaestor.calendar import NEW_YORK
from quaestor.errors import BadInput, BrokerRejected
from quaestor.exchange import CENT, COLLAR, tick
from quaestor.jsons import as_json
from quaestor.logs import without_secrets
from quaestor.orders import MILLIONTH, Execution, Intent, OrderType, OrderUpdate, Side, State, dollars, trimmed

Row = Mapping[str, Any]
ZERO = Decimal(0)
NO = frozenset({400, 402, 403, 422})  # statuses of a clear no
DUPLICATE = re.compile(r"ref_id.{0,40}already exists", re.IGNORECASE | re.DOTALL)
WORKING = frozenset(
    {"new", "queued", "unconfirmed", "confirmed", "partially_filled", "pending_cancelled", "pending", "locating"}
)
ENDED = {
    "filled": State.FILLED,
    "cancelled": State.CANCELED,
    "canceled": State.CANCELED,
    "voided": State.CANCELED,
    "partially_filled_rest_cancelled": State.CANCELED,
    "expired": State.EXPIRED,
    "rejected": State.REJECTED,
    "failed": State.REJECTED,
    "locate_failed": State.REJECTED,
}


# ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────────


def payload(intent: Intent, account: str, instrument: str, form_version: int) -> dict[str, Any]:
    """The body of `POST /orders/`; account and instrument are addresses."""
    body = {
        "account": account,
        "instrument": instrument,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "quantity": f"{trimmed(intent.quantity):f}",
        "ref_id": str(intent.ref_id),
        "time_in_force": intent.time_in_force.value,
        "market_hours": "regular_hours",
        "extended_hours": False,
        "order_form_version": form_version,
        "position_effect": "open" if intent.side is Side.BUY else "close",
    }
    return body | _terms(intent)


def _terms(intent: Intent) -> dict[str, Any]:
    kind, buys = intent.order_type, intent.side is Side.BUY
    trigger = {"trigger": "stop", "stop_price": _text(intent.stop_price)} if kind.stops else {"trigger": "immediate"}
    if kind.limits:
        return trigger | {"type": "limit", "price": _text(intent.limit_price)}
    if not buys:
        return trigger | {"type": "market"}
    most = _text(_most(intent.stop_price if kind.stops and intent.stop_price else intent.reference_price))
    if kind.stops:
        return trigger | {"type": "market", "price": most}
    return trigger | {"type": "limit", "price": most, "preset_percent_limit": f"{COLLAR:f}"}


def _most(price: Decimal) -> Decimal:
    """The most that a market purchase may pay, on the tick: below a dollar that is finer than a cent."""
    most = price * (1 + COLLAR)
    return most - most % tick(most)


def _text(price: Decimal | None) -> str | None:
    return None if price is None else f"{trimmed(price):f}"


# ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def words(answer: Any) -> str:
    """Why Robinhood says no: `detail`, `non_field_errors`, or the fields and their errors; secrets struck out."""
    if isinstance(answer, Mapping):
        found = answer.get("detail") or answer.get("non_field_errors") or answer.get("reject_reason")
        fields = [f"{name}: {_said(value)}" for name, value in answer.items() if value]
        text = _said(found) if found else "; ".join(fields)
    else:
        text = ""
    plain = "".join(sign for sign in without_secrets(text) if sign.isprintable())[:300]
    return plain or "It does not say why."


def _said(value: Any) -> str:
    return " ".join(str(each) for each in value) if isinstance(value, list | tuple) else str(value)


def duplicate(answer: Any) -> bool:
    """Whether that no means: this ref_id has come before."""
    return isinstance(answer, Mapping) and bool(DUPLICATE.search(as_json(dict(answer))))


def update(row: Row, symbol: str) -> OrderUpdate:
    """An order as Robinhood lists it; raises BadInput where it cannot be read."""
    with reading(_named(row)):
        filled = number(row.get("cumulative_quantity") or 0)
        in_dollars = row["quantity"] is None and row.get("dollar_based_amount")  # then it is not known until it fills
        quantity = ZERO if in_dollars else number(row["quantity"])
        created, limit = instant(row["created_at"]), _limit(row)
        return OrderUpdate(
            broker_id=str(row["id"]),
            ref_id=uuid.UUID(row["ref_id"]) if row.get("ref_id") else None,
            symbol=symbol,
            side=Side(row["side"]),
            state=_state(row, filled, quantity),
            quantity=quantity or filled or MILLIONTH,
            filled=filled,
            average_price=number(row["average_price"]) if filled and row.get("average_price") else None,
            updated_at=instant(row.get("last_transaction_at") or row["updated_at"]),
            reason=words({"detail": row["reject_reason"]}) if row.get("reject_reason") else "",
            session=session_of(created),
            order_type=_kind(row),
            limit_price=limit,
            stop_price=number(row["stop_price"]) if row.get("stop_price") else None,
        )


def executions(row: Row, symbol: str) -> list[Execution]:
    """The fills of an order as Robinhood lists it; raises BadInput where one cannot be read."""
    with reading(_named(row)):
        ref_id = uuid.UUID(row["ref_id"]) if row.get("ref_id") else None
        return [
            Execution(
                execution_id=str(each["id"]),
                broker_id=str(row["id"]),
                ref_id=ref_id,
                symbol=symbol,
                side=Side(row["side"]),
                quantity=number(each["quantity"]),
                price=price,
                fee=fee,
                session=_traded_on(each),
                at=instant(each["timestamp"]),
            )
            for each in row.get("executions") or ()
            for price, fee in [_paid(each, Side(row["side"]))]
        ]


def _state(row: Row, filled: Decimal, quantity: Decimal) -> State:
    found = state(row["state"], filled, quantity, cancellable=bool(row.get("cancel")))
    return State.EXPIRED if found is State.CANCELED and _ran_out(row) else found


def state(said: str, filled: Decimal, quantity: Decimal, *, cancellable: bool) -> State:
    """Ours for Robinhood's; raises ValueError for a name that nobody knows, of an order that is over."""
    if filled >= quantity > 0:
        return State.FILLED
    if said in WORKING or (said not in ENDED and cancellable):
        return State.PARTIALLY_FILLED if filled else State.ACKED
    if said not in ENDED:
        raise ValueError(f"the state {said!r}")
    if ENDED[said] is State.REJECTED and filled:
        return State.CANCELED  # what was filled is no refusal; its rest is over
    return ENDED[said]


def _ran_out(row: Row) -> bool:
    """Whether an order for the day ended because the day did: Robinhood says "cancelled" of it, too."""
    if row.get("time_in_force") != "gfd":
        return False
    ended = instant(row.get("last_transaction_at") or row["updated_at"])
    return ended >= calendar.session_close(session_of(instant(row["created_at"])))


def _kind(row: Row) -> OrderType:
    stops, preset = row.get("trigger") == "stop", row.get("preset_percent_limit")
    if row["type"] == "limit" and not preset:
        return OrderType.STOP_LIMIT if stops else OrderType.LIMIT
    return OrderType.STOP if stops else OrderType.MARKET


def _limit(row: Row) -> Decimal | None:
    return number(row["price"]) if _kind(row).limits and row.get("price") else None


def _traded_on(execution: Row) -> dt.date:
    """The session that a fill is booked in: its day in New York, also after the close."""
    told = execution.get("trade_execution_date")
    day = dt.date.fromisoformat(told) if told else instant(execution["timestamp"]).astimezone(NEW_YORK).date()
    return day if calendar.is_session(day) else calendar.next_session(day)


def _paid(execution: Row, side: Side) -> tuple[Decimal, Decimal]:
    """Price and fee that come to the cash that moved: Robinhood moves whole cents (`rounded_notional`), while parts of
    a share, and prices that were improved by parts of a cent, come to others. The price is what was paid per share;
    what six decimals of it leave is in the fee, which is never below 0.
    """
    quantity, price, fee = number(execution["quantity"]), number(execution["price"]), _fee(execution)
    value = dollars(quantity, price)
    moved = number(execution.get("rounded_notional") or value)
    if moved == value or quantity <= 0 or not moved > 0 or abs(moved - value) > CENT:
        return price, fee
    paid = (moved / quantity).quantize(MILLIONTH, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)
    return (paid, fee + abs(moved - dollars(quantity, paid))) if paid > 0 else (price, fee)


def _fee(execution: Row) -> Decimal:
    """What a fill cost: the whole as it is told, or its parts where only they are."""
    parts = sum((number(execution.get(name) or 0) for name in ("sec_fee", "taf_fee", "cat_fee")), ZERO)
    return max(number(execution.get("fees") or 0), parts)


def number(value: Any) -> Decimal:
    """A decimal as Robinhood writes it; raises ValueError for what is none."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"the number {value!r}") from None
    if not found.is_finite():
        raise ValueError(f"the number {value!r}")
    return trimmed(found)


def instant(text: str) -> dt.datetime:
    """A time as Robinhood writes it, UTC; raises ValueError for one without a zone."""
    found = dt.datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"the time {text!r} without a zone")
    return found.astimezone(dt.UTC)


def session_of(at: dt.datetime) -> dt.date:
    """The session that an instant belongs to: that of its day in New York until the close, else the next."""
    day = at.astimezone(NEW_YORK).date()
    if calendar.is_session(day) and at <= calendar.session_close(day):
        return day
    return calendar.next_session(day)


def place(api: str, broker_id: str) -> str:
    """Where an order is; raises BrokerRejected for what cannot be an order's id."""
    if not re.fullmatch(r"[\w-]{1,64}", broker_id):
        raise BrokerRejected(f"{broker_id!r} is no order of Robinhood's.")
    return f"{api}/orders/{broker_id}/"


def _named(row: Row) -> str:
    return f"an order ({str(row.get('id', 'without an id'))[:40]})"


@contextmanager
def reading(what: str) -> Iterator[None]:
    """What cannot be read is told by its name, and nothing else of it."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BadInput(f"Robinhood tells of {what} that cannot be read: {why}. See docs/robinhood.md.") from error
