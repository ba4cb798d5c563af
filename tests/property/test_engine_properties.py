"""Whatever happens, in whatever order: the engine sends no order twice, doubles nothing that is unclear, keeps pairs.

A world of chance around the engine: a broker that takes, fills, ends and refuses; a line that loses requests, answers
and whole processes; lists that are stale, short and double; halts, cancels and replacements. What the engine wants is
done here as the outbox does it, and judged at each step.
"""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quaestor.engine import (
    UNCLEAR,
    Act,
    Adopt,
    AskAgain,
    Due,
    Engine,
    Listed,
    Lost,
    News,
    Send,
    Step,
    Stopped,
    TakeBack,
    stepped,
)
from quaestor.orders import Intent, OrderUpdate, State
from quaestor.ports import StoredOrder, Terms, Transition
from tests.stored import by_hand, entry, leave, stored, update

SYMBOLS = ("AAPL", "IBM", "MSFT")
OPEN_THERE = {State.ACKED, State.PARTIALLY_FILLED}
TAKEN = ("acknowledged", "answer lost", "died after it")  # what becomes of a send; the broker has it then
NOT_TAKEN = ("request lost", "died before it", "refused")
FATES = st.sampled_from(TAKEN + NOT_TAKEN)


@dataclass
class There:
    """An order as the broker has it."""

    intent: Intent
    state: State = State.ACKED
    filled: int = 0

    @property
    def update(self) -> OrderUpdate:
        return update(self.intent, self.state, self.filled)


class World(RuleBasedStateMachine):
    """Books, a broker and a line between them."""

    @initialize()
    def begin(self) -> None:
        self.books: dict[uuid.UUID, StoredOrder] = {}
        self.broker: dict[uuid.UUID, There] = {}
        self.adopted: list[str] = []
        self.sends, self.doubts = Counter[uuid.UUID](), Counter[uuid.UUID]()
        self.stale: list[OrderUpdate] = []
        self.epoch, self.causes = 1, 0

    def engine(self) -> Engine:
        """A new one each time: all that it knows is what was committed."""
        return Engine(self.books.values())

    # ── what happens ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _plan(self, intent: Intent) -> None:
        self.books[intent.ref_id] = stored(intent, epoch=self.epoch)

    @rule(symbol=st.sampled_from(SYMBOLS), exits=st.booleans())
    def decide(self, symbol: str, exits: bool) -> None:
        self.causes += 1
        self._plan((leave if exits else entry)(symbol, f"c{self.causes}"))

    @rule(symbol=st.sampled_from(SYMBOLS), exits=st.booleans())
    def decide_a_pair(self, symbol: str, exits: bool) -> None:
        self.causes += 1
        for leg in ("stop", "limit"):
            self._plan((leave if exits else entry)(symbol, f"{leg}{self.causes}", oco=f"p{self.causes}"))

    @rule(data=st.data())
    def drain(self, data: st.DataObject) -> None:
        planned = [name for name, order in self.books.items() if order.state is State.PLANNED]
        over = {name: "late" for name in planned if data.draw(st.integers(0, 9), "late") == 0}
        acts = self.engine().on(Due(over))
        assert not any(order.ref_id in over for act in acts if isinstance(act, Send) for order in act.orders)
        self._perform(acts, data)

    @rule(data=st.data())
    def halt(self, data: st.DataObject) -> None:
        due = {State.PLANNED, State.ACKED, State.PARTIALLY_FILLED, State.PENDING_REPLACE}
        entries = {n for n, order in self.books.items() if order.state in due and not order.intent.reduces}
        acts = self.engine().on(Stopped("halt"))
        assert {act.order.ref_id for act in acts if isinstance(act, TakeBack)} == entries, "every entry, and no exit"
        assert len(acts) == len(entries)
        self._perform(acts, data)

    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        """A list with pages lost, told twice, or older than others."""
        now = [there.update for there in self.broker.values()]
        told = [u for u in [*now, *self.stale] for _ in range(data.draw(st.integers(0, 2), "told"))]
        self._news(data.draw(st.permutations(told), "list"), data)
        self.stale = now

    @rule(data=st.data())
    def hear_all(self, data: st.DataObject) -> None:
        self._news([there.update for there in self.broker.values()], data)
        self._no_pair_works_on()

    @rule(data=st.data())
    def take_over(self, data: st.DataObject) -> None:
        """The writer died; the next one recovers, as far as it comes."""
        self.epoch += 1
        self._perform(self.engine().on(Lost(self.epoch)), data)
        assert not any(o.state is State.SUBMITTING for o in self.books.values()), "all that was in flight is in doubt"
        listing = [there.update for there in self.broker.values()]
        over = {o.ref_id: "late" for o in self.engine().doubted() if data.draw(st.integers(0, 3), "late") == 0}
        acts = self.engine().on(Listed([listing, listing], over))
        again = [order for act in acts if isinstance(act, Send) for order in act.orders]
        assert not any(order.ref_id in self.broker or order.ref_id in over for order in again), "listed, or too late"
        self._perform(acts, data)

    @rule(number=st.integers(0, 99), data=st.data())
    def by_hand(self, number: int, data: st.DataObject) -> None:
        self._news([by_hand(f"H{number}")], data)

    @rule(data=st.data(), terms=st.sampled_from([Terms(), Terms(quantity=Decimal(20)), Terms(quantity=Decimal(1))]))
    def take_other_terms(self, data: st.DataObject, terms: Terms) -> None:
        working = [o for o in self.books.values() if o.state in OPEN_THERE]
        if working:
            order = data.draw(st.sampled_from(working), "replaced")
            said = {name: None if value is None else str(value) for name, value in vars(terms).items()}
            self._commit(order, Transition(State.PENDING_REPLACE, "replace", detail={"terms": said}))
            self.terms = getattr(self, "terms", {}) | {order.ref_id: terms}
            self._ask(order, data)

    @rule(data=st.data(), shares=st.integers(1, 10))
    def trade(self, data: st.DataObject, shares: int) -> None:
        """An order fills, a bit or whole."""
        if there := self._working(data):
            there.filled = min(there.filled + shares, int(there.intent.quantity))
            whole = there.filled == there.intent.quantity
            there.state = State.FILLED if whole else State.PARTIALLY_FILLED

    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        if there := self._working(data):
            there.state = State.EXPIRED

    def _working(self, data: st.DataObject) -> There | None:
        working = [there for there in self.broker.values() if there.state in OPEN_THERE]
        return data.draw(st.sampled_from(working), "at the broker") if working else None

    # ── what is done ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _news(self, told: list[OrderUpdate], data: st.DataObject) -> None:
        self._perform(self.engine().on(News(told)), data)

    def _perform(self, acts: list[Act], data: st.DataObject) -> None:
        for act in acts:
            match act:
                case Step(order, step):
                    self._commit(order, step)
                case Adopt(told):
                    self.adopted.append(told.broker_id)
        for act in acts:
            if isinstance(act, Send | TakeBack | AskAgain):
                if isinstance(act, Send):
                    self._send(act.orders, data)
                elif isinstance(act, TakeBack):
                    self._take_back(self.books[act.order.ref_id], data)
                else:
                    self._ask(act.order, data)

    def _commit(self, order: StoredOrder, step: Transition) -> None:
        old = self.books[order.ref_id]
        new = replace(stepped(old, step), epoch=self.epoch)
        self.books[order.ref_id] = new
        if new.state is State.UNKNOWN and old.state is not State.UNKNOWN:
            self.doubts[order.ref_id] += 1
        if old.state is State.PENDING_REPLACE and step.state is State.CANCELED and new != old:
            rest = self.terms[order.ref_id].rest(old, new.filled)
            if rest is not None:
                self._plan(rest)

    def _send(self, orders: tuple[StoredOrder, ...], data: st.DataObject) -> None:
        symbols = [order.intent.symbol for order in orders]
        assert len(symbols) == len(set(symbols)), "a symbol twice in a group"
        for order in orders:
            known = self.books[order.ref_id]
            self._judge(known)
            self._commit(known, Transition(State.SUBMITTING, "send"))
        for order in orders:
            self._fly(order.ref_id, data)

    def _judge(self, order: StoredOrder) -> None:
        """May it be sent?"""
        assert order.state in {State.PLANNED, State.UNKNOWN}
        assert order.ref_id not in self.broker, "it is there: never a second one"
        assert self.sends[order.ref_id] == self.doubts[order.ref_id], "once, and once more for each doubt"
        if order.state is State.PLANNED:
            others = [o.intent for o in self.books.values() if o.state in UNCLEAR]
            beside = [other for other in others if other.symbol == order.intent.symbol]
            if order.intent.reduces:
                assert not any(other.reduces for other in beside), "an exit while an exit is unclear"
            else:
                assert not beside, "an entry while something is unclear"

    def _fly(self, name: uuid.UUID, data: st.DataObject) -> None:
        self.sends[name] += 1
        order, fate = self.books[name], data.draw(FATES, "fate")
        if fate in TAKEN:
            self.broker[name] = There(order.intent)
        if fate == "acknowledged":
            self._commit(order, Transition.of(self.broker[name].update, "ack"))
        elif fate == "refused":
            self._commit(order, Transition(State.REJECTED, "broker"))
        elif "lost" in fate:
            self._commit(order, Transition(State.UNKNOWN, "broker"))

    def _take_back(self, order: StoredOrder, data: st.DataObject) -> None:
        if order.state is State.PLANNED:
            self._commit(order, Transition(State.EXPIRED_UNSENT, "taken back"))
        elif order.state not in UNCLEAR:
            self._commit(order, Transition(State.PENDING_CANCEL, "taken back"))
            self._ask(order, data)

    def _ask(self, order: StoredOrder, data: st.DataObject) -> None:
        there = self.broker[order.ref_id]
        if not data.draw(st.booleans(), "the cancel arrives"):
            return
        if there.state in OPEN_THERE:
            there.state = State.CANCELED
        else:  # too late, says the broker
            back = State.PARTIALLY_FILLED if order.filled else State.ACKED
            self._commit(order, Transition(back, "cancel refused"))

    # ── what holds ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _no_pair_works_on(self) -> None:
        """Once everything was heard, the sibling of what filled has ended, or its cancel is under way, or unclear."""
        for order in self.books.values():
            legs = [o for o in self.books.values() if o.intent.oco == order.intent.oco != "" and o.filled]
            if order.intent.oco and any(self._root(leg) != self._root(order) for leg in legs):
                assert order.state.final or order.state in UNCLEAR | {State.PENDING_CANCEL}, order.state

    def _root(self, order: StoredOrder) -> uuid.UUID:
        while order.intent.replaces is not None:
            order = self.books[order.intent.replaces]
        return order.ref_id

    @invariant()
    def nothing_is_at_the_broker_that_was_not_committed_first(self) -> None:
        for name in getattr(self, "broker", ()):
            assert self.books[name].state is not State.PLANNED
            assert self.sends[name] > 0

    @invariant()
    def the_books_never_claim_more_than_the_broker_did(self) -> None:
        for name, order in getattr(self, "books", {}).items():
            there = self.broker.get(name)
            assert order.filled <= (there.filled if there else 0)
            if order.state in {State.FILLED, State.CANCELED, State.EXPIRED}:
                assert there is not None
                assert there.state is order.state

    def teardown(self) -> None:
        """Once the line is good again, everything comes to its end: books and broker say the same."""
        if not hasattr(self, "books"):
            return
        self.epoch += 1
        for act in self.engine().on(Lost(self.epoch)):
            if isinstance(act, Step):
                self._commit(act.order, act.transition)
        listing = [there.update for there in self.broker.values()]
        late = {order.ref_id: "late" for order in self.engine().doubted()}
        for event in (Listed([listing, listing], late), News(listing)):
            for act in self.engine().on(event):
                if isinstance(act, Step):
                    self._commit(act.order, act.transition)
        assert not self.engine().doubted()
        for name, order in self.books.items():
            there = self.broker.get(name)
            if there is None:
                assert order.state in {State.PLANNED, State.EXPIRED_UNSENT, State.REJECTED}
            elif order.state not in {State.PENDING_CANCEL, State.PENDING_REPLACE}:
                assert (order.state, order.filled) == (there.state, there.filled)


World.TestCase.settings = settings(stateful_step_count=40, deadline=None)
test_whatever_happens_nothing_is_sent_twice_and_nothing_works_on_that_should_have_ended = World.TestCase
