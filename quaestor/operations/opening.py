"""Opening the books of an account that lives at a real broker: they begin with what it holds at that moment.

Cash and shares come in at once, in one entry, as capital: shares at what they cost where the broker says so, else at
the last price. They are nobody's (`EXTERNAL`): no strategy sells what a person bought. What was ordered and filled
before is not in the books, so `SinceOpening` keeps it from whoever asks the broker: else a fill of last year would be
booked again. An order that works at that moment could fill on both sides of it; so there must be none. Nor may one have
filled a moment ago, or move while cash and shares are read: the broker's clock is not ours, and on which side of the
opening its fill is, nobody could say.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from quaestor.errors import BadInput, Temporary
from quaestor.ledger import Lot, opening
from quaestor.operations.marks import marked
from quaestor.orders import EXTERNAL, Execution, Intent, OrderUpdate, dollars, trimmed
from quaestor.ports import Recalling

if TYPE_CHECKING:
    from quaestor.ports import Account, BookStore, Broker, Lease, Quotes


QUIET = dt.timedelta(minutes=2)  # before the opening, in which no order filled
SKEW = QUIET / 2  # by which the broker's clock may differ from ours
LONGEST = dt.timedelta(days=95)  # that an order works: brokers end those that are good till canceled after 90 or less


async def open_real_account(
    books: BookStore, broker: Broker, quotes: Quotes, session: dt.date, at: dt.datetime, lease: Lease
) -> bool:
    """Begin the books with what the broker says now; False where they were begun before.

    Raises BadInput while an order works at the broker, where it has no cash, a share is held short, or its worth is not
    known; Temporary while orders or money move.
    """
    if await books.opened() is not None:
        return False
    account = await _at_rest(broker, session, at)
    if account.cash <= 0:
        raise BadInput(f"The broker says the account's cash is {account.cash:.2f} dollars. Deposit some, then start.")
    if short := sorted(symbol for symbol, count in account.positions.items() if count < 0):
        raise BadInput(f"{', '.join(short)}: held short; books cannot hold that. Cover it at the broker, then start.")
    lots = await _lots(account, quotes, session)
    return await books.book(opening(f"opening:{books.account}", account.cash, lots, session, at), lease)


async def _at_rest(broker: Broker, session: dt.date, at: dt.datetime) -> Account:
    """The account while no order works or moves: what was read first still stands after all was read."""
    before = await _ended(broker, session, at)
    account = await broker.account()
    if await broker.account() != account or await _ended(broker, session, at) != before:
        raise Temporary("The account moves while its books are to begin. Trade nothing by hand, then start again.")
    return account


async def _ended(broker: Broker, session: dt.date, at: dt.datetime) -> list[OrderUpdate]:
    orders = await broker.orders(session - LONGEST)
    if working := [order for order in orders if not order.state.final]:
        named = ", ".join(f"{order.side.value} {trimmed(order.quantity)} {order.symbol}" for order in working[:5])
        raise BadInput(f"{len(working)} orders work at the broker ({named}). Cancel them there, then start again.")
    if filled := [order for order in orders if order.filled and order.updated_at > at - QUIET]:
        raise Temporary(f"An order in {filled[0].symbol} filled a moment ago. Wait two minutes, then start again.")
    return orders


async def _lots(account: Account, quotes: Quotes, session: dt.date) -> list[Lot]:
    marks = await marked(sorted(account.positions), session - dt.timedelta(days=1), session, quotes)
    lots = []
    for symbol, quantity in sorted(account.positions.items()):
        price = account.costs.get(symbol) or (marks[symbol].price if symbol in marks else None)
        if price is None:
            raise BadInput(
                f"{symbol} is held, and neither its cost nor a price is known. Run `quaestor ingest {symbol}`."
            )
        lots.append(Lot(f"opening:{symbol}", EXTERNAL, symbol, session, quantity, dollars(quantity, price)))
    return lots


class SinceOpening:
    """Implements `ports.Broker` over another: what happened before the books were opened is not told."""

    def __init__(self, broker: Broker, books: BookStore) -> None:
        self._broker, self._books = broker, books
        self._opened: dt.datetime | None = None

    async def submit(self, intent: Intent) -> OrderUpdate:
        """See `ports.Broker`."""
        return await self._broker.submit(intent)

    def recall(self) -> None:
        """See `ports.Recalling`."""
        if isinstance(self._broker, Recalling):
            self._broker.recall()

    async def cancel(self, broker_id: str) -> None:
        """See `ports.Broker`."""
        await self._broker.cancel(broker_id)

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """Orders that changed since the books were opened, or still work."""
        opened, since = await self._since(since)
        told = await self._broker.orders(since)
        return [each for each in told if opened is None or not each.state.final or each.updated_at >= opened - SKEW]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """Fills since the books were opened."""
        opened, since = await self._since(since)
        return [each for each in await self._broker.executions(since) if opened is None or each.at >= opened - SKEW]

    async def account(self) -> Account:
        """See `ports.Broker`."""
        return await self._broker.account()

    async def halted(self) -> frozenset[str]:
        """See `ports.Broker`."""
        return await self._broker.halted()

    async def _since(self, since: dt.date | None) -> tuple[dt.datetime | None, dt.date | None]:
        """When the books were opened, and the later of both days: the years before are asked for never."""
        if self._opened is None:
            self._opened = await self._books.opened()
        if self._opened is None:
            return None, since
        first = self._opened.date() - dt.timedelta(days=1)
        return self._opened, first if since is None else max(since, first)
