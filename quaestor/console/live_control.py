"""The live run from outside: what it does, what is wanted of it, what happens in it. `live` has the run itself."""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import getpass
import platform
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

from quaestor import wiring
from quaestor.console import output
from quaestor.console.output import Column
from quaestor.live.watching import HEARTBEAT, figures
from quaestor.metrics import latencies

if TYPE_CHECKING:
    from quaestor.ports_live import Desire, Desired, Happening, LiveRun, LiveStore

T = TypeVar("T")
EVERY = 2.0  # seconds between two looks where no hint came
MEANS = {
    "armed": "The runner trades.",
    "hold": "No entry will be made; exits and protective orders go on. `quaestor live arm` ends it.",
    "flatten": "What is held will be sold as soon as the market takes orders; no entry will be made.",
    "stopped": "The runner ends: nothing is watched and nothing is sent by it, protective exits included.",
}


def status(arguments: argparse.Namespace) -> int:
    """What runs, what is wanted of it, and its figures."""
    loaded = wiring.load()

    async def look(store: LiveStore) -> tuple[LiveRun | None, LiveRun | None, Desired]:
        account = loaded.config.account.alias
        return await store.alive(account, HEARTBEAT), await store.newest(account), await store.desired(account)

    alive, newest, desired = _with(loaded, look)
    run = alive or newest
    if arguments.json:
        found = {"account": loaded.config.account.alias, "alive": alive is not None, "desired": asdict(desired)}
        output.print_json(found | {"run": asdict(run) if run else None, "process": wiring.local_runner(loaded).pid})
        return 0
    output.facts(_told(loaded.config.account.alias, run, desired, alive=alive is not None))
    return 0


def _told(account: str, run: LiveRun | None, desired: Desired, *, alive: bool) -> list[tuple[str, str]]:
    wanted = f"{desired.state}, said by {desired.by}: {desired.reason or 'no reason'}" if desired.by else desired.state
    pairs = [("account", account), ("wanted", wanted)]
    if run is None:
        return [*pairs, ("runner", "there was none yet; `quaestor live run` starts one")]
    pairs += [("runner", f"{'alive' if alive else 'NOT ALIVE'}, run {str(run.id)[:8]} by {run.holder}")]
    pairs += [("began", _moment(run.started_at)), ("last seen", _moment(run.beat_at))]
    if run.ended_at:
        pairs += [("ended", f"{_moment(run.ended_at)}: {run.outcome}")]
    plain = {name: value for name, value in run.facts.items() if name != "metrics"}
    return [*pairs, *figures(plain), *latencies(run.facts.get("metrics", {}))]


def arm(arguments: argparse.Namespace) -> int:
    """Trade."""
    return _say(arguments, "armed")


def hold(arguments: argparse.Namespace) -> int:
    """Enter nothing new."""
    return _say(arguments, "hold")


def flatten(arguments: argparse.Namespace) -> int:
    """Sell what is held."""
    return _say(arguments, "flatten")


def stop(arguments: argparse.Namespace) -> int:
    """End the runner."""
    return _say(arguments, "stopped")


def _say(arguments: argparse.Namespace, state: Desire) -> int:
    loaded = wiring.load()
    who, account = f"{getpass.getuser()}@{platform.node()}", loaded.config.account.alias

    async def say(store: LiveStore) -> tuple[Desired, bool]:
        said = await store.desire(account, state, who, arguments.reason)
        return said, await store.alive(account, HEARTBEAT) is not None

    said, alive = _with(loaded, say)
    if arguments.json:
        output.print_json({**asdict(said), "alive": alive})
        return 0
    sys.stdout.write(f"{account} is wanted {state}. {MEANS[state]}\n")
    if not alive:
        sys.stdout.write("No runner is alive now; the next one obeys.\n")
    return 0


def runs(arguments: argparse.Namespace) -> int:
    """Live runs, newest first."""
    loaded = wiring.load()
    found = _with(loaded, lambda store: store.runs(loaded.config.account.alias, arguments.limit))
    rows = [asdict(run) for run in found]
    if arguments.json:
        output.print_json(rows)
        return 0
    columns = [
        Column("id", "run", lambda value: str(value)[:8]),
        Column("started_at", "began", _moment),
        Column("beat_at", "last seen", _moment),
        Column("ended_at", "ended", _moment),
        Column("outcome", "how", output.text, fold=True),
        Column("holder", "by", output.text),
    ]
    output.table(rows, columns, empty="No live run yet. `quaestor live run` starts one.")
    return 0


def watch(arguments: argparse.Namespace) -> int:
    """What happens, a line each, until Ctrl-C."""
    loaded = wiring.load()
    kinds = frozenset(filter(None, arguments.kinds.split(",")))

    async def follow(store: LiveStore) -> None:
        async for one in following(store, loaded.config.account.alias, kinds):
            sys.stdout.write(f"{line(one)}\n")
            sys.stdout.flush()

    _with(loaded, follow)
    return 0


async def following(store: LiveStore, account: str, kinds: Collection[str]) -> AsyncGenerator[Happening, None]:
    """What happens from now on; a hint brings it at once, a look now and then where none came."""
    cursor = await store.cursor_at(account, dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    async with aclosing(store.hints(account)) as hints:
        hint = asyncio.ensure_future(anext(hints))
        try:
            while True:
                while found := await store.happenings(account, cursor):
                    cursor = found[-1].number
                    for one in found:
                        if not kinds or one.kind in kinds:
                            yield one
                if (await asyncio.wait({hint}, timeout=EVERY))[0]:
                    hint = asyncio.ensure_future(anext(hints))
        finally:
            hint.cancel()
            await asyncio.gather(hint, return_exceptions=True)


def line(happening: Happening) -> str:
    """A happening as a line: when, what, of which, and the rest as name=value."""
    rest = " ".join(f"{name}={value}" for name, value in happening.body.items() if not isinstance(value, dict | list))
    return f"{_moment(happening.at)}  {happening.kind:<10} {happening.subject}  {rest}".rstrip()


def _moment(at: dt.datetime | None) -> str:
    return "–" if at is None else f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def _with(loaded: wiring.Loaded, ask: Callable[[LiveStore], Awaitable[T]]) -> T:
    """Ask the configured books."""

    async def asked() -> T:
        async with wiring.configured_database(loaded, create=False) as database:
            return await ask(wiring.live_store(database))

    return asyncio.run(asked())
