"""Robinhood's crypto by the private API (nummus): quotes, holdings, orders, in the same strict words as shares.

Symbols are the pairs': BTC-USD. Pairs and the crypto account are looked up once; an order is one request from then on,
with our ref_id, and is answered as `broker` says. Robinhood has an official API for crypto, which is allowed and needs
no login: `[broker] kind = "robinhood-crypto"`. This is for what an account holds beside its shares.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from quaestor.doors.robinhood import orders
from quaestor.doors.robinhood.line import Line
from quaestor.doors.robinhood.orders import instant, number, session_of
from quaestor.doors.robinhood.quotes import crossing
from quaestor.doors.robinhood.wire import CRYPTO, HOST, STRANGE
from quaestor.errors import BadInput, BrokerAmbiguous, BrokerBusy, BrokerRejected, NotFound, QuaestorError
from quaestor.fetching import Reply
from quaestor.jsons import read_json
from quaestor.orders import Execution, Intent, OrderType, OrderUpdate, Side, trimmed
from quaestor.queueing import Priority
from quaestor.ticks import Tick

API = f"https://{CRYPTO}"
QUOTES = f"https://{HOST}/marketdata/forex/quotes/"
Row = Mapping[str, Any]


class Crypto:
    """Crypto at Robinhood, of the login that the line has."""

    name = "Robinhood crypto"

    def __init__(self, line: Line) -> None:
        self._line = line
        self._ids: dict[str, str] = {}  # pairs by symbol
        self._account = ""

    async def quotes(self, symbols: Sequence[str]) -> Sequence[Tick]:
        """The newest quote of each pair; one that has none is left out."""
        named = {await self._id(symbol): symbol for symbol in symbols}
        answer = await self._line.get("Quotes", QUOTES, {"ids": ",".join(named)})
        rows = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise BadInput(f"Quotes: Robinhood's answer is no list. {STRANGE}")
        return [crossing(named[row["id"]], row) for row in rows if row and row.get("id") in named]

    async def holdings(self) -> Mapping[str, Decimal]:
        """Coins by pair, of those of which there are any."""
        rows = await self._line.listing("Holdings", f"{API}/holdings/")
        with orders.reading("holdings"):
            held = {f"{row['currency']['code']}-USD": number(row["quantity"]) for row in rows}
        return {symbol: count for symbol, count in held.items() if count}

    async def orders(self) -> list[OrderUpdate]:
        """All orders, the oldest first."""
        symbols = await self._pairs()
        return [_update(row, _pair(row, symbols)) for row in await self._rows()]

    async def executions(self) -> list[Execution]:
        """All fills, the oldest first."""
        symbols = await self._pairs()
        fills = [fill for row in await self._rows() for fill in _executions(row, _pair(row, symbols))]
        return sorted(fills, key=lambda fill: fill.at)

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Send it; raises as `ports.Broker.submit`. Market and limit orders only."""
        try:
            body = await self._payload(intent)
        except NotFound as error:
            raise BrokerRejected(str(error)) from error
        except (BrokerRejected, BrokerBusy):
            raise
        except QuaestorError as error:
            raise BrokerBusy(f"Nothing was sent: {error}") from error
        rank = Priority.EXIT if intent.reduces else Priority.ENTRY
        return await self._placed(intent, await self._line.write(intent.symbol, f"{API}/orders/", body, rank))

    async def cancel(self, broker_id: str) -> None:
        """Ask to cancel; one that is over is left alone."""
        place = orders.place(API, broker_id)
        reply = await self._line.write("Cancel", f"{place}cancel/", {}, Priority.CANCEL)
        if 200 <= reply.status < 300:
            return
        if reply.status == 404:
            raise BrokerRejected(f"Robinhood knows no order {broker_id!r}.")
        if reply.status not in orders.NO:
            raise BrokerAmbiguous(f"Robinhood answered {reply.status} to a cancel of {broker_id}.")
        try:
            row = await self._line.get("Cancel", place)
        except QuaestorError as error:
            raise BrokerAmbiguous(f"Robinhood refused a cancel, and does not show the order: {error}") from error
        if row.get("cancel_url"):
            raise BrokerBusy(f"Robinhood does not cancel {broker_id} yet: {orders.words(read_json(reply.body))}")

    async def _placed(self, intent: Intent, reply: Reply) -> OrderUpdate:
        said = read_json(reply.body)
        if reply.status in {200, 201} and isinstance(said, dict) and said.get("ref_id") == str(intent.ref_id):
            try:
                return _update(said, intent.symbol)
            except BadInput as error:
                raise BrokerAmbiguous(f"{intent.symbol}: {error}") from error
        if reply.status in orders.NO and orders.duplicate(said):
            return await self._found(intent)
        if reply.status in orders.NO and isinstance(said, dict):
            raise BrokerRejected(f"Robinhood refused the order ({reply.status}): {orders.words(said)}")
        raise BrokerAmbiguous(f"{intent.symbol}: Robinhood answered {reply.status}, and no order. The list will tell.")

    async def _found(self, intent: Intent) -> OrderUpdate:
        """The order that came before with this ref_id."""
        try:
            rows = [row for row in await self._rows() if row.get("ref_id") == str(intent.ref_id)]
        except QuaestorError as error:
            raise BrokerAmbiguous(
                f"{intent.symbol}: Robinhood has the order; its list did not come: {error}"
            ) from error
        if not rows:
            raise BrokerAmbiguous(f"{intent.symbol}: Robinhood says it has the order, and does not list it yet.")
        return _update(rows[0], intent.symbol)

    async def _payload(self, intent: Intent) -> dict[str, Any]:
        if intent.order_type.stops:
            raise BrokerRejected("Robinhood takes no stops in crypto here; send a limit or a market order.")
        price = intent.limit_price if intent.order_type is OrderType.LIMIT else intent.reference_price
        return {
            "account_id": await self._account_id(),
            "currency_pair_id": await self._id(intent.symbol),
            "price": f"{trimmed(price or Decimal(0)):f}",
            "quantity": f"{trimmed(intent.quantity):f}",
            "ref_id": str(intent.ref_id),
            "side": intent.side.value,
            "time_in_force": intent.time_in_force.value,
            "type": intent.order_type.value,
        }

    async def _rows(self) -> list[Row]:
        rows = await self._line.listing("Crypto orders", f"{API}/orders/")
        with orders.reading("crypto orders"):
            unique = {row["id"]: row for row in reversed(rows)}
            return sorted(unique.values(), key=lambda row: str(row["created_at"]))

    async def _pairs(self) -> Mapping[str, str]:
        """Symbols by the pair's id."""
        if not self._ids:
            rows = await self._line.listing("Currency pairs", f"{API}/currency_pairs/")
            with orders.reading("currency pairs"):
                self._ids = {row["symbol"]: row["id"] for row in rows}
        return {pair: symbol for symbol, pair in self._ids.items()}

    async def _id(self, symbol: str) -> str:
        await self._pairs()
        if symbol not in self._ids:
            raise NotFound.named("pair", symbol, self._ids)
        return self._ids[symbol]

    async def _account_id(self) -> str:
        if not self._account:
            rows = await self._line.listing("Crypto account", f"{API}/accounts/")
            if not rows or not rows[0].get("id"):
                raise BrokerRejected("Robinhood lists no crypto account. Open one in its app.")
            self._account = str(rows[0]["id"])
        return self._account


def _pair(row: Row, symbols: Mapping[str, str]) -> str:
    found = symbols.get(str(row.get("currency_pair_id")))
    if found is None:
        raise BadInput(f"Robinhood lists an order in a pair that it does not tell of. {STRANGE}")
    return found


def _update(row: Row, symbol: str) -> OrderUpdate:
    with orders.reading(f"a crypto order ({row.get('id', 'without an id')})"):
        filled, quantity = number(row.get("cumulative_quantity") or 0), number(row["quantity"])
        kind = OrderType(row["type"])
        return OrderUpdate(
            broker_id=str(row["id"]),
            ref_id=uuid.UUID(row["ref_id"]) if row.get("ref_id") else None,
            symbol=symbol,
            side=Side(row["side"]),
            state=orders.state(row["state"], filled, quantity, cancellable=bool(row.get("cancel_url"))),
            quantity=quantity,
            filled=filled,
            average_price=number(row["average_price"]) if filled and row.get("average_price") else None,
            updated_at=instant(row.get("last_transaction_at") or row["updated_at"]),
            session=_session(row["created_at"]),
            order_type=kind,
            limit_price=number(row["price"]) if kind is OrderType.LIMIT else None,
        )


def _executions(row: Row, symbol: str) -> list[Execution]:
    with orders.reading(f"a crypto order ({row.get('id', 'without an id')})"):
        ref_id = uuid.UUID(row["ref_id"]) if row.get("ref_id") else None
        who = (str(row["id"]), ref_id, symbol, Side(row["side"]))
        return [
            Execution(
                str(each["id"]),
                *who,
                number(each["quantity"]),
                number(each["effective_price"]),
                Decimal(0),  # it is in the price
                _session(each["timestamp"]),
                instant(each["timestamp"]),
            )
            for each in row.get("executions") or ()
        ]


def _session(text: str) -> dt.date:
    return session_of(instant(text))
