"""Triggers by hand: rules that trade at once, written as sentences."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import getpass
import json
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.errors import BadInput, PartMissing
from quaestor.operations import triggers as by_hand
from quaestor.triggers.figures import span, write_moment
from quaestor.triggers.telling import money

if TYPE_CHECKING:
    from quaestor.ports_live import TriggerStore

T = TypeVar("T")
FIELDS = ("symbol", "when", "do", "price", "hysteresis", "cooldown", "expires", "max_age", "band", "name", "note")
STYLES = {"armed": "green", "fired": "yellow", "done": "dim", "expired": "dim"}


def add(arguments: argparse.Namespace) -> int:
    """Write a trigger."""
    loaded, asked = wiring.load(), _asked(arguments)
    account = loaded.config.account.alias
    put = _with(loaded, lambda store: by_hand.add(store, account, asked, _now(), _by()))
    _show_put(arguments, loaded, put, "Stored" if put.changed else "It is there already, just so")
    return 0


def edit(arguments: argparse.Namespace) -> int:
    """Change what is said of one."""
    loaded, asked = wiring.load(), _asked(arguments)
    account = loaded.config.account.alias
    put = _with(loaded, lambda store: by_hand.edit(store, account, arguments.trigger, asked, _now(), _by()))
    _show_put(arguments, loaded, put, "Changed" if put.changed else "Nothing changed")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Say in plain words what a trigger would do; nothing is stored."""
    loaded = wiring.load()
    trigger = by_hand.read_asked(_asked(arguments), _now())
    found = by_hand.checked(trigger, _close(loaded, trigger.symbol))
    if arguments.json:
        output.print_json(found)
        return 0
    sys.stdout.write(f"{found['sentence']}\n\n")
    for said in found["plain"]:
        sys.stdout.write(f"  {said}\n")
    if found.get("close") is not None:
        far = "" if found["distance"] is None else f"; the nearest level is {output.percent(found['distance'])} away"
        sys.stdout.write(f"  The newest stored close is {money(found['close'])}{far}.\n")
    _warn(loaded, trigger.symbol)
    sys.stdout.write("\nNothing was stored. `quaestor trigger add` with the same words stores it.\n")
    return 0


def listing(arguments: argparse.Namespace) -> int:
    """All triggers, with how they stand."""
    loaded = wiring.load()
    account = loaded.config.account.alias
    found = _with(loaded, lambda store: by_hand.overview(store, account, _now()))
    if arguments.json:
        output.print_json(found)
        return 0
    columns = [
        Column("id", "trigger", lambda value: value[:8]),
        Column("name", "name", output.text),
        Column("sentence", "what", fold=True),
        Column("state", "state", style=lambda value: STYLES.get(value, "")),
        Column("fired", "fired", right=True),
        Column("close", "last close", lambda value: "–" if value is None else f"{value:,.2f}", right=True),
        Column("distance", "to go", lambda value: "–" if value is None else f"{value:+.2%}", right=True),
    ]
    empty = "No trigger yet. `quaestor trigger add --help` shows how to write one."
    output.table(found["triggers"], columns, title=f"Triggers of {account}" if found["triggers"] else "", empty=empty)
    for torn in found["damaged"]:
        sys.stdout.write(f"{torn['problem']}\n")
    return 1 if found["damaged"] else 0


def show(arguments: argparse.Namespace) -> int:
    """One trigger with all that is known of it."""
    loaded = wiring.load()
    account = loaded.config.account.alias
    found = _with(loaded, lambda store: by_hand.look(store, account, arguments.trigger, _now()))
    if arguments.json:
        output.print_json(found)
        return 0
    last = "never" if found["last_fired"] is None else write_moment(found["last_fired"])
    pairs = [
        ("trigger", f"{found['id']}{f' ({name})' if (name := found['name']) else ''}"),
        ("says", found["sentence"]),
        ("state", found["state"]),
        ("fired", f"{found['fired']} times, last: {last}" if found["fired"] else "never"),
        ("written", f"{found['written_at']:%Y-%m-%d %H:%M:%S} UTC by {found['by'] or 'nobody known'}"),
        ("note", found["note"] or "–"),
    ]
    if found["close"] is not None:
        far = "" if found["distance"] is None else f", {output.percent(found['distance'])} to {money(found['level'])}"
        pairs.append(("last close", f"{money(found['close'])} in session {found['close_session']}{far}"))
    output.facts(pairs)
    for said in found["plain"]:
        sys.stdout.write(f"  {said}\n")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Take one out; its firings stay."""
    loaded = wiring.load()
    account = loaded.config.account.alias
    found = _with(loaded, lambda store: by_hand.remove(store, account, arguments.trigger, _by()))
    if arguments.json:
        output.print_json({"removed": found})
        return 0
    sys.stdout.write(
        f"Trigger {found} is removed: it fires no more. What it did stays in `quaestor trigger firings`.\n"
    )
    return 0


def firings(arguments: argparse.Namespace) -> int:
    """What fired, newest first."""
    loaded = wiring.load()
    account = loaded.config.account.alias
    rows = _with(loaded, lambda store: by_hand.firings(store, account, arguments.limit, arguments.trigger or ""))
    if arguments.json:
        output.print_json(rows)
        return 0
    columns = [
        Column("at", "at", _moment),
        Column("trigger", "trigger", lambda value: value[:8]),
        Column("name", "name", output.text),
        Column("number", "no.", right=True),
        Column("symbol", "symbol"),
        Column("price", "price", lambda value: "–" if value is None else f"{value:,.2f}", right=True),
        Column("action", "did", fold=True),
        Column("outcome", "became", output.text, fold=True),
    ]
    output.table(rows, columns, title="Firings, newest first" if rows else "", empty="No trigger has fired.")
    return 0


# ── what is asked for ─────────────────────────────────────────────────────────────────────────────────────────────────


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """The form that a person filled in by options, or a file; options win over the file."""
    asked = _read(arguments.json_file) if arguments.json_file else {}
    asked |= {name: value for name in FIELDS if (value := getattr(arguments, name)) is not None}
    modes = set(arguments.modes or ())
    if len(modes) > 1:
        raise BadInput("--once and --rearm contradict each other; choose one.")
    if modes:
        asked["mode"] = modes.pop()
    return asked


def _read(name: str) -> dict[str, Any]:
    """A trigger out of a file of JSON, or out of what is piped in."""
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{name}: cannot be read ({error}); name a file of JSON, or - for what is piped in.") from error
    where = "standard input" if name == "-" else name
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: no JSON ({error}). `quaestor trigger show NAME --json` shows a rule.") from error
    if not isinstance(found, dict):
        raise BadInput(f"{where}: one trigger is wanted, in braces; this is a {type(found).__name__}.")
    return found


def _show_put(arguments: argparse.Namespace, loaded: wiring.Loaded, put: by_hand.Put, done: str) -> None:
    row = by_hand.row(put.stored, _now())
    if arguments.json:
        output.print_json({"changed": put.changed, **row})
        return
    trigger = put.stored.trigger
    named = f" ({put.stored.name})" if put.stored.name else ""
    sys.stdout.write(f"{done}: trigger {str(trigger.id)[:8]}{named}\n  {row['sentence']}\n")
    if trigger.expires is not None:
        left = (trigger.expires - _now()) / 1e9
        sys.stdout.write(
            f"  It {f'expires in {span(round(left / 60) * 60)}' if left > 0 else 'HAS EXPIRED already'}.\n"
        )
    _warn(loaded, trigger.symbol)


def _warn(loaded: wiring.Loaded, symbol: str) -> None:
    if symbol not in loaded.config.market.symbols:
        known = ", ".join(loaded.config.market.symbols)
        sys.stderr.write(f"quaestor: {symbol} is not among [market] symbols ({known}): the live run gets no prices.\n")


def _close(loaded: wiring.Loaded, symbol: str) -> tuple[float, dt.date] | None:
    """The newest stored close; None where there are no books yet: a check needs none."""
    try:
        return _with(loaded, lambda store: store.closes([symbol])).get(symbol)
    except PartMissing:
        return None


def _moment(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _now() -> int:
    return time.time_ns()


def _by() -> str:
    return f"{getpass.getuser()}@{platform.node()}"


def _with(loaded: wiring.Loaded, ask: Callable[[TriggerStore], Awaitable[T]]) -> T:
    """Ask the configured books."""

    async def asked() -> T:
        async with wiring.configured_database(loaded, create=False) as database:
            return await ask(wiring.trigger_store(database))

    return asyncio.run(asked())
