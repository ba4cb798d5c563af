"""Evidence in PostgreSQL: all that a devlog cites, read at one moment, and the devlogs that were made of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from quaestor.devlog.evidence import DecidedOrder, DecidingRun, Evidence, Resolved, StrategySignals
from quaestor.doors.postgres.sql import queries
from quaestor.ledger import ZERO, Equity
from quaestor.orders import Execution, Side, State
from quaestor.ports import Latch, Reconciliation
from quaestor.risk import Refusal
from quaestor.splits import Split
from quaestor.trades import Close, Fact, Fill, Flow, Holding

if TYPE_CHECKING:
    from quaestor.doors.postgres.database import Connection, Database

SQL = queries("evidence")
Row = Mapping[str, Any]


class EvidenceStore:
    """Implements `ports.EvidenceStore` for one account."""

    def __init__(self, database: Database, account: str) -> None:
        self._database = database
        self.account = account

    async def span(self) -> tuple[dt.date, dt.date] | None:
        """First and last settled session; None before any."""
        rows = await self._database.fetch(SQL["span"], {"account": self.account})
        return (rows[0]["first"], rows[0]["last"]) if rows[0]["first"] else None

    async def evidence(self, start: dt.date | None, end: dt.date | None) -> Evidence:
        """Everything about the settled sessions in [start, end], in one transaction that sees one moment."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL["snapshot"])
            ask = _Ask(connection, {"account": self.account, "start": start, "end": end})
            closes = [_close(row) for row in await ask.rows("closes")]
            if not closes:
                return Evidence(self.account, None, None)
            first, last = closes[0].session, closes[-1].session
            return await _evidence(_Ask(connection, {"account": self.account, "start": first, "end": last}), closes)

    async def save(self, evidence: Evidence, markdown: str, flow_run_id: str | None) -> bool:
        """Keep a devlog with its evidence; False when it was kept before, unchanged, or when there is no session."""
        if evidence.start is None:
            return False
        row = {
            "account": self.account,
            "start": evidence.start,
            "end": evidence.end,
            "digest": evidence.digest,
            "evidence": evidence.as_json,
            "markdown": markdown,
            "flow_run_id": flow_run_id,
        }
        async with self._database.transaction() as connection:
            return (await connection.execute(SQL["upsert_devlog"], row)).rowcount > 0

    async def saved(self, start: dt.date, end: dt.date) -> tuple[Evidence, str] | None:
        """The devlog kept for exactly these sessions: its evidence and its Markdown."""
        rows = await self._database.fetch(SQL["devlog"], {"account": self.account, "start": start, "end": end})
        return (parse(rows[0]["evidence"]), rows[0]["markdown"]) if rows else None


def parse(text: str) -> Evidence:
    """Evidence back from its JSON."""
    from pydantic import TypeAdapter

    return TypeAdapter(Evidence).validate_json(text)


class _Ask:
    """Named queries about one range, on one connection."""

    def __init__(self, connection: Connection, parameters: Row) -> None:
        self._connection = connection
        self.parameters = parameters

    async def rows(self, name: str) -> list[dict[str, Any]]:
        return await (await self._connection.execute(SQL[name], self.parameters)).fetchall()

    async def row(self, name: str) -> dict[str, Any] | None:
        return await (await self._connection.execute(SQL[name], self.parameters)).fetchone()


async def _evidence(ask: _Ask, closes: list[Close]) -> Evidence:
    before, compared = await ask.row("close_before"), await ask.row("reconciliation")
    return Evidence(
        account=ask.parameters["account"],
        start=ask.parameters["start"],
        end=ask.parameters["end"],
        before=_close(before) if before else None,
        closes=tuple(closes),
        orders=tuple(_order(row) for row in await ask.rows("orders")),
        journal=_journal([*await ask.rows("journal"), *await ask.rows("flows")]),
        refusals=tuple(Refusal(**row | {"side": Side(row["side"])}) for row in await ask.rows("refusals")),
        resolved=tuple(Resolved(**row | {"state": State(row["state"])}) for row in await ask.rows("resolved")),
        signals=tuple(
            StrategySignals(**row | {"flow_run_ids": tuple(row["flow_run_ids"])}) for row in await ask.rows("signals")
        ),
        runs=tuple(DecidingRun(**row) for row in await ask.rows("runs")),
        latches=tuple(Latch(**row) for row in await ask.rows("latches")),
        reconciliation=Reconciliation(**compared) if compared else None,
    )


def _order(row: Row) -> DecidedOrder:
    return DecidedOrder(**{**row, "side": Side(row["side"]), "state": State(row["state"])})


def _journal(rows: list[dict[str, Any]]) -> tuple[Fact, ...]:
    """Facts in the order they were booked; a split that was learned late before what it changed."""
    return tuple(_fact(row) for row in sorted(rows, key=lambda row: (row["place"], row["kind"] != "split", row["id"])))


def _fact(row: Row) -> Fact:
    if row["kind"] not in {"fill", "split"}:
        told = ("kind", "strategy", "symbol", "session", "amount", "quantity", "lot_id")
        return Flow(**{name: row[name] for name in told})
    if row["kind"] == "split":
        return Split(row["symbol"], row["session"], Fraction(row["numerator"], row["denominator"]), row["origin"])
    names = ("execution_id", "broker_id", "ref_id", "symbol", "quantity", "price", "fee", "session", "at")
    execution = Execution(side=Side(row["side"]), **{name: row[name] for name in names})
    return Fill(row["strategy"], execution, tuple(row["named"]))


def _close(row: Row) -> Close:
    """The account's value with its lots summed by strategy and symbol."""
    names = ("session", "cash", "market_value", "realized", "unrealized", "fees", "capital", "dividends")
    closes, held = row["positions"]["closes"], dict[tuple[str, str], tuple[Decimal, Decimal]]()
    for lot in row["positions"]["lots"]:
        quantity, cost = held.get((lot["strategy"], lot["symbol"]), (ZERO, ZERO))
        held[lot["strategy"], lot["symbol"]] = quantity + Decimal(lot["quantity"]), cost + Decimal(lot["cost"])
    holdings = [Holding(*key, *amounts, Decimal(closes[key[1]])) for key, amounts in sorted(held.items())]
    return Close(Equity(**{name: row[name] for name in names}), tuple(holdings))
