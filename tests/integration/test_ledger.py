"""The ledger in a real PostgreSQL: fences, fills that cannot be right, named lots, transfers, and the views."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import psycopg
import pytest

from quaestor.dividends import Dividend
from quaestor.doors.postgres.books import BookStore
from quaestor.doors.postgres.control import LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.reads import Reads
from quaestor.errors import BadInput, BooksDisagree, LeaseHeld
from quaestor.ledger import (
    Bought,
    Equity,
    Lot,
    Sold,
    book_fee,
    deposit,
    shares_in,
    shares_out,
    specific,
    wash_sales,
    withdrawal,
)
from quaestor.orders import Execution, Intent, Side
from quaestor.ports import Decision, Lease, Reconciliation, Run
from quaestor.splits import Split

D = Decimal
DAY, NEXT_DAY = dt.date(2012, 1, 4), dt.date(2012, 1, 5)
AT = dt.datetime(2012, 1, 4, 14, 30, tzinfo=dt.UTC)
INTENT = Intent("main", "momentum", "AAPL", DAY, "AAPL|1d|2012-01-03T21:00:00Z", Side.BUY, D(100), D("400.00"))
SPLIT = Split("AAPL", NEXT_DAY, Fraction(2))
JOURNAL = (b"entry", b"posting", b"lot", b"fill", b"equity", b"latch", b"reconcile", b"suspect_fill")


@pytest.fixture
def books(database: Database) -> BookStore:
    return BookStore(database, "main")


@pytest.fixture
async def lease(database: Database) -> AsyncIterator[Lease]:
    async with LeaseStore(database).hold("main", "me", 0) as held:
        yield held


def execution(number: int, side: Side, quantity: int, price: str, **changes: Any) -> Execution:
    fill = Execution(f"e{number}", "b", None, "AAPL", side, D(quantity), D(price), D(0), DAY, AT)
    return replace(fill, **changes)


async def decided(books: BookStore, lease: Lease, *intents: Intent) -> None:
    assert await books.decide(Decision(DAY, D(1), D(1), intents, [], Run()), lease)


async def contents(database: Database) -> list[Any]:
    return [await database.fetch(b"select * from " + table) for table in JOURNAL]


# ── fences ────────────────────────────────────────────────────────────────────────────────────────────────────────────

EQUITY = Equity(DAY, D(1), D(0), D(0), D(0), D(0), D(1))
LOT = Lot("t1", "momentum", "IBM", DAY, D(1), D(1))
WRITES: dict[str, Callable[[BookStore, Lease], Awaitable[object]]] = {
    "a fill": lambda books, lease: books.book_executions([execution(9, Side.BUY, 5, "1")], lease),
    "a fill that cannot be right": lambda books, lease: books.book_executions(
        [execution(9, Side.SELL, 500, "1")], lease
    ),
    "a split": lambda books, lease: books.book_split(SPLIT, AT, lease),
    "a dividend": lambda books, lease: books.book_dividend(Dividend("AAPL", NEXT_DAY, D(1)), AT, lease),
    "a deposit": lambda books, lease: books.book(deposit("d", D(1), DAY, AT), lease),
    "a transfer": lambda books, lease: books.book(shares_in("t", LOT, AT), lease),
    "a settled session": lambda books, lease: books.settle(EQUITY, {}, lease),
    "a latch": lambda books, lease: books.latch("entries", "differs", lease),
    "a latch cleared": lambda books, lease: books.unlatch("halt", "agreed", lease),
    "a reconciliation": lambda books, lease: books.keep_reconciliation(Reconciliation(DAY, [], {}), None, lease),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_writer_that_lost_its_lease_writes_nothing_into_the_books(
    database: Database, books: BookStore, lease: Lease, write: Callable[[BookStore, Lease], Awaitable[object]]
) -> None:
    await books.book_executions([execution(1, Side.BUY, 10, "400")], lease)
    await books.latch("halt", "a person", lease)
    async with database.transaction() as connection:
        await connection.execute(b"update lease set epoch = epoch + 1, holder = 'successor'")
    before = await contents(database)
    with pytest.raises(LeaseHeld, match="is lost"):
        await write(books, lease)
    assert await contents(database) == before
    with contextlib.suppress(BooksDisagree):
        await write(books, replace(lease, holder="successor", epoch=lease.epoch + 1))
    assert await contents(database) != before


# ── fills that cannot be right ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        pytest.param(
            execution(2, Side.BUY, 41, "400", ref_id=INTENT.ref_id),
            "would make 10[12] AAPL of an order for 100",
            id="more than the order, with what it filled before",
        ),
        pytest.param(
            execution(2, Side.SELL, 5, "400", ref_id=INTENT.ref_id),
            "is to sell AAPL, but its order .* was to buy AAPL for main",
            id="the other way",
        ),
        pytest.param(
            execution(2, Side.BUY, 5, "400", ref_id=INTENT.ref_id, symbol="IBM"), "is to buy IBM", id="another symbol"
        ),
        pytest.param(
            execution(2, Side.BUY, 5, "400", ref_id=uuid.uuid5(uuid.NAMESPACE_OID, "lost")),
            "has an id of ours, .*, that the books do not know",
            id="an order of ours that was lost",
        ),
        pytest.param(execution(2, Side.SELL, 5, "400"), "sells 5 AAPL but external holds 0", id="more than is held"),
        pytest.param(execution(2, Side.BUY, 5, "0"), "A rule of the tables refuses it", id="for nothing"),
    ],
)
async def test_a_fill_that_cannot_be_right_is_kept_apart_and_keeps_no_other_out(
    database: Database, books: BookStore, lease: Lease, fill: Execution, reason: str
) -> None:
    await decided(books, lease, INTENT)
    first = execution(1, Side.BUY, 60, "400", ref_id=INTENT.ref_id)
    last = execution(3, Side.BUY, 1, "400", ref_id=INTENT.ref_id)
    for _ in range(2):
        with pytest.raises(BooksDisagree, match=reason):
            await books.book_executions([first, fill, last], lease)
    assert await books.booked_fills(DAY) == {"e1", "e3"}
    assert await books.shares_by_journal() == {"AAPL": D(61)}
    (kept,) = await database.fetch(b"select execution_id, execution, booked_at from suspect_fill")
    assert (kept["execution_id"], kept["execution"]["symbol"], kept["booked_at"]) == ("e2", fill.symbol, None)
    assert list(await books.suspects()) == ["e2"]


async def test_a_suspect_fill_that_fits_at_last_is_booked_and_cleared(books: BookStore, lease: Lease) -> None:
    sale = execution(2, Side.SELL, 5, "400", session=NEXT_DAY)
    with pytest.raises(BooksDisagree, match="external holds 0"):
        await books.book_executions([sale], lease)
    assert await books.book_executions([execution(1, Side.BUY, 5, "390"), sale], lease) != []
    assert await books.suspects() == {}


@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
async def test_fills_come_to_the_same_however_they_are_told(books: BookStore, lease: Lease, together: bool) -> None:
    fills = [
        execution(1, Side.BUY, 10, "400"),
        execution(2, Side.BUY, 10, "410", symbol="IBM"),
        execution(3, Side.BUY, 10, "420"),
        execution(4, Side.SELL, 15, "430"),
        execution(5, Side.SELL, 10, "400", symbol="IBM"),
        execution(6, Side.SELL, 2, "440", session=NEXT_DAY),
    ]
    for group in [fills] if together else [[fill] for fill in fills]:
        assert await books.book_executions(group, lease) == group
    assert [(lot.lot_id, lot.quantity, lot.cost) for lot in await books.lots()] == [("e3", D(3), D(1260))]
    expected = {"cash": D(-970), "positions": D(1260), "realized": D(-290)}
    assert await books.balances() == expected


async def test_an_order_that_works_across_a_split_may_fill_more_shares(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await decided(books, lease, INTENT)
    await database.fetch(b"insert into split values ('AAPL', '2012-01-05', 2, 1, 'source', 'x') returning symbol")
    fills = [
        execution(1, Side.BUY, 40, "400", ref_id=INTENT.ref_id),
        execution(2, Side.BUY, 120, "200", ref_id=INTENT.ref_id, session=NEXT_DAY),
    ]
    assert len(await books.book_executions(fills, lease)) == 2
    with pytest.raises(BooksDisagree, match="would make 201 AAPL of an order for 200"):
        await books.book_executions([replace(fills[1], execution_id="e3", quantity=D(1))], lease)


# ── lots, transfers ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_sale_takes_the_lots_that_it_names(database: Database, books: BookStore, lease: Lease) -> None:
    await books.book_executions([execution(n, Side.BUY, 10, f"{400 + n}") for n in (1, 2, 3)], lease)
    sale = execution(4, Side.SELL, 12, "410")
    with pytest.raises(BadInput, match="names lot e9, which is not open"):
        await books.book_executions([sale], lease, {"e4": specific("e9")})
    with pytest.raises(BadInput, match="the lots it names hold 10"):
        await books.book_executions([sale], lease, {"e4": specific("e3")})
    assert await books.suspects() == {}, "a wrong name is the caller's, not the broker's"
    await books.book_executions([sale], lease, {"e4": specific("e3", "e1")})
    assert [(lot.lot_id, lot.quantity) for lot in await books.lots()] == [("e1", D(8)), ("e2", D(10))]
    assert await database.fetch(b"select named from entry where key = 'fill:e4'") == [{"named": ["e3", "e1"]}]
    rows = await database.fetch(b"select lot_id, quantity, cost, proceeds, gain from closed_lot order by lot_id")
    assert [tuple(row.values()) for row in rows] == [
        ("e1", D(2), D(802), D(820), D(18)),
        ("e3", D(10), D(4030), D(4100), D(70)),
    ]


async def test_money_and_shares_that_come_and_go_move_capital_and_no_profit(books: BookStore, lease: Lease) -> None:
    await books.book(deposit("d", D(1000), DAY, AT), lease)
    await books.book(withdrawal("w", D(300), DAY, AT), lease)
    await books.book(book_fee("f", D(75), DAY, AT, "ACATS"), lease)
    await books.book(shares_in("in", Lot("acats", "external", "IBM", DAY, D(10), D(1500)), AT), lease)
    await books.book(shares_out("out", D(4), await books.lots(), DAY, AT), lease)
    assert await books.balances() == {
        "cash": D(625), "capital": D(-1600), "fees": D(75), "positions": D(900),
    }  # fmt: skip
    assert [(lot.lot_id, lot.quantity, lot.cost) for lot in await books.lots()] == [("acats", D(6), D(900))]


# ── views ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

FIRST = dt.date(2012, 1, 3)
SYMBOLS, OWNERS = ("AAPL", "IBM"), ("momentum", "value")


@pytest.mark.parametrize("seed", range(8))
async def test_the_views_say_what_fills_and_closes_make_of_the_account(
    database: Database, books: BookStore, lease: Lease, seed: int
) -> None:
    """Counted again from the fills, splits, dividends and closes alone, in fractions."""
    random = Random(seed)
    days = [FIRST + dt.timedelta(days=n) for n in range(0, 70, 2)]
    closes = {(symbol, day): D(random.randrange(1000, 90_000)) / 100 for symbol in SYMBOLS for day in days}
    await _store(database, closes)
    count = _Count()
    await books.book(deposit("opening", D(1_000_000), days[0], AT), lease)
    number, before = 0, Fraction(0)
    for day in days[:-2]:  # prices of days that are not reached yet are there, and are not looked at
        at = dt.datetime.combine(day, dt.time(14, 30), dt.UTC)
        for symbol in SYMBOLS:
            if random.random() < 0.15:
                await _action(database, "dividend", symbol, day, "0.31")
            if random.random() < 0.08:
                await _action(database, "split", symbol, day, "2, 1")
        for action in await books.missing_actions(day):
            if isinstance(action, Split):
                assert await books.book_split(action, at, lease)
                count.split(action)
            else:
                assert await books.book_dividend(action, at, lease)
                count.dividend(action)
        for _ in range(random.randrange(4)):
            owner, symbol, price = (
                random.choice(OWNERS),
                random.choice(SYMBOLS),
                D(random.randrange(1000, 90_000)) / 100,
            )
            held, side = int(count.held(owner, symbol)), random.choice(list(Side))
            quantity = random.randrange(1, 40) if side is Side.BUY else min(random.randrange(1, 60), held)
            if quantity:
                number += 1
                intent = replace(INTENT, strategy=owner, symbol=symbol, session=day, side=side, leg=number)
                intent = replace(intent, quantity=D(quantity), cause_key=f"{number}")
                fill = Execution(f"f{number}", "b", intent.ref_id, symbol, side, D(quantity), price, D("0.05"), day, at)
                assert await books.decide(
                    Decision(FIRST - dt.timedelta(days=number), D(1), D(1), [intent], [], Run()), lease
                )
                assert await books.book_executions([fill], lease) == [fill]
                count.fill(owner, fill)
        prices = {symbol: closes[symbol, day] for symbol in SYMBOLS}
        await books.settle(await _valued(books, day, prices), {}, lease)
        (row,) = await database.fetch(b"select * from pnl_by_session where session = %s", [day])
        assert abs(Fraction(row["total"]) - (count.earned(prices) - before)) < Fraction(1, 10_000)
        before = count.earned(prices)
    await _compare(database, count, prices, days[-3])


async def _valued(books: BookStore, day: dt.date, prices: dict[str, Decimal]) -> Equity:
    from quaestor.ledger import value

    equity = value(day, await books.lots(), await books.balances(), prices)
    equity.prove()
    return equity


async def _compare(database: Database, count: _Count, prices: dict[str, Decimal], day: dt.date) -> None:
    near = Fraction(1, 10_000)  # a lot's cost is kept in millionths
    for row in await database.fetch(b"select * from pnl_by_position"):
        place = row["strategy"], row["symbol"]
        for name in ("realized", "dividends", "fees"):
            assert abs(Fraction(row[name]) - count.sums[name][place]) < near, (name, place)
        assert abs(Fraction(row["unrealized"]) - count.unrealized(*place, prices)) < near
    for name, number in (("strategy", 0), ("symbol", 1)):
        rows = await database.fetch(f"select * from pnl_by_{name}".encode())
        assert {row[name] for row in rows} == {place[number] for place in count.places()}
        for row in rows:
            mine = [place for place in count.places() if place[number] == row[name]]
            total = sum(count.total(*place, prices) for place in mine)
            assert abs(Fraction(row["total"]) - total) < near
    rows = await database.fetch(b"select * from position_now where account = 'main'")
    assert {(row["strategy"], row["symbol"]): Fraction(row["quantity"]) for row in rows} == {
        place: count.held(*place) for place in count.places() if count.held(*place)
    }
    assert {row["priced_at"] for row in rows} <= {day}
    (now,) = await database.fetch(b"select * from equity_now")
    assert Fraction(now["cash"]) == count.cash
    assert Fraction(now["equity"]) == count.cash + count.market(prices)
    (cash,) = await database.fetch(b"select cash from cash_now")
    assert cash["cash"] == now["cash"]
    exposure = {row["symbol"]: row for row in await database.fetch(b"select * from exposure_now")}
    for symbol, row in exposure.items():
        assert Fraction(row["market_value"]) == sum(count.held(who, symbol) for who in OWNERS) * Fraction(
            prices[symbol]
        )
        assert abs(row["weight"] - row["market_value"] / now["equity"]) < D("0.000001")
    washed = await database.fetch(b"select * from wash_sale order by symbol, sale, lot_id")
    expected = [
        (symbol, wash)
        for symbol in SYMBOLS
        for wash in wash_sales(
            [fact for name, fact in count.told if name == symbol], [s for s in count.splits if s.symbol == symbol]
        )
    ]
    assert sorted(
        (r["symbol"], r["sale"], r["lot_id"], r["disallowed_quantity"], r["disallowed"]) for r in washed
    ) == sorted((symbol, w.sale, w.lot_id, w.quantity, w.disallowed) for symbol, w in expected)
    assert {tuple(r["replaced_by"]) for r in washed} == {w.replaced_by for _, w in expected}


class _Count:
    """An account kept in fractions: piles of shares oldest first, by strategy and symbol."""

    def __init__(self) -> None:
        self.cash = Fraction(1_000_000)
        self.sums: dict[str, dict[tuple[str, str], Fraction]] = defaultdict(lambda: defaultdict(Fraction))
        self.piles: dict[tuple[str, str], list[list[Any]]] = defaultdict(list)  # lot, shares, dollars per share
        self.told: list[tuple[str, Bought | Sold]] = []
        self.splits: list[Split] = []

    def places(self) -> set[tuple[str, str]]:
        return set(self.piles)

    def held(self, owner: str, symbol: str) -> Fraction:
        return sum((shares for _, shares, _ in self.piles.get((owner, symbol), [])), Fraction(0))

    def split(self, split: Split) -> None:
        self.splits.append(split)
        for (_, symbol), pile in self.piles.items():
            for part in pile if symbol == split.symbol else ():
                part[1], part[2] = part[1] * split.ratio, part[2] / split.ratio

    def dividend(self, dividend: Dividend) -> None:
        owned = {who: self.held(who, dividend.symbol) for who in OWNERS}
        whole = round(sum(owned.values()) * Fraction(dividend.amount) * 100) / Fraction(100)
        self.cash += whole
        for who, shares in owned.items():
            self.sums["dividends"][who, dividend.symbol] += whole * shares / sum(owned.values())

    def fill(self, owner: str, fill: Execution) -> None:
        place, left, price = (owner, fill.symbol), Fraction(fill.quantity), Fraction(fill.price)
        self.sums["fees"][place] += Fraction(fill.fee)
        self.cash -= fill.side.sign * left * price + Fraction(fill.fee)
        if fill.side is Side.BUY:
            self.piles[place].append([fill.execution_id, left, price])
            self.told.append((fill.symbol, Bought(fill.execution_id, fill.session, fill.quantity)))
            return
        pile = self.piles[place]
        while left:
            lot, shares, paid = pile[0]
            taken = min(shares, left)
            gain = taken * (price - paid)
            terms = (D(taken.numerator) / D(taken.denominator), D(gain.numerator) / D(gain.denominator))
            self.told.append((fill.symbol, Sold(f"fill:{fill.execution_id}", lot, fill.session, *terms)))
            self.sums["realized"][place] += gain
            left, pile[0][1] = left - taken, shares - taken
            if not pile[0][1]:
                pile.pop(0)

    def unrealized(self, owner: str, symbol: str, prices: dict[str, Decimal]) -> Fraction:
        return sum(
            (shares * (Fraction(prices[symbol]) - paid) for _, shares, paid in self.piles[owner, symbol]), Fraction(0)
        )

    def total(self, owner: str, symbol: str, prices: dict[str, Decimal]) -> Fraction:
        place = owner, symbol
        made = self.sums["realized"][place] + self.sums["dividends"][place] - self.sums["fees"][place]
        return made + self.unrealized(owner, symbol, prices)

    def market(self, prices: dict[str, Decimal]) -> Fraction:
        return sum((self.held(*place) * Fraction(prices[place[1]]) for place in self.places()), Fraction(0))

    def earned(self, prices: dict[str, Decimal]) -> Fraction:
        return self.cash + self.market(prices) - 1_000_000


async def _store(database: Database, closes: dict[tuple[str, dt.date], Decimal]) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            b"create table bar_1d_p2010 partition of bar_1d for values from ('2010-01-01') to ('2020-01-01')"
        )
        await connection.execute(b"insert into instrument (symbol) values ('AAPL'), ('IBM')")
        for (symbol, day), close in closes.items():
            row = {
                "symbol": symbol,
                "day": day,
                "ts": dt.datetime.combine(day, dt.time(21), dt.UTC),
                "close": float(close),
            }
            await connection.execute(
                b"""insert into bar_1d (instrument, ts, version, session, open, high, low, close, volume, load)
                    select id, %(ts)s, 1, %(day)s, %(close)s, %(close)s, %(close)s, %(close)s, 1, 1
                    from instrument where symbol = %(symbol)s""",
                row,
            )


async def _action(database: Database, table: str, symbol: str, day: dt.date, terms: str) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            f"insert into {table} values ('{symbol}', '{day}', {terms}, 'source', 'test')".encode()
        )


async def test_a_close_of_before_a_split_is_counted_in_the_shares_of_after_it(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await _store(database, {("AAPL", DAY): D("80.01")})
    await books.book_executions([execution(1, Side.BUY, 10, "80.00")], lease)
    await _action(database, "split", "AAPL", NEXT_DAY, "2, 1")
    assert await books.book_split(SPLIT, AT, lease)
    (row,) = await database.fetch(b"select quantity, price, market_value, priced_at from position_now")
    assert tuple(row.values()) == (D(20), D("40.00"), D(800), DAY), "half to even, as the books round"


async def test_what_has_no_price_is_held_at_no_value_and_not_at_nothing(
    database: Database, books: BookStore, lease: Lease
) -> None:
    await books.book(deposit("d", D(1000), DAY, AT), lease)
    await books.book_executions([execution(1, Side.BUY, 1, "80.00")], lease)
    (now,) = await database.fetch(b"select cash, market_value, equity from equity_now")
    assert tuple(now.values()) == (D(920), None, None)
    (row,) = await database.fetch(b"select unrealized, total from pnl_by_symbol where symbol = 'AAPL'")
    assert tuple(row.values()) == (None, None)


NOW = ("account_now", "cash_now", "position_now", "exposure_now", "equity_now")
VIEWS = (*NOW, "pnl_by_position", "pnl_by_strategy", "pnl_by_symbol", "pnl_by_session", "closed_lot", "wash_sale")


async def test_readers_and_the_writer_never_wait_for_each_other(
    database: Database, database_uri: str, books: BookStore, lease: Lease
) -> None:
    await books.book_executions([execution(1, Side.BUY, 10, "400.00")], lease)
    impatient = "-c lock_timeout=50ms -c statement_timeout=5s"
    with psycopg.connect(database_uri, options=impatient) as reader, Reads(database_uri, "main") as reads:
        async with database.transaction() as connection:  # the writer is in the middle of a fact
            from quaestor.ledger import book_fill

            await books._write(connection, book_fill(execution(2, Side.BUY, 5, "401.00"), "external", []))
            for view in VIEWS:
                reader.execute(f"select * from {view}".encode()).fetchall()
            assert reader.execute("select quantity from position_now").fetchall() == [(D(10),)]
            assert len(reads.rows("positions")) == 1
        # the reader's transactions are still open, and the writer goes on
        assert reader.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        async with database.transaction() as connection:
            await connection.execute(b"set local lock_timeout = '50ms'")
            await books._write(connection, book_fill(execution(3, Side.BUY, 1, "402.00"), "external", []))
        assert await books.book_executions([execution(4, Side.SELL, 3, "402.00")], lease)
        assert reads.rows("positions")[0]["quantity"] == D(10), "one consistent picture"
        assert reader.execute("select quantity from position_now").fetchall() == [(D(13),)]
