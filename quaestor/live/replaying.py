"""Replaying: a run's events are folded again; what is decided now is compared with what was recorded, byte for byte.

The same code on the same events decides the same, so a difference has a cause worth finding: another commit, a
strategy's file that was edited, something that no event tells. The first one is what to look at; those after it follow
from it. With changes (see `changing`) a difference is what was asked for: which orders come only then, only now, or
otherwise. What the books and the broker told stays as it was recorded, so fills of orders that are not made any more
are still there: a replay with changes says what would have been decided, not what the market would have paid.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

import msgspec

from quaestor.live.acts import Act, as_line
from quaestor.live.changing import Changes
from quaestor.live.events import Event, Setup, Ticks
from quaestor.live.journaling import Entry
from quaestor.orders import Side, ref_id

ZERO = Decimal(0)
NOTHING = "–"


class Decides(Protocol):
    """An engine, as far as a replay needs it."""

    def on(self, event: Event) -> list[Act]:
        """What follows from an event."""
        ...


class Difference(NamedTuple):
    """A value of a decision that is not what was recorded; `key` says where, like `place.intents.0.quantity`."""

    key: str
    recorded: str
    now: str


@dataclass(frozen=True)
class Divergence:
    """The first event that was decided otherwise: its number, kind and `now`, and the decisions as lines."""

    number: int
    kind: str
    at: int
    recorded: tuple[str, ...]
    now: tuple[str, ...]
    raised: str = ""  # what the engine raised in the place of an answer

    @property
    def differences(self) -> list[Difference]:
        """What differs, key by key."""
        found = differences(self.recorded, self.now)
        return [*found, Difference("error", NOTHING, self.raised)] if self.raised else found


@dataclass(frozen=True)
class Ordered:
    """An order that was decided: dollars at its reference price, `at` the event's `now`."""

    ref_id: uuid.UUID
    number: int
    at: int
    strategy: str
    symbol: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    order_type: str

    @property
    def notional(self) -> Decimal:
        """Dollars."""
        return self.quantity * self.reference_price


@dataclass
class Decided:
    """All that was decided: how many acts of each kind, orders by identity, refusals by rule."""

    acts: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    orders: dict[uuid.UUID, Ordered] = field(default_factory=dict)

    def take(self, number: int, at: int, lines: Sequence[str]) -> None:
        """The decisions on an event."""
        for line in lines:
            act = msgspec.json.decode(line)
            self.acts[act["type"]] += 1
            if act["type"] == "refuse":
                self.refusals.update(refusal["rule"] for refusal in act["refusals"])
            for intent in act["intents"] if act["type"] == "place" else ():
                order = ordered(intent, number, at)
                self.orders[order.ref_id] = order

    def bought(self) -> Decimal:
        """Dollars at the reference prices."""
        return sum((order.notional for order in self.orders.values() if order.side is Side.BUY), ZERO)

    def sold(self) -> Decimal:
        """The same of what was sold."""
        return sum((order.notional for order in self.orders.values() if order.side is Side.SELL), ZERO)


@dataclass
class Replayed:
    """What came of a replay. `diverged`: events that were decided otherwise; `unrecorded`: decisions on the newest
    event of a run that was cut off before it could record them; `raised`: by the engine on the newest event, as the run
    itself will have ended there; `setup`: what the run began with.
    """

    events: int = 0
    ticks: int = 0
    began: int = 0
    until: int = 0
    diverged: int = 0
    unrecorded: int = 0
    raised: str = ""
    first: Divergence | None = None
    setup: Setup | None = None
    recorded: Decided = field(default_factory=Decided)
    now: Decided = field(default_factory=Decided)

    def saw(self, number: int, event: Event) -> None:
        """An event is folded."""
        self.events, self.until = number, max(self.until, event.now)
        self.ticks += len(event.ticks) if type(event) is Ticks else 0
        if type(event) is Setup and self.setup is None:
            self.setup, self.began = event, event.now

    @property
    def same(self) -> bool:
        """Whether every decision is what was recorded, byte for byte."""
        return self.first is None

    @property
    def gone(self) -> list[Ordered]:
        """Orders that were recorded and are not made now."""
        return [order for name, order in self.recorded.orders.items() if name not in self.now.orders]

    @property
    def new(self) -> list[Ordered]:
        """Orders that are made now and were not recorded."""
        return [order for name, order in self.now.orders.items() if name not in self.recorded.orders]

    @property
    def other(self) -> list[tuple[Ordered, Ordered]]:
        """Orders of the same identity that are of another size or price: as recorded, as now."""
        both = [(order, self.now.orders.get(name)) for name, order in self.recorded.orders.items()]
        return [(was, now) for was, now in both if now is not None and _size(was) != _size(now)]


def replay(entries: Iterable[Entry], engine: Decides, changes: Changes | None, ended: Callable[[], bool]) -> Replayed:
    """Fold the events again. `ended`, asked after the last one: whether the run recorded all that it decided."""
    done, left = Replayed(), iter(entries)
    newest: Divergence | None = None
    for number, event, recorded in left:
        _diverge(done, newest)
        told = changes.applied(event) if changes is not None else event
        done.saw(number, event)
        now, raised = _answer(engine, told)
        done.recorded.take(number, event.now, recorded)
        done.now.take(number, event.now, now)
        differs = raised or recorded != now
        newest = Divergence(number, _kind(event), event.now, recorded, now, raised) if differs else None
        if raised:
            break
    lived = next(left, None) is not None  # the run, where the engine raises now
    if newest is not None and not newest.recorded and not lived and (newest.raised or not ended()):
        done.unrecorded, done.raised = len(newest.now), newest.raised
    else:
        _diverge(done, newest)
    return done


def _diverge(done: Replayed, divergence: Divergence | None) -> None:
    if divergence is not None:
        done.diverged += 1
        done.first = done.first or divergence


def _answer(engine: Decides, event: Event) -> tuple[tuple[str, ...], str]:
    """The decisions as lines; what was raised in their place."""
    try:
        return tuple(map(as_line, engine.on(event))), ""
    except Exception as error:
        if type(event) is Setup:  # nothing can be folded: the strategies or limits are not there any more
            raise
        return (), f"{type(error).__name__}: {error}"


def _kind(event: Event) -> str:
    return str(type(event).__struct_config__.tag)


def ordered(intent: Mapping[str, Any], number: int, at: int) -> Ordered:
    """An order out of its decision's line."""
    session, side = dt.date.fromisoformat(intent["session"]), Side(intent["side"])
    names = (intent["account"], intent["symbol"], intent["strategy"], session, intent["cause_key"], side, intent["leg"])
    return Ordered(
        ref_id(*names),
        number,
        at,
        intent["strategy"],
        intent["symbol"],
        side,
        Decimal(intent["quantity"]),
        Decimal(intent["reference_price"]),
        intent["order_type"],
    )


def _size(order: Ordered) -> tuple[Decimal, Decimal, str]:
    return order.quantity, order.reference_price, order.order_type


def differences(recorded: Sequence[str], now: Sequence[str]) -> list[Difference]:
    """Key by key, in the order they are written; of a decision that only one side has, its kind."""
    found = []
    for place in range(max(len(recorded), len(now))):
        was, came = (msgspec.json.decode(side[place]) if place < len(side) else None for side in (recorded, now))
        if was is None or came is None or was["type"] != came["type"]:
            found.append(
                Difference(f"decision {place + 1}", *(NOTHING if s is None else s["type"] for s in (was, came)))
            )
            continue
        before, after = _flat(was, was["type"]), _flat(came, came["type"])
        found += [
            Difference(key, before.get(key, NOTHING), after.get(key, NOTHING))
            for key in dict.fromkeys([*before, *after])
            if before.get(key) != after.get(key)
        ]
    return found


def _flat(value: Any, place: str) -> dict[str, str]:
    """Each value that is no table with the way to it."""
    inner: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict) and value:
        inner = value.items()
    elif isinstance(value, list) and value:
        inner = enumerate(value)
    else:
        return {place: value if isinstance(value, str) else msgspec.json.encode(value).decode()}
    return {way: text for key, item in inner for way, text in _flat(item, f"{place}.{key}").items()}
