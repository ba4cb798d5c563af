"""The door to Robinhood's crypto account: a `ports.Broker` and a `ports_live.QuotePoll`.

An order carries its ref_id as `client_order_id`, on every try the same: Robinhood answers a second one with the first
one's order, or refuses the name as taken, and then the order is looked for in its list. Prices and quantities are on
the pair's own steps, or the order is not sent. Crypto has no sessions: an order's and a fill's session is the date in
New York of its time, also on days when the exchanges rest; an order for a later day is not sent before that day.

Robinhood tells what can be spent, not the cash: open purchases are added back, at their price and the fee they still
expect. That money is shared with whatever else the account does: let nobody but Quaestor trade on it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any, TypeVar

from quaestor.calendar import NEW_YORK
from quaestor.doors.robinhood_crypto import fills, orders
from quaestor.doors.robinhood_crypto.fields import ZERO, amount, floored, session, text
from quaestor.doors.robinhood_crypto.fields import time as told_time
from quaestor.doors.robinhood_crypto.line import Line, Query, Row, Said
from quaestor.doors.robinhood_crypto.orders import Pair
from quaestor.errors import BadInput, BrokerAmbiguous, BrokerBusy, BrokerRejected, NotFound, Permanent, Temporary
from quaestor.logs import know
from quaestor.orders import Execution, Intent, OrderUpdate, Side, trimmed
from quaestor.ports import Account
from quaestor.symbols import Symbology
from quaestor.ticks import QuoteTick, Tick

T = TypeVar("T")
TRADING, MARKET = "/api/v2/crypto/trading", "/api/v2/crypto/marketdata"
ORDERS, PAIRS, QUOTES = f"{TRADING}/orders/", f"{TRADING}/trading_pairs/", f"{MARKET}/best_bid_ask/"
ACCOUNTS, HOLDINGS = f"{TRADING}/accounts/", f"{TRADING}/holdings/"
KEPT = 60.0  # seconds that the pairs are kept
CROSSED = Decimal("0.01")  # how far a bid may stand above its ask and be the same price, asked twice
LOOKS = 3  # at an account that moves while it is read
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class RobinhoodCryptoBroker:
    """Implements `ports.Broker` and `ports_live.QuotePoll`. in_flight: reads, and writes, at a time; now: aware."""

    name = "robinhood-crypto"

    def __init__(
        self,
        line: Line,
        *,
        symbology: Symbology | None = None,
        in_flight: int = 4,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._line, self._now, self._names = line, now, symbology or Symbology("Robinhood")
        self._readers = ThreadPoolExecutor(in_flight, thread_name_prefix="robinhood-crypto-read")
        self._writers = ThreadPoolExecutor(in_flight, thread_name_prefix="robinhood-crypto-write")
        self._opening, self._pairing = threading.Lock(), threading.Lock()
        self._number = ""
        self._pairs: dict[str, Pair] = {}
        self._pairs_at = float("-inf")
        self._told: dict[str, Decimal] = {}  # fees by execution id
        self._telling = threading.Lock()

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Send an order, or find the one that came with its ref_id before.

        Raises BrokerRejected, BrokerBusy (nothing was accepted), BrokerAmbiguous; VaultRefused where there is no key.
        """
        return await self._run(lambda: self._submit(intent), self._writers)

    async def cancel(self, broker_id: str) -> None:
        """Ask to cancel; one that is over is left as it is. Raises BrokerRejected for an order nobody knows."""
        await self._run(lambda: self._cancel(broker_id), self._writers)

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """All orders made on or after that date in New York, oldest first."""
        rows = await self._run(lambda: self._orders(_from("created_at_start", since)))
        rows.sort(key=lambda row: (told_time(row, "created_at"), text(row, "id")))
        listed = [orders.update(row, self._names) for row in rows]
        return [each for each in listed if since is None or (each.session and each.session >= since)]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills whose date in New York is on or after that, oldest first."""
        rows = await self._run(lambda: self._orders(_from("updated_at_start", since)))
        with self._telling:
            found = [fill for row in rows for fill in fills.fills(row, orders.update(row, self._names), self._told)]
        return sorted((f for f in found if since is None or f.session >= since), key=lambda f: (f.at, f.execution_id))

    async def account(self) -> Account:
        """Cash as the books count it, and coins by pair. Raises Temporary where it moves all the while."""
        return await self._run(self._account)

    async def halted(self) -> frozenset[str]:
        """Pairs that the API takes no orders in; one that takes sales only is not among them."""
        pairs = await self._run(self._all_pairs)
        return frozenset(
            self._names.ours(each.symbol) for each in pairs if not each.open and self._nameable(each.symbol)
        )

    async def quotes(self, symbols: Sequence[str]) -> Sequence[Tick]:
        """Best bid and ask of each; Robinhood tells no sizes and no trades.

        It looks at the two sides one after the other, so that a bid may stand above its ask: within 1% the lower one
        is told as the bid.
        """
        query = [("symbol", self._names.theirs(symbol)) for symbol in symbols]
        if not query:
            return []
        answer = await self._run(lambda: self._line.get(QUOTES, query))
        rows = answer.get("results") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise BadInput("Robinhood answered with what are no quotes; it may have changed its form.")
        return [tick for row in rows if isinstance(row, dict) and (tick := self._tick(row))]

    async def lot(self, symbol: str) -> Pair:
        """The steps and bounds of a pair. Raises NotFound."""
        for each in await self._run(self._all_pairs):
            if each.symbol == self._names.theirs(symbol):
                return each
        raise NotFound(f"Robinhood trades no pair {symbol!r}; write it like BTC-USD.")

    def close(self) -> None:
        """Close connections and threads."""
        for threads in (self._readers, self._writers):
            threads.shutdown(wait=False, cancel_futures=True)
        self._line.close()

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _submit(self, intent: Intent) -> OrderUpdate:
        try:
            theirs = self._pair_name(intent.symbol)
            if said := orders.unfit(intent, self._pair(theirs), session(self._now())):
                raise BrokerRejected(said)
            number = self._account_number()
        except Temporary as error:
            raise BrokerBusy(f"{error} The order was not sent.", getattr(error, "retry_after", 1.0)) from error
        try:
            row = self._line.post(ORDERS, [("account_number", number)], orders.body(intent, theirs))
            return self._answered(row, intent)
        except Said as no:
            if no.status == 409 or "client_order_id" in no.fields:
                return self._placed_before(intent, no.words)
            raise BrokerRejected(f"Robinhood refuses the order: {no.words}.") from no

    def _answered(self, row: Any, intent: Intent) -> OrderUpdate:
        """The order in an answer; whatever else is in it leaves the order's fate open."""
        try:
            update = orders.update(row, self._names)
        except (BadInput, AttributeError) as error:
            raise BrokerAmbiguous(f"Robinhood's answer to the order cannot be read: {error}") from error
        if (update.ref_id, update.symbol, update.side) != (intent.ref_id, intent.symbol, intent.side):
            raise BrokerAmbiguous("Robinhood answered the order with another order; its list will tell.")
        return update

    def _placed_before(self, intent: Intent, words: str) -> OrderUpdate:
        """The order that has this ref_id already: it was made on its session's date or later."""
        try:
            for row in self._orders(_from("created_at_start", intent.session)):
                if row.get("client_order_id") == str(intent.ref_id):
                    return self._answered(row, intent)
        except (Temporary, Permanent) as error:
            raise BrokerAmbiguous(f"Robinhood knows the order's name ({words}), and its list fails: {error}") from error
        raise BrokerAmbiguous(f"Robinhood refuses the order's name ({words}), and does not list it yet.")

    def _cancel(self, broker_id: str) -> None:
        if not re.fullmatch(r"[0-9A-Za-z-]{1,64}", broker_id):
            raise BrokerRejected(f"Robinhood knows no order {broker_id[:64]!r}.")
        try:
            self._line.post(f"{ORDERS}{broker_id}/cancel/")
        except Said as no:
            if no.status == 404 or not self._is_over(broker_id):
                raise BrokerRejected(f"Robinhood refuses to cancel: {no.words}.") from no

    def _is_over(self, broker_id: str) -> bool:
        try:
            (row,) = self._orders([("id", broker_id)])
            return orders.update(row, self._names).state.final
        except (Temporary, Permanent, ValueError) as error:
            raise BrokerAmbiguous(f"Whether order {broker_id} is over is not known: {error}") from error

    def _orders(self, query: Query) -> list[Row]:
        """All pages; an order that moved from one to the other while they turned comes once."""
        rows = self._line.pages(ORDERS, [("account_number", self._account_number()), *query])
        return list({text(row, "id"): row for row in rows}.values())

    # ── pairs ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pair_name(self, symbol: str) -> str:
        try:
            theirs = self._names.theirs(symbol)
        except BadInput as error:
            raise BrokerRejected(str(error)) from error
        if not re.fullmatch(r"[A-Z0-9.]+-USD", theirs):
            raise BrokerRejected(f"{symbol!r} is no pair of Robinhood's; write it like BTC-USD.")
        return theirs

    def _pair(self, theirs: str) -> Pair | None:
        """For an order: as it was told last, however long ago; an exit waits for no list."""
        if not self._pairs:
            self._all_pairs()
        return self._pairs.get(theirs)

    def _all_pairs(self) -> list[Pair]:
        """Every pair, kept for a minute: who trades, and in which steps, changes rarely."""
        with self._pairing:
            if time.monotonic() - self._pairs_at > KEPT:
                found = [orders.pair(row) for row in self._line.pages(PAIRS)]
                if not found:
                    raise Temporary("Robinhood told of no pair at all; that passes.")
                self._pairs, self._pairs_at = {each.symbol: each for each in found}, time.monotonic()
            return list(self._pairs.values())

    def _nameable(self, theirs: str) -> bool:
        try:
            return bool(self._names.ours(theirs))
        except BadInput:
            return False  # a name that is too long for ours: nobody here can trade it

    # ── the account ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _account_number(self) -> str:
        with self._opening:
            if not self._number:
                self._number = text(self._account_row(), "account_number")
                know(self._number)
            return self._number

    def _account_row(self) -> Row:
        rows = self._line.pages(ACCOUNTS)
        ours = [row for row in rows if row.get("is_api_tradable") is not False]
        if len(ours) > 1:
            raise BadInput(
                f"This key opens {len(ours)} accounts for trading; let it open one: make it for that account."
            )
        if not ours:
            raise BadInput("This key opens no account for trading; open Robinhood Crypto in the app first.")
        return ours[0]

    def _account(self) -> Account:
        for _ in range(LOOKS):
            before = amount(self._account_row(), "buying_power")
            number = [("account_number", self._account_number())]
            promised = sum(
                (_promised(row) for state in ("open", "partially_filled") for row in self._working(state)), ZERO
            )
            held = self._line.pages(HOLDINGS, number)
            if amount(self._account_row(), "buying_power") == before:
                return Account(trimmed(before + promised), self._positions(held))
        raise Temporary("The account moved while it was read, three times; try again.")

    def _working(self, state: str) -> list[Row]:
        return self._orders([("state", state)])

    def _positions(self, rows: Iterable[Row]) -> dict[str, Decimal]:
        held = {self._names.ours(f"{text(row, 'asset_code')}-USD"): amount(row, "total_quantity") for row in rows}
        return {symbol: floored(quantity) for symbol, quantity in held.items() if floored(quantity)}

    def _tick(self, row: Row) -> QuoteTick | None:
        bid, ask = amount(row, "bid", ZERO), amount(row, "ask", ZERO)
        if ask < bid <= ask * (1 + CROSSED):
            bid, ask = ask, bid
        at = (told_time(row, "timestamp") - EPOCH) // dt.timedelta(microseconds=1) * 1000
        symbol = self._names.ours(text(row, "symbol"))
        return QuoteTick(symbol, at, float(bid), float(ask), 0.0, 0.0) if bid > 0 and ask > 0 else None

    async def _run(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        """In a thread: writes have their own, so that reads which hang hold none of them up."""
        return await asyncio.get_running_loop().run_in_executor(threads or self._readers, work)


def _from(name: str, since: dt.date | None) -> list[tuple[str, str]]:
    """A filter with a day to spare: what is told is looked through once more."""
    if since is None:
        return []
    midnight = dt.datetime.combine(since - dt.timedelta(days=1), dt.time(), NEW_YORK).astimezone(dt.UTC)
    return [(name, midnight.strftime("%Y-%m-%dT%H:%M:%SZ"))]


def _promised(row: Row) -> Decimal:
    """The dollars that an open purchase still holds back."""
    if row.get("side") != Side.BUY.value:
        return ZERO
    terms = row.get(f"{row.get('type')}_order_config") or {}
    filled, fee = amount(row, "filled_asset_quantity", ZERO), amount(row, "estimated_fee_remaining", ZERO)
    price = amount(terms, "limit_price", amount(terms, "stop_price", ZERO))
    return (amount(terms, "asset_quantity", filled) - filled) * price + fee
