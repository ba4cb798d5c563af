"""The stage of rehearsals: a database server of its own, a recorded market to copy, actors, pictures of what is there.

Nothing of the trader's own books is touched: the server lives in a folder of its own below QUAESTOR_HOME, on recorded
prices, and all is gone when the stage is struck. One stage stands in a folder at a time: its file `playing` is locked.
What a stage that was killed has left there, the next one clears away first.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from quaestor import wiring
from quaestor.chaos import Picture
from quaestor.config import Config
from quaestor.console.actors import ACCOUNT, SYMBOLS
from quaestor.doors.postgres import copies
from quaestor.doors.postgres.cluster import Cluster
from quaestor.doors.postgres.control import ControlStore, LeaseStore
from quaestor.doors.postgres.database import Database
from quaestor.doors.postgres.embedded import EmbeddedServer, check_reachable
from quaestor.doors.postgres.flocks import drop, take
from quaestor.doors.postgres.reads import Reads
from quaestor.errors import BadConfig, PartMissing, Temporary
from quaestor.exchange import Costs
from quaestor.operations.generate import generate_signals
from quaestor.operations.halt import halt, resume
from quaestor.operations.ingest import ingest_symbol
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor
from quaestor.orders import Execution, Intent, OrderUpdate, Side, trimmed
from quaestor.ports import Run, StoredOrder

T = TypeVar("T")
START, END = dt.date(2005, 2, 25), dt.date(2005, 2, 28)  # entries; then an exit, and a split of what is held (AAPL's)
ROTATION = ("2005-03-03", "2005-03-04", "2005-03-08")  # entries; an exit and an entry; another entry
HISTORY, LAST = dt.date(2004, 9, 1), dt.date(2005, 3, 8)  # enough for the strategies' longest window, and all of these
TEMPLATE = "template_market"
TTL = dt.timedelta(seconds=0.3)
PATIENCE = 60.0  # seconds for an actor to stop itself, or to end
POLL = 0.003  # seconds
HUNG = 124  # the exit code of one that did not end


@dataclass
class Actor:
    """A process that trades; its parent is the stage's."""

    pid: int
    notes: Path
    _parent: Parent

    def wait(self) -> int:
        """How it ended: its exit code, or minus the signal; one that does not end is killed."""
        state = self._until(lambda state: state not in {"running", "stopped"})
        if state in {"running", "stopped"}:
            os.kill(self.pid, signal.SIGKILL)
            return HUNG
        return int(state)

    def await_stop(self) -> bool:
        """Wait until it has stopped itself; False when it ended instead."""
        return self._until(lambda state: state != "running") == "stopped"

    def _until(self, done: Callable[[str], bool]) -> str:
        end = time.monotonic() + PATIENCE
        while not done(state := self._parent.ask({"state": self.pid})) and time.monotonic() < end:
            time.sleep(POLL)
        return state

    def go_on(self) -> None:
        """Let a stopped one go on."""
        self._parent.ask({"go_on": self.pid})

    def points(self) -> list[str]:
        """The points it passed, the last one at the end."""
        return self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []

    def said(self) -> str:
        """The error that ended it; empty when none did."""
        file = self.notes.with_suffix(".error")
        return file.read_text(encoding="utf-8") if file.exists() else ""


class Parent:
    """The process that forks actors; in a session of its own, for a Ctrl-C is ours to hear."""

    def __init__(self, home: Path) -> None:
        words = [sys.executable, "-m", "quaestor.console.actors"]
        env = {**os.environ, "QUAESTOR_HOME": str(home)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=env, start_new_session=True)
        self._turn = threading.Lock()

    def ask(self, words: dict[str, Any]) -> str:
        """Tell it something, and hear what it answers."""
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        with self._turn:
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        if not answer:
            raise PartMissing("The process that starts actors has ended; run it again, and report this as a defect.")
        return answer.rstrip("\n")

    def end(self) -> None:
        """End it, and the actors that are left."""
        with self._turn:
            try:
                self._process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()


class Stage:
    """Implements `operations.chaos.Stage`; a context manager."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._server = EmbeddedServer(home)
        self._playing, self._notes = home / "playing", home / "notes"
        config = Config()
        self.rotation = ROTATION
        self._plan = wiring.plan(ACCOUNT, config.account.cash, SYMBOLS, config.strategies, None, config.risk)

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            opened.callback(self._leave, self._enter())
            opened.callback(self._clear)
            self._clear()
            self._notes.mkdir()
            self._parent = Parent(self._notes)
            opened.callback(self._parent.end)
            opened.callback(self._server.release)
            self._uri = self._server.acquire()
            self._build()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _unhurried():
            self._opened.close()

    def _enter(self) -> int:
        """Be the only one here; the descriptor of the lock."""
        try:
            check_reachable(self._home)
            Cluster(self._home).make_home()
            return take(self._playing, patient=False)
        except BlockingIOError:
            raise Temporary(
                f"Another rehearsal plays in {self._home}. Wait for its end, or set QUAESTOR_HOME to another folder."
            ) from None
        except OSError as error:
            raise BadConfig(
                f"The folder {self._home} cannot be used: {error.strerror or error}. Set QUAESTOR_HOME to one of yours."
            ) from error

    def _leave(self, lock: int) -> None:
        self._playing.unlink(missing_ok=True)
        drop(lock)
        with contextlib.suppress(OSError):  # somebody else may have put something there
            self._home.rmdir()

    def _clear(self) -> None:
        """Nothing of a stage is left, of this one or of one that was killed here."""
        self._server.destroy()
        shutil.rmtree(self._notes, ignore_errors=True)

    def _build(self) -> None:
        copies.create(self._uri, TEMPLATE)
        uri = self._named(TEMPLATE)
        wiring.upgrade(uri)
        asyncio.run(self._fill(uri))

    async def _fill(self, uri: str) -> None:
        source = wiring.source("recorded")
        async with Database(uri) as database:
            intake = wiring.intake(source, database, wiring.alerts(self._notes, console=False))
            bars, signals = wiring.bar_store(database), wiring.signal_store(database)
            for symbol in self._plan.mandate.symbols:
                await ingest_symbol(intake, symbol, HISTORY, LAST)
            for built in self._plan.daily:
                await generate_signals(built, bars, signals, self._plan.mandate.symbols, None, LAST, Run())

    # ── scenes ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def fresh(self) -> str:
        """A new copy of the market, before its first session."""
        name = f"chaos_{uuid.uuid4().hex[:12]}"
        copies.create(self._uri, name, TEMPLATE)
        return name

    def strike(self, name: str) -> None:
        """Take it down again."""
        copies.drop(self._uri, name)

    def actor(self, name: str, **part: Any) -> Actor:
        """Start an actor in that copy."""
        notes = self._notes / uuid.uuid4().hex
        told = {"start": START.isoformat(), "end": END.isoformat(), "alerts": str(self._notes / "alerts.log"), **part}
        pid = int(self._parent.ask({"home": str(self._home), "name": name, "notes": str(notes), **told}))
        return Actor(pid, notes, self._parent)

    def kill_database(self) -> None:
        """End the server as a power cut would."""
        pid = self._server.status().pid
        assert pid is not None  # noqa: S101  # it runs: we use it
        os.kill(pid, signal.SIGQUIT)
        while self._server.status().pid == pid:
            time.sleep(POLL)

    def start_database(self) -> None:
        """Start it again, where nobody has."""
        with self._server as uri:  # its socket lies in a new folder
            self._uri = uri

    def slow_commits(self, name: str, seconds: float) -> None:
        """From now on the commit that the broker acknowledged takes that long; 0: as long as ever."""
        uri = self._named(name)
        if seconds:
            copies.slow(uri, seconds)
        else:
            copies.quick(uri)

    def await_commit(self, name: str) -> bool:
        """Wait until such a commit is under way; False when none comes."""
        end = time.monotonic() + PATIENCE
        while not (found := copies.committing(self._named(name))) and time.monotonic() < end:
            time.sleep(POLL)
        return found

    def ages(self, name: str) -> tuple[float, float]:
        """How old the newest and the oldest entry of the log of orders are, in seconds by a right clock."""
        with Reads(self._named(name), ACCOUNT) as reads:
            times = [
                dt.datetime.fromisoformat(f"{row['at']}+00:00") for row in reads.rows("events", after=0, limit=9999)
            ]
        now = dt.datetime.now(dt.UTC)
        return (now - max(times)).total_seconds(), (now - min(times)).total_seconds()

    # ── people ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def by_hand(self, name: str) -> str:
        """Place an order at the broker that nobody here decided; its id there."""

        async def place(floor: Floor) -> str:
            broker: Any = floor.broker
            update = await broker.place_by_hand("IBM", Side.BUY, Decimal(1))
            return str(update.broker_id)

        return self._on_floor(name, place)

    def halt(self, name: str) -> None:
        """Halt, as a person does."""

        async def stop(floor: Floor) -> None:
            parts = (floor.control, floor.books, floor.broker, floor.leases, floor.alerts)
            await halt(*parts, "a rehearsal", "a person")

        self._on_floor(name, stop)

    def resume(self, name: str) -> None:
        """Resume."""

        async def go_on(floor: Floor) -> None:
            await resume(floor.control, ACCOUNT, floor.alerts, "the rehearsal is over")

        self._on_floor(name, go_on)

    def picture(self, name: str) -> Picture:
        """What is there now, compared and proven."""
        picture = self._on_floor(name, self._picture)
        with Reads(self._named(name), ACCOUNT) as reads:
            flaws = reads.audit().flaws
        return replace(picture, flaws=tuple(f"{flaw.subject}: {flaw.problem}" for flaw in flaws))

    async def _picture(self, floor: Floor) -> Picture:
        """As the actors left it; then compared."""
        books: Any = floor.books
        balances, lots = await books.balances(), await books.lots()
        found = Picture(
            broker=tuple(map(_update, await floor.broker.orders())),
            fills=tuple(map(_fill, await floor.broker.executions())),
            orders=tuple(map(_order, await books.orders_since(START))),
            books=(
                *(f"{account} {amount}" for account, amount in sorted(balances.items())),
                *(f"lot {lot.strategy} {lot.symbol} {trimmed(lot.quantity)} {lot.cost}" for lot in lots),
            ),
            equity=tuple(f"{each.session} {each.equity}" for each in await books.equity_curve(START, LAST)),
            latches=tuple(latch.name for latch in await floor.control.latches(ACCOUNT)),
        )
        outcome = await reconcile(floor, self._plan.mandate.limits, "a judge", START, None)
        told = tuple(f"{d['subject']} {d['key']}: {d['ours']} / {d['theirs']}" for d in outcome.differences)
        return replace(found, differences=told)

    def _on_floor(self, name: str, work: Callable[[Floor], Awaitable[T]]) -> T:
        async def run() -> T:
            async with Database(self._named(name)) as database:
                told = wiring.alerts(self._notes, "stage.log", console=False)
                broker = wiring.paper_broker(database, ACCOUNT, Costs())
                floor = wiring.floor(database, ACCOUNT, broker, told)
                leases, control = LeaseStore(database, TTL), ControlStore(database)
                return await work(replace(floor, leases=leases, control=control))

        return asyncio.run(run())

    def _named(self, name: str) -> str:
        return copies.named(self._uri, name)


@contextlib.contextmanager
def _unhurried() -> Iterator[None]:
    """A second Ctrl-C, while we clear up, would leave things behind: it is not heard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {sign: signal.signal(sign, signal.SIG_IGN) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _update(update: OrderUpdate) -> str:
    told = (update.side.value, update.symbol, trimmed(update.quantity), update.state.value, trimmed(update.filled))
    return " ".join(map(str, (update.ref_id or update.broker_id, *told, update.average_price)))


def _fill(fill: Execution) -> str:
    told = (fill.side.value, fill.symbol, trimmed(fill.quantity), fill.price, fill.fee, fill.session)
    return " ".join(map(str, (fill.execution_id, *told)))


def _order(order: StoredOrder) -> str:
    intent: Intent = order.intent
    told = (intent.session, intent.strategy, intent.side.value, intent.symbol, intent.quantity)
    return " ".join(map(str, (order.ref_id, *told, order.state.value, trimmed(order.filled), order.broker_id)))
