"""Looking at the books: status, positions, orders, pnl, refusals, why."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column, Row

AMOUNTS = ("realized", "unrealized", "dividends", "fees", "total")
NO_BOOKS = "The books are empty. `make demo` shows a filled house; `quaestor ingest` begins your own."


@contextmanager
def reads() -> Iterator[Any]:
    """The configured account's books, read-only."""
    loaded = wiring.load()
    with wiring.reads(loaded) as door:
        yield door


def positions(arguments: argparse.Namespace) -> int:
    """Shares held, by strategy and symbol."""
    with reads() as door:
        rows = [row | {"average_cost": row["cost"] / row["quantity"]} for row in door.rows("positions")]
    if arguments.json:
        output.print_json(rows)
        return 0
    output.table(
        rows,
        [
            Column("strategy", "strategy"),
            Column("symbol", "symbol"),
            Column("quantity", "shares", output.number, right=True),
            Column("average_cost", "cost/share", output.money, right=True),
            Column("price", "last close", output.money, right=True),
            Column("market_value", "value", output.money, right=True),
            Column("unrealized", "unrealized", output.signed, right=True, style=output.gain),
            Column("weight", "weight", output.percent, right=True),
            Column("since", "since"),
        ],
        title=_priced(rows[0]["priced_at"]) if rows else "",
        empty="No position is open.",
    )
    return 0


def _priced(at: Any) -> str:
    return f"Positions at the close of {at}" if at is not None else "Positions; no close has valued them yet"


def orders(arguments: argparse.Namespace) -> int:
    """Orders, newest first."""
    with reads() as door:
        rows = door.orders(
            symbol=arguments.symbol,
            strategy=arguments.strategy,
            state=arguments.state,
            session=arguments.session,
            limit=arguments.limit or None,
        )
    filtered = any((arguments.symbol, arguments.strategy, arguments.state, arguments.session))
    if arguments.json:
        output.print_json(rows)
        return 0
    output.table(
        rows,
        [
            Column("ref_id", "order", lambda value: str(value)[:8]),
            Column("session", "session"),
            Column("strategy", "strategy"),
            Column("side", "side", style=lambda side: "green" if side == "buy" else "red"),
            Column("quantity", "shares", output.number, right=True),
            Column("symbol", "symbol"),
            Column("state", "state"),
            Column("average_price", "filled at", output.money, right=True),
            Column("fee", "fee", output.money, right=True),
            Column("reason", "note", output.text),
        ],
        title="Orders, newest first (`quaestor why ORDER` explains one)",
        empty="No order matches." if filtered else "No order was ever decided.",
    )
    return 0


def pnl(arguments: argparse.Namespace) -> int:
    """Profit and loss by strategy, symbol or session."""
    with reads() as door:
        if arguments.by == "session":
            return _sessions(door.rows("equity_by_session", limit=arguments.limit or None), arguments)
        rows, account = door.rows("pnl"), door.row("equity")
        account = {name: value for name, value in (account or {}).items() if name != "positions"}
    if arguments.by != "both":
        rows = _grouped(rows, arguments.by)
    if arguments.json:
        output.print_json({"rows": rows, "account": account})
        return 0
    names = ["strategy", "symbol"] if arguments.by == "both" else [arguments.by]
    shown = [*rows, _sum(rows, names[0])] if rows else []
    amounts = ("realized", "unrealized", "dividends", "total")
    money = [Column(n, n, output.signed, right=True, style=output.gain) for n in amounts]
    money.insert(3, Column("fees", "fees", output.money, right=True))
    output.table(
        shown, [*(Column(name, name, output.text) for name in names), *money], title="P&L, dollars", empty=NO_BOOKS
    )
    return 0


def _sessions(rows: list[Row], arguments: argparse.Namespace) -> int:
    if arguments.json:
        output.print_json(rows)
        return 0
    change = Column("change", "change", output.signed, right=True, style=output.gain)
    amounts = [Column(n, n.replace("_", " "), output.money, right=True) for n in ("equity", "cash", "market_value")]
    output.table(rows, [Column("session", "session"), *amounts, change], title="Equity by session", empty=NO_BOOKS)
    return 0


def _grouped(rows: list[Row], by: str) -> list[Row]:
    names = sorted({row[by] for row in rows})
    return [_sum([row for row in rows if row[by] == name], by) | {by: name} for name in names]


def _sum(rows: list[Row], first: str) -> dict[str, Any]:
    totals = {n: sum((row[n] for row in rows), Decimal(0)) for n in AMOUNTS}
    return {first: "all", **totals}


def refusals(arguments: argparse.Namespace) -> int:
    """Decisions not to act, newest first."""
    with reads() as door:
        rows = door.rows("refusals", limit=arguments.limit or None)
    if arguments.json:
        output.print_json(rows)
        return 0
    columns = [Column(n, n) for n in ("session", "strategy", "symbol", "side", "rule", "observed")]
    limit = [Column("limit_value", "limit"), Column("unit", "unit")]
    output.table(rows, [*columns, *limit], title="Refusals", empty="Nothing was refused.")
    return 0


def why(arguments: argparse.Namespace) -> int:
    """Why an order was made: bars, strategy, target, checks, run, commit, and what became of it."""
    with reads() as door:
        row = door.why(arguments.order)
    if arguments.json:
        output.print_json(row)
        return 0
    output.facts([*_what(row), *_decided(row["provenance"])])
    if checks := row["provenance"].get("checks"):
        _checks(checks)
    columns = [
        Column("at", "at", _time),
        Column("state", "state"),
        Column("cause", "cause"),
        Column("epoch", "lease epoch"),
        Column("seq", "event", right=True),
    ]
    output.table(row["events"], columns, title="What happened to it")
    return 0


def _what(row: Row) -> list[tuple[str, str]]:
    terms = [f"{row['side']} {output.number(row['quantity'])} {row['symbol']}"]
    terms += [f"{name} {output.money(row[f'{name}_price'])}" for name in ("stop", "limit") if row[f"{name}_price"]]
    told = [
        ("order", f"{', '.join(terms)} in session {row['session']}"),
        ("id", str(row["ref_id"])),
        ("became", f"{row['state']}, {_fills(row['fills'])}" + (f" ({row['reason']})" if row["reason"] else "")),
    ]
    told += [("replaces", str(row["replaces"]))] if row["replaces"] else []
    return told + ([("pair", row["oco"])] if row["oco"] else [])


def _decided(evidence: Row) -> list[tuple[str, str]]:
    """Why it was made; of an order that somebody placed by hand, only that."""
    if "trigger" in evidence:
        return _fired(evidence)
    if "strategy" not in evidence:
        return [("origin", f"placed by hand at the broker ({evidence.get('broker_id', 'unknown there')}), adopted")]
    target, strategy, bar = evidence["target"], evidence["strategy"], evidence["bars"][0]
    parameters = ", ".join(f"{name}={value}" for name, value in strategy["parameters"].items()) or "none"
    sleeve, equity = Decimal(target["sleeve"]), Decimal(target["equity"])
    size = f"{float(target['weight']):.2%} of a sleeve of {sleeve:,.2f} (equity {equity:,.2f})"
    return [
        ("saw", _seen(bar)),
        ("strategy", f"{strategy['name']}, version {strategy['version']}"),
        ("parameters", parameters),
        ("target", f"{size} at {target['reference_price']}: {target['wanted']} shares, held {target['held']}"),
        ("signal run", evidence["signal_flow_run_id"] or "none (from the console)"),
        *_by(evidence),
    ]


def _seen(bar: Row) -> str:
    if "first_session" not in bar:  # a bar of ticks, as it closed
        return f"the {bar['timeframe']} bar of {bar['symbol']} to {bar['bar_end'][:19]} UTC, close {bar['close']}"
    bars = f"{bar['bars_seen']} daily bars of {bar['symbol']} from {bar['first_session']} to {bar['bar_end'][:10]}"
    return f"{bars}, close {bar['close']}, data version {bar['bar_version']}"


def _fired(evidence: Row) -> list[tuple[str, str]]:
    """The trigger that asked for it, and what it saw."""
    from quaestor.triggers import read_trigger
    from quaestor.triggers.wording import sentence

    fired, quote = evidence["trigger"], evidence["quote"]
    seen = f"{fired['price'] or 'no price'} at {fired['at'].replace('T', ' ')[:23]} UTC"
    beside = f"; bid {quote['bid']}, ask {quote['ask']}" if quote else ""
    paid = evidence["entry_price"]
    return [
        ("trigger", sentence(read_trigger(fired["rule"]))),
        ("saw", seen + beside),
        ("firing", f"no. {fired['number']}, {fired['firing']}"),
        *([("held at", f"{Decimal(paid):,.2f} on average")] if paid else []),
        *_by(evidence),
    ]


def _by(evidence: Row) -> list[tuple[str, str]]:
    return [
        ("flow run", evidence["flow_run_id"] or "none (from the console)"),
        ("commit", evidence["code_commit"]),
        ("configuration", evidence["config_digest"]),
    ]


def _checks(checks: list[Row]) -> None:
    shown = [Column("rule", "rule"), Column("observed", "observed"), Column("limit", "limit"), Column("unit", "unit")]
    verdict = Column("ok", "verdict", lambda ok: "pass" if ok else "REFUSED", style=lambda ok: "green" if ok else "red")
    output.table(checks, [*shown, verdict], title="Risk checks")


def _fills(fills: list[Row]) -> str:
    parts = [f"{output.number(fill['quantity'])} at {fill['price']:.2f}, fee {fill['fee']:.2f}" for fill in fills]
    return "; ".join(parts) or "no fill"


def _time(value: dt.datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"
