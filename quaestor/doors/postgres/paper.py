"""The paper broker: a broker of our own with its own books, which survive our death.

It keeps orders, fills, cash and positions in the schema `paper`, in transactions of its own, and knows nothing of the
ledger: the two agree because each counts right, and reconciliation compares them. Its prices are handed to it as a
port. Over recorded prices the market is a replay: `open_session` moves the clock to a session before its open,
`close_session` trades it. Moves are idempotent and go forward only.

An order is accepted between the two, once per ref_id, and only when the account can pay for it at the collar.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from quaestor.bars import Bar
from quaestor.calendar import session_close, session_open, sessions
from quaestor.doors.postgres.sql import queries
from quaestor.errors import BadInput, BrokerRejected
from quaestor.exchange import Costs, collar, fill_price
from quaestor.ledger import split_quantity
from quaestor.orders import (
    NAMESPACE,
    Execution,
    Intent,
    OrderType,
    OrderUpdate,
    Side,
    State,
    TimeInForce,
    dollars,
    trimmed,
)
from quaestor.ports import Account, Quotes
from quaestor.splits import Split

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("paper")
EVER = dt.date.min


class PaperBroker:
    """Implements `ports.Broker` and `ports.ReplayMarket` for one account."""

    def __init__(self, database: Database, alias: str, quotes: Quotes, costs: Costs) -> None:
        self._database = database
        self._alias = alias
        self._quotes = quotes
        self._costs = costs

    # ── the broker ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Accept an order, or answer with the one that came with this ref_id before."""
        async with self._database.transaction() as connection:
            account = await self._lock(connection)
            old = await (await self._execute(connection, "find_order", ref_id=intent.ref_id)).fetchone()
            if old is not None:
                return _update(old)
            await self._check(connection, account, intent)
            row = {
                "id": uuid.uuid5(NAMESPACE, f"{self._alias}\x1f{intent.ref_id}"),
                "ref_id": intent.ref_id,
                "symbol": intent.symbol,
                "side": intent.side,
                "order_type": intent.order_type,
                "time_in_force": intent.time_in_force,
                "quantity": intent.quantity,
                "limit_price": intent.limit_price,
                "reference_price": intent.reference_price,
                "session": account["session"],
                "at": session_open(account["session"]) - dt.timedelta(minutes=5),
            }
            return _update(await (await self._execute(connection, "insert_order", **row)).fetchone())

    async def _check(self, connection: Connection, account: Mapping[str, Any], intent: Intent) -> None:
        if account["phase"] != "open" or account["session"] != intent.session:
            stands = f"{account['session']} ({account['phase']})"
            raise BrokerRejected(
                f"The market stands at {stands}; an order for session {intent.session} is not accepted."
            )
        halted = {row["symbol"]: row["reason"] for row in await (await self._execute(connection, "halts")).fetchall()}
        if intent.symbol in halted:
            raise BrokerRejected(f"{intent.symbol} is halted: {halted[intent.symbol]}.")
        if intent.quantity <= 0:
            raise BrokerRejected(f"Quantity must be positive, not {intent.quantity}.")
        working = await (await self._execute(connection, "working_orders")).fetchall()
        if intent.side is Side.SELL:
            held = (await self._positions(connection)).get(intent.symbol, Decimal(0))
            promised = sum(
                (_left(o) for o in working if o["side"] == "sell" and o["symbol"] == intent.symbol), Decimal(0)
            )
            if intent.quantity > held - promised:
                raise BrokerRejected(
                    f"Not enough shares: {held} {intent.symbol} held, {trimmed(promised)} promised to other sales."
                )
            return
        promised = sum((self._reserve(_intent_terms(o)) for o in working if o["side"] == "buy"), Decimal(0))
        need = self._reserve((intent.order_type, intent.quantity, intent.limit_price, intent.reference_price))
        if need > account["cash"] - promised:
            raise BrokerRejected(f"Not enough buying power: {need:.2f} needed, {account['cash'] - promised:.2f} left.")

    def _reserve(self, terms: tuple[OrderType, Decimal, Decimal | None, Decimal]) -> Decimal:
        order_type, quantity, limit, reference = terms
        worst = limit if order_type is OrderType.LIMIT and limit is not None else collar(reference)
        return quantity * worst + self._costs.fee(Side.BUY, quantity, worst)

    async def cancel(self, broker_id: str) -> None:
        """Cancel a working order; an order that is no longer working stays as it is."""
        async with self._database.transaction() as connection:
            account = await self._lock(connection)
            at = session_open(account["session"]) if account["session"] else dt.datetime.min.replace(tzinfo=dt.UTC)
            await self._execute(connection, "cancel_order", id=uuid.UUID(broker_id), at=at)

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """All orders of sessions on or after `since`."""
        return [_update(row) for row in await self._fetch("orders_since", since=since or EVER)]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills of sessions on or after `since`, oldest first."""
        return [_execution(row) for row in await self._fetch("executions_since", since=since or EVER)]

    async def account(self) -> Account:
        """Cash and positions now."""
        rows = await self._fetch("holdings")
        if not rows:
            raise self._no_account()
        held = {row["symbol"]: trimmed(row["quantity"]) for row in rows if row["symbol"] is not None}
        return Account(rows[0]["cash"], held)

    async def halted(self) -> frozenset[str]:
        """Symbols that take no orders now."""
        return frozenset(row["symbol"] for row in await self._fetch("halts"))

    # ── the market ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def fund(self, cash: Decimal) -> None:
        """Open the account with that cash, once."""
        async with self._database.transaction() as connection:
            await self._execute(connection, "open_account", cash=cash)

    async def clock(self) -> tuple[dt.date | None, str]:
        """Where the simulated clock stands."""
        rows = await self._fetch("account")
        return (rows[0]["session"], rows[0]["phase"]) if rows else (None, "closed")

    async def open_session(self, session: dt.date) -> None:
        """Before the open: apply the splits since the session before to positions and working orders."""
        async with self._database.transaction() as connection:
            account = await self._lock(connection)
            if account["session"] is not None and account["session"] >= session:
                return
            if account["phase"] == "open":
                raise BadInput(f"Session {account['session']} is still open; close it before opening {session}.")
            last = account["session"]
            for day in sessions(last + dt.timedelta(days=1), session) if last else [session]:
                for split in await self._quotes.splits(day):
                    await self._apply(connection, split)
            await self._execute(connection, "move_clock", session=session, phase="open")

    async def _apply(self, connection: Connection, split: Split) -> None:
        if not (await self._execute(connection, "mark_split", symbol=split.symbol, session=split.session)).rowcount:
            return
        held = (await self._positions(connection)).get(split.symbol)
        if held is not None:
            quantity = split_quantity(held, split)
            await self._execute(connection, "set_position", symbol=split.symbol, quantity=quantity)
        terms = {"numerator": split.ratio.numerator, "denominator": split.ratio.denominator}
        await self._execute(connection, "rescale_orders", symbol=split.symbol, **terms)

    async def halt(self, symbol: str, reason: str) -> None:
        """From now on the symbol takes no new orders and its working orders do not trade."""
        await self._change("halt", symbol=symbol, reason=reason)

    async def end_halt(self, symbol: str) -> None:
        """The symbol trades again."""
        await self._change("end_halt", symbol=symbol)

    async def _change(self, name: str, **parameters: Any) -> None:
        async with self._database.transaction() as connection:
            await self._execute(connection, name, **parameters)

    async def close_session(self, session: dt.date) -> None:
        """Trade the session: match working orders on its bars; day orders that did not fill expire at the close."""
        async with self._database.transaction() as connection:
            account = await self._lock(connection)
            if account["session"] is not None and (account["session"], account["phase"] == "closed") >= (session, True):
                return
            if (account["session"], account["phase"]) != (session, "open"):
                raise BadInput(
                    f"Session {session} is not open (the market stands at {account['session']}); open it first."
                )
            halted = {row["symbol"] for row in await (await self._execute(connection, "halts")).fetchall()}
            for order in await (await self._execute(connection, "working_orders")).fetchall():
                bar = None if order["symbol"] in halted else await self._quotes.bar(order["symbol"], session)
                await self._trade(connection, order, bar, session)
            await self._execute(connection, "move_clock", session=session, phase="closed")

    async def _trade(self, connection: Connection, order: Mapping[str, Any], bar: Bar | None, session: dt.date) -> None:
        side, order_type = Side(order["side"]), OrderType(order["order_type"])
        if bar is not None:
            price = fill_price(bar, side, order_type, order["limit_price"], order["reference_price"], self._costs)
            if price is not None:
                await self._fill(connection, order, side, price, session)
                return
        if order["time_in_force"] == TimeInForce.GFD:
            reason = "no trade in the session" if bar is None else "not marketable in the session"
            final = {"state": State.EXPIRED, "filled": 0, "average_price": None, "reason": reason}
            await self._execute(connection, "finish_order", id=order["id"], at=session_close(session), **final)

    async def _fill(
        self, connection: Connection, order: Mapping[str, Any], side: Side, price: Decimal, session: dt.date
    ) -> None:
        quantity, at = _left(order), session_open(session)
        fee = self._costs.fee(side, quantity, price)
        execution = {
            "id": uuid.uuid5(order["id"], session.isoformat()),
            "order_id": order["id"],
            "at": at,
            "session": session,
        }
        final = {"state": State.FILLED, "filled": quantity, "average_price": price, "reason": ""}
        async with connection.pipeline():
            await self._execute(connection, "insert_execution", quantity=quantity, price=price, fee=fee, **execution)
            await self._execute(connection, "add_cash", amount=-side.sign * dollars(quantity, price) - fee)
            await self._execute(connection, "change_position", symbol=order["symbol"], change=side.sign * quantity)
            await self._execute(connection, "finish_order", id=order["id"], at=at, **final)

    # ── ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _lock(self, connection: Connection) -> Mapping[str, Any]:
        row: Mapping[str, Any] | None = await (await self._execute(connection, "lock_account")).fetchone()
        if row is None:
            raise self._no_account()
        return row

    def _no_account(self) -> BadInput:
        return BadInput(f"The paper broker has no account {self._alias!r} yet; the first execute run opens it.")

    async def _positions(self, connection: Connection) -> dict[str, Decimal]:
        rows = await (await self._execute(connection, "positions")).fetchall()
        return {row["symbol"]: trimmed(row["quantity"]) for row in rows}

    async def _fetch(self, name: str, **parameters: Any) -> list[dict[str, Any]]:
        return await self._database.fetch(SQL[name], {"alias": self._alias, **parameters})

    async def _execute(self, connection: Connection, name: str, **parameters: Any) -> Any:
        return await connection.execute(SQL[name], {"alias": self._alias, **parameters})


def _left(order: Mapping[str, Any]) -> Decimal:
    left: Decimal = order["quantity"] - order["filled"]
    return left


def _intent_terms(order: Mapping[str, Any]) -> tuple[OrderType, Decimal, Decimal | None, Decimal]:
    return OrderType(order["order_type"]), _left(order), order["limit_price"], order["reference_price"]


def _update(row: Mapping[str, Any]) -> OrderUpdate:
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
    )


def _execution(row: Mapping[str, Any]) -> Execution:
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
