"""Importing an old bot's books: what was guessed, a question, and the parity report."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.errors import BadInput

if TYPE_CHECKING:
    from quaestor.legacy.found import Table
    from quaestor.legacy.mapping import Mapping
    from quaestor.legacy.parity import Report
    from quaestor.legacy.profit import Profit
    from quaestor.ports import LegacyFile

ZONE = "America/New_York"  # an American bot's clock
SHOWN = 10  # differences in words


def import_legacy(arguments: argparse.Namespace) -> int:
    """Read, judge, load and prove; or only show what would be read."""
    from quaestor.legacy import mapping as maps

    loaded = wiring.load()
    with wiring.legacy_file(loaded, Path(arguments.file).expanduser()) as file:
        tables = file.tables()
        if arguments.show_map and not arguments.map:
            sys.stdout.write(_guessed_map(tables))
            return 0
        mapping = _mapping(arguments, tables)
        if arguments.show_map:
            sys.stdout.write(maps.written(mapping))
            return 0
        if not arguments.map and not _agreed(arguments, mapping, tables):
            sys.stdout.write("Nothing was imported. Save the map with --show-map, correct it, and give it by --map.\n")
            return 1
        report = asyncio.run(_import(loaded, file, mapping, arguments))
    output.print_json(_json(report, mapping)) if arguments.json else _show(report)
    return 0


async def _import(loaded: wiring.Loaded, file: LegacyFile, mapping: Mapping, arguments: argparse.Namespace) -> Report:
    from quaestor.legacy.judge import Terms
    from quaestor.legacy.mapping import zone
    from quaestor.operations.import_legacy import import_legacy as bring

    try:
        terms = Terms(zone(arguments.timezone or mapping.timezone or ZONE), dt.datetime.now(dt.UTC))
    except ValueError as error:
        raise BadInput(f"--timezone: {error}.") from error
    async with wiring.configured_database(loaded) as database:
        store = wiring.legacy_store(database)
        return await bring(file, store, mapping, terms, keep=not arguments.dry_run)


# ── the mapping ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _mapping(arguments: argparse.Namespace, tables: Sequence[Table]) -> Mapping:
    """The map of the file that is named, checked against the tables; else a guess without doubts."""
    from quaestor.legacy import mapping as maps
    from quaestor.legacy.guess import guess

    if arguments.map:
        text = _text(Path(arguments.map).expanduser())
        mapping = maps.parse(text, arguments.map)
        maps.check(mapping, tables, text, arguments.map)
        return mapping
    found = guess(tables)
    cure = "`--show-map` prints a map to save and correct; give it by --map."
    if found.doubts:
        more = f" ({len(found.doubts) - 1} more)" if len(found.doubts) > 1 else ""
        raise BadInput(f"Not sure what is meant: {found.doubts[0]}{more} {cure}")
    if found.mapping is None:
        names = ", ".join(table.name for table in tables) or "none"
        raise BadInput(f"No table of prices, orders or trades was recognised (tables: {names}). {cure}")
    return found.mapping


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); name the map's file.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is no map: it is not UTF-8 text.") from error


def _guessed_map(tables: Sequence[Table]) -> str:
    """The guess as TOML, its doubts and the unused tables above it; a skeleton where nothing was recognised."""
    from quaestor.legacy import mapping as maps
    from quaestor.legacy.guess import guess

    found = guess(tables)
    notes = [f"decide: {doubt}" for doubt in found.doubts]
    notes += [f"not used: {table.name} ({', '.join(table.names)})" for table in tables if table.name in found.unused]
    if found.mapping is not None:
        return maps.written(found.mapping, notes)
    return "\n".join([*(f"# {note}" for note in notes), "[trades]", 'table = ""', ""])


def _agreed(arguments: argparse.Namespace, mapping: Mapping, tables: Sequence[Table]) -> bool:
    """Whether the owner takes the guess: by --yes, by a dry run (nothing is written), or when asked."""
    if not arguments.json:
        _show_guess(mapping, tables)
    if arguments.yes or arguments.dry_run:
        return True
    if arguments.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("Nobody is there to confirm the guess: add --yes to take it, or --map with a file of your own.")
    sys.stdout.write("Load with this mapping? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _show_guess(mapping: Mapping, tables: Sequence[Table]) -> None:
    known = {table.name: table for table in tables}
    rows = []
    for path, use in mapping.uses():
        for field, column in use.columns.items():
            samples = next(each.samples for each in known[use.table].columns if each.name == column)
            rows.append({"table": use.table, "is": path[0], "field": field, "column": column, "such": _such(samples)})
    columns = [Column("table", "table"), Column("is", "holds"), Column("field", "field"), Column("column", "column")]
    output.table(rows, [*columns, Column("such", "such as")], title="How the tables are read")


def _such(samples: Sequence[Any]) -> str:
    from quaestor.legacy.cells import empty, shown

    return ", ".join([shown(value)[:20] for value in samples if not empty(value)][:2])


# ── the report ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _json(report: Report, mapping: Mapping) -> dict[str, Any]:
    names = ("file", "sha256", "source", "dry_run", "timezone", "bars")
    return {
        **{name: getattr(report, name) for name in names},
        "mapping": mapping.model_dump(mode="json", exclude_defaults=True),
        "tables": [asdict(table) for table in report.tables],
        "differences": list(report.differences),
        "totals": [asdict(total) for total in report.totals],
        "pnl": {"from": report.pnl_from, "rows": _profits(report.pnl)},
        "postgresql_holds_the_same": report.same,
    }


def _show(report: Report) -> None:
    counts = ("read", "loaded", "already_there", "left_out", "different", "rejected")
    shown = [Column(name, name.replace("_", " "), output.number, right=True) for name in counts]
    kept = " (dry run: all of it was undone)" if report.dry_run else ""
    title = f"{report.file}: what became of its rows{kept}"
    columns = [Column("table", "table"), Column("kind", "as"), *shown]
    output.table([asdict(table) for table in report.tables], columns, title)
    _show_rejected(report)
    _show_totals(report)
    _show_profit(report)
    output.facts(_facts(report))


def _show_rejected(report: Report) -> None:
    rows = [
        {
            "table": table.table,
            "rule": rule,
            "rows": count,
            "such": "; ".join(
                f"rowid {row.row_id}: {row.field} {row.observed}".strip() for row in table.examples if row.rule == rule
            ),
        }
        for table in report.tables
        for rule, count in table.rules.items()
    ]
    if rows:
        columns = [Column("table", "table"), Column("rule", "rule"), Column("rows", "rows", output.number, right=True)]
        output.table(rows, [*columns, Column("such", "such as", fold=True)], title="Rejected rows")


def _show_totals(report: Report) -> None:
    table, rows = Column("table", "table"), _right("rows", "rows")
    deals = [asdict(total) for total in report.totals if total.side]
    amounts = [_amount("notional", "Σ quantity × price"), _amount("fees", "Σ fees")]
    if deals:
        columns = [table, Column("side", "side"), rows, _right("quantity", "Σ quantity"), *amounts]
        output.table(deals, columns, title="Sums")
    prices = [asdict(total) for total in report.totals if not total.side]
    if prices:
        columns = [table, rows, _amount("notional", "Σ price"), _right("quantity", "Σ volume")]
        output.table(prices, columns, title="Sums of prices")


def _right(name: str, title: str) -> Column:
    return Column(name, title, output.number, right=True)


def _amount(name: str, title: str) -> Column:
    return Column(name, title, output.money, right=True)


def _show_profit(report: Report) -> None:
    if not report.pnl:
        return
    amounts = ("realized", "net", "bot_pnl", "bot_difference")
    money = [Column(name, name.replace("_", " "), output.signed, right=True, style=output.gain) for name in amounts]
    money.insert(1, _amount("fees", "fees"))
    counts = [_right("held", "still held"), _right("unmatched", "sold unmatched")]
    columns = [Column("symbol", "symbol"), _right("trades", "trades"), *money, *counts]
    output.table(_profits(report.pnl), columns, title=f"P&L, first in first out, from {report.pnl_from}")


def _profits(pnl: Sequence[Profit]) -> list[dict[str, Any]]:
    rows = [asdict(row) | {"net": row.net, "bot_difference": row.bot_difference} for row in pnl]
    return [*rows, _all(rows)] if rows else []


def _all(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    total: dict[str, Any] = {"symbol": "all"}
    for name in ("trades", "realized", "fees", "net", "bot_pnl", "bot_difference"):
        told = [row[name] for row in rows if row[name] is not None]
        total[name] = sum(told, Decimal(0)) if told else None
    return total | {"trades": int(total["trades"]), "held": None, "unmatched": None}


def _facts(report: Report) -> list[tuple[str, str]]:
    bars = report.bars
    facts = [("times without a zone", report.timezone)]
    if any(table.kind == "prices" for table in report.tables):
        against = f"{bars['agree']} agree within 0.5 %, {bars['disagree']} do not" if bars["left_out"] else "none"
        facts.append(("left out for better bars", f"{bars['left_out']}: {against}" if bars["left_out"] else against))
        facts += [("", example) for example in bars["examples"]]
    if report.differences:
        facts.append(("changed since stored, kept as stored", f"{len(report.differences)} rows"))
        facts += [("", place) for place in report.differences[:SHOWN]]
    same = "yes" if report.same else f"yes, but for {len(report.differences)} changed rows"
    return [*facts, ("PostgreSQL holds the same", same)]
