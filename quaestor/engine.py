"""The engine: events in, acts out. It performs nothing, waits for nothing and asks nobody (the design's section 2).

It holds what is known of an account's orders and says what follows from each piece of news; the outbox, and later the
live runner, perform it and tell the engine what came of it. The same engine decides in a backtest, in a simulation of
ten thousand crashes and in the live run, so what is proven of it here holds there.

    event                                   acts
    Due       planned orders, and what      Step to EXPIRED_UNSENT, Send   one group that may fly together; an order
              their band says                                              that waits for an unclear one is not in it
    Stopped   a halt is latched             TakeBack                       every entry that is planned or working
    News      the broker's order list       Step, Adopt, TakeBack          of a pair, one that fills ends the other
    Lost      a writer died                 Step to UNKNOWN, AskAgain      what it left in flight, and its cancels
    Listed    the broker's full listings    Step, Send                     of those in doubt (law 2)
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatchmethod

from quaestor.lifecycle import PENDING, TOLD
from quaestor.orders import OURS, OrderUpdate, State
from quaestor.ports import StoredOrder, Transition

UNCLEAR = frozenset({State.SUBMITTING, State.UNKNOWN})  # the broker may have it, or not
TOGETHER = 64  # orders that share a commit and are in flight at a time
OUTDONE = "its pair filled"


# ── events ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Due:
    """It is time to send; `over` says by ref_id why an order may not be sent any more."""

    over: Mapping[uuid.UUID, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Stopped:
    """A person halts, or a rule does."""

    cause: str


@dataclass(frozen=True)
class News:
    """What the broker lists."""

    updates: Sequence[OrderUpdate]


@dataclass(frozen=True)
class Lost:
    """Who holds the lease now has this epoch: what older ones left in flight is in doubt."""

    epoch: int


@dataclass(frozen=True)
class Listed:
    """Full listings of the broker's orders, one after the other, and for those in doubt what their band says."""

    listings: Sequence[Sequence[OrderUpdate]]
    over: Mapping[uuid.UUID, str]


Event = Due | Stopped | News | Lost | Listed


# ── acts ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Send:
    """Commit SUBMITTING for all of these, then send them side by side."""

    orders: tuple[StoredOrder, ...]


@dataclass(frozen=True)
class Step:
    """Commit a transition of an order."""

    order: StoredOrder
    transition: Transition


@dataclass(frozen=True)
class TakeBack:
    """Cancel an order: one that was never sent ends here, any other is asked for."""

    order: StoredOrder
    cause: str


@dataclass(frozen=True)
class AskAgain:
    """A cancel may have been lost between its commit and the broker."""

    order: StoredOrder


@dataclass(frozen=True)
class Adopt:
    """Keep an order that nobody decided here."""

    update: OrderUpdate


Act = Send | Step | TakeBack | AskAgain | Adopt


class Engine:
    """What is known of an account's orders; `on` says what follows from an event.

    It changes nothing of what it knows by itself: an act that was performed comes back as the order's new standing, by
    `know`. So an act that was lost with its process is found due again by the next one.
    """

    def __init__(self, orders: Iterable[StoredOrder] = ()) -> None:
        self.orders = {order.ref_id: order for order in orders}

    def know(self, orders: Iterable[StoredOrder]) -> None:
        """These stand as they are told here."""
        self.orders |= {order.ref_id: order for order in orders}

    @singledispatchmethod
    def on(self, event: Event) -> list[Act]:
        """What to do; in this order."""
        raise TypeError(f"No engine knows of {type(event).__name__}.")

    @on.register
    def _(self, event: Due) -> list[Act]:
        # while an exit is unclear its symbol takes nothing new; while an entry is, no entry (laws 2 and 5)
        acts: list[Act] = []
        ready: list[StoredOrder] = []
        unclear = [order.intent for order in self.orders.values() if order.state in UNCLEAR]
        anything, exits = {other.symbol for other in unclear}, {other.symbol for other in unclear if other.reduces}
        for order in self.orders.values():
            if order.state is not State.PLANNED:
                continue
            if over := event.over.get(order.ref_id):
                reason = f"{over} before it could be sent"
                acts.append(Step(order, Transition(State.EXPIRED_UNSENT, "drain", reason=reason)))
            elif self._outdone(order):
                acts.append(TakeBack(order, OUTDONE))
            elif order.intent.symbol not in (exits if order.intent.reduces else anything):
                ready.append(order)
        ready.sort(key=lambda order: not order.intent.reduces)  # an entry keeps no exit waiting
        return acts + [Send(group) for group in grouped(ready)][:1]

    @on.register
    def _(self, event: Stopped) -> list[Act]:
        def taken(order: StoredOrder) -> bool:
            return not (order.intent.reduces or order.state.final or order.state in UNCLEAR | {State.PENDING_CANCEL})

        return [TakeBack(order, event.cause) for order in self.orders.values() if taken(order)]

    @on.register
    def _(self, event: News) -> list[Act]:
        by_broker = {order.broker_id: order for order in self.orders.values() if order.broker_id is not None}
        follow: dict[uuid.UUID, Step] = {}
        strange: dict[str, Act] = {}
        for update in event.updates:
            known = self.orders.get(update.ref_id) if update.ref_id is not None else by_broker.get(update.broker_id)
            if known is None:
                if update.ref_id is None or update.ref_id.version != OURS:
                    strange[update.broker_id] = Adopt(update)
                continue
            step, before = Transition.of(update, "update"), follow.get(known.ref_id)
            standing = before.transition.after(known.standing) if before else known.standing  # a list may tell it twice
            if update.state in TOLD and step.after(standing) != standing:
                follow[known.ref_id] = Step(known, step)
        return [*follow.values(), *self._siblings(follow), *strange.values()]

    @on.register
    def _(self, event: Lost) -> list[Act]:
        acts: list[Act] = [AskAgain(order) for order in self.orders.values() if order.state in PENDING]
        for order in self.orders.values():
            if order.state is State.SUBMITTING and order.epoch < event.epoch:
                reason = f"left in SUBMITTING by epoch {order.epoch}"
                acts.append(Step(order, Transition(State.UNKNOWN, "recovery", reason=reason)))
        return acts

    @on.register
    def _(self, event: Listed) -> list[Act]:
        listed = {u.ref_id: u for listing in event.listings for u in listing if u.ref_id is not None}
        proof = {"listings": len(event.listings), "orders_listed": [len(listing) for listing in event.listings]}
        acts: list[Act] = []
        for order in self.doubted():
            if order.ref_id in listed:
                acts.append(Step(order, Transition.of(listed[order.ref_id], "listed")))
            elif over := event.over.get(order.ref_id) or (OUTDONE if self._outdone(order) else ""):
                reason = f"not among the broker's orders, and {over}"
                acts.append(Step(order, Transition(State.EXPIRED_UNSENT, "resolve", reason=reason, detail=proof)))
            else:
                acts.append(Send((order,)))
        return acts

    def doubted(self) -> list[StoredOrder]:
        """Orders whose fate is not known."""
        return [order for order in self.orders.values() if order.state is State.UNKNOWN]

    def _siblings(self, steps: Mapping[uuid.UUID, Step]) -> Iterator[TakeBack]:
        """What is left of pairs of which one has filled, as it stands after these steps."""
        filling = {ref_id for ref_id, step in steps.items() if step.transition.filled}
        for order in self.orders.values():
            if order.intent.oco and self._outdone(order, filling):
                now = stepped(order, steps[order.ref_id].transition) if order.ref_id in steps else order
                if not (now.state.final or now.state in UNCLEAR | {State.PENDING_CANCEL}):
                    yield TakeBack(now, OUTDONE)

    def _outdone(self, order: StoredOrder, filling: Collection[uuid.UUID] = ()) -> bool:
        """Whether the other one of its pair has filled, if only in part: one cancels the other.

        An order and those that replace it are one; `filling` are being told of as filled just now.
        """
        return bool(order.intent.oco) and any(
            (other.filled or other.ref_id in filling)
            and _pair(other) == _pair(order)
            and self._first(other) != self._first(order)
            for other in self.orders.values()
        )

    def _first(self, order: StoredOrder) -> uuid.UUID:
        """The order that it came to replace, step by step; its own name where it replaces none."""
        while (name := order.intent.replaces) is not None:
            if name not in self.orders:
                return name
            order = self.orders[name]
        return order.ref_id


def stepped(order: StoredOrder, step: Transition) -> StoredOrder:
    """The order once the books have the step."""
    new, broker_id = step.after(order.standing), step.broker_id or order.broker_id
    return replace(order, state=new.state, filled=new.filled, average_price=new.average_price, broker_id=broker_id)


def _pair(order: StoredOrder) -> tuple[object, ...]:
    intent = order.intent
    return intent.strategy, intent.symbol, intent.session, intent.oco


def grouped(orders: Sequence[StoredOrder]) -> list[tuple[StoredOrder, ...]]:
    """Groups that may fly together: of one symbol no two, for an unclear one makes the next one wait.

    Exits stay before entries: a broker counts the shares and the dollars that it holds for other orders.
    """
    groups: list[list[StoredOrder]] = []
    for order in orders:
        last = groups[-1] if groups else []
        beside = all(o.intent.symbol != order.intent.symbol and o.intent.reduces is order.intent.reduces for o in last)
        if last and beside and len(last) < TOGETHER:
            last.append(order)
        else:
            groups.append([order])
    return [tuple(group) for group in groups]
