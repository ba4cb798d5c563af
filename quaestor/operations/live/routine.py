"""The routine of a day: its steps (`sessions`), taken when they are due, whenever the run began."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec

from quaestor.bars import Bar, price
from quaestor.calendar import previous_session, session_close, sessions
from quaestor.errors import BooksDisagree, BrokerAmbiguous, DatabaseDown, LeaseHeld, Permanent, Temporary
from quaestor.live.events import Session, Signals
from quaestor.live.standing import instant
from quaestor.operations.live.bookkeeping import Bookkeeping
from quaestor.operations.live.course import Course
from quaestor.operations.live.prices import Prices
from quaestor.operations.live.reporting import Reporting
from quaestor.operations.live.sessions import Day, Step, day_of
from quaestor.operations.market import ExchangeMarket
from quaestor.operations.marks import marked
from quaestor.operations.outbox import cancel
from quaestor.operations.session import begin, hear, settle
from quaestor.orders import State, TimeInForce
from quaestor.ports import Decision, Run
from quaestor.splits import Split

log = logging.getLogger("quaestor.live")
LOOK = 5.0  # seconds between two looks at what may be traded
PAUSE = 0.2  # seconds between two looks at the clock
PATIENCE = 20.0  # seconds that a step waits for what the broker says of the day
AGAIN = 1.0  # seconds after which a step that could not be done is tried again


class Stops(NamedTuple):
    """Symbols that are halted and those without entries; whether that is so only until the broker says more."""

    halted: tuple[str, ...]
    barred: tuple[str, ...]
    waiting: bool


class Routine:
    """The day's side of a run. `left`: sessions after whose close the run ends; None: never."""

    def __init__(
        self, course: Course, prices: Prices, bookkeeping: Bookkeeping, reporting: Reporting, left: int | None
    ) -> None:
        self._course, self._prices, self._bookkeeping, self._reporting = course, prices, bookkeeping, reporting
        self._left = left
        self._asked = set[str]()  # symbols that the engine was told of
        self._strange = ""  # how the broker sees the day otherwise
        self._prepared = True  # whether it has said how it sees the day
        self._complained: tuple[dt.date, bool] | None = None  # of which day, and of which of both
        self._halts = frozenset[str]()  # as the broker told them last

    async def follow(self) -> None:
        """For ever."""
        clock = asyncio.get_running_loop().time
        looked = clock()
        while True:
            try:
                if not await self.step():
                    await asyncio.sleep(PAUSE)
                if clock() - looked >= LOOK:
                    looked = clock()
                    await self.refresh()
            except LeaseHeld:
                raise
            except Temporary as error:
                self._course.waits(f"A step of the day waits: {error}")
                await asyncio.sleep(AGAIN)

    async def step(self) -> bool:
        """Take the step that is due; False where none is. Books that contradict themselves stop no clock."""
        course, day = self._course, self._course.day
        step = day.due(course.done, course.now()) if day is not None else None
        if day is None or step is None:
            return False
        try:
            await self._take(day, step)
        except BooksDisagree as error:
            course.complain(f"{step} of {day.session} failed", str(error))
        if step == "close":
            course.day, course.done = day_of(course.now(), course.plan.limits.quiet_open), frozenset()
        else:
            course.done |= {step}
        return True

    async def _take(self, day: Day, step: Step) -> None:
        over = self._course.now() >= day.closes
        match step:
            case "roll":
                course = self._course
                await begin(course.deck.floor, day.session, course.marks.last, course.lease)
            case "open" if not over:
                await self._open(day)
            case "signals" if not over:
                await self._signals(day)
            case "close":
                await self._close(day)

    async def _open(self, day: Day) -> None:
        """The engine hears of the session and of the account in one breath: a rule may fire on the first tick."""
        course = self._course
        await self._prepare(day)
        event = await self._session(day)
        course.done |= {"open"}
        try:
            told = await self._bookkeeping.told()
            course.tell(event)
            if told is not None:
                course.tell(told)
            await self._rescale(event)
        except BaseException:
            course.done -= {"open"}
            raise
        course.said("session", str(day.session), phase="open")

    async def refresh(self) -> None:
        """What may be traded changes in a session: halts begin and end, a person buys something, a rule is new."""
        course, known = self._course, self._course.engine.standing.session
        day = course.day
        if day is None or known is None or "open" not in course.done or known.session != day.session:
            return
        if not self._prepared:
            await self._prepare(day)
        stops = await self._stops()
        if stops != Stops(known.halted, known.blocked, known.entries_wait) or not self._symbols() <= self._asked:
            event = await self._session(day)
            course.tell(msgspec.structs.replace(event, splits=known.splits))

    def _symbols(self) -> set[str]:
        """Whatever is traded, held or watched by a rule."""
        engine = self._course.engine
        held = {symbol for _, symbol in engine.standing.held}
        return {*self._course.plan.mandate.symbols, *held, *(trigger.symbol for trigger in engine.book)}

    async def _session(self, day: Day) -> Session:
        """What the engine is told of a session."""
        course = self._course
        floor, deck = course.deck.floor, course.deck
        held = {lot.symbol for lot in await floor.books.lots()}
        self._asked = {*self._symbols(), *held}
        symbols = sorted(self._asked)
        marks = await marked(symbols, day.session - dt.timedelta(days=1), day.session, floor.quotes)
        ages = {symbol: len(sessions(mark.session, day.session)) - 1 for symbol, mark in marks.items()}
        known = await deck.triggers.splits_known(course.account, day.session)
        splits = [split for split in await floor.quotes.splits(day.session) if split.symbol not in known]
        self._prices.follow(held)
        course.screen.watch(marks, {symbol: float(mark.price) for symbol, mark in marks.items()})
        stops = await self._stops()
        ratios = tuple((split.symbol, split.ratio.numerator, split.ratio.denominator) for split in splits)
        prices = {symbol: mark.price for symbol, mark in marks.items()}
        hours = (day.session, day.opens, day.closes)
        return Session(course.now(), *hours, prices, ages, stops.halted, stops.barred, ratios, stops.waiting)

    async def _stops(self) -> Stops:
        """Nothing is entered on a day that the broker sees otherwise, and while it does not say what is halted, or how
        it sees the day. Exits go on meanwhile, but of what was halted last.
        """
        floor = self._course.deck.floor
        told = await self._halted()
        barred = {*await floor.quotes.blocked(), *(self._asked if self._strange or not told else ())}
        return Stops(tuple(sorted(self._halts)), tuple(sorted(barred)), not (told and self._prepared))

    async def _halted(self) -> bool:
        """Whether the broker says what is halted."""
        try:
            async with asyncio.timeout(PATIENCE):
                self._halts = await self._course.deck.floor.broker.halted()
        except (DatabaseDown, LeaseHeld):
            raise
        except (Temporary, Permanent, TimeoutError) as error:
            self._course.waits(f"What is halted is not known, so nothing is entered and rules that buy wait: {error}")
            return False
        return True

    async def _prepare(self, day: Day) -> None:
        """The broker looks up what its orders need; where it sees the day otherwise than we, nothing is entered.

        Neither is while it does not answer; it is asked again, and exits wait for none of it.
        """
        course = self._course
        if course.deck.prepare is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                self._strange = await course.deck.prepare(day.session, sorted(self._symbols()))
            self._prepared = True
        except (Temporary, TimeoutError) as error:
            self._strange, self._prepared = f"The broker has not said how it sees the day. {error}", False
        if self._strange and self._complained != (day.session, self._prepared):
            self._complained = day.session, self._prepared
            course.complain(f"nothing is entered on {day.session}", self._strange)

    async def _rescale(self, event: Session) -> None:
        """Stored rules follow the splits that the engine was told of: each once, however often it is tried."""
        course = self._course
        splits = [Split(symbol, event.session, Fraction(above, below)) for symbol, above, below in event.splits]
        for lost in await course.deck.triggers.rescale(course.account, splits, now=instant(course.now())):
            course.complain("a trigger lost its meaning by a split and was removed", f"{lost.name}: {lost.note}")

    async def _signals(self, day: Day) -> None:
        """What daily strategies wanted at the last close; decided once, as a flow would have."""
        course = self._course
        floor, mandate = course.deck.floor, course.plan.mandate
        before = previous_session(day.session)
        found = await floor.signals.of_sessions(mandate.digests, before, before)
        standing, run = course.engine.standing, Run(None, course.plan.commit, course.plan.digest)
        decision = Decision(day.session, standing.equity(), standing.cash, (), (), run)
        if await floor.books.decide(decision, course.lease) and found and not course.holds:
            course.tell(Signals(course.now(), tuple(found)))

    async def _close(self, day: Day) -> None:
        """Day orders end at the broker; fills are booked; the session is valued at its last prices and settled."""
        course = self._course
        floor = course.deck.floor
        await course.acting.finish()
        await floor.books.prove(course.lease)
        await floor.market.close_session(day.session)
        try:
            await hear(floor, day.session, course.lease)
        except BrokerAmbiguous:
            await self._take_back(day)
            raise
        quotes: Any = LastPrices(floor.quotes, day.session, dict(course.engine.last))
        equity = await settle(replace(floor, quotes=quotes), day.session, course.lease)
        course.marks = course.marks.after(equity)
        self._reporting.settled = day.session
        await self._bookkeeping.compare()
        await self._reporting.keep()
        course.said("settled", str(day.session), equity=str(equity.equity), cash=str(equity.cash))
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                course.ending.set()

    async def _take_back(self, day: Day) -> None:
        """An order for the day that a real broker took a moment after the close would wait for the next session."""
        course = self._course
        floor = course.deck.floor
        if isinstance(floor.market, ExchangeMarket):
            orders = [
                order
                for order in await floor.books.open_orders()
                if order.intent.session <= day.session
                and order.intent.time_in_force is TimeInForce.GFD
                and order.ref_id == order.intent.ref_id  # ours: a person's own order is his
                and order.state in {State.ACKED, State.PARTIALLY_FILLED}
            ]
            await cancel(orders, floor.books, floor.broker, course.lease, "the session is over")


class LastPrices:
    """Quotes whose newest bar of today is the feed's last trade, where no bar of today is stored yet."""

    def __init__(self, quotes: Any, session: dt.date, last: Mapping[str, float]) -> None:
        self._quotes, self._session, self._last = quotes, session, last

    async def last_bar(self, symbol: str, upto: dt.date) -> Bar | None:
        """The newest bar with session ≤ upto."""
        stored: Bar | None = await self._quotes.last_bar(symbol, upto)
        told = self._last.get(symbol)
        if told is None or upto < self._session or (stored is not None and stored.session >= self._session):
            return stored
        last = price(told)
        return Bar(symbol, self._session, session_close(self._session), last, last, last, last, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quotes, name)
