"""Robinhood as a broker: one request per order, listings that are whole or none, and no answer that is not understood.

    submit   201 with our ref_id              the order as it stands
             400 "ref_id already exists"      it came before: the one that is there, found in the list
             400, 402, 403 with words         BrokerRejected, with the words
             401, 429, no connection          BrokerBusy: nothing was done, the same ref_id may come again
             anything else, or silence        BrokerAmbiguous: the outbox looks into the list (law 2)
    cancel   2xx                              asked; the end comes as news
             403 of an order that is over     left alone
             403 of an order that works       BrokerBusy: too early, ask again

Robinhood's API for normal accounts is private: see docs/robinhood.md before you trade through it. The account's number
comes out of the vault and stands in no message; `cash` is `portfolio_cash`, which counts what is not settled yet, as
the books do (`cash` alone leaves out deposits that Robinhood has advanced, `buying_power` is what may be borrowed).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from quaestor import admission, calendar
from quaestor.doors.robinhood import hours, orders
from quaestor.doors.robinhood.instruments import Instrument, Instruments
from quaestor.doors.robinhood.line import Line
from quaestor.doors.robinhood.quotes import Quotes
from quaestor.doors.robinhood.wire import HOST, STRANGE
from quaestor.errors import BadInput, BrokerAmbiguous, BrokerBusy, BrokerRejected, NotFound, QuaestorError
from quaestor.fetching import Reply
from quaestor.jsons import read_json
from quaestor.logs import know
from quaestor.orders import Execution, Intent, OrderUpdate
from quaestor.ports import Account
from quaestor.queueing import Priority
from quaestor.splits import Split
from quaestor.symbols import Symbology
from quaestor.ticks import Tick

API = f"https://{HOST}"
NEARBY = dt.timedelta(days=7)  # before its session: as early as an order of it may have been sent
Row = Mapping[str, Any]


class RobinhoodBroker:
    """Implements `ports.Broker` and `ports_live.QuotePoll`.

    number: fetches the account's number, blocking; universe: the symbols whose halts are asked for.
    """

    name = "Robinhood"

    def __init__(
        self,
        line: Line,
        number: Callable[[], str],
        *,
        universe: Sequence[str] = (),
        form_version: int = 7,
        symbology: Symbology | None = None,
    ) -> None:
        names = symbology or Symbology("Robinhood")
        self.line, self.instruments = line, Instruments(line, names)
        self._quotes = Quotes(line, names, self.instruments.saw)
        self._names, self._universe, self._form, self._fetch = names, tuple(universe), form_version, number
        self._known = ""  # the account's number, once it was fetched

    async def prepare(self, symbols: Sequence[str]) -> None:
        """Look up what orders in these symbols need, so that each order is one request; raises NotFound."""
        await self._number()
        for symbol in symbols:
            await self.instruments.of(symbol)

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, intent: Intent) -> OrderUpdate:
        """See `ports.Broker`."""
        if said := admission.malformed(intent):
            raise BrokerRejected(said)
        body = await self._payload(intent)
        rank = Priority.EXIT if intent.reduces else Priority.ENTRY
        return await self._placed(intent, await self.line.write(intent.symbol, f"{API}/orders/", body, rank))

    async def _payload(self, intent: Intent) -> dict[str, Any]:
        """The order's body; whatever fails here, nothing was sent."""
        try:
            account = await self._account()
            instrument = await self._traded(intent.symbol)
        except (BrokerRejected, BrokerBusy):
            raise
        except QuaestorError as error:
            raise BrokerBusy(f"Nothing was sent: {error}") from error
        return orders.payload(intent, account, instrument.url, self._form)

    async def _traded(self, symbol: str) -> Instrument:
        try:
            return await self.instruments.of(symbol)
        except NotFound as error:
            raise BrokerRejected(str(error)) from error

    async def _placed(self, intent: Intent, reply: Reply) -> OrderUpdate:
        said = read_json(reply.body)
        if reply.status in {200, 201} and isinstance(said, dict) and said.get("ref_id") == str(intent.ref_id):
            try:
                return orders.update(said, intent.symbol)
            except BadInput as error:
                raise BrokerAmbiguous(f"{intent.symbol}: {error}") from error
        if reply.status in orders.NO and orders.duplicate(said):
            return await self._found(intent)
        if reply.status in orders.NO and isinstance(said, dict):
            raise BrokerRejected(f"Robinhood refused the order ({reply.status}): {orders.words(said)}")
        raise BrokerAmbiguous(f"{intent.symbol}: Robinhood answered {reply.status}, and no order. The list will tell.")

    async def _found(self, intent: Intent) -> OrderUpdate:
        """The order that came before with this ref_id, out of the whole list."""
        try:
            rows = await self._rows(intent.session - NEARBY)
            mine = [row for row in rows if row.get("ref_id") == str(intent.ref_id)]
            if mine:
                return orders.update(mine[0], intent.symbol)
        except QuaestorError as error:
            raise BrokerAmbiguous(
                f"{intent.symbol}: Robinhood has the order; its list did not come: {error}"
            ) from error
        raise BrokerAmbiguous(f"{intent.symbol}: Robinhood says it has the order, and does not list it yet.")

    def recall(self) -> None:
        """See `ports.Recalling`: new orders are spaced, so that some may wait while a halt comes."""
        self.line.recall(Priority.ENTRY)

    async def cancel(self, broker_id: str) -> None:
        """See `ports.Broker`. Raises BrokerBusy where it is too early, BrokerRejected for an order nobody knows."""
        place = orders.place(API, broker_id)
        reply = await self.line.write("Cancel", f"{place}cancel/", {}, Priority.CANCEL)
        if 200 <= reply.status < 300:
            return
        said = read_json(reply.body)
        if reply.status == 404:
            raise BrokerRejected(f"Robinhood knows no order {broker_id!r}.")
        if reply.status not in orders.NO:
            raise BrokerAmbiguous(f"Robinhood answered {reply.status} to a cancel of {broker_id}.")
        if (await self._looked_at(place)).get("cancel"):
            raise BrokerBusy(f"Robinhood does not cancel {broker_id} yet: {orders.words(said)}")

    async def _looked_at(self, place: str) -> Row:
        try:
            row = await self.line.get("Cancel", place)
        except QuaestorError as error:
            raise BrokerAmbiguous(f"Robinhood refused a cancel, and does not show the order: {error}") from error
        return row if isinstance(row, dict) else {"cancel": "as long as nobody knows"}

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """See `ports.Broker`; the oldest first."""
        rows = await self._rows(since)
        names = await self._symbols(rows)
        found = [orders.update(row, names[row["id"]]) for row in rows]
        return [each for each in found if since is None or (each.session is not None and each.session >= since)]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """See `ports.Broker`."""
        rows = [row for row in await self._rows(since) if row.get("executions")]
        names = await self._symbols(rows)
        fills = [fill for row in rows for fill in orders.executions(row, names[row["id"]])]
        return sorted((fill for fill in fills if since is None or fill.session >= since), key=lambda fill: fill.at)

    async def _rows(self, since: dt.date | None) -> list[Row]:
        """All orders that moved since the session before that day was over, the oldest first.

        Those that were made or filled since are among them: both are moves.
        """
        asked = {"account_numbers": await self._number()}
        if since is not None:
            before = calendar.session_close(calendar.previous_session(since))
            asked["updated_at[gte]"] = before.strftime("%Y-%m-%dT%H:%M:%SZ")
        rows = await self.line.listing("Orders", f"{API}/orders/", asked)
        if any("id" not in row or "created_at" not in row for row in rows):
            raise BadInput(f"Robinhood lists an order without id or time. {STRANGE}")
        unique = {row["id"]: row for row in reversed(rows)}  # an order that came meanwhile moves the pages
        return sorted(unique.values(), key=lambda row: str(row["created_at"]))

    async def _symbols(self, rows: Sequence[Row]) -> dict[str, str]:
        """Our symbol of each row, by the row's id: rows tell the instrument only."""
        ids = {str(row.get("id") or row["instrument_id"]): _instrument(row) for row in rows}
        known = await self.instruments.named(ids.values())
        return {row: known[instrument].symbol for row, instrument in ids.items()}

    # ── account ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def account(self) -> Account:
        """See `ports.Broker`."""
        row = await self.line.get("Account", await self._account())
        asked = {"account_number": await self._number(), "nonzero": "true"}
        held = await self.line.listing("Positions", f"{API}/positions/", asked)
        known = await self.instruments.named([_instrument(each) for each in held])
        shares, costs = dict[str, Decimal](), dict[str, Decimal]()
        for each in held:
            symbol, count, cost = known[_instrument(each)].symbol, _shares(each), _cost(each)
            shares[symbol] = shares.get(symbol, Decimal(0)) + count  # an old instrument may stand beside the new one
            if count and cost:
                costs[symbol] = cost
        return Account(_field(row, "portfolio_cash"), {s: count for s, count in shares.items() if count}, costs)

    async def _number(self) -> str:
        if not self._known:
            self._known = (await asyncio.to_thread(self._fetch)).strip()
            know(self._known)
        return self._known

    async def _account(self) -> str:
        return f"{API}/accounts/{quote(await self._number(), safe='')}/"

    # ── market ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def quotes(self, symbols: Sequence[str]) -> Sequence[Tick]:
        """See `ports_live.QuotePoll`."""
        return await self._quotes.quotes(symbols)

    async def halted(self) -> frozenset[str]:
        """See `ports.Broker`: of the universe, and of all symbols that were traded in since."""
        known = {each.symbol: each for each in self.instruments.kept()}
        symbols = sorted({*self._universe, *known})
        if not symbols:
            return frozenset()
        barred = {symbol for symbol, each in known.items() if not each.tradable}
        return await self._quotes.halted(symbols) | barred

    async def instrument(self, symbol: str) -> Instrument:
        """What Robinhood calls a symbol; raises NotFound."""
        return await self.instruments.of(symbol)

    async def splits(self, symbol: str) -> list[Split]:
        """Its splits, announced ones among them, the oldest first."""
        instrument = await self.instruments.of(symbol)
        rows = await self.line.listing(symbol, f"{API}/instruments/{instrument.id}/splits/")
        return sorted(hours.split(symbol, row) for row in rows)

    async def hours_differ(self, day: dt.date) -> str:
        """How Robinhood's hours of a day differ from our calendar's; "" where they agree. Where not, do not trade."""
        return hours.differ(day, await self.line.get("Hours", f"{API}/markets/XNYS/hours/{day.isoformat()}/"))


def _instrument(row: Row) -> str:
    """The id of the instrument that a row is about."""
    named = row.get("instrument_id") or str(row.get("instrument") or "").rstrip("/").rpartition("/")[2]
    if not named:
        raise BadInput(f"Robinhood lists something without its instrument. {STRANGE}")
    return str(named)


def _shares(row: Row) -> Decimal:
    count = _field(row, "quantity")
    return -abs(count) if row.get("type") == "short" else count


def _cost(row: Row) -> Decimal | None:
    """Dollars per share as the clearing house has it: `average_buy_price` is 0 for what is settled."""
    return _field(row, "clearing_average_cost") if row.get("clearing_average_cost") else None


def _field(row: Row, name: str) -> Decimal:
    try:
        return orders.number(row[name])
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"Robinhood's answer has no {name} that can be read. {STRANGE}") from error
