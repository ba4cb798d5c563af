"""The broker at Robinhood's Agentic Trading channel: equities, in the one account that its owner opened to agents.

An order is placed with our `ref_id`, which upstream takes once: sent again, it is refused as known ("Reference ID must
be unique."), and the order is looked up in the list. So a repeated `submit` ends with the one order, whichever of the
sends arrived. What an approval by its owner changes, `approvals` says.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from quaestor.calendar import previous_session, session_close
from quaestor.doors.robinhood_agentic import reading
from quaestor.doors.robinhood_agentic.approvals import Approvals
from quaestor.doors.robinhood_agentic.attribution import AGENTS, Attribution
from quaestor.doors.robinhood_agentic.line import Line, unreadable
from quaestor.doors.robinhood_agentic.reading import UNREADABLE, Row
from quaestor.doors.robinhood_agentic.refusals import Known
from quaestor.errors import BadInput, BrokerAmbiguous, BrokerRejected, QuaestorError
from quaestor.logs import know
from quaestor.orders import Execution, Intent, OrderUpdate
from quaestor.ports import Account, Alerts, StoredOrder
from quaestor.queueing import Priority
from quaestor.symbols import Symbology
from quaestor.ticks import Tick

GTC = dt.timedelta(days=95)  # for how long an order until canceled may fill: Robinhood ends it after 90 days
PAGES = 500  # of one list
TRADABLE = 10  # symbols that get_equity_tradability takes
QUOTED = 20  # symbols that get_equity_quotes takes without a remark

Books = Callable[[], Awaitable[Sequence[StoredOrder]]]


class RobinhoodAgenticBroker:
    """Implements `ports.Broker` and `ports_live.QuotePoll`.

    number: the account's number, out of the vault, where `secret` is its name; empty: the only account that is open to
    agents. books: the open
    orders that are stored, so that orders of an earlier process are known; alerts: who is told of an approval that is
    waited for; watched: symbols that `halted` looks at.
    """

    name = "robinhood-agentic"

    def __init__(
        self,
        line: Line,
        number: Callable[[], str] = str,
        *,
        secret: str = "rh-ALIAS-account",  # noqa: S107  # a name
        books: Books | None = None,
        alerts: Alerts | None = None,
        watched: Collection[str] = (),
        symbology: Symbology | None = None,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._line, self._number, self._books = line, number, books
        self._secret, self._names = secret, symbology or Symbology("Robinhood")
        self._watched, self._clock = sorted(watched), clock
        self._account = ""
        self._known, self._approvals = Attribution(), Approvals(alerts)

    async def open(self) -> None:
        """Look whether all is as it should be: the tools, the token, the account. Raises what says otherwise."""
        await self._line.open()
        await self._number_of()

    async def aclose(self) -> None:
        """Close the line."""
        await self._line.aclose()

    # ── out ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, intent: Intent) -> OrderUpdate:
        """See `ports.Broker`; raises ApprovalPending while its owner has not approved it."""
        terms = reading.terms(intent, await self._number_of(), self._theirs(intent.symbol))
        self._approvals.may_ask(intent.ref_id)
        first = self._known.sending(intent, self._clock())
        priority = Priority.EXIT if intent.reduces else Priority.ENTRY
        try:
            data = await self._place({**terms, "ref_id": str(intent.ref_id)}, priority)
        except Known:
            return await self._found(intent)
        except BrokerRejected:
            if first:  # a no to a repeated send says nothing about the first one
                self._known.answered(intent.ref_id, None)
            raise
        return await self._placed(intent, data)

    async def _place(self, terms: Mapping[str, Any], priority: Priority) -> Mapping[str, Any]:
        """Place it; where Robinhood wants a review before it, with one."""
        try:
            return await self._line.call("place_equity_order", terms, writes=True, priority=priority)
        except BrokerRejected as error:
            if "review_equity_order" not in str(error):
                raise
        reviewed = {name: value for name, value in terms.items() if name != "ref_id"}
        await self._line.call("review_equity_order", reviewed, priority=priority)
        return await self._line.call("place_equity_order", terms, writes=True, priority=priority)

    async def _placed(self, intent: Intent, data: Mapping[str, Any]) -> OrderUpdate:
        order = data.get("order", data)
        try:
            await self._approvals.mind(intent, data, order)
        except BrokerRejected:
            self._known.answered(intent.ref_id, None)
            raise
        row = self._row(order, "place_equity_order", writes=True)
        owner = self._known.name_of(row.update.broker_id)
        if row.update.ref_id not in {None, intent.ref_id} or owner not in {None, intent.ref_id}:
            raise BrokerAmbiguous("Robinhood answered with another order of ours; the list will tell.")
        self._known.answered(intent.ref_id, row.update.broker_id)
        self._approvals.over(intent.ref_id)
        return self._known.named([row])[0].update

    async def _found(self, intent: Intent) -> OrderUpdate:
        """The order that Robinhood has under this ref_id already."""
        try:
            rows = await self._rows(_begins(intent.session))
        except QuaestorError as error:
            raise BrokerAmbiguous(f"Robinhood knows this ref_id; its list did not come: {error}") from error
        for row in rows:
            if row.update.ref_id == intent.ref_id:
                self._known.answered(intent.ref_id, row.update.broker_id)
                self._approvals.over(intent.ref_id)
                return row.update
        raise BrokerAmbiguous(
            "Robinhood knows this ref_id and lists no order under it yet; it may wait for an approval."
        )

    async def cancel(self, broker_id: str) -> None:
        """See `ports.Broker`. A refusal is none where the order is done; raises BrokerRejected where it works on."""
        arguments = {"account_number": await self._number_of(), "order_id": broker_id}
        try:
            await self._line.call("cancel_equity_order", arguments, writes=True, priority=Priority.CANCEL)
        except BrokerRejected:
            rows = [row async for row in self._pages(arguments, Priority.CANCEL)]
            if not any(row.update.broker_id == broker_id and row.update.state.final for row in rows):
                raise

    # ── in ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """See `ports.Broker`; oldest first. A page that fails fails the whole."""
        return [row.update for row in await self._rows(_begins(since) if since else None)]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """See `ports.Broker`. An order until canceled may fill months later, so older orders are looked at too."""
        rows = await self._rows(_begins(since) - GTC if since else None)
        fills = [fill for row in rows for fill in row.fills if since is None or fill.session >= since]
        return sorted(fills, key=lambda fill: fill.at)

    async def account(self) -> Account:
        """Cash and positions now."""
        number = {"account_number": await self._number_of()}
        told = await self._line.call("get_portfolio", number)
        positions: dict[str, Decimal] = {}
        costs: dict[str, Decimal] = {}
        try:
            cash = Decimal(told["cash"])
            async for each in self._listed("get_equity_positions", "positions", number, Priority.READ):
                held = Decimal(each["quantity"]) * (-1 if each.get("type") == "short" else 1)
                symbol = self._ours(str(each["symbol"]))
                positions[symbol] = positions.get(symbol, Decimal(0)) + held
                if Decimal(each.get("average_buy_price") or 0) > 0:
                    costs[symbol] = Decimal(each["average_buy_price"])
        except UNREADABLE as error:
            raise unreadable("get_portfolio or get_equity_positions", f"what is no account ({error})") from error
        return Account(cash, {symbol: count for symbol, count in positions.items() if count}, costs)

    async def halted(self) -> frozenset[str]:
        """Of the watched symbols, those that take no orders now."""
        number, found = await self._number_of(), set[str]()
        for some in _by(self._watched, TRADABLE):
            asked = {"account_number": number, "symbols": [self._theirs(symbol) for symbol in some]}
            told = await self._line.call("get_equity_tradability", asked)
            results = told.get("results")
            if not isinstance(results, list):
                raise unreadable("get_equity_tradability", "no results")
            free = [each for each in results if each.get("tradeable") and each.get("state") == "active"]
            found |= set(some) - {self._ours(str(each.get("symbol"))) for each in free}
        return frozenset(found)

    async def quotes(self, symbols: Sequence[str]) -> Sequence[Tick]:
        """See `ports_live.QuotePoll`."""
        told: list[Tick] = []
        for some in _by(symbols, QUOTED):
            asked = {"symbols": [self._theirs(symbol) for symbol in some]}
            data = await self._line.call("get_equity_quotes", asked)
            try:
                told += reading.ticks(data["results"], time.time_ns(), self._ours)
            except (*UNREADABLE, OverflowError) as error:
                raise unreadable("get_equity_quotes", f"what is no quote ({error})") from error
        return told

    # ── lists ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _rows(self, begins: dt.datetime | None) -> list[Row]:
        """All orders created since then, oldest first, each with its name where it has one."""
        arguments = {"account_number": await self._number_of()}
        if begins is not None:
            arguments["created_at_gte"] = begins.strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = {row.update.broker_id: row async for row in self._pages(arguments, Priority.READ)}
        aged = list(rows.values())[::-1]  # they come newest first
        aged.sort(key=lambda row: row.created_at)
        unnamed = any(row.update.ref_id is None and row.agent in AGENTS for row in aged)
        return self._known.named(aged, await self._books() if unnamed and self._books is not None else ())

    async def _pages(self, arguments: Mapping[str, Any], priority: Priority) -> AsyncIterator[Row]:
        async for each in self._listed("get_equity_orders", "orders", arguments, priority):
            yield self._row(each, "get_equity_orders")

    async def _listed(
        self, tool: str, name: str, arguments: Mapping[str, Any], priority: Priority
    ) -> AsyncIterator[Any]:
        """All of a list, page after page."""
        cursor, seen = "", set[str]()
        for _ in range(PAGES):
            page = await self._line.call(
                tool, {**arguments, "cursor": cursor} if cursor else arguments, priority=priority
            )
            if not isinstance(page.get(name), list):
                raise unreadable(tool, f"no list of {name}")
            for each in page[name]:
                yield each
            cursor = reading.cursor(page)
            if not cursor:
                return
            if cursor in seen:
                break
            seen.add(cursor)
        raise unreadable(tool, "pages that turn in a circle")

    def _row(self, told: Any, tool: str, *, writes: bool = False) -> Row:
        try:
            return reading.row(told, self._ours)
        except UNREADABLE as error:
            raise unreadable(tool, f"what is no order ({type(error).__name__}: {error})", writes=writes) from error

    def _theirs(self, symbol: str) -> str:
        try:
            return self._names.theirs(symbol)
        except BadInput as error:
            raise BrokerRejected(f"{error} Nothing was sent.") from error

    def _ours(self, name: str) -> str:
        """Our spelling; its own for what is no symbol of ours, such as a warrant that somebody holds."""
        try:
            return self._names.ours(name)
        except BadInput:
            return name

    async def _number_of(self) -> str:
        """The account's number, once looked at: it must be open to agents."""
        if not self._account:
            told = (await self._line.call("get_accounts", {})).get("accounts")
            if not isinstance(told, list):
                raise unreadable("get_accounts", "no accounts")
            for each in told:
                know(str(each.get("account_number") or ""))  # law 10: in no log and no message
            self._account = reading.chosen(told, self._number(), self._secret)
        return self._account


def _begins(session: dt.date) -> dt.datetime:
    """From when on an order may have been placed for that session: the close of the one before."""
    return session_close(previous_session(session))


def _by(symbols: Sequence[str], count: int) -> Iterator[list[str]]:
    for start in range(0, len(symbols), count):
        yield list(symbols[start : start + count])
