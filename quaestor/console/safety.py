"""Safety by hand: stop entries, go on, and prove that the log of orders is what was written."""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Any

from quaestor import wiring
from quaestor.audit import Anchor
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.errors import BadInput, DatabaseDown, PartMissing


def halt(arguments: argparse.Namespace) -> int:
    """Stop and take back entries, until a person resumes; --flatten sells what is held, too."""
    loaded = wiring.load()
    row = asyncio.run(_halt(loaded, arguments.reason, flatten=arguments.flatten))
    if arguments.json:
        output.print_json(row)
        return 0
    sys.stdout.write(f"{'Halted' if row['new'] else 'It was halted before'}: no entry will be sent. ")
    if row["left_to"]:
        sys.stdout.write(f"Entries on their way are taken back by the process that trades now: {row['left_to']}. ")
        sys.stdout.write("If it has died, run `quaestor halt` again in half a minute.\n")
    else:
        sys.stdout.write(f"Entries taken back: {row['canceled']}.\n")
    if arguments.flatten:
        sys.stdout.write("What is held will be sold as soon as the market takes orders.\n")
        if loaded.config.broker.kind != "paper" and not row["left_to"]:
            sys.stdout.write(
                "Nobody trades now, and at this broker only a live run sells: start `quaestor live run`.\n"
            )
    sys.stdout.write('`quaestor resume "reason"` ends it.\n')
    return 0


async def _halt(loaded: wiring.Loaded, reason: str, *, flatten: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from quaestor.operations.halt import halt, require_reason

    require_reason(reason)
    who = wiring.holder("quaestor halt")
    try:
        async with wiring.configured_floor(loaded, create=False) as floor:
            parts = (floor.control, floor.books, floor.broker, floor.leases, floor.alerts)
            band = floor.band(loaded.config.risk)
            return asdict(await halt(*parts, reason, who, flatten=flatten, band=band, pause=floor.pause))
    except (DatabaseDown, PartMissing) as error:
        file = wiring.halt_without_database(loaded, reason)
        command, and_sold = "quaestor halt", ""
        if flatten:
            command, and_sold = "quaestor halt --flatten", " and what is held is sold"
        raise type(error)(
            f"{error} The halt is latched in {file} all the same: no entry will be sent. Run `{command}` again when "
            f"the database is back, so that working entries are canceled{and_sold}."
        ) from error


def resume(arguments: argparse.Namespace) -> int:
    """End a halt, with a reason."""
    cleared, left = asyncio.run(_resume(wiring.load(), arguments.reason))
    if arguments.json:
        output.print_json({"cleared": cleared, "latched": left})
        return 0
    said = "The halt is over" if cleared else "Nothing was halted"
    sys.stdout.write(f"{said}, but entries stay stopped.\n" if left else f"{said}: entries may be made.\n")
    for latch in left:
        sys.stdout.write(f"Stopped by {latch['name']!r}: {latch['reason']}\n")
    if left:
        sys.stdout.write("`quaestor reconcile` ends that once books and broker agree.\n")
    return 0


async def _resume(loaded: wiring.Loaded, reason: str) -> tuple[list[str], list[dict[str, str]]]:
    from quaestor.operations.halt import require_reason, resume

    require_reason(reason)
    try:
        async with wiring.configured_floor(loaded, create=False) as floor:
            cleared = await resume(floor.control, floor.books.account, floor.alerts, reason)
            left = await floor.control.latches(floor.books.account)
            return cleared, [{"name": latch.name, "reason": latch.reason} for latch in left]
    except DatabaseDown as error:
        raise DatabaseDown(f"{error} A halt stays until the database is back; nothing was resumed.") from error


def verify(arguments: argparse.Namespace) -> int:
    """Follow the chain of order events and compare it with the books; exit code 1 where they contradict each other."""
    try:
        anchor = Anchor.parse(arguments.anchor) if arguments.anchor else None
    except ValueError as error:
        raise BadInput(str(error)) from error
    with wiring.reads(wiring.load()) as door:
        audit = door.audit(anchor)
    if arguments.json:
        flaws = [{"seq": flaw.seq, "subject": flaw.subject, "problem": flaw.problem} for flaw in audit.flaws]
        output.print_json({"ok": not flaws, "events": audit.seq, "anchor": str(audit.head), "flaws": flaws})
    elif audit.flaws:
        columns = [
            Column("seq", "event", output.number, right=True),
            Column("subject", "of"),
            Column("problem", "problem"),
        ]
        rows = [{"seq": flaw.seq, "subject": flaw.subject, "problem": flaw.problem} for flaw in audit.flaws]
        count = "1 contradiction" if len(rows) == 1 else f"{len(rows)} contradictions"
        output.table(rows, columns, title=f"{count} in {audit.seq} events")
        sys.stdout.write("Stop trading (`quaestor halt`), and compare with a backup and the broker's statements.\n")
    else:
        orders, fills = len(audit.states), len(audit.fills)
        sys.stdout.write(f"{audit.seq} events of {orders} orders and {fills} fills are what was written.\n")
        sys.stdout.write(f"Anchor: {audit.head}\n")
    return 1 if audit.flaws else 0
