"""The loop by hand, without Prefect: the same operations as the flows, run here and now.

Useful to try a strategy, to load a folder of prices, or when Prefect is down. Each prints what it did.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.errors import BooksDisagree
from quaestor.operations.ingest import check_ingested

if TYPE_CHECKING:
    from quaestor.operations.report import Reported

Rows = list[dict[str, Any]]


def ingest(arguments: argparse.Namespace) -> int:
    """Fetch new bars and splits of the universe, or of the symbols named."""
    loaded = wiring.load()
    symbols = [symbol.upper() for symbol in arguments.symbols] or list(loaded.config.market.symbols)
    rows = asyncio.run(_ingest(loaded, symbols, arguments))
    failed = [row["error"] for row in rows if row["error"]]
    if len(failed) < len(rows) or arguments.json:
        names = ("read", "new", "changed", "quarantined", "splits")
        counts = [Column(name, name, output.number, right=True) for name in names]
        span = [Column("first", "from", output.text), Column("last", "to", output.text)]
        _show(
            arguments,
            [row for row in rows if not row["error"] or arguments.json],
            [Column("symbol", "symbol"), *counts, *span],
        )
    check_ingested(rows, strict=True)
    return 0


async def _ingest(loaded: wiring.Loaded, symbols: Sequence[str], arguments: argparse.Namespace) -> Rows:
    from quaestor.operations.ingest import try_symbol

    source = wiring.configured_source(loaded)
    source.require(symbols)
    rows: Rows = []
    async with wiring.configured_database(loaded) as database:
        intake = wiring.intake(source, database, wiring.configured_alerts(loaded), loaded.config.quality)
        with steps("ingest", len(symbols)) as step:
            for symbol in symbols:
                step(symbol)
                done = await try_symbol(intake, symbol, arguments.start, arguments.end, again=arguments.again)
                rows.append(asdict(done))
    return rows


def signals(arguments: argparse.Namespace) -> int:
    """Run the configured strategies over the stored bars."""
    rows = asyncio.run(_signals(wiring.load(), arguments.start, arguments.end))
    columns = [Column("strategy", "strategy"), Column("version", "version")]
    counts = [Column(name, name, output.number, right=True) for name in ("signals", "new")]
    holds = Column("holds", "wants to hold", lambda names: ", ".join(names) or "nothing")
    _show(arguments, rows, [*columns, *counts, Column("last", "after", output.text), holds])
    return 0


async def _signals(loaded: wiring.Loaded, start: dt.date | None, end: dt.date | None) -> Rows:
    from quaestor.operations.generate import generate_signals

    plan, rows = wiring.configured_plan(loaded), []
    async with wiring.configured_database(loaded) as database:
        bars, store = wiring.bar_store(database), wiring.signal_store(database)
        run = wiring.run_info(None, plan.digest)
        with steps("signals", len(plan.daily)) as step:
            for built in plan.daily:
                step(built.name)
                done = await generate_signals(built, bars, store, plan.mandate.symbols, start, end, run)
                rows.append(asdict(done))
    return rows


def execute(arguments: argparse.Namespace) -> int:
    """Trade every session that has signals and is not settled, on the paper broker."""
    row = asyncio.run(_execute(wiring.load(), arguments.start, arguments.end))
    if not row["sessions"] and not arguments.json:
        sys.stdout.write(
            "Nothing to trade: every session that has signals and bars is settled. See `quaestor status`.\n"
        )
        return 0
    counts = [Column(n, n, output.number, right=True) for n in ("sessions", "orders", "refusals", "fills", "resolved")]
    span = [Column("first", "from", output.text), Column("last", "to", output.text)]
    _show(arguments, [row], [*span, *counts, Column("equity", "equity", output.money, right=True)])
    return 0


async def _execute(loaded: wiring.Loaded, start: dt.date | None, end: dt.date | None) -> dict[str, Any]:
    from quaestor.operations.trade import pending, trade

    plan = wiring.configured_plan(loaded)
    async with wiring.configured_floor(loaded) as floor:
        days = await pending(floor, plan.mandate, start, end)
        with steps("execute", len(days)) as step:

            async def progress(day: dt.date, equity: Any) -> None:
                step(f"{day}  equity {equity.equity:,.2f}")

            done = await trade(floor, plan.mandate, days, wiring.run_info(None, plan.digest), _holder(), progress)
    return asdict(done)


def _holder() -> str:
    """Who takes a lease: machine, process, the console."""
    return wiring.holder("console")


def reconcile(arguments: argparse.Namespace) -> int:
    """Compare books and broker; a difference stops entries and is an error."""
    outcome = asyncio.run(_reconcile(wiring.load()))
    columns = [Column("subject", "what"), Column("key", "which"), Column("ours", "ours"), Column("theirs", "broker")]
    counted = ", ".join(f"{count} {what}" for what, count in outcome.checked.items())
    if arguments.json:
        output.print_json(
            {"ok": outcome.ok, "differences": list(outcome.differences), "checked": dict(outcome.checked)}
        )
    else:
        output.table(list(outcome.differences), columns, empty=f"Books and broker agree: {counted}.")
    if not outcome.ok:
        raise BooksDisagree(
            f"{len(outcome.differences)} differences; entries are stopped. {outcome.differences[0]['cure']}"
        )
    return 0


async def _reconcile(loaded: wiring.Loaded) -> Any:
    from quaestor.operations.reconcile import reconcile as compare

    async with wiring.configured_floor(loaded) as floor:
        return await compare(floor, loaded.config.risk, _holder(), dt.date.min, None)


def report(arguments: argparse.Namespace) -> int:
    """Write the devlog and its pictures."""
    done = asyncio.run(_report(wiring.load(), arguments.start, arguments.end))
    found = {**done.summary, "devlog": done.devlog, "figures": list(done.figures)}
    if arguments.json:
        output.print_json(found)
        return 0
    shown = [(name.replace("_", " "), output.text(value)) for name, value in found.items() if name != "figures"]
    output.facts([*shown, *(("picture", figure) for figure in done.figures)])
    return 0


async def _report(loaded: wiring.Loaded, start: dt.date | None, end: dt.date | None) -> Reported:
    async with wiring.configured_database(loaded) as database:
        return await wiring.write_report(database, loaded.config.account.alias, loaded.home, start, end, None)


def _show(arguments: argparse.Namespace, rows: Rows, columns: list[Column]) -> None:
    if arguments.json:
        output.print_json(rows)
    else:
        output.table(rows, columns)


@contextmanager
def steps(title: str, total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on a terminal; silence in a pipe. Call the step with what is being done."""
    if not sys.stderr.isatty():
        yield lambda text: None  # noqa: ARG005  # a step nobody watches
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.fields[title]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total, title=title)
        yield lambda text: bar.update(task, advance=1, description=text)
