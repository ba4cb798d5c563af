"""The server: what is asked is read, struck by faults, led its way, answered, and remembered without its secrets."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quaestor.doors.sim.faults import Fault, Vendor
from quaestor.doors.sim.robinhood import wire
from quaestor.doors.sim.robinhood.accounts import Accounts
from quaestor.doors.sim.robinhood.auth import Auth
from quaestor.doors.sim.robinhood.by_hand import ByHand
from quaestor.doors.sim.robinhood.crypto import Crypto
from quaestor.doors.sim.robinhood.exchange import Book, Floor, done
from quaestor.doors.sim.robinhood.history import History
from quaestor.doors.sim.robinhood.hours import Hours
from quaestor.doors.sim.robinhood.instruments import Instruments
from quaestor.doors.sim.robinhood.orders import Orders
from quaestor.doors.sim.robinhood.people import Person
from quaestor.doors.sim.robinhood.quotes import Priced, Prices
from quaestor.doors.sim.robinhood.wire import Answer, Ask, Refused, Way
from quaestor.splits import Split

if TYPE_CHECKING:
    import polars as pl

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
INSTEAD = frozenset({"status", "html", "hang"})  # faults that come before any work is done


@dataclass(frozen=True)
class Asked:
    """A request that came, as it was answered; `status` 0: the answer never came. No body, no token, no query."""

    method: str
    host: str
    path: str
    status: int


class RobinhoodServer(Vendor):
    """The state of it all: people and their tokens (`auth`), accounts, orders, quotes; every request, in `requests`.

    token: one access token that is taken without a login ("" with no people: any is); books: the exchange's, by account
    number; clock: what time it is there; today: the day of the history (None: the clock's).
    """

    def __init__(
        self,
        bars: pl.DataFrame | None = None,
        splits: Sequence[Split] = (),
        *,
        today: dt.date | None = None,
        token: str = "",
        made_up: Sequence[dt.datetime] = (),
        people: Sequence[Person] = (),
        books: Mapping[str, Book] | None = None,
        symbols: Sequence[str] = (),
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        super().__init__()
        self.clock, self.token, self.people = clock, token, list(people)
        self.lock = threading.RLock()
        self.requests: list[Asked] = []
        self.auth = Auth(self.people, self.now)
        self.instruments = Instruments(symbols)
        self.history = History(bars, splits, made_up, self.instruments, lambda: today or self.now().date())
        self.floor = Floor(books or {}, self.now)
        self.prices = Prices(self.instruments, self.now)
        self.orders = Orders(self.floor, self.instruments, self.prices, self.now)
        self.accounts = Accounts(self.floor, self.instruments, self.prices, self.now)
        self.hours = Hours(self.now)
        self.crypto = Crypto(self.floor, self.now)
        parts = (self.auth, self.instruments, self.history, self.prices, self.orders, self.accounts, self.hours)
        self._ways = [way for part in (*parts, self.crypto, ByHand(self)) for way in part.ways()]
        self.app = Starlette(routes=[Route("/{path:path}", self._serve, methods=METHODS)])

    def now(self) -> dt.datetime:
        """What time it is."""
        return self.clock()

    def quote(
        self,
        symbol: str,
        bid: Decimal | float | str | None,
        ask: Decimal | float | str | None,
        last: Decimal | float | str | None = None,
        at: dt.datetime | None = None,
        *,
        size: int | None = None,
        previous_close: Decimal | float | str | None = None,
    ) -> None:
        """The market moves, and fills what it reaches. size: shares that our orders may take of it (None: any)."""
        with self.lock:
            moment = at or self.now()
            price = Priced(_money(bid), _money(ask), _money(last), moment, before=_money(previous_close))
            if size is not None:
                price.bid_size, price.ask_size, price.left = size, size, Decimal(size)
            if symbol in self.crypto:
                self.crypto.on_quote(symbol, price)
                return
            if price.before is None and symbol in self.prices.known:
                price.before = self.prices.known[symbol].before
            self.instruments.add([symbol])
            self.prices.known[symbol] = price
            self.orders.on_quote(symbol, moment)

    def halt(self, symbol: str, reason: str = "news pending") -> None:
        """The symbol trades no more, and its orders are refused."""
        with self.lock:
            self.instruments.halts[symbol] = reason
            for book in self.floor.books.values():
                done(book.halt(symbol, reason))

    def end_halt(self, symbol: str) -> None:
        """It trades again."""
        with self.lock:
            self.instruments.halts.pop(symbol, None)
            for book in self.floor.books.values():
                done(book.end_halt(symbol))

    async def _serve(self, request: Request) -> Response:
        try:
            ask = await wire.read(request)
        except Refused as no:
            ask, answer = None, no.answer
        host = request.headers.get(wire.HOST, "api.robinhood.com")
        struck = self.struck(request, self._symbol(request), wire.place(request.query_params.get("cursor", ""))[0])
        _worded(struck)
        if ask is not None:
            ask.struck = struck
            answer = Answer() if INSTEAD & struck.keys() else self._answered(ask)
        response = await self.answer(request, answer.payload, struck)
        if not struck.keys() & (INSTEAD | {"lost"}):
            response.status_code = answer.status
            response.headers.update(answer.headers)
        status = 0 if struck.keys() & {"lost", "hang"} else response.status_code
        self.requests.append(Asked(request.method, host, request.url.path, status))
        return response

    def _symbol(self, request: Request) -> str:
        """Whose answer it is, for faults that strike a symbol alone."""
        asked = request.query_params
        if symbol := asked.get("symbols") or asked.get("symbol"):
            return symbol
        parts = request.url.path.split("/")
        return next((name for name in self.instruments if self.instruments.id(name) in parts), "")

    def _answered(self, ask: Ask) -> Answer:
        with self.lock:
            try:
                self.floor.roll()
                ask.person = self.auth.bearer(ask.bearer)
                way = self._way(ask)
                if not way.free and not self._known(ask):
                    raise Refused(401, {"detail": "Invalid token."})
                return way.answer(ask)
            except Refused as no:
                return no.answer

    def _known(self, ask: Ask) -> bool:
        return ask.person is not None or (ask.bearer == self.token if self.token else not self.people)

    def _way(self, ask: Ask) -> Way:
        slashed = ask.path.rstrip("/") + "/"
        for way in self._ways:
            if (parts := way.leads(ask.method, ask.host, ask.path)) is not None:
                ask.parts = parts
                return way
        if ask.method == "GET" and any(way.leads("GET", ask.host, slashed) is not None for way in self._ways):
            query = f"?{'&'.join(f'{name}={value}' for name, value in ask.query.items())}" if ask.query else ""
            raise Refused(301, {}, {"Location": f"https://{ask.host}{slashed}{query}"})
        raise Refused(404, {"detail": "Not found."})


def _money(price: Decimal | float | str | None) -> Decimal | None:
    return None if price is None else Decimal(str(price))


def _worded(struck: dict[str, Fault]) -> None:
    """A 429 says how long to wait, in Robinhood's words."""
    fault = struck.get("status")
    if fault is not None and fault.status == 429 and fault.words is None:
        fault.words = wire.throttled(float(fault.headers.get("Retry-After", 2))).answer.payload
