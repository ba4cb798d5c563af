"""Market data for a person: what is there, fill it, look at what was refused."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
from dataclasses import asdict
from typing import Any

from quaestor import calendar, wiring
from quaestor.bars import DAILY
from quaestor.console import output
from quaestor.console.loop import steps
from quaestor.console.output import Column
from quaestor.coverage import Place, Redo
from quaestor.coverage_map import LEGEND, axis, draw
from quaestor.errors import BadInput, NotFound
from quaestor.operations.backfill import Plan, Wanted, decided_on, pace, planned, survey
from quaestor.operations.ingest import by_symbol, check_failed, try_window

Rows = list[dict[str, Any]]
COUNTS = ("read", "new", "changed", "quarantined")


def coverage(arguments: argparse.Namespace) -> int:
    """The map of what is stored: symbols down, time across."""
    loaded = wiring.load()
    places = asyncio.run(_survey(loaded, _wanted(loaded, arguments)))
    if arguments.json:
        output.print_json([_plain(place) for place in places])
        return 0
    drawn = draw(places, arguments.width)
    sys.stdout.write(f"{drawn.title}\n\n")
    wide = max(len(line.symbol) for line in drawn.lines)
    sys.stdout.write(f"{'':<{wide}}  {axis(drawn.columns)}\n")
    for line in drawn.lines:
        sys.stdout.write(f"{line.symbol:<{wide}}  {line.marks}\n")
    sys.stdout.write(f"\n{LEGEND}\n")
    return 0


def _plain(place: Place) -> dict[str, Any]:
    """A cell for machines."""
    cell = place.cell
    return {
        "symbol": place.symbol,
        "period": place.period,
        "first": place.wanted[0],
        "last": place.wanted[1],
        "status": place.status,
        "sessions": place.sessions,
        "stored": cell.stored if cell else 0,
        "quarantined": cell.quarantined if cell else 0,
        "source": cell.source if cell else None,
        "error": cell.error if cell else "",
    }


async def _survey(loaded: wiring.Loaded, wanted: Wanted) -> list[Place]:
    async with wiring.configured_database(loaded) as database:
        store = wiring.bar_store(database)
        for symbol in set(wanted.symbols) - set(loaded.config.market.symbols):
            if not await store.cells([symbol], wanted.timeframe):
                raise _unknown(symbol, loaded, "Nothing was ever asked for it.")
        return await survey(store, wanted, _now())


def _unknown(symbol: str, loaded: wiring.Loaded, cure: str) -> NotFound:
    return NotFound.named("symbol", symbol, loaded.config.market.symbols, cure)


def backfill(arguments: argparse.Namespace) -> int:
    """Fetch what is missing, what failed, or all of a range, here and now; a second run does only the rest."""
    loaded = wiring.load()
    wanted = _wanted(loaded, arguments)
    source = wiring.configured_source(wiring.fed_by(loaded, arguments.source))
    source.require(wanted.symbols)
    made, rows, decisions = asyncio.run(_backfill(loaded, source, wanted, dry_run=arguments.dry_run))
    cost = made.cost(pace(source.capabilities, wanted.timeframe))
    if arguments.json:
        output.print_json({"plan": cost, "dry_run": arguments.dry_run, "rows": by_symbol(rows), "decisions": decisions})
    else:
        _show_backfill(made, cost, rows, decisions, dry_run=arguments.dry_run)
    check_failed(rows, strict=True)
    return 0


async def _backfill(
    loaded: wiring.Loaded, source: Any, wanted: Wanted, *, dry_run: bool
) -> tuple[Plan, Rows, list[dict[str, Any]]]:
    rows: Rows = []
    repaired: list[str] = []
    async with wiring.configured_database(loaded) as database:
        intake = wiring.intake(source, database, wiring.configured_alerts(loaded), loaded.config.quality)
        made = await planned(intake.store, source, wanted, _now())
        windows = [] if dry_run else [window for chunk in made.chunks for window in chunk.windows]
        with steps("backfill", len(windows)) as step:
            for window in windows:
                step(f"{window.symbol} {window.first}")
                done = await try_window(intake, window.symbol, window.first, window.last, wanted.timeframe)
                rows.append(asdict(done) | {"repaired": len(done.repaired)})
                repaired += done.repaired
        return made, rows, await decided_on(intake.store, repaired)


def _show_backfill(
    made: Plan, cost: dict[str, Any], rows: Rows, decisions: list[dict[str, Any]], *, dry_run: bool
) -> None:
    said = f"{cost['cells']:,} cells, {cost['requests']:,} requests, at most {cost['bars']:,} bars"
    if dry_run or not rows:
        chunks = [{"chunk": chunk.name, "seconds": f"{chunk.seconds:,.0f}"} for chunk in made.chunks]
        columns = [Column("chunk", "chunk"), Column("seconds", "about s", right=True)]
        output.table(chunks, columns, title=said, empty="Nothing is to be done.")
        return
    columns = [Column("symbol", "symbol"), *(Column(name, name, output.number, right=True) for name in COUNTS)]
    span = [Column("first", "from", output.text), Column("last", "to", output.text)]
    stored = [row for row in by_symbol(rows) if not row["error"]]
    output.table(stored, [*columns, *span], title=said, empty="Nothing was stored.")
    if decisions:
        named = ("ref_id", "session", "strategy", "symbol", "side", "quantity", "state")
        title = "Orders that were decided on bars which are another version now"
        output.table(decisions, [Column(name, name, output.text) for name in named], title=title)


def quarantine(arguments: argparse.Namespace) -> int:
    """Bars that the quality gate refused, with rule, value and limit."""
    symbols = [symbol.upper() for symbol in arguments.symbols] or None
    rows = asyncio.run(_quarantined(wiring.load(), symbols, arguments.limit or sys.maxsize))
    if arguments.json:
        output.print_json(rows)
        return 0
    names = ("symbol", "timeframe", "session", "rule", "field", "observed", "limit_value", "source")
    columns = [Column(name, name.removesuffix("_value"), output.text) for name in names]
    output.table(rows, columns, empty="No bar stands in quarantine.")
    return 0


async def _quarantined(loaded: wiring.Loaded, symbols: list[str] | None, limit: int) -> Rows:
    async with wiring.configured_database(loaded) as database:
        return await wiring.bar_store(database).quarantined(symbols, limit=limit)


def vouch(arguments: argparse.Namespace) -> int:
    """Say that the steps of a session are real; the next backfill of it lets its bars in."""
    asyncio.run(_vouch(wiring.load(), arguments))
    sys.stdout.write(
        f"{arguments.symbol} {arguments.session} is vouched for. Fetch it again: "
        f"quaestor backfill {arguments.symbol} --start {arguments.session} --redo failed\n"
    )
    return 0


async def _vouch(loaded: wiring.Loaded, arguments: argparse.Namespace) -> None:
    symbol, session = arguments.symbol, arguments.session
    if not calendar.is_session(session):
        raise BadInput(f"{calendar.why_closed(session)}; vouch for a session that `quaestor quarantine` shows.")
    async with wiring.configured_database(loaded) as database:
        store = wiring.bar_store(database)
        if symbol not in loaded.config.market.symbols and not await store.quarantined([symbol], limit=1):
            raise _unknown(symbol, loaded, "No bar of it stands in quarantine.")
        await store.vouch(symbol, session, arguments.reason)


def unblock(arguments: argparse.Namespace) -> int:
    """Let a symbol take entries again, once a person knows what is right."""
    if not asyncio.run(_unblock(wiring.load(), arguments.symbol)):
        raise NotFound(f"{arguments.symbol} is not blocked.")
    sys.stdout.write(f"{arguments.symbol} takes entries again.\n")
    return 0


async def _unblock(loaded: wiring.Loaded, symbol: str) -> bool:
    async with wiring.configured_database(loaded) as database:
        return await wiring.bar_store(database).unblock(symbol)


def _wanted(loaded: wiring.Loaded, arguments: argparse.Namespace) -> Wanted:
    symbols = [symbol.upper() for symbol in arguments.symbols] or list(loaded.config.market.symbols)
    end = arguments.end or _now().date()
    start = arguments.start or end - dt.timedelta(days=365 if arguments.timeframe == DAILY else 30)
    if start > end:
        raise BadInput(f"--start {start} lies after --end {end}; swap them.")
    redo: Redo = getattr(arguments, "redo", "missing")
    newest_first = not getattr(arguments, "oldest_first", False)
    return Wanted(tuple(symbols), arguments.timeframe, start, end, redo, newest_first=newest_first)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
