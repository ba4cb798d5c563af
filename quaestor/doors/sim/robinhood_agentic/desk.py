"""The desk behind the tools: what each of them does, on an exchange's book that is handed in.

Two accounts: a brokerage account, which agents may only look at, and the Agentic one, in which the book's orders are.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from quaestor.calendar import NEW_YORK
from quaestor.doors.sim.robinhood_agentic.book import (
    AGENTIC,
    BROKERAGE,
    Answer,
    Book,
    Clock,
    Knobs,
    Market,
    Placed,
    Refusal,
    now,
)
from quaestor.errors import BrokerRejected
from quaestor.matching import Quote
from quaestor.orders import Execution, Intent, OrderType, OrderUpdate, Side, State, TimeInForce

TYPES = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stop_market": OrderType.STOP,
    "stop_limit": OrderType.STOP_LIMIT,
}
STATES = {
    State.ACKED: "confirmed",
    State.PARTIALLY_FILLED: "partially_filled",
    State.FILLED: "filled",
    State.REJECTED: "rejected",
    State.CANCELED: "cancelled",
    State.EXPIRED: "cancelled",
}


class Desk:
    """The tools' behaviour. `page`: rows on a page; `prices`: last, bid and ask by symbol; `clock`: of new orders.

    market: where a quote goes that moves the market (None: orders are filled elsewhere).
    """

    def __init__(
        self, book: Book, knobs: Knobs, *, page: int = 50, clock: Clock = now, market: Market | None = None
    ) -> None:
        self.book, self.knobs, self.page, self.clock, self.market = book, knobs, page, clock, market
        self.placed: dict[str, Placed] = {}
        self.waiting: dict[str, Mapping[str, Any]] = {}
        self.reviewed = set[tuple[str, str]]()
        self.prices: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def answer(self, tool: str, arguments: dict[str, Any]) -> Answer:
        """What a tool answers, in its envelope. Raises Refusal."""
        self.calls.append((tool, arguments))
        if self.knobs.fails:
            raise Refusal(self.knobs.fails)
        data = await getattr(self, tool)(**arguments)
        return {"data": data, "guide": "Numbers are texts."}

    async def approve(self, ref_id: str) -> None:
        """Its owner approves an order in the app."""
        await self._accept(self.waiting.pop(ref_id))

    async def by_hand(self, symbol: str, side: Side, quantity: Decimal, agent: str = "user", **terms: Any) -> str:
        """An order of the owner's own; its id."""
        update = await self._place(uuid.uuid4(), symbol, side, quantity, **terms)
        tif = terms.get("time_in_force", TimeInForce.GFD)
        self.placed[update.broker_id] = Placed(None, tif.value, self.clock(), agent)
        return update.broker_id

    async def move(self, symbol: str, bid: Decimal, ask: Decimal) -> None:
        """The market moves."""
        self.prices[symbol] = ((bid + ask) / 2, bid, ask)
        await self._meet(symbol)

    async def _meet(self, symbol: str, only: set[str] | None = None) -> None:
        if self.market is not None and symbol in self.prices:
            last, bid, ask = self.prices[symbol]
            await self.market(symbol, Quote(bid, ask, last), self.clock(), only)

    async def _place(self, ref_id: uuid.UUID, symbol: str, side: Side, quantity: Decimal, **terms: Any) -> OrderUpdate:
        session, _ = await self.book.clock()
        if session is None:
            raise BrokerRejected("The market has no session yet.")
        seen = self.prices.get(symbol, (terms.get("limit_price") or terms.get("stop_price") or Decimal(1),))[0]
        intent = Intent(AGENTIC, "", symbol, session, "agentic", side, quantity, seen, **terms)
        return await self.book.place(intent, ref_id)

    # ── reads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def get_accounts(self) -> Answer:
        """Both accounts."""
        common = {"type": "cash", "state": "active", "deactivated": False, "permanently_deactivated": False}
        mine = {"account_number": BROKERAGE, "agentic_allowed": False, "is_default": True, "nickname": ""}
        agents = {"account_number": AGENTIC, "agentic_allowed": True, "is_default": False, "nickname": "Agentic"}
        return {"accounts": [mine | common, agents | common]}

    async def get_portfolio(self, account_number: str) -> Answer:
        """Cash."""
        self._known(account_number)
        cash = str((await self.book.account()).cash) if account_number == AGENTIC else "1.00"
        return {"cash": cash, "total_value": cash, "currency": "USD", "buying_power": {"buying_power": cash}}

    async def get_equity_positions(self, account_number: str, cursor: str = "") -> Answer:
        """What is held."""
        self._known(account_number)
        held = (await self.book.account()).positions if account_number == AGENTIC else {}
        rows = [{"symbol": symbol, "quantity": f"{count:.6f}", "type": "long"} for symbol, count in held.items()]
        return self._paged("positions", rows, cursor)

    async def get_equity_orders(
        self,
        account_number: str,
        order_id: str = "",
        created_at_gte: str = "",
        cursor: str = "",
        **filters: str,
    ) -> Answer:
        """Orders, newest first."""
        self._known(account_number)
        rows = await self._rows() if account_number == AGENTIC else []
        if order_id:
            rows = [row for row in rows if row["id"] == order_id]
        if created_at_gte:
            rows = [row for row in rows if _moment(row["created_at"]) >= _moment(created_at_gte)]
        rows = [row for row in rows if all(row[name] == value for name, value in filters.items())]
        if self.knobs.failing_page and int(cursor or 0) // self.page + 1 >= self.knobs.failing_page:
            raise Refusal("503 upstream unavailable")
        return self._paged("orders", rows, cursor)

    async def get_equity_quotes(self, symbols: Sequence[str]) -> Answer:
        """Last, bid and ask of symbols that have them."""
        at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        results = []
        for symbol in symbols:
            if symbol in self.prices:
                last, bid, ask = (str(price) for price in self.prices[symbol])
                prices = {"last_trade_price": last, "bid_price": bid, "ask_price": ask}
                times = {"venue_last_trade_time": at, "venue_bid_time": at, "venue_ask_time": at}
                results.append({"quote": {"symbol": symbol, "state": "active", "has_traded": True, **prices, **times}})
        return {"results": results}

    async def get_equity_tradability(self, account_number: str, symbols: Sequence[str]) -> Answer:
        """What may be traded."""
        self._known(account_number)
        if len(symbols) > 10:
            raise Refusal('400 "At most 10 symbols."')
        halted = await self.book.halted()
        return {"results": [{"symbol": s, "tradeable": s not in halted, "state": "active"} for s in symbols]}

    async def get_equity_historicals(self, symbols: Sequence[str], start_time: str, **_: str) -> Answer:
        """No bars: history is served elsewhere."""
        del start_time
        return {"results": [{"symbol": symbol, "interval": "day", "bars": []} for symbol in symbols]}

    # ── writes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def review_equity_order(self, account_number: str, **terms: str) -> Answer:
        """Look at an order, and place none."""
        self._agents(account_number)
        self.reviewed.add((terms["symbol"], terms["side"]))
        return {"symbol": terms["symbol"], "side": terms["side"], "order_checks": {}, "quote_data": {}}

    async def place_equity_order(self, account_number: str, ref_id: str = "", **terms: str) -> Answer:
        """Place an order, or let it wait for its owner."""
        self._agents(account_number)
        ref_id = ref_id or str(uuid.uuid4())
        known = next((name for name, order in self.placed.items() if order.ref_id == ref_id), None)
        if known is not None:
            if not self.knobs.answers_known:
                raise Refusal('409 {"ref_id": ["Reference ID must be unique."]}')
            return {"order": next(row for row in await self._rows() if row["id"] == known)}
        if self.knobs.review_first and (terms["symbol"], terms["side"]) not in self.reviewed:
            raise Refusal("400 Call review_equity_order before place_equity_order.")
        if self.knobs.approval:
            self.waiting[ref_id] = {**terms, "ref_id": ref_id}
            return {"approval": {"state": "APPROVAL_STATE_PENDING", "id": str(uuid.uuid4())}, "order": None}
        name = await self._accept({**terms, "ref_id": ref_id})
        return {"order": next(row for row in await self._rows() if row["id"] == name)}

    async def _accept(self, terms: Mapping[str, Any]) -> str:
        if terms["type"] not in TYPES:
            raise Refusal('400 {"type": ["Not a valid choice."]}')
        kind = TYPES[terms["type"]]
        try:
            prices: dict[str, Any] = {
                name: Decimal(terms[name]) for name in ("limit_price", "stop_price") if name in terms
            }
            quantity, tif = Decimal(terms["quantity"]), TimeInForce(terms.get("time_in_force", "gfd"))
        except (InvalidOperation, ValueError) as error:
            raise Refusal(f"400 {error}") from error
        try:
            what = (terms["symbol"], Side(terms["side"]), quantity)
            name = uuid.UUID(terms["ref_id"])
            update = await self._place(name, *what, order_type=kind, time_in_force=tif, **prices)
        except BrokerRejected as error:
            raise Refusal(f'400 {{"non_field_errors": ["{error}"]}}') from error
        self.placed[update.broker_id] = Placed(terms["ref_id"], tif.value, self.clock(), "agentic")
        await self._meet(terms["symbol"], {update.broker_id})
        return update.broker_id

    async def cancel_equity_order(self, account_number: str, order_id: str) -> Answer:
        """Cancel a working order."""
        self._agents(account_number)
        known = {update.broker_id: update for update in await self.book.orders()}
        if order_id not in known:
            raise Refusal('404 "Not found."')
        if known[order_id].state.final:
            raise Refusal('403 "Order cannot be cancelled at this time."')
        await self.book.cancel(order_id)
        return {}

    # ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _known(self, account_number: str) -> None:
        if account_number not in {AGENTIC, BROKERAGE}:
            raise Refusal('404 "Account not found."')

    def _agents(self, account_number: str) -> None:
        self._known(account_number)
        if account_number != AGENTIC:
            raise Refusal("403 Account is not agentic_allowed.")

    def _paged(self, name: str, rows: list[Answer], cursor: str) -> Answer:
        start = int(cursor or 0)
        end = start + self.page
        told: Answer = {name: rows[start:end]}
        return told if end >= len(rows) else {**told, "next": str(end)}

    async def _rows(self) -> list[Answer]:
        fills = await self.book.executions()
        return [
            self._row(update, [f for f in fills if f.broker_id == update.broker_id]) for update in await self._all()
        ]

    async def _all(self) -> list[OrderUpdate]:
        return (await self.book.orders())[::-1]

    def _row(self, update: OrderUpdate, fills: Sequence[Execution]) -> Answer:
        placed = self.placed.get(update.broker_id)
        stops, limits = update.order_type.stops, update.order_type.limits
        created = placed.created_at if placed else update.updated_at
        told: Answer = {
            "id": update.broker_id,
            "symbol": update.symbol,
            "side": update.side.value,
            "type": "limit" if limits else "market",
            "trigger": "stop" if stops else "immediate",
            "state": STATES[update.state],
            "quantity": f"{update.quantity:.6f}",
            "cumulative_quantity": f"{update.filled:.6f}",
            "price": str(update.limit_price) if limits else None,
            "stop_price": str(update.stop_price) if stops else None,
            "average_price": str(update.average_price) if update.average_price is not None else None,
            "fees": str(sum((fill.fee for fill in fills), Decimal(0))),
            "time_in_force": placed.time_in_force if placed else "gfd",
            "market_hours": "regular_hours",
            "placed_agent": placed.agent if placed else "user",
            "created_at": created.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
            "last_transaction_at": update.updated_at.isoformat().replace("+00:00", "Z"),
            "executions": [_execution(fill) for fill in fills],
        }
        return told | ({"ref_id": placed.ref_id} if placed and self.knobs.echoes else {})


def _execution(fill: Execution) -> Answer:
    at = fill.at.isoformat().replace("+00:00", "Z")
    figures = {"price": str(fill.price), "quantity": str(fill.quantity), "fees": str(fill.fee)}
    return {"id": fill.execution_id, "timestamp": at, **figures}


def _moment(text: str) -> dt.datetime:
    at = dt.datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC if "T" in text else NEW_YORK)
