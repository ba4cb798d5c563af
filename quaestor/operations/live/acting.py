"""Acting: the engine's acts, performed. Orders go out at once; everything else is written down by one clerk, in order.

    Place      commit, send, commit the answers (outbox.place), once the broker's quote was asked where that is wanted;
               what was not taken is told to the engine as an order that never was
    Stop       latched before anything else happens, entries are taken back
    the rest   queued: refusals, firings with their latches, alerts, flows, and a happening for whoever watches

A firing is kept once, by its id: a successor that decides it again sends no second alert and starts no second flow.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from quaestor.errors import LeaseHeld, QuaestorError, Temporary
from quaestor.latches import HALT
from quaestor.live.acts import Act, Fired, Notify, Place, Refuse, Run, Signalled, Stop
from quaestor.live.events import Event, Moved
from quaestor.live.standing import instant
from quaestor.metrics import LiveMetrics
from quaestor.operations.crosscheck import cross_check
from quaestor.operations.halt import carry_out
from quaestor.operations.live.deck import Deck
from quaestor.operations.outbox import place
from quaestor.orders import Intent, State, trimmed
from quaestor.ports import Lease
from quaestor.ports_live import Happening, StoredFiring
from quaestor.risk import Check, Quote, Refusal, refused_by
from quaestor.spans import Passage
from quaestor.triggers import read_latch

log = logging.getLogger("quaestor.live")
ZERO = Decimal(0)
T = TypeVar("T")
TRIES, AGAIN = 3, 1.0  # of what is to be written while the run ends; seconds until it is tried again
MANY = 256  # happenings that are written at a time
CROSS_CHECK = "cross_check"
BY_TRIGGER = "trigger|"  # how the cause of an order begins that a firing asked for


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a firing."""

    firing: uuid.UUID
    words: str


Item = Act | Happening | Outcome


class Acting:
    """Performs acts for one run. `hear` takes events back to the engine; `stirred`: the books may have changed."""

    def __init__(
        self,
        deck: Deck,
        account: str,
        run: uuid.UUID,
        lease: Lease,
        hear: Callable[[Event], None],
        stirred: Callable[[], None],
        metrics: LiveMetrics,
        quoted: Callable[[str], Quote | None],
    ) -> None:
        self._deck, self._account, self._run, self._lease = deck, account, run, lease
        self._hear, self._stirred = hear, stirred
        self._metrics, self._quoted = metrics, quoted
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._done_before = set[uuid.UUID]()  # firings whose action a run before this one has performed
        self._sending: set[asyncio.Task[None]] = set()
        self._writing: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._ending = False

    def perform(self, acts: Sequence[Act], heard: int = 0) -> None:
        """Begin all of these, caused at `heard`; raises what ended an earlier one for good (a lost lease)."""
        if self._failure is not None:
            raise self._failure
        for act in acts:
            if isinstance(act, Place):
                self._start(self._place(act, heard))
            elif isinstance(act, Stop):
                self._start(self._stop(act))
            else:
                self._queue.put_nowait(act)

    @property
    def failed(self) -> bool:
        """Whether something was begun and could not be done."""
        return self._failure is not None

    @property
    def idle(self) -> bool:
        """Whether everything that was decided is done and written down."""
        writing = self._writing is not None and not self._writing.done()
        return not self._sending and self._queue.empty() and not writing

    def tell(self, kind: str, subject: str, **body: Any) -> None:
        """Something that happened."""
        self._queue.put_nowait(Happening(kind, subject, instant(self._deck.now()), body))

    async def clerk(self) -> None:
        """Write down what is queued, for ever."""
        while True:
            first = await self._queue.get()
            self._writing = asyncio.ensure_future(self._write([first]))
            await asyncio.shield(self._writing)  # who ends the clerk lets him finish his line

    async def finish(self) -> None:
        """What was begun comes to its end."""
        self._ending = True
        try:
            await self._finish()
        finally:
            self._ending = False

    async def _finish(self) -> None:
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._writing is not None:
            await asyncio.wait([self._writing])
        while not self._queue.empty():
            await self._write([self._queue.get_nowait()])

    # ── orders ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
            self._stirred()

    async def _place(self, act: Place, heard: int) -> None:
        deck, decided = self._deck, self._deck.now()
        times: dict[str, int] = {}

        def note(moment: str) -> None:
            times[moment] = deck.now()

        intents = await self._checked(act.intents)
        states = await place(intents, deck.floor.books, deck.floor.broker, self._lease, note) if intents else []
        answered = deck.now()
        came = dict(zip((intent.ref_id for intent in intents), states, strict=True))
        for intent in act.intents:
            state = came.get(intent.ref_id)
            final = State.EXPIRED_UNSENT if state is None else state
            self._hear(Moved(answered, intent.ref_id, final, ZERO if final.final else intent.quantity))
            if intent.ref_id in came:
                self._tell_order(intent, state)
                self._measure(intent, state, act.tick, heard or decided, decided, times)
        self._stirred()

    def _tell_order(self, intent: Intent, state: State | None) -> None:
        body = {
            "symbol": intent.symbol,
            "side": intent.side.value,
            "quantity": str(trimmed(intent.quantity)),
            "strategy": intent.strategy,
            "cause": intent.cause_key,
            "state": None if state is None else state.value,
        }
        self.tell("order" if state is not None else "order-not-new", str(intent.ref_id), **body)
        self._tell_outcome(intent.cause_key, "known" if state is None else state.value)

    def _measure(
        self, intent: Intent, state: State | None, told: int, heard: int, decided: int, times: Mapping[str, int]
    ) -> None:
        """What the order's way took; `told`: when the exchange told what caused it."""
        if state is None:
            return
        metrics, committed, answered = self._metrics, times["committed"], times["answered"]
        metrics.orders.add(1)
        metrics.rejects.add(state is State.REJECTED)
        metrics.commit.record(committed - decided)
        metrics.ack.record(answered - committed)
        metrics.tick_to_wire.record(committed - heard)
        if self._deck.telemetry is not None:
            way = {"received": heard, "decided": decided, "committed": committed, "wired": committed}
            failed = state in {State.REJECTED, State.UNKNOWN}
            passage = Passage.of(intent, outcome=state.value, failed=failed, **way, acked=answered, told=told)
            self._deck.telemetry.order(passage)

    async def _checked(self, intents: Sequence[Intent]) -> list[Intent]:
        """Those that may go: an entry whose symbol the broker sees elsewhere than the feed does may be refused."""
        deck = self._deck
        entries = {intent.symbol for intent in intents if not intent.reduces}
        if deck.settings.cross_check == "off" or not entries:
            return list(intents)
        quotes = {symbol: self._quoted(symbol) for symbol in entries}
        found = await cross_check(deck.poll, quotes, deck.settings, lambda: instant(deck.now()))
        for symbol, words in (*found.warned.items(), *found.refused.items()):
            self._queue.put_nowait(Happening("cross-check", symbol, instant(deck.now()), {"words": words}))
        refused = [intent for intent in intents if not intent.reduces and intent.symbol in found.refused]
        for intent in refused:
            self._queue.put_nowait(Refuse((_far(intent, found.refused[intent.symbol]),)))
        return [intent for intent in intents if intent not in refused]

    async def _stop(self, act: Stop) -> None:
        floor = self._deck.floor
        new = await floor.control.set_latch(self._account, HALT, act.reason)
        canceled = await carry_out(floor.control, floor.books, floor.broker, self._lease)
        self.tell("halt", self._account, reason=act.reason, canceled=canceled)
        if new:
            await floor.alerts.send(f"{self._account}: halted; entries are stopped", act.reason, urgent=True)
        self._stirred()

    # ── the clerk ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self, items: list[Item]) -> None:
        while not self._queue.empty() and len(items) < MANY:
            items.append(self._queue.get_nowait())
        happenings: list[Happening] = []
        at = instant(self._deck.now())
        for item in items:
            happenings += await self._insisting(partial(self._written, item, at), type(item).__name__) or []
        told = f"{len(happenings)} happenings"
        await self._insisting(lambda: self._deck.live.tell(self._account, self._run, happenings), told)

    async def _insisting(self, write: Callable[[], Awaitable[T]], what: str) -> T | None:
        """Write until it is written; given up only where that can never be, or the run ends."""
        tries = 0
        while self._failure is None:
            try:
                return await write()
            except LeaseHeld as error:
                self._failure = error
                self._stirred()
            except Temporary as error:
                tries += 1
                log.warning("%s waits to be written: %s", what, error)
                if self._ending and tries >= TRIES:
                    return None
                await self._deck.sleep(AGAIN)
            except QuaestorError as error:
                log.warning("%s was not kept: %s", what, error)
                return None
        return None

    async def _written(self, item: Item, at: dt.datetime) -> list[Happening]:
        """Perform what is no order; what is to be told of it."""
        match item:
            case Happening():
                return [item]
            case Signalled(strategy, symbol, timeframe, end, target):
                body = {"strategy": strategy, "timeframe": timeframe, "bar_end": instant(end).isoformat()}
                return [Happening("signal", symbol, at, {**body, "target": target})]
            case Refuse(refusals):
                return await self._keep_refusals(refusals, at)
            case Fired():
                return await self._keep_firing(item, at)
            case Outcome(firing, words):
                await self._deck.triggers.outcome(firing, words)
            case Notify() | Run() if item.id not in self._done_before:
                return [await (self._alert(item, at) if isinstance(item, Notify) else self._start_flow(item, at))]
            case _:
                pass
        return []

    async def _keep_refusals(self, refusals: Sequence[Refusal], at: dt.datetime) -> list[Happening]:
        await self._deck.floor.books.refuse(refusals, self._lease)
        for refused in refusals:
            self._tell_outcome(refused.cause_key, f"refused: {refused.rule}")
        return [
            Happening("refusal", r.symbol, at, {"rule": r.rule, "message": r.message, "strategy": r.strategy})
            for r in refusals
        ]

    async def _alert(self, act: Notify, at: dt.datetime) -> Happening:
        await self._deck.floor.alerts.send(act.title, act.body, urgent=act.urgent)
        await self._deck.triggers.outcome(act.id, "told")
        return Happening("alert", act.title, at, {"body": act.body, "urgent": act.urgent})

    async def _keep_firing(self, act: Fired, at: dt.datetime) -> list[Happening]:
        told = instant(act.at)
        kept = StoredFiring(act.id, act.trigger, act.number, act.symbol, act.price, told, act.action)
        if not await self._deck.triggers.keep_firing(self._account, kept, read_latch(act.latch)):
            known = await self._deck.triggers.firings(self._account, trigger=act.trigger)
            self._done_before |= {each.id for each in known if each.id == act.id and each.outcome}
            return []
        body = {"trigger": str(act.trigger), "number": act.number, "price": act.price, "action": act.action}
        return [Happening("firing", act.symbol, at, {**body, "firing": str(act.id)})]

    def _tell_outcome(self, cause: str, words: str) -> None:
        if cause.startswith(BY_TRIGGER):
            self._queue.put_nowait(Outcome(uuid.UUID(cause.removeprefix(BY_TRIGGER)), words))

    async def _start_flow(self, act: Run, at: dt.datetime) -> Happening:
        try:
            await self._deck.start_flow(act.deployment, str(act.id))
        except QuaestorError as error:
            title = f"{act.deployment} could not be started"
            await self._deck.floor.alerts.send(title, str(error), urgent=True)
            return Happening("alert", title, at, {"body": str(error), "urgent": True})
        await self._deck.triggers.outcome(act.id, "started")
        return Happening("flow", act.deployment, at)


def _far(intent: Intent, words: str) -> Refusal:
    """The refusal of an entry that the broker's quote speaks against."""
    failed = Check(CROSS_CHECK, "quotes", "near each other", words, ok=False)
    return refused_by(intent, failed, "The broker's own quote is near the feed's.", intent.provenance)
