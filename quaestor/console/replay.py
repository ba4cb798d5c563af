"""`quaestor replay`: would we decide the same again? What would have changed? What did the fills cost?"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column, Row, money, number, text
from quaestor.live.changing import read_changes
from quaestor.live.replaying import Decided, Divergence, Ordered, Replayed
from quaestor.live.slippage import Line, Slippage, compare
from quaestor.operations.replay import replay as replay_run

SHOWN = 12  # keys of a divergence, orders of a change
WIDE = 60  # characters of a value


def replay(arguments: argparse.Namespace) -> int:
    """Fold a run's events again. Exit code 1 where it decides otherwise, unless that was asked for."""
    loaded = wiring.load()
    journal = wiring.journal(wiring.journal_folder(loaded, arguments.run))
    if arguments.slippage:
        return _slippage(compare(journal.entries(), loaded.config.paper.costs), as_json=arguments.json)
    changes = read_changes(arguments.changes or ())
    if changes.named:
        changes.names = asyncio.run(_triggers(loaded))
    began = time.perf_counter()
    done = replay_run(journal, wiring.configured_engine(loaded), changes if arguments.changes else None)
    took = time.perf_counter() - began
    facts = _facts(done, str(journal.run), journal.cut, ended=journal.ended, took=took)
    if arguments.json:
        output.print_json({**facts, **(_changed(done) if arguments.changes else _compared(done))})
    else:
        _tell(done, facts, arguments.changes or [])
    return 0 if done.same or arguments.changes else 1


async def _triggers(loaded: wiring.Loaded) -> dict[str, uuid.UUID]:
    """Ids of today's triggers by their names."""
    async with wiring.configured_database(loaded, create=False) as database:
        found = await wiring.trigger_store(database).all(loaded.config.account.alias)
    return {each.name: each.trigger.id for each in found if each.name}


def _facts(done: Replayed, run: str, cut: int, *, ended: bool, took: float) -> dict[str, Any]:
    setup = done.setup
    return {
        "run": run,
        "account": setup.account if setup else None,
        "commit": setup.commit if setup else None,
        "commit_now": wiring.run_info(None, "").commit,
        "began": _instant(done.began),
        "until": _instant(done.until),
        "events": done.events,
        "ticks": done.ticks,
        "decisions": done.recorded.acts.total(),
        "cut_bytes": cut,
        "ended": ended,
        "seconds": round(took, 3),
        "same": done.same,
    }


def _compared(done: Replayed) -> dict[str, Any]:
    return {
        "diverged": done.diverged,
        "unrecorded": done.unrecorded,
        "raised": done.raised or None,
        "first": _first(done.first) if done.first else None,
        "recorded": _counts(done.recorded),
        "now": _counts(done.now),
    }


def _first(first: Divergence) -> dict[str, Any]:
    return {
        "event": first.number,
        "kind": first.kind,
        "at": _instant(first.at),
        "recorded": list(first.recorded),
        "now": list(first.now),
        "raised": first.raised or None,
        "differences": [each._asdict() for each in first.differences],
    }


def _counts(decided: Decided) -> dict[str, Any]:
    return {
        "acts": dict(sorted(decided.acts.items())),
        "orders": len(decided.orders),
        "bought": decided.bought().quantize(Decimal("0.01")),
        "sold": decided.sold().quantize(Decimal("0.01")),
        "refusals": dict(decided.refusals.most_common()),
    }


def _changed(done: Replayed) -> dict[str, Any]:
    return {
        "recorded": _counts(done.recorded),
        "now": _counts(done.now),
        "only_recorded": [_order(order) for order in done.gone],
        "only_now": [_order(order) for order in done.new],
        "other": [{"recorded": _order(was), "now": _order(now)} for was, now in done.other],
    }


def _order(order: Ordered) -> dict[str, Any]:
    return {
        "ref_id": order.ref_id,
        "event": order.number,
        "at": _instant(order.at),
        "strategy": order.strategy,
        "side": order.side.value,
        "quantity": order.quantity,
        "symbol": order.symbol,
        "order_type": order.order_type,
        "reference_price": order.reference_price,
        "notional": order.notional,
    }


def _instant(at: int) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(at // 10**9, dt.UTC).replace(microsecond=at % 10**9 // 1000) if at > 0 else None


# ── for people ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tell(done: Replayed, facts: dict[str, Any], changes: list[str]) -> None:
    rate = done.ticks / facts["seconds"] if facts["seconds"] else 0
    whole = "whole" if facts["ended"] else "the run was cut off; all that was flushed is here"
    torn = f"; {facts['cut_bytes']:,} bytes of a torn tail were cut off" if facts["cut_bytes"] else ""
    pairs = [
        ("run", f"{facts['run']}, account {facts['account']}"),
        (
            "from",
            f"{facts['began']:%Y-%m-%d %H:%M:%S} to {facts['until']:%Y-%m-%d %H:%M:%S} UTC" if done.events else "–",
        ),
        (
            "events",
            f"{done.events:,}, with {done.ticks:,} ticks, in {facts['seconds']:.2f} s ({rate:,.0f} ticks a second)",
        ),
        ("decided", _words(done.recorded)),
        ("journal", whole + torn),
    ]
    if facts["commit"] != facts["commit_now"]:
        pairs.append(("commit", f"{_commit(facts['commit'])} then, {_commit(facts['commit_now'])} now"))
    if done.raised:
        pairs.append(("ended", f"by an error, now as it was then: {done.raised}"))
    elif done.unrecorded:
        pairs.append(("not kept", f"{done.unrecorded} decisions on the last event: the run was cut off before it did"))
    output.facts(pairs)
    if changes:
        _tell_changed(done, changes)
    elif done.first is None:
        sys.stdout.write("\nThe same decisions, byte for byte.\n")
    else:
        _tell_divergence(done, done.first)


def _tell_divergence(done: Replayed, first: Divergence) -> None:
    others = done.diverged - 1
    more = f"; {others:,} more events differ after it" if others else "; no other event differs"
    at = f"{_instant(first.at):%Y-%m-%d %H:%M:%S.%f} UTC"
    sys.stdout.write(f"\nDIVERGED first at event {first.number:,} ({first.kind}), {at}{more}.\n")
    found = first.differences
    rows: list[Row] = [{name: _short(value) for name, value in each._asdict().items()} for each in found[:SHOWN]]
    columns = [Column("key", "what", fold=True), Column("recorded", "recorded"), Column("now", "now")]
    output.table(rows, columns, empty="The values are the same, but not their bytes: `--json` shows both lines.")
    if len(found) > SHOWN:
        sys.stdout.write(f"  … and {len(found) - SHOWN} more keys; `--json` has all\n")
    output.facts([("then in all", _words(done.recorded)), ("now in all", _words(done.now))])


def _tell_changed(done: Replayed, changes: list[str]) -> None:
    sys.stdout.write(f"\nWith {', '.join(changes)}:\n")
    output.facts([("then", _words(done.recorded)), ("now", _words(done.now))])
    if done.same:
        sys.stdout.write("\nNothing would have changed.\n")
        return
    rows: list[Row] = [{**_order(order), "when": "only then"} for order in done.gone]
    rows += [{**_order(order), "when": "only now"} for order in done.new]
    rows += [
        {**_order(now), "when": "other"}
        | {
            "quantity": _moved(was.quantity, now.quantity, number),
            "notional": _moved(was.notional, now.notional, money),
        }
        for was, now in done.other
    ]
    rows.sort(key=lambda row: row["event"])
    columns = [
        Column("when", "made"),
        Column("at", "when", lambda at: f"{at:%m-%d %H:%M:%S}"),
        Column("strategy", "strategy"),
        Column("side", "side"),
        Column("symbol", "symbol"),
        Column("quantity", "shares", lambda value: _moved(value, value, number), right=True),
        Column("notional", "dollars", lambda value: _moved(value, value, money), right=True),
    ]
    nothing = f"No order would differ; {_many(done.diverged, 'decision')} would name another value as evidence."
    output.table(rows[:SHOWN], columns, title="Orders that would differ", empty=nothing)
    if len(rows) > SHOWN:
        sys.stdout.write(f"  … and {len(rows) - SHOWN} more; `--json` has all\n")
    sys.stdout.write("Fills and books are told as they were: this says what would have been decided, not earned.\n")


def _moved(was: Any, now: Any, show: Callable[[Any], str]) -> str:
    """10 → 12; 10 where it stayed so; a text as it is."""
    if isinstance(now, str):
        return now
    return show(now) if was == now else f"{show(was)} → {show(now)}"


def _many(count: int, name: str) -> str:
    return f"{count:,} {name if count == 1 else name + 's'}"


def _words(decided: Decided) -> str:
    """14 orders (buy 120,000.00, sell 80,000.00), 3 refusals (max_order_notional 2 …), 5 firings."""
    names = {"fired": "firing", "signalled": "signal", "notify": "alert", "run": "flow", "stop": "halt"}
    refused = ", ".join(f"{rule} {count}" for rule, count in decided.refusals.most_common(3))
    parts = [f"{_many(len(decided.orders), 'order')} (buy {money(decided.bought())}, sell {money(decided.sold())})"]
    parts += [f"{_many(decided.refusals.total(), 'refusal')} ({refused})"] if refused else []
    parts += [_many(decided.acts[kind], name) for kind, name in names.items() if decided.acts[kind]]
    return ", ".join(parts)


def _commit(name: str) -> str:
    """Its first characters, and whether something was changed."""
    found, plus, changes = name.partition("+")
    return f"{found[:10]}{plus}{changes}"


def _short(value: str) -> str:
    return value if len(value) <= WIDE else value[: WIDE - 1] + "…"


# ── slippage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _slippage(found: Slippage, *, as_json: bool) -> int:
    lines = [*found.lines, found.total] if found.lines else []
    rows: list[Row] = [_line(line) for line in lines]
    if as_json:
        output.print_json(
            {"symbols": rows[:-1], "all": _line(found.total), "apart": found.apart, "suggested": found.suggested}
        )
        return 0
    columns = [
        Column("symbol", "symbol"),
        Column("orders", "orders filled", right=True),
        Column("quantity", "shares", number, right=True),
        Column("mean_bps", "mean, bps", text, right=True),
        Column("median_bps", "median, bps", text, right=True),
        Column("fees", "fees, dollars", money, right=True),
    ]
    output.table(
        rows, columns, title="Live less the paper broker's model; positive is worse", empty="No order was filled."
    )
    if found.apart:
        sys.stdout.write(f"{found.apart} fills were of orders that this run did not place.\n")
    for name, value in found.suggested.items():
        sys.stdout.write(f"[paper] {name} = {value} would have been nearer.\n")
    return 0


def _line(line: Line) -> dict[str, Any]:
    return {
        "symbol": line.symbol,
        "orders": line.orders,
        "compared": line.compared,
        "quantity": line.quantity,
        "mean_bps": line.mean,
        "median_bps": line.median,
        "fees": line.fees,
    }
