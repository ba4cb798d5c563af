"""Actors of a rehearsal: processes that trade for real, to be killed, paused and doubled.

`python -m quaestor.console.actors` forks them: each line on its standard input is a JSON object. The fields
of `Part` start an actor that trades what is pending in that database; its pid is printed. `{"state": pid}` prints
`running`, `stopped`, or how it ended; `{"go_on": pid}` lets a stopped one go on. What takes long to import is imported
before the fork, so an actor is in the middle of its work within milliseconds.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from quaestor import calendar, wiring
from quaestor.chaos import label
from quaestor.config import Config
from quaestor.doors.faulty import FaultyMarket
from quaestor.doors.postgres import activity, bars, books, control, copies, paper, signals  # noqa: F401  # first
from quaestor.doors.postgres.cluster import Cluster
from quaestor.doors.postgres.embedded import EmbeddedServer
from quaestor.doors.postgres.points import WatchedDatabase
from quaestor.errors import QuaestorError, Temporary
from quaestor.exchange import Costs
from quaestor.faults import Call, Fault, Schedule, Seeded
from quaestor.operations.reconcile import reconcile
from quaestor.operations.session import Floor
from quaestor.operations.trade import pending, trade
from quaestor.orders import Intent, OrderUpdate

ACCOUNT = "paper"
SYMBOLS = ("AAPL", "GOOG", "IBM", "MSFT")  # of the recorded ones, those that traded then
PATIENCE = 2.0  # seconds for a connection
ATTEMPTS = 12  # as often as an orchestrator would run it again
TEMPORARY = 75  # exit code: it may pass by itself
OPERATIONS = "quaestor.operations."
BEGINNINGS = frozenset({"pending", "trade", "reconcile"})  # what an actor calls; below anything else lies another task
RECOVERIES = frozenset({"resolve", "recover"})


@dataclass(frozen=True)
class Part:
    """What an actor plays.

    home, name: the folder of the embedded server, and the database in it. start, end: sessions. notes: the file that it
    writes points to; alerts: its log. ttl: the lease's life, seconds. kill_at: the label of the point at which it dies;
    stop_at: of the one at which it stops itself (SIGSTOP). skew: seconds that its clock is ahead. faults: kinds of a
    broken line to the broker, of a share (0–1) of all calls, as the seed draws. starts: whether it starts a server that
    is gone, or waits for somebody to do so. reconcile: compare books and broker in the end.
    """

    home: str
    name: str
    start: str
    end: str
    notes: str
    alerts: str
    ttl: float = 0.2
    kill_at: str = ""
    stop_at: str = ""
    skew: float = 0.0
    faults: tuple[str, ...] = ()
    share: float = 0.0
    seed: int = 0
    starts: bool = True
    reconcile: bool = False


def main() -> None:
    """Fork actors as told, until standard input ends; then end those that are left."""
    logging.disable(logging.CRITICAL)  # what an actor meets, its notes and its books tell
    config = Config()
    plan = wiring.plan(ACCOUNT, config.account.cash, SYMBOLS, config.strategies, None, config.risk)
    calendar.session_open(dt.date(2005, 2, 1))
    actors = Actors(plan)
    try:
        for line in sys.stdin:
            sys.stdout.write(f"{actors.told(json.loads(line))}\n")
            sys.stdout.flush()
    finally:
        actors.end()


class Actors:
    """Those that were forked, and what is known of them."""

    def __init__(self, plan: wiring.Plan) -> None:
        self._plan = plan
        self._states: dict[int, str] = {}

    def told(self, words: dict[str, Any]) -> str:
        """Do it; the answer."""
        if "state" in words:
            return self._state(words["state"])
        if "go_on" in words:
            self._states[words["go_on"]] = "running"
            os.kill(words["go_on"], signal.SIGCONT)
            return ""
        part = Part(**{**words, "faults": tuple(words.get("faults", ()))})
        pid = os.fork() or play(part, self._plan)
        self._states[pid] = "running"
        return str(pid)

    def _state(self, pid: int) -> str:
        if self._states[pid] == "running":
            found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
            if found:
                self._states[pid] = "stopped" if os.WIFSTOPPED(status) else str(os.waitstatus_to_exitcode(status))
        return self._states[pid]

    def end(self) -> None:
        """End those that are left."""
        for pid in [pid for pid, state in self._states.items() if state in {"running", "stopped"}]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def play(part: Part, plan: wiring.Plan) -> int:
    """The actor: it ends with an exit code, and never returns."""
    code, points = 1, Points(part)
    try:
        os.close(0)
        os.close(1)
        if part.skew:
            shift(part.skew)
        asyncio.run(playing(part, plan, points))
        code = 0
    except Exception as error:  # noqa: BLE001  # whatever ends an actor is told to who judges it
        said = str(error) if isinstance(error, QuaestorError) else traceback.format_exc()
        Path(part.notes).with_suffix(".error").write_text(said, encoding="utf-8")
        code = TEMPORARY if isinstance(error, Temporary) else 1
    finally:
        points.note()
        os._exit(code)


async def playing(part: Part, plan: wiring.Plan, points: Points) -> None:
    """Trade what is pending, again after what passes by itself, as an orchestrator would have it run again."""
    for attempt in range(ATTEMPTS):
        try:
            await _trade(part, plan, points, attempt)
            return
        except Temporary as error:
            Path(part.notes).with_suffix(".error").write_text(str(error), encoding="utf-8")
            if attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep(0.2)


async def _trade(part: Part, plan: wiring.Plan, points: Points, attempt: int) -> None:
    async with WatchedDatabase(_uri(part), points.passed, PATIENCE) as database:
        broker = wiring.paper_broker(database, ACCOUNT, Costs())
        if part.faults:
            kinds = [Fault(name) for name in part.faults]
            drawn = Seeded(part.share, part.seed * 1000 + attempt, kinds)
            broker = FaultyMarket(broker, Noted(drawn, points), _shortly)
        folder, _, file = part.alerts.rpartition("/")
        told = wiring.alerts(Path(folder), file, console=False)
        leases = control.LeaseStore(database, dt.timedelta(seconds=part.ttl))
        floor = replace(wiring.floor(database, ACCOUNT, broker, told), leases=leases)
        floor = replace(floor, broker=Line(floor.broker, points))
        await _work(part, plan, floor)


def _uri(part: Part) -> str:
    """Where the database is now, or was; a server that was killed is started again, as by whoever needs it first."""
    home = Path(part.home)
    return copies.named(EmbeddedServer(home).acquire() if part.starts else Cluster(home).uri(), part.name)


async def _work(part: Part, plan: wiring.Plan, floor: Floor) -> None:
    who = f"actor {os.getpid()}"
    start, end = (dt.date.fromisoformat(day) for day in (part.start, part.end))
    days = await pending(floor, plan.mandate, start, end)
    await trade(floor, plan.mandate, days, wiring.run_info(None, plan.digest), who)
    if part.reconcile:
        await reconcile(floor, plan.mandate.limits, who, start, None)


async def _shortly(seconds: float) -> None:
    """A broken line costs a real trader seconds, a rehearsal a moment."""
    await asyncio.sleep(min(seconds / 1000, 0.01))


# ── points ────────────────────────────────────────────────────────────────────────────────────────────────────────────

_step: ContextVar[str] = ContextVar("step", default="start")


class Points:
    """Names and counts the points that an actor passes, and ends or stops it at one of them."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._kinds: list[str] = []
        self._counts = Counter[str]()

    def passed(self, what: str) -> None:
        """Pass a point, or die there: as by kill -9 and a power cut, nothing is closed, nothing said."""
        _step.set(step(_step.get()))
        kind = f"{_step.get()}: {what}"
        self._kinds.append(kind)
        self._counts[kind] += 1
        here = label(kind, self._counts[kind])
        if here in {self._part.kill_at, self._part.stop_at}:
            self.note()
            os.kill(os.getpid(), signal.SIGKILL if here == self._part.kill_at else signal.SIGSTOP)

    def note(self) -> None:
        """Write down what was passed, the last one at the end."""
        Path(self._part.notes).write_text("\n".join(self._kinds), encoding="utf-8")


def step(above: str) -> str:
    """The operation that waits now, by its name; `above` is the one that started this task."""
    names: list[str] = []
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001  # the chain of who awaits whom is on the stack
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(OPERATIONS) and frame.f_code.co_name[0] != "<":
            names.append(frame.f_code.co_name)
        frame = frame.f_back
    if not names:
        return above
    first, _, more = above.partition("/")
    if names[-1] not in BEGINNINGS and more:
        names.append(first)
    recovery = next((name for name in names[1:] if name in RECOVERIES), "")
    return f"{recovery}/{names[0].strip('_')}" if recovery else names[0].strip("_")


class Line:
    """The broker's door: each send is a point before and after."""

    def __init__(self, broker: Any, points: Points) -> None:
        self._broker = broker
        self._points = points

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def submit(self, intent: Intent) -> OrderUpdate:
        """Send, with a point before and after."""
        self._points.passed("before submit")
        update: OrderUpdate = await self._broker.submit(intent)
        self._points.passed("after submit")
        return update

    async def cancel(self, broker_id: str) -> None:
        """Ask to cancel, with a point before and after."""
        self._points.passed("before cancel")
        await self._broker.cancel(broker_id)
        self._points.passed("after cancel")


@dataclass(frozen=True)
class Noted:
    """A schedule of faults; each one that strikes is noted as a point."""

    drawn: Schedule
    points: Points

    def strikes(self, call: Call) -> Fault | None:
        """What goes wrong with this call."""
        fault = self.drawn.strikes(call)
        if fault is not None:
            self.points.passed(f"fault {fault.value}")
        return fault


# ── the clock ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def shift(seconds: float) -> None:
    """Put this process's clock ahead: all that Python tells of the time of day."""
    clock, real = time.time, dt.datetime

    class Likeness(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class Shifted(dt.datetime, metaclass=Likeness):
        __slots__ = ()  # as large as the real one, which compiled modules look at

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return real.fromtimestamp(clock() + seconds, tz)

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(dt.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    time.time = lambda: clock() + seconds
    dt.datetime = Shifted  # type: ignore[misc]  # whatever asks for the time hears the wrong one


if __name__ == "__main__":
    main()
