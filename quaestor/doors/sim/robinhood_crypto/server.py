"""The protocol server: Robinhood's crypto API as its documents, and what it was seen to answer, say.

Amounts are text or bare numbers where Robinhood's are: an order's quantities are text with 18 decimals, its fees and
the holdings are numbers. A limit order's time in force is taken and not told back. Addresses of next pages are
Robinhood's own. A second order with a client_order_id is answered with the first (`duplicates` = "refuse": with 400).

Faults (`faults`) strike by path. One of the kind `status` comes in the place of the work; every other comes after it:
the order is made, and the answer is lost. A person moves the market: `quote`, or PUT /sim/quotes/ on this machine.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quaestor.doors.sim.faults import Vendor
from quaestor.doors.sim.robinhood_crypto import telling
from quaestor.doors.sim.robinhood_crypto.book import Book, Market, Order, Pair, Row
from quaestor.doors.sim.robinhood_crypto.book import No as Refusal
from quaestor.doors.sim.robinhood_crypto.gate import Gate, No
from quaestor.pacing import Bucket

API = "https://trading.robinhood.com"
TRADING, MARKETDATA = "/api/v2/crypto/trading", "/api/v2/crypto/marketdata"
FEE = Decimal("0.0095")  # of the value, as a small account was told in 2026
PAGE = 50  # rows
Work = Callable[[Request, Book, bytes], tuple[int, Any]]


class RobinhoodCryptoServer(Vendor):
    """The server's state. Thread-safe: a test moves the market while the server serves.

    now: its clock, aware; fee_ratio: of the value of each fill; page: rows on a page; per_minute, burst: requests
    (None: any number).
    """

    def __init__(
        self,
        *,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
        pairs: Iterable[Pair] = (Pair("BTC-USD"), Pair("ETH-USD")),
        fee_ratio: Decimal = FEE,
        page: int = PAGE,
        per_minute: float | None = 100,
        burst: float = 300,
    ) -> None:
        super().__init__()
        self.now, self.fee_ratio, self.page = now, fee_ratio, page
        self.duplicates: Literal["answer", "refuse"] = "answer"
        self.market, self.books = Market(pairs), dict[str, Book]()
        self.gate = Gate(Bucket(None if per_minute is None else per_minute / 60, burst))
        self._lock = threading.RLock()
        orders = f"{TRADING}/orders/"
        self.app = Starlette(
            routes=[
                self._route(f"{TRADING}/accounts/", "GET", self._accounts),
                self._route(f"{TRADING}/trading_pairs/", "GET", self._pairs),
                self._route(f"{TRADING}/holdings/", "GET", self._holdings),
                self._route(f"{TRADING}/estimated_price/", "GET", self._estimate),
                self._route(f"{MARKETDATA}/best_bid_ask/", "GET", self._quotes),
                self._route(orders, "GET", self._list),
                self._route(orders, "POST", self._place),
                self._route(f"{orders}{{id}}/", "GET", self._one),
                self._route(f"{orders}{{id}}/cancel/", "POST", self._cancel),
                Route("/sim/quotes/", self._moved, methods=["PUT"]),
            ]
        )

    # ── what a person does ────────────────────────────────────────────────────────────────────────────────────────────

    def register(
        self, api_key: str, public_key: str, *, cash: Decimal = Decimal(0), number: str = "RHC000000001"
    ) -> Book:
        """Take a key and open its account with that cash; a second key of the same account finds it as it is."""
        with self._lock:
            self.gate.register(api_key, public_key, number)
            return self.books.setdefault(number, Book(self.market, number, cash, self.fee_ratio, self.now))

    def quote(self, symbol: str, bid: Decimal | str, ask: Decimal | str, size: Decimal | None = None) -> None:
        """The market moves there; what can trade trades, of that size at most (None: all of it)."""
        with self._lock:
            if symbol not in self.market.pairs:
                raise Refusal(f"Invalid symbol: {symbol}", "symbol")
            self.market.quotes[symbol] = (Decimal(bid), Decimal(ask), size, self.now())
            self.match()

    def pair(self, pair: Pair) -> None:
        """A pair is traded from now on, or otherwise than before."""
        with self._lock:
            self.market.pairs[pair.symbol] = pair

    def match(self) -> None:
        """Trade what the quotes allow, and end what was good for a day that is over."""
        with self._lock:
            for book in self.books.values():
                book.match()

    # ── the protocol ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _route(self, path: str, method: str, work: Work) -> Route:
        async def answered(request: Request) -> Response:
            response = await self._answered(request, work)
            response.headers["Date"] = format_datetime(self.now().astimezone(dt.UTC), usegmt=True)
            return response

        return Route(path, answered, methods=[method])

    async def _answered(self, request: Request, work: Work) -> Response:
        body = await request.body()
        struck = self.struck(request, request.query_params.get("symbol", ""), _cursor(request))
        done = self._done(request, body, work, idle="status" in struck)
        if isinstance(done, Response):
            return done
        status, payload = done
        response = await self.answer(request, payload, struck)
        response.status_code = status if response.status_code == 200 else response.status_code
        return response

    def _done(self, request: Request, body: bytes, work: Work, *, idle: bool) -> Response | tuple[int, Any]:
        """The work and what it answers, or a refusal; idle: the work is not done."""
        with self._lock:
            account = self.gate.judge(request, body, self.now().timestamp())
            if isinstance(account, No):
                return _refused(account.status, account.detail, None, account.retry_after)
            if idle:
                return 200, None
            try:
                self.match()
                return work(request, self.books[account], body)
            except Refusal as no:
                return _refused(no.status, no.detail, no.attr)

    def _accounts(self, request: Request, book: Book, _: bytes) -> tuple[int, Any]:
        return 200, self._paged(request, [telling.account(book)])

    def _pairs(self, request: Request, _: Book, __: bytes) -> tuple[int, Any]:
        wanted = request.query_params.getlist("symbol")
        if unknown := [name for name in wanted if name not in self.market.pairs]:
            raise Refusal(f"Invalid symbol: {unknown[0]}", "symbol")
        rows = [pair.row() for name, pair in sorted(self.market.pairs.items()) if not wanted or name in wanted]
        return 200, self._paged(request, rows)

    def _holdings(self, request: Request, book: Book, _: bytes) -> tuple[int, Any]:
        self._require_account(request, book)
        wanted = request.query_params.getlist("asset_code")
        rows = [telling.holding(book, symbol) for symbol, coins in sorted(book.coins.items()) if coins]
        return 200, self._paged(request, [row for row in rows if not wanted or row["asset_code"] in wanted])

    def _quotes(self, request: Request, _: Book, __: bytes) -> tuple[int, Any]:
        wanted = request.query_params.getlist("symbol") or sorted(self.market.quotes)
        if unknown := [name for name in wanted if name not in self.market.pairs]:
            raise Refusal(f"Invalid symbol: {unknown[0]}", "symbol")
        quoted = [(name, self.market.quotes[name]) for name in wanted if name in self.market.quotes]
        return 200, {"results": [telling.quote(name, quote) for name, quote in quoted]}

    def _estimate(self, request: Request, book: Book, _: bytes) -> tuple[int, Any]:
        asked = request.query_params
        symbol, side = asked.get("symbol", ""), asked.get("side", "")
        if symbol not in self.market.quotes:
            raise Refusal(f"Invalid symbol: {symbol}", "symbol")
        if side not in {"bid", "ask"}:
            raise Refusal("Must be bid or ask.", "side")
        try:
            quantities = [Decimal(each) for each in asked.get("quantity", "").split(",")]
        except InvalidOperation:
            raise Refusal("A valid number is required.", "quantity") from None
        quote = self.market.quotes[symbol]
        return 200, {"results": [telling.estimate(symbol, side, each, quote, book.fee_ratio) for each in quantities]}

    def _place(self, request: Request, book: Book, body: bytes) -> tuple[int, Any]:
        self._require_account(request, book)
        try:
            said = json.loads(body)
        except ValueError:
            raise Refusal("JSON parse error") from None
        if not isinstance(said, dict):
            raise Refusal("Invalid data. Expected an object.")
        before = len(book.orders)
        order = book.place(said)
        if len(book.orders) == before and self.duplicates == "refuse":
            raise Refusal("An order with this client_order_id already exists.", "client_order_id")
        told = telling.order(book, order)
        self.match()  # after the answer was written: a market order is told as open, and filled a moment later
        return 201, told

    def _cancel(self, request: Request, book: Book, _: bytes) -> tuple[int, Any]:
        return 200, telling.order(book, book.cancel(request.path_params["id"]))

    def _one(self, request: Request, book: Book, _: bytes) -> tuple[int, Any]:
        self._require_account(request, book)
        order = book.orders.get(request.path_params["id"])
        if order is None:
            raise Refusal("Order not found", status=404)
        return 200, telling.order(book, order)

    def _list(self, request: Request, book: Book, _: bytes) -> tuple[int, Any]:
        self._require_account(request, book)
        newest_first = sorted(book.orders.values(), key=lambda order: order.made, reverse=True)
        rows = [telling.order(book, order) for order in newest_first if _wanted(request, order)]
        return 200, self._paged(request, rows)

    async def _moved(self, request: Request) -> Response:
        try:
            said = await request.json()
            size = said.get("size")
            self.quote(said["symbol"], str(said["bid"]), str(said["ask"]), None if size is None else Decimal(str(size)))
        except (ValueError, KeyError, ArithmeticError, AttributeError, Refusal) as error:
            return JSONResponse({"detail": f"Write {{symbol, bid, ask}}: {error!r}"}, 400)
        return JSONResponse({})

    def _require_account(self, request: Request, book: Book) -> None:
        if request.query_params.get("account_number") != book.number:
            raise Refusal("This field is required.", "account_number")

    def _paged(self, request: Request, rows: list[Row]) -> Row:
        number, size = _cursor(request), min(int(request.query_params.get("limit", self.page)), self.page)
        faults = {each.kind for each in self.faults if each.path in request.url.path}
        more = number * size < len(rows) or "endless" in faults
        follow: int | None = number + 1 if more else None
        follow = number if "circle" in faults else follow
        return {
            "next": _with_cursor(request, follow),
            "previous": _with_cursor(request, number - 1 if number > 1 else None),
            "results": rows[(number - 1) * size : number * size],
        }


def _cursor(request: Request) -> int:
    asked = request.query_params.get("cursor", "1")
    return int(asked) if asked.isdecimal() else 1


def _with_cursor(request: Request, number: int | None) -> str | None:
    if number is None:
        return None
    others = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f"{API}{request.url.path}?{urlencode([*others, ('cursor', str(number))])}"


def _wanted(request: Request, order: Order) -> bool:
    asked = request.query_params
    same = all(asked.get(name, getattr(order, name)) == getattr(order, name) for name in telling.FILTERS)
    times = {"created_at": order.made, "updated_at": order.moved}
    after = all(
        at >= dt.datetime.fromisoformat(asked.get(f"{name}_start", at.isoformat())) for name, at in times.items()
    )
    return same and after


def _refused(status: int, detail: str, attr: str | None, retry_after: int = 0) -> Response:
    kind = "validation_error" if status == 400 else "client_error"
    headers = {"Retry-After": str(retry_after)} if retry_after else None
    return JSONResponse({"type": kind, "errors": [{"detail": detail, "attr": attr}]}, status, headers)
