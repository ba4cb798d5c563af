"""The paper broker: a broker of our own with its own books, which survive our death.

It keeps orders, fills, cash and positions in the schema `paper`, in transactions of its own, and knows nothing of the
ledger: the two agree because each counts right, and reconciliation compares them. Its prices are handed to it as a
port. Over recorded prices the market is a replay: `open_session` moves the clock to a session before its open,
`close_session` trades it. Moves are idempotent and go forward only.

An order is accepted between the two, once per ref_id, and only when the account can give what it promises
(`admission`). Orders that come while a transaction runs are committed together by the next (`gathering`), judged one
after the other in the order they came; each is answered after the commit that holds it.

That commit, of an acceptance alone, does not wait for the disk. It outlives any process of ours; a crash of the
database itself may take the newest acceptances along, but never one that is spoken of: whatever follows from it (our
ACKED, a fill, a cancel) is written to the same log behind it, and a flush of the later covers the earlier. What is
lost then is an order that our books still call SUBMITTING: neither listing has it, and it is sent again with its
ref_id. Books and paper market therefore share one database. An order by hand is in no books, and does wait.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from quaestor.admission import Leg, Promises, by_hand, malformed, reserve
from quaestor.calendar import session_close, session_open, sessions
from quaestor.dividends import Dividend
from quaestor.doors.postgres.gathering import Gathering
from quaestor.doors.postgres.paper_rows import (
    Asked,
    accepted,
    after,
    columns,
    execution_of,
    order_row,
    update_of,
    working_of,
)
from quaestor.doors.postgres.sql import queries
from quaestor.doors.postgres.texts import text_array
from quaestor.errors import BadInput, BrokerRejected
from quaestor.exchange import Costs
from quaestor.jsons import as_json
from quaestor.ledger import dividend_cash, split_quantity
from quaestor.matching import Met, Quote, meet
from quaestor.orders import (
    Execution,
    Intent,
    OrderType,
    OrderUpdate,
    Side,
    State,
    TimeInForce,
    dollars,
    named,
    trimmed,
)
from quaestor.ports import Account, Quotes
from quaestor.splits import Split

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("paper")
EVER = dt.date.min
BEFORE_THE_OPEN = dt.timedelta(minutes=5)  # when orders of a replayed session are taken to have come
Row = Mapping[str, Any]


class PaperBroker:
    """Implements `ports.Broker`, `ports.Drafting` and `ports.ReplayMarket` for one account."""

    def __init__(
        self,
        database: Database,
        alias: str,
        quotes: Quotes,
        costs: Costs,
        *,
        clock: Callable[[], dt.datetime] | None = None,
        latency: dt.timedelta = dt.timedelta(),
    ) -> None:
        """clock: the time of a live market (None: a replay, in which orders come before the open)."""
        self._clock = clock
        self._latency = latency
        self._database = database
        self._alias = alias
        self._quotes = quotes
        self._costs = costs
        self._desk = Gathering[Asked, OrderUpdate](self._take)
        self._known: set[str] = set()  # symbols that have traded
        self._drafts: dict[uuid.UUID, Asked] = {}  # of the orders that were drafted last

    # ── the broker ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Accept an order, or answer with the one that came with this ref_id before."""
        draft = self._drafts.get(intent.ref_id)
        return await self._desk.ask(draft if draft and draft.order is intent else self._asked(intent, intent.ref_id))

    def draft(self, intents: Sequence[Intent]) -> None:
        """Write what the books would have of these orders; nobody sees it before they are submitted."""
        drafts = [self._asked(each, each.ref_id) for each in intents if not malformed(each)]
        if len(drafts) == 1:
            drafts[0].told  # noqa: B018 - to have it then
        self._drafts = {each.row["ref_id"]: each for each in drafts}

    async def place_by_hand(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        order_type: OrderType = OrderType.MARKET,
        *,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        time_in_force: TimeInForce = TimeInForce.GFD,
        oco: str = "",
    ) -> OrderUpdate:
        """An order that nobody decided here, as from the broker's own app: without a ref_id, each call another one."""
        session, _ = await self.clock()
        last = await self._quotes.last_bar(symbol, session - dt.timedelta(days=1)) if session else None
        prices = {"limit_price": limit_price, "stop_price": stop_price}
        terms = {"order_type": order_type, "time_in_force": time_in_force, "oco": oco, **prices}
        order = by_hand(self._alias, session, symbol, side, quantity, last, **terms)
        return await self._desk.ask(self._asked(order, None))

    def _asked(self, order: Intent, ref_id: uuid.UUID | None) -> Asked:
        """Raises BrokerRejected for an order that is none."""
        if said := malformed(order):
            raise BrokerRejected(said)
        own = named(self._alias, f"{ref_id}") if ref_id is not None else uuid.uuid4()
        reserved = reserve(order, self._costs) if order.side is Side.BUY else Decimal(0)
        return Asked(order, ref_id, order_row(order, own, ref_id, reserved))

    async def _take(self, group: Sequence[Asked]) -> list[OrderUpdate | Exception]:
        """The answers to a group of orders, in one transaction."""
        await self._learn(asked.order for asked in group)
        return await self._admitted(group) or await self._judged(group)

    async def _learn(self, orders: Iterable[Intent]) -> None:
        """Which of their symbols have ever traded."""
        for symbol, session in {order.symbol: order.session for order in orders}.items():
            if symbol not in self._known and await self._quotes.last_bar(symbol, session) is not None:
                self._known.add(symbol)

    async def _admitted(self, group: Sequence[Asked]) -> list[OrderUpdate | Exception]:
        """New purchases that nothing speaks against, in one round trip; nothing where one needs a closer look.

        The account's row says all that such a purchase takes, so it is judged as it stands once it is locked. An order
        that another door has taken while we waited for that lock is refused by its key: that too needs a closer look.
        """
        if not self._are_plain(group):
            return []
        session, rows = group[0].order.session, [asked.row for asked in group]
        at = self._now(session)
        common = {"alias": self._alias, "at": at.isoformat()}
        if len(group) == 1:
            asks, told = "admit_purchase", group[0].told
        else:
            asks = "admit_purchases"
            told = {
                "session": session.isoformat(),
                "more": str(sum((row["reserved"] for row in rows), Decimal(0))),
                "symbols": text_array(asked.order.symbol for asked in group),
                "ref_ids": text_array(f"{asked.ref_id}" for asked in group),
                "orders": as_json(rows),
            }
        try:
            taken = await self._database.hurried(SQL[asks], told | common)
        except BadInput:
            return []
        return [accepted(asked.order, asked.row, at) for asked in group] if taken else []

    def _are_plain(self, group: Sequence[Asked]) -> bool:
        """Whether they are purchases for one session, each another one, that need no closer look."""
        session, refs = group[0].order.session, {asked.ref_id for asked in group}
        if None in refs or len(refs) < len(group):
            return False
        orders = [asked.order for asked in group]
        return not any(
            order.session != session or order.side is not Side.BUY or order.oco or order.symbol not in self._known
            for order in orders
        )

    async def _judged(self, group: Sequence[Asked]) -> list[OrderUpdate | Exception]:
        """Each in its turn, against the account as it stands."""
        async with self._database.pipelined() as connection:
            account, there, halts, promises = await self._desk_picture(connection, group)
            answers: list[OrderUpdate | Exception] = []
            rows: list[dict[str, Any]] = []
            for asked in group:
                known = there.get(asked.ref_id) if asked.ref_id is not None else None
                if known is not None:
                    answers.append(known)
                elif said := self._no(asked.order, account, halts, promises):
                    answers.append(BrokerRejected(said))
                else:
                    at = self._now(account["session"])
                    rows.append(asked.row)
                    answers.append(update := accepted(asked.order, asked.row, at))
                    there |= {asked.ref_id: update} if asked.ref_id is not None else {}
            if rows:
                common = {"session": account["session"], "at": at, "again": all(row["ref_id"] for row in rows)}
                await self._execute(connection, "insert_orders", **columns(rows), **common)
                more = promises.spent - account["reserved"]
                if more:
                    await self._execute(connection, "reserve", more=more)
            return answers

    async def _desk_picture(
        self, connection: Connection, group: Sequence[Asked]
    ) -> tuple[Row, dict[uuid.UUID, OrderUpdate], dict[str, str], Promises]:
        """The account, locked, and what matters to these orders: theirs that came before, halts, what is promised."""
        refs = [asked.ref_id for asked in group if asked.ref_id is not None]
        pairs = [asked.order.oco for asked in group if asked.order.oco]
        selling = list({asked.order.symbol for asked in group if asked.order.side is Side.SELL})
        asks: dict[str, dict[str, Any]] = {"lock_account": {}, "find_orders": {"ref_ids": refs}, "halts": {}}
        if selling:
            asks |= {"positions": {}, "promised": {"symbols": selling}}
        if pairs:
            asks["legs"] = {"ocos": pairs}
        cursors = {name: await self._execute(connection, name, **terms) for name, terms in asks.items()}
        rows = {name: await cursor.fetchall() for name, cursor in cursors.items()}
        account = next(iter(rows["lock_account"]), None)
        if account is None:
            raise self._no_account()
        there = {row["ref_id"]: update_of(row) for row in rows["find_orders"]}
        halts = {row["symbol"]: row["reason"] for row in rows["halts"]}
        free = Promises(
            cash=account["cash"],
            held={row["symbol"]: row["quantity"] for row in rows.get("positions", [])},
            sold={row["symbol"]: row["promised"] for row in rows.get("promised", [])},
            spent=account["reserved"],
            legs=[Leg(**{**row, "side": Side(row["side"])}) for row in rows.get("legs", [])],
        )
        return account, there, halts, free

    def _no(self, order: Intent, account: Row, halts: Mapping[str, str], promises: Promises) -> str:
        """Why the order is not accepted; empty when it is, and what it may take is promised then."""
        if account["phase"] != "open" or account["session"] != order.session:
            stands = f"{account['session']} ({account['phase']})"
            return f"The market stands at {stands}; an order for session {order.session} is not accepted."
        if order.symbol not in self._known:
            return f"Unknown symbol {order.symbol!r}."
        if order.symbol in halts:
            return f"{order.symbol} is halted: {halts[order.symbol]}."
        return promises.admit(order, self._costs)

    def _now(self, session: dt.date) -> dt.datetime:
        """When an order for the session comes in."""
        return self._clock() if self._clock else session_open(session) - BEFORE_THE_OPEN

    async def cancel(self, broker_id: str) -> None:
        """Cancel a working order; an order that is no longer working stays as it is, with what it filled."""
        try:
            order = uuid.UUID(broker_id)
        except ValueError:
            raise BrokerRejected(f"The broker knows no order {broker_id!r}.") from None
        async with self._database.transaction() as connection:
            account = await self._lock(connection)
            at = session_open(account["session"]) if account["session"] else dt.datetime.min.replace(tzinfo=dt.UTC)
            await self._execute(connection, "cancel_order", id=order, at=at)
            await self._execute(connection, "reserve_anew")

    async def orders(self, since: dt.date | None = None) -> list[OrderUpdate]:
        """All orders of sessions on or after `since`."""
        return [update_of(row) for row in await self._fetch("orders_since", since=since or EVER)]

    async def executions(self, since: dt.date | None = None) -> list[Execution]:
        """All fills of sessions on or after `since`, oldest first."""
        return [execution_of(row) for row in await self._fetch("executions_since", since=since or EVER)]

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
                await self._catch_up(connection, account["session"])
                return
            if account["phase"] == "open":
                raise BadInput(f"Session {account['session']} is still open; close it before opening {session}.")
            last = account["session"]
            for day in sessions(last + dt.timedelta(days=1), session) if last else [session]:
                for split in await self._quotes.splits(day):
                    await self._apply(connection, split)
            await self._catch_up(connection, session)
            await self._execute(connection, "move_clock", session=session, phase="open")

    async def _apply(self, connection: Connection, split: Split) -> None:
        if not (await self._execute(connection, "mark_split", symbol=split.symbol, session=split.session)).rowcount:
            return
        held = (await self._positions(connection)).get(split.symbol)
        if held is not None:
            quantity = split_quantity(held, split)
            await self._execute(connection, "set_position", symbol=split.symbol, quantity=quantity)
        await self._rescale(connection, split)

    async def _catch_up(self, connection: Connection, upto: dt.date) -> None:
        """Splits learned after their session, and dividends: on what was held at the close before, each once.

        Shares are counted again from fills and splits. A split that later sales leave no room for is left out: the
        books refuse it as well, and a person must look.
        """
        begun = {row["symbol"]: row["first"] for row in await self._all(connection, "begun")}
        marks = {tuple(row.values()) for row in await self._all(connection, "actions_done")} if begun else set()
        actions: list[Split | Dividend] = []
        if begun:
            paid = [each for each in await self._quotes.dividends(list(begun)) if each.origin == "source"]
            actions += [*paid, *await self._quotes.all_splits(list(begun))]
        for action in sorted(actions, key=lambda action: action.session):
            kind, due = type(action).__name__, begun[action.symbol] < action.session <= upto
            if not due or (kind, action.symbol, action.session) in marks:
                continue
            if isinstance(action, Split):
                await self._apply_late(connection, action)
            else:
                await self._apply_dividend(connection, action)

    async def _apply_late(self, connection: Connection, split: Split) -> None:
        old, new = await self._counted(connection, split.symbol), await self._counted(connection, split.symbol, split)
        if old is None or new is None:
            return
        await self._execute(connection, "mark_split", symbol=split.symbol, session=split.session)
        await self._execute(connection, "change_position", symbol=split.symbol, change=new - old)
        await self._rescale(connection, split)

    async def _rescale(self, connection: Connection, split: Split) -> None:
        """Working orders of before the split; what it leaves nothing of ends."""
        terms = {"numerator": split.ratio.numerator, "denominator": split.ratio.denominator}
        await self._execute(connection, "rescale_orders", symbol=split.symbol, before=split.session, **terms)
        await self._execute(connection, "end_empty_orders", symbol=split.symbol, at=session_open(split.session))
        await self._execute(connection, "reserve_anew")

    async def _apply_dividend(self, connection: Connection, dividend: Dividend) -> None:
        held = await self._counted(connection, dividend.symbol, before=dividend.session)
        amount = dividend_cash(max(held or Decimal(0), Decimal(0)), dividend.amount)
        terms = {"symbol": dividend.symbol, "session": dividend.session, "amount": amount}
        await self._execute(connection, "mark_dividend", **terms)
        await self._execute(connection, "add_cash", amount=amount)

    async def _counted(
        self, connection: Connection, symbol: str, more: Split | None = None, before: dt.date = dt.date.max
    ) -> Decimal | None:
        """Shares from fills and the splits that were applied, and one more; None where they fall below nothing."""
        done = {row["session"] for row in await self._all(connection, "splits_done", symbol=symbol)}
        splits = [split for split in await self._quotes.all_splits([symbol]) if split.session in done or split == more]
        held, fills = Decimal(0), await self._all(connection, "changes", symbol=symbol, before=before)
        facts: list[tuple[dt.date, Split | Decimal]] = [(s.session, s) for s in splits if s.session < before]
        facts += [(row["session"], row["quantity"]) for row in fills]
        for _, fact in sorted(facts, key=lambda fact: fact[0]):  # a split comes before the fills of its session
            held = split_quantity(held, fact) if isinstance(fact, Split) else held + fact
            if held < 0:
                return None
        return held

    async def _all(self, connection: Connection, name: str, **parameters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await (await self._execute(connection, name, **parameters)).fetchall()
        return rows

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
            await self._trade(connection, session)
            await self._execute(connection, "move_clock", session=session, phase="closed")

    async def _trade(self, connection: Connection, session: dt.date) -> None:
        """Every working order meets its symbol's bar; what did not fill of day orders expires at the close."""
        halted = {row["symbol"] for row in await (await self._execute(connection, "halts")).fetchall()}
        working = await (await self._execute(connection, "working_orders")).fetchall()
        met: dict[uuid.UUID, tuple[Met, str]] = {}
        for symbol in dict.fromkeys(row["symbol"] for row in working):
            orders = [working_of(row) for row in working if row["symbol"] == symbol]
            live = self._clock is not None  # its quotes have traded by themselves
            bar = None if live or symbol in halted else await self._quotes.bar(symbol, session)
            if bar is None:
                met |= {order.id: (Met(order, order.triggered), "no trade in the session") for order in orders}
            else:
                found = meet(orders, bar, self._costs)
                met |= {each.order.id: (each, "not marketable in the session") for each in found}
        await self._keep(connection, [(row, *met[row["id"]]) for row in working], session)

    async def on_quote(self, symbol: str, quote: Quote, at: dt.datetime) -> int:
        """A live market moves: working orders of the symbol meet the quote; how many filled, in part or whole.

        An order takes part once its `latency` has passed since it was accepted. Nothing happens while the session is
        closed or the symbol is halted.
        """
        async with self._database.transaction() as connection:
            account = await self._lock(connection)
            halted = {row["symbol"] for row in await self._all(connection, "halts")}
            if account["phase"] != "open" or symbol in halted:
                return 0
            arrived = {"symbol": symbol, "by": at - self._latency}
            rows = {row["id"]: row for row in await self._all(connection, "working_on", **arrived)}
            met = meet([working_of(row) for row in rows.values()], quote, self._costs)
            await self._keep(connection, [(rows[each.order.id], each, "") for each in met], account["session"], at)
            return sum(1 for each in met if each.price is not None)

    async def _keep(
        self,
        connection: Connection,
        met: Sequence[tuple[Row, Met, str]],
        session: dt.date,
        moment: dt.datetime | None = None,
    ) -> None:
        """Fills, cash, shares and where the orders stand, as they came; `moment`: within the session, which goes on."""
        opens, closes = (moment, moment) if moment else (session_open(session), session_close(session))
        fills, moves, stands, cash = [], [], [], Decimal(0)
        for row, each, reason in met:
            standing = after(row, each, reason, ends=moment is None)
            at = opens if each.at_open else closes  # within a bar nobody knows when; by its end it had happened
            if each.price is not None:
                fee = self._costs.fee(each.order.side, each.quantity, each.price, first=not row["filled"])
                sign = each.order.side.sign
                cash -= sign * dollars(each.quantity, each.price) + fee
                fill = {"quantity": each.quantity, "price": each.price, "fee": fee, "session": session, "at": at}
                name = uuid.uuid5(row["id"], f"{moment.isoformat()} {row['filled']}" if moment else session.isoformat())
                fills.append({"id": name, "order_id": row["id"], **fill})
                moves.append({"symbol": row["symbol"], "change": sign * each.quantity})
            if any(standing[name] != row[name] for name in ("state", "filled", "triggered")):
                stands.append({**standing, "at": closes if standing["state"] == State.EXPIRED else at})
        async with self._database.together(connection):
            await self._execute_many(connection, "insert_executions", fills)
            await self._execute_many(connection, "change_positions", moves, session=session)
            await self._execute_many(connection, "update_orders", stands)
            await self._execute(connection, "add_cash", amount=cash)
            await self._execute(connection, "reserve_anew")

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

    async def _execute_many(self, connection: Connection, name: str, rows: Sequence[Row], **common: Any) -> None:
        if rows:
            await self._execute(connection, name, rows=as_json(rows), **common)
